// SPDX-License-Identifier: Apache-2.0

package model

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Settings are the run-time parameters that the model knows.
type Settings struct{ A, S, TimeZone, App string }

// With gives the settings with one changed; ok is false for an unknown name.
func (s Settings) With(name, value string) (_ Settings, ok bool) {
	switch strings.ToLower(name) {
	case "sim.a":
		s.A = value
	case "sim.s":
		s.S = value
	case "timezone":
		s.TimeZone = value
	case "application_name":
		s.App = value
	default:
		return s, false
	}
	return s, true
}

// get gives one setting.
func (s Settings) get(name string) string {
	switch strings.ToLower(name) {
	case "sim.a":
		return s.A
	case "sim.s":
		return s.S
	case "timezone":
		return s.TimeZone
	}
	return s.App
}

// state is what the end of a transaction can undo.
type state struct {
	// session are the settings that outlive the transaction, present those in
	// force: they differ by SET LOCAL.
	session, present Settings
	// Names, sorted, with commas between. listen counts from the commit on.
	temp, listen, listenSoon string
}

// transaction is what commits or rolls back.
type transaction struct {
	status byte // 'I', 'T', 'E'
	// open: something was carried out in an implicit transaction, which is not
	// ended yet.
	open    bool
	saved   state
	marks   []string    // inserted
	notices [][2]string // NOTIFY
}

// text shows all that a session sees of its state.
func (b *Backend) text(mark string) string {
	s := &b.state.present
	out := mark + "|a=" + s.A + "|s=" + s.S + "|tz=" + s.TimeZone + "|app=" + s.App +
		"|temp=" + b.state.temp + "|locks=" + strconv.Itoa(len(b.locks)) + "|listen=" + b.state.listen + "|prepared="
	if b.sqlPrepared > 0 {
		var names []string
		for name, p := range b.statements {
			if p.fromSQL {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		out += strings.Join(names, ",")
	}
	return out
}

func addName(list, name string) (_ string, added bool) {
	if list == "" {
		return name, true
	}
	names := strings.Split(list, ",")
	i, found := slices.BinarySearch(names, name)
	if found {
		return list, false
	}
	return strings.Join(slices.Insert(names, i, name), ","), true
}

// begin notes that something is carried out now.
func (b *Backend) begin() {
	if b.tx.status == 'I' && !b.tx.open {
		b.tx.open = true
		b.tx.saved = b.state
	}
}

// commit makes the transaction, implicit or not, permanent.
func (b *Backend) commit() {
	b.state.present = b.state.session
	b.state.listen = b.state.listenSoon
	b.Committed(b.tx.marks, b.tx.notices)
	b.endTransaction()
}

func (b *Backend) rollback() {
	b.state = b.tx.saved
	b.state.present = b.state.session
	b.endTransaction()
}

func (b *Backend) endTransaction() {
	clear(b.portals)
	b.tx = transaction{status: 'I', marks: b.tx.marks[:0], notices: b.tx.notices[:0]}
}

// fail raises an error.
func (b *Backend) fail(code, message string) {
	b.queueError("ERROR", code, message)
	b.execution = execution{}
	switch b.tx.status {
	case 'T':
		b.tx.status = 'E'
	case 'I':
		if b.tx.open {
			b.rollback()
		} else {
			clear(b.portals)
		}
	}
	if b.extended {
		b.ignoring = true
		return
	}
	b.ready()
}

// Clone gives an independent copy, without what hooks do.
func (b *Backend) Clone() *Backend {
	c := *b
	c.statements = maps.Clone(b.statements)
	c.locks = maps.Clone(b.locks)
	c.portals = maps.Clone(b.portals)
	for name, p := range c.portals {
		q := *p
		c.portals[name] = &q
	}
	c.in, c.out, c.sent = slices.Clone(b.in), slices.Clone(b.out), slices.Clone(b.sent)
	c.tx.marks, c.tx.notices = slices.Clone(b.tx.marks), slices.Clone(b.tx.notices)
	c.rest = slices.Clone(b.rest)
	return &c
}

// Settings are those that the session would keep.
func (b *Backend) Settings() Settings { return b.state.session }

// Reported are the parameters that clients are told.
func (b *Backend) Reported() (timeZone, app string) { return b.told.TimeZone, b.told.App }

// Listening tells whether the session listens to anything.
func (b *Backend) Listening() bool { return b.state.listen != "" }

// Clean describes what a borrower has left on a connection that it had with
// these settings; "" if it is as it was.
func (b *Backend) Clean(applied Settings) string {
	var left []string
	if b.tx.status != 'I' || b.tx.open || b.ignoring || b.busy() || b.copying() {
		left = append(left, "a transaction or batch is open")
	}
	if b.state.session != applied || b.state.present != applied {
		left = append(left, "settings "+b.text(""))
	}
	if b.state.temp != "" || b.state.listen != "" || len(b.locks) > 0 || b.sqlPrepared > 0 {
		left = append(left, "state "+b.text(""))
	}
	return strings.Join(left, "; ")
}
