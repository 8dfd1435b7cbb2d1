// SPDX-License-Identifier: Apache-2.0

//go:build linux

package myload

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/netloop"
	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// answers starts a server that gives each command of a connection the answer of f, and ends with COM_QUIT or an error. The log of each
// connection is sent on the channel.
func answers(t *testing.T, clients int, f func(n int, command []byte) ([]byte, error)) ([]*Conn, <-chan []string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	logs := make(chan []string, clients)
	var out []*Conn
	for range clients {
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		go func() { logs <- serve(server, f) }()
		out = append(out, &Conn{transport: netloop.NewTransport(nc), statement: 7})
	}
	return out, logs
}

func serve(c net.Conn, f func(n int, command []byte) ([]byte, error)) (log []string) {
	defer c.Close()
	for n := 0; ; n++ {
		var head [mysql.HeaderLen]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return append(log, "cut off")
		}
		length, _ := mysql.ParseHeader(head[:])
		command := make([]byte, length)
		if _, err := io.ReadFull(c, command); err != nil {
			return append(log, "cut off")
		}
		log = append(log, string(command[1:]))
		if command[0] == byte(mysql.ComQuit) {
			return log
		}
		answer, err := f(n, command)
		if err != nil {
			return log
		}
		if _, err := c.Write(answer); err != nil {
			return append(log, err.Error())
		}
	}
}

func TestRun(t *testing.T) {
	for _, w := range []Work{PointSelect, Prepared, ReadWrite} {
		clients, logs := answers(t, 5, func(_ int, command []byte) ([]byte, error) {
			if bytes.Contains(command, []byte("BEGIN")) {
				return replies["OK"], nil
			}
			return replies["one row"], nil
		})
		trace, err := Run(context.Background(), clients, w, table, 100*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		queries := 0
		for range clients {
			log := <-logs
			if log[len(log)-1] != "" {
				t.Errorf("work %d: a client ends with %q and not with a logout", w, log[len(log)-1])
			}
			if w == ReadWrite && !strings.HasPrefix(log[len(log)-2], "COMMIT") {
				t.Errorf("a client ends with %q", log[len(log)-2])
			}
			queries += len(log) - 1
		}
		if queries == 0 || len(trace.EndMicros) != queries || len(trace.LatencyMicros) != queries {
			t.Errorf("work %d: %d queries, %d and %d in the trace", w, queries, len(trace.EndMicros), len(trace.LatencyMicros))
		}
	}
}

func TestRunFails(t *testing.T) {
	for name, tc := range map[string]struct {
		answer []byte
		err    error
		want   string
	}{
		"an error packet":     {answer: packets("\xff\x48\x04#HY000no tables"), want: "no tables"},
		"a connection is cut": {err: errors.New("enough"), want: "cut off"},
		"a reply and a half":  {answer: append(slices.Clip(replies["OK"]), 1, 2), want: "behind its end"},
		"what is not MySQL":   {answer: []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), want: "packet"},
	} {
		clients, _ := answers(t, 3, func(n int, _ []byte) ([]byte, error) {
			if n < 10 {
				return replies["OK"], nil
			}
			return tc.answer, tc.err
		})
		if _, err := Run(context.Background(), clients, PointSelect, table, time.Minute); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	clients, logs := answers(t, 2, func(n int, _ []byte) ([]byte, error) {
		if n == 3 {
			cancel()
		}
		return replies["OK"], nil
	})
	if _, err := Run(ctx, clients, PointSelect, table, time.Hour); err != nil {
		t.Error(err)
	}
	for range clients {
		if log := <-logs; log[len(log)-1] != "" {
			t.Errorf("a client ends with %q", log[len(log)-1])
		}
	}
}
