'use strict'
// Runs the cases with PM2 and with pm, each in a directory and a home of its own, and writes the table.

const { spawnSync } = require('child_process')
const fs = require('fs')
const os = require('os')
const path = require('path')
const { cases } = require('./cases')

/** A call of either that takes longer hangs. */
const LONGEST_MS = 40000
const PROBE = path.join(__dirname, 'probe.js')
const known = fs.readFileSync(path.join(__dirname, '../../PM2.md'), 'utf8')

const option = (name) => {
  const at = process.argv.indexOf(name)
  return at < 0 ? undefined : process.argv[at + 1]
}
const pause = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)

/** One of the two: how it is called, and where its files are. */
class Side {
  constructor(name) {
    this.name = name
    this.place = fs.mkdtempSync(path.join(os.tmpdir(), `beside-${name}-`))
    this.home = path.join(this.place, 'home')
    this.dir = path.join(this.place, 'app')
    const homes = { PM2_HOME: this.home, PM_HOME: this.home, HOME: this.place, PM2_DISABLE_VERSION_CHECK: '1' }
    this.written = path.join(this.place, 'written')
    this.env = { ...process.env, ...homes, PROBE_DIR: this.written, PORT: '17733', PATH: `${process.env.PM_BIN}:${process.env.PATH}` }
    fs.chmodSync(this.place, 0o755)
  }

  /** An empty place for the next case. */
  begin(files) {
    for (const dir of [this.dir, this.written]) {
      fs.rmSync(dir, { recursive: true, force: true })
      fs.mkdirSync(dir)
      fs.chmodSync(dir, 0o777)
    }
    fs.copyFileSync(PROBE, path.join(this.dir, 'probe.js'))
    for (const [name, text] of Object.entries(files)) fs.writeFileSync(path.join(this.dir, name), text)
  }

  call(words, input) {
    const program = this.name === 'pm2' ? [process.execPath, process.env.PM2_BIN] : [path.join(process.env.PM_BIN, 'pm')]
    const [first, ...rest] = [...program, ...words]
    const options = { cwd: this.dir, env: this.env, input: input || '', timeout: LONGEST_MS, encoding: 'utf8' }
    const done = spawnSync(first, rest, options)
    return { code: done.status === null ? `${done.error ? 'hangs' : done.signal}` : done.status, out: done.stdout, err: done.stderr }
  }

  rows() {
    const { out } = this.call(['jlist'])
    const line = out.split('\n').find((text) => text.startsWith('[')) || '[]'
    try {
      return JSON.parse(line)
    } catch (_) {
      return []
    }
  }

  /** A file that the app wrote, or its logs. */
  read(name) {
    const at = [this.written, this.dir].map((dir) => path.join(dir, name)).find((file) => fs.existsSync(file))
    return at && fs.readFileSync(at, 'utf8')
  }

  seen(slot = 0) {
    const text = this.read(`seen-${slot}.json`)
    return text ? JSON.parse(text) : undefined
  }

  /** Waits until it is so, for a while: what never comes is a difference, too. */
  until(isSo) {
    for (let waited = 0; waited < 5000 && !isSo(); waited += 25) pause(25)
  }

  /** Looks until nothing changes any more. */
  settled(look) {
    let last
    for (let same = 0, waited = 0; same < 3 && waited < 8000; waited += 100) {
      const now = JSON.stringify(look())
      same = now === last ? same + 1 : 0
      last = now
      pause(100)
    }
    return JSON.parse(last)
  }

  end() {
    this.call(['kill'])
    if (this.name === 'pm') this.call(['delete', 'all'])
    fs.rmSync(this.place, { recursive: true, force: true })
  }
}

/** What a text says, without what differs from run to run. */
const plain = (side, text) => String(text).split(side.place).join('~').replace(/\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-][\d:]+)?/g, 'TIME')

/** The rows of a list: name, state, mode, how often restarted, and the fields that a case names. */
const states = (side, fields) => {
  const row = (item) => {
    const env = item.pm2_env
    const more = fields.map((field) => `${field}=${plain(side, JSON.stringify(env[field] === undefined ? null : env[field]))}`)
    return [item.name, env.status, env.exec_mode.replace('_mode', ''), `↺${env.restart_time}`, ...more].join(' ')
  }
  return side.rows().map(row).sort()
}

