// SPDX-License-Identifier: Apache-2.0

package myscan

// Command is the kind of a statement as its leading keyword tells it.
type Command uint8

// Commands. Synonyms share one: START TRANSACTION is CommandBegin, DESC is
// CommandDescribe, a statement in parentheses is CommandSelect.
const (
	CommandNone  Command = iota // no statement
	CommandOther                // a keyword that starts no known statement
	CommandAdmin                // statements on the server, replication, accounts
	CommandAlter
	CommandAnalyze
	CommandBackup
	CommandBegin
	CommandCall
	CommandCommit
	CommandCreate
	CommandDeallocate
	CommandDelete
	CommandDescribe
	CommandDo
	CommandDrop
	CommandExecute
	CommandExplain
	CommandFlush
	CommandGet
	CommandHandler
	CommandHelp
	CommandInsert
	CommandKill
	CommandLoad
	CommandLock
	CommandPrepare
	CommandRelease
	CommandRename
	CommandReplace
	CommandRollback
	CommandRollbackTo
	CommandSavepoint
	CommandSelect
	CommandSet
	CommandShow
	CommandSignal
	CommandTable
	CommandTruncate
	CommandUnlock
	CommandUpdate
	CommandUse
	CommandValues
	CommandWith
	CommandXA

	commandEnd
)

var commandNames = [commandEnd]string{
	"none", "other", "admin", "alter", "analyze", "backup", "begin", "call", "commit", "create", "deallocate",
	"delete", "describe", "do", "drop", "execute", "explain", "flush", "get", "handler", "help", "insert", "kill",
	"load", "lock", "prepare", "release", "rename", "replace", "rollback", "rollback to", "savepoint", "select",
	"set", "show", "signal", "table", "truncate", "unlock", "update", "use", "values", "with", "xa",
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
	case CommandBegin, CommandCommit, CommandRelease, CommandRollback, CommandRollbackTo, CommandSavepoint, CommandXA:
		return true
	}
	return false
}

// reads tells whether a statement of that kind may be one that only reads.
func (c Command) reads() bool {
	switch c {
	case CommandDescribe, CommandExplain, CommandHelp, CommandSelect, CommandShow, CommandTable, CommandValues,
		CommandWith:
		return true
	}
	return false
}
