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
	if !x.file || x.shape != shapeResult || x.why != forClient || !s.caps.Has(wire.ClientLocalFiles) {
		s.serverFault("a request for a file that nobody wants to send")
		return 0
	}
	if s.state == leaving {
		s.abandon() // nobody will send it
		return 0
	}
	s.forward(msg)
	x.stage = stageFile
	x.fileSeq, x.fileLeft, x.fileMore = x.seq+x.shift, 0, false
	s.resume()
	return len(msg)
}

// clientFile passes on a part of the file. An empty packet ends it. The server goes
// on counting behind the client.
func (s *Session) clientFile(p []byte) int {
	x := &s.srv.x
	if x.fileLeft > 0 {
		n := min(x.fileLeft, len(p))
		x.fileLeft -= n
		s.host.ToServer(p[:n])
		return n
	}
	if len(p) < wire.HeaderLen {
		return 0
	}
	size, seq := wire.ParseHeader(p)
	if seq != x.fileSeq {
		s.protocolError(seq, wire.NewError(wire.CodePacketsOutOfOrder, "Got packets out of order"))
		return 0
	}
	p[3] = seq - x.shift
	x.fileSeq++
	s.host.ToServer(p[:wire.HeaderLen])
	ends := size == 0 && !x.fileMore
	x.fileLeft, x.fileMore = size, size == wire.MaxPayload
	if ends {
		x.seq = x.fileSeq - x.shift
		x.stage = stageFirst
	}
	return wire.HeaderLen
}
