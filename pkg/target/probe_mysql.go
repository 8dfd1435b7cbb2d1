// SPDX-License-Identifier: Apache-2.0

package target

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/failover"
	mywire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// MySQLProber asks a MySQL or MariaDB what it is, on a connection of its own. It
// implements failover.Prober. A user without any privileges suffices; how far a
// replica is behind is known with REPLICATION CLIENT (MySQL), REPLICA MONITOR
// (MariaDB) or on Aurora.
type MySQLProber struct {
	d      *MySQLDialer
	login  Credentials[MySQLRequest]
	aurora bool

	inquiries inquiries[*mysqlProbe]
}

// mysqlProbe is the connection.
type mysqlProbe struct {
	*mysqlSession
	listless  bool   // there is no table of members
	forbidden bool   // the user may not know of replication
	showing   string // the statement that shows replication
}

// NewMySQLProber makes a prober for the server that o describes. Its set-up and its
// init query are not run. With aurora set the members of an Aurora cluster are asked
// for.
func NewMySQLProber(o MySQLOptions, login Credentials[MySQLRequest], aurora bool) *MySQLProber {
	p := &MySQLProber{login: login, aurora: aurora}
	q := &p.inquiries
	q.open, q.ask, q.shut = p.open, p.ask, func(s *mysqlProbe) { _ = s.wrapped.Close() }
	q.broken = func(err error) bool {
		e, said := MySQLServerError(err)
		return !said || closing(e.Code)
	}
	q.overdue = func(ctx context.Context) error {
		return &failover.ProbeError{Kind: failover.Unreachable, Err: p.d.fail(ctx, StageFacts, ctx.Err())}
	}
	o.Setup, o.InitQuery, o.Wrap, o.Variables = "", "", q.wrap, nil
	o.Attributes = []mywire.Attribute{{Name: "_client_name", Value: "rdsproxy"}, {Name: "program_name", Value: probeName}}
	p.d = NewMySQLDialer(o)
	return p
}

// roleVariables is what a probe looks at. Servers leave out those that they have
// not got.
var roleVariables = []string{
	"read_only", "super_read_only", "innodb_read_only",
	"server_uuid", "server_uid", "server_id", "aurora_server_id",
	"gtid_executed", "gtid_current_pos",
}

// mysqlAuroraQuery lists instances that have been heard of lately. The writer is the
// one with that session.
const mysqlAuroraQuery = `SELECT server_id, session_id = 'MASTER_SESSION_ID', replica_lag_in_milliseconds
 FROM information_schema.replica_host_status
 WHERE session_id = 'MASTER_SESSION_ID' OR last_update_timestamp > NOW() - INTERVAL 5 MINUTE`

// The statements that show replication: MySQL since 8.0.22 (the only one since 8.4),
// and older ones, and MariaDB.
const (
	showReplica = "SHOW REPLICA STATUS"
	showSlave   = "SHOW SLAVE STATUS"
	showSlaves  = "SHOW ALL SLAVES STATUS" // MariaDB: all connections, named ones too
)

// Probe implements failover.Prober.
func (p *MySQLProber) Probe(ctx context.Context) (failover.Answer, error) {
	return p.inquiries.probe(ctx)
}

// Close implements failover.Prober.
func (p *MySQLProber) Close() { p.inquiries.close(func(s *mysqlProbe) { s.leave() }) }

// open logs in.
func (p *MySQLProber) open(ctx context.Context) (*mysqlProbe, error) {
	r, err := p.login(ctx)
	if err != nil {
		return nil, &failover.ProbeError{Kind: failover.Refused, Err: err}
	}
	r.Capabilities, r.Schema = 0, ""
	ctx, cancel := p.d.endpoint.limit(ctx)
	defer cancel()
	s, err := p.d.login(ctx, r)
	if err != nil {
		return nil, &failover.ProbeError{Kind: mysqlLoginKind(err), Err: err}
	}
	c := &mysqlProbe{mysqlSession: s, showing: showReplica}
	if s.greeting.MariaDB() {
		c.showing = showSlaves
	}
	return c, nil
}

