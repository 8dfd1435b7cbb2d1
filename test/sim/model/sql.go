// SPDX-License-Identifier: Apache-2.0

package model

import (
	"strconv"
	"strings"
)

// verb is what a statement does.
type verb uint8

const (
	vEmpty   verb = iota
	vSyntax       // the parser refuses it
	vNowhere      // the analysis refuses it
	vState        // select sim_state('mark')
	vRows         // select sim_row('mark', i) from generate_series(1,n) i
	vSleep        // select sim_sleep('mark')
	vFail         // select sim_fail('mark')
	vInsert       // insert into sim_log values ('mark')
	vBegin
	vCommit
	vRollback
	vSet      // set name = 'value'
	vSetLocal // set local name = 'value'
	vReset    // reset name
	vResetAll
	vSetConfig // the proxy's own: select pg_catalog.set_config(…), …
	vDiscardAll
	vDiscardSequences
	vPrepare // prepare name as statement
	vExecute // execute name, or execute name('mark')
	vDeallocate
	vDeallocateAll
	vListen
	vUnlisten // *
	vNotify   // notify channel, 'payload'
	vTemp     // create temp table name (a int)
	vLock     // select pg_advisory_lock(n)
	vUnlock   // select pg_advisory_unlock_all()
	vCopyIn   // copy sim_copy from stdin
	vCopyView // copy sim_view from stdin, which fails after CopyInResponse
	vCopyOut  // copy (select sim_row('mark', i) from generate_series(1,n) i) to stdout
	vNotice   // do $$ begin raise notice 'mark'; end $$
	vDefine   // create or replace function …
)

// statement is a parsed statement.
type statement struct {
	verb verb
	// arg is the mark, the name or the value; args more of that.
	arg, arg2 string
	n         int
	// param: the mark is the parameter $1.
	param bool
	body  *statement // of PREPARE
}

// returnsRows tells whether Describe gives columns.
func (s *statement) returnsRows() bool {
	switch s.verb {
	case vState, vRows, vSleep, vFail, vLock, vUnlock, vSetConfig:
		return true
	}
	return false
}

// ends tells whether it may run in a failed transaction.
func (s *statement) ends() bool { return s.verb == vCommit || s.verb == vRollback }

// split cuts a text into its statements, as the server does.
func split(text string) (list []string) {
	start, quote := 0, byte(0)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quote == '$':
			if c == '$' && i+1 < len(text) && text[i+1] == '$' {
				quote = 0
				i++
			}
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '$' && i+1 < len(text) && text[i+1] == '$':
			quote = '$'
			i++
		case c == '-' && strings.HasPrefix(text[i:], "--"):
			return append(list, text[start:i])
		case c == ';':
			list = append(list, text[start:i])
			start = i + 1
		}
	}
	return append(list, text[start:])
}

// unquote gives what stands between the first and the last quote.
func unquote(s string) string {
	i, j := strings.IndexByte(s, '\''), strings.LastIndexByte(s, '\'')
	if i < 0 || i == j {
		return s
	}
	return strings.ReplaceAll(s[i+1:j], "''", "'")
}

// mark reads a mark: 'text' or $1.
func (s *statement) mark(text string) {
	if strings.HasPrefix(text, "$1") {
		s.param = true
		return
	}
	if text[0] == '\'' {
		if j := strings.IndexByte(text[1:], '\''); j >= 0 {
			s.arg = text[1 : j+1]
		}
	}
}

