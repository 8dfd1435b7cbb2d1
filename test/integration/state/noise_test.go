// SPDX-License-Identifier: Apache-2.0

package state

import (
	"strings"
	"testing"
	"time"
)

// patience is how long a step waits for the noise, which itself has to wait as long as
// the script keeps the database connection.
const patience = 20 * time.Millisecond

// sounds are what other clients of the same user do between the steps, one line for each
// beat: the client, then its statements. Those that keep a database connection give it
// back.
var sounds = [][]string{
	{"y", "SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'German'; SET IntervalStyle = 'iso_8601'", "DISCARD ALL"},
	{"z", "SET search_path = noise, public", "SELECT * FROM t", "DISCARD ALL"},
	{"y", "SET application_name = 'noise'; SET work_mem = '77kB'; SET my.own = 'noise'", "RESET ALL"},
	{"z", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY, ISOLATION LEVEL SERIALIZABLE", "DISCARD ALL"},
	{"y", "SET bytea_output = 'escape'; SET extra_float_digits = 0", "DISCARD ALL"},
	{"z", "PREPARE s AS SELECT 'noise'; PREPARE p (int) AS SELECT 'noise', $1", "DEALLOCATE ALL"},
	{"y", "!s SELECT 'noise'::text, $1::int", "!q SELECT 'noise'"},
	{"z", "!- SELECT 'noise of the unnamed', $1::text"},
	{"y", "CREATE TEMP TABLE t (noise int); CREATE TEMP TABLE tt AS SELECT 'noise' AS x", "DISCARD ALL"},
	{"z", "LISTEN chan; LISTEN noise; NOTIFY noise, 'noise'", "UNLISTEN *", "DISCARD ALL"},
	{"y", "SELECT pg_advisory_lock(4711)", "SELECT pg_advisory_unlock_all()", "DISCARD ALL"},
	{"z", "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 'noise'; COMMIT", "CLOSE ALL", "DISCARD ALL"},
	{"y", "SELECT nextval('noise.seq'), setval('noise.seq', 4242)", "DISCARD ALL"},
	{"z", "BEGIN; SET LOCAL search_path = noise; SELECT * FROM t; SELECT 1/0", "ROLLBACK"},
	{"y", "SELECT no_such_noise"},
	{"z", "BEGIN; INSERT INTO noise.t VALUES ('lost'); ROLLBACK"},
	{"y", "SET ROLE pg_read_all_data", "DISCARD ALL"},
	{"z", "SELECT set_config('search_path', 'noise', true), set_config('my.own', 'noise', true)"},
	{"y", "SET statement_timeout = '1h'; SET lock_timeout = '2h'; SET enable_seqscan = off", "RESET ALL", "DISCARD ALL"},
	{"z", "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY; SELECT 1; COMMIT AND CHAIN; ROLLBACK"},
}

// noise is these clients.
type noise struct {
	beats, done chan struct{}
	busy        bool
	ended       chan struct{}
}

const noiseSchema = "CREATE SCHEMA noise; CREATE TABLE noise.t (noise text); INSERT INTO noise.t VALUES ('noise'); CREATE SEQUENCE noise.seq"

func startNoise(t *testing.T, dsn string) *noise {
	t.Helper()
	n := &noise{beats: make(chan struct{}), done: make(chan struct{}, 1), ended: make(chan struct{})}
	clients := make(map[string]*client)
	for _, name := range []string{"y", "z"} {
		c, err := dial(t.Context(), dsn, nil)
		if err != nil {
			t.Fatal(err)
		}
		clients[name] = c
	}
	go func() {
		defer close(n.ended)
		defer func() {
			for _, c := range clients {
				c.close()
			}
		}()
		for i := 0; ; i++ {
			if _, ok := <-n.beats; !ok {
				return
			}
			sound := sounds[i%len(sounds)]
			if err := clients[sound[0]].play(sound[1:]); err != nil {
				t.Errorf("noise %q: %v", sound, err)
				n.done <- struct{}{}
				return
			}
			n.done <- struct{}{}
		}
	}()
	return n
}

// play runs the statements of a beat; "!" prepares under a name. Errors of the server are
// noise, too.
func (c *client) play(statements []string) (err error) {
	for _, sql := range statements {
		if words, ok := strings.CutPrefix(sql, "!"); ok {
			f := strings.Fields(words)
			if err := verbs["close-statement"](c, f); err != nil {
				return err
			}
			if err := verbs["parse"](c, f); err != nil {
				return err
			}
			_, err = c.sync()
		} else {
			_, err = c.query(sql)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// beat makes some noise and waits for its end, unless it has to wait for the script.
func (n *noise) beat() {
	if n == nil {
		return
	}
	if n.busy {
		select {
		case <-n.done:
			n.busy = false
		default:
			return
		}
	}
	select {
	case n.beats <- struct{}{}:
		n.busy = true
	case <-n.ended:
		return
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-n.done:
		n.busy = false
	case <-limit.C:
	}
}

// stop ends it. What it waits for has been given back.
func (n *noise) stop() {
	close(n.beats)
	<-n.ended
}
