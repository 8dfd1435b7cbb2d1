// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/rdsproxy/rdsproxy/pkg/proxy"
)

// misdeeds are what a database may do to one of its connections.
var misdeeds = map[string]func(b *backend){
	"closes":  func(*backend) {},
	"garbage": func(b *backend) { b.write("\x00\x01\x02 this is no protocol of ours") },
	"HTTP":    func(b *backend) { b.write("HTTP/1.1 400 Bad Request\r\n\r\n") },
	"half a message, and closes": func(b *backend) {
		b.flush()
		b.write("D\x00\x00\x01\x00\x00\x01")
	},
	"a length below the smallest": func(b *backend) { b.write("T\x00\x00\x00\x03") },
	"an endless length":           func(b *backend) { b.write("T\xff\xff\xff\xff") },
	"unasked rows": func(b *backend) {
		b.send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		b.row("foreign", false)
		b.flush()
	},
	"two ends": func(b *backend) {
		b.send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		b.ready()
	},
	"an unknown state": func(b *backend) {
		b.send(&pgproto3.ReadyForQuery{TxStatus: '?'})
		b.flush()
	},
	"a fatal error": func(b *backend) {
		b.send(&pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: "57P01", Message: "going down"})
		b.flush()
	},
	"a fatal error, and stays": func(b *backend) {
		b.send(&pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: "57P01", Message: "going down"})
		b.flush()
		_, _ = io.Copy(io.Discard, b.nc)
	},
	"asks for a password": func(b *backend) {
		b.send(&pgproto3.AuthenticationCleartextPassword{})
		b.flush()
	},
}

func (b *backend) write(s string) { _, _ = b.nc.Write([]byte(s)) }

// TestMisdeeds: whatever a database does to a connection, at whichever moment,
// harms its borrower at most. Nobody gets a row that is not his, and others are
// served by new connections.
func TestMisdeeds(t *testing.T) {
	for name, do := range misdeeds {
		for moment, at := range map[string]stage{"before ready": atReady, "instead of an answer": atQuery, "instead of ready": atSync} {
			t.Run(name+" "+moment, func(t *testing.T) {
				t.Parallel()
				s := newScene(t, plan{max: 2, loops: 2, target: func(o *proxy.TargetOptions) { o.ConnectTimeout = 5 * time.Second }})
				other, victim := s.client(), s.client()
				s.exec(other, "BEGIN")
				kept := s.must(other, "other")
				s.must(victim, "victim")
				var done atomic.Bool
				s.db.on(func(b *backend, now stage, sql string) reaction {
					if now == at && !strings.Contains(sql, "other") && (now != atSync || b.pid != pidOf(kept)) && done.CompareAndSwap(false, true) {
						do(b)
						return hangUp
					}
					return goOn
				})
				if at == atReady {
					s.db.killAllBut(pidOf(kept)) // so that one is opened
				}
				s.suffer(victim, at == atSync)
				if r := s.must(other, "other"); r != kept {
					t.Errorf("the other client's transaction went from %v to %v", kept, r)
				}
				next := s.client()
				s.must(next, "next")
				s.exec(other, "COMMIT")
				s.must(other, "other again")
				hangUpNow(victim)
				hangUpNow(other)
				hangUpNow(next)
				s.settled()
				if s.stats().Panics != 0 {
					t.Error("a panic")
				}
			})
		}
	}
}

// suffer asks something, and takes an error for an answer, but not somebody
// else's row.
func (s *scene) suffer(c *pgconn.PgConn, extended bool) {
	s.tb.Helper()
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	var rows [][][]byte
	var err error
	if extended {
		r := c.ExecParams(ctx, "SELECT 'mine'", nil, nil, nil, nil).Read()
		rows, err = r.Rows, r.Err
	} else {
		var list []*pgconn.Result
		list, err = c.Exec(ctx, "SELECT 'mine'").ReadAll()
		for _, r := range list {
			rows = append(rows, r.Rows...)
		}
	}
	if ctx.Err() != nil {
		s.tb.Errorf("no answer: %v", err)
	}
	for _, r := range rows {
		if len(r) > 0 && string(r[0]) != "mine" {
			s.tb.Errorf("got the row %q", r)
		}
	}
}

func pidOf(r row) (pid uint32) {
	_, _ = fmt.Sscan(r.pid, &pid)
	return pid
}

// TestDatabaseNeverAnswers: whoever waits gets an error when its time is up, and
// is served once the database has come round.
func TestDatabaseNeverAnswers(t *testing.T) {
	for _, at := range []stage{atAccept, atStartup, atReady} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			t.Parallel()
			s := newScene(t, plan{max: 2, target: func(o *proxy.TargetOptions) {
				o.ConnectTimeout, o.BorrowTimeout = 50*time.Millisecond, 300*time.Millisecond
			}})
			var well atomic.Bool
			s.db.on(func(b *backend, now stage, _ string) reaction {
				if now == at && !well.Load() {
					<-b.dead
					return hangUp
				}
				return goOn
			})
			_, err := s.tryClient("app")
			s.wantState(err, "53300")
			if !s.logged("Timed-out waiting to acquire database connection.") {
				t.Error("it is not logged")
			}
			well.Store(true)
			eventually(t, "it is served", func() bool {
				c, err := s.tryClient("app")
				return err == nil && s.must(c, "x").mark == "x"
			})
			if st := s.stats(); st.Targets[0].Failed["timeout"] == 0 || st.Endpoints[0].BorrowTimeouts == 0 {
				t.Errorf("counted %v, %d", st.Targets[0].Failed, st.Endpoints[0].BorrowTimeouts)
			}
		})
	}
}

// TestServerDiesUnderEverybody: those in a transaction get an error, others do not
// notice, and all go on.
func TestServerDiesUnderEverybody(t *testing.T) {
	s := newScene(t, plan{max: 4, loops: 2})
	clients := s.spread(8)
	for i, c := range clients {
		s.must(c, "x")
		if i < 2 {
			s.exec(c, "BEGIN")
		}
	}
	s.db.kill()
	eventually(t, "the proxy knows", func() bool {
		p := s.stats().Targets[0].Pool
		return p.Idle == 0 && p.Borrowed == 0
	})
	for i, c := range clients {
		r, err := ask(c, fmt.Sprint(i))
		if i < 2 {
			s.wantState(err, "40001")
			s.exec(c, "ROLLBACK")
			r, err = ask(c, fmt.Sprint(i))
		}
		if err != nil || r.mark != fmt.Sprint(i) {
			t.Errorf("client %d: %v, %v", i, r, err)
		}
		hangUpNow(c)
	}
	if n := s.stats().Endpoints[0].Closed["database_lost"]; n != 0 {
		t.Errorf("%d clients lost their connection", n)
	}
	s.settled()
}
