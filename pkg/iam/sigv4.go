// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// Names of Signature Version 4, as AWS documents it in "Create a signed AWS API request".
const (
	algorithm    = "AWS4-HMAC-SHA256"
	scopeEnd     = "aws4_request"
	emptyPayload = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" // SHA-256 of nothing
)

// scope is the second half of a credential: what a signing key is derived for.
type scope struct{ date, region, service string }

func (s scope) String() string { return s.date + "/" + s.region + "/" + s.service + "/" + scopeEnd }

// param is one parameter of a query, decoded.
type param struct{ name, value string }

// header is one signed header; name is in lower case.
type header struct{ name, value string }

// canonicalQuery is the query in the form that is signed: encoded one way, ordered by encoded name and value.
func canonicalQuery(params []param) string {
	list := make([]string, len(params))
	for i, p := range params {
		list[i] = escape(p.name) + "=" + escape(p.value)
	}
	slices.Sort(list)
	return strings.Join(list, "&")
}

// canonicalRequest is a GET of / without a body, in the form that is signed. headers are in the order of their names, their
// values without blanks at the ends or in a row.
func canonicalRequest(params []param, headers []header) string {
	var b strings.Builder
	b.WriteString("GET\n/\n")
	b.WriteString(canonicalQuery(params))
	b.WriteByte('\n')
	names := make([]string, len(headers))
	for i, h := range headers {
		b.WriteString(h.name + ":" + h.value + "\n")
		names[i] = h.name
	}
	b.WriteByte('\n')
	b.WriteString(strings.Join(names, ";"))
	b.WriteByte('\n')
	b.WriteString(emptyPayload)
	return b.String()
}

// sign computes the signature of a canonical request. date is the full one of X-Amz-Date.
func sign(secretKey, date string, s scope, canonical string) []byte {
	sum := sha256.Sum256([]byte(canonical))
	text := algorithm + "\n" + date + "\n" + s.String() + "\n" + hex.EncodeToString(sum[:])
	key := mac([]byte("AWS4"+secretKey), s.date)
	key = mac(key, s.region)
	key = mac(key, s.service)
	key = mac(key, scopeEnd)
	return mac(key, text)
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text)) // never fails
	return h.Sum(nil)
}

// isUnreserved says whether a byte stands for itself in an encoded query (RFC 3986, section 2.3).
func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// escape encodes as AWS does: everything but unreserved bytes, in upper case.
func escape(text string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; isUnreserved(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}

// unescape undoes escape. Nothing but unreserved bytes and %XX is taken: a plus sign, or a byte that should have been encoded,
// would be read one way by one party and another way by the next.
func unescape(text string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case isUnreserved(c):
			b.WriteByte(c)
		case c == '%' && i+2 < len(text):
			high, ok1 := unhex(text[i+1])
			low, ok2 := unhex(text[i+2])
			if !ok1 || !ok2 {
				return "", false
			}
			b.WriteByte(high<<4 | low)
			i += 2
		default:
			return "", false
		}
	}
	return b.String(), true
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
