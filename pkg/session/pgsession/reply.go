// SPDX-License-Identifier: Apache-2.0

package pgsession

import (
	"bytes"
	"encoding/binary"
	"strconv"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

const (
	// holdReply is the longest reply that is held to be read whole; of longer
	// errors only so much is looked at.
	holdReply = 32 << 10
	// maxReply is the longest message taken from a server.
	maxReply = 1<<31 - 1
)

var (
	readyIdle         = wire.AppendReadyForQuery(nil, 'I')
	fakeParseComplete = []byte{'1', 0, 0, 0, 4}
	fakeCloseComplete = []byte{'3', 0, 0, 0, 4}
)

// ServerData takes bytes from the session's database connection and returns
// how many it has used. It stops when it has released the connection: what is
// left belongs to the next borrower.
func (s *Session) ServerData(p []byte) int {
	used := 0
	for {
		srv := s.srv
		if srv == nil || s.state == closed {
			return used
		}
		if s.state == relaying {
			s.host.ToClient(p[used:])
			return len(p)
		}
		rest := p[used:]
		if srv.body.left > 0 {
			if len(rest) == 0 {
				return used
			}
			to := srv.body.to
			n := srv.body.take(len(rest))
			if to == bodyForward {
				s.toClient(rest[:n])
			}
			used += n
			if srv.body.left == 0 {
				s.advance()
			}
			continue
		}
		if len(rest) < headerSize {
			return used
		}
		n := s.serverMessage(rest)
		if s.blocked && (srv.owed.gone != s.blockedAt || srv.copyIn) {
			s.unthrottle()
		}
		if n == 0 {
			return used
		}
		used += n
	}
}

// toClient sends what the server said, if there still is somebody to hear it.
func (s *Session) toClient(p []byte) {
	if s.state == active {
		s.host.ToClient(p)
	}
}

// serverMessage handles the message that p begins with and returns how many
// bytes it used; 0 if more of it must come first, or the session has ended.
func (s *Session) serverMessage(p []byte) int {
	typ := p[0]
	length := binary.BigEndian.Uint32(p[1:])
	if length < 4 || length > maxReply {
		s.serverFault("message of type " + strconv.Quote(string(typ)) + " with a bad length")
		return 0
	}
	total := int(length) + 1
	head := s.srv.owed.front()
	switch typ {
	case 'D', 'd':
		if head == nil || head.kind != entryQuery && head.kind != entryExecute {
			return s.unexpected(typ)
		}
		return s.stream(p, total, head.act)
	case 'N':
		act := forward
		if s.state != active {
			act = skip
		}
		return s.stream(p, total, act)
	}
	if total > holdReply && typ != 'E' && typ != 'T' && typ != 't' && typ != 'V' {
		s.serverFault("message of type " + strconv.Quote(string(typ)) + " too long")
		return 0
	}
	if len(p) < min(total, holdReply) && typ != 'T' && typ != 't' && typ != 'V' {
		return 0
	}
	msg := p[:min(len(p), total)]
	switch typ {
	case 'E':
		return s.serverError(p, total)
	case 'S':
		return s.serverParameter(msg)
	case 'A':
		s.notification(msg)
		return len(msg)
	}
	if head == nil {
		if typ == 'Z' && s.srv.stray > 0 {
			return s.strayReady(msg)
		}
		return s.unexpected(typ)
	}
	return s.reply(p, typ, total, head)
}

// reply handles a message that answers the request at the head.
func (s *Session) reply(p []byte, typ byte, total int, head *entry) int {
	srv := s.srv
	kind, act := head.kind, head.act
	ends := false
	switch {
	case typ == 'Z' && (kind == entrySync || head.begun || head.failed):
		return s.serverReady(p[:total], head)
	case typ == 'Z' && srv.stray > 0:
		return s.strayReady(p[:total])
	case typ == 'C' && (kind == entryQuery || kind == entryExecute):
		srv.copyIn, srv.lostSyncs = false, 0
		head.done = true
		s.completed(p[headerSize:total], head)
		ends = kind == entryExecute
	case typ == 'T' && kind == entryQuery, typ == 't' && kind == entryDescribeStatement:
	case (typ == 'T' || typ == 'n') && (kind == entryDescribeStatement || kind == entryDescribePortal),
		typ == '1' && kind == entryParse,
		typ == '2' && kind == entryBind,
		typ == '3' && kind == entryClose,
		typ == 's' && kind == entryExecute:
		ends = true
	case typ == 'I' && (kind == entryQuery || kind == entryExecute):
		ends = kind == entryExecute
	case typ == 'G' && (kind == entryQuery || kind == entryExecute) && act == forward:
		if s.state == leaving {
			s.abandon() // nobody will send the data
			return 0
		}
		if !srv.copyStarts() {
			s.protocolError(notInCopy)
			return 0
		}
	case (typ == 'H' || typ == 'c') && (kind == entryQuery || kind == entryExecute):
	case typ == 'V' && kind == entryFunctionCall:
	default:
		return s.unexpected(typ)
	}
	head = srv.owed.front() // copyStarts moves it
	head.begun = true
	n := s.stream(p, total, act)
	if ends {
		s.succeeded(head)
		srv.owed.pop()
		s.advance()
	}
	return n
}

// stream passes the message on, or swallows it, as far as it is there.
func (s *Session) stream(p []byte, total int, act action) int {
	to := bodyForward
	if act == skip {
		to = bodyDrop
	}
	if len(p) < total {
		s.srv.body = body{left: uint32(total - len(p)), to: to}
		total = len(p)
	}
	if act == forward {
		s.toClient(p[:total])
	}
	return total
}

// advance answers the requests at the head that the server does not answer,
// now that their turn has come; but not within a message that is passing.
func (s *Session) advance() {
	if s.srv.body.left > 0 {
		return
	}
	owed := &s.srv.owed
	for {
		e := owed.front()
		switch {
		case e == nil:
		case e.kind == entryCopyEnd:
			owed.pop()
			continue
		case e.act == fake:
			if e.kind == entryParse {
				s.toClient(fakeParseComplete)
			} else {
				s.toClient(fakeCloseComplete)
			}
			owed.pop()
			continue
		}
		break
	}
	if s.throttled && owed.n < owedLow {
		s.unthrottle()
	}
}

// succeeded completes what an answered request of the extended protocol began.
func (s *Session) succeeded(e *entry) {
	if e.op == opForgetAll && !e.confirmed {
		s.undo(e)
	}
	if e.kind == entryExecute {
		s.srv.executed++
		s.srv.ranBehind = s.srv.ranBehind || s.srv.ran&endEffects != 0
		s.srv.ran |= e.control
		s.srv.releases = e.releases
	}
}

// completed reads a CommandComplete's tag: it tells what SQL did to prepared
// statements and to definitions, however it was worded.
func (s *Session) completed(tag []byte, head *entry) {
	srv := s.srv
	tag = bytes.TrimSuffix(tag, nul)
	if len(tag) == 0 {
		return
	}
	switch tag[0] {
	case 'D':
		switch string(tag) {
		case "DISCARD ALL":
			srv.discardedAll()
			s.forgotAll(head)
			return
		case "DEALLOCATE ALL":
			s.forgotAll(head)
			return
		}
		if !bytes.HasPrefix(tag, []byte("DROP ")) {
			return
		}
	case 'R':
		switch string(tag) {
		case "RESET":
			srv.resetRan(head)
		case "ROLLBACK":
			srv.reset.undone = true
		}
		return
	case 'C':
		if string(tag) == "COMMIT" {
			srv.reset.keep()
		}
		if !bytes.HasPrefix(tag, []byte("CREATE ")) {
			return
		}
	case 'A':
		if !bytes.HasPrefix(tag, []byte("ALTER ")) {
			return
		}
	default:
		return
	}
	srv.changedCatalog = true
}

// forgotAll notes that every prepared statement is gone.
func (s *Session) forgotAll(head *entry) {
	if head.op == opForgetAll {
		head.confirmed = true
		return
	}
	// It was not seen coming (from within a procedure, say), so what was sent
	// since may rely on statements that are no more.
	s.rename(nil)
	s.srv.prepared.clear()
	s.srv.doubt = s.srv.owed.n > 1
}

// serverReady handles ReadyForQuery.
func (s *Session) serverReady(msg []byte, head *entry) int {
	srv := s.srv
	if len(msg) != headerSize+1 {
		return s.unexpected('Z')
	}
	tx := msg[headerSize]
	if tx != 'I' && tx != 'T' && tx != 'E' {
		return s.unexpected('Z')
	}
	e := *head
	srv.owed.pop()
	alone := srv.tx == 'I' && tx == 'I'
	srv.tx = tx
	srv.copyIn = false
	srv.lostSyncs = 0
	if tx == 'I' && srv.owed.gone >= s.localSince {
		s.local, s.localSince = 0, 0
	}
	if tx == 'I' && srv.changedCatalog {
		srv.changedCatalog = false
		s.shared.catalog.Add(1)
	}
	srv.resetEnds(tx)
	if e.op == opForgetAll && !e.failed && !e.confirmed {
		s.undo(&e)
	}
	if e.kind == entryQuery && !e.failed {
		srv.releases = e.releases
		srv.executed = 1
	}
	if e.act == forward {
		s.toClient(msg)
	}
	// A request counts only if it was a transaction of its own: what is undone
	// with its transaction has released nothing.
	if alone && srv.executed == 1 && srv.releases != 0 {
		// What was sent since may have set up anew what is gone.
		s.unpin(releasesOf(srv.releases) &^ srv.owed.pins())
	}
	srv.releases, srv.executed = 0, 0
	srv.ran, srv.ranBehind, srv.told = 0, false, false
	if e.act == forward {
		s.retries = 0
	}
	s.advance()
	switch {
	case e.op == opReplay:
		s.replayed(e.failed)
	case e.op == opReset:
		s.cleaned(e.failed)
	case e.op == opFail:
		s.blockFailed()
	case e.op == opProbe:
		srv.stray = 0
		s.settle()
	default:
		s.settle()
	}
	return len(msg)
}

// notification passes NotificationResponse on to a session that may have asked
// for it. If it has not, somebody's LISTEN went unnoticed.
func (s *Session) notification(msg []byte) {
	switch {
	case s.pins == 0:
		s.srv.doubt = true
	case s.state == active, s.state == replaying && !s.taking:
		s.host.ToClient(msg)
	}
}

// serverParameter handles ParameterStatus, which may come at any time.
func (s *Session) serverParameter(msg []byte) int {
	name, rest, ok := cstring(msg[headerSize:])
	if !ok {
		return s.unexpected('S')
	}
	value, _, ok := cstring(rest)
	if !ok {
		return s.unexpected('S')
	}
	s.srv.report(string(name), string(value))
	if s.state == active && s.welcomed {
		s.setView(s.srv.params)
		s.host.ToClient(msg)
	}
	return len(msg)
}

// IdleData takes bytes from a database connection that nobody has borrowed. ok
// is false if the connection must not be used any more: it said goodbye, or
// something that nobody asked for, such as a notification.
func (srv *Server) IdleData(p []byte) (used int, ok bool) {
	for {
		rest := p[used:]
		if srv.body.left > 0 {
			if len(rest) == 0 {
				return used, true
			}
			used += srv.body.take(len(rest))
			continue
		}
		if len(rest) < headerSize {
			return used, true
		}
		length := binary.BigEndian.Uint32(rest[1:])
		if length < 4 || length > holdReply {
			return used, false
		}
		total := int(length) + 1
		switch rest[0] {
		case 'N':
			n := min(len(rest), total)
			srv.body = body{left: uint32(total - n), to: bodyDrop}
			used += n
		case 'S':
			if len(rest) < total {
				return used, true
			}
			name, value, ok := cstring(rest[headerSize:total])
			if ok {
				value, _, ok = cstring(value)
			}
			if !ok {
				return used, false
			}
			srv.report(string(name), string(value))
			used += total
		default:
			return used, false
		}
	}
}
