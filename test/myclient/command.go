// SPDX-License-Identifier: Apache-2.0

package myclient

import (
	"encoding/binary"
	"fmt"
	"strings"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// statement is one that was prepared.
type statement struct {
	id              uint32
	columns, params int
	types           []byte // those of the last execution
	long            map[int]bool
}

// Query is COM_QUERY. The lines tell the whole reply; errors of the server are lines
// as well, so err means that the connection is of no more use.
func (c *Conn) Query(sql string) ([]string, error) { return c.QueryFile(sql, "") }

// QueryFile is Query with the content of a file to give if the server asks for one.
func (c *Conn) QueryFile(sql, file string) ([]string, error) {
	var args []byte
	if c.Capabilities.Has(wire.ClientQueryAttributes) {
		args = []byte{0, 1}
	}
	if err := c.command(wire.ComQuery, append(args, sql...)...); err != nil {
		return nil, err
	}
	return c.results(false, file)
}

// Simple sends a command whose reply is an OK or an error.
func (c *Conn) Simple(cmd wire.Command, args ...byte) ([]string, error) {
	if err := c.command(cmd, args...); err != nil {
		return nil, err
	}
	payload, err := c.readPacket()
	if err != nil {
		return nil, err
	}
	if len(payload) > 0 && payload[0] == wire.HeadEOF { // COM_SET_OPTION
		line, _, err := c.endLine(payload)
		return []string{line}, err
	}
	if len(payload) > 0 && payload[0] == wire.HeadErr {
		lines, _, err := c.errorReply(payload)
		return lines, err
	}
	line, _, err := c.okLine("ok", payload)
	return []string{line}, err
}

// Statistics is COM_STATISTICS. Its numbers are left out.
func (c *Conn) Statistics() ([]string, error) {
	if err := c.command(wire.ComStatistics); err != nil {
		return nil, err
	}
	payload, err := c.readPacket()
	words, _, _ := strings.Cut(string(payload), ":")
	return []string{"statistics " + words}, err
}

// FieldList is COM_FIELD_LIST.
func (c *Conn) FieldList(table, pattern string) (lines []string, err error) {
	if err := c.command(wire.ComFieldList, []byte(table+"\x00"+pattern)...); err != nil {
		return nil, err
	}
	for {
		payload, err := c.readPacket()
		switch {
		case err != nil:
			return lines, err
		case len(payload) > 0 && payload[0] == wire.HeadErr:
			more, _, err := c.errorReply(payload)
			return append(lines, more...), err
		case len(payload) > 0 && payload[0] == wire.HeadEOF:
			line, _, err := c.endLine(payload)
			return append(lines, line), err
		}
		d, ok := wire.ParseColumn(payload, c.Capabilities)
		if !ok {
			return lines, fmt.Errorf("field %q", payload)
		}
		lines = append(lines, fmt.Sprintf("field %q type %#x length %d default %q", d.Name, byte(d.Type), d.Length, d.Rest))
	}
}

// Prepare is COM_STMT_PREPARE. The statement is known by name from then on.
func (c *Conn) Prepare(name, sql string) (lines []string, err error) {
	if err := c.command(wire.ComStmtPrepare, []byte(sql)...); err != nil {
		return nil, err
	}
	payload, err := c.readPacket()
	if err != nil {
		return nil, err
	}
	if len(payload) > 0 && payload[0] == wire.HeadErr {
		lines, _, err = c.errorReply(payload)
		return lines, err
	}
	p, ok := wire.ParsePrepared(payload, c.Capabilities)
	if !ok {
		return nil, fmt.Errorf("reply to COM_STMT_PREPARE %q", payload)
	}
	c.stmts[name] = &statement{id: p.ID, columns: int(p.Columns), params: int(p.Params), long: make(map[int]bool)}
	lines = append(lines, fmt.Sprintf("prepared params %d columns %d warnings %d", p.Params, p.Columns, p.Warnings))
	for _, n := range []uint16{p.Params, p.Columns} {
		if n == 0 {
			continue
		}
		if p.Metadata {
			if lines, err = c.columns(lines, int(n)); err != nil {
				return lines, err
			}
		}
		if !c.Capabilities.Has(wire.ClientDeprecateEOF) {
			line, _, err := c.end()
			if lines = append(lines, line); err != nil {
				return lines, err
			}
		}
	}
	return lines, nil
}

// unknown stands for a statement that was never prepared.
const unknown = 4711

// named gives the statement of a name, and one that the server does not know for a
// name that was never prepared.
func (c *Conn) named(name string) *statement {
	if s := c.stmts[name]; s != nil {
		return s
	}
	return &statement{id: unknown, long: make(map[int]bool)}
}

// Execute is COM_STMT_EXECUTE with parameters as Value has them; flags are those of
// the command. With repeat the types are left out, as those of the execution before.
func (c *Conn) Execute(name string, flags byte, repeat bool, values ...string) ([]string, error) {
	s := c.named(name)
	args := binary.LittleEndian.AppendUint32(nil, s.id)
	args = binary.LittleEndian.AppendUint32(append(args, flags), 1)
	counted := c.Capabilities.Has(wire.ClientQueryAttributes)
	if s.params > 0 {
		if counted {
			args = wire.AppendLenencInt(args, uint64(s.params))
		}
		args = append(args, s.values(values, repeat, counted)...)
	}
	if err := c.command(wire.ComStmtExecute, args...); err != nil {
		return nil, err
	}
	clear(s.long)
	return c.results(true, "")
}

// values gives the NULL bits, the types and the values.
func (s *statement) values(values []string, repeat, named bool) []byte {
	nulls := make([]byte, (s.params+7)/8)
	var types, data []byte
	for i := range s.params {
		v := "NULL"
		if i < len(values) {
			v = values[i]
		}
		typ, bytes := Value(v)
		if v == "NULL" && !s.long[i] {
			nulls[i/8] |= 1 << (i % 8)
		}
		types = append(types, byte(typ), 0)
		if named {
			types = append(types, 0)
		}
		if !s.long[i] {
			data = append(data, bytes...)
		}
	}
	out := nulls
	if repeat {
		out = append(out, 0)
	} else {
		out, s.types = append(append(out, 1), types...), types
	}
	return append(out, data...)
}

// Value is a parameter: NULL, a number (sent as a long long), or anything else as a
// string.
func Value(v string) (wire.Type, []byte) {
	if v == "NULL" {
		return wire.TypeVarString, nil
	}
	var n int64
	if _, err := fmt.Sscanf(v, "%d", &n); err == nil && fmt.Sprint(n) == v {
		return wire.TypeLongLong, binary.LittleEndian.AppendUint64(nil, uint64(n))
	}
	return wire.TypeVarString, wire.AppendLenencString(nil, v)
}

// Long is COM_STMT_SEND_LONG_DATA, which has no reply.
func (c *Conn) Long(name string, param uint16, data string) error {
	s := c.named(name)
	s.long[int(param)] = true
	args := binary.LittleEndian.AppendUint32(nil, s.id)
	args = binary.LittleEndian.AppendUint16(args, param)
	return c.command(wire.ComStmtSendLongData, append(args, data...)...)
}

// Fetch is COM_STMT_FETCH.
func (c *Conn) Fetch(name string, n uint32) ([]string, error) {
	s := c.named(name)
	args := binary.LittleEndian.AppendUint32(nil, s.id)
	if err := c.command(wire.ComStmtFetch, binary.LittleEndian.AppendUint32(args, n)...); err != nil {
		return nil, err
	}
	lines, _, err := c.rows(nil, s.columns, true)
	return lines, err
}

// Reset is COM_STMT_RESET.
func (c *Conn) Reset(name string) ([]string, error) {
	s := c.named(name)
	clear(s.long)
	return c.Simple(wire.ComStmtReset, binary.LittleEndian.AppendUint32(nil, s.id)...)
}

// CloseStatement is COM_STMT_CLOSE, which has no reply. The name stays, so that what
// comes after it meets an id that is gone.
func (c *Conn) CloseStatement(name string) error {
	return c.command(wire.ComStmtClose, binary.LittleEndian.AppendUint32(nil, c.named(name).id)...)
}

// ResetConnection is COM_RESET_CONNECTION.
func (c *Conn) ResetConnection() ([]string, error) { return c.Simple(wire.ComResetConnection) }
