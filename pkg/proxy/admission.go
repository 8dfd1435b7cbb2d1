// SPDX-License-Identifier: Apache-2.0

package proxy

import "sync"

// admission counts client connections, from accept to the very end, and those
// of them that have not logged in yet.
type admission struct {
	mu              sync.Mutex
	clients         int
	unauthenticated int
	idle            chan struct{} // closed when clients falls to 0
}

// enter takes a place for a connection that has just been accepted; false if
// too many have not logged in.
func (a *admission) enter(maxUnauthenticated int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.unauthenticated >= maxUnauthenticated {
		return false
	}
	a.clients++
	a.unauthenticated++
	return true
}

// loggedIn moves a connection on; false if there are too many clients.
func (a *admission) loggedIn(maxClients int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.clients-a.unauthenticated >= maxClients {
		return false
	}
	a.unauthenticated--
	return true
}

// leave frees the place of a connection. authenticated tells whether loggedIn
// had said yes.
func (a *admission) leave(authenticated bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.clients--
	if !authenticated {
		a.unauthenticated--
	}
	if a.clients == 0 && a.idle != nil {
		close(a.idle)
		a.idle = nil
	}
}

// empty gives a channel that is closed when no client is there.
func (a *admission) empty() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.clients == 0 {
		done := make(chan struct{})
		close(done)
		return done
	}
	if a.idle == nil {
		a.idle = make(chan struct{})
	}
	return a.idle
}
