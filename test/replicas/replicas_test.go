// SPDX-License-Identifier: Apache-2.0

package replicas_test

import (
	"testing"

	"github.com/rdsproxy/rdsproxy/test/replicas"
)

// table is where the superuser's statements go.
func table(e replicas.Engine) string {
	if e == replicas.PostgreSQL {
		return "t"
	}
	return replicas.Database + ".t"
}

// TestCluster takes synchronous clusters through all that may happen to them: what is
// not synchronous does the same, and less.
func TestCluster(t *testing.T) {
	for _, e := range replicas.Engines() {
		t.Run(string(e), func(t *testing.T) { life(t, replicas.Options{Engine: e, Synchronous: true}) })
	}
}

// life takes a cluster through all that may happen to it.
func life(t *testing.T, o replicas.Options) {
	c := replicas.Start(t, o)
	ctx, tab := t.Context(), table(c.Engine)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	rows := func(m *replicas.Member, want string) {
		t.Helper()
		if got, err := m.Query(ctx, "SELECT count(*) FROM "+tab); err != nil || got != want {
			t.Errorf("%s has %s rows, want %s (%v)", m.Addr(), got, want, err)
		}
	}
	a, b := c.Members[0], c.Members[1]
	must(a.Exec(ctx, "CREATE TABLE "+tab+" (id int PRIMARY KEY)", "INSERT INTO "+tab+" VALUES (1)"))
	must(c.AwaitCaughtUp(ctx, b))
	rows(b, "1")

	a.Freeze()
	must(c.Promote(ctx, b))
	must(b.Exec(ctx, "INSERT INTO "+tab+" VALUES (2)"))
	must(c.Rejoin(ctx, a))
	rows(a, "2")

	must(b.Exec(ctx, "INSERT INTO "+tab+" VALUES (3)"))
	must(c.Switchover(ctx, a))
	if c.Writer() != a {
		t.Error("the switch did not take place")
	}
	must(a.Exec(ctx, "INSERT INTO "+tab+" VALUES (4)"))
	must(c.AwaitCaughtUp(ctx, b))
	rows(b, "4")

	a.Kill()
	must(c.Promote(ctx, b))
	must(b.Exec(ctx, "INSERT INTO "+tab+" VALUES (5)"))
	must(c.Rejoin(ctx, a))
	rows(a, "5")

	must(a.PauseReplay(ctx))
	must(b.Exec(ctx, "INSERT INTO "+tab+" VALUES (6)"))
	rows(a, "5")
	must(a.ResumeReplay(ctx))
	must(c.AwaitCaughtUp(ctx, a))
	rows(a, "6")
}
