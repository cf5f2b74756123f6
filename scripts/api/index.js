'use strict'
// The calls of PM2's module, over the tools of pm: `const pm = require('pm')`, and `pm.connect`, `pm.start` and so on.
//
// There is no daemon to connect to: each call runs a tool and reads its answer. Every call takes a callback
// `(error, answer)` as its last argument, or gives a promise without one.

const messages = require('./messages')
const path = require('path')
const { Bus } = require('./bus')
const { PmError, Tools } = require('./tools')

/** How the name of a config file ends. */
const CONFIG = /(\.json|\.yml|\.yaml|\.config\.(js|cjs|mjs|ts))$/

/**
 * The ids of processes: an app's id is its first worker's, and each further worker's is so much more. (PM2 gives each
 * worker an id; here an app has one, as `pm list` shows it.)
 */
const APART = 65536

/** The last argument if it is a function, and the others. */
function split(args) {
  const callback = typeof args[args.length - 1] === 'function' ? args.pop() : undefined
  return { args: args.filter((arg) => arg !== undefined), callback }
}

/** Gives the end of a promise, or of what makes one, to a callback, outside of the promise, so that what the callback throws is the program's own. */
function answer(what, callback) {
  const promise = typeof what === 'function' ? new Promise((resolve) => resolve(what())) : what
  if (!callback) return promise
  promise.then(
    (value) => setImmediate(callback, null, value),
    (error) => setImmediate(callback, error),
  )
  return undefined
}

/** How apps are called that have no name of their own: by their script, as everywhere in pm. */
function nameOf(app) {
  return app.name || path.basename(String(app.script || ''), path.extname(String(app.script || '')))
}

/** How the tools call what is meant: of a process there is its app. */
function toolTarget(target) {
  const isOne = (typeof target === 'string' && target !== '' && !target.startsWith('-')) || Number.isInteger(target)
  if (!isOne) throw new PmError(`expected an app (a name, an id, 'all' ...), not ${typeof target === 'function' ? 'a function' : JSON.stringify(target)}`)
  return /^\d+$/.test(String(target)) ? String(Number(target) % APART) : String(target)
}

/** Whether a row is of what `target` means: `all`, an id, a name, a namespace, a script, or a `/pattern/`. */
function isMeant(row, target, cwd) {
  const text = String(target)
  const pattern = /^\/(.+)\/$/.exec(text)
  if (text === 'all') return true
  if (pattern) return new RegExp(pattern[1]).test(row.name)
  const isNumber = /^\d+$/.test(text)
  const names = [row.name, row.pm2_env.namespace, row.pm2_env.pm_exec_path === path.resolve(cwd, text) ? text : undefined]
  return names.includes(text) || (isNumber && [row.pm_id, row.pm_id % APART].includes(Number(text)))
}

class Pm {
  /**
   * `pm_home`: where the apps' files are, else as the tools find it; `cwd`: where scripts are looked for; `bin_dir`: where
   * the tools are, else PM_BIN_DIR or the PATH; `independent`: no apps but those of this object, in a directory of its own,
   * which end with it.
   */
  constructor(options = {}) {
    const { cwd, pm_home: home, pm2_home: otherHome, bin_dir: dir, independent, daemon_mode: daemonMode } = options
    const own = independent === true ? require('fs').mkdtempSync(path.join(require('os').tmpdir(), 'pm-')) : undefined
    const chosen = home || otherHome || own
    this.cwd = cwd
    this.tools = new Tools({ dir, cwd, env: chosen ? { PM_HOME: chosen } : {} })
    this.endsWithUs = daemonMode === false || own !== undefined
    /** The names of the apps that end with this process. */
    this.ours = new Set()
    this.bus = undefined
    this.atExit = undefined
    // Programs hand them over as they are: promisify(pm.list), { start } = pm.
    for (const name of Object.getOwnPropertyNames(Pm.prototype)) {
      if (typeof this[name] === 'function' && name !== 'constructor') this[name] = this[name].bind(this)
    }
  }

  directory() {
    return this.cwd || process.cwd()
  }