/** What a case looks at, beside codes and states. */
const looks = {
  args: (side) => side.seen() && side.seen().args,
  execArgv: (side) => side.seen() && side.seen().execArgv,
  cwd: (side) => side.seen() && plain(side, side.seen().cwd),
  user: (side) => side.seen() && [side.seen().uid, side.seen().gid],
  sourceMaps: (side) => side.seen() && side.seen().sourceMaps,
  told: (side) => (side.read('told') || '').trim().split('\n'),
}

function observe(side, one) {
  const look = () => {
    const found = { states: states(side, one.fields || []) }
    for (const name of one.look || []) {
      const [kind, detail] = name.split(/:(.*)/)
      if (kind === 'env') {
        const slots = [0, 1, 2].map((slot) => side.seen(slot)).filter(Boolean)
        found[name] = slots.map((seen) => (seen.env[detail] === undefined ? null : plain(side, seen.env[detail]))).sort()
      } else if (kind === 'file') {
        const text = side.read(detail)
        found[name] = text === undefined ? 'none' : plain(side, text).trim().split('\n').sort()
      } else {
        found[name] = looks[kind](side)
      }
    }
    return found
  }
  return side.settled(look)
}

function run(side, one) {
  side.begin(one.files || {})
  const before = side.env
  side.env = { ...before, ...one.env }
  const codes = []
  let out = ''
  for (const step of one.steps) {
    if (typeof step === 'function') {
      step(side)
      continue
    }
    const words = Array.isArray(step) ? step : step.split(' ')
    const done = side.call(words, one.input)
    codes.push(done.code)
    out = done.out
  }
  const found = { codes: codes.join(' '), ...observe(side, one) }
  if (one.out) found.out = one.out(out, side)
  side.call(['delete', 'all'])
  side.env = before
  return found
}

/** The lines of a cell, of what differs or of all. */
const cell = (found, keys) => keys.map((key) => `${key}: ${[].concat(found[key]).map((item) => (typeof item === 'string' ? item : JSON.stringify(item))).join(', ')}`)
  .join('<br>').replace(/\|/g, '\\|')

function main() {
  const only = option('--only')
  const chosen = cases.filter((one) => !only || one.name.includes(only))
  const sides = [new Side('pm2'), new Side('pm')]
  const lines = ['| case | PM2 | here | |', '|---|---|---|---|']
  const counts = { same: 0, told: 0, untold: 0 }
  try {
    for (const one of chosen) {
      const [theirs, ours] = sides.map((side) => run(side, one))
      const keys = Object.keys(theirs)
      const differ = keys.filter((key) => JSON.stringify(theirs[key]) !== JSON.stringify(ours[key]))
      const isTold = differ.length > 0 && one.row !== undefined && known.includes(one.row)
      const verdict = differ.length === 0 ? 'same' : isTold ? 'told' : 'untold'
      counts[verdict] += 1
      const word = { same: 'the same', told: `differs: “${one.row}”`, untold: '**differs**' }[verdict]
      const shown = differ.length === 0 ? keys : differ
      lines.push(`| ${one.name} | ${cell(theirs, shown)} | ${differ.length === 0 ? '' : cell(ours, shown)} | ${word} |`)
      if (verdict === 'untold') console.log(`${one.name}\n  PM2   ${cell(theirs, shown)}\n  here  ${cell(ours, shown)}${one.row ? `\n  no row of PM2.md: ${one.row}` : ''}`)
      else if (differ.length === 0 && one.row) console.log(`${one.name}: the same, though it is said to differ`)
    }
  } finally {
    sides.forEach((side) => side.end())
  }
  const sum = `${chosen.length} cases: ${counts.same} the same, ${counts.told} differ and PM2.md says so, ${counts.untold} differ and it does not`
  const file = option('--out') || process.env.BESIDE_OUT
  fs.writeFileSync(file, `${sum}\n\n${lines.join('\n')}\n`)
  console.log(`${sum}; the table: ${file}`)
  process.exitCode = counts.untold > 0 ? 1 : 0
}
main()
