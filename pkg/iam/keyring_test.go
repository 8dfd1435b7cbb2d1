// SPDX-License-Identifier: Apache-2.0

package iam_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/iam"
	"github.com/rdsproxy/rdsproxy/pkg/secret"
)

// TestKeyring: access keys in files, each with its own policy.
func TestKeyring(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := dir + "/" + name
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	store := secret.NewFileStore(secret.FileOptions{})
	ring := iam.NewKeyring(store, []iam.KeyEntry{
		{Secret: write("a.json", `{"AccessKeyId":"`+keyID+`","SecretAccessKey":"`+secretKey+`"}`), Policy: allowing(t, "app")},
		{Secret: write("b.json", `{"username":"ASIAEXAMPLE0123456789","password":"x"}`)},
		{Secret: write("c.json", `{"AccessKeyId":"ASIDEXAMPLE0123456789","SecretAccessKey":"y","SessionToken":"`+session+`","Expiration":"2026-11-23T05:00:00Z"}`), Policy: allowing(t, "app")},
	})
	k, err := ring.Key(t.Context(), keyID)
	if err != nil || k.Secret.Reveal() != secretKey || k.Policy == nil || k.ID != keyID {
		t.Error(k, err)
	}
	k, err = ring.Key(t.Context(), "ASIDEXAMPLE0123456789")
	if err != nil || k.SessionToken.Reveal() != session || !k.Expires.Equal(begin.Add(30*time.Minute)) {
		t.Error(k, err)
	}
	if _, err := ring.Key(t.Context(), "AKIDEXAMPLE9999999999"); !errors.Is(err, iam.ErrUnknownKey) {
		t.Error(err)
	}
	v, err := iam.NewOwnKeys(iam.OwnKeysOptions{Keys: ring, Resource: resource, Now: fixed})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), claim("app", goodToken(t))); err != nil {
		t.Error(err)
	}
	refused(t, v, claim("other", altered(t, query("Action=connect&DBUser=other&X-Amz-Expires=900"))), iam.Denied)

	// A key that cannot be read is not the same as one that is not there; those that can be read go on.
	broken := iam.NewKeyring(store, []iam.KeyEntry{{Secret: dir + "/none.json"}, {Secret: dir + "/a.json", Policy: allowing(t, "app")}})
	if _, err := broken.Key(t.Context(), keyID); err != nil {
		t.Error(err)
	}
	if _, err := broken.Key(t.Context(), "AKIDEXAMPLE9999999999"); err == nil || errors.Is(err, iam.ErrUnknownKey) || !strings.Contains(err.Error(), "none.json") {
		t.Error(err)
	}
}
