// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/rdsproxy/rdsproxy/pkg/config"
	"github.com/rdsproxy/rdsproxy/pkg/failover"
	"github.com/rdsproxy/rdsproxy/pkg/iam"
	"github.com/rdsproxy/rdsproxy/pkg/netloop"
	"github.com/rdsproxy/rdsproxy/pkg/proxy"
	"github.com/rdsproxy/rdsproxy/pkg/session/mysession"
	"github.com/rdsproxy/rdsproxy/pkg/target"
)

// plan is what follows from the configuration of a target group, once all that it
// needs was read. It is immutable.
type plan struct {
	conf   config.TargetGroup
	ca     []byte // what the CA file contained
	tls    *tls.Config
	logins *logins
}

// newPlan reads the CA file, and finds the credentials of AWS if they are needed.
func (g *graph) newPlan(ctx context.Context, conf config.TargetGroup) (*plan, error) {
	p := &plan{conf: conf, tls: &tls.Config{MinVersion: tls.VersionTLS12, ServerName: conf.TLS.ServerName}}
	var err error
	if p.logins, err = newLogins(ctx, g.users, conf); err != nil {
		return nil, fmt.Errorf("target_groups[%s].%w", conf.Name, err)
	}
	if conf.TLS.CAFile == "" {
		return p, nil
	}
	if p.ca, err = os.ReadFile(conf.TLS.CAFile); err != nil {
		return nil, fmt.Errorf("target_groups[%s].tls.ca_file: %w", conf.Name, err)
	}
	p.tls.RootCAs = x509.NewCertPool()
	if !p.tls.RootCAs.AppendCertsFromPEM(p.ca) {
		return nil, fmt.Errorf("target_groups[%s].tls.ca_file: %s holds no certificate", conf.Name, conf.TLS.CAFile)
	}
	return p, nil
}

// first is the member to begin with, before any was asked.
func (p *plan) first() failover.Member {
	a := p.conf.Writer
	if a == (config.Address{}) {
		a = p.conf.Members[0]
	}
	return failover.Member{Address: a.String(), Name: a.Host}
}

// options are what the proxy needs for connections to a member.
func (p *plan) options(m failover.Member, suspect func(why string)) proxy.TargetOptions {
	t := &p.conf
	o := proxy.TargetOptions{
		Name:           t.Name,
		MaxConnections: t.MaxConnections, MaxConnectionsPercent: t.MaxConnectionsPercent,
		MaxIdlePercent: t.MaxIdleConnectionsPercent,
		BorrowTimeout:  t.ConnectionBorrowTimeout, ConnectTimeout: t.ConnectTimeout,
		MaxLifetime: t.MaxConnectionLifetime, IdleTimeout: t.IdleConnectionTimeout,
		MaxStatements: t.MaxPreparedStatements, Credentials: p.loginsAt(m),
		TLS: t.TLS.Mode != config.TLSDisable, InitQuery: t.InitQuery != "", Suspect: suspect,
	}
	if t.Engine == config.PostgreSQL {
		o.Dialer = target.NewDialer(p.postgres(m))
		return o
	}
	my := p.mysql(m)
	my.Setup, my.Variables = mysession.Setup, append(mysession.TrackedVariables(), proxy.InitConnect)
	o.Setup, o.MySQLDialer = my.Setup, target.NewMySQLDialer(my)
	return o
}

// tlsFor has certificates checked for the name by which the member was found.
func (p *plan) tlsFor(m failover.Member) *tls.Config {
	if p.tls.ServerName != "" || m.Name == "" {
		return p.tls
	}
	c := p.tls.Clone()
	c.ServerName = m.Name
	return c
}

func (p *plan) wrap(nc net.Conn) net.Conn {
	transport, t := netloop.NewTransport(nc), p.conf.TCP
	// A socket that cannot be tuned works all the same.
	_ = transport.SetKeepAlive(t.KeepaliveIdle, t.KeepaliveInterval, t.KeepaliveCount, t.UserTimeout)
	return transport
}

func (p *plan) postgres(m failover.Member) target.Options {
	host, port := hostPort(m.Address)
	return target.Options{
		Host: host, Port: port, TLSMode: target.TLSMode(p.conf.TLS.Mode), TLS: p.tlsFor(m),
		ConnectTimeout: p.conf.ConnectTimeout, InitQuery: p.conf.InitQuery, Wrap: p.wrap,
	}
}

func (p *plan) mysql(m failover.Member) target.MySQLOptions {
	host, port := hostPort(m.Address)
	return target.MySQLOptions{
		Host: host, Port: port, TLSMode: target.TLSMode(p.conf.TLS.Mode), TLS: p.tlsFor(m),
		ConnectTimeout: p.conf.ConnectTimeout, InitQuery: p.conf.InitQuery, Wrap: p.wrap,
	}
}

// loginsAt are the logins at a member: IAM tokens are made for its name.
func (p *plan) loginsAt(m failover.Member) *logins {
	host, port := hostPort(m.Address)
	if m.Name != "" {
		host = m.Name
	}
	l := *p.logins
	l.at = iam.Address{Host: host, Port: uint16(port)} //nolint:gosec // it was a port when it was configured
	return &l
}

// hostPort takes apart the address of a member.
func hostPort(address string) (host string, port int) {
	host, text, _ := net.SplitHostPort(address)
	port, _ = strconv.Atoi(text)
	return host, port
}
