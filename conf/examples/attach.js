/*
 * A simulation that attaches itself: node attach.js WSURI
 *
 * WSURI is wss://viz.example.org/attach/anna/42?token=... It says a line of
 * numbers ten times a second, and takes lines such as "speed 2" from who drives.
 * Whoever watches or not, it goes on; when the connection is lost it attaches
 * again. It needs the package ws: npm install ws, or Debian's node-ws.
 */
'use strict';
const WebSocket = require('ws');

let speed = 1, phase = 0, step = 0;
let ws, heard, pause = 1000;

function simulate() {
	step++;
	phase += speed / 10;
	/* What does not leave is not kept: the next number is newer. */
	if (ws.readyState === WebSocket.OPEN && ws.bufferedAmount < 1 << 20)
		ws.send(`${step} ${Math.sin(phase).toFixed(4)}`);
}

/* It may be anything: people have sent it. */
function steer(text) {
	const [word, value] = text.split(' ');
	if (word === 'speed' && Math.abs(Number(value)) <= 100)
		speed = Number(value);
}

function attach() {
	let forGood = false, told = false;
	ws = new WebSocket(process.argv[2], 'wsrelay.attach.v1');
	ws.on('message', data => {
		heard = Date.now();
		if (told)
			return steer(String(data));
		told = true;		/* where we are, before all else */
		pause = 1000;
		console.log('attached:', String(data));
	});
	ws.on('pong', () => { heard = Date.now(); });
	ws.on('unexpected-response', (request, response) => {
		/* No token like this one attaches there. */
		forGood = [401, 403, 404].includes(response.statusCode);
		console.log('not attached: HTTP', response.statusCode);
		request.destroy();
	});
	ws.on('error', e => console.log('not attached:', e.message));
	ws.on('close', (code, reason) => {
		console.log('not attached:', code, String(reason));
		if (forGood || code === 3003)
			return;		/* the simulation goes on */
		setTimeout(attach, pause * Math.random());
		pause = Math.min(2 * pause, 30000);
	});
	heard = Date.now();
}

/* A relay that has vanished says nothing: it would be waited for all day. */
setInterval(() => {
	if (Date.now() - heard > 60000)
		ws.terminate();
	else if (ws.readyState === WebSocket.OPEN)
		ws.ping();
}, 20000);
attach();
setInterval(simulate, 100);
