// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"cmp"
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rdsproxy/rdsproxy/pkg/secret"
)

// serviceRDS is the service that tokens for RDS are signed for.
const serviceRDS = "rds-db"

// rdsForm is the token of `aws rds generate-db-auth-token` and the SDKs' BuildAuthToken.
var rdsForm = form{service: serviceRDS, signedHeaders: "host", fixed: []param{{pAction, "connect"}}, more: []string{pDBUser}}

// Resource is how policies name the proxy: arn:PARTITION:rds-db:REGION:ACCOUNT:dbuser:ID/USER.
type Resource struct {
	// Partition is "aws" if empty.
	Partition string
	// Region is also the one that tokens have to be made for.
	Region string
	// Account has twelve digits.
	Account string
	// ID is the name of the proxy in policies, such as prx-0123456789abcdef0.
	ID string
}

var (
	partitionForm = regexp.MustCompile(`^aws(-[a-z]+)*$`)
	accountForm   = regexp.MustCompile(`^[0-9]{12}$`)
	resourceForm  = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)
)

// check says what is wrong with a Resource.
func (r Resource) check() error {
	switch {
	case !partitionForm.MatchString(r.Partition):
		return errors.New("the partition is not aws, aws-cn or the like")
	case !isRegion(r.Region):
		return errors.New("the region is not a region's name")
	case !accountForm.MatchString(r.Account):
		return errors.New("the account has not twelve digits")
	case !resourceForm.MatchString(r.ID):
		return errors.New("the resource id is not 1 to 64 letters, digits and hyphens")
	}
	return nil
}

// ARN names a database user behind the proxy.
func (r Resource) ARN(user string) string {
	return fmt.Sprintf("arn:%s:%s:%s:%s:dbuser:%s/%s", r.Partition, serviceRDS, r.Region, r.Account, r.ID, user)
}

// Key is an access key whose tokens are taken.
type Key struct {
	// ID is what tokens name.
	ID string
	// Secret is what they are signed with.
	Secret secret.Password
	// SessionToken has to come with each token if it is not empty; otherwise none may come.
	SessionToken secret.Password
	// Expires ends the key, unless zero.
	Expires time.Time
	// Policy says which users its tokens log in.
	Policy *Policy
}

// ErrUnknownKey means that a KeySource has no key of that id.
var ErrUnknownKey = errors.New("unknown access key")

// KeySource finds access keys. Any error but ErrUnknownKey means that it cannot tell now.
type KeySource interface {
	Key(ctx context.Context, id string) (Key, error)
}

// OwnKeysOptions set up OwnKeys.
type OwnKeysOptions struct {
	Keys     KeySource
	Resource Resource
	// Skew takes the place of DefaultSkew when above zero.
	Skew time.Duration
	// Now takes the place of time.Now.
	Now func() time.Time
}

// OwnKeys verifies tokens for RDS that are signed with access keys of the operator's own. Those of AWS's IAM can only be
// verified by AWS: nobody else has their keys.
type OwnKeys struct {
	keys     KeySource
	resource Resource
	skew     time.Duration
	now      func() time.Time
}

var _ Verifier = (*OwnKeys)(nil)

// NewOwnKeys makes the verifier. An error says which option is wrong.
func NewOwnKeys(o OwnKeysOptions) (*OwnKeys, error) {
	v := &OwnKeys{keys: o.Keys, resource: o.Resource, skew: cmp.Or(max(o.Skew, 0), DefaultSkew), now: o.Now}
	v.resource.Partition = cmp.Or(v.resource.Partition, "aws")
	if err := v.resource.check(); err != nil {
		return nil, err
	}
	if v.now == nil {
		v.now = time.Now
	}
	return v, nil
}

// Accepts implements Verifier.
func (v *OwnKeys) Accepts(token string) bool { return strings.Contains(token, pAction+"=connect") }

// Verify implements Verifier.
func (v *OwnKeys) Verify(ctx context.Context, c Claim) (Identity, error) {
	p, r := parsePresigned(c.Token.Reveal(), rdsForm)
	if r != nil {
		return Identity{}, r
	}
	if r := v.checkBinding(p, c); r != nil {
		return Identity{}, r
	}
	if r := p.checkTime(v.now(), v.skew); r != nil {
		return Identity{}, r
	}
	if r := v.checkKey(ctx, p, c.User); r != nil {
		return Identity{}, r
	}
	return Identity{Method: serviceRDS, Principal: p.accessKey, Expires: p.expires()}, nil
}

// checkBinding holds what the token names against the login.
func (v *OwnKeys) checkBinding(p *presigned, c Claim) *Rejection {
	if !slices.ContainsFunc(c.Endpoint, func(a Address) bool { return a.matches(p.authority) }) {
		return reject(WrongHost, "it is for %s", quote(p.authority))
	}
	if user := p.get(pDBUser); user != c.User {
		return reject(WrongUser, "it is for %s", quote(user))
	}
	if p.scope.region != v.resource.Region {
		return reject(WrongRegion, "it is for %s", quote(p.scope.region))
	}
	return nil
}

// checkKey holds the signature against the key, and the key against the user. A signature is computed for unknown keys too:
// the time does not tell which keys there are.
func (v *OwnKeys) checkKey(ctx context.Context, p *presigned, user string) *Rejection {
	k, err := v.keys.Key(ctx, p.accessKey)
	known := err == nil && k.ID == p.accessKey && !k.Secret.IsEmpty()
	good := p.signedBy(k.Secret.Reveal())
	session := k.SessionToken.Equal(secret.NewPassword(p.session))
	switch {
	case err != nil && !errors.Is(err, ErrUnknownKey):
		return &Rejection{Reason: Unavailable, Detail: "access key " + quote(p.accessKey), Err: err}
	case !known:
		return reject(UnknownKey, "%s", quote(p.accessKey))
	case !good:
		return reject(BadSignature, "access key %s", quote(p.accessKey))
	case !session:
		return reject(BadSession, "access key %s", quote(p.accessKey))
	case !k.Expires.IsZero() && !v.now().Before(k.Expires):
		return reject(Expired, "access key %s ended at %s", quote(p.accessKey), k.Expires.Format(time.RFC3339))
	}
	if arn := v.resource.ARN(user); k.Policy == nil || !k.Policy.AllowsConnect(arn) {
		return reject(Denied, "access key %s, %s on %s", quote(p.accessKey), actionConnect, quote(arn))
	}
	return nil
}

// signedBy says whether a key made the signature, in a time that does not depend on the key or on where signatures differ.
func (p *presigned) signedBy(key string) bool {
	good := false
	for _, host := range hostHeaders(p.authority) {
		want := sign(key, p.date, p.scope, canonicalRequest(p.params, []header{{"host", host}}))
		if hmac.Equal(want, p.signature[:]) {
			good = true
		}
	}
	return good
}

// hostHeaders are the ways in which signers write the header Host for one authority: as it is; in lower case, as Python
// does; and without the port that https has anyway, and then without the brackets of an IPv6 address, as the SDK for Go does.
func hostHeaders(authority string) []string {
	list := []string{authority}
	if bare, ok := strings.CutSuffix(authority, ":443"); ok {
		list = append(list, bare)
		if inner, ok := strings.CutPrefix(bare, "["); ok {
			list = append(list, strings.TrimSuffix(inner, "]"))
		}
	}
	for _, host := range slices.Clone(list) {
		if lower := strings.ToLower(host); lower != host {
			list = append(list, lower)
		}
	}
	return list
}
