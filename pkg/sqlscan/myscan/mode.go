// SPDX-License-Identifier: Apache-2.0

package myscan

// Mode says how the server reads a text, by the session's sql_mode and
// character_set_client at that time and by the kind of server. The zero value
// is MySQL with UTF-8 and the usual sql_mode.
type Mode uint8

// Modes.
const (
	ModeANSIQuotes         Mode = 1 << iota // double quotes enclose identifiers
	ModeNoBackslashEscapes                  // a backslash in a string is no escape
	ModeMariaDB                             // the server is MariaDB

	// ModeOracle is MariaDB's sql_mode ORACLE, another language. Every text is
	// EffectUnknown.
	ModeOracle

	// ModeOtherCharset is a character set other than UTF-8 in which no byte of
	// a multi-byte character looks like a quote or a backslash. What bytes above
	// ASCII mean outside of quotes differs: in latin1 0xA0 is a space. Such a
	// text is EffectUnknown.
	ModeOtherCharset

	// ModeUnsafeCharset is a character set in which a byte of a multi-byte
	// character may look like a quote or a backslash. Any text that is not
	// plain ASCII is EffectUnknown.
	ModeUnsafeCharset
)

// CharsetMode returns the mode bits for the named character_set_client. A name
// that is not known is unsafe.
func CharsetMode(name string) Mode {
	switch name {
	case "utf8mb4", "utf8mb3", "utf8":
		return 0
	case "ascii", "binary", "latin1", "latin2", "latin5", "latin7", "greek", "hebrew", "koi8r", "koi8u",
		"cp1250", "cp1251", "cp1256", "cp1257", "cp850", "cp852", "cp866", "dec8", "hp8", "keybcs2",
		"macce", "macroman", "armscii8", "geostd8", "tis620", "ujis", "eucjpms", "euckr", "gb2312":
		return ModeOtherCharset
	}
	return ModeUnsafeCharset
}
