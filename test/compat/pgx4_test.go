// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"fmt"
	"path/filepath"
	"testing"
)

// pgx4 is pgx v4 with the modules that it is split into. Its protocol library,
// pgproto3/v2, has come to its end, but many applications still run it.
var pgx4 = []suite{
	{
		module:      Module{"github.com/jackc/pgx/v4", "v4.18.3"},
		packages:    []string{".", "pgxpool", "stdlib"},
		expected:    "pgx-v4.txt",
		environment: pgx4Environment,
	},
	{
		module:      Module{"github.com/jackc/pgconn", "v1.14.3"},
		packages:    []string{".", "stmtcache"},
		expected:    "pgconn-v1.txt",
		environment: pgx4Environment,
	},
	{
		module:      Module{"github.com/jackc/pgtype", "v1.14.4"},
		packages:    []string{".", "zeronull", "ext/gofrs-uuid", "ext/shopspring-numeric"},
		expected:    "pgtype-v1.txt",
		environment: pgx4Environment,
	},
}

func pgx4Environment(w way) []string {
	conn := func(user, more string) string {
		return fmt.Sprintf("host=%s port=%d user=%s password=secret dbname=pgx_test %s", w.host, w.port, user, more)
	}
	return []string{
		"PGX_TEST_DATABASE=" + conn("pgx_md5", "sslmode=disable"),
		"PGX_TEST_PGBOUNCER_CONN_STRING=" + conn("pgx_md5", "sslmode=disable"),
		"PGX_TEST_CONN_STRING=" + conn("pgx_md5", ""),
		"PGX_TEST_TCP_CONN_STRING=" + conn("pgx_md5", ""),
		"PGX_TEST_TLS_CONN_STRING=" + conn("pgx_ssl", "sslmode=verify-ca sslrootcert="+filepath.Join(w.files, "ca.pem")),
		"PGX_TEST_PLAIN_PASSWORD_CONN_STRING=" + conn("pgx_pw", ""),
		"PGX_TEST_MD5_PASSWORD_CONN_STRING=" + conn("pgx_md5", ""),
		"PGX_TEST_SCRAM_PASSWORD_CONN_STRING=" + conn("pgx_scram", ""),
	}
}

// TestPgx4 runs the suites of pgx v4 and of its parts.
func TestPgx4(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes")
	}
	st := newPgxStack(t, 0)
	for _, s := range pgx4 {
		t.Run(s.module.Path, func(t *testing.T) { s.run(t, st) })
	}
}
