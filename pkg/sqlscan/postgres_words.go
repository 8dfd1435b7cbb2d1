// SPDX-License-Identifier: Apache-2.0

package sqlscan

import "encoding/binary"

// token is what the classifier sees of one lexical element: a kind, or for the
// words that matter the word itself.
type token uint8

const (
	tokNone token = iota // the start of a statement
	tokWord              // a word or quoted identifier without meaning here
	tokString
	tokLiteral // a string with a prefix that is not E, or with dollar quotes
	tokNumber  // a number or a parameter
	tokPunct
	tokDot
	tokComma
	tokStar
	tokOpen
	tokClose

	// What the previous token was, where its place matters.
	tokLeadSelect // SELECT as the first word of a statement
	tokLeadInsert // INSERT or MERGE where no column or alias can stand
	tokOnCommit   // COMMIT after ON
	tokSetDefault // DEFAULT after SET

	// Words that matter in some place.
	kwAll
	kwAs
	kwAtomic
	kwAuthorization
	kwConstraints
	kwDefault
	kwElse
	kwFor
	kwGlobal
	kwHold
	kwInto
	kwLanguage
	kwLocal
	kwLoop
	kwNames
	kwOn
	kwOr
	kwPlpgsql
	kwPrepared
	kwReplace
	kwSchema
	kwSequences
	kwSession
	kwTemp
	kwTemporary
	kwThen
	kwTo
	kwTransaction
	kwTrue
	kwUTF8
	kwVerbose
	kwWork

	// Words that start a statement, from here to kwWith.
	kwAbort
	kwAlter
	kwAnalyze
	kwBegin
	kwCall
	kwCheckpoint
	kwClose
	kwCluster
	kwComment
	kwCommit
	kwCopy
	kwCreate
	kwDeallocate
	kwDeclare
	kwDelete
	kwDiscard
	kwDo
	kwDrop
	kwEnd
	kwExecute
	kwExplain
	kwFetch
	kwGrant
	kwImport
	kwInsert
	kwListen
	kwLoad
	kwLock
	kwMerge
	kwMove
	kwNotify
	kwPrepare
	kwReassign
	kwRefresh
	kwReindex
	kwRelease
	kwReset
	kwReturn
	kwRevoke
	kwRollback
	kwSavepoint
	kwSecurity
	kwSelect
	kwSet
	kwShow
	kwStart
	kwTable
	kwTruncate
	kwUnlisten
	kwUpdate
	kwVacuum
	kwValues
	kwWith

	// Names, which mean the same when quoted, from here on.
	idRole
	idSessionAuthorization
	idSeed
	idLexical  // a setting that changes how texts are read
	idSettings // pg_settings
	idTemp     // pg_temp
	idPackage  // a schema whose functions keep state in the session

	// Functions, from here on, by what they do.
	fnSetConfig
	fnUnlockAll
	fnSet
	fnRole
	fnLock
	fnSequence
	fnNextval
	fnLastval
	fnSession

	tokenEnd
)

const (
	firstLead = kwAbort
	lastLead  = kwWith
	firstName = idRole
	firstCall = fnSetConfig
)

// callEffects is what a call of the function does. set_config depends on its
// arguments.
var callEffects = [tokenEnd]Effects{
	fnSet:      EffectSet,
	fnRole:     EffectRole | EffectSessionFunction, // DISCARD ALL does not end it
	fnLock:     EffectAdvisoryLock,
	fnSequence: EffectSequence,
	fnNextval:  EffectSequence,
	fnLastval:  EffectSequence,
	fnSession:  EffectSessionFunction,
}

