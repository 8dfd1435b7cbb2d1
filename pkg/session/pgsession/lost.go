// SPDX-License-Identifier: Apache-2.0

package pgsession

import (
	"bytes"

	"github.com/rdsproxy/rdsproxy/pkg/session"
	"github.com/rdsproxy/rdsproxy/pkg/sqlscan"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// A client keeps its connection when the database's ends, as far as it can be told
// what has become of its requests. It is told the truth: that everything was undone,
// by the SQLSTATE that drivers and frameworks answer with another try (40001), or
// that nobody knows (40003). Where it was in a transaction block it is in a failed
// one then, as after any other error.

const (
	// maxRetries bounds how often what can be done on any connection is taken to
	// another one because the one before has ended.
	maxRetries = 5
	// holdBegin is the longest BEGIN that is kept, to send it again.
	holdBegin = 256
)

// outcome is what may have become of what was under way.
type outcome uint8

const (
	outcomeNothing outcome = iota // it changes nothing
	outcomeUndone                 // it was rolled back
	outcomeUnknown                // it may have been carried out
)

// rebuilt are pins whose state a new connection has again: that of the start-up, and
// what follows from it.
const rebuilt = session.PinStartupParameter | session.PinClientEncoding

// forgettable are pins whose loss shows by itself: the server knows no such statement
// or cursor, and no current value of a sequence.
const forgettable = session.PinPrepare | session.PinHoldCursor | session.PinSequence | session.PinUnnamedStatement |
	session.PinLargeStatement

// lose goes on after the database connection has ended. With why, the server has said
// so itself, and the host has the connection still.
func (s *Session) lose(why *wire.Error) {
	if s.state == leaving || s.state == closed || s.state == relaying {
		if why == nil {
			s.srv = nil
		}
		s.abandon()
		return
	}
	detail := "connection closed"
	if why != nil {
		detail = why.Code
	}
	s.host.Note(session.EventServerLost, detail)
	switch {
	case s.state == replaying && (s.taking || !s.welcomed):
		s.detach(why != nil)
		s.again(why)
	case s.midMessage() || s.srv.stray > 0:
		// It is not possible to say anything, or not known what the client waits for.
		if why == nil {
			s.srv = nil
		}
		s.abandon()
	default:
		s.survive(why)
	}
}

// again looks for another connection for what is at hand.
func (s *Session) again(why *wire.Error) {
	if s.retries++; s.retries > maxRetries {
		s.retries = 0
		if !s.welcomed && why != nil {
			s.terminate(wire.Fatal(why.Code, why.Message))
			return
		}
		s.fail(connectionLostError)
		return
	}
	if s.welcomed && s.held == nil {
		s.host.ResumeClient() // its request comes again
		return
	}
	s.acquireAgain()
}

// acquireAgain takes another connection. The client may have been paused for what was
// done on the one before.
func (s *Session) acquireAgain() {
	if s.acquire() {
		s.host.ResumeClient()
	}
}

// survive tells the client what has become of its requests, and goes on without the
// connection.
func (s *Session) survive(why *wire.Error) {
	srv := s.srv
	lost := s.pins &^ (rebuilt | forgettable)
	if e := srv.owed.front(); e != nil && e.again && !e.begun && srv.owed.n == 1 && lost == 0 && s.retries < maxRetries {
		held := bytes.Clone(srv.begin)
		s.retries++
		s.detach(why != nil)
		s.held = held
		s.acquireAgain()
		return
	}
	paused := s.state == replaying || s.throttled || s.blocked || s.awaitsCancel
	if s.body.left > 0 && s.body.to != bodyDrop {
		s.body.to, s.scanner = bodyDrop, nil
	}
	l := lostRequests{s: s, open: srv.tx != 'I', told: srv.told}
	l.err = verdict(l.judge(why), why, lost)
	if lost&session.PinListen != 0 {
		s.endListener(l.err, why)
		return
	}
	l.answer()
	for i := srv.owed.n - 1; i >= 0 && !l.granted; i-- {
		if srv.owed.at(i).act != skip {
			s.undo(srv.owed.at(i))
			s.undoUnnamed(i, srv.owed.n, i > 0)
		}
	}
	l.pending(lost)
	s.lostTx = l.open
	s.detach(why != nil)
	if l.reply != nil {
		s.host.ToClient(l.reply)
	}
	if s.draining && s.atRest() {
		s.terminate(drainError)
		return
	}
	if paused {
		s.host.ResumeClient()
	}
}

// endListener ends a session that waits for notifications: it may never send anything
// again, so nothing but the end of its connection can tell it that none will come.
func (s *Session) endListener(e, why *wire.Error) {
	fatal := *e
	fatal.Severity = wire.SeverityFatal
	if why != nil {
		fatal.Code = why.Code
	} else {
		s.srv = nil
	}
	s.host.ToClient(wire.AppendErrorResponse(nil, &fatal))
	s.abandon()
}

// detach gives up the connection, and what the client had there. release tells that
// the host has it still.
func (s *Session) detach(release bool) {
	for pr := s.srv.prepared.oldest; pr != nil; pr = pr.newer {
		if pr.only {
			for name, st := range s.statements {
				if st == pr.stmt {
					s.forgetName(name)
				}
			}
		}
	}
	if s.pins&session.PinUnnamedStatement != 0 {
		s.unnamed.alive = false
	}
	s.srv, s.state = nil, idle
	s.taking, s.cancelled, s.throttled, s.blocked, s.awaitsCancel = false, false, false, false, false
	s.scope, s.local, s.localSince = 0, 0, 0
	s.boundReleases, s.boundForgets, s.boundControl, s.portalControl, s.sqlPrepared = 0, "", 0, 0, 0
	s.host.SetTimer(0)
	if release {
		s.host.Release(false)
	}
	s.unpin(s.pins &^ rebuilt)
}

// lostRequests are the requests whose replies do not come any more.
type lostRequests struct {
	s     *Session
	err   *wire.Error
	reply []byte
	// open: by what the client knows it is in a transaction block.
	open bool
	// told: the batch at hand has got its error.
	told bool
	// answered: a request was answered by the error. harmless: nothing has happened that
	// the client would have to be told of. granted: what it asked for, that the
	// transaction is rolled back, has happened.
	answered, harmless, granted bool
}

// answer makes the replies. What the server has answered of the oldest batch, and of
// a batch whose Sync is still to come, is not repeated.
func (l *lostRequests) answer() {
	srv := l.s.srv
	control := srv.ran
	for i := range srv.owed.n {
		e := srv.owed.at(i)
		if e.act == skip || e.kind == entryCopyEnd {
			continue
		}
		control |= e.control
		if l.granted {
			l.grant(e)
			continue
		}
		switch e.kind {
		case entrySync, entryQuery, entryFunctionCall:
			if !l.told && !e.failed && (e.kind != entrySync || !l.harmless) {
				l.tell()
			}
			l.follow(control)
			l.reply = wire.AppendReadyForQuery(l.reply, l.status())
			l.told, control = false, 0
		default:
			if !l.told {
				l.tell()
			}
		}
	}
	l.follow(control)
	if l.granted {
		l.s.closing = srv.unsynced // its Sync needs no server
		return
	}
	if srv.unsynced {
		if !l.told && !l.harmless {
			l.tell()
		}
		l.s.skipToSync = l.s.skipToSync || l.told
	}
}

func (l *lostRequests) tell() {
	l.reply = wire.AppendErrorResponse(l.reply, l.err)
	l.told, l.answered = true, true
}

// follow notes what a batch does to the transaction block.
func (l *lostRequests) follow(control sqlscan.Effects) {
	switch {
	case control&(effectBegins|effectObscure) != 0:
		l.open = true
	case control&(effectCommits|effectRollsBack) != 0:
		l.open = false
	}
}

func (l *lostRequests) status() byte {
	if l.open {
		return 'E'
	}
	return 'I'
}

// pending leaves the error for the client's next request if it has asked for nothing
// but has lost something all the same.
func (l *lostRequests) pending(lost session.Pins) {
	srv := l.s.srv
	failed := srv.told || !srv.owed.empty() && srv.owed.front().failed // it knows that its block has
	if l.answered || lost == 0 && (failed || !l.open || srv.tx != 'T') {
		return
	}
	l.s.lostState = lost != 0
	l.s.failure = wire.AppendErrorResponse(nil, l.err)
}
