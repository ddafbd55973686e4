/*
 * pmd-share.cjs - lets the Node workers of an app take connections from one common queue.
 *
 * Each worker listens on a socket of its own, and the kernel deals connections out evenly among
 * them. Short ones may then wait behind a busy worker while another is idle. So pmd has a socket
 * for all beside those: a worker that is ready joins it, and while workers say that their
 * connections are brief, new ones go there. Kept connections stay evenly dealt.
 *
 * Who closes what it cannot serve is always free, and would take nearly all of it. So a server that
 * limits its connections does not join, nor does a worker that is about to run out of descriptors.
 * And where connections that come all at once turn out to stay, the first one awake would keep them
 * all: it leaves when it holds many more than it did, and comes back when connections are brief again.
 *
 * Needs libuv 1.45 (node 20): before that a worker takes all that waits as soon as it wakes, busy or
 * not. What it relies on beyond node's documentation, and declines to join without: `_handle` and
 * `_connections` of servers, `onconnection` and the owner symbol of their handles.
 */
'use strict';

const { readdirSync, readFileSync, statSync } = require('fs');

const { performance, setTimeout } = globalThis; /* an app's tests may replace them, and those above */
const { send } = process;

const BACKLOG = 511;
const LOOK_MS = 200;
const SEE_MS = 1000;
/* Two looks must find brief connections in so long (kept ones may all be closed in one), and none in
 * so long means that they are no longer. */
const PATIENCE_MS = 3000;
const STAY = 8; /* so many of which none ends in a look are kept */
/* So many more open connections than when they were found brief, and half of those, of which not even
 * as many have ended in one or two periods, are a crowd. */
const CROWD = 16;
const CROWD_MS = 50;

const listening = new Map(); /* handles of the worker's own sockets, by pmd's name for them */
const joined = new Map();    /* { handle, server } of common sockets, by the same name */
const counted = new Map();   /* servers, by handles of the worker's own sockets */
let isFull = false; /* of descriptors */
let isCrowded = false; /* by connections that have come at once and are still there */
let crowdedAt = 0;
const crowd = { since: 0, gone: 0, goneBefore: 0 }; /* ended by then, and one period before */
let seenAt = 0;     /* when it was seen whether it is */
let acceptedEver = 0;
let accepted = 0; /* since the last look */
let wereOpen = 0; /* then */
let openWhenBrief = 0; /* when they were found brief, or before any came */
let looking = false;
let brief = false;
let briefAt = 0; /* when that was last found to begin */
let foundAt = -PATIENCE_MS;

function say(message) {
	if (process.connected)
		send.call(process, { cmd: 'NODE_PMD', ...message }, undefined, undefined, () => {});
}

function isAble() {
	const [major, minor] = String(process.versions.uv).split('.').map(Number);

	return major > 1 || minor >= 45;
}

/* ---- room ---- */

const most = (function () {
	try {
		return Number(/^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))[1]);
	} catch {
		return Infinity;
	}
})();

/* The part of its descriptors that a worker has in use. Linux says their number since 6.2. */
function fullness() {
	try {
		return (statSync('/proc/self/fd').size || readdirSync('/proc/self/fd').length) / most;
	} catch (error) {
		return error.code === 'EMFILE' || error.code === 'ENFILE' ? 1 : 0;
	}
}

function isLimited(server) {
	return Number.isFinite(server.maxConnections);
}

function seeRoom(now) {
	const wasFull = isFull;
	let part;

	if ((joined.size === 0 && !isFull) || now - seenAt < SEE_MS)
		return;
	seenAt = now;
	part = fullness();
	isFull = part > (wasFull ? 1 / 2 : 7 / 8);
	for (const [name, { server }] of joined)
		if (isFull || isLimited(server)) {
			leaveOne(name);
			say({ act: 'joined', key: name, ok: false });
		}
	if (wasFull && !isFull)
		say({ act: 'able' });
}

/* ---- how long connections last ---- */

function countOpen() {
	let open = 0;

	for (const server of counted.values())
		open += server._connections;
	return open;
}

/* Those that it has already it keeps; what waits in the common sockets is for the others. */
function leaveAsCrowded() {
	const names = [...joined.keys()];

	isCrowded = true;
	crowdedAt = performance.now();
	foundAt = -PATIENCE_MS;
	names.forEach(leaveOne);
	for (const name of names)
		say({ act: 'joined', key: name, ok: false });
	if (brief)
		say({ act: 'brief', on: brief = false });
}

