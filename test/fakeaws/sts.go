// SPDX-License-Identifier: Apache-2.0

package fakeaws

import (
	"fmt"
	"net/http"
	"net/url"
)

// callerIdentity answers GetCallerIdentity in JSON where that is asked for, and in XML otherwise, as STS does.
func callerIdentity(r *http.Request, body []byte, who Identity, seen *Request) answer {
	q := r.URL.Query()
	if r.Method == http.MethodPost {
		var err error
		if q, err = url.ParseQuery(string(body)); err != nil {
			return refusal(r, http.StatusBadRequest, "MalformedQueryString")
		}
	}
	seen.Action = q.Get("Action")
	if r.URL.Path != "/" || seen.Action != "GetCallerIdentity" || q.Get("Version") != "2011-06-15" {
		return refusal(r, http.StatusBadRequest, "InvalidAction")
	}
	if wantsJSON(r) {
		return jsonAnswer(http.StatusOK, map[string]any{"GetCallerIdentityResponse": map[string]any{
			"GetCallerIdentityResult": map[string]string{"Account": who.Account, "Arn": who.ARN, "UserId": who.UserID},
			"ResponseMetadata":        map[string]string{"RequestId": "fake"},
		}})
	}
	text := fmt.Sprintf(`<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>`+
		`<Arn>%s</Arn><UserId>%s</UserId><Account>%s</Account></GetCallerIdentityResult>`+
		`<ResponseMetadata><RequestId>fake</RequestId></ResponseMetadata></GetCallerIdentityResponse>`, who.ARN, who.UserID, who.Account)
	return answer{http.StatusOK, "text/xml", []byte(text)}
}
