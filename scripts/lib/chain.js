// What the benchmark and the stress test share: starting servers, asking them, and reading /proc about them.
'use strict'
const fs = require('fs')
const http = require('http')
const net = require('net')
const path = require('path')
const { spawn, spawnSync } = require('child_process')

const examples = path.join(__dirname, '../examples')

// A port below those that the kernel gives to clients, so that none of them takes it in the meantime.
let nextPort = 20000 + (process.pid % 5000)
const freePort = () => new Promise((resolve) => {
  const port = nextPort++
  const probe = net.createServer()
  probe.once('error', () => resolve(freePort()))
  probe.listen(port, () => probe.close(() => resolve(port)))
})

// One request on a connection of its own: the body, or null if it was not answered with 200.
const ask = (port, timeout = 10000) => new Promise((resolve) => {
  const request = http.get({ port, host: '127.0.0.1', agent: false, timeout }, (response) => {
    let body = ''
    response.on('data', (part) => { body += part })
    response.on('end', () => resolve(response.statusCode === 200 ? body.trim() : null))
    response.on('error', () => resolve(null))
  })
  request.on('timeout', () => request.destroy())
  request.on('error', () => resolve(null))
})

// Milliseconds until a request is answered by a process that `fits`; asks anew every millisecond, on many connections,
// because an old one may be held by a process that is about to die.
const firstAnswer = (port, fits = () => true, patience = 60000) => new Promise((resolve, reject) => {
  const start = process.hrtime.bigint()
  const since = () => Number(process.hrtime.bigint() - start) / 1e6
  let done = false
  let open = 0
  const look = () => {
    if (done) return
    if (since() > patience) return reject(new Error(`no answer on port ${port}`))
    if (open < 8) {
      open++
      ask(port).then((pid) => {
        open--
        if (done || pid === null || !fits(pid)) return
        done = true
        resolve({ ms: since(), pid: Number(pid) })
      })
    }
    setTimeout(look, 1)
  }
  look()
})

// The pids behind `count` connections that are open at the same time.
const pidsOf = (port, count) => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: count })
  const one = () => new Promise((resolve) => {
    http.get({ port, host: '127.0.0.1', agent }, (response) => {
      let body = ''
      response.on('data', (part) => { body += part }).on('end', () => resolve(Number(body)))
    }).on('error', () => resolve(0))
  })
  return Promise.all(Array.from({ length: count }, one)).finally(() => agent.destroy())
}

const read = (file) => { try { return fs.readFileSync(file, 'utf8') } catch { return '' } }
const alive = (pid) => { const stat = read(`/proc/${pid}/stat`); return stat !== '' && !/\) [ZX] /.test(stat) }
const name = (pid) => read(`/proc/${pid}/comm`).trim()
const children = (pid) => read(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean).map(Number)
const descriptors = (pid) => fs.readdirSync(`/proc/${pid}/fd`).length

// Bytes: resident; private to the process; and of no file, so that the kernel can only swap them.
const memory = (pid) => {
  const rollup = read(`/proc/${pid}/smaps_rollup`)
  const kb = (field) => Number((rollup.match(new RegExp(`^${field}:\\s+(\\d+)`, 'm')) || [0, 0])[1])
  return { rss: kb('Rss') * 1024, private: (kb('Private_Clean') + kb('Private_Dirty')) * 1024, anonymous: kb('Anonymous') * 1024 }
}

// How often the threads of a process went to sleep and were woken.
const wakeups = (pid) => fs.readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => {
  const found = read(`/proc/${pid}/task/${thread}/status`).match(/^voluntary_ctxt_switches:\s+(\d+)/m)
  return sum + (found ? Number(found[1]) : 0)
}, 0)

// wrk on a port: requests a second, p99 in milliseconds, and its counts of errors.
const wrk = (port, { seconds, connections, headers = [] }) => new Promise((resolve, reject) => {
  const args = ['-t', '1', '-c', connections, '-d', `${seconds}s`, '--latency', '--timeout', '10s']
  const options = headers.flatMap((header) => ['-H', header])
  const child = spawn('wrk', [...args, ...options, `http://127.0.0.1:${port}/`].map(String))
  let out = ''
  child.stdout.on('data', (part) => { out += part })
  child.on('error', reject)
  child.on('close', () => {
    const [, number, unit] = out.match(/^\s+99%\s+([\d.]+)(us|ms|s|m)/m) || [0, NaN, 'ms']
    const errors = out.match(/Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/) || [0, 0, 0, 0, 0]
    resolve({
      rate: Number((out.match(/Requests\/sec:\s+([\d.]+)/) || [0, NaN])[1]),
      p99: Number(number) * { us: 0.001, ms: 1, s: 1000, m: 60000 }[unit],
      connect: Number(errors[1]), read: Number(errors[2]), write: Number(errors[3]), timeout: Number(errors[4]),
      bad: Number((out.match(/Non-2xx or 3xx responses: (\d+)/) || [0, 0])[1]),
    })
  })
})

// A chain of ours: `stop` asks it to end and waits for that.
const chain = (words, port, env) => {
  const child = spawn(words[0], words.slice(1), {
    cwd: examples, env: { ...process.env, ...env, PORT: String(port) }, stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  child.stderr.on('data', (part) => { said = (said + part).slice(-20000) })
  const ended = new Promise((resolve) => child.on('close', resolve))
  child.on('error', (error) => { said += error.message })
  const stop = () => { child.kill('SIGTERM'); return ended }
  // pm-restart, and below it pm-cluster.
  const supervisors = () => [child.pid, ...children(child.pid)].filter((pid) => name(pid).startsWith('pm-'))
  return { child, pid: child.pid, stop, ended, supervisors, said: () => said }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const median = (values) => {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b)
  return sorted.length ? (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2 : NaN
}

module.exports = {
  alive, ask, chain, children, descriptors, examples, firstAnswer, freePort, median, memory, name, pause, pidsOf,
  spawnSync, wakeups, wrk,
}
