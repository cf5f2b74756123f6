// Lets a worker leave without losing a request. Loaded into every Node process below pm-cluster by NODE_OPTIONS; does
// something only in the main thread of a cluster worker, and there (but that it answers whether the event loop turns, and
// outlives a TERM for a second) only from the moment it is asked to leave.
//
// Node's own answer to that request closes the listeners and waits for the connections, which keep-alive clients never
// end (up to Node 18), or cuts the idle ones at once (from 19 on), on which a request may be on its way. Here instead:
//   HTTP/1  each response says `Connection: close`, and the connection ends after it; an idle one ends after a linger
//   HTTP/2  GOAWAY with the next requests of a session, or after the linger
//   others  (WebSockets, sockets that the app took over, other protocols) run on; the supervisor's grace ends them
// And before it serves, its connects to a port of the app's own are refused, as if no other worker were there.
// An app that listens for the stop signal gets it once all is done, and must be there then: a worker without servers and
// without a channel would end by itself. It says `pmDrained` and keeps its channel until the signal has come; any other
// says by the end of its channel that it is done. For the app its servers are open until it closes them itself.
//
// Below pm-restart alone it says when the app has been loaded, what its servers were refused, and that they have changed,
// answers where a debugger is, and does nothing else.
//
// Environment, taken out again so that the app's children do not inherit it:
//   PM_PRELOAD    the text that was added to NODE_OPTIONS
//   PM_LINGER_MS  how long an idle connection may linger; a field `linger` (ms) in the message goes before it; without it
//                 (and without the next) there is no drain
//   PM_DRAIN_SIGNAL  set where a launcher (npm, a shell) may start the server, which then has no channel: the server is
//                 asked to leave by this signal, which means nothing by default. Processes above it pass all three on.
//
// The app must never be harmed: whatever fails in here is swallowed, and Node's own behaviour remains. Private parts of
// Node are marked [private] with the majors that were looked at; where one is missing its step is left out.
'use strict'

const DEFAULT_LINGER_MS = 6000
// A connection ends when it was found idle, with no byte in between, at so many looks in a row.
const LOOKS = 4
// How long the last requests of an HTTP/2 session are held to see whether more come: longer than clients take between
// an answer and the next request, too short to be felt.
const GATHER_MS = 25
// TERM may reach every process of a chain at once: the supervisor asks us to leave within this time, or never will.
const SAME_STOP_MS = 1000
// While an app is loaded it is looked at again after this time, and given up after so many looks.
const LOADING_MS = 5
const MOST_LOADING = 1000
// A program with nothing left to do has ended by then: its event loop does not wait for us.
const MOST_ENDING_MS = 50
// What has loaded nothing to serve with is looked at again after this time, then each time after as long as has passed by
// then, for so long in all: the default of the supervisor's ready timeout.
const LATER_MS = 100
const LATEST_MS = 30000
// A connect whose question is not answered by then goes on.
const MOST_ASKING_MS = 1000
const ECONNREFUSED = -111 // connect(2) on Linux
// The modules of Node that something serves with [16..26].
const SERVES = /^NativeModule (_http_server|http2|worker_threads|internal\/cluster\/(primary|master))$/

const major = parseInt(process.versions.node)
const watched = new WeakSet()
const open = new Set() // servers that listen or still have connections
const sockets = new Set() // their connections
const sessions = new Set() // their HTTP/2 sessions
const shut = new Set() // servers that we have closed and the app has not
const quiet = new WeakMap() // socket -> { bytes, looks }: how long it has been idle
let lingerMs = DEFAULT_LINGER_MS
let draining = false
let drainingSince = 0
let closing = false // no server is to listen any more
let awaits = false // the stop signal
let lingering = true
let release = () => {} // lets the channel go, or asks for the stop signal, once no server is open
let served = () => {} // a server listens in this process
let outliveTerm = () => {} // so does a worker's

const safely = (action) => function (...args) {
  try {
    return action.apply(this, args)
  } catch {}
}

// Node's own primary takes no notice of ours. The app may have put its own `send` in the place of Node's since.
const { send } = process

