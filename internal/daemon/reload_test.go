// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"crypto/tls"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rdsproxy/rdsproxy/test/certs"
)

// TestReload: what a reload can change it changes for clients that come, and those
// who are there stay.
func TestReload(t *testing.T) {
	s := newScene(t)
	db := newFakeDB(t, "orders")
	s.configure("", db)
	s.start()
	old := s.client()
	s.secret("second", "open")
	s.configure("auth: [{user: app, secret: app.json}, {user: second, secret: second.json}]", db)
	s.reload(taken)
	if c, err := s.connect("second", "open"); err != nil {
		t.Error(err)
	} else {
		s.ask(c, "SELECT 1")
	}
	if got := s.ask(old, "SELECT 1"); got != "orders" {
		t.Errorf("answered by %q", got)
	}
}

// TestReloadRefused: of a configuration with a mistake in it nothing is taken over.
func TestReloadRefused(t *testing.T) {
	s := newScene(t)
	db := newFakeDB(t, "orders")
	s.configure("", db)
	s.start()
	old := s.client()
	s.secret("second", "open")
	users := "auth: [{user: app, secret: app.json}, {user: second, secret: second.json}]\n"
	for _, mistake := range []string{
		"idle_client_timeout: soon",
		"no_such_setting: 1",
		"endpoints: [{name: main, listen: '127.0.0.1:0', target_group: nowhere}]",
		"endpoints: [{name: main, listen: '127.0.0.1:0', target_group: orders, tls: {cert_file: none.pem, key_file: none.pem}}]",
	} {
		s.configure(users+mistake, db)
		s.reload(refused)
		if _, err := s.connect("second", "open"); err == nil {
			t.Errorf("%s: a user of the refused configuration got in", mistake)
		}
	}
	if got := s.ask(old, "SELECT 1"); got != "orders" {
		t.Errorf("answered by %q", got)
	}
}

// TestReloadCertificate: an endpoint gets a certificate, and then another one.
func TestReloadCertificate(t *testing.T) {
	s := newScene(t)
	db := newFakeDB(t, "orders")
	s.configure("", db)
	s.start()
	if c := s.client(); usesTLS(c) {
		t.Error("TLS without a certificate")
	}
	ca, err := certs.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue(certs.Request{Hosts: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := pair.Write(s.dir, "server")
	if err != nil {
		t.Fatal(err)
	}
	s.configure(fmt.Sprintf("endpoints: [{name: main, listen: '127.0.0.1:0', target_group: orders, tls: {cert_file: %q, key_file: %q}}]", cert, key), db)
	s.reload(taken)
	if c := s.client(); !usesTLS(c) {
		t.Error("no TLS with a certificate")
	}
}

func usesTLS(c *pgconn.PgConn) bool {
	_, ok := c.Conn().(*tls.Conn)
	return ok
}

// TestReloadNeedsRestart: what only a restart can change is named, and stays.
func TestReloadNeedsRestart(t *testing.T) {
	s := newScene(t)
	first, second := newFakeDB(t, "orders"), newFakeDB(t, "bills")
	s.configure("", first, second)
	s.start()
	s.configure("endpoints: [{name: main, listen: '127.0.0.1:0', target_group: bills}]", first, second)
	s.reload(taken)
	s.waitLog("A changed setting waits for a restart.", 1)
	if got := s.ask(s.client(), "SELECT 1"); got != "orders" {
		t.Errorf("answered by %q", got)
	}
}
