// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

func msg(typ byte, body string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{typ}, uint32(len(body)+4))
	return append(b, body...)
}

func (c *client) pick(list ...string) string { return list[c.w.rng.IntN(len(list))] }

// sql makes a statement. Marks make what one client asks unlike all others.
func (c *client) sql() string {
	m := fmt.Sprintf("'c%d.%d'", c.id, c.marks)
	kind := c.w.rng.IntN(40)
	if c.w.rough && c.w.rng.IntN(2) == 0 {
		kind = []int{0, 1, 23, 23}[c.w.rng.IntN(4)] // BEGIN, its end, INSERT
	}
	switch kind {
	case 0:
		c.now.control = true
		return "begin"
	case 1:
		c.now.control = true
		return c.pick("commit", "commit", "rollback")
	case 2:
		return "set work_mem to " + m
	case 3:
		return "set timezone to " + m
	case 4:
		if c.own {
			// Within a batch, RESET ALL goes back to the defaults of the connection.
			return "select " + m
		}
		return c.pick("reset all", "discard all", "discard all", "deallocate all")
	case 5:
		return "create temp table t" + fmt.Sprint(c.id)
	case 6:
		return c.pick("listen l"+fmt.Sprint(c.id), "unlisten *")
	case 7:
		return c.pick("select pg_advisory_lock(1), "+m, "select pg_advisory_unlock_all(), "+m)
	case 8:
		return c.pick("select nextval('s'), "+m, "select lastval(), "+m, "discard sequences")
	case 9:
		return "copy t to stdout"
	case 10:
		return "create table x" + fmt.Sprint(c.marks)
	case 11:
		return c.pick("deallocate ", "execute ") + c.sqlName()
	case 12:
		return "prepare " + c.sqlName() + " as select " + m
	case 13:
		return "select 1/0, " + m
	case 14:
		return "syntax " + m
	case 15:
		return ""
	case 16, 17:
		return fmt.Sprintf("select %s from generate_series(1,%d)", m, 1+c.w.rng.IntN(5))
	case 23, 24, 25, 26, 27, 28:
		return "insert " + c.row()
	case 18, 19, 20, 21, 22:
		return c.pick("select 'shared a'", "select 'shared b'", "select 'shared c'", "select 'shared d'")
	}
	return "select " + m
}

// sqlName is the name of a statement that is prepared in SQL. Those that are
// prepared by protocol have others: in the proxy the two do not share a space.
func (c *client) sqlName() string { return c.pick("q0", "q1") }

// batch makes the bytes of one request or of one batch that ends with Sync.
func (c *client) batch() []byte {
	rng := c.w.rng
	switch rng.IntN(12) {
	case 0, 1, 2:
		return msg('Q', c.sql()+c.padding(80, 20_000)+"\x00")
	case 8:
		if rng.IntN(3) > 0 {
			break
		}
		c.now.write = true
		return msg('Q', "insert "+c.row()+"\x00")
	case 9:
		if c.own && rng.IntN(4) == 0 {
			return msg('Q', c.pick("reset all", "discard all", `RESET "work_mem"`, `RESET "timezone"`, `RESET "application_name"`)+"\x00")
		}
		return msg('Q', c.sql()+"\x00")
	case 10:
		// In SQL, a statement that was prepared by protocol.
		return msg('Q', c.protocolName()+"\x00")
	case 3:
		var list []string
		for range 2 + rng.IntN(3) {
			list = append(list, c.sql())
		}
		return msg('Q', strings.Join(list, "; ")+"\x00")
	case 4:
		if rng.IntN(3) > 0 {
			if len(c.sent) == 0 && rng.IntN(2) == 0 {
				return c.copyAsked()
			}
			return c.copyIn()
		}
		return msg('F', "\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00")
	}
	var b []byte
	for range 1 + rng.IntN(4) {
		b = append(b, c.extended()...)
		if rng.IntN(6) == 0 {
			b = append(b, msg('H', "")...)
		}
	}
	if rng.IntN(12) == 0 {
		// A text without a Sync ahead; should the batch fail, it is ignored.
		c.now.twice, c.now.control = true, true
		c.once = true // whether the text was ignored is not followed for the unnamed statement
		b = append(b, msg('Q', c.pick("begin", "begin", c.sql())+"\x00")...)
	}
	return append(b, msg('S', "")...)
}