function tellPrimary (fields) {
  if (process.connected) send.call(process, { cmd: 'NODE_CLUSTER', ...fields }, undefined, { swallowErrors: true }, () => {})
}

// The environment of the app's children is what it would be without us.
function leaveEnvironment (env) {
  const { PM_PRELOAD: text, NODE_OPTIONS: options } = env
  delete env.PM_PRELOAD
  delete env.PM_LINGER_MS
  delete env.PM_DRAIN_SIGNAL
  if (!text || options === undefined || !options.includes(text)) return
  const at = options.lastIndexOf(text)
  const rest = options.slice(0, at) + options.slice(at + text.length)
  if (rest.trim()) env.NODE_OPTIONS = rest
  else delete env.NODE_OPTIONS
}

function milliseconds (value) {
  const number = value === undefined || value === '' ? NaN : Number(value)
  return number >= 0 && number < 2 ** 31 ? number : undefined
}

// Bun and Deno have servers of their own, without the parts used here.
const isNode = !process.versions.bun && !process.versions.deno

// Threads run the scripts of --require again, but without a channel [16..26]: which costs less to see than what a thread is.
const isWorker = () => process.connected && isNode && require('cluster').isWorker

const mayServe = () => isNode && require('worker_threads').isMainThread

// ---- Before the drain: which servers and connections there are ----

// Every server (http, https, http2, net, tls) listens through this method.
function watchServers () {
  const { Server } = require('net')
  const original = Server.prototype.listen
  const watchOnce = safely(watch)
  Server.prototype.listen = function listen (...args) {
    watchOnce(this)
    return Reflect.apply(original, this, args)
  }
}

// Never an 'error' listener: the app would not hear of EADDRINUSE.
function watch (server) {
  if (watched.has(server)) return
  watched.add(server)
  server.on('listening', opened)
  server.on('close', closed)
  server.on('connection', keepSocket)
  if (typeof server.setSecureContext === 'function') server.on('secureConnection', keepSocket)
  if (isHttp2(server)) server.on('session', keepSession)
}

const isHttp2 = (server) => typeof server.updateSettings === 'function'
const isHttp = (server) => 'keepAliveTimeout' in server || isHttp2(server)

const opened = safely(function () {
  open.add(this)
  // On a pipe what starts the server may listen (tsx).
  if (typeof this.address() === 'object') served()
  outliveTerm()
  if (closing) shutDown(this)
})

const closed = safely(function () {
  open.delete(this)
  release()
})

const keepSocket = safely((socket) => {
  sockets.add(socket)
  socket.on('close', forgetSocket)
})

function forgetSocket () {
  sockets.delete(this)
}

const keepSession = safely((session) => {
  sessions.add(session)
  session.on('close', forgetSession)
  if (draining) sendOff(session)
})

function forgetSession () {
  sessions.delete(this)
}

// ---- What the supervisor asks: whether the event loop turns (where there is a limit on how long it may stand still), and
// where the debugger is that the app has opened itself (which looks from outside like a thread that serves) ----

// Node gives our messages to nobody but those who listen for internal ones.
function answerQuestions () {
  process.on('internalMessage', safely((message) => {
    if (!message || message.cmd !== 'NODE_CLUSTER') return
    if (message.act === 'pmPing') tellPrimary({ act: 'pmPong' })
    if (message.act === 'pmInspector') tellPrimary({ act: 'pmInspects', port: inspectorPort() })
  }))
}

// Whoever has not loaded the module has opened none with it; to load it takes 2 ms.
const inspectorPort = safely(() => {
  const url = process.moduleLoadList.includes('NativeModule inspector') && require('inspector').url()
  return url ? Number(new URL(url).port) : 0
})

// ---- Whether its port is free ----

