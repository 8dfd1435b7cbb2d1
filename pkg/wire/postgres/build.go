// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"encoding/binary"
	"strings"
)

// A string inside a message ends at its terminator, so a NUL within a value would end it early and make the rest of it
// protocol. Every builder cuts a string at its first NUL, which is what the reader would see of it anyway.

// begin appends a type byte and room for the length word, and returns where that is.
func begin(dst []byte, typ byte) (out []byte, at int) {
	dst = append(dst, typ, 0, 0, 0, 0)
	return dst, len(dst) - 4
}

// finish writes the length word. No builder here makes a message of more than LargeMessage bytes unless its caller
// passes a string of that size; those come out of messages that were within the limit.
func finish(dst []byte, at int) []byte {
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at)) //nolint:gosec // see above
	return dst
}

func cutNUL(s string) string {
	s, _, _ = strings.Cut(s, "\x00")
	return s
}

func appendCString(dst []byte, s string) []byte {
	return append(append(dst, cutNUL(s)...), 0)
}

func appendEmpty(dst []byte, typ byte) []byte {
	return append(dst, typ, 0, 0, 0, MinMessage)
}

// Messages of the server.

// AppendReadyForQuery appends ReadyForQuery with a transaction status: TxIdle, TxActive or TxFailed.
func AppendReadyForQuery(dst []byte, status byte) []byte {
	return append(dst, BackendReadyForQuery, 0, 0, 0, MinMessage+1, status)
}

// AppendParameterStatus appends ParameterStatus.
func AppendParameterStatus(dst []byte, name, value string) []byte {
	dst, at := begin(dst, BackendParameterStatus)
	return finish(appendCString(appendCString(dst, name), value), at)
}

// AppendBackendKeyData appends BackendKeyData. key is what a CancelRequest has to show: 4 bytes for a client of
// protocol 3.0, 4 to 256 bytes from 3.2 on. With a key of another length nothing is appended: a client must never be
// given a key that it cannot send back.
func AppendBackendKeyData(dst []byte, pid uint32, key []byte) []byte {
	if len(key) < MinCancelKey || len(key) > MaxCancelKey {
		return dst
	}
	dst, at := begin(dst, BackendKeyData)
	dst = binary.BigEndian.AppendUint32(dst, pid)
	return finish(append(dst, key...), at)
}

// AppendParseComplete appends ParseComplete.
func AppendParseComplete(dst []byte) []byte { return appendEmpty(dst, BackendParseComplete) }

// AppendBindComplete appends BindComplete.
func AppendBindComplete(dst []byte) []byte { return appendEmpty(dst, BackendBindComplete) }

// AppendCloseComplete appends CloseComplete.
func AppendCloseComplete(dst []byte) []byte { return appendEmpty(dst, BackendCloseComplete) }

// AppendNoData appends NoData.
func AppendNoData(dst []byte) []byte { return appendEmpty(dst, BackendNoData) }

// AppendEmptyQueryResponse appends EmptyQueryResponse.
func AppendEmptyQueryResponse(dst []byte) []byte { return appendEmpty(dst, BackendEmptyQueryResponse) }

// AppendCommandComplete appends CommandComplete with a tag such as "SET" or "DISCARD ALL".
func AppendCommandComplete(dst []byte, tag string) []byte {
	dst, at := begin(dst, BackendCommandComplete)
	return finish(appendCString(dst, tag), at)
}

// AppendNegotiateProtocolVersion appends NegotiateProtocolVersion: the version that will be spoken, and the protocol
// options of the client ("_pq_.…") that are not known. It goes out at most once per connection, and before any
// Authentication message.
func AppendNegotiateProtocolVersion(dst []byte, v Version, options []string) []byte {
	dst, at := begin(dst, BackendNegotiateProtocolVersion)
	dst = binary.BigEndian.AppendUint32(dst, uint32(v))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(options))) //nolint:gosec // they come out of one start-up packet
	for _, o := range options {
		dst = appendCString(dst, o)
	}
	return finish(dst, at)
}

