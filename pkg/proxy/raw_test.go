// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// rawClient says what no driver would say.
type rawClient struct {
	tb testing.TB
	nc net.Conn
	pg *pgproto3.Frontend
}

// raw takes a logged-in connection away from its driver.
func (s *scene) raw(c *pgconn.PgConn) *rawClient {
	s.tb.Helper()
	h, err := c.Hijack()
	if err != nil {
		s.tb.Fatal(err)
	}
	r := &rawClient{s.tb, h.Conn, pgproto3.NewFrontend(h.Conn, h.Conn)}
	s.tb.Cleanup(func() { _ = r.nc.Close() })
	return r
}

func (r *rawClient) send(list ...pgproto3.FrontendMessage) {
	r.tb.Helper()
	var buf []byte
	for _, m := range list {
		var err error
		if buf, err = m.Encode(buf); err != nil {
			r.tb.Fatal(err)
		}
	}
	_ = r.nc.SetWriteDeadline(time.Now().Add(patience))
	if _, err := r.nc.Write(buf); err != nil {
		r.tb.Fatal(err)
	}
}

// next reads one message.
func (r *rawClient) next() pgproto3.BackendMessage {
	r.tb.Helper()
	_ = r.nc.SetReadDeadline(time.Now().Add(patience))
	m, err := r.pg.Receive()
	if err != nil {
		r.tb.Fatal(err)
	}
	return m
}

// until reads messages up to one of the type given.
func (r *rawClient) until(typ byte) pgproto3.BackendMessage {
	r.tb.Helper()
	for {
		m := r.next()
		buf, err := m.Encode(nil)
		if err != nil {
			r.tb.Fatal(err)
		}
		if buf[0] == typ {
			return m
		}
	}
}

// ends reads until the connection is closed, closes its own side, and gives the
// last error message.
func (r *rawClient) ends() *pgproto3.ErrorResponse {
	r.tb.Helper()
	defer r.nc.Close()
	_ = r.nc.SetReadDeadline(time.Now().Add(patience))
	var last *pgproto3.ErrorResponse
	for {
		m, err := r.pg.Receive()
		if err != nil {
			if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
				r.tb.Fatal("the connection is not closed")
			}
			return last
		}
		if e, ok := m.(*pgproto3.ErrorResponse); ok {
			kept := *e
			last = &kept
		}
	}
}

// md5Answer is what the method md5 wants for a password.
func md5Answer(user string, salt [4]byte) string {
	digest := func(s string) string { sum := md5.Sum([]byte(s)); return hex.EncodeToString(sum[:]) }
	return "md5" + digest(digest(password+user)+string(salt[:]))
}
