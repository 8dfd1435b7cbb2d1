// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/rdsproxy/rdsproxy/pkg/config"
	"github.com/rdsproxy/rdsproxy/pkg/failover"
	"github.com/rdsproxy/rdsproxy/pkg/proxy"
)

// readers are the members of a target group as its read-only endpoints see them. The
// follower's lock guards them.
type readers struct {
	proxy *proxy.Proxy
	// endpoints are the read-only ones; there is nothing to do without any.
	endpoints []readOnly
	groups    map[string]*reader // by address
}

// readOnly is a read-only endpoint.
type readOnly struct {
	conf    config.Endpoint
	readers *proxy.Readers
}

// reader is a member that was one, and may be again.
type reader struct {
	group *proxy.TargetGroup
	// serving: clients may be there. writer: it is the writer, and serves for want of
	// readers.
	serving, writer bool
}

// errNoReader is why nobody serves a read-only endpoint.
var errNoReader = errors.New("there is no reader that may serve this endpoint")

// addReadOnly makes the readers of an endpoint; nothing listens yet.
func (f *follower) addReadOnly(p *proxy.Proxy, e config.Endpoint) *proxy.Readers {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := p.NewReaders(f.plan.options(f.at, nil), errNoReader)
	if f.readers.proxy = p; len(f.readers.endpoints) > 0 {
		r.Share(f.readers.endpoints[0].readers)
	}
	f.readers.endpoints = append(f.readers.endpoints, readOnly{e, r})
	return r
}

// changeReadOnly takes over an endpoint's settings.
func (f *follower) changeReadOnly(e config.Endpoint) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.readers.endpoints {
		if f.readers.endpoints[i].conf.Name == e.Name {
			f.readers.endpoints[i].conf = e
		}
	}
	f.followReaders(f.watcher.Topology())
}

// updateReaders takes over the settings of the target group, with the lock held.
func (f *follower) updateReaders(retire bool) {
	for _, e := range f.readers.endpoints {
		e.readers.Lobby().Update(f.plan.options(f.at, nil), false)
	}
	for address, r := range f.readers.groups {
		name := address
		if m, ok := f.known().Member(address); ok {
			name = m.Name
		}
		r.group.Update(f.options(failover.Member{Address: address, Name: name}), retire)
	}
}

// known is the present topology.
func (f *follower) known() *failover.Topology {
	if f.watcher == nil {
		return &failover.Topology{}
	}
	return f.watcher.Topology()
}

// followReaders brings the readers up to date, with the lock held.
func (f *follower) followReaders(now *failover.Topology) {
	if len(f.readers.endpoints) == 0 {
		return
	}
	fallback := slices.ContainsFunc(f.readers.endpoints, func(e readOnly) bool { return e.conf.ReaderFallback == config.FallbackWriter })
	for _, m := range now.Members {
		writer := m.Address == now.Writer
		up := m.Role == failover.RoleReader && m.Health.State == failover.StateAvailable
		f.followReader(m, up || writer && fallback, writer)
	}
	for address := range f.readers.groups {
		if _, ok := now.Member(address); !ok {
			f.followReader(failover.Member{Address: address}, false, false)
		}
	}
	for _, e := range f.readers.endpoints {
		e.readers.Set(f.serve(e, now))
	}
}

// followReader has a member serve, or not.
func (f *follower) followReader(m failover.Member, serve, writer bool) {
	r := f.readers.groups[m.Address]
	switch {
	case m.Health.State == failover.StateRegistering: // nothing is known yet, after a reload
	case r == nil && !serve:
	case r == nil:
		r = &reader{group: f.readers.proxy.AddReader(f.options(m), f.readers.endpoints[0].readers.Lobby(), errNoReader)}
		if f.readers.groups == nil {
			f.readers.groups = make(map[string]*reader)
		}
		f.readers.groups[m.Address] = r
		fallthrough
	case serve && (!r.serving || r.writer != writer):
		// What a client has begun at a reader is not gone on with at a writer.
		r.group.SwitchWriter(f.options(m), time.Time{})
		r.serving, r.writer = true, writer
	case !serve && r.serving:
		why := fmt.Errorf("%s is no reader now: it is %s, %s", m.Address, m.Role, m.Health.State)
		r.group.LoseWriter(why, m.Health.Reason == failover.ReasonUnreachable)
		r.group.GiveUpWriter()
		r.serving = false
		f.log.Info("A reader is not read from any more.", zap.Error(why))
	}
}

// serve lists the readers of an endpoint.
func (f *follower) serve(e readOnly, now *failover.Topology) (list []proxy.Reader) {
	w, limit := f.watcher, e.conf.MaxReplicaLag
	for _, m := range now.Members {
		r := f.readers.groups[m.Address]
		if r == nil {
			continue
		}
		listed := len(e.conf.Members) == 0 ||
			slices.ContainsFunc(e.conf.Members, func(a config.Address) bool { return a.String() == m.Address })
		fallback := e.conf.ReaderFallback == config.FallbackWriter
		if !listed && !fallback {
			continue
		}
		list = append(list, proxy.Reader{Group: r.group, State: func() proxy.ReaderState {
			now := w.Topology()
			m, ok := now.Member(m.Address)
			switch {
			case ok && fallback && m.Address == now.Writer:
				return proxy.ReaderState{Usable: true, AsOf: time.Now(), Last: true}
			case !ok || !listed || m.Role != failover.RoleReader || m.Health.State != failover.StateAvailable:
				return proxy.ReaderState{}
			}
			current := limit == 0 || m.Lag != failover.UnknownLag && m.Lag <= limit
			return proxy.ReaderState{Usable: current, AsOf: m.AsOf}
		}})
	}
	return list
}

// readerGroups are those of all members that have ever been readers, by address.
func (f *follower) readerGroups() map[string]*proxy.TargetGroup {
	f.mu.Lock()
	defer f.mu.Unlock()
	groups := make(map[string]*proxy.TargetGroup, len(f.readers.groups))
	for address, r := range f.readers.groups {
		groups[address] = r.group
	}
	return groups
}

// allGroups are the target groups of the proxy that serve this one: that of the writer,
// those of readers, and those where clients wait for readers.
func (f *follower) allGroups() []*proxy.TargetGroup {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := []*proxy.TargetGroup{f.group}
	for _, r := range f.readers.groups {
		list = append(list, r.group)
	}
	for _, e := range f.readers.endpoints {
		list = append(list, e.readers.Lobby())
	}
	return list
}
