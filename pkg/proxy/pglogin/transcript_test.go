// SPDX-License-Identifier: Apache-2.0

package pglogin_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xdg-go/scram"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/login"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/pglogin"
	"github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

var update = flag.Bool("update", false, "write the transcripts in testdata anew")

// TestTranscripts plays what the client says in each file of testdata and compares what it is answered. Each is played
// twice, the second time with every byte of the client in a write of its own.
//
// A file holds conversations, an empty line in between. Lines of the client begin with ">", settings with "@", comments
// with "#". The rest is what came of it: "<" a message to the client, "=" a login, "!" a failure with its reason, "end"
// the end of the connection.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(want), false)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(want) {
				t.Errorf("%s: got\n%s", file, got)
			}
			if again := play(t, string(want), true); again != got {
				t.Errorf("%s: byte by byte, got\n%s", file, again)
			}
		})
	}
}

func play(t *testing.T, text string, slowly bool) string {
	var out []string
	for part := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		synctest.Test(t, func(t *testing.T) {
			out = append(out, strings.Join(converse(t, strings.Split(part, "\n"), slowly), "\n"))
		})
	}
	return strings.Join(out, "\n\n") + "\n"
}

// peer is the client of a conversation.
type peer struct {
	t      *testing.T
	conn   net.Conn
	slowly bool
	lines  []string
	buf    []byte // received and not shown yet
	bare   int    // answers of one byte that are due
	v2     bool
	left   bool // the client hung up
	wrote  chan error
	scram  *scram.ClientConversation
	server []byte // data of the last authentication request
}

func converse(t *testing.T, lines []string, slowly bool) []string {
	cfg := &pglogin.Config{Users: known()}
	client, server := net.Pipe()
	p := &peer{t: t, conn: client, slowly: slowly}
	var done <-chan outcome
	var cancel context.CancelFunc
	for _, line := range lines {
		word := tokens(t, line)
		switch line[0] {
		case '#':
			p.lines = append(p.lines, line)
		case '@':
			p.lines = append(p.lines, line)
			configure(t, cfg, word[1:])
		case '>':
			p.lines = append(p.lines, line)
			if done == nil {
				var ctx context.Context
				ctx, cancel = context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				done = serve(ctx, server, cfg)
			}
			if word[1] == "shutdown" {
				cancel()
			}
			p.say(word[1], word[2:])
			p.listen()
		}
	}
	// A client that was told an error hangs up; until it does, Serve may wait for it.
	if last := p.lines[len(p.lines)-1]; strings.HasPrefix(last, "< ErrorResponse") {
		_ = client.Close()
	}
	synctest.Wait()
	select {
	case o := <-done:
		p.lines = append(p.lines, result(o))
		contains(t, o.err, password)
	default:
		p.lines = append(p.lines, "waiting")
	}
	_ = client.Close()
	_ = server.Close()
	return p.lines
}

func configure(t *testing.T, cfg *pglogin.Config, word []string) {
	switch word[0] {
	case "tls":
		cfg.TLS = offer(ecdsaCertificate())
	case "require_tls":
		cfg.RequireTLS = true
	case "unknown":
		cfg.UnknownMethod = map[string]auth.Method{"md5": auth.MD5, "password": auth.Cleartext}[word[1]]
	default:
		t.Fatalf("no such setting: %q", word)
	}
}

// tokens splits a line at blanks; "…" is one token with the escapes of Go.
func tokens(t *testing.T, line string) (out []string) {
	for line = strings.TrimLeft(line, " "); line != ""; line = strings.TrimLeft(line, " ") {
		if line[0] != '"' {
			word, rest, _ := strings.Cut(line, " ")
			out, line = append(out, word), rest
			continue
		}
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		word, _ := strconv.Unquote(quoted)
		out, line = append(out, word), line[len(quoted):]
	}
	return out
}

