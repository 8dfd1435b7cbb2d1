// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"encoding/binary"
	"fmt"
)

// HeaderSize is the size of the type byte and the length word in front of every message but the first packet.
const HeaderSize = 5

// Header is the type of a message and the number of bytes of its body, the length word not included.
type Header struct {
	Type byte
	Body int
}

// Size is the number of bytes of the whole message, header included.
func (h Header) Size() int { return HeaderSize + h.Body }

// FrontendLimit returns the largest length word that a message of this type may have when a client sends it after its
// login, and whether the type is one at all. FrontendAuth is none: a login is over by then.
func FrontendLimit(typ byte) (limit int, known bool) {
	switch typ {
	case FrontendQuery, FrontendParse, FrontendBind, FrontendFunctionCall, FrontendCopyData:
		return LargeMessage, true
	case FrontendClose, FrontendDescribe, FrontendExecute, FrontendFlush, FrontendSync, FrontendTerminate,
		FrontendCopyDone, FrontendCopyFail:
		return SmallMessage, true
	}
	return 0, false
}

// BackendKnown reports whether a server may send a message of this type.
func BackendKnown(typ byte) bool {
	switch typ {
	case BackendAuthentication, BackendBindComplete, BackendCloseComplete, BackendCommandComplete,
		BackendCopyBothResponse, BackendCopyData, BackendCopyDone, BackendCopyInResponse, BackendCopyOutResponse,
		BackendDataRow, BackendEmptyQueryResponse, BackendErrorResponse, BackendFunctionCallResponse, BackendKeyData,
		BackendNegotiateProtocolVersion, BackendNoData, BackendNoticeResponse, BackendNotificationResponse,
		BackendParameterDescription, BackendParameterStatus, BackendParseComplete, BackendPortalSuspended,
		BackendReadyForQuery, BackendRowDescription:
		return true
	}
	return false
}

// ParseFrontendHeader reads the header of a message from a client that has logged in. p must hold HeaderSize bytes or
// more. The error is an *Error with the words of PostgreSQL, and FATAL: where the next message starts is not known.
func ParseFrontendHeader(p []byte) (Header, error) {
	limit, known := FrontendLimit(p[0])
	if !known {
		return Header{}, Fatal(CodeProtocolViolation, fmt.Sprintf("invalid frontend message type %d", p[0]))
	}
	return parseHeader(p, limit)
}

// ParseAuthHeader reads the header of a message from a client that is logging in. p must hold HeaderSize bytes or more,
// limit is the largest length word allowed. A type other than FrontendAuth is an error, and so a second start-up
// message is one too: its first byte is 0 (PgBouncer's CVE-2026-107350 was to accept it). what names the answer waited
// for, "password" or "SASL".
func ParseAuthHeader(p []byte, what string, limit int) (Header, error) {
	if p[0] != FrontendAuth {
		return Header{}, Fatal(CodeProtocolViolation,
			fmt.Sprintf("expected %s response, got message type %d", what, p[0]))
	}
	return parseHeader(p, limit)
}

// ParseBackendHeader reads the header of a message from a server. p must hold HeaderSize bytes or more. The error is an
// *Error that blames the server.
func ParseBackendHeader(p []byte) (Header, error) {
	if !BackendKnown(p[0]) {
		return Header{}, Fatal(CodeProtocolViolation, fmt.Sprintf("invalid backend message type %d", p[0]))
	}
	return parseHeader(p, LargeMessage)
}

func parseHeader(p []byte, limit int) (Header, error) {
	// Compared as uint32, so that 0xFFFFFFFF is a length that is too large and not -1.
	n := binary.BigEndian.Uint32(p[1:HeaderSize])
	if n < MinMessage || n > uint32(limit) { //nolint:gosec // limits are constants below 1<<30
		return Header{}, Fatal(CodeProtocolViolation, "invalid message length")
	}
	return Header{Type: p[0], Body: int(n) - MinMessage}, nil
}
