// SPDX-License-Identifier: Apache-2.0

package proxy_test

import "testing"

// TestInterruptions: the loss of a database connection under a client is counted once,
// by what the client got to see of it.
func TestInterruptions(t *testing.T) {
	s := newScene(t, plan{max: 2})
	s.db.on(func(b *backend, at stage, sql string) reaction {
		if at == atQuery && sql == "SELECT pg_terminate()" {
			return hangUp
		}
		return goOn
	})
	c := s.client()
	s.exec(c, "BEGIN")
	_ = c.Exec(t.Context(), "SELECT pg_terminate()").Close()
	_ = c.Conn().Close()
	count := func() (n uint64) {
		for code, k := range s.stats().Endpoints[0].Interrupted {
			if code != "none" {
				n += k
			}
		}
		return n
	}
	eventually(t, "it is counted", func() bool { return count() > 0 })
	if n := count(); n != 1 {
		t.Errorf("counted %d times: %v", n, s.stats().Endpoints[0].Interrupted)
	}
}
