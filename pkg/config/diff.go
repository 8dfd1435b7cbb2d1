// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"reflect"
	"slices"
)

// Change is a setting that differs between two configurations. It tells where, not what: a value may be private.
type Change struct {
	// Path names entries of lists by their name: "target_groups[orders].init_query", "auth[app]".
	Path string
	// Reload says what becomes of the change when the new configuration takes the old one's place.
	Reload Reload
}

// Diff lists what differs, in the order of the reference. Entries of lists are matched by their name, so their order does
// not matter; an added or removed entry is one change.
func Diff(old, new *Config) []Change {
	return diffSection(nil, root, "", reflect.ValueOf(*old), reflect.ValueOf(*new))
}

// NeedsRestart picks the changes that a reload cannot make.
func NeedsRestart(changes []Change) []Change {
	return slices.DeleteFunc(slices.Clone(changes), func(c Change) bool { return c.Reload != Restart })
}

func diffSection(changes []Change, n *node, path string, old, new reflect.Value) []Change {
	for _, c := range n.children {
		full := join(path, c.name)
		a, b := old.Field(c.index), new.Field(c.index)
		switch c.kind {
		case kindSection:
			changes = diffSection(changes, c, full, a, b)
		case kindList:
			changes = diffList(changes, c, full, a, b)
		case kindTexts, kindNetworks, kindAddresses:
			if (a.Len() > 0 || b.Len() > 0) && !reflect.DeepEqual(a.Interface(), b.Interface()) {
				changes = append(changes, Change{full, c.reload})
			}
		default:
			if a.Interface() != b.Interface() {
				changes = append(changes, Change{full, c.reload})
			}
		}
	}
	return changes
}

func diffList(changes []Change, n *node, path string, old, new reflect.Value) []Change {
	for i := range old.Len() {
		name := entryName(old.Index(i))
		full := fmt.Sprintf("%s[%s]", path, name)
		if j := findEntry(new, name); j >= 0 {
			changes = diffSection(changes, n, full, old.Index(i), new.Index(j))
		} else {
			changes = append(changes, Change{full, n.reload})
		}
	}
	for j := range new.Len() {
		if name := entryName(new.Index(j)); findEntry(old, name) < 0 {
			changes = append(changes, Change{fmt.Sprintf("%s[%s]", path, name), n.reload})
		}
	}
	return changes
}

// entryName is what names an entry of a list: its first field, in each of the lists.
func entryName(v reflect.Value) string { return v.Field(0).String() }

func findEntry(list reflect.Value, name string) int {
	for i := range list.Len() {
		if entryName(list.Index(i)) == name {
			return i
		}
	}
	return -1
}
