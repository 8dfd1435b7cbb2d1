// SPDX-License-Identifier: Apache-2.0

// Package myserver starts real MariaDB and MySQL servers for tests, for
// benchmarks and for `make run`.
//
// A server lives in a folder of its own below the temporary folder, runs as an
// unprivileged user, listens on a free port of a loopback address and is gone,
// with its folder, when it is stopped. It dies with the process that started it,
// however that process ends. Servers of the machine are never touched, and none
// is left running by an installation.
//
// Where the programs come from:
//
//	MariaDB       the distribution's: /usr/sbin/mariadbd. Missing, it is installed by
//	              apt-get without the package that would start a service; what plugins
//	              that package has are in mariadb-plugins-* in the cache.
//	MySQL         the machine's own mysqld of MySQL 8.0 or later, or Debian unstable's:
//	              sid/opt/mysql in the cache, with MySQL's client and MySQL Router
//	NewestMariaDB Debian unstable's: sid/opt/mariadb in the cache
//
// The cache is the folder that machine.CacheDir tells, /var/cache/rdsproxy-test
// for root. Programs of Debian unstable need their own dynamic loader: start them
// with Installation.Command. sysbench is the distribution's, in the path.
//
// Where a server is not to be had, tests are skipped with the reason and the number
// of skipped tests is printed; with CI=true they fail instead.
package myserver
