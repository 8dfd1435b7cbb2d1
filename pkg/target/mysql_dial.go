// SPDX-License-Identifier: Apache-2.0

package target

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	mywire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// MySQLDialer opens connections to one MySQL or MariaDB server. It may be used by
// any number of goroutines.
type MySQLDialer struct {
	o        MySQLOptions
	endpoint *Dialer // address, TLS, timeout
	verifies bool    // TLS connections are to a server whose certificate was checked
}

// NewMySQLDialer makes a MySQLDialer. Mistakes in the options show as permanent
// errors of its methods.
func NewMySQLDialer(o MySQLOptions) *MySQLDialer {
	d := &MySQLDialer{o: o, endpoint: o.endpoint()}
	if cfg := d.endpoint.tls; cfg != nil {
		d.verifies = !cfg.InsecureSkipVerify || cfg.VerifyConnection != nil
	}
	return d
}

// mysqlSession is a connection that is logged in.
type mysqlSession struct {
	link
	packets
	buffer   *bufio.Reader
	greeting *mywire.Greeting
	caps     mywire.Capabilities
	status   mywire.Status
}

// Dial opens a connection, logs in, and sets the session up. Errors are of type
// *Error; Permanent and MySQLServerError tell more about them. The caller owns what
// is returned.
func (d *MySQLDialer) Dial(ctx context.Context, r MySQLRequest) (*MySQLEstablished, error) {
	ctx, cancel := d.endpoint.limit(ctx)
	defer cancel()
	s, err := d.login(ctx, r)
	if err != nil {
		return nil, err
	}
	e, err := d.setUp(ctx, s)
	if err != nil {
		s.leave()
		return nil, d.fail(ctx, StageInit, err)
	}
	e.Collation = r.collation()
	return e, nil
}

// login connects and authenticates. Without TLS it tries a second time if TLS is
// only preferred and the handshake fails.
func (d *MySQLDialer) login(ctx context.Context, r MySQLRequest) (*mysqlSession, error) {
	if d.endpoint.err != nil {
		return nil, d.fail(ctx, StageConnect, d.endpoint.err)
	}
	s, stage, err := d.attempt(ctx, r, d.endpoint.tls != nil)
	if err != nil && stage == StageTLS && d.endpoint.o.TLSMode == TLSPrefer && ctx.Err() == nil {
		s, stage, err = d.attempt(ctx, r, false)
	}
	if err != nil {
		return nil, d.fail(ctx, stage, err)
	}
	return s, nil
}

// attempt connects and authenticates once.
func (d *MySQLDialer) attempt(ctx context.Context, r MySQLRequest, encrypt bool) (*mysqlSession, Stage, error) {
	l, err := d.endpoint.connect(ctx, false)
	if err != nil {
		return nil, StageConnect, err
	}
	s := &mysqlSession{link: l, packets: packets{in: l.conn, out: l.conn, left: maxLoginBytes}}
	stage, err := d.open(ctx, s, r, encrypt)
	if err != nil {
		_ = l.wrapped.Close()
		return nil, stage, err
	}
	return s, stage, nil
}

// open takes a connection from its greeting to the OK of its login.
func (d *MySQLDialer) open(ctx context.Context, s *mysqlSession, r MySQLRequest, encrypt bool) (stage Stage, err error) {
	defer bound(ctx, s.wrapped)(&err)
	if err := s.greet(); err != nil {
		return StageLogin, err
	}
	offered := s.greeting.Capabilities.Has(mywire.ClientSSL)
	if encrypt && !offered && d.endpoint.o.TLSMode != TLSPrefer {
		return StageTLS, &policyError{"the server does not offer TLS", true}
	}
	l, err := d.hello(s, r)
	if err != nil {
		return StageLogin, err
	}
	if encrypt && offered {
		l.Capabilities |= mywire.ClientSSL
		if err := d.encrypt(ctx, s, l); err != nil {
			return StageTLS, err
		}
	}
	s.caps = l.Capabilities
	return StageLogin, d.authenticate(s, l, r.Password)
}

// greet reads the greeting, and nothing behind it: what comes in clear text must
// not be taken for what comes over TLS.
func (s *mysqlSession) greet() error {
	payload, err := s.read()
	if err != nil {
		return err
	}
	if payload[0] == mywire.HeadErr {
		return serverError(payload)
	}
	if s.greeting, err = mywire.ParseGreeting(payload); err != nil {
		return &policyError{text: "the server's greeting cannot be understood: no MySQL server?"}
	}
	return nil
}

// needed are the capabilities without which the proxy cannot work.
const needed = mywire.ClientProtocol41 | mywire.ClientSecureConnection | mywire.ClientPluginAuth | mywire.ClientTransactions |
	mywire.ClientMultiResults | mywire.ClientPSMultiResults | mywire.ClientSessionTrack | mywire.ClientDeprecateEOF

