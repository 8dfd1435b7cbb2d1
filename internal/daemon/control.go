// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"go.uber.org/zap"
)

// Pause implements admin.Controller.
func (g *graph) Pause(name string) bool {
	return g.eachGroup(name, func(t *targetGroup) {
		g.log.Info("Paused: clients wait for database connections.", zap.String("target_group", t.plan.conf.Name))
		t.group.Pause()
	})
}

// Resume implements admin.Controller.
func (g *graph) Resume(name string) bool {
	return g.eachGroup(name, func(t *targetGroup) {
		g.log.Info("Resumed.", zap.String("target_group", t.plan.conf.Name))
		t.group.Resume()
	})
}

// eachGroup calls f for the target group of that name, or for all if it is "".
func (g *graph) eachGroup(name string, f func(*targetGroup)) (found bool) {
	g.changing.Lock()
	defer g.changing.Unlock()
	for _, t := range g.targets {
		if name == "" || t.plan.conf.Name == name {
			f(t)
			found = true
		}
	}
	return found
}
