// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Entry says that a test ends differently through the proxy, and why.
type Entry struct {
	Test    Test
	Direct  Outcome
	Proxied Outcome
	// From and Before bound the versions of PostgreSQL with which it does; 0 is
	// no bound.
	From, Before int
	// Slow tests are left out unless asked for: they wait long for what the proxy
	// makes impossible.
	Slow bool
	// Varies means that the test may also end as it does directly.
	Varies bool
	Reason string
	Line   int
}

// applies tells whether the entry speaks of this version of PostgreSQL.
func (e Entry) applies(version int) bool {
	return version >= e.From && (e.Before == 0 || version < e.Before)
}

// ReadExpected reads a list. Each line is
//
//	PACKAGE TEST DIRECT->PROXIED [>=VERSION] [<VERSION] [slow] [varies] # REASON
//
// with outcomes as go test tells them. Lines that begin with # are comments.
func ReadExpected(file string) ([]Entry, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("expected differences: %w", err)
	}
	defer f.Close()
	var entries []Entry
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		e, err := parseEntry(text)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		e.Line = n
		entries = append(entries, e)
	}
	return entries, lines.Err()
}

func parseEntry(text string) (Entry, error) {
	spec, reason, ok := strings.Cut(text, " # ")
	reason = strings.TrimSpace(reason)
	if !ok || reason == "" {
		return Entry{}, fmt.Errorf("no reason")
	}
	words := strings.Fields(spec)
	if len(words) < 3 {
		return Entry{}, fmt.Errorf("want: package test direct->proxied # reason")
	}
	direct, proxied, ok := strings.Cut(words[2], "->")
	if !ok {
		return Entry{}, fmt.Errorf("%q: want two outcomes, as in pass->fail", words[2])
	}
	e := Entry{
		Test: Test{words[0], words[1]}, Direct: Outcome(direct), Proxied: Outcome(proxied), Reason: reason,
	}
	for _, w := range words[3:] {
		if err := e.condition(w); err != nil {
			return Entry{}, err
		}
	}
	if direct == proxied && !e.Slow {
		return Entry{}, fmt.Errorf("%q is no difference", words[2])
	}
	return e, nil
}

func (e *Entry) condition(word string) (err error) {
	if low, ok := strings.CutPrefix(word, ">="); ok {
		e.From, err = strconv.Atoi(low)
		return err
	}
	if high, ok := strings.CutPrefix(word, "<"); ok {
		e.Before, err = strconv.Atoi(high)
		return err
	}
	switch word {
	case "slow":
		e.Slow = true
	case "varies":
		e.Varies = true
	default:
		return fmt.Errorf("%q: want >=VERSION, <VERSION, slow or varies", word)
	}
	return nil
}
