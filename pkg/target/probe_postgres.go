// SPDX-License-Identifier: Apache-2.0

package target

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/rdsproxy/rdsproxy/pkg/failover"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// Credentials give the user and the password of a probe at the time of its login.
type Credentials[R any] func(ctx context.Context) (R, error)

// PostgresProber asks a PostgreSQL server what it is, on a connection of its own. It
// implements failover.Prober. An ordinary user without any privileges suffices.
type PostgresProber struct {
	d     *Dialer
	login Credentials[Request]
	// aurora asks for the members of the cluster too.
	aurora bool

	inquiries inquiries[*probeConn]
}

// NewPostgresProber makes a prober for the server that o describes. Its init query
// is not run. With aurora set the members of an Aurora cluster are asked for.
func NewPostgresProber(o Options, login Credentials[Request], aurora bool) *PostgresProber {
	p := &PostgresProber{login: login, aurora: aurora}
	q := &p.inquiries
	q.open, q.ask, q.shut = p.open, p.ask, func(c *probeConn) { _ = c.Conn.Close() }
	q.broken = func(err error) bool {
		_, answered := ServerError(err)
		return !answered || fatal(err)
	}
	q.overdue = func(ctx context.Context) error {
		return &failover.ProbeError{Kind: failover.Unreachable, Err: p.d.fail(ctx, StageFacts, ctx.Err())}
	}
	o.InitQuery, o.Wrap = "", q.wrap
	p.d = NewDialer(o)
	return p
}

// roleQuery works on PostgreSQL 10 and later, for every role. A writer tells the
// timeline that it writes on: that of its control file is the old one until the
// first checkpoint after a promotion. A standby that has replayed all it received is
// not behind as far as it knows; another one by the age of the last transaction.
const roleQuery = `SELECT r.recovery OR ` + defaultReadOnly + `,
 r.recovery,
 s.system_identifier,
 pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time()),
 CASE WHEN r.recovery THEN c.timeline_id::text ELSE pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8) END,
 pg_catalog.pg_wal_lsn_diff(CASE WHEN r.recovery THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END, '0/0'),
 CASE WHEN r.recovery THEN CASE WHEN pg_catalog.pg_last_wal_receive_lsn() = pg_catalog.pg_last_wal_replay_lsn() THEN 0
  ELSE pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp()) END END
 FROM (SELECT pg_catalog.pg_is_in_recovery() AS recovery) r, pg_catalog.pg_control_system() s, pg_catalog.pg_control_checkpoint() c`

// defaultReadOnly tells whether sessions cannot write unless they ask for it, as when
// an operator or a full disk has stopped the writing. A setting of the probe's own
// user says nothing about others.
const defaultReadOnly = `CASE WHEN pg_catalog.current_setting('default_transaction_read_only') = 'on'
 THEN (SELECT source NOT IN ('user', 'database user', 'client') FROM pg_catalog.pg_settings WHERE name = 'default_transaction_read_only')
 ELSE false END`

// plainRoleQuery is for servers that only look like PostgreSQL, such as Aurora, where
// some functions of the other are missing.
const plainRoleQuery = `SELECT r.recovery OR ` + defaultReadOnly + `,
 r.recovery, '', pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time()), '0', '0', NULL
 FROM (SELECT pg_catalog.pg_is_in_recovery() AS recovery) r`

// auroraQuery lists instances that have been heard of lately. The writer is the one
// with that session.
const auroraQuery = `SELECT server_id, session_id = 'MASTER_SESSION_ID', replica_lag_in_msec
 FROM pg_catalog.aurora_replica_status()
 WHERE session_id = 'MASTER_SESSION_ID' OR last_update_timestamp > pg_catalog.now() - interval '5 minutes'`

// probeName is what servers show for the connections of probers.
const probeName = "rdsproxy probe"

// Probe implements failover.Prober.
func (p *PostgresProber) Probe(ctx context.Context) (failover.Answer, error) {
	return p.inquiries.probe(ctx)
}

// Close implements failover.Prober.
func (p *PostgresProber) Close() {
	p.inquiries.close(func(c *probeConn) {
		_ = c.Wrapped.SetWriteDeadline(time.Now().Add(time.Second)) // if it fails the server will find out
		_, _ = c.Conn.Write(wire.AppendTerminate(nil))
	})
}

// fatal tells whether the server closes the connection after this error.
func fatal(err error) bool {
	e, ok := ServerError(err)
	return ok && (e.Severity == "FATAL" || e.Severity == "PANIC")
}

// open logs in.
func (p *PostgresProber) open(ctx context.Context) (*probeConn, error) {
	r, err := p.login(ctx)
	if err != nil {
		return nil, &failover.ProbeError{Kind: failover.Refused, Err: err}
	}
	r.Replication, r.Params = "", []wire.Setting{{Name: "application_name", Value: probeName}}
	e, err := p.d.Dial(ctx, r)
	if err != nil {
		return nil, &failover.ProbeError{Kind: loginKind(err), Err: err}
	}
	return newProbeConn(e), nil
}

// ask asks once.
func (p *PostgresProber) ask(ctx context.Context, c *probeConn) (failover.Answer, error) {
	a, err := c.answer(ctx, p.aurora)
	if err != nil {
		err = &failover.ProbeError{Kind: questionKind(err), Err: p.d.fail(ctx, StageFacts, err)}
	}
	return a, err
}

