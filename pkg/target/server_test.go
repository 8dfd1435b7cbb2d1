// SPDX-License-Identifier: Apache-2.0

package target_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/rdsproxy/rdsproxy/pkg/netloop"
	"github.com/rdsproxy/rdsproxy/pkg/target"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
	"github.com/rdsproxy/rdsproxy/test/certs"
	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

// password is that of all roles of the tests.
const password = "s3cret-pässword"

// patience bounds what should come soon.
const patience = 20 * time.Second

// hba has a way to log in for each role.
var hba = []string{
	"hostssl all tlsonly all scram-sha-256",
	"hostnossl all plainonly all scram-sha-256",
	"host all scram all scram-sha-256",
	"host all md5 all md5",
	"host all clear all password",
	"host all trusted all trust",
	"host all limited all scram-sha-256",
	"host all postgres all scram-sha-256",
	"host all repl all scram-sha-256",
	"host replication repl all scram-sha-256",
}

func roles() []pgserver.Role {
	var all []pgserver.Role
	for _, name := range []string{"tlsonly", "plainonly", "scram", "clear", "trusted", "nowhere"} {
		all = append(all, pgserver.Role{Name: name, Password: password})
	}
	return append(all,
		pgserver.Role{Name: "md5", Password: password, Encryption: "md5"},
		pgserver.Role{Name: "limited", Password: password, Attributes: "CONNECTION LIMIT 0"},
		pgserver.Role{Name: "repl", Password: password, Attributes: "REPLICATION"})
}

// site is a server with TLS and the authorities that do and do not vouch for it.
type site struct {
	*pgserver.Server
	ca, other *certs.Authority
}

// sites are the servers by version, one each for all tests.
var sites struct {
	sync.Mutex
	ca, other *certs.Authority
	err       error
	pair      certs.Pair
}

func authorities(t testing.TB) (ca, other *certs.Authority, pair certs.Pair) {
	t.Helper()
	sites.Lock()
	defer sites.Unlock()
	if sites.ca == nil {
		var errs [3]error
		sites.ca, errs[0] = certs.NewAuthority("good")
		sites.other, errs[1] = certs.NewAuthority("other")
		sites.pair, errs[2] = sites.ca.Issue(certs.Request{Hosts: []string{"localhost", "127.0.0.1", "db.example"}})
		sites.err = errors.Join(errs[:]...)
	}
	if sites.err != nil {
		t.Fatal(sites.err)
	}
	return sites.ca, sites.other, sites.pair
}

func startSite(t *testing.T, version int) *site {
	t.Helper()
	ca, other, pair := authorities(t)
	s := pgserver.Start(t, pgserver.Options{
		Version: version, TLS: &pair, HBA: hba, Roles: roles(), Databases: []string{"app"},
		Settings: map[string]string{"wal_level": "logical", "max_connections": "40", "superuser_reserved_connections": "4"},
	})
	return &site{s, ca, other}
}

func (s *site) options() target.Options {
	return target.Options{Host: s.Host, Port: s.Port, TLSMode: target.TLSDisable, ConnectTimeout: patience}
}

func as(user string) target.Request {
	return target.Request{User: user, Password: password, Database: "app"}
}

func mustDial(t *testing.T, o target.Options, r target.Request) *target.Established {
	t.Helper()
	e, err := target.NewDialer(o).Dial(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Conn.Close() })
	return e
}

// ask runs a query on an established connection, and gives the text of the
// values in its answer, or the SQLSTATE of its error.
func ask(t *testing.T, e *target.Established, sql string) string {
	t.Helper()
	if err := e.Conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	f := pgproto3.NewFrontend(e.Conn, e.Conn)
	f.Send(&pgproto3.Query{String: sql})
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	var text []string
	for {
		msg, err := f.Receive()
		if err != nil {
			t.Fatal(err)
		}
		switch msg := msg.(type) {
		case *pgproto3.DataRow:
			for _, v := range msg.Values {
				text = append(text, string(v))
			}
		case *pgproto3.ErrorResponse:
			text = append(text, msg.Code)
		case *pgproto3.ReadyForQuery:
			return strings.Join(text, " ")
		}
	}
}

