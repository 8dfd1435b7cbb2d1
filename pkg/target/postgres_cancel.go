// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"syscall"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

const cancelRequestCode = 1234<<16 | 5678

// maxCancelReply is how much a server may answer to a cancel request; it should
// be nothing.
const maxCancelReply = 4 << 10

// Cancel asks the server to cancel what the connection with this process id does.
// The request travels over TLS if connections do. Cancel returns nil when the
// server has closed the socket. The server passes the request on before it does
// that, so what is sent on that connection afterwards cannot be hit by it. After
// an error nobody knows.
//
// Without a key (servers may give none) it fails.
func (d *Dialer) Cancel(ctx context.Context, pid uint32, secret []byte) error {
	ctx, cancel := d.limit(ctx)
	defer cancel()
	if len(secret) == 0 || len(secret) > wire.MaxCancelKey {
		return d.fail(ctx, StageCancel, &policyError{"there is no key to cancel with", true})
	}
	l, err := d.cancelLink(ctx)
	if err != nil {
		return err
	}
	defer l.wrapped.Close()
	request := binary.BigEndian.AppendUint32(nil, uint32(12+len(secret))) //nolint:gosec // checked above
	request = binary.BigEndian.AppendUint32(request, cancelRequestCode)
	request = binary.BigEndian.AppendUint32(request, pid)
	request = append(request, secret...)
	if err := exchange(ctx, l, request); err != nil {
		return d.fail(ctx, StageCancel, err)
	}
	return nil
}

// cancelLink connects as login does.
func (d *Dialer) cancelLink(ctx context.Context) (link, error) {
	if d.err != nil {
		return link{}, d.fail(ctx, StageCancel, d.err)
	}
	l, err := d.connect(ctx, d.tls != nil)
	var e *Error
	if errors.As(err, &e) && e.Stage == StageTLS && d.o.TLSMode == TLSPrefer && ctx.Err() == nil {
		return d.connect(ctx, false)
	}
	return l, err
}

// exchange sends a request that has no answer, and waits until the server has
// closed the socket.
func exchange(ctx context.Context, l link, request []byte) (err error) {
	defer bound(ctx, l.wrapped)(&err)
	if _, err := l.conn.Write(request); err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, io.LimitReader(l.conn, maxCancelReply))
	switch {
	case n == maxCancelReply:
		return &policyError{text: "the server answers a request that has no answer"}
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.ErrUnexpectedEOF):
		return nil // closed all the same; PostgreSQL does not bid farewell on TLS
	}
	return err
}
