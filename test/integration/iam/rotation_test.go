// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/fakeaws"
	"github.com/rdsproxy/rdsproxy/test/myclient"
	"github.com/rdsproxy/rdsproxy/test/myserver"
	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

// secretKeys is what the daemon signs its requests to Secrets Manager with.
var secretKeys = fakeaws.Identity{Key: "AKIADAEMON0000000003", Secret: "daemon/secret+key/hidden0003"}

// fake is AWS, and the settings with which a daemon reaches it.
type fake struct {
	*fakeaws.Server
	settings daemonproc.Map
	env      []string
}

func newFake(t testing.TB) *fake {
	t.Helper()
	f := &fake{Server: &fakeaws.Server{}}
	f.AddIdentity(secretKeys)
	h := httptest.NewServer(f.Server)
	t.Cleanup(h.Close)
	f.settings = daemonproc.Map{"region": region, "endpoint": h.URL, "refresh_interval": "1s"}
	f.env = []string{
		"AWS_ACCESS_KEY_ID=" + secretKeys.Key, "AWS_SECRET_ACCESS_KEY=" + secretKeys.Secret,
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true",
	}
	return f
}

func secretText(user, password string) string {
	text, err := json.Marshal(map[string]any{"username": user, "password": password, "engine": "postgres", "port": 5432})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// clients is how many of them there are under load.
func clients(t *testing.T) int {
	text := os.Getenv("RDSPROXY_TEST_CLIENTS")
	if text == "" {
		return 30
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("RDSPROXY_TEST_CLIENTS=%s: want a number of clients", text)
	}
	return n
}

// TestRotation changes the password of the database and the secret while clients come, ask, and go: in both orders, with and
// without a pending version, and with the database connections retired at once. No client sees an error.
func TestRotation(t *testing.T) {
	for name, rotate := range map[string]func(r *rotation, next string){
		"as Secrets Manager does it": func(r *rotation, next string) {
			r.fake.PutPending("app", secretText("app", next))
			r.pause()
			r.setDatabase(next)
			r.pause()
			r.fake.Promote("app")
		},
		"the database first": func(r *rotation, next string) {
			r.setDatabase(next)
			r.pause()
			r.fake.PutSecret("app", secretText("app", next))
		},
		"the secret first": func(r *rotation, next string) {
			r.fake.PutSecret("app", secretText("app", next))
			r.pause()
			r.setDatabase(next)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRotation(t)
			r.load(clients(t))
			r.pause()
			for i := range 3 {
				r.rotate(i, rotate)
			}
			r.stop()
		})
	}
}

// rotate changes the password for the n-th time; then clients learn of it.
func (r *rotation) rotate(n int, how func(r *rotation, next string)) {
	next := fmt.Sprintf("rotated password hidden %d", n)
	r.hide(next)
	how(r, next)
	r.pause()
	r.password.Store(&next)
	r.pause()
}

// TestMySQLRotation changes the password in both orders, first the database's and then the secret.
func TestMySQLRotation(t *testing.T) {
	for _, f := range myserver.Chosen(myserver.MySQL) {
		t.Run(string(f), func(t *testing.T) {
			r := newMySQLRotation(t, f)
			r.load(clients(t))
			r.pause()
			r.rotate(0, func(r *rotation, next string) {
				r.setDatabase(next)
				r.pause()
				r.fake.PutSecret("app", secretText("app", next))
			})
			r.rotate(1, func(r *rotation, next string) {
				r.fake.PutSecret("app", secretText("app", next))
				r.pause()
				r.setDatabase(next)
			})
			r.stop()
		})
	}
}

// rotation is a daemon under load whose secret is in Secrets Manager.
type rotation struct {
	*world
	t      *testing.T
	fake   *fake
	daemon *daemonproc.Daemon
	// alter is the statement, up to the password, that changes it, and exec runs it on the database.
	alter string
	exec  func(ctx context.Context, sql ...string) error
	// visit is what a client does.
	visit func() error
	// password is what clients log in with: they learn of a new one late.
	password atomic.Pointer[string]

	ctx     context.Context
	end     context.CancelFunc
	running sync.WaitGroup
	asked   atomic.Int64
	failed  atomic.Int64
}

func newRotation(t *testing.T) *rotation {
	t.Helper()
	r := &rotation{world: newWorld(t), t: t, fake: newFake(t), alter: "ALTER ROLE app PASSWORD "}
	pg := postgres(t, pgserver.Options{}, "app")
	r.exec, r.visit = pg.Exec, r.visitPostgres
	r.begin(pg.Addr(), daemonproc.Map{})
	return r
}

