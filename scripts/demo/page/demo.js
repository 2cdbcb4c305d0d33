/*
 * demo.js: draws what sim.py says, and says what the hand does.
 *
 *   sim.py -> wsrelayd -> WsRelay -> hear() -> newest state -> draw()
 *   pointer, keys, buttons -> say() -> WsRelay -> wsrelayd -> sim.py
 *
 * The gatekeeper's panel is at the end; it opens WebSockets by itself, to
 * show what the relay answers to a wsuri that is not good.
 */
'use strict';
const $ = id => document.getElementById(id);
const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
const shape = (name, attributes, parent) => {
	const e = document.createElementNS('http://www.w3.org/2000/svg', name);
	for (const [key, value] of Object.entries(attributes))
		e.setAttribute(key, value);
	return parent.appendChild(e);
};

/* --- the picture --------------------------------------------------------- */

let plan = null;	// what "hello" said
let state = null;	// the newest state; older ones are never drawn
let patches = [];	// one path per mesh of the finer net, and its colour

function build(hello) {
	plan = hello;
	state = null;
	plan.fineCols = 2 * plan.cols - 1;
	plan.fineRows = 2 * plan.rows - 1;
	patches = [];
	$('cloth').replaceChildren();
	$('rod').replaceChildren();
	for (let row = 0; row + 1 < plan.fineRows; row++)
		for (let col = 0; col + 1 < plan.fineCols; col++)
			patches.push({
				at: 3 * (row * plan.fineCols + col),
				hue: 184 + 142 * col / plan.fineCols - 16 * row / plan.fineRows,
				path: shape('path', {}, $('cloth')),
			});
	shape('rect', { x: 150, y: plan.rod - 25, width: 700, height: 10, rx: 5 }, $('rod'));
	for (const cx of [150, 850])
		shape('circle', { class: 'knob', cx, cy: plan.rod - 20, r: 12 }, $('rod'));
	plan.rings = plan.pins.map(body => ({ body,
		ring: shape('ellipse', { class: 'ring', rx: 6, ry: 15 }, $('rod')) }));
	$('rod').removeAttribute('hidden');
}

/*
 * A net with a body between each two: threads bend, they have no corners.
 * Between b and c lies (-a + 9b + 9c - d) / 16, as on a Catmull-Rom spline.
 */
function refine(p) {
	const { cols, rows, fineCols, fineRows } = plan;
	const fine = new Float32Array(3 * fineCols * fineRows);
	const between = (from, step, n, to, gap) => {
		for (let i = 0; i < n; i++)
			for (let k = 0; k < 3; k++) {
				const at = j => from.net[from.at + Math.min(Math.max(j, 0), n - 1) * step + k];
				fine[to + 2 * i * gap + k] = at(i);
				if (i + 1 < n)
					fine[to + (2 * i + 1) * gap + k] =
						(9 * (at(i) + at(i + 1)) - at(i - 1) - at(i + 2)) / 16;
			}
	};
	for (let row = 0; row < rows; row++)
		between({ net: p, at: 3 * row * cols }, 3, cols, 6 * row * fineCols, 3);
	for (let col = 0; col < fineCols; col++) {
		/* Read every other row before the ones between are written. */
		const net = Array.from({ length: 3 * rows }, (_, i) =>
			fine[6 * Math.floor(i / 3) * fineCols + 3 * col + i % 3]);
		between({ net, at: 0 }, 3, rows, 3 * col, 3 * fineCols);
	}
	return fine;
}

/* Light from the upper left, in front; folds turn away from it. */
const LIGHT = [-0.42, -0.38, 0.82];

function lightness(p, a, right, down) {
	const ux = p[right] - p[a], uy = p[right + 1] - p[a + 1], uz = p[right + 2] - p[a + 2];
	const vx = p[down] - p[a], vy = p[down + 1] - p[a + 1], vz = p[down + 2] - p[a + 2];
	const nx = uy * vz - uz * vy, ny = uz * vx - ux * vz, nz = ux * vy - uy * vx;
	const dot = (nx * LIGHT[0] + ny * LIGHT[1] + nz * LIGHT[2]) /
		(Math.hypot(nx, ny, nz) || 1);
	/* The cloth's back is lit as well, only less. */
	return dot > 0 ? dot : -0.55 * dot;
}

