// SPDX-License-Identifier: Apache-2.0

package fakeaws

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// stored is one secret: the texts of its versions by stage.
type stored struct {
	arn     string
	stages  map[string]string
	counter int
}

// ARN is how the fake names a secret of that name.
func ARN(region, account, name string) string {
	return fmt.Sprintf("arn:aws:secretsmanager:%s:%s:secret:%s-AbCdEf", region, account, name)
}

// PutSecret sets the current version of a secret, and makes the one that was current the previous one.
func (s *Server) PutSecret(name, text string) {
	s.change(name, func(v *stored) {
		if old, ok := v.stages["AWSCURRENT"]; ok {
			v.stages["AWSPREVIOUS"] = old
		}
		v.stages["AWSCURRENT"] = text
		delete(v.stages, "AWSPENDING")
	})
}

// PutPending sets the pending version, as the first step of a rotation does.
func (s *Server) PutPending(name, text string) {
	s.change(name, func(v *stored) { v.stages["AWSPENDING"] = text })
}

// Promote makes the pending version the current one, as the last step of a rotation does.
func (s *Server) Promote(name string) {
	s.change(name, func(v *stored) {
		v.stages["AWSPREVIOUS"], v.stages["AWSCURRENT"] = v.stages["AWSCURRENT"], v.stages["AWSPENDING"]
		delete(v.stages, "AWSPENDING")
	})
}

// DeleteSecret takes a secret away.
func (s *Server) DeleteSecret(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.secrets, name)
}

func (s *Server) change(name string, f func(*stored)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.secrets == nil {
		s.mu.secrets = map[string]*stored{}
	}
	v := s.mu.secrets[name]
	if v == nil {
		v = &stored{arn: ARN("eu-central-1", "123456789012", name), stages: map[string]string{}}
		s.mu.secrets[name] = v
	}
	v.counter++
	f(v)
}

// secretsManager answers the AWS JSON 1.1 protocol.
func (s *Server) secretsManager(r *http.Request, body []byte, seen *Request) answer {
	seen.Action = strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "secretsmanager.")
	if seen.Action != "GetSecretValue" || r.Method != http.MethodPost {
		return refusal(r, http.StatusBadRequest, "InvalidRequestException")
	}
	var in struct{ SecretId, VersionStage string }
	if err := json.Unmarshal(body, &in); err != nil {
		return refusal(r, http.StatusBadRequest, "InvalidParameterException")
	}
	seen.Secret, seen.Stage = in.SecretId, in.VersionStage
	if in.VersionStage == "" {
		in.VersionStage = "AWSCURRENT"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, v := range s.mu.secrets {
		text, ok := v.stages[in.VersionStage]
		if (name == in.SecretId || v.arn == in.SecretId) && ok {
			return jsonAnswer(http.StatusOK, map[string]any{
				"ARN": v.arn, "Name": name, "SecretString": text, "VersionStages": []string{in.VersionStage},
				"VersionId": fmt.Sprintf("%032d", v.counter),
			})
		}
	}
	return refusal(r, http.StatusBadRequest, "ResourceNotFoundException")
}
