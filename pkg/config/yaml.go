// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"go.yaml.in/yaml/v3"
)

// reader turns YAML into the maps and values that the layers are merged from, checking each node against the schema. It
// works on the nodes rather than on decoded values because only they know the line, the literal text (min_version: 1.2 is
// a number to YAML) and keys given twice.
type reader struct {
	*collector
	// name of the text: a file name, or the name of an environment variable.
	name string
	// lines says whether the source of a setting includes its line.
	lines bool
}

// document parses text that holds one YAML document and returns its top node, nil when there is nothing in it.
func (r *reader) document(text []byte) *yaml.Node {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		r.addAt(r.name, "", "is not YAML: "+strings.TrimPrefix(err.Error(), "yaml: "), "mend the syntax")
		r.excuse("")
		return nil
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		r.addAt(r.name, "", "holds more than one YAML document", "remove what follows the line ---")
		r.excuse("")
		return nil
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil
	}
	return doc.Content[0]
}

func (r *reader) at(y *yaml.Node) string {
	if !r.lines {
		return r.name
	}
	return fmt.Sprintf("%s:%d", r.name, y.Line)
}

func isNull(y *yaml.Node) bool { return y.Kind == yaml.ScalarNode && y.Tag == "!!null" }

// isAlias refuses aliases: they save a few lines, and cost the reader of a file and of this code more.
func (r *reader) isAlias(y *yaml.Node, path string) bool {
	if y.Kind != yaml.AliasNode {
		return false
	}
	r.addAt(r.at(y), path, "is a YAML alias, which is not supported here", "write the value out")
	return true
}

