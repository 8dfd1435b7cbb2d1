// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// state is the session state of a PostgreSQL connection that a transaction's
// end can undo.
type state struct {
	workMem, timeZone, app string
	temp, listen           string
}

func (s state) String() string {
	return s.workMem + "," + s.timeZone + "," + s.app + "," + s.temp + "," + s.listen
}

// postgres is a model of one PostgreSQL backend: an exact state machine of the
// protocol over a very small SQL. What it answers depends on the bytes it has
// received and on nothing else, and each row shows the text that asked for it
// and the session state that the text can see. So two of them, one behind the
// proxy and shared, one reached directly and alone, must answer a client alike.
type postgres struct {
	base, cur, saved state
	tx               byte // 'I', 'T', 'E'
	inBatch          bool // an implicit transaction is open (extended protocol)
	locks            int
	sequence         bool
	statements       map[string]string
	portals          map[string]*portal
	skip             bool // ignoring all up to Sync
	copying          *copying
	in               []byte
	out              []byte // not sent yet
	sent             []byte // on its way
	dead             bool
	// extended: the message being handled is one after whose error all is
	// ignored up to Sync.
	extended bool
	// cancelled: a cancel request has hit what runs next.
	cancelled bool
	// dying: the server is told to end, and does so at its next statement; if late,
	// when that is committed.
	dying, late bool
	// pending are the rows that the open transaction has written; committed and
	// dropped are called when they are there for good, or are not.
	pending            []string
	committed, dropped func(rows []string)
	resumed            bool // going on behind a COPY in a string of statements
}

type portal struct {
	sql  string
	row  string // its parameter
	next int
	over bool // nothing that returns rows, and carried out
}

// copying is a COPY FROM STDIN under way; rest is what is left of the string of
// statements that it is in.
type copying struct {
	rest   []string
	simple bool
	lines  int
}

type sqlError struct{ code, text string }

func newPostgres(base state) *postgres {
	return &postgres{
		base: base, cur: base, saved: base, tx: 'I',
		statements: make(map[string]string), portals: make(map[string]*portal),
	}
}

func (p *postgres) message(typ byte, body string) {
	p.out = append(p.out, typ)
	p.out = binary.BigEndian.AppendUint32(p.out, uint32(len(body)+4))
	p.out = append(p.out, body...)
}

func (p *postgres) flush() {
	p.sent = append(p.sent, p.out...)
	p.out = p.out[:0]
}

// receive takes bytes as they come, in any cut.
func (p *postgres) receive(b []byte) {
	if p.dead {
		return
	}
	p.in = append(p.in, b...)
	for len(p.in) >= 5 && !p.dead {
		n := int(binary.BigEndian.Uint32(p.in[1:])) + 1
		if len(p.in) < n {
			return
		}
		m := p.in[:n]
		p.in = p.in[n:]
		p.handle(m[0], string(m[5:]))
	}
}

func cut(s string) (string, string) { a, b, _ := strings.Cut(s, "\x00"); return a, b }

func (p *postgres) handle(typ byte, body string) {
	if p.copying != nil {
		p.handleCopy(typ, body)
		return
	}
	if p.skip && typ != 'S' && typ != 'X' {
		return
	}
	p.extended = strings.IndexByte("PBDECH", typ) >= 0
	switch typ {
	case 'Q':
		sql, _ := cut(body)
		sql, _, _ = strings.Cut(sql, " -- ")
		delete(p.statements, "")
		list := strings.Split(sql, ";")
		if slices.ContainsFunc(list, func(s string) bool { return strings.HasPrefix(strings.TrimSpace(s), "syntax") }) {
			p.fail(&sqlError{"42601", "syntax error\x00P1"}) // nothing of it is carried out
			p.endBatch()
			p.ready()
			return
		}
		p.query(list, len(list) > 1)
	case 'P':
		p.parse(body)
	case 'B':
		p.bind(body)
	case 'D':
		p.describe(body[0], body[1:len(body)-1])
	case 'E':
		name, _ := cut(body)
		p.execute(name, int(binary.BigEndian.Uint32([]byte(body[len(name)+1:]))))
	case 'C':
		if body[0] == 'S' {
			delete(p.statements, body[1:len(body)-1])
		} else {
			delete(p.portals, body[1:len(body)-1])
		}
		p.message('3', "")
	case 'H':
		p.flush()
	case 'S':
		p.skip = false
		p.endBatch()
		if p.dying && p.late && p.saved.listen != "" {
			p.end() // it looks for notifications when it has committed
			return
		}
		p.ready()
	case 'F':
		if p.tx == 'E' {
			p.fail(&sqlError{"25P02", "current transaction is aborted"})
		} else {
			p.message('V', "\xff\xff\xff\xff")
		}
		p.endBatch()
		p.ready()
	case 'X':
		p.dead = true
	}
}

