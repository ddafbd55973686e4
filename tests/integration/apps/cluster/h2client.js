// h2client.js - constant load over http2: node h2client.js URL SESSIONS; ends at SIGTERM with its account as JSON.
//
// Does what a correct client does: it asks on a session until that is told to go away, and then on a new one. A request
// that the server says it has not seen may be asked again; every other one without a whole answer has failed.
'use strict';
const http2 = require('http2');

const [, , url, sessions] = process.argv;
const account = { ok: 0, failures: 0, goaways: 0, first_failures: [], workers: {} };
let ending = false;
let left = Number(sessions);

function fail(why) {
	account.failures++;
	if (account.first_failures.length < 20)
		account.first_failures.push(why);
}

function ended() {
	if (--left === 0) {
		console.log(JSON.stringify(account));
		process.exit(0);
	}
}

function open() {
	if (ending)
		return ended();
	const session = http2.connect(url, { rejectUnauthorized: false });
	let asking = false;
	let lastStream = Infinity;
	let failed = null;

	const ask = () => {
		if (ending)
			return session.close();
		if (session.closed || session.destroyed)
			return;
		const stream = session.request({ ':path': '/' });
		let status = 0;
		let worker = '';
		let done = false;

		asking = true;
		stream.on('response', (headers) => {
			status = headers[':status'];
			worker = headers['x-worker'];
		});
		stream.on('error', (error) => { failed = error.code; });
		stream.on('data', () => {});
		stream.on('end', () => { done = status === 200; });
		stream.on('close', () => {
			const refused = stream.rstCode === http2.constants.NGHTTP2_REFUSED_STREAM || stream.id > lastStream;

			asking = false;
			if (done) {
				account.ok++;
				account.workers[worker] = (account.workers[worker] || 0) + 1;
			} else if (!refused) {
				fail(`stream ${stream.id} status ${status} rst ${stream.rstCode} ${failed}`);
			}
			setImmediate(ask);
		});
	};

	session.on('connect', ask);
	session.on('goaway', (code, last) => {
		account.goaways++;
		lastStream = last;
	});
	session.on('error', (error) => {
		failed = error.code;
		if (!asking && lastStream === Infinity)
			fail(`session ${error.code}`);
	});
	session.on('close', () => setTimeout(open, failed === null ? 0 : 10));
}

process.on('SIGTERM', () => { ending = true; });
process.on('SIGUSR1', () => console.log(JSON.stringify(account)));
for (let i = 0; i < left; i++)
	open();
console.log('ready');