// words lists the words that matter, in lower case.
var words = []struct {
	text string
	tok  token
}{
	{"all", kwAll},
	{"as", kwAs},
	{"atomic", kwAtomic},
	{"authorization", kwAuthorization},
	{"constraints", kwConstraints},
	{"default", kwDefault},
	{"else", kwElse},
	{"for", kwFor},
	{"global", kwGlobal},
	{"hold", kwHold},
	{"into", kwInto},
	{"language", kwLanguage},
	{"local", kwLocal},
	{"loop", kwLoop},
	{"names", kwNames},
	{"on", kwOn},
	{"or", kwOr},
	{"plpgsql", kwPlpgsql},
	{"prepared", kwPrepared},
	{"replace", kwReplace},
	{"schema", kwSchema},
	{"sequences", kwSequences},
	{"session", kwSession},
	{"temp", kwTemp},
	{"temporary", kwTemporary},
	{"then", kwThen},
	{"to", kwTo},
	{"transaction", kwTransaction},
	{"true", kwTrue},
	{"utf8", kwUTF8},
	{"verbose", kwVerbose},
	{"work", kwWork},

	{"abort", kwAbort},
	{"alter", kwAlter},
	{"analyse", kwAnalyze},
	{"analyze", kwAnalyze},
	{"begin", kwBegin},
	{"call", kwCall},
	{"checkpoint", kwCheckpoint},
	{"close", kwClose},
	{"cluster", kwCluster},
	{"comment", kwComment},
	{"commit", kwCommit},
	{"copy", kwCopy},
	{"create", kwCreate},
	{"deallocate", kwDeallocate},
	{"declare", kwDeclare},
	{"delete", kwDelete},
	{"discard", kwDiscard},
	{"do", kwDo},
	{"drop", kwDrop},
	{"end", kwEnd},
	{"execute", kwExecute},
	{"explain", kwExplain},
	{"fetch", kwFetch},
	{"grant", kwGrant},
	{"import", kwImport},
	{"insert", kwInsert},
	{"listen", kwListen},
	{"load", kwLoad},
	{"lock", kwLock},
	{"merge", kwMerge},
	{"move", kwMove},
	{"notify", kwNotify},
	{"prepare", kwPrepare},
	{"reassign", kwReassign},
	{"refresh", kwRefresh},
	{"reindex", kwReindex},
	{"release", kwRelease},
	{"reset", kwReset},
	{"return", kwReturn},
	{"revoke", kwRevoke},
	{"rollback", kwRollback},
	{"savepoint", kwSavepoint},
	{"security", kwSecurity},
	{"select", kwSelect},
	{"set", kwSet},
	{"show", kwShow},
	{"start", kwStart},
	{"table", kwTable},
	{"truncate", kwTruncate},
	{"unlisten", kwUnlisten},
	{"update", kwUpdate},
	{"vacuum", kwVacuum},
	{"values", kwValues},
	{"with", kwWith},

	{"role", idRole},
	{"session_authorization", idSessionAuthorization},
	{"seed", idSeed},
	{"client_encoding", idLexical},
	{"standard_conforming_strings", idLexical},
	{"pg_settings", idSettings},
	{"pg_temp", idTemp},

	{"set_config", fnSetConfig},
	{"set_limit", fnSet},
	{"pg_advisory_unlock_all", fnUnlockAll},
	{"nextval", fnNextval},
	{"setval", fnSequence},
	{"currval", fnSequence},
	{"lastval", fnLastval},
	{"pg_advisory_lock", fnLock},
	{"pg_advisory_lock_shared", fnLock},
	{"pg_try_advisory_lock", fnLock},
	{"pg_try_advisory_lock_shared", fnLock},

	// State of the session in core and contrib.
	{"setseed", fnSession},
	{"pg_replication_origin_session_setup", fnSession},
	{"pg_backup_start", fnSession},
	{"pg_start_backup", fnSession},
	{"dblink_connect", fnSession},
	{"dblink_connect_u", fnSession},
	{"isn_weak", fnSession},
	{"sepgsql_setcon", fnSession},
	// Replication slots may be temporary, which ties them to the session.
	{"pg_create_physical_replication_slot", fnSession},
	{"pg_create_logical_replication_slot", fnSession},
	{"pg_copy_physical_replication_slot", fnSession},
	{"pg_copy_logical_replication_slot", fnSession},
	// Functions that run a text which they are given.
	{"query_export_to_s3", fnSession},
	{"query_to_xml", fnSession},
	{"query_to_xmlschema", fnSession},
	{"query_to_xml_and_xmlschema", fnSession},
	{"ts_stat", fnSession},
	{"ts_rewrite", fnSession},
	{"xpath_table", fnSession},
	{"connectby", fnSession},
	{"crosstab", fnSession},
	{"crosstab2", fnSession},
	{"crosstab3", fnSession},
	{"crosstab4", fnSession},
	{"crosstabn", fnSession},
	// Extensions: set_user, HypoPG, orafce.
	{"set_user", fnRole},
	{"set_user_u", fnRole},
	{"set_session_auth", fnRole},
	{"reset_user", fnRole},
	{"hypopg_create_index", fnSession},
	{"hypopg_hide_index", fnSession},
	{"dbms_alert", idPackage},
	{"dbms_output", idPackage},
	{"dbms_random", idPackage},
	{"dbms_sql", idPackage},
	{"utl_file", idPackage},
}

// A word is found by its first eight bytes, folded to lower case, and its
// length. Setting bit 5 of every byte folds letters and keeps all other bytes
// of unquoted words apart from each other.
const (
	foldMask    = 0x2020202020202020
	longestWord = 35
	slotBits    = 10
	hashKey     = 0x9E3779B97F4A7C15
	hashLength  = 0xD6E8FEB86659FD93

	// tempPrefix is "pg_temp_", folded: the schemas of temporary objects are
	// called pg_temp_1 and so on.
	tempPrefix = 'p' | 'g'<<8 | 0x7F<<16 | 't'<<24 | 'e'<<32 | 'm'<<40 | 'p'<<48 | 0x7F<<56
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
			break
		}
		if e.key == key && len(e.text) == n && tailEqual(e.text, p[i:j]) {
			return e.tok
		}
		slot = (slot + 1) % (1 << slotBits)
	}
	if key == tempPrefix && n > 8 {
		return idTemp
	}
	return tokWord
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
