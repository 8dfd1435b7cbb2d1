// SPDX-License-Identifier: Apache-2.0

package config

import "net/netip"

// sharedAddresses is the range that carriers and some Kubernetes networks use behind NAT (RFC 6598).
var sharedAddresses = netip.MustParsePrefix("100.64.0.0/10")

// AllowsClient says whether a client may connect from addr. With AllowedClientNetworks these alone count, loopback
// included only if listed. Otherwise every address that is not routed on the internet is allowed: loopback, private
// (RFC 1918, RFC 4193), link-local and shared (RFC 6598); with AllowPublicClients, any.
func (c *Config) AllowsClient(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() {
		return false
	}
	if len(c.AllowedClientNetworks) > 0 {
		for _, p := range c.AllowedClientNetworks {
			if p.Contains(addr) {
				return true
			}
		}
		return false
	}
	return c.AllowPublicClients || addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast() ||
		sharedAddresses.Contains(addr)
}
