// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// fakeDB is a database that lets everybody in, asks for no password, and answers
// every query with its name.
type fakeDB struct {
	name string
	l    net.Listener
	wg   sync.WaitGroup

	sessions, goodbyes atomic.Int64
	// readOnly is what it says of itself; asked counts how often it was asked.
	readOnly atomic.Bool
	asked    atomic.Int64

	mu      sync.Mutex
	sockets map[net.Conn]bool
}

func newFakeDB(t *testing.T, name string) *fakeDB {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	db := &fakeDB{name: name, l: l, sockets: make(map[net.Conn]bool)}
	db.wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			db.wg.Go(func() { db.serve(nc) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		db.mu.Lock()
		for nc := range db.sockets {
			_ = nc.Close()
		}
		db.mu.Unlock()
		db.wg.Wait()
	})
	return db
}

func (db *fakeDB) addr() string { return db.l.Addr().String() }

// open is the number of connections.
func (db *fakeDB) open() int {
	db.mu.Lock()
	defer db.mu.Unlock()
	return len(db.sockets)
}

func (db *fakeDB) serve(nc net.Conn) {
	db.mu.Lock()
	db.sockets[nc] = true
	db.mu.Unlock()
	defer func() {
		_ = nc.Close()
		db.mu.Lock()
		delete(db.sockets, nc)
		db.mu.Unlock()
	}()
	pg := pgproto3.NewBackend(nc, nc)
	for {
		m, err := pg.ReceiveStartupMessage()
		if err != nil {
			return
		}
		if _, ok := m.(*pgproto3.StartupMessage); ok {
			break
		}
		if _, ok := m.(*pgproto3.CancelRequest); ok {
			return
		}
		_, _ = nc.Write([]byte{'N'})
	}
	db.sessions.Add(1)
	pg.Send(&pgproto3.AuthenticationOk{})
	pg.Send(&pgproto3.ParameterStatus{Name: "server_version", Value: "17.5"})
	pg.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{1, 2, 3, 4}})
	tx := byte('I')
	for {
		pg.Send(&pgproto3.ReadyForQuery{TxStatus: tx})
		if pg.Flush() != nil {
			return
		}
		m, err := pg.Receive()
		if err != nil {
			return
		}
		q, ok := m.(*pgproto3.Query)
		if !ok {
			db.goodbyes.Add(1)
			return
		}
		switch q.String {
		case "BEGIN":
			tx = 'T'
		case "COMMIT", "ROLLBACK":
			tx = 'I'
		}
		db.answer(pg, q.String)
	}
}

func (db *fakeDB) answer(pg *pgproto3.Backend, sql string) {
	values := [][]byte{[]byte(db.name)}
	if strings.Contains(sql, "current_setting('max_connections')") {
		values = [][]byte{strconv.AppendInt(nil, 10, 10), []byte("3"), []byte("0"), []byte("17.5"), []byte("170005"), []byte("f"), nil}
	}
	if strings.Contains(sql, "pg_is_in_recovery") && strings.Contains(sql, "pg_control_system") {
		db.asked.Add(1)
		is := "f"
		if db.readOnly.Load() {
			is = "t"
		}
		values = nil
		for _, v := range []string{is, is, "4711", "17000" + db.addr()[len("127.0.0.1:"):], "1", "1000", "0"} {
			values = append(values, []byte(v))
		}
	}
	var fields []pgproto3.FieldDescription
	for range values {
		fields = append(fields, pgproto3.FieldDescription{Name: []byte("name"), DataTypeOID: 25})
	}
	pg.Send(&pgproto3.RowDescription{Fields: fields})
	pg.Send(&pgproto3.DataRow{Values: values})
	pg.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
}
