// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package netloop

import (
	"errors"
	"net"
)

const bestDriver = DriverPortable

func newEpoll(*Loop) (driver, error) { return nil, errors.ErrUnsupported }

func closeSocket(int) error { return errors.ErrUnsupported }

func localAddr(int) net.Addr { return &net.TCPAddr{} }

// Block gives a Transport that belongs to no loop back to the runtime. On this
// system there is none that has left it.
func (t *Transport) Block() error { return t.notBlocking() }
