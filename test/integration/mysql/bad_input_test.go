// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/myclient"
	"github.com/rdsproxy/rdsproxy/test/myserver"
)

// dialRaw opens a socket and reads the greeting.
func (s *stack) dialRaw(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", s.daemon.Addr, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, mysql.HeaderLen)
	if _, err := io.ReadFull(c, head); err != nil {
		t.Fatal(err)
	}
	n, _ := mysql.ParseHeader(head)
	if _, err := io.CopyN(io.Discard, c, int64(n)); err != nil {
		t.Fatal(err)
	}
	return c
}

// expectClosed reads until the peer closes, which it has to do before the deadline.
func expectClosed(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection stays open: %v", err)
	}
}

// TestBadLogin answers the greeting with what is wrong. Each has to end the connection
// soon, and none may disturb others.
func TestBadLogin(t *testing.T) {
	s := newStack(t, myserver.MariaDB, daemonproc.Options{Group: connections(1), Top: daemonproc.Map{"login_timeout": "2s"}})
	s.daemon.RequireProxy(t)
	login := func(change func(*mysql.Login)) []byte {
		l := &mysql.Login{
			Capabilities: myclient.Basic | mysql.ClientLongPassword, MaxPacket: 1 << 24, Collation: 45, User: user,
			AuthResponse: bytes.Repeat([]byte{7}, 20), Plugin: mysql.PluginNative,
		}
		change(l)
		return mysql.AppendLogin(nil, 1, l)
	}
	same := func(*mysql.Login) {}
	strangers := make(map[string]net.Conn)
	for name, p := range map[string][]byte{
		"nothing":                   {},
		"half a header":             {1, 0},
		"empty packet":              {0, 0, 0, 1},
		"length 2^24-1":             append([]byte{0xff, 0xff, 0xff, 1}, make([]byte, 1<<20)...),
		"wrong sequence id":         append([]byte{byte(len(login(same)) - 4), 0, 0, 9}, login(same)[4:]...),
		"unfinished":                login(same)[:30],
		"cut short":                 append([]byte{40, 0, 0, 1}, login(same)[4:44]...),
		"HTTP":                      []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"protocol 4.0":              {10, 0, 0, 1, 5, 0, 0, 0, 0, 'a', 'b', 0, 'x', 0},
		"unknown plugin":            login(func(l *mysql.Login) { l.Plugin = "no_such_plugin" }),
		"unknown user":              login(func(l *mysql.Login) { l.User = "nobody" }),
		"no user":                   login(func(l *mysql.Login) { l.User = "" }),
		"long user":                 login(func(l *mysql.Login) { l.User = strings.Repeat("u", 60000) }),
		"short scramble":            login(func(l *mysql.Login) { l.AuthResponse = []byte{1} }),
		"TLS that is not offered":   mysql.AppendSSLRequest(nil, 1, &mysql.Login{Capabilities: myclient.Basic | mysql.ClientSSL}),
		"query ahead of the login":  mysql.AppendQuery(nil, 0, "SELECT 1"),
		"login and query at once":   append(login(same), mysql.AppendQuery(nil, 0, "SELECT 1")...),
		"attributes longer than it": login(func(l *mysql.Login) { l.Capabilities |= mysql.ClientConnectAttrs })[:70],
	} {
		c := s.dialRaw(t)
		if _, err := c.Write(p); err != nil {
			t.Logf("write: %v", err) // the peer may have closed already
		}
		strangers[name] = c
	}
	for name, c := range strangers {
		t.Run(name, func(t *testing.T) { expectClosed(t, c) })
	}
	if got := value(t, s.connect(t), "SELECT 'others are served'"); got != `"others are served"` {
		t.Errorf("got %s", got)
	}
}

