// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"fmt"
	"sort"
	"strconv"
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
	resumed   bool // going on behind a COPY in a string of statements
}

type portal struct {
	sql  string
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
		p.handle(p.in[0], string(p.in[5:n]))
		p.in = p.in[n:]
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
		p.saved = p.cur
		clear(p.portals)
	}
	p.inBatch = false
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
		p.setState(p.saved)
		clear(p.portals)
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
	}
	p.endBatch()
	p.ready()
}

func (p *postgres) handleCopy(typ byte, body string) {
	c := p.copying
	p.extended = !c.simple
	switch typ {
	case 'S', 'H':
		return
	case 'd':
		c.lines++
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
		p.fail(&sqlError{"42601", "syntax error"})
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
	p.portals[name] = &portal{sql: sql}
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

// run carries out one statement.
func (p *postgres) run(sql string, describe bool, limit int, po *portal) *sqlError {
	if p.aborted(sql) {
		return &sqlError{"25P02", "current transaction is aborted"}
	}
	if p.cancelled {
		p.cancelled = false
		return &sqlError{"57014", "canceling statement due to user request"}
	}
	defer func() { p.inBatch = true }()
	tag := ""
	s := p.cur
	word, _, _ := strings.Cut(sql, " ")
	switch {
	case strings.HasPrefix(sql, "SELECT pg_catalog.set_config("):
		p.setConfig(sql)
		return nil
	case strings.HasPrefix(sql, "RESET \""):
		switch strings.ToLower(strings.Trim(sql[6:], `"`)) {
		case "application_name":
			s.app = p.base.app
		case "timezone":
			s.timeZone = p.base.timeZone
		case "work_mem":
			s.workMem = p.base.workMem
		}
		p.setState(s)
		tag = "RESET"
	case word == "select" || word == "execute":
		return p.selection(sql, describe, limit, po)
	case strings.HasPrefix(sql, "ROLLBACK TO "):
		return &sqlError{"3B001", "savepoint does not exist"}
	case word == "begin", word == "BEGIN":
		p.tx = 'T'
		tag = "BEGIN"
	case word == "commit" && p.tx != 'E':
		p.tx, p.saved, tag = 'I', p.cur, "COMMIT"
		clear(p.portals)
	case word == "commit", word == "rollback", word == "ROLLBACK":
		p.tx, tag = 'I', "ROLLBACK"
		p.setState(p.saved)
		clear(p.portals)
	case strings.HasPrefix(sql, "set work_mem to '"):
		s.workMem = sql[len("set work_mem to '") : len(sql)-1]
		p.setState(s)
		tag = "SET"
	case strings.HasPrefix(sql, "set timezone to '"):
		s.timeZone = sql[len("set timezone to '") : len(sql)-1]
		p.setState(s)
		tag = "SET"
	case sql == "reset all":
		s.workMem, s.timeZone, s.app = p.base.workMem, p.base.timeZone, p.base.app
		p.setState(s)
		tag = "RESET"
	case strings.EqualFold(sql, "discard all"):
		if p.tx != 'I' || p.inBatch {
			return &sqlError{"25001", "DISCARD ALL cannot run inside a transaction block"}
		}
		p.setState(p.base)
		p.saved = p.base
		p.locks, p.sequence = 0, false
		p.forgetStatements()
		tag = "DISCARD ALL"
	case sql == "DISCARD SEQUENCES", sql == "discard sequences":
		p.sequence = false
		tag = "DISCARD SEQUENCES"
	case sql == "deallocate all":
		p.forgetStatements()
		tag = "DEALLOCATE ALL"
	case word == "deallocate":
		name := sql[len("deallocate "):]
		if _, ok := p.statements[name]; !ok {
			return &sqlError{"26000", `prepared statement "` + name + `" does not exist`}
		}
		delete(p.statements, name)
		tag = "DEALLOCATE"
	case word == "prepare":
		name, text, _ := strings.Cut(sql[len("prepare "):], " as ")
		if _, taken := p.statements[name]; taken {
			return &sqlError{"42P05", `prepared statement "` + name + `" already exists`}
		}
		p.statements[name] = text
		tag = "PREPARE"
	case strings.HasPrefix(sql, "create temp table "):
		s.temp = sql[len("create temp table "):]
		p.setState(s)
		tag = "CREATE TABLE"
	case strings.HasPrefix(sql, "create table "):
		tag = "CREATE TABLE"
	case strings.HasPrefix(sql, "listen "):
		s.listen = sql[len("listen "):]
		p.setState(s)
		tag = "LISTEN"
	case sql == "unlisten *":
		s.listen = ""
		p.setState(s)
		tag = "UNLISTEN"
	case sql == "copy t to stdout":
		p.message('H', "\x00\x00\x00")
		for range 3 {
			p.message('d', p.cur.String()+"\n")
		}
		p.message('c', "")
		tag = "COPY 3"
	default:
		return &sqlError{"42601", "syntax error"}
	}
	p.message('C', tag+"\x00")
	return nil
}

func (p *postgres) forgetStatements() {
	unnamed, ok := p.statements[""]
	clear(p.statements)
	if ok {
		p.statements[""] = unnamed
	}
}

// setConfig is the proxy's own way to set parameters.
func (p *postgres) setConfig(sql string) {
	s := p.cur
	for _, call := range strings.Split(sql, "set_config(")[1:] {
		f := strings.Split(call, ",")
		value := strings.Trim(f[1], "'")
		switch strings.ToLower(strings.Trim(f[0], "'")) {
		case "application_name":
			s.app = value
		case "timezone":
			s.timeZone = value
		}
	}
	p.setState(s)
	p.message('T', "\x00\x00")
	p.message('D', "\x00\x00")
	p.message('C', "SELECT 1\x00")
}

// selection answers a SELECT: rows with its own text and the session's state.
func (p *postgres) selection(sql string, describe bool, limit int, po *portal) *sqlError {
	if name, ok := strings.CutPrefix(sql, "execute "); ok {
		text, ok := p.statements[name]
		if !ok {
			return &sqlError{"26000", `prepared statement "` + name + `" does not exist`}
		}
		if !strings.HasPrefix(text, "select") {
			return p.run(text, describe, 0, nil)
		}
		sql = text
	}
	rows := 1
	switch {
	case strings.HasPrefix(sql, "select 1/0"):
		return &sqlError{"22012", "division by zero"}
	case strings.HasPrefix(sql, "select pg_advisory_lock("):
		p.locks++
	case strings.HasPrefix(sql, "select pg_advisory_unlock_all("):
		p.locks = 0
	case strings.HasPrefix(sql, "select nextval("):
		p.sequence = true
	case strings.HasPrefix(sql, "select lastval("):
		if !p.sequence {
			return &sqlError{"55000", "lastval is not yet defined in this session"}
		}
	}
	if _, n, ok := strings.Cut(sql, "generate_series(1,"); ok {
		rows, _ = strconv.Atoi(strings.TrimSuffix(n, ")"))
	}
	if describe {
		p.message('T', "\x00\x01a\x00"+strings.Repeat("\x00", 18))
	}
	from := 0
	if po != nil {
		from = po.next
	}
	done := 0
	for i := from; i < rows; i++ {
		if limit > 0 && done == limit {
			po.next = i
			p.message('s', "")
			return nil
		}
		text := fmt.Sprintf("%s|%d|%s|%d|%v", sql, i, p.cur, p.locks, p.sequence)
		p.message('D', "\x00\x01"+string(binary.BigEndian.AppendUint32(nil, uint32(len(text))))+text)
		done++
	}
	if po != nil {
		po.next = rows
	}
	p.message('C', fmt.Sprintf("SELECT %d\x00", done))
	return nil
}

// leftovers describes what a client has left behind; "" for a clean backend.
func (p *postgres) leftovers(app, zone string) string {
	var list []string
	want := p.base
	if app != "" {
		want.app = app
	}
	if zone != "" {
		want.timeZone = zone
	}
	if p.cur != want {
		list = append(list, fmt.Sprintf("state %s instead of %s", p.cur, want))
	}
	if p.tx != 'I' || p.inBatch || p.skip || p.copying != nil || p.locks != 0 {
		list = append(list, fmt.Sprintf("tx %c batch %v skip %v copy %v locks %d", p.tx, p.inBatch, p.skip, p.copying != nil, p.locks))
	}
	sort.Strings(list)
	return strings.Join(list, "; ")
}