func appendAuth(dst []byte, kind uint32, data []byte) []byte {
	dst, at := begin(dst, BackendAuthentication)
	dst = binary.BigEndian.AppendUint32(dst, kind)
	return finish(append(dst, data...), at)
}

// AppendAuthenticationOK appends AuthenticationOk.
func AppendAuthenticationOK(dst []byte) []byte { return appendAuth(dst, AuthOK, nil) }

// AppendAuthenticationCleartextPassword appends AuthenticationCleartextPassword.
func AppendAuthenticationCleartextPassword(dst []byte) []byte {
	return appendAuth(dst, AuthCleartextPassword, nil)
}

// AppendAuthenticationMD5Password appends AuthenticationMD5Password.
func AppendAuthenticationMD5Password(dst []byte, salt [4]byte) []byte {
	dst, at := begin(dst, BackendAuthentication)
	dst = binary.BigEndian.AppendUint32(dst, AuthMD5Password)
	return finish(append(dst, salt[0], salt[1], salt[2], salt[3]), at)
}

// AppendAuthenticationSASL appends AuthenticationSASL with the names of mechanisms, the preferred one first.
func AppendAuthenticationSASL(dst []byte, mechanisms []string) []byte {
	dst, at := begin(dst, BackendAuthentication)
	dst = binary.BigEndian.AppendUint32(dst, AuthSASL)
	for _, m := range mechanisms {
		dst = appendCString(dst, m)
	}
	return finish(append(dst, 0), at)
}

// AppendAuthenticationSASLContinue appends AuthenticationSASLContinue with a challenge.
func AppendAuthenticationSASLContinue(dst, data []byte) []byte {
	return appendAuth(dst, AuthSASLContinue, data)
}

// AppendAuthenticationSASLFinal appends AuthenticationSASLFinal with the outcome.
func AppendAuthenticationSASLFinal(dst, data []byte) []byte {
	return appendAuth(dst, AuthSASLFinal, data)
}

// Messages of the client.

// AppendQuery appends a simple Query.
func AppendQuery(dst []byte, sql string) []byte {
	dst, at := begin(dst, FrontendQuery)
	return finish(appendCString(dst, sql), at)
}

// AppendParse appends Parse. params is the part of a Parse message behind the query text as a client sent it (a count
// and so many type OIDs), or nil for none.
func AppendParse(dst []byte, name, sql, params []byte) []byte {
	dst, at := begin(dst, FrontendParse)
	dst = append(append(dst, name...), 0)
	dst = append(append(dst, sql...), 0)
	if params == nil {
		return finish(append(dst, 0, 0), at)
	}
	return finish(append(dst, params...), at)
}

// AppendClose appends Close; object is ObjectStatement or ObjectPortal.
func AppendClose(dst []byte, object byte, name string) []byte {
	dst, at := begin(dst, FrontendClose)
	return finish(appendCString(append(dst, object), name), at)
}

// AppendDescribe appends Describe; object is ObjectStatement or ObjectPortal.
func AppendDescribe(dst []byte, object byte, name string) []byte {
	dst, at := begin(dst, FrontendDescribe)
	return finish(appendCString(append(dst, object), name), at)
}

// AppendSync appends Sync.
func AppendSync(dst []byte) []byte { return appendEmpty(dst, FrontendSync) }

// AppendFlush appends Flush.
func AppendFlush(dst []byte) []byte { return appendEmpty(dst, FrontendFlush) }

// AppendTerminate appends Terminate.
func AppendTerminate(dst []byte) []byte { return appendEmpty(dst, FrontendTerminate) }

// AppendCopyFail appends CopyFail with the reason for it.
func AppendCopyFail(dst []byte, reason string) []byte {
	dst, at := begin(dst, FrontendCopyFail)
	return finish(appendCString(dst, reason), at)
}
