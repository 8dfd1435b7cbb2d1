// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"encoding/binary"

	"github.com/rdsproxy/rdsproxy/pkg/session"
	"github.com/rdsproxy/rdsproxy/pkg/sqlscan/myscan"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// clientPrepare handles COM_STMT_PREPARE. It always goes to a server, so that what
// the client learns of columns and parameters is true now, after changes of
// definitions too.
func (s *Session) clientPrepare(c *command) (int, bool) {
	if len(s.statements) >= maxSessionStatements {
		return s.refuse(c, tooManyStatements), true
	}
	if c.size > holdPrepare || s.kept+c.size > keepStatements {
		return s.clientPrepareLong(c)
	}
	if !c.whole() {
		return 0, false
	}
	if !s.acquire() {
		return 0, false
	}
	p := c.payload()[1:]
	res := s.scan(p)
	s.beforeOther(res.Effects)
	if !s.beforePreparing(&res, p) || !s.knowsSettings() || !s.beforeText(&res) {
		return 0, false
	}
	t, renamed := s.rewritten(p, &res, later)
	st := &statement{text: internText(t), space: s.settings, res: res, renamed: renamed}
	s.startPrepare(c, st)
	if renamed != nil {
		s.host.ToServer(wire.AppendCommand(s.srv.scratch[:0], wire.ComStmtPrepare, t))
		s.rest(c, toNowhere)
		return len(c.p), true
	}
	return s.pass(c, toServer), true
}

// clientPrepareLong handles one whose text is not kept. It can be executed on its
// connection only, and so pins.
func (s *Session) clientPrepareLong(c *command) (int, bool) {
	if !s.acquire() || !s.beforeUnseen() {
		return 0, false
	}
	st := &statement{only: true, space: s.settings}
	s.startPrepare(c, st)
	s.pin(session.PinLargeStatement)
	s.startScan(c.payload()[1:])
	return s.passScanned(c), true
}

// startPrepare notes that the client's statement is being prepared. A statement of
// the same text that is there already is closed first: the new one takes its place.
func (s *Session) startPrepare(c *command, st *statement) {
	srv := s.srv
	s.newest = 0
	pr := &prepared{key: preparedKey{st.text, st.space}}
	if !st.only {
		if old := srv.prepared.get(pr.key); old != nil {
			s.evict(old)
		}
		s.makeRoom()
	}
	x := s.begin(c, shapePrepare)
	x.stmt, x.pr, x.renamed = st, pr, st.renamed
	if x.fate = s.fateOf(st); x.fate == listShown {
		x.fate = listUnclear
	}
	s.noteEffects(x, &st.res)
	x.affected = s.affected
}

// makeRoom closes the statement unused for longest if the server has its fill.
func (s *Session) makeRoom() {
	ps := &s.srv.prepared
	for len(ps.byKey) >= s.shared.MaxStatements {
		s.evict(ps.oldest)
	}
}

func (s *Session) evict(pr *prepared) {
	s.srv.prepared.remove(pr)
	s.closeOnServer(pr)
}

// closeOnServer closes a statement, which the server does not reply to.
func (s *Session) closeOnServer(pr *prepared) {
	s.srv.scratch = wire.AppendIDCommand(s.srv.scratch[:0], wire.ComStmtClose, pr.id)
	s.host.ToServer(s.srv.scratch)
}

// serverPrepared handles the packet that a reply to COM_STMT_PREPARE begins with.
func (s *Session) serverPrepared(msg []byte) int {
	srv := s.srv
	x := &srv.x
	r, ok := wire.ParsePrepared(msg[wire.HeaderLen:], srv.caps)
	if !ok {
		return s.unexpected()
	}
	x.pr.id = r.ID
	if x.why == forClient {
		st := x.stmt
		st.params = int(r.Params)
		x.warnings, x.warned = r.Warnings > 0, r.Warnings
		if s.state == active {
			s.define(st)
			binary.LittleEndian.PutUint32(msg[wire.HeaderLen+1:], st.id)
		}
	}
	s.forward(msg)
	x.columns, x.behind = int(r.Params), int(r.Columns)
	if !r.Metadata {
		x.columns, x.behind = 0, 0
	}
	x.stage = stageParams
	x.eofDue = x.columns > 0 && s.heard() && !s.caps.Has(wire.ClientDeprecateEOF)
	if x.columns == 0 {
		s.preparedGroupEnds()
	}
	return len(msg)
}

