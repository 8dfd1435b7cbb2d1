// SPDX-License-Identifier: Apache-2.0

package target_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/netloop"
	"github.com/rdsproxy/rdsproxy/pkg/target"
	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
	"github.com/rdsproxy/rdsproxy/test/certs"
	"github.com/rdsproxy/rdsproxy/test/myserver"
)

// mysqlSetup is the set-up of the proxy's connections.
const mysqlSetup = "SET SESSION session_track_system_variables='*', session_track_schema=ON, session_track_state_change=ON, session_track_transaction_info='CHARACTERISTICS'"

// mysite is a server with TLS and the authorities that do and do not vouch for it.
type mysite struct {
	*myserver.Server
	ca, other *certs.Authority
	plugins   map[string]string // user: plugin
}

func startMySite(t *testing.T, f myserver.Flavor) *mysite {
	t.Helper()
	ca, other, pair := authorities(t)
	plugins := map[string]string{"plain": ""}
	if f.IsMariaDB() {
		plugins["native"], plugins["ed"] = myserver.Native, myserver.Ed25519
	} else {
		plugins["caching"], plugins["sha"] = myserver.CachingSHA2, myserver.SHA256
	}
	users := []myserver.User{
		{Name: "tlsonly", Password: password, Attributes: "REQUIRE SSL"},
		{Name: "limited", Password: password, Attributes: "WITH MAX_USER_CONNECTIONS 1"},
		{Name: "empty"},
	}
	for _, name := range slices.Sorted(maps.Keys(plugins)) {
		users = append(users, myserver.User{Name: name, Password: password, Plugin: plugins[name]})
	}
	s := myserver.Start(t, myserver.Options{
		Flavor: f, TLS: &pair, Users: users, Databases: []string{"app"},
		Config: []string{"max_connections=41", "init_connect=SET @x=1", "max_prepared_stmt_count=1234"},
	})
	return &mysite{s, ca, other, plugins}
}

func (s *mysite) options() target.MySQLOptions {
	return target.MySQLOptions{
		Host: s.Host, Port: s.Port, TLSMode: target.TLSDisable, ConnectTimeout: patience,
		Setup: mysqlSetup, Variables: []string{"autocommit", "character_set_client", "time_zone", "no_such_variable"},
	}
}

func myAs(user string) target.MySQLRequest {
	return target.MySQLRequest{User: user, Password: password}
}

func mustDialMySQL(t *testing.T, o target.MySQLOptions, r target.MySQLRequest) *target.MySQLEstablished {
	t.Helper()
	e, err := target.NewMySQLDialer(o).Dial(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Conn.Close() })
	return e
}

// askMySQL runs a query on an established connection, and gives the values in its
// answer, or the code of its error.
func askMySQL(t *testing.T, e *target.MySQLEstablished, sql string) string {
	t.Helper()
	if err := e.Conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Error(err)
	}
	if _, err := e.Conn.Write(mysql.AppendQuery(nil, e.Capabilities, sql)); err != nil {
		return err.Error()
	}
	in := bufio.NewReader(e.Conn)
	next := func() []byte {
		head := make([]byte, mysql.HeaderLen)
		if _, err := io.ReadFull(in, head); err != nil {
			t.Error(err)
			return []byte{mysql.HeadErr}
		}
		n, _ := mysql.ParseHeader(head)
		payload := make([]byte, n)
		_, _ = io.ReadFull(in, payload)
		return payload
	}
	p := next()
	if code, bad := mysql.ErrorCode(p); bad {
		return strconv.Itoa(int(code))
	}
	if mysql.ReplyOf(p) != mysql.ReplyColumns {
		return "OK"
	}
	n, _, _ := mysql.ParseColumnCount(p, e.Capabilities)
	for range n {
		next()
	}
	var values []string
	for {
		p := next()
		if code, bad := mysql.ErrorCode(p); bad {
			return strconv.Itoa(int(code))
		}
		if p[0] == mysql.HeadEOF {
			return strings.Join(values, " ")
		}
		row := mysql.ReadTextRow(p)
		for v, ok := row.Next(); ok; v, ok = row.Next() {
			values = append(values, string(v))
		}
	}
}

