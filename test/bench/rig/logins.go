// SPDX-License-Identifier: Apache-2.0

//go:build linux

package rig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/rdsproxy/rdsproxy/pkg/iam"
	"github.com/rdsproxy/rdsproxy/pkg/rdstoken"
	"github.com/rdsproxy/rdsproxy/test/bench/measure"
	"github.com/rdsproxy/rdsproxy/test/bench/pgload"
)

// Logins is a load of clients that log in and out again, 16 at a time.
type Logins struct {
	TLS   bool
	Token bool          // by an IAM token, to the program of this repository in front of PostgreSQL
	Warm  time.Duration // left out at the beginning
	For   time.Duration // measured
}

// LoginCost is what logins cost a process.
type LoginCost struct {
	PerSecond float64
	CPU       time.Duration // of each
	User      time.Duration // the part of it that is spent in the program itself, not in the kernel
}

// Through runs the load against the instance and measures the instance's process meanwhile.
func (l Logins) Through(ctx context.Context, i *Instance) (c LoginCost, err error) {
	one, err := l.client(ctx, i)
	if err != nil {
		return c, err
	}
	var done atomic.Int64
	watched := make(chan error, 1)
	over := time.Now().Add(l.Warm + l.For)
	go func() {
		var watchErr error
		c, watchErr = l.watch(ctx, i, &done)
		watched <- watchErr
	}()
	err = each(ctx, -1, func(ctx context.Context, k int) error {
		if time.Now().After(over) {
			return errOver
		}
		err := one(ctx, source(k))
		done.Add(1)
		return err
	})
	if errors.Is(err, errOver) {
		err = nil
	}
	if err = errors.Join(err, <-watched); err != nil {
		return c, fmt.Errorf("logins to %s: %w", i.name, err)
	}
	return c, nil
}

var errOver = errors.New("the load is over")

// watch reads what the process has used, and how many logins were done, at the beginning and at the end of the measured part.
func (l Logins) watch(ctx context.Context, i *Instance, done *atomic.Int64) (c LoginCost, err error) {
	if !sleep(ctx, l.Warm) {
		return c, ctx.Err()
	}
	before, err := measure.Consumed(i.PID())
	if err != nil {
		return c, err
	}
	first := done.Load()
	if !sleep(ctx, l.For-50*time.Millisecond) {
		return c, ctx.Err()
	}
	n := done.Load() - first
	after, err := measure.Consumed(i.PID())
	if err != nil || n == 0 {
		return c, errors.Join(err, errors.New("no login was measured"))
	}
	c.PerSecond = float64(n) / after.At.Sub(before.At).Seconds()
	c.CPU = (after.CPU - before.CPU) / time.Duration(n)
	// The kernel counts the two parts in ticks, too coarsely for anything but their proportion.
	if ticks := after.UserTicks - before.UserTicks + after.SystemTicks - before.SystemTicks; ticks > 0 {
		c.User = time.Duration(float64(c.CPU) * float64(after.UserTicks-before.UserTicks) / float64(ticks))
	}
	return c, nil
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// client gives the function that logs one client in and out.
func (l Logins) client(ctx context.Context, i *Instance) (func(context.Context, net.IP) error, error) {
	if i.mysql {
		return func(ctx context.Context, from net.IP) error {
			c, err := i.Login(ctx, l.TLS, from)
			if err != nil {
				return err
			}
			return c.Close(ctx)
		}, nil
	}
	t := &pgload.Target{
		Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(i.Port)), User: i.User, Password: Password, Database: Database, TLS: i.tls.clientTLS(l.TLS),
	}
	if l.Token {
		t.User = tokenUser(i.User)
		token, err := rdstoken.RDS(ctx, credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
			iam.Address{Host: "localhost", Port: uint16(i.Port)}, region, t.User)
		if err != nil {
			return nil, err
		}
		t.Password = token.Reveal()
	}
	return t.LogInAndOut, nil
}

// What tokens are made with and checked against.
const (
	region    = "eu-central-1"
	accessKey = "AKIABENCHBENCHBENCH0"
	secretKey = "bench-only-bench-only-bench-only-bench-o"
)

// tokenUser is the user beside each other one who logs in by token.
func tokenUser(user string) string { return user + "_iam" }
