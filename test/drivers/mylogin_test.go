// SPDX-License-Identifier: Apache-2.0

package drivers

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	gomysql "github.com/go-sql-driver/mysql"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/mylogin"
	"github.com/rdsproxy/rdsproxy/pkg/secret"
	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
	"github.com/rdsproxy/rdsproxy/test/certs"
)

// myUsers is a mylogin.UserLookup of a fixed list.
type myUsers map[string]auth.MySQLCredential

func (u myUsers) LookupMySQL(user string) (auth.MySQLCredential, bool) {
	c, ok := u[user]
	return c, ok
}

// oneToken takes one token.
type oneToken struct{}

func (oneToken) Accepts(password string) bool { return password == "a token" }

func (oneToken) Verify(_ context.Context, _ string, token secret.Password) error {
	if token.Reveal() != "a token" {
		return errors.New("expired")
	}
	return nil
}

// myLogins accepts clients of MySQL, logs each in and says OK to whatever they ask. It returns its address and the
// outcome of each login.
func myLogins(t *testing.T, cfg *mylogin.Config) (addr string, outcomes <-chan *mylogin.Login) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ch := make(chan *mylogin.Login, 10)
	var running sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); running.Wait() })
	running.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer nc.Close()
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				login, err := mylogin.Serve(ctx, nc, cfg)
				ch <- login
				if err == nil {
					agree(nc, login)
				}
			})
		}
	})
	return l.Addr().String(), ch
}

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

// TestMySQLLogin has go-sql-driver log in, whose answers differ from those of MySQL's own library: it begins with the
// plugin that the greeting names, and sends a scramble for that.
func TestMySQLLogin(t *testing.T) {
	const right = "p @ss/wörd"
	ca, err := certs.NewAuthority("test authority")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue(certs.Request{})
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := pair.TLS()
	if err != nil {
		t.Fatal(err)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	users := myUsers{"tom": auth.NewMySQLToken()}
	for name, m := range map[string]auth.MySQLMethod{
		"carl": auth.MySQLCachingSHA2, "nat": auth.MySQLNative, "clara": auth.MySQLCleartext,
	} {
		if users[name], err = auth.NewMySQLCredential(right, m); err != nil {
			t.Fatal(err)
		}
	}
	denied := func(user, used string) string {
		return fmt.Sprintf("1045 28000 Access denied for user '%s'@'127.0.0.1' (using password: %s)", user, used)
	}
	for _, c := range []struct {
		user, password string
		tls            bool
		want           string
	}{
		{"carl", right, false, ""},
		{"carl", right, true, ""},
		{"carl", "x", false, denied("carl", "YES")},
		{"carl", "x", true, denied("carl", "YES")},
		{"carl", "", true, denied("carl", "NO")},
		{"nat", right, false, ""},
		{"nat", right, true, ""},
		{"nat", "x", false, denied("nat", "YES")},
		{"nobody", right, false, denied("nobody", "YES")},
		{"nobody", right, true, denied("nobody", "YES")},
		{"clara", right, true, ""},
		{"clara", right, false, "3159 HY000 This RDS Proxy requires TLS connections."},
		{"tom", "a token", true, ""},
		{"tom", "another", true, denied("tom", "YES")},
	} {
		for _, greeting := range []auth.MySQLMethod{auth.MySQLCachingSHA2, auth.MySQLNative} {
			t.Run(fmt.Sprint(greeting, " ", c.user, " ", c.password, " ", c.tls), func(t *testing.T) {
				addr, logins := myLogins(t, &mylogin.Config{
					TLS:   func() *tls.Config { return &tls.Config{Certificates: []tls.Certificate{certificate}} },
					Users: users, UnknownMethod: greeting, ThreadID: 1, Key: key,
					Greeting: mylogin.Greeting{Version: "8.4.6", Capabilities: mysql.Always},
					Tokens:   oneToken{},
				})
				conf := gomysql.NewConfig()
				conf.User, conf.Passwd, conf.Net, conf.Addr, conf.DBName = c.user, c.password, "tcp", addr, "shop"
				conf.AllowCleartextPasswords, conf.Logger = true, &gomysql.NopLogger{}
				if c.tls {
					conf.TLS = &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"}
				}
				connector, err := gomysql.NewConnector(conf)
				if err != nil {
					t.Fatal(err)
				}
				db := sql.OpenDB(connector)
				defer db.Close()
				err = db.PingContext(t.Context())
				login := <-logins
				if c.want == "" {
					if err != nil || login.User != c.user || login.Schema != "shop" || (login.TLS != nil) != c.tls {
						t.Errorf("%v, %+v", err, login)
					}
					return
				}
				refused, ok := errors.AsType[*gomysql.MySQLError](err)
				if !ok || fmt.Sprintf("%d %s %s", refused.Number, refused.SQLState[:], refused.Message) != c.want || login != nil {
					t.Errorf("%v, %+v", err, login)
				}
			})
		}
	}
}
