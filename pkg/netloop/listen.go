// SPDX-License-Identifier: Apache-2.0

package netloop

import (
	"errors"
	"net"
	"time"
)

// A Listener has a loop accept connections. What is accepted belongs to no loop
// yet. It belongs to the loop goroutine.
type Listener struct {
	loop   *Loop
	fd     int // a descriptor of its own for the listening socket; -1 once closed
	id     int // among the loop's listeners
	take   func(*Transport)
	failed func(error)

	again   Timer // ends the pause after an error
	pause   time.Duration
	watched bool
}

// Pauses between attempts to accept after an error, the first one and the longest:
// the process may have no descriptor left, which does not pass at once.
const (
	firstPause   = 5 * time.Millisecond
	longestPause = time.Second
)

// Listen accepts the connections that come to nl, a *net.TCPListener or a
// *net.UnixListener, from now on. It is called on the loop goroutine, and so is
// take, once for each connection, with a Transport that can be attached to any
// loop, given back to the runtime by Block, or closed. failed is told why no
// connection can be accepted; the loop tries again after a pause.
//
// Socket options that Linux hands down from a listening socket are not set once
// more for each connection; see SetListenerOptions.
//
// The Listener has a descriptor of its own. So nobody else may accept from nl, and
// both of them have to be closed for the port to become free. The error is
// errors.ErrUnsupported if the driver, or the kind of nl, does not allow this:
// then nl is as it was, to be accepted from in blocking mode.
func (l *Loop) Listen(nl net.Listener, take func(*Transport), failed func(error)) (*Listener, error) {
	if l.state.Load() > stateRunning || l.ending {
		return nil, ErrStopped
	}
	d, ok := l.driver.(accepter)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	s := &Listener{loop: l, fd: -1, take: take, failed: failed, pause: firstPause}
	s.again.Init(s.tryAgain)
	if err := d.listen(s, nl); err != nil {
		return nil, err
	}
	return s, nil
}

// accepter is a driver that can accept.
type accepter interface {
	listen(s *Listener, nl net.Listener) error
	unlisten(s *Listener)
	watchListener(s *Listener, on bool) error
}

// Close ends accepting. Connections that have come and were not accepted stay with
// the listening socket.
func (s *Listener) Close() {
	if s.fd < 0 {
		return
	}
	s.again.Stop()
	s.loop.driver.(accepter).unlisten(s)
}

// rest stops accepting for a while.
func (s *Listener) rest(err error) {
	s.failed(err)
	if s.fd < 0 {
		return
	}
	_ = s.loop.driver.(accepter).watchListener(s, false) // if it fails, the pause is shorter
	s.loop.Arm(&s.again, s.pause)
	s.pause = min(2*s.pause, longestPause)
}

func (s *Listener) tryAgain() {
	if err := s.loop.driver.(accepter).watchListener(s, true); err != nil {
		s.rest(err)
	}
}
