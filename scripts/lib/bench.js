// Measures our chain beside PM2 and Node's own cluster module, alternating in one run. See scripts/bench.
'use strict'
const fs = require('fs')
const os = require('os')
const path = require('path')
const { spawn } = require('child_process')
const lib = require('./chain')
const clients = require('./clients')
const front = require('./bench-front')
const overhead = require('./bench-overhead')
const sticky = require('./bench-sticky')
const closing = require('./bench-closing')

const quick = process.argv.includes('--quick')
const option = (name, otherwise) => {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? otherwise : process.argv[at + 1]
}
const rounds = Number(option('rounds', quick ? 1 : 5))
const seconds = quick ? 2 : 5
const idleSeconds = quick ? 5 : 10
const crashes = quick ? 5 : 20
const out = option('out', 'bench.json')
const pm2Bin = process.env.PM2_BIN
const pid = path.join(lib.examples, 'pid.js')
const temp = fs.mkdtempSync(path.join(os.tmpdir(), 'pm-bench-'))

const ours = (options) => async (workers, port) => {
  const words = ['pm-restart', ...options.restart, 'pm-cluster', '-n', String(workers), ...options.cluster, 'node', pid]
  return lib.chain(words, port, { PM_HOME: path.join(temp, 'pm') })
}
const nodes = (policy) => async (workers, port) => {
  const made = lib.chain(['node', path.join(__dirname, 'node-cluster.js'), String(workers), policy, pid], port)
  return { ...made, supervisors: () => [made.pid] }
}
const bare = async (workers, port) => ({ ...lib.chain(['node', pid], port), supervisors: () => [] })

// PM2 is used as its users do: one daemon, in a home of its own here, ended by its own command.
const pm2Home = path.join(temp, 'pm2')
const pm2Env = (port) => ({
  ...process.env, PM2_HOME: pm2Home, PM2_DISABLE_VERSION_CHECK: 'true', PORT: String(port),
})
const pm2Run = (args, port) => new Promise((resolve) => {
  spawn(pm2Bin, [...args, '--silent'], { env: pm2Env(port), stdio: 'ignore' }).on('close', resolve)
})
const pm2 = async (workers, port) => {
  const running = pm2Run(['start', pid, '-i', String(workers), '--name', 'bench'], port)
  const stop = async () => { await running; await pm2Run(['kill'], port) }
  return { stop, supervisors: () => [Number(fs.readFileSync(path.join(pm2Home, 'pm2.pid'), 'utf8'))], said: () => '' }
}

const limit = ['--max-mem', '512M']
const contenders = {
  lanes: ours({ restart: limit, cluster: ['--balance', 'lanes'] }),
  shared: ours({ restart: limit, cluster: ['--balance', 'shared'] }),
  rr: ours({ restart: limit, cluster: ['--balance', 'rr'] }),
  'node shared': nodes('shared'),
  'node rr': nodes('rr'),
  pm2,
}
const DEFAULT = 'lanes'

// results[measure][contender] = a value for each round
const results = {}
const note = (measure, contender, value) => ((results[measure] ??= {})[contender] ??= []).push(value)

// Waits until every worker answers.
const allServe = async (port, workers) => {
  const seen = new Set()
  for (let i = 0; seen.size < workers && i < 200; i++) (await lib.pidsOf(port, 16)).forEach((p) => p && seen.add(p))
  if (seen.size < workers) throw new Error(`${seen.size} of ${workers} workers answered`)
}

const throughput = async (name, workers) => {
  const port = await lib.freePort()
  const server = await contenders[name](workers, port)
  try {
    note(`start to first 200, ${workers} workers, ms`, name, (await lib.firstAnswer(port)).ms)
    await allServe(port, workers)
    await lib.wrk(port, { seconds: 1, connections: 32 })
    const kept = await lib.wrk(port, { seconds, connections: 32 })
    const single = await lib.wrk(port, { seconds, connections: 32, headers: ['Connection: close'] })
    note(`requests/s kept, ${workers} workers`, name, kept.rate)
    note(`p99 kept, ${workers} workers, ms`, name, kept.p99)
    note(`requests/s single, ${workers} workers`, name, single.rate)
    note(`p99 single, ${workers} workers, ms`, name, single.p99)
    const memory = server.supervisors().map(lib.memory)
    note(`supervisor RSS, ${workers} workers, kB`, name, memory.reduce((n, m) => n + m.rss, 0) / 1024)
    note(`supervisor private, ${workers} workers, kB`, name, memory.reduce((n, m) => n + m.private, 0) / 1024)
    note(`supervisor anonymous, ${workers} workers, kB`, name, memory.reduce((n, m) => n + m.anonymous, 0) / 1024)
    if (workers === 4) {
      const counts = {}
      for (const p of await lib.pidsOf(port, 64)) counts[p] = (counts[p] || 0) + 1
      note('spread of 64 connections over 4 workers', name, Object.values(counts))
    }
  } catch (error) {
    console.error(`${name}: ${error.message}\n${server.said()}`)
    process.exitCode = 1
  } finally {
    await server.stop()
  }
}