func TestServers(t *testing.T) {
	for _, version := range []int{0, 16, 18} {
		t.Run(strconv.Itoa(version), func(t *testing.T) {
			s := startSite(t, version)
			t.Run("TLS", s.testTLS)
			t.Run("Login", s.testLogin)
			t.Run("HandOver", s.testHandOver)
			t.Run("InitQuery", s.testInitQuery)
			t.Run("Parameters", s.testParameters)
			t.Run("Replication", s.testReplication)
			t.Run("Facts", s.testFacts)
			t.Run("Probe", s.testProbe)
			t.Run("ProbeFails", s.testProbeFails)
			t.Run("Cancel", s.testCancel)
			t.Run("Socket", s.testSocket)
			t.Run("Frozen", s.testFrozen)
			t.Run("Down", s.testDown)
		})
	}
}

func (s *site) testTLS(t *testing.T) {
	good, bad := &tls.Config{RootCAs: s.ca.Pool()}, &tls.Config{RootCAs: s.other.Pool()}
	named := func(c *tls.Config, name string) *tls.Config {
		c = c.Clone()
		c.ServerName = name
		return c
	}
	for _, test := range []struct {
		mode  target.TLSMode
		base  *tls.Config
		user  string
		plain bool
		err   string // part of the error; empty: none
		final bool   // permanent
	}{
		{mode: "disable", user: "scram", plain: true},
		{mode: "disable", user: "tlsonly", err: "28000", final: true},
		{mode: "", user: "scram"},
		{mode: "prefer", user: "scram"},
		{mode: "prefer", user: "tlsonly"},
		{mode: "prefer", base: bad, user: "scram"},
		{mode: "prefer", user: "plainonly", plain: true},
		{mode: "prefer", user: "nowhere", err: "28000", final: true},
		{mode: "prefer", base: &tls.Config{MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS12}, user: "scram", plain: true},
		{mode: "require", user: "scram"},
		{mode: "require", user: "plainonly", err: "28000", final: true},
		{mode: "require", base: good, user: "scram"},
		{mode: "require", base: bad, user: "scram", err: "unknown authority", final: true},
		{mode: "verify-ca", base: good, user: "scram"},
		{mode: "verify-ca", base: named(good, "elsewhere.example"), user: "scram"},
		{mode: "verify-ca", base: bad, user: "scram", err: "unknown authority", final: true},
		{mode: "verify-ca", user: "scram", err: "certificate", final: true}, // the system's roots
		{mode: "verify-full", base: good, user: "scram"},
		{mode: "verify-full", base: named(good, "db.example"), user: "scram"},
		{mode: "verify-full", base: named(good, "elsewhere.example"), user: "scram", err: "elsewhere.example", final: true},
		{mode: "verify-full", base: bad, user: "scram", err: "unknown authority", final: true},
		{mode: "verify-everything", user: "scram", err: "unknown TLS mode", final: true},
	} {
		name := string(test.mode) + " " + test.user
		o := s.options()
		o.TLSMode, o.TLS = test.mode, test.base
		e, err := target.NewDialer(o).Dial(t.Context(), as(test.user))
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) || target.Permanent(err) != test.final {
				t.Errorf("%s: error %v, permanent %v", name, err, target.Permanent(err))
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		tc, encrypted := e.Conn.(*tls.Conn)
		if encrypted == test.plain {
			t.Errorf("%s: encrypted %v", name, encrypted)
		}
		if encrypted && tc.NetConn() != e.Wrapped || !encrypted && e.Conn != e.Wrapped {
			t.Errorf("%s: Conn is not upon Wrapped", name)
		}
		if got := ask(t, e, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"); (got == "t") != encrypted {
			t.Errorf("%s: the server sees TLS: %s", name, got)
		}
		_ = e.Conn.Close()
	}
}

