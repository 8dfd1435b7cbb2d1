// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// readSecret reads the secret at path: a file with JSON, or a folder with the files username and password. exposed names a
// file that everybody on the machine may read, if there is one.
func readSecret(path string) (c Credential, exposed string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return Credential{}, "", cause(err)
	}
	if info.IsDir() {
		return readFolder(path)
	}
	text, exposed, err := readFile(path)
	if err != nil {
		return Credential{}, "", err
	}
	c, err = Decode(text)
	return c, exposed, err
}

// dataLink is what Kubernetes swaps to replace all files of a mounted secret at once.
const dataLink = "..data"

// readFolder reads the form of a Kubernetes secret of the type basic-auth.
func readFolder(path string) (c Credential, exposed string, err error) {
	// Both files are read from one version of the folder, also while another takes its place.
	if target, err := filepath.EvalSymlinks(filepath.Join(path, dataLink)); err == nil {
		path = target
	}
	var fields [2]string
	for i, name := range []string{"username", "password"} {
		text, open, err := readFile(filepath.Join(path, name))
		if err != nil {
			return Credential{}, "", fmt.Errorf("file %q in it: %w", name, err)
		}
		if !utf8.Valid(text) {
			return Credential{}, "", fmt.Errorf("%w: file %q is not UTF-8", ErrMalformed, name)
		}
		if open != "" {
			exposed = open
		}
		fields[i] = withoutNewline(string(text))
	}
	c, err = newCredential(fields[0], fields[1])
	return c, exposed, err
}

// withoutNewline drops the newline at the end that editors and echo leave, and that is no part of the password.
func withoutNewline(text string) string {
	if line, ok := strings.CutSuffix(text, "\n"); ok {
		return strings.TrimSuffix(line, "\r")
	}
	return text
}

// worldReadable is the permission of others to read.
const worldReadable = 0o004

func readFile(path string) (text []byte, exposed string, err error) {
	// A pipe or a device could block for ever.
	if info, err := os.Stat(path); err != nil {
		return nil, "", cause(err)
	} else if !info.Mode().IsRegular() {
		return nil, "", fmt.Errorf("%w: is not a regular file", ErrMalformed)
	} else if info.Mode().Perm()&worldReadable != 0 {
		exposed = path
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, "", cause(err)
	}
	defer f.Close()
	text, err = io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, "", cause(err)
	}
	if len(text) > MaxSize {
		return nil, "", fmt.Errorf("%w: more than %d bytes", ErrTooLarge, MaxSize)
	}
	return text, exposed, nil
}

// cause takes the path off an error of the file system, which the message names already.
func cause(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: no such file", ErrNotFound)
	}
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return fmt.Errorf("cannot be read: %w", pe.Err)
	}
	return err
}
