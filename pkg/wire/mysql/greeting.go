// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"encoding/binary"
	"strings"
)

const (
	protocolVersion = 10
	saltFirst       = 8  // bytes of the salt in front of the capabilities
	saltLeast       = 13 // bytes that the rest of it takes at least, its terminator included
	// SaltLen is the length of the salt in a greeting, its terminator not included.
	SaltLen = 20
	// maxSalt bounds the salt that is taken from a server: its length is a byte.
	maxSalt = 255
)

// Greeting is the packet that a server begins with (HandshakeV10).
type Greeting struct {
	Version      string
	ThreadID     uint32
	Salt         []byte // without its terminator; SaltLen bytes from all servers in use
	Capabilities Capabilities
	Collation    uint8
	Status       Status
	Plugin       string // that of Salt
}

// ParseGreeting reads the payload of a greeting. The result holds copies. The error is the *Error that the server sent
// instead (host blocked, too many connections), or BadHandshake.
func ParseGreeting(payload []byte) (*Greeting, error) {
	if e, ok := ParseError(payload); ok {
		return nil, e
	}
	r := reader{p: payload}
	if r.uint8() != protocolVersion || r.bad || len(payload) > MaxLogin {
		return nil, BadHandshake()
	}
	g := &Greeting{Version: string(r.cstring()), ThreadID: r.uint32()}
	salt := r.bytes(saltFirst)
	r.uint8()
	caps := Capabilities(r.uint16())
	g.Collation, g.Status = r.uint8(), Status(r.uint16())
	caps |= Capabilities(r.uint16()) << 16
	saltLen := int(r.uint8())
	r.bytes(6)
	extended := Capabilities(r.uint32()) << 32
	if r.bad || !caps.Has(ClientProtocol41|ClientSecureConnection) {
		return nil, BadHandshake()
	}
	if caps.Extended() {
		caps |= extended
	}
	g.Capabilities = caps
	// Servers before 5.5 end here, without a terminator; the rest of the salt is there all the same.
	second := r.bytes(min(max(saltLeast, saltLen-saltFirst), len(r.p)))
	g.Salt = append(append(make([]byte, 0, len(salt)+len(second)), salt...), second...)
	if n := len(g.Salt); n > 0 && g.Salt[n-1] == 0 {
		g.Salt = g.Salt[:n-1]
	}
	if len(g.Salt) < SaltLen {
		return nil, BadHandshake()
	}
	if caps.Has(ClientPluginAuth) {
		g.Plugin = string(r.lastString())
	}
	return g, nil
}

// MariaDB reports whether the server is one of MariaDB.
func (g *Greeting) MariaDB() bool {
	return g.Capabilities.Extended() || strings.Contains(g.Version, "MariaDB")
}

// AppendGreeting appends a greeting. The salt must have saltFirst to maxSalt-1 bytes, none of them zero.
func AppendGreeting(dst []byte, seq byte, g *Greeting) []byte {
	dst, at := begin(dst)
	dst = appendCString(append(dst, protocolVersion), g.Version)
	dst = binary.LittleEndian.AppendUint32(dst, g.ThreadID)
	dst = append(append(dst, g.Salt[:saltFirst]...), 0)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(g.Capabilities&0xffff))
	dst = append(dst, g.Collation)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(g.Status))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(g.Capabilities>>16&0xffff))
	saltLen := byte(0)
	if g.Capabilities.Has(ClientPluginAuth) {
		saltLen = byte(min(len(g.Salt)+1, maxSalt))
	}
	dst = append(dst, saltLen, 0, 0, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, g.Capabilities.extendedWord())
	dst = append(append(dst, g.Salt[saltFirst:]...), 0)
	if g.Capabilities.Has(ClientPluginAuth) {
		dst = appendCString(dst, g.Plugin)
	}
	return finish(dst, at, seq)
}

// extendedWord is the field for MariaDB's capabilities; zero if the low ones say that it holds none.
func (c Capabilities) extendedWord() uint32 {
	if !c.Extended() {
		return 0
	}
	return uint32(c >> 32)
}
