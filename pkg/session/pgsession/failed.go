// SPDX-License-Identifier: Apache-2.0

package pgsession

import (
	"bytes"

	"github.com/rdsproxy/rdsproxy/pkg/sqlscan"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// After its transaction was lost with the database connection, a session is in a
// failed transaction block of which no server knows. The simple protocol's requests
// are answered by the proxy; for others a connection is borrowed, and a block made to
// fail there, so that the server itself gives all the answers.

var (
	failedError = &wire.Error{
		Severity: wire.SeverityError, Code: wire.CodeInFailedTransaction,
		Message: "current transaction is aborted, commands ignored until end of transaction block",
	}
	// failMessage leaves the server in a failed transaction block. The name is for
	// those who find the error in its log.
	failMessage = wire.AppendQuery(nil, `BEGIN;ROLLBACK TO "lost with its database connection"`)
	rolledBack  = wire.AppendReadyForQuery(wire.AppendCommandComplete(nil, "ROLLBACK"), 'I')
)

// readyMessage is ReadyForQuery of a session without a connection.
func (s *Session) readyMessage() []byte {
	if s.lostTx {
		return readyFailed
	}
	return readyIdle
}

var readyFailed = wire.AppendReadyForQuery(nil, 'E')

// controlOfText reads a text while there is no connection.
func (s *Session) controlOfText(text []byte) (sqlscan.Effects, bool) {
	scan := new(textScan)
	s.resetScanner(&scan.Scanner)
	scan.Write(text)
	res := scan.Result()
	return controlOf(text, res), res.Statements == 1
}

// failedQuery answers a Query in such a block. It gives false if the server has to.
func (s *Session) failedQuery(p []byte, total int) (n int, ok bool) {
	if total > holdBegin || len(p) < total {
		return 0, false
	}
	control, single := s.controlOfText(bytes.TrimSuffix(p[headerSize:total], nul))
	switch {
	case control&(effectCommits|effectRollsBack) != 0 && s.failure != nil && control&effectCommits != 0:
		// The COMMIT fails, and the block is over.
		s.lostTx = false
		s.answerFailure(true)
	case control&(effectCommits|effectRollsBack) != 0:
		s.lostTx = false
		if !s.lostState {
			s.failure = nil
		}
		s.host.ToClient(rolledBack)
		if s.draining {
			s.terminate(drainError)
		}
	case s.failure != nil:
		s.answerFailure(true)
	case single && control&controlEffects&^effectPieces == 0:
		s.host.ToClient(append(wire.AppendErrorResponse(nil, failedError), readyFailed...))
	default:
		return 0, false
	}
	return total, true
}

// endsBlock tells whether a Parse is of a statement that undoes the block, which needs
// no error then.
func (s *Session) endsBlock(p []byte, total int) bool {
	if total > holdBegin || len(p) < total {
		return false
	}
	_, tail, ok := cstring(p[headerSize:total])
	if !ok {
		return false
	}
	text, _, ok := cstring(tail)
	if !ok {
		return false
	}
	control, _ := s.controlOfText(text)
	return control == effectRollsBack
}

// failBlock puts the connection just taken into a failed transaction block.
func (s *Session) failBlock() {
	s.taking = true
	s.srv.owed.push(entryQuery, skip).op = opFail
	s.srv.setUnnamed(0)
	s.state = replaying
	s.host.ToServer(failMessage)
	s.host.PauseClient()
}

// blockFailed goes on when the server has answered that.
func (s *Session) blockFailed() {
	switch {
	case s.state == leaving:
		s.settle()
	case s.srv.tx != 'E':
		s.release(false)
		s.fail(connectionLostError)
	case s.cancelled:
		s.release(false)
		s.fail(cancelledError)
	default:
		s.lostTx = false
		s.ready()
		s.host.ResumeClient()
	}
}
