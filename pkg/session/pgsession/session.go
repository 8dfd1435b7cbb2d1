// SPDX-License-Identifier: Apache-2.0

package pgsession

import (
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/session"
	"github.com/rdsproxy/rdsproxy/pkg/sqlscan"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// state is where a session is in its life.
type state uint8

const (
	// idle: no database connection, none asked for.
	idle state = iota
	// waiting: asked for a connection; the client is paused.
	waiting
	// replaying: has a connection, and its settings are being applied there;
	// the client is paused.
	replaying
	// active: has a connection.
	active
	// relaying: has a connection of its own; bytes pass unread (replication).
	relaying
	// leaving: the client is gone, its connection is being cleaned.
	leaving
	// closed: nothing comes or goes any more.
	closed
)

// Options is what a session is made of.
type Options struct {
	Host   Host
	Shared *Shared
	// Settings is what the client asked for at start-up (Shared.Settings).
	Settings *Settings
	// PID and Secret are the client's cancel key, 4 to 256 bytes of secret.
	PID    uint32
	Secret []byte
	// BorrowTimeout limits each wait for a connection; 0 for no limit. The host
	// answers BorrowFailed itself where a wait is not wanted at all.
	BorrowTimeout time.Duration
	// CleanupTimeout limits the cleaning of a connection after its client.
	CleanupTimeout time.Duration
	// Dedicated, if not 0, pins from the start: the connection was made for
	// this session. With PinReplication bytes pass unread.
	Dedicated session.Pins
}

// Session is one client's session after its login was accepted. Its methods
// may not be called concurrently. Make it with Init; it may be embedded.
type Session struct {
	host     Host
	shared   *Shared
	settings *Settings
	srv      *Server
	// view is what the client was told of the server's parameters, and escapes
	// what it says of backslashes in string literals.
	view    Params
	escapes bool
	// unsafeEncoding: a part of a character can look like ASCII to the scanner.
	unsafeEncoding bool

	// statements are the client's names of its prepared statements, and kept how
	// many bytes they take.
	statements map[string]Statement
	kept       int
	unnamed    unnamed
	// scope is where the statements belong that are prepared under settings of
	// the session's own, 0 while it has none, and local the same for those of
	// the present transaction.
	scope, local uint64
	localSince   stamp
	// boundReleases is what the statement of the unnamed portal takes away when
	// it is executed.
	boundReleases sqlscan.Effects
	// boundForgets is the name of the statement that it deallocates.
	boundForgets string
	// boundControl is what executing the unnamed portal does to the transaction, and
	// portalControl the same for those with names.
	boundControl, portalControl sqlscan.Effects
	// sqlPrepared is what PREPARE in SQL has put off until an EXECUTE.
	sqlPrepared sqlscan.Effects
	// scanner is there while a long statement streams by.
	scanner *textScan

	pins  session.Pins
	state state
	// welcomed: the client was told that it is logged in.
	welcomed bool
	// skipToSync: an error was reported; the client's messages are dropped up
	// to its next Sync, as the server does.
	skipToSync bool
	// closing: the client's batch has Close messages only so far, and they were
	// answered without a connection.
	closing bool
	// awaitsCancel: the client is paused because settings are to be put back, and
	// a cancel request that is under way must not hit that.
	awaitsCancel bool
	// throttled: the client is paused because the server owes too much.
	throttled bool
	// blocked: the client is paused because its message builds on a request
	// that may yet fail; blockedAt is what the server had answered by then.
	blocked   bool
	blockedAt stamp
	// draining: the session is to end as soon as nothing is under way.
	draining bool
	// terminated: the client said goodbye; what it asked for is carried out.
	terminated bool
	// resetting: the clean-up statements are on their way.
	resetting bool
	// taking: the connection was just granted, and gets the session's settings.
	// cancelled: the request that wants it was cancelled.
	taking, cancelled bool

	body body // of the client's message that is coming in
	// lostTx: the client is in a transaction block that was lost with its connection.
	lostTx bool
	// lostState: the failure to be told is about more than that block.
	lostState bool
	// retries counts the connections that ended before they could serve the request
	// at hand, and held is that request if the client will not send it again.
	retries int
	held    []byte

	// failure answers the next request in place of the server.
	failure []byte
	// work is what was done since the connection was granted.
	work session.Work

	borrowTimeout  time.Duration
	cleanupTimeout time.Duration
	asked, granted time.Duration
	pid            uint32
	secret         []byte
}

// Init makes s the session of a client whose password was accepted but who was
// not yet told anything else. Call Start next.
func (s *Session) Init(o Options) {
	*s = Session{
		host: o.Host, shared: o.Shared, settings: o.Settings, pins: o.Dedicated,
		borrowTimeout: o.BorrowTimeout, cleanupTimeout: o.CleanupTimeout, pid: o.PID, secret: o.Secret,
	}
	if s.pins != 0 {
		s.host.Pinned(s.pins)
	}
}

// Start tells the client that it is logged in, at once if what the server
// reports for its settings is known, else after a connection was borrowed,
// which also proves that the settings are valid.
func (s *Session) Start() {
	if s.pins == 0 {
		if p := s.shared.reported(s.settings); p != nil {
			s.setView(*p)
			s.welcome()
			return
		}
	}
	s.acquire()
}

// Settings is what the client asked for at start-up.
func (s *Session) Settings() *Settings { return s.settings }

// Pins is why the session keeps its connection now.
func (s *Session) Pins() session.Pins { return s.pins }

// Idle tells whether the session holds and wants nothing.
func (s *Session) Idle() bool {
	return s.state == idle && s.body.left == 0 && !s.skipToSync && s.failure == nil
}

// AwaitsClient tells whether it is the client's turn: nothing is asked of the
// proxy or of the database.
func (s *Session) AwaitsClient() bool {
	return s.state == idle || s.state == active && s.srv.owed.empty()
}

// Waiting tells whether the session is in the borrow queue.
func (s *Session) Waiting() bool { return s.state == waiting }

// Borrowed tells whether the session has a connection.
func (s *Session) Borrowed() bool { return s.srv != nil }

// InTransaction tells whether the session is in a transaction block.
func (s *Session) InTransaction() bool { return s.lostTx || s.srv != nil && s.srv.tx != 'I' }

// Closed tells whether the session is over and holds nothing.
func (s *Session) Closed() bool { return s.state == closed }

// acquire makes sure that the session has a connection. If not it waits for
// one, the client is paused, and the message at hand comes again.
func (s *Session) acquire() bool {
	switch s.state {
	case active, relaying, leaving:
		return true
	case idle:
	default:
		return false
	}
	s.asked = s.host.Now()
	s.state = waiting
	if srv := s.host.Borrow(s.settings); srv != nil {
		return s.bind(srv)
	}
	s.host.PauseClient()
	if s.borrowTimeout > 0 {
		s.host.SetTimer(s.borrowTimeout)
	}
	return false
}

// Granted gives the session the connection that it waits for.
func (s *Session) Granted(srv *Server) {
	if s.state != waiting {
		panic("pgsession: a connection granted to a session that does not wait")
	}
	s.host.SetTimer(0)
	if s.bind(srv) {
		s.host.ResumeClient()
	}
}

// bind takes a connection and applies the settings there if they differ. It
// tells whether the connection can be used at once.
//
// Nothing of the client's is sent before the settings are known to be in
// force: a request that ran under somebody else's search_path could not be
// taken back.
func (s *Session) bind(srv *Server) bool {
	s.srv = srv
	s.closing = false
	s.local, s.localSince = 0, 0
	s.granted = s.host.Now()
	s.work = session.Work{}
	if s.pins&session.PinReplication != 0 {
		s.state = relaying
		s.welcomeFrom(srv)
		return true
	}
	if s.pins&session.PinStartupParameter == 0 {
		if query := replay(srv.applied, s.settings, srv.reset.may); query != nil {
			s.taking = true
			s.replay(query)
			return false
		}
	}
	if s.lostTx {
		s.failBlock()
		return false
	}
	s.ready()
	return true
}

// ready makes the session active on a connection that has its settings.
func (s *Session) ready() {
	s.state = active
	s.taking = false
	s.srv.reset = resetState{}
	s.srv.inForce(s.settings)
	if !s.welcomed {
		if s.pins&session.PinStartupParameter == 0 {
			s.shared.setReported(s.settings, s.srv.params)
		}
		s.welcomeFrom(s.srv)
		s.settle()
		return
	}
	s.report()
	if s.held != nil {
		s.sendHeld()
	}
}

// report tells the client which parameters differ from what it was told.
func (s *Session) report() {
	if s.view == s.srv.params {
		return
	}
	var msg []byte
	for name, value := range s.view.changes(s.srv.params) {
		msg = wire.AppendParameterStatus(msg, name, value)
	}
	s.setView(s.srv.params)
	if msg != nil {
		s.host.ToClient(msg)
	}
}

func (s *Session) setView(p Params) {
	s.view = p
	conforming, _ := p.Get("standard_conforming_strings")
	s.escapes = conforming == "off"
	encoding, reported := p.Get("client_encoding")
	s.unsafeEncoding = reported && !sqlscan.SafeEncoding(encoding)
	if s.unsafeEncoding {
		s.pin(session.PinClientEncoding)
	} else {
		s.unpin(session.PinClientEncoding)
	}
}

func (s *Session) welcomeFrom(srv *Server) {
	s.setView(srv.params)
	s.welcome()
}

// welcome ends the start-up (protocol, "Start-up"): parameters, cancel key,
// ready.
func (s *Session) welcome() {
	msg := make([]byte, 0, 512) // as a rule that is enough
	for name, value := range s.view.All() {
		msg = wire.AppendParameterStatus(msg, name, value)
	}
	msg = wire.AppendBackendKeyData(msg, s.pid, s.secret)
	msg = wire.AppendReadyForQuery(msg, 'I')
	s.host.ToClient(msg)
	s.welcomed = true
}

// settle is called whenever the server may have become free of obligations. It
// releases the connection if nothing holds it; this is the only way back to
// idle.
func (s *Session) settle() {
	srv := s.srv
	if srv == nil || !srv.synced() {
		return
	}
	if s.state == leaving {
		s.clean()
		return
	}
	if s.state != active || s.body.left > 0 {
		return
	}
	if srv.stray > 0 {
		s.probe()
		return
	}
	if s.pins == 0 && srv.tx == 'I' && s.changed() {
		// Something that was not recognised has changed a setting.
		s.pin(session.PinParameterChanged)
	}
	kept := srv.tx != 'I' || s.pins != 0
	if srv.reset.may && srv.tx != 'E' && s.settings != nil && s.pins&session.PinStartupParameter == 0 {
		if srv.cancels > 0 {
			// Lest the request under way hits what the proxy sends.
			s.awaitsCancel = true
			s.host.PauseClient()
			return
		}
		if kept {
			s.awaitsCancel = false
			s.reapply()
			return
		}
	}
	held := kept || srv.cancels > 0
	if held {
		if s.draining && srv.tx == 'I' && srv.cancels == 0 {
			s.terminate(drainError)
		}
		return
	}
	s.release(!srv.doubt)
	if s.draining {
		s.terminate(drainError)
	}
}

// changed tells whether a setting has changed that no request was seen to
// change. What logins report by now has changed for all.
func (s *Session) changed() bool {
	srv := s.srv
	if srv.params == srv.expected || srv.reset.may {
		return false
	}
	p := s.shared.reported(s.settings)
	return p == nil || *p != srv.params
}

// reapply puts the session's settings back after RESET ALL or DISCARD ALL:
// what it means by its defaults is what it asked for at start-up.
func (s *Session) reapply() {
	if r := &s.srv.reset; !r.all && len(r.names) > 0 {
		s.replay(replay(nil, s.settings.only(r.names), true))
		return
	}
	s.replay(replay(s.srv.applied, s.settings, true))
}

func (s *Session) replay(query []byte) {
	s.srv.reset = resetState{}
	s.srv.owed.push(entryQuery, skip).op = opReplay
	s.srv.setUnnamed(0)
	s.state = replaying
	s.host.ToServer(query)
	s.host.PauseClient()
}

// release gives the connection back.
func (s *Session) release(reuse bool) {
	now := s.host.Now()
	s.work.Waited, s.work.Total = s.granted-s.asked, now-s.asked
	s.host.Served(s.work)
	s.srv = nil
	if s.state != closed {
		s.state = idle
	}
	if s.awaitsCancel {
		s.awaitsCancel = false
		s.host.ResumeClient()
	}
	s.unthrottle()
	s.host.Release(reuse)
}

func (s *Session) throttle() {
	s.throttled = true
	s.host.PauseClient()
}

func (s *Session) unthrottle() {
	if s.throttled || s.blocked {
		s.throttled, s.blocked = false, false
		s.host.ResumeClient()
	}
}

// block lets the message at hand wait for the server's answers to what it
// builds on. They will come, for a Sync or Query was sent behind that.
func (s *Session) block() (int, bool) {
	s.blocked, s.blockedAt = true, s.srv.owed.gone
	s.host.PauseClient()
	return 0, false
}

// pin notes reasons to keep the connection.
func (s *Session) pin(p session.Pins) {
	if p &^= s.pins; p != 0 {
		s.pins |= p
		s.host.Pinned(p)
	}
}

// pinFor notes the reasons that the request e gives.
func (s *Session) pinFor(e *entry, p session.Pins) {
	e.pins |= p
	e.fresh |= p &^ s.pins
	s.pin(p)
}

// retract takes back what a request pinned for that was not carried out. The
// requests from index first on may go on to pin for the same.
func (s *Session) retract(p session.Pins, first int) {
	owed := &s.srv.owed
	for i := first; i < owed.n && p != 0; i++ {
		e := owed.at(i)
		e.fresh |= p & e.pins
		p &^= e.pins
	}
	s.unpin(p)
}

// unpin takes reasons away.
func (s *Session) unpin(p session.Pins) {
	if s.pins&p == 0 {
		return
	}
	s.pins &^= p
	if s.pins == 0 {
		s.host.Unpinned()
	}
}
