// SPDX-License-Identifier: Apache-2.0

package proxy

// Places tells how many places of admission and cancel keys are taken.
func (p *Proxy) Places() (clients, unauthenticated, keys int) {
	p.admitted.all.mu.Lock()
	clients, unauthenticated = p.admitted.all.n, p.admitted.unauthenticated
	p.admitted.all.mu.Unlock()
	p.cancels.mu.Lock()
	defer p.cancels.mu.Unlock()
	return clients, unauthenticated, len(p.cancels.byID)
}

// Block keeps an event loop busy until c is closed.
func (p *Proxy) Block(loop int, c <-chan struct{}) { p.workers[loop].loop.Post(func() { <-c }) }

// SharedSets is how many users and databases the target group remembers.
func (t *TargetGroup) SharedSets() int {
	t.family.mu.Lock()
	defer t.family.mu.Unlock()
	return len(t.family.shared)
}

// Running tells whether the event loops take anything on.
func (p *Proxy) Running() bool { return p.workers[0].loop.Post(func() {}) }
