// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"net"
	"net/http"
	"net/netip"
)

// Controller is a Source that can also be told to do things.
type Controller interface {
	// Pause lets no client borrow a connection of a target group until Resume; they
	// wait. "" is all groups. It returns false if there is no group of that name.
	Pause(targetGroup string) bool
	Resume(targetGroup string) bool
}

// addControl adds what changes the daemon. Such requests have to come from this
// machine, and not from a page in a browser on it.
func addControl(mux *http.ServeMux, c Controller) {
	add := func(path string, do func(string) bool) {
		mux.Handle("POST "+path, fromHere(http.NewCrossOriginProtection().Handler(http.HandlerFunc(
			func(w http.ResponseWriter, r *http.Request) {
				if name := r.URL.Query().Get("target_group"); !do(name) {
					writeText(w, http.StatusNotFound, "there is no target group of that name\n")
					return
				}
				writeText(w, http.StatusOK, "ok\n")
			}))))
	}
	add("/pause", c.Pause)
	add("/resume", c.Resume)
}

// fromHere refuses other machines, whoever may read the figures.
func fromHere(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		if ip, err := netip.ParseAddr(host); err != nil || !ip.Unmap().IsLoopback() {
			writeText(w, http.StatusForbidden, "only from the machine itself\n")
			return
		}
		next.ServeHTTP(w, r)
	})
}