// preparedGroupEnds goes on behind the definitions of parameters, and then of
// columns. Without ClientDeprecateEOF each group that is not empty ends with an
// EOF packet.
func (s *Session) preparedGroupEnds() {
	x := &s.srv.x
	for {
		if x.eofDue {
			x.eofDue = false
			s.sendEOF(x.seq)
		}
		if x.stage == stageColumns {
			break
		}
		x.stage, x.columns, x.behind = stageColumns, x.behind, 0
		if x.columns > 0 {
			x.eofDue = s.heard() && !s.caps.Has(wire.ClientDeprecateEOF)
			return
		}
	}
	s.preparationEnds()
}

// preparationEnds is called at the end of a successful reply to COM_STMT_PREPARE.
func (s *Session) preparationEnds() {
	srv := s.srv
	x := &srv.x
	pr := x.pr
	if x.stmt != nil && x.stmt.only {
		x.stmt.own = pr
	} else if srv.prepared.get(pr.key) == nil {
		srv.prepared.add(pr)
	}
	s.completed()
}

// define gives the client's new statement its id.
func (s *Session) define(st *statement) {
	if s.statements == nil {
		s.statements = make(map[uint32]*statement)
	}
	for {
		s.lastStatement++
		id := s.lastStatement
		if id != 0 && id != wire.LastStatement && s.statements[id] == nil {
			break
		}
	}
	st.id = s.lastStatement
	s.keepsList = s.keepsList || st.res.Effects&myscan.EffectDiagnostics != 0
	s.newest = st.id
	s.statements[st.id] = st
	s.kept += st.size()
}

// ensurePrepared makes sure that the statement is prepared on the connection; nil
// if that is under way. The command at hand comes again then.
func (s *Session) ensurePrepared(st *statement) *prepared {
	if st.own != nil {
		return st.own
	}
	return s.ensureText(st, st.text)
}

// preparedFor is the same for an execution. If the statement asks for ROW_COUNT() or
// FOUND_ROWS(), which the connection does not know, one with these values in its text is
// prepared for this execution alone. refused tells that they have no place there.
func (s *Session) preparedFor(st *statement) (pr *prepared, renamed []renaming, refused bool) {
	if !s.needsValues(&st.res) {
		return s.ensurePrepared(st), st.renamed, false
	}
	if st.own != nil || st.res.CannotReplace {
		return nil, nil, true
	}
	sql := []byte(st.text.String())
	res := s.scan(sql)
	sql, renamed = s.rewritten(sql, &res, again)
	if renamed == nil {
		return nil, nil, true
	}
	if pr = s.ensureText(st, internText(sql)); pr != nil {
		pr.once = true
	}
	return pr, append(renamed, st.renamed...), false
}

// knowsSettings makes sure that it is known what is in force on the connection, of which
// no tracker may have told. It gives false while that is being asked for.
func (s *Session) knowsSettings() bool {
	srv := s.srv
	switch {
	case s.pins&session.PinSessionTrack == 0:
	case !srv.schemaAsked:
		s.ahead(forDatabase, askDatabase)
		return false
	case !srv.allAsked:
		srv.allAsked = true
		s.ahead(forAll, srv.allSQL())
		return false
	}
	return true
}

// ensureText makes sure that a text is prepared as the statement was.
func (s *Session) ensureText(st *statement, t text) *prepared {
	srv := s.srv
	key := preparedKey{t, st.space}
	if pr := srv.prepared.get(key); pr != nil {
		s.preparing = false
		if !s.apply(s.settings) {
			return nil
		}
		srv.prepared.use(pr)
		return pr
	}
	if !s.knowsSettings() {
		return nil
	}
	if to := s.shared.settingsForPreparing(s.settings, st.space, srv.base); to != srv.applied {
		if srv.askVariables { // or they cannot be put back
			s.ahead(forVariables, s.srv.variablesSQL())
			return nil
		}
		s.preparing = true
		if !s.apply(to) {
			return nil
		}
	}
	if !(srv.mariaDB && st.res.Effects&myscan.EffectDiagnostics != 0) && s.savesWarnings() {
		return nil // but a SHOW WARNINGS does not clear what it is to show
	}
	s.makeRoom()
	x := s.own(forPrepare, shapePrepare, wire.AppendCommand(srv.scratch[:0], wire.ComStmtPrepare, t.String()))
	x.pr = &prepared{key: key}
	s.valuesHere = false
	s.pause()
	return nil
}

// notPrepared makes the server's error the answer to the command that needed the
// statement.
func (s *Session) notPrepared(_ *exchange, err *wire.Error) {
	s.preparing, s.cancelled = false, false
	s.failure = err
	s.resume()
}
