// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// kind is the shape of a setting's value.
type kind uint8

const (
	kindText kind = iota
	kindBool
	kindNumber
	kindDuration
	kindTexts     // list of text
	kindNetworks  // list of netip.Prefix
	kindAddresses // list of Address, each host:port
	kindAddress   // host:port, or a mapping with host and port
	kindSection   // a fixed mapping
	kindList      // a list of sections
)

func (k kind) String() string {
	return [...]string{
		"text", "true or false", "number", "duration", "list of text", "list of networks",
		"list of host:port", "host:port, or mapping with host and port", "section", "list",
	}[k]
}

// node is a setting as the readers see it: the struct's shape joined with its row of the table.
type node struct {
	field
	name     string
	kind     kind
	index    int     // of the struct field in its parent
	children []*node // of a section, or of each section of a list
	words    []string
	low      int64 // of a number, or of a duration in nanoseconds; high < low means unchecked
	high     int64
}

// root is the tree of all settings. It is built from constants, so a failure is a mistake of this package that every test
// would meet.
var root = buildSchema()

func buildSchema() *node {
	rows := make(map[string]field, len(fields))
	for _, f := range fields {
		if _, twice := rows[f.path]; twice {
			panic("config: two rows for " + f.path)
		}
		rows[f.path] = f
	}
	n := &node{kind: kindSection, children: childNodes(reflect.TypeFor[Config](), "", rows)}
	if len(rows) != 0 {
		panic(fmt.Sprintf("config: rows without a struct field: %v", rows))
	}
	return n
}

// childNodes takes the rows that it uses out of the map.
func childNodes(t reflect.Type, prefix string, rows map[string]field) []*node {
	var nodes []*node
	for i := range t.NumField() {
		sf := t.Field(i)
		name := sf.Tag.Get("config")
		row, ok := rows[prefix+name]
		if !ok {
			panic("config: no row for " + prefix + name)
		}
		delete(rows, prefix+name)
		n := &node{field: row, name: name, index: i, kind: kindOf(sf.Type), high: -1}
		switch n.kind {
		case kindSection:
			n.children = childNodes(sf.Type, row.path+".", rows)
		case kindList:
			n.children = childNodes(sf.Type.Elem(), row.path+"[].", rows)
		case kindText:
			if row.allow != "" {
				n.words = strings.Split(row.allow, "|")
			}
		case kindNumber, kindDuration:
			n.setRange()
		}
		nodes = append(nodes, n)
	}
	return nodes
}

func kindOf(t reflect.Type) kind {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return kindDuration
	case reflect.TypeFor[Address]():
		return kindAddress
	case reflect.TypeFor[[]string]():
		return kindTexts
	case reflect.TypeFor[[]netip.Prefix]():
		return kindNetworks
	case reflect.TypeFor[[]Address]():
		return kindAddresses
	}
	switch t.Kind() {
	case reflect.String:
		return kindText
	case reflect.Bool:
		return kindBool
	case reflect.Int:
		return kindNumber
	case reflect.Struct:
		return kindSection
	case reflect.Slice:
		return kindList
	}
	panic("config: no kind for " + t.String())
}

func (n *node) setRange() {
	low, high, ok := strings.Cut(n.allow, "..")
	if !ok {
		panic("config: no range for " + n.path)
	}
	n.low, n.high = n.mustScalar(low), n.mustScalar(high)
}

func (n *node) mustScalar(text string) int64 {
	if n.kind == kindDuration {
		d, err := time.ParseDuration(text)
		if err != nil {
			panic(err)
		}
		return int64(d)
	}
	v, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return int64(v)
}

// child finds a setting of a section by its name.
func (n *node) child(name string) *node {
	i := slices.IndexFunc(n.children, func(c *node) bool { return c.name == name })
	if i < 0 {
		return nil
	}
	return n.children[i]
}

// names of the settings in a section.
func (n *node) names() []string {
	names := make([]string, len(n.children))
	for i, c := range n.children {
		names[i] = c.name
	}
	return names
}

// leaves calls f for each setting outside of lists that has a value of its own, lists themselves included.
func (n *node) leaves(f func(*node)) {
	for _, c := range n.children {
		if c.kind == kindSection {
			c.leaves(f)
			continue
		}
		f(c)
	}
}
