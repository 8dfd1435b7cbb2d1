// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/rdsproxy/rdsproxy/test/bench/measure"
	"github.com/rdsproxy/rdsproxy/test/bench/outage"
	"github.com/rdsproxy/rdsproxy/test/bench/report"
	"github.com/rdsproxy/rdsproxy/test/bench/rig"
	"github.com/rdsproxy/rdsproxy/test/replicas"
)

// Suites of figures.
const (
	suiteLoad     = "load"
	suiteFailover = "failover"
)

// failoverEngines are the clusters of the suite failover, with the names of their figures.
var failoverEngines = []struct {
	engine replicas.Engine
	name   string
}{{replicas.PostgreSQL, "pg"}, {replicas.MariaDB, "mariadb"}, {replicas.MySQL, "mysql"}}

// The time from the death of a writer to the promotion is between these two. It is spread evenly, because how long a DNS answer is still
// kept then depends on it.
const undecidedMin, undecidedMax = time.Second, 6 * time.Second

// undecided is that time in one of n rounds.
func undecided(round, n int) time.Duration {
	return undecidedMin + time.Duration(float64(undecidedMax-undecidedMin)*(float64(round)+0.5)/float64(n))
}

// failover measures how long clients cannot write when a writer dies.
func (o options) failover(ctx context.Context) (err error) {
	if o.from != "" {
		r, err := report.Read(o.from)
		if err != nil {
			return err
		}
		return o.showFailover(r)
	}
	if o.failovers < 1 {
		return errors.New("-failovers must be 1 or more")
	}
	as, err := rig.Unprivileged()
	if err != nil {
		return err
	}
	space, err := rig.NewSpace("", as)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, space.Remove()) }()
	ours, err := o.ours(ctx, space)
	if err != nil {
		return err
	}
	r := report.Report{
		Machine: machine(), Date: time.Now().UTC().Format(time.RFC3339),
		Versions: map[string]string{"go": strings.TrimPrefix(runtime.Version(), "go"), "rdsproxy": ours.Version},
	}
	p := outage.Programs{RDSProxy: ours.Path, As: as}
	var note string
	if p.PgBouncer, note, err = rig.FindPgBouncer(ctx, o.pgbouncer); err != nil {
		say("%v", err)
	} else {
		r.Versions["pgbouncer"] = p.PgBouncer.Version
		if note != "" {
			say("%s", note)
		}
	}
	calm := &patience{cores: runtime.NumCPU(), usage: measure.Now, now: time.Now, pause: pause, say: say}
	began, err := calm.read()
	if err != nil {
		return err
	}
	found, err := o.failoverRounds(ctx, p)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	others, _, othersErr := calm.othersSince(began)
	r.OthersPercent = math.Round(10*others) / 10
	var figErr error
	r.Figures, figErr = found.Figures()
	return errors.Join(err, othersErr, figErr, o.showFailover(r))
}

// failoverRounds fails all clusters, again and again. One that cannot be measured is left out.
func (o options) failoverRounds(ctx context.Context, p outage.Programs) (found report.Collector, err error) {
	for _, e := range failoverEngines {
		if !o.wants("failover." + e.name + ".kill.gap") {
			continue
		}
		stage, openErr := outage.Open(ctx, e.engine, p)
		if openErr != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", e.engine, openErr))
			continue
		}
		say("%s: %d failovers, about %v", e.engine, o.failovers, time.Duration(o.failovers)*10*time.Second)
		for round := range o.failovers {
			f, failErr := stage.Fail(ctx, undecided(round, o.failovers))
			if failErr != nil {
				err = errors.Join(err, fmt.Errorf("%s, failover %d: %w", e.engine, round+1, failErr))
				say("%s FAILED: %v", e.engine, failErr)
				break
			}
			noteFailover(&found, e.name, round, o.failovers, f)
			if round == o.failovers/2 && o.plot != "" {
				file := filepath.Join(o.plot, "failover-"+e.name+".svg")
				err = errors.Join(err, os.WriteFile(file, []byte(f.SVG(string(e.engine))), 0o644))
			}
		}
		err = errors.Join(err, stage.Close())
	}
	return found, err
}

// wants tells whether a figure fits one of the patterns.
func (o options) wants(figure string) bool {
	return o.figures == "" || slices.ContainsFunc(strings.Split(o.figures, ","), func(pattern string) bool {
		ok, err := path.Match(pattern, figure)
		return ok && err == nil
	})
}

// noteFailover notes what the crowds have seen.
func noteFailover(found *report.Collector, name string, round, of int, f outage.Failover) {
	prefix := "failover." + name + ".kill."
	ours, driver := f.Seen[outage.Proxy], f.Seen[outage.Driver]
	const driverName = "a driver that connects again, by a DNS name with a TTL of 5 s"
	found.Add(prefix+"gap", report.UnitMillis, driverName, millis(ours.Gap), millis(driver.Gap))
	found.Add(prefix+"outage", report.UnitMillis, driverName, millis(ours.Outage), millis(driver.Outage))
	found.Add(prefix+"lost_connections", report.UnitCount, driverName, float64(ours.Lost), float64(driver.Lost))
	line := fmt.Sprintf("round %d/%d  %-8s promoted after %.1f s  gap %v | %v  outage %v | %v", round+1, of, name,
		f.Promoted.Sub(f.Killed).Seconds(), short(ours.Gap), short(driver.Gap), short(ours.Outage), short(driver.Outage))
	if b, ok := f.Seen[outage.PgBouncer]; ok {
		found.Add(prefix+"outage_pgbouncer", report.UnitMillis, "PgBouncer", millis(ours.Outage), millis(b.Outage))
		found.Add(prefix+"lost_connections_pgbouncer", report.UnitCount, "PgBouncer", float64(ours.Lost), float64(b.Lost))
		line += fmt.Sprintf("  PgBouncer %v, %v", short(b.Gap), short(b.Outage))
	}
	say("%s  failed operations %d | %d", line, ours.Failed, driver.Failed)
	say("clients of rdsproxy: %s", ours.Told)
	if ours.Why != nil {
		say("connections lost: %v", ours.Why)
	}
}

func short(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// showFailover prints the results and writes the files that were asked for.
func (o options) showFailover(r report.Report) error {
	fmt.Println()
	err := r.Table(os.Stdout)
	if o.out != "" && len(r.Figures) > 0 {
		err = errors.Join(err, r.Write(o.out))
	}
	if o.doc != "" && len(r.Figures) > 0 {
		err = errors.Join(err, documentFailover(r, o.doc))
	}
	return err
}

// documentFailover renews the table in a Markdown file.
func documentFailover(r report.Report, path string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	doc, err := r.SpliceFailover(string(old))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(doc), 0o644)
}
