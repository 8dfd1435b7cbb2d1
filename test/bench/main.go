// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Bench compares rdsproxy with PgBouncer and with MySQL Router on one machine, in one run.
//
//	go run ./test/bench                       everything; writes bench/latest.json; less than 25 minutes
//	go run ./test/bench -quick                a short look, under four minutes; writes nothing
//	go run ./test/bench -figures 'pg.*.c100.*,mysql.idle.*' -rounds 7
//	go run ./test/bench -self-check -quick    each peer against itself: how far apart equal programs come out
//	go run ./test/bench -suite failover -plot docs -doc docs/failover.md
//	go run ./test/bench -from bench/latest.json -plot docs -doc docs/performance.md
//
// It starts databases of its own, PgBouncer, MySQL Router and the daemon built from the working tree, and removes all of it at the end. How it
// measures is described in docs/performance.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rdsproxy/rdsproxy/test/bench/measure"
	"github.com/rdsproxy/rdsproxy/test/bench/report"
	"github.com/rdsproxy/rdsproxy/test/bench/rig"
)

type options struct {
	plan
	patience                               time.Duration
	quick, selfCheck                       bool
	suite                                  string
	failovers                              int
	figures, out, from, plot, doc, profile string
	rdsproxy, pgbouncer                    string
}

func main() {
	o := parseFlags()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, o)
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case interrupted:
		fmt.Fprintln(os.Stderr, "bench: interrupted; everything is stopped and removed")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parseFlags() options {
	o := options{plan: plan{warm: 500 * time.Millisecond, settle: 4 * time.Second}}
	flag.IntVar(&o.rounds, "rounds", 5, "paired rounds")
	flag.DurationVar(&o.load, "duration", 2500*time.Millisecond, "measured part of each load run")
	flag.IntVar(&o.idleClients, "idle-clients", 5000, "clients of the memory figures")
	flag.DurationVar(&o.patience, "patience", 5*time.Minute,
		"time that the run may take longer to wait while others use the machine, and to repeat what they disturbed")
	flag.BoolVar(&o.quick, "quick", false, "one round, short runs, fewer figures; -rounds, -duration and -figures still count if they are given")
	flag.StringVar(&o.figures, "figures", "", "only experiments with a figure that fits one of these `patterns`, separated by commas")
	flag.StringVar(&o.suite, "suite", suiteLoad, "load, or failover: how long clients cannot write when a writer dies")
	flag.IntVar(&o.failovers, "failovers", 20, "failovers of each kind of database, in the suite failover")
	flag.StringVar(&o.out, "out", "", "write the results to this `file` (a complete run: bench/latest.json)")
	flag.StringVar(&o.from, "from", "", "measure nothing, read the results from this `file`")
	flag.StringVar(&o.plot, "plot", "", "draw performance-*.svg into this `folder`")
	flag.StringVar(&o.doc, "doc", "", "put the table into this Markdown `file`, between its marks")
	flag.StringVar(&o.profile, "profile", "", "afterwards, profile both programs under each chosen load with perf, into this `folder`")
	flag.BoolVar(&o.selfCheck, "self-check", false, "put each peer in our place too, to see the spread of equal programs")
	flag.StringVar(&o.rdsproxy, "rdsproxy", "", "use this `program` instead of building one")
	flag.StringVar(&o.pgbouncer, "pgbouncer", "", "use this `program` instead of the newest PgBouncer")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "bench: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	given := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { given[f.Name] = true })
	o.complete(given)
	return o
}

// quickFigures are those of a quick run: each kind once.
const quickFigures = "pg.simple.*.throughput,pg.extended.c100.*,pg.prepared.c100.*,pg.simple_tls.c100.*,pg.login.*,pg.idle.*," +
	"mysql.point_select.c100.*,mysql.point_select_prepared.c100.*,mysql.point_select_tls.c100.*,mysql.login.*,mysql.idle.*"

// complete fills in what follows from the flags that were given.
func (o *options) complete(given map[string]bool) {
	if o.suite == suiteFailover {
		if o.out == "" && o.from == "" && o.figures == "" {
			o.out = filepath.Join("bench", "failover.json")
		}
		return
	}
	if o.quick {
		if !given["rounds"] {
			o.rounds = 1
		}
		if !given["duration"] {
			o.load = 1500 * time.Millisecond
		}
		if !given["figures"] {
			o.figures = quickFigures
		}
		o.settle = 2 * time.Second
	}
	if o.out == "" && o.from == "" && o.figures == "" && !o.selfCheck {
		o.out = filepath.Join("bench", "latest.json")
	}
}

func run(ctx context.Context, o options) error {
	switch o.suite {
	case suiteLoad:
	case suiteFailover:
		return o.failover(ctx)
	default:
		return fmt.Errorf("no suite %q: there are %s and %s", o.suite, suiteLoad, suiteFailover)
	}
	if o.from != "" {
		r, err := report.Read(o.from)
		if err != nil {
			return err
		}
		return show(r, o)
	}
	if o.rounds < 1 || o.idleClients < 1 || o.load < 200*time.Millisecond {
		return errors.New("-rounds and -idle-clients must be 1 or more, -duration 200ms or more")
	}
	experiments, err := choose(o.experiments(), o.figures)
	if err != nil {
		return err
	}
	r, err := measureAll(ctx, o, experiments)
	if len(r.Figures) == 0 {
		return err
	}
	return errors.Join(err, show(r, o))
}

// show prints the results and writes the files that were asked for.
func show(r report.Report, o options) error {
	fmt.Println()
	if err := r.Table(os.Stdout); err != nil {
		return err
	}
	if o.out != "" {
		if err := r.Write(o.out); err != nil {
			return err
		}
	}
	var errs []error
	if o.doc != "" {
		errs = append(errs, document(r, o.doc))
	}
	if o.plot != "" {
		errs = append(errs, draw(r, o.plot))
	}
	return errors.Join(errs...)
}

