// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"testing"
)

func TestQuery(t *testing.T) {
	s := newScene(t, plan{max: 2})
	a, b := s.client(), s.client()
	s.must(a, "a")
	s.must(b, "b")
	s.exec(a, "BEGIN")
	first := s.must(a, "a")
	if r := s.must(b, "b"); r.pid == first.pid {
		t.Error("two transactions on one connection")
	}
	s.exec(a, "COMMIT")
	hangUpNow(a)
	hangUpNow(b)
	s.settled()
	if s.db.peak() > 2 {
		t.Errorf("%d database connections at a time", s.db.peak())
	}
}
