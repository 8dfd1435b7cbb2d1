// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/session/mysession"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// special makes up a command that is more than a question and an answer.
func (c *client) special() (r request, ok bool) {
	rng := c.w.rng
	switch n := rng.IntN(1000); {
	case n < 25:
		return c.loadFile(), true
	case n < 50:
		id := c.anyStatement()
		c.unclear = true
		p := make([]byte, 9)
		p[0] = byte(wire.ComStmtFetch)
		wire.PutStatementID(p, id)
		binary.LittleEndian.PutUint32(p[5:], uint32(1+rng.IntN(4)))
		return request{p: wire.AppendPacket(nil, 0, p)}, true
	case n < 60:
		return request{p: wire.AppendQuery(nil, c.caps, pick(rng.IntN, "LOCK TABLES t WRITE", "UNLOCK TABLES", "UNLOCK TABLES"))}, true
	case n < 68 && len(c.sent) == 0:
		return c.changeUser(), true
	case n < 90 && c.w.kills:
		return c.killSomebody(), true
	}
	return request{}, false
}

// bulk executes an INSERT with several rows.
func (c *client) bulk(p []byte, st *known) request {
	rng := c.w.rng
	out := append([]byte{byte(wire.ComStmtBulkExecute)}, p[1:5]...)
	flags, types := uint16(0), []byte(nil)
	if want := []byte{byte(wire.TypeVarString), 0}; st.unsure || !bytes.Equal(st.types, want) || rng.IntN(2) == 0 {
		flags, types = wire.BulkSendTypes, want
		st.types, st.unsure = want, false
	}
	out = append(binary.LittleEndian.AppendUint16(out, flags), types...)
	r := request{}
	for i := range 1 + rng.IntN(4) {
		row := fmt.Sprintf("%sb%d:%d", c.mark(), i, c.id*1000+c.marks+1)
		r.rows = append(r.rows, row)
		out = wire.AppendLenencString(append(out, 0), row)
	}
	r.p = wire.AppendPacket(nil, 0, out)
	return r
}

// loadFile asks for a file to be loaded, maybe behind a result.
func (c *client) loadFile() request {
	sql := "LOAD DATA LOCAL INFILE 'f' INTO TABLE t"
	if c.w.rng.IntN(3) == 0 {
		sql = "SELECT '" + c.mark() + "'; " + sql
	}
	r := request{p: wire.AppendQuery(nil, c.caps, sql), kind: kindFile}
	for i := range c.w.rng.IntN(4) {
		r.rows = append(r.rows, fmt.Sprintf("%sf%d:%d", c.mark(), i, c.id*1000+c.marks+1))
	}
	c.unclear = false
	return r
}

// changeUser becomes somebody else, or the same user again.
func (c *client) changeUser() request {
	rng := c.w.rng
	user := users[rng.IntN(len(users))]
	schema := pick(rng.IntN, "", "s0", "s1", "s2")
	if rng.IntN(20) == 0 {
		schema = "nowhere"
	}
	if rng.IntN(30) == 0 {
		user = "stranger"
	}
	c.wrongAnswer = rng.IntN(20) == 0
	c.plugin = pick(rng.IntN, wire.PluginNative, wire.PluginCachingSHA2)
	c.salt = []byte(fmt.Sprintf("%-20s", c.mark()))
	p := append([]byte{byte(wire.ComChangeUser)}, user...)
	p = append(p, 0, 3, 'o', 'l', 'd')
	p = append(append(p, schema...), 0, 0, 0)
	p = append(append(p, wire.PluginNative...), 0, 0)
	clear(c.stmts)
	c.longData, c.newest, c.unclear = false, 0, false
	c.changeTo, c.schema = user, schema
	return request{p: wire.AppendPacket(nil, 0, p), kind: kindChange}
}

// answer is what the client of this salt has to say.
func answer(user string, salt []byte) []byte { return []byte(user + "/" + string(salt)) }

// goOn sends what belongs to a command, when the reply asks for it.
func (c *client) goOn(payload []byte) {
	r := c.sent[0]
	switch {
	case r.kind == kindFile && payload[0] == wire.HeadLocalInfile && c.direct.loading:
		c.sendFile(r)
	case r.kind == kindChange && payload[0] == wire.HeadEOF && c.seq == 2:
		c.authenticate()
	}
}

// sendFile sends the file in several packets.
func (c *client) sendFile(r request) {
	text := strings.Join(r.rows, "\n")
	if text != "" {
		text += "\n"
	}
	var out []byte
	seq := c.seq
	for len(text) > 0 {
		n := c.w.part(len(text))
		if c.w.rng.IntN(3) > 0 {
			n = len(text)
		}
		out = wire.AppendPacket(out, seq, []byte(text[:n]))
		text = text[n:]
		seq++
	}
	out = wire.AppendHeader(out, 0, seq)
	c.out = append(c.out, out...)
	c.seq = seq + 1
	c.direct.receive(out)
	c.want, c.direct.sent = c.direct.sent, nil
	if c.direct.outOfStep {
		c.fail("a packet of the file has a wrong sequence id")
	}
}

