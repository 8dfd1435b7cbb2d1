// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"errors"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/config"
)

// mysqlCredentials are those of one user at endpoints in front of MySQL and of
// MariaDB, which have different usual methods.
type mysqlCredentials struct{ mysql, mariaDB auth.MySQLCredential }

// newMySQLCredentials leaves out what FIPS 140-3 forbids.
func newMySQLCredentials(a config.Auth, password string) (c mysqlCredentials, err error) {
	if c.mysql, err = auth.NewMySQLCredential(password, mysqlMethod(a, config.MySQL)); err != nil && !errors.Is(err, auth.ErrSHA1Disabled) {
		return c, err
	}
	if c.mariaDB, err = auth.NewMySQLCredential(password, mysqlMethod(a, config.MariaDB)); err != nil && !errors.Is(err, auth.ErrSHA1Disabled) {
		return c, err
	}
	return c, nil
}

// mysqlMethod is how a user logs in at endpoints of the engine.
func mysqlMethod(a config.Auth, engine config.Engine) auth.MySQLMethod {
	switch {
	case a.ClientPasswordAuthType == config.MySQLCachingSHA2:
		return auth.MySQLCachingSHA2
	case a.ClientPasswordAuthType == config.MySQLNative, engine == config.MariaDB:
		return auth.MySQLNative
	}
	return auth.MySQLCachingSHA2
}

// mysqlUsers are the users as an endpoint in front of MySQL or MariaDB sees them.
type mysqlUsers struct {
	*users
	engine config.Engine
}

// LookupMySQL implements mylogin.UserLookup.
func (u mysqlUsers) LookupMySQL(user string) (auth.MySQLCredential, bool) {
	k, ok := (*u.known.Load())[user]
	if !ok || k.err != nil {
		return auth.MySQLCredential{}, false
	}
	c := k.mysql.mysql
	if u.engine == config.MariaDB {
		c = k.mysql.mariaDB
	}
	return c, !c.IsZero()
}

// usualMySQLMethod is how most users log in.
func (u mysqlUsers) usualMySQLMethod() auth.MySQLMethod {
	native, others := 0, 0
	for _, k := range *u.known.Load() {
		if mysqlMethod(k.conf, u.engine) == auth.MySQLNative {
			native++
		} else {
			others++
		}
	}
	if native > others || native == others && u.engine == config.MariaDB {
		return auth.MySQLNative
	}
	return auth.MySQLCachingSHA2
}

// anyUser gives a user whose password is known; "" if there is none.
func (u mysqlUsers) anyUser() string {
	first := ""
	for name, k := range *u.known.Load() {
		if k.err == nil && (first == "" || name < first) {
			first = name
		}
	}
	return first
}
