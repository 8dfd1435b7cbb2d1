// SPDX-License-Identifier: Apache-2.0

package mysql_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

const (
	plain = mysql.Always
	named = mysql.Always | mysql.ClientQueryAttributes
)

// executes are commands and what is known of their statements.
var executes = map[string]struct {
	caps    mysql.Capabilities
	params  int
	payload string
	values  string // at the end of payload
	types   string
}{
	"no parameters": {plain, 0, "\x17\x07\x00\x00\x00\x00\x01\x00\x00\x00", "", ""},
	"types": {
		plain, 2, "\x17\x07\x00\x00\x00\x01\x01\x00\x00\x00" + "\x00\x01" + "\xfd\x00\x08\x80" + "\x02hi\x01\x00\x00\x00\x00\x00\x00\x00",
		"\x02hi\x01\x00\x00\x00\x00\x00\x00\x00", "\xfd\x00\x08\x80",
	},
	"no types": {
		plain, 2, "\x17\x07\x00\x00\x00\x00\x01\x00\x00\x00" + "\x02\x00" + "\x02hi", "\x02hi", "",
	},
	"nine, all NULL": {plain, 9, "\x17\x07\x00\x00\x00\x00\x01\x00\x00\x00" + "\xff\x01\x00", "", ""},
	"an attribute": {
		named, 1, "\x17\x07\x00\x00\x00\x08\x01\x00\x00\x00" + "\x02\x00\x01" + "\x01\x00\x00" + "\xfd\x00\x04name" + "\x09\x05value",
		"\x09\x05value", "\x01\x00\x00\xfd\x00\x04name",
	},
	"attributes of nothing": {named, 0, "\x17\x07\x00\x00\x00\x08\x01\x00\x00\x00" + "\x00", "", ""},
	"bulk": {
		plain, 2, "\xfa\x07\x00\x00\x00\x80\x00" + "\xfd\x00\x03\x00" + "\x00\x01a\x01\x00\x01b\x01", "\x00\x01a\x01\x00\x01b\x01", "\xfd\x00\x03\x00",
	},
	"bulk without types": {plain, 2, "\xfa\x07\x00\x00\x00\x40\x00" + "\x00\x01a\x01", "\x00\x01a\x01", ""},
}

func TestParseExecute(t *testing.T) {
	for name, c := range executes {
		p := []byte(c.payload)
		x, need, err := mysql.ParseExecute(p, len(p), c.caps, c.params)
		if err != nil || need != 0 {
			t.Errorf("%s: %d, %v", name, need, err)
			continue
		}
		if x.ID != 7 || string(x.Types) != c.types || x.HasTypes != (c.types != "") || string(p[x.Values:]) != c.values ||
			x.Bulk != (p[0] == 0xfa) || x.Cursor() != (name == "types") {
			t.Errorf("%s: %+v, values %q", name, x, p[x.Values:])
		}
		if len(c.types) > 0 && !mysql.CheckTypes(x.Types, c.caps, x.Params) {
			t.Errorf("%s: CheckTypes", name)
		}
	}
}

// TestExecuteInPieces: the beginning of a command is enough, and how much is needed is never too much, and told in a few
// steps.
func TestExecuteInPieces(t *testing.T) {
	for name, c := range executes {
		p := []byte(c.payload)
		whole, _, _ := mysql.ParseExecute(p, len(p), c.caps, c.params)
		have, steps := 0, 0
		for {
			x, need, err := mysql.ParseExecute(p[:have:have], len(p), c.caps, c.params)
			if err != nil || need > whole.Values || steps > 12 {
				t.Errorf("%s: %d of %d bytes: need %d, %v", name, have, len(p), need, err)
				break
			}
			if need == 0 {
				if have != whole.Values || x.Values != whole.Values || !bytes.Equal(x.Types, whole.Types) {
					t.Errorf("%s: done with %d bytes of %d: %+v", name, have, whole.Values, x)
				}
				break
			}
			if need <= have {
				t.Fatalf("%s: %d bytes, %d needed", name, have, need)
			}
			have, steps = need, steps+1
		}
		for n := range whole.Values {
			if _, _, err := mysql.ParseExecute(p[:n:n], n, c.caps, c.params); err == nil {
				t.Errorf("%s: %d bytes are a whole command", name, n)
			}
		}
	}
}

