// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"bytes"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/session"
	"github.com/rdsproxy/rdsproxy/pkg/sqlscan/myscan"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// In a switchover the old writer becomes read-only first. What it then refuses for that
// reason it has not done: a write that is no part of a transaction is held back and
// sent to the new writer, so that its client sees nothing but latency. A transaction
// cannot go on there; it is rolled back, and its client told to try it again.

const (
	// holdWrite is the longest write that is kept, to send it again.
	holdWrite = 4 << 10
	// maxRefusals bounds how often one is sent again, and refusalPause is the time before
	// the first, which doubles each time: 1.5 s in all. In it whoever watches the
	// database finds that it is the writer no more, and waiting begins in the queue for
	// connections; or that it is, and then the client is told what the server says.
	maxRefusals  = 6
	refusalPause = 25 * time.Millisecond
)

// keepWrite keeps the command at hand if it is such a write, or a BEGIN. It is called
// before the command is changed or sent.
func (s *Session) keepWrite(c *command, x *exchange, res *myscan.Result) {
	srv := s.srv
	if !c.whole() || c.size > holdWrite || s.pins != 0 || x.mayLoad || x.renamed != nil ||
		srv.inTransaction() || srv.unsure || srv.idChanged || srv.askVariables || srv.askAll {
		return
	}
	x.begins = res.First == myscan.CommandBegin && x.outcome == outcomeNothing
	if x.begins || s.resends && (x.outcome == outcomeUndone || res.Statements == 1 && res.Effects == myscan.EffectDefinition) {
		srv.write, x.kept = append(srv.write[:0], c.p...), true
	}
}

// refusedWrite handles the refusal of the command under way by a server that is
// read-only. It gives false if the client is to be told what the server says.
func (s *Session) refusedWrite(code uint16, msg []byte) bool {
	x := &s.srv.x
	if !s.resends || x.why != forClient || x.sent || x.results > 0 || s.state != active || s.srv.cancels > 0 ||
		code == wire.CodeOptionPrevents && !namesReadOnly(msg) {
		return false
	}
	switch {
	case s.srv.inTransaction():
		if x.outcome != outcomeUndone && !x.commits || msg[3]+x.shift != 1 {
			return false
		}
		s.breakOff()
	case x.kept && s.pins == 0 && !s.draining && s.refusals < maxRefusals:
		s.held, s.srv.write = s.srv.write, nil
		s.host.Note(session.EventWriteHeld, "")
		s.suspend(refusalPause << s.refusals)
		s.refusals++
	default:
		return false
	}
	return true
}

// beginsAgain takes a BEGIN to another connection, because the one before has ended: it
// changes nothing, and what it may have begun is lost. release tells that the host has
// the connection still. It gives false if there is no such BEGIN.
func (s *Session) beginsAgain(release bool) bool {
	x := &s.srv.x
	if !x.kept || !x.begins || s.srv.idle() || x.why != forClient || x.sent || s.pins != 0 || s.srv.cancels > 0 ||
		s.draining || s.retries == maxRetries {
		return false
	}
	s.retries++
	s.held, s.srv.write = s.srv.write, nil
	s.detach(release)
	s.pause()
	s.sendHeld()
	return true
}

// breakOff ends the transaction, and tells the client after a pause: if it tries again
// at once, there shall be no way to the old writer any more. The error is the answer
// to a command that stands for the one under way.
func (s *Session) breakOff() {
	s.host.Note(session.EventServerLost, "it is read-only")
	s.failure = verdict(outcomeUndone, true, s.lostPins())
	s.loseWarnings(&s.srv.x)
	s.held = wire.AppendCommand(nil, wire.ComPing, "")
	s.suspend(refusalPause)
}

// suspend throws the connection away, and lets the client wait.
func (s *Session) suspend(d time.Duration) {
	s.detach(true)
	s.state = suspended
	s.pause()
	s.host.SetTimer(d)
}

// endSuspense goes on behind the pause.
func (s *Session) endSuspense() {
	s.state = idle
	s.sendHeld()
}

// namesReadOnly tells whether the option that prevents a statement is one that makes a
// server read-only: read_only, super_read_only, innodb_read_only.
func namesReadOnly(msg []byte) bool {
	return bytes.Contains(msg, []byte("read-only")) || bytes.Contains(msg, []byte("read_only"))
}

// sendHeld goes on with the command that was held back, in place of the client.
func (s *Session) sendHeld() {
	for s.held != nil && s.state != closed && s.state != leaving && !s.busy() {
		held := s.held
		s.held, s.atHand = nil, false // or the session is busy with it
		size, _ := wire.ParseHeader(held)
		n, _ := s.clientCommand(held[:wire.HeaderLen+size])
		if n > 0 {
			if s.state == idle {
				s.resume()
			}
			return
		}
		s.held = held
		s.pause()
		if s.failure == nil {
			return // it comes again with the next step
		}
	}
}
