// The calls of PM2's module, over the tools of pm. Each takes a callback as its last argument, or gives a promise.

import { EventEmitter } from 'events'

/** `error` is null where there is none. */
export type Callback<T> = (error: Error | null, answer: T) => void

/** What failed, in the words of the tool. */
export class PmError extends Error {
  /** The exit code of the tool; `undefined`: it never ran. */
  code?: number
  stderr?: string
}

/** All that is known of a process, by PM2's names. */
export interface ProcessEnvironment {
  name: string
  pm_id: number
  namespace: string
  status: 'online' | 'stopping' | 'stopped' | 'launching' | 'errored' | 'waiting restart'
  exec_mode: 'fork_mode' | 'cluster_mode'
  instances: number
  restart_time: number
  unstable_restarts: number
  /** Milliseconds of the epoch; `null`: it does not run. */
  pm_uptime: number | null
  created_at: number | null
  exit_code: number | null
  NODE_APP_INSTANCE: number | null
  pm_cwd: string
  pm_exec_path: string
  pm_out_log_path: string
  pm_err_log_path: string
  pm_pid_path: string
  watch: boolean
  [field: string]: unknown
}

/** A worker of an app; of one that does not run, the app. */
export interface ProcessDescription {
  name: string
  /** 0: it does not run. */
  pid: number
  pm_id: number
  pm2_env: ProcessEnvironment
  /** Bytes, and percent of one CPU. */
  monit: { memory: number; cpu: number }
}

/** An app as a config file describes it. */
export interface StartOptions {
  script?: string
  name?: string
  args?: string | string[]
  cwd?: string
  interpreter?: string
  node_args?: string | string[]
  instances?: number | 'max'
  exec_mode?: 'fork' | 'cluster'
  env?: Record<string, string | number | boolean>
  namespace?: string
  max_memory_restart?: number | string
  autorestart?: boolean
  watch?: boolean | string | string[]
  cron_restart?: string | string[]
  wait_ready?: boolean
  kill_timeout?: number
  listen_timeout?: number
  out_file?: string
  error_file?: string
  /** Start another one where one runs already. */
  force?: boolean
  updateEnv?: boolean
  [field: string]: unknown
}

/** For a config file: which of its apps, and with which `env_NAME`. */
export interface FileOptions {
  only?: string | string[]
  env?: string
  updateEnv?: boolean
}

export interface Packet {
  id?: number
  topic: string | boolean
  data: unknown
  type?: string
}

/** `process:event`, `log:out`, `log:err`, `log:PM2`, `process:msg`, and what apps name themselves; `*` stands for any text. */
export interface Bus extends EventEmitter {
  off(event: string, handler?: (...args: any[]) => void): this
}

/** A name, an id, a namespace, a script, `/a pattern/`, or `all`. */
export type Target = string | number

export interface Options {
  /** Where the apps' files are. */
  pm_home?: string
  /** Where scripts are looked for. */
  cwd?: string
  /** Where the tools are; else PM_BIN_DIR, or the PATH. */
  bin_dir?: string
  /** Apps of its own, in a directory of its own, which end with it. */
  independent?: boolean
}

export class custom {
  constructor(options?: Options)
  connect(callback?: Callback<object>): Promise<object>
  /** With `true`, what is started here ends with this process. */
  connect(noDaemonMode: boolean, callback?: Callback<object>): Promise<object>
  disconnect(): void
  start(what: string | StartOptions | StartOptions[] | { apps: StartOptions[] }, callback: Callback<ProcessDescription[]>): void
  start(what: string, options: StartOptions | FileOptions, callback: Callback<ProcessDescription[]>): void
  start(what: string | StartOptions | StartOptions[] | { apps: StartOptions[] }, options?: StartOptions | FileOptions): Promise<ProcessDescription[]>
  restart(target: Target, callback: Callback<ProcessDescription[]>): void
  restart(target: Target, options: { updateEnv?: boolean }, callback: Callback<ProcessDescription[]>): void
  restart(target: Target, options?: { updateEnv?: boolean }): Promise<ProcessDescription[]>
  reload(target: Target, callback: Callback<ProcessDescription[]>): void
  reload(target: Target, options: { updateEnv?: boolean }, callback: Callback<ProcessDescription[]>): void
  reload(target: Target, options?: { updateEnv?: boolean }): Promise<ProcessDescription[]>
  stop(target: Target, callback?: Callback<ProcessDescription[]>): Promise<ProcessDescription[]>
  delete(target: Target, callback?: Callback<ProcessDescription[]>): Promise<ProcessDescription[]>
  scale(target: Target, count: number | string, callback?: Callback<{ success: boolean }>): Promise<{ success: boolean }>
  list(callback?: Callback<ProcessDescription[]>): Promise<ProcessDescription[]>
  describe(target: Target, callback?: Callback<ProcessDescription[]>): Promise<ProcessDescription[]>
  launchBus(callback?: Callback<Bus>): Promise<Bus>
  disconnectBus(): void
  sendDataToProcessId(packet: Packet & { id: number }, callback?: Callback<object>): Promise<object>
  sendDataToProcessId(id: number, packet: Packet, callback?: Callback<object>): Promise<object>
  sendSignalToProcessName(signal: string | number, target: Target, callback?: Callback<ProcessDescription[]>): Promise<ProcessDescription[]>
  sendLineToStdin(target: Target, line: string, callback?: Callback<string>): Promise<string>
  getPID(target?: Target, callback?: Callback<number[]>): Promise<number[]>
  getProcessIdByName(name: string, callback?: Callback<number[]>): Promise<number[]>
  getVersion(callback?: Callback<string>): Promise<string>
  flush(target?: Target, callback?: Callback<ProcessDescription[]>): Promise<ProcessDescription[]>
  reloadLogs(callback?: Callback<object>): Promise<object>
  dump(callback?: Callback<object>): Promise<object>
  resurrect(callback?: Callback<ProcessDescription[]>): Promise<ProcessDescription[]>
  reset(target: Target, callback?: Callback<ProcessDescription[]>): Promise<ProcessDescription[]>
  killDaemon(callback?: Callback<object>): Promise<object>
  ping(callback?: Callback<object>): Promise<object>
}

declare const pm: custom & { custom: typeof custom; PmError: typeof PmError }
export default pm
