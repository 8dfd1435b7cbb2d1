// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// query carries out a text of one or several statements.
func (s *server) query(text string) {
	list := strings.Split(text, "; ")
	had := len(s.diags) > 0
	s.several = len(list) > 1
	defer func() { s.several = false }()
	for i, sql := range list {
		if !s.statement(sql, s.meaning(), nil, false, i < len(list)-1) {
			return
		}
	}
	// Whether the proxy knows what several statements have left of it depends.
	s.muddled = s.muddled || had && s.mariaDB && len(list) > 1
}

// clearList clears the list of warnings, if this statement does so. MariaDB does that only for
// those that use a table.
func (s *server) clearList(sql string) {
	s.fresh, s.listRead = 0, false
	verb, rest, _ := strings.Cut(sql, " ")
	switch verb {
	case "SELECT", "SET":
		if s.mariaDB && !strings.Contains(rest, " FROM ") {
			return
		}
	case "BEGIN", "COMMIT", "ROLLBACK", "USE", "UNLOCK", "KILL":
		if s.mariaDB {
			return
		}
	}
	s.diags, s.muddled = nil, false
}

// statement carries out one statement; false if it has failed.
func (s *server) statement(sql, meaning string, params []string, binary, more bool) bool {
	s.before = s.status()
	if sql == "SHOW WARNINGS" {
		var rows [][]string
		for _, d := range s.diags {
			rows = append(rows, []string{d.level, strconv.Itoa(int(d.code)), d.text})
		}
		s.listRead = true
		s.result([]string{"Level", "Code", "Message"}, rows, binary, more)
		return true
	}
	s.clearList(sql)
	verb, rest, _ := strings.Cut(sql, " ")
	affected, id := uint64(0), uint64(0)
	switch verb {
	case "SELECT":
		return s.selects(rest, meaning, params, binary, more)
	case "KILL":
		s.killed()
		return true
	case "LOAD":
		s.begin()
		s.sent = wire.AppendPacket(s.sent, s.next(), append([]byte{wire.HeadLocalInfile}, 'f'))
		s.loading, s.file = true, nil
		return true
	case "LOCK":
		s.end(true)
		s.lock(true)
	case "UNLOCK":
		if s.locked {
			s.end(true)
		}
		s.lock(false)
	case "SHOW":
		return s.showVariables(rest, more)
	case "SET":
		if !s.set(rest) {
			return false
		}
	case "USE":
		if !strings.HasPrefix(rest, "s") {
			return s.failed(1049, "Unknown database '"+rest+"'")
		}
		s.choose(rest)
	case "BEGIN":
		s.end(true)
		s.lock(false)
		s.transaction(true)
	case "COMMIT", "ROLLBACK":
		if verb == "COMMIT" && s.inTrans && s.readOnly != nil && !s.several && s.readOnly() {
			s.end(false)
			return s.failed(wire.CodeOptionPrevents, readOnlyText)
		}
		s.end(verb == "COMMIT")
	case "INSERT":
		if s.locked && strings.HasPrefix(rest, "INTO e ") {
			return s.failed(1100, "Table 'e' was not locked with LOCK TABLES")
		}
		if s.readOnly != nil && !s.several && s.readOnly() {
			return s.failed(wire.CodeOptionPrevents, readOnlyText)
		}
		affected, id = s.insert(rest, params)
	case "UPDATE": // with a warning
		s.begin()
		affected = 2
		s.diags, s.fresh = []diag{{"Warning", 1265, "Data truncated: " + rest}}, 1
	case "CREATE":
		name := strings.Fields(rest)[2]
		if _, ok := s.temp[name]; ok {
			return s.failed(1050, "Table '"+name+"' already exists")
		}
		s.temp[name] = rest
		s.changed()
	case "DROP":
		name := strings.Fields(rest)[2]
		if _, ok := s.temp[name]; !ok {
			return s.failed(1051, "Unknown table '"+name+"'")
		}
		delete(s.temp, name)
		s.changed()
	default:
		return s.failed(1064, "You have an error in your SQL syntax near '"+sql+"'")
	}
	s.rowCount = int64(affected)
	s.ok(affected, id, more)
	return true
}

const readOnlyText = "The MySQL server is running with the --read-only option so it cannot execute this statement"

func (s *server) failed(code uint16, text string) bool {
	s.rowCount = -1
	s.fail(code, text)
	return false
}

