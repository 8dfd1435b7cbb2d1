// SPDX-License-Identifier: Apache-2.0

package pgsession

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/rdsproxy/rdsproxy/pkg/session"
	"github.com/rdsproxy/rdsproxy/pkg/sqlscan"
)

const (
	headerSize = 5
	// Limits on the length field, those of PostgreSQL itself
	// (PQ_SMALL_MESSAGE_LIMIT and PQ_LARGE_MESSAGE_LIMIT).
	smallMessage = 10_000
	largeMessage = 1<<30 - 2
	// What becomes of a message depends on its length alone, never on how much
	// of it has come.

	// holdQuery is the longest message that waits to be complete before its
	// SQL is looked at; a longer one is read as it streams by.
	holdQuery = 16 << 10
	// holdParse is the longest Parse that is kept for preparing the statement
	// on other connections. A longer one pins.
	holdParse = 256 << 10
	// holdNames is the most that the names at the head of a Parse or Bind may
	// take, with their final NULs.
	holdNames = 128 << 10
	// owedHigh and owedLow bound the ledger: a client that pipelines without
	// end is not read while the server owes so much.
	owedHigh = 4096
	owedLow  = 1024
)

// ClientData takes bytes from the client and returns how many it has used. The
// rest must be given again, with what follows it: the start of a message that
// is not complete enough, or a message that waits for a connection.
func (s *Session) ClientData(p []byte) int {
	used := 0
	for {
		switch s.state {
		case waiting, replaying, leaving, closed:
			return used
		case relaying:
			s.host.ToServer(p[used:])
			return len(p)
		}
		if s.throttled || s.blocked || s.awaitsCancel {
			return used
		}
		rest := p[used:]
		if s.body.left > 0 {
			if len(rest) == 0 {
				return used
			}
			used += s.clientBody(rest)
			continue
		}
		if len(rest) < headerSize {
			return used
		}
		n, ok := s.clientMessage(rest)
		used += n
		if !ok {
			return used
		}
	}
}

// clientBody passes on a part of the message that streams by.
func (s *Session) clientBody(p []byte) int {
	to := s.body.to
	n := s.body.take(len(p))
	switch to {
	case bodyForward:
		s.host.ToServer(p[:n])
	case bodyScan:
		s.host.ToServer(p[:n])
		s.scanner.write(p[:n])
		if s.body.left == 0 {
			s.scanned()
		}
	case bodyDrop:
	case bodyAnswer:
		if s.body.left == 0 {
			s.answerFailure(true)
		}
	}
	if s.body.left > 0 {
		return n
	}
	// Perhaps everything else was waiting for the end of this message.
	s.settle()
	if s.draining && s.Idle() {
		s.terminate(drainError)
	}
	return n
}

// clientMessage handles the message that p begins with. It returns how many
// bytes it used, and false if nothing can be done with what is left.
func (s *Session) clientMessage(p []byte) (int, bool) {
	typ := p[0]
	length := binary.BigEndian.Uint32(p[1:])
	limit := uint32(smallMessage)
	switch typ {
	case 'Q', 'P', 'B', 'F', 'd':
		limit = largeMessage
	case 'E', 'D', 'C', 'S', 'H', 'c', 'f', 'X':
	default:
		s.protocolError("invalid frontend message type " + strconv.Itoa(int(typ)))
		return 0, false
	}
	if length < 4 || length > limit {
		s.protocolError("invalid message length")
		return 0, false
	}
	if length > 4 && (typ == 'S' || typ == 'H') {
		// The server's error for these is not in the ledger.
		s.protocolError("invalid message format")
		return 0, false
	}
	total := int(length) + 1
	if typ == 'X' {
		return s.clientTerminate(min(total, len(p)))
	}
	if s.skipToSync && typ != 'S' {
		return s.drop(p, total), true
	}
	if s.failure != nil && s.srv == nil && !s.skipToSync {
		if n, ok := s.failRequest(p, typ, total); n > 0 || ok {
			return n, ok
		}
		if s.failure != nil {
			return 0, false
		}
	}
	if s.srv != nil && s.srv.owed.n >= owedHigh {
		// The server may keep the replies until it is told to send them.
		s.host.ToServer(flushMessage)
		s.throttle()
		return 0, false
	}
	if s.srv != nil && s.srv.copyIn {
		return s.clientInCopy(p, typ, total)
	}
	if s.awaitsReset(typ) {
		return s.block()
	}
	switch typ {
	case 'Q':
		return s.clientQuery(p, total)
	case 'P':
		return s.clientParse(p, total)
	case 'B':
		return s.clientBind(p, total)
	case 'D', 'C':
		return s.clientDescribeOrClose(p, typ, total)
	case 'E':
		return s.clientExecute(p, total)
	case 'S':
		return s.clientSync(p, total)
	case 'F':
		return s.clientFunctionCall(p, total)
	case 'H':
		if s.srv == nil {
			return s.drop(p, total), true
		}
		return s.pass(p, total), true
	default: // 'd', 'c', 'f'
		return s.clientCopy(p, typ, total)
	}
}

