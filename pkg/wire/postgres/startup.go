// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Version is a protocol version: the major number in the upper 16 bits, the minor one in the lower.
type Version uint32

// Versions that are spoken here. 3.1 was never given out by PostgreSQL; like PostgreSQL 18 we take it for what it says,
// which is 3.0 with another number.
const (
	Version30 Version = 3 << 16
	Version32 Version = 3<<16 | 2

	// NewestVersion is the newest one spoken.
	NewestVersion = Version32
)

// Major returns the major number.
func (v Version) Major() int { return int(v >> 16) }

// Minor returns the minor number.
func (v Version) Minor() int { return int(v & 0xffff) }

func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major(), v.Minor()) }

// LongCancelKeys reports whether the key in BackendKeyData may have another length than 4 bytes.
func (v Version) LongCancelKeys() bool { return v >= Version32 }

// Numbers that stand where a start-up packet has its protocol version.
const (
	codeCancel = 1234<<16 | 5678
	codeSSL    = 1234<<16 | 5679
	codeGSS    = 1234<<16 | 5680
)

// Limits of the first packet.
const (
	// StartupHeaderSize is the size of the length word of a packet and the code behind it: the smallest legal packet,
	// and so what may be read of a stranger before anything is known of it.
	StartupHeaderSize = 8
	// MaxStartup is the largest length word of a packet (PostgreSQL's MAX_STARTUP_PACKET_LENGTH and the word itself).
	MaxStartup = 10_000 + 4
	// MinCancelKey and MaxCancelKey bound the key in BackendKeyData and CancelRequest, in bytes.
	MinCancelKey = 4
	MaxCancelKey = 256

	cancelHead = 12 // length word, code, process id
)

// TLSHandshake is the first byte of a connection that starts with TLS at once ("direct" negotiation, PostgreSQL 17):
// the type of the TLS record. No start-up packet is long enough to begin with it.
const TLSHandshake = 0x16

// ALPN is the protocol name that a client must offer in a direct TLS negotiation.
const ALPN = "postgresql"

// PacketKind tells the packets apart that a connection may begin with.
type PacketKind uint8

// The kinds of packet.
const (
	PacketStartup PacketKind = iota + 1
	PacketCancel
	PacketSSL
	PacketGSS
)

// Startup is a packet of the sort that a connection begins with, decoded.
type Startup struct {
	Kind PacketKind
	// Version is what the client asks for, which may be newer than NewestVersion; for the other kinds the number that
	// stands in its place.
	Version Version

	// Of PacketStartup.

	// User and Database are cut to NameLen bytes, as PostgreSQL does it. User is never empty; Database is User if the
	// client named none.
	User, Database string
	// Options is the command line in the parameter "options", to be read by ParseOptions.
	Options string
	// Replication says what the connection is for.
	Replication Replication
	// Settings are all other parameters, in the order of the packet, doubled ones as often as they came. They apply
	// behind those of Options; of two with one name the later one counts.
	Settings []Setting
	// UnknownOptions are the names of protocol options ("_pq_.…"); we know none.
	UnknownOptions []string

	// Of PacketCancel.

	CancelPID uint32
	CancelKey []byte
}

// Negotiate returns the version to be spoken and whether the client has to be told (NegotiateProtocolVersion) because
// it asked for a newer one or for protocol options that are not known.
func (s *Startup) Negotiate() (v Version, tell bool) {
	v = min(s.Version, NewestVersion)
	return v, v != s.Version || len(s.UnknownOptions) > 0
}

// Replication is the kind of a replication connection, in the words of the parameter "replication".
type Replication string

// The kinds of replication connection.
const (
	ReplicationNone     Replication = ""
	ReplicationPhysical Replication = "true"
	ReplicationLogical  Replication = "database"
)

// StartupLength reads the head of a packet, StartupHeaderSize bytes or more, and returns how many bytes the whole
// packet has. It does so before anything is reserved for the rest, and holds each kind to its own limit.
func StartupLength(head []byte) (int, error) {
	n := binary.BigEndian.Uint32(head)
	least, most := uint32(StartupHeaderSize), uint32(MaxStartup)
	switch binary.BigEndian.Uint32(head[4:]) {
	case codeSSL, codeGSS:
		least, most = StartupHeaderSize, StartupHeaderSize
	case codeCancel:
		least, most = cancelHead+MinCancelKey, cancelHead+MaxCancelKey
	}
	if n < least || n > most {
		return 0, Fatal(CodeProtocolViolation, "invalid length of startup packet")
	}
	return int(n), nil
}

