// SPDX-License-Identifier: Apache-2.0

package mysql

import "encoding/binary"

// Flags of COM_STMT_EXECUTE.
const (
	CursorReadOnly          = 1 << 0
	CursorForUpdate         = 1 << 1
	CursorScrollable        = 1 << 2
	ParameterCountAvailable = 1 << 3
)

// Flags of COM_STMT_BULK_EXECUTE.
const (
	BulkUnitResults = 1 << 6
	BulkSendTypes   = 1 << 7
)

// LastStatement is the statement id that means the one prepared last (MariaDB).
const LastStatement = 0xffffffff

// Execute is the head of a COM_STMT_EXECUTE or a COM_STMT_BULK_EXECUTE: all of it but the values. The slices alias the
// payload.
type Execute struct {
	Bulk  bool
	ID    uint32
	Flags uint16
	// Params is the number of parameters, query attributes included.
	Params int
	// Nulls has a bit for each parameter that is NULL. It is nil in a bulk, where each value says it by itself.
	Nulls []byte
	// HasTypes reports whether the types are there. Clients leave them out if they are those of the execution before.
	HasTypes bool
	// Types are two bytes for each parameter, with ClientQueryAttributes followed by its name. Not nil if HasTypes.
	Types []byte
	// Values is where the values begin in the payload.
	Values int

	typesAt int // where Types begin, or would
}

// Cursor reports whether the statement is to open a cursor.
func (x *Execute) Cursor() bool {
	return !x.Bulk && x.Flags&(CursorReadOnly|CursorForUpdate|CursorScrollable) != 0
}

// ParseExecute reads the head of a COM_STMT_EXECUTE or COM_STMT_BULK_EXECUTE of a client with these capabilities, for a
// statement with so many parameters. p is the beginning of the payload, size the length of all of it as far as it is
// known. If p is too short, need is how many bytes of it are needed at least, else 0. The error is an *Error to be sent
// to the client.
func ParseExecute(p []byte, size int, caps Capabilities, params int) (x Execute, need int, err error) {
	c := cursor{p: p, size: size}
	switch Command(c.uint8()) {
	case ComStmtExecute:
		x.head(&c, caps, params)
	case ComStmtBulkExecute:
		x.bulkHead(&c, params)
	default:
		c.bad = !c.stopped() || c.bad
	}
	if c.bad {
		return Execute{}, 0, Malformed()
	}
	if c.need > 0 {
		return Execute{}, c.need, nil
	}
	x.Values = c.at
	return x, 0, nil
}

func (x *Execute) head(c *cursor, caps Capabilities, params int) {
	x.ID, x.Flags = c.uint32(), uint16(c.uint8())
	c.uint32() // iterations: always 1, never read
	x.typesAt = c.at
	named := caps.Has(ClientQueryAttributes)
	if params <= 0 && (!named || x.Flags&ParameterCountAvailable == 0) {
		return
	}
	x.Params = params
	if named {
		n := c.lenenc()
		// The parameters of the statement come first, query attributes behind them.
		if !c.stopped() && (n > maxParams || int(n) < params) {
			c.bad = true
			return
		}
		x.Params = int(n) //nolint:gosec // bounded
		if n == 0 {
			return
		}
	}
	x.Nulls = c.take((x.Params + 7) / 8)
	x.HasTypes = c.uint8() == 1
	x.typesAt = c.at
	if x.HasTypes {
		x.Types = c.types(x.Params, named)
	}
}

func (x *Execute) bulkHead(c *cursor, params int) {
	x.Bulk, x.Params = true, max(params, 0)
	x.ID, x.Flags = c.uint32(), c.uint16()
	x.typesAt = c.at
	if x.HasTypes = x.Flags&BulkSendTypes != 0; x.HasTypes {
		x.Types = c.types(x.Params, false)
	}
}

// Growth returns how many bytes AppendHead adds to the payload with these types.
func (x *Execute) Growth(types []byte) int {
	if x.HasTypes || x.Params == 0 {
		return 0
	}
	return len(types)
}

// AppendHead appends the head for a server that knows the statement by another id, without a packet header. If the types
// are not there, they are inserted: types is what Types was in an earlier execution with as many parameters. What
// follows it is payload[x.Values:].
func (x *Execute) AppendHead(dst, payload []byte, id uint32, types []byte) []byte {
	at := len(dst)
	dst = append(dst, payload[:x.typesAt]...)
	PutStatementID(dst[at:], id)
	if x.Growth(types) == 0 {
		return append(dst, payload[x.typesAt:x.Values]...)
	}
	if x.Bulk {
		binary.LittleEndian.PutUint16(dst[at+5:], x.Flags|BulkSendTypes)
	} else {
		dst[len(dst)-1] = 1 // new types follow
	}
	return append(dst, types...)
}

// AppendExecute appends a whole command, with its header or headers, for a server that knows the statement by another
// id. Everything is as with AppendHead; payload is all of it.
func (x *Execute) AppendExecute(dst, payload []byte, id uint32, types []byte) []byte {
	dst, at := begin(dst)
	dst = x.AppendHead(dst, payload, id, types)
	return finish(append(dst, payload[x.Values:]...), at, 0)
}

// CheckValues reports whether the values of a COM_STMT_EXECUTE are all within its payload, and nothing is behind them.
// types are those of this execution or of the one before. omitted tells the parameters that COM_STMT_SEND_LONG_DATA has
// brought, whose values are left out; nil stands for none. A bulk is not looked into.
func (x *Execute) CheckValues(payload []byte, caps Capabilities, types []byte, omitted func(param int) bool) bool {
	if x.Bulk {
		return true
	}
	c := cursor{p: payload, size: len(payload), at: x.Values}
	if x.Params > 0 {
		c.values(x.Params, x.Nulls, types, caps.Has(ClientQueryAttributes), omitted)
	}
	return !c.stopped() && c.at == len(payload)
}

// CheckTypes reports whether types are the types of n parameters, with their names if the client has
// ClientQueryAttributes.
func CheckTypes(types []byte, caps Capabilities, n int) bool {
	c := cursor{p: types, size: len(types)}
	c.types(n, caps.Has(ClientQueryAttributes))
	return !c.stopped() && c.at == len(types)
}