func (s *site) testLogin(t *testing.T) {
	for _, test := range []struct {
		name  string
		r     target.Request
		mode  target.TLSMode
		clear bool
		code  string // SQLSTATE of the server's error
		err   string
		final bool
	}{
		{name: "scram", r: as("scram")},
		{name: "scram with channel binding", r: as("scram"), mode: "require"},
		{name: "md5", r: as("md5")},
		{name: "trust", r: as("trusted")},
		{name: "clear over TLS", r: as("clear"), mode: "require"},
		{name: "clear, allowed", r: as("clear"), clear: true},
		{name: "clear", r: as("clear"), err: "clear text", final: true},
		{name: "wrong password", r: target.Request{User: "scram", Password: "no", Database: "app"}, code: "28P01", final: true},
		{name: "wrong md5 password", r: target.Request{User: "md5", Password: "no", Database: "app"}, code: "28P01", final: true},
		{name: "no such user", r: as("scram2"), code: "28000", final: true},
		{name: "no such database", r: target.Request{User: "scram", Password: password, Database: "nothing"}, code: "3D000", final: true},
		{name: "no more connections", r: as("limited"), code: "53300"},
		{name: "NUL in the name", r: target.Request{User: "scram\x00database\x00postgres", Password: password}, err: "login"},
	} {
		o := s.options()
		o.AllowCleartextPassword = test.clear
		if test.mode != "" {
			o.TLSMode = test.mode
		}
		e, err := target.NewDialer(o).Dial(t.Context(), test.r)
		if test.code == "" && test.err == "" {
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
				continue
			}
			if got := ask(t, e, "SELECT session_user, current_database()"); got != test.r.User+" app" {
				t.Errorf("%s: logged in as %s", test.name, got)
			}
			_ = e.Conn.Close()
			continue
		}
		var failed *target.Error
		if !errors.As(err, &failed) || failed.Stage != target.StageLogin || failed.Address != s.Addr() {
			t.Errorf("%s: %#v", test.name, err)
			continue
		}
		server, _ := target.ServerError(err)
		if test.code != "" && (server == nil || server.Code != test.code) || !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %v", test.name, err)
		}
		if target.Permanent(err) != test.final {
			t.Errorf("%s: permanent %v", test.name, !test.final)
		}
		if strings.Contains(err.Error(), password) {
			t.Errorf("%s: the error tells the password", test.name)
		}
	}
}

// testHandOver: what is handed over is fit for an event loop.
func (s *site) testHandOver(t *testing.T) {
	o := s.options()
	o.TLSMode = target.TLSRequire
	wraps := 0
	o.Wrap = func(nc net.Conn) net.Conn {
		wraps++
		return netloop.NewTransport(nc)
	}
	e := mustDial(t, o, as("scram"))
	if _, ok := e.Wrapped.(*netloop.Transport); !ok || wraps != 1 {
		t.Fatalf("Wrapped is %T, wrapped %d times", e.Wrapped, wraps)
	}
	keyLength := 4
	if s.Version >= 18 {
		keyLength = 32 // protocol 3.2
	}
	if len(e.SecretKey) != keyLength || ask(t, e, "SELECT pg_backend_pid()") != strconv.Itoa(int(e.PID)) {
		t.Errorf("process %d, key of %d bytes", e.PID, len(e.SecretKey))
	}
	if got := e.Params["server_version"]; !strings.HasPrefix(got, strconv.Itoa(s.Version)) {
		t.Errorf("server_version %q", got)
	}
	if e.Params["client_encoding"] != "UTF8" || e.Params["application_name"] != "" {
		t.Errorf("parameters %v", e.Params)
	}
	if got := ask(t, e, "SELECT current_setting('application_name') = ''"); got != "t" {
		t.Error("application_name is set")
	}
}

func (s *site) testInitQuery(t *testing.T) {
	o := s.options()
	o.InitQuery = "SET application_name = 'made ready'; CREATE TEMP TABLE t AS SELECT generate_series(1, 1000) AS n; SELECT n FROM t"
	e := mustDial(t, o, as("scram"))
	if e.Params["application_name"] != "made ready" {
		t.Errorf("parameters %v", e.Params)
	}
	if got := ask(t, e, "SELECT count(*) FROM t"); got != "1000" {
		t.Errorf("%s rows", got)
	}
	for _, test := range []struct {
		sql, err, code string
		final          bool
	}{
		{"SET no_such_thing = 1", "no_such_thing", "42704", true},
		{"SELECT 1; SELEKT 2", "SELEKT", "42601", true},
		{"BEGIN", "transaction open", "", true},
		{"SELECT pg_terminate_backend(pg_backend_pid())", "terminating", "57P01", false},
		{"SELECT repeat('x', 100) FROM generate_series(1, 100000)", "more than", "", false},
		{"SELECT repeat('x', 1000000)", "", "", false},
		{"COPY (SELECT 1) TO STDOUT; SELECT 1/0", "division", "22012", true},
	} {
		o.InitQuery = test.sql
		_, err := target.NewDialer(o).Dial(t.Context(), as("scram"))
		var failed *target.Error
		if !errors.As(err, &failed) || failed.Stage != target.StageInit || !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %v", test.sql, err)
			continue
		}
		server, _ := target.ServerError(err)
		if test.code != "" && (server == nil || server.Code != test.code) || target.Permanent(err) != test.final {
			t.Errorf("%s: %v, permanent %v", test.sql, err, target.Permanent(err))
		}
	}
}

