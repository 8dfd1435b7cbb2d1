// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/pool"
	"github.com/rdsproxy/rdsproxy/pkg/session"
	"github.com/rdsproxy/rdsproxy/pkg/session/mysession"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

const (
	codeNoConnection = 9500 // of this simulator
	codeNoTime       = 9501
	codeLost         = 2013
	codeNoCursor     = 1421
	codeNotSupported = 1235

	maxRefusals = 4 // by databases that are read-only, in a row
)

// client is a virtual client, and the host of its session. It holds every reply
// against that of a model server of its own.
type client struct {
	w       *world
	id      int
	caps    wire.Capabilities
	session mysession.Session
	waiter  pool.Waiter
	db      *conn

	// The proxy's side.
	kept    []byte // delivered, not used by the session
	paused  bool
	wake    bool
	timerAt time.Duration
	orphans int
	closed  bool // by the proxy
	gone    bool // the session was told
	started bool

	// The client's side.
	out      []byte // written, not delivered
	inbox    []byte // on its way to the client
	read     []byte // read, not looked at
	direct   *server
	sent     []request // whose replies are owed, oldest first
	left     int       // commands still to be sent
	marks    int
	welcomed bool
	done     bool
	// mayLose: a database connection was broken under it, for the losses-th time;
	// madeGood of them do not matter any more.
	mayLose          bool
	losses, madeGood int
	drained          bool
	doubtful         bool // its state is not known any more
	want             []byte
	asked            bool // want is there
	stmts            map[uint32]*known
	prepared         uint32 // the id given last
	newest           uint32 // the statement prepared last; lastUnsure: maybe not
	hits             int    // requests to kill its query that it has not felt
	again            int    // how often it has gone on after a loss
	lastUnsure       bool
	longData         bool
	user             string
	depth            int       // how many commands it sends without waiting
	script           []request // what it has to send next
	ends             int       // of the list of warnings that is skipped
	unclear          bool      // what the diagnostics and ROW_COUNT() are
	seq              byte      // of the next packet of the reply
	// killAnswer is what it is told of a KILL; plugin and salt of its COM_CHANGE_USER.
	killAnswer  *wire.Error
	plugin      string
	salt        []byte
	wrongAnswer bool
	// changeTo and schema are what it asks to become; expelled, that it will not.
	changeTo, schema string
	expelled         bool
	resuming         bool // its script makes good for a loss
	refused          int  // how often a database was read-only for the write under way

	// Rows that are committed if the replies are to be believed, and those of the
	// command at hand.
	acknowledged, pending []string
	open                  []string // of the transaction, before the command at hand
	explicit              bool     // whether it was told of one then
	// undone are rows that must not be committed; of each of together, all or none.
	undone   []string
	together [][]string
}

// request is a command, and the rows that it inserts.
type request struct {
	p      []byte
	rows   []string
	silent bool
	kind   kind
	// undo takes back what the client has noted of a command that is not carried out.
	undo func()
	// drained: it was sent after the session was asked to end, outside of a
	// transaction.
	drained bool
}

// kind is what else belongs to a command.
type kind uint8

const (
	kindPlain  kind = iota
	kindChange      // a COM_CHANGE_USER and its authentication
	kindFile        // the server may ask for a file
)

// known is a prepared statement of the client's.
type known struct {
	text   string
	params int
	types  []byte
	unsure bool // whether the server knows the types
}

func (c *client) fail(format string, args ...any) {
	c.w.failf("client %d: %s", c.id, fmt.Sprintf(format, args...))
}

func (c *client) ready() bool {
	if !c.welcomed || c.left <= 0 || c.closed || c.doubtful {
		return false
	}
	switch n := len(c.sent); {
	case n == 0:
		return true
	case len(c.script) > 0, c.sent[0].kind != kindPlain, c.sent[n-1].kind != kindPlain:
		return false
	default:
		return n < c.depth
	}
}

func (c *client) write() {
	c.left--
	c.marks++
	r := c.choose()
	r.drained = c.drained && !c.direct.inTrans && len(c.sent) == 0
	c.w.trace("client %d sends %q", c.id, r.p)
	c.sent = append(c.sent, r)
	c.out = append(c.out, r.p...)
	if c.sent[0].silent {
		c.compare()
	}
}

