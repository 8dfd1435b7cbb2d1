// SPDX-License-Identifier: Apache-2.0

// Package pgload logs in to PostgreSQL and out again, as often and as cheaply as it can. A driver spends most of a login on the derivation of a
// key from the password, a hundred times what the server's side costs; here the key is derived once for each salt (as RFC 5802 section 5.1
// allows a client to do), so that the load keeps a pooler busy instead of itself.
package pgload

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Target is where clients log in, and how. It is not copied once it is in use.
type Target struct {
	Addr, User, Database string
	// Password is a password, or a token where the server asks for it in clear.
	Password string
	TLS      *tls.Config // nil for none

	keys sync.Map // of challenge to key
}

// challenge is what a key depends on beside the password.
type challenge struct {
	salt       string
	iterations int
}

// limit is how long one login may take.
const limit = 30 * time.Second

// key are those of RFC 5802 section 3.
type key struct{ client, stored, server [sha256.Size]byte }

// keyFor derives the key for a challenge, or remembers it.
func (t *Target) keyFor(c challenge) (*key, error) {
	if k, ok := t.keys.Load(c); ok {
		return k.(*key), nil
	}
	salted, err := pbkdf2.Key(sha256.New, t.Password, []byte(c.salt), c.iterations, sha256.Size)
	if err != nil {
		return nil, err
	}
	k := &key{client: mac(salted, "Client Key"), server: mac(salted, "Server Key")}
	k.stored = sha256.Sum256(k.client[:])
	t.keys.Store(c, k)
	return k, nil
}

func mac(key []byte, text string) (sum [sha256.Size]byte) {
	m := hmac.New(sha256.New, key)
	_, _ = io.WriteString(m, text)
	m.Sum(sum[:0])
	return sum
}

// LogInAndOut connects, logs in, waits until the server is ready for a query, says goodbye and closes. source is the local address to come from;
// nil leaves that to the kernel.
func (t *Target) LogInAndOut(ctx context.Context, source net.IP) (err error) {
	d := &net.Dialer{}
	if source != nil {
		d.LocalAddr = &net.TCPAddr{IP: source}
	}
	nc, err := d.DialContext(ctx, "tcp", t.Addr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, nc.Close()) }()
	if err := nc.SetDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	if t.TLS != nil {
		if nc, err = t.startTLS(ctx, nc); err != nil {
			return err
		}
	}
	c := &client{target: t, nc: nc, in: bufio.NewReaderSize(nc, 2048)}
	if err := c.logIn(); err != nil {
		return err
	}
	_, err = nc.Write([]byte{'X', 0, 0, 0, 4})
	return err
}

func (t *Target) startTLS(ctx context.Context, nc net.Conn) (net.Conn, error) {
	if _, err := nc.Write([]byte{0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f}); err != nil {
		return nc, err
	}
	var answer [1]byte
	if _, err := io.ReadFull(nc, answer[:]); err != nil {
		return nc, err
	}
	if answer[0] != 'S' {
		return nc, errors.New("the server does without TLS")
	}
	tc := tls.Client(nc, t.TLS)
	return tc, tc.HandshakeContext(ctx)
}

// client is one login under way.
type client struct {
	target *Target
	nc     net.Conn
	in     *bufio.Reader
	buf    []byte // of the message read last

	nonce, bare, authMessage string
	key                      *key
}

// Kinds of AuthenticationRequest (PostgreSQL documentation, "Message Formats").
const (
	authOK           = 0
	authCleartext    = 3
	authSASL         = 10
	authSASLContinue = 11
	authSASLFinal    = 12
)

// logIn reads until ReadyForQuery and answers what wants an answer.
func (c *client) logIn() error {
	if _, err := c.nc.Write(c.target.startup()); err != nil {
		return err
	}
	for {
		kind, body, err := c.read()
		if err != nil {
			return err
		}
		switch kind {
		case 'Z':
			return nil
		case 'E':
			return fmt.Errorf("the server says %q", body)
		case 'R':
			if err := c.authenticate(body); err != nil {
				return err
			}
		}
	}
}

func (t *Target) startup() []byte {
	p := []byte{0, 0, 0, 0, 0, 3, 0, 0}
	p = append(p, "user\x00"+t.User+"\x00database\x00"+t.Database+"\x00\x00"...)
	binary.BigEndian.PutUint32(p, uint32(len(p)))
	return p
}

// read gives the next message; body is valid until the next call.
func (c *client) read() (kind byte, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return 0, nil, err
	}
	n := int(binary.BigEndian.Uint32(head[1:])) - 4
	if n < 0 || n > 64<<10 {
		return 0, nil, fmt.Errorf("a message of %d bytes", n)
	}
	if cap(c.buf) < n {
		c.buf = make([]byte, max(n, 256))
	}
	_, err = io.ReadFull(c.in, c.buf[:n])
	return head[0], c.buf[:n], err
}

func (c *client) authenticate(body []byte) error {
	if len(body) < 4 {
		return errors.New("a request of no kind")
	}
	kind, body := binary.BigEndian.Uint32(body), body[4:]
	switch kind {
	case authOK:
		return nil
	case authCleartext:
		return c.send([]byte(c.target.Password + "\x00"))
	case authSASL:
		return c.first()
	case authSASLContinue:
		return c.final(string(body))
	case authSASLFinal:
		return c.verify(string(body))
	}
	return fmt.Errorf("a request of kind %d", kind)
}

// send sends a message of the kind that all answers to an authentication request have.
func (c *client) send(body []byte) error {
	p := append([]byte{'p', 0, 0, 0, 0}, body...)
	binary.BigEndian.PutUint32(p[1:], uint32(len(p)-1))
	_, err := c.nc.Write(p)
	return err
}

const mechanism = "SCRAM-SHA-256"

func (c *client) first() error {
	var random [18]byte
	_, _ = rand.Read(random[:]) // never fails
	c.nonce = base64.StdEncoding.EncodeToString(random[:])
	c.bare = "n=,r=" + c.nonce
	message := "n,," + c.bare
	p := append([]byte(mechanism), 0)
	p = binary.BigEndian.AppendUint32(p, uint32(len(message)))
	return c.send(append(p, message...))
}

func (c *client) final(challenged string) error {
	nonce, rest, ok1 := strings.Cut(strings.TrimPrefix(challenged, "r="), ",s=")
	salt64, count, ok2 := strings.Cut(rest, ",i=")
	salt, err1 := base64.StdEncoding.DecodeString(salt64)
	iterations, err2 := strconv.Atoi(count)
	if !ok1 || !ok2 || errors.Join(err1, err2) != nil || !strings.HasPrefix(nonce, c.nonce) {
		return errors.New("the challenge cannot be read")
	}
	var err error
	if c.key, err = c.target.keyFor(challenge{string(salt), iterations}); err != nil {
		return err
	}
	message := "c=biws,r=" + nonce
	c.authMessage = c.bare + "," + challenged + "," + message
	proof := mac(c.key.stored[:], c.authMessage)
	subtle.XORBytes(proof[:], proof[:], c.key.client[:])
	return c.send([]byte(message + ",p=" + base64.StdEncoding.EncodeToString(proof[:])))
}

func (c *client) verify(given string) error {
	want := mac(c.key.server[:], c.authMessage)
	if given != "v="+base64.StdEncoding.EncodeToString(want[:]) {
		return errors.New("the server's signature is wrong")
	}
	return nil
}
