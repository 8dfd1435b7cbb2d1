// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/session"
)

// linger is how long a session keeps a connection for nothing but what the client may
// ask of its newest statement, as long as nobody needs that connection.
const linger = 10 * time.Millisecond

// holds tells whether the session keeps its connection, now that it is the client's turn.
// Behind an error it is not known whether there is a transaction; the answer to the
// question for the list of errors tells.
func (s *Session) holds() bool {
	srv := s.srv
	switch {
	case srv.inTransaction() || srv.cancels > 0 || s.pins&^momentary != 0:
		return true
	case s.pins == 0 && !srv.unsure, s.hurried:
		return false
	case s.keepsList && s.pins&session.PinDiagnostics != 0:
		return true
	case s.host.Scarce():
		s.hurried = true
		return false
	case !s.lingering:
		s.lingering = true
		s.host.SetTimer(linger)
	}
	return true
}

// stopLingering is called when something else begins.
func (s *Session) stopLingering() {
	s.hurried = false
	if s.lingering {
		s.lingering = false
		s.host.SetTimer(0)
	}
}

// giveUpValues forgets what cannot be asked any more.
func (s *Session) giveUpValues() {
	if s.pins&session.PinDiagnostics != 0 {
		s.warnings = warningsLost
	}
	s.unpin(momentary)
}
