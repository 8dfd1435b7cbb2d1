// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

// builds is one call of each builder, with what pgx makes of the same message.
var builds = []struct {
	name  string
	build func(dst []byte) []byte
	same  pgproto3.Message
}{
	{
		"ReadyForQuery", func(d []byte) []byte { return postgres.AppendReadyForQuery(d, postgres.TxFailed) },
		&pgproto3.ReadyForQuery{TxStatus: 'E'},
	},
	{
		"ParameterStatus", func(d []byte) []byte { return postgres.AppendParameterStatus(d, "TimeZone", "UTC") },
		&pgproto3.ParameterStatus{Name: "TimeZone", Value: "UTC"},
	},
	{
		"BackendKeyData", func(d []byte) []byte { return postgres.AppendBackendKeyData(d, 7, []byte{1, 2, 3, 4}) },
		&pgproto3.BackendKeyData{ProcessID: 7, SecretKey: []byte{1, 2, 3, 4}},
	},
	{
		"BackendKeyData, long", func(d []byte) []byte { return postgres.AppendBackendKeyData(d, 7, key256) },
		&pgproto3.BackendKeyData{ProcessID: 7, SecretKey: key256},
	},
	{"ParseComplete", postgres.AppendParseComplete, &pgproto3.ParseComplete{}},
	{"BindComplete", postgres.AppendBindComplete, &pgproto3.BindComplete{}},
	{"CloseComplete", postgres.AppendCloseComplete, &pgproto3.CloseComplete{}},
	{"NoData", postgres.AppendNoData, &pgproto3.NoData{}},
	{"EmptyQueryResponse", postgres.AppendEmptyQueryResponse, &pgproto3.EmptyQueryResponse{}},
	{
		"CommandComplete", func(d []byte) []byte { return postgres.AppendCommandComplete(d, "DISCARD ALL") },
		&pgproto3.CommandComplete{CommandTag: []byte("DISCARD ALL")},
	},
	{"AuthenticationOk", postgres.AppendAuthenticationOK, &pgproto3.AuthenticationOk{}},
	{
		"AuthenticationCleartextPassword", postgres.AppendAuthenticationCleartextPassword,
		&pgproto3.AuthenticationCleartextPassword{},
	},
	{
		"AuthenticationMD5Password",
		func(d []byte) []byte { return postgres.AppendAuthenticationMD5Password(d, [4]byte{9, 8, 7, 6}) },
		&pgproto3.AuthenticationMD5Password{Salt: [4]byte{9, 8, 7, 6}},
	},
	{
		"AuthenticationSASL", func(d []byte) []byte { return postgres.AppendAuthenticationSASL(d, []string{"A", "B"}) },
		&pgproto3.AuthenticationSASL{AuthMechanisms: []string{"A", "B"}},
	},
	{
		"AuthenticationSASLContinue",
		func(d []byte) []byte { return postgres.AppendAuthenticationSASLContinue(d, []byte("r=x")) },
		&pgproto3.AuthenticationSASLContinue{Data: []byte("r=x")},
	},
	{
		"AuthenticationSASLFinal",
		func(d []byte) []byte { return postgres.AppendAuthenticationSASLFinal(d, []byte("v=x")) },
		&pgproto3.AuthenticationSASLFinal{Data: []byte("v=x")},
	},
	{
		"Query", func(d []byte) []byte { return postgres.AppendQuery(d, "select 1") },
		&pgproto3.Query{String: "select 1"},
	},
	{
		"Parse", func(d []byte) []byte { return postgres.AppendParse(d, []byte("s"), []byte("select $1"), nil) },
		&pgproto3.Parse{Name: "s", Query: "select $1"},
	},
	{"Parse with types", func(d []byte) []byte {
		return postgres.AppendParse(d, []byte("s"), []byte("select $1"), []byte{0, 1, 0, 0, 0, 23})
	}, &pgproto3.Parse{Name: "s", Query: "select $1", ParameterOIDs: []uint32{23}}},
	{
		"Close", func(d []byte) []byte { return postgres.AppendClose(d, postgres.ObjectPortal, "p") },
		&pgproto3.Close{ObjectType: 'P', Name: "p"},
	},
	{
		"Describe", func(d []byte) []byte { return postgres.AppendDescribe(d, postgres.ObjectStatement, "s") },
		&pgproto3.Describe{ObjectType: 'S', Name: "s"},
	},
	{"Sync", postgres.AppendSync, &pgproto3.Sync{}},
	{"Flush", postgres.AppendFlush, &pgproto3.Flush{}},
	{"Terminate", postgres.AppendTerminate, &pgproto3.Terminate{}},
	{
		"CopyFail", func(d []byte) []byte { return postgres.AppendCopyFail(d, "why") },
		&pgproto3.CopyFail{Message: "why"},
	},
}

var key256 = bytes.Repeat([]byte{0xa5}, 256)

func TestBuildersAgreeWithPgx(t *testing.T) {
	for _, b := range builds {
		t.Run(b.name, func(t *testing.T) {
			want, err := b.same.Encode([]byte("front"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, b.build([]byte("front"))); diff != "" {
				t.Errorf("(-pgx +ours)\n%s", diff)
			}
		})
	}
}

func TestBuildersDoNotAllocate(t *testing.T) {
	buf := make([]byte, 0, 4096)
	e := &postgres.Error{Severity: "ERROR", Code: "XX000", Message: "m", Detail: "d", Hint: "h"}
	literal := `it's`
	for _, b := range builds {
		if n := testing.AllocsPerRun(100, func() { b.build(buf) }); n != 0 {
			t.Errorf("%s: %v allocations", b.name, n)
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		postgres.AppendErrorResponse(buf, e)
		postgres.AppendNoticeResponse(buf, e)
		postgres.AppendLiteral(buf, literal)
		postgres.AppendIdentifier(buf, literal)
	}); n != 0 {
		t.Errorf("errors and quoting: %v allocations", n)
	}
}

func TestNegotiateProtocolVersion(t *testing.T) {
	got := postgres.AppendNegotiateProtocolVersion(nil, postgres.Version32, []string{"_pq_.a", "_pq_.b"})
	want := "v\x00\x00\x00\x1a\x00\x03\x00\x02\x00\x00\x00\x02_pq_.a\x00_pq_.b\x00"
	if string(got) != want {
		t.Errorf("%q", got)
	}
}

// TestNoStringEscapes: a NUL in a value would turn the rest of the value into protocol.
func TestNoStringEscapes(t *testing.T) {
	for _, b := range [][]byte{
		postgres.AppendQuery(nil, "a\x00b"),
		postgres.AppendCommandComplete(nil, "a\x00b"),
		postgres.AppendCopyFail(nil, "a\x00b"),
	} {
		if string(b[5:]) != "a\x00" || b[4] != 6 {
			t.Errorf("%q", b)
		}
	}
	got := postgres.AppendErrorResponse(nil, &postgres.Error{Message: "a\x00Cb", Detail: "\x00", Hint: "h\x00i"})
	if want := "SERROR\x00VERROR\x00CXX000\x00Ma\x00D\x00Hh\x00\x00"; string(got[5:]) != want {
		t.Errorf("%q", got)
	}
}

func TestBackendKeyDataLength(t *testing.T) {
	for _, n := range []int{0, 1, 3, 257} {
		if got := postgres.AppendBackendKeyData([]byte("x"), 1, make([]byte, n)); string(got) != "x" {
			t.Errorf("%d bytes: %q", n, got)
		}
	}
}
