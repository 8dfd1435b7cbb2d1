// SPDX-License-Identifier: Apache-2.0

package myclient

import (
	"fmt"
	"slices"
	"strings"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// results reads the reply to a query or an execution: one or several results.
func (c *Conn) results(binary bool, file string) (lines []string, err error) {
	for {
		more, status, err := c.result(binary, file)
		lines = append(lines, more...)
		if err != nil || !status.Has(wire.StatusMoreResults) {
			return lines, err
		}
	}
}

// result reads one result.
func (c *Conn) result(binary bool, file string) (lines []string, status wire.Status, err error) {
	payload, err := c.readPacket()
	if err != nil {
		return nil, 0, err
	}
	switch wire.ReplyOf(payload) {
	case wire.ReplyOK:
		line, o, err := c.okLine("ok", payload)
		return []string{line}, o.Status, err
	case wire.ReplyError:
		return c.errorReply(payload)
	case wire.ReplyLocalInfile:
		return c.sendFile(string(payload[1:]), file)
	case wire.ReplyColumns:
	default:
		return nil, 0, fmt.Errorf("a reply begins with %q", payload)
	}
	n, metadata, ok := wire.ParseColumnCount(payload, c.Capabilities)
	if !ok {
		return nil, 0, fmt.Errorf("count of columns %q", payload)
	}
	lines = append(lines, fmt.Sprintf("columns %d", n))
	if metadata {
		if lines, err = c.columns(lines, n); err != nil {
			return lines, 0, err
		}
	}
	var middle wire.Status
	if !c.Capabilities.Has(wire.ClientDeprecateEOF) {
		line, o, err := c.end()
		if lines = append(lines, line); err != nil || o.Status.Has(wire.StatusCursorExists) {
			return lines, o.Status, err
		}
		middle = o.Status
	}
	lines, status, err = c.rows(lines, n, binary)
	// Behind OUT parameters, MySQL says only here that more comes.
	return lines, status | middle&wire.StatusMoreResults, err
}

// sendFile answers the request for a file.
func (c *Conn) sendFile(name, file string) ([]string, wire.Status, error) {
	lines := []string{"file " + name}
	if file != "" {
		if err := c.writePacket([]byte(file)); err != nil {
			return lines, 0, err
		}
	}
	if err := c.writePacket(nil); err != nil {
		return lines, 0, err
	}
	more, status, err := c.result(false, "")
	return append(lines, more...), status, err
}

func (c *Conn) errorReply(payload []byte) ([]string, wire.Status, error) {
	e, ok := wire.ParseError(payload)
	if !ok {
		return nil, 0, fmt.Errorf("error packet %q", payload)
	}
	return []string{errorLine(e)}, 0, nil
}

func errorLine(e *wire.Error) string {
	return fmt.Sprintf("error %d %s %q", e.Code, e.State, e.Message)
}

// columns reads n definitions.
func (c *Conn) columns(lines []string, n int) ([]string, error) {
	for range n {
		payload, err := c.readPacket()
		if err != nil {
			return lines, err
		}
		d, ok := wire.ParseColumn(payload, c.Capabilities)
		if !ok {
			return lines, fmt.Errorf("column definition %q", payload)
		}
		line := fmt.Sprintf("column %q %q.%q(%q).%q type %#x length %d flags %#x collation %d decimals %d",
			d.Name, d.Schema, d.Table, d.OrgTable, d.OrgName, byte(d.Type), d.Length, d.Flags, d.Collation, d.Decimals)
		if len(d.Extended)+len(d.Rest) > 0 {
			line += fmt.Sprintf(" %q %q", d.Extended, d.Rest)
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// end reads the packet behind definitions.
func (c *Conn) end() (string, wire.OK, error) {
	payload, err := c.readPacket()
	if err != nil {
		return "", wire.OK{}, err
	}
	o, ok := wire.ParseEOF(payload)
	if !ok {
		return "", wire.OK{}, fmt.Errorf("packet %q behind definitions", payload)
	}
	return fmt.Sprintf("eof %s warnings %d", statusText(o.Status), o.Warnings), o, nil
}

// rows reads rows up to their end.
func (c *Conn) rows(lines []string, n int, binary bool) ([]string, wire.Status, error) {
	for {
		payload, err := c.readPacket()
		if err != nil {
			return lines, 0, err
		}
		if len(payload) == 0 {
			return lines, 0, fmt.Errorf("an empty packet for a row")
		}
		switch {
		case payload[0] == wire.HeadErr:
			more, status, err := c.errorReply(payload)
			return append(lines, more...), status, err
		case payload[0] == wire.HeadEOF && len(payload) < wire.MaxPayload:
			line, o, err := c.endLine(payload)
			return append(lines, line), o.Status, err
		case binary:
			lines = append(lines, fmt.Sprintf("row %q", payload))
		default:
			line, err := textRow(payload, n)
			if lines = append(lines, line); err != nil {
				return lines, 0, err
			}
		}
	}
}

func textRow(payload []byte, n int) (string, error) {
	var b strings.Builder
	b.WriteString("row")
	r := wire.ReadTextRow(payload)
	for {
		v, ok := r.Next()
		if !ok {
			break
		}
		n--
		if v == nil {
			b.WriteString(" NULL")
		} else {
			fmt.Fprintf(&b, " %q", v)
		}
	}
	if r.Malformed() || n != 0 {
		return b.String(), fmt.Errorf("row %q", payload)
	}
	return b.String(), nil
}

func (c *Conn) endLine(payload []byte) (string, wire.OK, error) {
	if c.Capabilities.Has(wire.ClientDeprecateEOF) {
		return c.okLine("end", payload)
	}
	o, ok := wire.ParseEOF(payload)
	if !ok {
		return "", o, fmt.Errorf("end of rows %q", payload)
	}
	return fmt.Sprintf("end %s warnings %d", statusText(o.Status), o.Warnings), o, nil
}

// okLine tells an OK packet.
func (c *Conn) okLine(what string, payload []byte) (string, wire.OK, error) {
	o, ok := wire.ParseOK(payload, c.Capabilities)
	if !ok {
		return "", o, fmt.Errorf("OK packet %q", payload)
	}
	line := fmt.Sprintf("%s affected %d id %d %s warnings %d %q", what, o.AffectedRows, o.InsertID, statusText(o.Status), o.Warnings, o.Info)
	if tracks, err := trackText(o.Track); err != nil {
		return line, o, err
	} else if tracks != "" {
		line += " " + tracks
	}
	return line, o, nil
}

// trackText tells a block of session tracking. Its entries are sorted: servers send
// variables in the order of their own tables.
func trackText(block []byte) (string, error) {
	var out []string
	t := wire.ReadTracks(block)
	for {
		typ, data, ok := t.Next()
		if !ok {
			break
		}
		if typ != wire.TrackVariables {
			out = append(out, fmt.Sprintf("track %d %q", typ, data))
			continue
		}
		v := wire.ReadVariables(data)
		for {
			name, value, ok := v.Next()
			if !ok {
				break
			}
			out = append(out, fmt.Sprintf("track %s=%q", name, value))
		}
		if v.Malformed() {
			return "", fmt.Errorf("tracked variables %q", data)
		}
	}
	if t.Malformed() {
		return "", fmt.Errorf("session tracking %q", block)
	}
	slices.Sort(out)
	return strings.Join(out, " "), nil
}

// statusNames are in the order of the bits.
var statusNames = [...]string{
	"trans", "autocommit", "2", "more", "nogoodindex", "noindex", "cursor", "last", "dbdropped", "nobackslash", "metadata",
	"slow", "outparams", "readonly", "changed", "ansiquotes",
}

func statusText(s wire.Status) string {
	var names []string
	for i, n := range statusNames {
		if s&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	return "[" + strings.Join(names, " ") + "]"
}
