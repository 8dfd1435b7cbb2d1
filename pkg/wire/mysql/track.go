// SPDX-License-Identifier: Apache-2.0

package mysql

// TrackType says what an entry of a block of session tracking is about.
type TrackType byte

// The types of entry, and what their data is.
const (
	TrackVariables       TrackType = 0 // pairs of name and value: ReadVariables
	TrackSchema          TrackType = 1 // the default schema: TrackValue
	TrackState           TrackType = 2 // the data is "1" itself: something changed
	TrackGTIDs           TrackType = 3 // TrackGTIDs
	TrackCharacteristics TrackType = 4 // statements that start such a transaction again: TrackValue
	TrackTransaction     TrackType = 5 // eight letters: TrackValue
)

// NoTransaction is the value of TrackTransaction outside of transactions.
const NoTransaction = "________"

// Tracks walks over a block of session tracking.
type Tracks struct{ r reader }

// ReadTracks begins at the first entry. The entries alias block.
func ReadTracks(block []byte) Tracks { return Tracks{reader{p: block}} }

// Next returns the next entry. ok is false at the end, and where the block cannot be understood (see Malformed). Types
// that are not known are returned too; a reader passes over them.
func (t *Tracks) Next() (typ TrackType, data []byte, ok bool) {
	if len(t.r.p) == 0 {
		return 0, nil, false
	}
	typ, data = TrackType(t.r.uint8()), t.r.lenencBytes()
	return typ, data, !t.r.bad
}

// Malformed reports whether Next stopped before the end of the block.
func (t *Tracks) Malformed() bool { return t.r.bad }

// Variables walks over the data of an entry of TrackVariables: one pair from MySQL, any number from MariaDB.
type Variables struct{ r reader }

// ReadVariables begins at the first pair. The pairs alias data.
func ReadVariables(data []byte) Variables { return Variables{reader{p: data}} }

// Next returns the next pair. ok is false at the end, and where the data cannot be understood (see Malformed).
func (v *Variables) Next() (name, value []byte, ok bool) {
	if len(v.r.p) == 0 {
		return nil, nil, false
	}
	name, value = v.r.lenencBytes(), v.r.lenencBytes()
	return name, value, !v.r.bad
}

// Malformed reports whether Next stopped before the end of the data.
func (v *Variables) Malformed() bool { return v.r.bad }

// TrackValue reads the data of an entry that is one string. It aliases data.
func TrackValue(data []byte) (value []byte, ok bool) {
	value, rest, ok := ReadLenencString(data)
	return value, ok && len(rest) == 0
}

// TrackGTIDSet reads the data of an entry of TrackGTIDs. It aliases data. ok is false for an encoding that is not known.
func TrackGTIDSet(data []byte) (gtids []byte, ok bool) {
	if len(data) == 0 || data[0] != 0 {
		return nil, false
	}
	return TrackValue(data[1:])
}

// AppendTrack appends an entry, with data as Tracks returned it, to a block.
func AppendTrack(block []byte, typ TrackType, data []byte) []byte {
	return AppendLenencString(append(block, byte(typ)), data)
}

// AppendTrackVariable appends an entry of TrackVariables with one pair to a block.
func AppendTrackVariable[S string | []byte](block []byte, name, value S) []byte {
	n := uint64(LenencSize(uint64(len(name))) + len(name) + LenencSize(uint64(len(value))) + len(value))
	block = AppendLenencInt(append(block, byte(TrackVariables)), n)
	return AppendLenencString(AppendLenencString(block, name), value)
}

// AppendTrackValue appends an entry that TrackValue reads to a block.
func AppendTrackValue[S string | []byte](block []byte, typ TrackType, value S) []byte {
	block = AppendLenencInt(append(block, byte(typ)), uint64(LenencSize(uint64(len(value)))+len(value)))
	return AppendLenencString(block, value)
}
