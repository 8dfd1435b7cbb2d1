// SPDX-License-Identifier: Apache-2.0

package mysession

import (
	"slices"
	"strings"

	"github.com/rdsproxy/rdsproxy/pkg/session"
	"github.com/rdsproxy/rdsproxy/pkg/sqlscan/myscan"
	wire "github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

// On its connections the proxy keeps the session_track variables at values of its own,
// without which it would not learn what changes. What clients want of them is a part
// of their sessions: it decides what of the servers' reports they are told, and it is
// put in force for the texts that read or set these variables.

// trackerNames are the variables, with the values that servers start with.
var trackerNames = [...]Setting{
	{"session_track_schema", "ON"},
	{"session_track_state_change", "OFF"},
	{"session_track_system_variables", "autocommit,character_set_client,character_set_connection,character_set_results,time_zone"},
	{"session_track_transaction_info", "OFF"},
}

const trackerPrefix = "session_track_"

// trackGTIDs is a variable of MySQL like any other: it takes nothing from the proxy's
// reports.
const trackGTIDs = "session_track_gtids"

// trackers are values of these variables. They are immutable.
type trackers struct {
	values [len(trackerNames)]string // as servers spell them
	// all tells of all variables, names of these, in lower case.
	all           bool
	names         []string
	schema, state bool
	// transactions and characteristics are levels of session_track_transaction_info.
	transactions, characteristics bool
}

// newTrackers reads the values of the variables, of those that value knows.
func newTrackers(value func(name string) (string, bool)) *trackers {
	w := &trackers{}
	for i, v := range trackerNames {
		w.values[i] = v.Value
		if found, ok := value(v.Name); ok {
			w.values[i] = found
		}
	}
	w.schema, w.state = w.values[0] == "ON", w.values[1] == "ON"
	for name := range strings.SplitSeq(w.values[2], ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		w.all = w.all || name == "*"
		w.names = append(w.names, name)
	}
	w.characteristics = w.values[3] == "CHARACTERISTICS"
	w.transactions = w.characteristics || w.values[3] == "STATE"
	return w
}

// tells tells whether the client is told of changes of the variable.
func (w *trackers) tells(name []byte) bool {
	if w.all {
		return true
	}
	return slices.Contains(w.names, string(name))
}

// sql sets the variables.
func (w *trackers) sql() []byte {
	sql := []byte("SET ")
	for i, v := range trackerNames {
		if i > 0 {
			sql = append(sql, ',')
		}
		sql = append(append(append(sql, "SESSION "...), v.Name...), '=')
		sql = wire.AppendLiteral(sql, w.values[i])
	}
	return sql
}

// wanted is what the client wants to be told.
func (s *Session) wanted() *trackers {
	if s.tracking != nil {
		return s.tracking
	}
	return s.srv.trackers
}

// trackUse is what a text does with the session_track variables.
type trackUse uint8

const (
	// tracksUnused: nothing.
	tracksUnused trackUse = iota
	// tracksRead: it shows them, and changes nothing in the session.
	tracksRead
	// tracksSet: it sets them, and others that are tracked: what has become of all has
	// to be asked.
	tracksSet
	// tracksPin: the proxy cannot tell.
	tracksPin
)

// trackedText is what a text means for tracking.
type trackedText struct {
	use trackUse
	// during are the variables that MariaDB's SET STATEMENT sets while it runs. Reports
	// of them are not true any more when they come.
	during []string
	// unclear: it sets some, nobody knows which.
	unclear bool
}

const trackEffects = myscan.EffectTrack | myscan.EffectReadTrack | myscan.EffectSetStatement

// trackedTextOf reads it off a text that has any of trackEffects.
func trackedTextOf(res *myscan.Result, text string) (t trackedText) {
	e := res.Effects
	names, plain := assigned(text)
	switch {
	case e&myscan.EffectSetStatement != 0:
		t.during, t.unclear = names, !plain
		if e&myscan.EffectTrack != 0 || slices.ContainsFunc(names, isTracker) {
			t.use = tracksPin
		}
	case e&myscan.EffectTrack != 0 || res.First == myscan.CommandSet:
		t.use = tracksPin
		if plain && !slices.ContainsFunc(names, notTracked) {
			t.use = tracksSet
		}
	case showsNoTracker(text):
	case res.ReadOnly:
		t.use = tracksRead
	default:
		t.use = tracksPin
	}
	return t
}

// isTracker tells whether a name may be one of these variables.
func isTracker(name string) bool { return strings.HasPrefix(name, trackerPrefix) }

func notTracked(name string) bool {
	return name == collationDatabase || name != "names" && !slices.Contains(trackedVariables[:], name) &&
		!slices.ContainsFunc(trackerNames[:], func(v Setting) bool { return v.Name == name })
}

// beforeTracking has the trackers on the connection that the text is to find there. It
// gives false while that is under way; the command comes again then.
func (s *Session) beforeTracking(res *myscan.Result, text string) (t trackedText, ok bool) {
	if res.Effects&trackEffects != 0 {
		t = trackedTextOf(res, text)
	}
	if t.use != tracksUnused {
		return t, s.clientTrackers()
	}
	// What a statement has left to be looked at, setting variables may take away.
	return t, res.Effects&myscan.EffectDiagnostics != 0 || s.ownTrackers()
}

// beforePreparing does so for a text that is prepared: definitions of columns depend on
// the values.
func (s *Session) beforePreparing(res *myscan.Result, text []byte) bool {
	return res.Effects&myscan.EffectReadTrack == 0 || showsNoTracker(string(text)) || s.clientTrackers()
}

// clientTrackers puts the client's in force, and ownTrackers the proxy's.
func (s *Session) clientTrackers() bool {
	srv := s.srv
	if srv.foreign || srv.setup == "" {
		return true
	}
	s.ahead(forClientTrackers, s.wanted().sql())
	return false
}

func (s *Session) ownTrackers() bool {
	srv := s.srv
	switch {
	case !srv.foreign || srv.doubt || s.pins&session.PinSessionTrack != 0:
		return true
	case srv.askAll:
		s.ahead(forAll, srv.allSQL())
	default:
		s.ahead(forOwnTrackers, []byte(srv.setup))
	}
	return false
}

// trackersSet goes on after that.
func (s *Session) trackersSet(x *exchange, err *wire.Error) {
	srv := s.srv
	srv.doubt = srv.doubt || x.failed
	switch {
	case x.why == forOwnTrackers:
		srv.foreign = srv.foreign && x.failed
		s.settle()
	case x.failed:
		s.fail(err)
	default:
		srv.foreign = true
		s.retry()
	}
}

// learnTrackers takes what the client has made of the variables.
func (s *Session) learnTrackers(learned []Setting) {
	w := newTrackers(func(name string) (string, bool) {
		for _, v := range learned {
			if v.Name == name {
				return v.Value, true
			}
		}
		return "", false
	})
	if s.tracking = w; w.values == s.srv.trackers.values {
		s.tracking = nil
	}
}

// tracksForClient gives the part of a block that the client wants to be told. A
// transaction that follows another one within a statement leaves the block empty, but
// there.
func (s *Session) tracksForClient(block []byte) []byte {
	srv := s.srv
	if block == nil || !s.caps.Has(wire.ClientSessionTrack) {
		return nil
	}
	if s.pins&session.PinSessionTrack != 0 || srv.foreign {
		s.noteExplicit(block)
		return block
	}
	w := s.wanted()
	out, again := srv.block[:0], len(block) == 0
	tracks := wire.ReadTracks(block)
	for {
		typ, data, ok := tracks.Next()
		if !ok {
			break
		}
		told := true
		switch typ {
		case wire.TrackVariables:
			out = appendTold(out, w, data)
			told = false
		case wire.TrackSchema:
			told = w.schema
		case wire.TrackState:
			told = w.state
		case wire.TrackCharacteristics:
			told = w.characteristics
		case wire.TrackTransaction:
			if told = w.transactions; !told && !srv.mariaDB {
				out = s.appendExplicit(out, data)
				letters, _ := wire.TrackValue(data)
				again = again || string(letters) == freshTransaction
			}
		}
		if told {
			out = wire.AppendTrack(out, typ, data)
		}
	}
	srv.block = out
	switch {
	case len(out) > 0:
		return out
	case again:
		return noTracks
	}
	return nil
}

var (
	// freshTransaction is the value of wire.TrackTransaction in one that has done nothing yet.
	freshTransaction = "T" + wire.NoTransaction[1:]
	// noTracks is a block that tells that something has changed, but not what.
	noTracks = []byte{}
)

// noteExplicit notes whether a block that the client is told as it is says that a
// transaction is open.
func (s *Session) noteExplicit(block []byte) {
	tracks := wire.ReadTracks(block)
	for {
		typ, data, ok := tracks.Next()
		if !ok {
			return
		}
		if letters, good := wire.TrackValue(data); typ == wire.TrackTransaction && good && len(letters) > 0 {
			s.explicit = letters[0] == 'T'
		}
	}
}

// appendTold appends what the client is told of variables.
func appendTold(out []byte, w *trackers, data []byte) []byte {
	pairs := wire.ReadVariables(data)
	for {
		name, value, ok := pairs.Next()
		if !ok {
			return out
		}
		if w.tells(name) {
			out = wire.AppendTrackVariable(out, name, value)
		}
	}
}

// appendExplicit appends what MySQL tells of transactions even if nobody wants to know
// of them: where one that was asked for begins and ends.
func (s *Session) appendExplicit(out, data []byte) []byte {
	letters, ok := wire.TrackValue(data)
	if !ok || len(letters) != len(wire.NoTransaction) {
		return out
	}
	explicit := letters[0] == 'T'
	if explicit == s.explicit {
		return out
	}
	s.explicit = explicit
	if !explicit {
		return wire.AppendTrackValue(out, wire.TrackTransaction, wire.NoTransaction)
	}
	// Of what was done in it, and of locked tables, it tells only if somebody wants to know.
	state := append([]byte(nil), letters...)
	if s.srv.x.effects&myscan.EffectCall != 0 {
		copy(state, freshTransaction)
	}
	state[len(state)-1] = wire.NoTransaction[0]
	return wire.AppendTrackValue(out, wire.TrackTransaction, state)
}
