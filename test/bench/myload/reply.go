// SPDX-License-Identifier: Apache-2.0

//go:build linux

package myload

import (
	"errors"
	"fmt"

	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// reply finds the end of the reply to one query: an OK packet, or one result set. It needs not know whether an EOF packet stands between columns
// and rows (CLIENT_DEPRECATE_EOF), since nothing else begins and measures like one there.
type reply struct {
	columns int // definitions that are still to come
	state   replyState
	seq     byte
}

type replyState uint8

const (
	replyFirst replyState = iota // nothing yet
	replyColumns
	replyMiddle // an EOF packet, or a row already
	replyRows
)

const (
	eofLength = 5       // payload of an EOF packet
	maxRow    = 1 << 20 // no row here is that long
)

// read takes the whole packets at the head of p, up to the end of the reply. It returns how many bytes they have, and whether the reply has
// ended. An error packet, and anything that is not expected, is an error.
func (r *reply) read(p []byte) (n int, ended bool, err error) {
	for {
		if len(p)-n < mysql.HeaderLen {
			return n, false, nil
		}
		length, seq := mysql.ParseHeader(p[n:])
		if length == 0 || length > maxRow {
			return n, false, fmt.Errorf("a packet of %d bytes", length)
		}
		if len(p)-n < mysql.HeaderLen+length {
			return n, false, nil
		}
		if r.seq++; seq != r.seq {
			return n, false, fmt.Errorf("packet %d instead of %d", seq, r.seq)
		}
		payload := p[n+mysql.HeaderLen : n+mysql.HeaderLen+length]
		n += mysql.HeaderLen + length
		if ended, err = r.packet(payload); ended || err != nil {
			*r = reply{}
			return n, ended, err
		}
	}
}

func (r *reply) packet(payload []byte) (ended bool, err error) {
	first := payload[0]
	if first == mysql.HeadErr {
		if e, ok := mysql.ParseError(payload); ok {
			return false, fmt.Errorf("the answer to a query is error %d: %s", e.Code, e.Message)
		}
		return false, errors.New("the answer to a query is an error that cannot be read")
	}
	switch r.state {
	case replyFirst:
		if first == mysql.HeadOK {
			return true, nil
		}
		if len(payload) != 1 || first >= 251 {
			return false, fmt.Errorf("a reply begins with %#x", first)
		}
		r.columns, r.state = int(first), replyColumns
	case replyColumns:
		if r.columns--; r.columns == 0 {
			r.state = replyMiddle
		}
	case replyMiddle:
		r.state = replyRows
		return first == mysql.HeadEOF && len(payload) > eofLength, nil
	case replyRows:
		return first == mysql.HeadEOF, nil
	}
	return false, nil
}
