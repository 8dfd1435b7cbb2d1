// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/rdsproxy/rdsproxy/pkg/netloop"
	"github.com/rdsproxy/rdsproxy/pkg/proxy"
)

// eachWay runs a test with logins on the event loops, and with logins on
// goroutines, as they are where the loops cannot accept.
func eachWay(t *testing.T, p plan, f func(t *testing.T, s *scene)) {
	t.Helper()
	for name, driver := range map[string]string{"loop": "", "goroutine": netloop.DriverPortable} {
		t.Run(name, func(t *testing.T) {
			p := p
			p.driver = driver
			f(t, newScene(t, p))
		})
	}
}

// stranger connects and says nothing yet.
func (s *scene) stranger() *rawClient {
	s.tb.Helper()
	nc, err := s.dial()
	if err != nil {
		s.tb.Fatal(err)
	}
	s.tb.Cleanup(func() { _ = nc.Close() })
	return &rawClient{s.tb, nc, pgproto3.NewFrontend(nc, nc)}
}

func (s *scene) unauthenticated(n uint64) {
	s.tb.Helper()
	eventually(s.tb, "as many log in", func() bool { return s.stats().Endpoints[0].Unauthenticated == n })
}

var startupOfApp = &pgproto3.StartupMessage{
	ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "app", "database": "app"},
}

// TestLoginInPieces: how the bytes of a login come does not matter, and what comes
// right behind it is the session's.
func TestLoginInPieces(t *testing.T) {
	eachWay(t, plan{max: 2}, func(t *testing.T, s *scene) {
		r := s.stranger()
		packet, err := startupOfApp.Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range packet {
			if _, err := r.nc.Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
		}
		salt := r.next().(*pgproto3.AuthenticationMD5Password).Salt
		r.send(&pgproto3.PasswordMessage{Password: md5Answer("app", salt)}, &pgproto3.Query{String: "SELECT 'early'"})
		r.until('Z')
		if row := r.until('D').(*pgproto3.DataRow); string(row.Values[0]) != "early" {
			t.Errorf("row %q", row.Values)
		}
		r.until('Z')
		r.send(&pgproto3.Terminate{})
		if _, err := r.nc.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("after the goodbye: %v", err)
		}
		s.settled()
	})
}

// TestBytesBehindSSLRequest: what somebody in between has slipped in behind the
// request for TLS is never taken for what the client said by TLS (CVE-2021-23222).
func TestBytesBehindSSLRequest(t *testing.T) {
	conf := serverTLS(t)
	p := plan{max: 2, endpoint: func(o *proxy.EndpointOptions) { o.TLS = func() *tls.Config { return conf } }}
	eachWay(t, p, func(t *testing.T, s *scene) {
		r := s.stranger()
		packet, err := startupOfApp.Encode([]byte{0, 0, 0, 8, 4, 210, 22, 47})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.nc.Write(packet); err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(r.nc) // the connection may be reset
		if len(answer) == 0 || answer[0] != 'S' || len(answer) > 1 && answer[1] == 'R' {
			t.Errorf("answer %q", answer)
		}
		eventually(t, "it is counted", func() bool { return s.stats().Endpoints[0].Failed["tls_handshake"] == 1 })
		s.settled()
	})
}

// TestSlowLogin: a client that takes too long is told so, and sent away.
func TestSlowLogin(t *testing.T) {
	p := plan{settings: func(o *proxy.Settings) { o.LoginTimeout = 100 * time.Millisecond }}
	eachWay(t, p, func(t *testing.T, s *scene) {
		silent, slow := s.stranger(), s.stranger()
		slow.send(startupOfApp)
		slow.until('R')
		if e := slow.ends(); e == nil || e.Code != "57014" {
			t.Errorf("told %v", e)
		}
		if _, err := silent.nc.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the silent one: %v", err)
		}
		if n := s.stats().Endpoints[0].Failed["timeout"]; n != 2 {
			t.Errorf("%d are counted", n)
		}
		s.settled()
	})
}

// TestDrainInLogin: those who log in when the proxy is shut down are told.
func TestDrainInLogin(t *testing.T) {
	eachWay(t, plan{}, func(t *testing.T, s *scene) {
		r := s.stranger()
		r.send(startupOfApp)
		r.until('R')
		s.unauthenticated(1)
		ctx, stop := context.WithTimeout(context.Background(), patience)
		defer stop()
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			s.proxy.Drain(ctx)
		}()
		if e := r.ends(); e == nil || e.Code != "57P01" {
			t.Errorf("told %v", e)
		}
		<-drained
		if ctx.Err() != nil {
			t.Error("the drain waits for somebody")
		}
	})
}

// TestGoneInLogin: a client may leave at any time.
func TestGoneInLogin(t *testing.T) {
	eachWay(t, plan{}, func(t *testing.T, s *scene) {
		for say := range 3 {
			r := s.stranger()
			switch say {
			case 1:
				if _, err := r.nc.Write([]byte{0, 0}); err != nil {
					t.Fatal(err)
				}
			case 2:
				r.send(startupOfApp)
				r.until('R')
			}
			s.unauthenticated(1)
			if say == 2 {
				_ = r.nc.(*net.TCPConn).SetLinger(0) // a reset
			}
			_ = r.nc.Close()
			s.unauthenticated(0)
			s.settled()
		}
	})
}

// TestClientsWrongPassword: the client is told, also one that does not close its side,
// and its place becomes free.
func TestClientsWrongPassword(t *testing.T) {
	eachWay(t, plan{}, func(t *testing.T, s *scene) {
		r := s.stranger()
		r.send(startupOfApp)
		r.until('R')
		r.send(&pgproto3.PasswordMessage{Password: "wrong"})
		e := r.until('E').(*pgproto3.ErrorResponse)
		if e.Code != "28P01" {
			t.Errorf("told %v", e)
		}
		if _, err := r.nc.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("it is not closed: %v", err)
		}
		s.settled()
	})
}

// TestLoginAfterOptionsChange: new clients have the new options.
func TestLoginAfterOptionsChange(t *testing.T) {
	eachWay(t, plan{}, func(t *testing.T, s *scene) {
		s.must(s.client(), "before")
		o := s.point
		o.Users = crashing{}
		o.KeepAlive = proxy.KeepAlive{Idle: time.Minute, Interval: time.Minute, Count: 3}
		s.endpoint.Update(o)
		if _, err := s.tryClient("crash"); err == nil {
			t.Error("let in")
		} else if _, ok := errors.AsType[*pgconn.ConnectError](err); !ok {
			t.Error(err)
		}
		s.must(s.client(), "after")
	})
}
