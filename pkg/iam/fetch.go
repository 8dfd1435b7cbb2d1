// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"time"
)

// noRedirects makes a client that goes nowhere but where it is sent: it follows no redirect and asks no proxy of the
// environment. transport is for tests; nil is a plain one.
func noRedirects(transport http.RoundTripper, timeout time.Duration) *http.Client {
	if transport == nil {
		transport = &http.Transport{
			Proxy:                  nil,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2:      true,
			MaxIdleConnsPerHost:    4,
			MaxConnsPerHost:        32,
			IdleConnTimeout:        90 * time.Second,
			TLSHandshakeTimeout:    timeout,
			MaxResponseHeaderBytes: 32 << 10,
		}
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       timeout,
	}
}

// withoutURL takes the URL off an error of net/http: it holds the token.
func withoutURL(err error) error {
	if ue := (*url.Error)(nil); errors.As(err, &ue) {
		return ue.Err
	}
	return err
}