/* Where many clients ask again and again, as many go as come; those that are kept do not. */
function seeCrowd() {
	const open = countOpen();
	const gone = acceptedEver - open;
	const now = performance.now();

	if (now - crowd.since > CROWD_MS) {
		crowd.goneBefore = now - crowd.since > 2 * CROWD_MS ? gone : crowd.gone;
		crowd.gone = gone;
		crowd.since = now;
	}
	if (open - openWhenBrief > Math.max(CROWD + openWhenBrief / 2, gone - crowd.goneBefore))
		leaveAsCrowded();
}

/* By Little's law they last half a second where twice as many end in a second as are there. */
function look() {
	const open = countOpen();
	const ended = wereOpen + accepted - open;
	const now = performance.now();
	const recently = now - foundAt < PATIENCE_MS;
	let is = brief && recently;

	looking = false;
	seeRoom(now);
	if (ended > 0 && ended * 1000 > 2 * LOOK_MS * open) {
		foundAt = now;
		openWhenBrief = open;
		is = recently;
		if (isCrowded && now - crowdedAt > SEE_MS) {
			isCrowded = false;
			say({ act: 'able' });
		}
	} else if (brief && ended === 0 && open >= STAY && now - briefAt > SEE_MS) {
		foundAt = -PATIENCE_MS;
		is = false;
	}
	if (is && !brief)
		briefAt = now;
	if (is !== brief)
		say({ act: 'brief', on: brief = is });
	if (accepted > 0 || brief)
		lookLater();
	accepted = 0;
	wereOpen = open;
}

function lookLater() {
	looking = true;
	setTimeout(look, LOOK_MS).unref();
}

function count(handle, server) {
	const { onconnection } = handle;

	if (counted.has(handle))
		return;
	counted.set(handle, server);
	handle.onconnection = function (error, client) {
		if (!looking) { /* no timer where nothing comes */
			wereOpen = openWhenBrief = countOpen();
			accepted = 0;
			lookLater();
		}
		accepted++;
		acceptedEver++;
		onconnection.call(this, error, client);
		if (this !== handle)
			seeCrowd();
	};
}

/* ---- the common sockets ---- */

function leaveOne(name) {
	const one = joined.get(name);

	joined.delete(name);
	if (one !== undefined)
		one.handle.close();
}

/* Its own socket, from pmd's answer to node. */
function remember(name, handle) {
	const { close } = handle;

	listening.set(name, handle);
	handle.close = function (...args) {
		if (listening.get(name) === handle) {
			listening.delete(name);
			counted.delete(handle);
			leaveOne(name);
		}
		return close.apply(this, args);
	};
}

function join(name, handle) {
	const own = listening.get(name);
	const owner = own && Object.getOwnPropertySymbols(own).find((s) => s.description === 'owner_symbol');
	const server = owner && own[owner];

	if (joined.has(name)) { /* a new supervisor asks again */
		handle.close();
		return true;
	}
	if (!server || server._handle !== own || !Number.isInteger(server._connections) ||
	    typeof own.onconnection !== 'function') {
		handle.close();
		return false;
	}
	isFull = fullness() > 7 / 8;
	count(own, server); /* it looks whether there is room again, too */
	if (isFull || isCrowded || isLimited(server)) {
		handle.close();
		return false;
	}
	handle.onconnection = own.onconnection;
	handle[owner] = server;
	if (handle.listen(BACKLOG) !== 0) {
		handle.close();
		return false;
	}
	handle.unref(); /* whether the worker lives on is its own socket's affair */
	joined.set(name, { handle, server });
	return true;
}

/* ---- what pmd says ---- */

exports.leave = function () {
	[...joined.keys()].forEach(leaveOne);
};

/* mayJoin: the worker does not drain. */
exports.hear = function (message, handle, mayJoin) {
	if (message.cmd === 'NODE_CLUSTER') {
		if (message.ack !== undefined && typeof message.key === 'string' && handle && handle.close)
			remember(message.key, handle);
	} else if (message.act === 'able') {
		if (mayJoin && isAble())
			say({ act: 'able' });
	} else if (message.act === 'join') {
		if (handle && mayJoin)
			say({ act: 'joined', key: message.key, ok: join(message.key, handle) });
		else if (handle)
			handle.close();
	} else if (message.act === 'leave') {
		exports.leave();
	}
};