// section reads a mapping. The result holds only what is there.
func (r *reader) section(y *yaml.Node, n *node, path string) map[string]any {
	values := map[string]any{}
	if isNull(y) {
		return values
	}
	if r.isAlias(y, path) {
		return values
	}
	if y.Kind != yaml.MappingNode {
		r.addAt(r.at(y), path, "wants settings, one `name: value` each", "use one of "+strings.Join(n.names(), ", "))
		r.excuse(path)
		return values
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, value := y.Content[i], y.Content[i+1]
		full := join(path, key.Value)
		child := r.known(key, n, path)
		switch {
		case child == nil:
		case seen[key.Value]:
			r.addAt(r.at(key), full, "is given twice", "remove one")
		default:
			seen[key.Value] = true
			if v, ok := r.value(value, child, full); ok {
				values[child.name] = v
			}
		}
	}
	return values
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// known finds the setting that a key names. An unknown key is a problem; the setting that was probably meant is not
// reported missing on top of it.
func (r *reader) known(key *yaml.Node, n *node, path string) *node {
	if key.Kind != yaml.ScalarNode {
		r.addAt(r.at(key), path, "holds a key that is not a word", "use one of "+strings.Join(n.names(), ", "))
		return nil
	}
	if key.Tag == "!!merge" {
		r.addAt(r.at(key), path, "holds a YAML merge key, which is not supported here", "write the settings out")
		r.excuse(path)
		return nil
	}
	child := n.child(key.Value)
	if child == nil {
		// The key is a stranger's text: it may be a pasted password, but a key is what the message must name.
		shown := key.Value
		if len(shown) > maxQuoted {
			shown = strings.ToValidUTF8(shown[:maxQuoted], "") + "..."
		}
		r.addAt(r.at(key), fmt.Sprintf("%.200s", join(path, shown)), "unknown key", suggest(key.Value, n.names()))
		if meant := nearest(key.Value, n.names()); meant != "" {
			r.excuse(join(path, meant))
		}
	}
	return child
}

// value reads one setting; false when it is absent or wrong.
func (r *reader) value(y *yaml.Node, n *node, path string) (any, bool) {
	if isNull(y) || r.isAlias(y, path) {
		return nil, false
	}
	r.seen(path, r.at(y))
	switch n.kind {
	case kindSection:
		return r.section(y, n, path), true
	case kindList:
		return r.list(y, n, path)
	case kindTexts:
		texts, ok := r.texts(y, path)
		return texts, ok
	case kindNetworks:
		texts, ok := r.texts(y, path)
		if !ok {
			return nil, false
		}
		return r.networks(texts, path)
	case kindAddresses:
		texts, ok := r.texts(y, path)
		if !ok {
			return nil, false
		}
		return r.addresses(texts, path)
	case kindAddress:
		if y.Kind == yaml.MappingNode {
			return r.address(y, path)
		}
	}
	return r.scalar(y, n, path)
}

func (r *reader) scalar(y *yaml.Node, n *node, path string) (any, bool) {
	text, ok := r.literal(y, path, n.kind.String())
	if !ok {
		return nil, false
	}
	v, t := n.scalar(text)
	if t.found() {
		r.add(path, t.what, t.do)
		return nil, false
	}
	return v, true
}

// literal is the text of a scalar as it was written.
func (r *reader) literal(y *yaml.Node, path, wanted string) (string, bool) {
	if y.Kind != yaml.ScalarNode {
		r.addAt(r.at(y), path, "wants a single value, not a list or a mapping", "write "+wanted)
		return "", false
	}
	switch y.Tag {
	case "!!str", "!!int", "!!float", "!!bool", "!!timestamp":
		return y.Value, true
	}
	r.addAt(r.at(y), path, "has a YAML tag that is not supported here", "remove the tag")
	return "", false
}

// list reads a list of sections. Elements are complete: unset settings have their defaults.
func (r *reader) list(y *yaml.Node, n *node, path string) (any, bool) {
	if y.Kind != yaml.SequenceNode {
		r.addAt(r.at(y), path, "wants a list", "begin each entry with a hyphen")
		return nil, false
	}
	elements := make([]any, 0, len(y.Content))
	for i, e := range y.Content {
		full := fmt.Sprintf("%s[%d]", path, i)
		r.seen(full, r.at(e))
		elements = append(elements, withDefaults(r.section(e, n, full), n))
	}
	return elements, true
}

func (r *reader) texts(y *yaml.Node, path string) ([]string, bool) {
	if y.Kind != yaml.SequenceNode {
		r.addAt(r.at(y), path, "wants a list", "write it like [a, b]")
		return nil, false
	}
	texts := make([]string, 0, len(y.Content))
	for i, e := range y.Content {
		text, ok := r.literal(e, fmt.Sprintf("%s[%d]", path, i), "text")
		if !ok {
			return nil, false
		}
		texts = append(texts, text)
	}
	return texts, true
}

func (r *reader) networks(texts []string, path string) (any, bool) {
	networks := make([]netip.Prefix, 0, len(texts))
	for i, text := range texts {
		p, t := parseNetwork(text)
		if t.found() {
			r.add(fmt.Sprintf("%s[%d]", path, i), t.what, t.do)
			return nil, false
		}
		networks = append(networks, p)
	}
	return networks, true
}

func (r *reader) addresses(texts []string, path string) (any, bool) {
	addresses := make([]Address, 0, len(texts))
	for i, text := range texts {
		a, t := parseAddress(text)
		if t.found() {
			r.add(fmt.Sprintf("%s[%d]", path, i), t.what, t.do)
			return nil, false
		}
		addresses = append(addresses, a.(Address))
	}
	return addresses, true
}

// addressNode is the mapping form of an address.
var addressNode = &node{kind: kindSection, children: []*node{
	{name: "host", kind: kindText},
	{name: "port", kind: kindNumber, field: field{allow: "1..65535"}, low: 1, high: 65535},
}}

func (r *reader) address(y *yaml.Node, path string) (any, bool) {
	before := len(r.problems)
	values := r.section(y, addressNode, path)
	if len(r.problems) > before {
		r.excuse(path)
		return nil, false
	}
	a := Address{Port: defaultPort}
	a.Host, _ = values["host"].(string)
	if p, ok := values["port"].(int); ok {
		a.Port = uint16(p) //nolint:gosec // checked above
	}
	t := refuseURL(a.Host)
	if !t.found() {
		t = checkHost(a.Host)
	}
	if t.found() {
		r.add(join(path, "host"), t.what, t.do)
		r.excuse(path)
		return nil, false
	}
	return a, true
}

// withDefaults adds to a section what is unset and has a default.
func withDefaults(values map[string]any, n *node) map[string]any {
	for _, c := range n.children {
		switch {
		case c.kind == kindSection:
			inner, _ := values[c.name].(map[string]any)
			if inner == nil {
				inner = map[string]any{}
			}
			values[c.name] = withDefaults(inner, c)
		case c.def != "" && values[c.name] == nil:
			values[c.name] = c.fallback()
		}
	}
	return values
}

// fallback is the default of a setting that has one. A default that is wrong is a mistake of this package.
func (n *node) fallback() any {
	v, t := n.scalar(n.def)
	if t.found() {
		panic("config: default of " + n.path + ": " + t.what)
	}
	return v
}
