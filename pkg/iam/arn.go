// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxARN bounds an ARN, in bytes.
const maxARN = 2048

// canonicalARN makes of the ARN that GetCallerIdentity answers the one that a mapping names. The session name of an assumed
// role is dropped: whoever assumes the role chooses it. AWS leaves the path of the role out of this answer.
func canonicalARN(arn string) (string, error) {
	parts := strings.Split(arn, ":")
	if len(arn) > maxARN || len(parts) != arnParts || parts[0] != "arn" || !partitionForm.MatchString(parts[1]) ||
		parts[3] != "" || !accountForm.MatchString(parts[4]) || !isResource(parts[5]) {
		return "", errors.New("not an ARN of an identity")
	}
	kind, rest, _ := strings.Cut(parts[5], "/")
	switch {
	case parts[2] == "iam" && kind == "user" && rest != "", parts[2] == "iam" && parts[5] == "root":
		return arn, nil
	case parts[2] == "sts" && kind == "federated-user" && rest != "" && !strings.Contains(rest, "/"):
		return arn, nil
	case parts[2] == "sts" && kind == "assumed-role":
		role, session, ok := strings.Cut(rest, "/")
		if !ok || role == "" || session == "" || strings.Contains(session, "/") {
			return "", errors.New("not the ARN of an assumed role")
		}
		return fmt.Sprintf("arn:%s:iam::%s:role/%s", parts[1], parts[4], role), nil
	}
	return "", errors.New("not the ARN of a user or a role")
}

// isResource: letters, digits and what IAM allows in names and paths.
func isResource(text string) bool {
	for i := range len(text) {
		if c := text[i]; !isUnreserved(c) && strings.IndexByte("/+=,@!#$&'()*;[]{}|", c) < 0 || c == '*' {
			return false
		}
	}
	return text != ""
}

// Mapping lets an identity log in as database users.
type Mapping struct {
	// Match is what the identity has to be. For STS: a canonical ARN, such as arn:aws:iam::123456789012:role/app; the wildcards
	// * and ? may stand in the resource only. For a web identity: the value of the claim, where * and ? may stand anywhere.
	Match string
	// Users are database users by name; a * at the end of a name stands for the rest of it.
	Users []string
}

// checkUsers says what is wrong with the users of a mapping.
func (m Mapping) checkUsers() error {
	if len(m.Users) == 0 {
		return fmt.Errorf("mapping of %s: no users", quote(m.Match))
	}
	for _, u := range m.Users {
		if u == "" || strings.Contains(strings.TrimSuffix(u, "*"), "*") {
			return fmt.Errorf("mapping of %s: user %s: a star may stand at the end only", quote(m.Match), quote(u))
		}
	}
	return nil
}

// checkARN says what is wrong with a mapping of an ARN.
func (m Mapping) checkARN() error {
	at := resourceAt(m.Match)
	head, resource := m.Match[:at], m.Match[at:]
	parts := strings.Split(head, ":")
	switch {
	case len(m.Match) > maxPattern || len(parts) != arnParts || parts[0] != "arn" || resource == "":
		return fmt.Errorf("mapping of %s: not an ARN", quote(m.Match))
	case strings.ContainsAny(head, "*?"):
		return fmt.Errorf("mapping of %s: partition, service and account may have no wildcards", quote(m.Match))
	case !partitionForm.MatchString(parts[1]) || parts[3] != "" || !accountForm.MatchString(parts[4]):
		return fmt.Errorf("mapping of %s: not arn:PARTITION:iam::ACCOUNT:role/NAME", quote(m.Match))
	case parts[2] == "sts" && strings.HasPrefix(resource, "assumed-role/"):
		return fmt.Errorf("mapping of %s: name the role, arn:%s:iam::%s:role/NAME, not a session of it", quote(m.Match), parts[1], parts[4])
	case parts[2] == "iam" && strings.HasPrefix(resource, "role/") && strings.Count(resource, "/") > 1:
		return fmt.Errorf("mapping of %s: leave out the path of the role, AWS does not tell it", quote(m.Match))
	}
	return m.checkUsers()
}

// allows says whether a mapping names a user.
func (m Mapping) allows(user string) bool {
	return slices.ContainsFunc(m.Users, func(u string) bool {
		if prefix, ok := strings.CutSuffix(u, "*"); ok {
			return strings.HasPrefix(user, prefix)
		}
		return u == user
	})
}
