// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"strconv"

	"github.com/rdsproxy/rdsproxy/pkg/session"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// holdReply is the longest packet that is held to be read whole: OK, ERR and the
// like. Definitions and rows stream through.
const holdReply = 1 << 20

// ServerData takes bytes from the session's database connection and returns how
// many it has used. It stops when it has released the connection: what is left
// would be the next borrower's, if it were not unasked for.
func (s *Session) ServerData(p []byte) int {
	used := 0
	for {
		srv := s.srv
		rest := p[used:]
		if srv == nil || s.state == closed || len(rest) == 0 {
			return used
		}
		var n int
		switch srv.x.stage {
		case stageNone, stageFile:
			n = s.unasked(rest)
		case stageFirst:
			n = s.serverFirst(rest)
		case stageRows:
			n = s.serverRows(rest)
		default:
			n = s.serverDefinitions(rest)
		}
		if n == 0 {
			return used
		}
		used += n
	}
}

// toClient sends a part of the reply, if it is the client's and somebody is there
// to hear it.
func (s *Session) toClient(p []byte) {
	x := &s.srv.x
	if x.why == forClient && s.state == active {
		x.sent = true
		s.host.ToClient(p)
	}
}

// heard tells whether the reply goes to the client.
func (s *Session) heard() bool { return s.srv.x.why == forClient && s.state == active }

// packet gives the packet that p begins with, header included. It is nil if more
// of it has to come first, or if the session has ended over it.
func (s *Session) packet(p []byte, want byte) []byte {
	if len(p) < wire.HeaderLen {
		return nil
	}
	size, seq := wire.ParseHeader(p)
	if size == 0 || size > holdReply {
		s.serverFault("a packet of a length that does not belong there")
		return nil
	}
	if len(p) < wire.HeaderLen+size {
		return nil
	}
	p = p[:wire.HeaderLen+size]
	if seq != want {
		s.outOfOrder(p)
		return nil
	}
	return p
}

// serverFirst handles the packet that a reply, or one result of it, begins with.
func (s *Session) serverFirst(p []byte) int {
	srv := s.srv
	x := &srv.x
	if s.body.open() && s.body.to != toNowhere {
		// Nothing can be answered that has not been said yet, but by last words.
		return s.unasked(p)
	}
	msg := s.packet(p, x.seq)
	if msg == nil {
		return 0
	}
	x.seq++
	payload := msg[wire.HeaderLen:]
	if x.shape == shapeText && payload[0] != wire.HeadErr {
		s.forward(msg)
		s.completed()
		return len(msg)
	}
	if x.shape == shapePrepare && payload[0] == wire.HeadOK {
		return s.serverPrepared(msg)
	}
	switch wire.ReplyOf(payload) {
	case wire.ReplyError:
		s.serverError(msg)
	case wire.ReplyOK:
		s.serverOK(msg)
	case wire.ReplyLocalInfile:
		return s.serverWantsFile(msg)
	case wire.ReplyColumns:
		return s.serverColumns(msg)
	default:
		if x.shape != shapeOK || payload[0] != wire.HeadEOF {
			return s.unexpected()
		}
		s.serverOK(msg)
	}
	return len(msg)
}

// forward sends a packet of the reply to the client as it is, but for the sequence
// id.
func (s *Session) forward(msg []byte) {
	if s.heard() {
		msg[3] += s.srv.x.shift
		s.toClient(msg)
	}
}

// serverOK handles an OK packet at the place of a result, or that which ends the
// reply to COM_SET_OPTION.
func (s *Session) serverOK(msg []byte) {
	srv := s.srv
	x := &srv.x
	payload := msg[wire.HeaderLen:]
	ok, good := wire.ParseOK(payload, srv.caps)
	if !good {
		ok, good = wire.ParseEOF(payload)
	}
	if !good || x.shape == shapePrepare || x.shape == shapeText {
		s.unexpected()
		return
	}
	kept, otherWarnings := s.tellsKept(x, &ok)
	if !s.note(ok) {
		return
	}
	eof := payload[0] == wire.HeadEOF
	if s.heard() && (ok.Track != nil || eof || otherWarnings) {
		// The bytes of the packet may be where the block of session tracking
		// is; they are still needed.
		told := ok
		told.Warnings += kept
		s.sendOK(msg[3], told, eof)
	} else {
		s.forward(msg)
	}
	x.affected = int64(ok.AffectedRows)
	if ok.InsertID != 0 {
		srv.idChanged = true
		srv.idSame = srv.idSame || ok.InsertID == srv.lastID
	}
	s.resultEnds(ok)
}

