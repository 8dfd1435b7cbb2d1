// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// clientFirst is the client-first-message (RFC 5802 section 7): GS2 header, user name, nonce.
type clientFirst struct {
	flag  byte   // 'n', 'y' or 'p'
	gs2   string // the GS2 header with its last comma
	bare  string // all behind it
	nonce string
}

// parseClientFirst reads "n,,n=user,r=nonce". The user name in it is ignored, as PostgreSQL ignores it: the name that
// counts is that of the start-up message, and there must not be two.
func parseClientFirst(message []byte) (m clientFirst, err error) {
	s, err := checkMessage(message)
	if err != nil {
		return m, err
	}
	flag, rest, ok := strings.Cut(s, ",")
	if !ok {
		return m, malformed("Comma expected.")
	}
	switch {
	case flag == "n", flag == "y":
	case flag == "p=tls-server-end-point":
	case strings.HasPrefix(flag, "p="):
		return m, &ProtocolError{Fault: Malformed, Message: "unsupported SCRAM channel-binding type"}
	default:
		return m, malformed("Unexpected channel-binding flag.")
	}
	if strings.HasPrefix(rest, "a=") {
		return m, &ProtocolError{
			Fault: Unsupported, Message: "client uses authorization identity, but it is not supported",
		}
	}
	bare, ok := strings.CutPrefix(rest, ",")
	if !ok {
		return m, malformed("Unexpected attribute in client-first-message.")
	}
	m.flag, m.gs2, m.bare = flag[0], flag+",,", bare
	if strings.HasPrefix(bare, "m=") {
		return m, &ProtocolError{Fault: Unsupported, Message: "client requires an unsupported SCRAM extension"}
	}
	p := attributes{rest: bare, more: true}
	p.expect('n')
	m.nonce = p.expect('r')
	p.skipAll()
	if p.failed {
		return m, malformed("Unexpected or missing attribute in client-first-message.")
	}
	return m, checkNonce(m.nonce)
}

// clientFinal is the client-final-message: channel binding, nonce, proof.
type clientFinal struct {
	binding      string // base64 as sent
	nonce        string
	proof        [sha256.Size]byte
	withoutProof string
}

// parseClientFinal reads "c=binding,r=nonce,p=proof", with extensions that are ignored between nonce and proof.
func parseClientFinal(message []byte) (m clientFinal, err error) {
	s, err := checkMessage(message)
	if err != nil {
		return m, err
	}
	p := attributes{rest: s, more: true}
	m.binding = p.expect('c')
	m.nonce = p.expect('r')
	var name byte
	var value string
	// Each turn uses up two bytes or more, or fails.
	for name != 'p' && !p.failed {
		m.withoutProof = strings.TrimSuffix(s[:len(s)-len(p.rest)], ",")
		name, value = p.next()
	}
	if p.failed {
		return m, malformed("Unexpected or missing attribute in client-final-message.")
	}
	if p.more {
		return m, malformed("Garbage found at the end of client-final-message.")
	}
	// The length is looked at first, as the decoder takes line ends for nothing.
	var proof [sha256.Size + 1]byte
	if len(value) != base64.StdEncoding.EncodedLen(sha256.Size) {
		return m, malformed("Malformed proof in client-final-message.")
	}
	n, err := base64.StdEncoding.Strict().Decode(proof[:], []byte(value))
	if err != nil || n != sha256.Size {
		return m, malformed("Malformed proof in client-final-message.")
	}
	copy(m.proof[:], proof[:])
	return m, nil
}

func checkMessage(message []byte) (string, error) {
	s := string(message)
	switch {
	case len(s) == 0:
		return "", malformed("The message is empty.")
	case len(s) > MaxSCRAMMessage:
		return "", malformed("The message is too long.")
	case strings.IndexByte(s, 0) >= 0:
		return "", malformed("Message length does not match input length.")
	}
	return s, nil
}

// checkNonce allows what RFC 5802 calls printable: letters from ! to ~, less the comma, which has ended it already.
func checkNonce(nonce string) error {
	if nonce == "" || len(nonce) > MaxNonce {
		return malformed("The nonce is empty or too long.")
	}
	for i := range len(nonce) {
		if nonce[i] < '!' || nonce[i] > '~' {
			return &ProtocolError{Fault: Malformed, Message: "non-printable characters in SCRAM nonce"}
		}
	}
	return nil
}

// attributes reads "a=value,b=value". Once something is missing it has failed and gives nothing more, so that its user
// checks once, at the end, and no value that is not there is ever used.
type attributes struct {
	rest   string
	more   bool // an attribute must follow: this is the beginning, or a comma was read
	failed bool
}

// next reads any attribute.
func (p *attributes) next() (name byte, value string) {
	if p.failed || !p.more || len(p.rest) < 2 || p.rest[1] != '=' || !isLetter(p.rest[0]) {
		p.failed = true
		return 0, ""
	}
	name = p.rest[0]
	value, p.rest, p.more = strings.Cut(p.rest[2:], ",")
	return name, value
}

// expect reads an attribute that must have this name.
func (p *attributes) expect(name byte) string {
	got, value := p.next()
	if got != name {
		p.failed = true
		return ""
	}
	return value
}

// skipAll reads all attributes that are left. Each one is two bytes or more.
func (p *attributes) skipAll() {
	for p.more && !p.failed {
		p.next()
	}
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
