// SPDX-License-Identifier: Apache-2.0

package sqlscan

import "bytes"

// state is where in the text the lexer stands. All but stateCode are inside an
// element, so that a cut of the text anywhere can be resumed.
type state uint8

const (
	stateCode         state = iota // between elements
	stateWord                      // in a word; its bytes so far are in buf
	stateUnicode                   // behind U&
	stateNumber                    // behind a digit of a number
	stateParameter                 // behind a digit of $1
	stateSlash                     // behind a slash that may start a comment
	stateDash                      // behind a minus sign that may start a comment
	stateLine                      // in a comment to the end of the line
	stateBlock                     // in a block comment
	stateString                    // in a string
	stateEscape                    // behind a backslash in a string
	stateQuote                     // behind a quote in a string: the end, or half of a doubled one
	stateGap                       // behind a string that may be continued on another line
	stateGapDash                   // behind a minus sign there
	stateGapLine                   // in a comment there
	stateQuoted                    // in a quoted identifier
	stateQuotedQuote               // behind a double quote there
	stateDollar                    // behind a dollar sign
	stateDollarTag                 // in the opening tag of a dollar quote; its bytes so far are in buf
	stateDollarString              // in a dollar-quoted string; its tag is in buf
	stateUnknown                   // given up: the rest does not matter
)

// machine reads one text and classifies it.
type machine struct {
	body *machine // reads the body of a DO block; nil within one

	effects    Effects
	base       int // offset in the text of the piece being read
	start      int // offset in the text of the word being read
	nameStart  int
	nameEnd    int // zero: no name
	statements int

	n     int // bytes in buf
	match int // matched bytes of the closing dollar quote

	depth  int32 // of parentheses
	nested int32 // of block comments
	config configCall

	state state
	phase phase
	prev  token // the token before
	lead  token // the first word of the statement
	first Command
	kind  stringKind
	last  byte // in a block comment: the byte before, if it may be half of a delimiter

	isBody      bool // plpgsql instead of SQL
	escapes     bool // plain strings have backslash escapes
	plain       bool // phaseBody and no set_config under way: few tokens matter
	afterNumber bool // the word follows a number without a space
	feeding     bool // the string is the body of a DO block
	capture     bool // the string is kept in buf
	newline     bool // one was seen in the gap behind a string

	schemaElements bool // in CREATE SCHEMA
	sawAs          bool // AS was seen in the statement
	tempTable      bool // CREATE TEMP TABLE without ON COMMIT DROP so far
	sawUpdate      bool // UPDATE was seen in the text
	sawSettings    bool // pg_settings was seen in the text
	control        bool // some statement controls a transaction
	noRelease      bool // statements of the text may be nested in another
	nameQuoted     bool

	buf [64]byte
}

func (m *machine) reset(isBody, escapes bool) {
	*m = machine{isBody: isBody, escapes: escapes, phase: phaseLead}
}

// giveUp ends the scan: the text is not understood.
func (m *machine) giveUp() {
	m.effects |= EffectUnknown
	m.state = stateUnknown
}

// push keeps bytes of a word or string. More than fit cannot match anything.
func (m *machine) push(p []byte) {
	m.n += copy(m.buf[m.n:], p)
}

// write reads a piece of the text. Every pass of the loop consumes at least one
// byte or moves to a state that will.
func (m *machine) write(p []byte) {
	for i := 0; i < len(p); {
		switch m.state {
		case stateCode:
			i = m.code(p, i)
		case stateWord:
			i = m.word(p, i)
		case stateUnicode:
			i = m.unicodePrefix(p, i)
		case stateNumber, stateParameter:
			i = m.number(p, i)
		case stateSlash, stateDash:
			i = m.commentStart(p, i)
		case stateLine:
			i = m.lineComment(p, i)
		case stateBlock:
			i = m.blockComment(p, i)
		case stateString, stateEscape:
			i = m.stringContent(p, i)
		case stateQuote:
			i = m.stringQuote(p, i)
		case stateGap, stateGapDash, stateGapLine:
			i = m.gap(p, i)
		case stateQuoted, stateQuotedQuote:
			i = m.quotedName(p, i)
		case stateDollar, stateDollarTag:
			i = m.dollarTag(p, i)
		case stateDollarString:
			i = m.dollarString(p, i)
		default:
			return
		}
	}
	m.base += len(p)
}

// finish ends the text. An element left open makes it unknown.
func (m *machine) finish() {
	switch m.state {
	case stateCode, stateLine, stateNumber, stateParameter:
	case stateWord:
		m.endWord(m.base)
	case stateUnicode:
		m.endUnicodePrefix()
	case stateSlash, stateDash, stateGapDash:
		m.endGap()
		m.emit(tokPunct)
	case stateQuote, stateGap, stateGapLine:
		m.endGap()
	case stateQuotedQuote:
		m.endQuotedName(m.base)
	default:
		m.giveUp()
	}
	if m.state != stateUnknown {
		m.state = stateCode
		m.endStatement()
	}
}

// emit reports a token that is not a word.
func (m *machine) emit(t token) {
	if m.plain {
		m.prev = t
		return
	}
	m.token(t, 0, 0, false)
}

