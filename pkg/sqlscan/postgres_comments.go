// SPDX-License-Identifier: Apache-2.0

package sqlscan

// commentStart reads behind a slash or minus sign. Comments start in the midst
// of operators too: the server cuts an operator before the first /* or --.
func (m *machine) commentStart(p []byte, i int) int {
	switch {
	case m.state == stateSlash && p[i] == '*':
		m.state = stateBlock
		m.nested = 1
		m.last = 0
		return i + 1
	case m.state == stateDash && p[i] == '-':
		m.state = stateLine
		return i + 1
	}
	m.state = stateCode
	m.emit(tokPunct)
	return i
}

func (m *machine) lineComment(p []byte, i int) int {
	for ; i < len(p); i++ {
		if p[i] == '\n' || p[i] == '\r' {
			m.state = stateCode
			return i + 1
		}
	}
	return i
}

// blockComment reads a comment, which may hold others. A delimiter shares no
// byte with another: the text after /*/ is still in the comment.
func (m *machine) blockComment(p []byte, i int) int {
	last := m.last
	for ; i < len(p); i++ {
		c := p[i]
		switch {
		case c == '/' && last == '*':
			last = 0
			m.nested--
			if m.nested == 0 {
				m.state = stateCode
				return i + 1
			}
		case c == '*' && last == '/':
			last = 0
			m.nested++
		case c == '*' || c == '/':
			last = c
		default:
			last = 0
		}
	}
	m.last = last
	return i
}
