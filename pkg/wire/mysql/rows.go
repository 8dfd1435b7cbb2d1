// SPDX-License-Identifier: Apache-2.0

package mysql

// RowsState says where Rows.Skip stopped.
type RowsState uint8

// The states.
const (
	RowsMore   RowsState = iota // at the end of p, or so near to it that what follows cannot be told yet
	RowsEnd                     // in front of the packet that ends the rows: EOF or OK, see ParseResultEnd, or ERR
	RowsBroken                  // in front of a packet with a wrong sequence id, or an empty one
)

// Rows passes over the packets of rows, of either protocol, as they stream by in whatever cuts. It serves for column
// definitions as well where these end with an EOF packet. Copies are independent.
type Rows struct {
	// Seq is the sequence id that the next packet must have.
	Seq byte
	// Shift is added to the sequence id of each packet, in place.
	Shift byte
	// Count is the number of rows of which Skip has seen the beginning.
	Count uint64

	left int  // bytes of the current packet that are still to come
	cont bool // the next packet goes on with the current row
}

// Skip passes over rows at the front of p, the last of them possibly in part, and returns how many bytes these are. The
// next call must begin behind them.
//
// A packet that begins with 0xFE and is as long as a packet can be is a row with a value of 16 MiB, and what continues a
// row is never looked at, whatever it begins with.
func (r *Rows) Skip(p []byte) (n int, s RowsState) {
	for {
		if r.left > 0 {
			take := min(r.left, len(p)-n)
			n += take
			if r.left -= take; r.left > 0 {
				return n, RowsMore
			}
		}
		if len(p)-n < HeaderLen {
			return n, RowsMore
		}
		length, seq := ParseHeader(p[n:])
		if !r.cont {
			if length == 0 {
				return n, RowsBroken
			}
			if len(p)-n == HeaderLen {
				return n, RowsMore
			}
		}
		if seq != r.Seq {
			return n, RowsBroken
		}
		if !r.cont {
			if head := p[n+HeaderLen]; head == HeadErr || head == HeadEOF && length < MaxPayload {
				return n, RowsEnd
			}
			r.Count++
		}
		p[n+3] = seq + r.Shift
		r.Seq++
		r.left, r.cont = length, length == MaxPayload
		n += HeaderLen
	}
}

// Between reports whether a row is complete, so that the next packet may be the end.
func (r *Rows) Between() bool { return r.left == 0 && !r.cont }
