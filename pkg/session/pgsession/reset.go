// SPDX-License-Identifier: Apache-2.0

package pgsession

import (
	"regexp"
	"strings"
)

// RESET ALL and DISCARD ALL set the settings back to those of the connection's
// own start. A client means those that it asked for at its start-up, so they are
// put back then, before its next request. But only then: a reset that fails, or is
// undone with its transaction, leaves what the client has set since. RESET of one
// setting is the same for that one.

// resetState is what is known of resets on a connection since its settings were
// last put in place.
type resetState struct {
	// may: the settings are set back, or are if a request succeeds that is under
	// way.
	may bool
	// ran: it has happened since the last ReadyForQuery, and goes with its
	// transaction. undone: a ROLLBACK has followed.
	ran, undone bool
	// kept: it has happened for good.
	kept bool
	// all: it was of all settings; else those of these names were set back.
	all   bool
	names []string
}

// keep is called when the transaction is committed.
func (r *resetState) keep() {
	r.kept = r.kept || r.ran
	r.ran, r.undone = false, false
}

// resets notes that e sets the settings back if it succeeds. What an init query
// has set up is gone then.
func (srv *Server) resets(e *entry) {
	e.resets = true
	srv.reset.may = true
	srv.doubt = srv.doubt || srv.InitQuery
}

// resetsOne is the same for a RESET of one setting that the client gave at start-up.
func (srv *Server) resetsOne(e *entry, name string) {
	e.resets, e.resetName = true, name
	srv.reset.may = true
}

// resetRan notes that a RESET of e has succeeded.
func (srv *Server) resetRan(e *entry) {
	if !e.resets {
		return
	}
	r := &srv.reset
	r.ran, r.undone = true, false
	if e.resetName == "" {
		r.all = true
	} else {
		r.names = append(r.names, e.resetName)
	}
}

// resetOne is a text that is nothing but a RESET of one setting.
var resetOne = regexp.MustCompile(`(?i)^\s*RESET\s+(?:([a-z_][a-z0-9_$.]*)|"([^"]+)")\s*;?\s*$`)

// startupReset gives the name of the setting that a text resets, if the client gave that
// at its start-up; "" else.
func (s *Session) startupReset(text []byte) string {
	if s.settings == nil || len(text) > holdNames {
		return ""
	}
	m := resetOne.FindSubmatch(text)
	if m == nil {
		return ""
	}
	name := string(m[1]) + string(m[2])
	if _, given := s.settings.Get(name); !given {
		return ""
	}
	return name
}

// only gives those of the settings that have one of these names.
func (s *Settings) only(names []string) *Settings {
	some := &Settings{}
	for _, e := range s.list {
		for _, name := range names {
			if strings.EqualFold(e.Name, name) {
				some.list = append(some.list, e)
				break
			}
		}
	}
	return some
}

// discardedAll notes that DISCARD ALL has succeeded, which commits itself.
func (srv *Server) discardedAll() {
	srv.reset.may, srv.reset.kept, srv.reset.all = true, true, true
	srv.doubt = srv.doubt || srv.InitQuery
}

// resetFails is called after an error. The requests that it makes fail, or lets
// the server ignore, reset nothing any more.
func (srv *Server) resetFails() {
	srv.reset.ran, srv.reset.undone = false, false
	srv.resetRest()
}

// resetEnds is called at ReadyForQuery.
func (srv *Server) resetEnds(tx byte) {
	r := &srv.reset
	if r.ran && r.undone && tx == 'I' {
		r.ran = false
	}
	r.keep()
	srv.resetRest()
}

// resetRest finds out whether settings may still be set back.
func (srv *Server) resetRest() {
	r := &srv.reset
	if !r.may || r.kept {
		return
	}
	r.may = r.ran
	if !r.ran {
		r.all, r.names = false, nil // they are undone
	}
	for i := 0; i < srv.owed.n && !r.may; i++ {
		r.may = srv.owed.at(i).resets
	}
}
