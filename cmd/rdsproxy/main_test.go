// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/config"
)

func TestExitCode(t *testing.T) {
	bad := &config.Error{Problems: []config.Problem{{What: "is bad"}}}
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("address in use"), 1},
		{usageError{errors.New("unknown flag"), "rdsproxy"}, 2},
		{fmt.Errorf("wrapped: %w", usageError{errors.New("unknown flag"), "rdsproxy"}), 2},
		{bad, 3},
		{fmt.Errorf("start: %w", bad), 3},
	} {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("%v: %d, want %d", tt.err, got, tt.want)
		}
	}
}

func TestVersionOf(t *testing.T) {
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "0123456789abcdef0123"}
	for _, tt := range []struct {
		info debug.BuildInfo
		want string
	}{
		{debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, Settings: []debug.BuildSetting{revision}}, "v1.2.3"},
		{debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: []debug.BuildSetting{{Key: "x"}, revision}}, "0123456789ab"},
		{debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "01"}}}, "01"},
		{debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, "development"},
	} {
		if got := versionOf(&tt.info); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

// TestHelpIsEnoughToStart: the configuration shown by --help is accepted.
func TestHelpIsEnoughToStart(t *testing.T) {
	var out, errOut bytes.Buffer
	if code := execute(t.Context(), []string{"--help"}, streams{&out, &errOut}, nil); code != 0 || errOut.Len() != 0 {
		t.Fatalf("%d %s", code, errOut.String())
	}
	_, rest, ok := strings.Cut(out.String(), "rdsproxy.yaml    ")
	if !ok {
		t.Fatal(out.String())
	}
	text, _, ok := strings.Cut(rest, "app.json  ")
	if !ok {
		t.Fatal(out.String())
	}
	margin := strings.Repeat(" ", len("  rdsproxy.yaml    "))
	text = strings.ReplaceAll(text, margin, "")
	if _, err := config.Parse(config.Options{Text: []byte(text)}); err != nil {
		t.Errorf("%v:\n%s", err, text)
	}
}

// TestRunEndsAsWished: what a signal does to the context ends run with 0. There is no database behind it.
func TestRunEndsAsWished(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "proxy.yaml")
	text := fmt.Sprintf(`
endpoints: [{listen: %q}]
target_groups: [{writer: "127.0.0.1:1", max_connections: 10}]
auth: [{user: app, secret: app.json}]
admin: {listen: "off"}
loops: 1
`, addr)
	for name, text := range map[string]string{file: text, filepath.Join(dir, "app.json"): `{"username":"app","password":"x"}`} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	code := make(chan int, 1)
	var errOut bytes.Buffer // read only after run has ended
	go func() { code <- execute(ctx, []string{"run", "--config", file}, streams{io.Discard, &errOut}, nil) }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			break
		}
		select {
		case got := <-code:
			t.Fatalf("ended with %d before it was asked to: %s", got, errOut.String())
		case <-tick.C:
		}
	}
	stop()
	if got := <-code; got != 0 {
		t.Errorf("exit code %d: %s", got, errOut.String())
	}
}
