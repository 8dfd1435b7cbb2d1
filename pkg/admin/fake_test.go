// SPDX-License-Identifier: Apache-2.0

package admin_test

import (
	"sync"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/admin"
)

// source is a daemon of which every figure is another number.
type source struct {
	mu       sync.Mutex
	snapshot admin.Snapshot
	checks   []admin.Check
	panics   bool
}

func (s *source) Snapshot() admin.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.panics {
		panic("no snapshot")
	}
	return s.snapshot
}

func (s *source) Ready() []admin.Check {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.checks
}

func full() admin.Snapshot {
	lag := 49.5
	return admin.Snapshot{
		Version: "1.2.3", Started: time.Unix(1700000000, 500e6).UTC(), Loops: 2, SecretsFailing: 3, SessionPanics: 4,
		Reload: admin.Reload{OK: true, Time: time.Unix(1700000100, 0).UTC(), Succeeded: time.Unix(1700000100, 0).UTC()},
		Endpoints: []admin.Endpoint{{
			Name: "main", Listen: "127.0.0.1:6432", TargetGroup: "orders", Role: "read_write",
			ClientConnections: admin.ByTLS{TLS: 11, Plain: 12}, Unauthenticated: 13, Waiting: 14,
			Received: 15, SetupSucceeded: 16, SetupFailed: map[string]uint64{"auth": 17, "tls": 0}, Closed: map[string]uint64{"client": 18},
			BorrowLatency:  admin.Histogram{Bounds: []float64{0.1, 1}, Counts: []uint64{19, 20, 21}, SumSeconds: 22.5},
			BorrowTimeouts: 23, SimpleQueries: admin.ByTLS{TLS: 24, Plain: 25}, ExtendedQueries: admin.ByTLS{TLS: 26, Plain: 27},
			QueryResponse: admin.Latency{Count: 28, SumSeconds: 29.5}, DatabaseResponse: admin.Latency{Count: 30, SumSeconds: 31.5},
			Interrupted:    map[string]uint64{"40001": 33, "none": 34},
			CancelRequests: map[string]uint64{"forwarded": 32},
		}},
		TargetGroups: []admin.TargetGroup{{
			Name: "orders", Engine: "postgresql", MaxConnections: 41, MaxConnectionsAllowed: 42,
			Borrows: 43, Waited: 44, Replayed: 45, Moved: 46, Pins: map[string]uint64{"set": 47}, Unpins: 48,
			Failover: admin.Failover{Writer: "db:5432", Paused: true, Count: 35, WithoutWriterSeconds: 36.5, LastSeconds: 37.5},
			Targets: []admin.Target{{
				Name: "db:5432", Role: "read_write", Available: true, State: "AVAILABLE", LagSeconds: &lag,
				Connections: admin.ByTLS{TLS: 51, Plain: 52}, Borrowed: 53, InTransaction: 54, Pinned: map[string]uint64{"listen": 55}, Dedicated: 56,
				Requests: admin.ByTLS{TLS: 57, Plain: 58}, SetupSucceeded: 59, SetupFailed: map[string]uint64{"timeout": 60},
				Closed: map[string]uint64{"lifetime": 61}, Response: admin.Latency{Count: 62, SumSeconds: 63.5},
			}},
			Pools: []admin.Pool{{
				User: "app", Database: "shop", Idle: 71, Borrowed: 72, Dedicated: 73, Opening: 74, Closing: 75, Waiting: 76, Error: "refused",
			}},
		}},
	}
}