// TestExecuteForAnotherServer: the id is replaced, and types are inserted where they are missing.
func TestExecuteForAnotherServer(t *testing.T) {
	for name, c := range executes {
		p := []byte(c.payload)
		x, _, _ := mysql.ParseExecute(p, len(p), c.caps, c.params)
		types := []byte(strings.Repeat("\xfd\x00", x.Params))
		got := payloadOf(t, x.AppendExecute(nil, p, 0x01020304, types), 0)
		y, need, err := mysql.ParseExecute(got, len(got), c.caps, c.params)
		if err != nil || need != 0 || y.ID != 0x01020304 || y.Flags&^mysql.BulkSendTypes != x.Flags&^mysql.BulkSendTypes ||
			y.Params != x.Params || !bytes.Equal(y.Nulls, x.Nulls) || string(got[y.Values:]) != c.values {
			t.Errorf("%s: %+v, %v, from %+v", name, y, err, x)
		}
		if len(got) != len(p)+x.Growth(types) {
			t.Errorf("%s: %d bytes more", name, len(got)-len(p))
		}
		switch {
		case x.Params == 0:
		case c.types != "" && string(y.Types) != c.types, c.types == "" && (!y.HasTypes || !bytes.Equal(y.Types, types)):
			t.Errorf("%s: types %x", name, y.Types)
		}
		if !bytes.Equal(p, []byte(c.payload)) {
			t.Errorf("%s: the payload was changed", name)
		}
	}
}

// TestExecuteBeyondItsEnd: a parameter that claims to be longer than the packet is found (GHSA-r23x-jg5r-jmcc), and so
// are the other lies.
func TestExecuteBeyondItsEnd(t *testing.T) {
	head := "\x17\x07\x00\x00\x00\x00\x01\x00\x00\x00"
	for name, values := range map[string]string{
		"longer than the packet": "\xfd\x00\x04abc",
		"1<<64-1 bytes":          "\xfd\x00\xfe\xff\xff\xff\xff\xff\xff\xff\xff",
		"NULL":                   "\xfd\x00\xfb",
		"no length":              "\xfd\x00",
		"half a number":          "\x08\x00\x00\x00\x00",
		"a date":                 "\x0c\x00\x0b\x01",
		"something behind":       "\x01\x00\x01\x01",
	} {
		p := []byte(head + "\x00\x01" + values)
		x, need, err := mysql.ParseExecute(p, len(p), plain, 1)
		if err != nil || need != 0 {
			t.Errorf("%s: %d, %v", name, need, err)
		}
		if x.CheckValues(p, plain, x.Types, nil) {
			t.Errorf("%s: taken", name)
		}
	}
	for name, c := range map[string]struct {
		caps    mysql.Capabilities
		params  int
		payload string
	}{
		"no bytes":                    {plain, 1, ""},
		"another command":             {plain, 1, "\x03" + head[1:] + "\x00\x00"},
		"no bitmap":                   {plain, 1, head},
		"more parameters than bytes":  {plain, 65535, head + "\x00\x01"},
		"types beyond the end":        {plain, 2, head + "\x00\x01\xfd\x00\xfd"},
		"fewer parameters":            {named, 2, head + "\x01\x00\x00"},
		"1<<32 attributes":            {named, 0, "\x17\x07\x00\x00\x00\x08\x01\x00\x00\x00\xfe\x00\x00\x00\x00\x01\x00\x00\x00"},
		"65536 attributes":            {named, 0, "\x17\x07\x00\x00\x00\x08\x01\x00\x00\x00\xfd\x00\x00\x01"},
		"a name beyond the end":       {named, 1, head + "\x01\x00\x01\xfd\x00\x05abc"},
		"a name of 1<<63 bytes":       {named, 1, head + "\x01\x00\x01\xfd\x00\xfe\x00\x00\x00\x00\x00\x00\x00\x80"},
		"bulk: types beyond the end":  {plain, 2, "\xfa\x07\x00\x00\x00\x80\x00\xfd\x00\xfd"},
		"bulk: ends within its flags": {plain, 2, "\xfa\x07\x00\x00\x00\x80"},
	} {
		x, need, err := mysql.ParseExecute([]byte(c.payload), len(c.payload), c.caps, c.params)
		if e := (*mysql.Error)(nil); !errors.As(err, &e) || e.Code != mysql.CodeMalformedPacket {
			t.Errorf("%s: %+v, need %d, %v", name, x, need, err)
		}
	}
}

