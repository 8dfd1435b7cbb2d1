// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"errors"
	"slices"

	mywire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// mysqlReply is an ERR packet of the server's.
type mysqlReply struct{ e *mywire.Error }

func (r *mysqlReply) Error() string { return r.e.Error() }

func (r *mysqlReply) Unwrap() error { return r.e }

// MySQLServerError is what the server itself said, if err comes from it.
func MySQLServerError(err error) (*mywire.Error, bool) {
	var r *mysqlReply
	if !errors.As(err, &r) {
		return nil, false
	}
	return r.e, true
}

// permanentCodes are those with which a server refuses a login or an init query for
// good. Not among them are 1040 (too many connections), 1053 (shutting down), 1129
// (host blocked) and 1203 (too many connections of this user).
var permanentCodes = []uint16{
	mywire.CodeDBAccessDenied, mywire.CodeAccessDenied, mywire.CodeBadDB, mywire.CodeParse,
	mywire.CodeNotSupportedAuth, mywire.CodePluginNotLoaded, mywire.CodeAccountLocked, mywire.CodeSecureTransport,
	1115, // unknown character set
	1130, // this host may not connect
	1142, // no privilege for a table
	1146, // no such table
	1193, // no such variable
	1227, // no privilege
	1231, // wrong value for a variable
	1232, // wrong type for a variable
	1238, // variable cannot be set
	1273, // unknown collation
	1698, // access denied, without a word on the password
	1820, // password has to be changed
	1862, // password has expired
	4151, // account locked (MariaDB)
}

// fail makes the error of a stage.
func (d *MySQLDialer) fail(ctx context.Context, stage Stage, err error) error {
	err = d.endpoint.fail(ctx, stage, err)
	var e *Error
	if reply, ok := MySQLServerError(err); ok && errors.As(err, &e) && slices.Contains(permanentCodes, reply.Code) {
		e.permanent = true
	}
	return err
}
