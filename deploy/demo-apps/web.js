// A web server on a port that the system picks; it says which.
const http = require('http');

const server = http.createServer((request, response) => {
  response.end(`hello from process ${process.pid}\n`);
});
server.listen(0, '127.0.0.1', () => {
  console.log(`started: process ${process.pid} serves http://127.0.0.1:${server.address().port}/`);
});
