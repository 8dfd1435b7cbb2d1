// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"bytes"
	"testing"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// counting is a Host that adds up what is sent, and keeps the last bytes.
type counting struct {
	silent
	toServer, toClient bytes.Buffer
}

func (h *counting) ToServer(p []byte) { h.toServer.Write(p) }
func (h *counting) ToClient(p []byte) { h.toClient.Write(p) }

// TestPacketsOf16MiB plays a command and a reply that do not fit into one packet.
// Their bytes pass through, whatever stands at the beginning of what continues a
// packet, and the sequence ids go on.
func TestPacketsOf16MiB(t *testing.T) {
	for _, caps := range []wire.Capabilities{wire.Always, wire.Always &^ wire.ClientDeprecateEOF} {
		for _, size := range []int{wire.MaxPayload, wire.MaxPayload + 9} {
			playLong(t, caps, size)
		}
	}
}

func playLong(t *testing.T, caps wire.Capabilities, size int) {
	t.Helper()
	sh := NewShared(10)
	h := &counting{}
	h.srv = NewServer(sh, &ServerFacts{Capabilities: wire.Always, Base: map[string]string{"autocommit": "ON"}})
	var s Session
	s.Init(Options{Host: h, Shared: sh, Capabilities: caps, LoginSeq: 2})
	s.Start()
	h.toClient.Reset()

	payload := bytes.Repeat([]byte("x"), size)
	copy(payload, "\x03select '")
	payload[size-1] = '\''
	query := wire.AppendPacket(nil, 0, payload)
	feedAll(t, s.ClientData, bytes.Clone(query), 65536)
	if !bytes.Equal(h.toServer.Bytes(), query) {
		t.Fatalf("%d of %d bytes were sent, or others", h.toServer.Len(), len(query))
	}

	row := bytes.Repeat([]byte{0xff}, size)
	row[0] = 0xfe // a value of 16 MiB and more: the row begins like an EOF packet
	seq := byte(wire.Packets(size))
	reply := wire.AppendColumnCount(nil, seq, wire.Always, 1, true)
	reply = wire.AppendColumn(reply, seq+1, wire.Always, &wire.Column{Name: []byte("x")})
	reply = wire.AppendPacket(reply, seq+2, row)
	reply = wire.AppendResultEnd(reply, seq+2+seq, wire.Always, wire.OK{Status: wire.StatusAutocommit})
	feedAll(t, s.ServerData, bytes.Clone(reply), 65536)
	if !s.Idle() {
		t.Fatal("the connection was not given back")
	}
	if caps.Has(wire.ClientDeprecateEOF) {
		if !bytes.Equal(h.toClient.Bytes(), reply) {
			t.Fatal("the client was sent something else")
		}
		return
	}
	want, got := len(reply)+9+9-11, h.toClient.Len()
	if want != got {
		t.Fatalf("the client was sent %d bytes, and not %d", got, want)
	}
	checkSequence(t, h.toClient.Bytes(), seq)
}

// checkSequence verifies that packets are numbered without a gap.
func checkSequence(t *testing.T, p []byte, seq byte) {
	t.Helper()
	for len(p) > 0 {
		_, got, rest, ok := wire.CutPacket(p)
		if !ok || got != seq {
			t.Fatalf("packet %d where %d should be, whole: %v", got, seq, ok)
		}
		seq++
		p = rest
	}
}

// feedAll gives p to f, n bytes at a time, with what was left over.
func feedAll(t *testing.T, f func([]byte) int, p []byte, n int) {
	t.Helper()
	have := 0
	for len(p) > 0 {
		have = min(have+n, len(p))
		used := f(p[:have])
		p, have = p[used:], have-used
		if used == 0 && have == len(p) {
			t.Fatalf("stuck with %d bytes", len(p))
		}
	}
}

// TestLongCommandsWithoutConnection are read to their end before the error is told.
func TestLongCommandsWithoutConnection(t *testing.T) {
	w := newWorld(t)
	c := w.login("a", Options{ThreadID: 7, Capabilities: wire.Always, LoginSeq: 2})
	d := w.connect("c1", &ServerFacts{Capabilities: wire.Always, Status: wire.StatusAutocommit})
	c.grant(d)
	d.held = true
	w.take()
	c.feed(wire.AppendPacket(nil, 0, append([]byte{byte(wire.ComQuery)}, make([]byte, wire.MaxPayload+5)...)))
	c.waiting = false
	c.session.BorrowFailed(wire.NewError(wire.CodeConCount, "no"))
	w.run()
	want := `a< 2:Err 1040 08004 "no"`
	if lines := w.take(); lines[len(lines)-1] != want || !c.session.Idle() {
		t.Fatalf("%q", lines)
	}
}

// TestLongTextsWithValues: a text that is too long to be held, and asks for a value of
// the session, is not run where another client's would be found.
func TestLongTextsWithValues(t *testing.T) {
	for _, c := range []struct {
		text    string
		refused bool
	}{
		{"select row_count(), '" + string(bytes.Repeat([]byte("x"), holdText)) + "'", true},
		{"select '" + string(bytes.Repeat([]byte("x"), holdText)) + "', found_rows()", true},
		{"select '" + string(bytes.Repeat([]byte("x"), holdText)) + "'; select row_count()", false},
	} {
		for _, n := range []int{64, 1000, 1 << 20} {
			sh := NewShared(10)
			h := &counting{}
			h.srv = NewServer(sh, &ServerFacts{Capabilities: wire.Always, Base: map[string]string{"autocommit": "ON"}})
			var s Session
			s.Init(Options{Host: h, Shared: sh, Capabilities: wire.Always, LoginSeq: 2})
			s.Start()
			h.toClient.Reset()
			query := wire.AppendPacket(nil, 0, append([]byte{byte(wire.ComQuery)}, c.text...))
			feedAll(t, s.ClientData, bytes.Clone(query), n)
			if refused := h.toServer.Len() < len(query); refused != c.refused {
				t.Fatalf("%.30q: %d of %d bytes were sent", c.text, h.toServer.Len(), len(query))
			}
			if e, ok := wire.ParseError(h.toClient.Bytes()[min(wire.HeaderLen, h.toClient.Len()):]); c.refused && (!ok || e.Code != codeNotSupported || !s.Idle()) {
				t.Fatalf("%.30q: the client was told %q", c.text, h.toClient.Bytes())
			}
		}
	}
}
