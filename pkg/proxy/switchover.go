// SPDX-License-Identifier: Apache-2.0

package proxy

import "time"

// SwitchWriter gives the target group options with a dialer for another writer, or
// for the same that has come back as another server. Connections to the old one are
// closed at once, with whatever runs on them; waiting clients get new ones, unless
// the group is paused. Those that were opened since survivors, to a server that has
// been restarted, are only replaced as they become free; zero: none is spared.
func (t *TargetGroup) SwitchWriter(o TargetOptions, survivors time.Time) {
	t.opts.Store(&o)
	t.sever(survivors)
	t.eras.open(byWatcher)
}

// sever gives up all connections of before survivors, also those that are borrowed.
func (t *TargetGroup) sever(survivors time.Time) {
	t.eras.next(survivors)
	t.turns.startOver()
	t.setLimits()
	t.retire()
	t.proxy.forEachClient(func(c *client) {
		if c.db != nil && c.db.target == t && c.db.outdated() {
			c.db.breakOff()
		}
	})
}

// LoseWriter lets no client borrow a connection until SwitchWriter or RegainWriter:
// there is no writer, because of why. Those who have a connection keep it. silent
// tells that the writer does not answer: then idle connections to it are closed
// without a word.
func (t *TargetGroup) LoseWriter(why error, silent bool) {
	t.eras.shut(byWatcher, why)
	t.eras.silence(silent)
	t.carryOutAll(t.group.Retire(t.proxy.now(), nil))
}

// ExplainNoWriter tells anew why there is no writer.
func (t *TargetGroup) ExplainNoWriter(why error) { t.eras.explain(why) }

// RegainWriter tells that the writer is the same as before LoseWriter.
func (t *TargetGroup) RegainWriter() {
	t.eras.silence(false)
	t.eras.open(byWatcher)
}

// GiveUpWriter breaks off what still runs on connections to a writer that was lost:
// clients get an error rather than wait for a server that is not there.
func (t *TargetGroup) GiveUpWriter() { t.sever(time.Time{}) }

// NoWriter tells why there is no writer; nil while there is one.
func (t *TargetGroup) NoWriter() error { return t.eras.reason() }

// Pause lets no client borrow a connection until Resume. Clients that have one keep
// it until their transaction ends; idle connections are closed. Clients that want one
// wait, up to the borrow timeout. If the writer changes meanwhile, they get the new
// one after Resume.
func (t *TargetGroup) Pause() {
	t.eras.shut(byOperator, nil)
	t.carryOutAll(t.group.Retire(t.proxy.now(), nil))
}

// Resume ends a Pause.
func (t *TargetGroup) Resume() { t.eras.open(byOperator) }

// Paused tells whether Pause is in force.
func (t *TargetGroup) Paused() bool { return t.eras.isShut(byOperator) }

// outdated tells whether the connection leads to a writer of the past.
func (d *dbConn) outdated() bool { return int64(d.born) <= d.target.eras.outdated.Load() }

// suspect tells whoever watches the database that something is odd with the server
// that o leads to.
func (o *TargetOptions) suspect(why string) {
	if o.Suspect != nil {
		o.Suspect(why)
	}
}
