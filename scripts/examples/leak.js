// Leaks LEAK megabytes a second (20 unless told), and answers with its pid all the same.
const http = require('http')

const leak = Number(process.env.LEAK || 20)
const kept = []
setInterval(() => kept.push(Buffer.alloc(leak * 1024 * 1024 / 10, 1)), 100)

http.createServer((req, res) => res.end(`${process.pid}\n`)).listen(process.env.PORT || 3000)
