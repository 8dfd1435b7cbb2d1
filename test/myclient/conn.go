// SPDX-License-Identifier: Apache-2.0

package myclient

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// maxReply bounds a packet, its continuations included.
const maxReply = 256 << 20

// Options say how to log in.
type Options struct {
	Addr, User, Password, Schema string
	// Want are capabilities beyond Basic. Those that the server does not offer are
	// left out, see Conn.Capabilities.
	Want wire.Capabilities
	// Collation is that of the login; 0 means utf8mb4_general_ci.
	Collation byte
	// Limit is for the whole life of the connection; 0 means a minute.
	Limit time.Duration
}

// Basic are capabilities that every client has.
const Basic = wire.ClientProtocol41 | wire.ClientLongFlag | wire.ClientTransactions |
	wire.ClientSecureConnection | wire.ClientPluginAuth | wire.ClientMultiResults | wire.ClientPSMultiResults

// Conn is a connection. It is not for use by several goroutines at once, but for Close.
type Conn struct {
	// Greeting is what the server began with.
	Greeting *wire.Greeting
	// Capabilities are what both sides agreed on.
	Capabilities wire.Capabilities
	// Hello is the OK that ended the login, as text.
	Hello []string

	opts     Options
	nc       net.Conn
	in       *bufio.Reader
	frames   *wire.Compression // nil: none
	inflated []byte            // what frames held and nobody has read yet
	seq      byte              // of the next packet, in either direction
	stmts    map[string]*statement
}

// Dial connects and logs in. A refusal is an *wire.Error.
func Dial(ctx context.Context, o Options) (*Conn, error) {
	if o.Limit == 0 {
		o.Limit = time.Minute
	}
	if o.Collation == 0 {
		o.Collation = wire.CollationUTF8MB4General
	}
	nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", o.Addr)
	if err != nil {
		return nil, err
	}
	c := &Conn{opts: o, nc: nc, in: bufio.NewReaderSize(nc, 64<<10), stmts: make(map[string]*statement)}
	if err := nc.SetDeadline(time.Now().Add(o.Limit)); err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	if err := c.login(); err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	return c, nil
}

// Close ends the connection without a word.
func (c *Conn) Close() error { return c.nc.Close() }

// NetConn is the socket, for what no client would do.
func (c *Conn) NetConn() net.Conn { return c.nc }

// Reader gives what the server sends, decompressed.
func (c *Conn) Reader() io.Reader { return reader{c} }

type reader struct{ c *Conn }

func (r reader) Read(p []byte) (int, error) {
	c := r.c
	if c.frames == nil {
		return c.in.Read(p)
	}
	for len(c.inflated) == 0 {
		if err := c.readFrame(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.inflated)
	c.inflated = c.inflated[n:]
	return n, nil
}

func (c *Conn) readFrame() error {
	frame := make([]byte, wire.FrameHeaderLen)
	if _, err := io.ReadFull(c.in, frame); err != nil {
		return err
	}
	size, _ := wire.ParseHeader(frame)
	frame = append(frame, make([]byte, size)...)
	if _, err := io.ReadFull(c.in, frame[wire.FrameHeaderLen:]); err != nil {
		return err
	}
	var err error
	c.inflated, _, _, err = c.frames.Inflate(c.inflated[:0], frame)
	return err
}

// readPacket reads a payload, put together if it came in several packets.
func (c *Conn) readPacket() (payload []byte, err error) {
	for {
		var head [wire.HeaderLen]byte
		if _, err := io.ReadFull(c.Reader(), head[:]); err != nil {
			return nil, err
		}
		n, seq := wire.ParseHeader(head[:])
		// MariaDB starts anew with each result where frames have numbers of their own.
		if seq != c.seq && c.frames == nil {
			return nil, fmt.Errorf("sequence id %d, want %d", seq, c.seq)
		}
		c.seq = seq + 1
		if len(payload)+n > maxReply {
			return nil, errors.New("a packet is too long")
		}
		at := len(payload)
		payload = append(payload, make([]byte, n)...)
		if _, err := io.ReadFull(c.Reader(), payload[at:]); err != nil {
			return nil, err
		}
		if n < wire.MaxPayload {
			return payload, nil
		}
	}
}

// writePacket sends a payload with the next sequence id.
func (c *Conn) writePacket(payload []byte) error {
	err := c.Write(wire.AppendPacket(nil, c.seq, payload))
	c.seq += byte(wire.Packets(len(payload)))
	return err
}

// Write sends bytes as they are, compressed if that was agreed on.
func (c *Conn) Write(p []byte) error {
	if c.frames != nil {
		p = c.frames.Deflate(nil, p)
	}
	_, err := c.nc.Write(p)
	return err
}

// command begins one: sequence ids start anew.
func (c *Conn) command(cmd wire.Command, args ...byte) error {
	c.seq = 0
	if c.frames != nil {
		c.frames.Restart()
	}
	return c.writePacket(append([]byte{byte(cmd)}, args...))
}
