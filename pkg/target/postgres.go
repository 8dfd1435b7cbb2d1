// SPDX-License-Identifier: Apache-2.0

// Package target opens connections to the database. (first version, to be thickened)
package target

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

type Options struct {
	Host           string
	Port           int
	TLSMode        string
	TLS            *tls.Config
	ConnectTimeout time.Duration
	InitQuery      string
	Wrap           func(net.Conn) net.Conn
}
type Request struct {
	User, Password, Database string
	Params                   []wire.Setting
	Replication              string
}
type Established struct {
	Conn, Wrapped net.Conn
	PID           uint32
	SecretKey     []byte
	Params        map[string]string
}
type Facts struct {
	MaxConnections  int
	BackendSettings []string
	ServerVersion   string
	InRecovery      bool
}
type Dialer struct{ o Options }

func NewDialer(o Options) *Dialer { return &Dialer{o} }

func (d *Dialer) connect(ctx context.Context, r Request) (*pgconn.PgConn, net.Conn, error) {
	cfg, err := pgconn.ParseConfig("sslmode=disable")
	if err != nil {
		return nil, nil, err
	}
	var wrapped net.Conn
	cfg.Host, cfg.Port, cfg.User, cfg.Password, cfg.Database = d.o.Host, uint16(d.o.Port), r.User, r.Password, r.Database
	cfg.RuntimeParams = map[string]string{}
	for _, p := range r.Params {
		cfg.RuntimeParams[p.Name] = p.Value
	}
	if r.Replication != "" {
		cfg.RuntimeParams["replication"] = r.Replication
	}
	cfg.Fallbacks = nil
	cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(d.o.Host, strconv.Itoa(d.o.Port)))
		if err != nil {
			return nil, err
		}
		wrapped = nc
		if d.o.Wrap != nil {
			wrapped = d.o.Wrap(nc)
		}
		return wrapped, nil
	}
	c, err := pgconn.ConnectConfig(ctx, cfg)
	return c, wrapped, err
}

func (d *Dialer) Dial(ctx context.Context, r Request) (*Established, error) {
	c, w, err := d.connect(ctx, r)
	if err != nil {
		return nil, err
	}
	if d.o.InitQuery != "" {
		if _, err := c.Exec(ctx, d.o.InitQuery).ReadAll(); err != nil {
			return nil, err
		}
	}
	h, err := c.Hijack()
	if err != nil {
		return nil, err
	}
	return &Established{h.Conn, w, h.PID, h.SecretKey, h.ParameterStatuses}, nil
}

func (d *Dialer) Cancel(ctx context.Context, pid uint32, secret []byte) error {
	nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(d.o.Host, strconv.Itoa(d.o.Port)))
	if err != nil {
		return err
	}
	defer nc.Close()
	msg := binary.BigEndian.AppendUint32(nil, uint32(12+len(secret)))
	msg = binary.BigEndian.AppendUint32(msg, 80877102)
	msg = binary.BigEndian.AppendUint32(msg, pid)
	msg = append(msg, secret...)
	if _, err := nc.Write(msg); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, nc)
	return err
}

func (d *Dialer) Facts(ctx context.Context, r Request) (Facts, error) {
	c, _, err := d.connect(ctx, r)
	if err != nil {
		return Facts{}, err
	}
	defer c.Close(ctx)
	res, err := c.Exec(ctx, "select current_setting('max_connections'), current_setting('server_version'), pg_is_in_recovery(), (select string_agg(name, ',') from pg_settings where context like '%backend')").ReadAll()
	if err != nil {
		return Facts{}, err
	}
	row := res[0].Rows[0]
	n, err := strconv.Atoi(string(row[0]))
	return Facts{n, strings.Split(string(row[3]), ","), string(row[1]), string(row[2]) == "t"}, err
}

func ServerError(err error) (*wire.Error, bool) {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return nil, false
	}
	return &wire.Error{Severity: e.Severity, Code: e.Code, Message: e.Message, Detail: e.Detail, Hint: e.Hint}, true
}

func Permanent(err error) bool {
	e, ok := ServerError(err)
	return ok && (e.Code[:2] == "28" || e.Code == "3D000" || e.Code == "42501")
}

var _ = fmt.Sprint
