// SPDX-License-Identifier: Apache-2.0

package sqlscan

import "bytes"

// Scanner classifies one PostgreSQL text: the body of a Query message, or the
// query of a Parse message, without the closing NUL. Reset it, Write the text
// in pieces cut anywhere, then ask for the Result. It never allocates and may
// be used again. It is not safe for concurrent use.
type Scanner struct {
	text   machine
	body   machine // the body of a DO block within text
	unsafe bool
}

// Result is what a text was found to be.
type Result struct {
	Effects    Effects
	Statements int     // statements that are not empty; a lower bound with EffectUnknown
	First      Command // of the first statement

	// TransactionControl tells that a statement of the text starts, ends or
	// divides a transaction (BEGIN, COMMIT, SAVEPOINT, PREPARE TRANSACTION, ...).
	TransactionControl bool

	// Releases are all releases of the text: also those that Effects leaves out
	// because the text as a whole is not understood.
	Releases Effects

	// NameStart and NameEnd are the byte offsets in the text of the name of the
	// prepared statement when the text is exactly one EXECUTE, DEALLOCATE or
	// PREPARE of it, else -1. If NameQuoted, they lie within the double quotes,
	// the name keeps its case, and two double quotes stand for one. Otherwise
	// the server folds the name to lower case. It cuts either at 63 bytes.
	NameStart, NameEnd int
	NameQuoted         bool
}

// Reset prepares the scanner for a new text. backslashEscapes is true when the
// setting standard_conforming_strings of the session is off at the time the
// server reads the text. What the text itself does to the setting has no
// bearing on it: the server splits the whole text before it runs any of it.
func (s *Scanner) Reset(backslashEscapes bool) {
	s.text.reset(false, backslashEscapes)
	s.unsafe = false
}

// AssumeUnsafeEncoding tells the scanner, between Reset and the first Write,
// that the client encoding is one in which a byte of a multi-byte character may
// look like ASCII (see SafeEncoding). The server converts the text before it
// reads it, so such a byte could hide a quote from the scanner. Any text that
// is not plain ASCII is then EffectUnknown.
func (s *Scanner) AssumeUnsafeEncoding() { s.unsafe = true }

// Write reads the next piece of the text, of any length. It keeps nothing of p.
func (s *Scanner) Write(p []byte) {
	m := &s.text
	if m.state == stateUnknown {
		return
	}
	// To the server a NUL ends the text, and what follows spoils the message.
	end := bytes.IndexByte(p, 0)
	if s.unsafe {
		end = bytes.IndexFunc(p, func(r rune) bool { return r == 0 || r >= 0x80 })
	}
	m.body = &s.body
	if end < 0 {
		m.write(p)
		return
	}
	m.write(p[:end])
	m.giveUp()
}

// Result ends the text and returns what it was found to be. Reset must follow
// before the next Write.
func (s *Scanner) Result() Result {
	m := &s.text
	m.body = &s.body
	m.finish()
	r := Result{
		Effects:            m.effects,
		Statements:         m.statements,
		First:              m.first,
		TransactionControl: m.control,
		Releases:           m.effects.Releases(),
		NameStart:          -1,
		NameEnd:            -1,
	}
	if m.noRelease || r.Effects&EffectUnknown != 0 {
		r.Effects = r.Effects.Session()
	}
	prepared := m.first == CommandPrepare || m.first == CommandExecute || m.first == CommandDeallocate
	if m.statements == 1 && prepared && m.nameEnd > 0 && m.state != stateUnknown {
		r.NameStart, r.NameEnd, r.NameQuoted = m.nameStart, m.nameEnd, m.nameQuoted
	}
	return r
}

func isASCII(p []byte) bool {
	for _, c := range p {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// SafeEncoding tells whether in the named client encoding every byte of a
// multi-byte character lies above ASCII. Names are as the server reports them
// in the parameter client_encoding. An unknown name is not safe.
func SafeEncoding(name string) bool {
	switch name {
	case "UTF8", "UNICODE", "SQL_ASCII", "MULE_INTERNAL",
		"EUC_JP", "EUC_CN", "EUC_KR", "EUC_TW", "EUC_JIS_2004",
		"LATIN1", "LATIN2", "LATIN3", "LATIN4", "LATIN5", "LATIN6", "LATIN7", "LATIN8", "LATIN9", "LATIN10",
		"ISO_8859_5", "ISO_8859_6", "ISO_8859_7", "ISO_8859_8", "KOI8R", "KOI8U",
		"WIN866", "WIN874", "WIN1250", "WIN1251", "WIN1252", "WIN1253", "WIN1254", "WIN1255", "WIN1256",
		"WIN1257", "WIN1258":
		return true
	}
	return false
}
