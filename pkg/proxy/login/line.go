// SPDX-License-Identifier: Apache-2.0

package login

import (
	"context"
	"crypto/tls"
	"io"
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

// Line is the connection that a login is made on.
type Line struct {
	// Raw is the transport; Conn is where messages go: Raw, or TLS on top of it.
	Raw, Conn net.Conn
	// TLS is nil as long as there is none.
	TLS *tls.Conn
	// User is the name that the client gave, once it is known.
	User string
	// Unread is set when the client may have sent more than was read.
	Unread bool

	// cut stops the end of the context from ending the dialogue, and tells whether it has. nil: nothing to be stopped.
	cut func() bool
}

// Begin has the end of ctx end the dialogue, which begins.
func (l *Line) Begin(ctx context.Context) {
	if at, ok := ctx.Deadline(); ok {
		_ = l.Raw.SetDeadline(at) // if it fails, so does the next read
	}
	if _, ok := l.Raw.(OnLoop); ok {
		return
	}
	raw, cut := l.Raw, make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(cut)
		_ = raw.SetDeadline(time.Unix(1, 0)) // wakes whoever is reading or writing
	})
	l.cut = func() bool {
		if stop() {
			return false
		}
		<-cut
		return true
	}
}

// WasCut ends what Begin has begun, and tells whether the context has ended the dialogue.
func (l *Line) WasCut() bool { return l.cut != nil && l.cut() }

// Leave moves the dialogue off the event loop, if it runs on one.
func (l *Line) Leave(ctx context.Context) error {
	at, ok := l.Raw.(OnLoop)
	if !ok {
		return nil
	}
	nc, err := at.Leave()
	if err != nil {
		return l.Broken(ctx, err)
	}
	l.Raw, l.Conn = nc, nc
	l.Begin(ctx)
	return nil
}

// Broken says what an error of the connection means for the login.
func (l *Line) Broken(ctx context.Context, err error) *Error { return broken(ctx, l.User, err) }

const (
	// farewellTime is how long the last words may take.
	farewellTime = time.Second
	// farewellBytes bounds what is read of a client that is sent away while it still sends.
	farewellBytes = 64 << 10
)

// Farewell sends the last words, if there are any, and closes TLS in good order. A socket that is closed while bytes
// are waiting in it is reset, which can take the words away from the client before it has read them; so those bytes are
// taken first, up to a limit and for a moment.
func (l *Line) Farewell(words []byte) {
	if len(words) == 0 && l.TLS == nil {
		return
	}
	_ = l.Raw.SetDeadline(time.Now().Add(farewellTime)) // a client that is gone is no loss
	if len(words) > 0 {
		_, _ = l.Conn.Write(words)
	}
	if l.TLS != nil {
		_ = l.TLS.CloseWrite()
	}
	if l.Unread {
		_, _ = io.CopyN(io.Discard, l.Raw, farewellBytes)
	}
}
