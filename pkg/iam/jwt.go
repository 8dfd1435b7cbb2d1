// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
)

// maxClaim bounds the value of a claim that is mapped, in bytes.
const maxClaim = 1024

// checkJWT looks at the outer form of a JWT in compact form (RFC 7515, section 7.1) and at its header, before any key is
// fetched for it.
//
// It looks at the issuer that the claims name as well, though nobody has vouched for them yet: a token that is from somewhere
// else by its own account needs no keys.
func checkJWT(token, issuer string, algorithms []string) *Rejection {
	if token == "" || len(token) > MaxToken {
		return reject(Malformed, "%d bytes", len(token))
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 || slices.Contains(parts, "") {
		return reject(Malformed, "not three parts")
	}
	var decoded [3][]byte
	for i, part := range parts {
		text, err := base64.RawURLEncoding.Strict().DecodeString(part)
		// The decoder passes over line breaks.
		if err != nil || strings.ContainsAny(part, "\r\n") {
			return reject(Malformed, "part %d is not base64url", i+1)
		}
		decoded[i] = text
	}
	if r := checkHeader(decoded[0], algorithms); r != nil {
		return r
	}
	members, err := readObject(decoded[1])
	if err != nil {
		return &Rejection{Reason: Malformed, Detail: "claims", Err: err}
	}
	if iss, ok := readString(members["iss"]); !ok || iss != issuer {
		return reject(WrongIssuer, "%s", quote(iss))
	}
	return nil
}

// checkHeader takes a header of the members that are needed, and no others.
func checkHeader(head []byte, algorithms []string) *Rejection {
	members, err := readObject(head)
	if err != nil {
		return &Rejection{Reason: Malformed, Detail: "header", Err: err}
	}
	// Keys come from the issuer alone. RFC 8725, section 3.10.
	for name := range members {
		if !slices.Contains([]string{"alg", "kid", "typ", "cty", "x5t", "x5t#S256"}, name) {
			return reject(Malformed, "header has a member that is not taken")
		}
	}
	if alg, ok := readString(members["alg"]); !ok || !slices.Contains(algorithms, alg) {
		return reject(Malformed, "algorithm is not taken")
	}
	if raw, ok := members["typ"]; ok {
		typ, _ := readString(raw)
		if !strings.EqualFold(typ, "JWT") && !strings.EqualFold(typ, "at+jwt") {
			return reject(Malformed, "type is not JWT")
		}
	}
	if raw, ok := members["kid"]; ok {
		if kid, ok := readString(raw); !ok || kid == "" {
			return reject(Malformed, "key id is no text")
		}
	}
	return nil
}

// claimValues reads the values of a claim: a text or a list of texts. A name with dots, such as kubernetes.io.namespace, is
// first taken as it is, then as a path of objects.
func claimValues(payload []byte, name string) ([]string, *Rejection) {
	members, err := readObject(payload)
	if err != nil {
		return nil, &Rejection{Reason: Malformed, Detail: "claims", Err: err}
	}
	raw, ok := lookup(members, name)
	if !ok {
		return nil, reject(Denied, "claim %s is missing", quote(name))
	}
	values, ok := readStrings(raw)
	if !ok {
		return nil, reject(Denied, "claim %s is neither a text nor a list of texts", quote(name))
	}
	for _, v := range values {
		if v == "" || len(v) > maxClaim {
			return nil, reject(Denied, "claim %s has a value of %d bytes", quote(name), len(v))
		}
	}
	return values, nil
}

// lookup finds a member by its name, or along a path of names with dots between them, whose names may have dots too.
func lookup(members map[string]json.RawMessage, path string) (json.RawMessage, bool) {
	if raw, ok := members[path]; ok {
		return raw, true
	}
	for i := range len(path) {
		if path[i] != '.' {
			continue
		}
		inner, err := readObject(members[path[:i]])
		if err != nil {
			continue
		}
		if raw, ok := lookup(inner, path[i+1:]); ok {
			return raw, true
		}
	}
	return nil, false
}
