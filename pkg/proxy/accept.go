// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"errors"
	"net"

	"go.uber.org/zap"

	"github.com/rdsproxy/rdsproxy/pkg/netloop"
)

// open begins to accept, on the endpoint's loop if its driver can, else on a
// goroutine. It runs on that loop.
func (e *Endpoint) open() {
	var err error
	e.accepting, err = e.worker.loop.Listen(e.listener, e.arrived, func(err error) {
		e.log.Error("A client could not be accepted.", zap.Error(err))
	})
	switch {
	case err == nil:
	case errors.Is(err, errors.ErrUnsupported):
		go e.accept()
	default:
		if !errors.Is(err, net.ErrClosed) {
			e.log.Error("No clients can be accepted.", zap.Error(err))
		}
		close(e.done)
	}
}

// shut ends what open has begun. The goroutine ends by itself.
func (e *Endpoint) shut() {
	if e.accepting != nil {
		e.accepting.Close()
		e.accepting = nil
		close(e.done)
	}
}

// handDown gives the listening socket the options that it hands down.
func (e *Endpoint) handDown(o *EndpointOptions) {
	k := o.KeepAlive
	err := netloop.SetListenerOptions(e.listener, k.Idle, k.Interval, k.Count, k.UserTimeout)
	e.handsDown.Store(err == nil)
}

// arrived takes a client that the loop has accepted to the loop that it will live
// on: one after the other has its turn.
func (e *Endpoint) arrived(t *netloop.Transport) {
	s := e.admits(t.RemoteAddr())
	if s == nil {
		_ = t.Close()
		return
	}
	if !e.handsDown.Load() {
		e.setKeepAlive(t)
	}
	p := e.proxy
	w := p.workerFor(-1)
	a := &arrival{endpoint: e, worker: w, transport: t}
	p.logins.Add(1)
	if w == e.worker {
		a.start(s)
		return
	}
	if !w.loop.Post(func() { a.start(s) }) {
		a.abandon()
	}
}
