// SPDX-License-Identifier: Apache-2.0

package mysql

import "encoding/binary"

// loginHead is the length of the part that SSLRequest and HandshakeResponse begin with: capabilities, largest packet,
// collation, filler with MariaDB's extended capabilities at its end.
const loginHead = 4 + 4 + 1 + 19 + 4

// MaxAttributes is the greatest length, in bytes, of the connection attributes of one client (that of servers).
const MaxAttributes = 1 << 16

// Attribute is a connection attribute, such as program_name.
type Attribute struct{ Name, Value string }

// Login is the packet with which a client answers the greeting: HandshakeResponse41, or SSLRequest, which is its
// beginning.
type Login struct {
	// Capabilities is what the client says it has, be it offered or not.
	Capabilities Capabilities
	MaxPacket    uint32
	// Collation is the number of the collation, one byte here and two in ChangeUser.
	Collation uint16

	User         string
	AuthResponse []byte
	Schema       string // empty: none
	Plugin       string // that of AuthResponse; empty: not said
	Attributes   []Attribute
	ZstdLevel    byte // 1..22, with ClientZstd
}

// IsSSLRequest reports whether the payload of a client's first packet asks for TLS. A packet that has ClientSSL and goes
// on behind its head is none: its sender has given away its user name already, and whoever requires TLS has to see that
// there is none (see ClickHouse's issue 117003 for a server that went by the bit).
func IsSSLRequest(payload []byte) bool {
	return len(payload) == loginHead &&
		Capabilities(binary.LittleEndian.Uint32(payload)).Has(ClientSSL|ClientProtocol41)
}

// ParseLogin reads the payload of a HandshakeResponse41 or of an SSLRequest, whose fields behind the collation stay
// empty. The result holds copies. The error is an *Error to be sent to the client. payload must not be longer than
// MaxLogin: a longer one is refused, but should not have been read.
//
// Fields at the end that the capabilities announce may be missing, and the last string may lack its terminator: servers
// take that, and clients do it. What is there must be whole.
func ParseLogin(payload []byte) (*Login, error) {
	if len(payload) > MaxLogin {
		return nil, BadHandshake()
	}
	r := reader{p: payload}
	l := &Login{Capabilities: Capabilities(r.uint32()), MaxPacket: r.uint32(), Collation: uint16(r.uint8())}
	r.bytes(19)
	extended := Capabilities(r.uint32()) << 32
	if r.bad || !l.Capabilities.Has(ClientProtocol41) {
		return nil, BadHandshake()
	}
	if l.Capabilities.Extended() {
		l.Capabilities |= extended
	}
	if IsSSLRequest(payload) {
		return l, nil
	}
	l.User = string(r.cstring())
	switch {
	case l.Capabilities.Has(ClientPluginAuthLenenc):
		l.AuthResponse = clone(r.lenencBytes())
	case l.Capabilities.Has(ClientSecureConnection):
		l.AuthResponse = clone(r.bytes(int(r.uint8())))
	default:
		l.AuthResponse = clone(r.cstring())
	}
	if l.Capabilities.Has(ClientConnectWithDB) {
		l.Schema = string(r.lastString())
	}
	if l.Capabilities.Has(ClientPluginAuth) {
		l.Plugin = string(r.lastString())
	}
	if l.Capabilities.Has(ClientConnectAttrs) && len(r.p) > 0 {
		l.Attributes = r.attributes()
	}
	if l.Capabilities.Has(ClientZstd) && len(r.p) > 0 {
		l.ZstdLevel = r.uint8()
	}
	if r.bad {
		return nil, BadHandshake()
	}
	return l, nil
}

func clone(p []byte) []byte { return append([]byte(nil), p...) }

// attributes reads connection attributes.
func (r *reader) attributes() (as []Attribute) {
	block := reader{p: r.lenencBytes()}
	if len(block.p) > MaxAttributes {
		r.fail()
	}
	for len(block.p) > 0 && !r.bad {
		name, value := block.lenencBytes(), block.lenencBytes()
		if block.bad {
			r.fail()
			return nil
		}
		as = append(as, Attribute{string(name), string(value)})
	}
	return as
}

