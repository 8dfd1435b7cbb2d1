// SPDX-License-Identifier: Apache-2.0

package myscan

// phase is what the classifier expects of the next token.
type phase uint8

const (
	phaseBody         phase = iota // within a statement: only some words matter
	phaseLead                      // the first word of a statement
	phaseSet                       // the start of an assignment of SET
	phaseSetNames                  // behind SET NAMES
	phaseSetValue                  // behind the name in an assignment
	phaseSetStatement              // up to the FOR of SET STATEMENT
	phaseCreate                    // up to the kind of the object
	phaseRoutine                   // in a stored routine, trigger or event
	phaseDrop
	phaseInsert // up to the name of the table
	phaseCall   // up to the parenthesis of CALL
	phaseKill
	phaseKillEnd
	phaseShow
	phaseLock
	phaseUnlock
	phaseFlush
	phaseFlushTables
	phaseBegin
	phaseStart
	phaseEnd // of COMMIT or ROLLBACK
	phaseLoad
	phaseExecute
	phaseExplain // up to the statement to be explained
)

// lead says what a leading keyword means.
type lead struct {
	command Command
	phase   phase
	effects Effects
}

var leads = [tokenEnd]lead{
	kwAdmin:      {command: CommandAdmin},
	kwAlter:      {CommandAlter, phaseCreate, EffectDefinition},
	kwAnalyze:    {CommandAnalyze, phaseExplain, 0},
	kwBackup:     {CommandBackup, phaseBody, EffectInstanceLock},
	kwBegin:      {CommandBegin, phaseBegin, ReleaseTableLocks},
	kwBinlog:     {CommandAdmin, phaseBody, EffectUnknown},
	kwCall:       {CommandCall, phaseCall, EffectCall},
	kwCommit:     {command: CommandCommit, phase: phaseEnd},
	kwCreate:     {CommandCreate, phaseCreate, EffectDefinition},
	kwDeallocate: {CommandDeallocate, phaseBody, EffectDeallocate},
	kwDelete:     {command: CommandDelete},
	kwDescribe:   {command: CommandDescribe, phase: phaseExplain},
	kwDo:         {command: CommandDo},
	kwDrop:       {CommandDrop, phaseDrop, 0},
	kwExecute:    {CommandExecute, phaseExecute, EffectExecute},
	kwExplain:    {command: CommandExplain, phase: phaseExplain},
	kwFlush:      {command: CommandFlush, phase: phaseFlush},
	kwGet:        {CommandGet, phaseBody, EffectDiagnostics},
	kwHandler:    {CommandHandler, phaseBody, EffectHandler},
	kwHelp:       {command: CommandHelp},
	kwInsert:     {command: CommandInsert, phase: phaseInsert},
	kwKill:       {CommandKill, phaseKill, EffectKill},
	kwLoad:       {command: CommandLoad, phase: phaseLoad},
	kwLock:       {command: CommandLock, phase: phaseLock},
	kwPrepare:    {CommandPrepare, phaseBody, EffectPrepare},
	kwRelease:    {command: CommandRelease},
	kwRename:     {CommandRename, phaseBody, EffectDefinition},
	kwReplace:    {command: CommandReplace, phase: phaseInsert},
	kwRollback:   {command: CommandRollback, phase: phaseEnd},
	kwSavepoint:  {command: CommandSavepoint},
	kwSelect:     {command: CommandSelect},
	kwSet:        {command: CommandSet, phase: phaseSet},
	kwShow:       {command: CommandShow, phase: phaseShow},
	kwResignal:   {CommandSignal, phaseBody, EffectDiagnostics},
	kwSignal:     {command: CommandSignal},
	kwStart:      {command: CommandAdmin, phase: phaseStart},
	kwTable:      {command: CommandTable},
	kwTruncate:   {CommandTruncate, phaseBody, EffectDefinition},
	kwUnlock:     {command: CommandUnlock, phase: phaseUnlock},
	kwUpdate:     {command: CommandUpdate},
	kwUse:        {CommandUse, phaseBody, EffectUse},
	kwValues:     {command: CommandValues},
	kwWith:       {command: CommandWith},
	kwXA:         {CommandXA, phaseBody, EffectXA},
}

// add reports effects, unless the statement is only stored.
func (m *machine) add(e Effects) {
	if !m.inert {
		m.effects |= e
	}
}

// setPlain finds out whether tokens without meaning of their own can be skipped.
func (m *machine) setPlain() {
	m.plain = m.phase == phaseBody && m.stage == exactNot && m.call.fn == tokNone && m.system.stage == 0 &&
		!m.comment.open && !m.comment.dirty
}

