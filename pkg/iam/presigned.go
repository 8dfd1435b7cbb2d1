// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Parameters of a presigned request.
const (
	pAction        = "Action"
	pVersion       = "Version"
	pDBUser        = "DBUser"
	pAlgorithm     = "X-Amz-Algorithm"
	pSigner        = "X-Amz-Credential"
	pDate          = "X-Amz-Date"
	pExpires       = "X-Amz-Expires"
	pSession       = "X-Amz-Security-Token"
	pSignedHeaders = "X-Amz-SignedHeaders"
	pSignature     = "X-Amz-Signature"
)

// Limits of a presigned request.
const (
	maxExpires = 900 // seconds
	maxParams  = 16
	dateForm   = "20060102T150405Z"
)

// presigned is what both kinds of presigned URL have in common. All of its parts keep to their form; nothing is said yet about
// who signed it, for whom, and when.
type presigned struct {
	// authority is host:port or host, as it stands in the token.
	authority string
	// params are all but the signature, decoded, in the token's order.
	params    []param
	accessKey string
	scope     scope
	date      string
	signed    time.Time
	life      time.Duration
	// session is the session token, or empty.
	session   string
	signature [sha256.Size]byte
}

// expires is the first moment at which the token is not good anymore.
func (p *presigned) expires() time.Time { return p.signed.Add(p.life) }

// get returns the value of a parameter, empty if it is not there: no parameter is empty.
func (p *presigned) get(name string) string {
	for _, q := range p.params {
		if q.name == name {
			return q.value
		}
	}
	return ""
}

// form says which parameters a kind of token has, beside those that every presigned request has.
type form struct {
	service       string
	signedHeaders string
	fixed         []param  // with these values
	more          []string // with a value that the caller checks
}

// parsePresigned reads authority[/]?query. Every parameter has to be there exactly once, under its exact name; no other may be:
// what repeats in another letter case would be read one way here and another way by others (CVE-2022-2385).
func parsePresigned(token string, f form) (*presigned, *Rejection) {
	p, r := splitPresigned(token)
	if r != nil {
		return nil, r
	}
	if r := p.checkNames(f); r != nil {
		return nil, r
	}
	for _, fixed := range append([]param{{pAlgorithm, algorithm}, {pSignedHeaders, f.signedHeaders}}, f.fixed...) {
		if p.get(fixed.name) != fixed.value {
			return nil, reject(Malformed, "parameter %s is not %s", fixed.name, fixed.value)
		}
	}
	if r := p.readFields(f.service); r != nil {
		return nil, r
	}
	kept := make([]param, 0, len(p.params))
	for _, q := range p.params {
		if q.name != pSignature {
			kept = append(kept, q)
		}
	}
	p.params = kept
	return p, nil
}

// splitPresigned takes a token apart, and decodes values.
func splitPresigned(token string) (*presigned, *Rejection) {
	if token == "" || len(token) > MaxToken {
		return nil, reject(Malformed, "%d bytes", len(token))
	}
	authority, query, ok := strings.Cut(token, "?")
	if !ok {
		return nil, reject(Malformed, "no URL with a query")
	}
	// The SDK for Go leaves the slash out; all sign it.
	authority = strings.TrimSuffix(authority, "/")
	if !isAuthority(authority) {
		return nil, reject(Malformed, "does not begin with a host and a port alone")
	}
	p := &presigned{authority: authority}
	for part := range strings.SplitSeq(query, "&") {
		if len(p.params) == maxParams {
			return nil, reject(Malformed, "more than %d parameters", maxParams)
		}
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			return nil, reject(Malformed, "a parameter without a value")
		}
		decoded, ok := unescape(value)
		if !ok || decoded == "" || !utf8.ValidString(decoded) || strings.ContainsRune(decoded, 0) {
			return nil, reject(Malformed, "a parameter whose value is empty or not encoded as it has to be")
		}
		p.params = append(p.params, param{name, decoded})
	}
	return p, nil
}

