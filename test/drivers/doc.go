// SPDX-License-Identifier: Apache-2.0

// Package drivers runs Go drivers other than pgx v5 against the daemon: lib/pq, and
// pgx v4, which many applications still use.
//
// It is a module of its own: pgx v4 depends on pgproto3/v2, which is at its end of
// life, and none of it may come near the daemon. For the same reason go-sql-driver
// is tried here, against the login of MySQL's clients.
package drivers
