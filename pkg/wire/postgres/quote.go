// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"strconv"
	"strings"
)

// QuoteIdent returns name as a quoted identifier. See AppendIdentifier.
func QuoteIdent(name string) string { return string(AppendIdentifier(nil, name)) }

// QuoteLiteral returns s as a string constant. See AppendLiteral.
func QuoteLiteral(s string) string { return string(AppendLiteral(nil, s)) }

// AppendIdentifier appends name as a quoted identifier of SQL. It is cut at its first NUL, which no name can hold.
func AppendIdentifier(dst []byte, name string) []byte {
	return appendDoubled(dst, cutNUL(name), '"')
}

// AppendLiteral appends s as a string constant of SQL that means s whatever standard_conforming_strings and
// client_encoding are. It is cut at its first NUL, which no text can hold.
//
// A text with a backslash is dollar-quoted. E'…' with the backslashes doubled would not do: in SJIS, BIG5, GBK and
// others a backslash may be the second byte of a letter, and doubling it would leave the second one outside of the
// letter. A quote and a dollar sign are never part of a letter in any encoding that PostgreSQL accepts.
func AppendLiteral(dst []byte, s string) []byte {
	s = cutNUL(s)
	if strings.IndexByte(s, '\\') < 0 {
		return appendDoubled(dst, s, '\'')
	}
	tag := dollarTag(s)
	// The blank keeps the first dollar sign off a name in front of it, which would swallow it.
	dst = append(dst, ' ')
	dst = append(dst, tag...)
	dst = append(dst, s...)
	return append(dst, tag...)
}

func appendDoubled(dst []byte, s string, quote byte) []byte {
	dst = append(dst, quote)
	for {
		i := strings.IndexByte(s, quote)
		if i < 0 {
			break
		}
		dst = append(dst, s[:i+1]...)
		dst = append(dst, quote)
		s = s[i+1:]
	}
	return append(append(dst, s...), quote)
}

// dollarTag returns a dollar quote that does not start anywhere in s. The search without the closing dollar sign covers
// a text that ends in all of the tag but that. Each number tried excludes one that s contains, so it ends.
func dollarTag(s string) string {
	tag := "$q"
	for n := 0; strings.Contains(s, tag); n++ {
		tag = "$q" + strconv.Itoa(n) + "_"
	}
	return tag + "$"
}
