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
	current atomic.Pointer[tls.Config]

	mu        sync.Mutex
	conf      config.EndpointTLS
	cert, key []byte
	failing   bool
}

// set loads the files of a configuration; without any the endpoint offers no
// TLS. On an error nothing changes.
func (c *certificate) set(conf config.EndpointTLS) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !conf.Enabled() {
		c.conf = conf
		c.current.Store(nil)
		return nil
	}
	return c.load(conf)
}

func (c *certificate) load(conf config.EndpointTLS) error {
	cert, err := os.ReadFile(conf.CertFile)
	if err != nil {
		return fmt.Errorf("tls.cert_file: %w", err)
	}
	key, err := os.ReadFile(conf.KeyFile)
	if err != nil {
		return fmt.Errorf("tls.key_file: %w", err)
	}
	if conf == c.conf && bytes.Equal(cert, c.cert) && bytes.Equal(key, c.key) {
		return nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("tls: %s and %s: %w", conf.CertFile, conf.KeyFile, err)
	}
	version := uint16(tls.VersionTLS12)
	if conf.MinVersion == "1.3" {
		version = tls.VersionTLS13
	}
	c.conf, c.cert, c.key = conf, cert, key
	c.current.Store(&tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   version,
		// Records grow to full size at once; the loop limits them itself.
		DynamicRecordSizingDisabled: true,
	})
	return nil
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

func (c *certificate) refresh(log *zap.Logger) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.conf.Enabled() {
		return
	}
	before := c.current.Load()
	err := c.load(c.conf)
	switch {
	case err != nil && !c.failing:
		log.Error("A changed certificate could not be loaded; the old one stays in use.", zap.Error(err))
	case err == nil && c.current.Load() != before:
		log.Info("A changed certificate was loaded.", zap.String("file", c.conf.CertFile))
	}
	c.failing = err != nil
}