// An app may connect to its port to see whether it is free, before it listens (serve, tcp-port-used). Another worker serves
// there, or the supervisor holds it, and says what is to be refused, as it would be without us: until the worker serves.
function answerConnects () {
  const { prototype } = require('net').Socket
  const { connect } = prototype
  const learned = Symbol('pm-cluster.connects')
  // [private: 16..26] Every TCP socket makes one of two calls, in a turn after that of `connect()`, and the first one leads to
  // them. TLS has a handle around its own.
  const learn = safely((handle) => {
    if (!handle || handle.constructor.name !== 'TCP') return
    if (prototype.connect === hook) prototype.connect = connect
    const calls = Object.getPrototypeOf(handle)
    if (calls[learned] || typeof calls.connect6 !== 'function') return
    calls[learned] = true
    for (const name of ['connect', 'connect6']) calls[name] = askingFirst(calls[name])
  })
  function hook (...args) {
    const result = Reflect.apply(connect, this, args)
    learn(this._handle)
    return result
  }
  prototype.connect = hook
  process.on('internalMessage', safely((message) => {
    if (!message || message.cmd !== 'NODE_CLUSTER' || message.act !== 'pmConnect') return
    if (message.over) asksOfConnects = false
    const answered = questions.get(message.number)
    if (answered) answered(message.refused)
  }))
}

// Before the call, as it may take long where many wait; and after it, as somebody may have come to listen in between.
const askingFirst = (call) => function (request, ...to) {
  const go = () => Reflect.apply(call, this, [request, ...to])
  const goAndAsk = () => {
    const { oncomplete } = request
    const complete = (status, ...rest) => {
      const end = (status) => {
        // It may have taken too long for Node.
        if (request.oncomplete === complete) Reflect.apply(oncomplete, request, [status, ...rest])
      }
      if (status || !asks(to, (refused) => end(refused ? ECONNREFUSED : status))) end(status)
    }
    request.oncomplete = complete
    return go()
  }
  const asked = asks(to, (refused) => {
    const status = refused ? ECONNREFUSED : goAndAsk()
    if (status && request.oncomplete) request.oncomplete(status, this, request, false, false)
  })
  return asked ? 0 : go()
}

const questions = new Map() // number -> what the answer is given to
let asksOfConnects = true
let questionsAsked = 0

// Asks whether a connect is refused; false: there is nothing to ask.
const asks = safely(([address, port], action) => {
  if (!asksOfConnects || !process.connected || listensOn(port)) return false
  const number = questionsAsked++
  // With what the app keeps for its chain of calls, and in a turn of its own: what the app throws is the app's.
  const answered = require('async_hooks').AsyncResource.bind((refused) => {
    clearTimeout(late)
    if (questions.delete(number)) process.nextTick(action, refused)
  })
  const late = setTimeout(answered, MOST_ASKING_MS)
  questions.set(number, answered)
  tellPrimary({ act: 'pmConnects', number, address, port })
  return true
})

const listensOn = (port) => Array.from(open).some((server) => {
  const address = server.address()
  return address && address.port === port
})

// ---- The drain ----

// Node's primary asks a worker to leave by an internal message [private: 16..26]. We hear it before Node does.
function awaitDrain () {
  process.prependListener('internalMessage', safely((message) => {
    if (draining || !message || message.cmd !== 'NODE_CLUSTER' || message.act !== 'disconnect') return
    drain(message)
  }))
}

function drain (message) {
  const asked = milliseconds(message.linger)
  if (asked !== undefined) lingerMs = asked
  if (!sendClientsOff()) return
  closing = true
  holdChannel(message)
  // Node closes the servers that it shares with the primary, now; it knows nothing of exclusive ones.
  const listening = Array.from(open).filter((server) => server.listening)
  process.nextTick(safely(() => {
    letAppClose()
    listening.forEach((server) => shut.add(server))
  }))
  setImmediate(safely(closeServers))
}

// Without a channel: what waits in the queue is still accepted, and the stop signal follows once all is done.
function awaitSignal (signal, hasChannel) {
  served = safely(() => {
    served = () => {}
    leaveEnvironment(process.env)
    if (!hasChannel) process.on(signal, safely(sendClientsOff))
  })
}

