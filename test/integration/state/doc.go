// SPDX-License-Identifier: Apache-2.0

// Package state runs scripts of statements against PostgreSQL directly and through the
// proxy, where the clients of a script share one or two database connections with other
// clients that change everything a session can have. Each client must be told the same
// both ways, message by message.
package state
