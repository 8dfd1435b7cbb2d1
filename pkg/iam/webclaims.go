// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"time"
)

// checkClaims holds issuer, audience and times of a token against now, and returns when it ends. The signature was checked.
func (v *WebIdentity) checkClaims(payload []byte) (time.Time, *Rejection) {
	members, err := readObject(payload)
	if err != nil {
		return time.Time{}, &Rejection{Reason: Malformed, Detail: "claims", Err: err}
	}
	if iss, ok := readString(members["iss"]); !ok || iss != v.issuer {
		return time.Time{}, reject(WrongIssuer, "%s", quote(iss))
	}
	if aud, ok := readStrings(members["aud"]); !ok || !slices.Contains(aud, v.audience) {
		return time.Time{}, reject(WrongAudience, "it is not for %s", quote(v.audience))
	}
	now := v.now()
	end, ok := readTime(members["exp"])
	if !ok {
		return time.Time{}, reject(Malformed, "claim exp is no time")
	}
	if !now.Before(end) {
		return time.Time{}, reject(Expired, "it ended at %s", end.UTC().Format(time.RFC3339))
	}
	for _, name := range []string{"nbf", "iat"} {
		raw, there := members[name]
		if !there {
			continue
		}
		begin, ok := readTime(raw)
		if !ok {
			return time.Time{}, reject(Malformed, "claim %s is no time", name)
		}
		if begin.After(now.Add(v.skew)) {
			return time.Time{}, reject(NotYetValid, "claim %s is %s", name, begin.UTC().Format(time.RFC3339))
		}
	}
	return end, nil
}

// maxUnix is the last second of the year 9999.
const maxUnix = 253402300799

// readTime reads a NumericDate (RFC 7519, section 2): seconds since 1970, perhaps with a fraction.
func readTime(raw json.RawMessage) (time.Time, bool) {
	if len(raw) == 0 || (raw[0] < '0' || raw[0] > '9') {
		return time.Time{}, false
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || f < 0 || f > maxUnix {
		return time.Time{}, false
	}
	// Rounded down: a token ends no later than it says.
	return time.Unix(int64(math.Floor(f)), 0), true
}
