// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"

	"github.com/rdsproxy/rdsproxy/pkg/config"
	"github.com/rdsproxy/rdsproxy/pkg/failover"
	"github.com/rdsproxy/rdsproxy/pkg/secret"
	"github.com/rdsproxy/rdsproxy/pkg/target"
)

// prober asks one member, and goes with a password that is being rotated.
type prober struct {
	failover.Prober
	logins *logins
	user   string
	// used was offered last; others are to be tried after a refusal.
	used   secret.Credential
	others []secret.Credential
	second bool // used is one of others
}

// newProber makes the prober of a member.
func (p *plan) newProber(m failover.Member) failover.Prober {
	w := &prober{logins: p.loginsAt(m), user: p.conf.ProbeUser}
	aurora := p.conf.Discovery == config.DiscoverAurora
	if p.conf.Engine == config.PostgreSQL {
		w.Prober = target.NewPostgresProber(p.postgres(m), func(ctx context.Context) (target.Request, error) {
			c, err := w.credential(ctx)
			return target.Request{User: w.user, Password: c.Password.Reveal(), Database: p.conf.ProbeDatabase}, err
		}, aurora)
		return w
	}
	w.Prober = target.NewMySQLProber(p.mysql(m), func(ctx context.Context) (target.MySQLRequest, error) {
		c, err := w.credential(ctx)
		return target.MySQLRequest{User: w.user, Password: c.Password.Reveal()}, err
	}, aurora)
	return w
}

func (p *prober) credential(ctx context.Context) (secret.Credential, error) {
	if p.user == "" {
		return secret.Credential{}, errors.New("no user to ask as: no user in auth has a secret")
	}
	if p.second = len(p.others) > 0; p.second {
		p.used, p.others = p.others[0], p.others[1:]
		return p.used, nil
	}
	var err error
	p.used, err = p.logins.Get(ctx, p.user)
	return p.used, err
}

// Probe implements failover.Prober.
func (p *prober) Probe(ctx context.Context) (failover.Answer, error) {
	a, err := p.Prober.Probe(ctx)
	e, failed := errors.AsType[*failover.ProbeError](err)
	switch {
	case err == nil && p.second:
		p.logins.Accepted(p.user, p.used)
		p.second, p.others = false, nil
	case failed && e.Kind == failover.Refused && p.used.Username != "" && len(p.others) == 0:
		// That there is nothing else to try shows at the next login.
		p.others, _ = p.logins.Refused(ctx, p.user, p.used)
	}
	return a, err
}
