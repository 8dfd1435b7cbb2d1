// SPDX-License-Identifier: Apache-2.0

package mylogin

import (
	"bytes"
	"context"
	"errors"
	"net"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

const (
	// shortAnswer is the longest payload of an answer that is never long: a scramble, an encrypted password.
	shortAnswer = 1 << 10
	// longAnswer is the longest payload of a password or token in clear.
	longAnswer = 16 << 10
)

// authenticate has the client prove who it is, and returns the method by which it did.
func (d *dialogue) authenticate(ctx context.Context, l *mysql.Login) (auth.MySQLMethod, error) {
	// Made for known users too, so that the time up to the first answer does not tell them apart.
	cred := auth.MockMySQLCredential(d.user, d.unknownMethod())
	if c, ok := d.cfg.Users.LookupMySQL(d.user); ok && !c.IsZero() {
		cred = c
	}
	method := cred.Method()
	if method.Plugin() == auth.PluginCleartext && !d.secure() {
		return 0, d.refuseTLS("a password in clear may pass over TLS only")
	}
	answer, err := d.firstAnswer(ctx, l, method.Plugin())
	if err != nil {
		return 0, err
	}
	d.password = !empty(answer)
	switch method {
	case auth.MySQLCachingSHA2:
		err = d.cachingSHA2(ctx, cred, answer)
	case auth.MySQLToken:
		err = d.token(ctx, cred, answer)
	default:
		err = d.check(cred, method.Plugin(), answer)
	}
	return method, err
}

// firstAnswer returns what the client answers to the salt by the plugin of its user. That may have come with the
// handshake response already. If the client took another plugin, or named the right one and sent nothing (libmysqlclient
// up to 8.0.25 when it was told another default), it is switched over. The salt stays, as it does in servers: there are
// clients that do not look at the new one.
func (d *dialogue) firstAnswer(ctx context.Context, l *mysql.Login, plugin string) ([]byte, error) {
	if !l.Capabilities.Has(mysql.ClientPluginAuth) {
		// Such a client knows the plugin of MySQL 4.1 only, and cannot be asked for another.
		if plugin != auth.PluginNative {
			return nil, d.refuse(UnsupportedVersion, unsupported())
		}
		return l.AuthResponse, nil
	}
	if l.Plugin == plugin && len(l.AuthResponse) > 0 {
		return l.AuthResponse, nil
	}
	salt, limit := d.salt[:], shortAnswer
	if plugin == auth.PluginCleartext {
		salt, limit = nil, longAnswer
	}
	d.out = mysql.AppendAuthSwitch(d.out, d.next(), plugin, salt)
	return d.receive(ctx, limit)
}

// check has the answer to a salt decide.
func (d *dialogue) check(cred auth.MySQLCredential, plugin string, answer []byte) error {
	if err := cred.Verify(plugin, d.salt[:], answer); err != nil {
		return d.denied(err)
	}
	return nil
}

// cachingSHA2 does what a server does that has the user in its cache: a scramble that fits is enough, and of a client
// whose scramble does not fit it wants the password. So it is with unknown users.
func (d *dialogue) cachingSHA2(ctx context.Context, cred auth.MySQLCredential, answer []byte) error {
	err := cred.Verify(auth.PluginCachingSHA2, d.salt[:], answer)
	switch {
	case err == nil:
		d.out = mysql.AppendAuthMoreData(d.out, d.next(), []byte{mysql.CachingSHA2FastOK})
		return d.flush(ctx)
	case empty(answer), errors.Is(err, auth.ErrMySQLResponse), !d.secure() && d.cfg.Key == nil:
		return d.denied(err)
	}
	d.out = mysql.AppendAuthMoreData(d.out, d.next(), []byte{mysql.CachingSHA2FullAuth})
	var password []byte
	if d.secure() {
		password, err = d.receive(ctx, longAnswer)
	} else {
		password, err = d.encrypted(ctx)
	}
	if err != nil {
		return err
	}
	d.password = !empty(password)
	return d.check(cred, auth.PluginCleartext, password)
}

// encrypted receives a password that was encrypted by the public key. A client that does not have the key asks for it.
func (d *dialogue) encrypted(ctx context.Context) ([]byte, error) {
	sent, err := d.receive(ctx, shortAnswer)
	if err != nil {
		return nil, err
	}
	if len(sent) == 1 && sent[0] == mysql.CachingSHA2RequestKey {
		key, err := auth.MySQLPublicKey(&d.cfg.Key.PublicKey)
		if err != nil {
			return nil, d.denied(err)
		}
		d.out = mysql.AppendAuthMoreData(d.out, d.next(), key)
		if sent, err = d.receive(ctx, shortAnswer); err != nil {
			return nil, err
		}
	}
	password, err := auth.DecryptMySQLPassword(d.cfg.Key, d.salt[:], sent)
	if err != nil {
		return nil, d.denied(err)
	}
	return password, nil
}

// token has the configured check decide about a token.
func (d *dialogue) token(ctx context.Context, cred auth.MySQLCredential, answer []byte) error {
	if empty(answer) {
		return d.denied(auth.ErrWrongPassword)
	}
	err := errors.New("logins by token are not configured")
	if d.cfg.Token != nil {
		err = d.cfg.Token(ctx, d.user, string(bytes.TrimSuffix(answer, []byte{0})))
	}
	if err != nil && ctx.Err() != nil {
		return d.interrupted(ctx, err)
	}
	if err := cred.VerdictOfToken(err); err != nil {
		return d.denied(err)
	}
	return nil
}

// empty tells whether an answer stands for an empty password: no bytes, or the NUL behind none.
func empty(answer []byte) bool {
	return len(answer) == 0 || len(answer) == 1 && answer[0] == 0
}

// secure tells whether nobody can listen. A client on a Unix socket takes that for secure, too.
func (d *dialogue) secure() bool {
	if d.tls != nil {
		return true
	}
	_, local := d.raw.LocalAddr().(*net.UnixAddr)
	return local
}
