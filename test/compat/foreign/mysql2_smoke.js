// SPDX-License-Identifier: Apache-2.0
//
// What applications do with mysql2 for Node.js. Prints the same whether or not there is a proxy.
const mysql = require('mysql2/promise')
const { Readable } = require('stream')

// MySQL's own counting of compressed packets is not what mysql2 expects.
console.error = () => {}

const options = {
  host: process.env.MYSQL_HOST,
  port: Number(process.env.MYSQL_PORT),
  user: process.env.MYSQL_USER,
  password: process.env.MYSQL_PASSWORD,
  database: process.env.MYSQL_DATABASE,
  compress: process.env.SMOKE_COMPRESS === 'yes',
  multipleStatements: true,
  infileStreamFactory: (name) => Readable.from([Buffer.from(`1,${name}\n2,`), Buffer.from('second\n')])
}

const print = (what, value) => console.log(what, JSON.stringify(value))

async function queries(conn) {
  print('parameters', (await conn.query('SELECT ? + 1 AS n, ? AS x, ? IS NULL AS e', [41, "it's grün 😀", null]))[0])
  print('several', (await conn.query('SELECT 1 AS a; SELECT 2 AS b'))[0])
  const all = [1, 2, 3].map(async (n) => (await conn.query('SELECT ? AS n', [n]))[0])
  all.push(conn.query('SELECT nothing').catch((e) => e.errno))
  print('queue', await Promise.all(all))
}

// Values for the server's components and audit, which statements can read.
async function attributes(conn) {
  const sql = "SELECT mysql_query_attribute_string('trace') AS t, mysql_query_attribute_string('n') AS n, ? AS x"
  const ask = { sql, values: ['x'], attributes: { trace: 'id-1 grün', n: 42 } }
  print('attributes', (await conn.query(ask))[0])
  print('prepared with attributes', (await conn.execute(ask))[0])
  print('without', (await conn.execute({ sql, values: ['y'] }))[0])
  print('again', (await conn.execute({ ...ask, attributes: { n: 'other' } }))[0])
  const all = Array.from({ length: 30 }, async (_, i) => {
    const [rows] = await conn.execute({ ...ask, attributes: { trace: 't' + i } })
    return rows[0].t === 't' + i
  })
  print('each its own', (await Promise.all(all)).every((x) => x))
}

async function prepared(conn) {
  for (let n = 0; n < 20; n++) {
    const [rows] = await conn.execute('SELECT ? AS n, ? AS x, ? AS d', [n, 'x'.repeat(n), new Date(Date.UTC(2026, 1, 3))])
    if (Number(rows[0].n) !== n || rows[0].x.length !== n) throw new Error('foreign row')
  }
  print('bad', await conn.execute('SELECT * FROM nothing_here WHERE n = ?', [1]).catch((e) => e.errno))
  const st = await conn.prepare('SELECT ? AS a')
  print('statement', [(await st.execute(['a']))[0], (await st.execute([null]))[0]])
  await st.close()
}

async function files(conn) {
  await conn.query('DROP TABLE IF EXISTS files')
  await conn.query('CREATE TABLE files (n INT, x VARCHAR(40))')
  const [r] = await conn.query({
    sql: "LOAD DATA LOCAL INFILE 'first' INTO TABLE files FIELDS TERMINATED BY ','",
    infileStreamFactory: options.infileStreamFactory
  })
  print('file', [r.affectedRows, (await conn.query('SELECT * FROM files ORDER BY n'))[0]])
}

async function transactions(conn) {
  await conn.query('DROP TABLE IF EXISTS t2')
  await conn.query('CREATE TABLE t2 (n INT PRIMARY KEY, x VARCHAR(20))')
  await conn.beginTransaction()
  await conn.execute('INSERT INTO t2 VALUES (?, ?)', [1, 'gone'])
  await conn.rollback()
  await conn.beginTransaction()
  await conn.execute('INSERT INTO t2 VALUES (?, ?)', [1, 'kept'])
  print('twice', await conn.execute('INSERT INTO t2 VALUES (?, ?)', [1, 'twice']).catch((e) => e.errno))
  await conn.commit()
  print('transactions', (await conn.query('SELECT * FROM t2'))[0])
}

async function large(conn) {
  const [rows] = await conn.query("SELECT REPEAT('grün ', 400000) AS x UNION ALL SELECT REPEAT('y', 17000000)")
  print('large', rows.map((r) => r.x.length))
  const blob = Buffer.alloc(18000000, 7)
  print('blob', (await conn.execute('SELECT LENGTH(?) AS n', [blob]))[0])
}

async function sessions(conn) {
  await conn.query("SET @v = 'mine', time_zone = '+03:00'")
  print('state', (await conn.query('SELECT @v AS v, @@time_zone AS z'))[0])
  await conn.changeUser({ user: options.user, password: options.password, database: options.database })
  print('changed', (await conn.query('SELECT @v AS v, @@time_zone AS z, DATABASE() AS d'))[0])
  await conn.ping()
}

async function pool() {
  const p = mysql.createPool({ ...options, connectionLimit: 8 })
  const sums = await Promise.all(
    Array.from({ length: 200 }, async (_, i) => Number((await p.execute('SELECT ? + ? AS n', [i, i]))[0][0].n) === 2 * i)
  )
  print('pool', sums.every((x) => x))
  await p.end()
}

async function main() {
  const conn = await mysql.createConnection(options)
  const steps = [queries, prepared, files, transactions, large, sessions]
  if (process.env.SMOKE_ATTRIBUTES === 'yes') steps.unshift(attributes)
  for (const step of steps) await step(conn)
  await conn.end()
  await pool()
  console.log('done')
}

main().catch((e) => {
  console.log(e)
  process.exit(1)
})
