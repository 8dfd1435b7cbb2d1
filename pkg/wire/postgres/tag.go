// SPDX-License-Identifier: Apache-2.0

package postgres

import "bytes"

// CommandTag is the tag of a CommandComplete message, taken apart.
type CommandTag struct {
	// Name is the command: "SELECT", "INSERT", "CREATE TABLE", "DISCARD ALL". It aliases the body of the message.
	Name []byte
	// Rows is the number at the end, 0 without one.
	Rows uint64
}

// ParseCommandTag reads the body of a CommandComplete message. ok is false when it is not one string with its
// terminator; a tag that is unknown, empty or oddly formed is no error, as extensions have tags of their own.
func ParseCommandTag(body []byte) (tag CommandTag, ok bool) {
	s, rest, found := CutCString(body)
	if !found || len(rest) != 0 {
		return CommandTag{}, false
	}
	// At most two numbers stand at the end: the row count, and in front of it the OID that INSERT once returned.
	for i := range 2 {
		at := bytes.LastIndexByte(s, ' ')
		if at < 0 {
			break
		}
		n, number := parseUint(s[at+1:])
		if !number {
			break
		}
		if i == 0 {
			tag.Rows = n
		}
		s = s[:at]
	}
	tag.Name = s
	return tag, true
}

// parseUint reads a decimal number of at most 19 digits, which no uint64 overflows.
func parseUint(p []byte) (n uint64, ok bool) {
	if len(p) == 0 || len(p) > 19 {
		return 0, false
	}
	for _, c := range p {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}
