// SPDX-License-Identifier: Apache-2.0

package proxy

// interruption is what a client got to see of the loss of a database connection that
// it was using.
type interruption uint8

const (
	unnoticed  interruption = iota // it was served by another connection
	rolledBack                     // SQLSTATE 40001: all was undone
	unknown                        // 40003: nobody knows
	otherError
	cutOff // its own connection ended
	interruptions
)

var interruptionNames = [interruptions]string{"none", "40001", "40003", "other", "closed"}

// interruptionBy tells it by the SQLSTATE of what the client is told next; "" if that
// is no error.
func interruptionBy(state string) interruption {
	switch state {
	case "":
		return unnoticed
	case interruptionNames[rolledBack]:
		return rolledBack
	case interruptionNames[unknown]:
		return unknown
	}
	return otherError
}

// lostServer notes that the client was using a connection that has ended.
func (c *client) lostServer() {
	c.settleLoss(cutOff) // of before, if it was not told of that
	c.interrupted = true
}

// settleLoss counts what has come of a loss, if there was one.
func (c *client) settleLoss(as interruption) {
	if c.interrupted {
		c.interrupted = false
		c.counts().interrupted[as]++
	}
}
