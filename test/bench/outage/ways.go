// SPDX-License-Identifier: Apache-2.0

//go:build linux

package outage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rdsproxy/rdsproxy/test/bench/rig"
	"github.com/rdsproxy/rdsproxy/test/dnsserver"
	"github.com/rdsproxy/rdsproxy/test/machine"
	"github.com/rdsproxy/rdsproxy/test/pgserver"
	"github.com/rdsproxy/rdsproxy/test/replicas"
	"github.com/rdsproxy/rdsproxy/test/writers"
)

// The DNS name of the writer, and for how long it may be kept.
const (
	writerName = "writer.db.test"
	ttl        = 5 * time.Second
)

// poolSize is how many database connections a proxy may have.
const poolSize = 20

// startLimit is how long a proxy may take to serve its first client.
const startLimit = 20 * time.Second

// proxy is a running proxy.
type proxy struct {
	*rig.Child
	addr string
	dir  *rig.Space
}

func (p *proxy) close() error {
	if p.Child != nil {
		p.Stop()
	}
	return p.dir.Remove()
}

// launch starts a program that takes one file of settings, which configure writes.
func launch(as *rig.Account, program rig.Program, configure func(dir *rig.Space, port int) (file string, err error)) (*proxy, error) {
	dir, err := rig.NewSpace("", as)
	if err != nil {
		return nil, err
	}
	port, err := machine.FreePort("127.0.0.1")
	if err != nil {
		return nil, errors.Join(err, dir.Remove())
	}
	p := &proxy{addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), dir: dir}
	file, err := configure(dir, port)
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	program.Args = append(slices.Clip(program.Args), file)
	program.As, program.Env = as, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir.Dir}
	if p.Child, err = rig.Start(program); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// launchRDSProxy gives rdsproxy the members. It asks them, not DNS, who the writer is.
func launchRDSProxy(as *rig.Account, path string, c *replicas.Cluster) (*proxy, error) {
	return launch(as, rig.Program{Name: "rdsproxy", Path: path, Args: []string{"run", "--config"}, Stop: syscall.SIGTERM},
		func(dir *rig.Space, port int) (string, error) {
			secret, err := json.Marshal(map[string]string{"username": replicas.User, "password": replicas.Password})
			if err != nil {
				return "", err
			}
			file, err := dir.Write("secret.json", secret)
			if err != nil {
				return "", err
			}
			var members []string
			for _, m := range c.Members {
				members = append(members, m.Addr())
			}
			return dir.Write("rdsproxy.yaml", fmt.Appendf(nil, rdsproxyYAML, port, strings.ToLower(string(c.Engine)), strings.Join(members, ", "),
				poolSize, replicas.User, file))
		})
}

const rdsproxyYAML = `endpoints:
  - name: failover
    listen: 127.0.0.1:%[1]d
    target_group: failover
target_groups:
  - name: failover
    engine: %[2]s
    members: [%[3]s]
    max_connections: %[4]d
    max_connections_percent: 100
    max_idle_connections_percent: 100
    tls:
      mode: disable
auth:
  - user: %[5]s
    secret: %[6]s
drain_timeout: 0s
log:
  level: warn
admin:
  listen: "off"
`

// launchPgBouncer has PgBouncer follow the DNS name as closely as it can.
func launchPgBouncer(as *rig.Account, p *rig.PgBouncer, c *replicas.Cluster, dns *dnsserver.Server) (*proxy, error) {
	return launch(as, rig.Program{Name: p.Name(), Path: p.Argv[0], Args: p.Argv[1:], Stop: syscall.SIGQUIT},
		func(dir *rig.Space, port int) (string, error) {
			host, _, err := net.SplitHostPort(dns.Addr)
			if err != nil {
				return "", err
			}
			resolv, err1 := dir.Write("resolv.conf", []byte("nameserver "+host+"\n"))
			users, err2 := dir.Write("users", fmt.Appendf(nil, "%q %q\n", replicas.User, replicas.Password))
			if err := errors.Join(err1, err2); err != nil {
				return "", err
			}
			return dir.Write("pgbouncer.ini", fmt.Appendf(nil, pgbouncerIni,
				replicas.Database, writerName, c.Members[0].Port, port, users, poolSize, resolv, int(ttl/time.Second)))
		})
}

const pgbouncerIni = `[databases]
%[1]s = host=%[2]s port=%[3]d dbname=%[1]s

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %[4]d
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %[5]s
pool_mode = transaction
max_prepared_statements = 200
default_pool_size = %[6]d
max_client_conn = 1000
resolv_conf = %[7]s
dns_max_ttl = %[8]d
server_login_retry = 1
server_tls_sslmode = disable
log_connections = 0
log_disconnections = 0
`

// lookUps are what a program knows of a name: an answer is used for as long as its
// TTL says.
type lookUps struct {
	dns *dnsserver.Server

	mu      sync.Mutex
	address netip.Addr
	until   time.Time
}

var dialer = &net.Dialer{Timeout: 5 * time.Second}

// dial connects to the name's address.
func (l *lookUps) dial(ctx context.Context, network, address string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	found, err := l.lookUp(ctx)
	if err != nil {
		return nil, err
	}
	return dialer.DialContext(ctx, network, net.JoinHostPort(found.String(), port))
}

func (l *lookUps) lookUp(ctx context.Context) (netip.Addr, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.After(l.until) {
		all, err := l.dns.Resolver().LookupNetIP(ctx, "ip4", writerName+".")
		if err != nil {
			return netip.Addr{}, err
		}
		l.address, l.until = all[0], now.Add(ttl)
	}
	return l.address, nil
}

// connect gives the way of a driver to an address.
func connect(c *replicas.Cluster, addr string, dial writers.DialFunc) func(context.Context) (writers.Conn, error) {
	if c.Engine == replicas.PostgreSQL {
		return writers.Postgres(pgserver.DSN(addr, replicas.User, replicas.Password, replicas.Database), dial)
	}
	return writers.MySQL(addr, replicas.User, replicas.Password, replicas.Database, dial)
}
