// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// What readObject refuses. The texts quote nothing.
var (
	errNotObject = errors.New("is not a JSON object")
	errTwice     = errors.New("has a member twice")
)

// readObject reads a JSON object whose members all have different names, in any letter case. encoding/json would take the
// last of them, and others the first.
func readObject(text []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(text) {
		return nil, errNotObject
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errNotObject
	}
	members, folded := map[string]json.RawMessage{}, map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, errNotObject
		}
		if folded[strings.ToLower(name)] {
			return nil, errTwice
		}
		folded[strings.ToLower(name)] = true
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, errNotObject
		}
		members[name] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, errNotObject
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errNotObject
	}
	return members, nil
}

// readString reads a JSON text; null and everything else is none.
func readString(raw json.RawMessage) (string, bool) {
	var text string
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &text) != nil {
		return "", false
	}
	return text, true
}

// readStrings reads a JSON text, or an array of at least one text.
func readStrings(raw json.RawMessage) ([]string, bool) {
	if text, ok := readString(raw); ok {
		return []string{text}, true
	}
	var items []json.RawMessage
	if len(raw) == 0 || raw[0] != '[' || json.Unmarshal(raw, &items) != nil || len(items) == 0 {
		return nil, false
	}
	list := make([]string, len(items))
	for i, item := range items {
		text, ok := readString(item)
		if !ok {
			return nil, false
		}
		list[i] = text
	}
	return list, true
}
