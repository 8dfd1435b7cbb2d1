// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// The notation of packets in transcripts. Packets are separated by " | ", words may
// be Go strings. "word"*n repeats a string.
//
//	client  Query sql, Prepare sql, InitDB name, Ping, Quit, Statistics, ResetConnection,
//	        Execute id [cursor] [types=hex] [null=hex] [value=string], Fetch id n, Close id, Reset id,
//	        LongData id param data, SetOption n, Kill id, FieldList table, Command code bytes
//	server  OK, End, EOF with words such as rows=1 id=2 warn=1 tx more cursor last noauto schema=x var=name:value
//	        changed, Err code text, Cols names, Def name, Row values, Prepared id params cols, File name, Text string
//	both    Data bytes (a packet), Raw bytes (no header), Seq n (of the next packet)
//
// The sequence ids of a line run from 0 for clients, from 1 for servers.

// encoder builds packets from the notation.
type encoder struct {
	out  []byte
	seq  byte
	caps wire.Capabilities
}

var errNotation = errors.New("what does this mean?")

// splitWords splits a line into messages of words.
func splitWords(line string) (msgs [][]string, err error) {
	var msg []string
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimLeft(line, " ") {
		if line[0] == '|' {
			msgs, msg = append(msgs, msg), nil
			line = line[1:]
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		if i := strings.IndexByte(word, '"'); i >= 0 {
			prefix := line[:i]
			quoted, err := strconv.QuotedPrefix(line[i:])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", line, err)
			}
			rest = line[i+len(quoted):]
			text, _ := strconv.Unquote(quoted)
			if strings.HasPrefix(rest, "*") {
				var count string
				count, rest, _ = strings.Cut(rest[1:], " ")
				n, err := strconv.Atoi(count)
				if err != nil {
					return nil, err
				}
				text = strings.Repeat(text, n)
			}
			word = prefix + text
		}
		msg = append(msg, word)
		line = rest
	}
	return append(msgs, msg), nil
}

// encode builds what a line of a client (seq 0) or server (seq 1) says.
func encode(line string, seq byte, caps wire.Capabilities) ([]byte, error) {
	msgs, err := splitWords(line)
	if err != nil {
		return nil, err
	}
	e := &encoder{seq: seq, caps: caps}
	for _, m := range msgs {
		if len(m) == 0 {
			return nil, errNotation
		}
		if seq == 0 && m[0] != "Data" && m[0] != "Raw" && m[0] != "Seq" {
			e.seq = 0
		}
		if err := e.message(m[0], m[1:]); err != nil {
			return nil, fmt.Errorf("%s: %w", m[0], err)
		}
	}
	return e.out, nil
}

func (e *encoder) packet(payload []byte) {
	e.out = wire.AppendPacket(e.out, e.seq, payload)
	e.seq += byte(wire.Packets(len(payload)))
}

