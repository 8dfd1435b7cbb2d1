// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// name is a name of a prepared statement, "" rarely.
func (c *Client) name() string { return pick(c, "s0", "s1", "s2", "s3", "s4") }

func (c *Client) portal() string { return pick(c, "", "", "", "p0", "p1") }

// batch makes up a batch of the extended protocol.
func (c *Client) batch(status byte) {
	for range 1 + c.r.IntN(4) {
		switch n := c.r.IntN(100); {
		case n < 30:
			c.unnamed(status)
		case n < 45:
			c.define(status)
		case n < 75:
			c.useNamed()
		case n < 80:
			c.say("close")
			if c.chance(0.5) {
				name := c.name()
				delete(c.text, name)
				c.message('C', "S"+name+"\x00")
			} else {
				c.message('C', "P"+c.portal()+"\x00")
			}
		case n < 84:
			c.say("execute again")
			c.execute(c.portal())
		case n < 87:
			c.say("flush")
			c.message('H', "")
		case n < 89:
			if text := c.text[""]; text != copying {
				c.say("bind unnamed")
				c.bind("", "", text)
				c.execute("")
			}
		case n < 90:
			c.say("close unnamed")
			delete(c.text, "")
			c.message('C', "S\x00")
		case n < 92:
			c.say("describe unknown")
			c.message('D', "Ps"+c.portal()+"\x00")
		case n < 94:
			c.say("close unknown")
			c.message('C', "Snever\x00")
		case n < 96:
			delete(c.text, "")
			c.query(c.texts(status))
		default:
			c.unnamed(status)
		}
	}
	c.say("sync")
	c.message('S', "")
}

// wanted is a text for a prepared statement.
func (c *Client) wanted(status byte) string {
	if c.chance(0.75) {
		return pick(c, shared[:]...)
	}
	return c.statement(status, false)
}

func (c *Client) parse(name, text string) {
	c.say("parse %q %s", name, text)
	c.message('P', name+"\x00"+text+"\x00\x00\x00")
	c.text[name] = text
}

func (c *Client) bind(portal, name, text string) {
	c.say("bind %q %q", portal, name)
	body := portal + "\x00" + name + "\x00\x00\x00"
	if strings.Contains(text, "$1") {
		m := c.mark()
		if text == shared[1] {
			c.unit.Marks = append(c.unit.Marks, m)
		}
		if c.chance(0.005) {
			m += fmt.Sprintf("%017000d", 0) // longer than what is held
		}
		body += "\x00\x01" + string(binary.BigEndian.AppendUint32(nil, uint32(len(m)))) + m
	} else {
		body += "\x00\x00"
	}
	c.message('B', body+"\x00\x00")
}

func (c *Client) execute(portal string) {
	limit := 0
	if c.chance(0.2) {
		limit = 1 + c.r.IntN(4)
	}
	c.say("execute %q %d", portal, limit)
	c.message('E', portal+"\x00"+string(binary.BigEndian.AppendUint32(nil, uint32(limit))))
}

// unnamed prepares and executes without names.
func (c *Client) unnamed(status byte) {
	text := c.wanted(status)
	c.parse("", text)
	if c.chance(0.2) {
		c.message('D', "S\x00")
	}
	portal := c.portal()
	c.bind(portal, "", text)
	if c.chance(0.5) {
		c.message('D', "P"+portal+"\x00")
	}
	c.execute(portal)
}

// define prepares under a name.
func (c *Client) define(status byte) {
	name := c.name()
	if c.chance(0.5) {
		delete(c.text, name)
		c.say("close %s", name)
		c.message('C', "S"+name+"\x00")
	}
	text := c.wanted(status)
	c.parse(name, text)
	if c.chance(0.5) && strings.HasPrefix(text, "select") {
		c.message('D', "S"+name+"\x00")
	}
	if c.chance(0.5) {
		c.bind("", name, text)
		c.execute("")
	}
}

// useNamed executes a statement with a name.
func (c *Client) useNamed() {
	name := c.name()
	text, known := c.text[name]
	if !known && c.chance(0.8) {
		text = pick(c, shared[:]...)
		c.parse(name, text)
	}
	portal := c.portal()
	c.bind(portal, name, text)
	if c.chance(0.3) {
		c.message('D', "P"+portal+"\x00")
	}
	c.execute(portal)
	if portal != "" && c.chance(0.5) {
		c.say("close portal")
		c.message('C', "P"+portal+"\x00")
	}
}

// copying is what is believed of the unnamed statement when it is a COPY, which
// must not be executed without its data.
const copying = "copy"

// copyIn makes up a COPY to the server.
func (c *Client) copyIn() {
	target := pick(c, "sim_copy", "sim_copy", "sim_copy", "sim_copy", "sim_view", "sim_nowhere")
	text := "copy " + target + " from stdin"
	if target == "sim_nowhere" {
		text = "select nothing from sim_nowhere"
	}
	simple := c.chance(0.5)
	syncAhead := c.chance(0.5)
	if simple {
		c.query(text)
	} else {
		c.text[""] = copying
		c.say("parse, bind, execute %s", text)
		c.message('P', "\x00"+text+"\x00\x00\x00")
		c.message('B', "\x00\x00\x00\x00\x00\x00\x00\x00")
		c.message('E', "\x00\x00\x00\x00\x00")
	}
	interactive := c.chance(0.6)
	if !simple && (interactive || syncAhead) || simple && c.chance(0.1) {
		c.say("sync ahead")
		c.message('S', "")
	}
	if interactive {
		c.cut()
	}
	c.data()
	if !simple {
		c.say("sync")
		c.message('S', "")
	}
}

// data makes up the data of a COPY and its end.
func (c *Client) data() {
	for range c.r.IntN(6) {
		switch n := c.r.IntN(40); {
		case n == 0:
			c.say("bad data")
			c.message('d', "x\n")
		case n == 1:
			c.message('H', "")
		default:
			c.message('d', "1\n")
		}
	}
	if c.chance(0.15) {
		c.say("copy fail")
		c.message('f', "no\x00")
		return
	}
	c.say("copy done")
	c.message('c', "")
}