// endBatch commits the implicit transaction.
func (p *postgres) endBatch() {
	if p.tx == 'I' {
		p.commit()
	}
	p.inBatch = false
}

// commit makes what the transaction has done last.
func (p *postgres) commit() {
	p.saved = p.cur
	clear(p.portals)
	if rows := p.pending; rows != nil {
		p.pending = nil
		p.committed(rows)
	}
}

// rollback undoes what the transaction has done.
func (p *postgres) rollback() {
	p.setState(p.saved)
	clear(p.portals)
	if rows := p.pending; rows != nil {
		p.pending = nil
		p.dropped(rows)
	}
}

// end is what a server does that is told to: it undoes its transaction, says so
// and is gone.
func (p *postgres) end() {
	p.message('E', "SFATAL\x00VFATAL\x00C57P01\x00Mterminating connection due to administrator command\x00\x00")
	p.flush()
	p.die()
}

// die ends it without a word.
func (p *postgres) die() {
	p.dead = true
	p.pending, p.in, p.out = nil, nil, nil
}

func (p *postgres) ready() {
	p.cancelled = false // a request that comes too late has no effect
	if p.tx == 'I' {
		clear(p.portals)
	}
	p.message('Z', string(p.tx))
	p.flush()
}

func (p *postgres) setState(s state) {
	if s.timeZone != p.cur.timeZone {
		p.message('S', "TimeZone\x00"+s.timeZone+"\x00")
	}
	p.cur = s
}

func (p *postgres) fail(e *sqlError) {
	p.message('E', "SERROR\x00VERROR\x00C"+e.code+"\x00M"+e.text+"\x00\x00")
	switch p.tx {
	case 'T':
		p.tx = 'E'
	case 'I':
		p.rollback()
	}
	if p.extended {
		p.skip = true
	}
	p.flush() // a server does not keep errors back
}

func (p *postgres) query(list []string, many bool) {
	if strings.Trim(strings.Join(list, ""), " ") == "" && !p.resumed {
		p.message('I', "")
	}
	for i, sql := range list {
		sql = strings.TrimSpace(sql)
		if sql == "" {
			continue
		}
		if sql == "copy t from stdin" && p.tx != 'E' {
			p.message('G', "\x00\x00\x00")
			p.flush()
			p.copying = &copying{rest: list[i+1:], simple: true}
			return
		}
		p.inBatch = many
		if e := p.run(sql, true, 0, nil); e != nil {
			p.fail(e)
			break
		}
		if p.dead {
			return
		}
	}
	p.endBatch()
	if p.dying && p.late {
		p.end() // what it has done is committed
		return
	}
	p.ready()
}