function drawCloth() {
	const p = refine(state.p), down = 3 * plan.fineCols;
	const point = i => `${Math.round(p[i]) / 10} ${Math.round(p[i + 1]) / 10}`;
	for (const { at: a, hue, path } of patches) {
		const b = a + 3, c = a + down, d = c + 3;
		const light = (lightness(p, a, b, c) + lightness(p, d, c, b)) / 2;
		path.setAttribute('d', `M${point(a)}L${point(b)}L${point(d)}L${point(c)}z`);
		path.setAttribute('color', `hsl(${hue} ${64 + 14 * light}% ${22 + 46 * light ** 1.25}%)`);
	}
}

function draw() {
	requestAnimationFrame(draw);
	if (!plan || !state || state.drawn)
		return;
	state.drawn = true;
	drawCloth();
	for (const { body, ring } of plan.rings) {
		ring.setAttribute('cx', state.p[3 * body] / 10);
		ring.setAttribute('cy', state.p[3 * body + 1] / 10 - 14);
	}
	drawWind();
	$('time').textContent = state.time.toFixed(1);
	$('stretch').textContent = (100 * state.stretch).toFixed(1);
}

/* Streaks, so that one sees what the slider does: decoration only. */
const streaks = calm ? [] : Array.from({ length: 9 }, (_, i) => ({
	y: 90 + 54 * i, speed: 0.55 + (i * 37 % 10) / 14, start: i * 0.618,
	path: shape('path', {}, $('wind')),
}));

function drawWind() {
	for (const { y, speed, start, path } of streaks) {
		const turn = (state.time * speed * 0.35 * Math.max(state.wind, 0.05) + start) % 1;
		const x = -180 + 1320 * turn;
		path.setAttribute('d', `M${x} ${y}q45 -14 90 0t90 0`);
		path.style.opacity = 0.9 * Math.sin(Math.PI * turn) * Math.min(1, state.wind);
	}
}

/* --- the hand ------------------------------------------------------------ */

const hand = { held: -1, x: 500, y: 320, keyboard: false };

function nearestBody(x, y) {
	let best = -1, distance = 90 ** 2;
	for (let i = 0; state && i < state.p.length / 3; i++) {
		const d = (state.p[3 * i] / 10 - x) ** 2 + (state.p[3 * i + 1] / 10 - y) ** 2;
		if (d < distance)
			[best, distance] = [i, d];
	}
	return best;
}

function grab() {
	hand.held = nearestBody(hand.x, hand.y);
	$('picture').classList.toggle('holding', hand.held >= 0);
	pull();
}

function pull() {
	if (hand.held >= 0)
		say({ do: 'drag', i: hand.held, x: Math.round(hand.x), y: Math.round(hand.y) });
}

function release() {
	if (hand.held < 0)
		return;
	hand.held = -1;
	$('picture').classList.remove('holding');
	say({ do: 'release' });
	placeHand();
}

function placeHand() {
	$('hand').toggleAttribute('hidden', !hand.keyboard);
	$('hand').classList.toggle('holding', hand.held >= 0);
	$('hand').setAttribute('cx', hand.x);
	$('hand').setAttribute('cy', hand.y);
}

function toPicture(event) {
	const m = $('picture').getScreenCTM().inverse();
	const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(m);
	[hand.x, hand.y] = [at.x, at.y];
}

$('picture').addEventListener('pointerdown', event => {
	hand.keyboard = false;
	placeHand();
	toPicture(event);
	grab();
	event.currentTarget.setPointerCapture(event.pointerId);
});
$('picture').addEventListener('pointermove', event => {
	if (hand.held < 0 || hand.keyboard)
		return;
	toPicture(event);
	pull();
});
for (const name of ['pointerup', 'pointercancel', 'lostpointercapture'])
	$('picture').addEventListener(name, release);

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
$('picture').addEventListener('keydown', event => {
	const arrow = ARROWS[event.key];
	if (!arrow && event.key !== ' ' && event.key !== 'Escape')
		return;
	event.preventDefault();
	hand.keyboard = true;
	if (arrow) {
		const step = event.shiftKey ? 60 : 20;
		hand.x = Math.min(Math.max(hand.x + step * arrow[0], 0), 1000);
		hand.y = Math.min(Math.max(hand.y + step * arrow[1], 0), 640);
		pull();
	} else if (!event.repeat) {
		if (hand.held < 0 && event.key === ' ')
			grab();
		else
			release();
	}
	placeHand();
});
$('picture').addEventListener('blur', () => {
	release();
	hand.keyboard = false;
	placeHand();
});

/* --- buttons ------------------------------------------------------------- */

