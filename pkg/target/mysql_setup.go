// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"strings"
	"time"

	mywire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// setUp makes a connection that is logged in what it is to be.
func (d *MySQLDialer) setUp(ctx context.Context, s *mysqlSession) (e *MySQLEstablished, err error) {
	defer bound(ctx, s.wrapped)(&err)
	if err := s.runInit(d.o.InitQuery); err != nil {
		return nil, err
	}
	e = &MySQLEstablished{
		Conn: s.conn, Wrapped: s.wrapped, ThreadID: s.greeting.ThreadID, Greeting: s.greeting, Capabilities: s.caps,
	}
	if e.Schema, err = s.value("SELECT DATABASE()"); err != nil {
		return nil, err
	}
	if e.Base, err = s.variables("SESSION", d.o.Variables); err != nil {
		return nil, err
	}
	if d.o.Setup != "" {
		// Last, so that Base has what clients would find without it.
		if s.status, err = s.query(s.caps, d.o.Setup, nil); err != nil {
			return nil, err
		}
	}
	e.Status = s.status
	switch {
	case s.buffer.Buffered() > 0:
		return nil, errTalkative
	case s.status.Has(mywire.StatusInTrans), s.status.Has(mywire.StatusCursorExists):
		return nil, errUnready
	}
	return e, s.conn.SetDeadline(time.Time{})
}

// runInit runs the init query, which may be several statements.
func (s *mysqlSession) runInit(sql string) (err error) {
	if sql == "" {
		return nil
	}
	several := s.caps.Has(mywire.ClientMultiStatements)
	if !several {
		if err := s.option(mywire.OptionMultiStatementsOn); err != nil {
			return err
		}
	}
	if s.status, err = s.query(s.caps, sql, nil); err != nil {
		return err
	}
	if s.status.Has(mywire.StatusInTrans) {
		return &policyError{"the init query leaves a transaction open", true}
	}
	if !several {
		return s.option(mywire.OptionMultiStatementsOff)
	}
	return nil
}

// option sends COM_SET_OPTION, which servers answer with EOF or with OK.
func (s *mysqlSession) option(option uint16) error {
	if err := s.command(mywire.AppendSetOption(nil, option)); err != nil {
		return err
	}
	payload, err := s.read()
	switch {
	case err != nil:
		return err
	case payload[0] == mywire.HeadErr:
		return serverError(payload)
	case payload[0] != mywire.HeadOK && payload[0] != mywire.HeadEOF:
		return errMalformed
	}
	return nil
}

// value returns the first value of the rows of a query; "" for NULL or none.
func (s *mysqlSession) value(sql string) (value string, err error) {
	s.status, err = s.query(s.caps, sql, func(payload []byte) error {
		row := mywire.ReadTextRow(payload)
		v, ok := row.Next()
		if !ok {
			return errMalformed
		}
		value = string(v)
		return nil
	})
	return value, err
}

// variables asks for the values of variables, of those that there are. Names are
// told apart from each other in lower case, as they are given.
func (s *mysqlSession) variables(scope string, names []string) (map[string]string, error) {
	values := make(map[string]string, len(names))
	if len(names) == 0 {
		return values, nil
	}
	wanted := make(map[string]bool, len(names))
	sql := []byte("SHOW " + scope + " VARIABLES WHERE Variable_name IN (")
	for i, n := range names {
		if i > 0 {
			sql = append(sql, ',')
		}
		sql = mywire.AppendLiteral(sql, n)
		wanted[strings.ToLower(n)] = true
	}
	sql = append(sql, ')')
	status, err := s.query(s.caps, string(sql), func(payload []byte) error {
		row := mywire.ReadTextRow(payload)
		name, okName := row.Next()
		value, okValue := row.Next()
		if !okName || !okValue {
			return errMalformed
		}
		if n := strings.ToLower(string(name)); wanted[n] {
			values[n] = string(value)
		}
		return nil
	})
	s.status = status
	return values, err
}
