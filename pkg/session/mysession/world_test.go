// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/session"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// world is sessions and database connections without any network, pool or
// time, for transcripts and fuzzing: what the sessions do is written down.
type world struct {
	tb      testing.TB
	shared  *Shared
	clients map[string]*fakeClient
	conns   map[string]*fakeConn
	// chunk says how many of n bytes are fed next.
	chunk  func(n int) int
	events []event
	// quiet leaves out what depends on how the bytes were cut.
	quiet bool
	// strict: no reply may be cut short.
	strict bool
	// scarce: others want the connections.
	scarce bool
}

// event is bytes sent to somebody, or something done.
type event struct {
	to    string
	bytes []byte
	text  string
}

// fakeClient is the Host of a session.
type fakeClient struct {
	w       *world
	name    string
	session Session
	inbox   []byte
	paused  bool
	closed  bool // the session has closed the client
	gone    bool // the client has closed itself
	waiting bool
	conn    *fakeConn
	timer   time.Duration
	cancels int
}

// fakeConn is a database connection.
type fakeConn struct {
	w        *world
	name     string
	server   *Server
	borrower *fakeClient
	inbox    []byte
	closed   bool
	held     bool // not given out at once
}

func newWorld(tb testing.TB) *world {
	return &world{
		tb: tb, shared: NewShared(3), clients: make(map[string]*fakeClient), conns: make(map[string]*fakeConn),
		chunk: func(n int) int { return n },
	}
}

func (w *world) note(format string, args ...any) {
	w.events = append(w.events, event{text: fmt.Sprintf(format, args...)})
}

func (w *world) send(to string, p []byte) {
	if n := len(w.events); n > 0 && w.events[n-1].to == to && w.events[n-1].bytes != nil {
		w.events[n-1].bytes = append(w.events[n-1].bytes, p...)
		return
	}
	w.events = append(w.events, event{to: to, bytes: bytes.Clone(p)})
}

// take gives the events since the last take as lines. If quiet, what was done
// comes first, and then what everybody was sent: in what order different ones
// were sent something depends on how the bytes were cut.
func (w *world) take() (lines []string) {
	if w.quiet {
		w.sort()
	}
	for _, e := range w.events {
		switch {
		case e.bytes == nil:
			lines = append(lines, e.text)
		case w.conns[e.to] != nil:
			lines = append(lines, e.to+"< "+decode(e.bytes, false, w.conns[e.to].server.caps))
		default:
			lines = append(lines, e.to+"< "+decode(e.bytes, true, w.clients[e.to].session.caps))
		}
	}
	w.events = nil
	return lines
}

func (w *world) sort() {
	events := w.events
	w.events = nil
	slices.SortStableFunc(events, func(a, b event) int { return strings.Compare(a.to, b.to) })
	for _, e := range events {
		if e.bytes != nil {
			w.send(e.to, e.bytes)
		} else {
			w.events = append(w.events, e)
		}
	}
}

func (w *world) fail(format string, args ...any) {
	w.tb.Helper()
	w.tb.Fatalf("%s\nevents: %s", fmt.Sprintf(format, args...), strings.Join(w.take(), "\n    "))
}

func (w *world) connect(name string, f *ServerFacts) *fakeConn {
	c := &fakeConn{w: w, name: name, server: NewServer(w.shared, f)}
	w.conns[name] = c
	return c
}

func (w *world) login(name string, o Options) *fakeClient {
	c := &fakeClient{w: w, name: name}
	w.clients[name] = c
	o.Host, o.Shared = c, w.shared
	c.session.Init(o)
	c.session.Start()
	w.run()
	return c
}

// feed gives bytes to the session of c, and lets everybody go on as far as
// possible.
func (c *fakeClient) feed(p []byte) {
	for len(p) > 0 {
		n := c.w.chunk(len(p))
		c.inbox = append(c.inbox, p[:n]...)
		p = p[n:]
		c.deliver()
		c.w.run()
	}
}

