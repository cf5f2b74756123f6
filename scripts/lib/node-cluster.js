// Node's own cluster module, for comparison: node node-cluster.js WORKERS rr|shared APP
'use strict'
const cluster = require('cluster')

const [workers, policy, exec] = process.argv.slice(2)
cluster.schedulingPolicy = policy === 'rr' ? cluster.SCHED_RR : cluster.SCHED_NONE
cluster.setupPrimary({ exec })
for (let i = 0; i < Number(workers); i++) cluster.fork()
cluster.on('exit', () => cluster.fork())