// authenticate answers with the salt, and becomes the other user.
func (c *client) authenticate() {
	a := answer(c.changeTo, c.salt)
	if c.wrongAnswer {
		a[0]++
	}
	c.out = append(c.out, wire.AppendPacket(nil, 2, a)...)
	if c.wrongAnswer || c.changeTo == "stranger" || c.schema == "nowhere" {
		c.left = min(c.left, 0)
		c.expelled = true
	}
	c.direct.changeUser(c.changeTo, c.schema, c.wrongAnswer || c.changeTo == "stranger", c.plugin)
	c.want, c.direct.sent = c.direct.sent, nil
}

// changeUser makes the session another user's.
func (s *server) changeUser(user, schema string, denied bool, plugin string) {
	s.seq = 3
	s.reset()
	if denied {
		s.plainError(1045, "Access denied for user '"+user+"' (using password: YES)")
		return
	}
	if plugin == wire.PluginCachingSHA2 {
		s.sent = wire.AppendAuthMoreData(s.sent, s.next(), []byte{wire.CachingSHA2FastOK})
	}
	if schema != "" && !strings.HasPrefix(schema, "s") {
		s.plainError(1049, "Unknown database '"+schema+"'")
		return
	}
	s.user, s.schema = user, schema
	s.logIn(s.login)
	s.welcome()
}

// killSomebody kills another client, or its query.
func (c *client) killSomebody() request {
	rng := c.w.rng
	id := 100 + rng.IntN(len(c.w.clients)+1)
	if id == 100+c.id {
		id = 999
	}
	c.unclear = true
	c.killAnswer = nil
	if rng.IntN(8) == 0 {
		p := make([]byte, 5)
		p[0] = byte(wire.ComProcessKill)
		wire.PutStatementID(p, uint32(id))
		return request{p: wire.AppendPacket(nil, 0, p)}
	}
	return request{p: wire.AppendQuery(nil, c.caps, fmt.Sprintf("KILL QUERY %d", id))}
}

func (c *client) Kill(id uint32, query bool) {
	w := c.w
	w.mail = append(w.mail, func() {
		r := c.kill(int(id)-100, query)
		w.mail = append(w.mail, func() {
			text := fmt.Sprint(id)
			switch r {
			case mysession.KillDenied:
				c.killAnswer = wire.NewError(wire.CodeKillDenied, "You are not owner of thread "+text)
			case mysession.KillUnknown:
				c.killAnswer = wire.NewError(wire.CodeNoSuchThread, "Unknown thread id: "+text)
			case mysession.Killed:
			}
			c.session.KillDone(r)
			c.wake = true
		})
	})
}

// kill does it, with what the proxy knows of the victim.
func (c *client) kill(i int, query bool) mysession.KillResult {
	if i < 0 || i >= len(c.w.clients) {
		return mysession.KillUnknown
	}
	victim := c.w.clients[i]
	switch {
	case !victim.started || victim.gone || victim.closed:
		return mysession.KillUnknown
	case victim.session.User() != c.session.User():
		return mysession.KillDenied
	case query:
		c.w.trace("client %d kills the query of client %d", c.id, i)
		victim.hits++
		victim.session.Cancel()
		victim.wake = true
	default:
		c.w.trace("client %d kills client %d", c.id, i)
		c.w.met[clientKilled]++
		victim.vanish()
		victim.gone = true
		victim.session.ClientGone()
	}
	return mysession.Killed
}

// CancelQuery interrupts what runs on the connection, some time later.
func (c *client) CancelQuery() {
	d := c.db
	c.w.met[queryKilled]++
	c.w.later(time.Duration(c.w.rng.IntN(5000))*time.Microsecond, func() {
		if !d.broken && !d.dying {
			d.db.wakes(true)
		}
		c.session.CancelDone(d.server)
		c.wake = true
	})
}

func (c *client) Authenticate(user, plugin string, salt, response []byte) bool {
	if plugin != c.plugin || !bytes.Equal(salt, c.salt) {
		c.fail("authentication with another plugin or salt")
	}
	return bytes.Equal(response, answer(user, salt))
}

func (c *client) Salt(string) (plugin string, salt []byte) { return c.plugin, c.salt }

func (c *client) ChangeUser(user string) *mysession.Shared {
	if c.db != nil || c.session.Waiting() {
		c.fail("a session changes its user and has a connection")
	}
	return c.w.shared[user]
}
