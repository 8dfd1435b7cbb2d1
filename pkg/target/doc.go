// SPDX-License-Identifier: Apache-2.0

// Package target opens connections to the database.
//
// A Dialer (PostgreSQL) or a MySQLDialer (MySQL and MariaDB) connects, starts TLS,
// logs in, runs the init query, and hands over a socket on which the server is idle
// and from which nothing has been read ahead, together with what the server told at
// login. It also delivers requests to cancel, and asks the server for the facts that
// the proxy needs to know of it. All of it blocks, with a context, on the caller's
// goroutine.
//
// The login to PostgreSQL is pgconn's; that to MySQL is this package's own, on
// pkg/wire/mysql. Neither takes anything from the process's environment or reads
// files. The database is not trusted more than necessary: how much it may send
// before it is ready, how large a message may be, how long it may go on asking for
// authentication, and how much work a SCRAM challenge or an RSA key may ask for are
// limited.
package target