function showPause(paused) {
	$('pause').setAttribute('aria-pressed', paused);
	$('pause').querySelector('span').textContent = paused ? 'Go on' : 'Pause';
}
$('pause').addEventListener('click', () => say({ do: 'pause', on: !state?.paused }));
$('reset').addEventListener('click', () => say({ do: 'reset' }));
const blow = () => say({ do: 'wind', v: Number($('breeze').value) });
$('breeze').addEventListener('input', blow);

/* --- messages and numbers ------------------------------------------------ */

const count = { messages: 0, bytes: 0, since: performance.now() };
let trips = [];

const HEAR = {
	hello(message) {
		build(message);
		/* A new process knows nothing of what the slider says. */
		if ($('breeze').value !== '1')
			blow();
	},
	s(message) {
		if (state?.paused !== message.paused)
			showPause(message.paused);
		state = message;
	},
	pong(message) {
		trips = [...trips, performance.now() - message.at].slice(-60);
		const last = trips.slice(-5).sort((a, b) => a - b);
		$('rtt').textContent = last[last.length >> 1].toFixed(1);
		drawTrips();
	},
};

function hear(event) {
	const message = JSON.parse(event.data);
	count.messages++;
	count.bytes += event.data.length;
	HEAR[message.t]?.(message);
}

function say(message) {
	relay.send(JSON.stringify(message));
}

function drawTrips() {
	const [area, line] = $('spark').children;
	/* Right-aligned; an outlier must not flatten all the others for long. */
	const most = Math.max(2, ...trips) * 1.15;
	const points = trips.map((ms, i) =>
		`${240 - 4.07 * (trips.length - 1 - i)} ${42 - 40 * ms / most}`);
	line.setAttribute('d', 'M' + points.join('L'));
	area.setAttribute('d', `M${240 - 4.07 * (trips.length - 1)} 44L${points.join('L')}L240 44z`);
}

setInterval(() => {
	const now = performance.now(), seconds = (now - count.since) / 1000;
	const open = $('status').dataset.state === 'open';
	$('rate').textContent = open ? (count.messages / seconds).toFixed(0) : '–';
	$('bytes').textContent = open ? (count.bytes / seconds / 1000).toFixed(0) : '–';
	Object.assign(count, { messages: 0, bytes: 0, since: now });
}, 1000);
setInterval(() => say({ do: 'ping', at: Math.round(10 * performance.now()) / 10 }), 500);

/* --- the connection ------------------------------------------------------ */

let wakes = 0;	// when the next try comes

function sentence(text) {
	return text ? text[0].toUpperCase() + text.slice(1) : '';
}

function onstatus(text, { state: now, word, code, retryInMs }) {
	const live = now === 'open';
	$('status').dataset.state = now;
	/* While it tries again and again, the words stay the reason's. */
	if (now !== 'connecting' || wakes === 0)
		$('status-text').textContent = live ? 'Connected' : sentence(text);
	document.body.classList.toggle('live', live);
	for (const id of ['pause', 'reset', 'breeze'])
		$(id).disabled = !live;
	wakes = live ? 0 : retryInMs === undefined ? wakes : performance.now() + retryInMs;
	if (now === 'waiting' || now === 'ended')
		lower(text, now === 'ended', word, code);
	showWait();
}

function lower(text, ended, word, code) {
	release();
	trips = [];
	for (const path of $('spark').children)
		path.removeAttribute('d');
	$('rtt').textContent = '–';
	$('veil-title').textContent = sentence(text);
	$('veil-text').textContent = [[word, code || ''].filter(Boolean).join(' '),
		ended ? '' : 'this page tries again by itself'].filter(Boolean).join(' · ');
	$('veil').hidden = false;
	$('again').hidden = !ended;
	if (ended)
		wakes = 0;
}

function showWait() {
	const waiting = $('status').dataset.state === 'waiting';
	const seconds = Math.max(0, Math.ceil((wakes - performance.now()) / 1000));
	$('status-wait').textContent = !waiting ? '' :
		seconds > 0 ? `again in ${seconds} s` : 'trying again';
}
setInterval(showWait, 250);

/* A refused socket opens for a moment, too: the first message is the proof. */
function onmessage(event) {
	$('veil').hidden = true;
	hear(event);
}

let relay;
function connect() {
	relay = new WsRelay('wsuri.json', { onmessage, onstatus });
}
$('again').addEventListener('click', connect);
connect();
requestAnimationFrame(draw);

/* --- the gatekeeper ------------------------------------------------------ */

const gate = { wsuri: null, claims: {}, got: 0, busy: null };
const MARGIN = 3;	// s: the key's leeway, and a second for rounding

