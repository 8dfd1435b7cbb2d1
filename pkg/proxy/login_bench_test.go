// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"testing"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/proxy"
	"github.com/rdsproxy/rdsproxy/test/bench/pgload"
)

// one user has a credential that is made once.
type one struct{ credential auth.Credential }

func (o one) Lookup(user string) (auth.Credential, bool) { return o.credential, user == "app" }

func BenchmarkLogin(b *testing.B) {
	c, err := auth.NewCredential("app", password, auth.SCRAM)
	if err != nil {
		b.Fatal(err)
	}
	s := newScene(b, plan{max: 2, endpoint: func(o *proxy.EndpointOptions) {
		o.Users, o.UnknownMethod = one{c}, func() auth.Method { return auth.SCRAM }
	}})
	t := &pgload.Target{Addr: s.endpoint.Addr().String(), User: "app", Password: password, Database: "app"}
	b.ReportAllocs()
	for b.Loop() {
		if err := t.LogInAndOut(b.Context(), nil); err != nil {
			b.Fatal(err)
		}
	}
}