// TestExecuteChecksEveryType has one value of each type, and one that COM_STMT_SEND_LONG_DATA has brought.
func TestExecuteChecksEveryType(t *testing.T) {
	types := []byte{}
	values := []byte{}
	add := func(t mysql.Type, value string) {
		types, values = append(types, byte(t), 0), append(values, value...)
	}
	add(mysql.TypeTiny, "1")
	add(mysql.TypeShort, "12")
	add(mysql.TypeYear, "12")
	add(mysql.TypeLong, "1234")
	add(mysql.TypeInt24, "1234")
	add(mysql.TypeFloat, "1234")
	add(mysql.TypeLongLong, "12345678")
	add(mysql.TypeDouble, "12345678")
	add(mysql.TypeNull, "")
	add(mysql.TypeDate, "\x041234")
	add(mysql.TypeDateTime, "\x0b12345678901")
	add(mysql.TypeTimestamp, "\x00")
	add(mysql.TypeTime, "\x0812345678")
	add(mysql.TypeNewDecimal, "\x031.5")
	add(mysql.TypeLongBlob, "") // sent before
	add(mysql.TypeJSON, "\x02{}")
	add(mysql.TypeVector, "\x04\x00\x00\x00\x00")
	n := len(types) / 2
	p := append([]byte("\x17\x07\x00\x00\x00\x00\x01\x00\x00\x00"), make([]byte, (n+7)/8)...)
	p = append(append(append(p, 1), types...), values...)
	x, _, err := mysql.ParseExecute(p, len(p), plain, n)
	sent := func(param int) bool { return types[2*param] == byte(mysql.TypeLongBlob) }
	if err != nil || !x.CheckValues(p, plain, x.Types, sent) {
		t.Error(err, "not taken")
	}
	if x.CheckValues(p, plain, x.Types, nil) || x.CheckValues(p, plain, x.Types[:4], sent) || x.CheckValues(p, plain, nil, sent) {
		t.Error("taken with too few")
	}
	if mysql.CheckTypes(types[:len(types)-1], plain, n) || !mysql.CheckTypes(types, plain, n) || mysql.CheckTypes(types, named, n) {
		t.Error("CheckTypes")
	}
}

