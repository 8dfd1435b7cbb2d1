// SPDX-License-Identifier: Apache-2.0

package proxy

// Places tells how many places of admission and cancel keys are taken.
func (p *Proxy) Places() (clients, unauthenticated, keys int) {
	p.admitted.mu.Lock()
	clients, unauthenticated = p.admitted.clients, p.admitted.unauthenticated
	p.admitted.mu.Unlock()
	p.cancels.mu.Lock()
	defer p.cancels.mu.Unlock()
	return clients, unauthenticated, len(p.cancels.byID)
}
