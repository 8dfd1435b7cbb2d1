// SPDX-License-Identifier: Apache-2.0

package pgsession

import wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"

// What happens around COPY FROM STDIN (protocol, "COPY Operations"):
//
// After CopyInResponse the server reads CopyData until CopyDone or CopyFail,
// and ignores Sync and Flush meanwhile; any other message ends the connection
// (before version 14: the COPY). Clients may send all of this before they have
// seen CopyInResponse, and go on sending CopyData after the server has reported
// an error, when it no longer cares. So the ledger must tell which Syncs will
// be answered.

// copyStarts is called at CopyInResponse to the request at the head: what the
// client has sent ahead is read by the server in copy mode. It gives false if
// that contains something else than a COPY's data.
func (srv *Server) copyStarts() bool {
	srv.copyIn = true
	for srv.copyIn && srv.owed.n > 1 {
		switch srv.owed.at(1).kind {
		case entrySync:
			srv.lostSyncs++
		case entryCopyEnd:
			srv.copyIn = false
		default:
			return false
		}
		srv.owed.removeSecond()
	}
	srv.unsynced = srv.owed.endsOpen()
	return true
}

// copyFails is called at an error. Whether the server had read the Syncs that
// came ahead of the data, or answers them now, is not to be seen from that.
func (srv *Server) copyFails() {
	srv.copyIn = false
	srv.stray += srv.lostSyncs
	srv.lostSyncs = 0
}

// probe asks the server for something else, to see whether it answers such a
// Sync before that.
func (s *Session) probe() {
	s.oweReady(entryQuery, skip).op = opProbe
	s.srv.setUnnamed(0)
	s.host.ToServer(probeMessage)
}

var probeMessage = wire.AppendQuery(nil, "")

// strayReady forwards the answer to such a Sync.
func (s *Session) strayReady(msg []byte) int {
	srv := s.srv
	if len(msg) != headerSize+1 {
		return s.unexpected('Z')
	}
	srv.stray--
	srv.tx = msg[headerSize]
	if srv.owed.empty() {
		srv.unsynced = false
		s.skipToSync = false
	}
	s.toClient(msg)
	s.settle()
	return len(msg)
}

// clientInCopy handles a client's message while the server reads CopyData.
func (s *Session) clientInCopy(p []byte, typ byte, total int) (int, bool) {
	switch typ {
	case 'd', 'H':
	case 'S':
		s.srv.lostSyncs++
	case 'c', 'f':
		s.srv.copyIn = false
	default:
		s.protocolError(notInCopy)
		return 0, false
	}
	return s.pass(p, total), true
}

// notInCopy is why a session ends that sends something else than a COPY's data.
const notInCopy = "unexpected message type during COPY from stdin"

// clientCopy handles CopyData, CopyDone and CopyFail while the server is not
// known to be in copy mode.
func (s *Session) clientCopy(p []byte, typ byte, total int) (int, bool) {
	if s.srv == nil || s.srv.owed.empty() {
		// Left over from a COPY that has failed: ignored, as the server does.
		return s.drop(p, total), true
	}
	if typ != 'd' {
		s.srv.owed.push(entryCopyEnd, forward)
	}
	return s.pass(p, total), true
}
