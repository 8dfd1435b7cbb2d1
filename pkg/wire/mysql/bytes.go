// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"bytes"
	"encoding/binary"
)

// First bytes of length-encoded integers that are not one themselves.
const (
	lenencNull = 0xfb
	lenenc2    = 0xfc
	lenenc3    = 0xfd
	lenenc8    = 0xfe
)

// ReadLenencInt reads a length-encoded integer from the front of p. n is the number of bytes it takes. ok is false if p
// is too short for it, or begins with what is no integer: 0xFB (NULL in rows) or 0xFF (an error packet).
func ReadLenencInt(p []byte) (v uint64, n int, ok bool) {
	if len(p) == 0 {
		return 0, 0, false
	}
	switch c := p[0]; {
	case c < lenencNull:
		return uint64(c), 1, true
	case c == lenenc2 && len(p) >= 3:
		return uint64(binary.LittleEndian.Uint16(p[1:])), 3, true
	case c == lenenc3 && len(p) >= 4:
		return uint64(p[1]) | uint64(p[2])<<8 | uint64(p[3])<<16, 4, true
	case c == lenenc8 && len(p) >= 9:
		return binary.LittleEndian.Uint64(p[1:]), 9, true
	}
	return 0, 0, false
}

// ReadLenencString splits p behind the length-encoded string at its front. Both parts alias p.
func ReadLenencString(p []byte) (s, rest []byte, ok bool) {
	v, n, ok := ReadLenencInt(p)
	// Compared as uint64: a length of 1<<63 must not become a negative int.
	if !ok || v > uint64(len(p)-n) {
		return nil, nil, false
	}
	end := n + int(v) //nolint:gosec // it is at most len(p)
	return p[n:end:end], p[end:], true
}

// LenencSize returns how many bytes the length-encoded integer v takes: 1, 3, 4 or 9.
func LenencSize(v uint64) int {
	switch {
	case v < lenencNull:
		return 1
	case v < 1<<16:
		return 3
	case v < 1<<24:
		return 4
	}
	return 9
}

// AppendLenencInt appends a length-encoded integer in its shortest form.
func AppendLenencInt(dst []byte, v uint64) []byte {
	switch {
	case v < lenencNull:
		return append(dst, byte(v))
	case v < 1<<16:
		return append(dst, lenenc2, byte(v), byte(v>>8)) //nolint:gosec // the bytes of v
	case v < 1<<24:
		return append(dst, lenenc3, byte(v), byte(v>>8), byte(v>>16)) //nolint:gosec // the bytes of v
	}
	return binary.LittleEndian.AppendUint64(append(dst, lenenc8), v)
}

// AppendLenencString appends a length-encoded string.
func AppendLenencString[S string | []byte](dst []byte, s S) []byte {
	return append(AppendLenencInt(dst, uint64(len(s))), s...)
}

func putUint24(p []byte, v int) {
	p[0], p[1], p[2] = byte(v), byte(v>>8), byte(v>>16) //nolint:gosec // the bytes of v
}

func appendUint24(dst []byte, v int) []byte {
	return append(dst, byte(v), byte(v>>8), byte(v>>16)) //nolint:gosec // the bytes of v
}

// appendCString appends a zero-terminated string. A NUL within it would end it early and make the rest of it protocol,
// so it is cut there, which is what the reader would see of it anyway.
func appendCString(dst []byte, s string) []byte {
	for i := range len(s) {
		if s[i] == 0 {
			s = s[:i]
			break
		}
	}
	return append(append(dst, s...), 0)
}

// reader takes a payload apart. The first read that the payload is too short for makes it bad; every later one returns
// zero. So a decoder asks once, at its end.
type reader struct {
	p   []byte
	bad bool
}

func (r *reader) fail() {
	r.p, r.bad = nil, true
}

func (r *reader) bytes(n int) []byte {
	if n < 0 || n > len(r.p) {
		r.fail()
		return nil
	}
	b := r.p[:n:n]
	r.p = r.p[n:]
	return b
}

func (r *reader) uint8() byte {
	if len(r.p) < 1 {
		r.fail()
		return 0
	}
	v := r.p[0]
	r.p = r.p[1:]
	return v
}

func (r *reader) uint16() uint16 {
	if len(r.p) < 2 {
		r.fail()
		return 0
	}
	v := binary.LittleEndian.Uint16(r.p)
	r.p = r.p[2:]
	return v
}

func (r *reader) uint32() uint32 {
	if len(r.p) < 4 {
		r.fail()
		return 0
	}
	v := binary.LittleEndian.Uint32(r.p)
	r.p = r.p[4:]
	return v
}

func (r *reader) lenenc() uint64 {
	v, n, ok := ReadLenencInt(r.p)
	if !ok {
		r.fail()
		return 0
	}
	r.p = r.p[n:]
	return v
}

func (r *reader) lenencBytes() []byte {
	s, rest, ok := ReadLenencString(r.p)
	if !ok {
		r.fail()
		return nil
	}
	r.p = rest
	return s
}

// cstring reads a zero-terminated string.
func (r *reader) cstring() []byte {
	s, rest, ok := bytes.Cut(r.p, []byte{0})
	if !ok {
		r.fail()
		return nil
	}
	r.p = rest
	return s
}

// lastString reads a string that ends at its terminator or, if it has none, at the end of the payload. Servers read the
// last field of a packet so, and there are clients that rely on it.
func (r *reader) lastString() []byte {
	s, rest, _ := bytes.Cut(r.p, []byte{0})
	r.p = rest
	return s
}
