// SPDX-License-Identifier: Apache-2.0

package history_test

import (
	"slices"
	"testing"

	"github.com/rdsproxy/rdsproxy/test/history"
)

func op(o history.Outcome, ids ...int64) history.Operation {
	return history.Operation{IDs: ids, Outcome: o, Client: 7, Detail: o.String()}
}

func TestCheck(t *testing.T) {
	const applied, rejected, unknown = history.Applied, history.Rejected, history.Unknown
	type violation struct {
		kind history.Kind
		id   int64
	}
	for _, tc := range []struct {
		name  string
		ops   []history.Operation
		table []int64
		want  []violation
	}{
		{name: "nothing"},
		{name: "all is well", ops: []history.Operation{op(applied, 1), op(rejected, 2), op(unknown, 3), op(unknown, 4), op(applied, 5, 6)}, table: []int64{6, 5, 1, 3}},
		{name: "lost", ops: []history.Operation{op(applied, 1), op(applied, 2)}, table: []int64{2}, want: []violation{{history.Lost, 1}}},
		{name: "a whole transaction lost", ops: []history.Operation{op(applied, 1, 2)}, want: []violation{{history.Lost, 1}, {history.Lost, 2}}},
		{name: "a part of an acknowledged transaction lost", ops: []history.Operation{op(applied, 1, 2)}, table: []int64{1}, want: []violation{{history.Lost, 2}}},
		{name: "resurrected", ops: []history.Operation{op(rejected, 1)}, table: []int64{1}, want: []violation{{history.Resurrected, 1}}},
		{name: "resurrected twice", ops: []history.Operation{op(rejected, 1)}, table: []int64{1, 1}, want: []violation{{history.Resurrected, 1}}},
		{name: "acknowledged and applied twice", ops: []history.Operation{op(applied, 1)}, table: []int64{1, 1}, want: []violation{{history.Repeated, 1}}},
		{name: "unknown and applied twice", ops: []history.Operation{op(unknown, 1)}, table: []int64{1, 1}, want: []violation{{history.Repeated, 1}}},
		{name: "unknown and torn", ops: []history.Operation{op(unknown, 1, 2, 3)}, table: []int64{2}, want: []violation{{history.Torn, 1}, {history.Torn, 3}}},
		{name: "unknown and all there", ops: []history.Operation{op(unknown, 1, 2, 3)}, table: []int64{1, 2, 3}},
		{name: "invented", ops: []history.Operation{op(applied, 1)}, table: []int64{1, 9}, want: []violation{{history.Invented, 9}}},
		{name: "one id twice", ops: []history.Operation{op(applied, 1), op(unknown, 1)}, table: []int64{1}, want: []violation{{history.Reused, 1}}},
		{name: "an operation without writes", ops: []history.Operation{op(applied)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []violation
			for _, v := range history.Check(tc.ops, tc.table) {
				got = append(got, violation{v.Kind, v.ID})
				if v.String() == "" {
					t.Error("no message")
				}
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestTally(t *testing.T) {
	ops := []history.Operation{op(history.Applied, 1), op(history.Applied, 2), op(history.Unknown, 3)}
	for range 2 {
		ops = append(ops, history.Operation{Outcome: history.Rejected, Detail: "40001"})
	}
	const want = "2 acknowledged, 2 rejected, 1 unknown: 2 × 40001, 1 × unknown"
	if got := history.Count(ops).String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