  async rows() {
    const all = JSON.parse(await this.tools.run('pm', ['jlist']))
    const rows = all.map((row) => {
      const id = row.pm_id + APART * (row.pm2_env.NODE_APP_INSTANCE || 0)
      return { ...row, pm_id: id, pm2_env: { ...row.pm2_env, pm_id: id } }
    })
    // As they were started, the workers of an app together.
    return rows.sort((one, other) => one.pm_id % APART - other.pm_id % APART || one.pm_id - other.pm_id)
  }

  async meant(target) {
    const rows = await this.rows()
    return rows.filter((row) => isMeant(row, target, this.directory()))
  }

  /** Runs a verb for an app; gives its rows afterwards. */
  async verb(name, target, more = []) {
    await this.tools.run('pm', [name, toolTarget(target), '--silent', ...more])
    const rows = await this.meant(target)
    return rows.map((row) => ({ ...row, namespace: row.pm2_env.namespace, ...stateOf(row) }))
  }

  // ---- the calls

  /** Sees that the tools are there. With `true` in front, what is started here ends with this process. */
  connect(...given) {
    const { args, callback } = split(given)
    const connected = async () => {
      this.endsWithUs = this.endsWithUs || args[0] === true
      await this.tools.run('pm', ['version'])
      if (this.endsWithUs && !this.atExit) {
        this.atExit = () => this.endOurs()
        process.once('exit', this.atExit)
      }
      return { daemon_mode: !this.endsWithUs, new_pm2_instance: false, pm2_home: this.tools.env.PM_HOME || process.env.PM_HOME }
    }
    return answer(connected(), callback)
  }

  endOurs() {
    for (const name of this.ours) this.tools.runAtExit('pm', ['delete', name, '--silent'])
    this.ours.clear()
  }

  /** Stops listening, and ends what was to end with us. Nothing else depends on us. */
  disconnect(callback) {
    this.disconnectBus()
    if (this.atExit) process.removeListener('exit', this.atExit)
    this.atExit = undefined
    this.endOurs()
    if (typeof callback === 'function') setImmediate(callback, null, { success: true })
  }

  close(callback) {
    return this.disconnect(callback)
  }

  /**
   * Starts a script, a config file, or the app or apps that an object describes, as a config file would; gives their rows
   * once they serve. An app that an object names and that runs already is restarted with what the object says.
   */
  start(...given) {
    const { args, callback } = split(given)
    return answer(this.starts(args[0], args[1] || {}), callback)
  }

  async starts(what, options) {
    const isApp = (app) => app && typeof app === 'object'
    const apps = isApp(what) && (Array.isArray(what) ? what : what.apps || [what])
    if (typeof what !== 'string' ? !Array.isArray(apps) || !apps.every(isApp) : what === '' || what.startsWith('-')) {
      throw new PmError('start: expected a script, a config file, or what describes an app, such as { script, name }')
    }
    const before = await this.rows()
    const names = await this.startsWhat(what, options)
    const rows = await this.rows()
    const started = names ? rows.filter((row) => names.includes(row.name)) : fresh(before, rows)
    if (this.endsWithUs) started.forEach((row) => this.ours.add(row.name))
    return started.map((row) => ({ ...row, process: { pid: row.pid } }))
  }

  /** Starts; gives the names of what was started where they are known. */
  async startsWhat(what, options) {
    if (typeof what === 'string' && CONFIG.test(what)) {
      const { only, env, updateEnv } = options
      const more = [only && ['--only', String(only)], env && typeof env === 'string' && ['--env', env], updateEnv && ['--update-env']]
      await this.tools.run('pm', ['start', what, '--silent', ...more.filter(Boolean).flat()])
      return undefined
    }
    if (typeof what === 'string') {
      const known = (await this.meant(what)).length > 0 && Object.keys(options).length === 0
      if (known || Object.keys(options).length === 0) {
        await this.tools.run('pm', ['start', what, '--silent'])
        return known ? (await this.meant(what)).map((row) => row.name) : [nameOf({ script: what })]
      }
      return this.startsDescribed([{ ...options, script: what }], options)
    }
    const apps = Array.isArray(what) ? what : what.apps || [what]
    return this.startsDescribed(apps, options)
  }

