// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"cmp"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// metric is one row of the catalogue.
type metric struct {
	name   string
	kind   string // gauge, counter, summary or histogram
	labels []string
	help   string
	// rds names the metrics of RDS Proxy that it stands for.
	rds  string
	desc *prometheus.Desc
}

func gauge(name, help, rds string, labels ...string) *metric {
	return newMetric("gauge", name, help, rds, labels)
}

func counter(name, help, rds string, labels ...string) *metric {
	return newMetric("counter", name, help, rds, labels)
}

func newMetric(kind, name, help, rds string, labels []string) *metric {
	name = "rdsproxy_" + name
	return &metric{name, kind, labels, help, rds, prometheus.NewDesc(name, help, labels, nil)}
}

// Every metric of ours. Names and labels are an interface: dashboards and alerts depend on them.
var (
	buildInfo = gauge("build_info", "Always 1; the label tells the version.", "", "version")
	startTime = gauge("start_time_seconds", "When the daemon started, in seconds since 1970.", "")
	draining  = gauge("draining", "1 once a stop was asked for.", "")
	loops     = gauge("loops", "Event loops.", "")

	reloadOK = gauge("config_last_reload_successful", "1 when the last reading of the configuration succeeded.", "")
	reloadAt = gauge("config_last_reload_success_timestamp_seconds",
		"When the configuration was last read with success, in seconds since 1970.", "")
	secretsFailing = gauge("secrets_failing", "Secrets whose last reading failed. Where there is an older value, it is in use.", "")
	sessionPanics  = counter("session_panics_total", "Client sessions ended by a fault of the proxy.", "")

	clientConnections = gauge("client_connections", "Open client connections, those that have not logged in yet included.",
		"ClientConnections, ClientConnectionsTLS, ClientConnectionsNoTLS", "endpoint", "tls")
	clientUnauthenticated = gauge("client_connections_unauthenticated", "Open client connections that have not logged in yet.",
		"", "endpoint")
	clientWaiting  = gauge("client_connections_waiting", "Clients that wait for a database connection.", "", "endpoint")
	clientReceived = counter("client_connections_received_total", "Client connections accepted.",
		"ClientConnectionsReceived", "endpoint")
	clientSucceeded = counter("client_connections_setup_succeeded_total", "Client connections that logged in.",
		"ClientConnectionsSetupSucceeded", "endpoint")
	clientFailed = counter("client_connections_setup_failed_total",
		"Client connections that did not get to log in, by reason. RDS Proxy counts authentication and TLS only.",
		"ClientConnectionsSetupFailedAuth", "endpoint", "reason")
	clientClosed = counter("client_connections_closed_total", "Logged-in client connections that ended, by reason.",
		"ClientConnectionsClosed", "endpoint", "reason")

	borrowLatency = newMetric("histogram", "database_connections_borrow_latency_seconds",
		"Time from wanting a database connection to having one.", "DatabaseConnectionsBorrowLatency", []string{"endpoint"})
	borrowTimeouts = counter("database_connections_borrow_timeouts_total",
		"Clients that got an error because connection_borrow_timeout ran out.", "", "endpoint")

	interrupted = counter("client_interruptions_total",
		"Losses of a database connection under a client that was using it, by the SQLSTATE that the client got for it: 40001 for what was "+
			"undone, 40003 where nobody knows; none if it has noticed nothing; closed if its connection ended too.", "", "endpoint", "code")

	queryRequests = counter("query_requests_total",
		"Requests received: Query messages (protocol simple) and Execute messages (protocol extended). "+
			"RDS Proxy leaves out the extended ones.",
		"QueryRequests, QueryRequestsTLS, QueryRequestsNoTLS", "endpoint", "protocol", "tls")
	queryLatency = newMetric("summary", "query_response_latency_seconds",
		"Time from the arrival of a request to its last reply, by endpoint.", "QueryResponseLatency", []string{"endpoint"})
	queryDatabaseLatency = newMetric("summary", "query_database_response_latency_seconds",
		"The part of rdsproxy_query_response_latency_seconds that the database took.", "QueryDatabaseResponseLatency", []string{"endpoint"})
	cancelRequests = counter("cancel_requests_total", "Cancel requests received, by what became of them.", "", "endpoint", "result")

	maxConnections = gauge("database_max_connections", "max_connections of the database; 0 while unknown.", "", "target_group")
	maxAllowed     = gauge("max_database_connections_allowed", "Database connections that the proxy may have open.",
		"MaxDatabaseConnectionsAllowed", "target_group")
	borrows  = counter("borrows_total", "Database connections lent.", "", "target_group")
	waited   = counter("borrows_waited_total", "Database connections lent after a wait.", "", "target_group")
	replayed = counter("borrows_replayed_total", "Database connections lent with other settings than the session's, which were replayed.",
		"", "target_group")
	moved  = counter("borrows_moved_total", "Database connections lent to another event loop than the one they were on.", "", "target_group")
	pins   = counter("session_pins_total", "Times a session became pinned, by reason.", "", "target_group", "reason")
	unpins = counter("session_unpins_total", "Times a pinned session became free again before it ended.", "", "target_group")
	pools  = gauge("pools", "Pools of database connections: one for each user and database.", "", "target_group")

	targetAvailable = gauge("target_available",
		"1 while the target serves its role. RDS Proxy's percentage is 100 * avg_over_time of it.",
		"AvailabilityPercentage", "target_group", "target", "role")
	targetHealth = gauge("target_health",
		"1 for the state that the target is in, with RDS Proxy's words for state and reason; the reason is empty when nothing is wrong.",
		"", "target_group", "target", "role", "state", "reason")
	targetLag = gauge("target_lag_seconds", "How far a reader is behind the writer, where that is known.", "",
		"target_group", "target", "role")
	failovers = counter("failovers_total",
		"Changes of the writer: another server, or the same one after a restart.", "", "target_group")
	withoutWriter = counter("without_writer_seconds_total",
		"Time in which the target group had no writer and clients waited, that until the first writer included.", "", "target_group")
	lastFailover = gauge("failover_last_duration_seconds", "Time without a writer before the latest change of the writer.", "", "target_group")
	paused       = gauge("paused", "1 while an operator has clients wait (rdsproxy pause).", "", "target_group")

	databaseConnections = gauge("database_connections", "Open database connections.",
		"DatabaseConnections, DatabaseConnectionsWithTLS", "target_group", "target", "role", "tls")
	databaseBorrowed = gauge("database_connections_currently_borrowed", "Database connections in use by clients.",
		"DatabaseConnectionsCurrentlyBorrowed", "target_group", "target", "role")
	databaseInTransaction = gauge("database_connections_currently_in_transaction", "Database connections inside of a transaction.",
		"DatabaseConnectionsCurrentlyInTransaction", "target_group", "target", "role")
	databasePinned = gauge("database_connections_currently_session_pinned",
		"Database connections pinned to a session, by the reason that pinned it first.",
		"DatabaseConnectionsCurrentlySessionPinned", "target_group", "target", "role", "reason")
	databaseDedicated = gauge("database_connections_currently_dedicated",
		"Database connections that serve one client and never return to a pool, as replication does.", "",
		"target_group", "target", "role")
	databaseRequests = counter("database_connection_requests_total", "Attempts to open a database connection.",
		"DatabaseConnectionRequests, DatabaseConnectionRequestsWithTLS", "target_group", "target", "role", "tls")
	databaseSucceeded = counter("database_connections_setup_succeeded_total", "Database connections opened.",
		"DatabaseConnectionsSetupSucceeded", "target_group", "target", "role")
	databaseFailed = counter("database_connections_setup_failed_total", "Database connections that could not be opened, by reason.",
		"DatabaseConnectionsSetupFailed", "target_group", "target", "role", "reason")
	databaseClosed = counter("database_connections_closed_total", "Database connections that ended, by reason.", "",
		"target_group", "target", "role", "reason")
	targetLatency = newMetric("summary", "target_query_response_latency_seconds",
		"Time that the database took to answer requests, by target.", "QueryDatabaseResponseLatency",
		[]string{"target_group", "target", "role"})

	poolConnections = gauge("pool_connections", "Database connections of one user to one database, by what they are doing.", "",
		"target_group", "user", "database", "state")
	poolWaiting = gauge("pool_waiting", "Clients that wait for a connection of this pool.", "", "target_group", "user", "database")
)

