// web.js - a server that knows nothing of pmd: node web.js MODE WHERE
//
// MODE  naive: handles no signal; graceful: closes its server on SIGINT; quits: exits at once on SIGINT; ready: as
//       graceful, and says so when it is ready; proxy: as naive, and insists on keep-alive in each response; stays: as
//       naive, and has more to do than to serve
// WHERE [http:|https:|http2:|http2s:|net:|udp:][HOST:]PORT or a path; https takes KEY and CERT from the environment
//
// Answers with who it is; /slow?MS after so long; /busy?MS the same, and does nothing else meanwhile; /stream?MS in two
// halves so far apart; /env with what a process that it starts inherits.
'use strict';
const fs = require('fs');

const [, , mode = 'naive', where = '0'] = process.argv;
const [, kind = 'http', host, port] = /^(?:(\w+):)?(?:([\d.]+|\[.*\]):)?(.*)$/.exec(where);
const version = process.env.RELEASE || '';

function answer(req, res) {
	const [path, ms] = req.url.split('?');
	const headers = { 'X-Worker': String(process.pid), 'X-Release': version, 'Content-Type': 'text/plain' };

	if (mode === 'proxy')
		headers.Connection = 'keep-alive';
	if (path === '/slow') {
		setTimeout(() => res.writeHead(200, headers).end('slow\n'), Number(ms));
	} else if (path === '/busy') {
		const end = Date.now() + Number(ms);

		while (Date.now() < end)
			;
		res.writeHead(200, headers).end('busy\n');
	} else if (path === '/stream') {
		res.writeHead(200, headers).write('first\n');
		setTimeout(() => res.end('second\n'), Number(ms));
	} else if (path === '/env') {
		const run = require('child_process').execFile;

		run(process.execPath, ['-p', 'JSON.stringify(process.env)'], (_, out) => res.writeHead(200, headers).end(out));
	} else {
		res.writeHead(200, headers).end(`${process.pid} ${version}\n`);
	}
}

function secrets() {
	return { key: fs.readFileSync(process.env.KEY), cert: fs.readFileSync(process.env.CERT) };
}

const make = {
	http: () => require('http').createServer(answer),
	https: () => require('https').createServer(secrets(), answer),
	http2: () => require('http2').createServer(answer),
	http2s: () => require('http2').createSecureServer({ ...secrets(), allowHTTP1: true }, answer),
	net: () => require('net').createServer((socket) => {
		socket.on('error', () => {});
		socket.on('data', (data) => socket.write(`${process.pid} ${data}`));
	}),
	udp: () => {
		const socket = require('dgram').createSocket('udp4');

		return socket.on('message', (_, from) => socket.send(String(process.pid), from.port, from.address));
	},
};

const server = make[kind]();
const say = () => mode === 'ready' && process.send && setTimeout(() => process.send('ready'), 50);

if (kind === 'udp')
	server.bind(Number(port), host, say);
else if (/^\d+$/.test(port))
	server.listen(Number(port), host && host.replace(/[[\]]/g, ''), say);
else
	server.listen(port, say);

if (mode === 'graceful' || mode === 'ready')
	process.on('SIGINT', () => server.close((error) => process.exit(error ? 1 : 0)));
if (mode === 'stays')
	setInterval(() => {}, 1000);
if (mode === 'quits')
	process.on('SIGINT', () => process.exit(0));
