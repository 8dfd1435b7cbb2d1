// SPDX-License-Identifier: Apache-2.0

package writers_test

import (
	"slices"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/test/writers"
)

var epoch = time.Unix(1_000_000, 0)

func at(ms int) time.Time { return epoch.Add(time.Duration(ms) * time.Millisecond) }

func result(acks ...writers.Ack) writers.Result { return writers.Result{Acks: acks} }

func ack(client, began, end int) writers.Ack {
	return writers.Ack{Client: client, Began: at(began), End: at(end)}
}

func TestFirstAfter(t *testing.T) {
	r := result(ack(1, 0, 10), ack(2, 5, 90), ack(1, 20, 70))
	for _, tc := range []struct{ t, want int }{{0, 10}, {10, 0}, {11, 59}, {80, 10}} {
		if got := r.FirstAfter(at(tc.t)); got != time.Duration(tc.want)*time.Millisecond {
			t.Errorf("after %d ms: %s", tc.t, got)
		}
	}
	if got := r.FirstAfter(at(91)); got >= 0 {
		t.Errorf("after the last: %s", got)
	}
}

func TestOutages(t *testing.T) {
	r := result(ack(1, 0, 10), ack(1, 20, 30), ack(1, 90, 95), ack(1, 96, 99), // 65
		ack(2, 0, 48), ack(2, 49, 52), // 4
		ack(3, 60, 70), // nothing before
		ack(4, 0, 10))  // nothing after
	got := r.Outages(at(50))
	if want := []time.Duration{4 * time.Millisecond, 65 * time.Millisecond}; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if m := writers.Median(got); m != 65*time.Millisecond {
		t.Errorf("median %s", m)
	}
	if m := writers.Median(nil); m != 0 {
		t.Errorf("median of none %s", m)
	}
}

func TestRecoveries(t *testing.T) {
	r := result(ack(1, 0, 70), ack(1, 0, 60), ack(2, 0, 49), ack(2, 50, 90), ack(3, 0, 10))
	got := r.Recoveries(at(50))
	if want := []time.Duration{10 * time.Millisecond, 40 * time.Millisecond}; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestThroughput(t *testing.T) {
	r := result(ack(1, 0, 10), ack(1, 20, 30), ack(1, 90, 95), ack(1, 96, 120))
	if got := r.Throughput(at(10), at(110), 50*time.Millisecond); !slices.Equal(got, []int{2, 1}) {
		t.Errorf("got %v", got)
	}
}