// forms are the statements with something in them that varies.
var forms = []struct {
	prefix string
	parse  func(s *statement, rest string)
}{
	{"select sim_state(", func(s *statement, rest string) { s.verb = vState; s.mark(rest) }},
	{"select sim_row(", func(s *statement, rest string) { s.verb = vRows; s.series(rest) }},
	{"select sim_sleep(", func(s *statement, rest string) { s.verb = vSleep; s.mark(rest) }},
	{"select sim_fail(", func(s *statement, rest string) { s.verb = vFail; s.mark(rest) }},
	{"insert into sim_log values (", func(s *statement, rest string) { s.verb = vInsert; s.mark(rest) }},
	{"set local ", func(s *statement, rest string) { s.verb = vSetLocal; s.assign(rest) }},
	{"set ", func(s *statement, rest string) { s.verb = vSet; s.assign(rest) }},
	{"reset ", func(s *statement, rest string) { s.verb, s.arg = vReset, rest }},
	{"RESET ", func(s *statement, rest string) { s.verb, s.arg = vReset, strings.ReplaceAll(rest, `"`, "") }},
	{"SELECT pg_catalog.set_config(", func(s *statement, rest string) { s.verb, s.arg = vSetConfig, rest }},
	{"execute ", func(s *statement, rest string) {
		name, mark, _ := strings.Cut(rest, "(")
		s.verb, s.arg, s.arg2 = vExecute, name, unquote(mark)
	}},
	{"deallocate ", func(s *statement, rest string) { s.verb, s.arg = vDeallocate, rest }},
	{"listen ", func(s *statement, rest string) { s.verb, s.arg = vListen, rest }},
	{"notify ", func(s *statement, rest string) {
		s.verb = vNotify
		s.arg, s.arg2, _ = strings.Cut(rest, ", ")
		s.arg2 = unquote(s.arg2)
	}},
	{"create temp table ", func(s *statement, rest string) {
		s.verb = vTemp
		s.arg, _, _ = strings.Cut(rest, " ")
	}},
	{"select pg_advisory_lock(", func(s *statement, rest string) { s.verb, s.arg = vLock, rest }},
	{"copy (select sim_row(", func(s *statement, rest string) { s.verb = vCopyOut; s.series(rest) }},
	{"do $$ begin raise notice ", func(s *statement, rest string) { s.verb = vNotice; s.mark(rest) }},
	{"create or replace function ", func(s *statement, _ string) { s.verb = vDefine }},
	{"select nothing from ", func(s *statement, _ string) { s.verb = vNowhere }},
}

// fixed are the statements in which nothing varies.
var fixed = map[string]verb{
	"": vEmpty, "begin": vBegin, "commit": vCommit, "rollback": vRollback, "ROLLBACK": vRollback,
	"reset all": vResetAll, "discard all": vDiscardAll, "DISCARD ALL": vDiscardAll,
	"DISCARD SEQUENCES": vDiscardSequences, "deallocate all": vDeallocateAll, "unlisten *": vUnlisten,
	"select pg_advisory_unlock_all()": vUnlock, "copy sim_copy from stdin": vCopyIn,
	"copy sim_view from stdin": vCopyView,
}

func (s *statement) assign(rest string) {
	name, value, _ := strings.Cut(rest, " = ")
	s.arg, s.arg2 = name, unquote(value)
}

// series reads sim_row's arguments and the number of rows.
func (s *statement) series(rest string) {
	s.mark(rest)
	if _, n, ok := strings.Cut(rest, "generate_series(1,"); ok {
		n, _, _ = strings.Cut(n, ")")
		s.n, _ = strconv.Atoi(n)
	}
}

// parse reads one statement.
func parse(text string) *statement {
	if i := strings.Index(text, " --"); i >= 0 {
		text = text[:i]
	}
	text = strings.TrimSpace(text)
	if v, ok := fixed[text]; ok {
		return &statement{verb: v}
	}
	if rest, ok := strings.CutPrefix(text, "prepare "); ok {
		name, body, _ := strings.Cut(rest, " as ")
		return &statement{verb: vPrepare, arg: name, body: parse(body)}
	}
	for i := range forms {
		if rest, ok := strings.CutPrefix(text, forms[i].prefix); ok {
			s := new(statement)
			forms[i].parse(s, rest)
			return s
		}
	}
	return &statement{verb: vSyntax}
}

// configs reads the calls of set_config behind the first opening parenthesis.
func configs(text string) (list [][2]string) {
	for {
		name, rest := literal(text)
		if rest == "" {
			return list
		}
		value, rest := literal(strings.TrimPrefix(rest, ","))
		list = append(list, [2]string{name, value})
		_, next, ok := strings.Cut(rest, "set_config(")
		if !ok {
			return list
		}
		text = next
	}
}

// literal reads a string constant.
func literal(text string) (value, rest string) {
	if text == "" || text[0] != '\'' {
		return "", ""
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		if text[i] != '\'' {
			b.WriteByte(text[i])
			continue
		}
		if i+1 < len(text) && text[i+1] == '\'' {
			b.WriteByte('\'')
			i++
			continue
		}
		return b.String(), text[i+1:]
	}
	return "", ""
}
