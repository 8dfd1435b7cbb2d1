// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/config"
	"github.com/rdsproxy/rdsproxy/pkg/secret"
)

// users knows who may log in. What logins are checked against is derived when a
// password is learned, never during a login: the time of a login must not tell
// whether its user exists.
type users struct {
	store *secret.FileStore
	log   *zap.Logger

	known     atomic.Pointer[map[string]knownUser]
	mostlyMD5 atomic.Bool
	load      sync.Mutex // one at a time
}

type knownUser struct {
	conf       config.Auth
	secret     secret.Credential
	credential auth.Credential
	mysql      mysqlCredentials
	// err is why the user cannot log in: the secret is missing or wrong.
	err error
}

func newUsers(store *secret.FileStore, log *zap.Logger) *users {
	u := &users{store: store, log: log}
	u.known.Store(&map[string]knownUser{})
	return u
}

// refresh takes over the users of the configuration, and their secrets. list is
// asked with the lock held, so that of two calls the later one counts. A user whose
// secret cannot be had is logged, and stays out until it can.
func (u *users) refresh(ctx context.Context, list func() []config.Auth) {
	u.load.Lock()
	defer u.load.Unlock()
	old := *u.known.Load()
	all := list()
	next := make(map[string]knownUser, len(all))
	var ids []string
	md5 := 0
	for _, a := range all {
		ids = append(ids, a.Secret)
		k, err := u.know(ctx, a, old[a.User])
		if err != nil {
			if was := old[a.User].err; was == nil || was.Error() != err.Error() {
				u.log.Error("A user cannot log in: the secret is not usable.",
					zap.String("user", a.User), zap.String("secret", a.Secret), zap.Error(err))
			}
			k = knownUser{conf: a, err: err}
		}
		if a.ClientPasswordAuthType == config.PostgresMD5 {
			md5++
		}
		next[a.User] = k
	}
	u.store.Retain(ids)
	u.known.Store(&next)
	u.mostlyMD5.Store(2*md5 > len(all))
}

func (u *users) know(ctx context.Context, a config.Auth, old knownUser) (knownUser, error) {
	c, err := u.store.Get(ctx, a.Secret)
	if err != nil {
		return knownUser{}, err
	}
	if c.Username != a.User {
		return knownUser{}, fmt.Errorf("the secret belongs to user %q: write the user of the secret into auth[].user", c.Username)
	}
	if old.err == nil && old.conf == a && old.secret.Equal(c) {
		return old, nil
	}
	method := auth.SCRAM
	if a.ClientPasswordAuthType == config.PostgresMD5 {
		method = auth.MD5
	}
	credential, err := auth.NewCredential(a.User, c.Password.Reveal(), method)
	if err != nil {
		return knownUser{}, err
	}
	mysql, err := newMySQLCredentials(a, c.Password.Reveal())
	if err != nil {
		return knownUser{}, err
	}
	return knownUser{conf: a, secret: c, credential: credential, mysql: mysql}, nil
}

// Lookup implements pglogin.UserLookup.
func (u *users) Lookup(user string) (auth.Credential, bool) {
	k, ok := (*u.known.Load())[user]
	if !ok || k.err != nil {
		return auth.Credential{}, false
	}
	return k.credential, true
}

// usualMethod is how most users log in.
func (u *users) usualMethod() auth.Method {
	if u.mostlyMD5.Load() {
		return auth.MD5
	}
	return auth.SCRAM
}

// password is what the proxy logs in to the database with.
func (u *users) password(_ context.Context, user string) (string, error) {
	k, ok := (*u.known.Load())[user]
	switch {
	case !ok:
		return "", fmt.Errorf("user %q is not in auth", user)
	case k.err != nil:
		return "", k.err
	}
	return k.secret.Password.Reveal(), nil
}

// broken lists the users who cannot log in, by name, with the reason.
func (u *users) broken() (names []string, reasons []error) {
	known := *u.known.Load()
	for name, k := range known {
		if k.err != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		reasons = append(reasons, known[name].err)
	}
	return names, reasons
}

// failing counts the secrets that could not be read when that was last tried, or
// that do not belong to their user.
func (u *users) failing() int {
	ids := make(map[string]bool)
	for _, f := range u.store.Failures() {
		ids[f.ID] = true
	}
	for _, k := range *u.known.Load() {
		if k.err != nil {
			ids[filepath.Clean(k.conf.Secret)] = true
		}
	}
	return len(ids)
}

// watch takes over changed secrets until ctx ends.
func (u *users) watch(ctx context.Context, list func() []config.Auth) error {
	for {
		changed := u.store.Changed()
		u.refresh(ctx, list)
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}
