// SPDX-License-Identifier: Apache-2.0

package netloop_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/netloop"
)

// childEnv makes the test binary a relay: a process of its own, so that its CPU
// time and context switches are those of relaying and not of the load. Its value
// is "shape,raw wait,target address"; the shapes are goroutines, block and park, with
// "batch+" in front or not.
const childEnv = "NETLOOP_TEST_RELAY"

// runChild is the whole life of such a process.
func runChild() {
	plan := os.Getenv(childEnv)
	if plan == "" {
		return
	}
	if err := relayProcess(plan); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// relayProcess relays every connection that it gets to the target. It prints its
// address, and its resource usage for each line that it reads.
func relayProcess(plan string) error {
	parts := strings.SplitN(plan, ",", 3)
	raw, err := time.ParseDuration(parts[1])
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	serve := goroutineRelay
	if shape, batch := strings.CutPrefix(parts[0], "batch+"); batch {
		parts[0] = shape
		if err := netloop.ScheduleInBatches(); err != nil {
			return err
		}
	}
	if parts[0] != "goroutines" {
		o := netloop.Options{Driver: netloop.DriverEpoll, HoldProcessor: raw}
		l, err := netloop.New(o.Blocking(parts[0] == "block"))
		if err != nil {
			return err
		}
		runtime.GOMAXPROCS(runtime.NumCPU() + 1) // as docs/netloop.md wants it
		go func() { _ = l.Run() }()
		l.Post(func() { // as there always is one
			var t netloop.Timer
			t.Init(func() { l.Arm(&t, time.Minute) })
			l.Arm(&t, time.Minute)
		})
		serve = func(a, b net.Conn) { loopRelay(l, a, b) }
	}
	go func() {
		for {
			a, err := ln.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("tcp", parts[2])
			if err != nil {
				return
			}
			serve(a, b)
		}
	}()
	fmt.Println(ln.Addr())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var ru syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
			return err
		}
		fmt.Println(ru.Utime.Nano(), ru.Stime.Nano(), ru.Nvcsw, ru.Nivcsw)
	}
	return nil
}

func loopRelay(l *netloop.Loop, a, b net.Conn) {
	l.Post(func() {
		end := make(chan error, 2)
		ra, rb := &relay{end: end}, &relay{end: end}
		ca, err := l.Attach(netloop.NewTransport(a), nil, ra)
		if err != nil {
			return
		}
		cb, err := l.Attach(netloop.NewTransport(b), nil, rb)
		if err != nil {
			return
		}
		ra.peer, rb.peer = cb, ca
	})
}

// goroutineRelay is the shape that the loop is measured against. It copies by
// hand, since io.Copy would splice.
func goroutineRelay(a, b net.Conn) {
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		go func() {
			defer way[1].Close()
			buf := make([]byte, 8<<10)
			for {
				n, err := way[0].Read(buf)
				if n > 0 {
					if _, err := way[1].Write(buf[:n]); err != nil {
						return
					}
				}
				if err != nil {
					return
				}
			}
		}()
	}
}

// A child is a relay process.
type child struct {
	pid   int
	addr  string
	usage func() usage
}

// usage is what a process has used.
type usage struct {
	user, system        time.Duration
	voluntary, enforced int64 // context switches
}

func (u usage) minus(v usage) usage {
	return usage{u.user - v.user, u.system - v.system, u.voluntary - v.voluntary, u.enforced - v.enforced}
}

func startChild(t testing.TB, shape string, raw time.Duration, target string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s,%s,%s", childEnv, shape, raw, target))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("relay process: %v", err)
		}
	})
	out := bufio.NewScanner(stdout)
	line := func() string {
		if !out.Scan() {
			t.Fatalf("relay process ended: %v", out.Err())
		}
		return out.Text()
	}
	c := &child{pid: cmd.Process.Pid, addr: line()}
	c.usage = func() (u usage) {
		fmt.Fprintln(in)
		if _, err := fmt.Sscan(line(), &u.user, &u.system, &u.voluntary, &u.enforced); err != nil {
			t.Fatal(err)
		}
		return u
	}
	return c
}
