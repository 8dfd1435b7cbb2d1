// SPDX-License-Identifier: Apache-2.0

package sqlscan

// configCall is the call of set_config that is being read.
type configCall struct {
	depth  int32 // of parentheses within it, zero if there is none
	commas uint8 // between its arguments
	tokens uint8 // of the current argument
	last   token
}

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
		m.effects |= EffectSet // one within the other
		return
	}
	m.config = configCall{depth: m.depth}
	m.setPhase(m.phase)
}

// close takes a closing parenthesis.
func (m *machine) close() {
	if m.config.depth != 0 && m.depth == m.config.depth {
		if !m.localConfig() {
			m.effects |= EffectSet
		}
		m.config.depth = 0
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
		c.commas = min(c.commas+1, 3)
		c.tokens = 0
		return
	}
	c.tokens = min(c.tokens+1, 2)
	c.last = t
}

// localConfig tells at the end of set_config whether its third argument is
// nothing but true, so that the setting ends with the transaction.
func (m *machine) localConfig() bool {
	c := &m.config
	if c.commas != 2 || c.tokens != 1 {
		return false
	}
	switch c.last {
	case kwTrue:
		return true
	case tokString:
		s := string(m.buf[:m.n])
		return s == "true" || s == "t"
	}
	return false
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
		if prev == kwDefault && m.lead == kwCreate && !m.sawAs {
			m.prev = tokWord // the default of a column is not run when it is created
			return
		}
	}
	// x.nextval is nextval(x) when x has no such column.
	if prev == tokDot && t != fnLastval {
		m.effects |= callEffects[t]
	}
}
