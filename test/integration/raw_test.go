// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// dialRaw opens a socket to the proxy for bytes that no driver would send.
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
	return c
}

const (
	protocol30    = 3 << 16
	protocol32    = 3<<16 | 2
	cancelCode    = 1234<<16 | 5678
	sslCode       = 1234<<16 | 5679
	gssCode       = 1234<<16 | 5680
	errorResponse = 'E'
)

// startup frames a start-up packet: a length, a code and a body.
func startup(code uint32, body string) []byte {
	p := binary.BigEndian.AppendUint32(nil, uint32(len(body)+8))
	p = binary.BigEndian.AppendUint32(p, code)
	return append(p, body...)
}

// parameters are the body of a start-up message.
func parameters(pairs ...string) string {
	return strings.Join(pairs, "\x00") + "\x00\x00"
}

func cancelRequest(pid uint32, key []byte) []byte {
	return startup(cancelCode, string(binary.BigEndian.AppendUint32(nil, pid))+string(key))
}

// readMessage reads one message of the server.
func readMessage(c net.Conn) (kind byte, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n < 4 || n > 1<<20 {
		return 0, nil, fmt.Errorf("message %q with length %d", head[0], n)
	}
	body = make([]byte, n-4)
	_, err = io.ReadFull(c, body)
	return head[0], body, err
}

// readError reads messages up to an error and returns its fields by their letters.
func readError(t *testing.T, c net.Conn) map[byte]string {
	t.Helper()
	for {
		kind, body, err := readMessage(c)
		if err != nil {
			t.Fatalf("no error message: %v", err)
		}
		if kind != errorResponse {
			continue
		}
		fields := make(map[byte]string)
		for f := range strings.SplitSeq(string(body), "\x00") {
			if f != "" {
				fields[f[0]] = f[1:]
			}
		}
		return fields
	}
}

// expectClosed reads until the peer closes, which it has to do before the deadline.
func expectClosed(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection stays open: %v", err)
	}
}
