// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/test/daemonproc"
	"github.com/rdsproxy/rdsproxy/test/pgserver"
)

// TestMakeRun does what `make run` does, connects by the printed line and checks
// that Ctrl-C leaves nothing behind.
func TestMakeRun(t *testing.T) {
	if daemonproc.Direct() {
		t.Skip("there is no proxy")
	}
	psql := filepath.Join(pgserver.RequireTools(t).BinDir, "psql")
	program := filepath.Join(t.TempDir(), "run")
	if out, err := exec.Command("go", "build", "-o", program, "../run").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(program, "-daemon", daemonproc.Binary(t))
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr := &strings.Builder{}
	cmd.Stderr = stderr
	if err := pgserver.StartTied(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			lines <- s.Text()
		}
	}()
	var line, configuration string
	ready := regexp.MustCompile(`psql '(postgres://app:\S+)'`)
	for limit := time.After(2 * time.Minute); !strings.HasPrefix(line, "Ctrl-C"); {
		select {
		case l, ok := <-lines:
			if !ok {
				t.Fatalf("it ended: %v\n%s", cmd.Wait(), stderr)
			}
			line = l
			if m := ready.FindStringSubmatch(l); m != nil {
				out, err := exec.Command(psql, "-X", "-A", "-t", m[1], "-c", "SELECT current_user", "-c", "CREATE TABLE t (i int)").CombinedOutput()
				if err != nil || string(out) != "app\nCREATE TABLE\n" {
					t.Errorf("psql: %v\n%s", err, out)
				}
			}
			if path, ok := strings.CutPrefix(l, "configuration"); ok {
				configuration = strings.TrimSpace(path)
			}
		case <-limit:
			t.Fatal("not ready within two minutes")
		}
	}
	if _, err := os.Stat(configuration); err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, stderr)
	}
	if _, err := os.Stat(filepath.Dir(configuration)); !os.IsNotExist(err) {
		t.Errorf("the configuration's folder is still there: %v", err)
	}
	for _, pattern := range []string{"rdsproxy-pg-" + strconv.Itoa(cmd.Process.Pid) + "-*"} {
		if left, err := filepath.Glob(filepath.Join(os.TempDir(), pattern)); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
}