// receive takes bytes at the client's end and looks at complete packets.
func (c *client) receive(n int) {
	c.read = append(c.read, c.inbox[:n]...)
	c.inbox = c.inbox[n:]
	if !c.welcomed {
		c.welcome()
	}
	c.compare()
}

func (c *client) welcome() {
	payload, _, rest, ok := wire.CutPacket(c.read)
	if !ok {
		return
	}
	if code, bad := wire.ErrorCode(payload); bad {
		if !c.w.faults {
			c.fail("welcomed with error %d", code)
		}
		c.doubtful, c.done = true, true
		return
	}
	c.direct.seq = 2
	c.direct.welcome()
	want := c.direct.sent
	c.direct.sent = nil
	if !bytes.Equal(c.read[:4+len(payload)], want) {
		c.fail("welcomed with %q instead of %q", c.read, want)
	}
	c.read = rest
	c.welcomed = true
}

// ask gets the reply of the client's own server to the oldest request.
func (c *client) ask() {
	if !c.asked {
		c.open, c.explicit = slices.Clone(c.direct.rows), c.direct.explicit
		if c.sent[0].kind == kindChange {
			c.want = wire.AppendAuthSwitch(nil, 1, c.plugin, c.salt)
			c.asked = true
			return
		}
		c.direct.receive(c.sent[0].p)
		c.want, c.direct.sent, c.asked = c.direct.sent, nil, true
	}
}

func (c *client) compare() {
	for !c.done && !c.doubtful {
		if len(c.want) == 0 {
			c.seq = 1
		}
		if len(c.sent) > 0 && c.sent[0].silent {
			c.ask()
			c.sent, c.asked = c.sent[1:], false
			continue
		}
		payload, seq, rest, ok := wire.CutPacket(c.read)
		if !ok {
			return
		}
		if code, bad := wire.ErrorCode(payload); bad && code == wire.CodeServerShutdown && c.drained {
			c.shutdown(seq)
			break
		}
		if len(c.sent) == 0 {
			if c.mayLose {
				c.doubtful = true
				break
			}
			c.fail("a packet that answers nothing: %q", c.read)
			return
		}
		packet := c.read[:4+len(payload)]
		if c.refusal(payload, seq) {
			c.read = rest
			continue
		}
		c.ask()
		code, bad := wire.ErrorCode(payload)
		if c.direct.muddled && asksWarnings(c.sent[0].p) && (!bad || code == codeNotSupported) {
			c.read = rest
			c.seq, c.want = seq+1, bytes.TrimPrefix(c.want, packet)
			c.skips(payload)
			continue
		}
		if c.direct.muddled || c.mayLose {
			c.want = tellsNoWarnings(&c.sent[0], c.want, packet)
		}
		if !bytes.HasPrefix(c.want, packet) {
			c.read = rest
			c.differs(packet)
			break
		}
		c.read, c.want = rest, c.want[len(packet):]
		c.seq = seq + 1
		c.goOn(payload)
		if len(c.want) == 0 {
			c.answered()
		}
	}
	if c.doubtful {
		c.read, c.sent, c.left = nil, nil, min(c.left, 0)
	}
}

// tellsNoWarnings makes want tell of as many warnings as packet does, if they are the replies
// to a command that tells of those of the statement before.
func tellsNoWarnings(r *request, want, packet []byte) []byte {
	switch k := wire.Command(r.p[wire.HeaderLen]); {
	case k != wire.ComPing && k != wire.ComInitDB && k != wire.ComSetOption, len(want) < len(packet), want[4] != packet[4], len(packet) < 9:
		return want
	}
	at := 9 // behind the header of the packet, that of OK, two numbers and the status
	if packet[4] == wire.HeadEOF && len(packet) == 9 {
		at = 5
	}
	want = bytes.Clone(want)
	if len(packet) >= at+2 {
		copy(want[at:at+2], packet[at:at+2])
	}
	return want
}