// begin begins a transaction where a statement with a table does.
func (s *server) begin() {
	if s.vars["autocommit"] == "OFF" {
		s.transaction(true)
	}
}

// insert writes a row "text:id". The id is as if by auto-increment, or explicit.
func (s *server) insert(rest string, params []string) (affected, id uint64) {
	s.begin()
	row := rest[strings.IndexByte(rest, '(')+1 : len(rest)-1]
	if row == "?" {
		row = params[0]
	}
	row = strings.Trim(row, "'")
	explicit := strings.HasPrefix(rest, "INTO e ")
	id, _ = strconv.ParseUint(row[strings.IndexByte(row, ':')+1:], 10, 64)
	if !explicit {
		s.lastID = id
	}
	s.rows = append(s.rows, row)
	if !s.inTrans {
		s.end(true)
	}
	return 1, id
}

func (s *server) showVariables(rest string, more bool) bool {
	var rows [][]string
	for name := range strings.SplitSeq(rest[strings.IndexByte(rest, '(')+1:len(rest)-1], ",") {
		name = strings.Trim(name, "'")
		if v, ok := s.vars[name]; ok {
			rows = append(rows, []string{name, v})
		}
	}
	s.result([]string{"Variable_name", "Value"}, rows, false, more)
	return true
}

func (s *server) set(rest string) bool {
	rest = strings.TrimPrefix(rest, "SESSION ")
	for _, item := range splitOutside(rest) {
		item = strings.TrimPrefix(strings.TrimSpace(item), "SESSION ")
		name, value, _ := strings.Cut(item, "=")
		value = strings.Trim(value, "'")
		switch {
		case strings.HasPrefix(name, "NAMES "):
			s.names(name[6:])
		case strings.HasPrefix(name, "@"):
			s.users[name[1:]] = value
			s.changed()
		case name == "last_insert_id":
			s.lastID, _ = strconv.ParseUint(value, 10, 64)
		default:
			if _, ok := s.vars[name]; !ok {
				return s.failed(1193, "Unknown system variable '"+name+"'")
			}
			switch name {
			case "autocommit", "foreign_key_checks", "session_track_schema", "session_track_state_change":
				value = map[string]string{"0": "OFF", "1": "ON", "OFF": "OFF", "ON": "ON"}[value]
			case trackList:
				s.block = nil // what was set before that in the same statement is not told
			}
			s.vars[name] = value
			if name == "autocommit" && value == "ON" {
				s.end(true)
			}
			if name == "collation_connection" {
				s.vars["character_set_connection"], _, _ = strings.Cut(value, "_")
			}
			s.track(name)
		}
	}
	return true
}

// names is SET NAMES, maybe with COLLATE.
func (s *server) names(words string) {
	charset, collation, ok := strings.Cut(words, " COLLATE ")
	charset, collation = strings.Trim(charset, "'"), strings.Trim(collation, "'")
	if !ok {
		collation = charset + "_general_ci"
	}
	for _, name := range []string{"character_set_client", "character_set_connection", "character_set_results"} {
		s.vars[name] = charset
		s.track(name)
	}
	s.vars["collation_connection"] = collation
}

// splitOutside cuts at commas outside of quotes.
func splitOutside(p string) (list []string) {
	at, quoted, depth := 0, false, 0
	for i := range len(p) {
		switch c := p[i]; {
		case c == '\'':
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ',' && depth == 0:
			list = append(list, p[at:i])
			at = i + 1
		}
	}
	return append(list, p[at:])
}

