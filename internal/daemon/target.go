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
	"github.com/rdsproxy/rdsproxy/pkg/target"
)

// newDialer makes what opens connections to a target. It reads the CA file.
func newDialer(t config.TargetGroup) (proxy.Dialer, error) {
	base := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.TLS.ServerName}
	if t.TLS.CAFile != "" {
		pem, err := os.ReadFile(t.TLS.CAFile)
		if err != nil {
			return nil, fmt.Errorf("tls.ca_file: %w", err)
		}
		base.RootCAs = x509.NewCertPool()
		if !base.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.ca_file: %s holds no certificate", t.TLS.CAFile)
		}
	}
	return target.NewDialer(target.Options{
		Host: t.Writer.Host, Port: int(t.Writer.Port),
		TLSMode: target.TLSMode(t.TLS.Mode), TLS: base,
		ConnectTimeout: t.ConnectTimeout, InitQuery: t.InitQuery,
		Wrap: func(nc net.Conn) net.Conn {
			transport := netloop.NewTransport(nc)
			// A socket that cannot be tuned works all the same.
			_ = transport.SetKeepAlive(t.TCP.KeepaliveIdle, t.TCP.KeepaliveInterval, t.TCP.KeepaliveCount, t.TCP.UserTimeout)
			return transport
		},
	}), nil
}
