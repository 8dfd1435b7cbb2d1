// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/test/certs"
	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

// foreign are drivers of other languages. Each has a program in the folder foreign
// that prints the same with and without a proxy, and ends with "done".
var foreign = []struct {
	name string
	// need finds or installs what the program needs and gives its command line,
	// or tells why it cannot be had here.
	need func(ctx context.Context, folder string) (command []string, env []string, err error)
}{
	{"psycopg2", python("psycopg2", "python3-psycopg2", "psycopg2_smoke.py")},
	{"psycopg3", python("psycopg", "python3-psycopg", "psycopg3_smoke.py")},
	{"pgjdbc", jdbc},
	{"node-postgres", node("node_postgres_smoke.js", "pg@8.23.1", "pg-cursor@2.22.0")},
	{"postgres.js", node("postgres_js_smoke.js", "postgres@3.4.9")},
}

func TestForeignDrivers(t *testing.T) {
	if testing.Short() {
		t.Skip("installs drivers and starts servers")
	}
	folder, err := filepath.Abs("foreign")
	if err != nil {
		t.Fatal(err)
	}
	st := newForeignStack(t)
	for _, f := range foreign {
		t.Run(f.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			command, env, err := f.need(ctx, folder)
			if err != nil {
				t.Skip(err)
			}
			var direct, proxied string
			var both sync.WaitGroup
			both.Go(func() { direct = runForeign(t, command, append(env, foreignEnvironment(st.direct)...)) })
			both.Go(func() { proxied = runForeign(t, command, append(env, foreignEnvironment(st.proxied)...)) })
			both.Wait()
			if !strings.HasSuffix(direct, "\ndone\n") {
				t.Fatalf("the program fails on the database itself:\n%s", direct)
			}
			if proxied != direct {
				t.Errorf("--- directly\n%s--- through the proxy\n%s", direct, proxied)
			}
		})
	}
}