// With one worker every request has to wait for the successor: nothing is guessed about who answers.
const crash = async (name, make) => {
  const port = await lib.freePort()
  const server = await make(1, port)
  try {
    let { pid: victim } = await lib.firstAnswer(port)
    for (let i = 0; i < crashes; i++) {
      // Past the stable time of nobody: the first restart is at once for all, so let the backoff be forgotten.
      await lib.pause(name === 'pm2' ? 50 : 0)
      process.kill(victim, 'SIGKILL')
      const next = await lib.firstAnswer(port, (p) => Number(p) !== victim)
      note('kill -9 to first 200 of the successor, ms', name, next.ms)
      victim = next.pid
    }
  } finally {
    await server.stop()
  }
}

const boot = async () => {
  for (let i = 0; i < crashes; i++) {
    const port = await lib.freePort()
    const server = await bare(1, port)
    note('kill -9 to first 200 of the successor, ms', 'bare node, start', (await lib.firstAnswer(port)).ms)
    await server.stop()
  }
}

// Reloads of four workers under 16 strict clients, with kept connections and with one for each request.
const RELOADED = 4
const reloaders = {
  lanes: { make: ours({ restart: limit, cluster: [] }), reload: (server) => { process.kill(server.pid, 'SIGHUP') } },
  'node textbook': {
    make: async (workers, port) => {
      const words = ['node', path.join(__dirname, 'node-reload.js'), String(workers), path.join(lib.examples, 'graceful.js')]
      return lib.chain(words, port)
    },
    reload: (server) => { process.kill(server.pid, 'SIGHUP') },
  },
  pm2: { make: pm2, reload: (server, port) => pm2Run(['reload', 'bench'], port) },
}

const percentile99 = (answers) => {
  const sorted = answers.map((answer) => answer.ms).sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length * 0.99)]
}

// The workers that answer now, all of them.
const workersOf = async (port) => {
  const seen = new Set()
  for (let i = 0; seen.size < RELOADED && i < 200; i++) (await lib.pidsOf(port, 16)).forEach((p) => p && seen.add(p))
  if (seen.size !== RELOADED) throw new Error(`${seen.size} of ${RELOADED} workers answered`)
  return [...seen]
}

// From the request until the last of the old workers is gone.
const rolled = async (old, patience = 60000) => {
  const start = performance.now()
  while (old.some(lib.alive)) {
    if (performance.now() - start > patience) throw new Error('the old workers do not go')
    await lib.pause(5)
  }
}

const reload = async (name, keep, bootMs) => {
  const style = keep ? 'kept' : 'single'
  const port = await lib.freePort()
  const server = await reloaders[name].make(RELOADED, port)
  try {
    await lib.firstAnswer(port)
    const old = await workersOf(port)
    const load = clients.start(port, 16, keep)
    await lib.pause(seconds * 1000)
    const begun = performance.now()
    const asked = reloaders[name].reload(server, port)
    await rolled(old)
    await asked
    const ended = performance.now()
    await lib.pause(500)
    const { answers, lost } = await load.end()
    const atRest = answers.filter((answer) => answer.at + answer.ms < begun)
    const during = answers.filter((answer) => answer.at + answer.ms >= begun && answer.at <= ended)
    note(`requests lost by a reload, ${style}`, name, lost.length)
    note(`p99 during a reload over p99 at rest, ${style}`, name, percentile99(during) / percentile99(atRest))
    note(`reload of ${RELOADED} workers over ${RELOADED} boots of bare node, ${style}`, name, (ended - begun) / (RELOADED * bootMs))
  } catch (error) {
    console.error(`${name}: ${error.message}\n${server.said()}`)
    process.exitCode = 1
  } finally {
    await server.stop()
  }
}