// document renews the table in a Markdown file.
func document(r report.Report, path string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	doc, err := r.Splice(string(old))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(doc), 0o644)
}

// draw writes the charts.
func draw(r report.Report, folder string) error {
	var errs []error
	for _, c := range report.Charts() {
		if svg := r.SVG(c); svg != "" {
			errs = append(errs, os.WriteFile(filepath.Join(folder, c.File), []byte(svg), 0o644))
		}
	}
	return errors.Join(errs...)
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// measureAll prepares a run, makes it, and takes everything away again.
func measureAll(ctx context.Context, o options, experiments []experiment) (r report.Report, err error) {
	files, err := rig.RaiseOpenFiles()
	if err != nil {
		return r, err
	}
	if files < uint64(o.idleClients+500) {
		return r, fmt.Errorf("%d open files are allowed: too few for %d idle clients", files, o.idleClients)
	}
	as, err := rig.Unprivileged()
	if err != nil {
		return r, err
	}
	programs, err := rig.NewSpace("", as)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, programs.Remove()) }()
	b := &bench{as: as, say: say, calm: &patience{
		left: o.patience, cores: runtime.NumCPU(), usage: measure.Now, now: time.Now, pause: pause, say: say,
	}}
	if b.tls, err = rig.NewIdentity(); err != nil {
		return r, err
	}
	ours, err := o.ours(ctx, programs)
	if err != nil {
		return r, err
	}
	began, err := b.calm.read()
	if err != nil {
		return r, err
	}
	versions := map[string]string{"go": strings.TrimPrefix(runtime.Version(), "go"), "rdsproxy": ours.Version}
	var runErr error
	for _, e := range []engine{postgres, mysql} {
		if own := of(e, experiments); len(own) > 0 && ctx.Err() == nil {
			runErr = errors.Join(runErr, b.measure(ctx, o, e, ours, own, versions))
		}
	}
	if ctx.Err() != nil {
		return r, ctx.Err()
	}
	others, _, err := b.calm.othersSince(began)
	if err != nil {
		return r, err
	}
	if others > calmPercent {
		say("others took %.0f %% of the machine meanwhile: expect noise", others)
	}
	r = report.Report{
		Machine: machine(), Date: began.at.UTC().Format(time.RFC3339), Versions: versions, OthersPercent: math.Round(10*others) / 10,
	}
	var figErr error
	r.Figures, figErr = b.found.Figures()
	return r, errors.Join(runErr, figErr)
}

// of gives the experiments with one kind of database.
func of(e engine, all []experiment) []experiment {
	return slices.DeleteFunc(slices.Clone(all), func(x experiment) bool { return x.engine != e })
}

// ours builds or takes the program of this repository.
func (o options) ours(ctx context.Context, programs *rig.Space) (*rig.RDSProxy, error) {
	if o.rdsproxy != "" {
		return rig.UseRDSProxy(o.rdsproxy, programs)
	}
	return rig.BuildRDSProxy(ctx, programs)
}

// measure starts the databases of one kind, runs the experiments with it, profiles if that is asked for, and stops all that runs. It notes the
// versions of what it started.
func (b *bench) measure(
	ctx context.Context, o options, e engine, ours rig.Pooler, experiments []experiment, versions map[string]string,
) (err error) {
	prepare := b.preparePostgres
	if e == mysql {
		prepare = b.prepareMySQL
	}
	c := &contest{engine: e, ours: &side{label: "ours", pooler: ours}, peer: &side{label: "peer"}}
	defer func() { err = errors.Join(err, c.stop()) }()
	if err := prepare(ctx, o, c, users(experiments), versions); err != nil {
		return err
	}
	if o.selfCheck {
		c.ours.pooler, c.ours.alone = c.peer.pooler, c.peer.alone
	}
	say("%s against %s; about %v", c.ours.pooler.Name(), c.peer.pooler.Name(), estimate(experiments))
	err = b.run(ctx, c, experiments)
	if o.profile != "" && ctx.Err() == nil {
		err = errors.Join(err, c.profile(ctx, o.profile, o.load, experiments))
	}
	return err
}

// preparePostgres finds the peer for PostgreSQL, and starts one cluster for both sides.
func (b *bench) preparePostgres(ctx context.Context, o options, c *contest, users []string, versions map[string]string) error {
	peer, note, err := rig.FindPgBouncer(ctx, o.pgbouncer)
	if err != nil {
		return err
	}
	if note != "" {
		say("%s", note)
	}
	pg, err := rig.StartPostgres(ctx, users)
	if err != nil {
		return err
	}
	c.peer.pooler = peer
	c.ours.backend = rig.Setup{Postgres: pg, TLS: b.tls, As: b.as}
	c.peer.backend = c.ours.backend
	versions["pgbouncer"], versions["postgresql"] = peer.Version, pg.Version
	return nil
}

// prepareMySQL finds the peer for MySQL, and starts a server for each side, because the peer's number of connections is limited there.
func (b *bench) prepareMySQL(ctx context.Context, _ options, c *contest, users []string, versions map[string]string) error {
	peer, err := rig.FindRouter(ctx)
	if err != nil {
		return err
	}
	c.peer.pooler, c.peer.alone = peer, true
	for _, s := range []*side{c.ours, c.peer} {
		my, err := rig.StartMySQL(ctx, users, b.tls)
		if err != nil {
			return err
		}
		s.backend = rig.Setup{MySQL: my, TLS: b.tls, As: b.as}
		versions["mysql"] = my.Version
	}
	versions["mysqlrouter"] = peer.Version
	return nil
}
