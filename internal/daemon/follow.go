// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/rdsproxy/rdsproxy/pkg/failover"
	"github.com/rdsproxy/rdsproxy/pkg/proxy"
)

// giveUpAfter is how long sessions wait for the answer of a writer that is lost.
const giveUpAfter = 10 * time.Second

// follower keeps a target group at its writer. A reload that changes where the
// members are puts another one in its place.
type follower struct {
	group   *proxy.TargetGroup
	log     *zap.Logger
	watcher *failover.Watcher

	mu   sync.Mutex
	plan *plan
	// at is the member that the group's connections lead to.
	at failover.Member
	// generation is the latest that the group was switched to, 0 at first. lost: the
	// group was told that there is no writer.
	generation uint64
	lost       bool
	silent     bool // the lost writer does not answer
	lostAt     time.Time
	giveUp     *time.Timer
	retired    bool
	figures    failovers
	readers    readers
}

// failovers are the figures of the changes of the writer.
type failovers struct {
	started bool // there has been a writer
	count   uint64
	// without is the time without a writer, and last the part of it before the latest
	// change.
	without, last time.Duration
}

// errNotAsked is why there is no writer at the start.
var errNotAsked = errors.New("the members have not answered yet")

// newFollower makes the follower of a group that has no writer yet. It does not watch
// before start.
func newFollower(group *proxy.TargetGroup, p *plan, log *zap.Logger) *follower {
	group.LoseWriter(errNotAsked, false)
	return &follower{
		group: group, plan: p, at: p.first(), lost: true, lostAt: time.Now(),
		log: log.With(zap.String("target_group", p.conf.Name)),
	}
}

// watcherOptions are the part of the configuration that is the watcher's.
func (p *plan) watcherOptions() failover.Options {
	t := &p.conf
	o := failover.Options{
		Writer: t.Writer.String(), Discovery: failover.Discovery(t.Discovery), InstancePattern: t.InstancePattern,
		NewProber: p.newProber,
	}
	if t.DNSServer != "" {
		o.Resolver = failover.NameServer{Addr: t.DNSServer}
	}
	for _, m := range t.Members {
		o.Members = append(o.Members, m.String())
	}
	return o
}

// checkWatching tells whether a watcher can be made.
func (p *plan) checkWatching() error {
	o := p.watcherOptions()
	if err := o.Check(); err != nil {
		return fmt.Errorf("target_groups[%s]: %w", p.conf.Name, err)
	}
	return nil
}

// watchedAlike tells whether members are found and asked in the same way.
func (p *plan) watchedAlike(o *plan) bool {
	a, b := &p.conf, &o.conf
	return a.Writer == b.Writer && slices.Equal(a.Members, b.Members) && a.Discovery == b.Discovery &&
		a.InstancePattern == b.InstancePattern && a.DNSServer == b.DNSServer && a.ProbeUser == b.ProbeUser && a.ProbeDatabase == b.ProbeDatabase &&
		a.TLS == b.TLS && bytes.Equal(p.ca, o.ca) && a.DefaultAuthScheme == b.DefaultAuthScheme && a.Region == b.Region
}

// start begins to watch.
func (f *follower) start() (err error) {
	f.mu.Lock()
	defer f.mu.Unlock() // the first change waits until the watcher is there
	o := f.plan.watcherOptions()
	o.OnChange, o.Log = f.changed, f.log
	f.watcher, err = failover.New(o)
	return err
}

// retire ends the watching. The group stays as it is.
func (f *follower) retire() {
	f.mu.Lock()
	f.retired = true
	f.stopWaiting()
	w := f.watcher
	f.mu.Unlock()
	if w != nil {
		w.Close()
	}
}

// successor makes the follower that takes the place of f, which is retired. With
// retire set, connections are replaced as they become free.
func (f *follower) successor(p *plan, retire bool) *follower {
	f.retire()
	f.mu.Lock()
	defer f.mu.Unlock()
	n := &follower{group: f.group, log: f.log, plan: p, at: f.at, lost: f.lost, silent: f.silent, lostAt: f.lostAt, figures: f.figures, readers: f.readers}
	f.group.Update(p.options(f.at, nil), retire)
	n.updateReaders(retire)
	return n
}

// update takes over settings that leave the members as they are.
func (f *follower) update(p *plan, retire bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan = p
	f.group.Update(f.options(f.at), retire)
	f.updateReaders(retire)
}

