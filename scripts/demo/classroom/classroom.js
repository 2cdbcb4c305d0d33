/*
 * classroom.js: one pond, seen by many pages, steered by one.
 *
 *   pond.py -> wsrelayd (a hub) -> WsRelay -> hear() -> newest picture -> draw()
 *   pointer, keys, slider -> say() -> WsRelay -> wsrelayd: the driver's? -> pond.py
 *
 * A picture is binary: a head of 32 bytes and the heights of the water. Texts
 * are JSON: who this page is, and who is in the room. The switch opens the
 * same hub through scripts/demo/line.py.
 */
'use strict';
const $ = id => document.getElementById(id);

/* --- the picture --------------------------------------------------------- */

const HEAD = 32;
const FINE = 3;			// drawn cells per cell
let picture = null;		// the newest; older ones are never drawn

function readPicture(buffer) {
	const v = new DataView(buffer);
	const cols = v.getUint16(4, true), rows = v.getUint16(6, true);
	return {
		n: v.getUint32(0, true), cols, rows, at: v.getFloat64(8, true),
		hand: { x: v.getInt16(16, true) / 10, y: v.getInt16(18, true) / 10,
			down: v.getUint8(20) === 1 },
		rain: v.getUint8(21) / 100,
		boat: { turn: v.getInt16(22, true) / 100, x: v.getInt16(24, true) / 10,
			y: v.getInt16(26, true) / 10 },
		/* Every browser's machine is little-endian, as the heights are. */
		heights: new Int16Array(buffer, HEAD, cols * rows),
	};
}

/*
 * From a to b in a row or column of n: FINE points per cell, on a
 * Catmull-Rom spline, so that waves have no corners.
 */
const WEIGHTS = Array.from({ length: FINE }, (_, k) => {
	const t = k / FINE, t2 = t * t, t3 = t2 * t;
	return [(-t3 + 2 * t2 - t) / 2, (3 * t3 - 5 * t2 + 2) / 2,
		(-3 * t3 + 4 * t2 + t) / 2, (t3 - t2) / 2];
});

function refine(from, at, step, n, to, out, gap) {
	for (let i = 0; i < n; i++) {
		const b = from[at + i * step];
		const a = i > 0 ? from[at + (i - 1) * step] : b;
		const c = i + 1 < n ? from[at + (i + 1) * step] : b;
		const d = i + 2 < n ? from[at + (i + 2) * step] : c;
		for (let k = 0; k < FINE; k++, out += gap) {
			const w = WEIGHTS[k];
			to[out] = w[0] * a + w[1] * b + w[2] * c + w[3] * d;
		}
	}
}

/* Water by its slope towards the light: 1024 colours between a few. */
const WATERS = {
	light: [[0, 20, 78, 108], [.36, 44, 128, 156], [.5, 84, 165, 188], [.6, 126, 197, 212],
		[.76, 200, 235, 240], [1, 255, 255, 255]],
	dark: [[0, 2, 14, 28], [.36, 5, 40, 64], [.5, 10, 62, 88], [.6, 22, 98, 122],
		[.76, 98, 190, 204], [1, 240, 255, 255]],
};
const SHADES = 1024;

function shades(stops) {
	const found = new Uint32Array(SHADES);
	for (let i = 0, s = 0; i < SHADES; i++) {
		const t = i / (SHADES - 1);
		while (t > stops[s + 1][0])
			s++;
		const [from, ...a] = stops[s], [to, ...b] = stops[s + 1];
		const part = (t - from) / (to - from);
		const [red, green, blue] = a.map((x, k) => Math.round(x + (b[k] - x) * part));
		found[i] = 0xff000000 | blue << 16 | green << 8 | red;
	}
	return found;
}

const darkness = matchMedia('(prefers-color-scheme: dark)');
let palette;
function choosePalette() {
	palette = shades(WATERS[darkness.matches ? 'dark' : 'light']);
	if (picture)
		picture.drawn = false;
}
darkness.addEventListener('change', choosePalette);
choosePalette();

