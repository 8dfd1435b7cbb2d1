// SPDX-License-Identifier: Apache-2.0

package target

import (
	"errors"
	"fmt"
)

// Stage is how far a connection had come.
type Stage string

// The stages.
const (
	StageConnect Stage = "connect" // name lookup and socket
	StageTLS     Stage = "tls"
	StageLogin   Stage = "login"
	StageInit    Stage = "init_query"
	StageFacts   Stage = "facts"
	StageCancel  Stage = "cancel"
)

// Error tells why a database connection could not be had. Its text has no
// secrets in it; but what a server says is for logs rather than for strangers.
type Error struct {
	Stage   Stage
	Address string // host:port, or the path of the socket
	Err     error

	permanent bool
}

func (e *Error) Error() string { return fmt.Sprintf("database %s: %s: %v", e.Address, e.Stage, e.Err) }

func (e *Error) Unwrap() error { return e.Err }

// Permanent tells whether trying again is useless as long as nobody changes a
// password, a database, or the settings: the server understood and refused, or
// is not the one that it should be. Everything else may pass.
func Permanent(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.permanent || permanentState(err))
}

// policyError is a limit of ours that the server did not respect.
type policyError struct {
	text      string
	permanent bool
}

func (e *policyError) Error() string { return e.text }