// False: nothing can be done.
function sendClientsOff () {
  const responses = require('http').ServerResponse.prototype
  // [private: 16..26] Without it no client can be told, and idle connections would linger in vain.
  if (draining || typeof responses._storeHeader !== 'function') return false
  draining = true
  drainingSince = Date.now()
  sayClose(responses)
  for (const server of open) spareIdleConnections(server)
  for (const session of sessions) sendOff(session)
  endIdleConnections()
  return true
}

function closeServers () {
  for (const server of open) if (server.listening) shutDown(server)
}

function shutDown (server) {
  shut.delete(server)
  server.close()
  shut.add(server)
}

// The app's own stop closes its servers: the first time it is told what it would be told if we had not been there, and
// not that there is nothing to close.
function letAppClose () {
  const { prototype } = require('net').Server
  const { close } = prototype
  prototype.close = function (...args) {
    if (!shut.delete(this)) return Reflect.apply(close, this, args)
    const [callback] = args
    if (typeof callback !== 'function') return this
    if (open.has(this)) this.once('close', callback)
    else process.nextTick(() => callback.call(this))
    return this
  }
}

// The channel's end tells the supervisor that all is done, so it waits for all servers. Node calls this method when
// those that it knows are closed.
function holdChannel (message) {
  const original = process.disconnect
  let asked = false
  release = safely(() => {
    if (!asked || open.size > 0 || !process.connected) return
    release = () => {}
    process.disconnect = original
    if (!awaitStop(message)) original.call(process)
  })
  process.disconnect = function disconnect () {
    asked = true
    release()
  }
  // What lasts longer (WebSockets) is for the app to end.
  const within = milliseconds(message.within)
  if (within !== undefined) setTimeout(safely(() => { if (process.connected) awaitStop(message) }), within).unref()
}

// ---- The app's own stop ----

// Asks the supervisor for the stop signal, or for the message that it sends in its stead, if the app listens for it, and
// stays until then, even if the channel ends meanwhile (with a launcher that got the signal first). Later the channel is
// there for what the app has to say, and holds nothing up.
// `leader`: who is not this process may never get the signal.
function awaitStop ({ stop, leader, within }) {
  if (awaits) return true
  if (!stop || (leader !== undefined && leader !== process.pid)) return false
  const event = stop === 'shutdown' ? 'message' : stop
  if (!process.listeners(event).some((listener) => listener !== hearTerm)) return false
  awaits = true
  const stays = setTimeout(() => {}, milliseconds(within) || SAME_STOP_MS)
  const heard = safely((message) => {
    if (event === 'message' && message !== stop) return
    // Before the app's own listeners run: libraries count them.
    process.removeListener(event, heard)
    clearTimeout(stays)
    if (process.channel) process.channel.unref()
    // They have been taken away meanwhile.
    if (event === stop && process.listenerCount(event) === 0) process.kill(process.pid, stop)
  })
  process.prependListener(event, heard)
  tellPrimary({ act: 'pmDrained' })
  return true
}

// ---- TERM from elsewhere ----

// Node would end on the spot, with all that it has in hand, where a service manager signals every process at once
// (systemd's KillMode=control-group). So a worker that serves takes TERM for what the supervisor is about to ask. Without
// a channel it has been asked, and is done. An app that hears TERM itself, now or later, decides by itself.
function takeTermForDrain () {
  outliveTerm = () => {}
  if (process.listenerCount('SIGTERM') > 0) return
  process.on('SIGTERM', hearTerm)
  process.on('newListener', leaveTermToApp)
}

const hearTerm = safely(() => {
  if (!process.connected || open.size === 0) return endByTerm()
  if (!draining) return void setTimeout(safely(() => { if (!draining) endByTerm() }), SAME_STOP_MS)
  // Said again, later: for clients that ask nothing there is no time.
  if (Date.now() - drainingSince < SAME_STOP_MS) return
  lingering = false
  for (const socket of sockets) if (isIdle(socket)) hangUp(socket)
})

// After the app's listener is there: Node gives the signal up with its last listener.
function leaveTermToApp (event, listener) {
  if (event !== 'SIGTERM' || listener === hearTerm) return
  process.removeListener('newListener', leaveTermToApp)
  process.nextTick(safely(() => process.removeListener('SIGTERM', hearTerm)))
}

