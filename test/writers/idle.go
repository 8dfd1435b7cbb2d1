// SPDX-License-Identifier: Apache-2.0

package writers

import (
	"context"
	"fmt"
	"sync"
)

// Idle are connections that do nothing.
type Idle struct{ conns []Conn }

// Park opens connections and has each run one query.
func Park(ctx context.Context, n int, dial func(ctx context.Context) (Conn, error)) (*Idle, error) {
	i := &Idle{}
	var mu sync.Mutex
	err := each(make([]struct{}, n), func(struct{}) error {
		c, err := dial(ctx)
		if err != nil {
			return err
		}
		mu.Lock()
		i.conns = append(i.conns, c)
		mu.Unlock()
		return c.Run(ctx, "SELECT 1")
	})
	if err != nil {
		i.HangUp()
		return nil, fmt.Errorf("idle client: %w", err)
	}
	return i, nil
}

// Wake has each connection run a query again, and gives the errors.
func (i *Idle) Wake(ctx context.Context) error {
	return each(i.conns, func(c Conn) error { return c.Run(ctx, "SELECT 1") })
}

// HangUp closes the connections.
func (i *Idle) HangUp() {
	_ = each(i.conns, func(c Conn) error {
		c.Close()
		return nil
	})
}