func (c *fakeClient) deliver() (moved bool) {
	if c.paused || c.closed || c.gone {
		return false
	}
	for len(c.inbox) > 0 && !c.paused && !c.closed {
		n := c.session.ClientData(c.inbox)
		if n < 0 || n > len(c.inbox) {
			c.w.fail("ClientData used %d of %d bytes", n, len(c.inbox))
		}
		c.inbox = c.inbox[n:]
		if n == 0 {
			break
		}
		moved = true
	}
	return moved
}

func (d *fakeConn) feed(p []byte) {
	for len(p) > 0 {
		n := d.w.chunk(len(p))
		d.inbox = append(d.inbox, p[:n]...)
		p = p[n:]
		d.deliver()
		d.w.run()
	}
}

func (d *fakeConn) deliver() (moved bool) {
	for len(d.inbox) > 0 && !d.closed {
		n := 0
		if c := d.borrower; c != nil {
			n = c.session.ServerData(d.inbox)
		} else {
			var ok bool
			if n, ok = d.server.IdleData(d.inbox); !ok {
				d.w.note("%s is lost", d.name)
				d.closed = true
			}
		}
		if n < 0 || n > len(d.inbox) {
			d.w.fail("ServerData used %d of %d bytes", n, len(d.inbox))
		}
		d.inbox = d.inbox[n:]
		if n == 0 {
			break
		}
		moved = true
	}
	return moved
}

