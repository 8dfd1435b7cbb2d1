// SPDX-License-Identifier: Apache-2.0
//
// What applications do with node-postgres. Prints the same whether or not there is a proxy.
const fs = require('fs')
const { Client, Pool } = require('pg')
const Cursor = require('pg-cursor')

async function parameters(client) {
  const r = await client.query('SELECT $1::int + 1 AS n, $2::text AS x, $3::jsonb AS j', [41, "it's", { a: [1, 2] }])
  console.log('parameters', JSON.stringify(r.rows))
  const several = await client.query('SELECT 1 AS a; SELECT 2 AS b')
  console.log('several', several.map((s) => JSON.stringify(s.rows)).join())
}

async function prepared(client) {
  for (let n = 0; n < 5; n++) {
    const r = await client.query({ name: 'exclaim', text: "SELECT $1::text || '!' AS x", values: [String(n)] })
    if (r.rows[0].x !== n + '!') throw new Error('foreign row ' + r.rows[0].x)
  }
  console.log('prepared')
}

async function transactions(client) {
  await client.query('DROP TABLE IF EXISTS t')
  await client.query('CREATE TABLE t (n int PRIMARY KEY, x text)')
  await client.query('BEGIN')
  await client.query('INSERT INTO t VALUES ($1, $2)', [1, 'gone'])
  await client.query('ROLLBACK')
  await client.query('BEGIN')
  await client.query('INSERT INTO t VALUES ($1, $2)', [1, 'kept'])
  await client.query('SAVEPOINT s')
  await client.query('INSERT INTO t VALUES ($1, $2)', [1, 'twice']).catch((e) => console.log('error', e.code))
  await client.query('SELECT 1').catch((e) => console.log('failed transaction', e.code))
  await client.query('ROLLBACK TO s')
  await client.query('COMMIT')
  const r = await client.query('SELECT * FROM t')
  console.log('transactions', JSON.stringify(r.rows))
}

async function cursor(client) {
  await client.query('BEGIN')
  const c = client.query(new Cursor('SELECT generate_series(1, $1::int) AS n', [250]))
  let sum = 0
  for (let rows = await c.read(100); rows.length; rows = await c.read(100)) for (const r of rows) sum += r.n
  await c.close()
  await client.query('COMMIT')
  console.log('cursor', sum)
}

async function cancel(client) {
  // Pools of applications cancel by a second connection and the process id of the first.
  const done = client.query('SELECT pg_sleep(60)').catch((e) => console.log('cancel', e.code))
  await new Promise((r) => setTimeout(r, 300))
  const other = new Client()
  other.connection.on('connect', () => other.connection.cancel(client.processID, client.secretKey))
  other.connection.connect(Number(process.env.PGPORT), process.env.PGHOST)
  await done
}

async function notifications() {
  const client = new Client()
  await client.connect()
  const got = new Promise((r) => client.once('notification', r))
  await client.query('LISTEN news')
  await client.query("NOTIFY news, 'hello'")
  const n = await got
  console.log('notification', n.channel, n.payload)
  await client.end()
}

async function many() {
  const pool = new Pool({ max: 8 })
  const bad = []
  await Promise.all(
    [...Array(240).keys()].map(async (n) => {
      const mark = 'mark ' + n
      const q = n % 2 ? { name: 'mark', text: 'SELECT $1::text AS x', values: [mark] } : { text: 'SELECT $1::text AS x', values: [mark] }
      const r = await pool.query(q)
      if (r.rows[0].x !== mark) bad.push([mark, r.rows[0].x])
    }),
  )
  await pool.end()
  console.log('many', JSON.stringify(bad))
}

async function tls() {
  const client = new Client({ host: 'localhost', ssl: { ca: fs.readFileSync(process.env.SMOKE_CA, 'utf8') } })
  await client.connect()
  console.log('tls', client.connection.stream.encrypted, JSON.stringify((await client.query('SELECT 1 AS n')).rows))
  await client.end()
}

async function main() {
  const client = new Client({ application_name: 'smoke', statement_timeout: 45678 })
  await client.connect()
  console.log('start-up parameter', JSON.stringify((await client.query('SHOW statement_timeout')).rows))
  await parameters(client)
  await prepared(client)
  await transactions(client)
  await cursor(client)
  await cancel(client)
  await client.end()
  await notifications()
  await many()
  await tls()
  console.log('done')
}

main().catch((e) => {
  console.error(e)
  process.exitCode = 1
})
