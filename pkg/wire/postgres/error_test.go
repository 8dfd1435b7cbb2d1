// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

func TestErrorRoundTrip(t *testing.T) {
	for _, e := range []postgres.Error{
		{Severity: "FATAL", Code: "28P01", Message: "no"},
		{Severity: "ERROR", Code: "40001", Message: "m", Detail: "d", Hint: "h"},
		{Severity: "ERROR", Code: "40001"},
	} {
		p := postgres.AppendErrorResponse(nil, &e)
		got, ok := postgres.ParseErrorResponse(p[postgres.HeaderSize:])
		if diff := cmp.Diff(&e, got); diff != "" || !ok {
			t.Errorf("ok %v (-want +got)\n%s", ok, diff)
		}
		if code := postgres.ErrorCode(p[postgres.HeaderSize:]); string(code) != e.Code {
			t.Errorf("code %q", code)
		}
		var theirs pgproto3.ErrorResponse
		if err := theirs.Decode(p[postgres.HeaderSize:]); err != nil {
			t.Fatal(err)
		}
		if theirs.Severity != e.Severity || theirs.SeverityUnlocalized != e.Severity || theirs.Code != e.Code ||
			theirs.Message != e.Message || theirs.Detail != e.Detail || theirs.Hint != e.Hint {
			t.Errorf("pgx reads %+v", theirs)
		}
	}
}

func TestErrorDefaults(t *testing.T) {
	got := postgres.AppendErrorResponse(nil, &postgres.Error{Message: "m"})
	if want := "E\x00\x00\x00\x1dSERROR\x00VERROR\x00CXX000\x00Mm\x00\x00"; string(got) != want {
		t.Errorf("%q", got)
	}
	got = postgres.AppendNoticeResponse(nil, &postgres.Error{Message: "m"})
	if want := "N\x00\x00\x00\x1fSNOTICE\x00VNOTICE\x00C00000\x00Mm\x00\x00"; string(got) != want {
		t.Errorf("%q", got)
	}
	got = postgres.AppendErrorV2(nil, postgres.UnsupportedVersion(2<<16))
	if want := "EFATAL:  unsupported frontend protocol 2.0: server supports 3.0 to 3.2\n\x00"; string(got) != want {
		t.Errorf("%q", got)
	}
}

func TestParseErrorResponse(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want postgres.Error
		code string
		ok   bool
	}{
		"empty":           {"", postgres.Error{}, "", false},
		"terminator only": {"\x00", postgres.Error{}, "", true},
		"no SQLSTATE":     {"SERROR\x00Mm\x00\x00", postgres.Error{Severity: "ERROR", Message: "m"}, "", true},
		"V before S": {
			"VFATAL\x00SSCHLIMM\x00C57P01\x00\x00",
			postgres.Error{Severity: "FATAL", Code: "57P01"},
			"57P01", true,
		},
		"V behind S":     {"SSCHLIMM\x00VFATAL\x00\x00", postgres.Error{Severity: "FATAL"}, "", true},
		"S only":         {"SFATAL\x00\x00", postgres.Error{Severity: "FATAL"}, "", true},
		"unknown fields": {"?x\x00\xffy\x00C1\x00\x00", postgres.Error{Code: "1"}, "1", true},
		"doubled":        {"Ma\x00Mb\x00Cc\x00Cd\x00\x00", postgres.Error{Code: "c", Message: "a"}, "c", true},
		"no terminator":  {"Ma\x00", postgres.Error{Message: "a"}, "", false},
		"cut value":      {"Ma\x00Cb", postgres.Error{Message: "a"}, "", false},
		"cut field":      {"Ma\x00C", postgres.Error{Message: "a"}, "", false},
		"more behind it": {"Ma\x00\x00Cb\x00", postgres.Error{Message: "a"}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := postgres.ParseErrorResponse([]byte(c.body))
			if diff := cmp.Diff(&c.want, got); diff != "" || ok != c.ok {
				t.Errorf("ok %v (-want +got)\n%s", ok, diff)
			}
			if code := postgres.ErrorCode([]byte(c.body)); string(code) != c.code {
				t.Errorf("code %q", code)
			}
		})
	}
}