// extended makes some messages of the extended protocol, not all of them right.
func (c *client) extended() (b []byte) {
	rng := c.w.rng
	name, portal := c.pick("", "", "s0", "s1", "s2", "s3", "q0"), c.pick("", "", "", "p1")
	// The unnamed statement is used again only if it cannot be a COPY, whose data
	// would be missing, nor EXECUTE or DEALLOCATE of a statement of the protocol:
	// that means the one that had the name when it was prepared.
	sure := name != "" || !c.once
	if portal != "" && name == "q0" {
		name = ""
	}
	value := ""
	if name != "q0" && (!sure || portal != "" || rng.IntN(3) > 0) {
		sql := c.sql()
		switch {
		case portal != "":
			// What is executed by a named portal is not followed in a pipeline.
			sql = fmt.Sprintf("select 'c%d.%d' from generate_series(1,3)", c.id, c.marks)
		case name == "" && rng.IntN(12) == 0:
			sql = c.protocolName()
			c.once = true
		case strings.HasPrefix(sql, "insert ") && name != "":
			sql = "insert $1"
		case strings.HasPrefix(sql, "insert "):
			c.once = true
		case strings.HasPrefix(sql, "select"):
			sql += c.padding(200, 300_000)
		}
		b = append(b, msg('P', name+"\x00"+sql+"\x00\x00\x00")...)
	}
	if rng.IntN(4) == 0 {
		b = append(b, msg('D', "S"+name+"\x00")...)
	}
	if rng.IntN(6) > 0 {
		if name != "" && portal == "" && rng.IntN(2) == 0 {
			value = c.row() // for an INSERT, if it is one
		}
		b = append(b, bind(portal, name, value)...)
		if rng.IntN(3) == 0 {
			b = append(b, msg('D', "P"+portal+"\x00")...)
		}
		for range 1 + rng.IntN(2) {
			b = append(b, msg('E', portal+"\x00\x00\x00\x00"+string(rune(rng.IntN(3))))...)
		}
	}
	if rng.IntN(5) == 0 {
		b = append(b, msg('C', c.pick("S", "P")+c.pick("", "s0", "s1", "p1")+"\x00")...)
	}
	return b
}

// bind makes a Bind with one parameter, or none if it is "".
func bind(portal, name, value string) []byte {
	body := []byte(portal + "\x00" + name + "\x00\x00\x00\x00")
	if value == "" {
		return msg('B', string(body)+"\x00\x00\x00")
	}
	body = binary.BigEndian.AppendUint32(append(body, 1), uint32(len(value)))
	return msg('B', string(body)+value+"\x00\x00")
}

// protocolName makes SQL about a statement that was prepared by protocol.
func (c *client) protocolName() string {
	return c.pick("deallocate ", "execute ") + c.pick("s0", "s1", "s2", "s3")
}

// padding makes one of so many texts a long one, which streams through the proxy.
func (c *client) padding(of, length int) string {
	if c.w.rng.IntN(of) > 0 {
		return ""
	}
	return " -- " + strings.Repeat("x", length)
}

// copyAsked makes a COPY that sends data when the server asks for it.
func (c *client) copyAsked() (b []byte) {
	c.awaits, c.seen = true, 0
	var data []byte
	for range c.w.rng.IntN(4) {
		data = append(data, msg('d', c.pick("x", "row "+c.row(), "bad", strings.Repeat("long", 50)))...)
	}
	c.data = slices.Concat(data, msg('c', ""))
	if c.w.rng.IntN(2) == 0 {
		c.instead = nil
		return msg('Q', "copy t from stdin\x00")
	}
	c.once = true
	c.instead = msg('S', "")
	c.data = append(c.data, c.instead...)
	b = append(msg('P', "\x00copy t from stdin\x00\x00\x00"), msg('B', "\x00\x00\x00\x00\x00\x00\x00\x00")...)
	return append(append(b, msg('E', "\x00\x00\x00\x00\x00")...), msg('H', "")...)
}

func (c *client) copyIn() (b []byte) {
	rng := c.w.rng
	simple := rng.IntN(2) == 0
	if simple {
		sql := "copy t from stdin"
		if rng.IntN(3) == 0 {
			sql += "; select 'after " + fmt.Sprint(c.id) + "'"
		}
		b = msg('Q', sql+"\x00")
	} else {
		c.once = true
		b = append(msg('P', "\x00copy t from stdin\x00\x00\x00"), msg('B', "\x00\x00\x00\x00\x00\x00\x00\x00")...)
		b = append(b, msg('E', "\x00\x00\x00\x00\x00")...)
		if rng.IntN(2) == 0 {
			c.now.twice, c.ahead = true, true
			b = append(b, msg('S', "")...)
		}
	}
	for range rng.IntN(4) {
		b = append(b, msg('d', c.pick("x", "row "+c.row(), strings.Repeat("long", 50), "bad"))...)
	}
	b = append(b, msg(c.pick("c", "c", "f")[0], "")...)
	if b[len(b)-5] == 'f' {
		b = append(b[:len(b)-5], msg('f', "no\x00")...)
	}
	if !simple {
		b = append(b, msg('S', "")...)
	}
	return b
}
