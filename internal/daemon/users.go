// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/config"
	"github.com/rdsproxy/rdsproxy/pkg/secret"
)

const (
	// secretsTogether is how many secrets are asked for at once.
	secretsTogether = 16
	// secretsPatience is how long the users wait for a secret that has not been had
	// yet. It is still fetched after that.
	secretsPatience = 12 * time.Second
	// lookAgain is after how long the users are looked at once more without a sign of
	// a change: for a secret that came late, or a password whose time is over.
	lookAgain = 5 * time.Second
)

// users knows who may log in. What logins are checked against is derived when a
// password is learned, never during a login: the time of a login must not tell
// whether its user exists.
type users struct {
	store *secret.Stores
	log   *zap.Logger
	// rotated is told whose password has changed.
	rotated func(user string)

	known atomic.Pointer[map[string]knownUser]
	usual atomic.Int32 // an auth.Method
	load  sync.Mutex   // one at a time
}

// wanted is what of a configuration concerns users.
type wanted struct {
	auth []config.Auth
	// keys are the secrets with access keys.
	keys []string
}

func wantedOf(c *config.Config) wanted {
	w := wanted{auth: c.Auth}
	for _, k := range c.IAM.OwnKeys {
		w.keys = append(w.keys, k.Secret)
	}
	return w
}

// secrets are all of them.
func (w wanted) secrets() []string {
	ids := slices.Clone(w.keys)
	for _, a := range w.auth {
		if a.Secret != "" {
			ids = append(ids, a.Secret)
		}
	}
	return ids
}

type knownUser struct {
	conf config.Auth
	// versions are the secret and, during a rotation, what else the user may know;
	// empty for a user without a secret.
	versions   []secret.Credential
	credential auth.Credential
	mysql      mysqlCredentials
	// err is why the user cannot log in: the secret is missing or wrong.
	err error
}

func newUsers(store *secret.Stores, log *zap.Logger) *users {
	u := &users{store: store, log: log, rotated: func(string) {}}
	u.known.Store(&map[string]knownUser{})
	u.usual.Store(int32(auth.SCRAM))
	return u
}

// refresh takes over the users of the configuration, and their secrets. list is
// asked with the lock held, so that of two calls the later one counts. A user whose
// secret cannot be had is logged, and stays out until it can.
func (u *users) refresh(ctx context.Context, list func() wanted) {
	u.load.Lock()
	defer u.load.Unlock()
	old, all := *u.known.Load(), list()
	found := make([]knownUser, len(all.auth))
	var running sync.WaitGroup
	places := make(chan struct{}, secretsTogether)
	ctx, stop := context.WithTimeout(ctx, secretsPatience)
	defer stop()
	for i, a := range all.auth {
		places <- struct{}{}
		running.Go(func() {
			defer func() { <-places }()
			found[i] = u.learn(ctx, a, old[a.User])
		})
	}
	for _, id := range all.keys {
		// It is fetched when the first token comes if it cannot be had now.
		running.Go(func() { _, _ = u.store.Get(ctx, id) })
	}
	running.Wait()
	u.store.Retain(all.secrets())
	u.takeOver(old, found)
}

// learn is know with the error in its place.
func (u *users) learn(ctx context.Context, a config.Auth, old knownUser) knownUser {
	k, err := u.know(ctx, a, old)
	if err != nil {
		return knownUser{conf: a, err: err}
	}
	return k
}

func (u *users) takeOver(old map[string]knownUser, found []knownUser) {
	next := make(map[string]knownUser, len(found))
	methods := map[auth.Method]int{}
	for _, k := range found {
		name := k.conf.User
		was, there := old[name]
		if k.err != nil && (was.err == nil || was.err.Error() != k.err.Error()) {
			u.log.Error("A user cannot log in: the secret is not usable.",
				zap.String("user", name), zap.String("secret", k.conf.Secret), zap.Error(k.err))
		}
		methods[methodOf(k.conf)]++
		next[name] = k
		if there && len(was.versions) > 0 && len(k.versions) > 0 && !was.versions[0].Equal(k.versions[0]) {
			defer u.rotated(name)
		}
	}
	usual := auth.SCRAM
	for _, m := range []auth.Method{auth.MD5, auth.TokenOrPassword, auth.Token} {
		if methods[m] > methods[usual] {
			usual = m
		}
	}
	u.usual.Store(int32(usual))
	u.known.Store(&next)
}

// methodOf is how a user logs in at endpoints in front of PostgreSQL.
func methodOf(a config.Auth) auth.Method {
	switch {
	case a.IAMAuth == config.IAMRequired:
		return auth.Token
	case a.IAMAuth == config.IAMEnabled:
		return auth.TokenOrPassword
	case a.ClientPasswordAuthType == config.PostgresMD5:
		return auth.MD5
	}
	return auth.SCRAM
}

