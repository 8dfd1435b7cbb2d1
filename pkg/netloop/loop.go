// SPDX-License-Identifier: Apache-2.0

package netloop

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Names of the drivers, for [Options].
const (
	DriverEpoll    = "epoll"
	DriverPortable = "portable"
)

// Water marks for the unsent bytes of a Conn. See [Conn.OverHighWater].
const (
	HighWater = 64 << 10
	LowWater  = 16 << 10
)

// readSize is the size of the loop's read buffer.
const readSize = 64 << 10

// defaultMaxUnconsumed is the default of Options.MaxUnconsumed.
const defaultMaxUnconsumed = 1 << 20

// Errors of this package, besides those of the operating system.
var (
	// ErrStopped is returned by Attach on a loop that has ended, and by a second
	// Run.
	ErrStopped = errors.New("netloop: loop is stopped")
	// ErrUnsent is returned by Detach while the Conn has unsent bytes.
	ErrUnsent = errors.New("netloop: connection has unsent bytes")
	// ErrUnconsumed closes a Conn whose Handler left more bytes unconsumed than
	// Options.MaxUnconsumed.
	ErrUnconsumed = errors.New("netloop: too many unconsumed bytes")
	// ErrFlushTimeout closes a Conn whose peer did not take the unsent bytes
	// within the limit of CloseAfterFlush.
	ErrFlushTimeout = errors.New("netloop: unsent bytes were not taken in time")
	// ErrAttached is returned by the methods of a Transport, and by Attach,
	// while the Transport belongs to a loop.
	ErrAttached = errors.New("netloop: transport is attached to a loop")
	// ErrDetached is returned by Read and Write of a Transport that has left a
	// loop and belongs to none.
	ErrDetached = errors.New("netloop: transport is detached")
)

// Options are the settings of a Loop. The zero value is usable.
type Options struct {
	// Driver names the driver; empty takes the best one of the platform.
	Driver string
	// ID is the number of the loop among its likes, for the owner's use.
	ID int
	// MaxUnconsumed bounds the bytes that a Handler may leave unconsumed, per
	// Conn; 0 means 1 MiB. More of them end the connection (ErrUnconsumed).
	MaxUnconsumed int
	// OnPanic is told of a panic in a Handler, with the stack of it. The Conn is
	// going to be closed with a *PanicError.
	OnPanic func(c *Conn, value any, stack []byte)

	// HoldProcessor is how long an epoll loop keeps its processor of the Go
	// scheduler while it waits for events; 0 gives it up at once. Holding it
	// shields the loop from goroutines that compute a lot, at the price of more
	// context switches when the machine is busy. GOMAXPROCS has to be above the
	// number of loops that do so, else they do not. 1 ms is plenty; above 10 ms
	// the scheduler interferes.
	HoldProcessor time.Duration

	block bool // when idle, block in a system call instead of parking the goroutine
}

// A Loop serves many connections on one goroutine.
type Loop struct {
	opts   Options
	driver driver
	start  time.Time
	now    time.Duration

	slots    []slot // the connections, by number
	freeSlot []int32
	conns    int

	timers  timerHeap
	chunks  chunkPool
	plain   []byte  // decrypted bytes on their way to a Handler; made with the first TLS Conn
	cur     []byte  // what a Handler is being given, nil outside Data
	inData  *Conn   // whose Handler that is
	dirty   []*Conn // have something to send
	resumed []*Conn // are to be given kept bytes
	failed  []*Conn // take no more bytes: what is left is to be read
	drained []*Conn // fell below the low-water mark
	gone    []*Conn // are closed, and their Handler has not been told

	mail     mailbox
	sleeping atomic.Bool // the driver waits, or is about to, and must be woken
	state    atomic.Int32
	ending   bool       // Run is about to return
	freeing  sync.Mutex // between wake and the end of the driver
	freed    bool
}

// States of a Loop.
const (
	stateNew     int32 = iota
	stateRunning       // Run is under way
	stateEnded         // Run has returned
	stateUnused        // stopped before Run
)

// A slot names a connection by a small number. The generation tells it from
// earlier ones of the same number, so that an event that was fetched before the
// connection was closed can be told to be stale.
type slot struct {
	conn *Conn
	gen  int32
}

// New makes a loop. It is an error if the driver is unknown or not available
// here, or if the system has no file descriptor left. A loop on which Run is
// never called must be given up by Stop.
func New(o Options) (*Loop, error) {
	if o.MaxUnconsumed <= 0 {
		o.MaxUnconsumed = defaultMaxUnconsumed
	}
	l := &Loop{opts: o, start: time.Now()}
	name := o.Driver
	if name == "" {
		name = bestDriver
	}
	var err error
	switch name {
	case DriverEpoll:
		l.driver, err = newEpoll(l)
	case DriverPortable:
		l.driver = newPortable(l)
	default:
		err = errors.New("unknown driver")
	}
	if err != nil {
		return nil, fmt.Errorf("netloop: driver %q: %w", name, err)
	}
	l.opts.Driver = name
	return l, nil
}

