// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the answers of the scripts in testdata anew")

// TestScripts runs the scripts in testdata. A line of a script is a command; the
// answer below it is what the group wants to be done, then a summary of the state
// if "state" is the command. Lines that begin with # are comments, and an empty
// line stays.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts: ", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := newScript(t)
			var got bytes.Buffer
			for line := range strings.Lines(string(want)) {
				line = strings.TrimRight(line, "\n")
				if strings.HasPrefix(line, "  ") {
					continue // an earlier answer
				}
				fmt.Fprintln(&got, line)
				if line == "" || line[0] == '#' {
					continue
				}
				for _, answer := range s.run(line) {
					fmt.Fprintln(&got, "  "+answer)
				}
				if err := verify(s.g); err != nil {
					t.Fatalf("after %q: %v", line, err)
				}
			}
			if *update {
				if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got.String() != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got.String(), want)
			}
		})
	}
}

// script is a group with names for everything.
type script struct {
	t       *testing.T
	g       *Group
	opts    Options
	now     time.Duration
	conns   map[string]*Conn
	waiters map[string]*Waiter
	dials   map[string]*DialAttempt
	names   map[any]string
	begun   int // dials
}

func newScript(t *testing.T) *script {
	s := &script{
		t: t, conns: map[string]*Conn{}, waiters: map[string]*Waiter{},
		dials: map[string]*DialAttempt{}, names: map[any]string{},
	}
	// Without luck: jitter takes nothing off, pauses are the longest possible.
	s.opts = Options{Rand: func() float64 { return 0 }}
	s.g = NewGroup(s.opts)
	return s
}

// args are the words of a command: the first ones by place, name=value by name.
type args struct {
	t     *testing.T
	words []string
	named map[string]string
}

func (s *script) run(line string) (answers []string) {
	defer func() {
		if misuse := recover(); misuse != nil {
			answers = append(answers, fmt.Sprint("panic: ", misuse))
		}
	}()
	a := args{t: s.t, named: map[string]string{}}
	for word := range strings.FieldsSeq(line) {
		if k, v, ok := strings.Cut(word, "="); ok {
			a.named[k] = v
		} else {
			a.words = append(a.words, word)
		}
	}
	if at, ok := a.named["at"]; ok {
		s.now = duration(s.t, at)
	}
	var out []Action
	switch a.words[0] {
	case "options":
		s.setOptions(a.named)
		out = s.g.SetOptions(s.opts, s.now, nil)
	case "borrow":
		var c *Conn
		c, out = s.g.Borrow(s.pool(a.words[2]), s.waiter(a), s.now, nil)
		if c != nil {
			answers = append(answers, "gets "+s.hold(c, s.waiters[a.words[1]]))
		}
	case "cancel":
		var still bool
		still, out = s.g.Cancel(s.waiters[a.words[1]], s.now, nil)
		answers = append(answers, fmt.Sprintf("still waiting: %v", still))
	case "release":
		out = s.release(a)
	case "dialed":
		out = s.dialed(a)
	case "lost":
		out = s.g.Lost(s.conn(a.words[1]), s.now, nil)
	case "closed":
		for _, name := range a.words[1:] {
			out = append(out, s.g.Closed(s.conn(name), s.now, nil)...)
		}
	case "retire":
		if len(a.words) > 1 {
			out = s.g.RetirePool(s.pool(a.words[1]), s.now, nil)
		} else {
			out = s.g.Retire(s.now, nil)
		}
	case "tick":
		var next time.Duration
		next, out = s.g.Tick(s.now, nil)
		answers = append(answers, "next tick: "+moment(next))
	case "error":
		answers = append(answers, fmt.Sprint(s.g.LastDialError(s.pool(a.words[1]))))
	case "state":
		answers = s.state()
	default:
		s.t.Fatalf("unknown command %q", line)
	}
	for _, action := range out {
		answers = append(answers, s.describe(action))
	}
	return answers
}

func (s *script) setOptions(named map[string]string) {
	o := &s.opts
	for k, v := range named {
		switch k {
		case "budget":
			o.Budget = number(s.t, v)
		case "idle":
			o.MaxIdle = number(s.t, v)
		case "overtakes":
			o.MaxOvertakes = number(s.t, v)
		case "idle-timeout":
			o.IdleTimeout = duration(s.t, v)
		case "lifetime":
			o.MaxLifetime = duration(s.t, v)
		case "steal":
			o.StealAfter = duration(s.t, v)
		case "nowait":
			o.NoWait = v == "true"
		case "at":
		default:
			s.t.Fatalf("unknown option %q", k)
		}
	}
}