func (e *encoder) number(w []string, i int) uint64 {
	if i >= len(w) {
		return 0
	}
	n, err := strconv.ParseUint(w[i], 0, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func (e *encoder) message(name string, w []string) error {
	arg := func(i int) string {
		if i < len(w) {
			return w[i]
		}
		return ""
	}
	switch name {
	case "Data":
		e.packet([]byte(arg(0)))
	case "Raw":
		e.out = append(e.out, arg(0)...)
	case "Seq":
		e.seq = byte(e.number(w, 0))
	case "OK", "End", "EOF":
		return e.ok(name, w)
	case "Err":
		e.one(wire.AppendError(nil, e.seq, e.caps, wire.NewError(uint16(e.number(w, 0)), arg(1))))
	case "Cols":
		e.one(wire.AppendColumnCount(nil, e.seq, e.caps, len(w), true))
		for _, c := range w {
			e.one(wire.AppendColumn(nil, e.seq, e.caps, &wire.Column{Name: []byte(c)}))
		}
	case "Def":
		e.one(wire.AppendColumn(nil, e.seq, e.caps, &wire.Column{Name: []byte(arg(0))}))
	case "Row":
		var values [][]byte
		for _, v := range w {
			values = append(values, []byte(v))
		}
		e.packet(wire.AppendTextRow(nil, 0, values...)[wire.HeaderLen:])
	case "Prepared":
		e.one(wire.AppendPrepared(nil, e.seq, e.caps, wire.Prepared{
			ID: uint32(e.number(w, 0)), Params: uint16(e.number(w, 1)), Columns: uint16(e.number(w, 2)), Metadata: true,
		}))
	case "File":
		e.packet(append([]byte{wire.HeadLocalInfile}, arg(0)...))
	case "Text":
		e.packet([]byte(arg(0)))
	default:
		return e.command(name, w, arg)
	}
	return nil
}

func (e *encoder) one(p []byte) {
	e.out = append(e.out, p...)
	e.seq++
}

func (e *encoder) ok(name string, w []string) error {
	o := wire.OK{Status: wire.StatusAutocommit}
	for _, word := range w {
		key, value, _ := strings.Cut(word, "=")
		n, _ := strconv.ParseUint(value, 10, 64)
		switch key {
		case "rows":
			o.AffectedRows = n
		case "id":
			o.InsertID = n
		case "warn":
			o.Warnings = uint16(n)
		case "tx":
			o.Status |= wire.StatusInTrans
		case "more":
			o.Status |= wire.StatusMoreResults
		case "cursor":
			o.Status |= wire.StatusCursorExists
		case "last":
			o.Status |= wire.StatusLastRowSent
		case "noauto":
			o.Status &^= wire.StatusAutocommit
		case "info":
			o.Info = []byte(value)
		case "schema":
			o.Track = wire.AppendTrackValue(o.Track, wire.TrackSchema, value)
		case "var":
			v, value, _ := strings.Cut(value, ":")
			o.Track = wire.AppendTrackVariable(o.Track, v, value)
		case "changed":
			o.Track = wire.AppendTrackValue(o.Track, wire.TrackState, "1")
		case "chars":
			o.Track = wire.AppendTrackValue(o.Track, wire.TrackCharacteristics, value)
		case "trx":
			o.Track = wire.AppendTrackValue(o.Track, wire.TrackTransaction, value)
		default:
			return errNotation
		}
	}
	switch name {
	case "OK":
		e.one(wire.AppendOK(nil, e.seq, e.caps, o))
	case "End":
		e.one(wire.AppendResultEnd(nil, e.seq, e.caps, o))
	default:
		e.one(wire.AppendEOF(nil, e.seq, o.Status, o.Warnings))
	}
	return nil
}

func (e *encoder) command(name string, w []string, arg func(int) string) error {
	id := func() uint32 { return uint32(e.number(w, 0)) }
	var p []byte
	switch name {
	case "Query":
		p = wire.AppendQuery(nil, e.caps, arg(0))
	case "Prepare":
		p = wire.AppendCommand(nil, wire.ComStmtPrepare, arg(0))
	case "InitDB":
		p = wire.AppendCommand(nil, wire.ComInitDB, arg(0))
	case "FieldList":
		p = wire.AppendCommand(nil, wire.ComFieldList, arg(0)+"\x00")
	case "Ping":
		p = wire.AppendCommand(nil, wire.ComPing, "")
	case "Quit":
		p = wire.AppendCommand(nil, wire.ComQuit, "")
	case "Statistics":
		p = wire.AppendCommand(nil, wire.ComStatistics, "")
	case "ResetConnection":
		p = wire.AppendCommand(nil, wire.ComResetConnection, "")
	case "SetOption":
		p = wire.AppendSetOption(nil, uint16(e.number(w, 0)))
	case "Kill":
		p = wire.AppendIDCommand(nil, wire.ComProcessKill, id())
	case "Close":
		p = wire.AppendIDCommand(nil, wire.ComStmtClose, id())
	case "Reset":
		p = wire.AppendIDCommand(nil, wire.ComStmtReset, id())
	case "Fetch":
		p = append(wire.AppendHeader(nil, 9, 0), wire.AppendIDCommand(nil, wire.ComStmtFetch, id())[4:]...)
		p = append(p, byte(e.number(w, 1)), 0, 0, 0)
	case "LongData":
		payload := wire.AppendIDCommand(nil, wire.ComStmtSendLongData, id())[4:]
		payload = append(payload, byte(e.number(w, 1)), 0)
		p = wire.AppendPacket(nil, 0, append(payload, arg(2)...))
	case "ChangeUser":
		p = append([]byte{byte(wire.ComChangeUser)}, arg(0)...)
		p = append(append(p, 0, 0), arg(1)...)
		p = wire.AppendPacket(nil, 0, append(p, 0, 0, 0))
	case "Execute":
		p = e.execute(id(), w[1:])
	case "Command":
		p = wire.AppendCommand(nil, wire.Command(e.number(w, 0)), arg(1))
	default:
		return errNotation
	}
	e.out = append(e.out, p...)
	e.seq = byte(wire.Packets(len(p) - wire.HeaderLen))
	return nil
}

func (e *encoder) execute(id uint32, w []string) []byte {
	payload := wire.AppendIDCommand(nil, wire.ComStmtExecute, id)[4:]
	var flags byte
	var tail []byte
	for _, word := range w {
		key, value, _ := strings.Cut(word, "=")
		raw, _ := hex.DecodeString(value)
		switch key {
		case "cursor":
			flags = wire.CursorReadOnly
		case "null":
			tail = append(tail, raw...)
		case "types":
			tail = append(append(tail, 1), raw...)
		case "notypes":
			tail = append(tail, 0)
		case "value":
			tail = wire.AppendLenencString(tail, value)
		}
	}
	payload = append(payload, flags, 1, 0, 0, 0)
	return wire.AppendPacket(nil, 0, append(payload, tail...))
}

// decode gives the packets of p in the notation, with their sequence ids.
func decode(p []byte, client bool, caps wire.Capabilities) string {
	var out []string
	cont := false
	for len(p) > 0 {
		payload, seq, rest, ok := wire.CutPacket(p)
		if !ok {
			out = append(out, fmt.Sprintf("%d bytes: %s", len(p), brief(p)))
			break
		}
		text := ""
		switch {
		case cont:
			text = "…" + brief(payload)
		case len(payload) == 0:
			text = "Empty"
		case client:
			text = decodeReply(payload, caps)
		default:
			text = decodeCommand(payload, caps)
		}
		cont = len(payload) == wire.MaxPayload
		out = append(out, fmt.Sprintf("%d:%s", seq, text))
		p = rest
	}
	return strings.Join(out, " | ")
}

// brief shows bytes, in short if they are many.
func brief(p []byte) string {
	const most = 120
	if len(p) <= most {
		q := strconv.Quote(string(p))
		return q
	}
	return fmt.Sprintf("%q…[%d bytes, %08x]", p[:20], len(p), crc32.ChecksumIEEE(p))
}

func decodeCommand(p []byte, caps wire.Capabilities) string {
	kind := wire.Command(p[0])
	name := strings.ReplaceAll(strings.TrimPrefix(kind.String(), "COM_"), "_", " ")
	switch kind {
	case wire.ComQuery:
		at, _, err := wire.QueryText(p, len(p), caps)
		if err != nil {
			return "Query, malformed"
		}
		return "Query " + brief(p[at:])
	case wire.ComStmtClose, wire.ComStmtReset, wire.ComProcessKill, wire.ComStmtExecute, wire.ComStmtFetch,
		wire.ComStmtSendLongData, wire.ComStmtBulkExecute:
		id, ok := wire.StatementID(p)
		if !ok {
			break
		}
		if len(p) == 5 {
			return fmt.Sprintf("%s %d", name, id)
		}
		return fmt.Sprintf("%s %d %s", name, id, brief(p[5:]))
	}
	if len(p) == 1 {
		return name
	}
	return name + " " + brief(p[1:])
}

func decodeReply(p []byte, caps wire.Capabilities) string {
	switch p[0] {
	case wire.HeadErr:
		e, ok := wire.ParseError(p)
		if ok {
			return fmt.Sprintf("Err %d %s %q", e.Code, e.State, e.Message)
		}
	case wire.HeadEOF:
		if plugin, salt, ok := wire.ParseAuthSwitch(p); ok && strings.HasSuffix(plugin, "_password") {
			return fmt.Sprintf("AuthSwitch %s %q", plugin, salt)
		}
		if o, ok := wire.ParseEOF(p); ok && !caps.Has(wire.ClientDeprecateEOF) {
			return "EOF" + decodeOK(o)
		}
		if o, ok := wire.ParseOK(p, caps); ok && len(p) < wire.MaxPayload {
			return "End" + decodeOK(o)
		}
	case wire.HeadOK:
		if len(p) == 12 {
			if r, ok := wire.ParsePrepared(p, caps); ok {
				return fmt.Sprintf("Prepared %d params=%d cols=%d", r.ID, r.Params, r.Columns)
			}
		}
		if o, ok := wire.ParseOK(p, caps); ok {
			return "OK" + decodeOK(o)
		}
	case wire.HeadLocalInfile:
		return "File " + brief(p[1:])
	}
	if c, ok := wire.ParseColumn(p, caps); ok && strings.HasPrefix(string(p), "\x03def") {
		return "Def " + string(c.Name)
	}
	if len(p) == 1 {
		return "Count " + strconv.Itoa(int(p[0]))
	}
	row := wire.ReadTextRow(p)
	text := "Row"
	for {
		v, ok := row.Next()
		if !ok {
			break
		}
		text += " " + brief(v)
	}
	if row.Malformed() {
		return "? " + brief(p)
	}
	return text
}

func decodeOK(o wire.OK) (text string) {
	if o.AffectedRows != 0 {
		text += fmt.Sprintf(" rows=%d", o.AffectedRows)
	}
	if o.InsertID != 0 {
		text += fmt.Sprintf(" id=%d", o.InsertID)
	}
	if o.Warnings != 0 {
		text += fmt.Sprintf(" warn=%d", o.Warnings)
	}
	for _, f := range []struct {
		bit  wire.Status
		name string
	}{
		{wire.StatusInTrans, "tx"},
		{wire.StatusMoreResults, "more"},
		{wire.StatusCursorExists, "cursor"},
		{wire.StatusLastRowSent, "last"},
		{wire.StatusSessionChanged, "track"},
	} {
		if o.Status.Has(f.bit) {
			text += " " + f.name
		}
	}
	if !o.Status.Has(wire.StatusAutocommit) {
		text += " noauto"
	}
	if len(o.Info) > 0 {
		text += fmt.Sprintf(" info=%q", o.Info)
	}
	if len(o.Track) > 0 {
		tracks := wire.ReadTracks(o.Track)
		for {
			typ, data, ok := tracks.Next()
			if !ok {
				break
			}
			text += fmt.Sprintf(" %d:%q", typ, data)
		}
	}
	return text
}
