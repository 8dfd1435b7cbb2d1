// SPDX-License-Identifier: Apache-2.0

package mylogin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gomysql "github.com/go-mysql-org/go-mysql/mysql"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/login"
	"github.com/rdsproxy/rdsproxy/pkg/proxy/mylogin"
	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

const (
	native  = mysql.PluginNative
	caching = mysql.PluginCachingSHA2
	clear   = mysql.PluginClear
)

// conduct is how a client answers. It is that of libmysqlclient: it does what it is told, with its password.
type conduct struct {
	user, password string
	plugin         string // of the handshake response
	silent         bool   // no answer with the handshake response
	tls            bool
	caps           mysql.Capabilities // beside those that all have
	without        mysql.Capabilities
	hasKey         bool // the client need not ask for the public key
}

// play logs in, and returns what came of it: the packets of the proxy, in words.
func play(t *testing.T, cfg *mylogin.Config, b conduct) (string, outcome) {
	t.Helper()
	c, done := dial(t.Context(), t, cfg)
	if b.tls {
		if err := c.startTLS(); err != nil {
			t.Fatal(err)
		}
	}
	l := mysql.Login{User: b.user, Plugin: b.plugin, Schema: "shop", Collation: 45, Capabilities: (basic | b.caps) &^ b.without}
	if !b.silent {
		l.AuthResponse = c.answer(b.plugin, b.password)
	}
	c.login(l)
	// A login that ended well says nothing more; then the waiting ends too.
	ended := make(chan outcome, 1)
	go func() {
		o := <-done
		if o.err == nil {
			_ = c.conn.SetReadDeadline(time.Unix(1, 0))
		}
		ended <- o
	}()
	for {
		payload, ok := c.receive()
		if !ok {
			break
		}
		c.heard = append(c.heard, show(payload))
		c.follow(b, payload)
	}
	o := <-ended
	if o.err != nil {
		c.heard = append(c.heard, "end")
	}
	holdsNoSecret(t, o.err)
	return strings.Join(c.heard, ", "), o
}

// follow does what a packet of the proxy asks for.
func (c *peer) follow(b conduct, payload []byte) {
	if plugin, salt, ok := mysql.ParseAuthSwitch(payload); ok {
		c.send(answer(plugin, b.password, salt))
		return
	}
	data, ok := mysql.ParseAuthMoreData(payload)
	switch {
	case !ok || len(data) == 0 || data[0] == mysql.CachingSHA2FastOK:
	case data[0] != mysql.CachingSHA2FullAuth: // the public key
		c.send(encrypted(b.password, c.greeting.Salt))
	case b.tls:
		c.send(append([]byte(b.password), 0))
	case b.hasKey:
		c.send(encrypted(b.password, c.greeting.Salt))
	default:
		c.send([]byte{mysql.CachingSHA2RequestKey})
	}
}

func encrypted(password string, salt []byte) []byte {
	sent, err := gomysql.EncryptPassword(password, salt, &key().PublicKey)
	must(err)
	return sent
}

func denied(user, used string) string {
	return fmt.Sprintf("ERROR 1045 (28000): Access denied for user '%s'@'localhost' (using password: %s)", user, used)
}

