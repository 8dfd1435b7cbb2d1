// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/rdsproxy/rdsproxy/pkg/session"
	"github.com/rdsproxy/rdsproxy/pkg/sqlscan/myscan"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// holdHead is the most that the head of an execution may take: ids, the NULLs and
// types of its parameters, and their names.
const holdHead = 1 << 20

// find gives the client's statement with that id, nil if there is none.
func (s *Session) find(id uint32) *statement {
	if id == wire.LastStatement {
		id = s.newest
	}
	return s.statements[id]
}

// clientExecute handles COM_STMT_EXECUTE and COM_STMT_BULK_EXECUTE.
func (s *Session) clientExecute(c *command) (int, bool) {
	if !c.whole() && c.size <= holdText {
		return 0, false
	}
	payload := c.payload()
	id, ok := wire.StatementID(payload)
	if !ok {
		return s.short(c)
	}
	st := s.find(id)
	if st == nil {
		return s.unknown(c, id, "mysqld_stmt_execute")
	}
	x, need, err := wire.ParseExecute(payload, c.size, s.caps, st.params)
	if err != nil {
		return s.refuse(c, wire.Malformed()), true
	}
	if need > 0 {
		if need > holdHead {
			return s.refuse(c, tooLarge), true
		}
		return 0, false
	}
	s.noteTypes(st, &x)
	if !x.HasTypes && x.Params > 0 && st.types == nil {
		// The server would take the types of whoever has executed it there before.
		return s.refuse(c, wire.NewError(codeArguments, "Incorrect arguments to mysqld_stmt_execute")), true
	}
	if !s.acquire() {
		return 0, false
	}
	s.beforeOther(st.res.Effects)
	if st.res.Effects&myscan.EffectDiagnostics != 0 && (s.older != nil || s.warnings != nil) {
		return s.refuse(c, s.elsewhere()), true
	}
	tracked, ok := s.beforeTracking(&st.res, st.text.String())
	if !ok || !s.beforeText(&st.res) {
		return 0, false
	}
	if s.missesID(&st.res) {
		return s.refuse(c, idLostError), true
	}
	pr, renamed, refused := s.preparedFor(st)
	if refused {
		return s.refuse(c, untoldError), true
	}
	if pr == nil {
		return 0, false
	}
	return s.execute(c, &execution{st, pr, x, tracked, renamed}), true
}

// noteTypes notes what an execution says of the types of its parameters. It counts if
// the execution is refused, too: clients say it once.
func (s *Session) noteTypes(st *statement, x *wire.Execute) {
	if x.HasTypes && !bytes.Equal(st.types, x.Types) {
		s.kept += len(x.Types) - len(st.types)
		st.types = bytes.Clone(x.Types)
	}
}

// noteRefused does so for an execution that is refused unread.
func (s *Session) noteRefused(c *command) {
	id, ok := wire.StatementID(c.payload())
	if st := s.find(id); ok && st != nil {
		if x, need, err := wire.ParseExecute(c.payload(), c.size, s.caps, st.params); err == nil && need == 0 {
			s.noteTypes(st, &x)
		}
	}
}

// execution is one of a statement that the server has.
type execution struct {
	st      *statement
	pr      *prepared
	head    wire.Execute
	tracked trackedText
	renamed []renaming
}

// short waits for more of a command whose head is not there.
func (s *Session) short(c *command) (int, bool) {
	if !c.whole() {
		return 0, false
	}
	return s.refuse(c, wire.Malformed()), true
}

// execute sends it.
func (s *Session) execute(c *command, ex *execution) int {
	st, pr, x := ex.st, ex.pr, &ex.head
	types := st.types
	insert := !x.HasTypes && x.Params > 0 && !bytes.Equal(pr.types, types)
	if insert && c.size+x.Growth(types) >= wire.MaxPayload {
		// The packets would have to be cut in other places.
		return s.refuse(c, tooLarge)
	}
	if x.Params > 0 {
		pr.types = types
	}
	e := s.begin(c, shapeResult)
	s.work.Simple--
	s.work.Extended++
	e.stmt, e.pr, e.binary, e.tracked, e.renamed = st, pr, true, ex.tracked, ex.renamed
	e.fate = s.fateOf(st)
	s.noteEffects(e, &st.res)
	s.keepWrite(c, e, &st.res)
	if st.cursor {
		st.cursor = false // the server closes it
	}
	if x.Cursor() && st.own == nil {
		s.takeOut(st, pr)
	}
	if !insert {
		wire.PutStatementID(c.payload(), pr.id)
		return s.pass(c, toServer)
	}
	srv := s.srv
	payload := c.payload()
	out := wire.AppendHeader(srv.scratch[:0], c.size+x.Growth(types), 0)
	out = x.AppendHead(out, payload, pr.id, types)
	srv.scratch = out[:0]
	s.host.ToServer(out)
	s.host.ToServer(payload[x.Values:])
	s.rest(c, toServer)
	return len(c.p)
}

// takeOut makes a statement on the connection the client's own, because it gets
// state there that others of the same text must not meet.
func (s *Session) takeOut(st *statement, pr *prepared) {
	s.srv.prepared.remove(pr)
	st.own = pr
}