function endByTerm () {
  process.removeListener('SIGTERM', hearTerm)
  process.kill(process.pid, 'SIGTERM')
}

// ---- HTTP/1: the last response on a connection ----

// Where a response's head becomes text [private: 16..26], whoever wrote its fields and however.
function sayClose (responses) {
  const original = responses._storeHeader
  const close = safely(closeAfter)
  responses._storeHeader = function _storeHeader (...args) {
    const result = Reflect.apply(original, this, args)
    close(this)
    return result
  }
}

// `_last` [private: 16..26]: Node closes the connection after this response. Where Node has set it, the head may still
// not say so (up to 18, if the app has removed the field).
function closeAfter (response) {
  const { req: request } = response
  if (response.statusCode < 200 || (lingering && hasSuccessor(request))) return
  response._header = closingHead(response._header)
  if (response._last) return
  if (!request || request.complete) response._last = true
  else response.once('finish', safely(() => whenComplete(request, () => hangUp(request.socket))))
}

// A pipelining client has sent its next request already: that one's response is the last.
// `parser.incoming` [private: 16..26] is the newest request.
function hasSuccessor (request) {
  const parser = request && request.socket && request.socket.parser
  return Boolean(parser && parser.incoming && parser.incoming !== request)
}

// Keeps the other words of the app's own Connection field, as `Upgrade`.
function closingHead (head) {
  const lines = head.split('\r\n')
  const value = (line) => line.slice(line.indexOf(':') + 1).split(',').map((word) => word.trim())
  const words = lines.filter((line) => /^connection:/i.test(line)).flatMap(value)
  const others = words.filter((word) => word && !/^(keep-alive|close)$/i.test(word))
  const rest = lines.filter((line) => !/^(connection|keep-alive):/i.test(line))
  rest.splice(1, 0, `Connection: ${['close', ...others].join(', ')}`)
  return rest.join('\r\n')
}

// Closing while the body still comes would reset the connection, and the client might never see the response.
function whenComplete (request, action) {
  if (request.complete || request.destroyed) return action()
  let done = false
  const once = safely(() => {
    if (!done) action()
    done = true
  })
  request.once('end', once).once('close', once)
}

// A clean end: what is written goes out before it. `_httpMessage` [private: 16..26] is the response under way.
function hangUp (socket) {
  if (!socket || socket.destroyed || socket._httpMessage) return
  // What TLS is wrapped around, and a few streams of apps, have no destroySoon [undocumented: 16..26].
  if (typeof socket.destroySoon === 'function') socket.destroySoon()
  else socket.end()
}

// ---- HTTP/1: connections without a request ----

// From 19 on Node ends idle connections as it closes a server, with the requests that are on their way on them.
function spareIdleConnections (server) {
  if (typeof server.closeIdleConnections === 'function') server.closeIdleConnections = () => {}
}

function endIdleConnections () {
  for (const socket of sockets) look(socket)
  // What has arrived by now is read before the immediate runs: nothing is closed over an unread request.
  const soon = () => setImmediate(safely(endQuietSockets))
  setInterval(soon, Math.max(1, lingerMs / LOOKS)).unref()
  setTimeout(() => { lingering = false }, lingerMs).unref()
}

function endQuietSockets () {
  for (const socket of sockets) if (look(socket) >= LOOKS) hangUp(socket)
}

// For how many looks a connection has been idle, the first one not counted. A head that is dribbling in starts anew.
function look (socket) {
  if (!isIdle(socket)) {
    quiet.delete(socket)
    return 0
  }
  const { bytesRead: bytes } = socket
  const last = quiet.get(socket)
  const looks = last && last.bytes === bytes ? last.looks + 1 : 0
  quiet.set(socket, { bytes, looks })
  return looks
}

// Nothing to answer on it. A socket has no parser [private: 16..26] once the app has it (upgrade), under HTTP/2, and
// below TLS: there only one that was never used is known to be of no use.
function isIdle (socket) {
  if (socket.destroyed || socket._httpMessage) return false
  if (socket.parser) return !socket.parser.incoming
  return socket.bytesRead === 0 && Boolean(socket.server) && isHttp(socket.server)
}

