// SPDX-License-Identifier: Apache-2.0

package mylogin_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	gomysql "github.com/go-mysql-org/go-mysql/mysql"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/mylogin"
	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// plainPassword is for command lines.
const plainPassword = "secret"

func plainUsers(t *testing.T) users {
	t.Helper()
	u := users{"tom": auth.NewMySQLToken()}
	for name, m := range map[string]auth.MySQLMethod{
		"carl": auth.MySQLCachingSHA2, "nat": auth.MySQLNative, "clara": auth.MySQLCleartext,
	} {
		c, err := auth.NewMySQLCredential(plainPassword, m)
		if err != nil {
			t.Fatal(err)
		}
		u[name] = c
	}
	return u
}

// server accepts clients, logs each in and answers OK to whatever they ask. It returns its address and the outcomes,
// one per client.
func server(t *testing.T, network, address string, cfg *mylogin.Config) (addr string, outcomes <-chan outcome) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	ch := make(chan outcome, 10)
	var running sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); running.Wait() })
	running.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				login, err := mylogin.Serve(ctx, nc, cfg)
				ch <- outcome{login, err}
				if err == nil {
					agree(nc, login)
				}
				_ = nc.Close()
			})
		}
	})
	return l.Addr().String(), ch
}

// agree ends the login and says OK to all commands.
func agree(nc net.Conn, l *mylogin.Login) {
	if l.TLS != nil {
		nc = l.TLS
	}
	ok := func(seq byte) {
		_, _ = nc.Write(mysql.AppendOK(nil, seq, l.Capabilities, mysql.OK{Status: mysql.StatusAutocommit}))
	}
	ok(l.NextSeq)
	head := make([]byte, mysql.HeaderLen)
	for {
		if _, err := io.ReadFull(nc, head); err != nil {
			return
		}
		n, seq := mysql.ParseHeader(head)
		payload := make([]byte, n)
		if _, err := io.ReadFull(nc, payload); err != nil || payload[0] == byte(mysql.ComQuit) {
			return
		}
		ok(seq + 1)
	}
}

// clientCase is what a real client is to make of the proxy.
type clientCase struct {
	name, user, password string
	tls, require         bool   // TLS used by the client; required by the proxy
	want                 string // method, or the error
}

const deniedFrom = "1045 (28000): Access denied for user '%s'@'127.0.0.1' (using password: %s)"

func clientCases() []clientCase {
	return []clientCase{
		{"caching", "carl", plainPassword, false, false, "caching_sha2_password"},
		{"caching over TLS", "carl", plainPassword, true, true, "caching_sha2_password"},
		{"caching, wrong", "carl", "x", false, false, fmt.Sprintf(deniedFrom, "carl", "YES")},
		{"caching, wrong, over TLS", "carl", "x", true, false, fmt.Sprintf(deniedFrom, "carl", "YES")},
		{"caching, empty", "carl", "", true, false, fmt.Sprintf(deniedFrom, "carl", "NO")},
		{"native", "nat", plainPassword, false, false, "mysql_native_password"},
		{"native over TLS", "nat", plainPassword, true, true, "mysql_native_password"},
		{"native, wrong", "nat", "x", false, false, fmt.Sprintf(deniedFrom, "nat", "YES")},
		{"native, empty", "nat", "", false, false, fmt.Sprintf(deniedFrom, "nat", "NO")},
		{"nobody", "nobody", plainPassword, false, false, fmt.Sprintf(deniedFrom, "nobody", "YES")},
		{"nobody over TLS", "nobody", plainPassword, true, false, fmt.Sprintf(deniedFrom, "nobody", "YES")},
		{"clear over TLS", "clara", plainPassword, true, true, "mysql_clear_password"},
		{"clear, wrong", "clara", "x", true, true, fmt.Sprintf(deniedFrom, "clara", "YES")},
		{"token", "tom", token, true, true, "token"},
		{"TLS required", "nat", plainPassword, false, true, "3159 (HY000): This RDS Proxy requires TLS connections."},
	}
}

