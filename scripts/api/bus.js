'use strict'
// The bus of events: what PM2's `launchBus` tells of, made of the lines of `pm-stat --follow` and of `pm logs --json`, and
// of what the apps say over their own buses.

const { EventEmitter } = require('events')
const messages = require('./messages')
const path = require('path')

/** The app of a row, as `pm-stat` calls it. */
const appOf = (row) => path.basename(messages.directoryOf(row))

/** In a restart an app is stopped for a moment: one that is for longer was stopped. */
const RESTART_MS = 1000

/** The states in which an app has been given up. */
const FAILED = ['failed', 'errored']

/**
 * An EventEmitter whose handlers may name events by a pattern, as those of PM2's bus may: one of `log:*` is called with
 * what the star stands for, and with the event.
 */
class Bus extends EventEmitter {
  /** `list` gives the rows of all apps, `tools` runs what we listen to. */
  constructor(list, tools) {
    super()
    this.list = list
    this.tools = tools
    this.patterns = []
    this.children = []
    /** Rows as they were last: by the worker's pid, and by the app's directory, whose name `pm-stat` uses, too. */
    this.byPid = new Map()
    this.byApp = new Map()
    this.supervisors = new Set()
    /** How the last worker of a slot ended, as its successor's line tells; by app and slot. */
    this.ends = new Map()
    /** Apps that have served: what is ready again was restarted. */
    this.served = new Set()
    /** Apps that may have been stopped. */
    this.stops = new Map()
    /** The connections to the apps' buses. */
    this.apps = new Map()
    this.queue = Promise.resolve()
    this.messages = Promise.resolve()
    this.closed = false
    /** The end of `open`. */
    this.opened = undefined
  }

  on(event, handler) {
    if (typeof event !== 'string' || !event.includes('*')) return super.on(event, handler)
    const parts = event.split('*').map((part) => part.replace(/[\\^$+?.()|[\]{}]/g, '\\$&'))
    this.patterns.push({ event, handler, expression: new RegExp(`^${parts.join('(.+)')}$`) })
    return this
  }

  off(event, handler) {
    this.patterns = this.patterns.filter((one) => one.event !== event || (handler && one.handler !== handler))
    return handler ? super.off(event, handler) : super.removeAllListeners(event)
  }

  emit(event, ...args) {
    for (const { handler, expression } of this.patterns) {
      const found = expression.exec(event)
      if (found) handler.call(this, ...found.slice(1), ...args)
    }
    return super.emit(event, ...args)
  }

  /** Begins to listen; resolves once nothing is missed that happens from now on. */
  async open() {
    const before = await this.refresh()
    if (this.closed) throw new Error('disconnected before the bus was there')
    before.forEach((row) => this.hear(appOf(row), messages.directoryOf(row)))
    const ran = new Set(before.map((row) => row.pid))
    before.filter((row) => row.pm2_env.status === 'online').forEach((row) => this.served.add(appOf(row)))
    await new Promise((resolve, reject) => {
      const ended = (error) => {
        reject(error)
        this.ended()
      }
      // With no app there is no first line, and nothing to wait for but the process itself.
      const status = this.tools.follow('pm-stat', ['--follow'], (line) => {
        resolve()
        // At once: what the app says first is not kept.
        if (line.event === 'supervisor' && line.state !== 'gone') this.hear(line.app, line.dir)
        this.queue = this.queue.then(() => this.changed(line, ran)).catch((error) => this.failed(error))
      }, ended)
      status.once('spawn', () => before.length === 0 && resolve())
      const logs = this.tools.follow('pm', ['logs', '--json', '--lines', '0', '--wait'], (line) => this.wrote(line), ended)
      this.children.push(status, logs)
    })
  }

  /** Emits outside of our promises, so that what a handler throws is the program's own. */
  later(event, packet) {
    setImmediate(() => this.closed || this.emit(event, packet))
  }

  /** An event could not be made, as the tools are gone: for who wants to know. */
  failed(error) {
    if (this.listenerCount('error') > 0) this.emit('error', error)
  }

  async refresh() {
    const rows = await this.list()
    for (const row of rows) {
      if (row.pid > 0) this.byPid.set(row.pid, row)
      this.byApp.set(appOf(row), row)
    }
    return rows
  }

  /** A line of `pm-stat --follow`; `ran`: the processes that were there before. */
  async changed(line, ran) {
    if (line.event === 'supervisor') this.supervisors.add(line.pid)
    if (line.event === 'worker') await this.workerChanged(line, ran)
    if (line.event === 'app') await this.appChanged(line)
    if (line.event === 'roll' && line.roll.ok === true && line.roll.running === null) {
      this.tell('reload', await this.rowOf(line), true)
    }
  }