// ---- HTTP/2 ----

// Node refuses every stream that comes after its GOAWAY (and cannot announce one). So the next requests of the session
// are held for a moment, until no more come: then whoever asks over this session waits for an answer, and nobody has a
// request on its way. The answers go out after the GOAWAY, so that the next requests go elsewhere.
function sendOff (session) {
  const held = []
  const { emit } = session
  const leave = safely(() => {
    if (session.emit === emit) return
    session.emit = emit
    sayGoodbye(session)
    for (const args of held) deliver(session, args)
  })
  const gathered = gatherer(session, held, leave)
  session.emit = function (event, ...args) {
    if (event !== 'stream' || this.emit === emit) return Reflect.apply(emit, this, [event, ...args])
    held.push(args)
    gathered()
    return true
  }
  // From 24 on Node closes all sessions as it closes the server; up to 19 also when the client says goodbye.
  // But a session whose connection has ended must go.
  const alive = safely(() => !session.socket.destroyed)
  session.close = (callback) => {
    if (!alive()) {
      delete session.close
      session.close(callback)
    } else if (typeof callback === 'function') session.once('close', callback)
  }
  setTimeout(leave, lingerMs).unref()
}

// Up to 19, close() destroys the session with its last stream, before the end of that is written. There the client gets
// the GOAWAY alone; close() follows once there are no streams and a ping says that all was read, or after the linger.
// (Not in 16, which never closes a TLS connection whose client went first: some last frames are lost there.)
function sayGoodbye (session) {
  const close = safely(() => {
    delete session.close
    if (!session.destroyed) session.close()
  })
  if (major < 18 || major >= 20) return close()
  if (!session.destroyed) session.goaway()
  const looks = setInterval(safely(() => {
    if (session.destroyed) clearInterval(looks)
    else if (openStreams(session) === 0) session.ping(close)
  }), GATHER_MS).unref()
  setTimeout(close, lingerMs).unref()
}

// [private: 18]
function openStreams (session) {
  const parts = Object.getOwnPropertySymbols(session).map((symbol) => session[symbol])
  const state = parts.find((part) => part && part.streams && part.pendingStreams)
  return state && state.streams.size + state.pendingStreams.size
}

// In a turn of its own: what the app throws is the app's.
function deliver (session, args) {
  const [stream] = args
  setImmediate(() => { if (!stream.destroyed) session.emit('stream', ...args) })
}

// To be called for each request that is held: calls the action when no more come for a moment and the client, asked by
// a ping, has nothing on its way either; or after a few moments. Two pings, one after the other: a client that woke up
// late answers the first before its timers send what is due, but not the second.
function gatherer (session, held, action) {
  let timer, end
  const settle = safely(() => {
    const count = held.length
    const left = end - Date.now()
    if (left <= 0) return action()
    timer = setTimeout(action, left)
    const unless = (next) => safely(() => { if (held.length === count) next() })
    session.ping(unless(() => session.ping(unless(action))))
  })
  return () => {
    end = end || Date.now() + GATHER_MS * 4
    clearTimeout(timer)
    timer = setTimeout(settle, Math.max(0, Math.min(GATHER_MS, end - Date.now())))
  }
}

// A worker that ends without having said so may have ended over this script.
function sayLoaded () {
  tellPrimary({ act: 'pmLoaded' })
}

// ---- What the app has loaded ----

// An app that takes long to load is not up for being alive; and one that has loaded nothing to serve with serves nobody.
// Of net the channel has need, too: there only a server that was made tells something.
function sayBooted () {
  const { prototype } = require('net').Server
  const { on } = prototype
  let made = false
  prototype.on = function (...args) {
    made = true
    return Reflect.apply(on, this, args)
  }
  let looks = 0
  const look = safely(() => {
    const still = isLoading()
    if (still && looks++ < MOST_LOADING) return void setTimeout(look, LOADING_MS).unref()
    delete prototype.on
    const server = made || still || hasLoadedServer()
    // One that is done ends now, and has not shown that it stays up to serve nobody.
    if (server) say(server)
    else setTimeout(sayIdle, MOST_ENDING_MS).unref()
  })
  const say = (server) => tellPrimary({ act: 'pmBooted', server })
  const sayIdle = safely(() => {
    say(false)
    setTimeout(lookAgain, LATER_MS).unref()
  })
  // What serves may be loaded once a secret or a database is there. No event tells of a module.
  let passed = LATER_MS
  const lookAgain = safely(() => {
    if (hasLoadedServer()) return say(true)
    if (passed > LATEST_MS / 2) return
    setTimeout(lookAgain, passed).unref()
    passed *= 2
  })
  setImmediate(look)
}