// answer asks for the role, and for the members of an Aurora cluster.
func (c *probeConn) answer(ctx context.Context, aurora bool) (a failover.Answer, err error) {
	query := roleQuery
	if c.cautious {
		query = plainRoleQuery
	}
	rows, err := c.query(ctx, query)
	if e, ok := ServerError(err); ok && !c.cautious && unsupported(e) {
		c.cautious = true
		rows, err = c.query(ctx, plainRoleQuery)
	}
	if err != nil {
		return a, err
	}
	if a, err = parseRole(rows); err != nil {
		return a, err
	}
	a.Remote = remoteAddr(c.Conn)
	if aurora && !c.listless {
		rows, err := c.query(ctx, auroraQuery)
		if e, ok := ServerError(err); ok && !fatal(err) {
			c.listless = unsupported(e)
			return a, nil
		}
		if err != nil {
			return a, err
		}
		a.Peers = parsePeers(rows)
	}
	return a, nil
}

// unsupported tells whether a server refuses a query for what is in it.
func unsupported(e *wire.Error) bool {
	return strings.HasPrefix(e.Code, "0A") || strings.HasPrefix(e.Code, "42")
}

var errStrangeRole = errors.New("the server's answer on its role makes no sense")

func parseRole(rows [][]string) (a failover.Answer, err error) {
	if len(rows) != 1 || len(rows[0]) != 7 {
		return a, errStrangeRole
	}
	row := rows[0]
	for i, to := range []*bool{&a.ReadOnly, &a.Replicates} {
		if row[i] != "t" && row[i] != "f" {
			return a, errStrangeRole
		}
		*to = row[i] == "t"
	}
	a.Cluster, a.Server = row[2], row[2]+"/"+row[3]
	if a.Started, err = parseEpoch(row[3]); err != nil {
		return a, err
	}
	base := 10
	if !a.Replicates {
		base = 16 // the head of a file's name
	}
	timeline, err := strconv.ParseUint(row[4], base, 32)
	if err != nil {
		return a, errStrangeRole
	}
	a.Timeline = uint32(timeline)
	if row[5] != "" {
		if a.Position, err = strconv.ParseUint(row[5], 10, 64); err != nil {
			return a, errStrangeRole
		}
	}
	a.Lag = parseLag(row[6], time.Second)
	return a, nil
}

func parseEpoch(s string) (time.Time, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f > 0 && f < 1<<40) {
		return time.Time{}, errStrangeRole
	}
	return time.UnixMicro(int64(f * 1e6)), nil
}

// maxLag bounds what a server may say, below what overflows.
const maxLag = 1000 * 24 * time.Hour

// parseLag reads a number of units; what is no number is unknown.
func parseLag(s string, unit time.Duration) time.Duration {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != f {
		return failover.UnknownLag
	}
	return time.Duration(min(max(f, 0)*float64(unit), float64(maxLag)))
}

func parsePeers(rows [][]string) []failover.Peer {
	peers := make([]failover.Peer, 0, len(rows))
	for _, r := range rows {
		if len(r) == 3 && r[0] != "" {
			peers = append(peers, failover.Peer{ID: r[0], Writer: r[1] == "t" || r[1] == "1", Lag: parseLag(r[2], time.Millisecond)})
		}
	}
	return peers
}

func remoteAddr(nc net.Conn) netip.Addr {
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// loginKind is what a failed login tells of the server.
func loginKind(err error) failover.Kind {
	e, ok := ServerError(err)
	switch {
	case ok && strings.HasPrefix(e.Code, "53"): // too many connections, no memory, disk full
		return failover.Full
	case ok && strings.HasPrefix(e.Code, "57P0"): // starting, stopping
		return failover.Down
	case ok, Permanent(err):
		return failover.Refused
	}
	return failover.Unreachable
}

// questionKind is what a failed question tells of it.
func questionKind(err error) failover.Kind {
	e, ok := ServerError(err)
	switch {
	case ok && strings.HasPrefix(e.Code, "57P0"):
		return failover.Down
	case ok, errors.Is(err, errStrangeRole), errors.Is(err, errLongAnswer):
		return failover.Unanswered
	}
	return failover.Unreachable
}

// probeConn runs simple queries on a connection.
type probeConn struct {
	*Established
	f        *pgproto3.Frontend
	cautious bool // the server does not know the functions of roleQuery
	listless bool // it knows no table of members
}

// Limits of one answer.
const (
	maxAnswerMessage = 64 << 10
	maxAnswerSteps   = 1000 // messages
)

var errLongAnswer = errors.New("the server does not come to the end of its answer")

func newProbeConn(e *Established) *probeConn {
	f := pgproto3.NewFrontend(e.Conn, e.Conn)
	f.SetMaxBodyLen(maxAnswerMessage)
	return &probeConn{Established: e, f: f}
}

// query returns the rows as text, with "" for null. After an error that is none of
// the server's the connection is of no use.
func (c *probeConn) query(ctx context.Context, sql string) (rows [][]string, err error) {
	defer bound(ctx, c.Wrapped)(&err)
	c.f.Send(&pgproto3.Query{String: sql})
	if err := c.f.Flush(); err != nil {
		return nil, err
	}
	var said error
	for range maxAnswerSteps {
		msg, err := c.f.Receive()
		if err != nil {
			return nil, cmp.Or(said, err) // what the server said before it closed the connection
		}
		switch msg := msg.(type) {
		case *pgproto3.DataRow:
			row := make([]string, len(msg.Values))
			for i, v := range msg.Values {
				row[i] = string(v)
			}
			rows = append(rows, row)
		case *pgproto3.ErrorResponse:
			said = pgconn.ErrorResponseToPgError(msg)
		case *pgproto3.ReadyForQuery:
			return rows, said
		case *pgproto3.CopyInResponse, *pgproto3.CopyOutResponse, *pgproto3.CopyBothResponse:
			return nil, fmt.Errorf("the server answers with %T", msg)
		}
	}
	return nil, errLongAnswer
}
