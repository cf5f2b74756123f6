// What many workers cost their supervisor: a start, a reload, a tenth killed at once, a stop, of N tiny servers.
//
// Processor time is that of pm-cluster alone, and of a start or a loss it includes what follows until it rests: it may go
// on after all are ready.
'use strict'
const fs = require('fs')
const os = require('os')
const path = require('path')
const { spawn, spawnSync } = require('child_process')
const lib = require('./chain')

const server = process.env.SCALE_SERVER
// Seconds that one phase may take.
const PATIENCE = 300
const temp = fs.mkdtempSync(path.join(os.tmpdir(), 'pm-scale-'))
process.env.PM_HOME = temp

// Milliseconds that a process has run: the kernel counts them in nanoseconds here.
const ran = (pid) => {
  try { return Number(fs.readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6 } catch { return NaN }
}
const now = () => performance.now()

// Until nothing happens in the supervisor for half a second: the milliseconds that it has run by then.
const rests = async (pid) => {
  for (let last = ran(pid); ;) {
    await lib.pause(500)
    const next = ran(pid)
    if (!(next - last >= 1)) return next
    last = next
  }
}

const until = async (what, holds, pause = 20) => {
  for (const start = now(); !(await holds()); await lib.pause(pause)) {
    if (now() - start > PATIENCE * 1000) throw new Error(`${what}: not within ${PATIENCE} s`)
  }
}

const lines = (app) => {
  const { stdout } = spawnSync('pm-stat', [app], { encoding: 'utf8', maxBuffer: 64 << 20 })
  return stdout.split('\n').filter(Boolean).map((line) => JSON.parse(line))
}
const workersOf = (app) => lines(app).filter((line) => line.slot !== undefined && line.pid)

const waitFor = (app, args) => new Promise((resolve, reject) => {
  const waiter = spawn('pm-stat', ['--wait', ...args, '--timeout', `${PATIENCE}s`, app], { stdio: ['ignore', 'inherit', 'inherit'] })
  waiter.on('close', (code) => code === 0 ? resolve() : reject(new Error(`pm-stat --wait ${args[0]} ended with ${code}`)))
})

const measure = async (count) => {
  const app = `scale-${count}`
  const port = await lib.freePort()
  const figures = {}
  const phase = async (name, pid, begun, act) => {
    const before = begun ? 0 : ran(pid)
    const start = begun || now()
    await act()
    const wall = now() - start
    figures[name] = { wall, cpu: (await rests(pid)) - before }
  }
  const start = now()
  const chain = lib.chain(['pm-cluster', '--name', app, '-n', String(count), server], port)
  const { pid } = chain
  try {
    await phase('start', pid, start, () => until('start', () => {
      if (chain.child.exitCode !== null) throw new Error('it has ended')
      return /ready workers=/.test(chain.said())
    }))
    await lib.firstAnswer(port)
    figures.memory = lib.memory(pid).rss / 1024
    figures.descriptors = lib.descriptors(pid)
    await phase('reload', pid, 0, () => {
      process.kill(pid, 'SIGHUP')
      return waitFor(app, ['rolled', '--since', '0'])
    })
    await phase('kill -9 of 10 %', pid, 0, () => {
      const victims = new Set(workersOf(app).map((line) => line.pid).filter((_, at) => at % 10 === 0))
      victims.forEach((victim) => process.kill(victim, 'SIGKILL'))
      return until('kill', () => {
        const workers = workersOf(app)
        return workers.filter((line) => line.state === 'ready').length === count && !workers.some((line) => victims.has(line.pid))
      })
    })
    figures.memoryAfter = lib.memory(pid).rss / 1024
    figures.descriptorsAfter = lib.descriptors(pid)
    // The last that is seen of it before it is gone.
    let last = ran(pid)
    const before = last
    const begun = now()
    process.kill(pid, 'SIGTERM')
    await until('stop', async () => {
      last = Number.isNaN(ran(pid)) ? last : ran(pid)
      return chain.child.exitCode !== null || chain.child.signalCode !== null
    }, 1)
    figures.stop = { wall: now() - begun, cpu: last - before }
    return figures
  } catch (error) {
    throw new Error(`${count} workers: ${error.message}\n${chain.said()}`)
  } finally {
    if (chain.child.exitCode === null) await chain.stop()
  }
}

const shown = (ms) => (ms < 10000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`).padStart(9)

const main = async () => {
  const counts = process.argv.slice(2).map(Number)
  if (counts.some((count) => !(count >= 1 && count <= 1024))) throw new Error('--scale takes numbers of workers, 1 to 1024')
  console.log('workers  phase                 wall       CPU  CPU per worker')
  for (const count of counts.length ? counts : [10, 100, 1000]) {
    const figures = await measure(count)
    for (const name of ['start', 'reload', 'kill -9 of 10 %', 'stop']) {
      const { wall, cpu } = figures[name]
      const of = name.startsWith('kill') ? Math.ceil(count / 10) : count
      console.log(`${String(count).padStart(7)}  ${name.padEnd(16)} ${shown(wall)} ${shown(cpu)}  ${(cpu / of).toFixed(2).padStart(11)} ms`)
    }
    const { memory, memoryAfter, descriptors, descriptorsAfter } = figures
    console.log(`${String(count).padStart(7)}  supervisor: ${memory} kB RSS, ${descriptors} descriptors; after all: ${memoryAfter} kB, ${descriptorsAfter}`)
  }
}

main().catch((error) => { console.error(`bench --scale: ${error.message}`); process.exitCode = 1 })
  .finally(() => fs.rmSync(temp, { recursive: true, force: true }))
