// SPDX-License-Identifier: Apache-2.0

package myscan

// routine is where in the text of a stored routine, trigger or event the scanner
// stands. All it wants to know is which semicolon ends the statement. Where it
// is unsure it finds the end too early rather than too late, so that it hides
// nothing.
type routine struct {
	open    bool  // a block is open
	blocks  int32 // BEGIN and CASE without END
	header  bool  // before the body
	start   bool  // a statement of the body starts
	handler bool  // the statement of the body is a declaration
	end     bool  // END was read where a statement starts; what ends is not known yet
}

// settle ends an END that nothing follows.
func (r *routine) settle() {
	if r.end {
		r.end = false
		r.close()
	}
}

func (r *routine) close() {
	r.blocks = max(r.blocks-1, 0)
	r.open = r.blocks > 0
}

// semicolon tells whether a semicolon is within the body.
func (r *routine) semicolon() bool {
	r.settle()
	r.start = true
	r.header = false
	r.handler = false
	return r.open
}

// createToken takes a token behind CREATE or ALTER, up to the kind of the object.
func (m *machine) createToken(t token) {
	prev := m.prev
	m.prev = t
	switch t {
	case kwProcedure, kwFunction, kwTrigger, kwEvent, kwPackage:
		m.inert = true
		m.routine = routine{header: true}
		m.phase = phaseRoutine
		if m.comment.seen {
			m.giveUp()
		}
	case kwView:
		m.inert = true
		m.phase = phaseBody
	case kwTemporary:
		m.add(EffectTemp)
	case kwDefiner, kwAlgorithm:
		m.scope = t // a routine or view follows
	case kwOr, kwReplace, kwAggregate, kwSQL, kwIgnore:
	default:
		if m.scope == tokNone && prev != kwSQL {
			m.phase = phaseBody
			m.bodyToken(t)
		}
	}
}

// routineToken takes a token of a stored routine, trigger or event.
func (m *machine) routineToken(t token) {
	r := &m.routine
	prev := m.prev
	m.prev = t
	start := r.start
	r.start = false
	if r.end {
		r.end = false
		switch t {
		case kwIf, kwLoop, kwWhile, kwRepeat, kwFor:
			return // no block that is counted
		case kwCase:
			r.close()
			return
		}
		r.close()
	}
	switch t {
	case kwBegin:
		named := prev == kwProcedure || prev == kwFunction || prev == kwTrigger || prev == kwEvent || prev == kwOn ||
			prev == kwDeclare
		if m.depth != 0 || named || !start && !r.header && !r.handler {
			return
		}
		r.blocks++
		r.open = true
		r.start = true
		r.header = false
		r.handler = false
	case kwCase:
		r.blocks++
		r.open = true
		r.header = false
	case kwEnd:
		r.end = start
		if !start {
			r.close()
		}
	case kwThen, kwElse, kwLoop, kwRepeat, tokColon:
		r.start = !r.header && m.depth == 0
	case kwDo:
		r.start = !start
	case kwRow:
		r.header = r.header || prev == kwEach
	case kwDeclare:
		r.header = false
		r.handler = true
	case kwSelect, kwSet, kwCall, kwWith, kwIf, kwWhile, kwReturn:
		r.header = false
	}
}
