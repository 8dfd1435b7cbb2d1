// SPDX-License-Identifier: Apache-2.0

package myserver

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/rdsproxy/rdsproxy/test/machine"
)

// initialise gives the server its data folder: a copy of one that is made once per
// version and kept in the cache, because making one takes MySQL seconds. In it root
// has no password.
func (s *Server) initialise(ctx context.Context) error {
	cache, err := machine.CacheDir()
	if err != nil {
		return err
	}
	kind := strings.ReplaceAll(strings.ToLower(string(s.Flavor)), " ", "-")
	dir := filepath.Join(cache, fmt.Sprintf("%s-data-%s", kind, s.Version))
	unlock, err := machine.LockCache(cache, kind+"-data")
	if err != nil {
		return err
	}
	if _, err = os.Stat(dir); err != nil {
		err = s.makeTemplate(ctx, dir)
	}
	unlock()
	if err != nil {
		return err
	}
	if err := machine.Run(exec.CommandContext(ctx, "cp", "-R", dir, s.DataDir()), nil); err != nil {
		return fmt.Errorf("copy of a data folder: %w", err)
	}
	return filepath.WalkDir(s.DataDir(), func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return s.account.Own(path)
	})
}

// makeTemplate makes a data folder where the server would have it, and moves it
// into the cache.
func (s *Server) makeTemplate(ctx context.Context, dir string) error {
	var err error
	if s.Flavor.IsMariaDB() {
		err = s.bootstrapMariaDB(ctx)
	} else {
		err = s.runServer(ctx, nil, "--initialize-insecure")
	}
	if err != nil {
		return fmt.Errorf("data folder of %s %s: %w", s.Flavor, s.Version, err)
	}
	// The server's own id is made anew by each copy. Socket folders and the like are not there yet.
	_ = os.Remove(filepath.Join(s.DataDir(), "auto.cnf")) // MySQL's
	part := dir + ".part"
	_ = os.RemoveAll(part)
	if err := machine.Run(exec.CommandContext(ctx, "cp", "-R", s.DataDir(), part), nil); err != nil {
		return fmt.Errorf("copy of a data folder: %w", err)
	}
	if err := os.RemoveAll(s.DataDir()); err != nil {
		return err
	}
	return os.Rename(part, dir)
}

// bootstrapMariaDB does what mariadb-install-db does, which knows no way to start
// a server by another loader.
func (s *Server) bootstrapMariaDB(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Join(s.DataDir(), "mysql"), 0o700); err != nil {
		return err
	}
	for _, d := range []string{s.DataDir(), filepath.Join(s.DataDir(), "mysql")} {
		if err := s.account.Own(d); err != nil {
			return err
		}
	}
	sql := bytes.NewBufferString("CREATE DATABASE IF NOT EXISTS mysql;\nUSE mysql;\n" +
		"SET @auth_root_socket=NULL;\nSET @skip_auth_anonymous=1;\nSET @current_hostname='localhost';\n")
	for _, name := range []string{"system_tables", "performance_tables", "system_tables_data", "add_gis_sp_bootstrap", "sys_schema"} {
		text, err := readFirst(filepath.Join(s.share, "mariadb_"+name+".sql"), filepath.Join(s.share, "mysql_"+name+".sql"),
			filepath.Join(s.share, "maria_"+name+".sql"))
		if err != nil {
			return err
		}
		sql.Write(text)
	}
	return s.runServer(ctx, sql, "--bootstrap", "--enforce-storage-engine=", "--max-allowed-packet=8M", "--net-buffer-length=16K")
}

// readFirst reads the first of the files that exists.
func readFirst(names ...string) (text []byte, err error) {
	for _, n := range names {
		if text, err = os.ReadFile(n); err == nil {
			return text, nil
		}
	}
	return nil, err
}

// runServer runs the server program to its end.
func (s *Server) runServer(ctx context.Context, stdin *bytes.Buffer, arg ...string) error {
	cmd := s.serverCommand(ctx, arg...)
	if stdin != nil {
		cmd.Stdin = stdin
	}
	return machine.Run(cmd, s.account)
}
