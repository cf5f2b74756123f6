// Soaks: crashes or rolls until something leaks, kills under load until something is refused. See scripts/stress.
'use strict'
const { spawn } = require('child_process')
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
const home = path.join(temp, 'pm')
const start = (workers, port) => lib.chain(words(workers), port, { PM_HOME: home })

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
  same('crashes', before, after)
  await server.stop()
}

// The supervisors hold after `amount` of `what` what they held before.
const same = (what, before, after) => {
  process.stderr.write('\n')
  console.log(`${amount} ${what}, before and after:\n${JSON.stringify(before)}\n${JSON.stringify(after)}`)
  if (before.length !== 2 || after.length !== 2) fail('a supervisor is missing')
  after.forEach((now, i) => {
    if (now.descriptors !== before[i].descriptors) fail(`${now.name} has ${now.descriptors} descriptors, had ${before[i].descriptors}`)
    // A page or two of the allocator may come and go; a leak of a few bytes each time would be more.
    if (now.private > before[i].private + 64 * 1024) fail(`${now.name} has grown from ${before[i].private} to ${now.private} bytes`)
  })
}

// Until the roll with this number is over: the milliseconds that it took.
const roll = async (cluster, number) => {
  const begun = performance.now()
  process.kill(cluster, 'SIGHUP')
  const args = ['--wait', 'rolled', '--since', String(number - 1), '--timeout', '60s', 'rolls']
  const waiter = spawn('pm-stat', args, { env: { ...process.env, PM_HOME: home }, stdio: 'ignore' })
  const code = await new Promise((resolve) => waiter.on('close', resolve))
  if (code !== 0) throw new Error(`roll ${number}: pm-stat --wait ended with ${code}`)
  return performance.now() - begun
}

// A roll of a tiny server costs little, so that there can be many.
const reloads = async () => {
  const port = await lib.freePort()
  const words = ['pm-restart', '--name', 'rolls', 'pm-cluster', '-n', '2', '--soak', '0', '--grace', '100ms', process.env.TINY_SERVER]
  const server = lib.chain(words, port, { PM_HOME: home })
  await lib.firstAnswer(port)
  const [, cluster] = server.supervisors()
  // By then the allocator and the page cache have what they need.
  const warm = 300
  let before
  const times = []
  for (let done = 0; done < warm + amount; done++) {
    if (done === warm) before = await settled(server, port)
    times.push(await roll(cluster, done + 1))
    if (done % 500 === 0) console.log(`after ${done + 1} rolls: ${JSON.stringify(look(server.supervisors()))}`)
  }
  same('rolls', before, await settled(server, port))
  console.log(`a roll took ${lib.median(times).toFixed(0)} ms (median)`)
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

Promise.resolve({ crashes, reloads, storm }[what]())
  .catch((error) => fail(error.stack))
  .finally(() => fs.rmSync(temp, { recursive: true, force: true }))
