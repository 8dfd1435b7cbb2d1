// SPDX-License-Identifier: Apache-2.0

package pgsession

import (
	"strconv"
	"unique"

	"github.com/rdsproxy/rdsproxy/pkg/sqlscan"
)

// serverNamePrefix begins the names under which the proxy prepares statements.
// A number follows that is never used twice on one connection, so a name never
// means two things even when a Close or a DEALLOCATE failed unnoticed.
const serverNamePrefix = "_rdsproxy_"

// Statement is a prepared statement as clients mean it: clients that prepare
// the same text with the same parameter types under the same settings have
// equal Statements and share their memory. The zero value is no statement.
type Statement struct{ text unique.Handle[statementText] }

type statementText struct {
	// tail is the Parse message behind the name: the query, NUL, and the
	// parameter types.
	tail string
	// space keeps apart what must not be shared though it reads the same: the
	// start-up settings (search_path, role, …).
	space string
	// private is not zero for a statement that only one session can have.
	private uint64
	effects sqlscan.Effects
}

func internStatement(t statementText) Statement { return Statement{unique.Make(t)} }

func (s Statement) none() bool { return s == Statement{} }

// prepared is a Statement on one database connection.
type prepared struct {
	stmt    Statement
	number  uint32
	catalog uint64 // Shared.catalog when it was prepared
	since   stamp  // of the Parse
	// scope is not zero if it was prepared under settings of the session's own.
	scope      uint64
	newer, old *prepared
	// only: the text was not kept, so it cannot be prepared again.
	only bool
	// refused: the server has not prepared it after all.
	refused bool
}

// serverNumber is the number in the statement's name on the server. An unknown
// statement, nil, has the number 0, which is never given out, so that the server
// refuses it.
func (p *prepared) serverNumber() uint32 {
	if p == nil {
		return 0
	}
	return p.number
}

// preparedSet is what is prepared on one database connection, in the order of
// use. The zero value is empty.
type preparedSet struct {
	byStatement map[Statement]*prepared
	newest      *prepared
	oldest      *prepared
	lastNumber  uint32
}

func (ps *preparedSet) get(s Statement) *prepared { return ps.byStatement[s] }

func (ps *preparedSet) len() int { return len(ps.byStatement) }

// use makes p the one used last.
func (ps *preparedSet) use(p *prepared) {
	if ps.newest == p {
		return
	}
	ps.unlink(p)
	ps.link(p)
}

// add notes a statement under a new number.
func (ps *preparedSet) add(s Statement, catalog uint64) *prepared {
	ps.lastNumber++
	p := &prepared{stmt: s, number: ps.lastNumber, catalog: catalog}
	ps.restore(p)
	return p
}

// restore puts back what remove took out.
func (ps *preparedSet) restore(p *prepared) {
	if p.refused {
		return
	}
	if ps.byStatement == nil {
		ps.byStatement = make(map[Statement]*prepared)
	}
	ps.byStatement[p.stmt] = p
	ps.link(p)
}

// remove takes p out, if it is still in.
func (ps *preparedSet) remove(p *prepared) {
	if ps.byStatement[p.stmt] != p {
		return
	}
	delete(ps.byStatement, p.stmt)
	ps.unlink(p)
}

// clear forgets all; numbers go on counting.
func (ps *preparedSet) clear() {
	clear(ps.byStatement)
	ps.newest, ps.oldest = nil, nil
}

// forgotten is what DEALLOCATE ALL forgets.
type forgotten struct {
	names    map[string]Statement
	prepared preparedSet
}

// takeAll takes everything out; numbers go on counting.
func (ps *preparedSet) takeAll() preparedSet {
	all := *ps
	*ps = preparedSet{lastNumber: all.lastNumber}
	return all
}

// putBack puts everything back that takeAll has taken out. It gives false if some
// of it was prepared anew since, so that the server has it twice.
func (ps *preparedSet) putBack(all preparedSet) bool {
	since := ps.takeAll()
	*ps = all
	ps.lastNumber = since.lastNumber
	for p := ps.oldest; p != nil; {
		next := p.newer
		if p.refused {
			ps.remove(p)
		}
		p = next
	}
	once := true
	for p := since.oldest; p != nil; {
		next := p.newer
		if ps.get(p.stmt) == nil {
			ps.restore(p)
		} else {
			once = false
		}
		p = next
	}
	return once
}

func (ps *preparedSet) link(p *prepared) {
	p.old, p.newer = ps.newest, nil
	if ps.newest != nil {
		ps.newest.newer = p
	} else {
		ps.oldest = p
	}
	ps.newest = p
}

func (ps *preparedSet) unlink(p *prepared) {
	if p.newer != nil {
		p.newer.old = p.old
	} else if ps.newest == p {
		ps.newest = p.old
	}
	if p.old != nil {
		p.old.newer = p.newer
	} else if ps.oldest == p {
		ps.oldest = p.newer
	}
	p.newer, p.old = nil, nil
}

func appendServerName(dst []byte, number uint32) []byte {
	dst = append(dst, serverNamePrefix...)
	return strconv.AppendUint(dst, uint64(number), 10)
}
