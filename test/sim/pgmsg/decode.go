// SPDX-License-Identifier: Apache-2.0

package pgmsg

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
)

// DecodeFrontend writes the messages of a client, and DecodeBackend those of a
// server. An incomplete message at the end is told as such.
func DecodeFrontend(p []byte) string { return decode(&frontendTypes, p) }

// DecodeBackend does for a server's messages what DecodeFrontend does.
func DecodeBackend(p []byte) string { return decode(&backendTypes, p) }

func decode(kinds *[256]*kind, p []byte) string {
	var texts []string
	for len(p) > 0 {
		if len(p) < 5 {
			texts = append(texts, fmt.Sprintf("part of a header %q", p))
			break
		}
		n := int(binary.BigEndian.Uint32(p[1:])) + 1
		if n < 5 {
			texts = append(texts, fmt.Sprintf("bad length %q", p[:5]))
			break
		}
		if n > len(p) {
			texts = append(texts, fmt.Sprintf("%d of %d bytes of %s", len(p), n, abbreviate(string(p[:min(len(p), 40)]))))
			break
		}
		texts = append(texts, decodeOne(kinds, p[0], p[5:n]))
		p = p[n:]
	}
	return strings.Join(texts, " | ")
}

func decodeOne(kinds *[256]*kind, typ byte, body []byte) string {
	k := kinds[typ]
	if k == nil {
		return fmt.Sprintf("unknown type %q", typ)
	}
	r := &reader{p: body}
	fields := k.decode(r)
	name := k.name
	if typ == 'E' && len(fields) == 3 && kinds == &backendTypes {
		if fields[0] != "ERROR" {
			name = fatal.name
		}
		fields = fields[1:]
	}
	if typ == 'N' && len(fields) == 3 {
		fields = fields[1:]
	}
	var b strings.Builder
	b.WriteString(name)
	for _, f := range fields {
		b.WriteByte(' ')
		b.WriteString(quote(f))
	}
	if r.bad || len(r.p) > 0 {
		b.WriteString(" MALFORMED")
	}
	return b.String()
}

func quote(s string) string {
	if s != "" && !strings.ContainsAny(s, " |\"") && strconv.Quote(s) == `"`+s+`"` {
		return abbreviate(s)
	}
	return abbreviate(strconv.Quote(s))
}

// abbreviate shortens long texts; what is left out is in the checksum.
func abbreviate(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return fmt.Sprintf("%s…[%d bytes, %08x]", s[:20], len(s), crc32.ChecksumIEEE([]byte(s)))
}

// reader takes a body apart. Once something is missing it is bad, and gives
// zero values.
type reader struct {
	p   []byte
	bad bool
}

func (r *reader) string() string {
	i := bytes.IndexByte(r.p, 0)
	if i < 0 {
		r.bad = true
		return ""
	}
	s := string(r.p[:i])
	r.p = r.p[i+1:]
	return s
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.p) {
		r.bad = true
		return make([]byte, 8)
	}
	b := r.p[:n]
	r.p = r.p[n:]
	return b
}

func (r *reader) uint16() int { return int(binary.BigEndian.Uint16(r.take(2))) }

func (r *reader) uint32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }

func (r *reader) values() []string {
	n := r.uint16()
	values := []string{}
	for range n {
		if r.bad {
			break
		}
		size := int32(r.uint32())
		if size < 0 {
			values = append(values, "NULL")
			continue
		}
		values = append(values, string(r.take(int(size))))
	}
	return values
}

func decodeEmpty(*reader) []string { return nil }

func decodeIgnored(r *reader) []string {
	r.p = nil
	return nil
}

func decodeStrings(n int) func(*reader) []string {
	return func(r *reader) (fields []string) {
		for range n {
			fields = append(fields, r.string())
		}
		return fields
	}
}

func decodeData(r *reader) []string { return []string{string(r.take(len(r.p)))} }

func decodeParse(r *reader) []string {
	return append([]string{r.string(), r.string()}, decodeTypes(r)...)
}

func decodeBind(r *reader) []string {
	fields := []string{r.string(), r.string()}
	r.take(2 * r.uint16())
	fields = append(fields, r.values()...)
	r.take(2 * r.uint16())
	return fields
}

func decodeRow(r *reader) []string { return r.values() }

func decodeObject(r *reader) []string { return []string{string(r.take(1)), r.string()} }

func decodeExecute(r *reader) []string {
	fields := []string{r.string()}
	if n := r.uint32(); n != 0 {
		fields = append(fields, strconv.FormatUint(uint64(n), 10))
	}
	return fields
}

func decodeFunctionCall(r *reader) []string {
	oid := r.uint32()
	r.take(2 * r.uint16())
	r.values()
	r.take(2)
	return []string{strconv.FormatUint(uint64(oid), 10)}
}

func decodeReady(r *reader) []string { return []string{string(r.take(1))} }

// decodeError gives severity, SQLSTATE and text.
func decodeError(r *reader) []string {
	fields := make([]string, 3)
	for !r.bad {
		switch code := r.take(1)[0]; code {
		case 0:
			return fields
		case 'V':
			fields[0] = r.string()
		case 'C':
			fields[1] = r.string()
		case 'M':
			fields[2] = r.string()
		default:
			r.string()
		}
	}
	return fields
}

func decodeColumns(r *reader) (fields []string) {
	n := r.uint16()
	for range n {
		if r.bad {
			break
		}
		fields = append(fields, r.string())
		r.take(18)
	}
	return fields
}

func decodeTypes(r *reader) (fields []string) {
	n := r.uint16()
	for range n {
		if r.bad {
			break
		}
		fields = append(fields, strconv.FormatUint(uint64(r.uint32()), 10))
	}
	return fields
}

func decodeNotification(r *reader) []string {
	r.take(4)
	return []string{r.string(), r.string()}
}

func decodeResult(r *reader) []string { return []string{string(r.take(int(r.uint32())))} }

func decodeKey(r *reader) []string {
	return []string{strconv.FormatUint(uint64(r.uint32()), 10), string(r.take(len(r.p)))}
}