func (p *postgres) handleCopy(typ byte, body string) {
	c := p.copying
	p.extended = !c.simple
	if p.dying {
		p.end()
		return
	}
	switch typ {
	case 'S', 'H':
		return
	case 'd':
		c.lines++
		if row, ok := strings.CutPrefix(body, "row "); ok {
			p.pending = append(p.pending, row)
		}
		if body != "bad" {
			return
		}
		p.copying = nil
		p.fail(&sqlError{"22P02", "invalid input"})
	case 'c':
		p.copying = nil
		p.message('C', fmt.Sprintf("COPY %d\x00", c.lines))
		if c.simple {
			p.resumed = true
			p.query(c.rest, true)
			p.resumed = false
		}
		return
	case 'f':
		p.copying = nil
		p.fail(&sqlError{"57014", "COPY from stdin failed"})
	case 'X':
		p.dead = true
		return
	default:
		p.message('E', "SFATAL\x00VFATAL\x00C08P01\x00Munexpected message during COPY\x00\x00")
		p.flush()
		p.dead = true
		return
	}
	if c.simple {
		p.endBatch()
		p.ready()
	}
}

func (p *postgres) aborted(sql string) bool {
	return p.tx == 'E' && sql != "rollback" && sql != "commit" && sql != "ROLLBACK"
}

func (p *postgres) parse(body string) {
	name, rest := cut(body)
	sql, _ := cut(rest)
	sql, _, _ = strings.Cut(sql, " -- ")
	if name == "" {
		delete(p.statements, "")
	}
	switch {
	case strings.HasPrefix(sql, "syntax"):
		p.fail(&sqlError{"42601", "syntax error\x00P1"})
		return
	case p.aborted(sql):
		p.fail(&sqlError{"25P02", "current transaction is aborted"})
		return
	}
	if _, taken := p.statements[name]; taken && name != "" {
		p.fail(&sqlError{"42P05", `prepared statement "` + name + `" already exists`})
		return
	}
	p.statements[name] = sql
	p.message('1', "")
}

func (p *postgres) bind(body string) {
	name, rest := cut(body)
	stmt, _ := cut(rest)
	sql, ok := p.statements[stmt]
	if !ok {
		p.fail(&sqlError{"26000", `prepared statement "` + stmt + `" does not exist`})
		return
	}
	if p.aborted(sql) {
		p.fail(&sqlError{"25P02", "current transaction is aborted"})
		return
	}
	if _, taken := p.portals[name]; taken && name != "" {
		p.fail(&sqlError{"42P03", `cursor "` + name + `" already exists`})
		return
	}
	po := &portal{sql: sql}
	if values := rest[len(stmt)+1:]; values[3] == 1 { // one parameter
		po.row = values[8 : len(values)-2]
	}
	p.portals[name] = po
	p.message('2', "")
}

func (p *postgres) describe(what byte, name string) {
	sql := ""
	if what == 'S' {
		s, ok := p.statements[name]
		if !ok {
			p.fail(&sqlError{"26000", `prepared statement "` + name + `" does not exist`})
			return
		}
		sql = s
		if p.aborted(sql) {
			p.fail(&sqlError{"25P02", "current transaction is aborted"})
			return
		}
		p.message('t', "\x00\x00")
	} else {
		po := p.portals[name]
		if po == nil {
			p.fail(&sqlError{"34000", `portal "` + name + `" does not exist`})
			return
		}
		sql = po.sql
	}
	if strings.HasPrefix(sql, "select") {
		p.message('T', "\x00\x01a\x00"+strings.Repeat("\x00", 18))
	} else {
		p.message('n', "")
	}
}

func (p *postgres) execute(name string, limit int) {
	po := p.portals[name]
	if po == nil {
		p.fail(&sqlError{"34000", `portal "` + name + `" does not exist`})
		return
	}
	if p.aborted(po.sql) {
		p.fail(&sqlError{"25P02", "current transaction is aborted"})
		return
	}
	if po.sql == "" {
		p.message('I', "")
		return
	}
	if po.over {
		p.fail(&sqlError{"55000", `portal "` + name + `" cannot be run`})
		return
	}
	po.over = !strings.HasPrefix(po.sql, "select")
	if po.sql == "copy t from stdin" {
		p.message('G', "\x00\x00\x00")
		p.flush()
		p.copying = &copying{}
		return
	}
	if e := p.run(po.sql, false, limit, po); e != nil {
		p.fail(e)
	}
}