// token classifies the next token, which lies at the offsets start to end of the
// text.
func (m *machine) token(t token, start, end int) {
	if m.comment.open {
		m.comment.any = true
	} else if m.comment.dirty {
		m.giveUp()
		return
	}
	m.plain = false
	if m.system.stage != 0 {
		if t = m.systemToken(t, end); t == tokSystem {
			return
		}
		start = m.system.start
	}
	if m.call.fn != tokNone {
		m.callToken(t, end)
	}
	if t >= firstCall {
		m.openCall(t, start)
	}
	if m.stage != exactNot {
		m.exactToken(t, start, end)
	}
	m.dispatchToken(t, start, end)
	m.setPlain()
}

func (m *machine) dispatchToken(t token, start, end int) {
	switch m.phase {
	case phaseBody:
		m.bodyToken(t)
	case phaseLead:
		m.leadToken(t)
	case phaseSet, phaseSetNames, phaseSetValue, phaseSetStatement:
		m.setToken(t)
	case phaseCreate:
		m.createToken(t)
	case phaseRoutine:
		m.routineToken(t)
	case phaseKill, phaseKillEnd:
		m.killToken(t, start, end)
	case phaseBegin, phaseStart, phaseEnd:
		m.transactionToken(t)
	case phaseLock, phaseUnlock, phaseFlush, phaseFlushTables:
		m.lockToken(t)
	case phaseExplain:
		m.explainToken(t)
	default:
		m.prefixToken(t)
	}
}

// leadToken takes the first token of a statement.
func (m *machine) leadToken(t token) {
	if m.lexical {
		m.giveUp() // this statement is read under settings of one before
	}
	m.statements++
	switch {
	case t >= firstLead && t <= lastLead:
		m.command(leads[t].command)
		m.dispatch(t)
	case t == tokOpen:
		m.command(CommandSelect)
		m.phase = phaseBody
		m.lead = kwSelect
		m.prev = t
	default:
		m.command(CommandOther)
		m.giveUp()
	}
}

// command takes what kind of statement has begun.
func (m *machine) command(c Command) {
	if m.statements == 1 {
		m.first = c
	}
	m.control = m.control || c.transactionControl()
	m.writes = m.writes || !c.reads()
}

// dispatch starts the statement that begins with the keyword t.
func (m *machine) dispatch(t token) {
	m.lead = t
	m.prev = t
	m.add(leads[t].effects)
	m.phase = leads[t].phase
	switch t {
	case kwBinlog:
		m.giveUp() // it runs events, which may set anything
	case kwSelect, kwDo:
		if !m.comment.seen {
			m.stage = exactStart
		}
	case kwCall, kwGet, kwLoad:
		m.assigns = true
	case kwExecute:
		m.lexical = true
	case kwAlter, kwCreate:
		m.definition = true
	}
}

// bodyToken takes a token within a statement. It relies on nothing but the
// token before.
func (m *machine) bodyToken(t token) {
	prev := m.prev
	m.prev = t
	switch t {
	case tokUserVar:
		m.add(EffectReadUserVariable)
		if m.assigns || prev == kwInto {
			m.add(EffectUserVariable)
		}
	case tokAssign:
		if prev == tokUserVar {
			m.add(EffectUserVariable)
		}
	case kwInto, kwUpdate, kwDelete, kwInsert, kwLock:
		m.writes = true
	case kwShare:
		m.writes = m.writes || prev == kwFor
	case kwCalcFoundRows:
		m.add(EffectCalcFoundRows)
	case idVariables:
		m.add(EffectReadTrack)
	case kwValue:
		if (prev == kwNext || prev == kwPrevious) && m.mode&ModeMariaDB != 0 {
			m.add(EffectSequence)
		}
	}
}

func (m *machine) semicolon() {
	if m.comment.open {
		m.giveUp()
		return
	}
	if m.phase == phaseRoutine && m.routine.semicolon() {
		m.prev = tokNone
		return
	}
	m.endStatement()
	m.phase = phaseLead
	m.setPlain()
}

// endStatement settles what only the end of a statement can settle.
func (m *machine) endStatement() {
	m.endExact()
	if m.phase == phaseKill {
		m.kill = Kill{Form: KillOther}
	}
	m.routine.settle()
	m.phase = phaseBody
	m.depth = 0
	m.prev = tokNone
	m.lead = tokNone
	m.scope = tokNone
	m.stage = exactNot
	m.call = openCall{}
	m.system = systemVariable{}
	m.comment = executable{}
	m.assigns = false
	m.definition = false
	if !m.routine.open {
		m.inert = false
	}
}
