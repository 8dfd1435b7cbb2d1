// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// Decode reads a credential from the JSON that RDS secrets have: an object with the texts "username" and "password". Other
// members, such as host and port, are ignored. An access key has the names that AWS prints instead: "AccessKeyId",
// "SecretAccessKey", and for a temporary one "SessionToken" and "Expiration" (RFC 3339). An error wraps ErrMalformed or ErrTooLarge; it names what is missing or where
// the text breaks off, and quotes nothing.
func Decode(text []byte) (Credential, error) {
	if len(text) > MaxSize {
		return Credential{}, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, MaxSize)
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	// encoding/json would put U+FFFD in place of what is not UTF-8, and so change the password without a word.
	if !utf8.Valid(text) {
		return Credential{}, fmt.Errorf("%w: is not UTF-8", ErrMalformed)
	}
	var members map[string]json.RawMessage
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&members); err != nil {
		return Credential{}, fmt.Errorf("%w: %s", ErrMalformed, jsonProblem(err, dec.InputOffset()))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Credential{}, fmt.Errorf("%w: there is something behind the JSON object", ErrMalformed)
	}
	if _, ok := members["AccessKeyId"]; ok {
		return accessKey(members)
	}
	username, err := member(members, "username")
	if err != nil {
		return Credential{}, err
	}
	password, err := member(members, "password")
	if err != nil {
		return Credential{}, err
	}
	return newCredential(username, password)
}

// accessKey reads the form of an access key.
func accessKey(members map[string]json.RawMessage) (Credential, error) {
	id, err := member(members, "AccessKeyId")
	if err != nil {
		return Credential{}, err
	}
	key, err := member(members, "SecretAccessKey")
	if err != nil {
		return Credential{}, err
	}
	c, err := newCredential(id, key)
	if err != nil {
		return Credential{}, err
	}
	if _, ok := members["SessionToken"]; ok {
		token, err := member(members, "SessionToken")
		if err != nil {
			return Credential{}, err
		}
		if token == "" {
			return Credential{}, fmt.Errorf("%w: SessionToken is empty", ErrMalformed)
		}
		c.SessionToken = NewPassword(token)
	}
	if _, ok := members["Expiration"]; ok {
		text, err := member(members, "Expiration")
		if err != nil {
			return Credential{}, err
		}
		if c.Expires, err = time.Parse(time.RFC3339, text); err != nil {
			return Credential{}, fmt.Errorf("%w: member %q is no date", ErrMalformed, "Expiration")
		}
	}
	return c, nil
}

// jsonProblem describes an error of encoding/json without its text, which quotes the input.
func jsonProblem(err error, offset int64) string {
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		return fmt.Sprintf("is not JSON at byte %d", syntax.Offset)
	}
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		return "is JSON, but not an object with username and password"
	}
	if offset == 0 && errors.Is(err, io.EOF) {
		return "is empty"
	}
	return "is not JSON, or not all of it"
}

func member(members map[string]json.RawMessage, name string) (string, error) {
	raw, ok := members[name]
	if !ok {
		return "", fmt.Errorf("%w: has no member %q", ErrMalformed, name)
	}
	// null is no text, though encoding/json lets it pass for one.
	if len(raw) == 0 || raw[0] != '"' {
		return "", fmt.Errorf("%w: member %q is not a text", ErrMalformed, name)
	}
	// A lone surrogate would become U+FFFD as well; a real one may stand in the text as such.
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return "", fmt.Errorf("%w: member %q is not a text", ErrMalformed, name)
	}
	if strings.ContainsRune(text, utf8.RuneError) && !bytes.ContainsRune(raw, utf8.RuneError) {
		return "", fmt.Errorf("%w: member %q is not Unicode", ErrMalformed, name)
	}
	return text, nil
}

// newCredential checks what both forms of a secret have to keep: there is something in both fields, and nothing that the
// protocols of the databases end a text with.
func newCredential(username, password string) (Credential, error) {
	for _, f := range []struct{ name, text string }{{"username", username}, {"password", password}} {
		switch {
		case f.text == "":
			return Credential{}, fmt.Errorf("%w: %s is empty", ErrMalformed, f.name)
		case strings.ContainsRune(f.text, 0):
			return Credential{}, fmt.Errorf("%w: %s holds a NUL", ErrMalformed, f.name)
		}
	}
	return Credential{Username: username, Password: NewPassword(password)}, nil
}