// runForeign gives what the program prints.
func runForeign(t *testing.T, command, env []string) string {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir, cmd.Env = t.TempDir(), append(plainEnvironment(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := pgserver.StartTied(cmd); err != nil {
		t.Error(err)
		return ""
	}
	if err := cmd.Wait(); err != nil {
		fmt.Fprintln(&out, err)
	}
	return out.String()
}

func foreignEnvironment(w way) []string {
	return []string{
		"PGHOST=" + w.host, fmt.Sprintf("PGPORT=%d", w.port), "PGUSER=app", "PGPASSWORD=secret", "PGDATABASE=smoke",
		"SMOKE_CA=" + filepath.Join(w.files, "ca.crt"),
	}
}

// newForeignStack has fewer database connections than the programs open clients.
func newForeignStack(t *testing.T) stack {
	t.Helper()
	ca, err := certs.NewAuthority("test authority")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue(certs.Request{})
	if err != nil {
		t.Fatal(err)
	}
	files := t.TempDir()
	if _, err := ca.Write(files, "ca"); err != nil {
		t.Fatal(err)
	}
	start := func() *pgserver.Server {
		pg := pgserver.Start(t, pgserver.Options{
			TLS: &pair, Roles: []pgserver.Role{{Name: "app", Password: "secret"}}, Databases: []string{"smoke"},
		})
		if err := pg.Exec(t.Context(), "ALTER DATABASE smoke OWNER TO app"); err != nil {
			t.Fatal(err)
		}
		return pg
	}
	direct, behind := start(), start()
	d := daemonproc.Start(t, daemonproc.Options{
		Writer: behind.Addr(), Users: users("secret", "app"), Certificate: &pair, Group: daemonproc.Map{"max_connections": 3},
	})
	host, port := splitAddr(t, d.Addr)
	return stack{
		direct:  way{host: direct.Host, port: direct.Port, files: files},
		proxied: way{host: host, port: port, files: files},
		version: direct.Installation.Version,
	}
}

// python runs a script by the system's Python, for which distributions have the
// drivers as packages.
func python(module, pkg, script string) func(context.Context, string) ([]string, []string, error) {
	return func(ctx context.Context, folder string) ([]string, []string, error) {
		program := "/usr/bin/python3"
		check := func() error { return exec.CommandContext(ctx, program, "-c", "import "+module).Run() }
		if check() != nil {
			if err := install(ctx, pkg); err != nil {
				return nil, nil, err
			}
			if err := check(); err != nil {
				return nil, nil, fmt.Errorf("%s does not work: %w", pkg, err)
			}
		}
		return []string{program, "-u", filepath.Join(folder, script)}, nil, nil
	}
}

// jdbc needs a Java that runs source files, which is not installed for the purpose.
func jdbc(ctx context.Context, folder string) ([]string, []string, error) {
	const jar = "/usr/share/java/postgresql.jar"
	java, err := exec.LookPath("java")
	if err != nil {
		return nil, nil, fmt.Errorf("there is no Java: %w", err)
	}
	if out, err := exec.CommandContext(ctx, java, "--list-modules").Output(); err != nil || !bytes.Contains(out, []byte("jdk.compiler@")) {
		return nil, nil, fmt.Errorf("the Java of this machine has no compiler")
	}
	if !exists(jar) {
		if err := install(ctx, "libpostgresql-jdbc-java"); err != nil {
			return nil, nil, err
		}
	}
	return []string{java, "-cp", jar, filepath.Join(folder, "Smoke.java")}, nil, nil
}

// node runs a script with npm packages of exact versions, kept in the cache folder.
func node(script string, packages ...string) func(context.Context, string) ([]string, []string, error) {
	return func(ctx context.Context, folder string) ([]string, []string, error) {
		program, err := exec.LookPath("node")
		if err != nil {
			return nil, nil, fmt.Errorf("there is no Node.js: %w", err)
		}
		cache, err := pgserver.CacheDir()
		if err != nil {
			return nil, nil, err
		}
		dir := filepath.Join(cache, "compat", "npm_"+strings.Join(packages, "_"))
		if modules := filepath.Join(dir, "node_modules"); exists(modules) {
			return []string{program, filepath.Join(folder, script)}, []string{"NODE_PATH=" + modules}, nil
		}
		if err := npmInstall(ctx, dir, packages); err != nil {
			return nil, nil, err
		}
		return []string{program, filepath.Join(folder, script)}, []string{"NODE_PATH=" + filepath.Join(dir, "node_modules")}, nil
	}
}

func npmInstall(ctx context.Context, dir string, packages []string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), "npm-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	args := append([]string{
		"install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--cache", filepath.Join(work, ".cache"), "--prefix", work,
	}, packages...)
	cmd := exec.CommandContext(ctx, "npm", args...)
	cmd.Dir = work
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm install %s: %w\n%s", strings.Join(packages, " "), err, out)
	}
	if err := os.Rename(work, dir); err != nil && !exists(dir) {
		return err
	}
	return nil
}

// install gets a package of the distribution where that needs nobody's password.
func install(ctx context.Context, pkg string) error {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("%s is not installed, and this is no system with apt-get", pkg)
	}
	shell := []string{"sh", "-c"}
	if os.Geteuid() != 0 {
		if exec.CommandContext(ctx, "sudo", "-n", "true").Run() != nil {
			return fmt.Errorf("%s is not installed, and installing it needs root", pkg)
		}
		shell = []string{"sudo", "-n", "sh", "-c"}
	}
	script := `export DEBIAN_FRONTEND=noninteractive
set -- -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends ` + pkg + `
apt-get "$@" || { apt-get -q update; apt-get "$@"; }`
	if out, err := exec.CommandContext(ctx, shell[0], append(shell[1:], script)...).CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get install %s: %w\n%s", pkg, err, out)
	}
	return nil
}
