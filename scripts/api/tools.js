'use strict'
// The tools of pm, found and run: each call is one process, which says on stderr what went wrong.

const { execFile, execFileSync, spawn } = require('child_process')
const fs = require('fs')
const path = require('path')

/** An answer of `jlist` for some hundred workers with their environments stays far below this. */
const LONGEST_ANSWER = 64 * 1024 * 1024

/** How PM2 says that it knows no such app; programs look for these words. */
const UNKNOWN = /^no apps?\b/

/** How a tool's line begins that says what failed. */
const FAILURE = /^pm[a-z-]*: (fatal|error): /

/** An error of a tool, with what it wrote. */
class PmError extends Error {
  constructor(message, code, stderr) {
    super(message)
    this.name = 'PmError'
    /** The exit code of the tool; `undefined`: it never ran. */
    this.code = code
    this.stderr = stderr
  }
}

/** The lines of `stderr` that say what failed, without the word that each begins with. */
function reason(stderr) {
  const lines = stderr.split('\n').map((line) => line.trim()).filter(Boolean)
  const failures = lines.filter((line) => FAILURE.test(line))
  return (failures.length > 0 ? failures : lines).map((line) => line.replace(FAILURE, '')).join('\n')
}

class Tools {
  /** `dir`: where the tools are; without it PM_BIN_DIR, or the PATH. `env`: what they are given beside our own variables. */
  constructor({ dir, env, cwd } = {}) {
    this.dir = dir || process.env.PM_BIN_DIR || ''
    this.env = env || {}
    this.cwd = cwd
  }

  path(tool) {
    return this.dir ? path.join(this.dir, tool) : tool
  }

  options() {
    return { cwd: this.cwd || process.cwd(), env: { ...process.env, ...this.env } }
  }

  failure(tool, error, stderr) {
    if (error.code === 'ENOENT' && !fs.existsSync(this.options().cwd)) {
      return new PmError(`cannot run ${tool}: the working directory is gone`, undefined, stderr)
    }
    if (error.code === 'ENOENT') {
      return new PmError(`cannot find ${this.path(tool)}: install pm, or name its directory: PM_BIN_DIR`, undefined, stderr)
    }
    const why = reason(stderr) || `${tool} ended with ${error.signal || error.code}`
    const unknown = UNKNOWN.test(why) ? 'process or namespace not found: ' : ''
    return new PmError(unknown + why, error.code, stderr)
  }

  /** Runs a tool to its end; gives what it wrote on stdout. */
  run(tool, args, input) {
    return new Promise((resolve, reject) => {
      const options = { ...this.options(), maxBuffer: LONGEST_ANSWER }
      const child = execFile(this.path(tool), args, options, (error, stdout, stderr) => {
        if (error) reject(this.failure(tool, error, stderr))
        else resolve(stdout)
      })
      if (!child.stdin) return
      // One that does not read it is gone, which is told above.
      child.stdin.on('error', () => {})
      child.stdin.end(input)
    })
  }

  /** The same, where nothing can be waited for: as this process ends. */
  runAtExit(tool, args) {
    try {
      execFileSync(this.path(tool), args, { ...this.options(), stdio: 'ignore' })
    } catch (_) {
      // Nobody is left to hear of it.
    }
  }

  /** Starts a tool that writes lines of JSON for as long as it is read. */
  follow(tool, args, each, ended) {
    const child = spawn(this.path(tool), args, { ...this.options(), stdio: ['ignore', 'pipe', 'ignore'] })
    let rest = ''
    child.stdout.setEncoding('utf8')
    child.stdout.on('data', (text) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop()
      for (const line of lines) {
        let value
        try {
          value = JSON.parse(line)
        } catch (_) {
          continue
        }
        each(value)
      }
    })
    child.on('error', (error) => ended(this.failure(tool, error, '')))
    child.on('close', () => ended(null))
    return child
  }
}

module.exports = { PmError, Tools }
