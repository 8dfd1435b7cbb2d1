// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/rdsproxy/rdsproxy/pkg/pool"
	"github.com/rdsproxy/rdsproxy/pkg/secret"
)

// Credentials are what the proxy logs in to a database with.
type Credentials interface {
	// Get gives the password of user, or a token in its place.
	Get(ctx context.Context, user string) (secret.Credential, error)
	// Refused is told that the database did not take it, and gives what to try
	// instead; an error if there is nothing.
	Refused(ctx context.Context, user string, refused secret.Credential) ([]secret.Credential, error)
	// Accepted is told which of those the database took.
	Accepted(user string, taken secret.Credential)
}

// loginState is what became of the proxy's logins as one user.
type loginState struct {
	// worked: the database has let the user in, and refused only since then.
	worked bool
	// refused is when that began; zero if the last login was good.
	refused time.Time
}

// rotationLimit is how long the database may refuse a user whom it used to let in
// until that is taken for good. In a rotation, the database and the place where
// secrets are kept change one after the other.
const rotationLimit = time.Minute

// logIn opens a connection. When the database refuses the password, the other ones
// that a rotation may have left are tried once each.
func (t *TargetGroup) logIn(ctx context.Context, o *TargetOptions, key pool.Key, d *pool.DialAttempt) (link, error) {
	c, err := o.Credentials.Get(ctx, key.User)
	if err != nil {
		return link{}, &noCredentialsError{key.User, err}
	}
	l, err := t.logInWith(ctx, o, key, c, d)
	if !t.engine.deniesLogin(err) {
		return l, err
	}
	others, none := o.Credentials.Refused(ctx, key.User, c)
	if none != nil {
		return link{}, errors.Join(err, none)
	}
	for _, other := range others {
		again, failed := t.logInWith(ctx, o, key, other, d)
		if failed == nil {
			o.Credentials.Accepted(key.User, other)
			t.log.Info("The database takes another password than before.", zap.String("user", key.User))
			return again, nil
		}
		if !t.engine.deniesLogin(failed) {
			return link{}, failed
		}
	}
	return link{}, err
}

func (t *TargetGroup) logInWith(ctx context.Context, o *TargetOptions, key pool.Key, c secret.Credential, d *pool.DialAttempt) (l link, err error) {
	password := c.Password.Reveal()
	if err = t.learn(ctx, o, key, password); err == nil {
		l, err = t.engine.dial(ctx, o, key, password, d)
	}
	t.noteLogin(key.User, err)
	return l, err
}

func (t *TargetGroup) noteLogin(user string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.logins[user]
	switch {
	case err == nil:
		t.logins[user] = loginState{worked: true}
	case t.engine.deniesLogin(err) && s.worked && s.refused.IsZero():
		s.refused = time.Now()
		t.logins[user] = s
	}
}

// rotating tells whether a refusal may pass: the user's logins used to work until
// a moment ago. Clients wait for that as for a database that is down.
func (t *TargetGroup) rotating(user string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.logins[user]
	// Another login may have been good in the meantime.
	return s.worked && (s.refused.IsZero() || time.Since(s.refused) < rotationLimit)
}

// IsNoCredentials tells whether a database connection could not be opened because
// there is nothing to log in with.
func IsNoCredentials(err error) bool {
	_, none := errors.AsType[*noCredentialsError](err)
	return none
}

// RetireUser replaces the connections of a user, as they become free.
func (t *TargetGroup) RetireUser(user string) {
	for _, k := range t.family.keysOf(user) {
		t.carryOutAll(t.group.RetirePool(t.group.Pool(k), t.proxy.now(), nil))
	}
}
