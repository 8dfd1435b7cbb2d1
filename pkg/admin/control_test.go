// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

type controlled struct{ did []string }

func (c *controlled) Pause(name string) bool {
	c.did = append(c.did, "pause "+name)
	return name != "none"
}

func (c *controlled) Resume(name string) bool {
	c.did = append(c.did, "resume "+name)
	return name != "none"
}

func TestControl(t *testing.T) {
	for _, tt := range []struct {
		method, path, from, origin string
		status                     int
		did                        string
	}{
		{method: "POST", path: "/pause", status: 200, did: "pause "},
		{method: "POST", path: "/resume?target_group=orders", status: 200, did: "resume orders"},
		{method: "POST", path: "/pause?target_group=none", status: 404, did: "pause none"},
		{method: "GET", path: "/pause", status: 405},
		{method: "POST", path: "/pause", from: "10.0.0.7:5", status: 403},
		{method: "POST", path: "/pause", from: "[::1]:5", status: 200, did: "pause "},
		{method: "POST", path: "/pause", origin: "https://evil.example", status: 403},
	} {
		c := new(controlled)
		mux := http.NewServeMux()
		addControl(mux, c)
		r := httptest.NewRequestWithContext(t.Context(), tt.method, "http://127.0.0.1:9127"+tt.path, http.NoBody)
		r.RemoteAddr = "127.0.0.1:4"
		if tt.from != "" {
			r.RemoteAddr = tt.from
		}
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if w.Code != tt.status {
			t.Errorf("%s %s from %q, origin %q: %d, want %d", tt.method, tt.path, tt.from, tt.origin, w.Code, tt.status)
		}
		if did := append(c.did, "")[0]; did != tt.did {
			t.Errorf("%s %s: did %q, want %q", tt.method, tt.path, did, tt.did)
		}
	}
}
