// SPDX-License-Identifier: Apache-2.0

package target

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

const (
	// maxLoginBytes is how much a server may send until the connection is handed
	// over: parameters, notices, and what the init query returns.
	maxLoginBytes = 1 << 20
	// maxAuthMessages is how many authentication messages a login may have.
	// PostgreSQL sends at most four; each may cost a key derivation.
	maxAuthMessages = 8
	// maxAuthBody is the largest of them that is looked into.
	maxAuthBody = 4 << 10
)

// guard stands between the database and pgconn while a connection is set up. It
// passes bytes on, and follows the messages in them closely enough to refuse,
// before pgconn acts on them, those that ask for too much.
type guard struct {
	in             io.Reader
	maxIterations  int
	allowCleartext bool

	total    int
	messages int  // authentication messages so far
	done     bool // no more authentication: the first ReadyForQuery has come

	header [5]byte
	have   int    // bytes of header
	left   int    // bytes of the body still to come
	body   []byte // of the authentication message that is coming
	err    error
}

// Read implements io.Reader. A message that is refused is not delivered in full,
// so that nobody can act on it.
func (g *guard) Read(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	n, err := g.in.Read(p)
	if g.total += n; g.total > maxLoginBytes {
		g.err = &policyError{text: fmt.Sprintf("the server has sent more than %d bytes before it was ready", maxLoginBytes)}
	} else if !g.done {
		g.err = g.follow(p[:n])
	}
	if g.err != nil {
		return 0, g.err
	}
	return n, err
}

// follow cuts what was read into messages.
func (g *guard) follow(p []byte) error {
	for len(p) > 0 && !g.done {
		if g.have < len(g.header) {
			n := copy(g.header[g.have:], p)
			g.have += n
			p = p[n:]
			if g.have < len(g.header) {
				return nil
			}
			if err := g.begin(); err != nil {
				return err
			}
		}
		n := min(g.left, len(p))
		if g.header[0] == wire.BackendAuthentication {
			g.body = append(g.body, p[:n]...)
		}
		g.left -= n
		p = p[n:]
		if g.left == 0 {
			if err := g.end(); err != nil {
				return err
			}
			g.have = 0
		}
	}
	return nil
}

// begin looks at a header.
func (g *guard) begin() error {
	length := binary.BigEndian.Uint32(g.header[1:])
	if length < 4 || length > maxLoginMessage+4 {
		return &policyError{text: fmt.Sprintf("the server sent a message %q of %d bytes: no PostgreSQL server?", g.header[0], length)}
	}
	g.left = int(length) - 4
	g.body = g.body[:0]
	if g.header[0] != wire.BackendAuthentication {
		return nil
	}
	if g.left > maxAuthBody {
		return &policyError{text: fmt.Sprintf("the server sent an authentication message of %d bytes", length)}
	}
	if g.messages++; g.messages > maxAuthMessages {
		return &policyError{text: "the server goes on asking for authentication"}
	}
	return nil
}

// end looks at a message that is complete.
func (g *guard) end() error {
	switch g.header[0] {
	case wire.BackendReadyForQuery:
		g.done = true
	case wire.BackendAuthentication:
		if len(g.body) < 4 {
			return nil // pgconn will say so
		}
		switch binary.BigEndian.Uint32(g.body) {
		case wire.AuthCleartextPassword:
			if !g.allowCleartext {
				return &policyError{"the server asks for the password in clear text, and the connection is not encrypted", true}
			}
		case wire.AuthSASLContinue:
			return g.challenge(g.body[4:])
		}
	}
	return nil
}

// challenge looks at SCRAM's server-first-message, "r=…,s=…,i=…" (RFC 5802,
// section 5.1).
func (g *guard) challenge(data []byte) error {
	for attribute := range bytes.SplitSeq(data, []byte(",")) {
		count, ok := bytes.CutPrefix(attribute, []byte("i="))
		if !ok {
			continue
		}
		n, err := strconv.Atoi(string(count))
		if err != nil || n > g.maxIterations {
			return &policyError{fmt.Sprintf("the server asks for more than %d SCRAM iterations", g.maxIterations), true}
		}
	}
	return nil
}
