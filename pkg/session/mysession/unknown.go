// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"fmt"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// unknown handles a command for a statement that the client does not have. The server
// refuses it itself, if it has none of that id either: what SHOW ERRORS tells
// afterwards is right then.
func (s *Session) unknown(c *command, id uint32, name string) (int, bool) {
	if id == wire.LastStatement {
		return s.refuse(c, unknownStatement(id, name)), true
	}
	if !s.acquire() || !s.ownDiagnostics() {
		return 0, false
	}
	if s.hasOnServer(id) {
		return s.refuse(c, unknownStatement(id, name)), true
	}
	s.begin(c, shapeOK).fate = listKept // it adds an error
	return s.pass(c, toServer), true
}

// unknownStatement is the server's answer to an id that it does not know.
func unknownStatement(id uint32, command string) *wire.Error {
	return wire.NewError(wire.CodeUnknownStmt,
		fmt.Sprintf("Unknown prepared statement handler (%d) given to %s", id, command))
}

// hasOnServer tells whether the server has a statement of that id of its own.
func (s *Session) hasOnServer(id uint32) bool {
	for _, pr := range s.srv.prepared.byKey {
		if pr.id == id {
			return true
		}
	}
	for _, st := range s.statements {
		if st.own != nil && st.own.id == id {
			return true
		}
	}
	return false
}
