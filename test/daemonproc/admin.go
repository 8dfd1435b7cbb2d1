// SPDX-License-Identifier: Apache-2.0

package daemonproc

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// adminClient opens a connection per request, so that none is left when the daemon stops.
var adminClient = &http.Client{
	Timeout:   10 * time.Second,
	Transport: &http.Transport{DisableKeepAlives: true},
}

// Get reads a page of the admin listener.
func (d *Daemon) Get(path string) (status int, body string, err error) {
	resp, err := adminClient.Get(d.AdminURL + path)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// Metric sums the samples of a metric whose labels include all of those given, as
// `name="value"`. A metric that is not there is 0.
func (d *Daemon) Metric(tb testing.TB, name string, labels ...string) float64 {
	tb.Helper()
	status, body, err := d.Get("/metrics")
	if err != nil || status != http.StatusOK {
		tb.Fatalf("/metrics: %d, %v", status, err)
	}
	sum, err := sumSamples(strings.NewReader(body), name, labels)
	if err != nil {
		tb.Fatal(err)
	}
	return sum
}

// sumSamples reads the Prometheus text format.
func sumSamples(r io.Reader, name string, labels []string) (float64, error) {
	var sum float64
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), name)
		if !ok || rest == "" || (rest[0] != '{' && rest[0] != ' ') {
			continue
		}
		set, value := "", rest
		if end := strings.LastIndexByte(rest, '}'); end >= 0 {
			set, value = rest[:end], rest[end+1:]
		}
		if !hasLabels(set, labels) {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil {
			return 0, fmt.Errorf("metric %s: %w", name, err)
		}
		sum += v
	}
	return sum, lines.Err()
}

func hasLabels(set string, labels []string) bool {
	for _, l := range labels {
		if !strings.Contains(set, l) {
			return false
		}
	}
	return true
}

// ResidentBytes is the daemon's memory as the kernel counts it. Linux only.
func (d *Daemon) ResidentBytes(tb testing.TB) int64 {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", d.PID()))
	if err != nil {
		tb.Skipf("no figures on memory here: %v", err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		tb.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
