// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"github.com/rdsproxy/rdsproxy/pkg/sqlscan/myscan"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// clientQuery handles COM_QUERY.
func (s *Session) clientQuery(c *command) (int, bool) {
	long := c.size > holdText
	if !long && !c.whole() {
		return 0, false
	}
	at, need, err := wire.QueryText(c.payload(), c.size, s.caps)
	if err != nil {
		return s.refuse(c, wire.Malformed()), true
	}
	if need > 0 {
		if need > holdHead || c.whole() {
			return s.refuse(c, tooLarge), true
		}
		return 0, false
	}
	sql := c.payload()[at:]
	if s.srv == nil && !long && startsLikeKill(sql) {
		// That has to work when there is no connection to be had.
		if n, ok, handled := s.killUnscanned(c, sql); handled {
			return n, ok
		}
	}
	if !s.acquire() {
		return 0, false
	}
	if long {
		return s.clientQueryLong(c, sql)
	}
	res := s.scan(sql)
	if res.Effects&myscan.EffectKill != 0 {
		if n, ok, handled := s.killByText(c, sql, &res); handled {
			return n, ok
		}
	}
	var text string
	if res.Effects&trackEffects != 0 {
		text = string(sql)
	}
	tracked, ok := s.beforeTracking(&res, text)
	if !ok || !s.beforeText(&res) {
		return 0, false
	}
	x := s.begin(c, shapeResult)
	x.tracked = tracked
	s.noteEffects(x, &res)
	if t, ok := s.rewritten(sql, &res, false); ok {
		head := c.payload()[:at]
		out := wire.AppendHeader(nil, len(head)+len(t), 0)
		out = append(append(out, head...), t...)
		s.host.ToServer(out)
		s.rest(c, toNowhere)
		return len(c.p), true
	}
	return s.pass(c, toServer), true
}

// clientQueryLong forwards a text that is read as it streams by. What it does to
// the session is known at its end only, so all that it may need is there before.
func (s *Session) clientQueryLong(c *command, sql []byte) (int, bool) {
	if !s.ownTrackers() || !s.beforeUnseen() {
		return 0, false
	}
	s.begin(c, shapeResult)
	s.startScan(sql)
	return s.pass(c, toScan), true
}

// scan reads one complete text.
func (s *Session) scan(sql []byte) myscan.Result {
	sc := &s.srv.scanner
	sc.Reset(s.scanMode())
	sc.Write(sql)
	return sc.Result()
}

// startScan begins to read a text that streams by.
func (s *Session) startScan(sql []byte) {
	sc := &s.srv.scanner
	sc.Reset(s.scanMode())
	sc.Write(sql)
}

// scanned is called at the end of a long text.
func (s *Session) scanned() {
	srv := s.srv
	if srv == nil {
		return
	}
	res := srv.scanner.Result()
	x := &srv.x
	if x.stage == stageNone {
		return
	}
	if st := x.stmt; st != nil {
		st.res = res
	}
	x.tracked.unclear = res.Effects&myscan.EffectSetStatement != 0
	if res.Effects&myscan.EffectTrack != 0 {
		x.tracked.use = tracksPin
	}
	s.noteEffects(x, &res)
}
