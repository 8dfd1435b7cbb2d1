// SPDX-License-Identifier: Apache-2.0

package target

import (
	"bufio"
	"fmt"
	"io"

	mywire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// packets reads and writes packets while a connection is set up. What a server may
// send is limited: in each packet, and in all.
type packets struct {
	in  io.Reader
	out io.Writer
	seq byte // of the next packet, in either direction
	// left is how many bytes the server may still send.
	left int
}

// read returns the payload of the next packet.
func (p *packets) read() ([]byte, error) {
	var head [mywire.HeaderLen]byte
	if _, err := io.ReadFull(p.in, head[:]); err != nil {
		return nil, err
	}
	length, seq := mywire.ParseHeader(head[:])
	switch {
	case length > mywire.MaxLogin:
		return nil, &policyError{text: fmt.Sprintf("the server sent a packet of %d bytes: no MySQL server?", length)}
	case seq != p.seq:
		return nil, &policyError{text: fmt.Sprintf("the server sent packet %d where %d was due", seq, p.seq)}
	case length+len(head) > p.left:
		return nil, &policyError{text: fmt.Sprintf("the server has sent more than %d bytes before it was ready", maxLoginBytes)}
	case length == 0:
		return nil, &policyError{text: "the server sent an empty packet"}
	}
	p.left -= length + len(head)
	p.seq++
	payload := make([]byte, length)
	if _, err := io.ReadFull(p.in, payload); err != nil {
		return nil, unexpected(err)
	}
	return payload, nil
}

// unexpected makes of an end between header and payload what it is.
func unexpected(err error) error {
	if err == io.EOF { //nolint:errorlint // as io.ReadFull returns it
		return io.ErrUnexpectedEOF
	}
	return err
}

// write sends whole packets that were built with p.seq, and follows their number.
func (p *packets) write(packet []byte) error {
	if len(packet) < mywire.HeaderLen {
		return io.ErrShortWrite
	}
	length, _ := mywire.ParseHeader(packet)
	if length+mywire.HeaderLen != len(packet) {
		return &policyError{"user, password, schema and attributes are too long, or a statement is", true}
	}
	p.seq++
	_, err := p.out.Write(packet)
	return err
}

// buffered has further packets read through a buffer, and returns it.
func (p *packets) buffered() *bufio.Reader {
	b := bufio.NewReader(p.in)
	p.in = b
	return b
}

// command sends a command.
func (p *packets) command(packet []byte) error {
	p.seq = 0
	return p.write(packet)
}

// query runs a text of any number of statements and returns the status of the last
// reply. row is called for each row; nil ignores them.
func (p *packets) query(caps mywire.Capabilities, sql string, row func(payload []byte) error) (mywire.Status, error) {
	if err := p.command(mywire.AppendQuery(nil, caps, sql)); err != nil {
		return 0, err
	}
	for {
		ok, err := p.result(caps, row)
		if err != nil || !ok.Status.Has(mywire.StatusMoreResults) {
			return ok.Status, err
		}
	}
}

var errMalformed = &policyError{text: "the server sent a packet that cannot be understood"}

// result reads one reply to its end.
func (p *packets) result(caps mywire.Capabilities, row func(payload []byte) error) (end mywire.OK, err error) {
	payload, err := p.read()
	if err != nil {
		return end, err
	}
	good := false
	switch mywire.ReplyOf(payload) {
	case mywire.ReplyOK:
		if end, good = mywire.ParseOK(payload, caps); good {
			return end, nil
		}
	case mywire.ReplyError:
		return end, serverError(payload)
	case mywire.ReplyLocalInfile:
		return end, &policyError{text: "the server asks for a file (LOCAL INFILE) while the connection is set up"}
	case mywire.ReplyColumns:
		n, metadata, counted := mywire.ParseColumnCount(payload, caps)
		for i := 0; counted && metadata && i < n; i++ {
			if _, err := p.read(); err != nil {
				return end, err
			}
		}
		if counted {
			return p.rows(caps, row)
		}
	case mywire.ReplyMalformed:
	}
	return end, errMalformed
}

// rows reads rows and what ends them.
func (p *packets) rows(caps mywire.Capabilities, row func(payload []byte) error) (end mywire.OK, err error) {
	for {
		payload, err := p.read()
		if err != nil {
			return end, err
		}
		switch payload[0] {
		case mywire.HeadErr:
			return end, serverError(payload)
		case mywire.HeadEOF: // no row: packets of 16 MiB have been refused
			end, ok := mywire.ParseResultEnd(payload, caps)
			if !ok {
				return end, errMalformed
			}
			return end, nil
		}
		if row == nil {
			continue
		}
		if err := row(payload); err != nil {
			return end, err
		}
	}
}

// serverError is the error in an ERR packet.
func serverError(payload []byte) error {
	e, ok := mywire.ParseError(payload)
	if !ok {
		return errMalformed
	}
	return &mysqlReply{e}
}
