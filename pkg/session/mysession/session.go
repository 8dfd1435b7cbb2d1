// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/session"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// state is where a session is in its life.
type state uint8

const (
	// idle: no database connection, none asked for.
	idle state = iota
	// waiting: asked for a connection; the client is paused.
	waiting
	// active: has a connection.
	active
	// suspended: holds a command, or its answer, back for a moment; the client is paused.
	suspended
	// leaving: the client is gone, its connection is being cleaned.
	leaving
	// closed: nothing comes or goes any more.
	closed
)

// Options is what a session is made of.
type Options struct {
	Host   Host
	Shared *Shared
	// ThreadID is the number that the client knows itself by.
	ThreadID uint32
	User     string
	// Capabilities are those agreed on with the client.
	Capabilities wire.Capabilities
	// Collation and Schema are what the client asked for at its login; 0 and ""
	// for nothing.
	Collation uint16
	Schema    string
	// LoginSeq is the sequence id of the packet that ends the login.
	LoginSeq byte
	// BorrowTimeout limits each wait for a connection; 0 for no limit. The host
	// answers BorrowFailed itself where a wait is not wanted at all.
	BorrowTimeout time.Duration
	// CleanupTimeout limits the cleaning of a connection after its client.
	CleanupTimeout time.Duration
	// ResendWrites: the session leads to a writer, and a write that is refused because
	// that is read-only is sent again.
	ResendWrites bool
}

// Session is one client's session after its login was accepted. Its methods may
// not be called concurrently. Make it with Init; it may be embedded.
type Session struct {
	host     Host
	shared   *Shared
	settings *Settings
	// login is what the client asked for at its login, but for the schema; loginKnown:
	// the server knew the collation. collation is the number of the collation that it
	// named, as long as it is not known what that means.
	login      *Settings
	loginKnown bool
	collation  uint16
	// noCollation: the server does not know it.
	noCollation bool
	srv         *Server
	caps        wire.Capabilities
	threadID    uint32
	user        string
	loginSeq    byte
	pins        session.Pins
	state       state

	// welcomed: the client was told that it is logged in.
	welcomed bool
	// paused: the host was asked to keep the client's bytes.
	paused bool
	// atHand: the client has sent a command that had to be put off.
	atHand bool
	// draining: the session is to end as soon as nothing is under way.
	draining bool
	// terminated: the client said goodbye.
	terminated bool
	// preparing: settings that a statement was prepared under are in force, or on
	// their way, to prepare it again.
	preparing bool
	// taking: the connection was just granted, and gets what the session needs
	// before anything of the client's is sent. cancelled: the command that wants it
	// was cancelled meanwhile.
	taking, cancelled bool
	// retries counts the connections that ended under the command at hand before
	// anything of it was sent.
	retries int
	// resends is Options.ResendWrites, held the command that is held back, and refusals
	// counts how often it was refused.
	resends  bool
	held     []byte
	refusals int
	// cleaning is the step of the clean-up that has been done.
	cleaning cleaning

	body body // of the client's command that is coming in
	// failure answers the next command in place of the server.
	failure *wire.Error

	// statements are the client's prepared statements by the ids that it knows,
	// kept how many bytes they take, lastStatement the id given last.
	statements    map[uint32]*statement
	kept          int
	lastStatement uint32
	// newest is the statement prepared last, which MariaDB's clients may call by
	// wire.LastStatement; 0 if that failed.
	newest uint32
	// lastID is the session's LAST_INSERT_ID(). idLost: its connection ended before it
	// could be asked for.
	lastID uint64
	idLost bool
	// affected and foundRows are the session's ROW_COUNT() and FOUND_ROWS().
	// valuesHere: its connection has them, so that nothing else ran there since;
	// foundHere: it has FOUND_ROWS(), which SET and the choice of a schema leave alone.
	affected   int64
	foundRows  uint64
	valuesHere bool
	foundHere  bool
	// warnings is the list of warnings and errors of its newest statement, warned their
	// number; nil if there are none, or if its connection has them. keepsList: they must
	// stay there, for the client asks for them in ways that only a server can answer.
	// listRead: the newest statement has looked at them.
	// older is a list that the newest statement has left as it was, adding an error on
	// another connection. failed is the error that it ended with, if it did.
	warnings, older *warnings
	warned          uint16
	keepsList       bool
	listRead        bool
	failed          failed
	// lingering: it keeps its connection for a moment, in case that the client asks for
	// them. hurried: no longer.
	lingering, hurried bool
	// lostSchema is the default schema if somebody has dropped it; schemaTried: that is
	// known since the command at hand has come.
	lostSchema  string
	schemaTried bool
	// multi: multi-statements are allowed (COM_SET_OPTION).
	multi bool
	// tracking is what it wants to be told of changes of its state, nil for what
	// servers tell by themselves; explicit: it was told that a transaction has begun.
	tracking *trackers
	explicit bool
	// changing is there while the client becomes another user.
	changing       *changing
	loginCollation uint16
	// orphan is the file that the client is sending while its connection has ended.
	orphan *upload
	// killing: the client waits for the end of a KILL of killID.
	killing bool
	killID  uint32

	// work is what was done since the connection was granted.
	work           session.Work
	asked, granted time.Duration
	borrowTimeout  time.Duration
	cleanupTimeout time.Duration
}