func TestLogin(t *testing.T) {
	const (
		old         = "ERROR 1251 (08004): Client does not support authentication protocol requested by server; consider upgrading MySQL client"
		tlsRequired = "ERROR 3159 (HY000): This RDS Proxy requires TLS connections."
	)
	for _, c := range []struct {
		name   string
		do     conduct
		heard  string
		reason string // "" for a login
		next   byte   // sequence id of the OK packet
	}{
		{"caching", conduct{user: "carl", password: password, plugin: caching}, "more [3]", "", 3},
		{"caching, TLS", conduct{user: "carl", password: password, plugin: caching, tls: true}, "more [3]", "", 4},
		{
			"caching, client of another plugin",
			conduct{user: "carl", password: password, plugin: native},
			"switch caching_sha2_password 20, more [3]", "", 5,
		},
		{
			"caching, client of MariaDB's ed25519",
			conduct{user: "carl", password: password, plugin: mysql.PluginEd25519},
			"switch caching_sha2_password 20, more [3]", "", 5,
		},
		{
			"caching, client of a plugin unheard of",
			conduct{user: "carl", password: password, plugin: "x"},
			"switch caching_sha2_password 20, more [3]", "", 5,
		},
		{
			"caching, named but not answered",
			conduct{user: "carl", password: password, plugin: caching, silent: true},
			"switch caching_sha2_password 20, more [3]", "", 5,
		},
		{
			"caching, wrong",
			conduct{user: "carl", password: "wrong", plugin: caching},
			"more [4], key, " + denied("carl", "YES") + ", end", "wrong_password", 0,
		},
		{
			"caching, wrong, client with key",
			conduct{user: "carl", password: "wrong", plugin: caching, hasKey: true},
			"more [4], " + denied("carl", "YES") + ", end", "wrong_password", 0,
		},
		{
			"caching, wrong, TLS",
			conduct{user: "carl", password: "wrong", plugin: caching, tls: true},
			"more [4], " + denied("carl", "YES") + ", end", "wrong_password", 0,
		},
		{
			"caching, empty",
			conduct{user: "carl", plugin: caching},
			"switch caching_sha2_password 20, " + denied("carl", "NO") + ", end", "wrong_password", 0,
		},
		{
			"caching, client from before plugins",
			conduct{user: "carl", password: password, plugin: native, without: mysql.ClientPluginAuth},
			old + ", end", "unsupported_protocol_version", 0,
		},
		{"native", conduct{user: "nat", password: password, plugin: native}, "", "", 2},
		{
			"native, client from before plugins",
			conduct{user: "nat", password: password, plugin: native, without: mysql.ClientPluginAuth | mysql.ClientPluginAuthLenenc},
			"", "", 2,
		},
		{
			"native, client of another plugin",
			conduct{user: "nat", password: password, plugin: caching},
			"switch mysql_native_password 20", "", 4,
		},
		{
			"native, client of another plugin, TLS",
			conduct{user: "nat", password: password, plugin: caching, tls: true},
			"switch mysql_native_password 20", "", 5,
		},
		{"native, wrong", conduct{user: "nat", password: "wrong", plugin: native}, denied("nat", "YES") + ", end", "wrong_password", 0},
		{
			"native, empty",
			conduct{user: "nat", plugin: native},
			"switch mysql_native_password 20, " + denied("nat", "NO") + ", end", "wrong_password", 0,
		},
		{
			"native, empty, client from before plugins",
			conduct{user: "nat", plugin: native, without: mysql.ClientPluginAuth},
			denied("nat", "NO") + ", end", "wrong_password", 0,
		},
		{
			"without SECURE_CONNECTION",
			conduct{user: "nat", password: password, plugin: native, without: mysql.ClientSecureConnection | mysql.ClientPluginAuthLenenc},
			old + ", end", "unsupported_protocol_version", 0,
		},
		{"clear, TLS", conduct{user: "clara", password: password, plugin: clear, tls: true}, "", "", 3},
		{
			"clear, TLS, client of another plugin",
			conduct{user: "clara", password: password, plugin: native, tls: true},
			"switch mysql_clear_password 0", "", 5,
		},
		{"clear, no TLS", conduct{user: "clara", password: password, plugin: clear}, tlsRequired + ", end", "tls_required", 0},
		{
			"clear, wrong",
			conduct{user: "clara", password: "wrong", plugin: clear, tls: true},
			denied("clara", "YES") + ", end", "wrong_password", 0,
		},
		{
			"token",
			conduct{user: "tom", password: token, plugin: caching, tls: true},
			"switch mysql_clear_password 0", "", 5,
		},
		{"token at once", conduct{user: "tom", password: token, plugin: clear, tls: true}, "", "", 3},
		{"token, no TLS", conduct{user: "tom", password: token, plugin: clear}, tlsRequired + ", end", "tls_required", 0},
		{
			"token, wrong",
			conduct{user: "tom", password: "wrong", plugin: clear, tls: true},
			denied("tom", "YES") + ", end", "token_refused", 0,
		},
		{"token, empty", conduct{user: "tom", plugin: clear, tls: true}, denied("tom", "NO") + ", end", "wrong_password", 0},
		{"either, token", conduct{user: "eve", password: token, plugin: caching, tls: true}, "more [4]", "", 5},
		{"either, token, clear", conduct{user: "eve", password: token, plugin: clear, tls: true}, "", "", 3},
		{
			"either, token, native",
			conduct{user: "eve", password: token, plugin: native, tls: true},
			"switch mysql_clear_password 0", "", 5,
		},
		{"either, password", conduct{user: "eve", password: password, plugin: caching, tls: true}, "more [3]", "", 4},
		{"either, password, clear", conduct{user: "eve", password: password, plugin: clear, tls: true}, "", "", 3},
		{"either, password, native", conduct{user: "eve", password: password, plugin: native, tls: true}, "", "", 3},
		{"either, no TLS", conduct{user: "eve", password: password, plugin: caching}, "more [3]", "", 3},
		{
			"either, wrong",
			conduct{user: "eve", password: "wrong", plugin: caching, tls: true},
			"more [4], " + denied("eve", "YES") + ", end", "wrong_password", 0,
		},
		{
			"either, wrong token",
			conduct{user: "eve", password: token + "x", plugin: caching, tls: true},
			"more [4], " + denied("eve", "YES") + ", end", "token_refused", 0,
		},
		{"native or token, password", conduct{user: "nate", password: password, plugin: native, tls: true}, "", "", 3},
		{
			"native or token, token",
			conduct{user: "nate", password: token, plugin: native, tls: true},
			"switch mysql_clear_password 0", "", 5,
		},
		{"native or token, token, caching", conduct{user: "nate", password: token, plugin: caching, tls: true}, "more [4]", "", 5},
		{
			"a password in clear, not asked for",
			conduct{user: "nat", password: password, plugin: clear, tls: true},
			"switch mysql_native_password 20", "", 5,
		},
		{
			"nobody",
			conduct{user: "nobody", password: password, plugin: caching},
			"more [4], key, " + denied("nobody", "YES") + ", end", "unknown_user", 0,
		},
		{
			"no name",
			conduct{user: "", password: password, plugin: caching, tls: true},
			"more [4], " + denied("", "YES") + ", end", "unknown_user", 0,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			heard, o := play(t, config(true), c.do)
			if heard != c.heard || o.reason() != c.reason {
				t.Errorf("heard %s; %s (%v)", heard, o.reason(), o.err)
			}
			if o.err != nil || c.reason != "" {
				return
			}
			l := o.login
			if l.User != c.do.user || l.Schema != "shop" || l.Collation != 45 || l.NextSeq != c.next ||
				(l.TLS != nil) != c.do.tls || l.Method != c.do.method() {
				t.Errorf("%+v", l)
			}
			if l.Capabilities.Has(mysql.ClientSSL) != c.do.tls || l.Capabilities&^mysql.ClientSSL != (basic|c.do.caps)&^c.do.without {
				t.Errorf("capabilities %#x", l.Capabilities)
			}
		})
	}
}

