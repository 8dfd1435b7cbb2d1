// SPDX-License-Identifier: Apache-2.0

//go:build linux

package rig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

// RDSProxy is the program of this repository.
type RDSProxy struct {
	Path    string
	Version string
}

// Name implements Pooler.
func (r *RDSProxy) Name() string { return "rdsproxy" }

// BuildRDSProxy builds the daemon from the working tree into dir. dir must be open to the account that servers run as.
func BuildRDSProxy(ctx context.Context, dir *Space) (*RDSProxy, error) {
	path := dir.Path("rdsproxy")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, "github.com/rdsproxy/rdsproxy/cmd/rdsproxy")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build rdsproxy: %w\n%s", err, out)
	}
	return &RDSProxy{Path: path, Version: commit(ctx)}, os.Chmod(path, 0o755)
}

// UseRDSProxy takes a program that is built already. It is copied into dir, where the account that servers run as can reach it.
func UseRDSProxy(path string, dir *Space) (*RDSProxy, error) {
	program, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	own, err := dir.Write("rdsproxy", program)
	if err != nil {
		return nil, err
	}
	return &RDSProxy{Path: own, Version: filepath.Base(path)}, os.Chmod(own, 0o755)
}

// commit names the state of the working tree, as far as git knows it.
func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--tags").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// Start implements Pooler.
func (r *RDSProxy) Start(ctx context.Context, s Setup) (*Instance, error) {
	dir, err := NewSpace("", s.As)
	if err != nil {
		return nil, err
	}
	port, err := pgserver.FreePort("127.0.0.1")
	if err != nil {
		return nil, errors.Join(err, dir.Remove())
	}
	file, err := r.configure(s, dir, port)
	if err != nil {
		return nil, errors.Join(err, dir.Remove())
	}
	return run(ctx, s, dir, port, Program{
		Name: r.Name(), Path: r.Path, Args: []string{"run", "--config", file}, As: s.As,
		// Without the environment: RDSPROXY_ variables of the shell would change the configuration.
		Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir.Dir}, Stop: syscall.SIGTERM,
	})
}

func (r *RDSProxy) configure(s Setup, dir *Space, port int) (string, error) {
	secret, err := json.Marshal(map[string]string{"username": s.User, "password": Password})
	if err != nil {
		return "", err
	}
	secretFile, err1 := dir.Write("secret.json", secret)
	cert, err2 := dir.Write("cert.pem", s.TLS.Server.CertPEM)
	key, err3 := dir.Write("key.pem", s.TLS.Server.KeyPEM)
	if err := errors.Join(err1, err2, err3); err != nil {
		return "", err
	}
	tokens, err := s.tokens(dir)
	if err != nil {
		return "", err
	}
	return dir.Write("rdsproxy.yaml", fmt.Appendf(nil, rdsproxyYAML, port, cert, key, s.targetGroup(), s.User, secretFile, tokens))
}

// tokens writes what a user needs who logs in by token, and gives the end of the configuration; there is none in front of MySQL.
func (s Setup) tokens(dir *Space) (string, error) {
	if s.MySQL != nil {
		return "", nil
	}
	user := tokenUser(s.User)
	login, err1 := json.Marshal(map[string]string{"username": user, "password": Password})
	access, err2 := json.Marshal(map[string]string{"AccessKeyId": accessKey, "SecretAccessKey": secretKey})
	policy := fmt.Appendf(nil, policyJSON, region, user)
	if err := errors.Join(err1, err2); err != nil {
		return "", err
	}
	loginFile, err1 := dir.Write("iam-secret.json", login)
	accessFile, err2 := dir.Write("access-key.json", access)
	policyFile, err3 := dir.Write("policy.json", policy)
	return fmt.Sprintf(tokensYAML, user, loginFile, region, accessFile, policyFile), errors.Join(err1, err2, err3)
}

// targetGroup is the section of the configuration on the database.
func (s Setup) targetGroup() string {
	if s.MySQL == nil {
		return fmt.Sprintf(groupYAML, "postgresql", s.Postgres.Port, s.Pool*100/MaxConnections, "disable")
	}
	mode := "disable"
	if s.Secure {
		mode = "require"
	}
	return fmt.Sprintf(groupYAML, "mysql", s.MySQL.Port, s.Pool*100/MySQLMaxConnections, mode)
}

// The pool may keep all its connections when they are idle, as PgBouncer's does for ten minutes. Draining is cut short: at the end of a
// measurement thousands of clients are still there.
const rdsproxyYAML = `endpoints:
  - name: bench
    listen: 127.0.0.1:%[1]d
    names: [localhost]
    target_group: bench
    role: read_write
    tls:
      cert_file: %[2]s
      key_file: %[3]s
target_groups:
%[4]sauth:
  - user: %[5]s
    secret: %[6]s
%[7]smax_client_connections: 12000
max_unauthenticated_connections: 1000
drain_timeout: 0s
log:
  level: warn
admin:
  listen: "off"
`

const groupYAML = `  - name: bench
    engine: %[1]s
    writer: 127.0.0.1:%[2]d
    max_connections_percent: %[3]d
    max_idle_connections_percent: %[3]d
    max_prepared_statements: 200
    tls:
      mode: %[4]s
`

const tokensYAML = `  - user: %[1]s
    secret: %[2]s
    iam_auth: required
iam:
  resource: {region: %[3]s, account: "123456789012", id: prx-bench}
  own_keys:
    - secret: %[4]s
      policy_file: %[5]s
`

const policyJSON = `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "rds-db:connect",
  "Resource": "arn:aws:rds-db:%s:123456789012:dbuser:prx-bench/%s"}}`
