// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"crypto/fips140"
	"crypto/hmac"
	"crypto/md5" // the protocol's choice; only for those who configure it
	"encoding/hex"
)

// CheckMD5 checks the answer of a client to a request for an MD5 password with this salt: "md5" and the hexadecimal
// text of md5(hex(md5(password || user)) || salt). It returns nil, ErrWrongPassword or ErrUnknownUser.
func (c Credential) CheckMD5(salt [4]byte, answer []byte) error {
	if c.Method() != MD5 || fips140.Enforced() {
		return ErrUnknownUser
	}
	k := c.get()
	return k.verdict(k.match(func(p *proof) bool {
		sum := md5Hex(p.digest[:], salt[:])
		return hmac.Equal(append([]byte("md5"), sum[:]...), answer)
	}) != nil)
}

func md5Hex(a, b []byte) (text [2 * md5.Size]byte) {
	h := md5.New()
	h.Write(a)
	h.Write(b)
	hex.Encode(text[:], h.Sum(nil))
	return text
}