  async startsDescribed(apps, options) {
    const { force, env, updateEnv } = options
    const more = [force && ['--force'], typeof env === 'string' && ['--env', env], updateEnv && ['--update-env']]
    const described = apps.map((app) => describedApp(app, this.directory()))
    await this.tools.run('pm', ['start', '-', '--silent', ...more.filter(Boolean).flat()], JSON.stringify({ apps: described }))
    return apps.map(nameOf)
  }

  /** Stops the workers of an app, and starts them again; with `{ updateEnv: true }` they take our variables. */
  restart(...given) {
    const { args: [target, options], callback } = split(given)
    return answer(() => this.restarts(target, options || {}), callback)
  }

  restarts(target, options) {
    if (target && typeof target === 'object') return this.starts(target, options)
    return this.verb('restart', target, options.updateEnv ? ['--update-env'] : [])
  }

  /** Replaces the workers of an app one by one, so that no request is lost. */
  reload(...given) {
    const { args: [target, options], callback } = split(given)
    return answer(() => this.verb('reload', target, options && options.updateEnv ? ['--update-env'] : []), callback)
  }

  gracefulReload(...given) {
    return this.reload(...given)
  }

  stop(...given) {
    const { args: [target], callback } = split(given)
    return answer(() => this.verb('stop', target), callback)
  }

  /** Stops an app, and forgets it; gives what it was. */
  delete(...given) {
    const { args: [target], callback } = split(given)
    const deleted = async () => {
      const tools = toolTarget(target)
      const rows = await this.meant(target)
      await this.tools.run('pm', ['delete', tools, '--silent'])
      rows.forEach((row) => this.ours.delete(row.name))
      return rows.map(({ pm2_env: env, ...row }) => {
        const gone = { ...row, pid: 0, pm2_env: { ...env, status: 'stopped' } }
        return { ...gone, namespace: env.namespace, ...stateOf(gone) }
      })
    }
    return answer(deleted, callback)
  }

  del(...given) {
    return this.delete(...given)
  }

  /** Has an app run with so many workers: a number, `'+2'`, or `'-1'`. */
  scale(...given) {
    const { args: [target, count], callback } = split(given)
    const scaled = async () => {
      if (!/^[+-]?\d+$/.test(String(count))) throw new PmError(`scale: expected a number of workers, '+N' or '-N', not ${JSON.stringify(count)}`)
      await this.tools.run('pm', ['scale', toolTarget(target), String(count), '--silent'])
      return { success: true }
    }
    return answer(scaled, callback)
  }

  list(...given) {
    return answer(this.rows(), split(given).callback)
  }

  /** The rows of an app; none where there is no such app. */
  describe(...given) {
    const { args: [target], callback } = split(given)
    return answer(() => this.meant(target), callback)
  }

  /** The pids of an app's workers; of all without a name. */
  getPID(...given) {
    const { args, callback } = split(given)
    const rows = args.length > 0 ? this.meant(args[0]) : this.rows()
    return answer(rows.then((all) => all.map((row) => row.pid).filter((pid) => pid > 0)), callback)
  }

  getProcessIdByName(name, callback) {
    return answer(this.meant(name).then((rows) => [...new Set(rows.map((row) => row.pm_id))]), callback)
  }

  getVersion(callback) {
    return answer(this.tools.run('pm', ['version']).then((text) => text.trim()), callback)
  }

  /** Empties the logs of an app, or of all. */
  flush(...given) {
    const { args, callback } = split(given)
    const flushed = async () => {
      await this.tools.run('pm', ['flush', ...args.map(toolTarget), '--silent'])
      return this.meant(args[0] === undefined ? 'all' : args[0])
    }
    return answer(flushed, callback)
  }

  reloadLogs(callback) {
    return answer(this.tools.run('pm', ['reloadLogs', '--silent']).then(() => ({})), callback)
  }

  /** Keeps what runs, for `pm resurrect`. */
  dump(...given) {
    const { args, callback } = split(given)
    const force = args[0] === true ? ['--force'] : []
    return answer(this.tools.run('pm', ['save', '--silent', ...force]).then(() => ({ success: true })), callback)
  }

