// SPDX-License-Identifier: Apache-2.0

package secret_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/rdsproxy/rdsproxy/pkg/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func secretJSON(password string) string {
	return `{"username":"app","password":"` + password + `"}`
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// replace writes a file the way careful programs do: another one, renamed over it.
func replace(t *testing.T, path, text string) {
	t.Helper()
	write(t, path+".new", text)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, s secret.Store, id string) string {
	t.Helper()
	c, err := s.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return c.Username + ":" + c.Password.Reveal()
}

func want(t *testing.T, s secret.Store, id, credential string) {
	t.Helper()
	if got := get(t, s, id); got != credential {
		t.Errorf("got %s, want %s", got, credential)
	}
}

func observed() (*zap.Logger, *observer.ObservedLogs) {
	core, logs := observer.New(zap.DebugLevel)
	return zap.New(core), logs
}

func TestGet(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/app.json", secretJSON("one"))
	write(t, dir+"/folder/username", "app\n")
	write(t, dir+"/folder/password", "two\r\n")
	write(t, dir+"/bare/username", "app")
	write(t, dir+"/bare/password", " three\r")
	if err := os.Symlink("app.json", dir+"/link.json"); err != nil {
		t.Fatal(err)
	}
	for id, credential := range map[string]string{
		dir + "/app.json":            "app:one",
		dir + "/x/../app.json":       "app:one",
		dir + "/link.json":           "app:one",
		dir + "/folder":              "app:two",
		dir + "/folder/":             "app:two",
		dir + "/bare":                "app: three\r",
		"/" + dir + "/./app.json":    "app:one",
		dir + "/folder/../link.json": "app:one",
	} {
		want(t, secret.NewFileStore(secret.FileOptions{}), id, credential)
	}
}

func TestGetRefuses(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/bad.json", hidden)
	write(t, dir+"/large.json", strings.Repeat(hidden, 10000))
	write(t, dir+"/half/username", "app")
	write(t, dir+"/latin/username", "app")
	write(t, dir+"/latin/password", hidden+"\xff")
	write(t, dir+"/empty/username", "app")
	write(t, dir+"/empty/password", "\n")
	if err := os.MkdirAll(dir+"/nested/username", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("loop", dir+"/loop"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(dir+"/pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		id   string
		kind error
		want string
	}{
		{"app.json", secret.ErrUnsupported, `secret "app.json": not supported here: the name is not an absolute path`},
		{"arn:aws:secretsmanager:x", secret.ErrUnsupported, "the name is not an absolute path"},
		{"", secret.ErrUnsupported, "the name is not an absolute path"},
		{dir + "/none.json", secret.ErrNotFound, `/none.json": not found: no such file`},
		{dir + "/bad.json/x", nil, `cannot be read: not a directory`},
		{dir + "/bad.json", secret.ErrMalformed, `/bad.json": malformed: is not JSON at byte 1`},
		{dir + "/large.json", secret.ErrTooLarge, `/large.json": too large: more than 65536 bytes`},
		{dir + "/half", secret.ErrNotFound, `/half": file "password" in it: not found: no such file`},
		{dir + "/latin", secret.ErrMalformed, `malformed: file "password" is not UTF-8`},
		{dir + "/empty", secret.ErrMalformed, `malformed: password is empty`},
		{dir + "/nested", secret.ErrMalformed, `file "username" in it: malformed: is not a regular file`},
		{dir + "/pipe", secret.ErrMalformed, `malformed: is not a regular file`},
		{dir + "/loop", nil, `cannot be read: too many levels of symbolic links`},
	}
	s := secret.NewFileStore(secret.FileOptions{})
	for _, tt := range tests {
		_, err := s.Get(t.Context(), tt.id)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.id, err, tt.want)
			continue
		}
		if tt.kind != nil && !errors.Is(err, tt.kind) {
			t.Errorf("%v is not %v", err, tt.kind)
		}
		refuse(t, "the error", err.Error())
	}
	if n := len(s.Failures()); n != len(tests)-3 {
		t.Errorf("%d failures are told", n)
	}
}

func TestGetRecovers(t *testing.T) {
	id := t.TempDir() + "/app.json"
	s := secret.NewFileStore(secret.FileOptions{})
	if _, err := s.Get(t.Context(), id); !errors.Is(err, secret.ErrNotFound) {
		t.Fatal(err)
	}
	if f := s.Failures(); len(f) != 1 || f[0].ID != id || f[0].Stale || !errors.Is(f[0].Err, secret.ErrNotFound) {
		t.Errorf("%+v", f)
	}
	write(t, id, secretJSON("one"))
	want(t, s, id, "app:one")
	if f := s.Failures(); len(f) != 0 {
		t.Errorf("%+v", f)
	}
}

func TestGetFromManyGoroutines(t *testing.T) {
	id := t.TempDir() + "/app.json"
	write(t, id, secretJSON("one"))
	s := secret.NewFileStore(secret.FileOptions{})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if c, err := s.Get(t.Context(), id); err != nil || c.Password.Reveal() != "one" {
				t.Error(c, err)
			}
		})
	}
	wg.Wait()
}

