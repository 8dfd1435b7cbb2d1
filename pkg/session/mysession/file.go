// SPDX-License-Identifier: Apache-2.0

package mysession

import wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"

// sendsFile tells whether the server waits for the client's file.
func (s *Session) sendsFile() bool {
	return s.state == active && s.srv.x.stage == stageFile
}

// serverWantsFile handles the server's request for a file (LOAD DATA LOCAL). It is
// passed on only if the client's text may have asked for that: a server that asks
// unbidden could have any file of the client's. The proxy itself never sends one.
func (s *Session) serverWantsFile(msg []byte) int {
	x := &s.srv.x
	if !x.mayLoad || x.shape != shapeResult || x.why != forClient || !s.caps.Has(wire.ClientLocalFiles) {
		s.serverFault("a request for a file that nobody wants to send")
		return 0
	}
	if s.state == leaving {
		s.abandon() // nobody will send it
		return 0
	}
	s.forward(msg)
	x.stage = stageFile
	x.file = upload{seq: x.seq + x.shift}
	s.resume()
	return len(msg)
}

// upload is how far a client has come with its file.
type upload struct {
	// seq is the sequence id of its next packet, left how much of its present packet is to
	// come.
	seq  byte
	left int
	more bool // the packet was as long as can be
	// verdict is what the client is told behind the file, if its connection has ended.
	verdict *wire.Error
}

// take reads the next part of the file that p begins with. n is how many bytes it is, 0 if
// more is needed; header tells that it is the header of a packet, and ends that it is
// the empty one behind the file. wrong is the sequence id of a packet out of order.
func (u *upload) take(p []byte) (n int, header, ends, wrong bool) {
	if u.left > 0 {
		n = min(u.left, len(p))
		u.left -= n
		return n, false, false, false
	}
	if len(p) < wire.HeaderLen {
		return 0, false, false, false
	}
	size, seq := wire.ParseHeader(p)
	if seq != u.seq {
		return 0, true, false, true
	}
	u.seq++
	ends = size == 0 && !u.more
	u.left, u.more = size, size == wire.MaxPayload
	return wire.HeaderLen, true, ends, false
}

// clientFile passes on a part of the file. An empty packet ends it. The server goes
// on counting behind the client.
func (s *Session) clientFile(p []byte) int {
	x := &s.srv.x
	n, header, ends, wrong := x.file.take(p)
	switch {
	case wrong:
		s.fileOutOfOrder(p)
		return 0
	case n == 0:
		return 0
	case header:
		p[3] -= x.shift
	}
	s.host.ToServer(p[:n])
	if ends {
		x.seq = x.file.seq - x.shift
		x.stage = stageFirst
	}
	return n
}

func (s *Session) fileOutOfOrder(p []byte) {
	_, seq := wire.ParseHeader(p)
	s.protocolError(seq, wire.NewError(wire.CodePacketsOutOfOrder, "Got packets out of order"))
}

// orphanFile drops a part of a file that nobody takes any more. Clients look at the
// answer when they have sent it all.
func (s *Session) orphanFile(p []byte) int {
	n, _, ends, wrong := s.orphan.take(p)
	if wrong {
		s.fileOutOfOrder(p)
		return 0
	}
	if ends {
		u := s.orphan
		s.orphan = nil
		s.host.ToClient(wire.AppendError(nil, u.seq, s.caps, u.verdict))
		if s.draining && s.Idle() {
			s.terminate(shutdownError)
		}
	}
	return n
}
