// SPDX-License-Identifier: Apache-2.0

package target_test

import (
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/target"
)

// fakeOptions are for a server of the test's own at addr.
func fakeOptions(t testing.TB, addr string) target.Options {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return target.Options{Host: host, Port: n, TLSMode: target.TLSDisable, ConnectTimeout: patience}
}

// serve starts a server that plays a script on each connection, the n-th one on
// the n-th (the last one on all later ones), and closes it then.
func serve(t testing.TB, scripts ...func(nc net.Conn)) target.Options {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			_ = nc.SetDeadline(time.Now().Add(patience))
			scripts[min(i, len(scripts)-1)](nc)
			_ = nc.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return fakeOptions(t, l.Addr().String())
}
