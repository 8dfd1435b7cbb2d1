// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// link is a connection to the server before the login.
type link struct {
	conn    net.Conn // what the protocol runs on
	wrapped net.Conn
}

func (l link) encrypted() bool {
	_, ok := l.conn.(*tls.Conn)
	return ok
}

// address is where the server listens, as net.Dial likes it.
func (o *Options) address() (network, address string) {
	if strings.HasPrefix(o.Host, "/") {
		return "unix", filepath.Join(o.Host, ".s.PGSQL."+strconv.Itoa(o.Port))
	}
	return "tcp", net.JoinHostPort(o.Host, strconv.Itoa(o.Port))
}

// connect opens a socket and, if encrypt is set, starts TLS upon it. With Prefer
// the link is not encrypted if the server does not offer TLS.
func (d *Dialer) connect(ctx context.Context, encrypt bool) (link, error) {
	dialer := net.Dialer{KeepAliveConfig: d.o.KeepAlive}
	nc, err := dialer.DialContext(ctx, d.network, d.addr)
	if err != nil {
		return link{}, d.fail(ctx, StageConnect, err)
	}
	l := link{conn: nc, wrapped: nc}
	if d.o.Wrap != nil {
		l.wrapped = d.o.Wrap(nc)
		l.conn = l.wrapped
	}
	if !encrypt {
		return l, nil
	}
	if err := d.startTLS(ctx, &l); err != nil {
		_ = l.wrapped.Close()
		return link{}, d.fail(ctx, StageTLS, err)
	}
	return l, nil
}

// startTLS asks for TLS and does the handshake.
func (d *Dialer) startTLS(ctx context.Context, l *link) error {
	answer, err := askForTLS(ctx, l.wrapped)
	switch {
	case err != nil:
		return err
	case answer == 'N' && d.o.TLSMode == TLSPrefer:
		return nil
	case answer == 'N':
		return &policyError{"the server does not offer TLS", true}
	case answer == 'E':
		// An error message of a server that knows no TLS, or that cannot start a
		// process. It is not to be believed before TLS (CVE-2024-10977).
		return errors.New("the server answers the request for TLS with an error")
	case answer != 'S':
		return &policyError{text: fmt.Sprintf("the server answers the request for TLS with %q: no PostgreSQL server?", answer)}
	}
	// One byte was read and no more: nothing that was sent in clear text can be
	// taken for what comes over TLS (CVE-2021-23222).
	tc := tls.Client(l.wrapped, d.tls)
	if err := tc.HandshakeContext(ctx); err != nil {
		return err
	}
	l.conn = tc
	return nil
}

const sslRequestCode = 1234<<16 | 5679

func askForTLS(ctx context.Context, nc net.Conn) (answer byte, err error) {
	defer bound(ctx, nc)(&err)
	request := binary.BigEndian.AppendUint32(nil, 8)
	request = binary.BigEndian.AppendUint32(request, sslRequestCode)
	if _, err := nc.Write(request); err != nil {
		return 0, err
	}
	var one [1]byte
	if _, err := io.ReadFull(nc, one[:]); err != nil {
		return 0, err
	}
	return one[0], nil
}

// past is a deadline that makes blocked calls return.
var past = time.Unix(1, 0)

// bound makes reads and writes of nc fail when ctx ends. The function it returns
// lifts that, and puts the context's error in place of the one that follows from
// it.
func bound(ctx context.Context, nc net.Conn) (release func(*error)) {
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(past) })
	return func(err *error) {
		if !stop() {
			*err = ctx.Err()
		}
	}
}

// tlsConfig makes the settings for a mode.
func tlsConfig(o *Options) *tls.Config {
	cfg := &tls.Config{}
	if o.TLS != nil {
		cfg = o.TLS.Clone()
	}
	cfg.NextProtos = []string{wire.ALPN}
	if cfg.ServerName == "" {
		cfg.ServerName = strings.TrimSuffix(o.Host, ".")
	}
	switch mode := o.TLSMode; {
	case mode == TLSVerifyFull:
	case mode == TLSVerifyCA, mode == TLSRequire && cfg.RootCAs != nil:
		// The library checks chain and name together or not at all.
		cfg.InsecureSkipVerify = true
		cfg.VerifyConnection = verifyChain(cfg)
	default:
		cfg.InsecureSkipVerify = true
	}
	return cfg
}
