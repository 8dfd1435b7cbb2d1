// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"errors"
	"io"
	"net"
	"os"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// maxLoginMessage is the largest body that is accepted during login. libpq takes
// 30,000 bytes for what is not an error.
const maxLoginMessage = 64 << 10

// neutral is a configuration that nothing in the environment or in the home
// folder has touched. pgconn insists on ParseConfig, which reads both.
//
// Whatever PG* variables say is overridden by the text below, ignored for a host
// that is a folder (TLS files), or replaced in configure, except what PGSERVICE
// says: that would make ParseConfig read a file, and fail without it. So it is
// hidden for a moment, here, where package variables are initialised and nothing
// else runs yet.
var neutral = func() *pgconn.Config {
	const service = "PGSERVICE"
	if value, set := os.LookupEnv(service); set {
		_ = os.Unsetenv(service) // fails only for impossible names
		defer func() { _ = os.Setenv(service, value) }()
	}
	cfg, err := pgconn.ParseConfig("host=/ port=5432 user=none password=none database=none" +
		" sslmode=disable sslcertmode=allow sslnegotiation=postgres connect_timeout=0 target_session_attrs=any" +
		" min_protocol_version=3.0 max_protocol_version=3.2 channel_binding=prefer require_auth=''")
	if err != nil {
		panic("target: " + err.Error()) // the text above is wrong: every test would meet that
	}
	return cfg
}()

var errDialledAlready = errors.New("one login uses one connection")

// configure makes the settings of one login over a connection that is there
// already; TLS is none of pgconn's business.
func configure(r Request, version string, l link, g *guard) *pgconn.Config {
	cfg := neutral.Copy()
	cfg.User, cfg.Password, cfg.Database = r.User, r.Password, r.Database
	cfg.RuntimeParams = make(map[string]string, len(r.Params)+1)
	for _, p := range r.Params {
		switch p.Name {
		case "user", "database", "replication": // have fields of their own
		default:
			cfg.RuntimeParams[p.Name] = p.Value
		}
	}
	if r.Replication != "" {
		cfg.RuntimeParams["replication"] = r.Replication
	}
	cfg.Fallbacks = nil
	cfg.KerberosSrvName, cfg.KerberosSpn = "", ""
	cfg.MaxProtocolVersion = version
	cfg.MaxProtocolMessageBodyLen = maxLoginMessage
	// pgconn dials a second time by itself to send a cancel request after an
	// error. That is not wanted.
	given := false
	cfg.DialFunc = func(context.Context, string, string) (net.Conn, error) {
		if given {
			return nil, errDialledAlready
		}
		given = true
		return l.conn, nil
	}
	cfg.BuildFrontend = func(in io.Reader, out io.Writer) *pgproto3.Frontend {
		g.in = in
		return pgproto3.NewFrontend(g, out)
	}
	return cfg
}
