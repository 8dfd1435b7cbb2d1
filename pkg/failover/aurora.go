// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"fmt"
	"strings"
)

// instancePattern checks a pattern, or derives it from the endpoint of a cluster,
// "name.cluster-abc.region.rds.amazonaws.com" (also cluster-ro- and
// cluster-custom-): instances are "id.abc.region.rds.amazonaws.com".
func instancePattern(pattern, cluster string) (string, error) {
	if pattern != "" {
		if strings.Count(pattern, "?") != 1 || strings.ContainsAny(pattern, "/:@ ") {
			return "", fmt.Errorf("the instance pattern %q needs one question mark, where the instance's identifier goes", pattern)
		}
		return pattern, nil
	}
	_, rest, _ := strings.Cut(cluster, ".")
	for _, prefix := range []string{"cluster-custom-", "cluster-ro-", "cluster-"} {
		if domain, ok := strings.CutPrefix(rest, prefix); ok {
			return "?." + domain, nil
		}
	}
	return "", fmt.Errorf("%q is no endpoint of an Aurora cluster: set the pattern of its instances' names", cluster)
}

// instanceHost makes the name of an instance. The identifier comes from the
// database; one that would make another kind of name is refused.
func instanceHost(pattern, id string) (string, bool) {
	if id == "" || len(id) > 63 {
		return "", false
	}
	for _, c := range []byte(id) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (c < '0' || c > '9') && c != '-' {
			return "", false
		}
	}
	return strings.Replace(pattern, "?", strings.ToLower(id), 1), true
}
