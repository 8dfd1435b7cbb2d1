// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// model is what the group should know, kept in plain slices, and the rules of
// what it may ask for. It plays all callers: sessions, dialling goroutines, and
// the database.
type model struct {
	g     *Group
	given Options // as set
	opts  Options // with defaults
	now   time.Duration

	waiters []*modelWaiter // in the order in which they are to be served
	conns   []*modelConn   // all that take a slot
	dials   []*modelDial
	armed   time.Duration
	grown   bool // the current call may go on with NoWait's dials
}

type modelWaiter struct {
	*Waiter
	key       Key
	overtaken int
}

type modelConn struct {
	*Conn
	key    Key
	state  string // idle, borrowed, closing
	holder *modelWaiter
	loose  bool // being released or just dialled: goes to anybody
	idleAt time.Duration
}

type modelDial struct {
	*DialAttempt
	stale bool
}

var errModel = errors.New("refused")

func newModel(o Options) *model {
	return &model{g: NewGroup(o), given: o, opts: o.withDefaults(), armed: Never}
}

func (m *model) setOptions(o Options) error {
	m.given, m.opts = o, o.withDefaults()
	return m.step(m.g.SetOptions(o, m.now, nil))
}

func (m *model) total() int { return len(m.conns) + len(m.dials) }

// in lists the connections of a pool (any, if the key is zero) in a state.
func (m *model) in(k Key, state string) []*modelConn {
	var found []*modelConn
	for _, c := range m.conns {
		if c.state == state && (k == Key{} || c.key == k) {
			found = append(found, c)
		}
	}
	return found
}

func (m *model) waiting(k Key, dedicated bool) []*modelWaiter {
	var found []*modelWaiter
	for _, w := range m.waiters {
		if w.key == k && w.Dedicated == dedicated {
			found = append(found, w)
		}
	}
	return found
}

// shared counts the current dials of a pool for whoever waits.
func (m *model) shared(k Key) int {
	n := 0
	for _, d := range m.dials {
		if !d.stale && !d.Dedicated && d.Pool.key == k {
			n++
		}
	}
	return n
}

// step checks what came out of a call, does it in the model, and looks whether
// all is well.
func (m *model) step(out []Action) error {
	over := m.total() > max(m.opts.Budget, 0)
	before := m.total()
	for _, a := range out {
		if err := m.apply(a); err != nil {
			return fmt.Errorf("%v: %w", a.Kind, err)
		}
	}
	if m.total() > m.opts.Budget && (!over || m.total() > before) {
		return fmt.Errorf("%d slots in use, budget %d", m.total(), m.opts.Budget)
	}
	for _, c := range m.conns {
		if c.loose {
			return errors.New("a connection has got lost")
		}
	}
	for _, w := range m.waiters {
		if w.Dedicated || len(m.in(w.key, "idle")) == 0 {
			continue
		}
		if n := len(m.waiting(w.key, false)); n > m.shared(w.key) {
			return fmt.Errorf("%d wait with %d dials although connections idle", n, m.shared(w.key))
		}
	}
	s := m.g.Stats()
	if s.Idle != len(m.in(Key{}, "idle")) || s.Closing != len(m.in(Key{}, "closing")) ||
		s.Borrowed+s.Dedicated != len(m.in(Key{}, "borrowed")) ||
		s.Dialing != len(m.dials) || s.Waiting != len(m.waiters) {
		return fmt.Errorf("stats %+v", s.Gauges)
	}
	probes := 0
	for _, d := range m.dials {
		if d.probe {
			probes++
		}
	}
	if probes != m.g.backoff.probing {
		return fmt.Errorf("%d dials are probes, counted %d", probes, m.g.backoff.probing)
	}
	if next := m.g.NextTick(); next != m.armed {
		return fmt.Errorf("next tick at %v, was announced for %v", next, m.armed)
	}
	return verify(m.g)
}

func (m *model) apply(a Action) error {
	switch a.Kind {
	case Grant:
		return m.grant(a)
	case Fail:
		i := m.find(a.Waiter)
		if i < 0 || a.Err == nil || a.Pool.key != m.waiters[i].key {
			return errors.New("nobody waits, or without reason")
		}
		m.waiters = slices.Delete(m.waiters, i, i+1)
	case Dial:
		m.dials = append(m.dials, &modelDial{DialAttempt: a.Dial})
		return m.mayDial(a.Dial)
	case Close:
		return m.close(a)
	case Wake:
		if a.At >= m.armed {
			return fmt.Errorf("at %v, was expected at %v", a.At, m.armed)
		}
		m.armed = a.At
	default:
		return errors.New("unknown")
	}
	return nil
}

func (m *model) find(w *Waiter) int {
	return slices.IndexFunc(m.waiters, func(x *modelWaiter) bool { return x.Waiter == w })
}

func (m *model) conn(c *Conn) *modelConn {
	i := slices.IndexFunc(m.conns, func(x *modelConn) bool { return x.Conn == c })
	if i < 0 {
		return nil
	}
	return m.conns[i]
}

func (m *model) grant(a Action) error {
	i, c := m.find(a.Waiter), m.conn(a.Conn)
	if i < 0 || c == nil || !c.loose && c.state != "idle" {
		return errors.New("not to be had")
	}
	w := m.waiters[i]
	if c.key != w.key {
		return errors.New("of another pool")
	}
	for _, earlier := range m.waiting(w.key, w.Dedicated) {
		if earlier == w || w.Dedicated {
			break
		}
		earlier.overtaken++
		if earlier.overtaken > m.opts.MaxOvertakes || c.Loop != w.Loop || !c.loose {
			return fmt.Errorf("overtaken %d times, for loop %d of %d", earlier.overtaken, w.Loop, c.Loop)
		}
	}
	m.waiters = slices.Delete(m.waiters, i, i+1)
	m.hold(c, w)
	return nil
}