// TestBadPackets sends nonsense after the login. Either an error names the trouble or
// the connection ends; others are served in any case.
func TestBadPackets(t *testing.T) {
	flavors(t, func(t *testing.T, flavor myserver.Flavor) {
		s := newStack(t, flavor, daemonproc.Options{Group: connections(1)})
		s.daemon.RequireProxy(t)
		execute := func(id uint32, rest ...byte) []byte {
			p := binary.LittleEndian.AppendUint32([]byte{byte(mysql.ComStmtExecute)}, id)
			return mysql.AppendPacket(nil, 0, append(p, rest...))
		}
		for _, test := range []struct {
			name string
			p    []byte
			want uint16 // number of the error; 0: only a close will do
		}{
			{"unknown command", mysql.AppendCommand(nil, 0x60, ""), mysql.CodeUnknownCommand},
			{"COM_BINLOG_DUMP", mysql.AppendCommand(nil, mysql.ComBinlogDump, "\x04\x00\x00\x00\x00\x00\x01\x00\x00\x00x"), mysql.CodeUnknownCommand},
			{"COM_CLONE", mysql.AppendCommand(nil, mysql.ComClone, ""), mysql.CodeUnknownCommand},
			{"COM_SHUTDOWN", mysql.AppendCommand(nil, mysql.ComShutdown, "\x00"), mysql.CodeUnknownCommand},
			{"unknown statement", execute(4711, 0, 1, 0, 0, 0), mysql.CodeUnknownStmt},
			{"COM_STMT_EXECUTE cut short", mysql.AppendCommand(nil, mysql.ComStmtExecute, "\x01"), mysql.CodeMalformedPacket},
			{"COM_STMT_FETCH cut short", mysql.AppendCommand(nil, mysql.ComStmtFetch, "\x01"), mysql.CodeMalformedPacket},
			{"COM_STMT_RESET cut short", mysql.AppendCommand(nil, mysql.ComStmtReset, ""), mysql.CodeMalformedPacket},
			{"COM_CHANGE_USER cut short", mysql.AppendCommand(nil, mysql.ComChangeUser, "user"), mysql.CodeMalformedPacket},
			{"COM_SET_OPTION cut short", mysql.AppendCommand(nil, mysql.ComSetOption, "\x01"), mysql.CodeUnknownCommand},
			{"COM_PROCESS_KILL cut short", mysql.AppendCommand(nil, mysql.ComProcessKill, "\x01"), mysql.CodeMalformedPacket},
			{"empty packet", []byte{0, 0, 0, 0}, mysql.CodeUnknownCommand},
			{"sequence id 5", []byte{1, 0, 0, 5, byte(mysql.ComPing)}, mysql.CodePacketsOutOfOrder},
			{"a length that never comes", []byte{0xff, 0xff, 0xff, 0, byte(mysql.ComQuery), 'S'}, 0},
		} {
			t.Run(test.name, func(t *testing.T) {
				c := s.connect(t)
				run(t, c, "SELECT 1")
				if err := c.Write(test.p); err != nil {
					t.Fatal(err)
				}
				if test.p[0] == 0xff {
					if err := c.NetConn().(*net.TCPConn).CloseWrite(); err != nil {
						t.Fatal(err)
					}
					expectClosed(t, c.NetConn())
					return
				}
				number := firstError(t, c.Reader())
				if number != test.want && number != 0 {
					t.Errorf("error %d, want %d", number, test.want)
				}
			})
		}
		if got := value(t, s.connect(t), "SELECT 'others are served'"); got != `"others are served"` {
			t.Errorf("got %s", got)
		}
	})
}

// firstError reads a packet and returns the number of the error in it, 0 if the
// connection ends instead.
func firstError(t *testing.T, r io.Reader) uint16 {
	t.Helper()
	head := make([]byte, mysql.HeaderLen)
	if _, err := io.ReadFull(r, head); err != nil {
		return 0
	}
	n, _ := mysql.ParseHeader(head)
	payload := make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		t.Fatal(err)
	}
	number, ok := mysql.ErrorCode(payload)
	if !ok {
		t.Errorf("got %q", payload)
	}
	return number
}

// TestParameterBeyondPacket is GHSA-r23x-jg5r-jmcc: a parameter that says to be longer
// than its packet must not bring along bytes that are not its own. The servers take
// what is there.
func TestParameterBeyondPacket(t *testing.T) {
	flavors(t, func(t *testing.T, flavor myserver.Flavor) {
		s := newStack(t, flavor, daemonproc.Options{Group: connections(1)})
		s.daemon.RequireProxy(t)
		answer := func(o myclient.Options) []byte {
			o.Want &^= mysql.ClientSessionTrack
			c := s.dial(t, o)
			if lines, err := c.Prepare("p", "SELECT ?"); err != nil || failed(lines) != "" {
				t.Fatal(lines, err)
			}
			p := binary.LittleEndian.AppendUint32([]byte{byte(mysql.ComStmtExecute)}, 1)
			p = append(p, 0, 1, 0, 0, 0, 0, 1, byte(mysql.TypeVarString), 0, 200, 'x')
			if err := c.Write(mysql.AppendPacket(nil, 0, p)); err != nil {
				t.Fatal(err)
			}
			return untilEnd(t, c.Reader())
		}
		direct := s.options()
		direct.Addr = s.my.Addr()
		if a, b := answer(direct), answer(s.options()); !bytes.Equal(a, b) && !bytes.HasPrefix(b[mysql.HeaderLen:], []byte{mysql.HeadErr}) {
			t.Errorf("%q directly, %q through the proxy", a, b)
		}
		if got := value(t, s.connect(t), "SELECT 'others are served'"); got != `"others are served"` {
			t.Errorf("got %s", got)
		}
	})
}

// untilEnd reads the packets of a reply, up to an error or the end of the rows.
func untilEnd(t *testing.T, r io.Reader) (all []byte) {
	t.Helper()
	for {
		head := make([]byte, mysql.HeaderLen)
		if _, err := io.ReadFull(r, head); err != nil {
			t.Fatalf("%v after %q", err, all)
		}
		n, _ := mysql.ParseHeader(head)
		payload := make([]byte, n)
		if _, err := io.ReadFull(r, payload); err != nil {
			t.Fatalf("%v after %q", err, all)
		}
		all = append(append(all, head...), payload...)
		if n > 0 && (payload[0] == mysql.HeadErr || payload[0] == mysql.HeadEOF) {
			return all
		}
	}
}

// TestLocalInfileIsRefused has a client without LOCAL_FILES ask for a file.
func TestLocalInfileIsRefused(t *testing.T) {
	flavors(t, func(t *testing.T, flavor myserver.Flavor) {
		s := newStack(t, flavor, daemonproc.Options{Group: connections(1)})
		c := s.connect(t)
		run(t, c, "CREATE TABLE IF NOT EXISTS shop.files (v INT)")
		lines, err := c.QueryFile("LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE shop.files", "1\n")
		if err != nil || failed(lines) == "" {
			t.Errorf("got %q, %v", lines, err)
		}
		if got := value(t, c, "SELECT COUNT(*) FROM shop.files"); got != `"0"` {
			t.Errorf("%s rows", got)
		}
	})
}
