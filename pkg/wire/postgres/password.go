// SPDX-License-Identifier: Apache-2.0

package postgres

import "encoding/binary"

// ParsePassword reads the body of a PasswordMessage. The result aliases body.
func ParsePassword(body []byte) ([]byte, error) {
	password, rest, ok := CutCString(body)
	if !ok || len(rest) != 0 {
		return nil, Fatal(CodeProtocolViolation, "invalid password packet size")
	}
	return password, nil
}

// ParseSASLInitialResponse reads the body of a SASLInitialResponse: the mechanism that the client chose and its first
// message, nil if it sent none yet. Both are bounded by body, whatever the length inside says (PgBouncer's CVE-2026-6664
// was to believe 0xFFFFFFFF). The message aliases body.
func ParseSASLInitialResponse(body []byte) (mechanism string, message []byte, err error) {
	name, rest, ok := CutCString(body)
	if !ok {
		return "", nil, Fatal(CodeProtocolViolation, "invalid string in message")
	}
	if len(rest) < 4 {
		return "", nil, Fatal(CodeProtocolViolation, "insufficient data left in message")
	}
	n, rest := binary.BigEndian.Uint32(rest), rest[4:]
	const none = 1<<32 - 1
	switch {
	case n == none && len(rest) == 0:
		return string(name), nil, nil
	case n == none, uint64(n) < uint64(len(rest)):
		return "", nil, Fatal(CodeProtocolViolation, "invalid message format")
	case uint64(n) > uint64(len(rest)):
		return "", nil, Fatal(CodeProtocolViolation, "insufficient data left in message")
	}
	return string(name), rest, nil
}
