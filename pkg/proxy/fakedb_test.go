// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// stage is a point in the life of a database connection at which a test may step
// in.
type stage int

const (
	atAccept  stage = iota // nothing was read
	atStartup              // the start-up message was read
	atReady                // before the first ReadyForQuery
	atQuery                // a simple query, or an Execute, is about to be answered
	atCopyData
	atSync
	atCancel    // a cancel request was read, and has had its effect
	atTerminate // Terminate was read
)

// reaction is what becomes of the connection after a test has stepped in.
type reaction int

const (
	goOn     reaction = iota // as if nothing had happened
	handled                  // the test has answered, but for ReadyForQuery
	finished                 // the test has answered, ReadyForQuery included
	hangUp
)

// fakeDB looks like PostgreSQL as far as the proxy can see, and can be made to
// do what no real server does. It answers SELECT '...' with a row of the text
// and of its own process id, and knows of transactions, COPY and cancelling.
type fakeDB struct {
	tb             testing.TB
	l              net.Listener
	maxConnections atomic.Int64

	// hook is asked at each stage; sql is the query, if there is one.
	hook      atomic.Pointer[func(b *backend, at stage, sql string) reaction]
	factsHook atomic.Pointer[func(b *backend)]

	wg       sync.WaitGroup
	accepted atomic.Int64 // connections ever
	sessions atomic.Int64 // logins ever, those that ask for facts included
	goodbyes atomic.Int64 // Terminate messages
	cancels  atomic.Int64 // cancel requests with a right key
	endless  atomic.Int64 // queries that wait to be cancelled now

	mu       sync.Mutex
	backends map[uint32]*backend
	sockets  map[net.Conn]chan struct{}
	most     int // backends at a time
	lastPID  uint32
}

// backend is one connection of a fakeDB.
type backend struct {
	db      *fakeDB
	nc      net.Conn
	pg      *pgproto3.Backend
	pid     uint32
	secret  []byte
	started map[string]string // start-up parameters
	// facts: it asked for the limits, so it does not serve clients.
	facts atomic.Bool
	// queries counts what it was asked, facts included.
	queries atomic.Int64

	tx         byte
	failed     bool // up to Sync
	finished   bool // ReadyForQuery was sent already
	copying    bool
	statements map[string]string
	portals    map[string]string
	cancelled  chan struct{}
	dead       chan struct{} // closed when the server is killed
}

func newFakeDB(tb testing.TB, maxConnections int) *fakeDB {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	db := &fakeDB{
		tb: tb, l: l,
		backends: make(map[uint32]*backend), sockets: make(map[net.Conn]chan struct{}), lastPID: 1000,
	}
	db.maxConnections.Store(int64(maxConnections))
	db.wg.Go(func() { db.accept(l) })
	tb.Cleanup(db.close)
	return db
}

func (db *fakeDB) accept(l net.Listener) {
	for {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		db.accepted.Add(1)
		dead := make(chan struct{})
		db.mu.Lock()
		db.sockets[nc] = dead
		db.mu.Unlock()
		db.wg.Go(func() {
			db.serve(nc, dead)
			_ = nc.Close()
			db.mu.Lock()
			delete(db.sockets, nc)
			db.mu.Unlock()
		})
	}
}

func (db *fakeDB) close() {
	_ = db.l.Close()
	db.kill()
	db.wg.Wait()
}

// stop shuts the server down; start has it listen at the same address again.
func (db *fakeDB) stop() {
	_ = db.l.Close()
	db.kill()
}

func (db *fakeDB) start() {
	db.tb.Helper()
	l, err := net.Listen("tcp", db.l.Addr().String())
	if err != nil {
		db.tb.Fatal(err)
	}
	db.l = l
	db.wg.Go(func() { db.accept(l) })
}

// kill closes all connections without a word, as a crash does.
func (db *fakeDB) kill() {
	db.mu.Lock()
	defer db.mu.Unlock()
	for nc, dead := range db.sockets {
		_ = nc.Close()
		close(dead)
		delete(db.sockets, nc)
	}
}

// on sets the hook, or none.
func (db *fakeDB) on(f func(b *backend, at stage, sql string) reaction) {
	if f == nil {
		db.hook.Store(nil)
		return
	}
	db.hook.Store(&f)
}

// onFacts sets what is called before the limits are told.
func (db *fakeDB) onFacts(f func(b *backend)) { db.factsHook.Store(&f) }

func (db *fakeDB) ask(b *backend, at stage, sql string) reaction {
	f := db.hook.Load()
	if f == nil || b.facts.Load() {
		return goOn
	}
	return (*f)(b, at, sql)
}

// open is the number of backends now, and peak the largest number ever.
func (db *fakeDB) open() int {
	db.mu.Lock()
	defer db.mu.Unlock()
	return len(db.backends)
}

func (db *fakeDB) peak() int {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.most
}

// killAllBut closes all connections but one, without a word.
func (db *fakeDB) killAllBut(pid uint32) {
	db.mu.Lock()
	defer db.mu.Unlock()
	for id, b := range db.backends {
		if id != pid {
			_ = b.nc.Close()
		}
	}
}

