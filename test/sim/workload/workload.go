// SPDX-License-Identifier: Apache-2.0

// Package workload makes up what virtual clients send: random requests of every
// kind that the model of a server understands, alone, pipelined, in batches,
// with errors, and with all the state that a session can have.
package workload

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Unit is what a client sends for one request: a simple query, a batch of the
// extended protocol with its Sync, a function call.
type Unit struct {
	// Parts are sent one after the other; all but the first wait for
	// CopyInResponse.
	Parts [][]byte
	// Marks are what it inserts, if it is carried out.
	Marks []string
	// Settles tells that it may set parameters back to their defaults, which for
	// a client behind the proxy are those of the start-up a moment later.
	Settles bool
	// Sentence is what it is, for traces.
	Sentence string
}

// Client makes up the requests of one client.
type Client struct {
	Name string
	// Pins is how likely a request is that leaves state in the session.
	Pins float64

	r    *rand.Rand
	seq  int
	text map[string]string // what it believes its prepared statements are
	sql  map[string]bool   // prepared in SQL
	unit Unit
	buf  []byte
}

// New makes a client.
func New(name string, r *rand.Rand) *Client {
	return &Client{Name: name, r: r, text: make(map[string]string), sql: make(map[string]bool)}
}

// shared are texts that all clients prepare.
var shared = [...]string{
	"select sim_state($1)",
	"insert into sim_log values ($1)",
	"select sim_row($1, i) from generate_series(1,3) i",
	"select sim_row($1, i) from generate_series(1,30) i",
	"select sim_sleep($1)",
	"select sim_fail($1)",
}

func (c *Client) chance(p float64) bool { return c.r.Float64() < p }

func pick[T any](c *Client, of ...T) T { return of[c.r.IntN(len(of))] }

// mark gives a new mark, which no other request of any client has.
func (c *Client) mark() string {
	c.seq++
	return c.Name + "." + strconv.Itoa(c.seq)
}

// inserted gives a new mark that is noted as inserted.
func (c *Client) inserted() string {
	m := c.mark()
	c.unit.Marks = append(c.unit.Marks, m)
	return m
}

// Next makes up a request. status is the client's transaction status, as far as
// it knows.
func (c *Client) Next(status byte) Unit {
	c.unit = Unit{}
	c.buf = nil
	switch n := c.r.IntN(100); {
	case n < 40:
		c.query(c.texts(status))
	case n < 86:
		c.batch(status)
	case n < 94:
		c.copyIn()
	case n < 96:
		c.say("function call")
		c.message('F', "\x00\x00\x00\x59\x00\x00\x00\x00\x00\x00")
	case n < 98:
		c.say("sync")
		c.message('S', "")
	default:
		c.say("flush, late copy data, sync")
		c.message('H', "")
		c.message('d', "1\n")
		c.message('c', "")
		c.message('S', "")
	}
	c.cut()
	return c.unit
}

// End makes up the last request, which leaves no transaction open.
func (c *Client) End() Unit {
	c.unit = Unit{}
	c.buf = nil
	c.query("rollback")
	c.cut()
	return c.unit
}

func (c *Client) say(format string, args ...any) {
	c.unit.Sentence += fmt.Sprintf(format, args...) + "; "
}

func (c *Client) message(typ byte, body string) {
	c.buf = append(c.buf, typ)
	c.buf = binary.BigEndian.AppendUint32(c.buf, uint32(len(body)+4))
	c.buf = append(c.buf, body...)
}

// cut ends a part.
func (c *Client) cut() {
	c.unit.Parts = append(c.unit.Parts, c.buf)
	c.buf = nil
}

func (c *Client) query(text string) {
	c.say("query %s", text)
	if c.chance(0.01) {
		// Longer than what the proxy holds to be complete.
		text += fmt.Sprintf(" -- %020000d", 0)
	}
	c.message('Q', text+"\x00")
}

// texts makes up the text of a simple query.
func (c *Client) texts(status byte) string {
	var text strings.Builder
	text.WriteString(c.statement(status, true))
	for c.chance(0.15) {
		text.WriteString("; " + c.statement(status, true))
	}
	return text.String()
}