func (u *users) know(ctx context.Context, a config.Auth, old knownUser) (knownUser, error) {
	k := knownUser{conf: a}
	if a.Secret != "" {
		var err error
		if k.versions, err = u.versions(ctx, a); err != nil {
			return knownUser{}, err
		}
	}
	if old.err == nil && old.conf == a && slices.EqualFunc(old.versions, k.versions, secret.Credential.Equal) {
		return old, nil
	}
	if a.IAMAuth == config.IAMRequired {
		token := auth.NewMySQLToken()
		k.credential, k.mysql = auth.NewToken(a.User), mysqlCredentials{token, token}
		return k, nil
	}
	password, others := k.versions[0].Password.Reveal(), []string(nil)
	for _, v := range k.versions[1:] {
		others = append(others, v.Password.Reveal())
	}
	var err error
	if k.credential, err = auth.NewCredential(a.User, password, methodOf(a), others...); err != nil {
		return knownUser{}, err
	}
	if k.mysql, err = newMySQLCredentials(a, password, others...); err != nil {
		return knownUser{}, err
	}
	return k, nil
}

// versions are the credentials that a user may know. The first is what the proxy
// logs in with.
func (u *users) versions(ctx context.Context, a config.Auth) ([]secret.Credential, error) {
	list, err := u.store.Versions(ctx, a.Secret)
	if err != nil {
		return nil, err
	}
	if err := belongs(list[0], a.User); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list, func(c secret.Credential) bool { return c.Username != a.User }), nil
}

func belongs(c secret.Credential, user string) error {
	if c.Username != user {
		return fmt.Errorf("the secret belongs to user %q: write the user of the secret into auth[].user", c.Username)
	}
	return nil
}

// Lookup implements pglogin.UserLookup.
func (u *users) Lookup(user string) (auth.Credential, bool) {
	k, ok := (*u.known.Load())[user]
	if !ok || k.err != nil {
		return auth.Credential{}, false
	}
	return k.credential, true
}

// barred tells why a user who is in the configuration cannot log in.
func (u *users) barred(user string) error {
	k := (*u.known.Load())[user]
	if k.err == nil {
		return nil
	}
	return fmt.Errorf("user %q cannot log in: %w", user, k.err)
}

// usualMethod is how most users log in.
func (u *users) usualMethod() auth.Method { return auth.Method(u.usual.Load()) } //nolint:gosec // it was one when it was stored

// secretOf names the secret of a user, "" if none is needed.
func (u *users) secretOf(user string) (id string, err error) {
	k, ok := (*u.known.Load())[user]
	if !ok {
		return "", fmt.Errorf("user %q is not in auth", user)
	}
	return k.conf.Secret, nil
}

// get is what the proxy logs in with as a user who has a secret.
func (u *users) get(ctx context.Context, user, id string) (secret.Credential, error) {
	c, err := u.store.Get(ctx, id)
	if err != nil {
		return secret.Credential{}, err
	}
	return c, belongs(c, user)
}

// trouble counts the users who cannot log in, and tells why, and which secrets
// cannot be read though a value of before is in use.
func (u *users) trouble() (broken int, detail string) {
	known := *u.known.Load()
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if err := known[name].err; err != nil {
			broken++
			lines = append(lines, fmt.Sprintf("user %s: %v", name, err))
		}
	}
	for _, f := range u.store.Failures() {
		if line := f.Err.Error(); f.Stale {
			lines = append(lines, line+" (the last good value is in use)")
		} else if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasSuffix(l, line) }) {
			lines = append(lines, line)
		}
	}
	return broken, strings.Join(lines, "; ")
}

// failing counts the secrets that could not be read when that was last tried, or
// that do not belong to their user.
func (u *users) failing() int {
	ids := make(map[string]bool)
	for _, f := range u.store.Failures() {
		ids[f.ID] = true
	}
	for _, k := range *u.known.Load() {
		if k.err == nil {
			continue
		}
		id := k.conf.Secret
		if !secret.InSecretsManager(id) {
			id = filepath.Clean(id)
		}
		ids[id] = true
	}
	return len(ids)
}

// watch takes over changed secrets until ctx ends.
func (u *users) watch(ctx context.Context, list func() wanted) error {
	for {
		changed := u.store.Changed()
		u.refresh(ctx, list)
		var again <-chan time.Time
		if u.unsettled() {
			again = time.After(lookAgain)
		}
		select {
		case <-changed:
		case <-again:
		case <-ctx.Done():
			return nil
		}
	}
}

// unsettled tells whether something will change without a sign.
func (u *users) unsettled() bool {
	for _, k := range *u.known.Load() {
		if k.err != nil || len(k.versions) > 1 {
			return true
		}
	}
	return false
}
