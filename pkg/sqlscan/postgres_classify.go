// SPDX-License-Identifier: Apache-2.0

package sqlscan

// phase is what the classifier expects of the next token.
type phase uint8

const (
	phaseBody phase = iota // within a statement: only some words matter
	phaseLead              // the first word of a statement
	phaseSet
	phaseSetLocal
	phaseSetSession
	phaseSetTransaction // behind SET TRANSACTION or SET CONSTRAINTS
	phaseSetLexical     // behind a setting that changes how texts are read
	phaseReset
	phaseDiscard
	phaseDeallocate
	phaseDeallocatePrepare
	phasePrepare
	phasePrepareTransaction
	phaseExecute
	phaseUnlisten
	phaseClose
	phaseCommit
	phaseRollback
	phaseDeclare       // up to the FOR of a cursor
	phaseCreate        // up to the kind of the object
	phaseCreateTemp    // behind CREATE TEMP
	phaseDo            // within DO
	phaseDoLanguage    // behind the LANGUAGE of DO
	phaseExplain       // up to the statement to be explained
	phaseExplainOpen   // behind the first parenthesis
	phaseExplainOption // within the options
	phaseUnlockOpen    // behind SELECT pg_advisory_unlock_all
	phaseUnlockClose
	phaseUnlocked
)

// leadCommands names the command that a leading keyword starts.
var leadCommands = [tokenEnd]Command{
	kwAbort: CommandRollback, kwAlter: CommandAlter, kwAnalyze: CommandAnalyze, kwBegin: CommandBegin,
	kwCall: CommandCall, kwCheckpoint: CommandCheckpoint, kwClose: CommandClose, kwCluster: CommandCluster,
	kwComment: CommandComment, kwCommit: CommandCommit, kwCopy: CommandCopy, kwCreate: CommandCreate,
	kwDeallocate: CommandDeallocate, kwDeclare: CommandDeclare, kwDelete: CommandDelete,
	kwDiscard: CommandDiscard, kwDo: CommandDo, kwDrop: CommandDrop, kwEnd: CommandCommit,
	kwExecute: CommandExecute, kwExplain: CommandExplain, kwFetch: CommandFetch, kwGrant: CommandGrant,
	kwImport: CommandImport, kwInsert: CommandInsert, kwListen: CommandListen, kwLoad: CommandLoad,
	kwLock: CommandLock, kwMerge: CommandMerge, kwMove: CommandMove, kwNotify: CommandNotify,
	kwPrepare: CommandPrepare, kwReassign: CommandReassign, kwRefresh: CommandRefresh,
	kwReindex: CommandReindex, kwRelease: CommandRelease, kwReset: CommandReset,
	kwReturn: CommandOther, // the end of a function body that has semicolons
	kwRevoke: CommandRevoke, kwRollback: CommandRollback, kwSavepoint: CommandSavepoint,
	kwSecurity: CommandSecurity, kwSelect: CommandSelect, kwSet: CommandSet, kwShow: CommandShow,
	kwStart: CommandBegin, kwTable: CommandTable, kwTruncate: CommandTruncate, kwUnlisten: CommandUnlisten,
	kwUpdate: CommandUpdate, kwVacuum: CommandVacuum, kwValues: CommandValues, kwWith: CommandWith,
}

// leadPhases says how a statement goes on behind its leading keyword.
var leadPhases = [tokenEnd]phase{
	kwAbort: phaseRollback, kwClose: phaseClose, kwCommit: phaseCommit, kwCreate: phaseCreate,
	kwDeallocate: phaseDeallocate, kwDeclare: phaseDeclare, kwDiscard: phaseDiscard, kwDo: phaseDo,
	kwExecute: phaseExecute, kwExplain: phaseExplain, kwPrepare: phasePrepare, kwReset: phaseReset,
	kwRollback: phaseRollback, kwSet: phaseSet, kwUnlisten: phaseUnlisten,
}

// leadEffects are the effects that a leading keyword tells alone.
var leadEffects = [tokenEnd]Effects{
	kwExecute: EffectExecute,
	kwListen:  EffectListen,
	kwLoad:    EffectLoad,
}

func (m *machine) setPhase(p phase) {
	m.phase = p
	m.plain = p == phaseBody && m.config.depth == 0
}

// token classifies the next token. A word or quoted identifier lies at the
// offsets start to end of the text.
func (m *machine) token(t token, start, end int, quoted bool) {
	if m.config.depth != 0 {
		m.countArgument(t)
	}
	switch m.phase {
	case phaseBody:
		m.bodyToken(t)
	case phaseLead:
		m.leadToken(t)
	case phaseSet, phaseSetLocal, phaseSetSession, phaseSetTransaction, phaseReset:
		m.setToken(t)
	case phaseDiscard, phaseUnlisten, phaseClose:
		m.releaseToken(t)
	case phaseDeallocate, phaseDeallocatePrepare, phasePrepare, phasePrepareTransaction, phaseExecute:
		m.preparedToken(t, start, end, quoted)
	case phaseCommit, phaseRollback:
		m.endToken(t)
	case phaseExplain, phaseExplainOpen, phaseExplainOption:
		m.explainToken(t)
	case phaseSetLexical:
		m.lexicalToken(t)
	case phaseUnlockOpen, phaseUnlockClose, phaseUnlocked:
		m.unlockToken(t)
	default:
		m.createToken(t)
	}
}

