// SPDX-License-Identifier: Apache-2.0

package mysql

// Framing.
const (
	// HeaderLen is the size of the header of a packet: three bytes of length, one of sequence id.
	HeaderLen = 4
	// MaxPayload is the longest payload of one packet. A packet of this length is continued by the next one; so a
	// payload whose length is a multiple of it ends with an empty packet.
	MaxPayload = 1<<24 - 1
	// MaxLogin is the longest payload, in bytes, that is taken from a peer that has not logged in yet. A server takes
	// as much (its net_buffer_length is 16 KiB, connection attributes may have 64 KiB).
	MaxLogin = 1<<16 + 1<<12
)

// ParseHeader reads a header: the number of bytes that follow it and the sequence id. p must hold HeaderLen bytes or
// more. Every header is valid; what length is too much is for the caller to say.
func ParseHeader(p []byte) (length int, seq byte) {
	_ = p[HeaderLen-1]
	return int(p[0]) | int(p[1])<<8 | int(p[2])<<16, p[3]
}

// PutHeader writes a header over the first HeaderLen bytes of p. length must be in 0..MaxPayload.
func PutHeader(p []byte, length int, seq byte) {
	_ = p[HeaderLen-1]
	putUint24(p, length)
	p[3] = seq
}

// AppendHeader appends a header. length must be in 0..MaxPayload.
func AppendHeader(dst []byte, length int, seq byte) []byte {
	return append(appendUint24(dst, length), seq)
}

// CutPacket splits p behind its first packet. ok is false, and nothing else valid, as long as p does not hold all of it.
// A payload of MaxPayload bytes goes on in the next packet.
func CutPacket(p []byte) (payload []byte, seq byte, rest []byte, ok bool) {
	if len(p) < HeaderLen {
		return nil, 0, nil, false
	}
	n, seq := ParseHeader(p)
	if len(p)-HeaderLen < n {
		return nil, 0, nil, false
	}
	end := HeaderLen + n
	return p[HeaderLen:end:end], seq, p[end:], true
}

// AppendPacket appends a payload as one packet, or as several with running sequence ids if it is longer than one can be.
func AppendPacket(dst []byte, seq byte, payload []byte) []byte {
	for len(payload) >= MaxPayload {
		dst = AppendHeader(dst, MaxPayload, seq)
		dst = append(dst, payload[:MaxPayload]...)
		payload = payload[MaxPayload:]
		seq++
	}
	dst = AppendHeader(dst, len(payload), seq)
	return append(dst, payload...)
}

// Packets returns how many packets AppendPacket makes of a payload of n bytes.
func Packets(n int) int { return n/MaxPayload + 1 }

// begin appends room for a header, and returns where it is.
func begin(dst []byte) (out []byte, at int) {
	return append(dst, 0, 0, 0, 0), len(dst)
}

// finish writes the header of the packet that begin began at at. A payload that is too long for one packet is cut into
// several in place.
func finish(dst []byte, at int, seq byte) []byte {
	n := len(dst) - at - HeaderLen
	if n < MaxPayload {
		PutHeader(dst[at:], n, seq)
		return dst
	}
	for more := n / MaxPayload; more > 0; more-- {
		dst = append(dst, 0, 0, 0, 0)
	}
	// From the end to the front, because each piece moves behind where it was.
	for i := n / MaxPayload; i >= 0; i-- {
		from := at + HeaderLen + i*MaxPayload
		size := min(MaxPayload, n-i*MaxPayload)
		to := from + i*HeaderLen
		copy(dst[to:to+size], dst[from:from+size])
		PutHeader(dst[to-HeaderLen:], size, seq+byte(i)) //nolint:gosec // sequence ids wrap around
	}
	return dst
}
