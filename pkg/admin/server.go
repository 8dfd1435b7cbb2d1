// SPDX-License-Identifier: Apache-2.0

// Package admin serves what operators and their tools ask a running daemon over HTTP: whether it lives (/livez) and is ready
// (/readyz), its metrics for Prometheus (/metrics), and its state as JSON (/status).
//
// There is no login, so the listener is on a loopback address unless the configuration says in so many words that others may
// reach it, and nothing secret is shown. It knows the rest of the daemon by the interface Source only, which gives out
// figures by value.
package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/rdsproxy/rdsproxy/pkg/config"
)

// Limits of the listener. A scrape is small and quick; whoever needs more is no friend.
const (
	maxConns        = 256
	maxHeaderBytes  = 8 << 10
	headerTimeout   = 5 * time.Second
	readTimeout     = 10 * time.Second
	writeTimeout    = 30 * time.Second
	idleTimeout     = time.Minute
	scrapeTimeout   = 10 * time.Second
	maxScrapes      = 4
	keepAlivePeriod = 30 * time.Second
)

// Options set up a Server.
type Options struct {
	// Listen is host:port; AllowRemote permits one that is not a loopback address.
	Listen      string
	AllowRemote bool
	// Pprof serves /debug/pprof/.
	Pprof bool
	// Source answers the requests.
	Source Source
	// Log gets what goes wrong in a request; nil means no log.
	Log *zap.Logger
}

// Server is the admin listener.
type Server struct {
	http     *http.Server
	listener net.Listener
}

// Listen opens the address. It fails if the address is taken, or is not a loopback one and Options.AllowRemote is not set.
// The caller calls Serve, or Shutdown to give the address up again.
func Listen(ctx context.Context, o Options) (*Server, error) {
	if !o.AllowRemote && !config.IsLoopback(o.Listen) {
		return nil, fmt.Errorf("admin listener: %s is not a loopback address, and remote access is not allowed", o.Listen)
	}
	lc := net.ListenConfig{KeepAlive: keepAlivePeriod}
	l, err := lc.Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("admin listener: %w", err)
	}
	// A name such as localhost may resolve to anything.
	if tcp, ok := l.Addr().(*net.TCPAddr); !o.AllowRemote && (!ok || !tcp.IP.IsLoopback()) {
		return nil, errors.Join(fmt.Errorf("admin listener: %s is not a loopback address", l.Addr()), l.Close())
	}
	log := cmp.Or(o.Log, zap.NewNop())
	o.Log = log
	errorLog, err := zap.NewStdLogAt(log, zap.WarnLevel)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("admin listener: %w", err), l.Close())
	}
	return &Server{
		listener: limit(l, maxConns),
		http: &http.Server{
			Handler:           newHandler(o, errorLog),
			ReadHeaderTimeout: headerTimeout,
			ReadTimeout:       readTimeout,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeaderBytes,
			ErrorLog:          errorLog,
		},
	}, nil
}

// Addr is where it listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve answers requests until Shutdown; then it returns nil.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin listener: %w", err)
	}
	return nil
}

// Shutdown stops listening, and waits for requests under way until ctx ends; what is left is cut off.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	// http.Server does not know the listener before Serve.
	if cerr := s.listener.Close(); cerr != nil && !errors.Is(cerr, net.ErrClosed) {
		err = errors.Join(err, cerr)
	}
	return err
}