func TestExposedFileWarnsOnce(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/app.json", secretJSON("one"))
	write(t, dir+"/folder/username", "app")
	write(t, dir+"/folder/password", "one")
	log, logs := observed()
	s := secret.NewFileStore(secret.FileOptions{Log: log})
	want(t, s, dir+"/app.json", "app:one")
	if logs.Len() != 0 {
		t.Fatal(logs.All())
	}
	for _, file := range []string{"/app.json", "/folder/password"} {
		if err := os.Chmod(dir+file, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s = secret.NewFileStore(secret.FileOptions{Log: log})
	for range 3 {
		want(t, s, dir+"/app.json", "app:one")
		want(t, s, dir+"/folder", "app:one")
	}
	if got := logs.FilterMessageSnippet("everybody").Len(); got != 2 {
		t.Errorf("%d warnings", got)
	}
}

func TestRetain(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a.json", secretJSON("one"))
	write(t, dir+"/b.json", secretJSON("one"))
	s := secret.NewFileStore(secret.FileOptions{})
	get(t, s, dir+"/a.json")
	get(t, s, dir+"/b.json")
	write(t, dir+"/a.json", secretJSON("two"))
	write(t, dir+"/b.json", secretJSON("two"))
	s.Retain([]string{dir + "/x/../a.json"})
	want(t, s, dir+"/a.json", "app:one") // kept in memory; nobody watches
	want(t, s, dir+"/b.json", "app:two") // read again
}

// TestPolling runs on a virtual clock.
func TestPolling(t *testing.T) {
	dir := t.TempDir()
	id := dir + "/app.json"
	synctest.Test(t, func(t *testing.T) {
		write(t, id, secretJSON("one"))
		log, logs := observed()
		s := secret.NewFileStore(secret.FileOptions{PollOnly: true, Log: log})
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { s.Run(ctx) })
		turn := func() {
			time.Sleep(secret.DefaultPollInterval) //nolint:forbidigo // virtual time: synctest
			synctest.Wait()
		}

		want(t, s, id, "app:one")
		changed := s.Changed()
		turn()
		if closed(changed) {
			t.Error("told of a change that was none")
		}

		write(t, id, secretJSON("two"))
		want(t, s, id, "app:one")
		turn()
		want(t, s, id, "app:two")
		if !closed(changed) {
			t.Error("not told of a change")
		}
		changed = s.Changed()

		// The same words in another form are no change.
		write(t, id, "{\n"+secretJSON("two")[1:])
		turn()

		write(t, id, secretJSON("three")[:10])
		turn()
		turn()
		want(t, s, id, "app:two")
		if f := s.Failures(); len(f) != 1 || !f[0].Stale || !errors.Is(f[0].Err, secret.ErrMalformed) {
			t.Errorf("%+v", f)
		}
		if err := os.Remove(id); err != nil {
			t.Fatal(err)
		}
		turn()
		want(t, s, id, "app:two")
		write(t, id, secretJSON("two"))
		turn()
		if closed(changed) || len(s.Failures()) != 0 {
			t.Error("told of a change that was none")
		}
		write(t, id, secretJSON("three"))
		turn()
		want(t, s, id, "app:three")
		if !closed(changed) {
			t.Error("not told of a change")
		}

		stop()
		wg.Wait()
		var lines []string
		for _, e := range logs.All() {
			lines = append(lines, e.Message)
		}
		wantLines := []string{
			"secret has changed",
			"secret cannot be refreshed, the last good value stays in use", // half a file
			"secret cannot be refreshed, the last good value stays in use", // none
			"secret can be read now",
			"secret has changed",
		}
		if strings.Join(lines, "\n") != strings.Join(wantLines, "\n") {
			t.Errorf("log:\n%s", strings.Join(lines, "\n"))
		}
	})
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestAppears: a secret that was missing is announced when it comes, and only then.
func TestAppears(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := secret.NewFileStore(secret.FileOptions{PollOnly: true, PollInterval: time.Second})
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { s.Run(ctx) })
		changed := s.Changed()
		if _, err := s.Get(t.Context(), dir+"/app.json"); !errors.Is(err, secret.ErrNotFound) {
			t.Error(err)
		}
		time.Sleep(3 * time.Second) //nolint:forbidigo // virtual time: synctest
		synctest.Wait()
		if closed(changed) {
			t.Error("told of a change that was none")
		}
		write(t, dir+"/app.json", secretJSON("one"))
		time.Sleep(time.Second) //nolint:forbidigo // virtual time: synctest
		synctest.Wait()
		if !closed(changed) {
			t.Error("not told")
		}
		changed = s.Changed()
		want(t, s, dir+"/app.json", "app:one")
		time.Sleep(3 * time.Second) //nolint:forbidigo // virtual time: synctest
		synctest.Wait()
		if closed(changed) {
			t.Error("told twice")
		}
		stop()
		wg.Wait()
	})
}