func (p *peer) say(what string, arg []string) {
	switch what {
	case "startup":
		major, minor, _ := strings.Cut(arg[0], ".")
		a, _ := strconv.Atoi(major)
		b, _ := strconv.Atoi(minor)
		p.v2 = a < 3
		p.send(startupPacket(postgres.Version(a<<16|b), arg[1:]...))
	case "ssl":
		p.bare++
		p.send(request(codeSSL))
	case "gss":
		p.bare++
		p.send(request(codeGSS))
	case "cancel":
		pid, _ := strconv.Atoi(arg[0])
		key, _ := hex.DecodeString(arg[1])
		p.send(request(codeCancel, append(binary.BigEndian.AppendUint32(nil, uint32(pid)), key...)...))
	case "raw":
		p.send([]byte(arg[0]))
	case "tls":
		p.handshake(arg)
	case "sasl":
		p.send(sasl(arg[0], p.scramClient(arg)))
	case "sasl-later":
		p.send(authMessage(arg[0] + "\x00\xff\xff\xff\xff"))
		p.scramClient(arg)
	case "proof":
		answer, err := p.scram.Step(string(p.server))
		if err != nil {
			p.t.Fatalf("%v after\n%s", err, strings.Join(p.lines, "\n"))
		}
		p.send(authMessage(answer))
	case "first":
		answer, _ := p.scram.Step("")
		p.send(authMessage(answer))
	case "md5":
		p.send(authMessage(md5Answer(arg[0], arg[1], p.server) + "\x00"))
	case "password":
		p.send(authMessage(arg[0] + "\x00"))
	case "wait":
		d, err := time.ParseDuration(arg[0])
		if err != nil {
			p.t.Fatal(err)
		}
		time.Sleep(d) //nolint:forbidigo // the clock of synctest
	case "eof":
		_ = p.conn.Close()
		p.left = true
	case "shutdown":
	default:
		p.t.Fatalf("no such line: > %s", what)
	}
}

// scramClient prepares a login and returns its first message, unless that is to come later. arg is the mechanism, the
// password, and what the client thinks of channel binding.
func (p *peer) scramClient(arg []string) string {
	c, err := scram.SHA256.NewClientUnprepped("", strings.Replace(arg[1], "ⅷ", "viii", 1), "")
	if err != nil {
		p.t.Fatal(err)
	}
	p.scram = c.NewConversation()
	if len(arg) > 2 {
		switch arg[2] {
		case "able":
			p.scram = c.NewConversationAdvertisingChannelBinding()
		case "bound":
			state := p.conn.(*tls.Conn).ConnectionState()
			b, err := scram.NewTLSServerEndpointBinding(&state)
			if err != nil {
				p.t.Fatal(err)
			}
			p.scram = c.NewConversationWithChannelBinding(b)
		case "forged":
			p.scram = c.NewConversationWithChannelBinding(scram.ChannelBinding{
				Type: scram.ChannelBindingTLSServerEndpoint, Data: []byte("another certificate"),
			})
		case "later":
			return ""
		}
	}
	first, err := p.scram.Step("")
	if err != nil {
		p.t.Fatal(err)
	}
	return first
}

// handshake begins TLS. arg is nothing or the ALPN names to offer.
func (p *peer) handshake(arg []string) {
	_ = p.conn.SetReadDeadline(time.Time{})
	c := tls.Client(p.conn, &tls.Config{InsecureSkipVerify: true, NextProtos: arg})
	if err := c.Handshake(); err != nil {
		p.lines = append(p.lines, "< tls: "+err.Error())
		return
	}
	p.lines = append(p.lines, fmt.Sprintf("< tls %q", c.ConnectionState().NegotiatedProtocol))
	p.conn = c
}

// send writes, while whatever the server says is taken by listen: a pipe has no buffer. What the server does not take
// is given up when the connection ends.
func (p *peer) send(b []byte) {
	before := p.wrote
	p.wrote = make(chan error, 1)
	go func(conn net.Conn, done chan<- error) {
		if before != nil {
			<-before
		}
		defer close(done)
		for step := len(b); len(b) > 0; b = b[step:] {
			if p.slowly {
				step = 1
			}
			if _, err := conn.Write(b[:step]); err != nil {
				return
			}
		}
	}(p.conn, p.wrote)
}

