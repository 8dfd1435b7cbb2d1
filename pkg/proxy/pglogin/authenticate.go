// SPDX-License-Identifier: Apache-2.0

package pglogin

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/iam"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/login"
	"github.com/rdsproxy/rdsproxy/pkg/secret"
	"github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// shortAnswer is the largest length word of an answer that is never long: those of SCRAM and MD5.
const shortAnswer = auth.MaxSCRAMMessage

// authenticate asks the client for its proof and returns the name of the method by which it gave it. The last message
// of the method, if it has one, is left in d.out.
func (d *dialogue) authenticate(ctx context.Context) (method string, err error) {
	unknown := d.cfg.UnknownMethod
	if unknown == 0 {
		unknown = auth.SCRAM
	}
	// Made for known users too, so that the time up to the first message does not tell them apart.
	cred := auth.MockCredential(d.User, unknown)
	if c, ok := d.cfg.Users.Lookup(d.User); ok && !c.IsZero() {
		cred = c
	}
	switch cred.Method() {
	case auth.MD5:
		return cred.Method().String(), d.md5(ctx, cred)
	case auth.Cleartext:
		return cred.Method().String(), d.cleartext(ctx, cred)
	case auth.Token:
		return d.tokenOrPassword(ctx, cred)
	case auth.TokenOrPassword:
		if d.TLS == nil {
			return d.scram(ctx, cred)
		}
		return d.tokenOrPassword(ctx, cred)
	default:
		return d.scram(ctx, cred)
	}
}

func (d *dialogue) scram(ctx context.Context, cred auth.Credential) (method string, err error) {
	x := auth.NewExchange(cred, d.binding)
	d.out = postgres.AppendAuthenticationSASL(d.out, x.Mechanisms())
	body, err := d.answer(ctx, "SASL", shortAnswer)
	if err != nil {
		return "", err
	}
	mechanism, first, err := postgres.ParseSASLInitialResponse(body)
	if err != nil {
		return "", d.refuse(login.BadMessage, err)
	}
	if first == nil { // the client wants to be asked for its first message
		d.out = postgres.AppendAuthenticationSASLContinue(d.out, nil)
		if first, err = d.answer(ctx, "SASL", shortAnswer); err != nil {
			return "", err
		}
	}
	challenge, err := x.First(mechanism, first)
	if err != nil {
		return "", d.failed(err)
	}
	d.out = postgres.AppendAuthenticationSASLContinue(d.out, challenge)
	final, err := d.answer(ctx, "SASL", shortAnswer)
	if err != nil {
		return "", err
	}
	signature, err := x.Final(final)
	if err != nil {
		return "", d.failed(err)
	}
	d.out = postgres.AppendAuthenticationSASLFinal(d.out, signature)
	if mechanism == auth.MechanismSCRAMPlus {
		return "scram-sha-256-plus", nil
	}
	return auth.SCRAM.String(), nil
}

func (d *dialogue) md5(ctx context.Context, cred auth.Credential) error {
	var salt [4]byte
	_, _ = rand.Read(salt[:]) // never fails
	d.out = postgres.AppendAuthenticationMD5Password(d.out, salt)
	answer, err := d.password(ctx, shortAnswer)
	if err != nil {
		return err
	}
	if err := cred.CheckMD5(salt, answer); err != nil {
		return d.failed(err)
	}
	return nil
}

func (d *dialogue) cleartext(ctx context.Context, cred auth.Credential) error {
	if d.TLS == nil {
		d.last = postgres.Fatal(postgres.CodeInvalidAuthorization, "This RDS Proxy requires TLS connections")
		return &login.Error{Reason: login.TLSRequired, User: d.User, Cause: errors.New("a cleartext password may pass over TLS only")}
	}
	d.out = postgres.AppendAuthenticationCleartextPassword(d.out)
	password, err := d.password(ctx, postgres.AuthMessage)
	if err != nil {
		return err
	}
	if err := cred.CheckCleartext(password); err != nil {
		return d.failed(err)
	}
	return nil
}

// tokenOrPassword asks for a password in clear and takes what has the form of a token for one. A user who has to have a
// token has no password: what has no such form is a bad token then.
func (d *dialogue) tokenOrPassword(ctx context.Context, cred auth.Credential) (method string, err error) {
	if d.TLS == nil {
		return "", d.noToken(&iam.Rejection{Reason: iam.NoTLS})
	}
	d.out = postgres.AppendAuthenticationCleartextPassword(d.out)
	given, err := d.password(ctx, postgres.AuthMessage)
	if err != nil {
		return "", err
	}
	tokens := d.cfg.Tokens
	if cred.Method() == auth.TokenOrPassword && (tokens == nil || !tokens.Accepts(string(given))) {
		if err := cred.CheckCleartext(given); err != nil {
			return "", d.failed(err)
		}
		return auth.Cleartext.String(), nil
	}
	err = errNoTokens
	if tokens != nil {
		err = tokens.Verify(ctx, d.User, secret.NewPassword(string(given)))
	}
	if err != nil && ctx.Err() != nil {
		return "", d.interrupted(ctx, err)
	}
	if err := cred.VerdictOfToken(err); err != nil {
		return "", d.noToken(err)
	}
	return auth.Token.String(), nil
}

var errNoTokens = errors.New("tokens are not set up")

// noToken ends the dialogue because of a token, whoever the user is.
func (d *dialogue) noToken(err error) error {
	r, ok := errors.AsType[*iam.Rejection](err)
	if !ok {
		r = &iam.Rejection{}
	}
	code, text := r.Postgres(d.User)
	d.last = postgres.Fatal(code, text)
	reason := login.TokenRefused
	if errors.Is(err, auth.ErrUnknownUser) {
		reason = login.UnknownUser
	}
	return &login.Error{Reason: reason, User: d.User, Cause: err}
}

// password sends what is waiting and reads a PasswordMessage.
func (d *dialogue) password(ctx context.Context, limit int) ([]byte, error) {
	body, err := d.answer(ctx, "password", limit)
	if err != nil {
		return nil, err
	}
	password, err := postgres.ParsePassword(body)
	if err != nil {
		return nil, d.refuse(login.BadMessage, err)
	}
	return password, nil
}

// answer sends what is waiting and reads the body of the message that answers it. limit is the largest length word.
func (d *dialogue) answer(ctx context.Context, what string, limit int) ([]byte, error) {
	if err := d.flush(ctx); err != nil {
		return nil, err
	}
	head := make([]byte, postgres.HeaderSize)
	if err := d.read(ctx, head); err != nil {
		return nil, err
	}
	h, err := postgres.ParseAuthHeader(head, what, limit)
	if err != nil {
		d.Unread = true
		return nil, d.refuse(login.BadMessage, err)
	}
	body := make([]byte, h.Body)
	return body, d.read(ctx, body)
}

// failed ends the dialogue with an error of package auth.
func (d *dialogue) failed(err error) error {
	reason, told := d.authError(err)
	d.last = told
	return &login.Error{Reason: reason, User: d.User, Cause: err}
}
