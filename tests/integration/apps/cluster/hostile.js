// hostile.js - a worker that means harm: node hostile.js HOW PORT
//
// garbage: writes noise to every socket that it has; lies: says things of node's protocol that are not so; flood: sends
// messages as fast as it can; closes: closes every descriptor but its outputs; forks: starts a process that keeps its
// message channel open, and dies; deaf: reads none of its messages; listens: asks for more sockets than there can be.
'use strict';
const fs = require('fs');
const net = require('net');

const [, , how, port] = process.argv;

function sockets() {
	return fs.readdirSync('/proc/self/fd').map(Number).filter((fd) => {
		try {
			return fd > 2 && fs.readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:');
		} catch {
			return false;
		}
	});
}

function write(text) {
	for (const fd of sockets()) {
		try {
			fs.writeSync(fd, text);
		} catch {
			/* full, or not for writing */
		}
	}
}

function lie(act, more) {
	process.send({ cmd: 'NODE_CLUSTER', act, ...more }, () => {});
}

const noise = Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 7919) & 255));
const ways = {
	garbage: () => setInterval(() => {
		write(noise);
		write('{"cmd":"NODE_\n{"cmd":"NODE_CLUSTER","act":\n[[[[[[[[\n"\\u0000"\n');
	}, 5),
	lies: () => setInterval(() => {
		for (const seq of [1, -1, 1e30, 'x', null, { a: 1 }]) {
			lie('queryServer', { seq, address: 'x'.repeat(300), port: 1e9, addressType: 4 });
			lie('queryServer', { seq, address: null, port: -1, addressType: 'udp9', fd: 3 });
			lie('queryServer', { seq, address: '/etc/x', port: -1, addressType: -1 });
			lie('listening', { seq, address: 1, port: 'x', addressType: 4 });
			lie('close', { seq, key: 'nothing' });
			lie('exitedAfterDisconnect', { seq });
		}
		process.send({ cmd: 'NODE_HANDLE_ACK' });
		process.send({ cmd: 'NODE_HANDLE_NACK' });
		process.send({ cmd: 'NODE_PMD', act: 'draining' });
		process.send({ cmd: 'NODE_HANDLE', type: 'net.Socket' });
	}, 2),
	flood: () => {
		const some = () => {
			for (let i = 0; i < 5000; i++)
				process.send({ number: i, text: 'x'.repeat(100) }, () => {});
			setImmediate(some);
		};

		some();
	},
	closes: () => {
		for (const fd of sockets()) {
			try {
				fs.closeSync(fd);
			} catch {
				/* the one that read the folder */
			}
		}
		setInterval(() => {}, 1000);
	},
	forks: () => {
		const extra = sockets();

		require('child_process').spawn('sleep', ['600'], { detached: true, stdio: ['ignore', 'ignore', 'ignore', ...extra] });
		setTimeout(() => process.exit(3), 100);
	},
	deaf: () => {
		for (;;);
	},
	listens: () => {
		for (let i = 0; i < 400; i++)
			net.createServer().on('error', () => {}).listen(0, '127.0.0.1');
	},
};

const server = net.createServer((socket) => socket.end());

server.on('error', () => {});
server.listen(Number(port), '127.0.0.1', () => setTimeout(ways[how], 200));
