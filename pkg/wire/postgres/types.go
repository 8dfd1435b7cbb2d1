// SPDX-License-Identifier: Apache-2.0

package postgres

// Types of messages that a client sends. The first packet of a connection has no type; see DecodeStartup.
const (
	FrontendBind         = 'B'
	FrontendClose        = 'C'
	FrontendCopyData     = 'd'
	FrontendCopyDone     = 'c'
	FrontendCopyFail     = 'f'
	FrontendDescribe     = 'D'
	FrontendExecute      = 'E'
	FrontendFlush        = 'H'
	FrontendFunctionCall = 'F'
	FrontendParse        = 'P'
	FrontendQuery        = 'Q'
	FrontendSync         = 'S'
	FrontendTerminate    = 'X'

	// FrontendAuth is PasswordMessage, SASLInitialResponse, SASLResponse and GSSResponse in one: which of them it is
	// follows from the request it answers. It is legal only while a client logs in.
	FrontendAuth = 'p'
)

// Types of messages that a server sends.
const (
	BackendAuthentication           = 'R'
	BackendBindComplete             = '2'
	BackendCloseComplete            = '3'
	BackendCommandComplete          = 'C'
	BackendCopyBothResponse         = 'W'
	BackendCopyData                 = 'd'
	BackendCopyDone                 = 'c'
	BackendCopyInResponse           = 'G'
	BackendCopyOutResponse          = 'H'
	BackendDataRow                  = 'D'
	BackendEmptyQueryResponse       = 'I'
	BackendErrorResponse            = 'E'
	BackendFunctionCallResponse     = 'V'
	BackendKeyData                  = 'K'
	BackendNegotiateProtocolVersion = 'v'
	BackendNoData                   = 'n'
	BackendNoticeResponse           = 'N'
	BackendNotificationResponse     = 'A'
	BackendParameterDescription     = 't'
	BackendParameterStatus          = 'S'
	BackendParseComplete            = '1'
	BackendPortalSuspended          = 's'
	BackendReadyForQuery            = 'Z'
	BackendRowDescription           = 'T'
)

// Kinds of request inside an Authentication message (its first four bytes).
const (
	AuthOK                = 0
	AuthCleartextPassword = 3
	AuthMD5Password       = 5
	AuthSASL              = 10
	AuthSASLContinue      = 11
	AuthSASLFinal         = 12
)

// What Close and Describe name.
const (
	ObjectStatement = 'S'
	ObjectPortal    = 'P'
)

// Transaction status in ReadyForQuery.
const (
	TxIdle   = 'I' // outside a transaction block
	TxActive = 'T' // inside one
	TxFailed = 'E' // inside one that failed; only ROLLBACK helps
)

// Limits on the length word of a message, which counts itself but not the type byte. They are PostgreSQL's own, so that
// a message passes here exactly if it passes there.
const (
	// MinMessage is the length word of a message without a body.
	MinMessage = 4
	// SmallMessage is the largest length word of a message type that is never long.
	SmallMessage = 10_000
	// LargeMessage is the largest length word of any message, one byte below a gibibyte less one.
	LargeMessage = 0x3fffffff - 1
	// AuthMessage is the largest length word of a message of FrontendAuth.
	AuthMessage = 65_535
)

// NameLen is the most bytes that the name of a user or a database has (NAMEDATALEN - 1).
const NameLen = 63

// Setting is a run-time parameter and its value, as the client wrote them.
type Setting struct {
	Name, Value string
}