func newMySQLRotation(t *testing.T, f myserver.Flavor) *rotation {
	t.Helper()
	r := &rotation{world: newWorld(t), t: t, fake: newFake(t), alter: "ALTER USER app@'%' IDENTIFIED BY "}
	my := myserver.Start(t, myserver.Options{
		Flavor: f, Databases: []string{database}, Users: []myserver.User{{Name: "app", Password: password("app")}},
	})
	engine := "mysql"
	if f.IsMariaDB() {
		engine = "mariadb"
	}
	r.exec, r.visit = my.Exec, r.visitMySQL
	r.begin(my.Addr(), daemonproc.Map{"engine": engine})
	return r
}

// begin starts the daemon.
func (r *rotation) begin(database string, group daemonproc.Map) {
	r.t.Helper()
	first := password("app")
	r.password.Store(&first)
	r.fake.PutSecret("app", secretText("app", first))
	r.hide(first, secretKeys.Secret)
	r.daemon = r.start(r.t, daemonproc.Options{
		Writer: database,
		Users:  []daemonproc.User{{Name: "app", Settings: daemonproc.Map{"secret": "secretsmanager:app"}}},
		// Connections are short, so that there are logins at the database all the time.
		Group: merged(daemonproc.Map{"max_connections": 20, "max_connection_lifetime": "1s", "retire_after_rotation": "1s"}, group),
		Top:   daemonproc.Map{"secrets_manager": r.fake.settings},
		Env:   r.fake.env,
	})
	r.ctx, r.end = context.WithCancel(r.t.Context())
	r.t.Cleanup(r.end)
}

func (r *rotation) setDatabase(password string) {
	r.t.Helper()
	if err := r.exec(r.t.Context(), r.alter+"'"+strings.ReplaceAll(password, "'", "''")+"'"); err != nil {
		r.t.Fatal(err)
	}
}

// pause lets clients work for longer than a connection lives.
func (r *rotation) pause() {
	select {
	case <-time.After(1500 * time.Millisecond):
	case <-r.ctx.Done():
	}
}

// load starts clients: each logs in, asks some questions, leaves, and comes again.
func (r *rotation) load(n int) {
	for i := range n {
		r.running.Go(func() {
			for r.ctx.Err() == nil {
				if err := r.visit(); err != nil && r.ctx.Err() == nil {
					if r.failed.Add(1) < 10 {
						r.t.Errorf("client %d: %v", i, err)
					}
				}
			}
		})
	}
}

func (r *rotation) visitPostgres() error {
	cfg, err := pgx.ParseConfig(fmt.Sprintf("host=localhost port=%s user=app dbname=%s %s", port(r.daemon.Addr), database, "sslmode=disable"))
	if err != nil {
		return err
	}
	cfg.Password = *r.password.Load()
	// A visit that has begun is finished.
	ctx, stop := context.WithTimeout(context.WithoutCancel(r.ctx), time.Minute)
	defer stop()
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return fmt.Errorf("login: %w", err)
	}
	for range 20 {
		var one int
		if err = conn.QueryRow(ctx, "SELECT 1 FROM pg_sleep(0.02)").Scan(&one); err != nil {
			break
		}
		r.asked.Add(1)
	}
	return errors.Join(err, conn.Close(ctx))
}

func (r *rotation) visitMySQL() error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(r.ctx), time.Minute)
	defer stop()
	conn, err := myclient.Dial(ctx, myclient.Options{
		Addr: r.daemon.Addr, User: "app", Password: *r.password.Load(), Schema: database, Want: mysql.ClientDeprecateEOF, Limit: time.Minute,
	})
	if err != nil {
		return fmt.Errorf("login: %w", err)
	}
	for range 20 {
		lines, queryErr := conn.Query("SELECT SLEEP(0.02)")
		if err = queryErr; err == nil && strings.HasPrefix(lines[0], "error ") {
			err = errors.New(lines[0])
		}
		if err != nil {
			break
		}
		r.asked.Add(1)
	}
	return errors.Join(err, conn.Close())
}

func (r *rotation) stop() {
	r.end()
	r.running.Wait()
	r.t.Logf("%d questions, %d failed", r.asked.Load(), r.failed.Load())
	if r.asked.Load() == 0 {
		r.t.Error("nothing was asked")
	}
}
