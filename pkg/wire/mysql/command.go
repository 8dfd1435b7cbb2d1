// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"encoding/binary"
	"strconv"
)

// Command is the first byte of what a client asks for.
type Command byte

// The commands.
const (
	ComSleep            Command = 0x00
	ComQuit             Command = 0x01
	ComInitDB           Command = 0x02
	ComQuery            Command = 0x03
	ComFieldList        Command = 0x04
	ComCreateDB         Command = 0x05
	ComDropDB           Command = 0x06
	ComRefresh          Command = 0x07
	ComShutdown         Command = 0x08
	ComStatistics       Command = 0x09
	ComProcessInfo      Command = 0x0a
	ComConnect          Command = 0x0b
	ComProcessKill      Command = 0x0c
	ComDebug            Command = 0x0d
	ComPing             Command = 0x0e
	ComTime             Command = 0x0f
	ComDelayedInsert    Command = 0x10
	ComChangeUser       Command = 0x11
	ComBinlogDump       Command = 0x12
	ComTableDump        Command = 0x13
	ComConnectOut       Command = 0x14
	ComRegisterSlave    Command = 0x15
	ComStmtPrepare      Command = 0x16
	ComStmtExecute      Command = 0x17
	ComStmtSendLongData Command = 0x18
	ComStmtClose        Command = 0x19
	ComStmtReset        Command = 0x1a
	ComSetOption        Command = 0x1b
	ComStmtFetch        Command = 0x1c
	ComDaemon           Command = 0x1d
	ComBinlogDumpGTID   Command = 0x1e
	ComResetConnection  Command = 0x1f
	ComClone            Command = 0x20
	ComSubscribeStream  Command = 0x21
	ComStmtBulkExecute  Command = 0xfa // MariaDB
)

var commandNames = [...]string{
	"COM_SLEEP", "COM_QUIT", "COM_INIT_DB", "COM_QUERY", "COM_FIELD_LIST", "COM_CREATE_DB", "COM_DROP_DB",
	"COM_REFRESH", "COM_SHUTDOWN", "COM_STATISTICS", "COM_PROCESS_INFO", "COM_CONNECT", "COM_PROCESS_KILL",
	"COM_DEBUG", "COM_PING", "COM_TIME", "COM_DELAYED_INSERT", "COM_CHANGE_USER", "COM_BINLOG_DUMP",
	"COM_TABLE_DUMP", "COM_CONNECT_OUT", "COM_REGISTER_SLAVE", "COM_STMT_PREPARE", "COM_STMT_EXECUTE",
	"COM_STMT_SEND_LONG_DATA", "COM_STMT_CLOSE", "COM_STMT_RESET", "COM_SET_OPTION", "COM_STMT_FETCH", "COM_DAEMON",
	"COM_BINLOG_DUMP_GTID", "COM_RESET_CONNECTION", "COM_CLONE", "COM_SUBSCRIBE_GROUP_REPLICATION_STREAM",
}

// String returns the name of the protocol, such as COM_QUERY.
func (c Command) String() string {
	switch {
	case int(c) < len(commandNames):
		return commandNames[c]
	case c == ComStmtBulkExecute:
		return "COM_STMT_BULK_EXECUTE"
	}
	return "command " + strconv.Itoa(int(c))
}

// Silent reports whether a server sends no reply to this command.
func (c Command) Silent() bool {
	return c == ComQuit || c == ComStmtClose || c == ComStmtSendLongData
}

// AppendCommand appends a command with its arguments as they stand in the packet. A command always has sequence id 0.
// It serves those without arguments (ComPing, ComQuit, ComResetConnection) and those whose argument is the rest of the
// packet (ComInitDB, ComStmtPrepare; for ComQuery see AppendQuery).
func AppendCommand[S string | []byte](dst []byte, c Command, args S) []byte {
	dst, at := begin(dst)
	dst = append(dst, byte(c))
	return finish(append(dst, args...), at, 0)
}

// AppendQuery appends COM_QUERY, without query attributes, on a connection with these capabilities.
func AppendQuery[S string | []byte](dst []byte, caps Capabilities, sql S) []byte {
	dst, at := begin(dst)
	dst = append(dst, byte(ComQuery))
	if caps.Has(ClientQueryAttributes) {
		dst = append(dst, 0, 1) // no parameters, one set of them
	}
	return finish(append(dst, sql...), at, 0)
}

// AppendIDCommand appends a command whose only argument is a number of four bytes: ComStmtClose, ComStmtReset,
// ComProcessKill.
func AppendIDCommand(dst []byte, c Command, id uint32) []byte {
	dst = append(AppendHeader(dst, 5, 0), byte(c))
	return binary.LittleEndian.AppendUint32(dst, id)
}

// Arguments of COM_SET_OPTION.
const (
	OptionMultiStatementsOn  = 0
	OptionMultiStatementsOff = 1
)

// AppendSetOption appends COM_SET_OPTION.
func AppendSetOption(dst []byte, option uint16) []byte {
	dst = append(AppendHeader(dst, 3, 0), byte(ComSetOption))
	return binary.LittleEndian.AppendUint16(dst, option)
}

// StatementID returns the number behind the first byte of a command that begins with one: COM_STMT_EXECUTE, _CLOSE,
// _RESET, _FETCH, _SEND_LONG_DATA, _BULK_EXECUTE and COM_PROCESS_KILL. payload may be the beginning of one.
func StatementID(payload []byte) (id uint32, ok bool) {
	if len(payload) < 5 {
		return 0, false
	}
	return binary.LittleEndian.Uint32(payload[1:]), true
}

// PutStatementID writes another number there. ok is false if payload is too short for one.
func PutStatementID(payload []byte, id uint32) (ok bool) {
	if len(payload) < 5 {
		return false
	}
	binary.LittleEndian.PutUint32(payload[1:], id)
	return true
}