// statement makes up a statement without parameters.
func (c *Client) statement(status byte, simple bool) string {
	if status != 'I' && c.chance(0.3) || status == 'E' && c.chance(0.5) {
		return pick(c, "commit", "rollback")
	}
	if c.chance(c.Pins) {
		return c.stateful(simple)
	}
	switch n := c.r.IntN(100); {
	case n < 30:
		return "select sim_state('" + c.mark() + "')"
	case n < 42:
		return "insert into sim_log values ('" + c.inserted() + "')"
	case n < 52:
		return fmt.Sprintf("select sim_row('%s', i) from generate_series(1,%d) i", c.mark(), pick(c, 1, 3, 10, 60))
	case n < 56:
		return "select sim_sleep('" + c.mark() + "')"
	case n < 61:
		return "select sim_fail('" + c.mark() + "')"
	case n < 63:
		return "selec 1"
	case n < 65:
		return "select nothing from sim_nowhere"
	case n < 76:
		return "begin"
	case n < 79:
		return pick(c, "commit", "rollback")
	case n < 82:
		return "set local sim.a = '" + c.Name + "'"
	case n < 86:
		return "do $$ begin raise notice '" + c.mark() + "'; end $$"
	case n < 89:
		return fmt.Sprintf("copy (select sim_row('%s', i) from generate_series(1,%d) i) to stdout", c.mark(), pick(c, 1, 20))
	case n < 90:
		return ""
	case n < 91:
		return "create or replace function sim_dummy() returns int language sql as 'select 1'"
	case n < 94:
		return "notify " + pick(c, "one", "two") + ", '" + c.mark() + "'"
	case simple:
		return c.named()
	}
	return "select sim_state('" + c.mark() + "')"
}

// named makes up SQL about prepared statements.
func (c *Client) named() string {
	name := c.name()
	text := c.text[name]
	if c.chance(0.25) {
		delete(c.text, name)
		return "deallocate " + name
	}
	switch text {
	case shared[1]:
		return "execute " + name + "('" + c.inserted() + "')"
	case shared[0], shared[2], shared[3], shared[4], shared[5]:
		return "execute " + name + "('" + c.mark() + "')"
	}
	return "select sim_state('" + c.mark() + "')"
}

// stateful makes up a statement that leaves state in the session, or clears it.
func (c *Client) stateful(simple bool) string {
	switch n := c.r.IntN(100); {
	case n < 22:
		return "set sim.a = '" + c.mark() + "'"
	case n < 30:
		return "set timezone = '" + pick(c, "UTC", "CET", "MET") + "'"
	case n < 36:
		return "set application_name = '" + c.Name + "'"
	case n < 40:
		return "reset sim.a"
	case n < 52:
		c.unit.Settles = true
		return "reset all"
	case n < 68:
		c.unit.Settles = true
		if !simple || c.chance(0.9) {
			clear(c.text)
			clear(c.sql)
		}
		return "discard all"
	case n < 72:
		return "listen " + pick(c, "one", "two")
	case n < 77:
		return "unlisten *"
	case n < 82:
		return "create temp table sim_t" + strconv.Itoa(c.r.IntN(3)) + " (a int)"
	case n < 86:
		c.seq++
		return "select pg_advisory_lock(" + strconv.Itoa(c.number()) + ")"
	case n < 90:
		return "select pg_advisory_unlock_all()"
	case n < 93:
		clear(c.text)
		clear(c.sql)
		return "deallocate all"
	case !simple:
		return "set sim.a = '" + c.mark() + "'"
	case n < 97:
		name := pick(c, "q0", "q1")
		c.sql[name] = true
		return "prepare " + name + " as select sim_state('" + c.mark() + "')"
	}
	name := pick(c, "q0", "q1")
	if c.sql[name] && c.chance(0.7) {
		return "execute " + name
	}
	delete(c.sql, name)
	return "deallocate " + name
}

// number is a number of the client's own.
func (c *Client) number() int {
	n := 0
	for _, ch := range c.Name {
		if ch >= '0' && ch <= '9' {
			n = n*10 + int(ch-'0')
		}
	}
	return n*100000 + c.seq
}