// Files are read, or a module waits for its imports: its main module is, up to Node 20, as long as Node has this listener
// [private: 16..20]; later ones are loaded in one turn.
const isLoading = () => resources().some((name) => name.startsWith('FSReq')) ||
  process.listeners('exit').some((listener) => listener.name === 'handleProcessExit')

// The modules of Node that it has loaded, and those that serve in its stead: threads, and processes that it has started.
const hasLoadedServer = () => typeof process.getActiveResourcesInfo !== 'function' ||
  resources().includes('ProcessWrap') || process.moduleLoadList.some((name) => SERVES.test(name))

const resources = () => typeof process.getActiveResourcesInfo === 'function' ? process.getActiveResourcesInfo() : []

// ---- What a server was refused ----

// An app may hear that its port is taken and end well over it, or live on (Express 5 hands the error to the callback). It
// is told before the app hears of it, until something listens: the hook is gone where connections come.
function sayRefused () {
  const { prototype } = require('net').Server
  const { emit } = prototype
  const { send } = process
  const hear = safely((server, event, error) => {
    if (event === 'listening' && typeof server.address() === 'object' && prototype.emit === hook) delete prototype.emit
    if (event !== 'error' || error.syscall !== 'listen' || !process.connected) return
    const { code, address, port } = error
    const message = { cmd: 'NODE_CLUSTER', act: 'pmRefused', code, address, port }
    send.call(process, message, undefined, { swallowErrors: true }, () => {})
  })
  function hook (...args) {
    hear(this, ...args)
    return Reflect.apply(emit, this, args)
  }
  prototype.emit = hook
}

// ---- Where it listens ----

// Seen from outside, which costs too much to be done over and over: the supervisor looks again when it is told to.
function sayServers () {
  const { prototype } = require('net').Server
  const { listen, close } = prototype
  const tell = safely(() => tellPrimary({ act: 'pmServers' }))
  const watchOnce = safely((server) => {
    if (!watched.has(server)) watched.add(server.on('listening', tell))
  })
  prototype.listen = function (...args) {
    watchOnce(this)
    return Reflect.apply(listen, this, args)
  }
  prototype.close = function (...args) {
    const result = Reflect.apply(close, this, args)
    tell()
    return result
  }
}

safely(() => {
  const { PM_DRAIN_SIGNAL: signal, PM_LINGER_MS: linger } = process.env
  const ms = milliseconds(linger)
  if (ms !== undefined) lingerMs = ms
  if (!signal) leaveEnvironment(process.env)
  // Twice in the options of a chain within a chain: once is enough.
  const here = Symbol.for('pm-cluster.drain')
  // Below a supervisor of one process nobody asks it to leave.
  const alone = !signal && ms === undefined
  const worker = !alone && isWorker()
  if (process[here] || !(worker || (alone && process.connected) || (signal && mayServe()))) return
  process[here] = true
  if (alone) return void (isNode && (answerQuestions(), sayLoaded(), sayBooted(), sayRefused(), sayServers()))
  watchServers()
  if (signal) awaitSignal(signal, worker)
  if (!worker) return
  outliveTerm = safely(takeTermForDrain)
  awaitDrain()
  answerQuestions()
  answerConnects()
  // Abstract names [20.9..20]: before, they are lost, and all such servers are one; later, they are as they were given.
  if (major === 20) tellPrimary({ act: 'pmPadsNames' })
  sayLoaded()
  sayBooted()
})()
