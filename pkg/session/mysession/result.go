// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"github.com/rdsproxy/rdsproxy/pkg/sqlscan/myscan"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// serverColumns handles the packet that a result set begins with.
func (s *Session) serverColumns(msg []byte) int {
	srv := s.srv
	x := &srv.x
	n, metadata, ok := wire.ParseColumnCount(msg[wire.HeaderLen:], srv.caps)
	if !ok || x.shape != shapeResult {
		return s.unexpected()
	}
	s.forward(msg)
	x.keepPacket(msg)
	x.stage, x.columns, x.behind = stageColumns, n, 0
	if !metadata {
		x.columns = 0
		s.definitionsEnd()
	}
	return len(msg)
}

// serverDefinitions passes on definitions of columns or parameters, which mostly are
// not looked into: their number is known.
func (s *Session) serverDefinitions(p []byte) int {
	x := &s.srv.x
	if x.renamed != nil && s.heard() {
		return s.renamedDefinition(p)
	}
	n := 0
	for x.columns > 0 || x.packet > 0 {
		if x.packet > 0 {
			take := min(x.packet, len(p)-n)
			n += take
			if x.packet -= take; x.packet > 0 {
				break
			}
			continue
		}
		if len(p)-n <= wire.HeaderLen {
			break
		}
		size, seq := wire.ParseHeader(p[n:])
		if seq != x.seq || size == 0 || size == wire.MaxPayload || p[n+wire.HeaderLen] == wire.HeadErr {
			if n == 0 {
				return s.serverDefinitionsFail(p)
			}
			break
		}
		if x.why == forVariables || x.why == forAll || x.why == forWarnings {
			if size > holdReply {
				return s.unexpected()
			}
			if len(p)-n < wire.HeaderLen+size {
				break
			}
			x.learnCollation(p[n+wire.HeaderLen:n+wire.HeaderLen+size], s.srv.caps)
			x.keepPacket(p[n : n+wire.HeaderLen+size])
		}
		p[n+3] += x.shift
		x.seq++
		x.columns--
		x.packet = size
		n += wire.HeaderLen
	}
	if n > 0 && s.heard() {
		s.toClient(p[:n])
	}
	if x.columns == 0 && x.packet == 0 {
		s.definitionsEnd()
	}
	return n
}

// serverDefinitionsFail handles what is there in place of a definition.
func (s *Session) serverDefinitionsFail(p []byte) int {
	x := &s.srv.x
	msg := s.packet(p, x.seq)
	if msg == nil {
		return 0
	}
	if msg[wire.HeaderLen] != wire.HeadErr {
		return s.unexpected()
	}
	x.seq++
	s.serverError(msg)
	return len(msg)
}

// definitionsEnd goes on behind the last definition of a group. A client without
// ClientDeprecateEOF gets an EOF packet there, in which case all that follows is
// one further on in its counting.
func (s *Session) definitionsEnd() {
	srv := s.srv
	x := &srv.x
	if x.stage != stageColumns || x.shape == shapePrepare {
		s.preparedGroupEnds()
		return
	}
	x.stage = stageRows
	x.rows = wire.Rows{Seq: x.seq, Shift: x.shift}
	if s.heard() && !s.caps.Has(wire.ClientDeprecateEOF) {
		// What follows decides: a result that stays behind its cursor has this EOF
		// and no other.
		x.eofDue = true
	}
}

// sendEOF sends the EOF packet behind definitions.
func (s *Session) sendEOF(seq byte) {
	x := &s.srv.x
	status := s.srv.status &^ wire.StatusMoreResults
	if x.outParams {
		status |= outParamsStatus
	}
	s.srv.scratch = wire.AppendEOF(s.srv.scratch[:0], seq+x.shift, status, 0)
	s.toClient(s.srv.scratch)
	x.shift++
}

// serverRows passes on rows, up to what ends them.
func (s *Session) serverRows(p []byte) int {
	x := &s.srv.x
	if x.eofDue {
		return s.serverFirstRow(p)
	}
	if x.why != forClient {
		return s.serverOwnRow(p)
	}
	n, state := x.rows.Skip(p)
	if n > 0 {
		s.toClient(p[:n])
		return n
	}
	if state == wire.RowsMore {
		return 0
	}
	if state == wire.RowsBroken {
		if size, _ := wire.ParseHeader(p); size == 0 {
			s.serverFault("an empty packet among rows")
			return 0
		}
	}
	msg := s.packet(p, x.rows.Seq)
	if msg == nil {
		return 0
	}
	x.seq = x.rows.Seq + 1
	if msg[wire.HeaderLen] == wire.HeadErr {
		s.serverError(msg)
		return len(msg)
	}
	return s.serverRowsEnd(msg)
}