const canvas = $('water'), ink = canvas.getContext('2d', { alpha: false });
let sheet = null;

function prepare({ cols, rows }) {
	[canvas.width, canvas.height] = [FINE * cols, FINE * rows];
	$('over').setAttribute('viewBox', `0 0 ${cols} ${rows}`);
	const image = ink.createImageData(canvas.width, canvas.height);
	sheet = { cols, rows, image, dots: new Uint32Array(image.data.buffer),
		wide: new Float32Array(canvas.width * rows),
		fine: new Float32Array(canvas.width * canvas.height) };
}

function drawWater() {
	const { cols, rows, heights } = picture, w = FINE * cols, h = FINE * rows;
	if (sheet?.cols !== cols || sheet.rows !== rows)
		prepare(picture);
	const { dots, wide, fine } = sheet;
	for (let row = 0; row < rows; row++)
		refine(heights, row * cols, 1, cols, wide, row * w, 1);
	for (let col = 0; col < w; col++)
		refine(wide, col, w, rows, fine, col, w);
	for (let y = 0, i = 0; y < h; y++) {
		const down = y + 1 < h ? w : 0, deep = 40 * (y / h - .5);
		for (let x = 0; x < w; x++, i++) {
			const slope = fine[i] - fine[i + 1] + 1.4 * (fine[i] - fine[i + down]);
			const shade = SHADES / 2 - deep + 7 * slope + .12 * fine[i];
			dots[i] = palette[shade < 0 ? 0 : shade >= SHADES ? SHADES - 1 : shade | 0];
		}
		dots[i - 1] = dots[i - 2];	// its right neighbour is another row's
	}
	ink.putImageData(sheet.image, 0, 0);
}

function draw() {
	requestAnimationFrame(draw);
	if (!picture || picture.drawn)
		return;
	picture.drawn = true;
	drawWater();
	const { boat, hand } = picture;
	$('boat').removeAttribute('hidden');
	$('boat').setAttribute('transform',
		`translate(${boat.x} ${boat.y}) rotate(${boat.turn * 180 / Math.PI})`);
	/* The keyboard's hand is seen by its owner before it presses, too. */
	const own = mine.keyboard && drives();
	const at = hand.down ? hand : mine;
	$('hand').toggleAttribute('hidden', !hand.down && !own);
	$('hand').setAttribute('transform', `translate(${at.x} ${at.y})`);
	/* Near the upper edge the name stands below. */
	$('hand').lastElementChild.setAttribute('y', at.y < 12 ? 9.5 : -6.2);
}

/* --- the room ------------------------------------------------------------ */

let you = null;			// { id, name, may }
let room = null;		// { driver, driver_id, watch, seats }

function drives() {
	return you !== null && room?.driver_id === you.id;
}

function partOf() {
	if (drives())
		return 'You drive: draw on the water, or use arrow keys and space.';
	const who = room.driver ? `${room.driver} drives.` : 'Nobody drives.';
	if (!you?.may)
		return `${who} You watch.`;
	const waiting = room.seats.filter(seat => seat.may && seat.id !== room.driver_id);
	const before = waiting.findIndex(seat => seat.id === you.id);
	return before === 0 ? `${who} You are next.` :
		before > 0 ? `${who} You are number ${before + 1} in line.` : `${who} You watch.`;
}

function showSeat(seat) {
	const li = document.createElement('li'), small = document.createElement('small');
	const own = seat.id === you?.id;
	const part = seat.id === room.driver_id ? 'drives' : seat.may ? 'waits' : 'watches';
	const note = { drives: ['drives', 'you drive'], waits: ['', 'you'],
		watches: ['only watches', 'you only watch'] }[part][Number(own)];
	li.className = part;
	li.textContent = seat.name;
	small.textContent = note && ` · ${note}`;
	li.append(small);
	return li;
}