func TestMySQLServers(t *testing.T) {
	for _, f := range myserver.Flavors() {
		t.Run(string(f), func(t *testing.T) {
			s := startMySite(t, f)
			t.Run("Login", s.testLogin)
			t.Run("Keys", s.testKeys)
			t.Run("TLS", s.testTLS)
			t.Run("HandOver", s.testHandOver)
			t.Run("InitQuery", s.testInitQuery)
			t.Run("Capabilities", s.testCapabilities)
			t.Run("Facts", s.testFacts)
			t.Run("Probe", s.testProbe)
			t.Run("ProbeFails", s.testProbeFails)
			t.Run("Kill", s.testKill)
			t.Run("Socket", s.testSocket)
			t.Run("Frozen", s.testFrozen)
			t.Run("Down", s.testDown)
		})
	}
}

// testLogin: every plugin, with and without TLS, twice each: MySQL keeps a fast way
// in for a user that it has seen.
func (s *mysite) testLogin(t *testing.T) {
	for _, mode := range []target.TLSMode{target.TLSRequire, target.TLSDisable} {
		for user := range s.plugins {
			for range 2 {
				o := s.options()
				o.TLSMode = mode
				e := mustDialMySQL(t, o, myAs(user))
				if got := askMySQL(t, e, "SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', 1)"); got != user {
					t.Errorf("logged in as %s", got)
				}
				_ = e.Conn.Close()
			}
		}
	}
	mustDialMySQL(t, s.options(), target.MySQLRequest{User: "empty"})
	long := target.MySQLRequest{User: "plain", Password: strings.Repeat("x", 150)}
	nul := target.MySQLRequest{User: "plain\x00", Password: password}
	for name, test := range map[string]struct {
		r     target.MySQLRequest
		code  uint16
		final bool
	}{
		"wrong password":   {target.MySQLRequest{User: "plain", Password: "vault"}, mysql.CodeAccessDenied, true},
		"empty password":   {target.MySQLRequest{User: "plain"}, mysql.CodeAccessDenied, true},
		"long password":    {long, mysql.CodeAccessDenied, true},
		"no such user":     {myAs("nobody"), mysql.CodeAccessDenied, true},
		"no such schema":   {target.MySQLRequest{User: "plain", Password: password, Schema: "app2"}, mysql.CodeDBAccessDenied, true},
		"needs TLS":        {myAs("tlsonly"), mysql.CodeAccessDenied, true},
		"NUL in the name":  {nul, 0, true},
		"a large one":      {target.MySQLRequest{User: strings.Repeat("u", 1<<17), Password: password}, 0, false},
		"a long collation": {target.MySQLRequest{User: "plain", Password: password, Collation: 300}, 0, true},
	} {
		_, err := target.NewMySQLDialer(s.options()).Dial(t.Context(), test.r)
		var failed *target.Error
		if !errors.As(err, &failed) || failed.Stage != target.StageLogin {
			t.Errorf("%s: %v", name, err)
			continue
		}
		reply, ok := target.MySQLServerError(err)
		if test.code != 0 && (!ok || reply.Code != test.code) || test.code != 0 && target.Permanent(err) != test.final {
			t.Errorf("%s: %v, permanent %v", name, err, target.Permanent(err))
		}
		if strings.Contains(err.Error(), "vault") || strings.Contains(err.Error(), password) {
			t.Errorf("%s: the error tells the password: %v", name, err)
		}
	}
	e := mustDialMySQL(t, s.options(), myAs("limited"))
	_, err := target.NewMySQLDialer(s.options()).Dial(t.Context(), myAs("limited"))
	if reply, ok := target.MySQLServerError(err); !ok || reply.Code != mysql.CodeUserLimitReached || target.Permanent(err) {
		t.Errorf("no more connections: %v", err)
	}
	_ = e.Conn.Close()
}

// testKeys: without TLS, MySQL's full login needs its key.
func (s *mysite) testKeys(t *testing.T) {
	if s.Flavor.IsMariaDB() {
		return
	}
	for _, user := range []string{"caching", "sha"} {
		if err := s.Exec(t.Context(), "FLUSH PRIVILEGES"); err != nil { // forgets who has logged in
			t.Fatal(err)
		}
		o := s.options()
		o.KeyRetrieval = target.KeyNever
		_, err := target.NewMySQLDialer(o).Dial(t.Context(), myAs(user))
		if err == nil || !strings.Contains(err.Error(), "key may not be asked for") || !target.Permanent(err) {
			t.Errorf("%s: %v", user, err)
		}
		o.KeyRetrieval = target.KeyAlways
		mustDialMySQL(t, o, myAs(user))
	}
}

