// Answers as pid.js does, and shuts down as the textbook has it.
const http = require('http')

const server = http.createServer((req, res) => res.end(`${process.pid}\n`)).listen(process.env.PORT || 3000)
process.on('SIGTERM', () => server.close(() => process.exit()))
