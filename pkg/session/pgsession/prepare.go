// SPDX-License-Identifier: Apache-2.0

package pgsession

import (
	"bytes"
	"encoding/binary"

	"github.com/rdsproxy/rdsproxy/pkg/session"
	"github.com/rdsproxy/rdsproxy/pkg/sqlscan"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

const (
	// keepStatements is how many bytes of prepared statements a session keeps.
	// What comes on top is prepared on its connection only, and pins.
	keepStatements = 16 << 20
	// maxStatements is how many there may be in all; mostly names then.
	maxStatements = 64 << 20
)

var nul = []byte{0}

var (
	syncMessage  = wire.AppendSync(nil)
	flushMessage = wire.AppendFlush(nil)
)

// cstring splits p at its first NUL.
func cstring(p []byte) (text, rest []byte, ok bool) {
	before, after, ok := bytes.Cut(p, []byte{0})
	if !ok {
		return nil, p, false
	}
	return before, after, true
}

func (s *Session) clientParse(p []byte, total int) (int, bool) {
	if total > holdParse {
		return s.clientParseLarge(p, total)
	}
	if len(p) < total {
		return 0, false
	}
	name, tail, ok := cstring(p[headerSize:total])
	if !ok || len(name) >= holdNames {
		return s.badNames()
	}
	query, _, ok := cstring(tail)
	if !ok {
		return s.badNames()
	}
	if !s.acquire() {
		return 0, false
	}
	res := s.scan(query)
	effects := effectsOf(query, res)
	if len(name) == 0 {
		names, ok := s.namesIn(query, res, len(tail))
		if !ok {
			return s.block()
		}
		effects = s.effectsThrough(names, effects)
		s.freshSequences(effects)
		names.number = s.serverNumberOf(names)
		s.parseUnnamed(tail, names, effects)
		if names.number != 0 {
			s.sendUnnamed(names.number)
		} else {
			s.host.ToServer(p[:total])
		}
		return total, true
	}
	s.freshSequences(effects)
	if s.uncertain(name) {
		return s.block()
	}
	if s.kept > maxStatements {
		s.terminate(tooManyError)
		return 0, false
	}
	if s.kept+len(tail) > keepStatements {
		e := s.parseLargeNamed(string(name), len(tail))
		s.pinParsed(e, effects)
		s.host.ToServer(tail)
		return total, true
	}
	if !s.parseNamed(string(name), tail, effects) {
		return s.block()
	}
	return total, true
}

// badNames is for a message without the names and texts that it must have.
func (s *Session) badNames() (int, bool) {
	s.protocolError("invalid message format")
	return 0, false
}

// awaitNames is for a message whose names are not complete yet.
func (s *Session) awaitNames(p []byte, total int) (int, bool) {
	if len(p) >= total || len(p)-headerSize >= holdNames {
		return s.badNames()
	}
	return 0, false
}

// parseNamed defines name. It gives false if that depends on a request that is
// not answered.
func (s *Session) parseNamed(name string, tail []byte, effects sqlscan.Effects) bool {
	srv := s.srv
	st, taken := s.statements[name]
	if !taken {
		st = internStatement(statementText{
			tail: string(tail), space: s.settings.keyString(), effects: effects,
		})
	}
	if srv.uncertainStatement(st) {
		return false
	}
	if taken {
		// Let the server itself say that the name is taken: the error then has
		// all its consequences for the transaction.
		pr := s.ensurePrepared(st)
		s.owe(entryParse, forward).name = name
		s.sendParse(pr, tail)
		return true
	}
	if pr := srv.prepared.get(st); pr != nil {
		if pr.catalog == s.shared.catalog.Load() && pr.scope == s.presentScope() && srv.wouldParse() {
			srv.prepared.use(pr)
			e := s.owe(entryParse, fake)
			e.op, e.name, e.stmt = opDefine, name, st
			s.define(name, st)
			s.advance()
			return true
		}
		// Definitions changed since, or the client sees others: it must learn of
		// the present ones. Or the server itself must say that it refuses.
		s.evict(pr)
	}
	s.makeRoom()
	e := s.owe(entryParse, forward)
	pr := s.prepare(e, st)
	e.name, e.stmt = name, st
	s.define(name, st)
	s.sendParse(pr, tail)
	return true
}

// prepare notes that e, the request sent last, prepares a statement.
func (s *Session) prepare(e *entry, st Statement) *prepared {
	pr := s.srv.prepared.add(st, s.shared.catalog.Load())
	pr.since = s.srv.owed.newest()
	pr.scope = s.presentScope()
	e.op, e.prep = opParse, pr
	return pr
}

// define gives a meaning to a name that has none, by the request sent last.
func (s *Session) define(name string, st Statement) {
	if s.statements == nil {
		s.statements = make(map[string]Statement)
	}
	s.statements[name] = st
	s.kept += size(name, st)
	s.srv.named = s.srv.owed.newest()
}

// forget takes the meaning of a name away, by the request sent last.
func (s *Session) forget(name string) {
	s.forgetName(name)
	s.srv.named = s.srv.owed.newest()
}

func (s *Session) forgetName(name string) {
	if st, ok := s.statements[name]; ok {
		s.kept -= size(name, st)
		delete(s.statements, name)
	}
}

// rename replaces all names.
func (s *Session) rename(names map[string]Statement) {
	s.statements, s.kept = names, 0
	for name, st := range names {
		s.kept += size(name, st)
	}
}

// size is about how much memory a name with its statement takes.
func size(name string, st Statement) int { return len(name) + len(st.text.Value().tail) + 200 }

// clientParseLarge forwards a statement too long to keep, and pins: it can be
// prepared on this connection only.
func (s *Session) clientParseLarge(p []byte, total int) (int, bool) {
	name, _, ok := cstring(p[headerSize:])
	if !ok || len(name) >= holdNames {
		return s.awaitNames(p, total)
	}
	if !s.acquire() {
		return 0, false
	}
	if len(name) > 0 && s.uncertain(name) {
		return s.block()
	}
	used := headerSize + len(name) + 1
	switch {
	case len(name) == 0:
		s.parseUnnamed(nil, nameIn{}, 0)
		s.pin(session.PinUnnamedStatement)
		s.host.ToServer(p[:used])
	case s.kept > maxStatements:
		s.terminate(tooManyError)
		return 0, false
	default:
		s.parseLargeNamed(string(name), total-used)
	}
	s.scanBody(total - used)
	return used, true
}

// parseLargeNamed sends the head of a Parse whose text is not kept.
func (s *Session) parseLargeNamed(name string, tail int) *entry {
	st, taken := s.statements[name]
	var pr *prepared
	if taken {
		pr = s.ensurePrepared(st) // as in parseNamed
	}
	e := s.owe(entryParse, forward)
	e.name = name
	s.pinFor(e, session.PinLargeStatement)
	if !taken {
		st = internStatement(statementText{private: s.shared.unique(), effects: unknownControl})
		pr = s.prepare(e, st)
		pr.only = true
		e.stmt = st
		s.define(name, st)
	}
	s.host.ToServer(parseHead(s.scratch(), pr.number, tail))
	return e
}

func (s *Session) clientBind(p []byte, total int) (int, bool) {
	whole := len(p) >= total
	if !whole && total <= holdQuery {
		return 0, false
	}
	msg := p[headerSize:min(len(p), total)]
	portal, rest, ok := cstring(msg)
	if !ok {
		return s.awaitNames(p, total)
	}
	name, rest, ok := cstring(rest)
	if !ok || len(portal)+1+len(name) >= holdNames {
		return s.awaitNames(p, total)
	}
	if !s.acquire() {
		return 0, false
	}
	if s.uncertain(name) {
		return s.block()
	}
	if len(name) == 0 {
		effects := s.effectsThrough(s.unnamed.names, s.unnamed.effects)
		s.freshSequences(effects)
		s.ensureUnnamed()
		s.bound(s.owe(entryBind, forward), portal, effects)
		s.boundNames(portal)
		return s.pass(p, total), true
	}
	pr, effects := s.serverStatement(name)
	e := s.owe(entryBind, forward)
	e.prep = pr
	s.bound(e, portal, effects)
	if len(portal) == 0 {
		s.boundForgets = ""
	}
	if pr == nil && !ours(name) {
		return s.pass(p, total), true
	}
	head := append(s.scratch(), 'B', 0, 0, 0, 0)
	head = append(head, portal...)
	head = append(head, 0)
	head = appendServerName(head, pr.serverNumber())
	head = append(head, 0)
	tail := total - headerSize - len(portal) - 1 - len(name) - 1
	binary.BigEndian.PutUint32(head[1:], uint32(len(head)-1+tail))
	s.host.ToServer(head)
	s.host.ToServer(rest)
	if !whole {
		s.body = body{left: uint32(total - len(p)), to: bodyForward}
	}
	return min(len(p), total), true
}

// uncertain tells whether a message that uses the statement of that name must
// wait for the answers to earlier ones.
func (s *Session) uncertain(name []byte) bool {
	srv := s.srv
	if len(name) == 0 {
		return srv.uncertain(srv.unnamedSince)
	}
	if srv.uncertainName(name) {
		return true
	}
	st, ok := s.statements[string(name)]
	return ok && srv.uncertainStatement(st)
}

// serverStatement prepares the statement that the client calls name; nil if
// there is none.
func (s *Session) serverStatement(name []byte) (pr *prepared, effects sqlscan.Effects) {
	st, ok := s.statements[string(name)]
	if !ok {
		return nil, 0
	}
	effects = st.text.Value().effects
	s.freshSequences(effects)
	return s.ensurePrepared(st), effects
}

// ours tells whether a client's name could be one of the proxy's own.
func ours(name []byte) bool { return bytes.HasPrefix(name, []byte(serverNamePrefix)) }

// ensurePrepared makes sure that the server has the statement, and makes it
// the newest there.
func (s *Session) ensurePrepared(st Statement) *prepared {
	srv := s.srv
	if pr := srv.prepared.get(st); pr != nil {
		if pr.scope == 0 || pr.scope == s.presentScope() || pr.only {
			srv.prepared.use(pr)
			return pr
		}
		// The server insists on the columns that it had at its first use.
		s.evict(pr)
	}
	s.makeRoom()
	pr := s.prepare(s.owe(entryParse, skip), st)
	text := st.text.Value()
	head := parseHead(s.scratch(), pr.number, len(text.tail))
	s.host.ToServer(append(head, text.tail...))
	return pr
}

// makeRoom closes the statement unused for longest if the server has its fill.
func (s *Session) makeRoom() {
	ps := &s.srv.prepared
	for pr := ps.oldest; pr != nil && ps.len() >= s.srv.MaxStatements; {
		next := pr.newer
		if !pr.only {
			s.evict(pr)
		}
		pr = next
	}
}

func (s *Session) evict(pr *prepared) {
	s.srv.prepared.remove(pr)
	e := s.owe(entryClose, skip)
	e.op, e.prep = opEvict, pr
	s.host.ToServer(s.closeMessage(pr))
}

func (s *Session) closeMessage(pr *prepared) []byte {
	msg := append(s.scratch(), 'C', 0, 0, 0, 0, 'S')
	msg = append(appendServerName(msg, pr.number), 0)
	binary.BigEndian.PutUint32(msg[1:], uint32(len(msg)-1))
	return msg
}

func (s *Session) sendParse(pr *prepared, tail []byte) {
	s.host.ToServer(parseHead(s.scratch(), pr.number, len(tail)))
	s.host.ToServer(tail)
}

// parseHead appends a Parse message up to and with its name; tail bytes follow.
func parseHead(dst []byte, number uint32, tail int) []byte {
	at := len(dst)
	dst = append(dst, 'P', 0, 0, 0, 0)
	dst = append(appendServerName(dst, number), 0)
	binary.BigEndian.PutUint32(dst[at+1:], uint32(len(dst)-at-1+tail))
	return dst
}

// clientDescribeOrClose handles Describe and Close of statements and portals.
func (s *Session) clientDescribeOrClose(p []byte, typ byte, total int) (int, bool) {
	if len(p) < total {
		return 0, false
	}
	if total < headerSize+2 || p[total-1] != 0 {
		s.protocolError("invalid message format")
		return 0, false
	}
	what, name := p[headerSize], p[headerSize+1:total-1]
	if typ == 'C' && s.state == idle {
		s.closeIdle(what, name)
		return total, true
	}
	if !s.acquire() {
		return 0, false
	}
	if what == 'S' && (typ == 'D' || len(name) > 0) && s.uncertain(name) {
		return s.block()
	}
	if what == 'S' && typ == 'C' {
		s.closeStatement(p[:total], name)
		return total, true
	}
	kind := entryClose
	if typ == 'D' {
		kind = entryDescribePortal
	}
	if what == 'S' {
		s.describeStatement(p[:total], name)
		return total, true
	}
	s.owe(kind, forward)
	s.host.ToServer(p[:total])
	return total, true
}

func (s *Session) describeStatement(msg, name []byte) {
	if len(name) == 0 {
		s.ensureUnnamed()
		s.owe(entryDescribeStatement, forward)
		s.host.ToServer(msg)
		return
	}
	pr, _ := s.serverStatement(name)
	s.owe(entryDescribeStatement, forward).prep = pr
	if pr == nil && !ours(name) {
		s.host.ToServer(msg)
		return
	}
	out := append(s.scratch(), 'D', 0, 0, 0, 0, 'S')
	out = append(appendServerName(out, pr.serverNumber()), 0)
	binary.BigEndian.PutUint32(out[1:], uint32(len(out)-1))
	s.host.ToServer(out)
}

// closeStatement forgets the client's name. The statement stays prepared on
// the server for others, so the proxy answers itself, in order.
func (s *Session) closeStatement(msg, name []byte) {
	if len(name) == 0 {
		prior := s.priorUnnamed()
		e := s.owe(entryClose, forward)
		e.op, e.prior = opForgetUnnamed, prior
		s.forgetUnnamed()
		s.srv.setUnnamed(0)
		s.host.ToServer(msg)
		return
	}
	st, ok := s.statements[string(name)]
	if !ok && s.pins&session.PinPrepare != 0 && !ours(name) {
		s.owe(entryClose, forward)
		s.host.ToServer(msg)
		return
	}
	act := fake
	pr := s.srv.prepared.get(st)
	if pr != nil && pr.only {
		act = forward // it cannot be of use to anybody any more
	}
	e := s.owe(entryClose, act)
	if ok {
		e.op, e.name, e.stmt = opForget, string(name), st
		s.forget(e.name)
	}
	if act == fake {
		s.advance()
		return
	}
	e.prep = pr
	s.srv.prepared.remove(pr)
	s.host.ToServer(s.closeMessage(pr))
}

// closeIdle answers a Close that comes while the session has no connection. It
// needs none, and so cannot fail for the want of one: a server never refuses a
// Close, and some clients are lost when it is refused (pgx v5.12 does not read on
// to ReadyForQuery). There is no portal outside of a transaction.
func (s *Session) closeIdle(what byte, name []byte) {
	switch {
	case what != 'S':
	case len(name) == 0:
		s.forgetUnnamed()
	default:
		s.forgetName(string(name))
	}
	s.closing = true
	s.host.ToClient(fakeCloseComplete)
}

// presentScope tells apart what a session prepares while settings or objects of
// its own (search_path, role, a temporary table) may give the same text another
// meaning than it has for others.
func (s *Session) presentScope() uint64 {
	if s.local != 0 {
		return s.local
	}
	if s.pins&(session.PinSet|session.PinRole|session.PinUnknownStatement|session.PinTemporaryObject|session.PinParameterChanged) == 0 {
		s.scope = 0
		return 0
	}
	if s.scope == 0 {
		s.scope = s.shared.unique()
	}
	return s.scope
}

// scratch is a buffer to build a message in, good until the next use.
func (s *Session) scratch() []byte {
	if cap(s.srv.scratch) > 64<<10 {
		s.srv.scratch = nil
	}
	if s.srv.scratch == nil {
		s.srv.scratch = make([]byte, 0, 256)
	}
	return s.srv.scratch[:0]
}