// awaitsReset tells whether a new request has to wait for a RESET ALL or DISCARD
// ALL that is under way: what the session asked for at start-up must be put back
// before the request runs. Within one batch that cannot be done.
func (s *Session) awaitsReset(typ byte) bool {
	srv := s.srv
	return srv != nil && srv.reset.may && s.settings != nil && !srv.unsynced && !srv.owed.empty() &&
		s.pins&session.PinStartupParameter == 0 && strings.IndexByte("QPBDECF", typ) >= 0
}

// pass forwards the message, as far as it is there.
func (s *Session) pass(p []byte, total int) int {
	if len(p) < total {
		s.body = body{left: uint32(total - len(p)), to: bodyForward}
		total = len(p)
	}
	s.host.ToServer(p[:total])
	return total
}

// drop swallows the message.
func (s *Session) drop(p []byte, total int) int {
	if len(p) < total {
		s.body = body{left: uint32(total - len(p)), to: bodyDrop}
		return len(p)
	}
	return total
}

// owe notes a request of the extended protocol.
func (s *Session) owe(kind entryKind, act action) *entry {
	s.srv.unsynced = true
	return s.srv.owed.push(kind, act)
}

// oweReady notes a request that the server ends with ReadyForQuery.
func (s *Session) oweReady(kind entryKind, act action) *entry {
	s.srv.unsynced = false
	if act == forward && kind != entrySync {
		s.work.Simple++
	}
	e := s.srv.owed.push(kind, act)
	s.srv.ended = s.srv.owed.newest()
	return e
}

func (s *Session) clientExecute(p []byte, total int) (int, bool) {
	if len(p) < total || !s.acquire() {
		return 0, false
	}
	unnamed := total > headerSize && p[headerSize] == 0
	if unnamed && s.forgetsUncertain(s.boundReleases) {
		return s.block()
	}
	e := s.owe(entryExecute, forward)
	s.work.Extended++
	control := s.boundControl
	if s.boundReleases != 0 && unnamed {
		s.queryEffects(e, s.boundReleases, false)
	}
	if s.boundForgets != "" && unnamed {
		s.deallocates(e, s.boundForgets)
	}
	if !unnamed {
		control = s.portalControl
	}
	e.control = control
	s.host.ToServer(p[:total])
	return total, true
}

func (s *Session) clientSync(p []byte, total int) (int, bool) {
	if s.srv == nil && (s.skipToSync || s.closing || s.lostTx && s.state == idle) {
		// The proxy has answered the batch itself, and there is no connection to ask.
		s.skipToSync, s.closing = false, false
		s.host.ToClient(s.readyMessage())
		if s.draining {
			s.terminate(drainError)
		}
		return total, true
	}
	if !s.acquire() {
		return 0, false
	}
	s.skipToSync = false
	s.oweReady(entrySync, forward)
	s.host.ToServer(p[:total])
	return total, true
}

func (s *Session) clientQuery(p []byte, total int) (int, bool) {
	long := total > holdQuery
	if s.lostTx && s.state == idle {
		if n, ok := s.failedQuery(p, total); ok {
			return n, true
		}
	}
	if !long && len(p) < total || !s.acquire() {
		return 0, false
	}
	if long {
		s.oweQuery().control = unknownControl
		s.host.ToServer(p[:headerSize])
		s.scanBody(total - headerSize)
		return headerSize, true
	}
	text := bytes.TrimSuffix(p[headerSize:total], nul)
	res := s.scan(text)
	effects := effectsOf(text, res)
	if effects == 0 {
		s.oweQuery()
		s.host.ToServer(p[:total])
		return total, true
	}
	if st, name, ok := s.namedStatement(text, res); ok {
		if s.srv.uncertainName(name) || s.srv.uncertainStatement(st) || s.forgetsUncertain(st.text.Value().effects) {
			return s.block()
		}
		s.namedQuery(text, res, st, string(name))
		return total, true
	}
	if s.forgetsUncertain(effects) {
		return s.block()
	}
	s.freshSequences(effects)
	alone := s.srv.tx == 'I' && !s.srv.unsynced // else it may begin with what was executed before
	e := s.oweQuery()
	s.queryEffects(e, effects, res.TransactionControl)
	if res.First == sqlscan.CommandReset && effects&sqlscan.EffectSet != 0 {
		if name := s.startupReset(text); name != "" {
			s.srv.resetsOne(e, name)
		}
	}
	if e.control == effectBegins && alone && total <= holdBegin {
		s.holdBegin(e, p[:total])
	}
	s.host.ToServer(p[:total])
	return total, true
}

