// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// trouble is what is wrong with a value, and what to do; the zero trouble means nothing is.
type trouble struct{ what, do string }

func (t trouble) found() bool { return t.what != "" }

// maxQuoted bounds how much of a wrong value a message repeats.
const maxQuoted = 60

func quote(text string) string {
	if len(text) > maxQuoted {
		text = strings.ToValidUTF8(text[:maxQuoted], "") + "..."
	}
	return strconv.Quote(text)
}

// scalar turns the text of one value into the Go value that the struct holds. All layers and the defaults pass here.
func (n *node) scalar(text string) (any, trouble) {
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return nil, trouble{"holds a byte that is not text", "use UTF-8 without NUL"}
	}
	switch n.kind {
	case kindText:
		return n.word(text)
	case kindBool:
		return parseBool(text)
	case kindNumber:
		return n.number(text)
	case kindDuration:
		return n.duration(text)
	case kindAddress:
		return parseAddress(text)
	}
	return nil, trouble{"wants a " + n.kind.String(), "see configs/rdsproxy.example.yaml"}
}

// word accepts the listed words in any letter case and gives the listed spelling.
func (n *node) word(text string) (any, trouble) {
	if n.words == nil {
		return text, trouble{}
	}
	for _, w := range n.words {
		if strings.EqualFold(w, text) {
			return w, trouble{}
		}
	}
	return nil, trouble{quote(text) + " is not a known value", suggest(text, n.words)}
}

func parseBool(text string) (any, trouble) {
	switch strings.ToLower(text) {
	case "true":
		return true, trouble{}
	case "false":
		return false, trouble{}
	}
	return nil, trouble{quote(text) + " is neither true nor false", "write true or false"}
}

func (n *node) number(text string) (any, trouble) {
	v, err := strconv.Atoi(text)
	switch {
	case err != nil:
		return nil, trouble{quote(text) + " is not a whole number", "use " + n.rangeText()}
	case int64(v) < n.low || int64(v) > n.high:
		return nil, trouble{text + " is out of range", "use " + n.rangeText()}
	}
	return v, trouble{}
}

func (n *node) duration(text string) (any, trouble) {
	if v, err := strconv.Atoi(text); err == nil && v != 0 {
		return nil, trouble{quote(text) + " has no unit", fmt.Sprintf("write %ds for seconds", v)}
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return nil, trouble{quote(text) + " is not a duration", "write it like 30s, 5m or 1h30m"}
	case int64(d) < n.low || int64(d) > n.high:
		return nil, trouble{text + " is out of range", "use " + n.rangeText()}
	}
	return d, trouble{}
}

func (n *node) rangeText() string {
	low, high, _ := strings.Cut(n.allow, "..")
	return low + " to " + high
}

// defaultPort is PostgreSQL's, taken when an address names none.
const defaultPort = 5432

// parseAddress reads host, host:port, [v6]:port, or a bare IPv6 address.
func parseAddress(text string) (any, trouble) {
	if t := refuseURL(text); t.found() {
		return nil, t
	}
	if ip, err := netip.ParseAddr(text); err == nil && ip.Is6() {
		return Address{Host: text, Port: defaultPort}, trouble{}
	}
	host, port := text, strconv.Itoa(defaultPort)
	if strings.ContainsAny(text, ":[]") {
		var err error
		if host, port, err = net.SplitHostPort(text); err != nil {
			return nil, trouble{quote(text) + " is not host:port", "write it like db.internal:5432 or [2001:db8::1]:5432"}
		}
	}
	return makeAddress(host, port)
}

// refuseURL keeps connection strings out, and the passwords in them out of messages.
func refuseURL(text string) trouble {
	if strings.Contains(text, "://") || strings.Contains(text, "@") {
		return trouble{"is a URL", "write host:port alone; user and secret belong under auth"}
	}
	return trouble{}
}

func makeAddress(host, port string) (any, trouble) {
	if t := checkHost(host); t.found() {
		return nil, t
	}
	p, err := strconv.ParseUint(port, 10, 16)
	if err != nil || p == 0 {
		return nil, trouble{quote(port) + " is not a port", "use 1 to 65535"}
	}
	return Address{Host: host, Port: uint16(p)}, trouble{}
}

// checkHost accepts IP addresses and names of the characters that resolvers take (RFC 1123, and the underscore that Docker
// and Kubernetes users put in).
func checkHost(host string) trouble {
	const longestName = 253
	if _, err := netip.ParseAddr(host); err == nil {
		return trouble{}
	}
	bad := strings.IndexFunc(host, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '.' && r != '_'
	})
	if host == "" || len(host) > longestName || bad >= 0 {
		return trouble{quote(host) + " is not a host", "write a name or an IP address"}
	}
	return trouble{}
}

// parseNetwork reads a CIDR block, or a single address as the block of it alone.
func parseNetwork(text string) (netip.Prefix, trouble) {
	if ip, err := netip.ParseAddr(text); err == nil && ip.Zone() == "" {
		ip = ip.Unmap()
		return netip.PrefixFrom(ip, ip.BitLen()), trouble{}
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, trouble{quote(text) + " is not a network", "write it like 10.0.0.0/8 or 2001:db8::/32"}
	}
	if masked := p.Masked(); masked != p {
		return netip.Prefix{}, trouble{quote(text) + " has bits set behind the mask", "write " + masked.String()}
	}
	if p.Addr().Is4In6() {
		return netip.Prefix{}, trouble{quote(text) + " is an IPv4 network in IPv6 clothes", "write the IPv4 network"}
	}
	return p, trouble{}
}