// ID is the number given in Options.
func (l *Loop) ID() int { return l.opts.ID }

// Driver is the name of the driver in use.
func (l *Loop) Driver() string { return l.opts.Driver }

// Conns is the number of connections attached.
func (l *Loop) Conns() int { return l.conns }

// Now is the time since the loop was made, as of the beginning of the current
// turn. It is monotonic.
func (l *Loop) Now() time.Duration { return l.now }

// Run serves the loop until Stop, and then closes what is still attached. It
// takes the goroutine that calls it. It returns nil after Stop, also if that was
// called before. A loop is run once only: another Run returns ErrStopped. Any
// other error is that of waiting for events, which a sane process does not see.
func (l *Loop) Run() error {
	if !l.state.CompareAndSwap(stateNew, stateRunning) {
		if l.state.Load() == stateUnused {
			return nil
		}
		return ErrStopped
	}
	defer l.state.Store(stateEnded)
	defer l.end()
	l.awake()
	for {
		open := l.runMail()
		l.runFailed()
		l.runResumed()
		l.runTimers()
		if !open {
			return nil
		}
		if err := l.driver.wait(l.pause()); err != nil {
			return fmt.Errorf("netloop: waiting for events: %w", err)
		}
		l.settle()
	}
}

// pause says how long the driver may wait, and announces that it will, so that
// Post wakes it. The order matters: announce, then look.
func (l *Loop) pause() time.Duration {
	if len(l.resumed) > 0 || len(l.failed) > 0 {
		return 0
	}
	l.sleeping.Store(true)
	if l.mail.pending.Load() != 0 {
		return 0
	}
	return l.timerWait()
}

// awake is called by the driver when it has done waiting: a new turn begins.
func (l *Loop) awake() {
	l.sleeping.Store(false)
	l.now = time.Since(l.start)
}

// Stop ends Run: functions posted so far are run, connections are closed
// (Closed gives net.ErrClosed), and Run returns. It does not wait for that and
// may be called from any goroutine, also more than once.
func (l *Loop) Stop() {
	l.mail.close()
	if l.state.CompareAndSwap(stateNew, stateUnused) {
		l.end()
		return
	}
	l.wake()
}

// wake makes the driver return if it waits. The lock keeps the driver from being
// freed meanwhile: its eventfd could be somebody's socket by then.
func (l *Loop) wake() {
	if !l.sleeping.Load() || !l.sleeping.CompareAndSwap(true, false) {
		return
	}
	l.freeing.Lock()
	defer l.freeing.Unlock()
	if !l.freed {
		l.driver.wake()
	}
}

// end closes what is left when Run returns, or instead of Run.
func (l *Loop) end() {
	l.ending = true
	l.mail.close()
	l.runMail()
	for i := range l.slots {
		if c := l.slots[i].conn; c != nil {
			c.Close()
		}
	}
	l.settle()
	l.runMail()
	l.freeing.Lock()
	defer l.freeing.Unlock()
	l.freed = true
	l.driver.free()
}

// settle does what the callbacks of an event have left to do: send what was
// written, tell handlers of drained and of closed connections. It is called
// with no callback on the stack.
func (l *Loop) settle() {
	for {
		l.flushDirty()
		switch {
		case len(l.drained) > 0:
			c := pop(&l.drained)
			c.flags &^= flagDrained
			if !c.isGone() && c.flags&flagClosing == 0 {
				l.callDrained(c)
			}
		case len(l.gone) > 0:
			l.callClosed(pop(&l.gone))
		default:
			return
		}
	}
}

// flushDirty sends what was written since the last time. It calls no Handler.
func (l *Loop) flushDirty() {
	for i := 0; i < len(l.dirty); i++ {
		c := l.dirty[i]
		l.dirty[i] = nil
		c.flags &^= flagDirty
		c.flush()
	}
	l.dirty = l.dirty[:0]
}

// runResumed gives kept bytes to the handlers that want them. Those that ask
// again meanwhile have their turn in the next turn of the loop, so this ends.
func (l *Loop) runResumed() {
	n := len(l.resumed)
	if n == 0 {
		return
	}
	for i := range n {
		c := l.resumed[i]
		c.flags &^= flagResumed
		l.redeliver(c)
	}
	cut(&l.resumed, n)
}

// runFailed reads what is left of connections that take no more bytes: the peer
// may have said why before it closed.
func (l *Loop) runFailed() {
	n := len(l.failed)
	for i := range n {
		if c := l.failed[i]; !c.isGone() {
			l.driver.lastRead(c)
			l.settle()
		}
	}
	cut(&l.failed, n)
}

// cut removes the first n elements of the list.
func cut(list *[]*Conn, n int) {
	rest := copy(*list, (*list)[n:])
	clear((*list)[rest:])
	*list = (*list)[:rest]
}

// pop takes the last element off the list.
func pop(list *[]*Conn) *Conn {
	n := len(*list) - 1
	c := (*list)[n]
	(*list)[n] = nil
	*list = (*list)[:n]
	return c
}
