// SPDX-License-Identifier: Apache-2.0

package myscan

import "bytes"

// state is where in the text the lexer stands. All but stateCode are inside an
// element, so that a cut of the text anywhere can be resumed.
type state uint8

const (
	stateCode          state = iota // between elements
	stateWord                       // in a word; its bytes so far are in buf
	stateInteger                    // in the digits of a number or name
	stateDot                        // behind a dot that may start a number
	stateFraction                   // in the digits behind the dot of a number
	stateExponent                   // behind the e of digits without a dot
	stateExponentSign               // behind the sign there
	stateFractionE                  // behind the e of digits with a dot
	stateFractionSign               // behind the sign there
	stateExponentDigit              // in the digits of an exponent
	stateAt                         // behind @
	stateUserVar                    // in the plain name of a user variable
	stateColon                      // behind a colon that may start :=
	stateSlash                      // behind a slash that may start a comment
	stateDash                       // behind a minus sign that may start a comment
	stateDashDash                   // behind two
	stateLine                       // in a comment to the end of the line
	stateBlockStart                 // behind /*
	stateBlockM                     // behind /*M
	stateVersion                    // in the version number of an executable comment
	stateBlock                      // in a block comment
	stateStar                       // behind a star that may end an executable comment
	stateQuoted                     // in a string or quoted identifier
	stateEscape                     // behind a backslash there
	stateQuote                      // behind a quote there: the end, or half of a doubled one
	stateUnknown                    // given up: the rest does not matter
)

// machine reads one text and classifies it.
type machine struct {
	effects    Effects
	base       int // offset in the text of the piece being read
	start      int // offset in the text of the element being read
	statements int
	n          int // bytes in buf

	calls    [MaxCalls]Call
	numCalls int
	counts   uint8 // reads of the counts of diagnostics, at most maxCounts
	exact    Exact
	kill     Kill
	call     openCall
	system   systemVariable

	depth   int32 // of parentheses
	routine routine
	comment executable

	mode      Mode
	state     state
	phase     phase
	prev      token // the token before
	lead      token // the first word of the statement
	first     Command
	scope     token // of a SET
	stage     exactStage
	exactCall token // the call of an exact statement

	quote    byte  // that encloses the string or identifier
	hint     byte  // a quote left open in an optimizer hint, or 0
	last     byte  // in a block comment: the byte before, if it is a star
	digits   uint8 // of a version
	isHint   bool
	variable bool // the string or identifier names a user variable
	high     bool // the word has bytes above ASCII

	plain         bool // few tokens matter
	control       bool // some statement controls a transaction
	writes        bool // some statement does not only read
	lexical       bool // statements to come may be read in another way
	assigns       bool // user variables of the statement are written
	inert         bool // the statement is stored, not run
	definition    bool // the statement defines something
	exactDone     bool
	values        bool // the first statement asks for ROW_COUNT() or FOUND_ROWS()
	cannotReplace bool

	buf [64]byte
}

func (m *machine) reset(mode Mode) {
	*m = machine{mode: mode, phase: phaseLead}
	if mode&ModeOracle != 0 {
		m.giveUp()
	}
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
		case stateQuoted:
			i = m.quoted(p, i)
		case stateEscape, stateQuote:
			i = m.quoteEnd(p, i)
		case stateBlock:
			i = m.blockComment(p, i)
		case stateLine:
			i = m.lineComment(p, i)
		case stateSlash, stateDash, stateDashDash, stateBlockStart, stateBlockM, stateVersion, stateStar:
			i = m.commentStart(p, i)
		case stateAt, stateUserVar, stateColon:
			i = m.variableName(p, i)
		case stateUnknown:
			return
		default:
			i = m.number(p, i)
		}
	}
	m.base += len(p)
}

// finish ends the text. An element left open makes it unknown.
func (m *machine) finish() {
	switch m.state {
	case stateCode, stateLine, stateDashDash:
	case stateWord:
		m.endWord(m.base)
	case stateInteger:
		m.endNumber(tokNumber, m.base)
	case stateFraction, stateExponentDigit, stateColon, stateSlash, stateDash, stateStar, stateExponentSign:
		m.endNumber(tokPunct, m.base)
	case stateDot:
		m.endNumber(tokDot, m.base)
	case stateExponent:
		m.endNumber(tokWord, m.base)
	case stateAt, stateUserVar:
		m.endNumber(tokUserVar, m.base)
	case stateQuote:
		m.endQuoted(m.base)
	default:
		m.giveUp()
	}
	if m.state == stateUnknown {
		return
	}
	m.state = stateCode
	if m.comment.open {
		m.giveUp()
		return
	}
	m.endStatement()
	if m.routine.open {
		m.giveUp()
	}
}

