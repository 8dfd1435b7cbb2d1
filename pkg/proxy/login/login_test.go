// SPDX-License-Identifier: Apache-2.0

package login

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
)

func TestReasonsHaveNames(t *testing.T) {
	seen := map[string]Reason{}
	for _, r := range Reasons() {
		name := r.String()
		if other, ok := seen[name]; ok || name == "" || name == "unknown" {
			t.Errorf("reason %d is called %q, as is %d", r, name, other)
		}
		seen[name] = r
	}
	for _, r := range []Reason{0, reasonEnd, 255} {
		if r.String() != "unknown" {
			t.Errorf("%d is called %q", r, r)
		}
	}
}

func TestBroken(t *testing.T) {
	live := t.Context()
	cancelled, cancel := context.WithCancelCause(live)
	cancel(errors.New("the proxy stops"))
	expired, end := context.WithTimeout(live, 0)
	defer end()
	<-expired.Done()
	for _, tc := range []struct {
		ctx    context.Context
		err    error
		reason Reason
		text   string
	}{
		{live, io.EOF, Disconnected, "the client went away"},
		{live, fmt.Errorf("reading: %w", io.ErrUnexpectedEOF), Disconnected, "the client went away in the middle of a message"},
		{live, net.ErrClosed, Disconnected, net.ErrClosed.Error()},
		{live, os.ErrDeadlineExceeded, Timeout, "the login took too long"},
		{live, context.DeadlineExceeded, Timeout, "the login took too long"},
		{expired, io.EOF, Timeout, "the login took too long"},
		{cancelled, os.ErrDeadlineExceeded, Shutdown, "the proxy stops"},
	} {
		l := Line{User: "app"}
		e := l.Broken(tc.ctx, tc.err)
		if e.Reason != tc.reason || e.Cause.Error() != tc.text || e.Error() != `user "app": `+tc.text {
			t.Errorf("%v: %v, %v", tc.err, e.Reason, e)
		}
	}
}

// TestEndOfContextEndsReads: whoever reads when the context ends is woken, and told so.
func TestEndOfContextEndsReads(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	ctx, cancel := context.WithCancel(t.Context())
	l := Line{Raw: ours, Conn: ours}
	l.Begin(ctx)
	cancel()
	if _, err := ours.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
	if !l.WasCut() {
		t.Error("it is not known that the context ended the dialogue")
	}

	l = Line{Raw: ours, Conn: ours}
	l.Begin(t.Context())
	if l.WasCut() {
		t.Error("a dialogue that ended by itself is said to have been cut")
	}
}

// TestFarewell: the last words arrive, though the client has sent more than anybody has read.
func TestFarewell(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Write(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if err := client.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	l := Line{Raw: server, Conn: server, Unread: true}
	l.Farewell([]byte("goodbye"))
	server.Close()
	if got, err := io.ReadAll(client); err != nil || string(got) != "goodbye" {
		t.Errorf("the client reads %q, %v", got, err)
	}
}
