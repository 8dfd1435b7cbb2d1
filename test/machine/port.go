// SPDX-License-Identifier: Apache-2.0

package machine

import (
	crand "crypto/rand"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// FreePort finds a TCP port of host that nobody listens on. It lies below the
// range that the kernel takes ports of outgoing connections from, so that it is
// still free when a server is started again on it.
func FreePort(host string) (int, error) {
	var last error
	for range 100 {
		port := 12000 + rand.IntN(20000)
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err != nil {
			last = err
			continue
		}
		return port, l.Close()
	}
	return 0, fmt.Errorf("no free port on %s: %w", host, last)
}

// RandomPassword returns 26 letters and digits.
func RandomPassword() string { return crand.Text() }