// skips looks at a packet of a list of warnings of which it is not certain what it has: only
// nobody else's.
func (c *client) skips(payload []byte) {
	for _, m := range marks.FindAllSubmatch(payload, -1) {
		if string(m[1]) != strconv.Itoa(c.id) {
			c.fail("warnings of another client: %q", payload)
		}
	}
	_, bad := wire.ErrorCode(payload)
	if !bad && payload[0] == wire.HeadEOF {
		c.ends++
		bad = c.ends == 2 || c.caps.Has(wire.ClientDeprecateEOF)
	}
	if bad {
		c.ends, c.want = 0, nil
		c.answered()
	}
}

// marks are those of clients' own texts.
var marks = regexp.MustCompile(`c(\d+)m\d`)

func asksWarnings(p []byte) bool {
	return wire.Command(p[wire.HeaderLen]) == wire.ComQuery && bytes.HasPrefix(p[wire.HeaderLen+1:], []byte("SHOW WARNINGS"))
}

// refusal tells whether the reply is an error that says that the command had no
// effect, for want of a connection.
func (c *client) refusal(payload []byte, seq byte) bool {
	code, bad := wire.ErrorCode(payload)
	if bad && code == wire.CodeQueryInterrupted && c.hits > 0 && !c.asked && seq == 1 {
		c.interrupted()
		return true
	}
	if !bad || c.asked || !c.w.faults || code != codeNoTime && code != codeNoConnection {
		return false
	}
	if seq != 1 {
		c.fail("a refusal with sequence id %d", seq)
	}
	c.w.trace("client %d is refused: %d", c.id, code)
	r := c.sent[0]
	c.sent = c.sent[1:]
	c.undone = append(c.undone, r.rows...)
	c.direct.noteTypes(r.p[wire.HeaderLen:])
	if r.undo != nil && len(c.sent) == 0 {
		r.undo()
	}
	switch {
	case c.longData && len(c.sent) > 0:
		c.doubtful = true
	case c.longData || c.resuming:
		c.resume(false)
	}
	return true
}

// differs looks at a packet that is not the one expected.
func (c *client) differs(packet []byte) {
	r := c.sent[0]
	e, bad := wire.ParseError(packet[wire.HeaderLen:])
	switch {
	case bad && e.Code == wire.CodeOptionPrevents && c.w.switches && len(r.rows) > 0:
		// It was not sent again: there is other state on the connection.
		c.w.met[toldReadOnly]++
		c.undone = append(c.undone, r.rows...)
		c.doubtful, c.pending = true, nil
	case bad && c.mayLose && (e.Code == codeLost || strings.Contains(e.Message, "database connection was lost")):
		c.toldLost(e, packet)
	case bad && r.kind == kindChange && c.w.faults && (e.Code == codeNoTime || e.Code == codeNoConnection):
		c.doubtful = true // it will be closed
		c.undone = append(c.undone, c.open...)
	case bad && e.Code == codeNotSupported && (c.mayLose || c.w.kills) &&
		(asksWarnings(r.p) || strings.HasPrefix(e.Message, "LAST_INSERT_ID() was lost")):
		c.doubtful = true // they were lost with a connection
	case c.again > 0 && bytes.Contains(packet, transactionBegun) != bytes.Contains(c.want, transactionBegun):
		// MySQL tells of a transaction that has begun if it has told of its end, of which
		// the client was told by an error instead.
		c.doubtful = true
	case c.mayLose && reads(r.p) && (!bad || e.Code == codeNoCursor):
		// The connection died with a cursor or with diagnostics, or before the proxy
		// could ask it for the last insert id or the variables; or it is not known what
		// a SET has set, of which the reply to the next one tells.
		c.doubtful = true
		c.w.met[stateLost]++
	default:
		c.fail("command %q\n  reply   %q\n  instead %q", r.p, packet, c.want)
	}
}

// transactionBegun is how session tracking tells of it.
var transactionBegun = []byte("T_______")

// reads tells whether a command shows the state of the session.
func reads(p []byte) bool {
	switch wire.Command(p[4]) {
	case wire.ComQuery:
		return slices.ContainsFunc([]string{"SELECT", "SHOW", "KILL", "SET ", "USE "}, func(s string) bool {
			return bytes.HasPrefix(p[5:], []byte(s))
		})
	case wire.ComInitDB: // it tells of itself, or not
		return true
	case wire.ComProcessKill: // its status does not tell of a transaction that is lost meanwhile
		return true
	case wire.ComStmtExecute, wire.ComStmtFetch:
		return true
	}
	return false
}

