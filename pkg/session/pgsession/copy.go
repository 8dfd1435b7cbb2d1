// SPDX-License-Identifier: Apache-2.0

package pgsession

// What happens around COPY FROM STDIN (protocol, "COPY Operations"):
//
// After CopyInResponse the server reads CopyData until CopyDone or CopyFail,
// and ignores Sync and Flush meanwhile; any other message makes the COPY fail.
// Clients may send all of this before they have seen CopyInResponse, and go on
// sending CopyData after the server has reported an error, when it no longer
// cares. So the ledger must tell which Syncs will be answered.

// copyStarts is called at CopyInResponse to the request at the head: what the
// client has sent ahead is read by the server in copy mode.
func (srv *Server) copyStarts() {
	srv.copyIn = true
	for srv.owed.n > 1 {
		next := srv.owed.at(1)
		switch next.kind {
		case entrySync:
			srv.owed.removeSecond()
			srv.lostSyncs++
			srv.unsynced = true
		case entryCopyEnd:
			srv.owed.removeSecond()
			srv.copyIn = false
			return
		default:
			srv.copyAborted()
			return
		}
	}
}

// copyAborted notes that a message which does not belong into a COPY was, or
// will be, read by the server in copy mode. In the extended protocol all is
// ignored up to the next Sync anyway. In a simple query it cannot be known
// whether that message was swallowed by the COPY or carried out.
func (srv *Server) copyAborted() {
	srv.copyIn = false
	if srv.owed.front().kind == entryQuery {
		srv.doubt = true
		srv.ambiguous = true
	}
}

// clientInCopy handles a client's message while the server reads CopyData.
func (s *Session) clientInCopy(p []byte, typ byte, total int) (int, bool) {
	srv := s.srv
	switch typ {
	case 'd', 'S', 'H':
		if typ == 'S' {
			srv.lostSyncs++
		}
		return s.pass(p, total), true
	case 'c', 'f':
		srv.copyIn = false
		return s.pass(p, total), true
	}
	srv.copyAborted()
	if srv.ambiguous {
		s.protocolError("unexpected message during COPY from stdin")
		return 0, false
	}
	return s.clientMessage(p)
}

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
