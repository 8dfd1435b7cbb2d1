// SPDX-License-Identifier: Apache-2.0

package sqlscan

import "bytes"

// settingEffects returns what a change of the named setting does.
func settingEffects(name token) Effects {
	switch name {
	case idRole, idSessionAuthorization:
		return EffectRole
	case idSeed:
		// It seeds the random numbers at once, as setseed does, for good.
		return EffectSet | EffectSessionFunction
	}
	return EffectSet
}

// lexicalToken takes a token behind the name of a setting that changes how
// later texts are read, up to the end of the statement.
func (m *machine) lexicalToken(t token) {
	m.prev = t
	if m.config.tokens == 0 && (t == kwTo || t == tokPunct) {
		return // an equals sign
	}
	m.config.tokens = min(m.config.tokens+1, 2)
	m.config.last = t
}

// checkLexical looks at the new value of client_encoding or
// standard_conforming_strings. Once a client may have texts read in another way
// than the scanner reads them, even in one transaction only, it can hide
// anything from it; the next text may be on its way before the server reports
// the new value. So all but the usual values make the session unknown.
func (m *machine) checkLexical() {
	safe := false
	switch c := &m.config; {
	case c.tokens == 0, c.tokens == 1 && (c.last == kwDefault || c.last == kwUTF8):
		safe = true
	case c.tokens == 1 && (c.last == kwOn || c.last == kwTrue):
		safe = !m.escapes
	case c.tokens == 1 && c.last == tokString:
		value := m.literal()
		isOn := bytes.EqualFold(value, []byte("on")) || bytes.EqualFold(value, []byte("true"))
		safe = isOn && !m.escapes || isASCIISuperset(value)
	}
	if !safe {
		m.effects |= EffectUnknown
	}
}

func isASCIISuperset(encoding []byte) bool {
	for _, name := range [...]string{"utf8", "utf-8", "unicode", "sql_ascii", "latin1"} {
		if len(encoding) == len(name) && bytes.EqualFold(encoding, []byte(name)) {
			return true
		}
	}
	return false
}
