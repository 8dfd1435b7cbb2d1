// SPDX-License-Identifier: Apache-2.0

package mysql

import "encoding/hex"

// AppendLiteral appends a string as a literal of SQL that means the same in every sql_mode and every character set of
// the client: in quotes if it is printable ASCII without a quote or a backslash, else in hexadecimal digits. Such a
// literal has the character set utf8mb4, which s must be in.
func AppendLiteral(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '\'' || c == '\\' {
			dst = hex.AppendEncode(append(dst, "_utf8mb4 X'"...), []byte(s))
			return append(dst, '\'')
		}
	}
	return append(append(append(dst, '\''), s...), '\'')
}
