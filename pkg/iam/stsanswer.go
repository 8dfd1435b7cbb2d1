// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
)

// maxAnswer bounds what is read of an answer of STS, in bytes. A true one has a few hundred.
const maxAnswer = 16 << 10

// errorCode reads the code of a refusal, and returns nothing if there is none that looks like one.
func errorCode(body []byte) string {
	members, err := readObject(body)
	if err != nil {
		return ""
	}
	if members, err = readObject(members["Error"]); err != nil {
		return ""
	}
	code, _ := readString(members["Code"])
	if len(code) > 64 || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.") != "" {
		return ""
	}
	return code
}

// refusalReason tells what STS means, by status and code. What may be otherwise the next time is no refusal.
func refusalReason(status int, code string) Reason {
	switch {
	case status < 400 || status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout:
		return Unavailable
	case strings.HasPrefix(code, "Throttling") || code == "RequestLimitExceeded":
		return Unavailable
	case code == "InvalidClientTokenId" || code == "UnrecognizedClientException":
		return UnknownKey
	case strings.HasPrefix(code, "ExpiredToken"):
		return Expired
	}
	return BadSignature
}

// callerIdentity reads the JSON that STS answers with, and returns the canonical ARN. The JSON is taken by exact names at
// exact places: a text in it that looks like an answer is none.
func callerIdentity(body []byte, partition string) (arn string, err error) {
	for _, name := range []string{"GetCallerIdentityResponse", "GetCallerIdentityResult"} {
		members, err := readObject(body)
		if err != nil {
			return "", err
		}
		if body = members[name]; body == nil {
			return "", errors.New("not an answer to " + actionSTS)
		}
	}
	var members map[string]json.RawMessage
	if members, err = readObject(body); err != nil {
		return "", err
	}
	account, _ := readString(members["Account"])
	full, _ := readString(members["Arn"])
	if arn, err = canonicalARN(full); err != nil {
		return "", err
	}
	parts := strings.SplitN(arn, ":", arnParts)
	if parts[1] != partition || parts[4] != account {
		return "", errors.New("account and ARN do not belong together")
	}
	return arn, nil
}