// answered is called when a reply was complete and right.
func (c *client) answered() {
	r := c.sent[0]
	if r.drained && !c.direct.inTrans && !c.mayLose && !c.w.kills {
		c.fail("a session that was to end has carried out %q", r.p)
	}
	c.sent, c.asked = c.sent[1:], false
	if len(c.script) == 0 && len(c.sent) == 0 && c.resuming {
		c.resuming, c.mayLose = false, c.losses > c.madeGood
	}
	c.w.commands++
	c.refused = 0
	c.acknowledged = append(c.acknowledged, c.pending...)
	c.pending = nil
}

var _ mysession.Host = (*client)(nil)

func (c *client) ToClient(p []byte) {
	if !c.gone {
		c.w.trace("  to client %d: %q", c.id, p)
		c.inbox = append(c.inbox, p...)
	}
}

func (c *client) ToServer(p []byte) {
	if c.db == nil {
		c.fail("the session sends without a connection")
		return
	}
	c.w.trace("  client %d to connection %d: %q", c.id, c.db.number, p)
	c.db.toServer = append(c.db.toServer, p...)
}

func (c *client) PauseClient()  { c.paused = true }
func (c *client) ResumeClient() { c.paused, c.wake = false, true }
func (c *client) CloseClient()  { c.closed = true }

func (c *client) SetTimer(d time.Duration) {
	c.timerAt = 0
	if d > 0 {
		c.timerAt = c.w.now + d
	}
}

func (c *client) Now() time.Duration    { return c.w.now }
func (c *client) Pinned(p session.Pins) { c.w.trace("  client %d is pinned: %s", c.id, p) }
func (c *client) Unpinned()             { c.w.trace("  client %d is not pinned", c.id) }
func (c *client) Served(session.Work)   {}
func (c *client) Note(e session.Event, s string) {
	c.w.trace("  client %d: event %d %s", c.id, e, s)
	switch e {
	case session.EventBorrowTimeout:
		c.w.met[borrowTimedOut]++
		if !c.w.faults {
			c.fail("a borrow time-out")
		}
	case session.EventClientProtocol, session.EventServerProtocol, session.EventReplayFailed:
		// A request to kill a query may be late and hit what the proxy does for the next.
		if !c.expelled && (e != session.EventReplayFailed || c.hits == 0) {
			c.fail("event %d: %s", e, s)
		}
	}
}

func (c *client) Borrow(settings *mysession.Settings) *mysession.Server {
	c.waiter.Settings = settings.Key()
	pc, acts := c.w.group.Borrow(c.w.group.Pool(pool.Key{User: c.session.User()}), &c.waiter, c.w.now, nil)
	c.w.carryOut(acts)
	if pc == nil {
		return nil
	}
	d := pc.Owner.(*conn)
	if c.w.rng.IntN(3) == 0 { // it lives on another loop
		c.w.mail = append(c.w.mail, func() { c.granted(d) })
		return nil
	}
	c.take(d)
	return d.server
}

func (c *client) Scarce() bool {
	return c.w.group.Scarce(c.w.group.Pool(pool.Key{User: c.session.User()}))
}

func (c *client) take(d *conn) {
	c.db, d.borrower = d, c
	if d.broken || d.dying { // which the proxy does not know yet
		c.loses()
	}
}

func (c *client) granted(d *conn) {
	if c.orphans > 0 || !c.session.Waiting() {
		c.orphans = max(0, c.orphans-1)
		c.w.release(d, true)
		return
	}
	if d.broken {
		c.w.release(d, false)
		d.noticed = true
		c.waiter.Again = true
		if srv := c.Borrow(c.session.Settings()); srv != nil {
			c.session.Granted(srv)
		}
		return
	}
	c.take(d)
	c.session.Granted(d.server)
}

func (c *client) CancelBorrow() {
	still, acts := c.w.group.Cancel(&c.waiter, c.w.now, nil)
	c.w.carryOut(acts)
	if !still {
		c.orphans++
	}
}

func (c *client) Release(reuse bool) {
	d := c.db
	c.db, d.borrower = nil, nil
	c.w.trace("  client %d releases connection %d: %v", c.id, d.number, reuse)
	c.w.release(d, reuse)
}