func (s *mysite) testTLS(t *testing.T) {
	good, bad := &tls.Config{RootCAs: s.ca.Pool()}, &tls.Config{RootCAs: s.other.Pool()}
	named := good.Clone()
	named.ServerName = "elsewhere.example"
	impossible := &tls.Config{MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS12}
	for _, test := range []struct {
		mode  target.TLSMode
		base  *tls.Config
		plain bool
		err   string
	}{
		{mode: "disable", plain: true},
		{mode: ""},
		{mode: "prefer", base: bad},
		{mode: "prefer", base: impossible, plain: true},
		{mode: "require"},
		{mode: "require", base: good},
		{mode: "require", base: bad, err: "unknown authority"},
		{mode: "verify-ca", base: good},
		{mode: "verify-ca", base: named},
		{mode: "verify-ca", base: bad, err: "unknown authority"},
		{mode: "verify-full", base: good},
		{mode: "verify-full", base: named, err: "elsewhere.example"},
		{mode: "verify-full", base: bad, err: "unknown authority"},
		{mode: "verify-everything", err: "unknown TLS mode"},
	} {
		o := s.options()
		o.TLSMode, o.TLS = test.mode, test.base
		e, err := target.NewMySQLDialer(o).Dial(t.Context(), myAs("plain"))
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) || !target.Permanent(err) {
				t.Errorf("%s: %v", test.mode, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.mode, err)
			continue
		}
		tc, encrypted := e.Conn.(*tls.Conn)
		if encrypted == test.plain || encrypted && tc.NetConn() != e.Wrapped {
			t.Errorf("%s: encrypted %v", test.mode, encrypted)
		}
		if got := askMySQL(t, e, "SHOW SESSION STATUS LIKE 'Ssl_cipher'"); (got != "Ssl_cipher ") != encrypted {
			t.Errorf("%s: the server sees %q", test.mode, got)
		}
		_ = e.Conn.Close()
	}
}

// testHandOver: what is handed over is fit for an event loop.
func (s *mysite) testHandOver(t *testing.T) {
	o := s.options()
	o.TLSMode = target.TLSRequire
	o.Wrap = func(nc net.Conn) net.Conn { return netloop.NewTransport(nc) }
	r := myAs("plain")
	r.Schema = "app"
	e := mustDialMySQL(t, o, r)
	if _, ok := e.Wrapped.(*netloop.Transport); !ok {
		t.Fatalf("Wrapped is %T", e.Wrapped)
	}
	want := map[string]string{"autocommit": "ON", "character_set_client": "utf8mb4", "time_zone": "SYSTEM"}
	if !maps.Equal(e.Base, want) || e.Schema != "app" || e.Collation != mysql.CollationUTF8MB4General {
		t.Errorf("%+v", e)
	}
	if got := askMySQL(t, e, "SELECT CONNECTION_ID()"); got != strconv.FormatUint(uint64(e.ThreadID), 10) {
		t.Errorf("thread %d, the server says %s", e.ThreadID, got)
	}
	if e.Greeting.MariaDB() != s.Flavor.IsMariaDB() || !strings.HasPrefix(strings.TrimPrefix(e.Greeting.Version, "5.5.5-"), s.Version) {
		t.Errorf("greeting %+v", e.Greeting)
	}
	if got := askMySQL(t, e, "SELECT @@session_track_system_variables"); got != "*" {
		t.Errorf("trackers: %q", got)
	}
}