  async workerChanged(line, ran) {
    // A link of the chain looks like a worker until it says that it has workers of its own.
    if (this.supervisors.has(line.pid)) return
    const slot = `${line.app} ${line.slot}`
    if (line.last) this.ends.set(slot, line.last)
    if (line.state === 'ready' && line.was !== 'ready' && !ran.has(line.pid)) {
      this.tell('online', await this.rowOf(line), false)
    }
    if (line.state === 'gone') {
      const row = await this.rowOf(line)
      const end = line.last || this.ends.get(slot) || {}
      const code = end.code === undefined ? null : end.code
      this.tell('exit', { ...row, pm2_env: { ...row.pm2_env, exit_code: code, status: 'stopped' } }, false)
      this.byPid.delete(line.pid)
    }
  }

  async appChanged(line) {
    const row = await this.rowOf(line)
    if (line.state === 'ready' && line.was !== null && line.was !== 'ready' && this.isNew(line)) {
      this.tell(this.served.has(line.app) ? 'restart' : 'start', row, true)
      this.served.add(line.app)
    }
    clearTimeout(this.stops.get(line.app))
    if (line.state === 'stopped' && line.was !== null) {
      this.stops.set(line.app, setTimeout(() => this.tell('stop', row, true), RESTART_MS))
    }
    if (FAILED.includes(line.state) && line.was !== null) this.tell('restart overlimit', row, false)
    if (line.state === 'removed') {
      this.tell('delete', row, true)
      this.served.delete(line.app)
      this.byApp.delete(line.app)
    }
  }

  /** Whether the app was started as a whole, and not one worker of it. */
  isNew(line) {
    return line.was === 'starting' || line.was === 'running'
  }

  /** The row of the worker or app that a line is about, also of one that is gone. */
  async rowOf(line) {
    const find = () => (line.event === 'worker' ? this.byPid.get(line.pid) : this.byApp.get(line.app))
    if (line.state !== 'gone' && line.state !== 'removed') await this.refresh()
    const unknown = { pid: line.pid || 0, name: line.app, pm_id: line.id, pm2_env: { name: line.app, pm_id: line.id } }
    return find() || this.byApp.get(line.app) || unknown
  }

  /** Connects to the app's bus, if there is one and that has not been done. */
  hear(app, directory) {
    if (this.closed || this.apps.has(app)) return
    // Its supervisor was replaced, or has no bus: what is heard of the app next tells.
    const ended = () => this.apps.delete(app)
    const said = (line) => { this.messages = this.messages.then(() => this.said(app, line)).catch((error) => this.failed(error)) }
    this.apps.set(app, messages.connect(directory, said, ended))
  }

  /** A message of an app: an event of its own where it names one, as on PM2's bus. */
  async said(app, line) {
    if (line.message === undefined) return
    if (!this.byPid.has(line.pid)) await this.refresh()
    const row = this.byPid.get(line.pid) || this.byApp.get(app)
    if (this.closed || !row) return
    const process = { pm_id: row.pm_id, name: row.name, namespace: row.pm2_env.namespace, rev: null }
    const { message } = line
    const isNamed = message !== null && typeof message === 'object' && message.type && message.data
    if (isNamed) this.later(String(message.type), { at: Date.now(), data: message.data, process })
    else this.later('process:msg', { at: Date.now(), raw: message, process })
  }

  tell(event, row, manually) {
    if (this.closed) return
    const process = { ...row.pm2_env, pid: row.pid, pm_id: row.pm_id, name: row.name }
    this.later('process:event', { event, manually, process, at: Date.now() })
  }

  /** A line of a log. */
  wrote(line) {
    if (this.closed) return
    const row = [...this.byApp.values()].find((one) => one.name === line.app_name)
    const namespace = row ? row.pm2_env.namespace : 'default'
    const process = { pm_id: line.process_id, name: line.app_name, namespace, rev: null }
    const event = line.type === 'pm' ? 'log:PM2' : `log:${line.type}`
    this.emit(event, { process, data: `${line.message}\n`, at: Date.now() })
  }

  ended() {
    if (!this.closed) this.emit('close')
    this.close()
  }

  close() {
    this.closed = true
    for (const timer of this.stops.values()) clearTimeout(timer)
    for (const socket of this.apps.values()) socket.destroy()
    for (const child of this.children.splice(0)) {
      child.stdout && child.stdout.destroy()
      child.kill()
    }
  }
}

module.exports = { Bus }
