// A web server on a port that the system picks; it says which, and what it was asked.
const http = require('http');

const server = http.createServer((request, response) => {
  console.log(`${request.method} ${request.url}`);
  response.end(`hello from process ${process.pid}\n`);
});
server.listen(0, '127.0.0.1', () => {
  console.log(`started: process ${process.pid} serves http://127.0.0.1:${server.address().port}/`);
});
process.on('SIGINT', () => {
  console.log('stopping: no new connections');
  server.close(() => process.exit(0));
});
