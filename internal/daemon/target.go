// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"net"

	"github.com/rdsproxy/rdsproxy/pkg/config"
	"github.com/rdsproxy/rdsproxy/pkg/netloop"
	"github.com/rdsproxy/rdsproxy/pkg/proxy"
	"github.com/rdsproxy/rdsproxy/pkg/target"
)

// newDialer makes what opens connections to a target.
func newDialer(t config.TargetGroup) (proxy.Dialer, error) {
	return target.NewDialer(target.Options{
		Host: t.Writer.Host, Port: int(t.Writer.Port), ConnectTimeout: t.ConnectTimeout, InitQuery: t.InitQuery,
		Wrap: func(nc net.Conn) net.Conn { return netloop.NewTransport(nc) },
	}), nil
}
