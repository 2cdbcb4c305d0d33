// A broadcast server as one writes it with the package ws: what a client of
// /pub sends goes to every client of /sub whose id is the same.
//
//   node broadcast.js PORT
'use strict';

const { WebSocketServer } = require('ws');

const channels = new Map();

function channel(url) {
	if (!channels.has(url.search))
		channels.set(url.search, new Set());
	return channels.get(url.search);
}

new WebSocketServer({
	host: '127.0.0.1',
	port: Number(process.argv[2]),
	backlog: 4096,
	perMessageDeflate: false,
}).on('connection', (socket, request) => {
	const url = new URL(request.url, 'ws://localhost');
	const subscribers = channel(url);

	socket.on('error', () => {});
	if (url.pathname === '/pub') {
		socket.on('message', (data, binary) => {
			for (const each of subscribers)
				each.send(data, { binary });
		});
		socket.on('close', () => channels.delete(url.search));
	} else {
		subscribers.add(socket);
		socket.on('close', () => subscribers.delete(socket));
	}
});
