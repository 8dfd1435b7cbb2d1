// SPDX-License-Identifier: Apache-2.0

package state

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// limit is how long a client waits for an answer.
const limit = 8 * time.Second

// client is a connection of which every message is seen.
type client struct {
	conn *pgconn.HijackedConn
	fe   *pgproto3.Frontend
}

// dial logs in. The answers to the login are not looked at: they are those of another
// process.
func dial(ctx context.Context, dsn string, parameters map[string]string) (*client, error) {
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	maps.Copy(config.RuntimeParams, parameters)
	config.MinProtocolVersion, config.MaxProtocolVersion = "3.0", "3.0"
	pc, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	conn, err := pc.Hijack()
	if err != nil {
		return nil, err
	}
	return &client{conn, conn.Frontend}, nil
}

func (c *client) close() { _ = c.conn.Conn.Close() } // it is of no more use

// query sends a Query and gives what is answered.
func (c *client) query(sql string) ([]string, error) {
	c.fe.SendQuery(&pgproto3.Query{String: sql})
	return c.answer()
}

// answer reads up to ReadyForQuery.
func (c *client) answer() (lines []string, err error) {
	if err := c.conn.Conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return nil, err
	}
	if err := c.fe.Flush(); err != nil {
		return nil, err
	}
	for {
		m, err := c.fe.Receive()
		if err != nil {
			return lines, err
		}
		lines = append(lines, told(m))
		if _, ready := m.(*pgproto3.ReadyForQuery); ready {
			return sortParameters(lines), nil
		}
	}
}

// sortParameters puts messages about parameters that follow each other in order: servers
// have none.
func sortParameters(lines []string) []string {
	for i := 0; i < len(lines); {
		j := i
		for j < len(lines) && strings.HasPrefix(lines[j], "parameter ") {
			j++
		}
		slices.Sort(lines[i:j])
		i = j + 1
	}
	return lines
}

// told is a message as a line of text.
func told(m pgproto3.BackendMessage) string {
	switch m := m.(type) {
	case *pgproto3.RowDescription:
		var names []string
		for _, f := range m.Fields {
			names = append(names, fmt.Sprintf("%s:%d:%d:%d", f.Name, f.DataTypeOID, f.TypeModifier, f.Format))
		}
		return "columns " + strings.Join(names, " ")
	case *pgproto3.DataRow:
		var values []string
		for _, v := range m.Values {
			if v == nil {
				values = append(values, "NULL")
			} else {
				values = append(values, strconv.Quote(string(v)))
			}
		}
		return "row " + strings.Join(values, " ")
	case *pgproto3.CommandComplete:
		return "complete " + string(m.CommandTag)
	case *pgproto3.ErrorResponse:
		return fmt.Sprintf("error %s %s %q %q %q %d", m.Severity, m.Code, m.Message, m.Detail, m.Hint, m.Position)
	case *pgproto3.NoticeResponse:
		return fmt.Sprintf("notice %s %s %q", m.Severity, m.Code, m.Message)
	case *pgproto3.ParameterStatus:
		return "parameter " + m.Name + "=" + m.Value
	case *pgproto3.NotificationResponse:
		return "notification " + m.Channel + " " + m.Payload
	case *pgproto3.ReadyForQuery:
		return "ready " + string(m.TxStatus)
	case *pgproto3.ParameterDescription:
		return fmt.Sprint("parameters ", m.ParameterOIDs)
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", m), "*pgproto3.")
}

// verbs are what a step can be besides a query. They send a message; the answers come
// with the next sync.
var verbs = map[string]func(c *client, f []string) error{
	"login": nil,
	"quit":  nil,
	"sync":  nil,
	"parse": func(c *client, f []string) error {
		c.fe.SendParse(&pgproto3.Parse{Name: named(f[0]), Query: strings.Join(f[1:], " ")})
		return nil
	},
	"bind": func(c *client, f []string) error {
		b := pgproto3.Bind{DestinationPortal: named(f[0]), PreparedStatement: named(f[1])}
		for _, v := range f[2:] {
			if v == "NULL" {
				b.Parameters = append(b.Parameters, nil)
			} else {
				b.Parameters = append(b.Parameters, []byte(strings.Trim(v, "'")))
			}
		}
		c.fe.SendBind(&b)
		return nil
	},
	"describe-statement": func(c *client, f []string) error {
		c.fe.SendDescribe(&pgproto3.Describe{ObjectType: 'S', Name: named(f[0])})
		return nil
	},
	"describe-portal": func(c *client, f []string) error {
		c.fe.SendDescribe(&pgproto3.Describe{ObjectType: 'P', Name: named(f[0])})
		return nil
	},
	"execute": func(c *client, f []string) error {
		n, err := strconv.ParseUint(f[1], 10, 32)
		c.fe.SendExecute(&pgproto3.Execute{Portal: named(f[0]), MaxRows: uint32(n)})
		return err
	},
	"close-statement": func(c *client, f []string) error {
		c.fe.SendClose(&pgproto3.Close{ObjectType: 'S', Name: named(f[0])})
		return nil
	},
	"close-portal": func(c *client, f []string) error {
		c.fe.SendClose(&pgproto3.Close{ObjectType: 'P', Name: named(f[0])})
		return nil
	},
}

func named(s string) string { return strings.TrimPrefix(s, "-") }
