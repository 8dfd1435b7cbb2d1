// SPDX-License-Identifier: Apache-2.0

package mysession

import wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"

// body is the part of a command of the client's that has not come by yet. The
// zero value is none.
type body struct {
	left int  // bytes of the present packet
	more bool // another packet follows it
	seq  byte // sequence id of that
	to   bodyTo
}

// bodyTo is what becomes of a command that is not held in memory.
type bodyTo uint8

const (
	toServer  bodyTo = iota
	toScan           // to the server, and read by the SQL scanner
	toNowhere        // dropped
	toFailure        // dropped, and then answered with the failure
)

func (b *body) open() bool { return b.left > 0 || b.more }

// clientBody passes on a part of the command that streams by. It returns how many
// bytes it used, 0 if it needs more.
func (s *Session) clientBody(p []byte) int {
	b := &s.body
	to := b.to
	var n int
	if b.left == 0 {
		if len(p) < wire.HeaderLen {
			return 0
		}
		size, seq := wire.ParseHeader(p)
		if seq != b.seq {
			s.protocolError(seq, wire.NewError(wire.CodePacketsOutOfOrder, "Got packets out of order"))
			return 0
		}
		n = wire.HeaderLen
		b.left, b.more = size, size == wire.MaxPayload
		b.seq++
		if to == toServer || to == toScan {
			s.srv.x.seq++
		}
	} else {
		n = min(b.left, len(p))
		b.left -= n
		if to == toScan {
			s.srv.scanner.Write(p[:n])
		}
	}
	switch to {
	case toServer:
		s.host.ToServer(p[:n])
	case toScan:
		if !s.sendScanned(p[:n]) {
			return n
		}
	}
	if !b.open() {
		s.bodyEnds(to)
	}
	return n
}

// bodyEnds is called when all of a command has come.
func (s *Session) bodyEnds(to bodyTo) {
	if to == toFailure {
		s.answerFailure()
	}
	// Perhaps everything else was waiting for the end of this command.
	s.settle()
	if s.draining && s.Idle() {
		s.terminate(shutdownError)
	}
}