// holdBegin keeps a BEGIN: whether the server has carried it out does not matter when
// the connection is lost.
func (s *Session) holdBegin(e *entry, p []byte) {
	e.again = true
	s.srv.begin = append(s.srv.begin[:0], p...)
}

// sendHeld sends such a BEGIN on another connection.
func (s *Session) sendHeld() {
	p := s.held
	s.held = nil
	e := s.oweQuery()
	e.control = effectBegins
	s.holdBegin(e, p)
	s.host.ToServer(p)
}

// oweQuery notes a simple query. It destroys the unnamed statement (protocol,
// "Simple Query").
func (s *Session) oweQuery() *entry {
	e := s.oweReady(entryQuery, forward)
	s.forgetUnnamed()
	s.srv.setUnnamed(0)
	return e
}

// textScan reads a text as it streams by, up to the NUL that ends it.
type textScan struct {
	sqlscan.Scanner
	ended bool
}

func (t *textScan) write(p []byte) {
	if t.ended {
		return
	}
	if i := bytes.IndexByte(p, 0); i >= 0 {
		p, t.ended = p[:i], true
	}
	t.Write(p)
}

// scanBody lets the next n bytes be read as a text while they are passed on.
func (s *Session) scanBody(n int) {
	s.scanner = new(textScan)
	s.resetScanner(&s.scanner.Scanner)
	s.body = body{left: uint32(n), to: bodyScan}
}

// scan reads one complete text.
func (s *Session) scan(text []byte) sqlscan.Result {
	sc := &s.srv.scanner
	s.resetScanner(sc)
	sc.Write(text)
	return sc.Result()
}

// resetScanner prepares a scanner for a text in the session's encoding.
func (s *Session) resetScanner(sc *sqlscan.Scanner) {
	sc.Reset(s.escapes)
	if s.unsafeEncoding {
		sc.AssumeUnsafeEncoding()
	}
}

// scanned is called at the end of a long Query or Parse that was read as it
// streamed by. Its entry is the newest one: nothing else was sent meanwhile.
func (s *Session) scanned() {
	res := s.scanner.Result()
	s.scanner = nil
	if s.srv == nil {
		return
	}
	effects := effectsOf(nil, res)
	owed := &s.srv.owed
	if owed.empty() {
		return // an error ahead of it lets the server ignore it
	}
	e := owed.at(owed.n - 1)
	if e.kind == entryQuery {
		s.queryEffects(e, effects, res.TransactionControl)
		return
	}
	s.pinParsed(e, res.Effects)
	if e.op == opUnnamed && e.version == s.unnamed.version {
		s.unnamed.effects = effects
	}
}

func (s *Session) clientFunctionCall(p []byte, total int) (int, bool) {
	const withOID = headerSize + 4
	if total < withOID {
		s.protocolError("invalid message format")
		return 0, false
	}
	if len(p) < withOID || !s.acquire() {
		return 0, false
	}
	s.pinFor(s.oweReady(entryFunctionCall, forward), functionPins(binary.BigEndian.Uint32(p[headerSize:])))
	return s.pass(p, total), true
}

// clientTerminate ends the session in order. used is what is there of the
// message.
func (s *Session) clientTerminate(used int) (int, bool) {
	s.terminated = true
	s.host.CloseClient()
	s.leave()
	return used, false
}

// functionPins gives the pins of fast-path calls of built-in functions with
// effects on the session, by the OID that PostgreSQL fixes for them.
func functionPins(oid uint32) session.Pins {
	switch oid {
	case 1574, 1575, 1576, 1765, 2559: // nextval, currval, setval (both), lastval
		return session.PinSequence
	case 2078: // set_config
		return session.PinSet
	case 1599: // setseed
		return session.PinSessionFunction
	case 2880, 2881, 2882, 2883, 2884, 2885, 2886, 2887, 2888, 2889, 2890, 2891, 2892: // the pg_advisory_* functions on sessions
		return session.PinAdvisoryLock
	}
	return 0
}
