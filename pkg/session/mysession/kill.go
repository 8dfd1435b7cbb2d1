// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"bytes"
	"regexp"
	"strconv"

	"github.com/rdsproxy/rdsproxy/pkg/sqlscan/myscan"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// clientKill handles COM_PROCESS_KILL.
func (s *Session) clientKill(c *command) (int, bool) {
	id, ok := wire.StatementID(c.payload())
	if !ok {
		return s.refuse(c, wire.Malformed()), true
	}
	return s.kill(c, id, false)
}

// kill asks the proxy, and lets the command be answered by KillDone. Nothing of it
// goes to the database: its numbers are not those that clients know.
func (s *Session) kill(c *command, id uint32, query bool) (int, bool) {
	if id == s.threadID {
		return s.killSelf(c, query), true
	}
	s.killing, s.killID = true, id
	n := s.pass(c, toNowhere)
	s.host.Kill(id, query)
	return n, true
}

// killSelf is for a client that names itself. Servers see that they are to be killed as
// soon as they have taken note of it.
func (s *Session) killSelf(c *command, query bool) int {
	if query {
		return s.refuse(c, interrupted)
	}
	n := s.pass(c, toNowhere)
	why := interrupted
	if s.shared.mariaDB.Load() {
		why = killed
	}
	s.host.ToClient(wire.AppendError(nil, 1, s.caps, why))
	s.host.CloseClient()
	s.leave()
	return n
}

// KillDone tells the result of Host.Kill.
func (s *Session) KillDone(r KillResult) {
	if !s.killing {
		return
	}
	s.killing = false
	if s.state == closed || s.state == leaving {
		return
	}
	id := strconv.FormatUint(uint64(s.killID), 10)
	switch r {
	case Killed:
		s.answer(wire.OK{Status: s.presentStatus()})
	case KillDenied:
		s.host.ToClient(wire.AppendError(nil, 1, s.caps, wire.NewError(wire.CodeKillDenied, "You are not owner of thread "+id)))
	default:
		s.host.ToClient(wire.AppendError(nil, 1, s.caps, wire.NewError(wire.CodeNoSuchThread, "Unknown thread id: "+id)))
	}
	s.settle()
	if s.state == idle {
		s.resume()
	}
	if s.draining && s.Idle() {
		s.terminate(shutdownError)
	}
}

// startsLikeKill tells whether a text is likely to be a KILL.
func startsLikeKill(sql []byte) bool {
	sql = bytes.TrimLeft(sql, " \t\r\n")
	return len(sql) > 4 && bytes.EqualFold(sql[:4], []byte("KILL"))
}

// killUnscanned handles such a text of a session without a connection.
func (s *Session) killUnscanned(c *command, sql []byte) (n int, ok, handled bool) {
	var sc myscan.Scanner
	sc.Reset(s.scanMode())
	sc.Write(sql)
	res := sc.Result()
	if res.Effects&myscan.EffectKill == 0 {
		return 0, false, false
	}
	return s.killByText(c, sql, &res)
}

var (
	// killNothing lacks the operand. MySQL may take its last word for that, which names
	// nobody.
	killNothing = regexp.MustCompile(`(?i)^\s*KILL(\s+(HARD|SOFT))?(\s+(CONNECTION|QUERY))?\s*;?\s*$`)
	// killQuoted has the number in a text.
	killQuoted = regexp.MustCompile(`(?i)^\s*KILL(?:\s+(?:HARD|SOFT))?(?:\s+(CONNECTION|QUERY))?\s*'\s*(\d{0,19})[^'\\]*'\s*;?\s*$`)
)

// killByText handles a KILL in SQL; handled is false if the database can do it.
func (s *Session) killByText(c *command, sql []byte, res *myscan.Result) (n int, ok, handled bool) {
	if res.Statements == 1 {
		k := res.Kill
		query, digits := k.Form == myscan.KillQuery, sql[k.Start:k.End]
		switch {
		case k.Form != myscan.KillOther:
		case killNothing.Match(sql):
			return 0, false, false
		default:
			if m := killQuoted.FindSubmatch(sql); m != nil {
				query, digits = bytes.EqualFold(m[1], []byte("QUERY")), append([]byte("0"), m[2]...)
			}
		}
		if id, good := number(digits); good && id <= 1<<32-1 {
			if !s.shared.mariaDB.Load() {
				s.clearWarnings() // as behind any statement
			}
			n, ok = s.kill(c, uint32(id), query)
			return n, ok, true
		}
	}
	return s.refuse(c, wire.NewError(codeNotSupported,
		"The proxy supports KILL with a thread id only, as a statement of its own")), true, true
}
