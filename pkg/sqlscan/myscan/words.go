// SPDX-License-Identifier: Apache-2.0

package myscan

import "encoding/binary"

// token is what the classifier sees of one lexical element: a kind, or for the
// words that matter the word itself.
type token uint8

const (
	tokNone token = iota // the start of a statement
	tokWord              // a word or quoted identifier without meaning here
	tokString
	tokNumber // an integer in digits
	tokPunct  // also numbers of other forms
	tokDot
	tokComma
	tokOpen
	tokClose
	tokColon
	tokAssign  // :=
	tokUserVar // @name
	tokSystem  // @@, and what belongs to it

	// Words that matter in some place.
	kwAggregate
	kwAlgorithm
	kwAs
	kwCase
	kwCharset
	kwConnection
	kwCount
	kwDeclare
	kwDefault
	kwDefiner
	kwDelayed
	kwDiagnostics
	kwEach
	kwElse
	kwEnd
	kwErrors
	kwEvent
	kwFor
	kwFrom
	kwFunction
	kwGlobal
	kwHard
	kwHighPriority
	kwIf
	kwIgnore
	kwImmediate
	kwInfile
	kwInstance
	kwInto
	kwLimit
	kwLocal
	kwLoop
	kwLowPriority
	kwNames
	kwNext
	kwNo
	kwNot
	kwOn
	kwOr
	kwPackage
	kwPassword
	kwPersist
	kwPrevious
	kwProcedure
	kwQuery
	kwRepeat
	kwResource
	kwReturn
	kwRole
	kwRow
	kwSession
	kwShare
	kwSoft
	kwSQL
	kwCalcFoundRows
	kwStatement
	kwTables
	kwTemporary
	kwThen
	kwTo
	kwTransaction
	kwTrigger
	kwValue
	kwVariables
	kwView
	kwWarnings
	kwWhile

	// Words that start a statement, from here to kwXA.
	kwAdmin // several, see words
	kwAlter
	kwAnalyze
	kwBackup
	kwBegin
	kwBinlog
	kwCall
	kwCommit
	kwCreate
	kwDeallocate
	kwDelete
	kwDescribe
	kwDo
	kwDrop
	kwExecute
	kwExplain
	kwFlush
	kwGet
	kwHandler
	kwHelp
	kwInsert
	kwKill
	kwLoad
	kwLock
	kwPrepare
	kwRelease
	kwRename
	kwReplace
	kwRollback
	kwSavepoint
	kwSelect
	kwSet
	kwShow
	kwResignal
	kwSignal
	kwStart
	kwTable
	kwTruncate
	kwUnlock
	kwUpdate
	kwUse
	kwValues
	kwWith
	kwXA

	// Names, which mean the same when quoted, from here on.
	idSafeCharset
	idTrack
	idVariables // a table of the values of variables
	idLexical   // a system variable that changes how texts are read
	idIsolation // one that without a scope is set for the next transaction only
	idIdentity
	idWarningCount
	idErrorCount
	idThreadID

	// Functions, from here on, by what they do.
	fnLastInsertID
	fnRowCount
	fnFoundRows
	fnConnectionID
	fnLock
	fnUnlock
	fnUnlockAll
	fnServiceLock
	fnSequence
	fnDatabase

	tokenEnd
)

const (
	firstLead = kwAdmin
	lastLead  = kwXA
	firstName = idSafeCharset
	firstCall = fnLastInsertID
)

