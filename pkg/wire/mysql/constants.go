// SPDX-License-Identifier: Apache-2.0

package mysql

// Status is the state of a session as OK and EOF packets tell it.
type Status uint16

// The bits of Status.
const (
	StatusInTrans           Status = 1 << 0
	StatusAutocommit        Status = 1 << 1
	StatusMoreResults       Status = 1 << 3
	StatusNoGoodIndex       Status = 1 << 4
	StatusNoIndex           Status = 1 << 5
	StatusCursorExists      Status = 1 << 6
	StatusLastRowSent       Status = 1 << 7
	StatusDBDropped         Status = 1 << 8
	StatusNoBackslashEscape Status = 1 << 9
	StatusMetadataChanged   Status = 1 << 10
	StatusSlowQuery         Status = 1 << 11
	StatusPSOutParams       Status = 1 << 12
	StatusInTransReadonly   Status = 1 << 13
	StatusSessionChanged    Status = 1 << 14 // a block of session tracking follows
	StatusAnsiQuotes        Status = 1 << 15 // MariaDB
)

// Has reports whether all bits of other are there.
func (s Status) Has(other Status) bool { return s&other == other }

// First bytes of the replies to a command.
const (
	HeadOK          = 0x00
	HeadMoreData    = 0x01 // while a login is going on
	HeadLocalInfile = 0xfb
	HeadEOF         = 0xfe
	HeadErr         = 0xff
)

// Names of authentication plugins.
const (
	PluginNative      = "mysql_native_password"
	PluginCachingSHA2 = "caching_sha2_password"
	PluginSHA256      = "sha256_password"
	PluginClear       = "mysql_clear_password"
	PluginEd25519     = "client_ed25519"
	PluginOld         = "mysql_old_password"
)

// Single bytes in the dialogue of caching_sha2_password and sha256_password.
const (
	SHA256RequestKey      = 0x01 // client, sha256_password: send me your public key
	CachingSHA2RequestKey = 0x02 // client: send me your public key
	CachingSHA2FastOK     = 0x03 // server: known, an OK or an ERR follows
	CachingSHA2FullAuth   = 0x04 // server: send the password
)

// Type is the type of a column or of a parameter.
type Type byte

// The types.
const (
	TypeDecimal    Type = 0x00
	TypeTiny       Type = 0x01
	TypeShort      Type = 0x02
	TypeLong       Type = 0x03
	TypeFloat      Type = 0x04
	TypeDouble     Type = 0x05
	TypeNull       Type = 0x06
	TypeTimestamp  Type = 0x07
	TypeLongLong   Type = 0x08
	TypeInt24      Type = 0x09
	TypeDate       Type = 0x0a
	TypeTime       Type = 0x0b
	TypeDateTime   Type = 0x0c
	TypeYear       Type = 0x0d
	TypeNewDate    Type = 0x0e
	TypeVarchar    Type = 0x0f
	TypeBit        Type = 0x10
	TypeTimestamp2 Type = 0x11
	TypeDateTime2  Type = 0x12
	TypeTime2      Type = 0x13
	TypeVector     Type = 0xf2
	TypeJSON       Type = 0xf5
	TypeNewDecimal Type = 0xf6
	TypeEnum       Type = 0xf7
	TypeSet        Type = 0xf8
	TypeTinyBlob   Type = 0xf9
	TypeMediumBlob Type = 0xfa
	TypeLongBlob   Type = 0xfb
	TypeBlob       Type = 0xfc
	TypeVarString  Type = 0xfd
	TypeString     Type = 0xfe
	TypeGeometry   Type = 0xff
)

// Flags of column definitions.
const (
	FlagNotNull  uint16 = 1 << 0
	FlagUnsigned uint16 = 1 << 5
	FlagBinary   uint16 = 1 << 7
)

// Collations that are not numbers to be looked up.
const (
	CollationUTF8MB4General = 45 // utf8mb4_general_ci: MariaDB's default for utf8mb4 before 11.5
	CollationBinary         = 63
	CollationUTF8MB40900    = 255 // utf8mb4_0900_ai_ci: MySQL's default
)
