// SPDX-License-Identifier: Apache-2.0

package pgmsg_test

import (
	"testing"

	"github.com/rdsproxy/rdsproxy/test/sim/pgmsg"
)

func TestThereAndBack(t *testing.T) {
	for _, line := range []string{
		`Query "select 1" | Sync | Flush`,
		`Parse s1 "select $1" 23 25 | Bind "" s1 "a b" c | Describe S s1 | Execute "" 10 | Close P p`,
		`CopyData "a\tb\n" | CopyDone | CopyFail why | FunctionCall 1574 | Terminate`,
	} {
		if got := pgmsg.DecodeFrontend(pgmsg.MustEncode(line)); got != line {
			t.Errorf("got  %s\nwant %s", got, line)
		}
	}
	for _, line := range []string{
		`ParseComplete | BindComplete | Columns a b | Row 1 "" | Complete "SELECT 1" | Ready I`,
		`Error 22012 "division by zero" | Fatal 57P01 bye | Notice 00000 hm | Parameter TimeZone UTC`,
		`CopyIn | CopyOut | CopyData x | CopyDone | Result 7 | Notification c p | Key 12 abcd | Types 23`,
		`CloseComplete | NoData | PortalSuspended | EmptyQuery`,
	} {
		if got := pgmsg.DecodeBackend(pgmsg.MustEncode(line)); got != line {
			t.Errorf("got  %s\nwant %s", got, line)
		}
	}
}

func TestMistakes(t *testing.T) {
	for _, line := range []string{"Quer x", "Query", "Sync 1", `Query "x`, "| Sync", "Execute p many", "Ready IT"} {
		if _, err := pgmsg.Encode(line); err == nil {
			t.Errorf("%s is no mistake", line)
		}
	}
}

func TestRepeated(t *testing.T) {
	if got := len(pgmsg.MustEncode(`Query "ab"*1000`)); got != 5+2000+1 {
		t.Error(got)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(pgmsg.MustEncode(`Parse s1 "select $1" 23 | Bind "" s1 x | Row 1 | Error 22012 x | Columns a`))
	f.Fuzz(func(_ *testing.T, p []byte) {
		pgmsg.DecodeFrontend(p)
		pgmsg.DecodeBackend(p)
	})
}
