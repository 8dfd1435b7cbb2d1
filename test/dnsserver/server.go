// SPDX-License-Identifier: Apache-2.0

// Package dnsserver is a small authoritative DNS server for tests: a name leads to
// addresses, with a TTL, until the test says otherwise.
package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/rdsproxy/rdsproxy/test/machine"
)

// Server answers over UDP and TCP. Its methods may be called from anywhere.
type Server struct {
	// Addr is where it listens, host:port.
	Addr string

	servers []*dns.Server
	ended   sync.WaitGroup
	mu      struct {
		sync.Mutex
		records map[string]record // by name in canonical form
		queries map[string]int
	}
}

// record is what a name leads to.
type record struct {
	addresses []netip.Addr
	ttl       time.Duration
}

// Launch starts a server on an address such as 127.0.0.53. Port 0 means a free one; port
// 53, which resolver libraries insist on, takes root. The caller must Close it.
func Launch(host string, port int) (*Server, error) {
	if port == 0 {
		var err error
		if port, err = machine.FreePort(host); err != nil {
			return nil, err
		}
	}
	s := &Server{Addr: net.JoinHostPort(host, strconv.Itoa(port))}
	s.mu.records, s.mu.queries = make(map[string]record), make(map[string]int)
	packets, err := net.ListenPacket("udp", s.Addr)
	if err != nil {
		return nil, fmt.Errorf("DNS server of the tests: %w", err)
	}
	listener, err := net.Listen("tcp", s.Addr)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("DNS server of the tests: %w", err), packets.Close())
	}
	for _, srv := range []*dns.Server{{PacketConn: packets}, {Listener: listener}} {
		srv.Handler = dns.HandlerFunc(s.answer)
		started := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(started) }
		s.servers = append(s.servers, srv)
		s.ended.Go(func() { _ = srv.ActivateAndServe() }) // ends with Close
		<-started
	}
	return s, nil
}

// Close ends the server.
func (s *Server) Close() error {
	var errs []error
	for _, srv := range s.servers {
		errs = append(errs, srv.Shutdown())
	}
	s.ended.Wait()
	return errors.Join(errs...)
}

// Set has a name lead to addresses, which may be changed at any time. No addresses
// have it known and without any. The TTL is in whole seconds.
func (s *Server) Set(name string, ttl time.Duration, addresses ...string) error {
	r := record{ttl: ttl}
	for _, a := range addresses {
		address, err := netip.ParseAddr(a)
		if err != nil {
			return fmt.Errorf("DNS record of %s: %w", name, err)
		}
		r.addresses = append(r.addresses, address)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.records[dns.CanonicalName(name)] = r
	return nil
}

// Queries counts how often a name was asked for, of whatever type.
func (s *Server) Queries(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.queries[dns.CanonicalName(name)]
}

// Resolver asks this server and no other, and remembers nothing.
func (s *Server) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, s.Addr)
	}}
}

// answer knows addresses only. A name that nobody has set does not exist.
func (s *Server) answer(w dns.ResponseWriter, query *dns.Msg) {
	reply := new(dns.Msg)
	reply.SetReply(query)
	reply.Authoritative = true
	for _, q := range query.Question {
		r, ok := s.find(q.Name)
		if !ok {
			reply.Rcode = dns.RcodeNameError
			continue
		}
		reply.Answer = append(reply.Answer, r.answers(q)...)
	}
	_ = w.WriteMsg(reply) // whoever asked may be gone
}

func (s *Server) find(name string) (record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name = dns.CanonicalName(name)
	s.mu.queries[name]++
	r, ok := s.mu.records[name]
	return r, ok
}

func (r record) answers(q dns.Question) (all []dns.RR) {
	header := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET, Ttl: uint32(r.ttl / time.Second)}
	for _, a := range r.addresses {
		switch {
		case q.Qtype == dns.TypeA && a.Is4():
			all = append(all, &dns.A{Hdr: header, A: a.AsSlice()})
		case q.Qtype == dns.TypeAAAA && a.Is6():
			all = append(all, &dns.AAAA{Hdr: header, AAAA: a.AsSlice()})
		}
	}
	return all
}
