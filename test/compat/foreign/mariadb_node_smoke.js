// SPDX-License-Identifier: Apache-2.0
//
// What applications do with MariaDB Connector/Node.js. Prints the same whether or not there is a proxy.
const mariadb = require('mariadb')
const { Readable } = require('stream')

const options = {
  host: process.env.MYSQL_HOST,
  port: Number(process.env.MYSQL_PORT),
  user: process.env.MYSQL_USER,
  password: process.env.MYSQL_PASSWORD,
  database: process.env.MYSQL_DATABASE,
  compress: process.env.SMOKE_COMPRESS === 'yes',
  multipleStatements: true,
  pipelining: true
}

// print leaves out what the connector adds for its own use.
function print(what, value) {
  console.log(what, JSON.stringify(value, (k, v) => (typeof v === 'bigint' ? String(v) : v)))
}

async function queries(conn) {
  print('parameters', await conn.query("SELECT ? + 1 AS n, ? AS x, ? IS NULL AS e", [41, "it's grün 😀", null]))
  print('several', await conn.query('SELECT 1 AS a; SELECT 2 AS b; DO 3'))
  // Sent without waiting for the replies.
  const all = [1, 2, 3].map((n) => conn.query('SELECT ? AS n', [n]))
  all.push(conn.query('SELECT nothing').catch((e) => e.errno))
  print('pipeline', await Promise.all(all))
}

// The connector prepares and executes in one go, by the id that means the newest statement.
async function directly(conn) {
  for (let n = 0; n < 5; n++) {
    const rows = await conn.execute("SELECT CONCAT(?, '!', " + n + ') AS x', [String(n)])
    if (rows[0].x !== `${n}!${n}`) throw new Error('foreign row ' + rows[0].x)
  }
  const bad = await conn.execute('SELECT * FROM nothing_here WHERE n = ?', [1]).catch((e) => e.errno)
  const twice = await Promise.all([conn.execute('SELECT ? AS a', ['a']), conn.execute('SELECT ? AS b', ['b'])])
  print('directly', { bad, twice })
  const st = await conn.prepare('SELECT ? AS n, ? AS x')
  for (let n = 0; n < 20; n++) {
    const rows = await st.execute([n, 'x'.repeat(n)])
    if (Number(rows[0].n) !== n || rows[0].x.length !== n) throw new Error('foreign row')
  }
  st.close()
  print('prepared', 20)
}

async function bulk(conn) {
  await conn.query('CREATE OR REPLACE TABLE bulk (id INT AUTO_INCREMENT PRIMARY KEY, n INT, x VARCHAR(40), b BLOB)')
  const rows = []
  for (let n = 0; n < 3000; n++) rows.push([n % 7 === 0 ? null : n, 'row ' + n, Buffer.alloc(n % 50, n % 256)])
  const r = await conn.batch('INSERT INTO bulk (n, x, b) VALUES (?, ?, ?)', rows)
  print('bulk', { affected: r.affectedRows, warnings: r.warningStatus })
  print('sums', await conn.query('SELECT COUNT(*) c, COUNT(n) n, SUM(n) s, SUM(LENGTH(b)) b, SUM(CRC32(x)) x FROM bulk'))
  const u = await conn.batch('UPDATE bulk SET n = ? WHERE id = ?', [[-1, 1], [-2, 2], [-3, 99999]])
  print('updates', { affected: u.affectedRows })
  const e = await conn.batch('INSERT INTO bulk (id, n) VALUES (?, ?)', [[5001, 1], [1, 2]]).catch((e) => e.errno)
  print('bulk error', e)
  print('then', await conn.query('SELECT COUNT(*) c FROM bulk WHERE id > 5000'))
}

async function files() {
  const conn = await mariadb.createConnection({ ...options, permitLocalInfile: true, pipelining: false })
  await conn.query('CREATE OR REPLACE TABLE files (n INT, x VARCHAR(40))')
  const r = await conn.query({
    sql: "LOAD DATA LOCAL INFILE 'first' INTO TABLE files FIELDS TERMINATED BY ','",
    infileStreamFactory: (name) => Readable.from([Buffer.from(`1,${name}\n2,`), Buffer.from('second\n')])
  })
  print('file', { affected: r.affectedRows, rows: await conn.query('SELECT * FROM files ORDER BY n') })
  await conn.end()
}

async function transactions(conn) {
  await conn.query('CREATE OR REPLACE TABLE t (n INT PRIMARY KEY, x VARCHAR(20))')
  await conn.beginTransaction()
  await conn.query('INSERT INTO t VALUES (?, ?)', [1, 'gone'])
  await conn.rollback()
  await conn.beginTransaction()
  await conn.query('INSERT INTO t VALUES (?, ?)', [1, 'kept'])
  print('twice', await conn.query('INSERT INTO t VALUES (?, ?)', [1, 'twice']).catch((e) => e.errno))
  await conn.commit()
  print('transactions', await conn.query('SELECT * FROM t'))
}

async function streams(conn) {
  let n = 0
  let length = 0
  const stream = conn.queryStream("SELECT seq AS n, REPEAT('x', 1000) AS x FROM seq_1_to_20000")
  for await (const row of stream) {
    n++
    length += row.x.length
  }
  print('stream', { n, length })
}

async function sessions(conn) {
  await conn.query("SET @v = 'mine', time_zone = '+03:00'")
  print('state', await conn.query('SELECT @v AS v, @@time_zone AS z'))
  await conn.changeUser({ user: options.user, password: options.password, database: options.database })
  print('changed', await conn.query('SELECT @v AS v, @@time_zone AS z, DATABASE() AS d'))
  await conn.query("SET @v = 'again'")
  await conn.reset()
  print('reset', await conn.query('SELECT @v AS v, DATABASE() AS d'))
  await conn.ping()
}

async function pool() {
  const p = mariadb.createPool({ ...options, connectionLimit: 8 })
  const sums = await Promise.all(
    Array.from({ length: 200 }, async (_, i) => {
      const rows = await p.execute('SELECT ? + ? AS n', [i, i])
      return Number(rows[0].n) === 2 * i
    })
  )
  print('pool', sums.every((x) => x))
  await p.end()
}

async function main() {
  const conn = await mariadb.createConnection(options)
  for (const step of [queries, directly, bulk, files, transactions, streams, sessions]) await step(conn)
  await conn.end()
  await pool()
  console.log('done')
}

main().catch((e) => {
  console.log(e)
  process.exit(1)
})
