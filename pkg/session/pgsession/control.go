// SPDX-License-Identifier: Apache-2.0

package pgsession

import (
	"bytes"

	"github.com/rdsproxy/rdsproxy/pkg/sqlscan"
)

// What a text does to the transaction that it runs in. It decides what a client can
// be told when the reply does not come. A text that can only take effect as a whole,
// with its transaction, has none of these.
const (
	// effectBegins: one statement, which begins a transaction block.
	effectBegins sqlscan.Effects = 1 << (24 + iota)
	// effectCommits: one statement, which ends a transaction block and may commit.
	effectCommits
	// effectRollsBack: one statement, which ends a transaction block and undoes it.
	effectRollsBack
	// effectObscure: it may begin, commit and end transaction blocks.
	effectObscure
	// effectPieces: outside of a transaction block it may commit a part of what it does.
	effectPieces

	controlEffects = effectBegins | effectCommits | effectRollsBack | effectObscure | effectPieces
	// unknownControl is that of a text that was not read.
	unknownControl = effectObscure | effectPieces
)

// controlOf gives these effects. text may be nil if it is long.
func controlOf(text []byte, res sqlscan.Result) sqlscan.Effects {
	if res.Effects&sqlscan.EffectUnknown != 0 {
		return unknownControl
	}
	if res.Statements == 0 {
		return 0
	}
	if res.Statements == 1 {
		switch res.First {
		case sqlscan.CommandSelect, sqlscan.CommandInsert, sqlscan.CommandUpdate, sqlscan.CommandDelete, sqlscan.CommandMerge,
			sqlscan.CommandWith, sqlscan.CommandValues, sqlscan.CommandTable, sqlscan.CommandExecute, sqlscan.CommandCopy,
			sqlscan.CommandDeclare, sqlscan.CommandFetch, sqlscan.CommandMove, sqlscan.CommandClose, sqlscan.CommandShow,
			sqlscan.CommandLock, sqlscan.CommandNotify, sqlscan.CommandSavepoint, sqlscan.CommandRelease, sqlscan.CommandRollbackTo:
			return 0
		case sqlscan.CommandBegin:
			return effectBegins
		case sqlscan.CommandPrepareTransaction:
			return effectCommits
		case sqlscan.CommandCommit:
			if !chains(text) {
				return effectCommits
			}
		case sqlscan.CommandRollback:
			if !chains(text) {
				return effectRollsBack
			}
		case sqlscan.CommandCommitPrepared, sqlscan.CommandRollbackPrepared:
			return effectPieces // not within a transaction block
		}
	}
	if res.TransactionControl {
		return unknownControl
	}
	return effectPieces
}

// chains tells whether a COMMIT or ROLLBACK may begin another transaction block.
func chains(text []byte) bool {
	return text == nil || bytes.Contains(bytes.ToLower(text), []byte("chain"))
}
