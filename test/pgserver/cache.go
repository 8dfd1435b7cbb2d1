// SPDX-License-Identifier: Apache-2.0

package pgserver

import "github.com/rdsproxy/rdsproxy/test/machine"

// CacheDir is machine.CacheDir.
func CacheDir() (string, error) { return machine.CacheDir() }

// FreePort is machine.FreePort.
func FreePort(host string) (int, error) { return machine.FreePort(host) }

// scratchPrefix starts the name of every server's folder.
const scratchPrefix = "rdsproxy-pg-"
