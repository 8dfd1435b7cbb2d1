// SPDX-License-Identifier: Apache-2.0

// Package writers is a crowd of clients that write without pause while the database
// under them fails, and note what they were told of each write.
//
// A client has one connection by an ordinary driver (pgx; go-mysql for MySQL and
// MariaDB) and never opens another, unless it is told to. A quarter of them each
// insert by a text, by a prepared statement, by texts in a transaction of several
// statements, and by prepared statements in such a transaction. What they were told
// goes to test/history; when they were told it says how long writing was not
// possible.
package writers
