// Measures what a person types: `pm` beside `pm2` and s6 (list, start, stop, ten apps at once), and what stays resident for it.
'use strict'
const fs = require('fs')
const path = require('path')
const { spawn, spawnSync } = require('child_process')
const lib = require('./chain')

const pid = path.join(lib.examples, 'pid.js')
// A program that costs next to nothing, to be listed in numbers.
const SLEEP = ['sleep', '1000000']
const PATIENCE_MS = 300000

const now = () => Number(process.hrtime.bigint()) / 1e6
const timed = (words, env) => {
  const start = now()
  const ran = spawnSync(words[0], words.slice(1), { env, stdio: ['ignore', 'ignore', 'pipe'], timeout: PATIENCE_MS })
  if (ran.error || ran.status !== 0) throw new Error(`${words.join(' ')}: ${ran.error || ran.stderr}`)
  return now() - start
}
const output = (words, env) => spawnSync(words[0], words.slice(1), { env, encoding: 'utf8', maxBuffer: 1 << 28 }).stdout
const unique = (pids) => [...new Set(pids)].filter((p) => p && lib.alive(p))

// Each front: words that start `count` workers or an app that listens, list, stop, and end everything.
const pm = (temp) => {
  const env = { ...process.env, PM_HOME: path.join(temp, 'front-pm') }
  const bin = process.env.PM_BIN
  return {
    env,
    crowd: (count) => timed([bin, 'start', SLEEP[0], '--name', 'crowd', '-i', String(count), '--', SLEEP[1]], env),
    list: [bin, 'list'],
    jlist: [bin, 'jlist'],
    start: ['sh', '-c', `exec "${bin}" start "${pid}" --name one`],
    stop: [bin, 'stop', 'one'],
    file: (file) => [bin, 'start', file],
    remove: [bin, 'delete', 'all'],
    residents: () => unique(output(['pm-stat'], env).split('\n').filter(Boolean).map((line) => JSON.parse(line).supervisor_pid)),
    end: () => spawnSync(bin, ['delete', 'all'], { env, stdio: 'ignore' }),
  }
}

const pm2 = (temp) => {
  const home = path.join(temp, 'front-pm2')
  const env = { ...process.env, PM2_HOME: home, PM2_DISABLE_VERSION_CHECK: 'true' }
  const bin = process.env.PM2_BIN
  return {
    env,
    crowd: (count) => {
      const app = { name: 'crowd', script: '/bin/sleep', args: SLEEP[1], interpreter: 'none', exec_mode: 'fork', instances: count }
      const file = path.join(temp, 'crowd.json')
      fs.writeFileSync(file, JSON.stringify({ apps: [app] }))
      return timed([bin, 'start', file, '--parallel', '20'], env)
    },
    list: [bin, 'list'],
    jlist: [bin, 'jlist'],
    start: [bin, 'start', pid, '--name', 'one'],
    stop: [bin, 'stop', 'one'],
    file: (file) => [bin, 'start', file],
    remove: [bin, 'delete', 'all'],
    residents: () => unique([Number(fs.readFileSync(path.join(home, 'pm2.pid'), 'utf8'))]),
    end: () => spawnSync(bin, ['kill'], { env, stdio: 'ignore' }),
  }
}

// s6 has directories for what pm and PM2 have words for; these are made before the clock starts.
const s6 = (temp) => {
  const scan = path.join(temp, 'front-s6')
  const env = { ...process.env }
  let root
  const service = (name, run) => {
    const dir = path.join(scan, name)
    fs.mkdirSync(dir, { recursive: true })
    fs.writeFileSync(path.join(dir, 'run'), `#!/bin/sh\nexec ${run} >/dev/null 2>&1\n`, { mode: 0o755 })
    return dir
  }
  const listening = () => {
    fs.mkdirSync(scan, { recursive: true })
    fs.writeFileSync(path.join(service('one', `"${process.execPath}" "${pid}"`), 'down'), '')
    root = spawn('s6-svscan', ['-c', '2000', scan], { env, stdio: 'ignore' })
    timed(['sh', '-c', `until s6-svok "${scan}/one"; do :; done`], env)
  }
  return {
    env,
    prepare: listening,
    crowd: (count) => {
      for (let i = 0; i < count; i++) service(`crowd-${i}`, SLEEP.join(' '))
      const up = `for d in "${scan}"/crowd-*; do until s6-svok "$d"; do :; done; s6-svwait -u "$d" || exit; done`
      return timed(['sh', '-c', `s6-svscanctl -a "${scan}"; ${up}`], env)
    },
    list: ['sh', '-c', `for d in "${scan}"/*; do s6-svstat "$d"; done`],
    start: ['s6-svc', '-u', path.join(scan, 'one')],
    stop: ['s6-svc', '-wD', '-d', path.join(scan, 'one')],
    residents: () => [root.pid, ...lib.children(root.pid)].filter((p) => lib.name(p).startsWith('s6-')),
    end: () => root && new Promise((resolve) => { root.on('close', resolve); root.kill('SIGTERM') }),
  }
}

