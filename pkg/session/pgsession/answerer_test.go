// SPDX-License-Identifier: Apache-2.0

package pgsession

import (
	"encoding/binary"
	"strings"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// answerer is a server as far as fuzzing needs one: it answers whatever it is sent
// as the protocol wants it, and a row has the text that asked for it. The
// simulator has a better one.
type answerer struct {
	in, out    []byte
	tx         byte
	skipping   bool // up to Sync
	copying    bool
	simple     bool // the COPY is that of a simple query
	cancelled  bool // the next statement
	statements map[string]string
	portals    map[string]string
}

func newAnswerer() *answerer {
	return &answerer{tx: 'I', statements: make(map[string]string), portals: make(map[string]string)}
}

// step answers one message. It gives false if there is none.
func (a *answerer) step() bool {
	if len(a.in) < headerSize {
		return false
	}
	total := int(binary.BigEndian.Uint32(a.in[1:])) + 1
	if len(a.in) < total {
		return false
	}
	typ, body := a.in[0], string(a.in[headerSize:total])
	a.in = a.in[total:]
	if a.copying {
		a.copyMessage(typ)
		return true
	}
	if a.skipping && typ != 'S' {
		return true
	}
	first, rest, _ := strings.Cut(body, "\x00")
	switch typ {
	case 'Q':
		delete(a.statements, "")
		a.simple = true
		if a.run(first) && !a.copying || a.skipping {
			a.ready()
		}
	case 'F':
		a.say('V', "\xff\xff\xff\xff")
		a.ready()
	case 'P':
		text, _, _ := strings.Cut(rest, "\x00")
		if _, taken := a.statements[first]; taken && first != "" {
			a.fail("42P05")
			return true
		}
		a.statements[first] = text
		a.say('1', "")
	case 'B':
		name, _, _ := strings.Cut(rest, "\x00")
		text, ok := a.statements[name]
		if !ok {
			a.fail("26000")
			return true
		}
		a.portals[first] = text
		a.say('2', "")
	case 'D':
		if first != "" && first[0] == 'S' {
			if _, ok := a.statements[first[1:]]; !ok {
				a.fail("26000")
				return true
			}
			a.say('t', "\x00\x00")
		}
		a.say('n', "")
	case 'E':
		a.simple = false
		text, ok := a.portals[first]
		if !ok {
			a.fail("34000")
			return true
		}
		a.run(text)
	case 'C':
		if first != "" && first[0] == 'S' {
			delete(a.statements, first[1:])
		}
		a.say('3', "")
	case 'S':
		a.ready()
	}
	return true
}

func (a *answerer) copyMessage(typ byte) {
	switch typ {
	case 'c':
		a.say('C', "COPY 1\x00")
	case 'f':
		a.fail("57014")
	default:
		return
	}
	a.copying = false
	if a.simple {
		a.ready()
	}
}

// run carries out one statement; false if it has failed.
func (a *answerer) run(text string) bool {
	verb, _, _ := strings.Cut(text, " ")
	ends := verb == "commit" || strings.EqualFold(verb, "rollback")
	switch {
	case a.cancelled:
		a.cancelled = false
		a.fail("57014")
		return false
	case a.tx == 'E' && !ends, strings.Contains(text, "1/0"):
		a.fail("22012")
		return false
	case ends:
		a.tx = 'I'
	case verb == "begin":
		a.tx = 'T'
	case strings.EqualFold(text, "discard all"):
		if a.tx != 'I' {
			a.fail("25001")
			return false
		}
		clear(a.statements)
		verb = text
	case verb == "copy":
		a.say('G', "\x00\x00\x00")
		a.copying = true
		return true
	case verb == "select":
		a.say('D', "\x00\x01"+string(binary.BigEndian.AppendUint32(nil, uint32(len(text))))+text)
	}
	a.say('C', strings.ToUpper(verb)+"\x00")
	return true
}

func (a *answerer) ready() {
	a.skipping, a.cancelled = false, false
	if a.tx == 'I' {
		clear(a.portals)
	}
	a.out = wire.AppendReadyForQuery(a.out, a.tx)
}

func (a *answerer) fail(code string) {
	a.skipping = true
	if a.tx == 'T' {
		a.tx = 'E'
	}
	a.out = wire.AppendErrorResponse(a.out, &wire.Error{Severity: wire.SeverityError, Code: code, Message: "no"})
}

func (a *answerer) say(typ byte, body string) {
	a.out = binary.BigEndian.AppendUint32(append(a.out, typ), uint32(len(body)+4))
	a.out = append(a.out, body...)
}
