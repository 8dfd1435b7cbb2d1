// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// run carries out one statement.
func (p *postgres) run(sql string, describe bool, limit int, po *portal) *sqlError {
	if p.aborted(sql) {
		return &sqlError{"25P02", "current transaction is aborted"}
	}
	if p.dying && !p.late {
		p.end()
		return nil
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
		p.tx, tag = 'I', "COMMIT"
		p.commit()
	case word == "commit", word == "rollback", word == "ROLLBACK":
		p.tx, tag = 'I', "ROLLBACK"
		p.rollback()
	case word == "insert":
		row := sql[len("insert "):]
		if row == "$1" {
			row = ""
			if po != nil {
				row = po.row
			}
		}
		if row != "" {
			p.pending = append(p.pending, row)
		}
		tag = "INSERT 0 1"
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
		return &sqlError{"42601", "syntax error\x00P1"}
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
