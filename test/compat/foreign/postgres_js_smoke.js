// SPDX-License-Identifier: Apache-2.0
//
// What applications do with postgres.js, which pipelines and prepares by default. Prints the same whether or not there
// is a proxy.
const fs = require('fs')
const { Readable } = require('stream')
const { pipeline } = require('stream/promises')
const postgres = require('postgres')

const sql = postgres({ max: 6, onnotice: () => {} })

async function main() {
  console.log('parameters', JSON.stringify(await sql`SELECT ${41}::int + 1 AS n, ${"it's"} AS x, ${sql.json({ a: [1, 2] })} AS j`))
  await sql`DROP TABLE IF EXISTS t`
  await sql`CREATE TABLE t (n int PRIMARY KEY, x text)`
  await sql`INSERT INTO t ${sql([...Array(300).keys()].map((n) => ({ n, x: 'x' + n })))}`
  console.log('insert', JSON.stringify(await sql`SELECT count(*)::int FROM t`))

  await sql
    .begin(async (tx) => {
      await tx`DELETE FROM t`
      throw new Error('rolled back')
    })
    .catch((e) => console.log(e.message))
  await sql.begin(async (tx) => {
    await tx.savepoint((sp) => sp`INSERT INTO t VALUES (1, 'twice')`).catch((e) => console.log('error', e.code))
    await Promise.all([...Array(20).keys()].map((n) => tx`UPDATE t SET x = ${'u' + n} WHERE n = ${n}`))
  })
  console.log('transaction', JSON.stringify(await sql`SELECT count(*)::int FROM t WHERE x LIKE 'u%'`))

  let sum = 0
  await sql`SELECT generate_series(1, 250) AS n`.cursor(100, (rows) => {
    for (const r of rows) sum += r.n
  })
  console.log('cursor', sum)

  await pipeline(Readable.from([...Array(500).keys()].map((n) => `${n + 1000}\tcopied\n`)), await sql`COPY t FROM STDIN`.writable())
  let lines = 0
  for await (const chunk of await sql`COPY (SELECT n FROM t WHERE x = 'copied') TO STDOUT`.readable()) {
    lines += chunk.toString().split('\n').length - 1
  }
  console.log('copy', lines)

  const slow = sql`SELECT pg_sleep(60)`
  setTimeout(() => slow.cancel(), 300)
  await slow.catch((e) => console.log('cancel', e.code))

  const got = new Promise((r) => sql.listen('news', r).then(() => sql.notify('news', 'hello')))
  console.log('notification', await got)

  const bad = []
  await Promise.all(
    [...Array(400).keys()].map(async (n) => {
      const [row] = await sql`SELECT ${'mark ' + n} AS x`
      if (row.x !== 'mark ' + n) bad.push([n, row.x])
    }),
  )
  console.log('many', JSON.stringify(bad))

  const over = postgres({ host: 'localhost', ssl: { ca: fs.readFileSync(process.env.SMOKE_CA, 'utf8') } })
  console.log('tls', JSON.stringify(await over`SELECT 1 AS n`))
  await over.end()
  await sql.end()
  console.log('done')
}

main().catch((e) => {
  console.error(e)
  process.exit(1)
})
