// SPDX-License-Identifier: Apache-2.0

package target

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/iotest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// logins are what good servers send, and some that go too far.
func logins() [][]byte {
	scram := wire.AppendAuthenticationSASL(nil, []string{"SCRAM-SHA-256"})
	scram = wire.AppendAuthenticationSASLContinue(scram, []byte("r=abc,s=AAAA,i=4096"))
	scram = wire.AppendAuthenticationSASLFinal(scram, []byte("v=AAAA"))
	trust := wire.AppendAuthenticationOK(nil)
	trust = wire.AppendParameterStatus(trust, "a", "b")
	trust = wire.AppendBackendKeyData(trust, 1, []byte{1, 2, 3, 4})
	trust = wire.AppendReadyForQuery(trust, wire.TxIdle)
	return [][]byte{
		scram, trust, append(bytes.Clone(scram), trust...),
		wire.AppendAuthenticationCleartextPassword(nil),
		wire.AppendAuthenticationMD5Password(nil, [4]byte{1, 2, 3, 4}),
		wire.AppendAuthenticationSASLContinue(nil, []byte("r=abc,s=AAAA,i=999999999")),
		wire.AppendErrorResponse(nil, wire.Fatal("28P01", "password authentication failed")),
		wire.AppendNegotiateProtocolVersion(nil, wire.Version30, []string{"_pq_.x"}),
		[]byte("R\x00\x00\x00\x04"),
		[]byte("HTTP/1.1 200 OK"),
		bytes.Repeat(wire.AppendAuthenticationOK(nil), 9),
	}
}

// TestGuardLetsThrough: what is not refused arrives as it was sent, also what
// comes after the login in any form.
func TestGuardLetsThrough(t *testing.T) {
	data := append(bytes.Clone(logins()[2]), "R\x00\x00\xff\xffwhatever comes later"...)
	for name, in := range map[string]io.Reader{
		"whole":        bytes.NewReader(data),
		"byte by byte": iotest.OneByteReader(bytes.NewReader(data)),
		"halves":       iotest.HalfReader(bytes.NewReader(data)),
		"with error":   iotest.DataErrReader(bytes.NewReader(data)),
	} {
		got, err := io.ReadAll(&guard{in: in, maxIterations: 4096})
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %v, %d of %d bytes", name, err, len(got), len(data))
		}
	}
}

// TestGuardStopsInTime: nothing of a refused message's end gets through, and the
// error stays.
func TestGuardStopsInTime(t *testing.T) {
	bad := wire.AppendAuthenticationSASLContinue(nil, []byte("r=abc,s=AAAA,i=4097"))
	g := &guard{in: iotest.OneByteReader(bytes.NewReader(bad)), maxIterations: 4096}
	got, err := io.ReadAll(g)
	var refused *policyError
	if !errors.As(err, &refused) || len(got) >= len(bad) {
		t.Errorf("%v after %d of %d bytes", err, len(got), len(bad))
	}
	if n, again := g.Read(make([]byte, 10)); n != 0 || !errors.Is(again, err) {
		t.Errorf("then %d bytes, %v", n, again)
	}
	g = &guard{in: bytes.NewReader(bytes.Repeat([]byte("N\x00\x00\x00\x05\x00"), maxLoginBytes))}
	if n, err := io.Copy(io.Discard, g); err == nil || n > maxLoginBytes {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// FuzzGuard: however the bytes are cut, the verdict is the same, and what was let
// through is what was sent.
func FuzzGuard(f *testing.F) {
	for _, l := range logins() {
		f.Add(l, uint8(3))
	}
	f.Fuzz(func(t *testing.T, data []byte, size uint8) {
		judge := func(in io.Reader) ([]byte, error) {
			return io.ReadAll(&guard{in: in, maxIterations: 4096})
		}
		whole, err := judge(bytes.NewReader(data))
		got, cutErr := judge(&chunks{data, int(size)%16 + 1})
		if (err == nil) != (cutErr == nil) {
			t.Fatalf("whole: %v, cut: %v", err, cutErr)
		}
		if err == nil && !bytes.Equal(whole, data) || !bytes.HasPrefix(data, got) {
			t.Fatal("bytes have changed")
		}
	})
}

// chunks is a reader that gives a few bytes at a time.
type chunks struct {
	data []byte
	size int
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.data[:min(c.size, len(c.data))])
	c.data = c.data[n:]
	return n, nil
}

// FuzzLogin: pgconn behind the guard takes anything without panic or delay.
func FuzzLogin(f *testing.F) {
	for _, l := range logins() {
		f.Add(l)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		near, far := net.Pipe()
		served := make(chan struct{})
		go func() {
			defer close(served)
			go func() { _, _ = io.Copy(io.Discard, far) }()
			_, _ = far.Write(data)
			_ = far.Close()
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		g := &guard{maxIterations: 4096, allowCleartext: true}
		l := link{conn: near, wrapped: near}
		pg, err := pgconn.ConnectConfig(ctx, configure(Request{User: "u", Password: "p"}, "3.2", l, g))
		if err == nil {
			s := &session{link: l, pg: pg}
			_, err = s.handOver(ctx)
		}
		if err != nil {
			_ = plain(err).Error()
		}
		_ = near.Close()
		<-served
		if ctx.Err() != nil {
			t.Fatal("the login hangs")
		}
	})
}
