// SPDX-License-Identifier: Apache-2.0

package pgsession

import (
	"github.com/rdsproxy/rdsproxy/pkg/session"
	"github.com/rdsproxy/rdsproxy/pkg/sqlscan"
)

// entryKind is the request that an entry stands for.
type entryKind uint8

// Those of the extended protocol are in the order in which one statement has them.
const (
	entryQuery entryKind = iota + 1
	entryParse
	entryDescribeStatement
	entryBind
	entryDescribePortal
	entryExecute
	entryClose
	entrySync
	entryFunctionCall
	// entryCopyEnd is a CopyDone or CopyFail that was sent while it was not
	// yet known whether the server is in copy mode. It owes no reply.
	entryCopyEnd
)

// action is what becomes of the reply.
type action uint8

const (
	forward action = iota + 1 // to the client
	skip                      // swallowed: the proxy asked for itself
	fake                      // nothing was sent; the proxy answers in order
)

// operation is what the request did to the session's or the server's books,
// to be completed when the reply comes or taken back when it fails.
type operation uint8

const (
	_ operation = iota // nothing
	// opReplay applies the session's settings to the connection.
	opReplay
	// opParse prepared stmt on the server and, with a name, defined the
	// client's name for it.
	opParse
	// opDefine defined the client's name; the server had the statement.
	opDefine
	// opUnnamed replaced the unnamed statement.
	opUnnamed
	// opForget closed the client's name (Close, or DEALLOCATE in SQL).
	opForget
	// opForgetUnnamed closed the unnamed statement.
	opForgetUnnamed
	// opEvict closed stmt on the server to make room.
	opEvict
	// opForgetAll forgot every statement: DEALLOCATE ALL or DISCARD ALL.
	opForgetAll
	// opProbe finds out whether the server answers stray Syncs.
	opProbe
	// opReset is the proxy's own clean-up after a client.
	opReset
	// opFail puts the connection into a failed transaction block.
	opFail
)

// entry is one owed reply.
type entry struct {
	kind entryKind
	act  action
	op   operation
	// confirmed says that a part of the request took effect for good though
	// the request as a whole may still fail (opForgetAll in a multi-statement).
	confirmed bool
	// failed: the server reported an error for it, and told: the client has been
	// told one already. begun: the server has carried out a part of it.
	failed, told, begun bool
	// resets: it sets the settings back if it succeeds.
	resets    bool
	resetName string // the one setting that it sets back, "" for all
	// done: the server has carried all of a Query out. again: it may be sent again,
	// from Server.begin.
	done, again bool
	// control is what executing it does to the transaction.
	control sqlscan.Effects
	// forQuery: the proxy's own, for the sake of a simple query in the same batch.
	forQuery bool
	// pins are what the request pins for, and fresh those that it was the first
	// to give. releases are the effects that take pins away if it succeeds.
	pins     session.Pins
	fresh    session.Pins
	releases sqlscan.Effects
	prep     *prepared
	stmt     Statement
	name     string
	version  uint64     // opUnnamed, opForgetUnnamed: of what unnamed statement
	saved    *forgotten // opForgetAll: what to restore
	// prior is the unnamed statement that the request replaces or destroys, if it
	// may be ignored on account of an earlier one in its batch.
	prior *priorUnnamed
}

// setsUnnamed tells whether the request replaces or destroys the client's unnamed
// statement.
func (e *entry) setsUnnamed() bool {
	return e.op == opUnnamed || e.op == opForgetUnnamed || e.kind == entryQuery && e.act == forward
}

// stamp says when a request was sent: how many entries had gone into the ledger
// by then. The zero value is before all others.
type stamp uint64

// ledger is a queue of owed replies, oldest first. The zero value is empty.
type ledger struct {
	ring []entry
	head int
	n    int
	// gone counts the entries that have left.
	gone stamp
}

// newest is the stamp of the entry pushed last.
func (l *ledger) newest() stamp { return l.gone + stamp(l.n) }

const (
	ledgerMinimum = 8
	// ledgerKeep is the largest ring that an empty ledger keeps.
	ledgerKeep = 256
)

func (l *ledger) empty() bool { return l.n == 0 }

// at gives entry i, counted from the oldest. The pointer is good until the
// ledger changes.
func (l *ledger) at(i int) *entry { return &l.ring[(l.head+i)&(len(l.ring)-1)] }

func (l *ledger) front() *entry {
	if l.n == 0 {
		return nil
	}
	return &l.ring[l.head]
}

func (l *ledger) push(kind entryKind, act action) *entry {
	if l.n == len(l.ring) {
		l.grow()
	}
	e := l.at(l.n)
	l.n++
	*e = entry{kind: kind, act: act}
	return e
}

func (l *ledger) grow() {
	ring := make([]entry, max(ledgerMinimum, 2*len(l.ring)))
	for i := range l.n {
		ring[i] = *l.at(i)
	}
	l.ring, l.head = ring, 0
}

// pop removes the oldest entry.
func (l *ledger) pop() {
	l.ring[l.head] = entry{}
	l.head = (l.head + 1) & (len(l.ring) - 1)
	l.n--
	l.gone++
	if l.n == 0 && len(l.ring) > ledgerKeep {
		l.ring, l.head = nil, 0
	}
}

// removeSecond removes the entry behind the head.
func (l *ledger) removeSecond() {
	*l.at(1) = *l.at(0)
	l.pop()
}

// pins gives the reasons to pin of all requests in the ledger.
func (l *ledger) pins() (p session.Pins) {
	for i := range l.n {
		p |= l.at(i).pins
	}
	return p
}

// endsOpen tells whether the newest request waits for a Sync.
func (l *ledger) endsOpen() bool {
	for i := l.n - 1; i >= 0; i-- {
		switch l.at(i).kind {
		case entryCopyEnd:
		case entrySync, entryQuery, entryFunctionCall:
			return false
		default:
			return true
		}
	}
	return false
}

// untilSync counts the entries ahead of the first Sync at or behind index
// from; found says whether there is a Sync.
func (l *ledger) untilSync(from int) (count int, found bool) {
	for i := from; i < l.n; i++ {
		if l.at(i).kind == entrySync {
			return i, true
		}
	}
	return l.n, false
}
