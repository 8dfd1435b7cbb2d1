// SPDX-License-Identifier: Apache-2.0

package myscan

// endNumber ends a number, or another element without content, before end.
func (m *machine) endNumber(t token, end int) {
	m.state = stateCode
	m.emit(t, m.start, end)
}

// number reads a number. Names may start with digits, and a number with a dot or
// an exponent ends where the next word starts: 1e5INTO is 1e5 and INTO, 1INTO is
// a name.
func (m *machine) number(p []byte, i int) int {
	digit := byteClass[p[i]] == classDigit
	e := p[i]|0x20 == 'e'
	sign := p[i] == '+' || p[i] == '-'
	at := m.base + i
	switch m.state {
	case stateInteger:
		switch {
		case digit:
		case p[i] == '.':
			m.state = stateFraction
		case e:
			m.state = stateExponent
		case wordByte[p[i]] || p[i] >= 0x80:
			return m.startNumberedWord(i)
		default:
			m.endNumber(tokNumber, at)
			return i
		}
	case stateDot:
		if !digit {
			m.endNumber(tokDot, at)
			return i
		}
		m.state = stateFraction
	case stateFraction:
		switch {
		case digit:
		case e:
			m.state = stateFractionE
		default:
			m.endNumber(tokPunct, at)
			return i
		}
	case stateExponent:
		switch {
		case digit:
			m.state = stateExponentDigit
		case sign:
			m.state = stateExponentSign
			m.last = p[i]
		default:
			return m.startNumberedWord(i)
		}
	case stateExponentSign:
		return m.exponentSign(p, i)
	case stateFractionE, stateFractionSign:
		switch {
		case digit:
			m.state = stateExponentDigit
		case sign && m.state == stateFractionE:
			m.state = stateFractionSign
		default:
			m.giveUp() // the server drops the number and reads on
		}
	default:
		if !digit {
			m.endNumber(tokPunct, at)
			return i
		}
	}
	return i + 1
}

// startNumberedWord goes on with a name that starts with digits. It is none that
// matters.
func (m *machine) startNumberedWord(i int) int {
	m.state = stateWord
	m.n = copy(m.buf[:], "0")
	m.high = false
	return i
}

// exponentSign reads behind 1e+ or 1e-. Without a digit, 1e is a name, and the
// sign may start a comment.
func (m *machine) exponentSign(p []byte, i int) int {
	if byteClass[p[i]] == classDigit {
		m.state = stateExponentDigit
		return i + 1
	}
	at := m.base + i
	m.endNumber(tokWord, at-1)
	switch {
	case m.state == stateUnknown:
	case m.last == '-':
		m.enter(stateDash, at-1)
	default:
		m.emit(tokPunct, at-1, at)
	}
	m.last = 0
	return i
}

// variableName reads behind an at sign or a colon.
func (m *machine) variableName(p []byte, i int) int {
	at := m.base + i
	switch m.state {
	case stateColon:
		if p[i] == '=' {
			m.endNumber(tokAssign, at+1)
			return i + 1
		}
		m.endNumber(tokColon, at)
		return i
	case stateAt:
		switch byteClass[p[i]] {
		case classAt:
			m.state = stateCode
			m.openSystem(m.start)
			return i + 1
		case classQuote, classDoubleQuote, classBacktick:
			m.variable = true
			m.state = stateQuoted
			m.quote = p[i]
			m.n = 0
			return i + 1
		}
		m.state = stateUserVar
	}
	for ; i < len(p); i++ {
		if p[i] >= 0x80 && m.mode&ModeOtherCharset != 0 {
			m.giveUp()
			return i
		}
		if !wordByte[p[i]] && p[i] != '.' && p[i] < 0x80 {
			m.endNumber(tokUserVar, m.base+i)
			return i
		}
	}
	return i
}