function showRoom() {
	if (!room)
		return;
	const members = room.watch + (room.driver ? 1 : 0), hidden = members - room.seats.length;
	const seats = room.seats.map(showSeat);
	if (hidden > 0)
		seats.push(Object.assign(document.createElement('li'), { textContent: `and ${hidden} more` }));
	$('seats').replaceChildren(...seats);
	$('driver').textContent = room.driver ?? 'nobody';
	$('watch').textContent = room.watch;
	$('hand').lastElementChild.textContent = room.driver ?? '';
	document.body.classList.toggle('drives', drives());
	$('calm').disabled = $('rain').disabled = !drives();
	$('over-to').hidden = !drives() || !room.seats.some(seat => seat.may && seat.id !== you.id);
	if ($('part').textContent !== partOf())
		$('part').textContent = partOf();	// said once by those who read aloud
	if (!drives())
		mine.down = mine.keyboard = false;
}

/* --- the hand ------------------------------------------------------------ */

const mine = { x: 80, y: 50, down: false, keyboard: false, told: null };

function say(message) {
	relay.send(JSON.stringify(message));
}

function press() {
	const at = { do: 'press', x: Math.round(10 * mine.x) / 10, y: Math.round(10 * mine.y) / 10 };
	const text = JSON.stringify(at);
	if (text !== mine.told)
		relay.send(text);
	mine.told = text;
}

function lift() {
	if (!mine.down)
		return;
	mine.down = false;
	mine.told = null;
	say({ do: 'lift' });
}

function toPond(event) {
	const box = canvas.getBoundingClientRect();
	mine.x = (event.clientX - box.left) / box.width * (sheet?.cols ?? 160);
	mine.y = (event.clientY - box.top) / box.height * (sheet?.rows ?? 100);
}

