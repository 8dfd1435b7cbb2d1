// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/test/myserver"
)

// mysqlForeign are drivers for MySQL and MariaDB of other languages, as those of
// foreign. used are commands that must have been sent, so that what is tested is not
// decided by the driver.
var mysqlForeign = []struct {
	name   string
	flavor myserver.Flavor
	need   func(ctx context.Context, folder string) (command []string, env []string, err error)
	env    []string
	used   []string
}{
	{
		"mariadb", myserver.MariaDB, node("mariadb_node_smoke.js", "mariadb@3.5.4"), nil,
		[]string{bulkExecute, executeNewest, changeUser, resetConnection},
	},
	{"mariadb, zlib", myserver.MariaDB, node("mariadb_node_smoke.js", "mariadb@3.5.4"), []string{"SMOKE_COMPRESS=yes"}, nil},
	{
		"mysql2", myserver.MySQL, node("mysql2_smoke.js", "mysql2@3.24.6"),
		[]string{"SMOKE_ATTRIBUTES=yes"},
		[]string{queryAttributes, changeUser},
	},
	{
		"mysql2, zlib", myserver.MySQL, node("mysql2_smoke.js", "mysql2@3.24.6"),
		[]string{"SMOKE_COMPRESS=yes", "SMOKE_ATTRIBUTES=yes"},
		nil,
	},
	{"mysql2 to MariaDB", myserver.MariaDB, node("mysql2_smoke.js", "mysql2@3.24.6"), nil, []string{changeUser}},
}

// TestMySQLClients runs drivers of other languages and the servers' own client programs.
func TestMySQLClients(t *testing.T) {
	if testing.Short() {
		t.Skip("installs drivers and starts servers")
	}
	stacks := map[myserver.Flavor]stack{
		myserver.MariaDB: newMySQLStack(t, myserver.MariaDB), myserver.MySQL: newMySQLStack(t, myserver.MySQL),
	}
	t.Run("drivers", func(t *testing.T) { runMySQLDrivers(t, stacks) })
	t.Run("programs", func(t *testing.T) { runMySQLPrograms(t, stacks) })
}

func runMySQLDrivers(t *testing.T, stacks map[myserver.Flavor]stack) {
	folder, err := filepath.Abs("foreign")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range mysqlForeign {
		t.Run(f.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			command, env, err := f.need(ctx, folder)
			if err != nil {
				t.Skip(err)
			}
			st := stacks[f.flavor]
			tap := newTap(t, st.proxied)
			env = append(env, f.env...)
			var direct, proxied string
			var both sync.WaitGroup
			both.Go(func() {
				direct = runForeign(t, command, slices.Concat(env, mysqlEnvironment(st.direct)))
			})
			both.Go(func() {
				proxied = runForeign(t, command, slices.Concat(env, mysqlEnvironment(tap.way)))
			})
			both.Wait()
			if !strings.HasSuffix(direct, "\ndone\n") {
				t.Fatalf("the program fails on the database itself:\n%s", direct)
			}
			if proxied != direct {
				t.Errorf("--- directly\n%s--- through the proxy\n%s", direct, proxied)
			}
			for _, command := range f.used {
				if tap.count(command) == 0 {
					t.Errorf("no %s was sent", command)
				}
			}
		})
	}
}

func mysqlEnvironment(w way) []string {
	return []string{
		"MYSQL_HOST=" + w.host, fmt.Sprintf("MYSQL_PORT=%d", w.port), "MYSQL_USER=" + goMySQLUser,
		"MYSQL_PASSWORD=" + goMySQLPassword, "MYSQL_DATABASE=" + goMySQLDatabase,
	}
}

// runMySQLPrograms runs the servers' own clients with each kind of compression.
func runMySQLPrograms(t *testing.T, stacks map[myserver.Flavor]stack) {
	const script = `SELECT REPEAT('x', 3000000) = REPEAT('x', 3000000), LENGTH(REPEAT('grün', 1000000));
SELECT REPEAT('abc', 20), REPEAT('y', 100000);
`
	for flavor, st := range stacks {
		t.Run(string(flavor), func(t *testing.T) {
			inst := myserver.Require(t, flavor)
			ways := map[string][]string{"zlib": {"--compress"}}
			program := "mariadb"
			if !flavor.IsMariaDB() {
				program = "mysql"
				ways = map[string][]string{
					"plain": {"--compression-algorithms=uncompressed"},
					"zlib":  {"--compression-algorithms=zlib"},
					"zstd":  {"--compression-algorithms=zstd", "--zstd-compression-level=9"},
				}
			}
			for name, options := range ways {
				t.Run(name, func(t *testing.T) {
					tap := newTap(t, st.proxied)
					direct := runClient(t, inst, program, st.direct, script, options)
					proxied := runClient(t, inst, program, tap.way, script, options)
					if direct != proxied || !strings.Contains(direct, strings.Repeat("abc", 20)) {
						t.Errorf("--- directly\n%.2000s\n--- through the proxy\n%.2000s", direct, proxied)
					}
					if n, compressed := tap.answered(), name != "plain"; n < 200 || compressed != (n < 50_000) {
						t.Errorf("%d bytes of a result of 100,000", n)
					}
				})
			}
		})
	}
}

// runClient feeds a client program a script, and gives what it prints.
func runClient(t *testing.T, inst myserver.Installation, program string, w way, script string, options []string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	args := append([]string{
		"--no-defaults", "--host=" + w.host, fmt.Sprintf("--port=%d", w.port), "--protocol=tcp", "--user=" + goMySQLUser,
		"--password=" + goMySQLPassword, "--batch",
	}, options...)
	if inst.Flavor.IsMariaDB() {
		args = append(args, "--skip-ssl")
	} else {
		args = append(args, "--ssl-mode=DISABLED", "--get-server-public-key")
	}
	cmd := inst.Command(ctx, program, append(args, goMySQLDatabase)...)
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(script), &out, &out
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(&out, err)
	}
	return out.String()
}
