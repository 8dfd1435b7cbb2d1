// SPDX-License-Identifier: Apache-2.0

package pgserver

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/rdsproxy/rdsproxy/test/certs"
	"github.com/rdsproxy/rdsproxy/test/machine"
)

// Options describe a server. The zero value is the distribution's PostgreSQL on
// 127.0.0.1 with SCRAM passwords, without TLS.
type Options struct {
	// Version is the major version; 0 means the distribution's.
	Version int
	// Host is the loopback address to listen on; "" means 127.0.0.1.
	Host string
	// Port to listen on; 0 means a free one.
	Port int
	// Settings go to postgresql.conf, over the defaults of this package.
	Settings map[string]string
	// HBA are the lines of pg_hba.conf for TCP connections. Empty means SCRAM
	// for everybody, also for replication.
	HBA []string
	// TLS switches TLS on with this certificate.
	TLS *certs.Pair
	// ClientCA is the PEM of the authority that signs client certificates.
	ClientCA []byte
	// Password is the superuser's; "" means a random one.
	Password string
	// Roles are made after the start.
	Roles []Role
	// Databases are made after the start, owned by the superuser.
	Databases []string
}

// Role is a login role.
type Role struct {
	Name, Password string
	// Encryption is how the server stores the password: "scram-sha-256" (also
	// "") or "md5".
	Encryption string
	// Attributes are further words of CREATE ROLE, such as "SUPERUSER REPLICATION".
	Attributes string
}

// Superuser is the name of the superuser of every server.
const Superuser = "postgres"

func (o Options) withDefaults() (Options, error) {
	o.Host = cmp.Or(o.Host, "127.0.0.1")
	if o.Password == "" {
		o.Password = machine.RandomPassword()
	}
	if o.Port == 0 {
		port, err := machine.FreePort(o.Host)
		if err != nil {
			return o, err
		}
		o.Port = port
	}
	return o, nil
}

// conf is the text added to postgresql.conf. Durability is off: a test's data may
// be lost with the machine.
func (o Options) conf(dir string) string {
	settings := map[string]string{
		"listen_addresses":           o.Host,
		"port":                       strconv.Itoa(o.Port),
		"unix_socket_directories":    dir,
		"fsync":                      "off",
		"full_page_writes":           "off",
		"max_wal_size":               "4GB",
		"shared_buffers":             "64MB",
		"log_line_prefix":            "%m [%p] %q%u@%d %a ",
		"log_timezone":               "UTC",
		"timezone":                   "UTC",
		"password_encryption":        "scram-sha-256",
		"max_connections":            "100",
		"logging_collector":          "off",
		"cluster_name":               "",
		"dynamic_shared_memory_type": "mmap", // /dev/shm is small or closed in containers
	}
	if o.TLS != nil {
		settings["ssl"] = "on"
		settings["ssl_cert_file"] = "server.crt"
		settings["ssl_key_file"] = "server.key"
		if o.ClientCA != nil {
			settings["ssl_ca_file"] = "ca.crt"
		}
	}
	maps.Copy(settings, o.Settings)
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&b, "%s = '%s'\n", k, strings.ReplaceAll(settings[k], "'", "''"))
	}
	return b.String()
}

// hba is the text of pg_hba.conf. The socket lies in a folder that only the
// server's user and root can enter, hence trust.
func (o Options) hba() string {
	lines := []string{"local all all trust", "local replication all trust"}
	tcp := o.HBA
	if len(tcp) == 0 {
		tcp = []string{"host all all all scram-sha-256", "host replication all all scram-sha-256"}
	}
	return strings.Join(append(lines, tcp...), "\n") + "\n"
}

// setup is the SQL that makes roles and databases, one statement per element.
func (o Options) setup() []string {
	var sql []string
	for _, r := range o.Roles {
		sql = append(sql, fmt.Sprintf("SET password_encryption = %s", quoteLiteral(cmp.Or(r.Encryption, "scram-sha-256"))),
			fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD %s %s", quoteIdent(r.Name), quoteLiteral(r.Password), r.Attributes))
	}
	for _, d := range o.Databases {
		sql = append(sql, "CREATE DATABASE "+quoteIdent(d))
	}
	return sql
}

func quoteIdent(s string) string   { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
func quoteLiteral(s string) string { return `'` + strings.ReplaceAll(s, `'`, `''`) + `'` }
