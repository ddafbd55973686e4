// web.js PORT|fd [rr|none] - the smallest server that says who answers; with a policy it is node's own primary of two.
// fd: the socket is descriptor 3. /busy keeps it busy for BUSY_MS before it answers.
'use strict';
const cluster = require('cluster');

const [, , port, policy] = process.argv;
const BUSY_MS = 20;

if (policy !== undefined && (cluster.isPrimary ?? cluster.isMaster)) {
	cluster.schedulingPolicy = policy === 'rr' ? cluster.SCHED_RR : cluster.SCHED_NONE;
	cluster.fork();
	cluster.fork();
} else {
	const headers = { 'X-Worker': String(process.pid), 'Content-Type': 'text/plain' };

	require('http').createServer((request, response) => {
		if (request.url === '/busy') {
			const end = performance.now() + BUSY_MS;

			while (performance.now() < end)
				;
		}
		response.writeHead(200, headers).end('hello\n');
	}).listen(port === 'fd' ? { fd: 3 } : { port: Number(port), host: '127.0.0.1' });
}
