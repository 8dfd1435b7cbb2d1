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
func newMySQLCredentials(a config.Auth, password string, others ...string) (c mysqlCredentials, err error) {
	if c.mysql, err = auth.NewMySQLCredential(password, mysqlMethod(a, config.MySQL), others...); err != nil && !errors.Is(err, auth.ErrSHA1Disabled) {
		return c, err
	}
	if c.mariaDB, err = auth.NewMySQLCredential(password, mysqlMethod(a, config.MariaDB), others...); err != nil && !errors.Is(err, auth.ErrSHA1Disabled) {
		return c, err
	}
	return c, nil
}

// mysqlMethod is how a user logs in at endpoints of the engine.
func mysqlMethod(a config.Auth, engine config.Engine) auth.MySQLMethod {
	native := engine == config.MariaDB && a.ClientPasswordAuthType != config.MySQLCachingSHA2 ||
		a.ClientPasswordAuthType == config.MySQLNative
	switch {
	case a.IAMAuth == config.IAMRequired:
		return auth.MySQLToken
	case a.IAMAuth == config.IAMEnabled && native:
		return auth.MySQLNativeOrToken
	case a.IAMAuth == config.IAMEnabled:
		return auth.MySQLCachingSHA2OrToken
	case native:
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
	count := map[auth.MySQLMethod]int{}
	for _, k := range *u.known.Load() {
		count[mysqlMethod(k.conf, u.engine)]++
	}
	usual := mysqlMethod(config.Auth{}, u.engine)
	for _, m := range []auth.MySQLMethod{
		auth.MySQLCachingSHA2, auth.MySQLNative, auth.MySQLToken, auth.MySQLCachingSHA2OrToken, auth.MySQLNativeOrToken,
	} {
		if count[m] > count[usual] {
			usual = m
		}
	}
	return usual
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
