// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"fmt"
	"strings"
)

// tailSize is how much of a program's output is kept.
const tailSize = 16 << 10

// tail keeps the last bytes written to it.
type tail struct{ buf []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - tailSize; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tail) lines(n int) string { return LastLines(string(t.buf), n) }

// exitError is the end of a program that failed, with its last words.
type exitError struct {
	err  error
	last string
}

func (e *exitError) Error() string { return fmt.Sprintf("%v\n%s", e.err, e.last) }

func (e *exitError) Unwrap() error { return e.err }

// LastLines returns the end of a program's output, which is where it says why it failed.
func LastLines(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(len(lines)-n, 0):], "\n")
}