// emit reports a token that is not a word.
func (m *machine) emit(t token, start, end int) {
	if m.plain && t < tokAssign {
		m.prev = t
		return
	}
	m.token(t, start, end)
}

// code reads elements up to one that cannot be read here as a whole.
func (m *machine) code(p []byte, i int) int {
	for i < len(p) && m.state == stateCode {
		switch class := byteClass[p[i]]; class {
		case classSpace:
			i++
		case classLetter:
			j := i + 1
			for j < len(p) && wordByte[p[j]] {
				j++
			}
			if j == len(p) || p[j] >= 0x80 {
				return m.startWord(i)
			}
			t := m.keyword(lookup(p, i, j))
			if t == tokWord && m.plain {
				m.prev = tokWord
			} else {
				m.token(t, m.base+i, m.base+j)
			}
			i = j
		case classHigh, classDollar:
			return m.startWord(i)
		case classOpen:
			m.depth++
			m.emit(tokOpen, m.base+i, m.base+i+1)
			i++
		case classClose:
			m.emit(tokClose, m.base+i, m.base+i+1)
			m.depth = max(m.depth-1, 0)
			i++
		case classComma:
			m.emit(tokComma, m.base+i, m.base+i+1)
			i++
		case classQuote, classDoubleQuote, classBacktick:
			i = m.openQuoted(p, i)
		default:
			i = m.startElement(class, i)
		}
	}
	return i
}

// startElement reads the first byte of an element that is told by its class.
func (m *machine) startElement(class class, i int) int {
	at := m.base + i
	switch class {
	case classDigit:
		m.enter(stateInteger, at)
	case classDot:
		m.enter(stateDot, at)
	case classAt:
		m.enter(stateAt, at)
	case classColon:
		m.enter(stateColon, at)
	case classSlash:
		m.enter(stateSlash, at)
	case classDash:
		m.enter(stateDash, at)
	case classHash:
		m.startLine()
	case classStar:
		if m.comment.open {
			m.enter(stateStar, at)
		} else {
			m.emit(tokPunct, at, at+1)
		}
	case classSemicolon:
		m.semicolon()
	case classNul:
		m.giveUp()
	default:
		m.emit(tokPunct, at, at+1)
	}
	return i + 1
}

func (m *machine) enter(s state, start int) {
	m.state = s
	m.start = start
}

// keyword takes away the meaning of a keyword behind a dot.
func (m *machine) keyword(t token) token {
	if m.prev == tokDot && t < firstName && m.system.stage == 0 && !m.comment.seen {
		return tokWord
	}
	return t
}

// startWord begins a word that is cut, has bytes above ASCII, or starts with a
// dollar sign.
func (m *machine) startWord(i int) int {
	m.enter(stateWord, m.base+i)
	m.n = 0
	m.high = false
	return i
}

func (m *machine) word(p []byte, i int) int {
	j := i
	for j < len(p) && (wordByte[p[j]] || p[j] >= 0x80) {
		m.high = m.high || p[j] >= 0x80
		j++
	}
	m.push(p[i:j])
	if m.high && m.mode&ModeOtherCharset != 0 {
		m.giveUp()
		return j
	}
	if j < len(p) {
		m.endWord(m.base + j)
	}
	return j
}

func (m *machine) endWord(end int) {
	m.state = stateCode
	w := m.buf[:m.n]
	t := lookup(m.buf[:], 0, m.n)
	switch {
	case m.high:
		t = accented(w)
	case w[0] == '$' && (bytes.IndexByte(w[1:], '$') >= 0 || m.n == len(m.buf)):
		// MySQL 9 takes this for the start of a dollar quote.
		m.giveUp()
		return
	}
	m.emitWord(m.keyword(t), m.start, end)
}

func (m *machine) emitWord(t token, start, end int) {
	if t == tokWord && m.plain {
		m.prev = tokWord
		return
	}
	m.token(t, start, end)
}
