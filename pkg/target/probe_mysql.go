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

	logging   patientLogin[*mysqlSession]
	s         *mysqlSession
	listless  bool   // there is no table of members
	forbidden bool   // the user may not know of replication
	showing   string // the statement that shows replication
}

// NewMySQLProber makes a prober for the server that o describes. Its set-up and its
// init query are not run. With aurora set the members of an Aurora cluster are asked
// for.
func NewMySQLProber(o MySQLOptions, login Credentials[MySQLRequest], aurora bool) *MySQLProber {
	p := &MySQLProber{login: login, aurora: aurora}
	p.logging.open, p.logging.shut = p.open, (*mysqlSession).leave
	o.Setup, o.InitQuery, o.Wrap, o.Variables = "", "", p.logging.wrap, nil
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
	kept := p.s != nil
	a, err := p.ask(ctx)
	if err != nil && kept && p.s == nil && ctx.Err() == nil {
		a, err = p.ask(ctx) // only the connection was gone, perhaps
	}
	return a, err
}

// Close implements failover.Prober.
func (p *MySQLProber) Close() {
	p.logging.abandon()
	if p.s != nil {
		p.s.leave()
		p.s = nil
	}
}

func (p *MySQLProber) drop() {
	_ = p.s.wrapped.Close()
	p.s = nil
}

func (p *MySQLProber) ask(ctx context.Context) (a failover.Answer, err error) {
	if p.s == nil {
		if err := p.connect(ctx); err != nil {
			return a, err
		}
	}
	p.s.left = maxLoginBytes
	a, err = p.answer(ctx)
	if err != nil {
		e, said := MySQLServerError(err)
		if !said || closing(e.Code) {
			p.drop()
		}
		return a, &failover.ProbeError{Kind: mysqlQuestionKind(err), Err: p.d.fail(ctx, StageFacts, err)}
	}
	return a, nil
}

func (p *MySQLProber) connect(ctx context.Context) error {
	s, err := p.logging.await(ctx)
	if err != nil {
		if e, ok := errors.AsType[*failover.ProbeError](err); ok {
			return e
		}
		return &failover.ProbeError{Kind: failover.Unreachable, Err: p.d.fail(ctx, StageLogin, err)}
	}
	p.s, p.listless, p.forbidden = s, false, false
	p.showing = showReplica
	if s.greeting.MariaDB() {
		p.showing = showSlaves
	}
	return nil
}

// open logs in.
func (p *MySQLProber) open(ctx context.Context) (*mysqlSession, error) {
	r, err := p.login(ctx)
	if err != nil {
		return nil, &failover.ProbeError{Kind: failover.Refused, Err: err}
	}
	r.Capabilities, r.Schema = 0, ""
	p.logging.calling.Store(true)
	ctx, cancel := p.d.endpoint.limit(ctx)
	defer cancel()
	s, err := p.d.login(ctx, r)
	if err != nil {
		return nil, &failover.ProbeError{Kind: mysqlLoginKind(err), Err: err}
	}
	return s, nil
}

func (p *MySQLProber) answer(ctx context.Context) (a failover.Answer, err error) {
	defer bound(ctx, p.s.wrapped)(&err)
	values, err := p.s.variables("GLOBAL", roleVariables)
	if err != nil {
		return a, err
	}
	uptime, err := p.uptime()
	if err != nil {
		return a, err
	}
	if a, err = parseMySQLRole(values); err != nil {
		return a, err
	}
	a.Started = time.Now().Add(-uptime)
	a.Remote = remoteAddr(p.s.wrapped)
	if err := p.replication(&a); err != nil {
		return a, err
	}
	return a, p.peers(&a)
}

func (p *MySQLProber) uptime() (time.Duration, error) {
	text := ""
	status, err := p.s.query(p.s.caps, "SHOW GLOBAL STATUS LIKE 'Uptime'", func(payload []byte) error {
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
	p.s.status = status
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
func (p *MySQLProber) replication(a *failover.Answer) error {
	if p.forbidden {
		return nil
	}
	rows, err := p.table(p.showing)
	if e, ok := MySQLServerError(err); ok && !closing(e.Code) {
		if e.Code == mywire.CodeParse && p.showing == showReplica {
			p.showing = showSlave
			return p.replication(a)
		}
		p.forbidden = true
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
func (p *MySQLProber) peers(a *failover.Answer) error {
	if !p.aurora || p.listless {
		return nil
	}
	var rows [][]string
	_, err := p.s.query(p.s.caps, mysqlAuroraQuery, func(payload []byte) error {
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
		p.listless = true
		return nil
	}
	a.Peers = parsePeers(rows)
	return err
}

// maxColumns is how many columns a table may have; SHOW REPLICA STATUS has some 60.
const maxColumns = 256

// table runs one statement and returns its rows by the names of their columns, in
// lower case.
func (p *MySQLProber) table(sql string) (rows []map[string]string, err error) {
	if err := p.s.command(mywire.AppendQuery(nil, p.s.caps, sql)); err != nil {
		return nil, err
	}
	payload, err := p.s.read()
	if err != nil {
		return nil, err
	}
	if mywire.ReplyOf(payload) == mywire.ReplyError {
		return nil, serverError(payload)
	}
	if mywire.ReplyOf(payload) != mywire.ReplyColumns {
		return nil, errMalformed
	}
	n, metadata, ok := mywire.ParseColumnCount(payload, p.s.caps)
	if !ok || !metadata || n > maxColumns {
		return nil, errMalformed
	}
	names := make([]string, n)
	for i := range names {
		payload, err := p.s.read()
		if err != nil {
			return nil, err
		}
		c, ok := mywire.ParseColumn(payload, p.s.caps)
		if !ok {
			return nil, errMalformed
		}
		names[i] = strings.ToLower(string(c.Name))
	}
	end, err := p.s.rows(p.s.caps, func(payload []byte) error {
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
	p.s.status = end.Status
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
