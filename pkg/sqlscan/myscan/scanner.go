// SPDX-License-Identifier: Apache-2.0

package myscan

import "bytes"

// Scanner classifies one text: that of a COM_QUERY or a COM_STMT_PREPARE. Reset
// it, Write the text in pieces cut anywhere, then ask for the Result. It never
// allocates and may be used again. It is not safe for concurrent use.
type Scanner struct {
	m machine
}

// MaxCalls is how many calls a Result lists.
const MaxCalls = 8

// CallKind is what a call that may have to be replaced asks for.
type CallKind uint8

// Kinds of calls.
const (
	CallNone CallKind = iota
	CallRowCount
	CallFoundRows
	CallConnectionID
	CallThreadID     // @@pseudo_thread_id
	CallDatabase     // DATABASE() or SCHEMA()
	CallWarningCount // @@warning_count
	CallErrorCount   // @@error_count
)

// Call is a call that means the connection rather than the session. Start and
// End are the byte offsets in the text of the whole expression.
type Call struct {
	Kind       CallKind
	Start, End int
	// First tells that it is in the first statement of the text.
	First bool
}

// KillForm is what a KILL ends.
type KillForm uint8

// Forms of KILL.
const (
	KillNone       KillForm = iota
	KillConnection          // the client of that number
	KillQuery               // what that client runs
	KillOther               // anything else: an expression, a user, a query id, two KILLs
)

// Kill is the KILL of a text. Start and End are the byte offsets of the digits,
// both 0 with KillNone and KillOther.
type Kill struct {
	Form       KillForm
	Soft       bool // MariaDB's KILL SOFT
	Start, End int
}

// Exact describes a text that is nothing but SELECT call [[AS] alias] [LIMIT n]
// and perhaps a semicolon. Calls[0] is the call. Offsets are those of the alias
// with its quotes, and of the digits of n; both are 0 where there is none.
type Exact struct {
	Is                   bool
	AliasStart, AliasEnd int
	LimitStart, LimitEnd int
}

// Result is what a text was found to be.
type Result struct {
	Effects    Effects
	Statements int     // statements that are not empty; a lower bound with EffectUnknown
	First      Command // of the first statement

	// TransactionControl tells that a statement of the text starts, ends or
	// divides a transaction.
	TransactionControl bool

	// ReadOnly is a hint that the text only reads: its statements are queries
	// without locking clauses, INTO and effects. Functions that users have
	// defined may still write.
	ReadOnly bool

	// Calls holds the first NumCalls calls that may have to be replaced.
	// CannotReplace tells that the first statement has a ROW_COUNT() or
	// FOUND_ROWS() that is not listed, or may have one.
	Calls         [MaxCalls]Call
	NumCalls      int
	CannotReplace bool
	// Counts is how often @@warning_count and @@error_count are read, at most one more
	// than MaxCalls; the text reads nothing else of the diagnostics if it is neither SHOW
	// nor GET.
	Counts int

	Exact Exact
	Kill  Kill
}

// Reset prepares the scanner for a new text, which the server reads in the given
// mode.
func (s *Scanner) Reset(mode Mode) {
	s.m.reset(mode)
}

// Write reads the next piece of the text, of any length. It keeps nothing of p.
func (s *Scanner) Write(p []byte) {
	m := &s.m
	if m.state == stateUnknown {
		return
	}
	if m.mode&ModeUnsafeCharset != 0 {
		if end := bytes.IndexFunc(p, func(r rune) bool { return r >= 0x80 }); end >= 0 {
			m.write(p[:end])
			m.giveUp()
			return
		}
	}
	m.write(p)
}

// Result ends the text and returns what it was found to be. Reset must follow
// before the next Write.
func (s *Scanner) Result() Result {
	m := &s.m
	m.finish()
	r := Result{
		Effects:            m.effects,
		Statements:         m.statements,
		First:              m.first,
		TransactionControl: m.control,
	}
	if r.Effects&(EffectExecutableComment|EffectUnknown) != 0 {
		r.Effects = r.Effects.Session()
	}
	if r.Effects&EffectUnknown != 0 {
		r.CannotReplace = m.values
		if m.kill.Form != KillNone {
			r.Kill.Form = KillOther
		}
		return r
	}
	const reads = EffectReadUserVariable | EffectFoundRows | EffectRowCount | EffectLastInsertID |
		EffectConnectionID | EffectDiagnostics | EffectExecutableComment | EffectReadTrack
	r.ReadOnly = m.statements > 0 && !m.writes && r.Effects&^reads == 0
	r.Calls, r.NumCalls, r.CannotReplace = m.calls, m.numCalls, m.cannotReplace
	r.Counts = int(m.counts)
	r.Kill = m.kill
	if m.statements == 1 && m.first == CommandSelect && m.exactDone && m.numCalls == 1 {
		r.Exact = m.exact
		r.Exact.Is = true
	}
	return r
}
