// SPDX-License-Identifier: Apache-2.0

package netloop

import "unsafe"

// ConnSize is the size of a Conn without what it points to.
const ConnSize = unsafe.Sizeof(Conn{})

// Blocking has an epoll loop wait in a blocking system call instead of parking, as
// it does by itself where the runtime's poller does not take an epoll set.
func (o Options) Blocking(block bool) Options {
	o.block = block
	return o
}

// FD is the socket of c on an epoll loop.
func (c *Conn) FD() int { return c.fd }
