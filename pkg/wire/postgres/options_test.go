// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/rdsproxy/rdsproxy/pkg/wire/postgres"
)

func TestParseOptions(t *testing.T) {
	const badArg = "invalid command-line argument for server process: "
	for _, c := range []struct{ line, want, err string }{
		{"", "", ""},
		{" \t\n\v\f\r ", "", ""},
		{"-c a=b", "a=b", ""},
		{"-ca=b", "a=b", ""},
		{"--a=b", "a=b", ""},
		{"-c   a=b\t-c\nc=d", "a=b|c=d", ""},
		{"--statement-timeout=5min", "statement_timeout=5min", ""},
		{"-c statement-timeout=5-min", "statement_timeout=5-min", ""},
		{"-c a=b=c", "a=b=c", ""},
		{"-c a=", "a=", ""},
		{`-c search_path=a,\ b`, "search_path=a, b", ""},
		{`-c a=\\`, `a=\`, ""},
		{`-c a=\b\\c\ d`, `a=b\c d`, ""},
		{`-c\ a=b`, " a=b", ""},
		{"-c a=b\\", "a=b", ""},
		{"-c myapp.user=ann", "myapp.user=ann", ""},
		{"-c a=1 -c a=2", "a=1|a=2", ""},
		{"-c --", "", "-c -- requires a value"},
		{"-c -c", "", "-c -c requires a value"},
		{"-c a", "", "-c a requires a value"},
		{"--a", "", "--a requires a value"},
		// The class of PgBouncer's CVE-2026-107349.
		{"-c=", "", `unrecognized configuration parameter ""`},
		{"-c =", "", `unrecognized configuration parameter ""`},
		{"-c =x", "", `unrecognized configuration parameter ""`},
		{"--=", "", `unrecognized configuration parameter ""`},
		{"-c -=", "_=", ""},
		{"-c", "", badArg + "-c"},
		{"-c a=b -c", "", badArg + "-c"},
		{"-", "", badArg + "-"},
		{"--", "", ""},
		{"-- x", "", badArg + "x"},
		{"x", "", badArg + "x"},
		{`\`, "", badArg},
		{"-c a=b x", "", badArg + "x"},
		{"-Z", "", badArg + "-Z"},
		{"-eZ", "", badArg + "-eZ"},
		// The older switches.
		{"-e", "datestyle=euro", ""},
		{"-F -O -P -s", "fsync=false|allow_system_table_mods=true|ignore_system_indexes=true|log_statement_stats=true", ""},
		{"-il", "listen_addresses=*|ssl=true", ""},
		{"-bEjnT", "", ""},
		{"-S 64MB", "work_mem=64MB", ""},
		{"-S64MB", "work_mem=64MB", ""},
		{"-esS 1", "datestyle=euro|log_statement_stats=true|work_mem=1", ""},
		{"-B1 -N2 -W3 -h4 -k5 -p6", "shared_buffers=1|max_connections=2|post_auth_delay=3|listen_addresses=4|" +
			"unix_socket_directories=5|port=6", ""},
		{"-C x -D x -r x -v x", "", ""},
		{"-fs -f i -fo -fb -ft -fn -fm -fhash", "enable_seqscan=false|enable_indexscan=false|enable_indexonlyscan=false|" +
			"enable_bitmapscan=false|enable_tidscan=false|enable_nestloop=false|enable_mergejoin=false|enable_hashjoin=false", ""},
		{"-fx", "", badArg + "-fx"},
		{`-f \`, "", badArg + "-f"},
		{"-tpa -tplan -te", "log_parser_stats=true|log_planner_stats=true|log_executor_stats=true", ""},
		{"-tp", "", badArg + "-tp"},
		{"-d0", "log_min_messages=notice", ""},
		{"-d x", "log_min_messages=notice", ""},
		{"-d1", "log_min_messages=debug1|log_connections=true|log_disconnections=true", ""},
		{"-d5", "log_min_messages=debug5|log_connections=true|log_disconnections=true|log_statement=all|" +
			"debug_print_parse=true|debug_print_plan=true|debug_print_rewritten=true", ""},
	} {
		got, err := postgres.ParseOptions(c.line)
		var parts []string
		for _, s := range got {
			parts = append(parts, s.Name+"="+s.Value)
		}
		if s := strings.Join(parts, "|"); s != c.want {
			t.Errorf("%q: %q, want %q", c.line, s, c.want)
		}
		msg := ""
		if refused, ok := errors.AsType[*postgres.Error](err); ok {
			msg = refused.Message
		}
		if msg != c.err {
			t.Errorf("%q: error %q, want %q", c.line, msg, c.err)
		}
	}
}

func FuzzParseOptions(f *testing.F) {
	for _, s := range []string{
		"-c a=b", "--a-b=c", `-c a=\ b\\`, "-c=", "-c =", "--=", "-esS 1", "-fs -tpa -d5", "--", "-", `\`, "-c", "-\x00",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		settings, err := postgres.ParseOptions(line)
		if err != nil && len(settings) != 0 {
			t.Fatalf("settings next to an error: %v", settings)
		}
		// "-d5" makes the most of its three bytes.
		if len(settings) > 3*len(line) {
			t.Fatalf("%d settings out of %d bytes", len(settings), len(line))
		}
		for _, s := range settings {
			if s.Name == "" || strings.ContainsAny(s.Name, "=-") {
				t.Fatalf("name %q", s.Name)
			}
		}
	})
}