// TestErrorTextIsOneLine: the text of a peer cannot forge a line of a log.
func TestErrorTextIsOneLine(t *testing.T) {
	e := &postgres.Error{Severity: "ERROR", Message: "a\r\nFAKE\u2028 \x1b[31m\xff"}
	if s := e.Error(); strings.ContainsAny(s, "\r\n\x1b\u2028") || !utf8.ValidString(s) {
		t.Errorf("%q", s)
	}
}

func TestErrorCopies(t *testing.T) {
	e := postgres.Fatal("XX000", "m")
	d := e.WithDetail("d").WithHint("h")
	if e.Detail != "" || e.Hint != "" || d.Detail != "d" || d.Hint != "h" || d.Message != "m" || !d.IsFatal() {
		t.Errorf("%+v %+v", e, d)
	}
}

func TestParseCommandTag(t *testing.T) {
	for _, c := range []struct {
		body, name string
		rows       uint64
		ok         bool
	}{
		{"SELECT 5\x00", "SELECT", 5, true},
		{"INSERT 0 7\x00", "INSERT", 7, true},
		{"INSERT 16384 1\x00", "INSERT", 1, true},
		{"CREATE TABLE\x00", "CREATE TABLE", 0, true},
		{"CREATE TABLE AS 3\x00", "CREATE TABLE AS", 3, true},
		{"DISCARD ALL\x00", "DISCARD ALL", 0, true},
		{"COPY 18446744073709551615\x00", "COPY 18446744073709551615", 0, true}, // more digits than are taken
		{"COPY 9223372036854775807\x00", "COPY", 9223372036854775807, true},
		{"SELECT -1\x00", "SELECT -1", 0, true},
		{"1 2 3 4\x00", "1 2", 4, true},
		{"5\x00", "5", 0, true},
		{"SELECT \x00", "SELECT ", 0, true},
		{"\x00", "", 0, true},
		{"", "", 0, false},
		{"SELECT 5", "", 0, false},
		{"SELECT 5\x00x", "", 0, false},
	} {
		tag, ok := postgres.ParseCommandTag([]byte(c.body))
		if string(tag.Name) != c.name || tag.Rows != c.rows || ok != c.ok {
			t.Errorf("%q: %q %d %v", c.body, tag.Name, tag.Rows, ok)
		}
	}
	body := []byte("INSERT 0 7\x00")
	if n := testing.AllocsPerRun(100, func() { _, _ = postgres.ParseCommandTag(body) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParseErrorResponse(f *testing.F) {
	f.Add([]byte("SERROR\x00VERROR\x00C42601\x00Mm\x00Dd\x00Hh\x00\x00"))
	f.Add([]byte("Ma\x00C"))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, ok := postgres.ParseErrorResponse(body)
		_ = e.Error()
		if code := postgres.ErrorCode(body); ok && string(code) != e.Code && len(code) != 0 {
			t.Fatalf("%q and %q", code, e.Code)
		}
		// What was read and written again reads the same.
		if again, ok := postgres.ParseErrorResponse(postgres.AppendErrorResponse(nil, e)[5:]); !ok || again.Message != e.Message {
			t.Fatalf("%+v became %+v", e, again)
		}
	})
}

func FuzzParseCommandTag(f *testing.F) {
	f.Add([]byte("INSERT 0 7\x00"))
	f.Add([]byte("COPY 99999999999999999999\x00"))
	f.Fuzz(func(t *testing.T, body []byte) {
		tag, ok := postgres.ParseCommandTag(body)
		if len(tag.Name) > len(body) || !ok && (tag.Name != nil || tag.Rows != 0) {
			t.Fatalf("%+v %v", tag, ok)
		}
	})
}
