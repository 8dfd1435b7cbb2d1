// SPDX-License-Identifier: Apache-2.0

package mysql_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

var salt = []byte("12345678abcdefghijkl")

func TestGreetingsComeBack(t *testing.T) {
	for name, g := range map[string]*mysql.Greeting{
		"MySQL": {
			Version: "8.4.0", ThreadID: 1<<32 - 1, Salt: salt, Collation: 255, Status: mysql.StatusAutocommit,
			Capabilities: mysql.Always | mysql.ClientZstd, Plugin: mysql.PluginCachingSHA2,
		},
		"MariaDB": {
			Version: "5.5.5-11.8.2-MariaDB", Salt: salt, Collation: 45, Plugin: mysql.PluginNative,
			Capabilities: mysql.Always&^mysql.ClientLongPassword | mysql.MariaDBCacheMetadata,
		},
		"long salt":  {Salt: bytes.Repeat([]byte{1}, 200), Capabilities: mysql.Always, Plugin: "x"},
		"no plugin":  {Salt: salt, Capabilities: base41 | mysql.ClientSecureConnection},
		"empty name": {Salt: salt, Capabilities: mysql.Always},
	} {
		got, err := mysql.ParseGreeting(payloadOf(t, mysql.AppendGreeting(nil, 0, g), 0))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(g, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
		if want := name == "MariaDB"; got.MariaDB() != want {
			t.Errorf("%s: MariaDB %v", name, got.MariaDB())
		}
	}
}

// TestServerThatDoesNotGreet: the error comes in the place of the greeting, without a SQLSTATE.
func TestServerThatDoesNotGreet(t *testing.T) {
	_, err := mysql.ParseGreeting([]byte("\xff\x10\x04Too many connections"))
	var e *mysql.Error
	if !errors.As(err, &e) || *e != (mysql.Error{Code: mysql.CodeConCount, Message: "Too many connections"}) {
		t.Errorf("%#v", err)
	}
	for _, p := range []string{"", "\x09old", "\x0a8.0", "SSH-2.0-OpenSSH_9.6", "\xff", "\x0a8.0\x00" + strings.Repeat("\x00", 44)} {
		if g, err := mysql.ParseGreeting([]byte(p)); err == nil {
			t.Errorf("%q: %+v", p, g)
		}
	}
}

func TestAuthSwitch(t *testing.T) {
	p := payloadOf(t, mysql.AppendAuthSwitch(nil, 2, mysql.PluginNative, salt), 2)
	plugin, got, ok := mysql.ParseAuthSwitch(p)
	if plugin != mysql.PluginNative || !bytes.Equal(got, salt) || !ok {
		t.Error(plugin, got, ok)
	}
	for in, want := range map[string]string{
		"\xfe":               mysql.PluginOld + " ",
		"\xfedialog\x00":     "dialog ",
		"\xfex\x00salt":      "x salt",
		"\xfex\x00salt\x00":  "x salt",
		"\xfex\x00a\x00\x00": "x a\x00",
	} {
		if plugin, salt, ok := mysql.ParseAuthSwitch([]byte(in)); !ok || plugin+" "+string(salt) != want {
			t.Errorf("%q: %q, %q, %v", in, plugin, salt, ok)
		}
	}
	for _, in := range []string{"", "\x00", "\xfedialog", "\xfe\x00", "\xfe\x00salt"} {
		if plugin, _, ok := mysql.ParseAuthSwitch([]byte(in)); ok {
			t.Errorf("%q: %q", in, plugin)
		}
	}
}

func TestAuthMoreData(t *testing.T) {
	p := payloadOf(t, mysql.AppendAuthMoreData(nil, 2, []byte{mysql.CachingSHA2FastOK}), 2)
	if data, ok := mysql.ParseAuthMoreData(p); !ok || len(data) != 1 || data[0] != mysql.CachingSHA2FastOK {
		t.Error(data, ok)
	}
	if data, ok := mysql.ParseAuthMoreData([]byte{mysql.HeadMoreData}); !ok || len(data) != 0 {
		t.Error("no data")
	}
	for _, in := range []string{"", "\x00\x03", "\x02plugin"} {
		if _, ok := mysql.ParseAuthMoreData([]byte(in)); ok {
			t.Errorf("%q", in)
		}
	}
}

// TestScrambleLen: an answer of another length must not be looked into (an old server indexed past its end).
func TestScrambleLen(t *testing.T) {
	for plugin, want := range map[string]int{
		mysql.PluginNative: 20, mysql.PluginCachingSHA2: 32, mysql.PluginEd25519: 64, mysql.PluginClear: 0, "": 0,
	} {
		if n, fixed := mysql.ScrambleLen(plugin); n != want || fixed != (want > 0) {
			t.Errorf("%s: %d, %v", plugin, n, fixed)
		}
	}
}

func TestErrors(t *testing.T) {
	e := mysql.NewError(mysql.CodeAccessDenied, "Access denied for user 'ann'@'host'")
	with := payloadOf(t, mysql.AppendError(nil, 2, base41, e), 2)
	if want := "\xff\x15\x04#28000Access denied for user 'ann'@'host'"; string(with) != want {
		t.Errorf("%q", with)
	}
	without := payloadOf(t, mysql.AppendError(nil, 0, 0, e), 0)
	if want := "\xff\x15\x04Access denied for user 'ann'@'host'"; string(without) != want {
		t.Errorf("%q", without)
	}
	if got, ok := mysql.ParseError(with); !ok || *got != *e {
		t.Errorf("%+v", got)
	}
	if got, ok := mysql.ParseError(without); !ok || got.State != "" || got.Message != e.Message {
		t.Errorf("%+v", got)
	}
	odd := mysql.AppendError(nil, 1, base41, &mysql.Error{Code: 65535, State: "too long"})
	if want := "\xff\xff\xff#HY000"; string(odd[4:]) != want {
		t.Errorf("%q", odd)
	}
	for in, want := range map[string]string{
		"\xff\x28\x04#42000no":     "ERROR 1064 (42000): no",
		"\xff\x28\x04#42":          "ERROR 1064: #42",
		"\xff\x28\x04":             "ERROR 1064: ",
		"\xff\x28\x04#\n\n\n\n\na": "ERROR 1064 (     ): a",
		"\xff\x28\x04a\x1b[31m\nb": "ERROR 1064: a [31m b",
	} {
		if got, ok := mysql.ParseError([]byte(in)); !ok || got.Error() != want {
			t.Errorf("%q: %q", in, got)
		}
	}
	for _, in := range []string{"", "\xff", "\xff\x28", "\x00\x28\x04"} {
		if _, ok := mysql.ParseError([]byte(in)); ok {
			t.Errorf("%q", in)
		}
	}
}

// TestStates: errors have the SQLSTATE that drivers map to their exceptions.
func TestStates(t *testing.T) {
	for code, want := range map[uint16]string{
		mysql.CodeConCount: "08004", mysql.CodeHandshake: "08S01", mysql.CodeUnknownCommand: "08S01",
		mysql.CodeAccessDenied: "28000", mysql.CodeNoDB: "3D000", mysql.CodeBadDB: "42000", mysql.CodeUnknownStmt: "HY000",
		mysql.CodeQueryInterrupted: "70100", mysql.CodeServerShutdown: "08S01", mysql.CodeSecureTransport: "HY000", 1: "HY000",
	} {
		if got := mysql.State(code); got != want {
			t.Errorf("%d: %s", code, got)
		}
	}
}

func TestAppendLiteral(t *testing.T) {
	for in, want := range map[string]string{
		"":         "''",
		"+01:00":   "'+01:00'",
		"a\"b`":    "'a\"b`'",
		"it's":     "_utf8mb4 X'69742773'",
		`a\`:       "_utf8mb4 X'615c'",
		"a\x00":    "_utf8mb4 X'6100'",
		"ä":        "_utf8mb4 X'c3a4'",
		"\xbf\x27": "_utf8mb4 X'bf27'",
		"\x7f":     "_utf8mb4 X'7f'",
	} {
		if got := mysql.AppendLiteral([]byte("="), in); string(got) != "="+want {
			t.Errorf("%q: %s", in, got)
		}
	}
}