// AppendSSLRequest appends the packet with which a client asks for TLS. l.Capabilities must have ClientSSL.
func AppendSSLRequest(dst []byte, seq byte, l *Login) []byte {
	return appendLoginHead(AppendHeader(dst, loginHead, seq), l)
}

func appendLoginHead(dst []byte, l *Login) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(l.Capabilities&0xffffffff))
	dst = binary.LittleEndian.AppendUint32(dst, l.MaxPacket)
	dst = append(dst, byte(l.Collation)) //nolint:gosec // the field has one byte
	dst = append(dst, make([]byte, 19)...)
	return binary.LittleEndian.AppendUint32(dst, l.Capabilities.extendedWord())
}

// AppendLogin appends a HandshakeResponse41. Which fields go out is up to l.Capabilities. An AuthResponse of more than
// 255 bytes needs ClientPluginAuthLenenc.
func AppendLogin(dst []byte, seq byte, l *Login) []byte {
	dst, at := begin(dst)
	dst = appendLoginHead(dst, l)
	dst = appendCString(dst, l.User)
	switch {
	case l.Capabilities.Has(ClientPluginAuthLenenc):
		dst = AppendLenencString(dst, l.AuthResponse)
	case l.Capabilities.Has(ClientSecureConnection):
		response := l.AuthResponse[:min(len(l.AuthResponse), 255)]
		dst = append(append(dst, byte(len(response))), response...) //nolint:gosec // bounded
	default:
		dst = appendCString(dst, string(l.AuthResponse))
	}
	if l.Capabilities.Has(ClientConnectWithDB) {
		dst = appendCString(dst, l.Schema)
	}
	if l.Capabilities.Has(ClientPluginAuth) {
		dst = appendCString(dst, l.Plugin)
	}
	if l.Capabilities.Has(ClientConnectAttrs) {
		n := 0
		for _, a := range l.Attributes {
			n += lenencStringSize(a.Name) + lenencStringSize(a.Value)
		}
		dst = AppendLenencInt(dst, uint64(n))
		for _, a := range l.Attributes {
			dst = AppendLenencString(AppendLenencString(dst, a.Name), a.Value)
		}
	}
	if l.Capabilities.Has(ClientZstd) {
		dst = append(dst, l.ZstdLevel)
	}
	return finish(dst, at, seq)
}

func lenencStringSize(s string) int { return LenencSize(uint64(len(s))) + len(s) }

// ChangeUser is a COM_CHANGE_USER.
type ChangeUser struct {
	User         string
	AuthResponse []byte
	Schema       string
	Collation    uint16 // 0: not said
	Plugin       string // empty: not said
	Attributes   []Attribute
}

// ParseChangeUser reads the payload of a COM_CHANGE_USER of a client with these capabilities. The result holds copies.
// The error is an *Error to be sent to the client. Fields behind the schema may be missing.
func ParseChangeUser(payload []byte, caps Capabilities) (*ChangeUser, error) {
	r := reader{p: payload}
	if len(payload) > MaxLogin || Command(r.uint8()) != ComChangeUser {
		return nil, Malformed()
	}
	c := &ChangeUser{User: string(r.cstring())}
	if caps.Has(ClientSecureConnection) {
		c.AuthResponse = clone(r.bytes(int(r.uint8())))
	} else {
		c.AuthResponse = clone(r.cstring())
	}
	if r.bad {
		return nil, Malformed()
	}
	c.Schema = string(r.lastString())
	if len(r.p) > 0 {
		c.Collation = r.uint16()
	}
	if caps.Has(ClientPluginAuth) {
		c.Plugin = string(r.lastString())
	}
	if caps.Has(ClientConnectAttrs) && len(r.p) > 0 {
		c.Attributes = r.attributes()
	}
	if r.bad {
		return nil, Malformed()
	}
	return c, nil
}
