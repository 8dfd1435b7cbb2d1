// SPDX-License-Identifier: Apache-2.0

package model

import (
	"bytes"
	"encoding/binary"
	"strings"
)

const column = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x19\xff\xff\xff\xff\xff\xff\x00\x00"

func cstring(p []byte) (string, []byte) {
	i := bytes.IndexByte(p, 0)
	return string(p[:i]), p[i+1:]
}

func (b *Backend) aborted() {
	b.fail("25P02", "current transaction is aborted, commands ignored until end of transaction block")
}

func (b *Backend) parse(body []byte) {
	name, body := cstring(body)
	text, _ := cstring(body)
	if name == "" {
		delete(b.statements, "")
	}
	if b.interrupted() {
		return
	}
	s := parse(text)
	switch {
	case s.verb == vSyntax:
		b.fail("42601", "syntax error")
		return
	case b.tx.status == 'E' && !s.ends():
		b.aborted()
		return
	case s.verb == vNowhere:
		b.fail("42P01", "relation does not exist")
		return
	}
	if _, taken := b.statements[name]; taken {
		b.fail("42P05", "prepared statement \""+name+"\" already exists")
		return
	}
	b.statements[name] = prepared{statement: s}
	b.queue('1', "")
}

func (b *Backend) missing(name string) {
	b.fail("26000", "prepared statement \""+name+"\" does not exist")
}

func (b *Backend) bind(body []byte) {
	name, body := cstring(body)
	of, body := cstring(body)
	s, ok := b.statements[of]
	if !ok {
		b.missing(of)
		return
	}
	if b.interrupted() {
		return
	}
	formats := int(binary.BigEndian.Uint16(body))
	body = body[2+2*formats:]
	params := int(binary.BigEndian.Uint16(body))
	param := ""
	if params > 0 {
		n := int(binary.BigEndian.Uint32(body[2:]))
		param = string(body[6 : 6+n])
	}
	want := 0
	if s.param {
		want = 1
	}
	switch {
	case params != want:
		b.fail("08P01", "bind message supplies the wrong number of parameters")
		return
	case b.tx.status == 'E' && !s.ends():
		b.aborted()
		return
	}
	if _, taken := b.portals[name]; taken && name != "" {
		b.fail("42P03", "cursor \""+name+"\" already exists")
		return
	}
	b.portals[name] = &portal{statement: s.statement, param: param}
	b.queue('2', "")
}

func (b *Backend) describe(what byte, name string) {
	if b.interrupted() {
		return
	}
	var s *statement
	if what == 'S' {
		p, ok := b.statements[name]
		if !ok {
			b.missing(name)
			return
		}
		s = p.statement
	} else {
		p := b.portals[name]
		if p == nil {
			b.fail("34000", "portal \""+name+"\" does not exist")
			return
		}
		s = p.statement
	}
	if b.tx.status == 'E' && s.returnsRows() {
		b.aborted()
		return
	}
	if what == 'S' {
		if s.param {
			b.queue('t', "\x00\x01\x00\x00\x00\x19")
		} else {
			b.queue('t', "\x00\x00")
		}
	}
	if s.returnsRows() {
		b.queue('T', columns(s))
	} else {
		b.queue('n', "")
	}
}

func columns(s *statement) string {
	if s.verb != vSetConfig {
		return "\x00\x01x\x00" + column
	}
	n := len(configs(s.arg))
	var text strings.Builder
	text.WriteString(string(binary.BigEndian.AppendUint16(nil, uint16(n))))
	for range n {
		text.WriteString("x\x00" + column)
	}
	return text.String()
}

func (b *Backend) execute(body []byte) {
	name, body := cstring(body)
	p := b.portals[name]
	if p == nil {
		b.fail("34000", "portal \""+name+"\" does not exist")
		return
	}
	if b.tx.status == 'E' && !p.ends() {
		b.aborted()
		return
	}
	if p.done && p.verb != vEmpty && !p.returnsRows() {
		b.fail("55000", "portal \""+name+"\" cannot be run")
		return
	}
	limit := int(binary.BigEndian.Uint32(body))
	b.start(execution{running: p.statement, param: p.param, portal: p, limit: limit, row: p.next, from: p.next})
}

func (b *Backend) close(what byte, name string) {
	if what == 'P' {
		delete(b.portals, name)
	} else {
		b.drop(name)
	}
	b.queue('3', "")
}

// drop forgets a prepared statement.
func (b *Backend) drop(name string) bool {
	p, ok := b.statements[name]
	if p.fromSQL {
		b.sqlPrepared--
	}
	delete(b.statements, name)
	return ok
}

func (b *Backend) function() {
	if b.tx.status == 'E' {
		b.aborted()
		return
	}
	b.queue('V', "\x00\x00\x00\x05model")
	if b.tx.open {
		b.commit()
	}
	b.ready()
}