// options are those for connections to a member, with the lock held.
func (f *follower) options(m failover.Member) proxy.TargetOptions {
	w := f.watcher
	if w == nil {
		return f.plan.options(m, nil)
	}
	return f.plan.options(m, func(why string) { w.Suspect(m.Address, why) })
}

// changed follows a change of the topology.
func (f *follower) changed(_, now *failover.Topology) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.retired {
		return
	}
	defer f.followReaders(now)
	m, there := now.WriterMember()
	switch {
	case there && now.Generation != f.generation:
		f.switchTo(m, now)
	case there:
		f.stay(m)
	case !there && (f.lost || f.generation > 0):
		f.lose(now)
	}
}

// switchTo leads the group to the writer. After a reload it may be there already.
func (f *follower) switchTo(m failover.Member, now *failover.Topology) {
	first := f.generation == 0
	stays := first && !f.lost && m.Address == f.at.Address
	var survivors time.Time
	if now.Generation == f.generation+1 && m.Address == f.at.Address {
		survivors = now.Survivors
	}
	f.generation, f.at = now.Generation, m
	if stays {
		f.group.Update(f.options(m), false)
		f.updateReaders(false)
		return
	}
	f.group.SwitchWriter(f.options(m), survivors)
	without := f.found()
	if first && f.figures.started {
		first = false // another writer since the reload
	}
	f.figures.started = true
	if !first {
		f.figures.count++
		f.figures.last = without
	}
	f.log.Info("Database connections lead to the writer.", zap.String("writer", m.Address), zap.Uint64("generation", now.Generation),
		zap.String("reason", now.Cause), zap.Duration("without_writer", without))
}

// stay goes on with the same server, which may be found at another of its addresses.
func (f *follower) stay(m failover.Member) {
	if m.Address != f.at.Address {
		f.at = m
		f.group.Update(f.options(m), false)
	}
	if !f.lost {
		return
	}
	f.group.RegainWriter()
	f.log.Info("The writer is there again.", zap.String("writer", f.at.Address), zap.Duration("without_writer", f.found()))
}

// lose has clients wait.
func (f *follower) lose(now *failover.Topology) {
	why, silent := missing(now, f.at.Address)
	if f.lost && silent == f.silent {
		f.group.ExplainNoWriter(why)
		return
	}
	f.group.LoseWriter(why, silent)
	if f.silent = silent; !f.lost {
		f.lost, f.lostAt = true, time.Now()
		f.log.Warn("Clients wait for database connections.", zap.Error(why))
	}
	if !silent {
		f.stopWaiting()
	} else if f.giveUp == nil {
		f.giveUp = time.AfterFunc(giveUpAfter, f.abandon)
	}
}

// missing tells why there is no writer, and whether the server at an address, which
// was it, is silent.
func missing(t *failover.Topology, address string) (why error, silent bool) {
	var lines []string
	for _, m := range t.Members {
		line := m.Address + " is " + string(m.Role)
		if m.Health.State != failover.StateAvailable {
			line = fmt.Sprintf("%s is %s (%s)", m.Address, m.Health.State, m.Health.Reason)
		}
		if m.Health.Description != "" {
			line += ": " + m.Health.Description
		}
		lines = append(lines, line)
		silent = silent || m.Address == address && m.Health.Reason == failover.ReasonUnreachable
	}
	if len(lines) == 0 {
		lines = []string{"no member is known"}
	}
	return errors.New("there is no writer: " + strings.Join(lines, "; ")), silent
}

// abandon breaks off what runs on a writer that has been silent for long.
func (f *follower) abandon() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.retired || f.giveUp == nil {
		return
	}
	f.log.Warn("The lost writer stays silent: what clients have running there is broken off.", zap.String("writer", f.at.Address))
	f.group.GiveUpWriter()
}

// found ends the time without a writer, and tells how long it was.
func (f *follower) found() (without time.Duration) {
	f.stopWaiting()
	if f.lost {
		f.lost, f.silent = false, false
		without = time.Since(f.lostAt)
		f.figures.without += without
	}
	return without
}

func (f *follower) stopWaiting() {
	if f.giveUp != nil {
		f.giveUp.Stop()
		f.giveUp = nil
	}
}

// status gives what is known of the members, the one that connections lead to, and
// the figures.
func (f *follower) status() (known *failover.Topology, at string, n failovers) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n = f.figures
	if f.lost {
		n.without += time.Since(f.lostAt)
	}
	return f.known(), f.at.Address, n
}