// Init makes s the session of a client whose password was accepted but who was
// not yet told so. Call Start next.
func (s *Session) Init(o Options) {
	*s = Session{
		host: o.Host, shared: o.Shared, caps: o.Capabilities, threadID: o.ThreadID, user: o.User, loginSeq: o.LoginSeq,
		borrowTimeout: o.BorrowTimeout, cleanupTimeout: o.CleanupTimeout, resends: o.ResendWrites,
	}
	s.loginCollation = o.Collation
	s.multi = o.Capabilities.Has(wire.ClientMultiStatements)
	s.initSettings(o.Collation, o.Schema)
}

// Start tells the client that it is logged in: at once if nothing has to be asked
// of the database, else after a connection was borrowed.
func (s *Session) Start() {
	if s.known() {
		s.welcome()
		if s.draining {
			s.terminate(shutdownError)
		}
		return
	}
	s.acquire()
}

// welcome ends the login (protocol, "Connection Phase").
func (s *Session) welcome() {
	s.welcomed, s.atHand = true, false
	ok := wire.OK{Status: s.restStatus()}
	if schema := s.settings.Schema(); schema != "" && s.srv != nil && s.wanted().schema {
		ok.Track = wire.AppendTrackValue(nil, wire.TrackSchema, schema)
	}
	s.host.ToClient(wire.AppendOK(nil, s.loginSeq, s.caps, ok))
}

// Settings is what the session wants of its connection.
func (s *Session) Settings() *Settings { return s.settings }

// Pins is why the session keeps its connection now.
func (s *Session) Pins() session.Pins { return s.pins }

// Idle tells whether the session holds and wants nothing.
func (s *Session) Idle() bool {
	return s.state == idle && !s.body.open() && s.failure == nil && s.orphan == nil && s.welcomed
}

// AwaitsClient tells whether it is the client's turn: nothing is asked of the
// proxy or of the database.
func (s *Session) AwaitsClient() bool {
	return s.state == idle && s.welcomed || s.state == active && !s.taking && s.srv.idle() || s.sendsFile()
}

// Waiting tells whether the session is in the borrow queue.
func (s *Session) Waiting() bool { return s.state == waiting }

// Borrowed tells whether the session has a connection.
func (s *Session) Borrowed() bool { return s.srv != nil }

// InTransaction tells whether the session is in a transaction.
func (s *Session) InTransaction() bool { return s.srv != nil && s.srv.inTransaction() }

