// SPDX-License-Identifier: Apache-2.0

package target_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/rdsproxy/rdsproxy/pkg/target"
)

// childEnv marks the process that TestEnvironment starts, and says where its
// server is.
const childEnv = "RDSPROXY_TARGET_TEST_CHILD"

// misleading is an environment that a libpq program would follow, or fail with.
func misleading(t *testing.T) []string {
	home := t.TempDir()
	files := map[string]string{
		".pgpass":          "*:*:*:*:from-the-passfile\n",
		".pg_service.conf": "[evil]\nhost=127.0.0.9\nuser=evil\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return []string{
		"HOME=" + home, "PGHOST=127.0.0.9", "PGPORT=garbage", "PGDATABASE=evil", "PGUSER=evil", "PGPASSWORD=evil",
		"PGPASSFILE=" + filepath.Join(home, ".pgpass"), "PGAPPNAME=evil", "PGCONNECT_TIMEOUT=garbage", "PGSSLMODE=garbage",
		"PGSSLKEY=/nowhere", "PGSSLCERT=/nowhere", "PGSSLCERTMODE=", "PGSSLSNI=garbage", "PGSSLROOTCERT=/nowhere",
		"PGSSLPASSWORD=evil", "PGSSLNEGOTIATION=direct", "PGTARGETSESSIONATTRS=standby", "PGSERVICE=evil",
		"PGSERVICEFILE=/nowhere", "PGTZ=Mars/Olympus", "PGOPTIONS=-c evil=1", "PGMINPROTOCOLVERSION=9.9",
		"PGMAXPROTOCOLVERSION=garbage", "PGCHANNELBINDING=require", "PGREQUIREAUTH=garbage", "PGKRBSRVNAME=evil",
	}
}

// TestEnvironment: PG* variables, the password file and service files have no
// influence, and are still there afterwards for others.
func TestEnvironment(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), exe, "-test.run=^TestEnvironmentChild$", "-test.v")
	child.Env = append(os.Environ(), misleading(t)...)
	child.Env = append(child.Env, childEnv+"="+l.Addr().String())
	got := make(chan string, 1)
	go func() { got <- acceptStartup(l) }()
	if out, err := child.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestEnvironmentChild") {
		t.Fatalf("%v\n%s", err, out)
	}
	if s := <-got; s != "database=d user=u password=" {
		t.Errorf("the server was told %q", s)
	}
}

// acceptStartup plays a server that asks for a password in clear text, and tells
// what it has seen.
func acceptStartup(l net.Listener) string {
	nc, err := l.Accept()
	if err != nil {
		return err.Error()
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(patience))
	b := pgproto3.NewBackend(nc, nc)
	first, err := b.ReceiveStartupMessage()
	if err != nil {
		return err.Error()
	}
	start, ok := first.(*pgproto3.StartupMessage)
	if !ok {
		return "not a start-up message"
	}
	var seen []string
	for k, v := range start.Parameters {
		seen = append(seen, k+"="+v)
	}
	slices.Sort(seen)
	b.Send(&pgproto3.AuthenticationCleartextPassword{})
	_ = b.Flush()
	_ = b.SetAuthType(pgproto3.AuthTypeCleartextPassword)
	msg, err := b.Receive()
	if err != nil {
		return err.Error()
	}
	if p, ok := msg.(*pgproto3.PasswordMessage); ok {
		seen = append(seen, "password="+p.Password)
	}
	b.Send(&pgproto3.AuthenticationOk{})
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	_ = b.Flush()
	return strings.Join(seen, " ")
}

// TestEnvironmentChild runs in the process that TestEnvironment starts.
func TestEnvironmentChild(t *testing.T) {
	addr := os.Getenv(childEnv)
	if addr == "" {
		t.Skip("only as a child of TestEnvironment")
	}
	if os.Getenv("PGSERVICE") != "evil" {
		t.Error("PGSERVICE is lost")
	}
	o := fakeOptions(t, addr)
	o.AllowCleartextPassword = true
	// Without a password: a password file would supply one.
	e, err := target.NewDialer(o).Dial(t.Context(), target.Request{User: "u", Database: "d"})
	if err != nil {
		t.Fatal(err)
	}
	_ = e.Conn.Close()
}
