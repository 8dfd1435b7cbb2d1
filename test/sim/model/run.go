// SPDX-License-Identifier: Apache-2.0

package model

import (
	"encoding/binary"
	"strconv"
)

const (
	// rowsPerStep and stepsOfSleep say how long statements take.
	rowsPerStep  = 3
	stepsOfSleep = 12
)

// query carries out a simple query.
func (b *Backend) query(text string) {
	list := split(text)
	if b.interrupted() {
		return
	}
	n := 0
	for _, t := range list {
		s := parse(t)
		if s.verb == vSyntax {
			b.fail("42601", "syntax error")
			return
		}
		if s.verb != vEmpty {
			list[n] = t
			n++
		}
	}
	if n == 0 {
		b.queue('I', "")
		b.endQuery()
		return
	}
	b.next(list[:n], n > 1)
}

// next goes on with the next statement of a simple query.
func (b *Backend) next(rest []string, many bool) {
	if len(rest) == 0 {
		b.endQuery()
		return
	}
	s := parse(rest[0])
	if b.tx.status == 'E' && !s.ends() {
		b.aborted()
		return
	}
	b.start(execution{running: s, rest: rest[1:], many: many, simple: true})
}

func (b *Backend) endQuery() {
	b.execution = execution{}
	if b.tx.open {
		b.commit()
	}
	b.ready()
}

// start begins the execution of a statement.
func (b *Backend) start(x execution) {
	b.execution = x
	if b.interrupted() {
		return
	}
	s := x.running
	if s.verb == vNowhere {
		b.fail("42P01", "relation does not exist")
		return
	}
	if s.verb == vDiscardAll && (b.tx.status != 'I' || x.many || b.tx.open) {
		b.fail("25001", "DISCARD ALL cannot run inside a transaction block")
		return
	}
	if s.verb == vExecute && !b.resolve() {
		return
	}
	b.alone = b.tx.status == 'I' && !b.tx.open && !b.many
	if !b.running.ends() && b.running.verb != vEmpty {
		b.begin()
	}
	switch b.running.verb {
	case vCopyIn, vCopyView:
		b.queue('G', "\x00\x00\x01\x00\x00")
		b.flush()
		if b.running.verb == vCopyView {
			b.fail("42809", "cannot copy to view \"sim_view\"")
		}
		return
	case vCopyOut:
		b.queue('H', "\x00\x00\x01\x00\x00")
	}
	if b.simple && b.running.returnsRows() && !b.stored {
		b.queue('T', columns(b.running))
	}
	b.proceed()
}

// resolve puts the statement in place of an EXECUTE of it.
func (b *Backend) resolve() bool {
	x := b.running
	p, ok := b.statements[x.arg]
	if !ok || x.arg == "" {
		b.missing(x.arg)
		return false
	}
	b.running, b.param, b.stored = p.statement, x.arg2, true
	return true
}

// proceed does a part of the running statement.
func (b *Backend) proceed() {
	s := b.running
	switch s.verb {
	case vRows, vCopyOut:
		b.rows()
		return
	case vSleep:
		if b.slept < stepsOfSleep {
			b.slept++
			b.interrupted()
			return
		}
		b.header()
		b.oneRow(b.mark())
		return
	case vState:
		b.header()
		b.oneRow(b.text(b.mark()))
		return
	case vFail:
		b.fail("22012", "sim_fail "+b.mark())
		return
	case vLock, vUnlock:
		if b.portal != nil && b.portal.done {
			b.complete("SELECT 0")
			return
		}
		if s.verb == vLock {
			b.locks[s.arg] = true
		} else {
			clear(b.locks)
		}
		b.oneRow("")
		return
	case vSetConfig:
		b.setConfig()
		return
	case vEmpty:
		b.queue('I', "")
		b.endStatement()
		return
	}
	b.utility()
}

func (b *Backend) mark() string {
	if b.running.param {
		return b.param
	}
	return b.running.arg
}

// oneRow answers with one row, unless the portal has given it already.
func (b *Backend) oneRow(text string) {
	if b.portal != nil && b.portal.done {
		b.complete("SELECT 0")
		return
	}
	b.dataRow(text)
	if b.portal != nil {
		b.portal.done = true
		if b.limit == 1 {
			b.queue('s', "")
			b.endStatement()
			return
		}
	}
	b.complete("SELECT 1")
}

func (b *Backend) dataRow(text string) {
	body := append(make([]byte, 0, 6+len(text)), 0, 1)
	body = binary.BigEndian.AppendUint32(body, uint32(len(text)))
	b.queue('D', string(append(body, text...)))
}

// header gives the columns of what EXECUTE gives.
func (b *Backend) header() {
	if b.stored && b.row == 0 {
		b.queue('T', columns(b.running))
	}
}

// rows gives some rows of a series.
func (b *Backend) rows() {
	s := b.running
	b.header()
	for range rowsPerStep {
		if b.row >= s.n {
			break
		}
		if b.row > 0 && !b.stored && b.interrupted() {
			return
		}
		b.row++
		text := b.mark() + "|" + strconv.Itoa(b.row)
		if s.verb == vCopyOut {
			b.queue('d', text+"\n")
			continue
		}
		b.dataRow(text)
		if b.portal == nil {
			continue
		}
		b.portal.next = b.row
		if b.limit--; b.limit == 0 {
			b.queue('s', "")
			b.endStatement()
			return
		}
	}
	if b.row < s.n {
		return
	}
	if s.verb == vCopyOut {
		b.queue('c', "")
		b.complete("COPY " + strconv.Itoa(s.n))
		return
	}
	b.complete("SELECT " + strconv.Itoa(b.given()))
}

// given is how many rows the last Execute has given.
func (b *Backend) given() int {
	if b.portal == nil {
		return b.running.n
	}
	n := b.row - b.from
	return n
}

// complete ends a statement.
func (b *Backend) complete(tag string) {
	b.queue('C', tag+"\x00")
	b.endStatement()
}

func (b *Backend) endStatement() {
	x := b.execution
	b.execution = execution{}
	if x.simple {
		b.next(x.rest, x.many)
		return
	}
	if x.portal != nil && !x.running.returnsRows() {
		x.portal.done = true
	}
}

// copyMessage is a message in copy mode.
func (b *Backend) copyMessage(typ byte, body []byte) {
	b.extended = !b.simple
	switch typ {
	case 'S', 'H':
		b.copied++
	case 'd':
		b.copied++
		if string(body) == "x\n" {
			b.fail("22P02", "invalid input syntax for type integer: \"x\"")
			return
		}
		b.row++
	case 'c':
		b.complete("COPY " + strconv.Itoa(b.row))
	case 'f':
		b.fail("57014", "COPY from stdin failed")
	default:
		b.queueError("ERROR", "08P01", "unexpected message type during COPY from stdin")
		b.Fatal("08P01", "terminating connection because protocol synchronization was lost")
	}
}