// run lets clients that were resumed go on.
func (w *world) run() {
	for again := true; again; {
		again = false
		for _, name := range slices.Sorted(mapKeys(w.clients)) {
			again = w.clients[name].deliver() || again
		}
	}
	for _, c := range w.clients {
		w.check(c)
	}
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// check verifies what must always hold between two events.
func (w *world) check(c *fakeClient) {
	w.tb.Helper()
	s := &c.session
	switch s.state {
	case idle, waiting, suspended, closed:
		if s.srv != nil || c.conn != nil {
			w.fail("%s has a connection in state %d", c.name, s.state)
		}
	default:
		if s.srv == nil || c.conn == nil || s.srv != c.conn.server {
			w.fail("%s has no connection in state %d", c.name, s.state)
		}
		w.checkServer(s.srv)
	}
	if (s.state == waiting) != c.waiting {
		w.fail("%s: state %d, in the queue: %v", c.name, s.state, c.waiting)
	}
	if s.state == closed && !c.closed && !c.gone {
		w.fail("%s is closed, but not its client", c.name)
	}
	if s.state == idle && c.paused && !c.gone && !c.closed && !s.killing {
		w.fail("%s is idle and its client is paused", c.name)
	}
}

func (w *world) checkServer(srv *Server) {
	w.tb.Helper()
	if srv.cancels < 0 {
		w.fail("%d cancel requests", srv.cancels)
	}
	ps, n := &srv.prepared, 0
	for p := ps.newest; p != nil; p = p.older {
		if ps.byKey[p.key] != p || p.older != nil && p.older.newer != p {
			w.fail("the list of prepared statements is broken")
		}
		n++
	}
	if n != len(ps.byKey) {
		w.fail("%d statements in the list, %d in the map", n, len(ps.byKey))
	}
}

// ToClient implements Host.
func (c *fakeClient) ToClient(p []byte) {
	if c.closed || c.gone {
		c.w.fail("%s is sent something after its end: %s", c.name, decode(p, true, c.session.caps))
	}
	if len(p) > 0 {
		c.w.send(c.name, p)
	}
}

// ToServer implements Host.
func (c *fakeClient) ToServer(p []byte) {
	if c.conn == nil {
		c.w.fail("%s sends to a server without a connection: %s", c.name, decode(p, false, c.session.caps))
	}
	if len(p) > 0 {
		c.w.send(c.conn.name, p)
	}
}

// Borrow implements Host.
func (c *fakeClient) Borrow(*Settings) *Server {
	if c.conn != nil || c.waiting {
		c.w.fail("%s borrows twice", c.name)
	}
	for _, name := range slices.Sorted(mapKeys(c.w.conns)) {
		if d := c.w.conns[name]; d.borrower == nil && !d.closed && !d.held {
			c.w.note("%s borrows %s", c.name, name)
			c.conn, d.borrower = d, c
			return d.server
		}
	}
	c.waiting = true
	c.w.note("%s waits", c.name)
	return nil
}

// Scarce implements Host.
func (c *fakeClient) Scarce() bool { return c.w.scarce }

// grant gives a waiting client a connection.
func (c *fakeClient) grant(d *fakeConn) {
	if !c.waiting || d.borrower != nil {
		c.w.fail("%s cannot be granted %s", c.name, d.name)
	}
	c.waiting = false
	c.conn, d.borrower = d, c
	c.session.Granted(d.server)
	c.w.run()
	if d.deliver() {
		c.w.run()
	}
}

// CancelBorrow implements Host.
func (c *fakeClient) CancelBorrow() {
	if !c.waiting {
		c.w.fail("%s takes back what it has not asked for", c.name)
	}
	c.waiting = false
	c.w.note("%s waits no more", c.name)
}

// Release implements Host.
func (c *fakeClient) Release(reuse bool) {
	d := c.conn
	if d == nil {
		c.w.fail("%s releases what it has not", c.name)
	}
	c.conn, d.borrower = nil, nil
	srv := d.server
	if reuse && (!srv.idle() || srv.inTransaction() || srv.unsure || srv.cancels != 0 || srv.doubt || len(d.inbox) > 0 && c.w.strict) {
		c.w.fail("%s releases a connection that is not free: stage %d, status %#x, cancels %d", c.name, srv.x.stage, srv.status, srv.cancels)
	}
	verb := "releases"
	if !reuse {
		verb = "throws away"
		d.closed = true
	}
	c.w.note("%s %s %s", c.name, verb, d.name)
}

// PauseClient implements Host.
func (c *fakeClient) PauseClient() {
	if !c.paused && !c.w.quiet {
		c.w.note("%s is paused", c.name)
	}
	c.paused = true
}

// ResumeClient implements Host.
func (c *fakeClient) ResumeClient() {
	if c.paused && !c.w.quiet {
		c.w.note("%s is resumed", c.name)
	}
	c.paused = false
}

// CloseClient implements Host.
func (c *fakeClient) CloseClient() {
	if c.closed || c.gone {
		c.w.fail("%s is closed twice", c.name)
	}
	c.closed = true
	c.w.note("%s is closed", c.name)
}

// CancelQuery implements Host.
func (c *fakeClient) CancelQuery() {
	c.cancels++
	c.w.note("%s cancels on %s", c.name, c.conn.name)
}

// SetTimer implements Host.
func (c *fakeClient) SetTimer(d time.Duration) {
	if d != c.timer {
		c.w.note("%s sets its timer to %s", c.name, d)
	}
	c.timer = d
}

// Now implements Host.
func (c *fakeClient) Now() time.Duration { return 0 }

// Pinned implements Host.
func (c *fakeClient) Pinned(p session.Pins) { c.w.note("%s is pinned: %s", c.name, p) }

// Unpinned implements Host.
func (c *fakeClient) Unpinned() { c.w.note("%s is not pinned any more", c.name) }

// Served implements Host.
func (c *fakeClient) Served(session.Work) {}

// Note implements Host.
func (c *fakeClient) Note(e session.Event, detail string) {
	c.w.note("%s notes %d %s", c.name, e, detail)
}

// Kill implements Host.
func (c *fakeClient) Kill(id uint32, query bool) {
	c.w.note("%s kills %d, query %v", c.name, id, query)
}

// Authenticate implements Host: the right response is the name of the user.
func (c *fakeClient) Authenticate(user, _ string, _, response []byte) bool {
	return user == string(response)
}

// Salt implements Host.
func (c *fakeClient) Salt(string) (plugin string, salt []byte) {
	return wire.PluginNative, []byte("abcdefghijklmnopqrst")
}

// ChangeUser implements Host. Nobody knows mallory.
func (c *fakeClient) ChangeUser(user string) *Shared {
	c.w.note("%s becomes %s", c.name, user)
	if user == "mallory" {
		return nil
	}
	return c.w.shared
}