// ask asks once.
func (p *MySQLProber) ask(ctx context.Context, s *mysqlProbe) (failover.Answer, error) {
	s.left = maxLoginBytes
	a, err := s.answer(ctx, p.aurora)
	if err != nil {
		err = &failover.ProbeError{Kind: mysqlQuestionKind(err), Err: p.d.fail(ctx, StageFacts, err)}
	}
	return a, err
}

// answer asks for the role, and for the members of an Aurora cluster.
func (s *mysqlProbe) answer(ctx context.Context, aurora bool) (a failover.Answer, err error) {
	defer bound(ctx, s.wrapped)(&err)
	values, err := s.variables("GLOBAL", roleVariables)
	if err != nil {
		return a, err
	}
	uptime, err := s.uptime()
	if err != nil {
		return a, err
	}
	if a, err = parseMySQLRole(values); err != nil {
		return a, err
	}
	a.Started = time.Now().Add(-uptime)
	a.Remote = remoteAddr(s.wrapped)
	if err := s.replication(&a); err != nil {
		return a, err
	}
	if aurora {
		err = s.peers(&a)
	}
	return a, err
}

func (s *mysqlProbe) uptime() (time.Duration, error) {
	text := ""
	status, err := s.query(s.caps, "SHOW GLOBAL STATUS LIKE 'Uptime'", func(payload []byte) error {
		row := mywire.ReadTextRow(payload)
		_, okName := row.Next()
		value, okValue := row.Next()
		if !okName || !okValue {
			return errMalformed
		}
		text = string(value)
		return nil
	})
	if err != nil {
		return 0, err
	}
	s.status = status
	seconds, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, errStrangeRole
	}
	return time.Duration(seconds) * time.Second, nil
}

func parseMySQLRole(values map[string]string) (a failover.Answer, err error) {
	if _, known := values["read_only"]; !known {
		return a, errStrangeRole
	}
	for _, name := range []string{"read_only", "super_read_only", "innodb_read_only"} {
		switch values[name] {
		case "", "OFF", "0": // "" stands for a variable that this server has not got
		default:
			a.ReadOnly = true // ON; since MariaDB 12 also NO_LOCK and others
		}
	}
	// server_id alone may be the same everywhere when nobody has set it.
	if a.Server = cmp.Or(values["server_uuid"], values["server_uid"]); a.Server != "" {
		a.Server += "/" + values["server_id"]
	}
	if id := values["aurora_server_id"]; id != "" {
		a.Server = id
	}
	a.GTID = cmp.Or(values["gtid_executed"], values["gtid_current_pos"])
	a.Lag = failover.UnknownLag
	return a, nil
}

// replication asks what the server replicates, if the user may know.
func (s *mysqlProbe) replication(a *failover.Answer) error {
	if s.forbidden {
		return nil
	}
	rows, err := s.table(s.showing)
	if e, ok := MySQLServerError(err); ok && !closing(e.Code) {
		if e.Code == mywire.CodeParse && s.showing == showReplica {
			s.showing = showSlave
			return s.replication(a)
		}
		s.forbidden = true
		return nil
	}
	if err != nil {
		return err
	}
	parseReplication(rows, a)
	return nil
}

