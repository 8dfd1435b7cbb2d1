// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"

	"github.com/rdsproxy/rdsproxy/pkg/config"
	"github.com/rdsproxy/rdsproxy/pkg/netloop"
	"github.com/rdsproxy/rdsproxy/pkg/proxy"
	"github.com/rdsproxy/rdsproxy/pkg/session/mysession"
	"github.com/rdsproxy/rdsproxy/pkg/target"
)

// setDialer gives o what opens connections to a target. It reads the CA file, and
// gives what that contains.
func setDialer(o *proxy.TargetOptions, t config.TargetGroup) (ca []byte, err error) {
	base := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.TLS.ServerName}
	if t.TLS.CAFile != "" {
		if ca, err = os.ReadFile(t.TLS.CAFile); err != nil {
			return nil, fmt.Errorf("tls.ca_file: %w", err)
		}
		base.RootCAs = x509.NewCertPool()
		if !base.RootCAs.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("tls.ca_file: %s holds no certificate", t.TLS.CAFile)
		}
	}
	wrap := func(nc net.Conn) net.Conn {
		transport := netloop.NewTransport(nc)
		// A socket that cannot be tuned works all the same.
		_ = transport.SetKeepAlive(t.TCP.KeepaliveIdle, t.TCP.KeepaliveInterval, t.TCP.KeepaliveCount, t.TCP.UserTimeout)
		return transport
	}
	if t.Engine == config.PostgreSQL {
		o.Dialer = target.NewDialer(target.Options{
			Host: t.Writer.Host, Port: int(t.Writer.Port),
			TLSMode: target.TLSMode(t.TLS.Mode), TLS: base,
			ConnectTimeout: t.ConnectTimeout, InitQuery: t.InitQuery, Wrap: wrap,
		})
		return ca, nil
	}
	o.Setup = mysession.Setup
	o.MySQLDialer = target.NewMySQLDialer(target.MySQLOptions{
		Host: t.Writer.Host, Port: int(t.Writer.Port),
		TLSMode: target.TLSMode(t.TLS.Mode), TLS: base,
		ConnectTimeout: t.ConnectTimeout, InitQuery: t.InitQuery, Wrap: wrap,
		Setup: mysession.Setup, Variables: append(mysession.TrackedVariables(), proxy.InitConnect),
	})
	return ca, nil
}
