// What watching a program costs: a static server alone and under pm-cluster, in turns, and the time of bind and listen.
//
// The machine's noise is the same for both as long as the turns are short (a second each); the processor time of a request
// says the same with less of it.
'use strict'
const fs = require('fs')
const os = require('os')
const path = require('path')
const { spawnSync } = require('child_process')
const lib = require('./chain')

const server = process.env.OVERHEAD_SERVER
const calls = path.join(__dirname, 'calls.py')
const CONNECTIONS = 8
// Seconds.
const TURN = 1
// /proc/PID/stat counts in these.
const TICKS = Number(spawnSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }).stdout)

// Microseconds that a process has run.
const ran = (pid) => {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS * 1e6
}

const turn = async (one) => {
  const before = ran(one.serves)
  const { rate } = await lib.wrk(one.port, { seconds: TURN, connections: CONNECTIONS })
  one.rates.push(rate)
  one.micros.push((ran(one.serves) - before) / (rate * TURN))
}

const started = async (words, env) => {
  const port = await lib.freePort()
  const chain = lib.chain(words, port, env)
  const { pid } = await lib.firstAnswer(port)
  const one = { port, serves: pid, stop: chain.stop, rates: [], micros: [] }
  await lib.wrk(port, { seconds: 1, connections: CONNECTIONS })
  return one
}

// Microseconds of each call, as the program sees it; `watched` by us or not.
const times = (temp, watched) => {
  const words = ['python3', calls]
  const chain = watched ? ['pm-restart', '--restart', 'never', 'pm-cluster', '-n', '1', ...words] : words
  const env = { ...process.env, PM_HOME: path.join(temp, 'overhead') }
  const { stdout, stderr } = spawnSync(chain[0], chain.slice(1), { env, encoding: 'utf8' })
  const line = stdout.split('\n').find((text) => text.startsWith('{'))
  if (!line) throw new Error(`no times of calls: ${stderr}`)
  return JSON.parse(line)
}

// Half of the turns are between these.
const spread = (values) => {
  const sorted = [...values].sort((a, b) => a - b)
  return [0.25, 0.75].map((part) => sorted[Math.floor((sorted.length - 1) * part)].toFixed(3)).join(' to ')
}
const load = () => os.loadavg()[0].toFixed(1)

// Notes the figures, and prints how far the rounds were apart.
const run = async ({ note, temp, turns }) => {
  const before = load()
  const alone = await started([server], {})
  const watched = await started(['pm-cluster', '-n', '1', server], { PM_HOME: path.join(temp, 'overhead') })
  try {
    console.error(`overhead, ${turns} turns`)
    for (let done = 0; done < turns; done++) {
      // Another one begins each time.
      const order = done % 2 ? [watched, alone] : [alone, watched]
      for (const one of order) await turn(one)
    }
  } finally {
    await Promise.all([alone.stop(), watched.stop()])
  }
  const over = (field) => watched[field].map((value, which) => value / alone[field][which])
  for (const [name, one] of [['alone', alone], ['watched', watched]]) {
    one.rates.forEach((value) => note('static server, requests/s', name, value))
    one.micros.forEach((value) => note('static server, processor time of a request, us', name, value))
    const took = times(temp, name === 'watched')
    for (const [call, values] of Object.entries(took)) values.forEach((value) => note(`${call}, us`, name, value))
  }
  const [rates, micros] = [over('rates'), over('micros')]
  rates.forEach((value) => note('static server, requests/s watched over alone', 'ratio', value))
  micros.forEach((value) => note('static server, processor time watched over alone', 'ratio', value))
  console.log(`\nwatched over alone, ${turns} turns of ${TURN} s each, load average ${before} to ${load()}:`)
  console.log(`  requests/s             ${lib.median(rates).toFixed(3)} (median; half of the turns ${spread(rates)})`)
  console.log(`  processor per request  ${lib.median(micros).toFixed(3)} (median; half of the turns ${spread(micros)})`)
}

module.exports = { run }