func (s *script) pool(name string) *Pool {
	return s.g.Pool(Key{User: "app", Database: name})
}

func (s *script) waiter(a args) *Waiter {
	name := a.words[1]
	w := s.waiters[name]
	if w == nil {
		w = &Waiter{}
		s.waiters[name], s.names[w] = w, name
	}
	w.Loop, w.Settings, w.Dedicated, w.Again = 0, nil, false, false
	for k, v := range a.named {
		switch k {
		case "loop":
			w.Loop = number(s.t, v)
		case "settings":
			w.Settings = v
		case "dedicated":
			w.Dedicated, w.Params = true, v
		case "again":
			w.Again = true
		}
	}
	return w
}

func (s *script) conn(name string) *Conn {
	c := s.conns[name]
	if c == nil {
		panic("no connection " + name)
	}
	return c
}

func (s *script) release(a args) []Action {
	var out []Action
	for _, name := range a.words[1:] {
		c := s.conn(name)
		if v, ok := a.named["loop"]; ok {
			c.Loop = number(s.t, v)
		}
		if v, ok := a.named["settings"]; ok {
			c.Settings = v
			if v == "none" {
				c.Settings = nil
			}
		}
		out = append(out, s.g.Release(c, a.named["reuse"] != "false", s.now, nil)...)
	}
	return out
}

// dialed d1 d2 ...: each gives a connection c1 c2 ...; with error=, refused= or permanent= it fails.
func (s *script) dialed(a args) []Action {
	var out []Action
	for _, name := range a.words[1:] {
		d := s.dials[name]
		if d == nil {
			panic("no dial " + name)
		}
		delete(s.dials, name)
		if text, failure := a.failure(); text != "" {
			out = append(out, s.g.Dialed(d, nil, errors.New(text), failure, s.now, nil)...)
			continue
		}
		c := &Conn{Loop: d.Loop}
		name = "c" + strconv.Itoa(len(s.conns)+1)
		s.conns[name], s.names[c] = c, name
		out = append(out, s.g.Dialed(d, c, nil, TargetFailed, s.now, nil)...)
	}
	return out
}

// failure is what a dial fails with, "" if it does not.
func (a args) failure() (text string, f Failure) {
	for name, f := range map[string]Failure{"error": TargetFailed, "refused": PoolRefused, "permanent": PoolBarred} {
		if text, ok := a.named[name]; ok {
			return text, f
		}
	}
	return "", 0
}

// hold does what a borrower does: it moves the socket to its loop and applies its
// settings. It tells what was there before, where that differs.
func (s *script) hold(c *Conn, w *Waiter) string {
	text := s.names[c]
	if c.Loop != w.Loop {
		text += fmt.Sprintf(" (from loop %d)", c.Loop)
	}
	if c.Settings != w.Settings {
		text += fmt.Sprintf(" (with settings %v)", c.Settings)
	}
	c.Loop, c.Settings = w.Loop, w.Settings
	return text
}

func (s *script) describe(a Action) string {
	switch a.Kind {
	case Grant:
		return fmt.Sprintf("grant %s to %s", s.hold(a.Conn, a.Waiter), s.names[a.Waiter])
	case Fail:
		return fmt.Sprintf("fail %s: %v", s.names[a.Waiter], a.Err)
	case Close:
		return fmt.Sprintf("close %s of %s: %v", s.names[a.Conn], a.Pool.key.Database, a.Reason)
	case Wake:
		return "wake at " + moment(a.At)
	case Dial:
		s.begun++
		name := "d" + strconv.Itoa(s.begun)
		s.dials[name], s.names[a.Dial] = a.Dial, name
		text := fmt.Sprintf("dial %s for %s", name, a.Pool.key.Database)
		if a.Dial.Dedicated {
			text += fmt.Sprintf(" dedicated %v", a.Dial.Params)
		}
		return text
	}
	return "?"
}

func (s *script) state() []string {
	st := s.g.Stats()
	line := func(name string, x Gauges) string {
		return fmt.Sprintf("%s: idle %d borrowed %d dedicated %d closing %d dialing %d waiting %d",
			name, x.Idle, x.Borrowed, x.Dedicated, x.Closing, x.Dialing, x.Waiting)
	}
	answers := []string{line("all", st.Gauges)}
	for _, p := range st.Pools {
		answers = append(answers, line(p.Database, p.Gauges))
	}
	return answers
}

func moment(d time.Duration) string {
	if d == Never {
		return "never"
	}
	return d.String()
}

func duration(t *testing.T, s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func number(t *testing.T, s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