// Closed tells whether the session is over and holds nothing.
func (s *Session) Closed() bool { return s.state == closed }

// ThreadID is the number that the client knows itself by.
func (s *Session) ThreadID() uint32 { return s.threadID }

// User is the name that the client has proved to own.
func (s *Session) User() string { return s.user }

// acquire makes sure that the session has a connection with its settings. If not
// it gets one, the client is paused, and the command at hand comes again.
func (s *Session) acquire() bool {
	switch s.state {
	case active:
		return !s.taking && (s.preparing || s.apply(s.settings))
	case idle:
	default:
		return false
	}
	s.trySchema()
	s.asked = s.host.Now()
	s.state = waiting
	if srv := s.host.Borrow(s.settings); srv != nil {
		return s.bind(srv)
	}
	s.pause()
	if s.borrowTimeout > 0 {
		s.host.SetTimer(s.borrowTimeout)
	}
	return false
}

// Granted gives the session the connection that it waits for.
func (s *Session) Granted(srv *Server) {
	if s.state != waiting {
		panic("mysession: a connection granted to a session that does not wait")
	}
	s.host.SetTimer(0)
	if s.bind(srv) {
		s.resume()
	}
}

// bind takes a connection. It tells whether that can be used at once.
func (s *Session) bind(srv *Server) bool {
	s.srv, s.state = srv, active
	s.granted = s.host.Now()
	s.work = session.Work{}
	s.valuesHere, s.foundHere = false, false
	srv.ownList = false
	s.taking = true
	return s.take()
}

// take puts the session's settings in force on a connection that was just granted,
// step by step, and tells whether they are. Nothing of the client's is sent before:
// a command that ran in somebody else's schema could not be taken back.
func (s *Session) take() bool {
	if s.cancelled {
		s.cancelled, s.taking = false, false
		s.release(!s.srv.doubt)
		s.fail(interrupted)
		return false
	}
	if s.cannotForget() {
		// Another connection has to do, one that never had a default schema.
		s.taking = false
		s.release(false)
		return s.acquire()
	}
	if !s.applySettings() {
		s.pause()
		return false
	}
	s.taking = false
	if !s.welcomed {
		s.welcome()
		s.settle()
	}
	return s.state == active
}

// settle is called whenever the server may have become free of obligations. It
// releases the connection if nothing holds it; this is the only way back to idle.
func (s *Session) settle() {
	srv := s.srv
	if srv == nil || !srv.idle() {
		return
	}
	if s.state == leaving {
		s.clean()
		return
	}
	if s.state != active || s.taking || s.body.open() {
		return
	}
	if s.holds() {
		if s.draining && !srv.inTransaction() && srv.cancels == 0 {
			s.terminate(shutdownError)
			return
		}
		s.resume()
		return
	}
	if !srv.doubt && s.askBeforeRelease() {
		return
	}
	s.giveUpValues()
	s.release(!srv.doubt)
	if s.draining {
		s.terminate(shutdownError)
		return
	}
	s.resume()
}

// release gives the connection back.
func (s *Session) release(reuse bool) {
	now := s.host.Now()
	s.work.Waited, s.work.Total = s.granted-s.asked, now-s.asked
	s.host.Served(s.work)
	s.stopLingering()
	s.srv = nil
	if s.state != closed {
		s.state = idle
	}
	s.host.Release(reuse)
}

// pause stops the client's bytes from coming, and resume lets them come again: first
// the command that was held back.
func (s *Session) pause() {
	s.atHand = true
	if !s.paused {
		s.paused = true
		s.host.PauseClient()
	}
}

func (s *Session) resume() {
	if s.held != nil {
		s.sendHeld()
		return
	}
	if s.paused {
		s.paused = false
		s.host.ResumeClient()
	}
}

// pin notes reasons to keep the connection.
func (s *Session) pin(p session.Pins) {
	if p &^= s.pins; p != 0 {
		s.pins |= p
		s.host.Pinned(p)
	}
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
