// SPDX-License-Identifier: Apache-2.0

//go:build linux

package measure

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ReadLogs reads all the logs of single transactions that pgbench wrote with the given prefix, one for each of its threads.
func ReadLogs(prefix string) (Trace, error) {
	var tr Trace
	paths, err := filepath.Glob(prefix + ".*")
	if err != nil {
		return tr, err
	}
	for _, p := range paths {
		if err := readLog(p, &tr); err != nil {
			return tr, err
		}
	}
	return tr, nil
}

func readLog(path string, tr *Trace) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := tr.parse(f); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return nil
}

// parse adds the transactions of one log. A line is
//
//	client_id transaction_no time script_no time_epoch time_us
//
// with time, the latency, in microseconds, or a word ("skipped", "failed") in its place; such a transaction is an error here.
func (tr *Trace) parse(r io.Reader) error {
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 {
			return fmt.Errorf("line %d has %d fields", n, len(fields))
		}
		var v [3]int64
		for i, at := range []int{2, 4, 5} {
			x, err := strconv.ParseInt(fields[at], 10, 64)
			if err != nil {
				return fmt.Errorf("line %d: %w", n, err)
			}
			v[i] = x
		}
		tr.LatencyMicros = append(tr.LatencyMicros, v[0])
		tr.EndMicros = append(tr.EndMicros, v[1]*1_000_000+v[2])
	}
	return lines.Err()
}