// parseReplication sums several sources up: the server replicates if any does, and
// is as far behind as the worst.
func parseReplication(rows []map[string]string, a *failover.Answer) {
	for _, r := range rows {
		get := func(names ...string) string {
			for _, n := range names {
				if v, ok := r[n]; ok {
					return v
				}
			}
			return ""
		}
		io, sql := get("replica_io_running", "slave_io_running"), get("replica_sql_running", "slave_sql_running")
		if io == "No" && sql == "No" {
			a.Broken = "replication is stopped"
			continue
		}
		a.Replicates = true
		lag := parseLag(get("seconds_behind_source", "seconds_behind_master"), time.Second)
		if lag == failover.UnknownLag {
			a.Lag = failover.UnknownLag
		} else if len(rows) == 1 || lag > a.Lag {
			a.Lag = lag
		}
		if sql == "No" {
			a.Broken = "replication has stopped: " + cut(get("last_sql_error"), 200)
		}
	}
	if !a.ReadOnly {
		a.Broken = ""
	}
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// peers asks for the members of an Aurora cluster.
func (s *mysqlProbe) peers(a *failover.Answer) error {
	if s.listless {
		return nil
	}
	var rows [][]string
	_, err := s.query(s.caps, mysqlAuroraQuery, func(payload []byte) error {
		if len(rows) >= maxAnswerSteps {
			return errLongAnswer
		}
		row := mywire.ReadTextRow(payload)
		var cells []string
		for v, ok := row.Next(); ok; v, ok = row.Next() {
			cells = append(cells, string(v))
		}
		rows = append(rows, cells)
		return nil
	})
	if e, ok := MySQLServerError(err); ok && !closing(e.Code) {
		s.listless = true
		return nil
	}
	a.Peers = parsePeers(rows)
	return err
}

// maxColumns is how many columns a table may have; SHOW REPLICA STATUS has some 60.
const maxColumns = 256

// table runs one statement and returns its rows by the names of their columns, in
// lower case.
func (s *mysqlProbe) table(sql string) (rows []map[string]string, err error) {
	if err := s.command(mywire.AppendQuery(nil, s.caps, sql)); err != nil {
		return nil, err
	}
	payload, err := s.read()
	if err != nil {
		return nil, err
	}
	if mywire.ReplyOf(payload) == mywire.ReplyError {
		return nil, serverError(payload)
	}
	if mywire.ReplyOf(payload) != mywire.ReplyColumns {
		return nil, errMalformed
	}
	n, metadata, ok := mywire.ParseColumnCount(payload, s.caps)
	if !ok || !metadata || n > maxColumns {
		return nil, errMalformed
	}
	names := make([]string, n)
	for i := range names {
		payload, err := s.read()
		if err != nil {
			return nil, err
		}
		c, ok := mywire.ParseColumn(payload, s.caps)
		if !ok {
			return nil, errMalformed
		}
		names[i] = strings.ToLower(string(c.Name))
	}
	end, err := s.rows(s.caps, func(payload []byte) error {
		if len(rows) >= maxAnswerSteps {
			return errLongAnswer
		}
		row, values := mywire.ReadTextRow(payload), make(map[string]string, n)
		for _, name := range names {
			v, ok := row.Next()
			if !ok {
				return errMalformed
			}
			values[name] = string(v)
		}
		rows = append(rows, values)
		return nil
	})
	s.status = end.Status
	return rows, err
}

// closing tells whether a server closes the connection after an error, or has been
// told to.
func closing(code uint16) bool {
	return slices.Contains([]uint16{
		1053, // server shutdown in progress
		1927, // connection was killed (MariaDB)
		3032, // offline mode
		3169, // session was killed
		4031, // inactive for too long
	}, code)
}

// mysqlLoginKind is what a failed login tells of the server.
func mysqlLoginKind(err error) failover.Kind {
	e, ok := MySQLServerError(err)
	switch {
	case ok && slices.Contains([]uint16{1040, 1203, 1226}, e.Code): // too many connections
		return failover.Full
	case ok && closing(e.Code):
		return failover.Down
	case ok, Permanent(err):
		return failover.Refused
	}
	return failover.Unreachable
}

// mysqlQuestionKind is what a failed question tells of it.
func mysqlQuestionKind(err error) failover.Kind {
	e, ok := MySQLServerError(err)
	switch {
	case ok && closing(e.Code):
		return failover.Down
	case ok, errors.Is(err, errStrangeRole), errors.Is(err, errLongAnswer), errors.Is(err, errMalformed):
		return failover.Unanswered
	}
	return failover.Unreachable
}
