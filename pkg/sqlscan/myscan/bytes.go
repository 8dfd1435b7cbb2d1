// SPDX-License-Identifier: Apache-2.0

package myscan

// class is what a byte can start.
type class uint8

const (
	classPunct class = iota
	classSpace
	classLetter
	classHigh // above ASCII
	classDigit
	classQuote
	classDoubleQuote
	classBacktick
	classDollar
	classSlash
	classDash
	classHash
	classOpen
	classClose
	classSemicolon
	classDot
	classComma
	classStar
	classAt
	classColon
	classNul // ends the text to the server in some places, and is an error in others
)

var (
	byteClass = makeByteClass()
	wordByte  = makeWordByte() // ASCII bytes that go on a word
)

func makeByteClass() (t [256]class) {
	for c := range t {
		switch {
		case 'a' <= c|0x20 && c|0x20 <= 'z' && c < 0x80, c == '_':
			t[c] = classLetter
		case '0' <= c && c <= '9':
			t[c] = classDigit
		case c >= 0x80:
			t[c] = classHigh
		}
	}
	for _, c := range " \t\n\r\f\v" {
		t[c] = classSpace
	}
	for c, k := range map[byte]class{
		'\'': classQuote, '"': classDoubleQuote, '`': classBacktick, '$': classDollar, '/': classSlash,
		'-': classDash, '#': classHash, '(': classOpen, ')': classClose, ';': classSemicolon, '.': classDot,
		',': classComma, '*': classStar, '@': classAt, ':': classColon, 0: classNul,
	} {
		t[c] = k
	}
	return t
}

func makeWordByte() (t [256]bool) {
	for c, k := range byteClass {
		t[c] = k == classLetter || k == classDigit || k == classDollar
	}
	return t
}

func isASCII(p []byte) bool {
	for _, c := range p {
		if c >= 0x80 {
			return false
		}
	}
	return true
}
