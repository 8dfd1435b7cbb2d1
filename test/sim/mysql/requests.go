// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"fmt"
	"slices"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// mark is a text that tells whose it is.
func (c *client) mark() string { return fmt.Sprintf("c%dm%d", c.id, c.marks) }

// row is a row to be inserted, with its id.
func (c *client) row() string { return fmt.Sprintf("%s:%d", c.mark(), c.id*1000+c.marks+1) }

// choose gives the command to be sent next.
func (c *client) choose() request {
	if len(c.script) > 0 {
		r := c.script[0]
		c.script = c.script[1:]
		if len(c.script) == 0 {
			c.unclear = false
		}
		return r
	}
	if c.mayLose && !c.resuming && len(c.sent) == 0 && c.w.rng.IntN(6) == 0 {
		c.resume(false)
		return c.choose()
	}
	if r, ok := c.special(); ok {
		return r
	}
	return c.next()
}

func (c *client) next() request {
	rng := c.w.rng
	switch n := rng.IntN(100); {
	case n < 55:
		r := request{}
		sql, row := c.sql()
		if row != "" {
			r.rows = []string{row}
		}
		if rng.IntN(15) == 0 && row == "" {
			// Not what asks for the statement before, nor a change of sql_mode in the
			// middle: the proxy looks at a text as a whole.
			sql, _ = c.selects()
			sql = "SELECT '" + c.mark() + "', @@time_zone; " + pick(rng.IntN, "SET time_zone='multi'; ", "BOGUS; ", "BEGIN; ", "") + sql
		}
		r.p = wire.AppendQuery(nil, c.caps, sql)
		c.unclear = c.unclear && sql == "SHOW WARNINGS"
		return r
	case n < 65:
		return c.prepare()
	case n < 85:
		return c.execute()
	case n < 88:
		id := c.anyStatement()
		delete(c.stmts, id)
		if c.newest == id {
			c.newest = 0
		}
		return request{p: wire.AppendIDCommand(nil, wire.ComStmtClose, id), silent: true}
	case n < 90:
		return request{p: wire.AppendIDCommand(nil, wire.ComStmtReset, c.anyStatement())}
	case n < 93:
		return request{p: wire.AppendCommand(nil, wire.ComInitDB, fmt.Sprintf("s%d", rng.IntN(3)))}
	case n < 94:
		return request{p: wire.AppendCommand(nil, wire.ComInitDB, "nowhere")}
	case n < 97:
		return request{p: wire.AppendCommand(nil, wire.ComPing, "")}
	}
	return c.reset()
}

func (c *client) reset() request {
	clear(c.stmts)
	c.longData, c.newest = false, 0
	return request{p: wire.AppendCommand(nil, wire.ComResetConnection, "")}
}

// sql makes up a statement, and tells the row that it inserts.
func (c *client) sql() (text, row string) {
	rng := c.w.rng
	switch rng.IntN(12) {
	case 0, 1, 2:
		return c.selects()
	case 3, 4:
		row := c.row()
		if rng.IntN(4) == 0 {
			return "INSERT INTO e VALUES ('" + row + "')", row
		}
		return "INSERT INTO t VALUES ('" + row + "')", row
	case 5:
		return pick(rng.IntN, "BEGIN", "COMMIT", "ROLLBACK", "COMMIT", "ROLLBACK"), ""
	case 6, 7:
		return c.sets(), ""
	case 8:
		return pick(rng.IntN, "USE s0", "USE s1", "USE nowhere", "UPDATE t SET v = '"+c.mark()+"'", "BOGUS "+c.mark()), ""
	case 9:
		if c.longData || c.unclear {
			return c.selects()
		}
		return "SHOW WARNINGS", ""
	case 10:
		return pick(rng.IntN, "CREATE TEMPORARY TABLE tmp1 AS SELECT '"+c.mark()+"' AS made", "DROP TEMPORARY TABLE tmp1",
			"SELECT made FROM tmp1", "SELECT 'x' FROM tmp1", "DROP TEMPORARY TABLE tmp1"), ""
	}
	return pick(rng.IntN, fmt.Sprintf("SELECT GET_LOCK('l%d', 0)", c.id), fmt.Sprintf("SELECT RELEASE_LOCK('l%d')", c.id)), ""
}

func pick(n func(int) int, list ...string) string { return list[n(len(list))] }

func (c *client) selects() (text, row string) {
	text = "SELECT '" + c.mark() + "'"
	for range c.w.rng.IntN(4) {
		e := pick(c.w.rng.IntN, "@@time_zone", "@@sql_mode", "@@autocommit", "@@sql_select_limit", "@@"+untracked,
			"@u", "LAST_INSERT_ID()", "ROW_COUNT()", "DATABASE()", "CONNECTION_ID()", "@@foreign_key_checks", "@@collation_connection",
			"@@character_set_client", "@@session_track_schema", "@@"+trackList, "USER()")
		if e == "ROW_COUNT()" && c.unclear {
			e = "USER()"
		}
		text += ", " + e
	}
	if c.w.rng.IntN(4) == 0 {
		text += ", written FROM t"
	}
	return text, ""
}

