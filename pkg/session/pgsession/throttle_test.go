// SPDX-License-Identifier: Apache-2.0

package pgsession

import (
	"bytes"
	"testing"

	"github.com/rdsproxy/rdsproxy/test/sim/pgmsg"
)

// TestEndlessBatch lets a client pipeline without ever sending Sync. It is not
// read while too much is owed, and goes on when the server has answered, which
// the server does only if it is told to.
func TestEndlessBatch(t *testing.T) {
	for name, message := range map[string]string{
		"answered by the server": `Close P p`,
		"answered by the proxy":  `Close S unknown`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			d := w.connect("c1", nil, true)
			a := w.login("a", Options{})
			a.feed(pgmsg.MustEncode(`Describe P first`))
			a.feed(bytes.Repeat(pgmsg.MustEncode(message), 3*owedHigh))
			if !a.paused || len(a.inbox) == 0 || d.server.owed.n != owedHigh {
				t.Fatalf("paused %v, %d bytes left, %d replies owed", a.paused, len(a.inbox), d.server.owed.n)
			}
			sent := w.events[len(w.events)-2] // the last event is the pause
			if !bytes.HasSuffix(sent.bytes, pgmsg.MustEncode("Flush")) {
				t.Fatalf("the server was not told to send what it has")
			}
			d.feed(pgmsg.MustEncode(`NoData`))
			for a.paused {
				d.feed(pgmsg.MustEncode(`CloseComplete`))
			}
			if n := d.server.owed.n; n > owedHigh {
				t.Errorf("%d replies owed", n)
			}
		})
	}
}
