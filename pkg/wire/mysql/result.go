// SPDX-License-Identifier: Apache-2.0

package mysql

import "encoding/binary"

// Reply says what the first packet of a reply to COM_QUERY or COM_STMT_EXECUTE begins, or one behind StatusMoreResults.
type Reply uint8

// The replies.
const (
	ReplyColumns Reply = iota // a result set: the count of its columns, see ParseColumnCount
	ReplyOK
	ReplyError
	ReplyLocalInfile // the server asks for a file; its name is payload[1:]
	ReplyMalformed
)

// ReplyOf returns what a reply begins with. payload may be the beginning of one, if it has a byte.
func ReplyOf(payload []byte) Reply {
	if len(payload) == 0 {
		return ReplyMalformed
	}
	switch payload[0] {
	case HeadOK:
		return ReplyOK
	case HeadErr:
		return ReplyError
	case HeadLocalInfile:
		return ReplyLocalInfile
	case HeadEOF: // more than 16 million columns
		return ReplyMalformed
	}
	return ReplyColumns
}

// maxColumns is more than any result can have: 4096 in a table, and the counts of a prepared statement have two bytes.
const maxColumns = 1<<16 - 1

// ParseColumnCount reads the payload that a result set begins with. metadata reports whether as many column definitions
// follow: with ClientOptionalResultsetMetadata and MariaDBCacheMetadata, a server may leave them out. The flag stands
// behind the count in both dialects, whatever MySQL's documentation says. Without ClientDeprecateEOF, an EOF packet
// comes behind the definitions, and it comes where they are left out, too.
func ParseColumnCount(payload []byte, caps Capabilities) (n int, metadata, ok bool) {
	v, size, ok := ReadLenencInt(payload)
	if !ok || v == 0 || v > maxColumns {
		return 0, false, false
	}
	if !caps.metadataFlag() {
		return int(v), true, len(payload) == size
	}
	if len(payload) != size+1 || payload[size] > 1 {
		return 0, false, false
	}
	return int(v), payload[size] == 1, true
}

// AppendColumnCount appends the packet that a result set begins with. metadata says whether the column definitions
// follow; they have to for a peer whose capabilities have no flag for it.
func AppendColumnCount(dst []byte, seq byte, caps Capabilities, n int, metadata bool) []byte {
	dst, at := begin(dst)
	dst = AppendLenencInt(dst, uint64(n))
	if caps.metadataFlag() {
		dst = appendBool(dst, metadata)
	}
	return finish(dst, at, seq)
}

func appendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func (c Capabilities) metadataFlag() bool {
	return c&(ClientOptionalResultsetMetadata|MariaDBCacheMetadata) != 0
}

// Column is a column definition (ColumnDefinition41).
type Column struct {
	Schema, Table, OrgTable, Name, OrgName []byte

	Extended  []byte // with MariaDBExtendedMetadata: names of data types, not taken apart
	Collation uint16
	Length    uint32
	Type      Type
	Flags     uint16
	Decimals  byte
	Rest      []byte // in the reply to COM_FIELD_LIST: the default value
}

// columnTail is the length of the fields of fixed length, as a column definition announces it.
const columnTail = 12

var catalog = []byte("def")

// ParseColumn reads the payload of a column definition. The fields alias it. Nothing is allocated.
func ParseColumn(payload []byte, caps Capabilities) (c Column, ok bool) {
	r := reader{p: payload}
	r.lenencBytes()
	c.Schema, c.Table, c.OrgTable = r.lenencBytes(), r.lenencBytes(), r.lenencBytes()
	c.Name, c.OrgName = r.lenencBytes(), r.lenencBytes()
	if caps.Has(MariaDBExtendedMetadata) {
		c.Extended = r.lenencBytes()
	}
	if r.lenenc() != columnTail {
		return Column{}, false
	}
	c.Collation, c.Length, c.Type = r.uint16(), r.uint32(), Type(r.uint8())
	c.Flags, c.Decimals = r.uint16(), r.uint8()
	r.uint16()
	if r.bad {
		return Column{}, false
	}
	c.Rest = r.p
	return c, true
}

