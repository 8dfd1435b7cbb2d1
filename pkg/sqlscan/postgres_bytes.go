// SPDX-License-Identifier: Apache-2.0

package sqlscan

// class is what a byte can start.
type class uint8

const (
	classPunct class = iota
	classSpace
	classLetter
	classHigh // above ASCII: part of a word, whatever the encoding
	classDigit
	classQuote
	classDoubleQuote
	classDollar
	classSlash
	classDash
	classOpen
	classClose
	classSemicolon
	classDot
	classComma
	classStar
)

var (
	byteClass = makeByteClass()
	wordByte  = makeWordByte() // ASCII bytes that go on a word
)

var classTokens = [...]token{
	classPunct: tokPunct,
	classDot:   tokDot,
	classComma: tokComma,
	classStar:  tokStar,
}

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
	// The vertical tab is a space since PostgreSQL 16 and an error before.
	for _, c := range " \t\n\r\f\v" {
		t[c] = classSpace
	}
	t['\''] = classQuote
	t['"'] = classDoubleQuote
	t['$'] = classDollar
	t['/'] = classSlash
	t['-'] = classDash
	t['('] = classOpen
	t[')'] = classClose
	t[';'] = classSemicolon
	t['.'] = classDot
	t[','] = classComma
	t['*'] = classStar
	return t
}

func makeWordByte() (t [256]bool) {
	for c, k := range byteClass {
		t[c] = k == classLetter || k == classDigit || k == classDollar
	}
	return t
}
