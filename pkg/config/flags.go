// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"strings"

	"github.com/spf13/pflag"
)

// AddFlags adds one flag per setting outside of lists. Options.Flags then takes the set after it was parsed.
func AddFlags(fs *pflag.FlagSet) {
	root.leaves(func(n *node) {
		if n.kind == kindList {
			return
		}
		f := fs.VarPF(&flagValue{node: n}, n.flag(), "", n.usage())
		if n.kind == kindBool {
			f.NoOptDefVal = "true"
		}
	})
}

// flag is the name of the flag of a setting outside of lists.
func (n *node) flag() string {
	return strings.NewReplacer(".", "-", "_", "-").Replace(n.path)
}

// usage is the help sentence in the form that --help wants.
func (n *node) usage() string {
	text := strings.ToLower(n.help[:1]) + strings.TrimSuffix(n.help[1:], ".")
	if strings.HasPrefix(n.help, "TCP") || strings.HasPrefix(n.help, "SQL") {
		text = strings.TrimSuffix(n.help, ".")
	}
	switch {
	case n.def != "" && n.kind != kindBool:
		text += " (default " + n.def + ")"
	case n.derived != "":
		text += " (default: " + n.derived + ")"
	}
	return text
}

// flagValue is a flag's text, checked when it is set so that a bad one is a usage error.
type flagValue struct {
	*node
	text string
}

// String implements pflag.Value. The default is told by the usage text.
func (f *flagValue) String() string { return f.text }

// Set implements pflag.Value.
func (f *flagValue) Set(text string) error {
	c := newCollector()
	if _, ok := c.text(f.node, "", text); !ok {
		p := c.problems[0]
		return errors.New(p.What + "; " + p.Do)
	}
	f.text = text
	return nil
}

// Type implements pflag.Value.
func (f *flagValue) Type() string {
	switch f.kind {
	case kindBool:
		return "bool"
	case kindNumber:
		return "int"
	case kindDuration:
		return "duration"
	case kindTexts, kindNetworks:
		return "list"
	}
	return "string"
}

// flags reads the settings given on the command line.
func (c *collector) flags(fs *pflag.FlagSet) []setting {
	var settings []setting
	fs.Visit(func(f *pflag.Flag) {
		v, ours := f.Value.(*flagValue)
		if !ours {
			return
		}
		if value, ok := c.text(v.node, "--"+f.Name, v.text); ok {
			settings = append(settings, setting{v.path, value})
		}
	})
	return settings
}