// method is how a client that does so logs in.
func (do conduct) method() auth.MySQLMethod {
	m := known()[do.user].Method()
	switch {
	case !m.TakesToken():
		return m
	case do.password == token:
		return auth.MySQLToken
	case do.plugin == caching:
		return auth.MySQLCachingSHA2
	case do.plugin == native:
		return auth.MySQLNative
	}
	return auth.MySQLCleartext
}

// TestFullAuthentication: a client whose scramble does not fit, but whose password does, is let in, as by a server that
// had forgotten it.
func TestFullAuthentication(t *testing.T) {
	for name, withTLS := range map[string]bool{"TLS": true, "RSA": false} {
		c, done := dial(t.Context(), t, config(withTLS))
		if withTLS {
			must(c.startTLS())
		}
		c.login(mysql.Login{User: "carl", Plugin: caching, AuthResponse: make([]byte, 32)})
		c.hear()
		if withTLS {
			c.send(append([]byte(password), 0))
		} else {
			c.send([]byte{mysql.CachingSHA2RequestKey})
			c.hear()
			c.send(encrypted(password, c.greeting.Salt))
		}
		if o := <-done; o.err != nil || o.login.NextSeq != c.seq || strings.Contains(fmt.Sprint(c.heard), "ERROR") {
			t.Errorf("%s: %v, %+v", name, c.heard, o)
		}
	}
	// Without TLS and key there is no way to ask for the password.
	cfg := config(false)
	cfg.Key = nil
	if heard, o := play(t, cfg, conduct{user: "carl", password: "wrong", plugin: caching}); heard != denied("carl", "YES")+", end" {
		t.Errorf("%s, %v", heard, o.err)
	}
}

