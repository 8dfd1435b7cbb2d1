// SPDX-License-Identifier: Apache-2.0

package drivers

import (
	"crypto/tls"
	"database/sql"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/rds/auth"
	gomysql "github.com/go-sql-driver/mysql"

	"github.com/rdsproxy/rdsproxy/test/certs"
	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/myserver"
)

// TestMySQLTokens: tokens of the SDK log in through go-sql-driver, short ones and those of more than 2 KB, in front of MySQL and
// MariaDB. A user who has to have a token needs AllowCleartextPasswords, as at RDS.
func TestMySQLTokens(t *testing.T) {
	const id, key = "AKIADRIVERS000000001", "hidden/drivers+key"
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	session := strings.Repeat("SessionToken/+", 120)
	policy := write("policy.json", `{"Statement":{"Effect":"Allow","Action":"rds-db:connect","Resource":"*"}}`)
	entry := func(name, text string) daemonproc.Map {
		return daemonproc.Map{"secret": write(name, text), "policy_file": policy}
	}
	iam := daemonproc.Map{
		"resource": daemonproc.Map{"region": "eu-central-1", "account": "123456789012", "id": "prx-1"},
		"own_keys": []any{
			entry("short.json", fmt.Sprintf(`{"AccessKeyId":"%s","SecretAccessKey":"%s"}`, id, key)),
			entry("long.json", fmt.Sprintf(`{"AccessKeyId":"%sL","SecretAccessKey":"%s","SessionToken":"%s"}`, id, key, session)),
		},
	}
	ca, err := certs.NewAuthority("test authority")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue(certs.Request{})
	if err != nil {
		t.Fatal(err)
	}
	for f, engine := range map[myserver.Flavor]string{myserver.MySQL: "mysql", myserver.MariaDB: "mariadb"} {
		t.Run(engine, func(t *testing.T) {
			server := myserver.Start(t, myserver.Options{
				Flavor: f, TLS: &pair, Databases: []string{database},
				Users: []myserver.User{{Name: "app", Password: password}, {Name: "either", Password: password}},
			})
			user := func(name, mode string) daemonproc.User {
				return daemonproc.User{Name: name, Password: password, Settings: daemonproc.Map{"iam_auth": mode}}
			}
			d := daemonproc.Start(t, daemonproc.Options{
				Writer: server.Addr(), Certificate: &pair,
				Group:    daemonproc.Map{"engine": engine},
				Endpoint: daemonproc.Map{"names": []string{"localhost"}},
				Top:      daemonproc.Map{"iam": iam},
				Users:    []daemonproc.User{user("app", "required"), user("either", "enabled")},
			})
			d.RequireProxy(t)
			_, port, err := net.SplitHostPort(d.Addr)
			if err != nil {
				t.Fatal(err)
			}
			endpoint := net.JoinHostPort("localhost", port)
			in := func(user, password string, cleartext bool) error {
				conf := gomysql.NewConfig()
				conf.User, conf.Passwd, conf.Net, conf.Addr, conf.DBName = user, password, "tcp", endpoint, database
				conf.TLS, conf.AllowCleartextPasswords = &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"}, cleartext
				conf.Logger = &gomysql.NopLogger{}
				c, err := gomysql.NewConnector(conf)
				if err != nil {
					return err
				}
				db := sql.OpenDB(c)
				defer db.Close()
				var who string
				err = db.QueryRowContext(limit(t, 20*time.Second), "SELECT CURRENT_USER()").Scan(&who)
				if err == nil && who != user+"@%" {
					return fmt.Errorf("logged in as %s", who)
				}
				return err
			}
			for _, c := range []struct{ id, session string }{{id, ""}, {id + "L", session}} {
				for _, user := range []string{"app", "either"} {
					token, err := auth.BuildAuthToken(t.Context(), endpoint, "eu-central-1", user, credentials.NewStaticCredentialsProvider(c.id, key, c.session))
					if err != nil {
						t.Fatal(err)
					}
					if err := in(user, token, true); err != nil {
						t.Errorf("%s, token of %d bytes: %v", user, len(token), err)
					}
				}
			}
			if err := in("either", password, false); err != nil {
				t.Errorf("password: %v", err)
			}
			if err := in("app", password, true); err == nil || !strings.Contains(err.Error(), "1045") {
				t.Errorf("password in place of a token: %v", err)
			}
			if strings.Contains(d.Log(), "hidden") || strings.Contains(d.Log(), "X-Amz-Signature") {
				t.Error("the log shows what it must not")
			}
		})
	}
}
