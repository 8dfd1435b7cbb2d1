// SPDX-License-Identifier: Apache-2.0

package sqlscan

import "bytes"

// configCall is the call of set_config that is being read.
type configCall struct {
	depth   int32 // of parentheses within it, zero if there is none
	effects Effects
	commas  uint8 // between its arguments
	tokens  uint8 // of the current argument
	last    token
	lexical bool // the setting changes how texts are read
}

// anySetting is what a change of a setting does whose name is not known. The
// settings role and session_authorization are out of reach for RESET ALL.
const anySetting = EffectSet | EffectRole

// open takes an opening parenthesis, which makes a call of the name before it.
func (m *machine) open() {
	function := m.prev
	m.depth++
	m.emit(tokOpen)
	if function < firstCall {
		return
	}
	m.effects |= callEffects[function]
	if function != fnSetConfig {
		return
	}
	if m.config.depth != 0 {
		m.effects |= anySetting // one within the other
		return
	}
	m.config = configCall{depth: m.depth, effects: anySetting}
	m.setPhase(m.phase)
}

// close takes a closing parenthesis.
func (m *machine) close() {
	if m.config.depth != 0 && m.depth == m.config.depth {
		m.endConfig()
		m.setPhase(m.phase)
	}
	if m.depth > 0 {
		m.depth--
	}
	m.emit(tokClose)
}

// countArgument counts the tokens of the arguments of set_config.
func (m *machine) countArgument(t token) {
	c := &m.config
	if t == tokComma && m.depth == c.depth {
		switch value := m.literal(); {
		case c.commas == 0 && value != nil:
			name := lookup(value, 0, len(value))
			c.effects = settingEffects(name)
			c.lexical = name == idLexical
		case c.commas == 1 && c.lexical:
			m.checkLexical()
		}
		c.commas = min(c.commas+1, 3)
		c.tokens = 0
		return
	}
	c.tokens = min(c.tokens+1, 2)
	c.last = t
}

// endConfig ends set_config. If its third argument is nothing but true, the
// setting ends with the transaction.
func (m *machine) endConfig() {
	c := &m.config
	value := string(m.literal())
	local := c.commas == 2 && c.tokens == 1 && (c.last == kwTrue || value == "true" || value == "t")
	if local {
		c.effects &= EffectSessionFunction
	}
	m.effects |= c.effects
	c.depth = 0
}

// literal returns the value of the argument of set_config that was just read if
// it is a plain string without escapes, else nil.
func (m *machine) literal() []byte {
	if m.config.tokens != 1 || m.config.last != tokString || m.n == len(m.buf) {
		return nil
	}
	value := m.buf[:m.n]
	if m.kind == kindEscape && bytes.IndexByte(value, '\\') >= 0 {
		return nil
	}
	return value
}

// name takes a name that matters; prev is the token before it.
func (m *machine) name(t, prev token) {
	switch t {
	case idTemp:
		m.effects |= EffectTemp
	case idPackage:
		m.effects |= EffectSessionFunction
	case idSettings:
		m.sawSettings = true
		m.checkSettings()
	case fnUnlockAll:
		if prev == tokLeadSelect {
			m.setPhase(phaseUnlockOpen)
		}
	case fnNextval:
		if prev == kwDefault && m.lead == kwCreate && !m.sawAs || prev == tokSetDefault && m.lead == kwAlter {
			m.prev = tokWord // a new default of a column is not run
		}
	}
	// x.nextval is nextval(x) when x has no such column.
	if prev == tokDot && t != fnLastval {
		m.effects |= callEffects[t]
	}
}