// TestUnixSocket: clients take a Unix socket for secure, and send their password over it.
func TestUnixSocket(t *testing.T) {
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	near, err := net.Dial("unix", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	far, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	done := serve(t.Context(), far, config(false))
	c := &peer{t: t, conn: near}
	_, _ = c.receive()
	c.login(mysql.Login{User: "clara", Plugin: clear, AuthResponse: []byte(password + "\x00")})
	if o := <-done; o.err != nil {
		t.Error(o.err)
	}
}

func TestGreeting(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*mylogin.Config)
		want   mysql.Greeting
	}{
		{"as it is", func(*mylogin.Config) {}, mysql.Greeting{
			Version: "8.4.6-rdsproxy", Capabilities: offered | basic, Collation: 255, Plugin: caching,
		}},
		{"TLS", func(c *mylogin.Config) { c.TLS = tlsConfig }, mysql.Greeting{
			Version: "8.4.6-rdsproxy", Capabilities: offered | basic | mysql.ClientSSL, Collation: 255, Plugin: caching,
		}},
		{"TLS that is not there", func(c *mylogin.Config) { c.Greeting.Capabilities |= mysql.ClientSSL }, mysql.Greeting{
			Version: "8.4.6-rdsproxy", Capabilities: offered | basic, Collation: 255, Plugin: caching,
		}},
		{"MariaDB", func(c *mylogin.Config) {
			c.UnknownMethod = auth.MySQLNative
			c.Greeting = mylogin.Greeting{
				Version: "11.4.2-MariaDB", Collation: 45,
				Capabilities: mysql.ClientTransactions | mysql.MariaDBCacheMetadata | mysql.MariaDBStmtBulkOperations,
			}
		}, mysql.Greeting{
			Version: "11.4.2-MariaDB", Collation: 45, Plugin: native,
			Capabilities: mysql.ClientProtocol41 | mysql.ClientSecureConnection | mysql.ClientPluginAuth |
				mysql.ClientPluginAuthLenenc | mysql.ClientConnectWithDB | mysql.ClientConnectAttrs |
				mysql.ClientTransactions | mysql.MariaDBCacheMetadata | mysql.MariaDBStmtBulkOperations,
		}},
		{"extended bits of MySQL", func(c *mylogin.Config) { c.Greeting.Capabilities |= mysql.MariaDBCacheMetadata }, mysql.Greeting{
			Version: "8.4.6-rdsproxy", Capabilities: offered | basic, Collation: 255, Plugin: caching,
		}},
		{"token", func(c *mylogin.Config) { c.UnknownMethod = auth.MySQLToken }, mysql.Greeting{
			Version: "8.4.6-rdsproxy", Capabilities: offered | basic, Collation: 255, Plugin: caching,
		}},
	} {
		cfg := config(false)
		c.change(cfg)
		p, done := dial(t.Context(), t, cfg)
		got := *p.greeting
		if len(got.Salt) != auth.MySQLSaltSize || strings.ContainsAny(string(got.Salt), "\x00$") {
			t.Errorf("%s: salt %q", c.name, got.Salt)
		}
		got.Salt = nil
		c.want.ThreadID, c.want.Status = 7, mysql.StatusAutocommit
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got\n%+v, want\n%+v", c.name, got, c.want)
		}
		p.conn.Close()
		if o := <-done; o.reason() != "disconnected" {
			t.Errorf("%s: %v", c.name, o.err)
		}
	}
}

// TestAgreement: what counts is what both sides have.
func TestAgreement(t *testing.T) {
	for _, c := range []struct {
		name           string
		offered, asked mysql.Capabilities
		level          byte
		want           mysql.Capabilities
		compression    mylogin.Compression
		wantLevel      int
		reason         string
	}{
		{"nothing much", basic, 0, 0, 0, mylogin.Uncompressed, 0, ""},
		{"zlib", offered, mysql.ClientCompress, 0, mysql.ClientCompress, mylogin.Zlib, 0, ""},
		{"zlib, not offered", basic, mysql.ClientCompress, 0, 0, mylogin.Uncompressed, 0, ""},
		{"zstd", offered, mysql.ClientZstd, 3, mysql.ClientZstd, mylogin.Zstd, 3, ""},
		{"zstd, the highest", offered, mysql.ClientZstd, 22, mysql.ClientZstd, mylogin.Zstd, 22, ""},
		{"zstd, too high", offered, mysql.ClientZstd, 23, 0, 0, 0, "bad_startup_packet"},
		{"zstd, no level", offered, mysql.ClientZstd, 0, 0, 0, 0, "bad_startup_packet"},
		{"zstd, not offered", basic, mysql.ClientZstd, 99, 0, mylogin.Uncompressed, 0, ""},
		{
			"both", offered, mysql.ClientZstd | mysql.ClientCompress, 9, mysql.ClientZstd | mysql.ClientCompress,
			mylogin.Zlib, 0, "",
		},
		{
			"class", offered, mysql.ClientFoundRows | mysql.ClientMultiStatements, 0,
			mysql.ClientFoundRows | mysql.ClientMultiStatements, mylogin.Uncompressed, 0, "",
		},
		{"not known here", offered, mysql.ClientMultiFactor | mysql.ClientODBC, 0, 0, mylogin.Uncompressed, 0, ""},
		{
			"MariaDB's", offered&^mysql.ClientLongPassword | mysql.MariaDBCacheMetadata,
			mysql.MariaDBCacheMetadata | mysql.MariaDBProgress, 0, mysql.MariaDBCacheMetadata, mylogin.Uncompressed, 0, "",
		},
		{"MariaDB's, not offered", offered, mysql.MariaDBCacheMetadata, 0, 0, mylogin.Uncompressed, 0, ""},
	} {
		cfg := config(false)
		cfg.Greeting.Capabilities = c.offered
		p, done := dial(t.Context(), t, cfg)
		always := basic &^ mysql.ClientLongPassword
		p.login(mysql.Login{
			User: "nat", Plugin: native, AuthResponse: p.answer(native, password), ZstdLevel: c.level,
			Capabilities: always | c.asked, MaxPacket: 1 << 24,
		})
		if c.reason != "" {
			p.hear()
		}
		o := <-done
		if o.reason() != c.reason {
			t.Errorf("%s: %v", c.name, o.err)
		} else if l := o.login; o.err == nil && (l.Capabilities != always|c.want || l.Compression != c.compression ||
			l.ZstdLevel != c.wantLevel || l.MaxPacket != 1<<24) {
			t.Errorf("%s: %+v", c.name, l)
		}
	}
}

