// SPDX-License-Identifier: Apache-2.0

package mysql

import "encoding/binary"

// maxParams bounds the parameters of a statement, its query attributes included.
const maxParams = 1<<16 - 1

// cursor takes the beginning of a payload apart of which more may be to come. It stops at the first field that is not
// all there (need is then set) or that cannot be there (bad); every later read returns zero.
type cursor struct {
	p    []byte // what is there
	size int    // of the whole payload
	at   int
	need int // that much of the payload is needed to go on
	bad  bool
}

func (c *cursor) stopped() bool { return c.bad || c.need > 0 }

// take passes over n bytes and returns them.
func (c *cursor) take(n int) []byte {
	switch {
	case c.stopped():
		return nil
	case n < 0 || n > c.size-c.at:
		c.bad = true
		return nil
	case n > len(c.p)-c.at:
		c.need = c.at + n
		return nil
	}
	c.at += n
	return c.p[c.at-n : c.at : c.at]
}

func (c *cursor) uint8() byte {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) uint16() uint16 {
	if b := c.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) uint32() uint32 {
	if b := c.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) lenenc() uint64 {
	start := c.at
	switch head := c.uint8(); head {
	case lenenc2:
		c.take(2)
	case lenenc3:
		c.take(3)
	case lenenc8:
		c.take(8)
	case lenencNull, HeadErr:
		c.bad = true
	}
	if c.stopped() {
		return 0
	}
	v, _, _ := ReadLenencInt(c.p[start:c.at])
	return v
}

func (c *cursor) lenencBytes() []byte {
	v := c.lenenc()
	if v > uint64(max(c.size-c.at, 0)) {
		c.bad = true
		return nil
	}
	return c.take(int(v)) //nolint:gosec // at most the size of the payload
}

// types passes over the types of n parameters, with their names if named is set.
func (c *cursor) types(n int, named bool) []byte {
	if !named {
		return c.take(2 * n)
	}
	start := c.at
	for i := range n {
		// Each takes three bytes at least, so that a payload which arrives by the byte is not read again by the byte.
		if least := 3 * (n - i); least > len(c.p)-c.at && !c.stopped() {
			if least > c.size-c.at {
				c.bad = true
			} else {
				c.need = c.at + least
			}
		}
		c.take(2)
		c.lenencBytes()
		if c.stopped() {
			return nil
		}
	}
	return c.p[start:c.at:c.at]
}

// value passes over a value of the binary protocol.
func (c *cursor) value(t Type) {
	switch t {
	case TypeNull:
	case TypeTiny:
		c.take(1)
	case TypeShort, TypeYear:
		c.take(2)
	case TypeLong, TypeInt24, TypeFloat:
		c.take(4)
	case TypeLongLong, TypeDouble:
		c.take(8)
	case TypeDate, TypeDateTime, TypeTimestamp, TypeTime, TypeNewDate, TypeTimestamp2, TypeDateTime2, TypeTime2:
		c.take(int(c.uint8()))
	default:
		c.lenencBytes()
	}
}

// values passes over the values of n parameters whose bits are not set in nulls and, if omitted is not nil, that are not
// omitted. types is what types returned.
func (c *cursor) values(n int, nulls, types []byte, named bool, omitted func(param int) bool) {
	r := reader{p: types}
	for i := range n {
		t := Type(r.uint16() & 0xff)
		if named {
			r.lenencBytes()
		}
		if r.bad {
			c.bad = true
		}
		if c.stopped() {
			return
		}
		if nulls[i/8]&(1<<(i%8)) == 0 && (omitted == nil || !omitted(i)) {
			c.value(t)
		}
	}
}

// QueryText returns where the text stands in the payload of a COM_QUERY of a client with these capabilities: at its
// second byte, or behind query attributes if it has ClientQueryAttributes. p is the beginning of the payload, size the
// length of all of it as far as it is known. If p is too short to tell, need is how many bytes of it are needed at
// least; the bytes before the text are all in front of it. The error is an *Error to be sent to the client.
func QueryText(p []byte, size int, caps Capabilities) (at, need int, err error) {
	c := cursor{p: p, size: size}
	if Command(c.uint8()) != ComQuery && !c.stopped() {
		return 0, 0, Malformed()
	}
	if caps.Has(ClientQueryAttributes) {
		n, sets := c.lenenc(), c.lenenc()
		if n > maxParams || sets != 1 && !c.stopped() {
			return 0, 0, Malformed()
		}
		if n := int(n); n > 0 {
			nulls := c.take((n + 7) / 8)
			if c.uint8() != 1 && !c.stopped() {
				return 0, 0, Malformed()
			}
			types := c.types(n, true)
			if !c.stopped() {
				c.values(n, nulls, types, true, nil)
			}
		}
	}
	if c.bad {
		return 0, 0, Malformed()
	}
	return c.at, c.need, nil
}
