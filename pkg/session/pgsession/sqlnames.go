// SPDX-License-Identifier: Apache-2.0

package pgsession

import (
	"bytes"
	"encoding/binary"

	"github.com/rdsproxy/rdsproxy/pkg/session"
	"github.com/rdsproxy/rdsproxy/pkg/sqlscan"
)

// nameIn is the name of a prepared statement in a text, an EXECUTE or DEALLOCATE
// of it. The server knows the statement by another name.
type nameIn struct {
	name       string // "": there is none
	start, end int
	deallocate bool
	// number is the statement's on the server, where the text was sent last; 0 if
	// there was none.
	number uint32
}

// namedStatement tells whether a text is EXECUTE or DEALLOCATE of a statement
// that the client prepared by protocol and so knows by another name than the
// server.
func (s *Session) namedStatement(text []byte, res sqlscan.Result) (st Statement, name []byte, ok bool) {
	if res.NameStart < 0 || res.Effects&(sqlscan.EffectExecute|sqlscan.EffectDeallocate) == 0 {
		return st, nil, false
	}
	name = statementName(text[res.NameStart:res.NameEnd], res.NameQuoted)
	st, ok = s.statements[string(name)]
	return st, name, ok || s.srv.uncertainName(name)
}

// namesIn gives the name in the text of an unnamed statement, whose message has
// size bytes. It gives false if what that means depends on a request that is not
// answered.
func (s *Session) namesIn(text []byte, res sqlscan.Result, size int) (n nameIn, ok bool) {
	st, name, known := s.namedStatement(text, res)
	if !known || size > holdUnnamed {
		return n, true
	}
	if s.srv.uncertainName(name) || s.srv.uncertainStatement(st) {
		return n, false
	}
	return nameIn{
		name: string(name), start: res.NameStart, end: res.NameEnd,
		deallocate: res.Effects&sqlscan.EffectDeallocate != 0,
	}, true
}

// effectsThrough adds what the statement does that a text executes.
func (s *Session) effectsThrough(n nameIn, effects sqlscan.Effects) sqlscan.Effects {
	if st, ok := s.statements[n.name]; ok && n.name != "" && !n.deallocate {
		effects |= st.text.Value().effects
	}
	return effects
}

// namesHold tells whether the name in the text of the unnamed statement still means
// what it meant when the text was sent.
func (s *Session) namesHold() bool {
	n := &s.unnamed.names
	if n.name == "" {
		return true
	}
	st, ok := s.statements[n.name]
	if !ok {
		return n.number == 0
	}
	pr := s.srv.prepared.get(st)
	return pr != nil && pr.number == n.number
}

// serverNumberOf prepares the statement that a text names; 0 if there is none, so
// that the server says so.
func (s *Session) serverNumberOf(n nameIn) uint32 {
	if n.name == "" {
		return 0
	}
	st, ok := s.statements[n.name]
	if !ok {
		return 0
	}
	return s.ensurePrepared(st).number
}

// deallocates notes that e executes a DEALLOCATE of a name that was given by
// protocol.
func (s *Session) deallocates(e *entry, name string) {
	st, ok := s.statements[name]
	if !ok {
		return
	}
	e.op, e.name, e.stmt = opForget, name, st
	s.forget(name)
	if pr := s.srv.prepared.get(st); pr != nil {
		e.prep = pr
		s.srv.prepared.remove(pr)
	}
}

// namedQuery sends such a text with the server's name in place of the client's.
func (s *Session) namedQuery(text []byte, res sqlscan.Result, st Statement, name string) {
	s.freshSequences(st.text.Value().effects)
	before, open := s.srv.owed.n, s.srv.unsynced
	pr := s.ensurePrepared(st)
	if s.srv.owed.n != before && !open {
		// A failed Parse makes the server ignore everything up to a Sync, so
		// the query must come after one; but not within a batch of the client's,
		// which the Sync would commit.
		s.oweReady(entrySync, skip)
		s.host.ToServer(syncMessage)
	}
	for i := before; open && i < s.srv.owed.n; i++ {
		s.srv.owed.at(i).forQuery = true
	}
	e := s.oweQuery()
	e.prep = pr
	if res.Effects&sqlscan.EffectDeallocate == 0 {
		s.queryEffects(e, st.text.Value().effects, false)
	} else {
		e.op, e.name, e.stmt = opForget, name, st
		s.forget(name)
		s.srv.prepared.remove(pr)
	}
	out := append(s.scratch(), 'Q', 0, 0, 0, 0)
	out = append(out, text[:res.NameStart]...)
	out = appendServerName(out, pr.number)
	out = append(out, text[res.NameEnd:]...)
	out = append(out, 0)
	binary.BigEndian.PutUint32(out[1:], uint32(len(out)-1))
	s.host.ToServer(out)
}

// statementName gives the name that an identifier in SQL means; of a quoted
// one, ident is what stands between the quotes.
func statementName(ident []byte, quoted bool) []byte {
	if !quoted {
		return bytes.ToLower(ident)
	}
	return bytes.ReplaceAll(ident, []byte(`""`), []byte(`"`))
}

// boundNames notes what the unnamed statement, which was just bound, deallocates.
func (s *Session) boundNames(portal []byte) {
	n := &s.unnamed.names
	switch {
	case len(portal) == 0 && n.deallocate:
		s.boundForgets = n.name
	case len(portal) == 0:
		s.boundForgets = ""
	case n.deallocate:
		// When and whether a named portal is executed is not followed.
		s.pin(session.PinUnknownStatement)
	}
}