func (c *client) sets() string {
	rng := c.w.rng
	switch rng.IntN(9) {
	case 7:
		return pick(rng.IntN, "SET session_track_state_change=0", "SET session_track_state_change=1", "SET session_track_schema=0",
			"SET session_track_schema=1", "SET session_track_system_variables='sql_mode',time_zone='t'",
			"SET time_zone='t',session_track_system_variables='time_zone',foreign_key_checks=0", "SET session_track_system_variables='*'")
	case 0:
		return "SET @u = '" + c.mark() + "'"
	case 1:
		if rng.IntN(3) == 0 {
			return fmt.Sprintf("SET %s=%d", untracked, rng.IntN(5000))
		}
	case 2:
		return pick(rng.IntN, "SET autocommit=0", "SET autocommit=1", "SET autocommit=1")
	case 3:
		return pick(rng.IntN, "SET NAMES utf8mb4", "SET NAMES latin1")
	case 4:
		return pick(rng.IntN, "SET foreign_key_checks=0", "SET foreign_key_checks=1", "SET nosuch=1")
	case 5:
		return pick(rng.IntN, "SET sql_mode=''", "SET sql_mode='ANSI_QUOTES'", "SET sql_mode='STRICT_TRANS_TABLES'",
			"SET sql_mode='NO_BACKSLASH_ESCAPES'")
	case 6:
		return fmt.Sprintf("SET sql_select_limit=%d,time_zone='c%d'", rng.IntN(3), c.id)
	}
	return fmt.Sprintf("SET time_zone='c%dz%d'", c.id, rng.IntN(3))
}

func (c *client) prepare() request {
	rng := c.w.rng
	meaning := "SELECT meaning, 'x' FROM t"
	if c.direct.schema == "" { // no server can be made to have none again
		meaning = "SELECT 'x' FROM t"
	}
	text := pick(rng.IntN, meaning, "SELECT ?, 'all'", "SELECT ?, ?, @@time_zone", "SELECT LAST_INSERT_ID(), DATABASE()",
		"INSERT INTO t VALUES (?)", "SELECT '"+c.mark()+"', ?", "SELECT ?, 'all'", "SYNTAX ERROR",
		"SET time_zone='prepared'", "SELECT written FROM t", "SELECT CONNECTION_ID(), @u",
		"SELECT n, USER() FROM series", "SELECT n, ? FROM series")
	r := request{p: wire.AppendCommand(nil, wire.ComStmtPrepare, text)}
	c.newest, c.lastUnsure = 0, false
	if text != "SYNTAX ERROR" {
		c.prepared++
		n := 0
		for _, b := range []byte(text) {
			if b == '?' {
				n++
			}
		}
		c.stmts[c.prepared] = &known{text: text, params: n}
		c.newest = c.prepared
		r.undo = func() {
			delete(c.stmts, c.prepared)
			c.prepared, c.newest, c.lastUnsure = c.prepared-1, 0, true
		}
	}
	return r
}

func (c *client) anyStatement() uint32 {
	if len(c.stmts) == 0 || c.w.rng.IntN(30) == 0 {
		return 1 + c.w.rng.Uint32N(c.prepared+7)
	}
	ids := make([]uint32, 0, len(c.stmts))
	for id := range c.stmts {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids[c.w.rng.IntN(len(ids))]
}

func (c *client) execute() request {
	rng := c.w.rng
	id := c.anyStatement()
	p := []byte{byte(wire.ComStmtExecute), 0, 0, 0, 0, 0, 1, 0, 0, 0}
	wire.PutStatementID(p, id)
	st := c.stmts[id]
	if c.w.mariaDB && !c.lastUnsure && rng.IntN(6) == 0 { // the one prepared last, or none
		wire.PutStatementID(p, wire.LastStatement)
		id, st = c.newest, c.stmts[c.newest]
	}
	if st == nil {
		return request{p: wire.AppendPacket(nil, 0, p)}
	}
	c.unclear = false
	if c.w.mariaDB && st.text == "INSERT INTO t VALUES (?)" && rng.IntN(2) == 0 {
		return c.bulk(p, st)
	}
	inserts := st.text == "INSERT INTO t VALUES (?)"
	if st.params > 0 && !inserts && rng.IntN(6) == 0 {
		return c.sendLong(id, st)
	}
	if rng.IntN(4) == 0 && !c.longData {
		p[5] = wire.CursorReadOnly
	}
	r := request{}
	if st.params > 0 {
		types := st.types
		if types == nil || rng.IntN(3) == 0 || inserts {
			types = nil
			for range st.params {
				t := wire.TypeVarString
				if rng.IntN(2) == 0 && !inserts {
					t = wire.TypeLongLong
				}
				types = append(types, byte(t), 0)
			}
		}
		with := byte(1)
		if st.types != nil && slices.Equal(types, st.types) && rng.IntN(3) > 0 || st.types == nil && rng.IntN(10) == 0 {
			with = 0
		}
		if st.unsure {
			with, st.unsure = 1, false
		}
		p = append(p, 0, with)
		if with == 1 {
			p = append(p, types...)
			st.types = types
		}
		if st.types == nil {
			types = make([]byte, 2*st.params)
		}
		for i := range st.params {
			switch {
			case inserts && with == 1 || inserts && st.types != nil:
				r.rows = []string{c.row()}
				p = wire.AppendLenencString(p, r.rows[0])
			case st.types != nil && wire.Type(types[2*i]) == wire.TypeLongLong:
				p = binary.LittleEndian.AppendUint64(p, uint64(c.id*1000+c.marks))
			default:
				p = wire.AppendLenencString(p, c.mark())
			}
		}
	}
	r.p = wire.AppendPacket(nil, 0, p)
	return r
}

// sendLong sends the value of the first parameter ahead. The execution that
// follows leaves it out.
func (c *client) sendLong(id uint32, st *known) request {
	p := []byte{byte(wire.ComStmtSendLongData), 0, 0, 0, 0, 0, 0}
	wire.PutStatementID(p, id)
	c.longData, c.unclear = true, false
	p = append(p, "long "+c.mark()...)
	return request{p: wire.AppendPacket(nil, 0, p), silent: true}
}
