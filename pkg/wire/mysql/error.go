// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"encoding/binary"
	"strconv"
	"strings"
	"unicode"
)

// Codes of errors that the proxy sends or has to know.
const (
	CodeConCount           uint16 = 1040 // too many connections
	CodeOutOfResources     uint16 = 1041
	CodeBadHost            uint16 = 1042
	CodeHandshake          uint16 = 1043
	CodeDBAccessDenied     uint16 = 1044
	CodeAccessDenied       uint16 = 1045
	CodeNoDB               uint16 = 1046
	CodeUnknownCommand     uint16 = 1047
	CodeBadDB              uint16 = 1049
	CodeServerShutdown     uint16 = 1053
	CodeParse              uint16 = 1064
	CodeNoSuchThread       uint16 = 1094
	CodeKillDenied         uint16 = 1095
	CodeUnknown            uint16 = 1105
	CodeHostBlocked        uint16 = 1129
	CodeNotAllowedCommand  uint16 = 1148
	CodePacketTooLarge     uint16 = 1153
	CodePacketsOutOfOrder  uint16 = 1156
	CodeUncompress         uint16 = 1157
	CodeTooManyUserConns   uint16 = 1203
	CodeUserLimitReached   uint16 = 1226
	CodeUnknownStmt        uint16 = 1243
	CodeNotSupportedAuth   uint16 = 1251
	CodeOptionPrevents     uint16 = 1290 // read_only among others
	CodeQueryInterrupted   uint16 = 1317
	CodeMaxPreparedStmts   uint16 = 1461
	CodePluginNotLoaded    uint16 = 1524
	CodeMalformedPacket    uint16 = 1835
	CodeReadOnlyMode       uint16 = 1836
	CodeConnectionKilled   uint16 = 1927 // MariaDB
	CodeAccountLocked      uint16 = 3118
	CodeSecureTransport    uint16 = 3159
	CodeInteractionTimeout uint16 = 4031
)

// stateLen is the length of a SQLSTATE.
const stateLen = 5

// State returns the SQLSTATE that servers send with a code; HY000 if it has none of its own.
func State(code uint16) string {
	switch code {
	case CodeConCount:
		return "08004"
	case CodeBadHost, CodeHandshake, CodeUnknownCommand, CodeServerShutdown, CodePacketTooLarge, CodePacketsOutOfOrder,
		CodeUncompress, CodeNotSupportedAuth:
		return "08S01"
	case CodeAccessDenied:
		return "28000"
	case CodeNoDB:
		return "3D000"
	case CodeDBAccessDenied, CodeBadDB, CodeParse, CodeNotAllowedCommand, CodeTooManyUserConns, CodeUserLimitReached,
		CodeMaxPreparedStmts:
		return "42000"
	case CodeQueryInterrupted, CodeConnectionKilled:
		return "70100"
	}
	return "HY000"
}

// Error is an ERR packet: one to be sent, or what was understood of one that was received.
type Error struct {
	Code uint16
	// State is the SQLSTATE. Empty in one that was received: there was none, as in those of a server that turns a
	// connection away before its login. Empty in one to be sent: State(Code).
	State   string
	Message string
}

// NewError returns an error with the SQLSTATE of its code.
func NewError(code uint16, message string) *Error {
	return &Error{Code: code, State: State(code), Message: message}
}

// BadHandshake is the error for a packet of a login that cannot be understood.
func BadHandshake() *Error { return NewError(CodeHandshake, "Bad handshake") }

// Malformed is the error for a command that cannot be understood.
func Malformed() *Error { return NewError(CodeMalformedPacket, "Malformed communication packet") }

// Error gives code, SQLSTATE and message in one line, made of printable characters only: the text may be a peer's.
func (e *Error) Error() string {
	var b strings.Builder
	b.Grow(len(e.Message) + 24)
	b.WriteString("ERROR ")
	b.WriteString(strconv.Itoa(int(e.Code)))
	if e.State != "" {
		b.WriteString(" (")
		b.WriteString(printable(e.State))
		b.WriteByte(')')
	}
	b.WriteString(": ")
	b.WriteString(printable(e.Message))
	return b.String()
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
}

// AppendError appends an ERR packet for a peer with these capabilities: without ClientProtocol41, which nobody has
// before its login, the SQLSTATE is left out.
func AppendError(dst []byte, seq byte, caps Capabilities, e *Error) []byte {
	dst, at := begin(dst)
	dst = binary.LittleEndian.AppendUint16(append(dst, HeadErr), e.Code)
	if caps.Has(ClientProtocol41) {
		state := e.State
		if len(state) != stateLen {
			state = State(e.Code)
		}
		dst = append(append(dst, '#'), state...)
	}
	return finish(append(dst, e.Message...), at, seq)
}

// ParseError reads the payload of an ERR packet, with or without a SQLSTATE. ok is false if it is none.
func ParseError(payload []byte) (e *Error, ok bool) {
	code, ok := ErrorCode(payload)
	if !ok {
		return nil, false
	}
	e = &Error{Code: code}
	rest := payload[3:]
	if len(rest) > stateLen && rest[0] == '#' {
		e.State, rest = string(rest[1:1+stateLen]), rest[1+stateLen:]
	}
	e.Message = string(rest)
	return e, true
}

// ErrorState returns the SQLSTATE in the payload of an ERR packet, 5 bytes that alias it; nil if it has none.
func ErrorState(payload []byte) []byte {
	const at = 4
	if len(payload) < at+len("HY000") || payload[at-1] != '#' {
		return nil
	}
	return payload[at : at+len("HY000")]
}

// ErrorCode returns the code in the payload of an ERR packet. ok is false if it is none.
func ErrorCode(payload []byte) (code uint16, ok bool) {
	if len(payload) < 3 || payload[0] != HeadErr {
		return 0, false
	}
	return binary.LittleEndian.Uint16(payload[1:]), true
}