// isAuthority refuses everything that a URL could hide: schemes, users, paths, fragments, encoded bytes.
func isAuthority(text string) bool {
	if text == "" || len(text) > 300 {
		return false
	}
	for i := range len(text) {
		c := text[i]
		if c == '%' || c == '~' || !isUnreserved(c) && strings.IndexByte(":[]", c) < 0 {
			return false
		}
	}
	return true
}

// checkNames holds the parameters' names against the form.
func (p *presigned) checkNames(f form) *Rejection {
	required := append([]string{pAlgorithm, pSigner, pDate, pExpires, pSignedHeaders, pSignature}, f.more...)
	for _, q := range f.fixed {
		required = append(required, q.name)
	}
	seen := map[string]bool{}
	for _, q := range p.params {
		folded := strings.ToLower(q.name)
		if seen[folded] {
			return reject(Malformed, "a parameter is there twice")
		}
		seen[folded] = true
	}
	known := map[string]bool{pSession: true}
	for _, name := range required {
		known[name] = true
		if p.get(name) == "" {
			return reject(Malformed, "parameter %s is missing", name)
		}
	}
	for _, q := range p.params {
		if !known[q.name] {
			return reject(Malformed, "a parameter that does not belong into a token")
		}
	}
	return nil
}

// readFields takes the values apart that have parts.
func (p *presigned) readFields(service string) *Rejection {
	parts := strings.Split(p.get(pSigner), "/")
	if len(parts) != 5 || parts[4] != scopeEnd {
		return reject(Malformed, "parameter %s has not the form KEY/DATE/REGION/SERVICE/%s", pSigner, scopeEnd)
	}
	p.accessKey, p.scope = parts[0], scope{parts[1], parts[2], parts[3]}
	if !isAccessKey(p.accessKey) {
		return reject(Malformed, "parameter %s names no access key", pSigner)
	}
	if !isRegion(p.scope.region) {
		return reject(Malformed, "parameter %s names no region", pSigner)
	}
	if p.scope.service != service {
		return reject(Malformed, "the service is not %s", service)
	}
	p.date = p.get(pDate)
	signed, err := time.Parse(dateForm, p.date)
	if err != nil || signed.Format(dateForm) != p.date {
		return reject(Malformed, "parameter %s is no date", pDate)
	}
	if p.date[:8] != p.scope.date {
		return reject(Malformed, "parameters %s and %s are of different days", pDate, pSigner)
	}
	p.signed = signed
	text := p.get(pExpires)
	seconds, err := strconv.Atoi(text)
	if err != nil || strconv.Itoa(seconds) != text || seconds < 1 || seconds > maxExpires {
		return reject(Malformed, "parameter %s is not 1 to %d", pExpires, maxExpires)
	}
	p.life = time.Duration(seconds) * time.Second
	p.session = p.get(pSession)
	text = p.get(pSignature)
	if len(text) != hex.EncodedLen(sha256.Size) || strings.ToLower(text) != text {
		return reject(Malformed, "parameter %s is no signature", pSignature)
	}
	if _, err := hex.Decode(p.signature[:], []byte(text)); err != nil {
		return reject(Malformed, "parameter %s is no signature", pSignature)
	}
	return nil
}

// isAccessKey: 16 to 128 letters and digits, as the IAM API has it.
func isAccessKey(text string) bool {
	return len(text) >= 16 && len(text) <= 128 && strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// isRegion: a region's name goes into a host's name, so it has nothing but letters, digits and inner hyphens.
func isRegion(text string) bool {
	return text != "" && len(text) <= 32 && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" &&
		text[0] != '-' && text[len(text)-1] != '-'
}

// DefaultSkew is how far a token's date may lie in the future: clocks differ.
const DefaultSkew = 5 * time.Minute

// checkTime holds the token's life against now. skew is allowed before it, never after.
func (p *presigned) checkTime(now time.Time, skew time.Duration) *Rejection {
	if p.signed.After(now.Add(skew)) {
		return reject(NotYetValid, "it begins at %s", p.signed.Format(time.RFC3339))
	}
	if !now.Before(p.expires()) {
		return reject(Expired, "it ended at %s", p.expires().Format(time.RFC3339))
	}
	return nil
}
