// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"runtime"
	"sync"
	"sync/atomic"
	"weak"
)

// loginSettings is what the number of a collation means at a login. unknown: the
// server does not know it, and takes its default.
type loginSettings struct {
	vars    []Setting
	unknown bool
}

// Shared is what all sessions of one pool share. It is safe for concurrent use.
type Shared struct {
	// MaxStatements is how many prepared statements a database connection keeps
	// for its borrowers, at least 1.
	MaxStatements int

	// base has the values of the variables of a new connection; nil until the
	// pool's first.
	base atomic.Pointer[map[string]string]

	mariaDB atomic.Bool

	mu       sync.Mutex
	settings map[string]weak.Pointer[Settings]
	// collations is what servers have made of the numbers of collations.
	collations map[uint16]loginSettings
	// reset is what COM_RESET_CONNECTION makes of the character sets on MySQL; nil
	// until a server has shown it.
	reset *[]Setting
}

// NewShared makes the shared part of a pool.
func NewShared(maxStatements int) *Shared {
	return &Shared{
		MaxStatements: max(1, maxStatements),
		settings:      make(map[string]weak.Pointer[Settings]), collations: make(map[uint16]loginSettings),
	}
}

// Retire forgets what the database reported: it may have been replaced by another
// one, or restarted with another configuration. The next login asks a connection.
func (sh *Shared) Retire() {
	sh.base.Store(nil)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	clear(sh.collations)
	sh.reset = nil
}

// settingsOf gives the one value for settings. It lives as long as somebody uses
// it.
func (sh *Shared) settingsOf(schema string, vars []Setting) *Settings {
	if schema == "" && len(vars) == 0 {
		return nil
	}
	key := settingsKey(schema, vars)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if s := sh.settings[key].Value(); s != nil {
		return s
	}
	s := newSettings(schema, vars, key)
	sh.settings[key] = weak.Make(s)
	runtime.AddCleanup(s, sh.forgetSettings, key)
	return s
}

// settingsForPreparing gives now with all that decides about the meaning of a text
// as in space.
func (sh *Shared) settingsForPreparing(now, space *Settings, base map[string]string) *Settings {
	if now == space {
		return now
	}
	vars := now.variables()
	for _, name := range [...]string{
		"character_set_client", "character_set_connection", "collation_connection", "sql_mode",
	} {
		value, ok := space.get(name)
		if !ok {
			value = base[name]
		}
		vars = with(vars, name, value, base)
	}
	schema := space.Schema()
	if schema == "" {
		schema = now.Schema()
	}
	return sh.settingsOf(schema, vars)
}

func (sh *Shared) forgetSettings(key string) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.settings[key].Value() == nil {
		delete(sh.settings, key)
	}
}

// collationSettings gives what a collation's number means for the variables; false
// if that is not known yet.
func (sh *Shared) collationSettings(n uint16) (l loginSettings, ok bool) {
	if n == 0 {
		return l, true // nothing was asked for
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	l, ok = sh.collations[n]
	return l, ok
}

// maxCollations is more than there are numbers in logins.
const maxCollations = 256

func (sh *Shared) learnCollation(n uint16, l loginSettings) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if len(sh.collations) < maxCollations {
		sh.collations[n] = l
	}
}

// knowsReset tells whether it is known what a reset makes of the character sets:
// MariaDB gives back those of the login, MySQL takes those of the server.
func (sh *Shared) knowsReset() bool {
	if sh.mariaDB.Load() {
		return true
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.reset != nil
}

func (sh *Shared) learnReset(vars []Setting) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.reset = &vars
}

// settingsAfterReset gives the settings of a session that was reset.
func (sh *Shared) settingsAfterReset(schema string, login *Settings) *Settings {
	vars := login.variables()
	if sh.mariaDB.Load() {
		// MySQL asks for a privilege for setting that.
		if base := sh.base.Load(); base != nil && schema != "" && (*base)[collationDatabase] != "" {
			vars = with(vars, collationDatabase, (*base)[collationDatabase], nil)
		}
		return sh.settingsOf(schema, vars)
	}
	sh.mu.Lock()
	if sh.reset != nil {
		vars = *sh.reset
	}
	sh.mu.Unlock()
	return sh.settingsOf(schema, vars)
}
