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
	var instead []byte
	switch {
	case res.Effects&myscan.EffectDiagnostics == 0:
		s.beforeOther(res.Effects)
	case s.older != nil && s.savesWarnings():
		return 0, false
	case s.warnings != nil:
		n, ok, handled, t := s.showWarnings(c, sql, &res)
		if handled {
			return n, ok
		}
		instead = t
	}
	tracked, ok := s.beforeTracking(&res, text)
	if !ok || !s.beforeText(&res) {
		return 0, false
	}
	if s.missesID(&res) {
		return s.refuse(c, idLostError), true
	}
	if s.untold(&res) {
		return s.refuse(c, untoldError), true
	}
	x := s.begin(c, shapeResult)
	x.tracked = tracked
	x.fate = s.fateOfText(&res, sql)
	s.noteEffects(x, &res)
	s.keepWrite(c, x, &res)
	t, renamed := s.rewritten(sql, &res, atOnce)
	if instead != nil {
		t = instead
	}
	if renamed != nil || instead != nil {
		x.renamed = renamed
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
	return s.passScanned(c), true
}

// passScanned forwards a command whose text is read as it streams by.
func (s *Session) passScanned(c *command) int {
	s.body = c.rest(toScan)
	if s.sendScanned(c.p) && !s.body.open() {
		s.bodyEnds(toScan)
	}
	return len(c.p)
}

// sendScanned forwards a part of such a command. At its end it is known what the text
// is, and that can still be held back: a server begins with it when it has all of it.
// It gives false then; the client is told when all has been dealt with.
func (s *Session) sendScanned(p []byte) bool {
	if !s.body.open() && !s.scanned() {
		s.withhold(untoldError)
		s.bodyEnds(toFailure)
		return false
	}
	s.host.ToServer(p)
	return true
}

// withhold throws the connection away, on which a part of a command waits for its
// end, and tells the client why, or what it has lost.
func (s *Session) withhold(why *wire.Error) {
	if s.srv.inTransaction() || s.srv.unsure || s.pins&^forgettable != 0 {
		why = verdict(outcomeUndone, true, s.pins&^forgettable)
	}
	s.failure = why
	s.detach(true)
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

// scanned is called at the end of a long text. It gives false if the text must not
// be run.
func (s *Session) scanned() bool {
	srv := s.srv
	res := srv.scanner.Result()
	x := &srv.x
	if x.stage == stageNone {
		return true
	}
	if x.shape == shapeResult && s.needsValues(&res) {
		return false
	}
	if st := x.stmt; st != nil {
		st.res = res
	}
	x.fate = s.fateOfText(&res, nil)
	if x.fate == listKept {
		x.fate = listUnclear // nobody has read it all
	}
	x.tracked.unclear = res.Effects&myscan.EffectSetStatement != 0
	if res.Effects&myscan.EffectTrack != 0 {
		x.tracked.use = tracksPin
	}
	s.noteEffects(x, &res)
	return true
}