// words lists the words that matter, in lower case.
var words = []struct {
	text string
	tok  token
}{
	{"aggregate", kwAggregate},
	{"algorithm", kwAlgorithm},
	{"as", kwAs},
	{"case", kwCase},
	{"charset", kwCharset},
	{"character", kwCharset},
	{"char", kwCharset},
	{"connection", kwConnection},
	{"count", kwCount},
	{"declare", kwDeclare},
	{"default", kwDefault},
	{"definer", kwDefiner},
	{"delayed", kwDelayed},
	{"diagnostics", kwDiagnostics},
	{"each", kwEach},
	{"else", kwElse},
	{"end", kwEnd},
	{"errors", kwErrors},
	{"event", kwEvent},
	{"for", kwFor},
	{"from", kwFrom},
	{"function", kwFunction},
	{"global", kwGlobal},
	{"hard", kwHard},
	{"high_priority", kwHighPriority},
	{"if", kwIf},
	{"ignore", kwIgnore},
	{"immediate", kwImmediate},
	{"infile", kwInfile},
	{"instance", kwInstance},
	{"into", kwInto},
	{"limit", kwLimit},
	{"local", kwLocal},
	{"loop", kwLoop},
	{"low_priority", kwLowPriority},
	{"names", kwNames},
	{"next", kwNext},
	{"no", kwNo},
	{"not", kwNot},
	{"on", kwOn},
	{"or", kwOr},
	{"package", kwPackage},
	{"password", kwPassword},
	{"persist", kwPersist},
	{"persist_only", kwPersist},
	{"previous", kwPrevious},
	{"procedure", kwProcedure},
	{"query", kwQuery},
	{"repeat", kwRepeat},
	{"resource", kwResource},
	{"return", kwReturn},
	{"role", kwRole},
	{"row", kwRow},
	{"session", kwSession},
	{"share", kwShare},
	{"soft", kwSoft},
	{"sql", kwSQL},
	{"sql_calc_found_rows", kwCalcFoundRows},
	{"statement", kwStatement},
	{"tables", kwTables},
	{"temporary", kwTemporary},
	{"then", kwThen},
	{"to", kwTo},
	{"transaction", kwTransaction},
	{"trigger", kwTrigger},
	{"value", kwValue},
	{"variables", kwVariables},
	{"view", kwView},
	{"warnings", kwWarnings},
	{"while", kwWhile},

	{"cache", kwAdmin},
	{"change", kwAdmin},
	{"check", kwAdmin},
	{"checksum", kwAdmin},
	{"clone", kwAdmin},
	{"grant", kwAdmin},
	{"import", kwAdmin},
	{"install", kwAdmin},
	{"optimize", kwAdmin},
	{"purge", kwAdmin},
	{"repair", kwAdmin},
	{"reset", kwAdmin},
	{"restart", kwAdmin},
	{"revoke", kwAdmin},
	{"shutdown", kwAdmin},
	{"stop", kwAdmin},
	{"uninstall", kwAdmin},

	{"alter", kwAlter},
	{"analyze", kwAnalyze},
	{"backup", kwBackup},
	{"begin", kwBegin},
	{"binlog", kwBinlog},
	{"call", kwCall},
	{"commit", kwCommit},
	{"create", kwCreate},
	{"deallocate", kwDeallocate},
	{"delete", kwDelete},
	{"desc", kwDescribe},
	{"describe", kwDescribe},
	{"do", kwDo},
	{"drop", kwDrop},
	{"execute", kwExecute},
	{"explain", kwExplain},
	{"flush", kwFlush},
	{"get", kwGet},
	{"handler", kwHandler},
	{"help", kwHelp},
	{"insert", kwInsert},
	{"kill", kwKill},
	{"load", kwLoad},
	{"lock", kwLock},
	{"prepare", kwPrepare},
	{"release", kwRelease},
	{"rename", kwRename},
	{"replace", kwReplace},
	{"resignal", kwResignal},
	{"rollback", kwRollback},
	{"savepoint", kwSavepoint},
	{"select", kwSelect},
	{"set", kwSet},
	{"show", kwShow},
	{"signal", kwSignal},
	{"start", kwStart},
	{"table", kwTable},
	{"truncate", kwTruncate},
	{"unlock", kwUnlock},
	{"update", kwUpdate},
	{"use", kwUse},
	{"values", kwValues},
	{"with", kwWith},
	{"xa", kwXA},

	{"utf8", idSafeCharset},
	{"utf8mb3", idSafeCharset},
	{"utf8mb4", idSafeCharset},
	{"session_track_schema", idTrack},
	{"session_track_state_change", idTrack},
	{"session_track_system_variables", idTrack},
	{"session_track_transaction_info", idTrack},
	{"session_track_user_variables", idTrack},
	{"session_variables", idVariables},
	{"system_variables", idVariables},
	{"variables_by_thread", idVariables},
	{"sql_mode", idLexical},
	{"character_set_client", idLexical},
	{"transaction_isolation", idIsolation},
	{"tx_isolation", idIsolation},
	{"transaction_read_only", idIsolation},
	{"tx_read_only", idIsolation},
	{"identity", idIdentity},
	{"insert_id", idIdentity},
	{"warning_count", idWarningCount},
	{"error_count", idErrorCount},
	{"pseudo_thread_id", idThreadID},

	{"last_insert_id", fnLastInsertID},
	{"row_count", fnRowCount},
	{"found_rows", fnFoundRows},
	{"connection_id", fnConnectionID},
	{"get_lock", fnLock},
	{"release_lock", fnUnlock},
	{"release_all_locks", fnUnlockAll},
	{"service_get_read_locks", fnServiceLock},
	{"service_get_write_locks", fnServiceLock},
	{"version_tokens_lock_shared", fnServiceLock},
	{"version_tokens_lock_exclusive", fnServiceLock},
	{"nextval", fnSequence},
	{"lastval", fnSequence},
	{"setval", fnSequence},
	{"database", fnDatabase},
	{"schema", fnDatabase},
}

