// SPDX-License-Identifier: Apache-2.0

package pgmsg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

var errFields = errors.New("wrong fields")

// MustEncode is Encode for texts that are known to be right.
func MustEncode(line string) []byte {
	p, err := Encode(line)
	if err != nil {
		panic(err)
	}
	return p
}

// Encode gives the bytes of a line of messages.
func Encode(line string) ([]byte, error) {
	words, err := split(line)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", line, err)
	}
	var out []byte
	for len(words) > 0 {
		n := 0
		for n < len(words) && !words[n].bar {
			n++
		}
		if n == 0 {
			return nil, fmt.Errorf("%s: no message between bars", line)
		}
		fields := make([]string, n-1)
		for i := range fields {
			fields[i] = words[i+1].text
		}
		if out, err = appendMessage(out, words[0].text, fields); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", line, words[0].text, err)
		}
		words = words[min(n+1, len(words)):]
	}
	return out, nil
}

type word struct {
	text string
	bar  bool
}

// split cuts a line into words.
func split(line string) (words []word, err error) {
	for {
		line = strings.TrimLeft(line, " \t")
		if line == "" {
			return words, nil
		}
		if line[0] == '|' {
			words = append(words, word{bar: true})
			line = line[1:]
			continue
		}
		text, rest := line, ""
		if line[0] == '"' {
			quoted, err := strconv.QuotedPrefix(line)
			if err != nil {
				return nil, err
			}
			if text, err = strconv.Unquote(quoted); err != nil {
				return nil, err
			}
			rest = line[len(quoted):]
			if times, ok := strings.CutPrefix(rest, "*"); ok {
				number, tail, _ := strings.Cut(times, " ")
				n, err := strconv.Atoi(number)
				if err != nil {
					return nil, err
				}
				text, rest = strings.Repeat(text, n), tail
			}
		} else if i := strings.IndexByte(line, ' '); i >= 0 {
			text, rest = line[:i], line[i:]
		}
		words = append(words, word{text: text})
		line = rest
	}
}

// finish puts the length into the message that begins at dst[at].
func finish(dst []byte, at int) []byte {
	binary.BigEndian.PutUint32(dst[at+1:], uint32(len(dst)-at-1))
	return dst
}

func appendMessage(dst []byte, name string, fields []string) ([]byte, error) {
	at := len(dst)
	if name == "Raw" {
		return append(dst, strings.Join(fields, "")...), nil
	}
	k, ok := byName[name]
	if !ok {
		return nil, errors.New("no such message")
	}
	dst = append(dst, k.typ, 0, 0, 0, 0)
	dst, err := k.encode(dst, fields)
	if err != nil {
		return nil, err
	}
	return finish(dst, at), nil
}

func cstring(dst []byte, s string) []byte { return append(append(dst, s...), 0) }

func encodeEmpty(dst []byte, f []string) ([]byte, error) {
	if len(f) != 0 {
		return nil, errFields
	}
	return dst, nil
}

// encodeStrings is for messages of n zero-terminated strings.
func encodeStrings(n int) func([]byte, []string) ([]byte, error) {
	return func(dst []byte, f []string) ([]byte, error) {
		if len(f) != n {
			return nil, errFields
		}
		for _, s := range f {
			dst = cstring(dst, s)
		}
		return dst, nil
	}
}

func encodeData(dst []byte, f []string) ([]byte, error) {
	if len(f) != 1 {
		return nil, errFields
	}
	return append(dst, f[0]...), nil
}

// encodeParse takes name, text, OIDs.
func encodeParse(dst []byte, f []string) ([]byte, error) {
	if len(f) < 2 {
		return nil, errFields
	}
	dst = cstring(cstring(dst, f[0]), f[1])
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(f)-2))
	for _, oid := range f[2:] {
		n, err := strconv.ParseUint(oid, 10, 32)
		if err != nil {
			return nil, err
		}
		dst = binary.BigEndian.AppendUint32(dst, uint32(n))
	}
	return dst, nil
}

