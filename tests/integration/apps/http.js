// An HTTP server: PORT (0: any), answers "pid=<pid>"; /exit?3 ends it with that status. Says where it listens.
const http = require('http');
const server = http.createServer((request, response) => {
  if (request.url.startsWith('/exit')) process.exit(Number(request.url.split('?')[1] || 1));
  response.end(`pid=${process.pid}\n`);
});
server.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on ${server.address().port}`);
  if (process.send) process.send('ready');
});
process.on('SIGINT', () => {
  console.log('bye');
  server.close(() => process.exit(0));
  server.closeAllConnections();
});
