// Node's own cluster module with a reload as the textbook has it, for comparison: node node-reload.js WORKERS APP
// At HUP each worker is asked to end once its successor listens.
'use strict'
const cluster = require('cluster')

const GRACE_MS = 8000
const [workers, exec] = process.argv.slice(2)
cluster.setupPrimary({ exec })
for (let i = 0; i < Number(workers); i++) cluster.fork()

const replace = (old) => new Promise((resolve) => {
  cluster.fork().once('listening', () => {
    old.process.kill('SIGTERM')
    const timer = setTimeout(() => old.process.kill('SIGKILL'), GRACE_MS)
    old.once('exit', () => clearTimeout(timer))
    resolve()
  })
})

process.on('SIGHUP', async () => {
  for (const old of Object.values(cluster.workers)) await replace(old)
})