// catalogue is all of them, in the order of the documents.
var catalogue = []*metric{
	clientConnections, clientUnauthenticated, clientWaiting, clientReceived, clientSucceeded, clientFailed, clientClosed,
	interrupted, queryRequests, queryLatency, queryDatabaseLatency, cancelRequests, borrowLatency, borrowTimeouts,
	targetAvailable, targetHealth, targetLag, failovers, withoutWriter, lastFailover, paused, databaseConnections, databaseBorrowed, databaseInTransaction, databasePinned, databaseDedicated,
	databaseRequests, databaseSucceeded, databaseFailed, databaseClosed, targetLatency,
	maxConnections, maxAllowed, borrows, waited, replayed, moved, pins, unpins, pools, poolConnections, poolWaiting,
	buildInfo, startTime, draining, loops, reloadOK, reloadAt, secretsFailing, sessionPanics,
}

// Metric describes one metric for people.
type Metric struct {
	Name string
	// Type is gauge, counter, summary (sum and count, no quantiles) or histogram.
	Type   string
	Labels []string
	Help   string
	// RDS lists the metrics of RDS Proxy that it stands for.
	RDS []string
}

// Catalogue lists all metrics that /metrics shows, but for those of the Go runtime and of the process.
func Catalogue() []Metric {
	list := make([]Metric, len(catalogue))
	for i, m := range catalogue {
		list[i] = Metric{Name: m.name, Type: m.kind, Labels: slices.Clone(m.labels), Help: m.help}
		if m.rds != "" {
			list[i].RDS = strings.Split(m.rds, ", ")
		}
	}
	return list
}

// maxPools bounds the pools that metrics tell apart. Those with the most connections and waiters come first.
const maxPools = 500

func busiestPools(list []Pool) []Pool {
	if len(list) <= maxPools {
		return list
	}
	size := func(p Pool) uint64 { return p.Idle + p.Borrowed + p.Dedicated + p.Opening + p.Closing + p.Waiting }
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b Pool) int { return cmp.Compare(size(b), size(a)) })
	return list[:maxPools]
}
