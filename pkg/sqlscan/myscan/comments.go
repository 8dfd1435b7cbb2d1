// SPDX-License-Identifier: Apache-2.0

package myscan

import "bytes"

// executable is what is known of the executable comments of a statement.
type executable struct {
	open  bool  // within one
	seen  bool  // the statement has one
	any   bool  // the one that is open holds a token
	dirty bool  // the statement may mean something else without it
	phase phase // where it began
}

// commentStart reads at and behind the delimiters of comments.
func (m *machine) commentStart(p []byte, i int) int {
	at := m.base + i
	switch m.state {
	case stateSlash:
		if p[i] != '*' {
			break
		}
		m.state = stateBlockStart
		return i + 1
	case stateStar:
		if p[i] != '/' {
			break
		}
		m.closeExecutable()
		return i + 1
	case stateDash:
		if p[i] != '-' {
			break
		}
		m.state = stateDashDash
		return i + 1
	case stateDashDash:
		return m.dashes(p, i)
	case stateBlockStart:
		return m.blockStart(p, i)
	case stateBlockM:
		if p[i] == '!' {
			m.openExecutable()
			return i + 1
		}
		m.state = stateBlock
		return i
	default:
		if byteClass[p[i]] == classDigit && m.digits < 6 {
			m.digits++
			return i + 1
		}
		m.state = stateCode
		return i
	}
	m.endNumber(tokPunct, at)
	return i
}

// dashes reads behind two minus signs, which start a comment only before a space
// or control character.
func (m *machine) dashes(p []byte, i int) int {
	at := m.base + i
	switch c := p[i]; {
	case c == '\n':
		m.startLine()
		if m.state == stateLine {
			m.state = stateCode
		}
	case c <= ' ' || c == 0x7F:
		m.startLine()
		return i
	case c >= 0x80 && m.mode&ModeOtherCharset != 0:
		m.giveUp()
	case c == '-':
		m.emit(tokPunct, at-2, at-1)
	default:
		m.state = stateCode
		m.emit(tokPunct, at-2, at-1)
		if m.state == stateCode {
			m.emit(tokPunct, at-1, at)
		}
		return i
	}
	return i + 1
}

func (m *machine) startLine() {
	m.state = stateLine
	if m.comment.open {
		m.giveUp() // a server that skips the outer comment sees no comment here
	}
}

func (m *machine) lineComment(p []byte, i int) int {
	end := len(p)
	if j := bytes.IndexByte(p[i:], '\n'); j >= 0 {
		end = i + j + 1
		m.state = stateCode
	}
	if bytes.IndexByte(p[i:end], 0) >= 0 {
		m.giveUp() // it ends the comment
	}
	return end
}

// blockStart tells the kinds of block comments apart.
func (m *machine) blockStart(p []byte, i int) int {
	m.last = 0
	m.hint = 0
	m.isHint = p[i] == '+'
	switch {
	case p[i] == '!':
		m.openExecutable()
		return i + 1
	case p[i] == 'M' && m.mode&ModeMariaDB != 0:
		m.state = stateBlockM
		return i + 1
	}
	m.state = stateBlock
	return i
}

// blockComment reads a comment, which does not nest. A quoted name in an
// optimizer hint may hold what looks like the end; nobody needs that.
func (m *machine) blockComment(p []byte, i int) int {
	for ; i < len(p); i++ {
		c := p[i]
		if c == '/' && m.last == '*' {
			m.last = 0
			m.state = stateCode
			if m.hint != 0 {
				m.giveUp()
			}
			return i + 1
		}
		m.last = c
		if m.isHint && (c == '`' || c == '"' || c == '\'') {
			switch m.hint {
			case 0:
				m.hint = c
			case c:
				m.hint = 0
			}
		}
	}
	return i
}

// openExecutable begins the inside of an executable comment.
func (m *machine) openExecutable() {
	if m.comment.open || m.inert {
		m.giveUp()
		return
	}
	m.effects |= EffectExecutableComment
	m.state = stateVersion
	m.digits = 0
	m.comment.open = true
	m.comment.seen = true
	m.comment.any = false
	m.comment.phase = m.phase
	m.plain = false
	// What stands before the comment and what stands behind it may belong
	// together.
	m.assigns = true
	if m.effects&EffectReadUserVariable != 0 {
		m.effects |= EffectUserVariable
	}
	if m.call.fn != tokNone {
		m.called(false, 0)
		m.called(true, 0)
		m.call = openCall{}
	}
	m.stage = exactNot
}

func (m *machine) closeExecutable() {
	m.state = stateCode
	m.comment.open = false
	if m.comment.any && (m.comment.phase != phaseBody || m.phase != phaseBody) {
		m.comment.dirty = true
	}
	if m.comment.phase == phaseLead && m.phase == phaseLead {
		m.comment.dirty = false
	}
	m.setPlain()
}
