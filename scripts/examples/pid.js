// Answers with the pid of the worker that took the request.
const http = require('http')

http.createServer((req, res) => res.end(`${process.pid}\n`)).listen(process.env.PORT || 3000)
