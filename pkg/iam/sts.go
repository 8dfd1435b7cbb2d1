// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Limits of the questions to STS.
const (
	stsTimeout    = 10 * time.Second
	stsParallel   = 16
	stsRefusedFor = 10 * time.Second
	stsCached     = 16384
)

// STSOptions set up STS.
type STSOptions struct {
	// Mappings say which identity may log in as which database users.
	Mappings []Mapping
	// Regions are those whose STS is asked; DefaultRegions if empty.
	Regions []string
	// Skew takes the place of DefaultSkew when above zero.
	Skew time.Duration
	// Transport takes the place of a plain one: for tests. Redirects are not followed and time is limited in any case.
	Transport http.RoundTripper
	// Now takes the place of time.Now.
	Now func() time.Time
}

// STS verifies tokens by asking AWS whose they are.
type STS struct {
	mappings []Mapping
	hosts    map[string]string
	skew     time.Duration
	now      func() time.Time
	client   *http.Client
	places   chan struct{} // one for each question that is under way
	answers  *answers
}

var _ Verifier = (*STS)(nil)

// NewSTS makes the verifier. An error says which mapping or region is wrong.
func NewSTS(o STSOptions) (*STS, error) {
	if len(o.Mappings) == 0 {
		return nil, errors.New("no mappings")
	}
	for _, m := range o.Mappings {
		if err := m.checkARN(); err != nil {
			return nil, err
		}
	}
	regions := o.Regions
	if len(regions) == 0 {
		regions = DefaultRegions()
	}
	for _, r := range regions {
		if !isRegion(r) {
			return nil, fmt.Errorf("%s is no region", quote(r))
		}
	}
	v := &STS{
		mappings: slices.Clone(o.Mappings),
		hosts:    stsHosts(regions),
		skew:     cmp.Or(max(o.Skew, 0), DefaultSkew),
		now:      o.Now,
		client:   noRedirects(o.Transport, stsTimeout),
		places:   make(chan struct{}, stsParallel),
		answers:  newAnswers(stsCached),
	}
	if v.now == nil {
		v.now = time.Now
	}
	return v, nil
}

// Accepts implements Verifier.
func (v *STS) Accepts(token string) bool { return strings.Contains(token, pAction+"="+actionSTS) }

// Verify implements Verifier. What STS said of a token is kept until the token ends; that it refused one, for a short time.
func (v *STS) Verify(ctx context.Context, c Claim) (Identity, error) {
	q, r := parseSTS(c, v.hosts)
	if r != nil {
		return Identity{}, r
	}
	if r := q.token.checkTime(v.now(), v.skew); r != nil {
		return Identity{}, r
	}
	arn, r := v.answers.get(ctx, c.Token.Reveal(), v.now, func(ctx context.Context) answer { return v.ask(ctx, q) })
	if r != nil {
		return Identity{}, r
	}
	for _, m := range v.mappings {
		if matchARN(m.Match, arn) && m.allows(c.User) {
			return Identity{Method: serviceSTS, Principal: arn, Expires: q.token.expires()}, nil
		}
	}
	return Identity{}, reject(Denied, "%s as %s", quote(arn), quote(c.User))
}

// ask sends the question to STS.
func (v *STS) ask(ctx context.Context, q *stsRequest) answer {
	select {
	case v.places <- struct{}{}:
		defer func() { <-v.places }()
	case <-ctx.Done():
		return answer{failure: &Rejection{Reason: Unavailable, Detail: "too many questions to STS are under way", Err: context.Cause(ctx)}}
	}
	status, body, err := v.send(ctx, q)
	switch {
	case err != nil:
		return answer{failure: &Rejection{Reason: Unavailable, Detail: "STS does not answer", Err: err}}
	case status == http.StatusOK:
		arn, err := callerIdentity(body, partitionOf(q.region))
		if err != nil {
			return answer{failure: &Rejection{Reason: Unavailable, Detail: "what STS answers is not understood", Err: err}}
		}
		return answer{arn: arn, until: q.token.expires()}
	}
	code := errorCode(body)
	failure := reject(refusalReason(status, code), "STS answers with status %d %s", status, code)
	if failure.Reason == Unavailable {
		return answer{failure: failure}
	}
	return answer{failure: failure, until: v.now().Add(stsRefusedFor)}
}

func (v *STS) send(ctx context.Context, q *stsRequest) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, q.url, nil)
	if err != nil {
		return 0, nil, errors.New("request cannot be made")
	}
	req.Header.Set(ServerIDHeader, q.serverID)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "rdsproxy")
	resp, err := v.client.Do(req)
	if err != nil {
		return 0, nil, withoutURL(err)
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1)); err != nil {
		return 0, nil, withoutURL(err)
	}
	if len(body) > maxAnswer {
		return 0, nil, errors.New("answer is too large")
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); resp.StatusCode == http.StatusOK && (err != nil || kind != "application/json") {
		return 0, nil, errors.New("answer is not JSON")
	}
	return resp.StatusCode, body, nil
}
