// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"net"

	"github.com/prometheus/client_golang/prometheus"
)

// Internals for the tests.
const MaxPools = maxPools

func NewCollector(s Source) prometheus.Collector { return collector{s} }

func Limit(l net.Listener, n int) net.Listener { return limit(l, n) }
