// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"encoding/hex"
	"slices"
	"strings"
)

// ServerIDHeader is the header that a token of the STS form has signed, and ServerIDParameter the parameter in which the token
// carries its value. AWS never sees the parameter: the header is sent in its place.
const (
	ServerIDHeader    = "X-Rdsproxy-Server-Id"
	ServerIDParameter = "X-Rdsproxy-Server-Id"
)

const (
	serviceSTS    = "sts"
	versionSTS    = "2011-06-15"
	actionSTS     = "GetCallerIdentity"
	globalSTS     = "sts.amazonaws.com"
	globalRegion  = "us-east-1"
	signedHeaders = "host;x-rdsproxy-server-id"
)

// stsForm is a presigned GetCallerIdentity.
var stsForm = form{
	service: serviceSTS, signedHeaders: signedHeaders,
	fixed: []param{{pAction, actionSTS}, {pVersion, versionSTS}}, more: []string{ServerIDParameter},
}

// ServerID names an endpoint and a database user in one text: host:port/user, the user percent-encoded.
func ServerID(a Address, user string) string { return strings.ToLower(a.String()) + "/" + escape(user) }

// DefaultRegions are those whose STS tokens may be for. The list is fixed because a region's name becomes a part of the name
// of a host.
func DefaultRegions() []string {
	return []string{
		"af-south-1", "ap-east-1", "ap-east-2", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-south-2",
		"ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4", "ap-southeast-5", "ap-southeast-6",
		"ap-southeast-7", "ca-central-1", "ca-west-1", "cn-north-1", "cn-northwest-1", "eu-central-1", "eu-central-2",
		"eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-2", "eu-west-3", "il-central-1", "me-central-1",
		"me-south-1", "mx-central-1", "sa-east-1", "us-east-1", "us-east-2", "us-gov-east-1", "us-gov-west-1", "us-west-1",
		"us-west-2",
	}
}

// stsHosts are the hosts of STS for some regions, with the region that a signature for them names.
func stsHosts(regions []string) map[string]string {
	hosts := map[string]string{}
	for _, region := range regions {
		suffix := ".amazonaws.com"
		if strings.HasPrefix(region, "cn-") {
			suffix = ".amazonaws.com.cn"
		}
		hosts["sts."+region+suffix] = region
		if strings.HasPrefix(region, "us-") {
			hosts["sts-fips."+region+suffix] = region
		}
	}
	if slices.Contains(regions, globalRegion) {
		hosts[globalSTS] = globalRegion
	}
	return hosts
}

// partitionOf is the partition whose identities a region's STS may name.
func partitionOf(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}

// stsRequest is what is sent to STS: nothing in it is as it was received, all of it is put together anew from parts that were
// checked (CVE-2020-16250 came from forwarding).
type stsRequest struct {
	region   string
	url      string
	serverID string
	token    *presigned
}

// parseSTS reads a token of the STS form and holds it against the login.
func parseSTS(c Claim, hosts map[string]string) (*stsRequest, *Rejection) {
	p, r := parsePresigned(c.Token.Reveal(), stsForm)
	if r != nil {
		return nil, r
	}
	region, ok := hosts[p.authority]
	if !ok {
		return nil, reject(WrongHost, "%s is no host of STS that is asked here", quote(p.authority))
	}
	if p.scope.region != region {
		return nil, reject(WrongRegion, "it is for %s", quote(p.scope.region))
	}
	id := p.get(ServerIDParameter)
	at, user, _ := strings.Cut(id, "/")
	switch {
	case !slices.ContainsFunc(c.Endpoint, func(a Address) bool { return strings.ToLower(a.String()) == at }):
		return nil, reject(WrongHost, "it is for %s", quote(at))
	case user != escape(c.User):
		return nil, reject(WrongUser, "it is for %s", quote(user))
	}
	p.params = slices.DeleteFunc(p.params, func(q param) bool { return q.name == ServerIDParameter })
	return &stsRequest{
		region: region, serverID: id, token: p,
		url: "https://" + p.authority + "/?" + canonicalQuery(p.params) + "&" + pSignature + "=" + hex.EncodeToString(p.signature[:]),
	}, nil
}
