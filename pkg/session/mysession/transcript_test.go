// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

var update = flag.Bool("update", false, "write what happens in the transcripts of testdata anew")

// TestTranscripts plays the transcripts of testdata. "a> …" is what client a
// sends, "c1> …" what database connection c1 sends, another line is something
// done to one of them (see perform); the indented lines below are what happened
// then: "a< …" is what client a was sent. See encode for the notation of packets.
//
// Each transcript is played several times, its bytes cut in other places.
// Nothing but pauses may differ.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts: ", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(text), nil, false)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(text) {
				t.Fatalf("%s\nrun with -update and look at the difference", difference(string(text), got))
			}
			want := play(t, string(text), nil, true)
			for name, chunk := range cuts() {
				if got := play(t, string(text), chunk, true); got != want {
					t.Fatalf("cut %s:\n%s", name, difference(want, got))
				}
			}
		})
	}
}

func cuts() map[string]func(int) int {
	all := map[string]func(int) int{"at every byte": func(int) int { return 1 }}
	for seed := range uint64(5) {
		r := rand.New(rand.NewPCG(seed, 1))
		all["at random, "+strconv.FormatUint(seed, 10)] = func(n int) int { return 1 + r.IntN(min(n, 40)) }
	}
	for size := range 8 {
		all["every "+strconv.Itoa(size+2)+" bytes"] = func(n int) int { return min(n, size+2) }
	}
	return all
}

// difference shows the first line that differs.
func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			from := max(0, i-6)
			return fmt.Sprintf("%s\nwant: %s\ngot:  %s", strings.Join(w[from:i], "\n"), w[i], g[i])
		}
	}
	return fmt.Sprintf("want %d lines, got %d", len(w), len(g))
}

// play runs a transcript and gives it with what happened. Long transcripts of
// bulky messages are not cut into single bytes.
func play(t *testing.T, text string, chunk func(int) int, quiet bool) string {
	t.Helper()
	w := newWorld(t)
	w.quiet = quiet
	if chunk != nil {
		w.chunk = func(n int) int {
			if n > 4096 {
				return max(chunk(n), 1+n/16)
			}
			return chunk(n)
		}
	}
	var out bytes.Buffer
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "    ") {
			continue
		}
		fmt.Fprintln(&out, line)
		if line == "" || line[0] == '#' {
			continue
		}
		if err := w.perform(line); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		for _, l := range w.take() {
			fmt.Fprintln(&out, "    "+l)
		}
	}
	return out.String()
}

var errCommand = errors.New("what does this mean?")

// perform carries out a line.
func (w *world) perform(line string) error {
	if who, what, ok := strings.Cut(line, "> "); ok && !strings.ContainsAny(who, " ") {
		switch {
		case w.clients[who] != nil:
			p, err := encode(what, 0, w.clients[who].session.caps)
			if err == nil {
				w.clients[who].feed(p)
			}
			return err
		case w.conns[who] != nil:
			p, err := encode(what, 1, w.conns[who].server.caps)
			if err == nil {
				w.conns[who].feed(p)
			}
			return err
		}
		return errors.New("nobody of that name")
	}
	f := strings.Fields(line)
	if len(f) < 2 {
		return errCommand
	}
	switch f[0] {
	case "connections": // are scarce or not
		w.scarce = f[1] == "scarce"
		return nil
	case "statements":
		n, err := strconv.Atoi(f[1])
		w.shared.MaxStatements = n
		return err
	case "connection":
		w.connect(f[1], serverFacts(f[2:]))
		return nil
	case "session":
		return w.start(f[1], f[2:])
	}
	if c := w.clients[f[0]]; c != nil {
		return w.performClient(c, f[1:])
	}
	if d := w.conns[f[0]]; d != nil {
		return w.performConn(d, f[1:])
	}
	return errCommand
}

// capabilityNames are those that a transcript can ask for.
var capabilityNames = map[string]wire.Capabilities{
	"-deprecate": wire.ClientDeprecateEOF, "-track": wire.ClientSessionTrack, "-files": wire.ClientLocalFiles,
	"-multi": wire.ClientMultiStatements, "-attributes": wire.ClientQueryAttributes,
	"-bulk": wire.MariaDBStmtBulkOperations,
}

