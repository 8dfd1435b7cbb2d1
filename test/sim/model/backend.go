// SPDX-License-Identifier: Apache-2.0

package model

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"strings"
)

// sendBuffer is how much output a server holds back before it sends without
// being told to (PQ_SEND_BUFFER_SIZE).
const sendBuffer = 8192

// Backend is one session of the server. Make it with New, give it bytes with
// Receive, let it work with Step, and take what it has sent with Sent.
type Backend struct {
	// Committed is told what a transaction has inserted, and what it notifies.
	Committed func(marks []string, notifications [][2]string)
	// Lenient lets ignored Parse and Query messages end the unnamed statement,
	// which is what clients may rely on behind the proxy.
	Lenient bool
	// CancelAt, if not negative, raises an error at the first opportunity when
	// so many messages were sent, and CopyAt so many read in a COPY since it
	// began. ParameterStatus and NotificationResponse do not count.
	CancelAt, CopyAt int

	base  Settings // what RESET goes back to
	told  Settings // of which TimeZone and App were reported last
	state state
	tx    transaction
	locks map[string]bool

	statements  map[string]prepared // "" is the unnamed one
	sqlPrepared int                 // how many of them come from PREPARE
	portals     map[string]*portal

	in       []byte
	out      []byte // not yet flushed
	sent     []byte
	count    int // messages for the client, see CancelAt
	cancel   string
	ended    bool
	ignoring bool
	extended bool // the message at hand lets the server ignore up to Sync

	execution
}

type prepared struct {
	*statement
	fromSQL bool
}

type portal struct {
	*statement
	param string
	next  int // row
	done  bool
}

// execution is a statement under way.
type execution struct {
	running *statement
	param   string
	portal  *portal // nil in a simple query
	limit   int
	row     int
	from    int      // row at which this Execute began
	rest    []string // what follows in a simple query
	many    bool     // it has several statements
	simple  bool
	copied  int // messages read in copy mode
	slept   int
	stored  bool // by EXECUTE, which gives nothing before it has everything
	alone   bool // the first statement of its transaction, and no other is known to follow
}

// New makes a backend whose session was started with these settings.
func New(base Settings) *Backend {
	b := &Backend{
		base: base, told: base, CancelAt: -1,
		statements: make(map[string]prepared), portals: make(map[string]*portal),
		locks:     make(map[string]bool),
		Committed: func([]string, [][2]string) {},
	}
	b.state = state{session: base, present: base}
	b.tx.status = 'I'
	return b
}

// Receive takes bytes, in any cut.
func (b *Backend) Receive(p []byte) { b.in = append(b.in, p...) }

// Sent gives what was sent since the last call. It is good until the next Step.
func (b *Backend) Sent() []byte {
	p := b.sent
	b.sent = b.sent[:0]
	return p
}

// Ended tells whether the client has said goodbye.
func (b *Backend) Ended() bool { return b.ended }

// Count is the number of messages sent; see CancelAt.
func (b *Backend) Count() int { return b.count }

func (b *Backend) copying() bool {
	return b.running != nil && b.running.verb == vCopyIn
}

func (b *Backend) busy() bool { return b.running != nil && !b.copying() }

// Busy tells whether a cancel request would hit something.
func (b *Backend) Busy() bool { return b.running != nil || len(b.in) >= 5 && !b.ignoring }

// Cancel is a cancel request. by comes up in the error.
func (b *Backend) Cancel(by string) {
	if b.Busy() {
		b.cancel = by
	}
}

// Idle tells whether there is nothing to do.
func (b *Backend) Idle() bool { return b.ended || !b.busy() && !b.whole() }

// whole tells whether a whole message is there.
func (b *Backend) whole() bool {
	return len(b.in) >= 5 && len(b.in) > int(binary.BigEndian.Uint32(b.in[1:]))
}

// Step does one piece of work. It gives false if there is none.
func (b *Backend) Step() bool {
	switch {
	case b.ended:
		return false
	case b.busy():
		b.proceed()
		if b.running == nil {
			b.cancel = ""
		}
		return true
	case b.copying() && b.interrupted():
		return true
	case !b.whole():
		return false
	}
	n := int(binary.BigEndian.Uint32(b.in[1:])) + 1
	typ, body := b.in[0], b.in[5:n]
	if b.copying() {
		b.copyMessage(typ, body)
	} else {
		b.message(typ, body)
		if b.running == nil {
			b.cancel = ""
		}
	}
	b.in = b.in[n:]
	if len(b.in) == 0 {
		b.in = nil
	}
	return true
}

