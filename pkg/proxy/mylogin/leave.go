// SPDX-License-Identifier: Apache-2.0

package mylogin

import (
	"context"
	"net"
	"time"
)

// OnLoop is a connection whose dialogue runs on an event loop, as a coroutine: Read returns to the loop until something
// has come. So nobody may compute or wait for long there. Its reads end by themselves when the context does.
type OnLoop interface {
	net.Conn
	// Leave moves the dialogue to a goroutine of its own, with what was written sent and what was not read put back. It
	// goes on with the connection that is returned, the same one in blocking mode.
	Leave() (net.Conn, error)
}

// begin has the end of ctx end the dialogue.
func (d *dialogue) begin(ctx context.Context) {
	if at, ok := ctx.Deadline(); ok {
		_ = d.raw.SetDeadline(at) // if it fails, so does the next read
	}
	if _, ok := d.raw.(OnLoop); ok {
		return
	}
	raw, cut := d.raw, make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(cut)
		_ = raw.SetDeadline(time.Unix(1, 0)) // wakes whoever is reading or writing
	})
	d.cut = func() bool {
		if stop() {
			return false
		}
		<-cut
		return true
	}
}

// leave moves the dialogue off the event loop, if it runs on one.
func (d *dialogue) leave(ctx context.Context) error {
	l, ok := d.raw.(OnLoop)
	if !ok {
		return nil
	}
	nc, err := l.Leave()
	if err != nil {
		return d.ioError(ctx, err)
	}
	d.raw, d.conn = nc, nc
	d.begin(ctx)
	return nil
}
