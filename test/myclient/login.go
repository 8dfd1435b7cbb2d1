// SPDX-License-Identifier: Apache-2.0

package myclient

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"

	scramble "github.com/go-mysql-org/go-mysql/mysql"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// zstdLevel is the usual one.
const zstdLevel = 3

func (c *Conn) login() error {
	payload, err := c.readPacket()
	if err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	if c.Greeting, err = wire.ParseGreeting(payload); err != nil {
		return err
	}
	want := Basic | c.opts.Want
	if !c.Greeting.MariaDB() || want&wire.ExtendedMask == 0 {
		want |= wire.ClientLongPassword
	}
	if c.opts.Schema != "" {
		want |= wire.ClientConnectWithDB
	}
	c.Capabilities = want & (c.Greeting.Capabilities | wire.ClientLongPassword)
	a := answerer{password: c.opts.Password, plugin: c.Greeting.Plugin, salt: c.Greeting.Salt}
	first, err := a.first()
	if err != nil {
		return err
	}
	packet := wire.AppendLogin(nil, c.seq, &wire.Login{
		Capabilities: c.Capabilities, MaxPacket: 1 << 30, Collation: uint16(c.opts.Collation), User: c.opts.User,
		AuthResponse: first, Schema: c.opts.Schema, Plugin: a.plugin, ZstdLevel: zstdLevel,
	})
	c.seq++
	if err := c.Write(packet); err != nil {
		return err
	}
	if c.Hello, err = c.authenticate(&a); err != nil {
		return err
	}
	c.frames = wire.NewCompression(c.Capabilities, zstdLevel)
	return nil
}

// authenticate goes on until the server says OK.
func (c *Conn) authenticate(a *answerer) ([]string, error) {
	const rounds = 8
	for range rounds {
		payload, err := c.readPacket()
		if err != nil {
			return nil, fmt.Errorf("login: %w", err)
		}
		if e, ok := wire.ParseError(payload); ok {
			return nil, e
		}
		if len(payload) > 0 && payload[0] == wire.HeadOK {
			line, _, err := c.okLine("ok", payload)
			return []string{line}, err
		}
		answer, send, err := a.answer(payload)
		if err != nil {
			return nil, err
		}
		if send {
			if err := c.writePacket(answer); err != nil {
				return nil, err
			}
		}
	}
	return nil, errors.New("the login does not end")
}

// answerer answers what a server asks for at a login.
type answerer struct {
	password, plugin string
	salt             []byte
}

func (a *answerer) first() ([]byte, error) {
	switch {
	case a.password == "":
		return nil, nil
	case a.plugin == wire.PluginCachingSHA2:
		return scramble.CalcCachingSha2Password(a.salt, []byte(a.password)), nil
	case a.plugin == wire.PluginNative:
		return scramble.CalcNativePassword(a.salt, []byte(a.password)), nil
	}
	return nil, fmt.Errorf("plugin %q is not known", a.plugin)
}

func (a *answerer) answer(payload []byte) (answer []byte, send bool, err error) {
	if plugin, salt, ok := wire.ParseAuthSwitch(payload); ok {
		a.plugin, a.salt = plugin, salt
		answer, err = a.first()
		return answer, true, err
	}
	data, ok := wire.ParseAuthMoreData(payload)
	switch {
	case !ok || len(data) == 0:
		return nil, false, fmt.Errorf("unexpected packet %q in the login", payload)
	case len(data) > 1:
		answer, err = a.encrypted(data)
		return answer, true, err
	case data[0] == wire.CachingSHA2FullAuth:
		return []byte{wire.CachingSHA2RequestKey}, true, nil
	}
	return nil, false, nil
}

func (a *answerer) encrypted(text []byte) ([]byte, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no key")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	public, ok := key.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("the key is not for RSA")
	}
	return scramble.EncryptPassword(a.password, a.salt, public)
}

// ChangeUser is COM_CHANGE_USER. The connection's statements are gone after it.
func (c *Conn) ChangeUser(user, password, schema string) ([]string, error) {
	return c.ChangeLogin(user, password, schema, c.opts.Collation)
}

// ChangeLogin is the same with another collation.
func (c *Conn) ChangeLogin(user, password, schema string, collation byte) ([]string, error) {
	a := answerer{password: password, plugin: c.Greeting.Plugin, salt: c.Greeting.Salt}
	first, err := a.first()
	if err != nil {
		return nil, err
	}
	args := append([]byte(user), 0, byte(len(first)))
	args = append(append(args, first...), schema...)
	args = binary.LittleEndian.AppendUint16(append(args, 0), uint16(collation))
	args = append(append(args, a.plugin...), 0)
	if err := c.command(wire.ComChangeUser, args...); err != nil {
		return nil, err
	}
	clear(c.stmts)
	lines, err := c.authenticate(&a)
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return []string{errorLine(e)}, nil
	}
	return lines, err
}
