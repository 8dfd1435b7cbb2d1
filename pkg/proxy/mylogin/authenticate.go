// SPDX-License-Identifier: Apache-2.0

package mylogin

import (
	"bytes"
	"context"
	"errors"
	"net"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/login"
	"github.com/rdsproxy/rdsproxy/pkg/secret"
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
	cred := auth.MockMySQLCredential(d.User, d.unknownMethod())
	if c, ok := d.cfg.Users.LookupMySQL(d.User); ok && !c.IsZero() {
		cred = c
	}
	method := cred.Method()
	plugin := d.plugin(l, method)
	if plugin == auth.PluginCleartext && !d.secure() || method == auth.MySQLToken && d.TLS == nil {
		return 0, d.refuseTLS("a password in clear may pass over TLS only")
	}
	answer, err := d.firstAnswer(ctx, l, plugin)
	if err != nil {
		return 0, err
	}
	d.password = !empty(answer)
	switch {
	case method == auth.MySQLToken:
		return method, d.token(ctx, cred, answer)
	case plugin == auth.PluginCachingSHA2:
		return d.cachingSHA2(ctx, cred, answer)
	case plugin == auth.PluginCleartext:
		return d.clear(ctx, cred, answer)
	case d.mayToken(cred):
		return d.nativeOrToken(ctx, cred, l, answer)
	}
	return method, d.check(cred, plugin, answer)
}

// plugin is the one to go by. A client that may give a token or a password can do either by its own plugin, unless that
// is mysql_native_password, which gives nothing but a scramble.
func (d *dialogue) plugin(l *mysql.Login, method auth.MySQLMethod) string {
	if method == auth.MySQLToken || !method.TakesToken() || d.TLS == nil {
		return method.Plugin()
	}
	switch l.Plugin {
	case auth.PluginCachingSHA2, auth.PluginCleartext, auth.PluginNative:
		return l.Plugin
	}
	return method.Plugin()
}

// mayToken tells whether this client may give a token in place of the password.
func (d *dialogue) mayToken(cred auth.MySQLCredential) bool {
	return cred.Method().TakesToken() && d.TLS != nil
}

// nativeOrToken lets in who knows the password, and asks who does not for a token in clear. A client that was switched to
// mysql_native_password already cannot be switched again.
func (d *dialogue) nativeOrToken(ctx context.Context, cred auth.MySQLCredential, l *mysql.Login, answer []byte) (auth.MySQLMethod, error) {
	err := cred.Verify(auth.PluginNative, d.salt[:], answer)
	if err == nil || l.Plugin != auth.PluginNative || !l.Capabilities.Has(mysql.ClientPluginAuth) || len(l.AuthResponse) == 0 {
		if err != nil {
			return 0, d.denied(err)
		}
		return auth.MySQLNative, nil
	}
	d.out = mysql.AppendAuthSwitch(d.out, d.next(), auth.PluginCleartext, nil)
	given, err := d.receive(ctx, longAnswer)
	if err != nil {
		return 0, err
	}
	return d.clear(ctx, cred, given)
}

// clear decides about a password in clear, which may be a token where those are taken.
func (d *dialogue) clear(ctx context.Context, cred auth.MySQLCredential, given []byte) (auth.MySQLMethod, error) {
	d.password = !empty(given)
	if d.mayToken(cred) && d.cfg.Tokens != nil && d.cfg.Tokens.Accepts(string(bytes.TrimSuffix(given, []byte{0}))) {
		return auth.MySQLToken, d.token(ctx, cred, given)
	}
	return auth.MySQLCleartext, d.check(cred, auth.PluginCleartext, given)
}

// firstAnswer returns what the client answers to the salt by the plugin of its user. That may have come with the
// handshake response already. If the client took another plugin, or named the right one and sent nothing (libmysqlclient
// up to 8.0.25 when it was told another default), it is switched over. The salt stays, as it does in servers: there are
// clients that do not look at the new one.
func (d *dialogue) firstAnswer(ctx context.Context, l *mysql.Login, plugin string) ([]byte, error) {
	if !l.Capabilities.Has(mysql.ClientPluginAuth) {
		// Such a client knows the plugin of MySQL 4.1 only, and cannot be asked for another.
		if plugin != auth.PluginNative {
			return nil, d.refuse(login.UnsupportedVersion, unsupported())
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
// whose scramble does not fit it wants the password. So it is with unknown users. That password may be a token.
func (d *dialogue) cachingSHA2(ctx context.Context, cred auth.MySQLCredential, answer []byte) (auth.MySQLMethod, error) {
	err := cred.Verify(auth.PluginCachingSHA2, d.salt[:], answer)
	switch {
	case err == nil:
		d.out = mysql.AppendAuthMoreData(d.out, d.next(), []byte{mysql.CachingSHA2FastOK})
		return auth.MySQLCachingSHA2, d.flush(ctx)
	case empty(answer), errors.Is(err, auth.ErrMySQLResponse), !d.secure() && d.cfg.Key == nil:
		return 0, d.denied(err)
	}
	d.out = mysql.AppendAuthMoreData(d.out, d.next(), []byte{mysql.CachingSHA2FullAuth})
	var password []byte
	if d.secure() {
		password, err = d.receive(ctx, longAnswer)
	} else {
		password, err = d.encrypted(ctx)
	}
	if err != nil {
		return 0, err
	}
	method, err := d.clear(ctx, cred, password)
	if method == auth.MySQLCleartext {
		method = auth.MySQLCachingSHA2
	}
	return method, err
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
	if err := d.Leave(ctx); err != nil { // it takes a millisecond
		return nil, err
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
	err := errors.New("tokens are not set up")
	if d.cfg.Tokens != nil {
		err = d.cfg.Tokens.Verify(ctx, d.User, secret.NewPassword(string(bytes.TrimSuffix(answer, []byte{0}))))
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
	if d.TLS != nil {
		return true
	}
	_, local := d.Raw.LocalAddr().(*net.UnixAddr)
	return local
}