const sumOf = (pids, what) => pids.map(lib.memory).reduce((sum, memory) => sum + memory[what], 0) / 1024

// From the command until the app answers, with whatever the front needs resident already there.
const startToServing = async (front, port) => {
  const env = { ...front.env, PORT: String(port) }
  const start = now()
  const child = spawn(front.start[0], front.start.slice(1), { env, stdio: 'ignore' })
  const ended = new Promise((resolve) => child.on('close', resolve))
  await lib.firstAnswer(port)
  const took = now() - start
  await ended
  return took
}

const serving = async (name, front, note, times) => {
  for (let i = 0; i < times; i++) {
    // s6 has the port in its supervisors' environment, so it keeps the one that it began with.
    const port = front.port || await lib.freePort()
    note('start until serving, ms', name, await startToServing(front, port))
    if (i === 0) {
      note('resident for one app, RSS, kB', name, sumOf(front.residents(), 'rss'))
      note('resident for one app, private, kB', name, sumOf(front.residents(), 'private'))
    }
    note('stop, ms', name, timed(front.stop, front.env))
    if (front.remove && i < times - 1) timed(front.remove, front.env)
  }
}

// From the start of a file with ten apps until each of them answers.
const tenServing = async (name, front, note, temp, times) => {
  const file = path.join(temp, 'ten.json')
  for (let i = 0; i < times; i++) {
    const ports = []
    while (ports.length < 10) ports.push(await lib.freePort())
    const apps = ports.map((port, at) => ({ name: `ten-${at}`, script: pid, env: { PORT: String(port) } }))
    fs.writeFileSync(file, JSON.stringify({ apps }))
    const start = now()
    const child = spawn(front.file(file)[0], front.file(file).slice(1), { env: front.env, stdio: 'ignore' })
    const ended = new Promise((resolve) => child.on('close', resolve))
    // One port after the other: who measures shall not keep both cores busy.
    for (const port of ports) await lib.firstAnswer(port)
    note('start of ten apps until all serve, ms', name, now() - start)
    await ended
    timed(front.remove, front.env)
  }
}

const listing = (name, front, note, count, times) => {
  note(`start of ${count} workers, ms`, name, front.crowd(count))
  for (const verb of ['list', 'jlist'].filter((verb) => front[verb])) {
    for (let i = 0; i < times; i++) note(`${verb}, ${count} workers, ms`, name, timed(front[verb], front.env))
  }
}

const bareNode = async (note, times) => {
  for (let i = 0; i < times; i++) {
    const port = await lib.freePort()
    const start = now()
    const server = lib.chain(['node', pid], port)
    await lib.firstAnswer(port)
    note('start until serving, ms', 'bare node', now() - start)
    await server.stop()
  }
}

// Runs one round; `crowds` are the numbers of workers that are listed.
const run = async ({ note, temp, has, quick }) => {
  const fronts = { pm, pm2, ...(spawnSync('s6-svscan', ['-h'], { stdio: 'ignore' }).error ? {} : { s6 }) }
  if (!fronts.s6) console.error('front: s6 is not installed (apt-get install s6): its rows are missing')
  const times = quick ? 5 : 15
  await bareNode(note, times)
  for (const [name, make] of Object.entries(fronts).filter(([name]) => has(name))) {
    for (const count of [1, 100, ...(quick ? [] : [1000])]) {
      const front = make(path.join(temp, `${name}-${count}`))
      console.error(`front: ${name}, ${count} workers`)
      fs.mkdirSync(path.join(temp, `${name}-${count}`), { recursive: true })
      try {
        if (front.prepare) {
          front.port = front.env.PORT = String(await lib.freePort())
          front.prepare()
        }
        if (count === 1) await serving(name, front, note, times)
        if (count === 1 && front.file) await tenServing(name, front, note, temp, times)
        listing(name, front, note, count, count > 100 ? 5 : times)
      } finally {
        await front.end()
      }
    }
  }
}

module.exports = { run }
