/*
 * pmd-drain.cjs - preloaded into Node workers: lets one leave without a failed request.
 *
 * When pmd says so, by a message that node hides from the app, every further response of a kept
 * connection says `Connection: close`, no idle connection is cut under a client that may just be
 * asking, and http2 sessions are told to go away. What closes the servers is node's own
 * `disconnect`, which pmd sends next. Until then it only remembers http2 sessions, and passes on what
 * is for pmd-share.cjs. It does nothing in worker threads; processes that the app starts do not even
 * inherit it, unless the app is one that starts node.
 *
 * Runs in node 16 and later. What it relies on beyond node's documentation, and does without where
 * it is missing: `_storeHeader`, `_header` and `_last` of responses.
 */
'use strict';

/* An app must start without it as well. */
const share = (function () {
	try {
		return require('./pmd-share.cjs');
	} catch {
		return { hear() {}, leave() {} };
	}
})();

/* Where pmd starts something else that starts node (npm), it has no channel and says so by a signal;
 * the options are inherited until here. */
const signal = process.env.PMD_DRAIN_SIGNAL;

/* pmd has put this file before the user's own options, and those here: restore them. */
const theirs = process.env.PMD_NODE_OPTIONS;
if (theirs !== undefined) {
	delete process.env.PMD_NODE_OPTIONS;
	if (theirs === '')
		delete process.env.NODE_OPTIONS;
	else
		process.env.NODE_OPTIONS = theirs;
}

/* ---- http/1 ---- */

/* The head of a response as text, made to say that the connection ends with it. */
function closing(head) {
	const found = /\r\nconnection:[ \t]*([^\r]*)/i.exec(head);

	if (found !== null && /\bupgrade\b/i.test(found[1]))
		return null; /* no longer http: a websocket */
	return head.replace(/\r\n(connection|keep-alive):[^\r]*/gi, '')
		.replace(/\r\n\r\n$/, '\r\nConnection: close\r\n\r\n');
}

function closeAfterResponses({ ServerResponse }) {
	const store = ServerResponse.prototype._storeHeader;

	if (typeof store !== 'function')
		return;
	ServerResponse.prototype._storeHeader = function _storeHeader(...args) {
		const result = store.apply(this, args);
		const head = typeof this._header === 'string' && this.statusCode >= 200
			? closing(this._header) : null;

		if (head !== null) {
			this._header = head;
			this.shouldKeepAlive = false;
			this._last = true;
		}
		return result;
	};
}

/* Node 19 and later close idle connections with the server. These end behind their next response,
 * or at the server's keepAliveTimeout. */
function keepIdle(...modules) {
	for (const { Server } of modules)
		if (typeof Server.prototype.closeIdleConnections === 'function')
			Server.prototype.closeIdleConnections = function closeIdleConnections() {};
}

/* The app's own server.close() comes after ours: to it that is no error, but waits for the same. */
function closeTwice({ Server }) {
	const close = Server.prototype.close;
	const closed = new WeakSet();

	Server.prototype.close = function (callback, ...rest) {
		const again = closed.has(this);

		closed.add(this);
		if (!again || typeof callback !== 'function')
			return close.call(this, callback, ...rest);
		return close.call(this, function (error, ...more) {
			const ours = error && error.code === 'ERR_SERVER_NOT_RUNNING';

			return callback.call(this, ours ? undefined : error, ...more);
		}, ...rest);
	};
}

/* ---- http2 ---- */

let draining = false;
const sessions = new Set();

function remember(session) {
	sessions.add(session);
	session.once('close', () => sessions.delete(session));
	if (draining) /* one that waited in the queue: it has something to ask */
		session.once('stream', () => session.close());
}

/* Sessions are known to their servers alone, and servers to nobody: be there when one listens. */
function watchServers({ Server }) {
	const listen = Server.prototype.listen;

	Server.prototype.listen = function (...args) {
		const isHttp2 = typeof this.updateSettings === 'function';

		if (isHttp2 && !this.listeners('session').includes(remember))
			this.on('session', remember);
		return listen.apply(this, args);
	};
}

/* ---- the word ---- */

function drain() {
	const http = require('http');

	draining = true;
	share.leave();
	closeAfterResponses(http);
	closeTwice(require('net'));
	keepIdle(http, ...(process.versions.openssl ? [require('https')] : []));
	/* GOAWAY with the last stream that was seen: what a client has sent behind it, it may send again
	 * elsewhere. Node 24 and later do this with server.close(). To announce it first (RFC 9113, 6.8)
	 * is no use: behind any GOAWAY that node can send, it ignores new streams. */
	sessions.forEach((session) => session.close());
}

function onInternalMessage(message, handle) {
	if (message === null || typeof message !== 'object')
		return;
	try {
		if (message.cmd !== 'NODE_PMD' || message.act !== 'drain') {
			share.hear(message, handle, !draining);
			return;
		}
		if (!draining)
			drain();
		process.send({ cmd: 'NODE_PMD', act: 'draining' }, undefined, undefined, () => {});
	} catch {
		/* An app that changes node itself: it leaves as if this file were not there. */
	}
}

function onSignal() {
	try {
		if (!draining)
			drain();
	} catch {
		/* As above. */
	}
}

if ((signal || process.channel) && require('worker_threads').isMainThread) {
	watchServers(require('net'));
	if (signal)
		process.on(signal, onSignal);
	else
		process.on('internalMessage', onInternalMessage);
}