// leadToken takes the first token of a statement.
func (m *machine) leadToken(t token) {
	switch {
	case t >= firstLead && t <= lastLead:
		m.statements++
		command := leadCommands[t]
		m.setFirst(command)
		m.control = m.control || command.transactionControl()
		m.lead = t
		m.dispatch(t)
	case m.isBody:
		if t != tokPunct {
			m.setPhase(phaseBody)
		}
		m.bodyToken(t)
	case t == tokOpen:
		m.statements++
		m.setFirst(CommandSelect)
		m.setPhase(phaseBody)
		m.prev = t
	case t == tokClose && m.noRelease:
		// Behind the last action of a rule.
	default:
		m.statements++
		m.setFirst(CommandOther)
		m.giveUp()
	}
}

func (m *machine) setFirst(c Command) {
	if m.statements == 1 {
		m.first = c
	}
}

// dispatch starts the statement that begins with the keyword t.
func (m *machine) dispatch(t token) {
	m.prev = t
	m.effects |= leadEffects[t]
	m.setPhase(leadPhases[t])
	switch t {
	case kwSelect:
		m.prev = tokLeadSelect
	case kwInsert, kwMerge:
		m.prev = tokLeadInsert
	case kwUpdate:
		m.sawUpdate = true
		m.checkSettings()
	}
	if !m.isBody {
		return
	}
	switch t {
	case kwBegin:
		m.setPhase(phaseLead)
	case kwDeclare:
		m.setPhase(phaseBody)
	case kwDo, kwExecute:
		m.giveUp() // a text that only the server knows
	}
}

// bodyToken takes a token within a statement. It relies on nothing but the
// token before, so that it is right in queries, commands and plpgsql alike.
func (m *machine) bodyToken(t token) {
	prev := m.prev
	m.prev = t
	switch t {
	case kwInsert, kwMerge:
		if prev == tokOpen {
			m.prev = tokLeadInsert
		}
	case kwInto:
		if prev == tokLeadInsert {
			m.prev = tokWord
		}
	case kwTemp, kwTemporary, kwLocal, kwGlobal:
		if prev == kwInto {
			m.effects |= EffectTemp
		}
	case kwCommit:
		if prev == kwOn {
			m.prev = tokOnCommit
		}
	case kwDrop:
		if prev == tokOnCommit && m.depth == 0 {
			m.tempTable = false
		}
	case kwAs:
		m.sawAs = true
	case kwDefault:
		if prev == kwSet {
			m.prev = tokSetDefault
		}
	case kwExecute:
		if m.isBody {
			m.giveUp()
		} else if prev == kwAs {
			m.effects |= EffectExecute
		}
	case kwCreate:
		if m.schemaElements {
			m.setPhase(phaseCreate)
		}
	case kwAtomic:
		if prev == kwBegin {
			m.noRelease = true
		}
	case kwBegin, kwThen, kwElse, kwLoop:
		if m.isBody {
			m.setPhase(phaseLead)
		}
	case kwUpdate:
		m.sawUpdate = true
		m.checkSettings()
	default:
		if t >= firstName {
			m.name(t, prev)
		}
	}
}

// checkSettings knows that an UPDATE of the view pg_settings is a set_config, of
// any settings.
func (m *machine) checkSettings() {
	if m.sawUpdate && m.sawSettings {
		m.effects |= anySetting | EffectUnknown
	}
}

func (m *machine) semicolon() {
	if m.depth != 0 {
		// The actions of a rule: the statements to come may not be run.
		m.noRelease = true
	}
	m.endStatement()
	m.setPhase(phaseLead)
}

// endStatement settles what only the end of a statement can settle.
func (m *machine) endStatement() {
	if m.config.depth != 0 {
		m.config.depth = 0
		m.effects |= anySetting
	}
	if m.tempTable {
		m.tempTable = false
		m.effects |= EffectTemp
	}
	switch m.phase {
	case phaseUnlocked:
		m.effects |= EffectAdvisoryUnlockAll
	case phaseDeallocatePrepare:
		m.effects |= EffectDeallocate // of a statement named prepare
	case phasePrepareTransaction:
		m.effects |= EffectPrepare
	case phaseSetSession:
		m.effects |= EffectSet
	case phaseSetLexical:
		m.checkLexical()
	}
	m.depth = 0
	m.prev = tokNone
	m.lead = tokNone
	m.schemaElements = false
	m.sawAs = false
}