async function mint() {
	$('verdicts').replaceChildren();
	clearTimeout(gate.busy);
	try {
		gate.wsuri = (await (await fetch('wsuri.json', { cache: 'no-store' })).json()).wsuri;
		const [, payload] = new URL(gate.wsuri).searchParams.get('token').split('.');
		gate.claims = JSON.parse(atob(payload.replace(/-/g, '+').replace(/_/g, '/')));
		gate.got = performance.now();
		showUri(gate.wsuri);
	} catch {
		$('uri').textContent = 'The relay gives no wsuri just now.';
		gate.wsuri = null;
	}
	for (const button of document.querySelectorAll('[data-try]'))
		button.disabled = !gate.wsuri;
	showLife();
}

/* Counted from when it came: this machine's clock may be another one. */
function secondsLeft() {
	const lived = (performance.now() - gate.got) / 1000;
	return gate.claims.exp - (gate.claims.iat ?? Date.now() / 1000 - lived) - lived;
}

function showLife() {
	const left = Math.ceil(secondsLeft());
	$('life').textContent = !gate.wsuri ? '' : left > 0 ?
		`Good for ${left} s more,` : `Its time ended ${-left} s ago;`;
}
setInterval(() => $('gate').open && showLife(), 500);

/* The wsuri in words; what differs from the good one is marked. */
function showUri(wsuri, from = 0, to = 0) {
	const token = wsuri.indexOf('?token=') + 7;
	const part = (tag, a, b) => {
		const e = document.createElement(tag);
		e.textContent = wsuri.slice(a, b);
		return e;
	};
	const parts = from < token ?
		[part('span', 0, from), part('mark', from, to), part('span', to, token), part('em', token)] :
		[part('span', 0, token), part('em', token, from), part('mark', from, to), part('em', to)];
	$('uri').replaceChildren(...parts);
	$('uri').scrollTop = from ? $('uri').querySelector('mark').offsetTop - 60 : 0;
}

const TRIES = {
	same: () => [gate.wsuri],
	late: () => [gate.wsuri],
	path() {
		const at = gate.wsuri.indexOf('/sim/') + 5;
		const end = gate.wsuri.indexOf('?');
		const other = `${gate.wsuri.slice(0, at)}other${gate.wsuri.slice(end)}`;
		return [other, at, at + 5];
	},
	char() {
		/* In the signature, and not its last one, whose spare bits are 0. */
		const first = gate.wsuri.lastIndexOf('.') + 1;
		const at = first + Math.floor(Math.random() * (gate.wsuri.length - first - 1));
		const other = gate.wsuri[at] === 'A' ? 'B' : 'A';
		return [gate.wsuri.slice(0, at) + other + gate.wsuri.slice(at + 1), at, at + 1];
	},
};

function verdict(label) {
	const item = document.createElement('li');
	item.append(document.createElement('b'), document.createElement('code'));
	item.firstChild.textContent = label;
	$('verdicts').prepend(item);
	while ($('verdicts').children.length > 4)
		$('verdicts').lastChild.remove();
	return (kind, text, code) => {
		item.className = kind;
		item.firstChild.textContent = text;
		item.lastChild.textContent = code;
		item.scrollIntoView({ block: 'nearest' });	// it may be below the fold
	};
}

function attempt(label, wsuri) {
	const tell = verdict(`${label}: knocking …`);
	const ws = new WebSocket(wsuri);
	let inside = false;
	ws.onmessage = () => {	// only an open gate lets a message through
		inside = true;
		tell('opened', 'Let in.', `${label} · the simulation answers`);
		ws.close(1000);
	};
	ws.onclose = event => {
		if (inside)
			return;
		const { word, text } = WsRelay.explain(event.code, event.reason);
		tell('refused', `Refused: ${text}.`, `${label} · ${event.code} ${word}`);
	};
}

function tryLate(label) {
	const wait = secondsLeft() + MARGIN, wsuri = gate.wsuri;
	if (wait <= 0)
		return attempt(label, wsuri);
	const tell = verdict(`Waits ${Math.ceil(wait)} s, until its time is over …`);
	clearTimeout(gate.busy);
	gate.busy = setTimeout(() => {
		tell('', 'Its time is over now.', '');
		attempt(label, wsuri);
	}, 1000 * wait);
}

for (const button of document.querySelectorAll('[data-try]'))
	button.addEventListener('click', () => {
		const label = button.textContent;
		const [wsuri, from, to] = TRIES[button.dataset.try]();
		showUri(wsuri, from, to);
		if (button.dataset.try === 'late')
			tryLate(label);
		else
			attempt(label, wsuri);
	});
$('mint').addEventListener('click', mint);
mint();	// with the page, so that it is old soon
