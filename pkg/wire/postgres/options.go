// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"fmt"
	"strings"
)

// ParseOptions reads the command line that a client gives in the start-up parameter "options" and returns the settings
// it makes, in order. They apply ahead of the other settings of the packet.
//
// It splits and reads the line as a PostgreSQL server does: words end at white space unless a backslash stands in front
// of it; "-c name=value" and "--name=value" set a parameter, minus signs in a name standing for underscores; switches
// of one letter may share a word; the older switches ("-e", "-S 64MB", "-f s") are settings with another spelling. The
// error is the one that PostgreSQL has, ready to be sent. Whether a parameter exists, and may be set, is for the
// database to say.
func ParseOptions(line string) ([]Setting, error) {
	p := optionParser{words: splitOptions(line)}
	for {
		word, ok := p.next()
		if !ok || word == "--" {
			break
		}
		if len(word) < 2 || word[0] != '-' {
			return nil, errArgument(word)
		}
		if err := p.cluster(word); err != nil {
			return nil, err
		}
	}
	if rest, ok := p.next(); ok { // behind "--"
		return nil, errArgument(rest)
	}
	return p.settings, nil
}

// splitOptions cuts a line into words. A word can be empty: a lone backslash at the end makes one.
func splitOptions(line string) []string {
	var words []string
	for i := 0; i < len(line); {
		if isSpace(line[i]) {
			i++
			continue
		}
		var word []byte
		escaped := false
		for ; i < len(line) && (escaped || !isSpace(line[i])); i++ {
			if !escaped && line[i] == '\\' {
				escaped = true
				continue
			}
			escaped = false
			word = append(word, line[i])
		}
		words = append(words, string(word))
	}
	return words
}

func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }

type optionParser struct {
	words    []string
	settings []Setting
}

func (p *optionParser) next() (string, bool) {
	if len(p.words) == 0 {
		return "", false
	}
	w := p.words[0]
	p.words = p.words[1:]
	return w, true
}

// cluster reads one word of switches: "-c", "-cname=value", "-eF", "--name=value". Each turn uses up a letter.
func (p *optionParser) cluster(word string) error {
	for i := 1; i < len(word); i++ {
		sw := word[i]
		if fixed, ok := plainSwitches[sw]; ok {
			if fixed.Name != "" {
				p.settings = append(p.settings, fixed)
			}
			continue
		}
		if strings.IndexByte(argumentSwitches, sw) < 0 {
			return errArgument(word)
		}
		// The argument is the rest of this word or, if there is none, the next one.
		arg, ok := word[i+1:], true
		if arg == "" {
			arg, ok = p.next()
		}
		if !ok {
			return errArgument(word)
		}
		return p.argument(sw, arg, word)
	}
	return nil
}

// plainSwitches are the switches without an argument and what each sets. Those without a name are accepted by the
// server and mean nothing to a session.
var plainSwitches = map[byte]Setting{
	'b': {}, // binary upgrade: only from a real command line
	'E': {},
	'e': {"datestyle", "euro"},
	'F': {"fsync", "false"},
	'i': {"listen_addresses", "*"},
	'j': {},
	'l': {"ssl", "true"},
	'n': {},
	'O': {"allow_system_table_mods", "true"},
	'P': {"ignore_system_indexes", "true"},
	's': {"log_statement_stats", "true"},
	'T': {},
}

// argumentSwitches are the switches with an argument.
const argumentSwitches = "-BCDNSWcdfhkprtv"

// valueSwitches are those of them whose argument is the value of a parameter.
var valueSwitches = map[byte]string{
	'B': "shared_buffers",
	'N': "max_connections",
	'S': "work_mem",
	'W': "post_auth_delay",
	'h': "listen_addresses",
	'k': "unix_socket_directories",
	'p': "port",
}

func (p *optionParser) argument(sw byte, arg, word string) error {
	switch sw {
	case 'c', '-':
		return p.assignment(sw, arg)
	case 'd':
		p.debug(arg)
	case 'f', 't':
		name, value := planSwitch(arg), "false"
		if sw == 't' {
			name, value = statSwitch(arg), "true"
		}
		if name == "" {
			return errArgument(word)
		}
		p.settings = append(p.settings, Setting{name, value})
	case 'C', 'D', 'r', 'v': // only from a real command line
	default:
		p.settings = append(p.settings, Setting{valueSwitches[sw], arg})
	}
	return nil
}

// assignment reads name=value. An empty name is refused at once: PgBouncer's CVE-2026-107349 was a loop that did not
// get past one.
func (p *optionParser) assignment(sw byte, arg string) error {
	name, value, found := strings.Cut(arg, "=")
	if !found {
		form := "-c %s requires a value"
		if sw == '-' {
			form = "--%s requires a value"
		}
		return Fatal(CodeSyntaxError, fmt.Sprintf(form, arg))
	}
	if name == "" {
		return Fatal(CodeUndefinedObject, `unrecognized configuration parameter ""`)
	}
	p.settings = append(p.settings, Setting{strings.ReplaceAll(name, "-", "_"), value})
	return nil
}

// planSwitch reads the argument of -f, of which only the first letter counts. It returns the parameter's name, or
// nothing.
func planSwitch(arg string) string {
	if arg == "" {
		return ""
	}
	switch arg[0] {
	case 's':
		return "enable_seqscan"
	case 'i':
		return "enable_indexscan"
	case 'o':
		return "enable_indexonlyscan"
	case 'b':
		return "enable_bitmapscan"
	case 't':
		return "enable_tidscan"
	case 'n':
		return "enable_nestloop"
	case 'm':
		return "enable_mergejoin"
	case 'h':
		return "enable_hashjoin"
	}
	return ""
}

// statSwitch reads the argument of -t: "pa…" for the parser, "pl…" for the planner, "e…" for the executor.
func statSwitch(arg string) string {
	switch {
	case strings.HasPrefix(arg, "pa"):
		return "log_parser_stats"
	case strings.HasPrefix(arg, "pl"):
		return "log_planner_stats"
	case strings.HasPrefix(arg, "e"):
		return "log_executor_stats"
	}
	return ""
}

// debug reads the argument of -d, a level from 0 to 5.
func (p *optionParser) debug(arg string) {
	level := 0
	for i := 0; i < len(arg) && '0' <= arg[i] && arg[i] <= '9' && level < 6; i++ {
		level = level*10 + int(arg[i]-'0')
	}
	value := "notice"
	if level > 0 {
		value = fmt.Sprintf("debug%d", level)
	}
	p.settings = append(p.settings, Setting{"log_min_messages", value})
	for _, s := range []struct {
		from int
		Setting
	}{
		{1, Setting{"log_connections", "true"}},
		{1, Setting{"log_disconnections", "true"}},
		{2, Setting{"log_statement", "all"}},
		{3, Setting{"debug_print_parse", "true"}},
		{4, Setting{"debug_print_plan", "true"}},
		{5, Setting{"debug_print_rewritten", "true"}},
	} {
		if level >= s.from {
			p.settings = append(p.settings, s.Setting)
		}
	}
}

func errArgument(word string) *Error {
	return Fatal(CodeSyntaxError, "invalid command-line argument for server process: "+word).
		WithHint(`Try "postgres --help" for more information.`)
}
