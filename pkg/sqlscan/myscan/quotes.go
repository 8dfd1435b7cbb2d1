// SPDX-License-Identifier: Apache-2.0

package myscan

import "bytes"

// isName tells whether the open quote encloses an identifier.
func (m *machine) isName() bool {
	return m.quote == '`' || m.quote == '"' && m.mode&ModeANSIQuotes != 0
}

// openQuoted reads a string or quoted identifier from its opening quote.
func (m *machine) openQuoted(p []byte, i int) int {
	m.enter(stateQuoted, m.base+i)
	m.quote = p[i]
	m.variable = false
	m.n = 0
	return m.quoted(p, i+1)
}

// quoted reads the content of a string or quoted identifier.
func (m *machine) quoted(p []byte, i int) int {
	escapes := m.mode&ModeNoBackslashEscapes == 0 && !m.isName()
	j := bytes.IndexByte(p[i:], m.quote)
	end := i + j
	if j < 0 {
		end = len(p)
	}
	if escapes {
		// The next quote may be behind a backslash.
		if k := bytes.IndexByte(p[i:end], '\\'); k >= 0 {
			return m.escaped(p, i, i+k)
		}
	}
	m.content(p[i:end])
	if j < 0 || m.state == stateUnknown {
		return end
	}
	if end+1 < len(p) && p[end+1] != m.quote {
		m.endQuoted(m.base + end + 1)
	} else {
		m.state = stateQuote
	}
	return end + 1
}

// escaped reads the content of a string from a backslash at k on. It goes byte
// by byte, so that many escapes before a far quote cost no more than one.
func (m *machine) escaped(p []byte, i, k int) int {
	for k < len(p) && p[k] != m.quote {
		if p[k] != '\\' {
			k++
			continue
		}
		if k+1 == len(p) {
			m.state = stateEscape
			k++
			break
		}
		k += 2
	}
	m.content(p[i:k])
	return k
}

// quoteEnd reads behind a backslash, or behind a quote that may be doubled.
func (m *machine) quoteEnd(p []byte, i int) int {
	if m.state == stateQuote && p[i] != m.quote {
		m.endQuoted(m.base + i)
		return i
	}
	m.state = stateQuoted
	m.content(p[i : i+1])
	return i + 1
}

// content takes a piece of the content of a string or quoted identifier.
func (m *machine) content(p []byte) {
	if m.comment.open && bytes.IndexByte(p, '*') >= 0 {
		m.giveUp() // to a server that skips the comment, it could end here
		return
	}
	if m.isName() && bytes.IndexByte(p, 0) >= 0 {
		m.giveUp()
		return
	}
	m.push(p)
}

// endQuoted ends a string or quoted identifier whose closing quote is before
// end.
func (m *machine) endQuoted(end int) {
	m.state = stateCode
	switch {
	case m.variable:
		m.variable = false
		m.emit(tokUserVar, m.start, end)
	case m.isName():
		t := lookup(m.buf[:], 0, m.n)
		if !isASCII(m.buf[:m.n]) {
			t = accented(m.buf[:m.n])
		}
		if t < firstName {
			t = tokWord
		}
		m.emitWord(t, m.start, end)
	case m.phase == phaseSetNames && lookup(m.buf[:], 0, m.n) == idSafeCharset:
		m.emit(idSafeCharset, m.start, end)
	default:
		m.emit(tokString, m.start, end)
	}
}
