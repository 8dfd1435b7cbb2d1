// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"unique"

	"github.com/rdsproxy/rdsproxy/pkg/sqlscan/myscan"
)

const (
	// keepStatements is how many bytes of prepared statements a session keeps.
	keepStatements = 16 << 20
	// maxSessionStatements is how many statements one session may have, as a
	// server's max_prepared_stmt_count has it by default.
	maxSessionStatements = 16382
)

// text is the text of a statement, which sessions and connections share: equal
// texts are one. It compares with ==.
type text struct{ h unique.Handle[string] }

func internText(p []byte) text { return text{unique.Make(string(p))} }

func (t text) String() string { return t.h.Value() }

// statement is a prepared statement as a client knows it.
type statement struct {
	id   uint32 // the client's
	text text   // as it is sent to servers
	// params is the number of parameters, types what the newest execution said of
	// their types; nil if none has said anything yet. It is never changed in place.
	params int
	types  []byte

	// space is what was in force when it was prepared: the same text means
	// something else in another schema or under another sql_mode.
	space *Settings
	res   myscan.Result
	// renamed is what of the client's text was rewritten.
	renamed []renaming
	// own is where the statement is prepared if it has state there that other
	// clients' statements of the same text must not meet: an open cursor, or long
	// data. It is not in the connection's set meanwhile. only tells that it is
	// prepared nowhere else, since the text is not kept.
	own    *prepared
	only   bool
	cursor bool
	long   bool
	// spoilt: there was long data for a parameter that it does not have. The server
	// refuses to execute it until it is reset.
	spoilt bool
}

func (st *statement) size() int { return len(st.text.String()) + len(st.types) + 400 }

// prepared is a statement that is prepared on a connection.
type prepared struct {
	key preparedKey
	id  uint32 // the server's
	// types is what the newest execution there said of the parameters.
	types []byte
	// once: it is of no use after the next execution.
	once         bool
	newer, older *prepared
}

// preparedKey tells what a statement on a connection is good for: the same text
// means something else in another schema or under another sql_mode.
type preparedKey struct {
	text  text
	space *Settings
}

// preparedSet are the statements prepared on a connection, in the order of their
// last use. The zero value is empty.
type preparedSet struct {
	byKey          map[preparedKey]*prepared
	newest, oldest *prepared
}

func (ps *preparedSet) get(k preparedKey) *prepared { return ps.byKey[k] }

// add makes pr the newest. There must be none with its key.
func (ps *preparedSet) add(pr *prepared) {
	if ps.byKey == nil {
		ps.byKey = make(map[preparedKey]*prepared)
	}
	ps.byKey[pr.key] = pr
	ps.link(pr)
}

func (ps *preparedSet) link(pr *prepared) {
	pr.newer, pr.older = nil, ps.newest
	if ps.newest != nil {
		ps.newest.newer = pr
	} else {
		ps.oldest = pr
	}
	ps.newest = pr
}

func (ps *preparedSet) unlink(pr *prepared) {
	if pr.newer != nil {
		pr.newer.older = pr.older
	} else {
		ps.newest = pr.older
	}
	if pr.older != nil {
		pr.older.newer = pr.newer
	} else {
		ps.oldest = pr.newer
	}
	pr.newer, pr.older = nil, nil
}

// use makes pr the newest.
func (ps *preparedSet) use(pr *prepared) {
	if ps.newest != pr {
		ps.unlink(pr)
		ps.link(pr)
	}
}

func (ps *preparedSet) remove(pr *prepared) {
	ps.unlink(pr)
	delete(ps.byKey, pr.key)
}

func (ps *preparedSet) clear() { *ps = preparedSet{} }
