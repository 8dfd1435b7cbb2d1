// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// Resolver looks names up.
type Resolver interface {
	// Resolve returns all addresses of a name, IPv4 and IPv6. It returns soon after
	// ctx ends.
	Resolve(ctx context.Context, name string) (Resolved, error)
}

// Resolved is what a name leads to.
type Resolved struct {
	Addresses []netip.Addr
	// Names are what the name is an alias for, along the chain.
	Names []string
	// TTL is for how long this may be used; 0 if that is unknown.
	TTL time.Duration
}

// maxAddresses is how many addresses of a name are used.
const maxAddresses = 32

// System resolves as other programs of this machine do, by /etc/hosts too. It knows
// no TTLs. The zero value uses net.DefaultResolver.
type System struct {
	Resolver *net.Resolver
}

// Resolve implements Resolver.
func (s System) Resolve(ctx context.Context, name string) (Resolved, error) {
	r := s.Resolver
	if r == nil {
		r = net.DefaultResolver
	}
	addresses, err := r.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return Resolved{}, err
	}
	found := Resolved{Addresses: addresses}
	// The end of a chain of aliases tells which instance an Aurora endpoint means.
	// Without it the addresses have to do.
	if alias, err := r.LookupCNAME(ctx, name); err == nil && !sameName(alias, name) {
		found.Names = []string{alias}
	}
	return found, nil
}
