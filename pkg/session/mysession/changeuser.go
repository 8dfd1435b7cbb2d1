// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"fmt"

	"github.com/rdsproxy/rdsproxy/pkg/session"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// changing is a COM_CHANGE_USER on its way.
type changing struct {
	asked  *wire.ChangeUser
	plugin string
	salt   []byte
}

// clientChangeUser handles COM_CHANGE_USER. The proxy itself authenticates: what
// the client has sent along was made with the salt of its login, so it is asked to
// do it again with another one (protocol, "Authentication Method Switch").
func (s *Session) clientChangeUser(c *command) (int, bool) {
	asked, err := wire.ParseChangeUser(c.payload(), s.caps)
	if err != nil {
		return s.refuse(c, wire.Malformed()), true
	}
	s.letGo()
	plugin, salt := s.host.Salt(asked.User)
	s.changing = &changing{asked: asked, plugin: plugin, salt: salt}
	s.host.ToClient(wire.AppendAuthSwitch(nil, 1, plugin, salt))
	return len(c.p), true
}

// letGo parts with the connection. What the session has there is not put away but
// thrown away with it.
func (s *Session) letGo() {
	if s.srv == nil {
		return
	}
	reuse := !s.srv.inTransaction() && !s.srv.unsure && s.pins&^momentary == 0 && s.srv.cancels == 0 && !s.srv.doubt &&
		!s.srv.idChanged && !s.srv.askVariables && !s.srv.askAll && !s.srv.foreign
	s.unpin(s.pins)
	s.release(reuse)
}

// clientAuth handles the client's answer to the request to authenticate. It returns
// how many bytes it used, 0 if it needs more.
func (s *Session) clientAuth(p []byte) int {
	if len(p) < wire.HeaderLen {
		return 0
	}
	size, seq := wire.ParseHeader(p)
	if seq != 2 || size > wire.MaxLogin {
		s.protocolError(seq, wire.NewError(wire.CodePacketsOutOfOrder, "Got packets out of order"))
		return 0
	}
	if len(p) < wire.HeaderLen+size {
		return 0
	}
	ch := s.changing
	s.changing = nil
	seq = 3
	if s.host.Authenticate(ch.asked.User, ch.plugin, ch.salt, p[wire.HeaderLen:wire.HeaderLen+size]) {
		if shared := s.host.ChangeUser(ch.asked.User); shared != nil {
			if ch.plugin == wire.PluginCachingSHA2 {
				s.host.ToClient(wire.AppendAuthMoreData(nil, seq, []byte{wire.CachingSHA2FastOK}))
				seq++
			}
			s.becomes(shared, ch.asked, seq)
			return wire.HeaderLen + size
		}
	}
	s.host.Note(session.EventClientProtocol, "COM_CHANGE_USER with a wrong password or an unknown user")
	s.host.ToClient(wire.AppendError(nil, seq, s.caps, accessDenied(ch.asked.User, size > 0)))
	s.host.CloseClient()
	s.leave()
	return 0
}

// becomes starts the session anew for another user.
func (s *Session) becomes(shared *Shared, asked *wire.ChangeUser, seq byte) {
	s.forget()
	s.shared, s.user = shared, asked.User
	s.welcomed, s.loginSeq = false, seq
	collation := asked.Collation
	if collation == 0 {
		collation = s.loginCollation
	}
	s.loginCollation = collation
	s.newest, s.lastID, s.affected, s.foundRows = 0, 0, 0, 0
	s.idLost = false
	s.tracking, s.explicit, s.lostSchema = nil, false, ""
	s.warnings, s.older, s.keepsList = nil, nil, false
	s.initSettings(collation, asked.Schema)
	s.Start()
}

func accessDenied(user string, password bool) *wire.Error {
	using := "NO"
	if password {
		using = "YES"
	}
	return wire.NewError(wire.CodeAccessDenied, fmt.Sprintf("Access denied for user '%s' (using password: %s)", user, using))
}
