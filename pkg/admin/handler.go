// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"encoding/json"
	stdlog "log"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

// index is what / shows.
const index = `rdsproxy
/livez           the process answers
/readyz          clients may be sent here; ?verbose for the reasons
/metrics         for Prometheus
/status          the state as JSON
/pause /resume   POST ?target_group=NAME: clients wait while the database is switched over
`

func newHandler(o Options, errorLog *stdlog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { serveReady(w, r, o.Source, o.Log) })
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, o.Source.Snapshot(), o.Log)
	})
	mux.Handle("GET /metrics", metricsHandler(o.Source, errorLog))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, index) })
	if c, ok := o.Source.(Controller); ok {
		addControl(mux, c)
	}
	if o.Pprof {
		mux.Handle("GET /debug/pprof/", unhurried(http.HandlerFunc(pprof.Index)))
		mux.Handle("GET /debug/pprof/cmdline", http.HandlerFunc(pprof.Cmdline))
		mux.Handle("GET /debug/pprof/profile", unhurried(http.HandlerFunc(pprof.Profile)))
		mux.Handle("GET /debug/pprof/symbol", http.HandlerFunc(pprof.Symbol))
		mux.Handle("GET /debug/pprof/trace", unhurried(http.HandlerFunc(pprof.Trace)))
	}
	if o.AllowRemote {
		return plainly(mux)
	}
	return plainly(locally(mux))
}

// plainly sets what holds for every answer.
func plainly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// locally refuses requests for a host name other than localhost: a page in a browser on this machine could otherwise read
// the answers, by a name of its own that resolves to the loopback address (DNS rebinding).
func locally(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		_, err := netip.ParseAddr(strings.Trim(host, "[]"))
		if err != nil && host != "" && !strings.EqualFold(host, "localhost") {
			writeText(w, http.StatusForbidden, "ask for localhost or an address, not for a name\n")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// unhurried lifts the write timeout, which a profile of a minute would meet.
func unhurried(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Where it cannot be lifted, the profile is cut off, which its reader sees.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
		next.ServeHTTP(w, r)
	})
}

func metricsHandler(source Source, errorLog *stdlog.Logger) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collector{source},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog:            errorLog,
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes,
		Timeout:             scrapeTimeout,
	})
}

// readiness is the answer of /readyz?verbose.
type readiness struct {
	Ready  bool    `json:"ready"`
	Checks []Check `json:"checks"`
}

func serveReady(w http.ResponseWriter, r *http.Request, source Source, log *zap.Logger) {
	answer := readiness{Ready: true, Checks: source.Ready()}
	var failed []string
	for _, c := range answer.Checks {
		if !c.OK {
			answer.Ready = false
			failed = append(failed, c.Name)
		}
	}
	status := http.StatusOK
	if !answer.Ready {
		status = http.StatusServiceUnavailable
	}
	switch {
	case r.URL.Query().Has("verbose"):
		writeJSON(w, status, answer, log)
	case answer.Ready:
		writeText(w, status, "ready\n")
	default:
		writeText(w, status, "not ready: "+strings.Join(failed, ", ")+"\n")
	}
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	// The client has gone; there is nobody to tell.
	_, _ = w.Write([]byte(text))
}

func writeJSON(w http.ResponseWriter, status int, v any, log *zap.Logger) {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		log.Warn("admin answer cannot be encoded", zap.Error(err))
		writeText(w, http.StatusInternalServerError, "cannot be encoded\n")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The client has gone; there is nobody to tell.
	_, _ = w.Write(append(text, '\n'))
}