// DecodeStartup reads a whole packet, its length word included. The result holds copies, nothing of packet. An error
// is an *Error to be sent to the client, except that a client gets no answer to a CancelRequest, whatever is wrong.
//
// When the packet is a StartupMessage that names protocol options or a newer version and is at fault for another
// reason, PostgreSQL negotiates first and complains then; so the Startup returned is valid for Negotiate next to an
// error if its Kind is set.
func DecodeStartup(packet []byte) (Startup, error) {
	if len(packet) < StartupHeaderSize {
		return Startup{}, Fatal(CodeProtocolViolation, "incomplete startup packet")
	}
	n, err := StartupLength(packet)
	if err != nil {
		return Startup{}, err
	}
	if n != len(packet) {
		return Startup{}, Fatal(CodeProtocolViolation, "incomplete startup packet")
	}
	body := packet[StartupHeaderSize:]
	switch code := binary.BigEndian.Uint32(packet[4:]); code {
	case codeSSL:
		return Startup{Kind: PacketSSL, Version: Version(code)}, nil
	case codeGSS:
		return Startup{Kind: PacketGSS, Version: Version(code)}, nil
	case codeCancel:
		return Startup{
			Kind:      PacketCancel,
			Version:   Version(code),
			CancelPID: binary.BigEndian.Uint32(body),
			CancelKey: append([]byte(nil), body[4:]...),
		}, nil
	default:
		return decodeParameters(Version(code), body)
	}
}

// UnsupportedVersion is the error for a packet whose version, or whose code where it is out of place, is not spoken.
func UnsupportedVersion(v Version) *Error {
	return Fatal(CodeFeatureNotSupported, fmt.Sprintf("unsupported frontend protocol %s: server supports %s to %s",
		v, Version30, NewestVersion))
}

func decodeParameters(v Version, body []byte) (Startup, error) {
	if v.Major() != Version30.Major() {
		return Startup{Version: v}, UnsupportedVersion(v)
	}
	s := Startup{Version: v}
	for {
		name, rest, ok := CutCString(body)
		if !ok {
			return Startup{}, errLayout()
		}
		if len(name) == 0 { // the terminator; it has to be the last byte
			if len(rest) != 0 {
				return Startup{}, errLayout()
			}
			break
		}
		value, rest, ok := CutCString(rest)
		if !ok {
			return Startup{}, errLayout()
		}
		if err := s.set(string(name), string(value)); err != nil {
			return Startup{}, err
		}
		body = rest
	}
	s.Kind = PacketStartup
	if s.User == "" {
		return s, Fatal(CodeInvalidAuthorization, "no PostgreSQL user name specified in startup packet")
	}
	if s.Database == "" {
		s.Database = s.User
	}
	s.User, s.Database = truncateName(s.User), truncateName(s.Database)
	return s, nil
}

func errLayout() *Error {
	return Fatal(CodeProtocolViolation, "invalid startup packet layout: expected terminator as last byte")
}

// set takes one parameter. Of user, database, options and replication given twice, the later one counts.
func (s *Startup) set(name, value string) error {
	switch {
	case name == "user":
		s.User = value
	case name == "database":
		s.Database = value
	case name == "options":
		s.Options = value
	case name == "replication":
		r, ok := parseReplication(value)
		if !ok {
			return Fatal(CodeInvalidParameterValue,
				fmt.Sprintf(`invalid value for parameter "replication": "%s"`, value)).
				WithHint(`Valid values are: "false", 0, "true", 1, "database".`)
		}
		s.Replication = r
	case strings.HasPrefix(name, "_pq_."):
		s.UnknownOptions = append(s.UnknownOptions, name)
	default:
		s.Settings = append(s.Settings, Setting{Name: name, Value: value})
	}
	return nil
}

// truncateName cuts a name behind NameLen bytes. PostgreSQL cuts a letter in two here, and so do we: the name must be
// the one that the server would look for.
func truncateName(name string) string {
	return name[:min(len(name), NameLen)]
}

func parseReplication(value string) (Replication, bool) {
	if value == string(ReplicationLogical) {
		return ReplicationLogical, true
	}
	on, ok := ParseBool(value)
	if !ok {
		return ReplicationNone, false
	}
	if on {
		return ReplicationPhysical, true
	}
	return ReplicationNone, true
}

// ParseBool reads a truth value as PostgreSQL reads that of a setting: true, false, yes and no or a beginning of one of
// these, on, off or "of", 1 or 0, whatever the case of the letters.
func ParseBool(s string) (value, ok bool) {
	if s == "" || len(s) > len("false") {
		return false, false
	}
	s = strings.ToLower(s)
	switch {
	case strings.HasPrefix("true", s), strings.HasPrefix("yes", s), s == "on", s == "1":
		return true, true
	case strings.HasPrefix("false", s), strings.HasPrefix("no", s), s == "off", s == "of", s == "0":
		return false, true
	}
	return false, false
}
