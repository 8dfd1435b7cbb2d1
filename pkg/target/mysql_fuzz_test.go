// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	mywire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// FuzzMySQLLogin: a login and a set-up take anything without panic or delay.
func FuzzMySQLLogin(f *testing.F) {
	salt := []byte("01234567890123456789")
	hello := mywire.AppendGreeting(nil, 0, &mywire.Greeting{
		Version: "9.7.4", Salt: salt, Plugin: mywire.PluginCachingSHA2, Capabilities: mywire.Always | mywire.ClientFoundRows,
	})
	ok := mywire.AppendOK(nil, 2, mywire.Always, mywire.OK{})
	row := mywire.AppendColumnCount(nil, 1, mywire.Always, 1, true)
	row = mywire.AppendColumn(row, 2, mywire.Always, &mywire.Column{})
	row = mywire.AppendTextRow(row, 3, []byte("v"))
	row = mywire.AppendResultEnd(row, 4, mywire.Always, mywire.OK{})
	join := func(parts ...[]byte) (all []byte) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	f.Add(join(hello, ok, row, row))
	f.Add(join(hello, mywire.AppendAuthMoreData(nil, 2, []byte{4}), mywire.AppendAuthMoreData(nil, 4, []byte("-----BEGIN PUBLIC KEY-----\n"))))
	for _, plugin := range []string{mywire.PluginNative, mywire.PluginSHA256, mywire.PluginEd25519, mywire.PluginClear} {
		f.Add(join(hello, mywire.AppendAuthSwitch(nil, 2, plugin, salt), mywire.AppendOK(nil, 4, mywire.Always, mywire.OK{})))
	}
	f.Add(mywire.AppendError(nil, 0, 0, mywire.NewError(mywire.CodeConCount, "no")))
	f.Fuzz(func(t *testing.T, data []byte) {
		near, far := net.Pipe()
		served := make(chan struct{})
		go func() {
			defer close(served)
			go func() { _, _ = io.Copy(io.Discard, far) }()
			_, _ = far.Write(data)
			_ = far.Close()
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		d := NewMySQLDialer(MySQLOptions{
			Host: "127.0.0.1", Port: 3306, TLSMode: TLSDisable, InitQuery: "SELECT 1", Variables: []string{"autocommit"}, KeyRetrieval: KeyAlways,
		})
		s := &mysqlSession{link: link{conn: near, wrapped: near}, packets: packets{in: near, out: near, left: maxLoginBytes}}
		_, err := d.open(ctx, s, MySQLRequest{User: "u", Password: "p"}, false)
		if err == nil {
			_, err = d.setUp(ctx, s)
		}
		if err != nil {
			_ = d.fail(ctx, StageLogin, err).Error()
		}
		_ = near.Close()
		<-served
		if ctx.Err() != nil {
			t.Fatal("the login hangs")
		}
	})
}
