// What it costs that the clients of a draining server are told to move on: answers in the time of a reload over those at
// rest, of 32 busy clients and of 10,000 that ask now and then, with --no-close-rewrite beside it; and what is lost.
'use strict'
const path = require('path')
const lib = require('./chain')
const clients = require('./clients')

// Clients, and what they do between two requests, in milliseconds, at most.
const CROWDS = [[32, 5], [10000, 20000]]
const REST = 3000

const percentile99 = (answers) => {
  const sorted = answers.map((answer) => answer.ms).sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length * 0.99)]
}

const reload = async (temp, options, count, think, note, name) => {
  const port = await lib.freePort()
  const words = ['pm-cluster', '-n', '1', '--soak', '100ms', ...options, process.env.OVERHEAD_SERVER]
  const chain = lib.chain(words, port, { PM_HOME: path.join(temp, 'closing') })
  try {
    await lib.firstAnswer(port)
    const [old] = lib.children(chain.pid)
    const load = clients.start(port, count, true, think)
    // Those that ask seldom are all there by then.
    await lib.pause(Math.max(REST, think))
    const begun = performance.now()
    await lib.pause(REST)
    const asked = performance.now()
    chain.child.kill('SIGHUP')
    while (lib.alive(old)) await lib.pause(5)
    const ended = performance.now()
    await lib.pause(500)
    const { answers, lost } = await load.end()
    const between = (from, to) => answers.filter((answer) => answer.at >= from && answer.at < to)
    note(`requests lost by a reload, ${count} kept connections`, name, lost.length)
    note(`p99 at rest, ${count} kept connections, ms`, name, percentile99(between(begun, asked)))
    note(`p99 in a reload, ${count} kept connections, ms`, name, percentile99(between(asked, ended)))
    note(`reload of ${count} kept connections, ms`, name, ended - asked)
  } finally {
    await chain.stop()
  }
}

const run = async ({ note, temp, rounds }) => {
  for (let round = 0; round < rounds; round++) {
    for (const [count, think] of CROWDS) {
      console.error(`closing, round ${round + 1} of ${rounds}: ${count} clients`)
      await reload(temp, [], count, think, note, 'told to go')
      await reload(temp, ['--no-close-rewrite'], count, think, note, 'not told')
    }
  }
}

module.exports = { run }
