// Node runs this to read a config file that is a module. What the file exports goes to stdout behind a mark, as the
// file may print, too; or the reason why it cannot be read.
import { readFileSync, writeSync } from 'fs'
import Module from 'module'
import { dirname } from 'path'
import { pathToFileURL } from 'url'

const [mark, file] = process.argv.slice(1)
const url = pathToFileURL(file).href
const warnings = []
let told = false

// node -e has these for its own text, and every module would see them.
const COMMON_JS = ['module', 'exports', 'require', '__dirname', '__filename']
COMMON_JS.forEach((name) => delete globalThis[name])

function tell(value) {
  told = true
  process.stdout.write('\n' + mark + JSON.stringify(value), () => process.exit(0))
}

const exported = (module) => {
  const main = 'default' in module ? module.default : module
  return main && main.__esModule && main.default ? main.default : main
}

// A file that misses what CommonJS has is written for that, whatever its name or its package says.
function load() {
  return import(url).catch((error) => {
    const [missing] = String(error && error.message).split(' is not defined')
    if (!(error instanceof ReferenceError && COMMON_JS.includes(missing))) throw error
    const module = new Module(file)
    module.filename = file
    module.paths = Module._nodeModulePaths(dirname(file))
    try {
      module._compile(readFileSync(file, 'utf8'), file)
    } catch (other) {
      // It is a module all the same, and what it lacks there is the reason.
      throw other instanceof SyntaxError ? error : other
    }
    return { default: module.exports }
  })
}

// In a line: where, what, and what Node has said besides.
function reason(error) {
  if (error && error.code === 'ERR_UNKNOWN_FILE_EXTENSION' && /ts$/.test(file))
    return `Unknown file extension ".ts": Node ${process.version} reads no TypeScript, 22.18 and later do; or write JavaScript`
  const stack = String((error && error.stack) || '')
  const at = [url, file].map((name) => stack.split(name + ':')[1]).find(Boolean)
  const line = at ? `line ${parseInt(at)}: ` : ''
  const text = String(error).split(/\n(?:Require stack|    at )/)[0]
  return [line + text, ...warnings].join('; ').replace(/\s+/g, ' ')
}

// Warnings are of use only where they explain why it cannot be read.
process.removeAllListeners('warning')
process.on('warning', (warning) => warnings.push(warning.message))
process.on('beforeExit', () => told || tell({ error: 'what it exports is a promise that is not kept' }))
process.on('exit', (code) => told || writeSync(1, '\n' + mark + JSON.stringify({ error: `it exits, with code ${code}` })))
load()
  .then(exported)
  .then((value) => (typeof value === 'function' ? value() : value))
  .then((value) => tell({ value }))
  .catch((error) => setImmediate(() => tell({ error: reason(error) })))
