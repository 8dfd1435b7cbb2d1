// SPDX-License-Identifier: Apache-2.0

package iam_test

import (
	"strings"
	"testing"

	"github.com/rdsproxy/rdsproxy/pkg/iam"
)

const (
	arnApp   = "arn:aws:rds-db:eu-central-1:123456789012:dbuser:prx-0123456789abcdef0/app"
	statemnt = `{"Effect":"%E","Action":%A,"Resource":%R}`
)

func document(effect, action, resource string) string {
	return `{"Version":"2012-10-17","Statement":` + one(effect, action, resource) + `}`
}

func one(effect, action, resource string) string {
	return strings.NewReplacer("%E", effect, "%A", action, "%R", resource).Replace(statemnt)
}

func TestPolicyAllows(t *testing.T) {
	app := `"` + arnApp + `"`
	both := func(list ...string) string { return `{"Statement":[` + strings.Join(list, ",") + `]}` }
	for name, tt := range map[string]struct {
		text string
		want bool
	}{
		"exact":                              {document("Allow", `"rds-db:connect"`, app), true},
		"arrays":                             {document("Allow", `["s3:GetObject","rds-db:connect"]`, `["arn:aws:s3:::x",`+app+`]`), true},
		"action in other case":               {document("Allow", `"RDS-DB:Connect"`, app), true},
		"action with a star":                 {document("Allow", `"rds-db:*"`, app), true},
		"action with marks":                  {document("Allow", `"rds-db:c?nnec?"`, app), true},
		"all actions":                        {document("Allow", `"*"`, app), true},
		"another action":                     {document("Allow", `"rds-db:disconnect"`, app), false},
		"another service":                    {document("Allow", `"rds:connect"`, app), false},
		"all resources":                      {document("Allow", `"rds-db:connect"`, `"*"`), true},
		"all users":                          {document("Allow", `"rds-db:connect"`, `"arn:aws:rds-db:eu-central-1:123456789012:dbuser:prx-0123456789abcdef0/*"`), true},
		"all proxies":                        {document("Allow", `"rds-db:connect"`, `"arn:aws:rds-db:eu-central-1:123456789012:dbuser:*/app"`), true},
		"all of both":                        {document("Allow", `"rds-db:connect"`, `"arn:aws:rds-db:*:*:dbuser:*"`), true},
		"a star that ends a part":            {document("Allow", `"rds-db:connect"`, `"arn:aws:rds-db:*"`), true},
		"a star within a part":               {document("Allow", `"rds-db:connect"`, `"arn:aws:rds-db:eu*1:123456789012:dbuser:*"`), true},
		"a star does not reach over a colon": {document("Allow", `"rds-db:connect"`, `"arn:aws:rds-db:eu-central-1*2:dbuser:prx-0123456789abcdef0/app"`), false},
		"a mark is no colon":                 {document("Allow", `"rds-db:connect"`, `"arn:aws:rds-db:eu-central-1?123456789012:dbuser:prx-0123456789abcdef0/app"`), false},
		"a mark":                             {document("Allow", `"rds-db:connect"`, `"arn:aws:rds-db:eu-central-?:123456789012:dbuser:prx-0123456789abcdef0/ap?"`), true},
		"a mark is one byte":                 {document("Allow", `"rds-db:connect"`, `"arn:aws:rds-db:eu-central-1:123456789012:dbuser:prx-0123456789abcdef0/ap??"`), false},
		"another user":                       {document("Allow", `"rds-db:connect"`, `"arn:aws:rds-db:eu-central-1:123456789012:dbuser:prx-0123456789abcdef0/ap"`), false},
		"user in other case":                 {document("Allow", `"rds-db:connect"`, `"arn:aws:rds-db:eu-central-1:123456789012:dbuser:prx-0123456789abcdef0/APP"`), false},
		"another proxy":                      {document("Allow", `"rds-db:connect"`, `"arn:aws:rds-db:eu-central-1:123456789012:dbuser:prx-1/app"`), false},
		"another account":                    {document("Allow", `"rds-db:connect"`, `"arn:aws:rds-db:eu-central-1:999999999999:dbuser:prx-0123456789abcdef0/app"`), false},
		"another region":                     {document("Allow", `"rds-db:connect"`, `"arn:aws:rds-db:us-east-1:123456789012:dbuser:prx-0123456789abcdef0/app"`), false},
		"another partition":                  {document("Allow", `"rds-db:connect"`, `"arn:aws-cn:rds-db:eu-central-1:123456789012:dbuser:prx-0123456789abcdef0/app"`), false},
		"only a denial":                      {document("Deny", `"s3:*"`, `"*"`), false},
		"denied":                             {both(one("Allow", `"*"`, `"*"`), one("Deny", `"rds-db:connect"`, app)), false},
		"denied before":                      {both(one("Deny", `"rds-db:*"`, app), one("Allow", `"*"`, `"*"`)), false},
		"another one denied":                 {both(one("Allow", `"*"`, `"*"`), one("Deny", `"*"`, `"arn:aws:rds-db:*:*:dbuser:*/admin"`)), true},
		"two statements":                     {both(one("Allow", `"s3:*"`, `"*"`), one("Allow", `"rds-db:connect"`, app)), true},
		"ids":                                {`{"Version":"2008-10-17","Id":"x","Statement":{"Sid":"y","Effect":"Allow","Action":"*","Resource":"*"}}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := policy(t, tt.text).AllowsConnect(arnApp); got != tt.want {
				t.Errorf("%t, want %t: %s", got, tt.want, tt.text)
			}
		})
	}
	if (&iam.Policy{}).AllowsConnect(arnApp) {
		t.Error("no policy allows")
	}
}

// TestPolicyUserWithColons: a user's name cannot imitate the parts of an ARN.
func TestPolicyUserWithColons(t *testing.T) {
	arn := "arn:aws:rds-db:us-east-1:999999999999:dbuser:prx-0/x-1:123456789012:dbuser:prx-0/app"
	for resource, want := range map[string]bool{
		`"arn:aws:rds-db:us*1:123456789012:dbuser:prx-0/app"`:  false,
		`"arn:aws:rds-db:us-east-1:999999999999:dbuser:*/app"`: true,
	} {
		if got := policy(t, document("Allow", `"rds-db:connect"`, resource)).AllowsConnect(arn); got != want {
			t.Errorf("%s: %t", resource, got)
		}
	}
}

func TestPolicyMerge(t *testing.T) {
	yes, no := policy(t, document("Allow", `"*"`, `"*"`)), policy(t, document("Deny", `"*"`, `"`+arnApp+`"`))
	if iam.MergePolicies(yes, no).AllowsConnect(arnApp) || !iam.MergePolicies(yes).AllowsConnect(arnApp) || iam.MergePolicies().AllowsConnect(arnApp) {
		t.Error("merged otherwise")
	}
}

func TestPolicyRefuses(t *testing.T) {
	with := func(more string) string {
		return `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*",` + more + `}}`
	}
	for text, want := range map[string]string{
		``:                                  "policy: is not a JSON object",
		`[]`:                                "policy: is not a JSON object",
		`null`:                              "policy: is not a JSON object",
		`{`:                                 "policy: is not a JSON object",
		`{}`:                                "policy: has no Statement",
		`{"Statement":[]}`:                  "policy: 0 statements",
		`{"Statement":null}`:                "statement 1: is not a JSON object",
		`{"Statement":{}} x`:                "policy: is not a JSON object",
		`{"Statement":{}}{}`:                "policy: is not a JSON object",
		`{"Version":"2020","Statement":{}}`: "policy: Version is neither",
		`{"Version":null,"Statement":{}}`:   "policy: Version is neither",
		`{"statement":{}}`:                  `policy: element "statement" is not supported`,
		`{"Statement":{},"Statement":{}}`:   "policy: has a member twice",
		`{"Statement":{},"STATEMENT":{}}`:   "policy: has a member twice",
		with(`"Condition":{}`):              `policy: statement 1: element "Condition" is not supported, only Sid, Effect, Action, Resource`,
		with(`"Principal":"*"`):             `statement 1: element "Principal" is not supported`,
		with(`"NotPrincipal":"*"`):          `statement 1: element "NotPrincipal" is not supported`,
		with(`"NotAction":"*"`):             `statement 1: element "NotAction" is not supported`,
		with(`"NotResource":"*"`):           `statement 1: element "NotResource" is not supported`,
		with(`"action":"*"`):                `statement 1: has a member twice`,
		with(`"Effect":"Deny"`):             `statement 1: has a member twice`,
		`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Allow"}]}`: `statement 2: Action is not a text`,
		document("allow", `"*"`, `"*"`):                                           `effect is neither "Allow" nor "Deny"`,
		document("", `"*"`, `"*"`):                                                `effect is neither "Allow" nor "Deny"`,
		document("Allow", `[]`, `"*"`):                                            `Action is not a text, nor an array of texts`,
		document("Allow", `[null]`, `"*"`):                                        `Action is not a text, nor an array of texts`,
		document("Allow", `["*",1]`, `"*"`):                                       `Action is not a text, nor an array of texts`,
		document("Allow", `{}`, `"*"`):                                            `Action is not a text, nor an array of texts`,
		document("Allow", `""`, `"*"`):                                            `a text of Action has 0 bytes`,
		document("Allow", `"connect"`, `"*"`):                                     `an Action is not SERVICE:ACTION`,
		document("Allow", `"*"`, `null`):                                          `Resource is not a text, nor an array of texts`,
		document("Allow", `"*"`, `""`):                                            `a text of Resource has 0 bytes`,
		document("Allow", `"*"`, `"app"`):                                         `a Resource is no ARN`,
		document("Allow", `"*"`, `"arn:aws:rds-db:*:*:dbuser:*/${aws:username}"`): `policy variables (${...}) in Resource are not supported`,
		document("Allow", `"*"`, `"`+strings.Repeat("*", 3000)+`"`):               `a text of Resource has 3000 bytes`,
		strings.Repeat(" ", 70000):                                                "policy: more than 65536 bytes",
		"{\"Statement\":\"\xff\"}":                                                "policy: is not a JSON object",
	} {
		_, err := iam.ParsePolicy([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v, want %s", text, err, want)
		}
	}
}

func FuzzPolicy(f *testing.F) {
	f.Add(document("Allow", `["rds-db:*","s3:?"]`, `["arn:aws:rds-db:*:*:dbuser:*","*"]`), arnApp)
	f.Add(`{"Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`, "")
	f.Add(document("Allow", `"*"`, `"arn:`+strings.Repeat("*?", 500)+`"`), arnApp)
	f.Fuzz(func(t *testing.T, text, arn string) {
		p, err := iam.ParsePolicy([]byte(text))
		if err != nil {
			return
		}
		if len(arn) < 4096 && p.AllowsConnect(arn) && !strings.Contains(text, "Allow") {
			t.Errorf("allowed by %q", text)
		}
	})
}
