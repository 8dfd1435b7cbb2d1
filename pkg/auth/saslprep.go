// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"strings"
	"unicode/utf8"

	"github.com/xdg-go/stringprep"
	"golang.org/x/text/unicode/norm"
)

// prohibit maps and checks as SASLprep does but leaves out the normalization between the two steps.
var prohibit = stringprep.Profile{
	Mappings:  stringprep.SASLprep.Mappings,
	Prohibits: stringprep.SASLprep.Prohibits,
	CheckBiDi: true,
}

// amend is what stringprep maps in another way than PostgreSQL. U+200B is both on the list of spaces and on the list of
// letters that vanish, and PostgreSQL takes it for a space. U+1806 vanishes by table B.1 of RFC 3454; stringprep's table
// lacks it.
var amend = strings.NewReplacer("\u200b", " ", "\u1806", "")

// saslPrep prepares a password by RFC 4013 as PostgreSQL and libpq do, since both ends have to agree. They depart from
// the RFC in two points: letters are checked before they are normalized and not behind it, which makes a difference for
// some that came after Unicode 3.2; and where the RFC forbids a password (it is not UTF-8, say, or holds an unassigned
// letter) it is taken as it is.
func saslPrep(password string) string {
	if !utf8.ValidString(password) {
		return password
	}
	mapped, err := prohibit.Prepare(amend.Replace(password))
	if err != nil || mapped == "" {
		return password
	}
	return norm.NFKC.String(mapped)
}
