// SPDX-License-Identifier: Apache-2.0

package model_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/test/pgserver"
	"github.com/rdsproxy/rdsproxy/test/sim/model"
	"github.com/rdsproxy/rdsproxy/test/sim/pgmsg"
	"github.com/rdsproxy/rdsproxy/test/sim/workload"
)

// TestAgainstPostgreSQL sends random requests to the model and to a real server
// and compares the answers, message by message.
func TestAgainstPostgreSQL(t *testing.T) {
	srv := pgserver.Start(t, pgserver.Options{
		HBA: []string{"host all all 127.0.0.1/32 trust"}, Settings: map[string]string{"timezone": "UTC", "log_min_messages": "panic"},
	})
	if err := srv.Exec(t.Context(), model.Setup); err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(40) {
		compare(t, srv.Addr(), seed)
		if t.Failed() {
			return
		}
	}
}

func compare(t *testing.T, addr string, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 7))
	c := workload.New(fmt.Sprintf("c%d", seed), r)
	c.Pins = []float64{0, 0.1, 0.4}[seed%3]
	real := connect(t, addr)
	defer func() { _ = real.Close() }()
	b := model.New(model.Settings{TimeZone: "UTC"})
	var status byte = 'I'
	var history []string
	for range 60 {
		u := c.Next(status)
		history = append(history, u.Sentence)
		want := &replies{}
		got := &replies{}
		for i, part := range u.Parts {
			if i > 0 && !want.copyIn {
				break
			}
			real.send(part)
			b.Receive(part)
			b.Receive(flush)
			b.Run()
			if b.Ended() {
				return // a message in a COPY that is no data
			}
			want.add(b.Sent())
			if !real.read(got, len(want.list)) {
				t.Errorf("seed %d: no answer, or too short", seed)
			}
		}
		real.settle(got)
		if want.text() != got.text() || t.Failed() {
			from := max(0, len(history)-8)
			t.Errorf("seed %d\n%s\nmodel:  %s\nserver: %s", seed, strings.Join(history[from:], "\n"), want.text(), got.text())
			return
		}
		if want.status != 0 {
			status = want.status
		}
	}
}

var flush = pgmsg.MustEncode("Flush")

// replies are messages in a form that can be compared.
type replies struct {
	list   []string
	copyIn bool
	status byte
	rest   []byte
}

func (r *replies) text() string { return strings.Join(r.list, " | ") }

func (r *replies) add(p []byte) {
	p = append(r.rest, p...)
	for len(p) >= 5 {
		n := int(binary.BigEndian.Uint32(p[1:])) + 1
		if len(p) < n {
			break
		}
		r.message(p[0], p[:n])
		p = p[n:]
	}
	r.rest = bytes.Clone(p)
}

func (r *replies) message(typ byte, p []byte) {
	text := pgmsg.DecodeBackend(p)
	switch typ {
	case 'S', 'A':
		return
	case 'E', 'N': // the SQLSTATE only
		text = strings.Join(strings.Fields(text)[:2], " ")
		if text == "Notice 25P01" {
			return // when SET LOCAL gives this warning in a batch differs by version
		}
	case 'T': // the number of columns only
		text = fmt.Sprint("Columns ", binary.BigEndian.Uint16(p[5:]))
	case 'V':
		text = "Result"
	case 'G':
		r.copyIn = true
	case 'Z':
		r.status = p[5]
	}
	r.list = append(r.list, text)
}

// client is a connection to a real server.
type client struct {
	t testing.TB
	net.Conn
}

func connect(t testing.TB, addr string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t, conn}
	body := "\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00"
	c.send(append(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4)), body...))
	var r replies
	for r.status == 0 {
		if !c.more(&r, 10*time.Second) {
			t.Fatal("no login: ", r.text())
		}
	}
	return c
}

func (c *client) send(p []byte) {
	if _, err := c.Write(p); err != nil {
		c.t.Error(err)
	}
}

// more reads what comes within the time limit.
func (c *client) more(r *replies, limit time.Duration) bool {
	buf := make([]byte, 64<<10)
	_ = c.SetReadDeadline(time.Now().Add(limit))
	n, err := c.Read(buf)
	r.add(buf[:n])
	if err != nil && !isTimeout(err) && !errors.Is(err, io.EOF) {
		c.t.Error(err)
	}
	return err == nil
}

func isTimeout(err error) bool {
	var ne net.Error
	ok := errors.As(err, &ne)
	return ok && ne.Timeout()
}

// read reads until there are n replies. What the server holds back without a
// Sync it is asked for.
func (c *client) read(r *replies, n int) bool {
	for limit := 200 * time.Millisecond; len(r.list) < n; {
		if c.more(r, limit) {
			continue
		}
		if limit > time.Second {
			return false
		}
		c.send(flush)
		limit = 10 * time.Second
	}
	return true
}

// settle reads what comes without being expected.
func (c *client) settle(r *replies) { c.more(r, time.Millisecond) }