  resurrect(callback) {
    return answer(this.tools.run('pm', ['resurrect', '--silent']).then(() => this.rows()), callback)
  }

  reset(target, callback) {
    return answer(() => this.verb('reset', target), callback)
  }

  sendSignalToProcessName(signal, target, callback) {
    const sent = async () => {
      await this.tools.run('pm', ['sendSignal', String(signal), toolTarget(target), '--silent'])
      return this.meant(target)
    }
    return answer(sent, callback)
  }

  sendSignalToProcessId(signal, target, callback) {
    return this.sendSignalToProcessName(signal, target, callback)
  }

  /**
   * Sends a process what it hears with `process.on('message')`: `(id, { topic, data })` or `({ id, topic, data })`, with the
   * id of its row or of what it sent.
   */
  sendDataToProcessId(...given) {
    const { args, callback } = split(given)
    const packet = args.length > 1 ? { ...args[1], id: args[0] } : { ...args[0] }
    return answer(this.sends(packet), callback)
  }

  async sends(packet) {
    if (packet.id === undefined || !packet.topic || !packet.data) throw new PmError('id, topic or data is missing')
    const row = (await this.rows()).find((one) => one.pm_id === Number(packet.id))
    if (!row) throw new PmError(`Process with ID <${packet.id}> unknown.`)
    if (row.pid === 0) throw new PmError(`Process with ID <${packet.id}> offline.`)
    const sent = await messages.post(messages.directoryOf(row), row.pm2_env.NODE_APP_INSTANCE, packet).catch((why) => {
      throw new PmError(`'${row.name}' cannot be sent messages: ${why.code === 'ENOENT' ? 'it is no Node app' : why.message}`)
    })
    if (sent === 0) throw new PmError(`'${row.name}' does not take messages: its channel is closed or full`)
    return { success: true, data: packet }
  }

  /** Sends a line to what an app reads. */
  sendLineToStdin(target, line, ...given) {
    return answer(() => this.tools.run('pm', ['send', toolTarget(target), String(line)]), split(given).callback)
  }

  startup(...given) {
    const { args, callback } = split(given)
    return answer(this.tools.run('pm', ['startup', ...args.map(String)]), callback)
  }

  /** Ends all apps. There is no daemon that would have to end. */
  killDaemon(callback) {
    const killed = this.tools.run('pm', ['kill', '--silent']).then(() => {
      this.ours.clear()
      return { success: true }
    })
    return answer(killed, callback)
  }

  kill(callback) {
    return this.killDaemon(callback)
  }

  ping(callback) {
    return answer(this.tools.run('pm', ['ping']).then(() => ({ msg: 'pong' })), callback)
  }

  /** The bus of events: `process:event`, `log:out`, `log:err`, `log:PM2`, and what apps send (`process:msg`). */
  launchBus(callback) {
    if (!this.bus || this.bus.closed) {
      this.bus = new Bus(this.rows, this.tools)
      this.bus.opened = this.bus.open()
    }
    const { bus } = this
    return answer(bus.opened.then(() => bus), callback)
  }

  disconnectBus() {
    if (this.bus) this.bus.close()
    this.bus = undefined
  }
}

/** What PM2's verbs say of an app at its top. */
function stateOf(row) {
  return { status: row.pm2_env.status, restart_time: row.pm2_env.restart_time }
}

/** The rows that a start has changed; where it changed none, all. */
function fresh(before, rows) {
  const was = new Map(before.map((row) => [`${row.name} ${row.pm2_env.NODE_APP_INSTANCE}`, row]))
  const changed = rows.filter((row) => {
    const old = was.get(`${row.name} ${row.pm2_env.NODE_APP_INSTANCE}`)
    return !old || old.pid !== row.pid || old.pm2_env.status !== row.pm2_env.status
  })
  return changed.length > 0 ? changed : rows
}

/** An app as a config file would describe it. Of PM2's own options some have a second name, and functions are none. */
function describedApp(app, cwd) {
  const { force, updateEnv, ...fields } = app
  return { ...fields, cwd: path.resolve(cwd, fields.cwd || '.') }
}

module.exports = new Pm()
module.exports.custom = Pm
module.exports.PmError = PmError
