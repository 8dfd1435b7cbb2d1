package pglogin

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

type Kind int

const (
	Session Kind = iota
	Cancel
)

type UserLookup interface {
	Lookup(user string) (auth.Credential, bool)
}
type Config struct {
	TLS        func() *tls.Config
	RequireTLS bool
	Users      UserLookup
}
type Login struct {
	Kind           Kind
	User, Database string
	Settings       []wire.Setting
	Replication    string
	ProtocolMinor  int
	TLS            *tls.Conn
	CancelPID      uint32
	CancelSecret   []byte
}

func packet(nc net.Conn, head int) ([]byte, error) {
	b := make([]byte, head+4)
	if _, err := io.ReadFull(nc, b); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(b[head:]))
	if n < 4 || n > 10000 {
		return nil, errors.New("length")
	}
	b = append(b, make([]byte, n-4)...)
	_, err := io.ReadFull(nc, b[head+4:])
	return b, err
}

func Serve(ctx context.Context, nc net.Conn, cfg *Config) (*Login, error) {
	if d, ok := ctx.Deadline(); ok {
		nc.SetDeadline(d)
		defer nc.SetDeadline(time.Time{})
	}
	for {
		b, err := packet(nc, 0)
		if err != nil {
			return nil, err
		}
		s, err := wire.DecodeStartup(b)
		if err != nil {
			return nil, err
		}
		if s.Kind == wire.PacketStartup {
			o, err := wire.ParseOptions(s.Options)
			if err != nil {
				return nil, err
			}
			s.Settings = append(o, s.Settings...)
		}
		switch s.Kind {
		case wire.PacketSSL, wire.PacketGSS:
			nc.Write([]byte{'N'})
			continue
		case wire.PacketCancel:
			return &Login{Kind: Cancel, CancelPID: s.CancelPID, CancelSecret: s.CancelKey}, nil
		}
		c, ok := cfg.Users.Lookup(s.User)
		if !ok {
			return nil, errors.New("unknown user")
		}
		x := auth.NewExchange(c, nil)
		nc.Write(wire.AppendAuthenticationSASL(nil, x.Mechanisms()))
		b, err = packet(nc, 1)
		if err != nil {
			return nil, err
		}
		mech, rest, _ := wire.CutCString(b[5:])
		ch, err := x.First(string(mech), rest[4:])
		if err != nil {
			return nil, err
		}
		nc.Write(wire.AppendAuthenticationSASLContinue(nil, ch))
		b, err = packet(nc, 1)
		if err != nil {
			return nil, err
		}
		fin, err := x.Final(b[5:])
		if err != nil {
			nc.Write(wire.AppendErrorResponse(nil, wire.Fatal("28P01", "password")))
			return nil, err
		}
		nc.Write(append(wire.AppendAuthenticationSASLFinal(nil, fin), wire.AppendAuthenticationOK(nil)...))
		return &Login{User: s.User, Database: s.Database, Settings: s.Settings, Replication: string(s.Replication), ProtocolMinor: s.Version.Minor()}, nil
	}
}