// waiting is the number of queries that wait to be cancelled now.
func (db *fakeDB) waiting() int { return int(db.endless.Load()) }

func (db *fakeDB) enter(b *backend) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.lastPID++
	b.pid = db.lastPID
	b.secret = binary.BigEndian.AppendUint32(nil, b.pid*7919)
	db.backends[b.pid] = b
	db.most = max(db.most, len(db.backends))
}

func (db *fakeDB) leave(b *backend) {
	db.mu.Lock()
	defer db.mu.Unlock()
	delete(db.backends, b.pid)
}

func (db *fakeDB) serve(nc net.Conn, dead chan struct{}) {
	b := &backend{
		db: db, nc: nc, pg: pgproto3.NewBackend(nc, nc), tx: 'I',
		statements: make(map[string]string), portals: make(map[string]string),
		cancelled: make(chan struct{}, 1), dead: dead,
	}
	if db.ask(b, atAccept, "") != goOn {
		return
	}
	for {
		m, err := b.pg.ReceiveStartupMessage()
		if err != nil {
			return
		}
		switch m := m.(type) {
		case *pgproto3.SSLRequest, *pgproto3.GSSEncRequest:
			if _, err := nc.Write([]byte{'N'}); err != nil {
				return
			}
		case *pgproto3.CancelRequest:
			db.cancel(b, m)
			return
		case *pgproto3.StartupMessage:
			b.started = m.Parameters
			b.session()
			return
		}
	}
}

func (db *fakeDB) cancel(by *backend, m *pgproto3.CancelRequest) {
	db.mu.Lock()
	b := db.backends[m.ProcessID]
	db.mu.Unlock()
	if b != nil && string(b.secret) == string(m.SecretKey) {
		select {
		case b.cancelled <- struct{}{}:
		default:
		}
		db.cancels.Add(1)
	}
	db.ask(by, atCancel, "")
}

func (b *backend) session() {
	db := b.db
	if db.ask(b, atStartup, "") != goOn {
		return
	}
	db.enter(b)
	defer db.leave(b)
	db.sessions.Add(1)
	b.send(&pgproto3.AuthenticationOk{})
	for _, p := range [][2]string{
		{"server_version", "17.5"},
		{"client_encoding", "UTF8"},
		{"standard_conforming_strings", "on"},
		{"DateStyle", "ISO, MDY"},
		{"TimeZone", "UTC"},
		{"integer_datetimes", "on"},
		{"search_path", b.started["search_path"]},
	} {
		b.send(&pgproto3.ParameterStatus{Name: p[0], Value: p[1]})
	}
	b.send(&pgproto3.BackendKeyData{ProcessID: b.pid, SecretKey: b.secret})
	if db.ask(b, atReady, "") != goOn {
		return
	}
	b.ready()
	for {
		m, err := b.pg.Receive()
		if err != nil {
			return
		}
		if !b.handle(m) {
			return
		}
	}
}

// handle answers one message; false ends the connection.
func (b *backend) handle(m pgproto3.FrontendMessage) bool {
	if b.failed {
		if _, ok := m.(*pgproto3.Sync); !ok {
			_, over := m.(*pgproto3.Terminate)
			return !over
		}
	}
	switch m := m.(type) {
	case *pgproto3.Query:
		return b.simple(m.String)
	case *pgproto3.Parse:
		b.statements[m.Name] = m.Query
		b.send(&pgproto3.ParseComplete{})
	case *pgproto3.Bind:
		b.portals[m.DestinationPortal] = b.statements[m.PreparedStatement]
		if len(m.Parameters) > 0 {
			b.portals[m.DestinationPortal] = "SELECT '" + string(m.Parameters[0]) + "'"
		}
		b.send(&pgproto3.BindComplete{})
	case *pgproto3.Describe:
		if m.ObjectType == 'S' {
			b.send(&pgproto3.ParameterDescription{})
		}
		b.send(rowDescription())
	case *pgproto3.Execute:
		return b.run(b.portals[m.Portal], true)
	case *pgproto3.Close:
		b.send(&pgproto3.CloseComplete{})
	case *pgproto3.Flush:
		return b.flush()
	case *pgproto3.Sync:
		b.failed = false
		if r := b.db.ask(b, atSync, ""); r != goOn {
			return r == handled
		}
		return b.ready()
	case *pgproto3.CopyData:
		return b.db.ask(b, atCopyData, "") != hangUp
	case *pgproto3.CopyDone:
		b.copying = false
		b.send(&pgproto3.CommandComplete{CommandTag: []byte("COPY 1")})
		return b.ready()
	case *pgproto3.CopyFail:
		b.copying = false
		b.fail("57014", "COPY from stdin failed")
		return b.ready()
	case *pgproto3.Terminate:
		b.db.goodbyes.Add(1)
		b.db.ask(b, atTerminate, "")
		return false
	}
	return true
}