// serverFacts describes a connection: -name is a capability, -mariadb the dialect,
// -init says that an init query has run, name=value is a variable.
func serverFacts(words []string) *ServerFacts {
	f := &ServerFacts{
		Capabilities: wire.Always, ThreadID: 1000, Collation: wire.CollationUTF8MB4General, Status: wire.StatusAutocommit, Setup: "SET UP", Base: map[string]string{},
	}
	for _, word := range words {
		name, value, ok := strings.Cut(word, "=")
		switch {
		case capabilityNames[word] != 0:
			f.Capabilities |= capabilityNames[word]
		case word == "-mariadb":
			f.MariaDB = true
		case word == "-init":
			f.Unrepeatable = true
		case name == "schema":
			f.Schema = value
		case ok:
			f.Base[name] = value
		}
	}
	return f
}

// start logs a session in. -deprecate and -track say that the client has deprecated EOF
// packets, and knows session tracking; resend that refused writes are sent again.
func (w *world) start(name string, words []string) error {
	o := Options{
		ThreadID: 77, User: "app", LoginSeq: 2,
		Capabilities: wire.Always &^ (wire.ClientDeprecateEOF | wire.ClientSessionTrack),
	}
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		var err error
		switch key {
		case "borrow":
			o.BorrowTimeout, err = time.ParseDuration(value)
		case "cleanup":
			o.CleanupTimeout, err = time.ParseDuration(value)
		case "resend":
			o.ResendWrites = true
		case "schema":
			o.Schema = value
		case "collation":
			n, _ := strconv.Atoi(value)
			o.Collation = uint16(n)
		default:
			if capabilityNames[key] == 0 {
				return errCommand
			}
			o.Capabilities |= capabilityNames[key]
		}
		if err != nil {
			return err
		}
	}
	w.login(name, o)
	return nil
}

func (w *world) performClient(c *fakeClient, f []string) error {
	s := &c.session
	switch f[0] {
	case "granted":
		if len(f) != 2 || w.conns[f[1]] == nil {
			return errCommand
		}
		c.grant(w.conns[f[1]])
	case "refused":
		c.waiting = false
		s.BorrowFailed(wire.NewError(wire.CodeConCount, "Too many connections"))
	case "timeup":
		c.timer = 0
		s.TimeUp()
	case "cancel":
		s.Cancel()
	case "delivered": // its cancel request
		d := w.conns[f[1]]
		c.cancels--
		s.CancelDone(d.server)
	case "killed": // what it wanted to kill
		s.KillDone(map[string]KillResult{"yes": Killed, "unknown": KillUnknown, "denied": KillDenied}[f[1]])
	case "gone":
		c.gone = true
		c.inbox = nil
		s.ClientGone()
	case "drain":
		s.Drain()
	case "end":
		s.End(IdleTimeoutError)
	case "state":
		w.note("%s", describe(s))
	default:
		return errCommand
	}
	w.run()
	return nil
}

func (w *world) performConn(d *fakeConn, f []string) error {
	switch f[0] {
	case "gone":
		d.closed = true
		c := d.borrower
		if c == nil {
			return nil
		}
		c.conn, d.borrower = nil, nil
		c.session.ServerGone()
		w.run()
	case "busy":
		d.held = true
	case "free":
		d.held = false
	case "state":
		var texts []string
		for p := d.server.prepared.oldest; p != nil; p = p.newer {
			texts = append(texts, fmt.Sprintf("%d:%q", p.id, p.key.text))
		}
		w.note("%s has prepared %s", d.name, strings.Join(texts, ","))
	default:
		return errCommand
	}
	return nil
}

func describe(s *Session) string {
	names := [...]string{"idle", "waiting", "active", "suspended", "leaving", "closed"}
	text := names[s.state]
	if s.pins != 0 {
		text += ", pinned: " + s.pins.String()
	}
	if s.srv != nil {
		text += fmt.Sprintf(", stage %d", s.srv.x.stage)
		if s.InTransaction() {
			text += ", in a transaction"
		}
	}
	if len(s.statements) > 0 {
		text += fmt.Sprintf(", %d statements", len(s.statements))
	}
	return text
}