// AppendColumn appends a column definition.
func AppendColumn(dst []byte, seq byte, caps Capabilities, c *Column) []byte {
	dst, at := begin(dst)
	dst = AppendLenencString(dst, catalog)
	dst = AppendLenencString(dst, c.Schema)
	dst = AppendLenencString(dst, c.Table)
	dst = AppendLenencString(dst, c.OrgTable)
	dst = AppendLenencString(dst, c.Name)
	dst = AppendLenencString(dst, c.OrgName)
	if caps.Has(MariaDBExtendedMetadata) {
		dst = AppendLenencString(dst, c.Extended)
	}
	dst = append(dst, columnTail)
	dst = binary.LittleEndian.AppendUint16(dst, c.Collation)
	dst = binary.LittleEndian.AppendUint32(dst, c.Length)
	dst = append(dst, byte(c.Type))
	dst = binary.LittleEndian.AppendUint16(dst, c.Flags)
	dst = append(dst, c.Decimals, 0, 0)
	return finish(append(dst, c.Rest...), at, seq)
}

// TextRow walks over the values of a row of the text protocol.
type TextRow struct{ r reader }

// ReadTextRow begins at the first value. The values alias payload.
func ReadTextRow(payload []byte) TextRow { return TextRow{reader{p: payload}} }

// Next returns the next value; it is nil, and not empty, for NULL. ok is false at the end, and where the row cannot be
// understood (see Malformed).
func (t *TextRow) Next() (value []byte, ok bool) {
	if len(t.r.p) == 0 {
		return nil, false
	}
	if t.r.p[0] == lenencNull {
		t.r.p = t.r.p[1:]
		return nil, true
	}
	value = t.r.lenencBytes()
	return value, !t.r.bad
}

// Malformed reports whether Next stopped before the end of the row.
func (t *TextRow) Malformed() bool { return t.r.bad }

// AppendTextRow appends a row of the text protocol. A nil value is NULL.
func AppendTextRow(dst []byte, seq byte, values ...[]byte) []byte {
	dst, at := begin(dst)
	for _, v := range values {
		if v == nil {
			dst = append(dst, lenencNull)
			continue
		}
		dst = AppendLenencString(dst, v)
	}
	return finish(dst, at, seq)
}

// Prepared is the packet that answers COM_STMT_PREPARE. Behind it come Params and then Columns column definitions if
// Metadata is set. Without ClientDeprecateEOF, an EOF packet ends each of the two groups whose count is not 0, whether
// the definitions are there or not.
type Prepared struct {
	ID       uint32
	Columns  uint16
	Params   uint16
	Warnings uint16
	Metadata bool
}

// ParsePrepared reads the payload of the packet that answers COM_STMT_PREPARE. ok is false if it is none, which an ERR
// packet is too.
func ParsePrepared(payload []byte, caps Capabilities) (s Prepared, ok bool) {
	r := reader{p: payload}
	if r.uint8() != HeadOK {
		return Prepared{}, false
	}
	s = Prepared{ID: r.uint32(), Columns: r.uint16(), Params: r.uint16(), Metadata: true}
	r.uint8()
	if r.bad {
		return Prepared{}, false
	}
	if len(r.p) >= 2 {
		s.Warnings = r.uint16()
	}
	if caps.Has(ClientOptionalResultsetMetadata) && len(r.p) > 0 {
		s.Metadata = r.uint8() != 0
	}
	return s, true
}

// AppendPrepared appends the packet that answers COM_STMT_PREPARE.
func AppendPrepared(dst []byte, seq byte, caps Capabilities, s Prepared) []byte {
	dst, at := begin(dst)
	dst = binary.LittleEndian.AppendUint32(append(dst, HeadOK), s.ID)
	dst = binary.LittleEndian.AppendUint16(dst, s.Columns)
	dst = binary.LittleEndian.AppendUint16(dst, s.Params)
	dst = binary.LittleEndian.AppendUint16(append(dst, 0), s.Warnings)
	if caps.Has(ClientOptionalResultsetMetadata) {
		dst = appendBool(dst, s.Metadata)
	}
	return finish(dst, at, seq)
}