const reloads = async (has) => {
  const boots = []
  for (let i = 0; i < 5; i++) {
    const port = await lib.freePort()
    const server = await bare(1, port)
    boots.push((await lib.firstAnswer(port)).ms)
    await server.stop()
  }
  for (const name of Object.keys(reloaders).filter(has)) {
    for (const keep of [true, false]) await reload(name, keep, lib.median(boots))
  }
}

const idle = async (name, make) => {
  const port = await lib.freePort()
  const server = await make(2, port)
  try {
    await lib.firstAnswer(port)
    await lib.pause(quick ? 12000 : 15000)
    const pids = server.supervisors()
    const count = () => pids.reduce((n, p) => n + lib.wakeups(p), 0)
    const before = count()
    await lib.pause(idleSeconds * 1000)
    note(`wake-ups of the supervisors in ${idleSeconds} idle s`, name, count() - before)
  } finally {
    await server.stop()
  }
}

const format = (value) => Number.isFinite(value) ? (value < 10 ? value.toFixed(2) : String(Math.round(value))) : '-'
const summary = (values) => Array.isArray(values[0]) ? values.map((v) => v.join('/')).join(' ') : format(lib.median(values))

const print = () => {
  for (const [measure, by] of Object.entries(results)) {
    console.log(`\n${measure}`)
    const reference = ['pm', DEFAULT, 'watched'].find((name) => by[name])
    const first = lib.median(by[reference] || [])
    for (const [name, values] of Object.entries(by)) {
      const ratio = !reference || Array.isArray(values[0]) || name === reference ? '' : `  ${reference}/this = ${format(first / lib.median(values))}`
      console.log(`  ${name.padEnd(18)} ${summary(values).padStart(8)}${ratio}`)
    }
  }
}

const chains = async (round, has) => {
  const names = Object.keys(contenders).filter(has)
  // Another one begins each time, so that a slow spell of the machine hits nobody in particular.
  const order = names.map((_, i) => names[(i + round) % names.length])
  for (const workers of [2, 4]) {
    for (const name of order) {
      console.error(`round ${round + 1} of ${rounds}: ${name}, ${workers} workers`)
      await throughput(name, workers)
    }
  }
  console.error(`round ${round + 1} of ${rounds}: crashes`)
  await boot()
  const quickly = ['--backoff', '1ms..1ms', '--stable', '1ms', '--intensity', '100000/1s']
  if (has(DEFAULT)) await crash(DEFAULT, ours({ restart: [...quickly, ...limit], cluster: [] }))
  for (const name of ['node rr', 'pm2'].filter(has)) await crash(name, contenders[name])
  console.error(`round ${round + 1} of ${rounds}: reloads`)
  await reloads(has)
}

const rest = async (has) => {
  console.error('idle')
  await Promise.all([
    ...(has(DEFAULT) ? [idle(DEFAULT, ours({ restart: [], cluster: [] }))] : []),
    ...(has(DEFAULT) ? [idle(`${DEFAULT}, --max-mem`, ours({ restart: limit, cluster: [] }))] : []),
    ...['node rr', 'pm2'].filter(has).map((name) => idle(name, contenders[name])),
  ])
}

const main = async () => {
  const only = option('only', '')
  const has = (name) => !only || only.split(',').includes(name)
  const frontOnly = process.argv.includes('--front')
  const apart = ['overhead', 'sticky', 'closing'].includes(only)
  for (let round = 0; round < rounds && !apart; round++) {
    if (!frontOnly) await chains(round, has)
    await front.run({ note, temp, has, quick })
  }
  if (!frontOnly && !apart) await rest(has)
  if (!frontOnly && has('overhead')) await overhead.run({ note, temp, turns: rounds * seconds })
  if (!frontOnly && has('closing')) await closing.run({ note, temp, rounds })
  if (!frontOnly && has('sticky')) await sticky.run({ note, temp, turns: rounds * seconds })
  print()
  const machine = { cpus: os.cpus().length, model: os.cpus()[0].model, kernel: os.release(), node: process.version }
  const medians = Object.fromEntries(Object.entries(results).map(([measure, by]) => [measure,
    Object.fromEntries(Object.entries(by).map(([n, v]) => [n, Array.isArray(v[0]) ? v : lib.median(v)]))]))
  fs.writeFileSync(out, JSON.stringify({ machine, quick, rounds, medians, rounds_by_measure: results }, null, 1) + '\n')
  console.log(`\nwritten to ${out}`)
}

main().catch((error) => { console.error(error); process.exitCode = 1 })
  .finally(() => fs.rmSync(temp, { recursive: true, force: true }))