canvas.addEventListener('pointerdown', event => {
	if (!drives())
		return;
	mine.keyboard = false;
	mine.down = true;
	toPond(event);
	press();
	canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener('pointermove', event => {
	if (!mine.down || mine.keyboard)
		return;
	toPond(event);
	press();
});
for (const name of ['pointerup', 'pointercancel', 'lostpointercapture', 'blur'])
	canvas.addEventListener(name, lift);

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
canvas.addEventListener('keydown', event => {
	const arrow = ARROWS[event.key];
	if (!drives() || (!arrow && event.key !== ' '))
		return;
	event.preventDefault();
	mine.keyboard = true;
	if (arrow) {
		const step = event.shiftKey ? 9 : 3;
		mine.x = Math.min(Math.max(mine.x + step * arrow[0], 0), 159);
		mine.y = Math.min(Math.max(mine.y + step * arrow[1], 0), 99);
	} else {
		mine.down = true;
	}
	if (mine.down)
		press();
});
canvas.addEventListener('keyup', event => event.key === ' ' && lift());

$('calm').addEventListener('click', () => say({ do: 'calm' }));
$('rain').addEventListener('input', () => say({ do: 'rain', v: Number($('rain').value) }));
/* Who leaves and comes again is the last in line. */
$('over-to').addEventListener('click', () => connect());

/* --- numbers ------------------------------------------------------------- */

const HZ = 30;			// pictures that the simulation sends
const stats = { rate: 0, age: 0, skipped: 0 };
let count, ages, last, best = Infinity;

function forget() {
	count = { pictures: 0, bytes: 0, since: performance.now(), ages: [] };
	ages = [];
	last = 0;
	Object.assign(stats, { rate: 0, age: 0, skipped: 0 });
}

/* Clocks of two machines differ; then the quickest picture counts as new. */
function ageOf(stamp) {
	const age = Date.now() - stamp;
	best = Math.min(best, age);
	return Math.max(0, best < -2 || best > 2000 ? age - best : age);
}

function countPicture(bytes) {
	count.pictures++;
	count.bytes += bytes;
	count.ages.push(ageOf(picture.at));
	/* The relay leaves none out without need; a new program begins at 1. */
	if (last > 0 && picture.n > last + 1)
		stats.skipped += picture.n - last - 1;
	last = picture.n;
}

function drawAges() {
	const [area, line] = $('spark').children;
	const most = Math.max(100, ...ages) * 1.15, left = 240 - 4.07 * (ages.length - 1);
	const points = ages.map((ms, i) => `${left + 4.07 * i} ${42 - 40 * ms / most}`);
	line.setAttribute('d', 'M' + points.join('L'));
	area.setAttribute('d', `M${left} 44L${points.join('L')}L240 44z`);
}

setInterval(() => {
	const now = performance.now(), seconds = (now - count.since) / 1000;
	if ($('status').dataset.state !== 'open' || seconds < .3 || count.pictures === 0)
		return;
	const sorted = count.ages.sort((a, b) => a - b);
	stats.rate = count.pictures / seconds;
	stats.age = sorted[sorted.length >> 1];
	ages = [...ages, stats.age].slice(-60);
	drawAges();
	$('rate').textContent = stats.rate.toFixed(0);
	$('bytes').textContent = (count.bytes / seconds / 1000).toFixed(0);
	$('age').textContent = stats.age.toFixed(0);
	$('skipped').textContent = stats.skipped;
	$('in-order').textContent = (stats.age / 1000 + stats.skipped / HZ).toFixed(1);
	count = { pictures: 0, bytes: 0, since: now, ages: [] };
}, 1000);

/* --- messages and the connection ----------------------------------------- */

const HEAR = {
	you(message) {
		you = message;
		showRoom();
	},
	class(message) {
		room = message;
		showRoom();
	},
};

function hear({ data }) {
	$('veil').hidden = true;
	if (typeof data === 'string') {
		const message = JSON.parse(data);
		HEAR[message.t]?.(message);
		return;
	}
	picture = readPicture(data);
	countPicture(data.byteLength);
	if (!drives() || document.activeElement !== $('rain'))
		$('rain').value = picture.rain;
}

let wakes = 0;			// when the next try comes

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
	wakes = live ? 0 : retryInMs === undefined ? wakes : performance.now() + retryInMs;
	if (live)
		forget();
	if (now === 'waiting' || now === 'ended')
		lower(text, now === 'ended', word, code);
	showWait();
}

/* Nothing on the page is to look as if it still were so. */
function emptyRoom() {
	you = room = null;
	mine.down = mine.keyboard = false;
	document.body.classList.remove('drives');
	$('seats').replaceChildren();
	for (const id of ['driver', 'watch', 'age', 'rate', 'bytes', 'skipped', 'in-order'])
		$(id).textContent = '–';
	for (const path of $('spark').children)
		path.removeAttribute('d');
	$('calm').disabled = $('rain').disabled = $('over-to').hidden = true;
	$('part').textContent = '…';
}

function lower(text, ended, word, code) {
	emptyRoom();
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

let relay, thin = false, turn = 0;

/* Anew: what an earlier connection still says is nobody's business. */
function connect() {
	const own = ++turn;
	relay?.close();
	emptyRoom();
	forget();
	wakes = 0;
	relay = new WsRelay(thin ? 'thin/wsuri.json' : 'wsuri.json', {
		binaryType: 'arraybuffer',
		onmessage: event => own === turn && hear(event),
		onstatus: (...told) => own === turn && onstatus(...told),
	});
}

const THIN = {
	false: 'Off: this page gets every picture, 30 in a second.',
	true: 'On: this page came in anew, through a small program that lets 250 kB ' +
		'a second through, as a weak Wi-Fi would. Of what does not fit, the relay keeps ' +
		'the newest picture for this page and skips the others. Were all to wait their ' +
		'turn, pictures would be as old as it says under “Without skips”.',
};

function showThin() {
	$('thin').setAttribute('aria-checked', thin);
	$('thin-text').textContent = THIN[thin];
	$('way-line').hidden = !thin;
}
$('thin').addEventListener('click', () => {
	thin = !thin;
	showThin();
	connect();
});
$('again').addEventListener('click', connect);
forget();
showThin();
connect();
requestAnimationFrame(draw);