// listen takes what the server has to say until it waits or hangs up.
func (p *peer) listen() {
	for !p.left {
		_ = p.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		chunk := make([]byte, 4096)
		n, err := p.conn.Read(chunk)
		p.buf = append(p.buf, chunk[:n]...)
		for p.show() {
		}
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return
		}
		if err != nil {
			if last := p.lines[len(p.lines)-1]; last != "end" {
				p.lines = append(p.lines, "end")
			}
			return
		}
	}
}

// show takes one message off the buffer and writes it down.
func (p *peer) show() bool {
	switch {
	case len(p.buf) == 0:
		return false
	case p.bare > 0 && (p.buf[0] == 'S' || p.buf[0] == 'N'):
		p.bare--
		p.lines = append(p.lines, "< "+string(p.buf[:1]))
		p.buf = p.buf[1:]
		return true
	case p.v2:
		p.lines = append(p.lines, fmt.Sprintf("< %q", p.buf))
		p.buf = nil
		return true
	case len(p.buf) < 5:
		return false
	}
	n := 1 + int(binary.BigEndian.Uint32(p.buf[1:]))
	if n > len(p.buf) {
		return false
	}
	p.lines = append(p.lines, "< "+p.describe(p.buf[0], p.buf[5:n]))
	p.buf = p.buf[n:]
	return true
}

var random = regexp.MustCompile(`r=[^,]+,s=[^,]+,`)

func (p *peer) describe(typ byte, body []byte) string {
	switch typ {
	case 'E':
		e, ok := postgres.ParseErrorResponse(body)
		s := fmt.Sprintf("ErrorResponse %v", e)
		if e.Detail != "" {
			s += " DETAIL: " + e.Detail
		}
		if !ok {
			s += " (malformed)"
		}
		return s
	case 'v':
		v, n, names := binary.BigEndian.Uint32(body), binary.BigEndian.Uint32(body[4:]), bytes.Split(body[8:], []byte{0})
		return fmt.Sprintf("NegotiateProtocolVersion %v %d %q", postgres.Version(v), n, names[:len(names)-1])
	case 'R':
		p.server = bytes.Clone(body[4:])
		switch kind := binary.BigEndian.Uint32(body); kind {
		case postgres.AuthOK:
			return "AuthenticationOk"
		case postgres.AuthCleartextPassword:
			return "AuthenticationCleartextPassword"
		case postgres.AuthMD5Password:
			return fmt.Sprintf("AuthenticationMD5Password (%d bytes of salt)", len(p.server))
		case postgres.AuthSASL:
			return fmt.Sprintf("AuthenticationSASL %q", bytes.Split(bytes.TrimSuffix(p.server, []byte("\x00\x00")), []byte{0}))
		case postgres.AuthSASLContinue:
			return fmt.Sprintf("AuthenticationSASLContinue %q", random.ReplaceAllString(string(p.server), "r=…,s=…,"))
		case postgres.AuthSASLFinal:
			if _, err := p.scram.Step(string(p.server)); err != nil {
				return "AuthenticationSASLFinal that the client refuses: " + err.Error()
			}
			return "AuthenticationSASLFinal"
		}
	}
	return fmt.Sprintf("%q %q", typ, body)
}

func result(o outcome) string {
	var e *login.Error
	switch {
	case errors.As(o.err, &e):
		return fmt.Sprintf("! %v: %v", e.Reason, e)
	case o.err != nil:
		return "! not an *Error: " + o.err.Error()
	case o.login.Kind == pglogin.Cancel:
		return fmt.Sprintf("= cancel %d %x tls=%v", o.login.CancelPID, o.login.CancelSecret, o.login.TLS != nil)
	}
	l := o.login
	s := fmt.Sprintf("= session user=%q database=%q minor=%d method=%s tls=%v", l.User, l.Database, l.ProtocolMinor,
		l.AuthMethod, l.TLS != nil)
	if l.Replication != "" {
		s += " replication=" + l.Replication
	}
	for _, set := range l.Settings {
		s += fmt.Sprintf(" %s=%q", set.Name, set.Value)
	}
	return s
}
