// What it costs that clients stay with their worker: the same requests from many addresses, with --sticky and without, in
// turns. Each client has an address of loopback of its own (wrk has but one, which would meet but one worker).
'use strict'
const http = require('http')
const path = require('path')
const lib = require('./chain')

const pid = path.join(lib.examples, 'pid.js')
const CLIENTS = 32
const WORKERS = 2
// Milliseconds.
const TURN = 1000

const ask = (port, agent) => new Promise((resolve, reject) => {
  http.get({ port, host: '127.0.0.1', agent }, (response) => response.resume().on('end', resolve)).on('error', reject)
})

// Requests a second of all clients together, on kept connections or with one for each request.
const turn = async (port, keepAlive) => {
  const end = performance.now() + TURN
  let count = 0
  const client = async (n) => {
    const agent = new http.Agent({ keepAlive, maxSockets: 1, localAddress: `127.3.0.${n + 1}` })
    for (; performance.now() < end; count++) await ask(port, agent)
    agent.destroy()
  }
  await Promise.all(Array.from({ length: CLIENTS }, (_, n) => client(n)))
  return count / TURN * 1000
}

const started = async (temp, options) => {
  const port = await lib.freePort()
  const words = ['pm-cluster', '-n', String(WORKERS), ...options, 'node', pid]
  const chain = lib.chain(words, port, { PM_HOME: path.join(temp, 'sticky') })
  await lib.firstAnswer(port)
  await turn(port, true)
  return { port, stop: chain.stop }
}

const run = async ({ note, temp, turns }) => {
  const both = { lanes: await started(temp, []), sticky: await started(temp, ['--sticky']) }
  try {
    console.error(`sticky, ${turns} turns`)
    for (const [style, keep] of [['kept', true], ['single', false]]) {
      for (let done = 0; done < turns; done++) {
        const rates = {}
        // Another one begins each time.
        const order = done % 2 ? ['sticky', 'lanes'] : ['lanes', 'sticky']
        for (const name of order) note(`${CLIENTS} addresses, requests/s ${style}`, name, rates[name] = await turn(both[name].port, keep))
        note(`requests/s ${style}, sticky over lanes`, 'ratio', rates.sticky / rates.lanes)
      }
    }
  } finally {
    await Promise.all(Object.values(both).map((one) => one.stop()))
  }
}

module.exports = { run }
