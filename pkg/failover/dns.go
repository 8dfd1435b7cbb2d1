// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// NameServer resolves names by asking one DNS server, which is to resolve them to the
// end (RFC 1034 section 5.3.1). It tells TTLs.
type NameServer struct {
	Addr string // host:port
}

const (
	// maxAnswer bounds a DNS message over UDP (EDNS, RFC 6891), and over TCP.
	maxAnswer = 4096
	// maxAliases bounds a chain of CNAMEs.
	maxAliases = 16
	// resendAfter is after how long a question over UDP is asked again.
	resendAfter = 500 * time.Millisecond
)

var errGarbledDNS = errors.New("the DNS server's answer makes no sense")

// Resolve implements Resolver. It asks for IPv4 and for IPv6 at once; one of them may
// fail.
func (s NameServer) Resolve(ctx context.Context, name string) (Resolved, error) {
	if !strings.HasSuffix(name, ".") {
		name += "."
	}
	full, err := dnsmessage.NewName(name)
	if err != nil {
		return Resolved{}, fmt.Errorf("name %q: %w", name, err)
	}
	six := make(chan result, 1)
	go func() { six <- s.ask(ctx, full, dnsmessage.TypeAAAA) }()
	return s.ask(ctx, full, dnsmessage.TypeA).with(<-six)
}

// result is what came of one question.
type result struct {
	found Resolved
	err   error
}

// with joins the answers for two families of addresses.
func (r result) with(o result) (Resolved, error) {
	if r.err != nil {
		r, o = o, r
	}
	if r.err != nil || o.err != nil {
		return r.found, r.err
	}
	if len(o.found.Addresses) > 0 {
		r.found.Addresses = append(r.found.Addresses, o.found.Addresses...)
		if r.found.TTL == 0 || o.found.TTL < r.found.TTL {
			r.found.TTL = o.found.TTL
		}
	}
	if len(r.found.Names) == 0 {
		r.found.Names = o.found.Names
	}
	return r.found, nil
}

// ask asks one question over UDP, and over TCP if the answer does not fit.
func (s NameServer) ask(ctx context.Context, name dnsmessage.Name, kind dnsmessage.Type) result {
	question := dnsmessage.Question{Name: name, Type: kind, Class: dnsmessage.ClassINET}
	query, id, err := newQuery(question)
	if err != nil {
		return result{err: err}
	}
	answer, err := s.overUDP(ctx, query, id)
	if err != nil {
		return result{err: err}
	}
	found, whole, err := parseAnswer(answer, question, id)
	if whole {
		return result{found, err}
	}
	if answer, err = s.overTCP(ctx, query); err != nil {
		return result{err: err}
	}
	found, _, err = parseAnswer(answer, question, id)
	return result{found, err}
}

func newQuery(q dnsmessage.Question) (query []byte, id uint16, err error) {
	var random [2]byte
	_, _ = rand.Read(random[:]) // never fails
	id = binary.BigEndian.Uint16(random[:])
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: id, RecursionDesired: true})
	var edns dnsmessage.ResourceHeader
	err = errors.Join(b.StartQuestions(), b.Question(q), b.StartAdditionals(),
		edns.SetEDNS0(maxAnswer, dnsmessage.RCodeSuccess, false), b.OPTResource(edns, dnsmessage.OPTResource{}))
	if err != nil {
		return nil, 0, err
	}
	query, err = b.Finish()
	return query, id, err
}

// overUDP sends the query until there is an answer with its id.
func (s NameServer) overUDP(ctx context.Context, query []byte, id uint16) ([]byte, error) {
	nc, err := (&net.Dialer{}).DialContext(ctx, "udp", s.Addr)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })()
	buf := make([]byte, maxAnswer)
	for ctx.Err() == nil {
		if _, err := nc.Write(query); err != nil {
			return nil, err
		}
		if err := nc.SetReadDeadline(time.Now().Add(resendAfter)); err != nil {
			return nil, err
		}
		for ctx.Err() == nil {
			n, err := nc.Read(buf)
			if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
				break
			}
			if err != nil {
				return nil, err
			}
			if n >= 2 && binary.BigEndian.Uint16(buf) == id {
				return buf[:n], nil
			}
		}
	}
	return nil, ctx.Err()
}

// overTCP asks once (RFC 1035 section 4.2.2).
func (s NameServer) overTCP(ctx context.Context, query []byte) ([]byte, error) {
	nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })()
	framed := binary.BigEndian.AppendUint16(nil, uint16(len(query))) //nolint:gosec // a name is at most 255 bytes long
	if _, err := nc.Write(append(framed, query...)); err != nil {
		return nil, err
	}
	var length [2]byte
	if _, err := io.ReadFull(nc, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint16(length[:])
	if n > maxAnswer {
		return nil, errGarbledDNS
	}
	answer := make([]byte, n)
	_, err = io.ReadFull(nc, answer)
	return answer, err
}

// parseAnswer reads the addresses that the question's name leads to. whole is false
// if the answer was cut off to fit into a datagram.
func parseAnswer(msg []byte, q dnsmessage.Question, id uint16) (found Resolved, whole bool, err error) {
	var p dnsmessage.Parser
	h, err := p.Start(msg)
	if err != nil || !h.Response || h.ID != id {
		return found, true, errGarbledDNS
	}
	if h.Truncated {
		return found, false, nil
	}
	asked, err := p.AllQuestions()
	if err != nil || len(asked) != 1 || !sameName(asked[0].Name.String(), q.Name.String()) || asked[0].Type != q.Type {
		return found, true, errGarbledDNS
	}
	if h.RCode != dnsmessage.RCodeSuccess {
		return found, true, fmt.Errorf("the DNS server answers %s", strings.TrimPrefix(h.RCode.String(), "RCode"))
	}
	answers, err := p.AllAnswers()
	if err != nil {
		return found, true, errGarbledDNS
	}
	return follow(answers, q.Name.String()), true, nil
}

// follow goes along the aliases from name to the addresses. The TTL is the least on
// the way.
func follow(answers []dnsmessage.Resource, name string) (found Resolved) {
	least := func(seconds uint32) {
		ttl := max(time.Duration(seconds)*time.Second, time.Second)
		if found.TTL == 0 || ttl < found.TTL {
			found.TTL = ttl
		}
	}
	for range maxAliases {
		alias := ""
		for _, r := range answers {
			if !sameName(r.Header.Name.String(), name) {
				continue
			}
			switch body := r.Body.(type) {
			case *dnsmessage.AResource:
				found.Addresses = append(found.Addresses, netip.AddrFrom4(body.A))
				least(r.Header.TTL)
			case *dnsmessage.AAAAResource:
				found.Addresses = append(found.Addresses, netip.AddrFrom16(body.AAAA))
				least(r.Header.TTL)
			case *dnsmessage.CNAMEResource:
				alias = body.CNAME.String()
				least(r.Header.TTL)
			}
		}
		if alias == "" {
			return found
		}
		name = strings.TrimSuffix(alias, ".")
		found.Names = append(found.Names, name)
	}
	return Resolved{} // a circle
}
