// SPDX-License-Identifier: Apache-2.0

package mysql

import "encoding/binary"

// OK is what an OK packet says: one that answers a command, or one that ends the rows of a result (its first byte is
// then that of EOF). An EOF packet says Status and Warnings only.
type OK struct {
	AffectedRows uint64
	InsertID     uint64
	Status       Status
	Warnings     uint16
	// Info is text for people, such as "Rows matched: 1  Changed: 1  Warnings: 0".
	Info []byte
	// Track is a block of session tracking, to be read with ReadTracks. In both directions, Status has
	// StatusSessionChanged in a packet with such a block and in no other. A block may be empty: MySQL tells so that
	// something has changed of which the peer did not want to know more. nil is no block.
	Track []byte
}

// maxEOF is the longest payload that an EOF packet (without ClientDeprecateEOF) may have, exclusive.
const maxEOF = 9

// ParseOK reads the payload of an OK packet, with either first byte, that was sent with these capabilities. Info and
// Track alias it. ok is false if it is none or is cut short. Nothing is allocated.
func ParseOK(payload []byte, caps Capabilities) (o OK, ok bool) {
	if len(payload) == 0 || payload[0] != HeadOK && payload[0] != HeadEOF {
		return OK{}, false
	}
	r := reader{p: payload[1:]}
	o.AffectedRows, o.InsertID = r.lenenc(), r.lenenc()
	o.Status, o.Warnings = Status(r.uint16()), r.uint16()
	if r.bad {
		return OK{}, false
	}
	if !caps.Has(ClientSessionTrack) {
		// The documentation has the text unframed here; servers frame it all the same.
		o.Status &^= StatusSessionChanged
		if info, rest, framed := ReadLenencString(r.p); framed && len(rest) == 0 {
			o.Info = info
		} else {
			o.Info = r.p
		}
		return o, true
	}
	if len(r.p) == 0 {
		// Without the text there is no block either, whatever the status says.
		o.Status &^= StatusSessionChanged
		return o, true
	}
	o.Info = r.lenencBytes()
	if o.Status.Has(StatusSessionChanged) {
		o.Track = r.lenencBytes()
	}
	if r.bad {
		return OK{}, false
	}
	return o, true
}

// ParseEOF reads the payload of an EOF packet as it is sent without ClientDeprecateEOF. ok is false if it is none.
// MariaDB sets StatusSessionChanged here too, which has no room for what it announces; it is cleared.
func ParseEOF(payload []byte) (o OK, ok bool) {
	if len(payload) < 5 || len(payload) >= maxEOF || payload[0] != HeadEOF {
		return OK{}, false
	}
	return OK{
		Warnings: binary.LittleEndian.Uint16(payload[1:]),
		Status:   Status(binary.LittleEndian.Uint16(payload[3:])) &^ StatusSessionChanged,
	}, true
}

// ParseResultEnd reads the payload of the packet that ends the rows of a result: an OK packet with the first byte of EOF
// if the capabilities have ClientDeprecateEOF, else an EOF packet.
func ParseResultEnd(payload []byte, caps Capabilities) (o OK, ok bool) {
	if !caps.Has(ClientDeprecateEOF) {
		return ParseEOF(payload)
	}
	if len(payload) == 0 || payload[0] != HeadEOF {
		return OK{}, false
	}
	return ParseOK(payload, caps)
}

// AppendOK appends an OK packet that answers a command, for a peer with these capabilities. Track goes out only to one
// that has ClientSessionTrack, and StatusSessionChanged is set or cleared accordingly.
func AppendOK(dst []byte, seq byte, caps Capabilities, o OK) []byte {
	return appendOK(dst, seq, HeadOK, caps, o)
}

// AppendResultEnd appends the packet that ends the rows of a result: an OK packet with the first byte of EOF for a peer
// that has ClientDeprecateEOF, else an EOF packet.
func AppendResultEnd(dst []byte, seq byte, caps Capabilities, o OK) []byte {
	if caps.Has(ClientDeprecateEOF) {
		return appendOK(dst, seq, HeadEOF, caps, o)
	}
	return AppendEOF(dst, seq, o.Status, o.Warnings)
}

// AppendEOF appends an EOF packet as it is sent without ClientDeprecateEOF.
func AppendEOF(dst []byte, seq byte, status Status, warnings uint16) []byte {
	dst = append(AppendHeader(dst, 5, seq), HeadEOF)
	dst = binary.LittleEndian.AppendUint16(dst, warnings)
	return binary.LittleEndian.AppendUint16(dst, uint16(status&^StatusSessionChanged))
}

func appendOK(dst []byte, seq, head byte, caps Capabilities, o OK) []byte {
	status := o.Status &^ StatusSessionChanged
	track := o.Track != nil && caps.Has(ClientSessionTrack)
	if track {
		status |= StatusSessionChanged
	}
	dst, at := begin(dst)
	dst = AppendLenencInt(append(dst, head), o.AffectedRows)
	dst = AppendLenencInt(dst, o.InsertID)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(status))
	dst = binary.LittleEndian.AppendUint16(dst, o.Warnings)
	if len(o.Info) > 0 || track {
		dst = AppendLenencString(dst, o.Info)
	}
	if track {
		dst = AppendLenencString(dst, o.Track)
	}
	return finish(dst, at, seq)
}
