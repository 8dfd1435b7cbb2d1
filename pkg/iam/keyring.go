// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"context"
	"fmt"

	"github.com/rdsproxy/rdsproxy/pkg/secret"
)

// KeyEntry is an access key of the configuration.
type KeyEntry struct {
	// Secret is the id of the secret that holds the key: its user name is the key's id, its password the secret key.
	Secret string
	// Policy says which users its tokens log in.
	Policy *Policy
}

// Keyring finds access keys in a store of secrets. A key that is changed there is changed here.
type Keyring struct {
	store   secret.Store
	entries []KeyEntry
}

var _ KeySource = (*Keyring)(nil)

// NewKeyring makes a key ring.
func NewKeyring(store secret.Store, entries []KeyEntry) *Keyring {
	return &Keyring{store: store, entries: entries}
}

// Key implements KeySource. All secrets are looked at, wherever the key is found.
func (r *Keyring) Key(ctx context.Context, id string) (Key, error) {
	var found Key
	var failed error
	for _, e := range r.entries {
		c, err := r.store.Get(ctx, e.Secret)
		if err != nil {
			failed = err
			continue
		}
		if c.Username == id && found.ID == "" {
			found = Key{ID: id, Secret: c.Password, SessionToken: c.SessionToken, Expires: c.Expires, Policy: e.Policy}
		}
	}
	switch {
	case found.ID != "":
		return found, nil
	case failed != nil:
		// The key may be in the secret that cannot be read.
		return Key{}, fmt.Errorf("not among the access keys that can be read: %w", failed)
	}
	return Key{}, ErrUnknownKey
}