// code reads elements up to one that cannot be read here as a whole.
func (m *machine) code(p []byte, i int) int {
	for i < len(p) {
		switch byteClass[p[i]] {
		case classSpace:
			i++
			continue
		case classLetter:
			j := i + 1
			for j < len(p) && wordByte[p[j]] {
				j++
			}
			if j == len(p) || p[j] >= 0x80 || j == i+1 && (p[j] == '\'' || p[j] == '&') {
				return m.startWord(i, false)
			}
			t := lookup(p, i, j)
			if t == tokWord && m.plain {
				m.prev = tokWord
				i = j
				continue
			}
			m.token(t, m.base+i, m.base+j, false)
			i = j
		case classHigh:
			return m.startWord(i, false)
		case classDigit:
			m.emit(tokNumber)
			m.enter(stateNumber)
			i = m.number(p, i+1)
		case classQuote:
			i = m.openString(p, i+1)
		case classDoubleQuote:
			i = m.openName(p, i+1)
		case classDollar:
			m.state = stateDollar
			i++
		case classSlash:
			m.state = stateSlash
			i++
		case classDash:
			m.state = stateDash
			i++
		case classOpen:
			m.open()
			i++
		case classClose:
			m.close()
			i++
		case classSemicolon:
			m.semicolon()
			i++
		default:
			m.emit(classTokens[byteClass[p[i]]])
			if m.isBody && p[i] == '>' {
				// The end of a label, >>, is followed by a statement.
				m.setPhase(phaseLead)
			}
			i++
		}
		if m.state != stateCode {
			return i
		}
	}
	return i
}

// enter moves to a state unless a token has just made the text unknown.
func (m *machine) enter(s state) {
	if m.state != stateUnknown {
		m.state = s
	}
}

// startWord begins a word that is cut, has bytes above ASCII, or may be the
// prefix of a string.
func (m *machine) startWord(i int, afterNumber bool) int {
	m.state = stateWord
	m.n = 0
	m.start = m.base + i
	m.afterNumber = afterNumber
	return i
}

func (m *machine) word(p []byte, i int) int {
	j := i
	for j < len(p) && (wordByte[p[j]] || p[j] >= 0x80) {
		j++
	}
	if m.afterNumber && bytes.IndexByte(p[i:j], '$') >= 0 {
		// Old servers split 1_0$a$ into 1 and an identifier, new ones into a
		// number and the start of a dollar quote.
		m.giveUp()
		return j
	}
	m.push(p[i:j])
	if j == len(p) {
		return j
	}
	if m.n == 1 {
		switch c := m.buf[0] | 0x20; {
		case p[j] == '\'' && c == 'e':
			m.startString(kindEscape)
			return j + 1
		case p[j] == '\'' && (c == 'b' || c == 'x'):
			m.startString(kindRaw)
			return j + 1
		case p[j] == '\'' && c == 'n':
			m.startString(kindPlain)
			return j + 1
		case p[j] == '&' && c == 'u':
			m.state = stateUnicode
			return j + 1
		}
	}
	m.endWord(m.base + j)
	return j
}

func (m *machine) endWord(end int) {
	m.state = stateCode
	w := m.buf[:m.n]
	t := lookup(m.buf[:], 0, len(w))
	if t == tokWord && !isASCII(w) {
		t = m.foldedName()
	}
	m.token(t, m.start, end, false)
}

// foldedName looks up the word in buf as a server with a single-byte encoding
// may read it: identifiers, not keywords, are folded by the C library there,
// which makes an ASCII i of the capital I with a dot. It is 0xDD in LATIN5 and
// WIN1254, 0xA9 in LATIN3, and two bytes when the client speaks UTF-8.
func (m *machine) foldedName() token {
	n := 0
	for i := 0; i < m.n; i++ {
		c := m.buf[i]
		switch {
		case c == 0xC4 && i+1 < m.n && m.buf[i+1] == 0xB0:
			c = 'i'
			i++
		case c == 0xDD || c == 0xA9:
			c = 'i'
		}
		m.buf[n] = c
		n++
	}
	if t := lookup(m.buf[:], 0, n); t >= firstName {
		return t
	}
	return tokWord
}

// unicodePrefix decides what U& is. An identifier with Unicode escapes can
// spell any name in any way, and nobody uses it.
func (m *machine) unicodePrefix(p []byte, i int) int {
	switch p[i] {
	case '\'':
		m.startString(kindRaw)
		return i + 1
	case '"':
		m.giveUp()
		return i + 1
	}
	m.endUnicodePrefix()
	return i
}

func (m *machine) endUnicodePrefix() {
	m.endWord(m.start + 1)
	if m.state != stateUnknown {
		m.emit(tokPunct)
	}
}

// number reads the digits of a number or parameter. Letters behind the digits
// of a number start a word: old servers read them so, new ones refuse them, and
// exponents and digits of other bases do no harm as words.
func (m *machine) number(p []byte, i int) int {
	for i < len(p) && byteClass[p[i]] == classDigit {
		i++
	}
	if i == len(p) || m.state == stateUnknown {
		return i
	}
	if c := byteClass[p[i]]; m.state == stateNumber && (c == classLetter || c == classHigh) {
		return m.startWord(i, true)
	}
	m.state = stateCode
	return i
}
