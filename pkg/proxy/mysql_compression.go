// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"go.uber.org/zap"

	mywire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// compressed stands between the socket of a client that uses the compressed
// protocol and its session, which knows nothing of it. It holds no buffer while the
// client is idle.
type compressed struct {
	machine
	client *client
	codec  *mywire.Compression
	// plain is what was inflated and not consumed yet. The frames that it comes from,
	// held bytes, count as unconsumed until all of it is.
	plain []byte
	held  int
	// begun: the packet that ends the login, which is not compressed, has been sent.
	begun bool
	out   []byte
}

// ClientData inflates frames as long as the session wants more.
func (z *compressed) ClientData(p []byte) int {
	for {
		if len(z.plain) > 0 {
			n := z.machine.ClientData(z.plain)
			z.plain = z.plain[n:]
			if len(z.plain) == 0 {
				z.plain = nil
			}
		}
		if z.client.paused != 0 || z.client.conn == nil || z.client.ending {
			break
		}
		var n int
		var err error
		z.plain, n, _, err = z.codec.Inflate(z.plain, p[z.held:])
		if err != nil {
			z.broken(err)
			return len(p)
		}
		if n == 0 {
			break
		}
		z.held += n
	}
	if len(z.plain) > 0 {
		return 0
	}
	n := z.held
	z.held = 0
	return n
}

// broken ends a connection whose frames cannot be read any more.
func (z *compressed) broken(err error) {
	c := z.client
	c.closing = ClosedClientProtocol
	c.worker.proxy.log.Warn("The client connection closed. Reason: the client broke the protocol.",
		zap.Uint32("client_connection", c.pid), zap.Error(err))
	c.conn.Close()
}

// deflate gives p in frames; the result is good until the next call.
func (z *compressed) deflate(p []byte) []byte {
	if !z.begun {
		z.begun = true
		z.codec.Restart()
		return p
	}
	z.out = z.codec.Deflate(z.out[:0], p)
	if cap(z.out) > keptFrames {
		out := z.out
		z.out = nil
		return out
	}
	return z.out
}

// keptFrames is the largest buffer that is kept for the next frames.
const keptFrames = 4 << 10
