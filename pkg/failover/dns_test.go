// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

func question(name string) dnsmessage.Question {
	return dnsmessage.Question{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}
}

// reply builds an answer to q.
func reply(tb testing.TB, id uint16, q dnsmessage.Question, change func(*dnsmessage.Message)) []byte {
	tb.Helper()
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: id, Response: true}, Questions: []dnsmessage.Question{q}}
	if change != nil {
		change(&m)
	}
	msg, err := m.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	return msg
}

func record(name string, ttl uint32, body dnsmessage.ResourceBody) dnsmessage.Resource {
	return dnsmessage.Resource{
		Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Class: dnsmessage.ClassINET, TTL: ttl}, Body: body,
	}
}

func cname(to string) *dnsmessage.CNAMEResource {
	return &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(to)}
}

func dnsSeeds(tb testing.TB) [][]byte {
	q := question("db.internal.")
	return [][]byte{
		reply(tb, 7, q, nil),
		reply(tb, 7, q, func(m *dnsmessage.Message) {
			m.Answers = []dnsmessage.Resource{
				record("DB.internal.", 5, cname("i-1.internal.")),
				record("i-1.internal.", 60, &dnsmessage.AResource{A: [4]byte{10, 0, 0, 1}}),
				record("i-1.internal.", 60, &dnsmessage.AAAAResource{AAAA: [16]byte{0x20, 1}}),
				record("stranger.", 1, &dnsmessage.AResource{A: [4]byte{6, 6, 6, 6}}),
			}
		}),
	}
}

func TestParseAnswer(t *testing.T) {
	q := question("db.internal.")
	seeds := dnsSeeds(t)
	found, whole, err := parseAnswer(seeds[1], q, 7)
	if err != nil || !whole {
		t.Fatalf("%v, whole %v", err, whole)
	}
	if len(found.Addresses) != 2 || found.TTL != 5*time.Second || !slices.Equal(found.Names, []string{"i-1.internal"}) {
		t.Errorf("%+v", found)
	}
	other := q
	other.Name = dnsmessage.MustNewName("other.")
	circle := func(m *dnsmessage.Message) {
		m.Answers = []dnsmessage.Resource{record("db.internal.", 5, cname("b.")), record("b.", 5, cname("db.internal."))}
	}
	for name, tt := range map[string]struct {
		msg   []byte
		whole bool
		fails bool
	}{
		"nothing":            {nil, true, true},
		"another id":         {reply(t, 8, q, nil), true, true},
		"another question":   {reply(t, 7, other, nil), true, true},
		"a question":         {reply(t, 7, q, func(m *dnsmessage.Message) { m.Response = false }), true, true},
		"no such name":       {reply(t, 7, q, func(m *dnsmessage.Message) { m.RCode = dnsmessage.RCodeNameError }), true, true},
		"server failure":     {reply(t, 7, q, func(m *dnsmessage.Message) { m.RCode = dnsmessage.RCodeServerFailure }), true, true},
		"cut off":            {reply(t, 7, q, func(m *dnsmessage.Message) { m.Truncated = true }), false, false},
		"no address":         {seeds[0], true, false},
		"a circle of names":  {reply(t, 7, q, circle), true, false},
		"half of an address": {seeds[1][:len(seeds[1])-2], true, true},
	} {
		found, whole, err := parseAnswer(tt.msg, q, 7)
		if whole != tt.whole || (err != nil) != tt.fails || len(found.Addresses) > 0 {
			t.Errorf("%s: %+v, whole %v, %v", name, found, whole, err)
		}
	}
	zero := reply(t, 7, q, func(m *dnsmessage.Message) {
		m.Answers = []dnsmessage.Resource{record("db.internal.", 0, &dnsmessage.AResource{A: [4]byte{10, 0, 0, 1}})}
	})
	if found, _, _ := parseAnswer(zero, q, 7); found.TTL != time.Second {
		t.Errorf("a TTL of 0 becomes %v", found.TTL)
	}
}

// dnsServer answers over UDP and TCP with what f makes of the question; nil is silence.
func dnsServer(t *testing.T, f func(id uint16, q dnsmessage.Question, tcp bool) []byte) string {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", pc.LocalAddr().String())
	if err != nil {
		t.Skip("the port is taken over TCP")
	}
	t.Cleanup(func() { pc.Close(); l.Close() })
	parse := func(msg []byte, tcp bool) []byte {
		var m dnsmessage.Message
		if m.Unpack(msg) != nil || len(m.Questions) != 1 || !m.RecursionDesired {
			t.Errorf("a strange query %x", msg)
			return nil
		}
		return f(m.ID, m.Questions[0], tcp)
	}
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer := parse(buf[:n], false); answer != nil {
				_, _ = pc.WriteTo(answer, from)
			}
		}
	}()
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			var length [2]byte
			_, _ = io.ReadFull(nc, length[:])
			msg := make([]byte, binary.BigEndian.Uint16(length[:]))
			_, _ = io.ReadFull(nc, msg)
			answer := parse(msg, true)
			_, _ = nc.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
			nc.Close()
		}
	}()
	return l.Addr().String()
}

func TestNameServer(t *testing.T) {
	first := true
	addr := dnsServer(t, func(id uint16, q dnsmessage.Question, tcp bool) []byte {
		switch {
		case q.Type == dnsmessage.TypeAAAA:
			return reply(t, id, q, func(m *dnsmessage.Message) { m.RCode = dnsmessage.RCodeServerFailure })
		case !tcp && first:
			first = false
			return nil // lost on the way
		case !tcp:
			return reply(t, id, q, func(m *dnsmessage.Message) { m.Truncated = true })
		}
		return reply(t, id, q, func(m *dnsmessage.Message) {
			m.Answers = []dnsmessage.Resource{record("db.internal.", 9, &dnsmessage.AResource{A: [4]byte{10, 0, 0, 1}})}
		})
	})
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	found, err := NameServer{addr}.Resolve(ctx, "db.internal")
	if err != nil || len(found.Addresses) != 1 || found.TTL != 9*time.Second {
		t.Errorf("%+v, %v", found, err)
	}
	if _, err := (NameServer{addr}).Resolve(ctx, "a..b"); err == nil {
		t.Error("a name that is none")
	}
}

// TestNameServerSilent: a look-up ends with its context.
func TestNameServerSilent(t *testing.T) {
	addr := dnsServer(t, func(uint16, dnsmessage.Question, bool) []byte { return nil })
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if found, err := (NameServer{addr}).Resolve(ctx, "db.internal"); err == nil {
		t.Errorf("%+v", found)
	}
}
