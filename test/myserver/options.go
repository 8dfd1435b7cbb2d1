// SPDX-License-Identifier: Apache-2.0

package myserver

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/rdsproxy/rdsproxy/test/certs"
	"github.com/rdsproxy/rdsproxy/test/machine"
)

// Options describe a server. The zero value is the distribution's MariaDB on
// 127.0.0.1 without TLS.
type Options struct {
	// Flavor is which server; "" means MariaDB.
	Flavor Flavor
	// Host is the loopback address to listen on; "" means 127.0.0.1.
	Host string
	// Port to listen on; 0 means a free one.
	Port int
	// Config are lines of the section [mysqld], after those of this package, such
	// as "max_connections=17".
	Config []string
	// TLS switches TLS on with this certificate. Without it the server offers none.
	TLS *certs.Pair
	// ClientCA is the PEM of the authority that signs client certificates.
	ClientCA []byte
	// Password is root's; "" means a random one.
	Password string
	// Users are made after the start, in this order.
	Users []User
	// Databases are made after the start, before the users.
	Databases []string
}

// Plugins by which a server recognises users: the names that the server gives a client.
const (
	Native      = "mysql_native_password" // MariaDB, and MySQL before 9.0
	CachingSHA2 = "caching_sha2_password" // MySQL
	SHA256      = "sha256_password"       // MySQL
	Ed25519     = "client_ed25519"        // MariaDB
	Parsec      = "parsec"                // MariaDB since 11.6
)

// User can log in from everywhere.
type User struct {
	Name, Password string
	// Plugin is one of those above; "" means the server's default.
	Plugin string
	// Attributes are further words of CREATE USER, such as "REQUIRE SSL".
	Attributes string
	// Grants are what follows GRANT up to TO, such as "PROCESS ON *.*". Empty means
	// all privileges on each of Options.Databases.
	Grants []string
}

// Superuser is the name of the superuser of every server; it may log in over TCP
// and over the socket.
const Superuser = "root"

func (o Options) withDefaults() (Options, error) {
	o.Flavor = cmp.Or(o.Flavor, MariaDB)
	o.Host = cmp.Or(o.Host, "127.0.0.1")
	o.Password = cmp.Or(o.Password, machine.RandomPassword())
	if o.Port == 0 {
		port, err := machine.FreePort(o.Host)
		if err != nil {
			return o, err
		}
		o.Port = port
	}
	return o, nil
}

// config is the text of the configuration file. Durability is off: a test's data
// may be lost with the machine. Options with "loose" are not known to all servers.
func (s *Server) config() string {
	o := s.opts
	lines := []string{
		"[mysqld]",
		"datadir=" + s.DataDir(),
		"socket=" + s.Socket(),
		"pid-file=" + filepath.Join(s.Dir, "pid"),
		"tmpdir=" + s.Dir,
		"bind-address=" + o.Host,
		fmt.Sprintf("port=%d", o.Port),
		"skip-name-resolve",
		"secure-file-priv=",
		"local-infile=ON",
		"innodb-flush-log-at-trx-commit=0",
		"innodb-doublewrite=OFF",
		"innodb-buffer-pool-size=64M",
	}
	lines = append(lines, s.installed()...)
	if o.TLS != nil {
		lines = append(lines, "ssl-cert="+filepath.Join(s.Dir, "server.crt"), "ssl-key="+filepath.Join(s.Dir, "server.key"))
		if o.ClientCA != nil {
			lines = append(lines, "ssl-ca="+filepath.Join(s.Dir, "ca.crt"))
		}
	} else if s.Flavor.IsMariaDB() {
		lines = append(lines, "skip-ssl") // since 11.4 it would make a certificate
	}
	return strings.Join(append(lines, o.Config...), "\n") + "\n"
}

// installed are the options that say where the programs' files are, and those of
// the flavor.
func (i Installation) installed() []string {
	lines := []string{"basedir=" + i.baseDir}
	if i.plugins != "" {
		lines = append(lines, "plugin-dir="+i.plugins)
	}
	if i.Flavor.IsMariaDB() {
		lines = append(lines, "loose-innodb-log-file-size=16M", "plugin-load-add=auth_ed25519")
		if i.share != "" {
			lines = append(lines, "lc-messages-dir="+i.share, "character-sets-dir="+filepath.Join(i.share, "charsets"))
		}
		if i.AtLeast(11, 6) {
			lines = append(lines, "plugin-load-add=auth_parsec")
		}
		return lines
	}
	return append(lines, "mysqlx=OFF", "loose-auto-generate-certs=OFF", "disable-log-bin")
}

// setup is the SQL that makes databases and users, one statement per element.
func (s *Server) setup() []string {
	var sql []string
	for _, d := range s.opts.Databases {
		sql = append(sql, "CREATE DATABASE "+quoteIdent(d))
	}
	for _, u := range s.opts.Users {
		name := quoteLiteral(u.Name) + "@'%'"
		sql = append(sql, "CREATE USER "+name+" "+s.identified(u.Plugin, u.Password)+" "+u.Attributes)
		grants := u.Grants
		if len(grants) == 0 {
			for _, d := range s.opts.Databases {
				grants = append(grants, "ALL PRIVILEGES ON "+quoteIdent(d)+".*")
			}
		}
		for _, g := range grants {
			sql = append(sql, "GRANT "+g+" TO "+name)
		}
	}
	return sql
}

// identified is the clause of CREATE USER.
func (s *Server) identified(plugin, password string) string {
	p := quoteLiteral(password)
	switch {
	case plugin == "":
		return "IDENTIFIED BY " + p
	case s.Flavor.IsMariaDB():
		return "IDENTIFIED VIA " + strings.TrimPrefix(plugin, "client_") + " USING PASSWORD(" + p + ")"
	}
	return "IDENTIFIED WITH " + plugin + " BY " + p
}

func quoteIdent(s string) string { return "`" + strings.ReplaceAll(s, "`", "``") + "`" }

func quoteLiteral(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(s) + "'"
}
