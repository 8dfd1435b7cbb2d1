// SPDX-License-Identifier: Apache-2.0

package netloop

import (
	"time"
	"unsafe"
)

// ConnSize is the size of a Conn without what it points to.
const ConnSize = unsafe.Sizeof(Conn{})

// Waiting sets how the epoll driver waits: raw is the longest wait that keeps the
// processor (0 = default, negative = none); block is for a blocking system call
// when idle instead of parking.
func (o Options) Waiting(raw time.Duration, block bool) Options {
	o.wait = waitPlan{raw: raw, block: block}
	return o
}

// FD is the socket of c on an epoll loop.
func (c *Conn) FD() int { return c.fd }
