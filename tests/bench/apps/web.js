// web.js PORT [rr|none] - the smallest server that says who answers; with a policy it is node's own primary of two.
'use strict';
const cluster = require('cluster');

const [, , port, policy] = process.argv;

if (policy !== undefined && (cluster.isPrimary ?? cluster.isMaster)) {
	cluster.schedulingPolicy = policy === 'rr' ? cluster.SCHED_RR : cluster.SCHED_NONE;
	cluster.fork();
	cluster.fork();
} else {
	const headers = { 'X-Worker': String(process.pid), 'Content-Type': 'text/plain' };

	require('http').createServer((_, response) => response.writeHead(200, headers).end('hello\n'))
		.listen(Number(port), '127.0.0.1');
}
