// SPDX-License-Identifier: Apache-2.0

package config

import "strings"

// Field describes one setting for people.
type Field struct {
	// Path as in a file, with [] for each entry of a list.
	Path string
	// Type in words.
	Type string
	// Default as one would write it, or in words; empty when there is none.
	Default string
	// Allowed is "low to high" or the known words, separated by commas; empty when anything of the type goes.
	Allowed string
	// Env and Flag are the environment variable and the flag (without hyphens in front); empty inside of lists. Lists and
	// sections have no flag.
	Env, Flag string
	Reload    Reload
	Help      string
}

// Reference lists every setting in the order of the documents.
func Reference() []Field {
	return appendReference(nil, root, true)
}

func appendReference(list []Field, n *node, outside bool) []Field {
	for _, c := range n.children {
		f := Field{Path: c.path, Type: c.kind.String(), Default: c.def, Allowed: c.allowed(), Reload: c.reload, Help: c.help}
		if c.derived != "" {
			f.Default = c.derived
		}
		if outside && c.kind != kindSection {
			f.Env = c.env()
			if c.kind != kindList {
				f.Flag = c.flag()
			}
		}
		list = append(list, f)
		list = appendReference(list, c, outside && c.kind != kindList)
	}
	return list
}

func (n *node) allowed() string {
	switch {
	case n.allow == "":
		return ""
	case n.words == nil:
		return n.rangeText()
	}
	var text strings.Builder
	text.WriteString(n.words[0])
	for _, w := range n.words[1:] {
		text.WriteString(", " + w)
	}
	return text.String()
}