// putBack lets it be shared again when that state is gone.
func (s *Session) putBack(st *statement) {
	pr := st.own
	if pr == nil || st.only || st.cursor || st.long || s.srv == nil {
		return
	}
	st.own = nil
	if s.srv.prepared.get(pr.key) != nil {
		s.closeOnServer(pr)
		return
	}
	s.srv.prepared.add(pr)
	s.makeRoomBut(pr)
}

// makeRoomBut closes what is too much, after pr has been added.
func (s *Session) makeRoomBut(pr *prepared) {
	ps := &s.srv.prepared
	for len(ps.byKey) > s.shared.MaxStatements && ps.oldest != pr {
		s.evict(ps.oldest)
	}
}

// executed draws conclusions from the reply to an execution.
func (s *Session) executed(x *exchange) {
	st := x.stmt
	if st == nil || s.statements[st.id] != st {
		return
	}
	if x.pr.once && s.srv.prepared.get(x.pr.key) == x.pr {
		s.evict(x.pr)
	}
	st.long = st.spoilt // the server forgets the data, whatever became of the execution, but not that
	st.cursor = !x.failed && s.srv.status.Has(wire.StatusCursorExists)
	s.putBack(st)
	s.pinStatements()
}

// pinStatements pins for as long as some statement has state on the connection.
func (s *Session) pinStatements() {
	var p session.Pins
	for _, st := range s.statements {
		if st.own == nil {
			continue
		}
		if st.cursor {
			p |= session.PinOpenCursor
		}
		if st.long {
			p |= session.PinLongData
		}
		if st.only {
			p |= session.PinLargeStatement
		}
	}
	s.pin(p)
	s.unpin((session.PinOpenCursor | session.PinLongData | session.PinLargeStatement) &^ p)
}

// clientLongData handles COM_STMT_SEND_LONG_DATA, which has no reply: errors show
// at the execution.
func (s *Session) clientLongData(c *command) (int, bool) {
	const head = 7 // command, statement, parameter
	payload := c.payload()
	if len(payload) < head {
		if c.whole() {
			return s.pass(c, toNowhere), true
		}
		return 0, false
	}
	id, _ := wire.StatementID(payload)
	st := s.find(id)
	if st == nil {
		return s.pass(c, toNowhere), true
	}
	if !s.acquire() {
		return 0, false
	}
	pr := s.ensurePrepared(st)
	if pr == nil {
		return 0, false
	}
	if st.own == nil {
		s.takeOut(st, pr)
	}
	st.long = true
	st.spoilt = st.spoilt || int(binary.LittleEndian.Uint16(payload[head-2:])) >= st.params
	s.pin(session.PinLongData)
	wire.PutStatementID(payload, pr.id)
	return s.pass(c, toServer), true
}

// clientClose handles COM_STMT_CLOSE, which has no reply. On the server the
// statement stays for others, unless it has state there.
func (s *Session) clientClose(c *command) (int, bool) {
	id, _ := wire.StatementID(c.payload())
	if st := s.find(id); st != nil {
		s.drop(st)
		s.pinStatements()
	}
	return s.pass(c, toNowhere), true
}

// drop forgets a statement of the client's.
func (s *Session) drop(st *statement) {
	delete(s.statements, st.id)
	s.kept -= st.size()
	if s.newest == st.id {
		s.newest = 0
	}
	if st.own != nil && s.srv != nil {
		s.closeOnServer(st.own)
		st.own = nil
	}
}

// clientStmtReset handles COM_STMT_RESET. It concerns the server only if the
// statement has state there.
func (s *Session) clientStmtReset(c *command) (int, bool) {
	id, ok := wire.StatementID(c.payload())
	if !ok {
		return s.refuse(c, wire.Malformed()), true
	}
	st := s.find(id)
	if st == nil {
		return s.unknown(c, id, "mysqld_stmt_reset")
	}
	if st.own == nil || s.srv == nil {
		s.answer(wire.OK{Status: s.presentStatus()})
		return len(c.p), true
	}
	x := s.begin(c, shapeOK)
	x.stmt = st
	wire.PutStatementID(c.payload(), st.own.id)
	return s.pass(c, toServer), true
}

// clientFetch handles COM_STMT_FETCH.
func (s *Session) clientFetch(c *command) (int, bool) {
	id, ok := wire.StatementID(c.payload())
	if !ok {
		return s.refuse(c, wire.Malformed()), true
	}
	st := s.find(id)
	if st == nil {
		return s.unknown(c, id, "mysqld_stmt_fetch")
	}
	if !st.cursor || st.own == nil || s.srv == nil {
		return s.refuse(c, wire.NewError(codeNoCursor, fmt.Sprintf("The statement (%d) has no open cursor.", id))), true
	}
	x := s.begin(c, shapeRows)
	x.stmt = st
	wire.PutStatementID(c.payload(), st.own.id)
	return s.pass(c, toServer), true
}

// fetched draws conclusions from the reply to COM_STMT_FETCH.
func (s *Session) fetched(x *exchange) {
	st := x.stmt
	if x.failed || s.statements[st.id] != st {
		return
	}
	if s.srv.status.Has(wire.StatusLastRowSent) {
		st.cursor = false
	}
	s.srv.status &^= wire.StatusCursorExists | wire.StatusLastRowSent
	s.putBack(st)
	s.pinStatements()
}
