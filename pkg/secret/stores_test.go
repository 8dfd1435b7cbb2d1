// SPDX-License-Identifier: Apache-2.0

package secret_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/secret"
)

// TestStores: the id tells which store is asked, and a change in either is told.
func TestStores(t *testing.T) {
	file := t.TempDir() + "/app.json"
	write(t, file, secretJSON("file"))
	synctest.Test(t, func(t *testing.T) {
		src := newSource("aws")
		s := secret.NewStores(
			secret.NewFileStore(secret.FileOptions{PollOnly: true}),
			secret.NewCache(src, secret.CacheOptions{RefreshInterval: time.Minute, Random: never}))
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { s.Run(ctx) })
		synctest.Wait()
		want(t, s, file, "app:file")
		want(t, s, "secretsmanager:app", "app:aws")
		want(t, s, "arn:aws:secretsmanager:r:1:secret:x", "app:aws")
		if _, err := s.Get(t.Context(), "app"); !errors.Is(err, secret.ErrUnsupported) {
			t.Error(err)
		}
		for _, do := range []func(){
			func() { src.put(secret.Current, "aws2") },
			func() { replace(t, file, secretJSON("file2")) },
		} {
			changed := s.Changed()
			do()
			wait(2 * time.Minute)
			select {
			case <-changed:
			default:
				t.Error("a change was not told")
			}
		}
		want(t, s, file, "app:file2")
		want(t, s, "secretsmanager:app", "app:aws2")
		if list, err := s.Refused(t.Context(), file, credential("file2")); err != nil || len(list) != 1 || list[0].Password.Reveal() != "file" {
			t.Error(list, err)
		}
		if list, err := s.Refused(t.Context(), "secretsmanager:app", credential("aws2")); err != nil || len(list) != 1 || list[0].Password.Reveal() != "aws" {
			t.Error(list, err)
		}
		if list, err := s.Versions(t.Context(), file); err != nil || len(list) != 2 || list[1].Password.Reveal() != "file" {
			t.Error(list, err)
		}
		s.Accepted(file, credential("file"))
		s.Accepted("secretsmanager:app", credential("aws"))
		want(t, s, file, "app:file2")
		want(t, s, "secretsmanager:app", "app:aws")
		src.fail(errors.New("down"))
		wait(2 * time.Minute)
		ids := []string{}
		for _, f := range s.Failures() {
			ids = append(ids, f.ID)
		}
		if !slices.Equal(ids, []string{"arn:aws:secretsmanager:r:1:secret:x", "secretsmanager:app"}) {
			t.Error(ids)
		}
		s.Retain([]string{file})
		if f := s.Failures(); len(f) != 0 {
			t.Errorf("%+v", f)
		}
		stop()
		running.Wait()
	})
}

func TestStoresWithoutManager(t *testing.T) {
	s := secret.NewStores(secret.NewFileStore(secret.FileOptions{PollOnly: true}), nil)
	if _, err := s.Get(t.Context(), "secretsmanager:app"); !errors.Is(err, secret.ErrUnsupported) {
		t.Error(err)
	}
	s.Retain(nil)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	s.Run(ctx)
}

// TestFileRefused: a file that has changed is read at once.
func TestFileRefused(t *testing.T) {
	file := t.TempDir() + "/app.json"
	write(t, file, secretJSON("one"))
	s := secret.NewFileStore(secret.FileOptions{})
	want(t, s, file, "app:one")
	if _, err := s.Refused(t.Context(), file, credential("one")); !errors.Is(err, secret.ErrNoOther) {
		t.Error(err)
	}
	replace(t, file, secretJSON("two"))
	if got, err := refusedOf(t, s, file, "one"); err != nil || !slices.Equal(got, []string{"two"}) {
		t.Error(got, err)
	}
	if got, err := refusedOf(t, s, file, "two"); err != nil || !slices.Equal(got, []string{"one"}) {
		t.Error(got, err)
	}
	if _, err := s.Refused(t.Context(), file+".none", credential("one")); !errors.Is(err, secret.ErrNotFound) {
		t.Error(err)
	}
}

// TestDecodeAccessKey: access keys as AWS prints them.
func TestDecodeAccessKey(t *testing.T) {
	c, err := secret.Decode([]byte(`{"AccessKeyId":"AKID","SecretAccessKey":"correct horse"}`))
	if err != nil || c.Username != "AKID" || c.Password.Reveal() != hidden || !c.SessionToken.IsEmpty() || !c.Expires.IsZero() {
		t.Error(c, err)
	}
	c, err = secret.Decode([]byte(`{"AccessKeyId":"ASIA","SecretAccessKey":"x","SessionToken":"correct horse","Expiration":"2026-11-23T05:00:00+01:00"}`))
	if err != nil || c.SessionToken.Reveal() != hidden || !c.Expires.Equal(time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC)) {
		t.Error(c, err)
	}
	other := c
	other.Expires = c.Expires.Add(time.Hour)
	if !c.Equal(c) || c.Equal(other) { //nolint:gocritic // that it equals itself is what is tested
		t.Error("Equal does not look at the end")
	}
	for text, want := range map[string]string{
		`{"AccessKeyId":"AKID"}`:                                                 `has no member "SecretAccessKey"`,
		`{"AccessKeyId":1,"SecretAccessKey":"correct horse"}`:                    `"AccessKeyId" is not a text`,
		`{"AccessKeyId":"","SecretAccessKey":"correct horse"}`:                   `username is empty`,
		`{"AccessKeyId":"A","SecretAccessKey":"x","SessionToken":""}`:            `SessionToken is empty`,
		`{"AccessKeyId":"A","SecretAccessKey":"x","SessionToken":null}`:          `"SessionToken" is not a text`,
		`{"AccessKeyId":"A","SecretAccessKey":"x","Expiration":"correct horse"}`: `"Expiration" is no date`,
		`{"AccessKeyId":"A","SecretAccessKey":"x","Expiration":5}`:               `"Expiration" is not a text`,
	} {
		_, err := secret.Decode([]byte(text))
		if !errors.Is(err, secret.ErrMalformed) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
			continue
		}
		refuse(t, "the error", err.Error())
	}
}