func (m *model) hold(c *modelConn, w *modelWaiter) {
	c.loose, c.state, c.holder = false, "borrowed", w
	w.overtaken = 0
}

func (m *model) mayDial(d *DialAttempt) error {
	if d.Dedicated {
		return nil
	}
	k := d.Pool.key
	if waiting := len(m.waiting(k, false)); m.shared(k) > waiting && !m.grown {
		return fmt.Errorf("%d dials for %d waiters", m.shared(k), waiting)
	}
	return nil
}

func (m *model) close(a Action) error {
	c := m.conn(a.Conn)
	if c == nil || c.state == "closing" || c.state == "borrowed" && !c.loose {
		return errors.New("not to be closed")
	}
	wanted := slices.ContainsFunc(m.waiters, func(w *modelWaiter) bool { return w.key != c.key || w.Dedicated })
	switch a.Reason {
	case CloseEvicted:
		if !m.grown && !wanted || m.total() < m.opts.Budget {
			return errors.New("nobody needs its slot")
		}
	case CloseIdle:
		if m.now < c.idleAt+m.opts.IdleTimeout || len(m.in(Key{}, "idle")) <= m.opts.MaxIdle {
			return errors.New("not idle enough")
		}
	case CloseLifetime:
		least := time.Duration(float64(m.opts.MaxLifetime) * (1 - m.opts.LifetimeJitter))
		if m.opts.MaxLifetime <= 0 || m.now < c.born+least {
			return errors.New("not old enough")
		}
	}
	c.state, c.loose = "closing", false
	return nil
}

// borrow is Group.Borrow, with a look at whether a better connection was there.
func (m *model) borrow(w *modelWaiter) error {
	again := w.Again
	idle := m.in(w.key, "idle")
	m.grown = m.opts.NoWait
	c, out := m.g.Borrow(m.g.Pool(w.key), w.Waiter, m.now, nil)
	if c == nil {
		if again {
			m.waiters = slices.Insert(m.waiters, 0, w)
		} else {
			m.waiters = append(m.waiters, w)
		}
		if !w.Dedicated && slices.ContainsFunc(idle, func(x *modelConn) bool { return rankOf(x.Conn, w.Waiter) > 0 }) {
			return errors.New("had to wait although a connection fits")
		}
		return m.step(out)
	}
	got := m.conn(c)
	if got == nil || got.state != "idle" || got.key != w.key || w.Dedicated {
		return errors.New("got what is not to be had")
	}
	for _, x := range idle {
		if rankOf(x.Conn, w.Waiter) > rankOf(c, w.Waiter) {
			return fmt.Errorf("got %v on loop %d although %v on %d was there", c.Settings, c.Loop, x.Settings, x.Loop)
		}
	}
	m.hold(got, w)
	return m.step(out)
}

// rankOf is how well an idle connection fits a borrower.
func rankOf(c *Conn, w *Waiter) int {
	rank := 0
	switch c.Settings {
	case w.Settings:
		rank = 4
	case nil:
		rank = 2
	default:
		return 0
	}
	if c.Loop == w.Loop {
		rank++
	}
	return rank
}

func (m *model) release(c *modelConn, reuse bool) error {
	c.loose, c.holder, c.idleAt = true, nil, m.now
	out := m.g.Release(c.Conn, reuse, m.now, nil)
	switch c.Conn.state {
	case connIdle:
		c.state, c.loose = "idle", false
	case connClosing:
		c.state = "idle" // until the action is looked at
	}
	return m.step(out)
}

func (m *model) dialed(d *modelDial, loop int, err error, failure Failure) (failed error) {
	m.dials = slices.DeleteFunc(m.dials, func(x *modelDial) bool { return x == d })
	if err != nil {
		if paused := m.g.backoff; failure != TargetFailed {
			defer func() {
				if failed == nil && (m.g.backoff.failures != paused.failures || m.g.backoff.retryAt != paused.retryAt) {
					failed = errors.New("one pool's failure keeps others from dialling")
				}
			}()
		}
		return m.step(m.g.Dialed(d.DialAttempt, nil, err, failure, m.now, nil))
	}
	c := &modelConn{Conn: &Conn{Loop: loop}, key: d.Pool.key, state: "borrowed", loose: true, idleAt: m.now}
	m.conns = append(m.conns, c)
	out := m.g.Dialed(d.DialAttempt, c.Conn, nil, 0, m.now, nil)
	if c.Conn.state == connIdle {
		c.state, c.loose = "idle", false
	}
	return m.step(out)
}

func (m *model) gone(c *modelConn) {
	m.conns = slices.DeleteFunc(m.conns, func(x *modelConn) bool { return x == c })
}

func (m *model) tick() error {
	next, out := m.g.Tick(m.now, nil)
	m.armed = next
	return m.step(out)
}

func (m *model) retire(k Key) error {
	for _, d := range m.dials {
		if (k == Key{}) || d.Pool.key == k {
			d.stale = true
		}
	}
	if (k == Key{}) {
		return m.step(m.g.Retire(m.now, nil))
	}
	return m.step(m.g.RetirePool(m.g.Pool(k), m.now, nil))
}
