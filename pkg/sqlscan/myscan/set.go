// SPDX-License-Identifier: Apache-2.0

package myscan

// setToken takes a token of a SET.
func (m *machine) setToken(t token) {
	switch {
	case m.phase == phaseSet:
		m.assignment(t)
		return
	case m.phase == phaseSetNames && t != kwSet:
		m.phase = phaseSetValue
		m.lexical = m.lexical || t != idSafeCharset
	case m.phase == phaseSetValue && t == tokComma && m.depth == 0:
		m.phase = phaseSet
		m.scope = tokNone
	case m.phase == phaseSetStatement && t == kwFor && m.depth == 0:
		m.statements--
		m.phase = phaseLead
		m.prev = t
		return
	}
	m.bodyToken(t)
}

// assignment takes a token where an assignment of SET starts.
func (m *machine) assignment(t token) {
	m.prev = t
	switch t {
	case tokUserVar:
		m.add(EffectReadUserVariable | EffectUserVariable)
		m.phase = phaseSetValue
	case kwGlobal, kwPersist, kwSession, kwLocal:
		m.scope = t
	case kwTransaction:
		m.setVariable(idIsolation, m.scope, true)
		m.phase = phaseBody
	case kwNames, kwCharset:
		m.add(EffectSet)
		m.phase = phaseSetNames
	case kwPassword, kwDefault:
		m.add(EffectSetGlobal)
		m.phase = phaseBody
	case kwRole:
		m.add(EffectRole)
		m.phase = phaseBody
	case kwStatement:
		if m.mode&ModeMariaDB == 0 {
			m.giveUp()
		}
		m.add(EffectSetStatement)
		m.phase = phaseSetStatement
	case kwResource:
		m.giveUp()
	default:
		if t != tokWord && t < kwAggregate {
			m.giveUp()
			return
		}
		m.setVariable(t, m.scope, false)
		m.phase = phaseSetValue
	}
}

// setVariable takes an assignment to the system variable name, written with @@
// if at.
func (m *machine) setVariable(name, scope token, at bool) {
	if scope == kwGlobal || scope == kwPersist {
		m.add(EffectSetGlobal)
		return
	}
	switch name {
	case idTrack:
		m.add(EffectTrack)
	case idLexical:
		m.lexical = true
	case idIdentity, fnLastInsertID:
		m.add(EffectSetLastInsertID)
	case idIsolation:
		if at && scope == tokNone {
			m.add(EffectNextTransaction)
			return
		}
	}
	m.add(EffectSet)
}
