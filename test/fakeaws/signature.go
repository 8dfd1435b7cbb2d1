// SPDX-License-Identifier: Apache-2.0

package fakeaws

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// maxSkew is how far the clocks of AWS and its client may differ.
const maxSkew = 15 * time.Minute

// claimed is what a request says about its signature.
type claimed struct {
	key, date, region, service string
	at                         time.Time
	life                       time.Duration // of a presigned request
	session                    string
	headers                    []string
	signature                  string
	presigned                  bool
}

// authenticate returns who signed a request for which service, or a code of AWS.
func (s *Server) authenticate(r *http.Request, body []byte) (who Identity, service, problem string) {
	c, ok := readClaim(r)
	if !ok {
		return Identity{}, "", "IncompleteSignature"
	}
	s.mu.Lock()
	who, known := s.mu.identities[c.key]
	s.mu.Unlock()
	switch {
	case !known:
		return Identity{}, "", "InvalidClientTokenId"
	case who.Session != c.session:
		return Identity{}, "", "InvalidClientTokenId"
	case c.at.Format("20060102") != c.date:
		return Identity{}, "", "SignatureDoesNotMatch"
	}
	age := s.now().Sub(c.at)
	if age < -maxSkew || !c.presigned && age > maxSkew || c.presigned && age >= c.life {
		return Identity{}, "", "ExpiredTokenException"
	}
	want, ok := expected(r, body, c, who)
	if !ok || subtle.ConstantTimeCompare([]byte(want), []byte(c.signature)) != 1 {
		return Identity{}, "", "SignatureDoesNotMatch"
	}
	return who, c.service, ""
}

// readClaim reads the signature of a header or of a query.
func readClaim(r *http.Request) (c claimed, ok bool) {
	q := r.URL.Query()
	var credential, date string
	if c.presigned = q.Has("X-Amz-Signature"); c.presigned {
		credential, date = q.Get("X-Amz-Credential"), q.Get("X-Amz-Date")
		c.headers, c.signature = strings.Split(q.Get("X-Amz-SignedHeaders"), ";"), q.Get("X-Amz-Signature")
		c.session = q.Get("X-Amz-Security-Token")
		seconds, err := strconv.Atoi(q.Get("X-Amz-Expires"))
		if err != nil || q.Get("X-Amz-Algorithm") != "AWS4-HMAC-SHA256" {
			return claimed{}, false
		}
		c.life = time.Duration(seconds) * time.Second
	} else {
		rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
		if !ok {
			return claimed{}, false
		}
		fields := map[string]string{}
		for part := range strings.SplitSeq(rest, ", ") {
			name, value, _ := strings.Cut(part, "=")
			fields[name] = value
		}
		credential, date = fields["Credential"], r.Header.Get("X-Amz-Date")
		c.headers, c.signature = strings.Split(fields["SignedHeaders"], ";"), fields["Signature"]
		c.session = r.Header.Get("X-Amz-Security-Token")
	}
	parts := strings.Split(credential, "/")
	at, err := time.Parse("20060102T150405Z", date)
	if err != nil || len(parts) != 5 || parts[4] != "aws4_request" {
		return claimed{}, false
	}
	c.key, c.date, c.region, c.service, c.at = parts[0], parts[1], parts[2], parts[3], at
	return c, true
}

// expected signs the request again with the SDK's signer, over the headers that the client names.
func expected(r *http.Request, body []byte, c claimed, who Identity) (signature string, ok bool) {
	u := *r.URL
	u.Scheme, u.Host = "https", r.Host
	again := &http.Request{Method: r.Method, URL: &u, Host: r.Host, Header: http.Header{}, Body: http.NoBody}
	for _, name := range c.headers {
		switch name {
		case "host":
		case "content-length":
			again.ContentLength = int64(len(body))
		default:
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	credentials := aws.Credentials{AccessKeyID: who.Key, SecretAccessKey: who.Secret, SessionToken: who.Session}
	sum := sha256.Sum256(body)
	payload := hex.EncodeToString(sum[:])
	if !c.presigned {
		if err := v4.NewSigner().SignHTTP(context.Background(), credentials, again, payload, c.service, c.region, c.at); err != nil {
			return "", false
		}
		_, signature, ok = strings.Cut(again.Header.Get("Authorization"), "Signature=")
		return signature, ok && strings.Contains(again.Header.Get("Authorization"), "SignedHeaders="+strings.Join(c.headers, ";")+",")
	}
	q := u.Query()
	for _, name := range []string{"X-Amz-Signature", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Security-Token"} {
		q.Del(name)
	}
	again.URL.RawQuery = q.Encode()
	text, _, err := v4.NewSigner().PresignHTTP(context.Background(), credentials, again, payload, c.service, c.region, c.at)
	if err != nil {
		return "", false
	}
	signed, err := url.Parse(text)
	if err != nil || signed.Query().Get("X-Amz-SignedHeaders") != strings.Join(c.headers, ";") {
		return "", false
	}
	return signed.Query().Get("X-Amz-Signature"), true
}
