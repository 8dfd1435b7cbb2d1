// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"bytes"
	"strings"
	"unicode"
)

// Severities of ErrorResponse and NoticeResponse, as field V has them (never translated).
const (
	SeverityError   = "ERROR"
	SeverityFatal   = "FATAL"
	SeverityPanic   = "PANIC"
	SeverityWarning = "WARNING"
	SeverityNotice  = "NOTICE"
	SeverityDebug   = "DEBUG"
	SeverityInfo    = "INFO"
	SeverityLog     = "LOG"
)

// Error is an ErrorResponse or a NoticeResponse: one to be sent, or what was understood of one that was received.
// Fields that are empty are not there. A received one may lack any field, Code included.
type Error struct {
	Severity string
	Code     string
	Message  string
	Detail   string
	Hint     string
}

// Fatal returns an error that ends the session.
func Fatal(code, message string) *Error {
	return &Error{Severity: SeverityFatal, Code: code, Message: message}
}

// Error gives severity, message and code in one line, made of printable characters only: the text may be a peer's.
func (e *Error) Error() string {
	var b strings.Builder
	b.Grow(len(e.Severity) + len(e.Message) + 20)
	b.WriteString(e.Severity)
	b.WriteString(": ")
	for _, r := range e.Message {
		if !unicode.IsPrint(r) {
			r = ' '
		}
		b.WriteRune(r)
	}
	if e.Code != "" {
		b.WriteString(" (SQLSTATE ")
		b.WriteString(e.Code)
		b.WriteByte(')')
	}
	return b.String()
}

// IsFatal reports whether the sender closes the connection behind this message.
func (e *Error) IsFatal() bool { return e.Severity == SeverityFatal || e.Severity == SeverityPanic }

// WithDetail returns a copy with this detail.
func (e *Error) WithDetail(detail string) *Error {
	c := *e
	c.Detail = detail
	return &c
}

// WithHint returns a copy with this hint.
func (e *Error) WithHint(hint string) *Error {
	c := *e
	c.Hint = hint
	return &c
}

// AppendErrorResponse appends an ErrorResponse. An empty severity is sent as ERROR, an empty code as XX000.
func AppendErrorResponse(dst []byte, e *Error) []byte {
	return appendFields(dst, BackendErrorResponse, e, SeverityError, CodeInternalError)
}

// AppendNoticeResponse appends a NoticeResponse. An empty severity is sent as NOTICE, an empty code as 00000.
func AppendNoticeResponse(dst []byte, e *Error) []byte {
	return appendFields(dst, BackendNoticeResponse, e, SeverityNotice, CodeSuccess)
}

// AppendErrorV2 appends an error in the form that clients of protocol 2.0 and older understand: a type byte and one
// string, no length. It is all of that protocol that is spoken here.
func AppendErrorV2(dst []byte, e *Error) []byte {
	dst = append(dst, BackendErrorResponse)
	dst = append(dst, cutNUL(e.Severity)...)
	dst = append(dst, ":  "...)
	dst = append(dst, cutNUL(e.Message)...)
	return append(dst, '\n', 0)
}

func appendFields(dst []byte, typ byte, e *Error, severity, code string) []byte {
	if e.Severity != "" {
		severity = e.Severity
	}
	if e.Code != "" {
		code = e.Code
	}
	dst, at := begin(dst, typ)
	dst = appendField(dst, 'S', severity)
	dst = appendField(dst, 'V', severity)
	dst = appendField(dst, 'C', code)
	// M is there even if it is empty: the manual says it always is.
	dst = append(dst, 'M')
	dst = appendCString(dst, e.Message)
	if e.Detail != "" {
		dst = appendField(dst, 'D', e.Detail)
	}
	if e.Hint != "" {
		dst = appendField(dst, 'H', e.Hint)
	}
	return finish(append(dst, 0), at)
}

func appendField(dst []byte, field byte, value string) []byte {
	return appendCString(append(dst, field), value)
}

// ParseErrorResponse reads the body of an ErrorResponse or NoticeResponse. It takes whatever a server may send: fields
// in any order, unknown, doubled (the first one counts) or missing, the SQLSTATE too. ok is false when the body ends
// too early; what was read until then is returned all the same.
func ParseErrorResponse(body []byte) (e *Error, ok bool) {
	e = &Error{}
	local := ""
	for len(body) > 0 {
		field := body[0]
		if field == 0 {
			ok = len(body) == 1
			break
		}
		value, rest, found := CutCString(body[1:])
		if !found {
			break
		}
		body = rest
		switch field {
		case 'S':
			setOnce(&local, value)
		case 'V':
			setOnce(&e.Severity, value)
		case 'C':
			setOnce(&e.Code, value)
		case 'M':
			setOnce(&e.Message, value)
		case 'D':
			setOnce(&e.Detail, value)
		case 'H':
			setOnce(&e.Hint, value)
		}
	}
	// Servers before 9.6 have no V; S is the same word unless lc_messages translates it.
	if e.Severity == "" {
		e.Severity = local
	}
	return e, ok
}

func setOnce(dst *string, value []byte) {
	if *dst == "" {
		*dst = string(value)
	}
}

// ErrorCode returns the SQLSTATE in the body of an ErrorResponse without an allocation, or nil. It aliases body.
func ErrorCode(body []byte) []byte {
	for len(body) > 0 && body[0] != 0 {
		field := body[0]
		value, rest, found := CutCString(body[1:])
		if !found {
			return nil
		}
		if field == 'C' {
			return value
		}
		body = rest
	}
	return nil
}

// CutCString splits p behind its first zero-terminated string. Both parts alias p; ok is false without a terminator.
func CutCString(p []byte) (s, rest []byte, ok bool) {
	if s, rest, ok = bytes.Cut(p, []byte{0}); !ok {
		return nil, nil, false
	}
	return s, rest, true
}
