// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/rdsproxy/rdsproxy/pkg/config"
)

// certificateEvery is how often certificate files are read again. They are
// small, and tools replace them in ways (symlinks, new folders) that change
// notifications miss.
const certificateEvery = 5 * time.Second

// certificate is an endpoint's certificate, which follows its files.
type certificate struct {
	current atomic.Pointer[tls.Config] // nil: no TLS

	mu      sync.Mutex
	loaded  loadedCertificate
	failing bool
}

// loadedCertificate is what files said, and the settings made of it.
type loadedCertificate struct {
	conf      config.EndpointTLS
	cert, key []byte
	tls       *tls.Config
}

// same tells whether o would change nothing.
func (l *loadedCertificate) same(o *loadedCertificate) bool {
	return l.conf == o.conf && bytes.Equal(l.cert, o.cert) && bytes.Equal(l.key, o.key)
}

// loadCertificate reads the files of a configuration; without any the endpoint
// offers no TLS.
func loadCertificate(conf config.EndpointTLS) (l loadedCertificate, err error) {
	l.conf = conf
	if !conf.Enabled() {
		return l, nil
	}
	if l.cert, err = os.ReadFile(conf.CertFile); err != nil {
		return l, fmt.Errorf("tls.cert_file: %w", err)
	}
	if l.key, err = os.ReadFile(conf.KeyFile); err != nil {
		return l, fmt.Errorf("tls.key_file: %w", err)
	}
	pair, err := tls.X509KeyPair(l.cert, l.key)
	if err != nil {
		return l, fmt.Errorf("tls: %s and %s: %w", conf.CertFile, conf.KeyFile, err)
	}
	version := uint16(tls.VersionTLS12)
	if conf.MinVersion == "1.3" {
		version = tls.VersionTLS13
	}
	l.tls = &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   version,
		// Records grow to full size at once; the loop limits them itself.
		DynamicRecordSizingDisabled: true,
	}
	return l, nil
}

// install puts a certificate in force.
func (c *certificate) install(l loadedCertificate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(l)
}

// put is install with the lock held; it tells whether anything has changed.
func (c *certificate) put(l loadedCertificate) bool {
	c.failing = false
	if c.loaded.same(&l) {
		return false
	}
	c.loaded = l
	c.current.Store(l.tls)
	return true
}

// follow reads the files again until ctx ends.
func (c *certificate) follow(ctx context.Context, log *zap.Logger) {
	ticker := time.NewTicker(certificateEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			c.refresh(log)
		}
	}
}

// refresh reads the files once more. If they are not fit for use the certificate
// that is in force stays; a change of two files is seen half done at times.
func (c *certificate) refresh(log *zap.Logger) {
	c.mu.Lock()
	defer c.mu.Unlock()
	conf := c.loaded.conf
	if !conf.Enabled() {
		return
	}
	l, err := loadCertificate(conf)
	switch {
	case err != nil:
		if !c.failing {
			log.Error("A changed certificate could not be loaded; the old one stays in use.", zap.Error(err))
		}
		c.failing = true
	case c.put(l):
		log.Info("A changed certificate was loaded.", zap.String("file", conf.CertFile))
	}
}