// encodeBind takes portal, statement, parameters as text.
func encodeBind(dst []byte, f []string) ([]byte, error) {
	if len(f) < 2 {
		return nil, errFields
	}
	dst = cstring(cstring(dst, f[0]), f[1])
	dst = append(dst, 0, 0)
	dst = appendValues(dst, f[2:])
	return append(dst, 0, 0), nil
}

func appendValues(dst []byte, values []string) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(values)))
	for _, v := range values {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(v)))
		dst = append(dst, v...)
	}
	return dst
}

func encodeRow(dst []byte, f []string) ([]byte, error) { return appendValues(dst, f), nil }

// encodeObject takes S or P, and a name.
func encodeObject(dst []byte, f []string) ([]byte, error) {
	if len(f) != 2 || len(f[0]) != 1 {
		return nil, errFields
	}
	return cstring(append(dst, f[0]...), f[1]), nil
}

// encodeExecute takes the portal and the limit of rows.
func encodeExecute(dst []byte, f []string) ([]byte, error) {
	if len(f) != 1 && len(f) != 2 {
		return nil, errFields
	}
	var rows uint64
	if len(f) == 2 {
		var err error
		if rows, err = strconv.ParseUint(f[1], 10, 31); err != nil {
			return nil, err
		}
	}
	return binary.BigEndian.AppendUint32(cstring(dst, f[0]), uint32(rows)), nil
}

// encodeFunctionCall takes the OID of a function without arguments.
func encodeFunctionCall(dst []byte, f []string) ([]byte, error) {
	if len(f) != 1 {
		return nil, errFields
	}
	oid, err := strconv.ParseUint(f[0], 10, 32)
	if err != nil {
		return nil, err
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(oid))
	return append(dst, 0, 0, 0, 0, 0, 0), nil
}

func encodeReady(dst []byte, f []string) ([]byte, error) {
	if len(f) != 1 || len(f[0]) != 1 {
		return nil, errFields
	}
	return append(dst, f[0]...), nil
}

// encodeError takes an SQLSTATE and a text, the severity being the one given.
func encodeError(severity string) func([]byte, []string) ([]byte, error) {
	return func(dst []byte, f []string) ([]byte, error) {
		if len(f) != 2 {
			return nil, errFields
		}
		dst = cstring(append(dst, 'S'), severity)
		dst = cstring(append(dst, 'V'), severity)
		dst = cstring(append(dst, 'C'), f[0])
		dst = cstring(append(dst, 'M'), f[1])
		return append(dst, 0), nil
	}
}

// encodeColumns takes the names of columns of type text.
func encodeColumns(dst []byte, f []string) ([]byte, error) {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(f)))
	for _, name := range f {
		dst = cstring(dst, name)
		dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0)
	}
	return dst, nil
}

// encodeTypes takes OIDs.
func encodeTypes(dst []byte, f []string) ([]byte, error) {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(f)))
	for _, oid := range f {
		n, err := strconv.ParseUint(oid, 10, 32)
		if err != nil {
			return nil, err
		}
		dst = binary.BigEndian.AppendUint32(dst, uint32(n))
	}
	return dst, nil
}

// encodeCopyStart is for copies of one column of text.
func encodeCopyStart(dst []byte, f []string) ([]byte, error) {
	if len(f) != 0 {
		return nil, errFields
	}
	return append(dst, 0, 0, 1, 0, 0), nil
}

// encodeNotification takes channel and payload.
func encodeNotification(dst []byte, f []string) ([]byte, error) {
	if len(f) != 2 {
		return nil, errFields
	}
	return cstring(cstring(append(dst, 0, 0, 0, 1), f[0]), f[1]), nil
}

// encodeResult takes the value of a function.
func encodeResult(dst []byte, f []string) ([]byte, error) {
	if len(f) != 1 {
		return nil, errFields
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(f[0])))
	return append(dst, f[0]...), nil
}

func encodeKey(dst []byte, f []string) ([]byte, error) {
	if len(f) != 2 {
		return nil, errFields
	}
	pid, err := strconv.ParseUint(f[0], 10, 32)
	if err != nil {
		return nil, err
	}
	return append(binary.BigEndian.AppendUint32(dst, uint32(pid)), f[1]...), nil
}