// selects answers a SELECT of expressions, maybe of a table.
func (s *server) selects(rest, meaning string, params []string, binary, more bool) bool {
	rest = strings.TrimSuffix(rest, " LIMIT 1")
	exprs, table, from := strings.Cut(rest, " FROM ")
	if strings.Contains(table, ".session_variables ") {
		var values [][]string
		for _, name := range slices.Sorted(maps.Keys(s.vars)) {
			if strings.Contains(table, "'"+name+"'") {
				values = append(values, []string{name, s.vars[name], ""})
			}
		}
		s.result([]string{"n", "v", ""}, values, binary, more)
		return true
	}
	rows := 1
	if from && table != "(SELECT 1) AS t" {
		if strings.HasPrefix(table, "tmp") {
			if _, ok := s.temp[table]; !ok {
				return s.failed(1146, "Table '"+table+"' doesn't exist")
			}
		} else {
			s.begin()
			if rows = len(s.rows); table == "series" {
				rows = 5
			}
		}
	}
	var names []string
	values := make([][]string, rows)
	for _, e := range splitOutside(exprs) {
		e = strings.TrimSpace(e)
		name := e
		if at := strings.Index(e, " AS `"); at >= 0 {
			name = e[at+5 : len(e)-1]
			e = e[:at]
		}
		names = append(names, name)
		given := "" // for a parameter
		if e == "?" {
			given, params = params[0], params[1:]
		}
		for i := range rows {
			v := ""
			switch e {
			case "written":
				v = s.rows[i]
			case "?":
				v = given
			case "n":
				v = strconv.Itoa(i)
			case "meaning":
				v = meaning
			case "made":
				v = s.temp[table]
			default:
				v = s.value(e)
			}
			values[i] = append(values[i], v)
		}
	}
	if s.cursor != nil {
		s.openCursor(names, values)
		return true
	}
	s.result(names, values, binary, more)
	return true
}

func (s *server) value(e string) string {
	switch {
	case e == "LAST_INSERT_ID()":
		return strconv.FormatUint(s.lastID, 10)
	case e == "ROW_COUNT()":
		return strconv.FormatInt(s.rowCount, 10)
	case e == "USER()":
		return s.user
	case e == "DATABASE()":
		if s.schema == "" {
			return "\x00"
		}
		return s.schema
	case e == "CONNECTION_ID()":
		return strconv.Itoa(int(s.id))
	case strings.HasPrefix(e, "CAST(@@"):
		return s.vars[strings.Fields(e[7:])[0]]
	case strings.HasPrefix(e, "IFNULL(CAST("):
		return strings.Fields(e[len("IFNULL(CAST("):])[0]
	case strings.HasPrefix(e, "IFNULL("):
		return strings.Split(e[len("IFNULL("):], ",")[0]
	case e == "@@autocommit", e == "@@foreign_key_checks":
		return map[string]string{"ON": "1", "OFF": "0"}[s.vars[e[2:]]]
	case strings.HasPrefix(e, "@@"):
		return s.vars[e[2:]]
	case strings.HasPrefix(e, "@"):
		if v, ok := s.users[e[1:]]; ok {
			return v
		}
		return "\x00"
	case strings.HasPrefix(e, "GET_LOCK("):
		s.locks[strings.Split(e, "'")[1]] = true
		return "1"
	case strings.HasPrefix(e, "RELEASE_LOCK("):
		name := strings.Split(e, "'")[1]
		if !s.locks[name] {
			return "\x00"
		}
		delete(s.locks, name)
		return "1"
	}
	return strings.Trim(e, "'")
}

// result sends rows of strings; "\x00" is NULL.
func (s *server) result(names []string, rows [][]string, binary, more bool) {
	s.sent = wire.AppendColumnCount(s.sent, s.next(), s.caps, len(names), true)
	for _, n := range names {
		s.column(n)
	}
	status := s.status()
	if more {
		status |= wire.StatusMoreResults
	}
	if !s.caps.Has(wire.ClientDeprecateEOF) {
		s.sent = wire.AppendEOF(s.sent, s.next(), s.before, 0)
	}
	for _, row := range rows {
		if binary {
			s.sent = wire.AppendPacket(s.sent, s.next(), binaryRow(row))
			continue
		}
		values := make([][]byte, len(row))
		for i, v := range row {
			if v != "\x00" {
				values[i] = []byte(v)
			}
		}
		s.sent = wire.AppendTextRow(s.sent, s.next(), values...)
	}
	s.sent = wire.AppendResultEnd(s.sent, s.next(), s.caps, wire.OK{Status: status, Track: s.block})
	s.block, s.rowCount = nil, -1
}

func (s *server) column(name string) {
	s.sent = wire.AppendColumn(s.sent, s.next(), s.caps, &wire.Column{Name: []byte(name), Collation: 45, Length: 200, Type: wire.TypeVarString})
}

func binaryRow(row []string) []byte {
	p := make([]byte, 1+(len(row)+9)/8)
	for i, v := range row {
		if v == "\x00" {
			p[1+(i+2)/8] |= 1 << ((i + 2) % 8)
			continue
		}
		p = wire.AppendLenencString(p, v)
	}
	return p
}
