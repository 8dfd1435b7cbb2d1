// SPDX-License-Identifier: Apache-2.0

import java.io.StringReader;
import java.io.StringWriter;
import java.sql.*;
import java.util.*;
import java.util.concurrent.*;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;

/** What applications do with the JDBC driver. Prints the same whether or not there is a proxy. */
public class Smoke {
    static String env(String name) {
        return System.getenv(name);
    }

    static Connection connect(String... more) throws SQLException {
        Properties p = new Properties();
        p.setProperty("user", env("PGUSER"));
        p.setProperty("password", env("PGPASSWORD"));
        p.setProperty("sslmode", "disable");
        for (int i = 0; i < more.length; i += 2) p.setProperty(more[i], more[i + 1]);
        String host = p.containsKey("sslrootcert") ? "localhost" : env("PGHOST");
        return DriverManager.getConnection("jdbc:postgresql://" + host + ":" + env("PGPORT") + "/" + env("PGDATABASE"), p);
    }

    static Object one(Connection c, String sql, Object... args) throws SQLException {
        try (PreparedStatement s = c.prepareStatement(sql)) {
            for (int i = 0; i < args.length; i++) s.setObject(i + 1, args[i]);
            try (ResultSet r = s.executeQuery()) {
                return r.next() ? r.getObject(1) : null;
            }
        }
    }

    static void run(Connection c, String... sql) throws SQLException {
        for (String q : sql) try (Statement s = c.createStatement()) {
            s.execute(q);
        }
    }

    static void prepared(Connection c) throws SQLException {
        // From the fifth execution on, the driver names the statement and takes results in binary.
        try (PreparedStatement s = c.prepareStatement("SELECT ?::int + 1, ?::text")) {
            for (int n = 0; n < 12; n++) {
                s.setInt(1, n);
                s.setString(2, "x" + n);
                try (ResultSet r = s.executeQuery()) {
                    r.next();
                    if (r.getInt(1) != n + 1 || !r.getString(2).equals("x" + n)) throw new SQLException("foreign row");
                }
            }
        }
        System.out.println("prepared");
    }

    static void transactions(Connection c) throws SQLException {
        run(c, "DROP TABLE IF EXISTS t", "CREATE TABLE t (n int PRIMARY KEY, x text)");
        c.setAutoCommit(false);
        run(c, "INSERT INTO t VALUES (1, 'gone')");
        c.rollback();
        run(c, "INSERT INTO t VALUES (1, 'kept')");
        Savepoint s = c.setSavepoint();
        try {
            run(c, "INSERT INTO t VALUES (1, 'twice')");
        } catch (SQLException e) {
            System.out.println("error " + e.getSQLState());
        }
        c.rollback(s);
        c.commit();
        try (PreparedStatement b = c.prepareStatement("INSERT INTO t VALUES (?, ?)")) {
            for (int n = 2; n < 502; n++) {
                b.setInt(1, n);
                b.setString(2, "batch");
                b.addBatch();
            }
            System.out.println("batch " + b.executeBatch().length);
        }
        c.commit();
        c.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
        System.out.println("isolation " + one(c, "SHOW transaction_isolation"));
        c.commit();
        c.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
        c.setReadOnly(true);
        try {
            run(c, "DELETE FROM t");
        } catch (SQLException e) {
            System.out.println("read-only " + e.getSQLState());
        }
        c.rollback();
        c.setReadOnly(false);
        c.setAutoCommit(true);
        System.out.println("transactions " + one(c, "SELECT count(*) FROM t"));
    }

    static void portal(Connection c) throws SQLException {
        c.setAutoCommit(false);
        try (Statement s = c.createStatement()) {
            s.setFetchSize(100);
            long sum = 0;
            try (ResultSet r = s.executeQuery("SELECT generate_series(1, 1234)")) {
                while (r.next()) sum += r.getInt(1);
            }
            System.out.println("portal " + sum);
        }
        c.commit();
        c.setAutoCommit(true);
    }

    static void copy(Connection c) throws Exception {
        CopyManager m = c.unwrap(PGConnection.class).getCopyAPI();
        StringBuilder in = new StringBuilder();
        for (int n = 1000; n < 3000; n++) in.append(n).append("\tcopied\n");
        System.out.println("copy in " + m.copyIn("COPY t FROM STDIN", new StringReader(in.toString())));
        StringWriter out = new StringWriter();
        System.out.println("copy out " + m.copyOut("COPY (SELECT n FROM t WHERE x = 'copied') TO STDOUT", out));
        try {
            m.copyIn("COPY t FROM STDIN", new StringReader("no number\n"));
        } catch (SQLException e) {
            System.out.println("copy error " + e.getSQLState());
        }
    }

    static void cancel(Connection c) throws SQLException {
        try (Statement s = c.createStatement()) {
            s.setQueryTimeout(1);
            s.execute("SELECT pg_sleep(60)");
        } catch (SQLException e) {
            System.out.println("cancel " + e.getSQLState());
        }
        System.out.println("after cancel " + one(c, "SELECT 1"));
    }

    static void notifications() throws SQLException {
        try (Connection c = connect()) {
            run(c, "LISTEN news", "NOTIFY news, 'hello'");
            var got = c.unwrap(PGConnection.class).getNotifications(10000);
            System.out.println("notification " + got[0].getName() + " " + got[0].getParameter());
        }
    }

    static void modes() throws SQLException {
        for (String mode : new String[] {"simple", "extended", "extendedForPrepared", "extendedCacheEverything"}) {
            try (Connection c = connect("preferQueryMode", mode, "prepareThreshold", "1", "autosave", "always")) {
                c.setAutoCommit(false);
                one(c, "SELECT ?::text", "x");
                try {
                    run(c, "SELECT * FROM missing");
                } catch (SQLException e) {
                    System.out.println(mode + " " + e.getSQLState());
                }
                System.out.println(mode + " " + one(c, "SELECT ?::text", "goes on"));
                c.commit();
            }
        }
    }

    static void many() throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(8);
        List<Future<Boolean>> all = new ArrayList<>();
        for (int who = 0; who < 8; who++) {
            int me = who;
            all.add(pool.submit(() -> {
                try (Connection c = connect("prepareThreshold", "2")) {
                    for (int n = 0; n < 30; n++) {
                        String mark = me + "/" + n;
                        if (!mark.equals(one(c, "SELECT ?::text", mark))) return false;
                    }
                }
                return true;
            }));
        }
        boolean good = true;
        for (Future<Boolean> f : all) good &= f.get();
        pool.shutdown();
        System.out.println("many " + good);
    }

    public static void main(String[] args) throws Exception {
        try (Connection c = connect("ApplicationName", "smoke", "options", "-c statement_timeout=12345")) {
            System.out.println("start-up parameter " + one(c, "SHOW statement_timeout"));
            prepared(c);
            transactions(c);
            portal(c);
            copy(c);
            cancel(c);
        }
        notifications();
        modes();
        many();
        try (Connection c = connect("sslmode", "verify-full", "sslrootcert", env("SMOKE_CA"))) {
            System.out.println("tls " + one(c, "SELECT 1"));
        }
        System.out.println("done");
    }
}
