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

// newDialer makes what opens connections to a target. It reads the CA file, and
// also gives what that contains.
func newDialer(t config.TargetGroup) (d proxy.Dialer, ca []byte, err error) {
	base := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.TLS.ServerName}
	if t.TLS.CAFile != "" {
		if ca, err = os.ReadFile(t.TLS.CAFile); err != nil {
			return nil, nil, fmt.Errorf("tls.ca_file: %w", err)
		}
		base.RootCAs = x509.NewCertPool()
		if !base.RootCAs.AppendCertsFromPEM(ca) {
			return nil, nil, fmt.Errorf("tls.ca_file: %s holds no certificate", t.TLS.CAFile)
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
	}), ca, nil
}
