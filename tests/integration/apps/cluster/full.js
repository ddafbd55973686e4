// full.js - a server that has no room for all who come: node full.js PORT MAX
//
// MAX   its maxConnections; 0: it has none
//
// Answers with who it is; /hold never; /files after it has opened files until it cannot; /nearly?MS after it has opened
// nearly as many, and then after so long; /busy?MS after so long; it does nothing else meanwhile.
'use strict';
const fs = require('fs');
const http = require('http');

const [, , port, max] = process.argv;
const files = [];

function openAll() {
	try {
		for (;;)
			files.push(fs.openSync('/dev/null'));
	} catch {
		/* as many as there can be */
	}
}

const server = http.createServer((req, res) => {
	const [path, ms] = req.url.split('?');
	const end = Date.now() + Number(ms);

	res.writeHead(200, { 'X-Worker': String(process.pid) });
	if (path === '/hold') {
		res.write('held\n');
		return;
	}
	if (path === '/files' || path === '/nearly')
		openAll();
	if (path === '/nearly')
		files.splice(-20).forEach((file) => fs.closeSync(file));
	while (ms !== undefined && Date.now() < end)
		;
	res.end(`${process.pid}\n`);
});

if (Number(max) > 0)
	server.maxConnections = Number(max);
server.listen(Number(port), '127.0.0.1');