func (b *backend) simple(sql string) bool {
	b.finished = false
	switch {
	case !b.run(sql, false):
		return false
	case b.copying || b.finished:
		return b.flush()
	}
	return b.ready()
}

// run answers one statement, up to but without ReadyForQuery.
func (b *backend) run(sql string, extended bool) bool {
	b.queries.Add(1)
	if strings.Contains(sql, "current_setting('max_connections')") {
		b.facts.Store(true)
		if f := b.db.factsHook.Load(); f != nil {
			(*f)(b)
		}
		b.answerFacts()
		return true
	}
	switch b.db.ask(b, atQuery, sql) {
	case hangUp:
		return false
	case handled:
		return true
	case finished:
		b.finished = true
		return true
	}
	verb, rest, _ := strings.Cut(strings.TrimSpace(sql), " ")
	switch strings.ToUpper(verb) {
	case "BEGIN":
		b.tx = 'T'
	case "COMMIT", "ROLLBACK":
		b.tx = 'I'
	case "COPY":
		b.copying = true
		b.send(&pgproto3.CopyInResponse{ColumnFormatCodes: []uint16{0}})
		return true
	case "SELECT":
		text, quoted := between(rest, "'")
		if !quoted {
			break
		}
		if args, ok := strings.CutPrefix(text, "do:"); ok {
			return b.do(args, extended)
		}
		b.row(text, extended)
		return true
	}
	b.send(&pgproto3.CommandComplete{CommandTag: []byte(tagOf(sql))})
	return true
}

func tagOf(sql string) string {
	sql = strings.ToUpper(strings.TrimSuffix(strings.TrimSpace(sql), ";"))
	if strings.HasPrefix(sql, "DISCARD") || strings.HasPrefix(sql, "DEALLOCATE") {
		return sql
	}
	verb, _, _ := strings.Cut(sql, " ")
	return verb
}

// between gives what stands between the first two quotes.
func between(s, quote string) (string, bool) {
	_, s, ok := strings.Cut(s, quote)
	if !ok {
		return "", false
	}
	s, _, ok = strings.Cut(s, quote)
	return s, ok
}

// do carries out what a test asks for in SQL: SELECT 'do:...'.
func (b *backend) do(args string, extended bool) bool {
	words := strings.Fields(args)
	switch words[0] {
	case "rows": // n rows of so many bytes
		n, _ := strconv.Atoi(words[1])
		size, _ := strconv.Atoi(words[2])
		if !extended {
			b.send(rowDescription())
		}
		text := []byte(strings.Repeat("x", size))
		for range n {
			b.send(&pgproto3.DataRow{Values: [][]byte{text, nil}})
			if !b.flush() {
				return false
			}
		}
		b.send(&pgproto3.CommandComplete{CommandTag: fmt.Appendf(nil, "SELECT %d", n)})
	case "wait": // until it is cancelled; as a real server it does not look for its client meanwhile
		if !b.flush() {
			return false
		}
		b.db.endless.Add(1)
		defer b.db.endless.Add(-1)
		select {
		case <-b.cancelled:
			b.fail("57014", "canceling statement due to user request")
		case <-b.dead:
			return false
		}
	case "error":
		b.fail("22012", "division by zero")
	}
	return true
}

// wait lets a test decide when the server goes on; not beyond its end.
func (b *backend) wait(c <-chan struct{}) {
	select {
	case <-c:
	case <-b.dead:
	}
}

func (b *backend) row(text string, extended bool) {
	if !extended {
		b.send(rowDescription())
	}
	b.send(&pgproto3.DataRow{Values: [][]byte{[]byte(text), strconv.AppendUint(nil, uint64(b.pid), 10)}})
	b.send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
}

func rowDescription() *pgproto3.RowDescription {
	return &pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{
		{Name: []byte("mark"), DataTypeOID: 25, DataTypeSize: -1, TypeModifier: -1},
		{Name: []byte("pid"), DataTypeOID: 25, DataTypeSize: -1, TypeModifier: -1},
	}}
}

func (b *backend) answerFacts() {
	b.send(rowDescription())
	b.send(&pgproto3.DataRow{Values: [][]byte{
		strconv.AppendInt(nil, b.db.maxConnections.Load(), 10), []byte("3"), []byte("0"), []byte("17.5"), []byte("170005"),
		[]byte("f"), []byte("ignore_system_indexes,log_connections"),
	}})
	b.send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
}

// fail sends an error; the extended protocol then skips to Sync.
func (b *backend) fail(code, text string) {
	b.send(&pgproto3.ErrorResponse{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: code, Message: text})
	b.failed = true
	if b.tx == 'T' {
		b.tx = 'E'
	}
}

func (b *backend) ready() bool {
	b.failed = false
	b.send(&pgproto3.ReadyForQuery{TxStatus: b.tx})
	return b.flush()
}

func (b *backend) send(m pgproto3.BackendMessage) { b.pg.Send(m) }

func (b *backend) flush() bool {
	_ = b.nc.SetWriteDeadline(time.Now().Add(patience))
	return b.pg.Flush() == nil
}
