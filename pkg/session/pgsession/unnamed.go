// SPDX-License-Identifier: Apache-2.0

package pgsession

import (
	"encoding/binary"

	"github.com/rdsproxy/rdsproxy/pkg/session"
	"github.com/rdsproxy/rdsproxy/pkg/sqlscan"
)

// holdUnnamed is the longest unnamed statement that the session keeps, to
// prepare it again on another connection.
const holdUnnamed = 64 << 10

// unnamed is the client's unnamed prepared statement. It outlives the
// transaction: some drivers prepare it in one batch and execute it in the
// next, by when the session may be on another connection.
type unnamed struct {
	tail    []byte // as statementText.tail
	names   nameIn // what it names in its text
	effects sqlscan.Effects
	version uint64 // unique over all sessions, compared with Server.unnamed
	alive   bool
}

// unnamedUnknown is a Server.unnamed that equals no session's.
const unnamedUnknown = ^uint64(0)

// parseUnnamed replaces the unnamed statement; the caller sends the Parse.
// With a nil or too long tail it cannot be rebuilt on another connection.
func (s *Session) parseUnnamed(tail []byte, names nameIn, effects sqlscan.Effects) {
	u, prior := &s.unnamed, s.priorUnnamed()
	if prior != nil {
		u.tail = nil // it is the prior one's
	}
	u.names = names
	s.unpin(session.PinUnnamedStatement)
	u.version = s.shared.unique()
	u.alive = true
	u.effects = effects
	if len(tail) > holdUnnamed {
		s.pin(session.PinUnnamedStatement)
		tail = nil
	}
	u.tail = append(u.tail[:0], tail...)
	e := s.owe(entryParse, forward)
	e.op, e.version, e.prior = opUnnamed, u.version, prior
	s.srv.setUnnamed(u.version)
}

// forgetUnnamed notes that the unnamed statement is gone.
func (s *Session) forgetUnnamed() {
	if s.unnamed.alive {
		s.unnamed.alive = false
		s.unpin(session.PinUnnamedStatement)
	}
}

// ensureUnnamed makes the server's unnamed statement the session's own.
func (s *Session) ensureUnnamed() {
	srv, u := s.srv, &s.unnamed
	switch {
	case u.alive && srv.unnamed == u.version && s.namesHold():
	case u.alive && len(u.tail) > 0:
		u.names.number = s.serverNumberOf(u.names)
		s.owe(entryParse, skip)
		s.sendUnnamed(u.names.number)
		srv.setUnnamed(u.version)
	case srv.unnamed != 0:
		// Somebody else's is in place, and must not be reached.
		s.owe(entryClose, skip)
		s.host.ToServer(closeUnnamed)
		srv.setUnnamed(0)
	}
}

// sendUnnamed sends a Parse of the unnamed statement. If number is not 0, the
// statement that it names in its text has that number on the server.
func (s *Session) sendUnnamed(number uint32) {
	u := &s.unnamed
	msg := append(s.scratch(), 'P', 0, 0, 0, 0, 0)
	rest := u.tail
	if number != 0 {
		msg = append(msg, u.tail[:u.names.start]...)
		msg = appendServerName(msg, number)
		rest = u.tail[u.names.end:]
	}
	binary.BigEndian.PutUint32(msg[1:], uint32(len(msg)-1+len(rest)))
	s.host.ToServer(msg)
	s.host.ToServer(rest)
}

var closeUnnamed = []byte{'C', 0, 0, 0, 6, 'S', 0}

// priorUnnamed is an unnamed statement that another may have taken the place of.
type priorUnnamed struct {
	unnamed
	server uint64 // Server.unnamed
	since  stamp
}

// priorUnnamed gives what is to be restored if the server ignores the request that
// is now sent; nil if it cannot do that, for the request is the first of its batch.
func (s *Session) priorUnnamed() *priorUnnamed {
	if !s.srv.unsynced {
		return nil
	}
	return &priorUnnamed{unnamed: s.unnamed, server: s.srv.unnamed, since: s.srv.unnamedSince}
}

// undoUnnamed takes back what the request at index i was to do to the unnamed
// statement. If it was ignored the one before is in place still, and if it has
// failed there is none. from is where the requests begin that the server does
// not ignore; the first of them that sets the unnamed statement has the last word,
// but it may be ignored too.
func (s *Session) undoUnnamed(i, from int, ignored bool) {
	owed := &s.srv.owed
	e := owed.at(i)
	if !e.setsUnnamed() {
		return
	}
	for ; from < owed.n; from++ {
		later := owed.at(from)
		if !later.setsUnnamed() {
			continue
		}
		switch {
		case later.prior == nil:
		case ignored && e.prior != nil:
			*later.prior = *e.prior
		default:
			later.prior.alive = false
		}
		return
	}
	p := e.prior
	if !ignored || p == nil {
		s.forgetUnnamed()
		return
	}
	s.unnamed = p.unnamed
	if p.alive && len(p.tail) == 0 {
		// It cannot be prepared again, and nothing has taken it off the server.
		s.srv.unnamed, s.srv.unnamedSince = p.server, p.since
		s.pin(session.PinUnnamedStatement)
	}
}
