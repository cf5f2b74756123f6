// The app of the cases: writes down what it sees (`seen-SLOT.json`), what it is told (`told`), and lives on unless it is told
// to end: `--exit CODE`. With `--serve` it listens on PORT, with `--ready` it says so to whoever started it.
const fs = require('fs')
const path = require('path')

const place = process.env.PROBE_DIR
const told = (text) => fs.appendFileSync(path.join(place, 'told'), `${text}\n`)
const args = process.argv.slice(2)
const has = (option) => args.includes(option)

for (const signal of ['SIGINT', 'SIGTERM', 'SIGUSR2', 'SIGHUP']) {
  process.on(signal, () => {
    told(signal)
    if (signal !== 'SIGUSR2' && !has('--deaf')) process.exit(0)
  })
}
process.on('message', (message) => {
  if (message !== 'shutdown') return
  told('shutdown')
  process.exit(0)
})
const seen = {
  args,
  execArgv: process.execArgv.filter((arg) => !arg.includes('ProcessContainer')),
  cwd: process.cwd(),
  uid: process.getuid(),
  gid: process.getgid(),
  script: path.basename(process.argv[1]),
  env: process.env,
  sourceMaps: Boolean(process.sourceMapsEnabled),
}
const slot = process.env.NODE_APP_INSTANCE || process.env.MY_INSTANCE || '0'
fs.writeFileSync(path.join(place, `seen-${slot}.json`), JSON.stringify(seen))
told('start')
console.log('out line')
console.error('err line')
const exit = args.indexOf('--exit')
if (exit >= 0) setTimeout(() => process.exit(Number(args[exit + 1])), 50)
else if (has('--serve')) require('http').createServer((request, response) => response.end('x')).listen(Number(process.env.PORT))
if (has('--ready')) setTimeout(() => process.send && process.send('ready'), 300)
setInterval(() => {}, 1000)
