// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// directives reads the lines of a unit, in order.
func directives(t *testing.T, file string) map[string][]string {
	t.Helper()
	all := make(map[string][]string)
	for line := range strings.Lines(read(t, file)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "[") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			t.Fatalf("%s: %q", file, line)
		}
		all[name] = append(all[name], value)
	}
	return all
}

func TestSystemdUnit(t *testing.T) {
	unit := directives(t, "deploy/systemd/rdsproxy.service")
	m := newMachine(t)
	m.write(t, "/etc/rdsproxy/rdsproxy.yaml", read(t, "deploy/systemd/rdsproxy.yaml"))
	m.write(t, "/etc/rdsproxy/secrets/app.json", `{"username": "app", "password": "not a secret"}`)

	start := strings.Fields(unit["ExecStart"][0])
	check := strings.Fields(unit["ExecStartPre"][0])
	if start[0] != check[0] || check[1] != "check" || strings.Join(start[2:], " ") != strings.Join(check[2:], " ") {
		t.Errorf("ExecStartPre %q does not check what ExecStart %q starts", check, start)
	}
	m.check(t, start[1:])

	const drain = 60 * time.Second // the default of drain_timeout
	stop, err := time.ParseDuration(unit["TimeoutStopSec"][0])
	if err != nil || stop < drain+5*time.Second {
		t.Errorf("TimeoutStopSec=%s, %v; drain_timeout is %s", stop, err, drain)
	}
	user := unit["User"][0]
	if user == "root" || !strings.Contains(read(t, "deploy/systemd/rdsproxy.sysusers"), "\nu "+user+" ") {
		t.Errorf("the sysusers file does not make the user %q", user)
	}
}

// TestSystemdVerify asks systemd itself, where it is.
func TestSystemdVerify(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not here")
	}
	// The unit names a binary that is not installed here.
	text := strings.ReplaceAll(read(t, "deploy/systemd/rdsproxy.service"), "/usr/local/bin/rdsproxy", binary)
	file := filepath.Join(t.TempDir(), "rdsproxy.service")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", file).CombinedOutput()
	if err != nil || strings.Contains(string(out), "rdsproxy.service") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// TestDockerfile has the image's command line checked, its binary built the way it
// says, and its sources copied from where they are.
func TestDockerfile(t *testing.T) {
	stages := map[string]string{} // instruction -> arguments, of the last stage
	var build string
	for line := range strings.Lines(read(t, "deploy/docker/Dockerfile")) {
		name, args, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch name {
		case "", "#":
		case "FROM":
			clear(stages)
			stages[name] = args
		case "COPY":
			copied(t, args)
		case "RUN":
			if strings.Contains(args, "go build") {
				build = args
			}
		case "WORKDIR", "ARG", "USER", "EXPOSE", "ENTRYPOINT", "CMD":
			stages[name] = args
		default:
			t.Errorf("unknown instruction %q", name)
		}
	}
	if stages["FROM"] != "scratch" || stages["USER"] == "" || strings.HasPrefix(stages["USER"], "0") {
		t.Errorf("FROM %s, USER %s", stages["FROM"], stages["USER"])
	}
	var cmd []string
	if err := json.Unmarshal([]byte(stages["CMD"]), &cmd); err != nil {
		t.Fatalf("CMD %s: %v", stages["CMD"], err)
	}
	m := newMachine(t)
	m.write(t, "/etc/rdsproxy/rdsproxy.yaml", read(t, "configs/rdsproxy.example.yaml"))
	m.write(t, "/etc/rdsproxy/app.json", `{"username": "app", "password": "not a secret"}`)
	m.check(t, cmd)
	isStatic(t, build)
}

// copied checks that a COPY from the context names something that the context has.
func copied(t *testing.T, args string) {
	t.Helper()
	if strings.HasPrefix(args, "--from=") {
		return
	}
	ignore := read(t, ".dockerignore")
	words := strings.Fields(args)
	for _, source := range words[:len(words)-1] {
		if _, err := os.Stat(filepath.Join(root, source)); err != nil {
			t.Error(err)
		}
		if !strings.Contains(ignore, "\n!"+source+"\n") {
			t.Errorf(".dockerignore leaves out %s", source)
		}
	}
}

// isStatic runs the image's build command and looks for a dynamic linker.
func isStatic(t *testing.T, build string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "rdsproxy")
	build = strings.Replace(build, "/out/rdsproxy", out, 1)
	cmd := exec.Command("sh", "-c", build)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "VERSION=v0.0.0-test")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", build, err, text)
	}
	if text, err := exec.Command("ldd", out).CombinedOutput(); err == nil {
		t.Errorf("the binary is not static: %s", text)
	}
	version, err := exec.Command(out, "version").Output()
	if err != nil || !strings.Contains(string(version), "v0.0.0-test") {
		t.Errorf("version: %q, %v", version, err)
	}
}
