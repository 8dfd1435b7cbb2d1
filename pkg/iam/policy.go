// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Bounds of a policy: those of IAM, rounded up.
const (
	maxPolicy     = 64 << 10 // bytes
	maxStatements = 512
	maxPattern    = 2048 // bytes of a Resource or an Action
)

// actionConnect is the one action that is asked for here. Actions have no letter case.
const actionConnect = "rds-db:connect"

// Policy is what an access key may do: one or several policy documents of IAM, read by ParsePolicy. The zero Policy allows
// nothing.
type Policy struct{ statements []statement }

type statement struct {
	deny      bool
	actions   []string // in lower case
	resources []string
}

// ParsePolicy reads a policy document of IAM: JSON with a Statement, or several, with Effect, Action and Resource. Texts and
// arrays of texts are both taken, as are the wildcards * and ?. Whatever else could change what a policy means (Condition,
// NotAction, NotResource, Principal, policy variables) is not done here, and is an error: to ignore it would allow more, or
// less, than was written. The error names the place.
func ParsePolicy(text []byte) (*Policy, error) {
	if len(text) > maxPolicy {
		return nil, fmt.Errorf("policy: more than %d bytes", maxPolicy)
	}
	members, err := readObject(text)
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	if err := allow(members, "Version", "Id", "Statement"); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	if raw, ok := members["Version"]; ok {
		if v, _ := readString(raw); v != "2012-10-17" && v != "2008-10-17" {
			return nil, errors.New(`policy: Version is neither "2012-10-17" nor "2008-10-17"`)
		}
	}
	raw, ok := members["Statement"]
	if !ok {
		return nil, errors.New("policy: has no Statement")
	}
	list := []json.RawMessage{raw}
	if raw[0] == '[' {
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, errors.New("policy: Statement is not JSON")
		}
	}
	if len(list) == 0 || len(list) > maxStatements {
		return nil, fmt.Errorf("policy: %d statements, not 1 to %d", len(list), maxStatements)
	}
	p := &Policy{}
	for i, raw := range list {
		s, err := parseStatement(raw)
		if err != nil {
			return nil, fmt.Errorf("policy: statement %d: %w", i+1, err)
		}
		p.statements = append(p.statements, s)
	}
	return p, nil
}

// MergePolicies makes one policy of several: what one denies is denied, whatever another allows.
func MergePolicies(list ...*Policy) *Policy {
	all := &Policy{}
	for _, p := range list {
		all.statements = append(all.statements, p.statements...)
	}
	return all
}

// allow refuses members that are not named.
func allow(members map[string]json.RawMessage, names ...string) error {
	unknown := []string{}
	for name := range members {
		if !slices.Contains(names, name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return fmt.Errorf("element %s is not supported, only %s", quote(unknown[0]), strings.Join(names, ", "))
}

func parseStatement(raw json.RawMessage) (statement, error) {
	members, err := readObject(raw)
	if err != nil {
		return statement{}, err
	}
	if err := allow(members, "Sid", "Effect", "Action", "Resource"); err != nil {
		return statement{}, err
	}
	effect, _ := readString(members["Effect"])
	if effect != "Allow" && effect != "Deny" {
		return statement{}, errors.New(`effect is neither "Allow" nor "Deny"`)
	}
	s := statement{deny: effect == "Deny"}
	if s.actions, err = patterns(members, "Action"); err != nil {
		return statement{}, err
	}
	for i, a := range s.actions {
		if a != "*" && strings.Count(a, ":") != 1 {
			return statement{}, errors.New("an Action is not SERVICE:ACTION")
		}
		s.actions[i] = strings.ToLower(a)
	}
	if s.resources, err = patterns(members, "Resource"); err != nil {
		return statement{}, err
	}
	for _, r := range s.resources {
		if r != "*" && !strings.HasPrefix(r, "arn:") {
			return statement{}, errors.New("a Resource is no ARN")
		}
	}
	return s, nil
}

// patterns reads an Action or a Resource.
func patterns(members map[string]json.RawMessage, name string) ([]string, error) {
	list, ok := readStrings(members[name])
	if !ok {
		return nil, fmt.Errorf("%s is not a text, nor an array of texts", name)
	}
	for _, text := range list {
		switch {
		case text == "" || len(text) > maxPattern:
			return nil, fmt.Errorf("a text of %s has %d bytes, not 1 to %d", name, len(text), maxPattern)
		case strings.Contains(text, "${"):
			return nil, fmt.Errorf("policy variables (${...}) in %s are not supported", name)
		}
	}
	return list, nil
}

// AllowsConnect says whether the policy allows rds-db:connect on a resource: some statement allows it, and none denies it.
func (p *Policy) AllowsConnect(resource string) bool {
	allowed := false
	for _, s := range p.statements {
		if !s.covers(resource) {
			continue
		}
		if s.deny {
			return false
		}
		allowed = true
	}
	return allowed
}

func (s statement) covers(resource string) bool {
	return slices.ContainsFunc(s.actions, func(a string) bool { return matchText(a, actionConnect) }) &&
		slices.ContainsFunc(s.resources, func(r string) bool { return r == "*" || matchARN(r, resource) })
}
