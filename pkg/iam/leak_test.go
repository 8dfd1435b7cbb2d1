// SPDX-License-Identifier: Apache-2.0

package iam_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/rdsproxy/rdsproxy/pkg/iam"
	"github.com/rdsproxy/rdsproxy/pkg/secret"
)

// TestNothingPrints: whatever of this package somebody prints, logs or encodes, no key and no token shows.
func TestNothingPrints(t *testing.T) {
	k := plainKey(t)
	k.SessionToken = secret.NewPassword(session)
	v := ownKeys(t, begin, k)
	sts, _ := fakeSTS(t, fixed)
	token := goodToken(t)
	c := claim("app", token)
	_, _ = v.Verify(t.Context(), c) // refused: no session token
	stsToken := goodSTS().makeSTS(t)
	if _, err := sts.Verify(t.Context(), claim("app", stsToken)); err != nil {
		t.Fatal(err)
	}
	gate := iam.NewGate(iam.GateOptions{Verifiers: []iam.Verifier{v, sts}})
	values := map[string]any{
		"key": k, "pointer to key": &k, "keys": keys{keyID: k}, "verifier": v, "value of verifier": *v, "sts": sts,
		"claim": c, "pointer to claim": &c, "claims": []iam.Claim{c}, "gate": gate, "value of gate": *gate,
	}
	signature := func(token string) string { return strings.Split(strings.Split(token, "X-Amz-Signature=")[1], "&")[0] }
	for name, value := range values {
		texts := []string{}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			texts = append(texts, fmt.Sprintf(verb, value))
		}
		if text, err := json.Marshal(value); err == nil {
			texts = append(texts, string(text))
		}
		for _, text := range texts {
			for _, hidden := range []string{secretKey, session, signature(token), signature(stsToken)} {
				for _, shape := range []string{hidden, fmt.Sprintf("%x", hidden), fmt.Sprint([]byte(hidden))} {
					if strings.Contains(text, shape) {
						t.Errorf("%s shows %s", name, hidden)
					}
				}
			}
		}
	}
}
