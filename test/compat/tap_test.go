// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"

	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// Commands that a tap counts.
const (
	bulkExecute     = "COM_STMT_BULK_EXECUTE"
	executeNewest   = "COM_STMT_EXECUTE of the statement prepared last"
	changeUser      = "COM_CHANGE_USER"
	resetConnection = "COM_RESET_CONNECTION"
	queryAttributes = "COM_QUERY with attributes"
)

// tap lets clients reach a server and counts the commands that they send. It
// understands neither TLS nor compression: there it counts nothing.
type tap struct {
	way    way
	mu     sync.Mutex
	counts map[string]int
	bytes  int64 // of the server's
	stop   func()
}

func newTap(t *testing.T, to way) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tp := &tap{way: to, counts: make(map[string]int)}
	tp.way.host, tp.way.port = splitAddr(t, l.Addr().String())
	var running sync.WaitGroup
	tp.stop = func() {
		_ = l.Close()
		running.Wait()
	}
	t.Cleanup(tp.stop)
	target := net.JoinHostPort(to.host, strconv.Itoa(to.port))
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { tp.relay(c, target) })
		}
	})
	return tp
}

func (tp *tap) count(command string) int {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	return tp.counts[command]
}

// answered is how many bytes the server has sent. It ends the tap; the clients must
// have left.
func (tp *tap) answered() int64 {
	tp.stop()
	tp.mu.Lock()
	defer tp.mu.Unlock()
	return tp.bytes
}

// relay serves one client until either side has closed.
func (tp *tap) relay(client net.Conn, target string) {
	defer client.Close()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	var back sync.WaitGroup
	back.Go(func() {
		n, _ := io.Copy(client, server)
		_ = client.Close()
		tp.mu.Lock()
		defer tp.mu.Unlock()
		tp.bytes += n
	})
	tp.commands(server, client)
	_ = server.Close()
	back.Wait()
}

// commands passes packets on and looks at those that begin a command.
func (tp *tap) commands(server io.Writer, client io.Reader) {
	var caps mysql.Capabilities
	for login := true; ; login = false {
		var head [mysql.HeaderLen]byte
		if _, err := io.ReadFull(client, head[:]); err != nil {
			return
		}
		size, seq := mysql.ParseHeader(head[:])
		p := make([]byte, size)
		if _, err := io.ReadFull(client, p); err != nil {
			return
		}
		if login && size >= 4 {
			caps = mysql.Capabilities(binary.LittleEndian.Uint32(p))
			if caps.Has(mysql.ClientCompress) || caps.Has(mysql.ClientZstd) || caps.Has(mysql.ClientSSL) {
				_, _ = server.Write(append(head[:], p...))
				_, _ = io.Copy(server, client)
				return
			}
		} else if seq == 0 && size > 0 {
			tp.note(p, caps)
		}
		if _, err := server.Write(append(head[:], p...)); err != nil {
			return
		}
	}
}

func (tp *tap) note(p []byte, caps mysql.Capabilities) {
	name := ""
	switch id, _ := mysql.StatementID(p); mysql.Command(p[0]) {
	case mysql.ComStmtBulkExecute:
		name = bulkExecute
	case mysql.ComStmtExecute:
		if id == mysql.LastStatement {
			name = executeNewest
		}
	case mysql.ComChangeUser:
		name = changeUser
	case mysql.ComResetConnection:
		name = resetConnection
	case mysql.ComQuery:
		if caps.Has(mysql.ClientQueryAttributes) && len(p) > 1 && p[1] > 0 {
			name = queryAttributes
		}
	}
	tp.mu.Lock()
	defer tp.mu.Unlock()
	tp.counts[name]++
}
