// SPDX-License-Identifier: Apache-2.0

package sqlscan

// Command is the kind of a statement as its leading keyword tells it.
type Command uint8

// Commands. Synonyms share one: START TRANSACTION is CommandBegin, END is
// CommandCommit, ABORT is CommandRollback, a statement in parentheses is
// CommandSelect.
const (
	CommandNone  Command = iota // no statement
	CommandOther                // a keyword that starts no known statement
	CommandAlter
	CommandAnalyze
	CommandBegin
	CommandCall
	CommandCheckpoint
	CommandClose
	CommandCluster
	CommandComment
	CommandCommit
	CommandCommitPrepared
	CommandCopy
	CommandCreate
	CommandDeallocate
	CommandDeclare
	CommandDelete
	CommandDiscard
	CommandDo
	CommandDrop
	CommandExecute
	CommandExplain
	CommandFetch
	CommandGrant
	CommandImport
	CommandInsert
	CommandListen
	CommandLoad
	CommandLock
	CommandMerge
	CommandMove
	CommandNotify
	CommandPrepare
	CommandPrepareTransaction
	CommandReassign
	CommandRefresh
	CommandReindex
	CommandRelease
	CommandReset
	CommandRevoke
	CommandRollback
	CommandRollbackPrepared
	CommandRollbackTo
	CommandSavepoint
	CommandSecurity
	CommandSelect
	CommandSet
	CommandShow
	CommandTable
	CommandTruncate
	CommandUnlisten
	CommandUpdate
	CommandVacuum
	CommandValues
	CommandWith

	commandEnd
)

var commandNames = [commandEnd]string{
	CommandNone:               "none",
	CommandOther:              "other",
	CommandAlter:              "alter",
	CommandAnalyze:            "analyze",
	CommandBegin:              "begin",
	CommandCall:               "call",
	CommandCheckpoint:         "checkpoint",
	CommandClose:              "close",
	CommandCluster:            "cluster",
	CommandComment:            "comment",
	CommandCommit:             "commit",
	CommandCommitPrepared:     "commit prepared",
	CommandCopy:               "copy",
	CommandCreate:             "create",
	CommandDeallocate:         "deallocate",
	CommandDeclare:            "declare",
	CommandDelete:             "delete",
	CommandDiscard:            "discard",
	CommandDo:                 "do",
	CommandDrop:               "drop",
	CommandExecute:            "execute",
	CommandExplain:            "explain",
	CommandFetch:              "fetch",
	CommandGrant:              "grant",
	CommandImport:             "import",
	CommandInsert:             "insert",
	CommandListen:             "listen",
	CommandLoad:               "load",
	CommandLock:               "lock",
	CommandMerge:              "merge",
	CommandMove:               "move",
	CommandNotify:             "notify",
	CommandPrepare:            "prepare",
	CommandPrepareTransaction: "prepare transaction",
	CommandReassign:           "reassign",
	CommandRefresh:            "refresh",
	CommandReindex:            "reindex",
	CommandRelease:            "release",
	CommandReset:              "reset",
	CommandRevoke:             "revoke",
	CommandRollback:           "rollback",
	CommandRollbackPrepared:   "rollback prepared",
	CommandRollbackTo:         "rollback to",
	CommandSavepoint:          "savepoint",
	CommandSecurity:           "security label",
	CommandSelect:             "select",
	CommandSet:                "set",
	CommandShow:               "show",
	CommandTable:              "table",
	CommandTruncate:           "truncate",
	CommandUnlisten:           "unlisten",
	CommandUpdate:             "update",
	CommandVacuum:             "vacuum",
	CommandValues:             "values",
	CommandWith:               "with",
}

// String returns the command in lower case.
func (c Command) String() string {
	if c >= commandEnd {
		return "other"
	}
	return commandNames[c]
}

// transactionControl tells whether c starts, ends or divides a transaction.
func (c Command) transactionControl() bool {
	switch c {
	case CommandBegin, CommandCommit, CommandCommitPrepared, CommandPrepareTransaction, CommandRelease,
		CommandRollback, CommandRollbackPrepared, CommandRollbackTo, CommandSavepoint:
		return true
	}
	return false
}
