// SPDX-License-Identifier: Apache-2.0

package config

import (
	"regexp"
	"slices"
	"strings"
)

const (
	// EnvPrefix begins the name of every environment variable that is read.
	EnvPrefix = "RDSPROXY_"
	// EnvFile names the configuration file for the command line. It is not a setting.
	EnvFile = EnvPrefix + "CONFIG"
)

// serviceLink matches the variables that Kubernetes puts into each container of a namespace for a Service whose name begins
// with "rdsproxy". They are nobody's settings.
var serviceLink = regexp.MustCompile(
	`^RDSPROXY_(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// env is the environment variable of a setting outside of lists.
func (n *node) env() string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(n.path, ".", "_"))
}

// setting is a value from the environment or a flag, with the path it belongs to.
type setting struct {
	path  string
	value any
}

// environment reads the variables (each NAME=value) that are settings. An empty value is as good as none. A list of sections
// is given as YAML and takes the place of the whole list in the file.
func (c *collector) environment(environ []string) []setting {
	known := map[string]*node{}
	var names []string
	root.leaves(func(n *node) {
		known[n.env()] = n
		names = append(names, n.env())
	})
	var settings []setting
	environ = slices.Sorted(slices.Values(environ))
	for _, e := range environ {
		name, text, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, EnvPrefix) || name == EnvFile || text == "" || serviceLink.MatchString(name) {
			continue
		}
		n := known[name]
		if n == nil {
			c.addAt(quoteName(name), "", "unknown environment variable", suggest(name, names))
			continue
		}
		if v, ok := c.text(n, name, text); ok {
			settings = append(settings, setting{n.path, v})
		}
	}
	return settings
}

func quoteName(name string) string {
	if len(name) > maxQuoted {
		name = name[:maxQuoted] + "..."
	}
	return strings.ToValidUTF8(name, "?")
}

// text reads a setting from the one string that an environment variable or a flag holds.
func (c *collector) text(n *node, source, text string) (any, bool) {
	c.forget(n.path)
	c.seen(n.path, source)
	r := &reader{collector: c, name: source}
	switch n.kind {
	case kindList:
		if y := r.document([]byte(text)); y != nil {
			return r.value(y, n, n.path)
		}
		return nil, false
	case kindTexts:
		return splitList(text), true
	case kindNetworks:
		return r.networks(splitList(text), n.path)
	}
	v, t := n.scalar(text)
	if t.found() {
		c.add(n.path, t.what, t.do)
		return nil, false
	}
	return v, true
}

// forget drops the places and problems known of a setting that a later layer replaces.
func (c *collector) forget(path string) {
	for p := range c.sources {
		if strings.HasPrefix(p, path+"[") {
			delete(c.sources, p)
		}
	}
	for p := range c.bad {
		if p == path || strings.HasPrefix(p, path+"[") {
			delete(c.bad, p)
		}
	}
}

// splitList takes a list apart at commas; blanks around the parts and empty parts are dropped.
func splitList(text string) []string {
	var parts []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}
