// Strict clients: they keep their connections as HTTP has it, retry nothing, and count what is not answered.
'use strict'
const net = require('net')

const HUNG_MS = 10000
// Between two requests, at most, unless told: enough to leave the processor to what is measured.
const THINK_MS = 5

// Whether a whole response is there; the app of the benchmark tells its length.
const whole = (text) => {
  const end = text.indexOf('\r\n\r\n')
  const length = /^content-length: *(\d+)/im.exec(text)
  return end >= 0 && length !== null && text.length >= end + 4 + Number(length[1])
}

// One request: resolves with the head and body, rejects with what a client would suffer from.
const ask = (socket, keep) => new Promise((resolve, reject) => {
  let text = ''
  const done = (settle, value) => {
    clearTimeout(timer)
    for (const event of ['data', 'error', 'close']) socket.removeAllListeners(event)
    socket.on('error', () => {})
    settle(value)
  }
  const timer = setTimeout(() => done(reject, new Error('hung')), HUNG_MS)
  socket.on('data', (part) => { text += part; if (whole(text)) done(resolve, text) })
  socket.on('error', (error) => done(reject, error))
  socket.on('close', () => done(reject, new Error('cut')))
  socket.write(`GET / HTTP/1.1\r\nHost: localhost\r\nConnection: ${keep ? 'keep-alive' : 'close'}\r\n\r\n`)
})

// `count` clients on a port until `end()`: its result is the milliseconds of each answer with the time it came, and what
// was lost, with the time too.
const start = (port, count, keep, thinkMs = THINK_MS) => {
  const answers = []
  const lost = []
  let stopping = false
  const client = async () => {
    let socket
    while (!stopping) {
      // What has come by now is read first: a client of ten thousand in one process is slower to see that it was closed.
      if (socket) await new Promise(setImmediate)
      // One that has ended while nothing was asked is no loss: clients notice that.
      if (!keep || (socket && (socket.destroyed || socket.readableEnded))) {
        if (socket) socket.destroy()
        socket = undefined
      }
      const begun = performance.now()
      try {
        socket = socket || net.connect({ port, host: '127.0.0.1', noDelay: true })
        const text = await ask(socket, keep)
        if (!/^HTTP\/1\.[01] 200 /.test(text)) throw new Error(text.slice(0, 12))
        answers.push({ at: begun, ms: performance.now() - begun })
        if (/^connection: *close/im.test(text) || /^HTTP\/1\.0 /.test(text)) socket.destroy()
      } catch (error) {
        lost.push({ at: begun, why: error.code || error.message })
        socket.destroy()
      }
      await new Promise((resolve) => setTimeout(resolve, Math.random() * thinkMs))
    }
    if (socket) socket.destroy()
  }
  const all = Promise.all(Array.from({ length: count }, client))
  return { end: () => { stopping = true; return all.then(() => ({ answers, lost })) } }
}

module.exports = { start }
