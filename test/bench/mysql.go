// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rdsproxy/rdsproxy/test/bench/measure"
	"github.com/rdsproxy/rdsproxy/test/bench/myload"
	"github.com/rdsproxy/rdsproxy/test/bench/report"
	"github.com/rdsproxy/rdsproxy/test/bench/rig"
)

// mysqlPool is the number of database connections in front of MySQL.
const mysqlPool = 20

// mysql lists the experiments with MySQL.
func (p plan) mysql() []experiment {
	plain, secure := pool{size: mysqlPool}, pool{size: mysqlPool, secure: true}
	var out []experiment
	for _, clients := range []int{1, 32, 100, 300} {
		out = append(out, p.withDirect(fmt.Sprintf("mysql.point_select.c%d", clients), plain, rig.MySQLLoad{Clients: clients}))
	}
	out = append(out, p.sysbench("mysql.read_write.c100", plain, rig.MySQLLoad{Work: myload.ReadWrite, Clients: 100}), p.login("mysql.login.caching_sha2", plain, rig.Logins{}))
	// MySQL Router keeps a database connection for each client that has prepared a statement, so there it may have as many as it likes; with 20 of
	// them it serves 20 clients. Its processes come one after the other, because only one may run at a time.
	unbound := pool{size: mysqlPool, peer: rig.MySQLMaxConnections}
	out = append(out,
		p.sysbench("mysql.point_select_unbound.c100", unbound, rig.MySQLLoad{Clients: 100}),
		p.sysbench("mysql.point_select_prepared.c100", unbound, rig.MySQLLoad{Work: myload.Prepared, Clients: 100}),
		p.sysbench("mysql.point_select_prepared.c300", unbound, rig.MySQLLoad{Work: myload.Prepared, Clients: 300}),
	)
	for _, clients := range []int{32, 100} {
		out = append(out, p.withDirect(fmt.Sprintf("mysql.point_select_tls.c%d", clients), secure, rig.MySQLLoad{Clients: clients, TLS: true}))
	}
	out = append(out,
		p.login("mysql.login.caching_sha2_tls", secure, rig.Logins{TLS: true}),
		p.idle("mysql.idle.plain", p.sysbench("", plain, rig.MySQLLoad{Clients: mysqlPool}), false),
		p.idle("mysql.idle.tls", p.sysbench("", secure, rig.MySQLLoad{Clients: mysqlPool, TLS: true}), true),
	)
	for i := range out {
		out[i].engine = mysql
	}
	return out
}

// sysbench is a load in the manner of sysbench.
func (p plan) sysbench(name string, size pool, l rig.MySQLLoad) experiment {
	return p.throughput(name, size, load{l.Clients, func(
		ctx context.Context, _ *side, i *rig.Instance, warm, measured time.Duration,
	) (measure.Throughput, error) {
		l := l
		l.Warm, l.For = warm, measured
		return l.Through(ctx, i)
	}})
}

// withDirect is a load whose throughput is compared with that of the database itself as well.
func (p plan) withDirect(name string, size pool, l rig.MySQLLoad) experiment {
	e := p.sysbench(name, size, l)
	e.metrics = append(e.metrics, metric{"of_direct", report.UnitShare})
	e.estimate += e.estimate / 2
	l.Warm, l.For = p.warm, p.load
	e.direct = func(ctx context.Context, s *side) (float64, error) {
		if s.alone { // a MySQL Router in our place, whose limit is not for the clients themselves
			if err := errors.Join(s.stop(), s.backend.MySQL.Limit(ctx, rig.MySQLMaxConnections)); err != nil {
				return 0, err
			}
		}
		return l.Direct(ctx, s.backend.MySQL, s.user(size), s.backend.TLS)
	}
	return e
}