// Run works until there is nothing to do.
func (b *Backend) Run() {
	for b.Step() {
	}
}

// interrupted raises the error of a cancel request, if there is one. It is
// called where the server looks for one.
func (b *Backend) interrupted() bool {
	by := b.cancel
	if b.CancelAt >= 0 && b.count == b.CancelAt && (!b.copying() || b.copied == b.CopyAt) {
		by = "oracle"
		b.CancelAt = -1
	}
	if by == "" {
		return false
	}
	b.cancel = ""
	copied := 0
	if b.copying() {
		copied = b.copied
		b.extended = !b.simple
	}
	b.fail("57014", "cancelled by "+by+" after "+strconv.Itoa(copied))
	return true
}

func (b *Backend) message(typ byte, body []byte) {
	if b.ignoring && typ != 'S' && typ != 'X' {
		if b.Lenient && (typ == 'Q' || typ == 'P' && body[0] == 0) {
			delete(b.statements, "")
		}
		return
	}
	b.extended = false
	switch typ {
	case 'P', 'B', 'D', 'E', 'C', 'H':
		b.extended = true
	}
	switch typ {
	case 'Q':
		delete(b.statements, "")
		b.query(string(bytes.TrimSuffix(body, []byte{0})))
	case 'P':
		b.parse(body)
	case 'B':
		b.bind(body)
	case 'D':
		b.describe(body[0], string(body[1:len(body)-1]))
	case 'E':
		b.execute(body)
	case 'C':
		b.close(body[0], string(body[1:len(body)-1]))
	case 'H':
		b.flush()
	case 'S':
		b.ignoring = false
		if b.tx.open {
			b.commit()
		}
		b.ready()
	case 'F':
		b.function()
	case 'X':
		b.ended = true
		b.flush()
	}
}

func (b *Backend) queue(typ byte, body string) {
	b.out = append(b.out, typ)
	b.out = binary.BigEndian.AppendUint32(b.out, uint32(len(body)+4))
	b.out = append(b.out, body...)
	if typ != 'S' && typ != 'A' {
		b.count++
	}
	if len(b.out) >= sendBuffer {
		b.flush()
	}
}

func (b *Backend) flush() {
	b.sent = append(b.sent, b.out...)
	b.out = b.out[:0]
}

func (b *Backend) queueError(severity, code, message string) {
	typ := byte('E')
	if severity == "WARNING" || severity == "NOTICE" {
		typ = 'N'
	}
	b.queue(typ, "S"+severity+"\x00V"+severity+"\x00C"+code+"\x00M"+message+"\x00\x00")
	b.flush()
}

// Fatal ends the session with an error.
func (b *Backend) Fatal(code, message string) {
	b.queueError("FATAL", code, message)
	b.ended = true
}

// ready ends a request.
func (b *Backend) ready() {
	if b.tx.status == 'I' && b.tx.open {
		panic("model: ready in an open implicit transaction")
	}
	now := &b.state.present
	if b.told.TimeZone != now.TimeZone {
		b.queue('S', "TimeZone\x00"+now.TimeZone+"\x00")
	}
	if b.told.App != now.App {
		b.queue('S', "application_name\x00"+now.App+"\x00")
	}
	b.told = *now
	b.queue('Z', string(rune(b.tx.status)))
	b.flush()
}

// Notify sends a notification, which a server does while it waits for a request
// outside of a transaction. It gives false if it has to wait.
func (b *Backend) Notify(channel, payload string) bool {
	if b.tx.status != 'I' || b.tx.open || b.running != nil || len(b.out) > 0 {
		return false
	}
	b.queue('A', "\x00\x00\x00\x01"+channel+"\x00"+payload+"\x00")
	b.flush()
	return true
}

// ListensTo tells whether the session has a channel's notifications sent.
func (b *Backend) ListensTo(channel string) bool {
	for name := range strings.SplitSeq(b.state.listen, ",") {
		if name == channel {
			return true
		}
	}
	return false
}