func (s *mysite) testInitQuery(t *testing.T) {
	for _, class := range []mysql.Capabilities{0, mysql.ClientMultiStatements} {
		o := s.options()
		o.InitQuery = "SET time_zone = '+03:00'; SELECT 1 UNION SELECT 2; USE app; SET @y = 7"
		r := myAs("plain")
		r.Capabilities = class
		e := mustDialMySQL(t, o, r)
		if e.Base["time_zone"] != "+03:00" || e.Schema != "app" || askMySQL(t, e, "SELECT @y") != "7" {
			t.Errorf("%+v", e)
		}
		allowed := askMySQL(t, e, "SET @y = 8; SET @z = 9")
		if several := class != 0; (allowed == "OK") != several || !several && allowed != "1064" {
			t.Errorf("several statements: %s", allowed)
		}
	}
	for _, test := range []struct {
		sql, err string
		code     uint16
		final    bool
	}{
		{"SET no_such_thing = 1", "no_such_thing", 1193, true},
		{"SELECT 1; SELEKT 2", "SELEKT", mysql.CodeParse, true},
		{"BEGIN", "transaction open", 0, true},
		{"KILL CONNECTION_ID()", "", 0, false},
		{"SELECT REPEAT('x', 60000) FROM information_schema.columns LIMIT 30", "more than", 0, false},
		{"SELECT REPEAT('x', 1000000)", "bytes", 0, false},
		{"SELECT * FROM app.nothing", "nothing", 1146, true},
		{"LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE app.t", "", 0, true},
	} {
		o := s.options()
		o.InitQuery = test.sql
		_, err := target.NewMySQLDialer(o).Dial(t.Context(), myAs("plain"))
		var failed *target.Error
		if !errors.As(err, &failed) || failed.Stage != target.StageInit || !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %v", test.sql, err)
			continue
		}
		reply, _ := target.MySQLServerError(err)
		if test.code != 0 && (reply == nil || reply.Code != test.code || target.Permanent(err) != test.final) {
			t.Errorf("%s: %v, permanent %v", test.sql, err, target.Permanent(err))
		}
	}
	if err := s.Exec(t.Context(), "CREATE TABLE app.t (a TEXT)"); err != nil {
		t.Fatal(err)
	}
	o := s.options()
	o.InitQuery = "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE app.t"
	r := myAs("plain")
	r.Capabilities = mysql.ClientLocalFiles
	if _, err := target.NewMySQLDialer(o).Dial(t.Context(), r); err == nil || !strings.Contains(err.Error(), "LOCAL INFILE") {
		t.Errorf("LOCAL INFILE: %v", err)
	}
}

// testCapabilities: the connection has what was asked for, and no more.
func (s *mysite) testCapabilities(t *testing.T) {
	const extended = mysql.MariaDBCacheMetadata | mysql.MariaDBStmtBulkOperations | mysql.MariaDBExtendedMetadata
	for _, class := range []mysql.Capabilities{
		0, mysql.ClientFoundRows, mysql.ClientQueryAttributes | mysql.ClientOptionalResultsetMetadata, extended, mysql.ClassMask,
	} {
		r := myAs("plain")
		r.Capabilities = class | mysql.ClientCompress // which is ignored
		e, err := target.NewMySQLDialer(s.options()).Dial(t.Context(), r)
		if mysqlOnly := class&(mysql.ClientQueryAttributes|mysql.ClientOptionalResultsetMetadata) != 0; s.Flavor.IsMariaDB() && mysqlOnly ||
			!s.Flavor.IsMariaDB() && class&extended != 0 {
			if err == nil || !strings.Contains(err.Error(), "has not got the capabilities") || !target.Permanent(err) {
				t.Errorf("%#x: %v", uint64(class), err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%#x: %v", uint64(class), err)
			continue
		}
		if e.Capabilities.Class() != class || e.Capabilities.Has(mysql.ClientCompress) || e.Capabilities.Extended() != s.Flavor.IsMariaDB() {
			t.Errorf("asked for %#x, got %#x", uint64(class), uint64(e.Capabilities))
		}
		if got := askMySQL(t, e, "SELECT 5"); got != "5" {
			t.Errorf("%#x: %s", uint64(class), got)
		}
		_ = e.Conn.Close()
	}
}

func (s *mysite) testFacts(t *testing.T) {
	o := s.options()
	o.InitQuery, o.Setup = "SELEKT", "SELEKT" // not run
	for range 20 {
		f, err := target.NewMySQLDialer(o).Facts(t.Context(), myAs("limited")) // one connection at a time
		if err != nil {
			t.Fatal(err)
		}
		if f.MaxConnections != 41 || f.MaxPreparedStatements != 1234 || f.MaxAllowedPacket < 1<<20 || f.ReadOnly || !f.InitConnect {
			t.Fatalf("facts %+v", f)
		}
		if f.MariaDB != s.Flavor.IsMariaDB() || !strings.Contains(f.Version, s.Version) || !f.Capabilities.Has(mysql.ClientSSL) || f.Plugin == "" {
			t.Fatalf("facts %+v", f)
		}
	}
	if err := s.Exec(t.Context(), "SET GLOBAL read_only = ON"); err != nil {
		t.Fatal(err)
	}
	if f, err := target.NewMySQLDialer(o).Facts(t.Context(), myAs("plain")); err != nil || !f.ReadOnly {
		t.Errorf("read only: %+v, %v", f, err)
	}
	if err := s.Exec(t.Context(), "SET GLOBAL read_only = OFF"); err != nil {
		t.Fatal(err)
	}
	if _, err := target.NewMySQLDialer(o).Facts(t.Context(), myAs("nobody")); !target.Permanent(err) {
		t.Errorf("facts without login: %v", err)
	}
}

func (s *mysite) testKill(t *testing.T) {
	for _, mode := range []target.TLSMode{"disable", "require"} {
		o := s.options()
		o.TLSMode = mode
		d := target.NewMySQLDialer(o)
		e := mustDialMySQL(t, o, myAs("plain"))
		answer := make(chan string, 1)
		go func() { answer <- askMySQL(t, e, "SELECT COUNT(*) FROM information_schema.columns WHERE SLEEP(600)") }()
		s.waitSleeping(t, e.ThreadID)
		if err := d.Kill(t.Context(), myAs("plain"), e.ThreadID); err != nil {
			t.Fatalf("%s: %v", mode, err)
		}
		if got := <-answer; got != strconv.Itoa(int(mysql.CodeQueryInterrupted)) {
			t.Errorf("%s: the query ended with %q", mode, got)
		}
		// After Kill has returned nothing is hit any more.
		for range 20 {
			if got := askMySQL(t, e, "SELECT 1"); got != "1" {
				t.Fatalf("%s: a later query was hit: %s", mode, got)
			}
			if err := d.Kill(t.Context(), myAs("plain"), e.ThreadID); err != nil {
				t.Fatal(err)
			}
		}
	}
	d := target.NewMySQLDialer(s.options())
	err := d.Kill(t.Context(), myAs("plain"), 4_000_000_000)
	if reply, ok := target.MySQLServerError(err); !ok || reply.Code != mysql.CodeNoSuchThread || target.Permanent(err) {
		t.Errorf("no such thread: %v", err)
	}
	if err := d.Kill(t.Context(), myAs("nobody"), 1); !target.Permanent(err) {
		t.Errorf("no such user: %v", err)
	}
}

// waitSleeping waits until the server runs SLEEP on a connection.
func (s *mysite) waitSleeping(t *testing.T, id uint32) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		sql := "SELECT state FROM information_schema.processlist WHERE id = " + strconv.FormatUint(uint64(id), 10)
		got, err := s.Query(t.Context(), sql)
		if err != nil {
			t.Fatal(err)
		}
		if got == "User sleep" {
			return
		}
	}
	t.Fatal("the query does not run")
}