// A word is found by its first eight bytes, folded to lower case, and its
// length. Setting bit 5 of every byte folds letters and keeps all other bytes
// of unquoted words apart from each other.
const (
	foldMask    = 0x2020202020202020
	longestWord = 30
	slotBits    = 10
	hashKey     = 0x9E3779B97F4A7C15
	hashLength  = 0xD6E8FEB86659FD93
)

type wordEntry struct {
	key  uint64
	text string
	tok  token
}

// wordSlots is a hash table with open addressing of indexes into wordEntries;
// zero is an empty slot.
var wordSlots, wordEntries = makeWordTable()

func makeWordTable() (slots [1 << slotBits]uint8, entries [256]wordEntry) {
	for i, w := range words {
		key := foldedKey([]byte(w.text))
		slot := wordHash(key, len(w.text))
		for slots[slot] != 0 {
			slot = (slot + 1) % (1 << slotBits)
		}
		slots[slot] = uint8(i + 1)
		entries[i+1] = wordEntry{key, w.text, w.tok}
	}
	return slots, entries
}

func wordHash(key uint64, n int) uint {
	return uint((key ^ uint64(n)*hashLength) * hashKey >> (64 - slotBits))
}

// foldedKey returns the first eight bytes of w, folded.
func foldedKey(w []byte) uint64 {
	if len(w) >= 8 {
		return binary.LittleEndian.Uint64(w) | foldMask
	}
	var k uint64
	for i, c := range w {
		k |= uint64(c|0x20) << (8 * i)
	}
	return k
}

// lookup returns the token of the word p[i:j], tokWord if it does not matter.
func lookup(p []byte, i, j int) token {
	n := j - i
	var key uint64
	switch {
	case n > longestWord:
		return tokWord
	case i+8 <= len(p):
		key = binary.LittleEndian.Uint64(p[i:]) | foldMask
		if n < 8 {
			key &= 1<<(8*uint(n)&63) - 1
		}
	default:
		key = foldedKey(p[i:j])
	}
	slot := wordHash(key, n)
	for {
		e := &wordEntries[wordSlots[slot]]
		if e.tok == tokNone {
			return tokWord
		}
		if e.key == key && len(e.text) == n && tailEqual(e.text, p[i:j]) {
			return e.tok
		}
		slot = (slot + 1) % (1 << slotBits)
	}
}

// tailEqual compares what lies behind the first eight bytes.
func tailEqual(text string, w []byte) bool {
	for k := 8; k < len(text); k++ {
		if w[k]|0x20 != text[k]|0x20 {
			return false
		}
	}
	return true
}

// accented returns the name that a word with bytes above ASCII may mean to a
// server that compares names by a collation without accents or case: each
// character above ASCII may stand for any letter.
func accented(w []byte) token {
	for _, e := range words {
		if e.tok >= firstName && accentedEqual(e.text, w) {
			return e.tok
		}
	}
	return tokWord
}

func accentedEqual(text string, w []byte) bool {
	k := 0
	for i := 0; i < len(w); i++ {
		if k == len(text) || w[i] < 0x80 && w[i]|0x20 != text[k]|0x20 {
			return false
		}
		if w[i] >= 0x80 {
			for i+1 < len(w) && w[i+1]&0xC0 == 0x80 {
				i++
			}
		}
		k++
	}
	return k == len(text)
}
