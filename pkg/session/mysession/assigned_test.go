// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"strings"
	"testing"
)

func TestAssigned(t *testing.T) {
	for _, c := range []struct{ sql, want string }{
		{"SET a=1", "a"},
		{"  set\n`a` := 'x', @@session.B = \"y\" , LOCAL c=(1,2), SESSION d = DEFAULT ; ", "a b c d"},
		{"SET @@a=1,@@`local`.b=2", "a b"},
		{
			"SET autocommit=1, session_track_system_variables=CONCAT(@@session_track_system_variables, ',tx_isolation')",
			"autocommit session_track_system_variables",
		},
		{"SET a = CASE WHEN @@a = '*' THEN '*' ELSE CONCAT(@@a, ',''x') END, b = 1", "a b"},
		{"SET NAMES utf8mb4 COLLATE utf8mb4_bin, a = 1", "names a"},
		{"SET STATEMENT a=1, b='x FOR' FOR SELECT 1", "a b"},
		{"SET STATEMENT a=(1) FOR UPDATE t SET b = f()", "a"},
		{"", "-"},
		{"SELECT 1", "-"},
		{"SET", "-"},
		{"SET a", "-"},
		{"SET a 1", "-"},
		{"SET =1", "-"},
		{"SET a=1,", "-"},
		{"SET a=1;SELECT 1", "-"},
		{"SET a=(1", "-"},
		{"SET a='1", "-"},
		{`SET a='\'', b=1`, "-"},
		{"SET `a=1", "-"},
		{"SET @x=1, a=1", "-"},
		{"SET a=@x:=1", "-"},
		{"SET GLOBAL a=1, b=1", "-"},
		{"SET PERSIST a=1", "-"},
		{"SET @@global.a=1", "-"},
		{"SET a=f(), b=1", "-"},
		{"SET a=`f` (), b=1", "-"},
		{"SET a=(SELECT v FROM t)", "-"},
		{"SET a=1 /* x */, b=2", "-"},
		{"SET a=1 -- x\n, b=2", "-"},
		{"SET a=1 # x", "-"},
		{"SET TRANSACTION READ ONLY", "-"},
		{"SET CHARACTER SET utf8", "-"},
		{"SET STATEMENT a=1", "-"},
		{"SET " + strings.Repeat("a=1,", maxAssigned) + "b=1", "-"},
	} {
		got := "-"
		if names, ok := assigned(c.sql); ok {
			got = strings.Join(names, " ")
		}
		if got != c.want {
			t.Errorf("%q: %s, want %s", c.sql, got, c.want)
		}
	}
}

func FuzzAssigned(f *testing.F) {
	f.Add("SET @@session.a = CONCAT('x', @@b), NAMES utf8 COLLATE x")
	f.Add("SET STATEMENT `a`=1 FOR SELECT 1")
	f.Fuzz(func(t *testing.T, sql string) {
		names, ok := assigned(sql)
		if ok != (len(names) > 0) && ok {
			t.Fatal("nothing is assigned")
		}
		for _, n := range names {
			if ok && (n == "" || n != strings.ToLower(n)) {
				t.Fatalf("a variable named %q", n)
			}
		}
	})
}