func (s *mysite) testSocket(t *testing.T) {
	for user := range s.plugins {
		if err := s.Exec(t.Context(), "FLUSH PRIVILEGES"); err != nil {
			t.Fatal(err)
		}
		o := s.options()
		o.Host, o.Port, o.TLSMode = s.Socket(), 0, target.TLSVerifyFull // of no importance for a socket
		e := mustDialMySQL(t, o, myAs(user))
		if _, ok := e.Wrapped.(*net.UnixConn); !ok || askMySQL(t, e, "SELECT 1") != "1" {
			t.Errorf("%s: connected by %T", user, e.Wrapped)
		}
	}
	o := s.options()
	o.Host = s.Socket() + "-nowhere"
	if _, err := target.NewMySQLDialer(o).Dial(t.Context(), myAs("plain")); err == nil || target.Permanent(err) {
		t.Errorf("no socket: %v", err)
	}
}

// testFrozen: a server that does not answer costs the connect timeout, not more.
func (s *mysite) testFrozen(t *testing.T) {
	s.Freeze()
	defer s.Thaw()
	o := s.options()
	o.ConnectTimeout = 150 * time.Millisecond
	d := target.NewMySQLDialer(o)
	_, err := d.Dial(t.Context(), myAs("plain"))
	expectTimeout(t, err, target.StageLogin)
	_, err = d.Facts(t.Context(), myAs("plain"))
	expectTimeout(t, err, target.StageLogin)
	expectTimeout(t, d.Kill(t.Context(), myAs("plain"), 1), target.StageLogin)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := target.NewMySQLDialer(s.options()).Dial(ctx, myAs("plain")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func (s *mysite) testDown(t *testing.T) {
	s.Kill()
	_, err := target.NewMySQLDialer(s.options()).Dial(t.Context(), myAs("plain"))
	var failed *target.Error
	if !errors.As(err, &failed) || failed.Stage != target.StageConnect || target.Permanent(err) {
		t.Errorf("down: %v", err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustDialMySQL(t, s.options(), myAs("plain"))
}
