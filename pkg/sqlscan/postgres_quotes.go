// SPDX-License-Identifier: Apache-2.0

package sqlscan

import "bytes"

// stringKind is how the inside of a string is read.
type stringKind uint8

const (
	// kindSimple is a plain string whose content and end do not matter. A
	// doubled quote in it reads as well as the end of one string and the start
	// of the next.
	kindSimple stringKind = iota
	kindPlain
	kindEscape // backslash escapes
	kindRaw    // B, X and U&: never backslash escapes, whatever the setting
)

// openString reads from behind the opening quote of a string without prefix.
func (m *machine) openString(p []byte, i int) int {
	if !m.plain || m.escapes {
		m.startString(kindPlain)
		return i
	}
	m.prev = tokString
	j := bytes.IndexByte(p[i:], '\'')
	if j < 0 {
		m.kind = kindSimple
		m.state = stateString
		m.capture = false
		return len(p)
	}
	return i + j + 1
}

// startString begins a string whose opening quote was read.
func (m *machine) startString(kind stringKind) {
	if kind == kindPlain && m.escapes {
		kind = kindEscape
	}
	m.state = stateString
	m.kind = kind
	if m.phase == phaseDo && m.body != nil {
		if kind != kindPlain {
			m.giveUp() // escapes can spell any word
			return
		}
		m.startBody()
	}
	if kind == kindRaw {
		m.emit(tokLiteral)
	} else {
		m.emit(tokString)
	}
	m.capture = m.config.depth != 0 || m.phase == phaseSetLexical
	m.n = 0
}

// content reports a piece of the content of a string.
func (m *machine) content(p []byte) {
	switch {
	case m.feeding:
		m.body.write(p)
	case m.capture:
		m.push(p)
	}
}

func (m *machine) stringContent(p []byte, i int) int {
	if m.state == stateEscape {
		m.state = stateString
		m.content(p[i : i+1])
		return i + 1
	}
	var j int
	if m.kind == kindEscape {
		j = bytes.IndexAny(p[i:], `'\`)
	} else {
		j = bytes.IndexByte(p[i:], '\'')
	}
	if j < 0 {
		m.content(p[i:])
		return len(p)
	}
	m.content(p[i : i+j])
	i += j
	switch {
	case p[i] == '\\':
		m.content(p[i : i+1])
		m.state = stateEscape
	case m.kind == kindSimple:
		m.state = stateCode
	default:
		m.state = stateQuote
	}
	return i + 1
}

// stringQuote tells a doubled quote from the end of the string.
func (m *machine) stringQuote(p []byte, i int) int {
	if p[i] == '\'' {
		m.content(p[i : i+1])
		m.state = stateString
		return i + 1
	}
	m.state = stateGap
	m.newline = false
	return i
}

// gap reads what lies behind a string. Another one after nothing but spaces,
// comments to the end of the line and at least one newline continues it, and is
// read by the rules of its first part.
func (m *machine) gap(p []byte, i int) int {
	for ; i < len(p); i++ {
		c := p[i]
		newline := c == '\n' || c == '\r'
		switch {
		case m.state == stateGapLine:
			if newline {
				m.newline = true
				m.state = stateGap
			}
		case m.state == stateGapDash:
			if c != '-' {
				m.endGap()
				m.enter(stateDash)
				return i
			}
			m.state = stateGapLine
		case c == '-':
			m.state = stateGapDash
		case c == '\'' && m.newline:
			m.state = stateString
			return i + 1
		case byteClass[c] == classSpace:
			m.newline = m.newline || newline
		default:
			m.endGap()
			return i
		}
	}
	return i
}

// endGap ends a string for good.
func (m *machine) endGap() {
	m.state = stateCode
	if m.feeding {
		m.endBody()
	}
}

// openName reads from behind the opening quote of a quoted identifier.
func (m *machine) openName(p []byte, i int) int {
	j := i + bytes.IndexByte(p[i:], '"')
	if j < i || j+1 == len(p) || p[j+1] == '"' {
		m.state = stateQuoted
		m.start = m.base + i
		m.n = 0
		return i
	}
	t := lookup(p, i, j)
	if t < firstName {
		t = tokWord
	}
	if t == tokWord && m.plain {
		m.prev = tokWord
	} else {
		m.token(t, m.base+i, m.base+j, true)
	}
	return j + 1
}

func (m *machine) quotedName(p []byte, i int) int {
	if m.state == stateQuotedQuote {
		if p[i] != '"' {
			m.endQuotedName(m.base + i)
			return i
		}
		m.push(p[i : i+1])
		m.state = stateQuoted
		return i + 1
	}
	j := bytes.IndexByte(p[i:], '"')
	if j < 0 {
		m.push(p[i:])
		return len(p)
	}
	m.push(p[i : i+j])
	m.state = stateQuotedQuote
	return i + j + 1
}

// endQuotedName ends a quoted identifier whose closing quote is before end.
func (m *machine) endQuotedName(end int) {
	m.state = stateCode
	t := lookup(m.buf[:], 0, m.n)
	if t < firstName {
		t = tokWord
	}
	m.token(t, m.start, end-1, true)
}

// dollarTag reads behind a dollar sign: the digits of a parameter, or the tag of
// a dollar quote. Anything else is an error to the server.
func (m *machine) dollarTag(p []byte, i int) int {
	if m.state == stateDollar {
		m.n = 0
		if byteClass[p[i]] == classDigit {
			m.state = stateCode
			m.emit(tokNumber)
			m.enter(stateParameter)
			return i + 1
		}
		m.state = stateDollarTag
	}
	for ; i < len(p); i++ {
		c := p[i]
		switch k := byteClass[c]; {
		case c == '$':
			m.startDollarString()
			return i + 1
		case m.n == len(m.buf)-1:
			m.giveUp() // the tag may be of any length, but nobody needs so long a one
			return i
		case k == classLetter, k == classHigh, k == classDigit && m.n > 0:
			m.buf[m.n] = c
			m.n++
		default:
			m.giveUp()
			return i
		}
	}
	return i
}

func (m *machine) startDollarString() {
	m.state = stateDollarString
	m.match = 0
	if m.phase == phaseDo && m.body != nil {
		m.startBody()
	}
	m.emit(tokLiteral)
}

// dollarString looks for the closing tag. A dollar sign that does not start it
// may be followed by one that does.
func (m *machine) dollarString(p []byte, i int) int {
	for i < len(p) {
		c := p[i]
		switch {
		case m.match == 0:
			j := bytes.IndexByte(p[i:], '$')
			if j < 0 {
				m.bodyContent(p[i:])
				return len(p)
			}
			m.bodyContent(p[i : i+j])
			m.match = 1
			i += j + 1
		case m.match <= m.n && c == m.buf[m.match-1]:
			m.match++
			i++
		case m.match > m.n && c == '$':
			m.endGap()
			return i + 1
		default:
			m.bodyContent([]byte{'$'})
			m.bodyContent(m.buf[:m.match-1])
			m.match = 0
		}
	}
	return i
}

func (m *machine) bodyContent(p []byte) {
	if m.feeding {
		m.body.write(p)
	}
}

// startBody begins the body of a DO block.
func (m *machine) startBody() {
	m.body.reset(true, m.escapes)
	m.feeding = true
}

// endBody takes over what the body of a DO block was found to do.
func (m *machine) endBody() {
	m.feeding = false
	m.body.finish()
	m.effects |= m.body.effects.Session()
	if m.body.state == stateUnknown {
		m.giveUp()
	}
}