// hello makes the answer to the greeting, as yet without authentication.
func (d *MySQLDialer) hello(s *mysqlSession, r MySQLRequest) (*mywire.Login, error) {
	has := s.greeting.Capabilities
	caps := mywire.Always | r.Capabilities.Class()
	if has.Extended() {
		caps &^= mywire.ClientLongPassword // so that MariaDB reads the extended ones
	} else {
		has |= mywire.ClientLongPassword
	}
	if missing := needed &^ has; missing != 0 {
		return nil, &policyError{fmt.Sprintf("the server is too old: it lacks the capabilities %#x", uint64(missing)), true}
	}
	if missing := r.Capabilities.Class() &^ has; missing != 0 {
		return nil, &policyError{fmt.Sprintf("the server has not got the capabilities %#x", uint64(missing)), true}
	}
	if r.Schema != "" {
		caps |= mywire.ClientConnectWithDB
	}
	if strings.ContainsRune(r.User+r.Schema, 0) || strings.ContainsRune(r.Password, 0) {
		return nil, &policyError{"user, password or schema contain a NUL", true}
	}
	if r.collation() > 255 {
		return nil, &policyError{"the collation does not fit into a login", true}
	}
	attributes := d.o.Attributes
	if attributes == nil {
		attributes = DefaultAttributes()
	}
	return &mywire.Login{
		Capabilities: caps & has, MaxPacket: mywire.MaxPayload + 1, Collation: r.collation(),
		User: r.User, Schema: r.Schema, Attributes: attributes,
	}, nil
}

func (r MySQLRequest) collation() uint16 {
	if r.Collation == 0 {
		return mywire.CollationUTF8MB4General
	}
	return r.Collation
}

// encrypt asks for TLS and does the handshake.
func (d *MySQLDialer) encrypt(ctx context.Context, s *mysqlSession, l *mywire.Login) error {
	if err := s.write(mywire.AppendSSLRequest(nil, s.seq, l)); err != nil {
		return err
	}
	tc := tls.Client(s.wrapped, d.endpoint.tls)
	if err := tc.HandshakeContext(ctx); err != nil {
		return err
	}
	s.conn, s.in, s.out = tc, tc, tc
	return nil
}

// authenticate sends the login and answers what the server asks, until it says OK.
func (d *MySQLDialer) authenticate(s *mysqlSession, l *mywire.Login, password string) (err error) {
	a := &authenticator{
		password: password, key: d.o.PublicKey, mayAsk: d.mayAskKey(s.link),
		encrypted: s.encrypted(), verified: s.encrypted() && d.verifies,
		secret: s.encrypted() || d.endpoint.network == "unix",
	}
	s.buffer = s.buffered()
	if l.Plugin, l.AuthResponse, err = a.begin(s.greeting.Plugin, s.greeting.Salt); err != nil {
		return err
	}
	if len(l.AuthResponse) > 255 && !l.Capabilities.Has(mywire.ClientPluginAuthLenenc) {
		return &policyError{"the password is too long for this server", true}
	}
	if err := s.write(mywire.AppendLogin(nil, s.seq, l)); err != nil {
		return err
	}
	for range maxAuthRounds {
		payload, err := s.read()
		if err != nil {
			return err
		}
		switch payload[0] {
		case mywire.HeadOK:
			ok, good := mywire.ParseOK(payload, s.caps)
			if !good {
				return errMalformed
			}
			s.status = ok.Status
			return nil
		case mywire.HeadErr:
			return serverError(payload)
		}
		answer, send, err := a.answer(payload)
		if err != nil {
			return err
		}
		if !send {
			continue
		}
		if err := s.write(mywire.AppendPacket(nil, s.seq, answer)); err != nil {
			return err
		}
	}
	return &policyError{text: "the server goes on asking for authentication"}
}

// mayAskKey tells whether a key that comes over the connection may be trusted.
func (d *MySQLDialer) mayAskKey(l link) bool {
	switch d.o.KeyRetrieval {
	case KeyAlways:
		return true
	case KeyNever:
		return false
	}
	if d.endpoint.network == "unix" {
		return true
	}
	addr, ok := l.wrapped.RemoteAddr().(*net.TCPAddr)
	return ok && addr.IP.IsLoopback()
}

// leave says good-bye, without waiting for the server, and closes.
func (s *mysqlSession) leave() {
	_ = s.wrapped.SetWriteDeadline(time.Now().Add(time.Second)) // if it fails the server will find out
	_, _ = s.conn.Write(mywire.AppendCommand(nil, mywire.ComQuit, ""))
	_ = s.wrapped.Close()
}

// quit says good-bye, waits until the server has let go of the connection or ctx
// ends, and closes.
func (s *mysqlSession) quit(ctx context.Context) {
	_ = exchange(ctx, s.link, mywire.AppendCommand(nil, mywire.ComQuit, ""))
	_ = s.wrapped.Close()
}

var errUnready = errors.New("the server is not idle after the set-up")
