# SPDX-License-Identifier: Apache-2.0
#
# What applications do with psycopg2. Prints the same whether or not there is a proxy.
import io
import os
import select
import threading

import psycopg2
import psycopg2.errors
import psycopg2.extensions
import psycopg2.extras


def connect(**more):
    return psycopg2.connect("", **more)


def parameters(conn):
    with conn, conn.cursor() as cur:
        cur.execute("SELECT %s::int + 1, %s, %s::jsonb", (41, "it's", '{"a": [1, 2]}'))
        print("parameters", cur.fetchone())


def transactions(conn):
    with conn.cursor() as cur:
        cur.execute("DROP TABLE IF EXISTS t")
        cur.execute("CREATE TABLE t (n int PRIMARY KEY, x text)")
        conn.commit()
        cur.execute("INSERT INTO t VALUES (1, 'gone')")
        conn.rollback()
        cur.execute("INSERT INTO t VALUES (1, 'kept')")
        cur.execute("SAVEPOINT s")
        try:
            cur.execute("INSERT INTO t VALUES (1, 'twice')")
        except psycopg2.errors.UniqueViolation as e:
            print("error", e.pgcode)
        try:
            cur.execute("SELECT 1")
        except psycopg2.errors.InFailedSqlTransaction as e:
            print("failed transaction", e.pgcode)
        cur.execute("ROLLBACK TO s")
        conn.commit()
        psycopg2.extras.execute_values(cur, "INSERT INTO t VALUES %s", [(n, "v") for n in range(2, 300)])
        conn.commit()
        cur.execute("SELECT count(*), min(x) FROM t")
        print("transactions", cur.fetchone())
    conn.commit()


def isolation():
    conn = connect()
    conn.set_session(isolation_level="SERIALIZABLE", readonly=True)
    with conn.cursor() as cur:
        cur.execute("SHOW transaction_isolation")
        print("isolation", cur.fetchone())
        try:
            cur.execute("DELETE FROM t")
        except psycopg2.errors.ReadOnlySqlTransaction as e:
            print("read-only", e.pgcode)
    conn.close()


def copy(conn):
    with conn.cursor() as cur:
        cur.copy_expert("COPY t FROM STDIN", io.StringIO("".join(f"{n}\tcopied\n" for n in range(1000, 3000))))
        out = io.StringIO()
        cur.copy_expert("COPY (SELECT * FROM t WHERE x = 'copied' ORDER BY n) TO STDOUT", out)
        print("copy", len(out.getvalue().splitlines()))
        conn.commit()
        try:
            cur.copy_expert("COPY t FROM STDIN", io.StringIO("not a number\n"))
        except psycopg2.errors.InvalidTextRepresentation as e:
            print("copy error", e.pgcode)
        conn.rollback()


def cursors(conn):
    with conn.cursor("named") as cur:
        cur.itersize = 100
        cur.execute("SELECT generate_series(1, 1234)")
        print("cursor", sum(row[0] for row in cur))
    conn.commit()
    hold = conn.cursor("held", withhold=True)
    hold.execute("SELECT generate_series(1, 5)")
    conn.commit()
    print("held cursor", hold.fetchall())
    hold.close()
    conn.commit()


def cancel(conn):
    timer = threading.Timer(0.3, conn.cancel)
    timer.start()
    try:
        with conn.cursor() as cur:
            cur.execute("SELECT pg_sleep(60)")
    except psycopg2.errors.QueryCanceled as e:
        print("cancel", e.pgcode)
    timer.join()
    conn.rollback()


def notifications():
    conn = connect()
    conn.autocommit = True
    with conn.cursor() as cur:
        cur.execute("LISTEN news")
        cur.execute("NOTIFY news, 'hello'")
    while not conn.notifies:
        if not select.select([conn], [], [], 10)[0]:
            break
        conn.poll()
    print("notification", [(n.channel, n.payload) for n in conn.notifies])
    conn.close()


def state():
    conn = connect(options="-c statement_timeout=12345 -c search_path=pg_catalog,public", application_name="smoke")
    conn.autocommit = True
    with conn.cursor() as cur:
        for name in "statement_timeout", "search_path", "application_name":
            cur.execute("SHOW " + name)
            print("start-up parameter", name, cur.fetchone()[0])
        cur.execute("SET TimeZone = 'Asia/Tokyo'")
        print("reported", conn.get_parameter_status("TimeZone"))
        conn.set_client_encoding("LATIN1")
        cur.execute("SELECT '\u00e9', octet_length('\u00e9')")
        print("encoding", cur.fetchone() == ("\u00e9", 2), conn.encoding)
    conn.reset()
    with conn.cursor() as cur:
        cur.execute("SHOW TimeZone")
        print("after reset", cur.fetchone()[0])
    conn.close()


def many():
    bad = []

    def work(who):
        conn = connect()
        for n in range(30):
            with conn, conn.cursor() as cur:
                mark = f"{who}/{n}"
                cur.execute("SELECT %s", (mark,))
                got = cur.fetchone()[0]
                if got != mark:
                    bad.append((mark, got))
        conn.close()

    threads = [threading.Thread(target=work, args=(who,)) for who in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    print("many", bad)


def tls():
    conn = connect(sslmode="verify-full", sslrootcert=os.environ["SMOKE_CA"], host="localhost")
    print("tls", conn.info.ssl_in_use, conn.info.ssl_attribute("protocol"))
    conn.close()


main = connect()
parameters(main)
transactions(main)
isolation()
copy(main)
cursors(main)
cancel(main)
notifications()
state()
many()
tls()
main.close()
print("done")
