// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"strings"
	"testing"
	"time"

	"github.com/rdsproxy/rdsproxy/test/myclient"
)

const (
	waitLimit = 30 * time.Second
	// patience is how long a step waits for the noise, which itself has to wait as
	// long as the script keeps the database connection.
	patience = 15 * time.Millisecond
)

// noise is other clients of the same user, who share database connections with the
// script and leave as much behind as they can.
type noise struct {
	t     *testing.T
	beats chan struct{}
	done  chan struct{} // one for each beat
	busy  bool
	ended chan struct{}
}

var noiseSchema = []string{
	"DROP DATABASE IF EXISTS noise",
	"CREATE DATABASE noise",
	"CREATE TABLE noise.t (id INT AUTO_INCREMENT PRIMARY KEY, v INT)",
	"ALTER TABLE noise.t AUTO_INCREMENT = 90001",
	"CREATE TABLE noise.many (v INT)",
	"INSERT INTO noise.many VALUES (1), (2), (3), (4), (5), (6), (7)",
	"CREATE PROCEDURE noise.p() BEGIN SET @x = 'noise', @p = 'noise'; INSERT INTO noise.t (v) VALUES (3); SELECT 'noise'; END",
}

// sounds are what the noise does, one line for each beat; the client at the start of
// the line, then its statements. Whoever keeps a database connection gives it back.
var sounds = [][]string{
	{"y", "INSERT INTO noise.t (v) VALUES (1), (2), (3)"},
	{"z", "SELECT LAST_INSERT_ID(777777)"},
	{"y", "SELECT LAST_INSERT_ID(888888)", "SELECT no_such_noise"},
	{"z", "DROP TABLE IF EXISTS noise.nothing, noise.nothing2"},
	{"y", "SELECT SQL_CALC_FOUND_ROWS v FROM noise.many LIMIT 2"},
	{"z", "SET @x = 'noise', @y = 'noise', @a = 'noise', @b = 'noise'", "."},
	{"y", "SET time_zone = '-11:00'"},
	{"z", "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'"},
	{"y", "SET NAMES latin1"},
	{"z", "SET NAMES koi8r"},
	{"y", "USE noise"},
	{"z", "CREATE TEMPORARY TABLE shop.t (noise INT)", "CREATE TEMPORARY TABLE shop.tt (noise INT)", "."},
	{"y", "DO GET_LOCK('noise', 0)", "."},
	{"z", "LOCK TABLES noise.t WRITE, noise.many READ", "."},
	{"y", "BEGIN", "INSERT INTO noise.t (v) VALUES (9)", "ROLLBACK"},
	{"z", "SET autocommit = 0", "UPDATE noise.many SET v = v + 1", "COMMIT"},
	{"y", "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE"},
	{"z", "PREPARE s FROM 'SELECT ''noise'''", "."},
	{"y", "UPDATE noise.many SET v = v + 1"},
	{"z", "SET sql_select_limit = 1, group_concat_max_len = 4, foreign_key_checks = 0, sql_safe_updates = 1"},
	{"y", "CALL noise.p()", "."},
	{"z", "SET SESSION TRANSACTION READ ONLY"},
	{"y", "HANDLER noise.t OPEN AS h", "."},
	{"z", "SET insert_id = 4242", "."},
	{"y", "SET max_sort_length = 8, sort_buffer_size = 65536, lc_time_names = 'de_DE', div_precision_increment = 9"},
	{"z", "SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED", "."},
	{"y", "!SELECT ? + 1", "!SELECT id, v FROM t WHERE id = ?", "!INSERT INTO t (v) VALUES (?)"},
	{"z", "SET character_set_results = NULL"},
	{"y", "SET collation_connection = utf8mb4_bin"},
	{"z", "DELETE FROM noise.t WHERE id < 0"},
}

// startNoise logs the noise's clients in.
func startNoise(t *testing.T, o myclient.Options) *noise {
	t.Helper()
	n := &noise{t: t, beats: make(chan struct{}), done: make(chan struct{}, 1), ended: make(chan struct{})}
	clients := make(map[string]*myclient.Conn)
	for _, name := range []string{"y", "z"} {
		c, err := myclient.Dial(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		clients[name] = c
	}
	go func() {
		defer close(n.ended)
		defer func() {
			for _, c := range clients {
				_ = c.Close() // nothing is left to say
			}
		}()
		for i := 0; ; i++ {
			if _, ok := <-n.beats; !ok {
				return
			}
			sound := sounds[i%len(sounds)]
			if err := play(clients[sound[0]], sound[1:]); err != nil {
				t.Errorf("noise %q: %v", sound, err)
				n.done <- struct{}{}
				return
			}
			n.done <- struct{}{}
		}
	}()
	return n
}

// play runs the statements of a beat: "." resets the session, "!" prepares. Errors of
// the server are noise, too.
func play(c *myclient.Conn, statements []string) (err error) {
	for _, sql := range statements {
		switch {
		case sql == ".":
			_, err = c.ResetConnection()
		case sql[0] == '!':
			_, err = c.Prepare(strings.TrimSpace(sql), sql[1:])
		default:
			_, err = c.Query(sql)
		}
		if err != nil {
			return err
		}
	}
	// An error or a warning keeps the connection until the next statement.
	_, err = c.Query("DO 1")
	return err
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

// stop ends the noise.
func (n *noise) stop() {
	close(n.beats)
	<-n.ended
}
