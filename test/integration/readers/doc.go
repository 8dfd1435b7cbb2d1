// SPDX-License-Identifier: Apache-2.0

// Package readers has a read-only endpoint of the daemon in front of real servers that
// replicate.
package readers
