// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"strconv"
)

// Kill ends the query that the connection with this thread id runs, by KILL QUERY
// on a connection of its own, logged in as r. When it returns nil the server has
// marked the query; that shows as error 1317 there. What is sent on an idle
// connection afterwards is not hit. A thread that is not there gives the server's
// error 1094.
func (d *MySQLDialer) Kill(ctx context.Context, r MySQLRequest, threadID uint32) error {
	ctx, cancel := d.endpoint.limit(ctx)
	defer cancel()
	r.Capabilities, r.Schema = 0, ""
	s, err := d.login(ctx, r)
	if err != nil {
		return err
	}
	err = s.kill(ctx, threadID)
	if _, answered := MySQLServerError(err); err != nil && !answered {
		s.leave()
	} else {
		s.quit(ctx)
	}
	if err != nil {
		return d.fail(ctx, StageCancel, err)
	}
	return nil
}

func (s *mysqlSession) kill(ctx context.Context, threadID uint32) (err error) {
	defer bound(ctx, s.wrapped)(&err)
	_, err = s.query(s.caps, "KILL QUERY "+strconv.FormatUint(uint64(threadID), 10), nil)
	return err
}