// TestNotification proves on the real file system that each way to replace a secret is noticed without polling.
func TestNotification(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(t *testing.T, dir string) (id string)
		change  func(t *testing.T, dir string)
	}{
		{
			"written in place",
			func(t *testing.T, dir string) string {
				write(t, dir+"/app.json", secretJSON("one"))
				return dir + "/app.json"
			},
			func(t *testing.T, dir string) { write(t, dir+"/app.json", secretJSON("two")) },
		},
		{
			"renamed over it",
			func(t *testing.T, dir string) string {
				write(t, dir+"/app.json", secretJSON("one"))
				return dir + "/app.json"
			},
			func(t *testing.T, dir string) { replace(t, dir+"/app.json", secretJSON("two")) },
		},
		{
			"removed and written",
			func(t *testing.T, dir string) string {
				write(t, dir+"/app.json", secretJSON("one"))
				return dir + "/app.json"
			},
			func(t *testing.T, dir string) {
				if err := os.Remove(dir + "/app.json"); err != nil {
					t.Fatal(err)
				}
				write(t, dir+"/app.json", secretJSON("two"))
			},
		},
		{
			"behind a link to elsewhere",
			func(t *testing.T, dir string) string {
				write(t, dir+"/real/app.json", secretJSON("one"))
				link(t, "real/app.json", dir+"/app.json")
				return dir + "/app.json"
			},
			func(t *testing.T, dir string) { write(t, dir+"/real/app.json", secretJSON("two")) },
		},
		{
			"a folder with two files",
			func(t *testing.T, dir string) string {
				write(t, dir+"/s/username", "app")
				write(t, dir+"/s/password", "one")
				return dir + "/s"
			},
			func(t *testing.T, dir string) { replace(t, dir+"/s/password", "two") },
		},
		{
			"Kubernetes, a file",
			func(t *testing.T, dir string) string {
				write(t, dir+"/..1/app.json", secretJSON("one"))
				link(t, "..1", dir+"/..data")
				link(t, "..data/app.json", dir+"/app.json")
				return dir + "/app.json"
			},
			func(t *testing.T, dir string) {
				write(t, dir+"/..2/app.json", secretJSON("two"))
				swap(t, dir)
			},
		},
		{
			"Kubernetes, a folder",
			func(t *testing.T, dir string) string {
				write(t, dir+"/..1/username", "app")
				write(t, dir+"/..1/password", "one")
				link(t, "..1", dir+"/..data")
				link(t, "..data/username", dir+"/username")
				link(t, "..data/password", dir+"/password")
				return dir
			},
			func(t *testing.T, dir string) {
				write(t, dir+"/..2/username", "app")
				write(t, dir+"/..2/password", "two")
				swap(t, dir)
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			id := tt.prepare(t, dir)
			s := secret.NewFileStore(secret.FileOptions{PollInterval: time.Hour})
			ctx, stop := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() { s.Run(ctx) })
			defer wg.Wait()
			defer stop()
			changed := s.Changed()
			want(t, s, id, "app:one")
			tt.change(t, dir)
			select {
			case <-changed:
			case <-time.After(20 * time.Second):
				t.Fatal("not noticed")
			}
			want(t, s, id, "app:two")
		})
	}
}

func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

// swap does what the kubelet does to put a new version of a mounted secret in place.
func swap(t *testing.T, dir string) {
	t.Helper()
	link(t, "..2", dir+"/..data_tmp")
	if err := os.Rename(dir+"/..data_tmp", dir+"/..data"); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir + "/..1"); err != nil {
		t.Fatal(err)
	}
}
