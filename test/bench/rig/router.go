// SPDX-License-Identifier: Apache-2.0

//go:build linux

package rig

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"time"

	"github.com/rdsproxy/rdsproxy/test/machine"
	"github.com/rdsproxy/rdsproxy/test/myserver"
)

// Router is MySQL Router, the peer for MySQL.
type Router struct {
	Version string

	programs myserver.Installation
}

// FindRouter looks for the MySQL Router that belongs to the MySQL of the tests.
func FindRouter(ctx context.Context) (*Router, error) {
	programs, err := myserver.Find(ctx, myserver.MySQL)
	if err != nil {
		return nil, err
	}
	out, err := programs.Command(ctx, "mysqlrouter", "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("MySQL Router: %w", err)
	}
	return &Router{Version: firstNumber(string(out)), programs: programs}, nil
}

// Name implements Pooler.
func (r *Router) Name() string { return "MySQL Router " + r.Version }

// Start implements Pooler.
//
// Router has no setting for the number of database connections: it dials whenever no idle one is at hand. Told by the database that there are too
// many, it tries again, for connect_retry_timeout. So the limit is set there.
func (r *Router) Start(ctx context.Context, s Setup) (*Instance, error) {
	if err := s.MySQL.Limit(ctx, s.Pool); err != nil {
		return nil, err
	}
	dir, err := NewSpace("", s.As)
	if err != nil {
		return nil, err
	}
	port, err := machine.FreePort("127.0.0.1")
	if err != nil {
		return nil, errors.Join(err, dir.Remove())
	}
	file, err := r.configure(s, dir, port)
	if err != nil {
		return nil, errors.Join(err, dir.Remove())
	}
	cmd := r.programs.Command(ctx, "mysqlrouter", "--config", file)
	return run(ctx, s, dir, port, Program{Name: r.Name(), Path: cmd.Path, Args: cmd.Args[1:], As: s.As})
}

func (r *Router) configure(s Setup, dir *Space, port int) (string, error) {
	pair, clientMode, serverMode := s.TLS.Server, "PREFERRED", "DISABLED"
	if s.Secure {
		clientMode, serverMode = "REQUIRED", "REQUIRED"
	} else {
		// Without TLS a client encrypts its password with the key of the certificate, which has to be RSA's for that.
		var err error
		if pair.CertPEM, pair.KeyPEM, err = rsaPair(); err != nil {
			return "", err
		}
	}
	cert, err1 := dir.Write("cert.pem", pair.CertPEM)
	key, err2 := dir.Write("key.pem", pair.KeyPEM)
	if err := errors.Join(err1, err2); err != nil {
		return "", err
	}
	return dir.Write("router.conf", fmt.Appendf(nil, routerConf, dir.Dir, r.plugins(), s.Pool, port, s.MySQL.Port, clientMode, cert, key, serverMode))
}

// plugins is where the parts of the program are.
func (r *Router) plugins() string {
	return filepath.Join(r.programs.Origin, "usr/lib/mysqlrouter/plugin")
}

const routerConf = `[DEFAULT]
logging_folder=
runtime_folder=%[1]s
data_folder=%[1]s
plugin_folder=%[2]s
max_total_connections=12000

[logger]
level=error

[connection_pool]
max_idle_server_connections=%[3]d
idle_timeout=600

[routing:bench]
bind_address=127.0.0.1
bind_port=%[4]d
destinations=127.0.0.1:%[5]d
routing_strategy=first-available
protocol=classic
max_connections=12000
max_connect_errors=4294967295
connection_sharing=1
connection_sharing_delay=0
connect_retry_timeout=60
client_ssl_mode=%[6]s
client_ssl_cert=%[7]s
client_ssl_key=%[8]s
server_ssl_mode=%[9]s
`

// rsaPair makes a certificate with an RSA key of 2048 bits for localhost, signed by itself, in PEM.
func rsaPair() (cert, key []byte, err error) {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, k.Public(), k)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), nil
}
