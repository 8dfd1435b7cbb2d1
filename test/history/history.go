// SPDX-License-Identifier: Apache-2.0

package history

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Outcome is what a client was told of an operation.
type Outcome uint8

// The outcomes. The zero value is that of an operation whose end was not noted.
const (
	Unknown  Outcome = iota // it may have been applied: 40003, a lost connection, no answer
	Applied                 // it was acknowledged
	Rejected                // it was certainly not applied: 40001, an error in the transaction, a ROLLBACK
)

func (o Outcome) String() string {
	switch o {
	case Applied:
		return "acknowledged"
	case Rejected:
		return "rejected"
	case Unknown:
	}
	return "unknown"
}

// Operation is what a client has committed, or tried to.
type Operation struct {
	// IDs are those of its writes, all of one transaction.
	IDs     []int64
	Outcome Outcome
	// Client and Detail are for messages: who it was, and what it was told.
	Client int
	Detail string
}

// Violation is one way in which the table is not what clients were told.
type Violation struct {
	Kind Kind
	// ID is the write; Count is how often it is in the table.
	ID    int64
	Count int
	Op    Operation // zero for Invented
}

// Kind is what is wrong.
type Kind string

// The kinds.
const (
	Lost        Kind = "lost"                 // acknowledged, and not there
	Resurrected Kind = "resurrected"          // rejected, and there
	Repeated    Kind = "applied twice"        // there more than once
	Torn        Kind = "torn"                 // a part of its transaction is there, and a part is not
	Invented    Kind = "invented"             // there, and nobody has written it
	Reused      Kind = "written under one id" // two operations have this id: the test is wrong
)

func (v Violation) String() string {
	if v.Kind == Invented {
		return fmt.Sprintf("write %d is in the table (%d times) and in no client's log", v.ID, v.Count)
	}
	return fmt.Sprintf("write %d of client %d is %s: told %s (%s), in the table %d times", v.ID, v.Op.Client, v.Kind, v.Op.Outcome, v.Op.Detail, v.Count)
}

// Check compares what clients were told with the ids in the table, in any order. The
// violations are in the order of their ids.
func Check(operations []Operation, table []int64) []Violation {
	count := make(map[int64]int, len(table))
	for _, id := range table {
		count[id]++
	}
	known := make(map[int64]bool, len(table))
	var found []Violation
	for _, op := range operations {
		present := 0
		for _, id := range op.IDs {
			if known[id] {
				found = append(found, Violation{Reused, id, count[id], op})
			}
			known[id] = true
			if count[id] > 0 {
				present++
			}
		}
		for _, id := range op.IDs {
			if kind := judge(op, count[id], present); kind != "" {
				found = append(found, Violation{kind, id, count[id], op})
			}
		}
	}
	for id, n := range count {
		if !known[id] {
			found = append(found, Violation{Kind: Invented, ID: id, Count: n})
		}
	}
	slices.SortStableFunc(found, func(a, b Violation) int { return cmp.Compare(a.ID, b.ID) })
	return found
}

// judge tells what is wrong with a write of op that is in the table n times, when
// present of op's writes are there. "" is nothing.
func judge(op Operation, n, present int) Kind {
	switch {
	case n > 0 && op.Outcome == Rejected:
		return Resurrected
	case n > 1:
		return Repeated
	case n == 0 && op.Outcome == Applied:
		return Lost
	case n == 0 && present > 0:
		return Torn
	}
	return ""
}

// Tally counts operations by outcome, and by what clients were told.
type Tally struct {
	Applied, Rejected, Unknown int
	Details                    map[string]int // of those that were not acknowledged
}

// Count makes the tally.
func Count(operations []Operation) Tally {
	t := Tally{Details: make(map[string]int)}
	for _, op := range operations {
		switch op.Outcome {
		case Applied:
			t.Applied++
			continue
		case Rejected:
			t.Rejected++
		case Unknown:
			t.Unknown++
		}
		t.Details[op.Detail]++
	}
	return t
}

func (t Tally) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d acknowledged, %d rejected, %d unknown", t.Applied, t.Rejected, t.Unknown)
	sep := ": "
	for _, d := range slices.Sorted(maps.Keys(t.Details)) {
		fmt.Fprintf(&b, "%s%d × %s", sep, t.Details[d], d)
		sep = ", "
	}
	return b.String()
}
