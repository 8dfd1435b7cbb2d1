# SPDX-License-Identifier: Apache-2.0
#
# What applications do with psycopg 3. Prints the same whether or not there is a proxy.
import logging
import os
import threading

import psycopg
from psycopg import errors
from psycopg.types.json import Jsonb

# At the end of a pipeline with an error the driver warns or does not, as the replies come in.
logging.getLogger("psycopg").setLevel(logging.ERROR)


def parameters(conn):
    row = conn.execute("SELECT %s::int + 1, %s::text, %s", (41, "it's", Jsonb({"a": [1, 2]}))).fetchone()
    print("parameters", row)
    cur = conn.cursor(binary=True)
    print("binary", cur.execute("SELECT %b::int8, %b::float8, now() > '2020-01-01'", (1 << 40, 1.5)).fetchone())
    conn.commit()


def prepared(conn):
    # The driver prepares a statement when it runs for the sixth time.
    got = [conn.execute("SELECT %s::text || '!'", (str(n),)).fetchone()[0] for n in range(12)]
    print("prepared", got[0], got[-1], len(got))
    for n in range(150):  # more than the driver keeps, so some are deallocated
        conn.execute(f"SELECT {n}::int, %s::int", (n,), prepare=True)
    conn.commit()
    print("prepared many", conn.execute("SELECT 7::int, %s::int", (7,), prepare=True).fetchone())
    conn.commit()


def transactions(conn):
    conn.execute("DROP TABLE IF EXISTS t")
    conn.execute("CREATE TABLE t (n int PRIMARY KEY, x text)")
    conn.commit()
    try:
        with conn.transaction():
            conn.execute("INSERT INTO t VALUES (1, 'kept')")
            try:
                with conn.transaction():
                    conn.execute("INSERT INTO t VALUES (1, 'twice')")
            except errors.UniqueViolation as e:
                print("error", e.sqlstate)
            conn.execute("INSERT INTO t VALUES (2, 'kept')")
            raise psycopg.Rollback()
    except psycopg.Rollback:
        pass
    print("rolled back", conn.execute("SELECT count(*) FROM t").fetchone())
    conn.commit()
    conn.cursor().executemany("INSERT INTO t VALUES (%s, %s)", [(n, f"x{n}") for n in range(500)])
    conn.commit()
    print("executemany", conn.execute("SELECT count(*), max(x) FROM t").fetchone())
    conn.commit()


def pipeline(conn):
    with conn.pipeline() as p:
        cursors = [conn.execute("SELECT %s::int", (n,)) for n in range(50)]
        p.sync()
        print("pipeline", sum(c.fetchone()[0] for c in cursors))
    conn.commit()
    try:
        with conn.pipeline():
            conn.execute("SELECT 1")
            conn.execute("SELECT 1/0")
            conn.execute("SELECT 2")
    except errors.DivisionByZero as e:
        print("pipeline error", e.sqlstate)
    conn.rollback()


def copy(conn):
    cur = conn.cursor()
    with cur.copy("COPY t (n, x) FROM STDIN (FORMAT BINARY)") as c:
        c.set_types(["int4", "text"])
        for n in range(1000, 3000):
            c.write_row((n, "copied"))
    with cur.copy("COPY (SELECT n FROM t WHERE x = 'copied') TO STDOUT") as c:
        print("copy", sum(1 for _ in c.rows()))
    conn.commit()
    try:
        with cur.copy("COPY t (n, x) FROM STDIN") as c:
            c.write_row(("no number", "x"))
    except errors.InvalidTextRepresentation as e:
        print("copy error", e.sqlstate)
    conn.rollback()


def cursors(conn):
    with conn.cursor("named") as cur:
        cur.itersize = 100
        cur.execute("SELECT generate_series(1, 1234)")
        print("cursor", sum(row[0] for row in cur))
    conn.commit()
    rows = conn.cursor().stream("SELECT generate_series(1, 1000)")
    print("stream", sum(r[0] for r in rows))
    conn.commit()


def cancel(conn):
    timer = threading.Timer(0.3, conn.cancel)
    timer.start()
    try:
        conn.execute("SELECT pg_sleep(60)")
    except errors.QueryCanceled as e:
        print("cancel", e.sqlstate)
    timer.join()
    conn.rollback()


def notifications():
    with psycopg.connect(autocommit=True) as conn:
        got = []
        conn.add_notify_handler(lambda n: got.append((n.channel, n.payload)))
        conn.execute("LISTEN news")
        conn.execute("NOTIFY news, 'hello'")
        while not got:
            conn.execute("SELECT pg_sleep(0.05)")
        print("notification", got)


def many():
    bad = []

    def work(who):
        with psycopg.connect(prepare_threshold=2) as conn:
            for n in range(30):
                mark = f"{who}/{n}"
                got = conn.execute("SELECT %s::text", (mark,)).fetchone()[0]
                conn.commit()
                if got != mark:
                    bad.append((mark, got))

    threads = [threading.Thread(target=work, args=(who,)) for who in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    print("many", bad)


def tls():
    with psycopg.connect(sslmode="verify-full", sslrootcert=os.environ["SMOKE_CA"], host="localhost") as conn:
        print("tls", conn.execute("SELECT 1").fetchone())


with psycopg.connect() as main:
    parameters(main)
    prepared(main)
    transactions(main)
    pipeline(main)
    copy(main)
    cursors(main)
    cancel(main)
notifications()
many()
tls()
print("done")
