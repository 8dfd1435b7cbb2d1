// SPDX-License-Identifier: Apache-2.0

package pgsession

// RESET ALL and DISCARD ALL set the settings back to those of the connection's
// own start. A client means those that it asked for at its start-up, so they are
// put back then, before its next request. But only then: a reset that fails, or is
// undone with its transaction, leaves what the client has set since.

// resetState is what is known of resets on a connection since its settings were
// last put in place.
type resetState struct {
	// may: the settings are set back, or are if a request succeeds that is under
	// way.
	may bool
	// ran: it has happened since the last ReadyForQuery, and goes with its
	// transaction. undone: a ROLLBACK has followed.
	ran, undone bool
	// kept: it has happened for good.
	kept bool
}

// keep is called when the transaction is committed.
func (r *resetState) keep() {
	r.kept = r.kept || r.ran
	r.ran, r.undone = false, false
}

// resets notes that e sets the settings back if it succeeds. What an init query
// has set up is gone then.
func (srv *Server) resets(e *entry) {
	e.resets = true
	srv.reset.may = true
	srv.doubt = srv.doubt || srv.InitQuery
}

// resetRan notes that a RESET of e has succeeded.
func (srv *Server) resetRan(e *entry) {
	if e.resets {
		srv.reset.ran, srv.reset.undone = true, false
	}
}

// discardedAll notes that DISCARD ALL has succeeded, which commits itself.
func (srv *Server) discardedAll() {
	srv.reset.may, srv.reset.kept = true, true
	srv.doubt = srv.doubt || srv.InitQuery
}

// resetFails is called after an error. The requests that it makes fail, or lets
// the server ignore, reset nothing any more.
func (srv *Server) resetFails() {
	srv.reset.ran, srv.reset.undone = false, false
	srv.resetRest()
}

// resetEnds is called at ReadyForQuery.
func (srv *Server) resetEnds(tx byte) {
	r := &srv.reset
	if r.ran && r.undone && tx == 'I' {
		r.ran = false
	}
	r.keep()
	srv.resetRest()
}

// resetRest finds out whether settings may still be set back.
func (srv *Server) resetRest() {
	r := &srv.reset
	if !r.may || r.kept {
		return
	}
	r.may = r.ran
	for i := 0; i < srv.owed.n && !r.may; i++ {
		r.may = srv.owed.at(i).resets
	}
}