func (s *site) testParameters(t *testing.T) {
	r := as("scram")
	r.Params = []wire.Setting{
		{Name: "options", Value: "-c work_mem=1234kB"},
		{Name: "search_path", Value: "a, b"},
		{Name: "user", Value: "postgres"},
		{Name: "database", Value: "postgres"},
		{Name: "replication", Value: "true"},
		{Name: "ignore_system_indexes", Value: "on"},
	}
	e := mustDial(t, s.options(), r)
	if got := ask(t, e, "SELECT current_setting('work_mem'), current_setting('search_path'), current_setting('ignore_system_indexes'), current_user"); got != "1234kB a, b on scram" {
		t.Errorf("settings %s", got)
	}
	r.Params = []wire.Setting{{Name: "no_such_parameter", Value: "1"}}
	_, err := target.NewDialer(s.options()).Dial(t.Context(), r)
	if server, _ := target.ServerError(err); server == nil || server.Code != "42704" || !target.Permanent(err) {
		t.Errorf("unknown parameter: %v", err)
	}
}

func (s *site) testReplication(t *testing.T) {
	o := s.options()
	o.InitQuery = "SET application_name = 'made ready'"
	r := as("repl")
	r.Replication = "database"
	e := mustDial(t, o, r)
	if got := ask(t, e, "IDENTIFY_SYSTEM"); !strings.HasSuffix(got, " app") || e.Params["application_name"] != "made ready" {
		t.Errorf("logical: %q, %v", got, e.Params)
	}
	r.Replication = "true"
	e = mustDial(t, o, r)
	if got := ask(t, e, "IDENTIFY_SYSTEM"); got == "" || e.Params["application_name"] != "" {
		t.Errorf("physical: %q, %v", got, e.Params)
	}
	r.User = "scram"
	if _, err := target.NewDialer(o).Dial(t.Context(), r); !target.Permanent(err) {
		t.Errorf("without the privilege: %v", err)
	}
}

func (s *site) testFacts(t *testing.T) {
	before := s.count(t)
	o := s.options()
	o.InitQuery = "SELECT 1/0" // not run
	o.TLSMode = target.TLSRequire
	f, err := target.NewDialer(o).Facts(t.Context(), as("scram"))
	if err != nil {
		t.Fatal(err)
	}
	if f.MaxConnections != 40 || f.SuperuserReserved != 4 || f.Reserved != 0 || f.InRecovery {
		t.Errorf("facts %+v", f)
	}
	if f.VersionNum/10000 != s.Version || !strings.HasPrefix(f.ServerVersion, strconv.Itoa(s.Version)) {
		t.Errorf("version %q, %d", f.ServerVersion, f.VersionNum)
	}
	if names := strings.Join(f.BackendSettings, ","); !strings.Contains(names, "ignore_system_indexes") || !strings.Contains(names, "log_connections") {
		t.Errorf("backend settings %s", names)
	}
	if after := s.count(t); after != before {
		t.Errorf("%d connections before, %d after", before, after)
	}
	if _, err := target.NewDialer(s.options()).Facts(t.Context(), as("nowhere")); !target.Permanent(err) {
		t.Errorf("facts without login: %v", err)
	}
}

// count is the number of ordinary connections the server has.
func (s *site) count(t *testing.T) (n int) {
	t.Helper()
	c, err := s.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.WithoutCancel(t.Context()))
	const sql = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND usename <> 'postgres'"
	if err := c.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func (s *site) testSocket(t *testing.T) {
	o := s.options()
	o.Host, o.TLSMode = s.Dir, target.TLSVerifyFull // of no importance for a socket
	e := mustDial(t, o, as("scram"))
	if _, ok := e.Wrapped.(*net.UnixConn); !ok || ask(t, e, "SELECT 1") != "1" {
		t.Errorf("connected by %T", e.Wrapped)
	}
	o.Host = s.Dir + "/nowhere"
	if _, err := target.NewDialer(o).Dial(t.Context(), as("scram")); err == nil || target.Permanent(err) {
		t.Errorf("no socket: %v", err)
	}
}