func TestQueryText(t *testing.T) {
	const attributes = "\x03\x02\x01\x02\x01" + "\xfd\x00\x03one" + "\x08\x00\x00"
	for name, c := range map[string]struct {
		caps    mysql.Capabilities
		payload string
		want    string
	}{
		"plain":             {plain, "\x03SELECT 1", "SELECT 1"},
		"empty":             {plain, "\x03", ""},
		"no attributes":     {named, "\x03\x00\x01SELECT 1", "SELECT 1"},
		"one, one is NULL":  {named, attributes + "\x03abc" + "SELECT 1", "SELECT 1"},
		"looks like length": {named, "\x03\x01\x01\x00\x01\xfe\x00\x00\xfc\x03\x00abcSELECT 1", "SELECT 1"},
	} {
		p := []byte(c.payload)
		at, need, err := mysql.QueryText(p, len(p), c.caps)
		if err != nil || need != 0 || string(p[at:]) != c.want {
			t.Errorf("%s: %d, %d, %v", name, at, need, err)
		}
		for n := range at {
			_, need, err := mysql.QueryText(p[:n:n], len(p), c.caps)
			if err != nil || need <= n || need > at {
				t.Errorf("%s: %d bytes of %d: need %d, %v", name, n, at, need, err)
			}
			if _, _, err := mysql.QueryText(p[:n:n], n, c.caps); err == nil {
				t.Errorf("%s: %d bytes are a whole command", name, n)
			}
		}
	}
	for name, p := range map[string]string{
		"no bytes":          "",
		"another command":   "\x16\x00\x01SELECT",
		"no sets":           "\x03\x00",
		"two sets":          "\x03\x00\x02SELECT",
		"65536 attributes":  "\x03\xfd\x00\x00\x01\x01SELECT",
		"types left out":    "\x03\x01\x01\x00\x00SELECT 1",
		"value beyond":      "\x03\x01\x01\x00\x01\xfd\x00\x00\x09abc",
		"count that is bad": "\x03\xff\x01",
	} {
		if at, need, err := mysql.QueryText([]byte(p), len(p), named); err == nil {
			t.Errorf("%s: %d, %d", name, at, need)
		}
	}
}

func TestCommands(t *testing.T) {
	for want, got := range map[string][]byte{
		"\x01\x00\x00\x00\x0e":                      mysql.AppendCommand(nil, mysql.ComPing, ""),
		"\x05\x00\x00\x00\x02shop":                  mysql.AppendCommand(nil, mysql.ComInitDB, []byte("shop")),
		"\x05\x00\x00\x00\x03do 1":                  mysql.AppendQuery(nil, plain, "do 1"),
		"\x07\x00\x00\x00\x03\x00\x01do 1":          mysql.AppendQuery(nil, named, []byte("do 1")),
		"\x05\x00\x00\x00\x19\x04\x03\x02\x01":      mysql.AppendIDCommand(nil, mysql.ComStmtClose, 0x01020304),
		"\x03\x00\x00\x00\x1b\x01\x00":              mysql.AppendSetOption(nil, mysql.OptionMultiStatementsOff),
		"x\x05\x00\x00\x00\x0c\xff\xff\xff\xff":     mysql.AppendIDCommand([]byte("x"), mysql.ComProcessKill, 1<<32-1),
		"\x01\x00\x00\x01\x00" + "\x01\x00\x00\x02": mysql.AppendHeader(mysql.AppendPacket(nil, 1, []byte{0}), 1, 2),
	} {
		if string(got) != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	p := mysql.AppendIDCommand(nil, mysql.ComStmtReset, 5)[mysql.HeaderLen:]
	if id, ok := mysql.StatementID(p); id != 5 || !ok || !mysql.PutStatementID(p, 6) || string(p) != "\x1a\x06\x00\x00\x00" {
		t.Errorf("%q", p)
	}
	if _, ok := mysql.StatementID(p[:4]); ok || mysql.PutStatementID(p[:4], 1) {
		t.Error("four bytes are enough")
	}
	for c, want := range map[mysql.Command]string{
		mysql.ComSleep: "COM_SLEEP", mysql.ComQuery: "COM_QUERY", mysql.ComStmtExecute: "COM_STMT_EXECUTE",
		mysql.ComResetConnection: "COM_RESET_CONNECTION", mysql.ComClone: "COM_CLONE",
		mysql.ComStmtBulkExecute: "COM_STMT_BULK_EXECUTE", 0x30: "command 48",
	} {
		if c.String() != want {
			t.Errorf("%d: %s", byte(c), c)
		}
	}
	for c := range 256 {
		c := mysql.Command(c)
		if c.Silent() != (c == mysql.ComQuit || c == mysql.ComStmtClose || c == mysql.ComStmtSendLongData) {
			t.Errorf("%s: silent", c)
		}
	}
}
