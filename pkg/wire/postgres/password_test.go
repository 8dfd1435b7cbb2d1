// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

func TestParsePassword(t *testing.T) {
	const size = "FATAL: invalid password packet size (SQLSTATE 08P01)"
	for body, want := range map[string]string{
		"secret\x00": "secret", "\x00": "", "": size, "secret": size, "sec\x00ret\x00": size, "secret\x00\x00": size,
	} {
		got, err := postgres.ParsePassword([]byte(body))
		if string(got)+text(err) != want {
			t.Errorf("%q: %q, %v", body, got, err)
		}
	}
}

func TestParseSASLInitialResponse(t *testing.T) {
	const (
		str    = "FATAL: invalid string in message (SQLSTATE 08P01)"
		little = "FATAL: insufficient data left in message (SQLSTATE 08P01)"
		format = "FATAL: invalid message format (SQLSTATE 08P01)"
	)
	for body, want := range map[string]string{
		"M\x00\x00\x00\x00\x03abc":            "M|abc",
		"M\x00\x00\x00\x00\x00":               "M|",
		"\x00\x00\x00\x00\x01x":               "|x",
		"M\x00\xff\xff\xff\xff":               "M|nil",
		"M\x00\xff\xff\xff\xffabc":            format,
		"M\x00\xff\xff\xff\xfeabc":            little,
		"M\x00\x80\x00\x00\x00abc":            little,
		"M\x00\x00\x00\x00\x04abc":            little,
		"M\x00\x00\x00\x00\x02abc":            format,
		"M\x00\x00\x00\x00":                   little,
		"M\x00":                               little,
		"M":                                   str,
		"":                                    str,
		strings.Repeat("M", 100) + "\x00\x00": little,
	} {
		mechanism, message, err := postgres.ParseSASLInitialResponse([]byte(body))
		got := mechanism + "|" + string(message)
		if message == nil {
			got = mechanism + "|nil"
		}
		if err != nil {
			got = text(err)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", body, got, want)
		}
	}
}

func FuzzParseSASLInitialResponse(f *testing.F) {
	f.Add([]byte("SCRAM-SHA-256\x00\x00\x00\x00\x03n,,"))
	f.Add([]byte("SCRAM-SHA-256\x00\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, body []byte) {
		mechanism, message, err := postgres.ParseSASLInitialResponse(body)
		if err != nil {
			return
		}
		again, err := (&pgproto3.SASLInitialResponse{AuthMechanism: mechanism, Data: message}).Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		if message != nil && string(again[5:]) != string(body) {
			t.Fatalf("%q became %q", body, again[5:])
		}
	})
}