// sendOK sends the client an OK packet made anew for it.
func (s *Session) sendOK(seq byte, ok wire.OK, eof bool) {
	x := &s.srv.x
	ok.Track = s.tracksForClient(ok.Track)
	seq += x.shift
	if eof {
		s.srv.scratch = wire.AppendResultEnd(s.srv.scratch[:0], seq, s.caps, ok)
	} else {
		s.srv.scratch = wire.AppendOK(s.srv.scratch[:0], seq, s.caps, ok)
	}
	s.toClient(s.srv.scratch)
}

// note takes to the books what the end of a result says. It gives false if that
// cannot be understood; the session has ended then.
func (s *Session) note(ok wire.OK) bool {
	srv := s.srv
	x := &srv.x
	srv.status, srv.unsure = ok.Status, false
	x.warnings, x.warned = x.warnings || ok.Warnings > 0, ok.Warnings
	if !s.serverTracks(ok.Track) {
		x.seq--
		s.serverFault("session tracking that cannot be understood")
		return false
	}
	return true
}

// resultEnds is called when the end of a result has been passed on.
func (s *Session) resultEnds(ok wire.OK) {
	x := &s.srv.x
	x.results++
	if ok.Status.Has(wire.StatusMoreResults) && x.shape == shapeResult {
		x.stage = stageFirst
		return
	}
	s.completed()
}

// serverError handles an ERR packet in its place, which ends the reply.
func (s *Session) serverError(msg []byte) {
	srv := s.srv
	x := &srv.x
	code, ok := wire.ErrorCode(msg[wire.HeaderLen:])
	if !ok {
		s.unexpected()
		return
	}
	if readOnly(code) {
		s.host.Note(session.EventReadOnly, strconv.Itoa(int(code)))
		if s.refusedWrite(code, msg) {
			return
		}
	}
	x.failed, x.code = true, code
	if x.why == forClient {
		s.failed = failed{code: code}
		copy(s.failed.state[:], wire.ErrorState(msg[wire.HeaderLen:]))
		x.affected = -1
		srv.status &^= wire.StatusMoreResults
		srv.unsure = srv.unsure || x.shape == shapeResult
	}
	if lastWords(code) {
		s.lost(msg)
		return
	}
	if x.why != forClient && s.failure == nil {
		s.failure, _ = wire.ParseError(msg[wire.HeaderLen:])
	}
	if code == wire.CodeNoDB && s.lostSchema != "" && s.heard() {
		msg = wire.AppendError(nil, msg[3], s.caps, unknownDatabase(s.lostSchema))
	}
	if x.renamed != nil {
		s.renamedError(msg)
	} else {
		s.forward(msg)
	}
	s.completed()
}

// completed is called when the reply is complete.
func (s *Session) completed() {
	srv := s.srv
	x := srv.x
	srv.x.stage = stageNone
	if x.failed || x.warnings {
		srv.emptyList, srv.ownList = false, false
	}
	if x.why != forClient {
		s.done(&x)
		return
	}
	if s.state == active {
		s.concluded(&x)
	} else if x.command == wire.ComResetConnection || x.command == wire.ComSetOption {
		srv.doubt = true // nobody has set it up again, or noted what it allows now
	}
	s.settle()
}

// done goes on after a command of the proxy's own.
func (s *Session) done(x *exchange) {
	failure := s.failure
	s.failure = nil
	srv := s.srv
	if s.state == leaving {
		s.cleaned(x)
		return
	}
	switch x.why {
	case forSettings, forSchema, forCollation:
		s.settingDone(x, failure)
	case forPrepare:
		if x.failed && x.code != wire.CodeQueryInterrupted {
			// Not if a query of the client's was to be killed: then it is told so below,
			// or that was late, and the statement is prepared again.
			s.notPrepared(x, failure)
			return
		}
		s.retry()
	case forLastID:
		s.gotLastID(x)
	case forWarnings:
		s.gotWarnings(x)
	case forFoundRows:
		s.gotFoundRows(x)
	case forVariables, forAll:
		s.gotVariables(x)
	case forClientTrackers, forOwnTrackers:
		s.trackersSet(x, failure)
	case forOption:
		srv.multi = s.multi
		s.settingDone(x, failure)
	case forSetLastID, forDiagnostics:
		if x.failed {
			srv.doubt = true
			s.fail(failure)
			return
		}
		s.preparedValue(x)
		s.retry()
	case forDatabase:
		s.gotDatabase(x)
	case forReset, forSetUp:
		s.resetStep(x)
	}
}

// retry lets the client's command at hand come again.
func (s *Session) retry() {
	if s.cancelled {
		s.cancelled = false
		s.fail(interrupted)
		return
	}
	s.resume()
}
