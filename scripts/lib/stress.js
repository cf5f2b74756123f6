// Soaks: crashes until something leaks, kills under load until something is refused. See scripts/stress.
'use strict'
const fs = require('fs')
const os = require('os')
const path = require('path')
const lib = require('./chain')

const [what, amount] = [process.argv[2], Number(process.argv[3])]
const temp = fs.mkdtempSync(path.join(os.tmpdir(), 'pm-stress-'))
const pid = path.join(lib.examples, 'pid.js')
// As many deaths as we cause are no crash loop here.
const policy = ['--max-mem', '512M', '--backoff', '1ms..1ms', '--stable', '1ms', '--intensity', '1000000/1s']
const words = (workers) => ['pm-restart', ...policy, 'pm-cluster', '-n', String(workers), 'node', pid]
const start = (workers, port) => lib.chain(words(workers), port, { PM_HOME: path.join(temp, 'pm') })

const fail = (text) => { console.error(`stress: FAILED: ${text}`); process.exitCode = 1 }

const kill = async (port) => {
  const victim = Number(await lib.ask(port))
  if (victim && lib.alive(victim)) { process.kill(victim, 'SIGKILL'); return 1 }
  return 0
}

const look = (supervisors) => supervisors.map((p) => ({
  name: lib.name(p), descriptors: lib.descriptors(p), rss: lib.memory(p).rss, private: lib.memory(p).private,
}))

// The deaths counted are those that we caused and whose successor answered.
const crash = async (port, count) => {
  for (let done = 0; done < count;) {
    done += await kill(port)
    if (done % 100 === 0) process.stderr.write('.')
  }
  await lib.firstAnswer(port)
}

const settled = async (server, port) => {
  await lib.firstAnswer(port)
  await lib.pause(2000)
  return look(server.supervisors())
}

const crashes = async () => {
  const port = await lib.freePort()
  const server = start(2, port)
  await lib.firstAnswer(port)
  await crash(port, 100)
  const before = await settled(server, port)
  await crash(port, amount)
  const after = await settled(server, port)
  process.stderr.write('\n')
  console.log(`${amount} crashes, before and after:\n${JSON.stringify(before)}\n${JSON.stringify(after)}`)
  if (before.length !== 2 || after.length !== 2) fail('a supervisor is missing')
  after.forEach((now, i) => {
    if (now.descriptors !== before[i].descriptors) fail(`${now.name} has ${now.descriptors} descriptors, had ${before[i].descriptors}`)
    // A page or two of the allocator may come and go; a leak of a few bytes a crash would be more.
    if (now.private > before[i].private + 64 * 1024) fail(`${now.name} has grown from ${before[i].private} to ${now.private} bytes`)
  })
  await server.stop()
}

const storm = async () => {
  const port = await lib.freePort()
  const server = start(3, port)
  await lib.firstAnswer(port)
  const load = lib.wrk(port, { seconds: amount, connections: 16 })
  let running = true
  let kills = 0
  load.finally(() => { running = false })
  while (running) {
    kills += await kill(port)
    await lib.pause(Math.random() * 300)
  }
  const seen = await load
  console.log(`${kills} kills in ${amount} s under load: ${JSON.stringify(seen)}`)
  if (seen.connect || seen.timeout || seen.bad) fail('connections were refused or hung, or answers were wrong')
  if (seen.read + seen.write > 16 * kills) fail('more than one request lost for each kill and connection')
  await server.stop()
}

Promise.resolve({ crashes, storm }[what]())
  .catch((error) => fail(error.stack))
  .finally(() => fs.rmSync(temp, { recursive: true, force: true }))
