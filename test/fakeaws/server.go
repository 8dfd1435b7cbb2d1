// SPDX-License-Identifier: Apache-2.0

// Package fakeaws is AWS for tests: Secrets Manager and STS behind one HTTP handler. Real clients of the SDK talk to it, and it
// checks their signatures as AWS does, with the SDK's own signer: a request that is forged, altered, or out of time is refused.
//
// Serve it with httptest over plain HTTP as the endpoint of a client, or take Transport, which leads every host's name to it.
package fakeaws

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Identity is an access key and who it belongs to.
type Identity struct {
	Key     string
	Secret  string
	Session string // the session token that has to come along, if any
	ARN     string
	Account string
	UserID  string
}

// Server is the state of the fake. The zero Server has no identities and no secrets.
type Server struct {
	// Now takes the place of time.Now.
	Now func() time.Time

	mu struct {
		sync.Mutex
		identities map[string]Identity
		secrets    map[string]*stored
		fault      func(http.ResponseWriter, *http.Request) bool
		seen       []Request
	}
}

// Request is a request as the fake saw it.
type Request struct {
	Host    string
	Service string // "secretsmanager", "sts", or empty if the signature was refused
	Action  string
	Secret  string // name or ARN asked for
	Stage   string
	Header  http.Header
	URI     string
	Status  int
}

var _ http.Handler = (*Server)(nil)

// AddIdentity makes an access key known.
func (s *Server) AddIdentity(i Identity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.identities == nil {
		s.mu.identities = map[string]Identity{}
	}
	s.mu.identities[i.Key] = i
}

// SetFault puts a handler before the fake; what it answers itself, returning true, the fake does not see. nil takes it away.
func (s *Server) SetFault(f func(http.ResponseWriter, *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.fault = f
}

// Down is a fault: every request is answered with status 503.
func Down(w http.ResponseWriter, _ *http.Request) bool {
	w.WriteHeader(http.StatusServiceUnavailable)
	return true
}

// Requests returns what was asked so far, faults left out.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.mu.seen...)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	fault := s.mu.fault
	s.mu.Unlock()
	if fault != nil && fault(w, r) {
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		http.Error(w, "body", http.StatusBadRequest)
		return
	}
	seen := Request{Host: r.Host, Header: r.Header.Clone(), URI: r.RequestURI, Status: http.StatusOK}
	answer := s.answer(r, body, &seen)
	seen.Status = answer.status
	s.mu.Lock()
	s.mu.seen = append(s.mu.seen, seen)
	s.mu.Unlock()
	w.Header().Set("Content-Type", answer.kind)
	w.WriteHeader(answer.status)
	// A client that has left misses nothing.
	_, _ = w.Write(answer.body)
}

// answer is what goes back.
type answer struct {
	status int
	kind   string
	body   []byte
}

func (s *Server) answer(r *http.Request, body []byte, seen *Request) answer {
	who, service, problem := s.authenticate(r, body)
	if problem != "" {
		return refusal(r, http.StatusForbidden, problem)
	}
	seen.Service = service
	switch service {
	case "secretsmanager":
		return s.secretsManager(r, body, seen)
	case "sts":
		return callerIdentity(r, body, who, seen)
	}
	return refusal(r, http.StatusNotFound, "UnknownService")
}

// refusal has the form that the client understands: JSON for Secrets Manager and for those that ask for it, XML for the rest.
func refusal(r *http.Request, status int, code string) answer {
	if r.Header.Get("X-Amz-Target") != "" {
		return jsonAnswer(status, map[string]string{"__type": code, "message": "refused by the fake"})
	}
	if wantsJSON(r) {
		return jsonAnswer(status, map[string]any{"Error": map[string]string{"Code": code, "Message": "refused by the fake", "Type": "Sender"}})
	}
	text := fmt.Sprintf("<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>refused by the fake</Message></Error></ErrorResponse>", code)
	return answer{status, "text/xml", []byte(text)}
}

func jsonAnswer(status int, v any) answer {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(v); err != nil {
		return answer{http.StatusInternalServerError, "text/plain", []byte(err.Error())}
	}
	return answer{status, "application/json", b.Bytes()}
}

func wantsJSON(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Accept"), "application/json")
}

func (s *Server) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}