func TestConnectAttributes(t *testing.T) {
	c, done := dial(t.Context(), t, config(false))
	attributes := []mysql.Attribute{{Name: "_client_name", Value: "x"}, {Name: "program_name", Value: ""}}
	// With an auth switch too, after which some servers forget them.
	c.login(mysql.Login{
		User: "nat", Plugin: caching, AuthResponse: make([]byte, 32), Capabilities: basic | mysql.ClientConnectAttrs,
		Attributes: attributes,
	})
	c.hear()
	c.send(c.answer(native, password))
	if o := <-done; o.err != nil || !reflect.DeepEqual(o.login.Attributes, attributes) {
		t.Errorf("%+v, %v", o.login, o.err)
	}
}

// TestRequireTLS: it is the connection that counts. A client without TLS is refused, whatever bits it sends, and learns
// nothing about its password.
func TestRequireTLS(t *testing.T) {
	for _, caps := range []mysql.Capabilities{0, mysql.ClientSSL} {
		for _, secret := range []string{password, "wrong"} {
			cfg := config(true)
			cfg.RequireTLS = true
			heard, o := play(t, cfg, conduct{user: "nat", password: secret, plugin: native, caps: caps})
			if heard != "ERROR 3159 (HY000): This RDS Proxy requires TLS connections., end" || o.reason() != "tls_required" {
				t.Errorf("%s, %v", heard, o.err)
			}
		}
	}
	cfg := config(true)
	cfg.RequireTLS = true
	if heard, o := play(t, cfg, conduct{user: "nat", password: password, plugin: native, tls: true}); o.err != nil {
		t.Errorf("%s, %v", heard, o.err)
	}
}

// TestTokenThatTakesTooLong: the check ends with the login, and the client is told.
func TestTokenThatTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(true)
		cfg.Tokens = tokens(func(ctx context.Context, _, _ string) error { <-ctx.Done(); return ctx.Err() })
		ctx, cancel := context.WithCancel(t.Context())
		c, done := dial(ctx, t, cfg)
		must(c.startTLS())
		c.login(mysql.Login{User: "tom", Plugin: clear, AuthResponse: []byte(token)})
		synctest.Wait()
		cancel()
		c.hear()
		go func() { _, _ = io.Copy(io.Discard, c.conn) }()
		if o := <-done; o.reason() != "shutdown" || !strings.HasPrefix(c.heard[0], "ERROR 1053 (08S01): ") {
			t.Errorf("%v, %v", c.heard, o.err)
		}
	})
}

// TestTokenNotConfigured: nobody gets in.
func TestTokenNotConfigured(t *testing.T) {
	cfg := config(true)
	cfg.Tokens = nil
	if heard, o := play(t, cfg, conduct{user: "tom", password: token, plugin: clear, tls: true}); o.reason() != "wrong_password" {
		t.Errorf("%s, %v", heard, o.err)
	}
}

func TestReasons(t *testing.T) {
	seen := map[string]bool{}
	for r := login.Disconnected; r <= login.TokenRefused; r++ {
		if s := r.String(); s == "unknown" || s == "" || seen[s] {
			t.Errorf("%d: %q", r, s)
		}
		seen[r.String()] = true
	}
	if login.Reason(0).String() != "unknown" || login.Reason(200).String() != "unknown" {
		t.Error("a name for no reason")
	}
	cause := errors.New("x")
	e := &login.Error{Reason: login.BadPacket, User: "a\nb", Cause: cause}
	if !errors.Is(e, cause) || strings.Contains(e.Error(), "\n") {
		t.Errorf("%q", e)
	}
}
