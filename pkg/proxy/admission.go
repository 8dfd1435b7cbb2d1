// SPDX-License-Identifier: Apache-2.0

package proxy

// admission counts client connections, from accept to the very end, and those
// of them that have not logged in yet.
type admission struct {
	all             tally
	unauthenticated int // guarded by the lock of all
}

// enter takes a place for a connection that has just been accepted; false if
// too many have not logged in.
func (a *admission) enter(maxUnauthenticated int) bool {
	a.all.mu.Lock()
	defer a.all.mu.Unlock()
	if a.unauthenticated >= maxUnauthenticated {
		return false
	}
	a.all.n++
	a.unauthenticated++
	return true
}

// loggedIn moves a connection on; false if there are too many clients. Those that
// have not logged in do not count, or strangers could keep clients out.
func (a *admission) loggedIn(maxClients int) bool {
	a.all.mu.Lock()
	defer a.all.mu.Unlock()
	if a.all.n-a.unauthenticated >= maxClients {
		return false
	}
	a.unauthenticated--
	return true
}

// leave frees the place of a connection. authenticated tells whether loggedIn
// had said yes.
func (a *admission) leave(authenticated bool) {
	a.all.mu.Lock()
	defer a.all.mu.Unlock()
	if !authenticated {
		a.unauthenticated--
	}
	a.all.remove()
}
