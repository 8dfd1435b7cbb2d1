// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
)

// Discovery is where members come from, besides those that are configured.
type Discovery string

// The ways.
const (
	// Static: Options.Members; without any, Options.Writer.
	Static Discovery = "static"
	// DNS: all addresses that the name in Options.Writer has.
	DNS Discovery = "dns"
	// Aurora: the instances that the cluster lists. Until it is known, the name in
	// Options.Writer, which is the cluster's endpoint.
	Aurora Discovery = "aurora"
)

// Options describe a target group to watch.
type Options struct {
	// Writer is host:port: the name, or the address, under which the writer is
	// meant to be found. If it is a name, what it resolves to decides between
	// several members that accept writes. It may be "" for Static.
	Writer    string
	Members   []string // host:port
	Discovery Discovery
	// InstancePattern makes the host of an Aurora instance of its identifier, which
	// takes the place of a question mark: "?.abc.eu-west-1.rds.amazonaws.com". ""
	// derives it from Writer.
	InstancePattern string

	// NewProber makes the Prober of a member; m.Address and m.Name are set.
	NewProber func(m Member) Prober
	// Resolver resolves Writer; nil is the system's.
	Resolver Resolver
	// OnChange is called after a new topology was published that differs in more
	// than lags, with the one it was called with before (at first the empty one) and
	// the present one. Calls come one after the other on a goroutine of the
	// Watcher's; changes during a call are told together by the next.
	OnChange func(before, now *Topology)
	Log      *zap.Logger // nil: none

	Timing Timing
}

// Timing has the rhythm; zero fields are the defaults.
type Timing struct {
	Calm         time.Duration // between the starts of two probes when all is well: 1 s
	Doubt        time.Duration // likewise while in doubt: 100 ms
	CalmTimeout  time.Duration // of a probe when all is well: 1 s
	DoubtTimeout time.Duration // likewise while in doubt: 500 ms
	// Hold is how long doubt lasts at least: 1 s.
	Hold time.Duration
	// Settle is how long the first answers of all members are waited for before
	// there is a first writer, and how long DNS has to say the same before it
	// unseats a healthy writer: 3 s of the latter, 1 s of the former.
	Settle, Confirm time.Duration
	// Takeover is after how long a writer that is down is replaced by a member
	// that has been accepting writes beside it all the time: 5 s.
	Takeover time.Duration
	// ResolveFloor and ResolveCeiling bound the time between two look-ups: 1 s and
	// 1 min. ResolveDefault is that time where the TTL is unknown: 5 s.
	ResolveFloor, ResolveCeiling, ResolveDefault time.Duration
	// ResolveTimeout bounds one look-up: 2 s.
	ResolveTimeout time.Duration
	// Forget is for how long a member that was discovered is kept after the source
	// has ceased to name it: 1 min.
	Forget time.Duration
}

func (t Timing) withDefaults() Timing {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.Calm, time.Second},
		{&t.Doubt, 100 * time.Millisecond},
		{&t.CalmTimeout, time.Second},
		{&t.DoubtTimeout, 500 * time.Millisecond},
		{&t.Hold, time.Second},
		{&t.Settle, time.Second},
		{&t.Confirm, 3 * time.Second},
		{&t.Takeover, 5 * time.Second},
		{&t.ResolveFloor, time.Second},
		{&t.ResolveCeiling, time.Minute},
		{&t.ResolveDefault, 5 * time.Second},
		{&t.ResolveTimeout, 2 * time.Second},
		{&t.Forget, time.Minute},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	return t
}

// maxMembers bounds how many members may be discovered; an Aurora cluster has 16.
const maxMembers = 64

// settings are Options that were checked.
type settings struct {
	discovery Discovery
	writer    endpoint   // zero: none
	members   []endpoint // configured
	pattern   string     // "" unless Aurora
	resolves  bool       // writer is a name
	timing    Timing
}

// endpoint is a host and a port.
type endpoint struct {
	host string
	port string
}

func (e endpoint) String() string { return net.JoinHostPort(e.host, e.port) }

func parseEndpoint(s string) (endpoint, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return endpoint{}, fmt.Errorf("address %q: %w", s, err)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || host == "" {
		return endpoint{}, fmt.Errorf("address %q: no host and port", s)
	}
	return endpoint{host, port}, nil
}

// isName tells a host name from an IP address and from the folder of a socket.
func isName(host string) bool {
	_, err := netip.ParseAddr(host)
	return err != nil && !strings.HasPrefix(host, "/")
}

// Check tells what is wrong with the options; New would say the same.
func (o *Options) Check() error {
	_, err := o.check()
	return err
}

func (o *Options) check() (s settings, err error) {
	s = settings{discovery: cmp.Or(o.Discovery, Static), timing: o.Timing.withDefaults()}
	if o.NewProber == nil {
		return s, errors.New("no way to ask members")
	}
	if o.Writer != "" {
		if s.writer, err = parseEndpoint(o.Writer); err != nil {
			return s, err
		}
		s.resolves = isName(s.writer.host)
	}
	for _, m := range o.Members {
		e, err := parseEndpoint(m)
		if err != nil {
			return s, err
		}
		if !slices.Contains(s.members, e) {
			s.members = append(s.members, e)
		}
	}
	switch s.discovery {
	case Static:
		if o.Writer != "" && (!s.resolves || len(s.members) == 0) && !slices.Contains(s.members, s.writer) {
			s.members = append([]endpoint{s.writer}, s.members...)
		}
		if len(s.members) == 0 {
			return s, errors.New("no members and no writer")
		}
	case DNS:
		if !s.resolves {
			return s, fmt.Errorf("discovery by DNS needs a name as writer, not %q", o.Writer)
		}
	case Aurora:
		if !s.resolves {
			return s, fmt.Errorf("discovery of Aurora needs the cluster's endpoint as writer, not %q", o.Writer)
		}
		if s.pattern, err = instancePattern(o.InstancePattern, s.writer.host); err != nil {
			return s, err
		}
		if !slices.Contains(s.members, s.writer) {
			s.members = append(s.members, s.writer)
		}
	default:
		return s, fmt.Errorf("unknown discovery %q", o.Discovery)
	}
	return s, nil
}
