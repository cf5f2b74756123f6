'use strict'
// The socket `bus` in an app's directory: what the app says with `process.send`, and what is said to it.

const fs = require('fs')
const net = require('net')
const path = require('path')

/** unix(7) allows 107 bytes; a path in a deeper directory goes by the descriptor of that. */
const LONGEST_PATH = 107

/** Where the app of a row has its files. */
const directoryOf = (row) => path.dirname(row.pm2_env.pm_pid_path)

/** A connection to the bus of an app; `each` is called with every line that comes, `ended` once it is over. */
function connect(directory, each, ended) {
  let file = path.join(directory, 'bus')
  let held
  if (Buffer.byteLength(file) > LONGEST_PATH) {
    held = fs.openSync(directory, 'r')
    file = `/proc/self/fd/${held}/bus`
  }
  const socket = net.connect(file)
  let rest = ''
  let why = null
  socket.setEncoding('utf8')
  socket.on('data', (text) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop()
    lines.forEach((line) => each(JSON.parse(line)))
  })
  socket.on('error', (error) => { why = error })
  socket.on('close', () => {
    if (held !== undefined) fs.closeSync(held)
    ended(why)
  })
  return socket
}

/** The longest line that a bus takes, in bytes. */
const LONGEST = 64 * 1024

/** Sends the worker of a slot a message; resolves to how many got it. */
function post(directory, slot, message) {
  const line = `${JSON.stringify({ slot, message })}\n`
  if (Buffer.byteLength(line) > LONGEST) return Promise.reject(new Error('the message is longer than 64 KiB'))
  return new Promise((resolve, reject) => {
    const answered = (line) => {
      if (line.sent === undefined) return
      resolve(line.sent)
      socket.destroy()
    }
    const ended = (why) => reject(why || new Error('its supervisor has ended'))
    const socket = connect(directory, answered, ended)
    socket.write(line)
  })
}

module.exports = { connect, directoryOf, post }
