// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package netloop

import "errors"

const bestDriver = DriverPortable

func newEpoll(*Loop) (driver, error) { return nil, errors.ErrUnsupported }

func closeSocket(int) error { return errors.ErrUnsupported }