// serverFirstRow decides what becomes of the EOF packet that is due behind the
// definitions.
func (s *Session) serverFirstRow(p []byte) int {
	x := &s.srv.x
	if len(p) < wire.HeaderLen {
		return 0
	}
	size, seq := wire.ParseHeader(p)
	if size == 0 {
		return s.unexpected()
	}
	if len(p) == wire.HeaderLen {
		return 0
	}
	if p[wire.HeaderLen] == wire.HeadEOF && size > 0 && size < wire.MaxPayload && seq == x.rows.Seq {
		msg := s.packet(p, x.rows.Seq)
		if msg == nil {
			return 0
		}
		if ok, good := wire.ParseOK(msg[wire.HeaderLen:], s.srv.caps); good && ok.Status.Has(wire.StatusCursorExists) {
			x.eofDue = false
			return s.serverRows(p)
		}
	}
	if x.binary && !s.srv.mariaDB && x.effects&myscan.EffectCall != 0 && size <= holdReply {
		known := false
		if x.outParams, known = s.outParamsBehind(p[min(len(p), wire.HeaderLen+size):]); !known {
			return 0
		}
	}
	x.eofDue = false
	s.sendEOF(x.rows.Seq)
	x.rows.Shift = x.shift
	return s.serverRows(p)
}

// outParamsStatus is what MySQL tells of the result that has the OUT parameters of a
// procedure: behind its definitions to clients without ClientDeprecateEOF, at its end
// to others. Clients of the first kind rely on it.
const outParamsStatus = wire.StatusPSOutParams | wire.StatusMoreResults

// outParamsBehind tells whether the first row of a result, behind which p begins, is
// that of OUT parameters; known is false if more has to come before that can be told.
func (s *Session) outParamsBehind(p []byte) (is, known bool) {
	if len(p) <= wire.HeaderLen {
		return false, false
	}
	size, _ := wire.ParseHeader(p)
	if p[wire.HeaderLen] != wire.HeadEOF || size > holdReply {
		return false, true
	}
	if len(p) < wire.HeaderLen+size {
		return false, false
	}
	ok, good := wire.ParseOK(p[wire.HeaderLen:wire.HeaderLen+size], s.srv.caps)
	return good && ok.Status.Has(wire.StatusPSOutParams), true
}

// serverRowsEnd handles the packet that ends the rows of a result.
func (s *Session) serverRowsEnd(msg []byte) int {
	srv := s.srv
	x := &srv.x
	ok, good := wire.ParseResultEnd(msg[wire.HeaderLen:], srv.caps)
	if !good {
		return s.unexpected()
	}
	if !s.note(ok) {
		return 0
	}
	told := ok
	if x.outParams {
		told.Status &^= outParamsStatus
		x.outParams = false
	}
	if s.heard() && (ok.Track != nil || !s.caps.Has(wire.ClientDeprecateEOF)) {
		s.sendOK(msg[3], told, true)
	} else {
		s.forward(msg)
	}
	x.affected = -1
	if x.shape == shapeResult {
		x.found, x.foundSet = x.rows.Count, true
	}
	s.resultEnds(ok)
	return len(msg)
}

// serverOwnRow reads what the proxy has asked for itself.
func (s *Session) serverOwnRow(p []byte) int {
	x := &s.srv.x
	msg := s.packet(p, x.rows.Seq)
	if msg == nil {
		return 0
	}
	payload := msg[wire.HeaderLen:]
	x.seq = x.rows.Seq + 1
	switch payload[0] {
	case wire.HeadErr:
		s.serverError(msg)
		return len(msg)
	case wire.HeadEOF:
		return s.serverRowsEnd(msg)
	}
	x.rows.Seq++
	row := wire.ReadTextRow(payload)
	switch x.why {
	case forVariables:
		x.learned, x.valueSet = s.srv.learnVariables(row)
	case forAll:
		x.learnOne(row)
	case forWarnings:
		x.list.add(msg, row)
	case forDatabase:
		name, ok := row.Next() // none for no schema
		x.learned, x.valueSet = []Setting{{Value: string(name)}}, ok
	default:
		if value, ok := row.Next(); ok {
			x.value, x.valueSet = number(value)
		}
	}
	return len(msg)
}

// number reads a decimal number.
func number(p []byte) (n uint64, ok bool) {
	for _, c := range p {
		if c < '0' || c > '9' || n > (1<<64-1-9)/10 && n*10+uint64(c-'0') < n {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, len(p) > 0
}