// TestGoMySQL has the client of go-mysql log in.
func TestGoMySQL(t *testing.T) {
	for _, greeting := range []auth.MySQLMethod{auth.MySQLCachingSHA2, auth.MySQLNative} {
		for _, c := range clientCases() {
			t.Run(greeting.String()+"/"+c.name, func(t *testing.T) {
				cfg := config(true)
				cfg.Users, cfg.RequireTLS, cfg.UnknownMethod = plainUsers(t), c.require, greeting
				addr, outcomes := server(t, "tcp", "127.0.0.1:0", cfg)
				conn, err := client.Connect(addr, c.user, c.password, "shop", func(conn *client.Conn) error {
					if c.tls {
						conn.UseSSL(true)
					}
					return nil
				})
				o := <-outcomes
				var got string
				if refused, ok := errors.AsType[*gomysql.MyError](errors.Unwrap(err)); ok {
					got = fmt.Sprintf("%d (%s): %s", refused.Code, refused.State, refused.Message)
				} else if err != nil {
					got = err.Error()
				}
				if o.err == nil {
					got = o.login.Method.String()
					if err := conn.Ping(); err != nil {
						t.Error(err)
					}
					_ = conn.Close()
					if o.login.Schema != "shop" || (o.login.TLS != nil) != c.tls || len(o.login.Attributes) == 0 {
						t.Errorf("%+v", o.login)
					}
				}
				if got != c.want {
					t.Errorf("%q, want %q (%v)", got, c.want, o.err)
				}
			})
		}
	}
}

// TestCommandLine has mariadb and mysql log in, as far as they are on the machine.
func TestCommandLine(t *testing.T) {
	var found int
	for _, program := range []string{"mariadb", "mysql"} {
		path, err := exec.LookPath(program)
		if err != nil {
			continue
		}
		found++
		version, err := exec.Command(path, "--version").Output()
		if err != nil {
			t.Fatal(err)
		}
		t.Log(strings.TrimSpace(string(version)))
		for _, c := range clientCases() {
			t.Run(program+"/"+c.name, func(t *testing.T) { commandLine(t, path, strings.Contains(string(version), "MariaDB"), c) })
		}
	}
	if found == 0 {
		t.Skip("neither mariadb nor mysql is on this machine")
	}
}

func commandLine(t *testing.T, path string, mariadb bool, c clientCase) {
	cfg := config(true)
	cfg.Users, cfg.RequireTLS = plainUsers(t), c.require
	addr, outcomes := server(t, "tcp", "127.0.0.1:0", cfg)
	host, port, _ := net.SplitHostPort(addr)
	args := []string{
		"--no-defaults", "--protocol=tcp", "-h", host, "-P", port, "-u", c.user, "--database=shop", "-e", "DO 1",
	}
	switch {
	case mariadb && c.tls:
		args = append(args, "--ssl-ca="+authority(t))
	case mariadb:
		args = append(args, "--skip-ssl")
	case c.tls:
		args = append(args, "--ssl-mode=VERIFY_CA", "--ssl-ca="+authority(t), "--enable-cleartext-plugin")
	default:
		args = append(args, "--ssl-mode=DISABLED", "--get-server-public-key")
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append(os.Environ(), "MYSQL_PWD="+c.password)
	said, err := cmd.CombinedOutput()
	o := <-outcomes
	got := strings.TrimSpace(string(said))
	if strings.Contains(got, "2059 (HY000): Authentication plugin 'mysql_native_password' cannot be loaded") {
		t.Skip("clients of MySQL 9 come without mysql_native_password")
	}
	if o.err == nil && err == nil {
		got = o.login.Method.String()
	}
	if got != c.want && got != "ERROR "+c.want {
		t.Errorf("%q, want %q (%v)", got, c.want, o.err)
	}
}

// authority writes the certificate of the tests into a file.
func authority(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate().Certificate[0]})
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}
