/*
 * wsrelay.js: keeps a page connected through wsrelayd. MIT licence.
 *
 *   const relay = new WsRelay('wsuri.json', { onmessage, onstatus });
 *   relay.send('text');	// false when not connected: nothing is queued
 *   relay.close();		// for good
 *
 * wsuri.json is a templated page, {"wsuri": "wss://..."}: see wsrelayd.ini(5).
 * { wsuri: 'ws://...' } in its place is used as it is, for tests.
 * onstatus(text, { state, word, code, retryInMs }): connecting, open, waiting
 * (for retryInMs) or ended. A refused socket is open for a moment, too.
 */
(() => {
/* What a page should do, by word or by code: the table in wsrelayd(8). */
const NEVER = 'never', TOKEN = 'token', LATER = 'later';
const ACTIONS = { __proto__: null, 1002: NEVER, 1003: NEVER, 1007: NEVER, 1008: NEVER,
	1009: NEVER, 3000: TOKEN, 3003: NEVER, 'backend-forbidden': NEVER };
const TEXT = { 1000: 'the backend closed', 1001: 'the relay went away',
	1011: 'the backend failed', 1013: 'the relay is full' };
const DEFAULTS = {
	protocols: [],			// subprotocols to offer
	binaryType: 'blob',
	base: 500, cap: 30000,		// ms: the first and the longest wait
	settle: 5000,			// ms open that forgive earlier failures
	tokens: 3,			// fresh tokens to try in a row
	healthz: '/healthz',		// on the relay's host
	onopen() {}, onmessage() {}, onclose() {}, onstatus() {},
};

globalThis.WsRelay = class WsRelay {
	socket = null;			// while there is one
	info = {};			// what wsuri.json says
	#failures = 0;
	#tokens = 0;
	#timer;
	#ended = false;

	constructor(source, options = {}) {
		this.options = { ...DEFAULTS, ...options };
		this.source = source;
		this.#connect();
	}

	send(data) {
		const open = this.socket?.readyState === WebSocket.OPEN;
		if (open)
			this.socket.send(data);
		return open;
	}

	close(code = 1000, reason = '') {
		this.#next(NEVER, { text: 'closed by this page', word: 'client-close', code });
		this.socket?.close(code, reason);
	}

	static action(code, word) {
		return ACTIONS[word] ?? ACTIONS[code] ?? LATER;
	}

	/* "token-expired: the token's time is over" -> its word, its text. */
	static explain(code, reason) {
		const [, word, said] = /^([a-z][a-z0-9-]*)(?::\s*(.*))?$/s.exec(reason) ?? ['', '', reason];
		const text = /^backend-exit:\d/.test(reason) ? `the program ended with status ${said}` : said;
		return { word, code, text: text || word || TEXT[code] || `close code ${code}` };
	}

	async #connect() {
		this.#status('connecting', { text: 'connecting' });
		try {
			this.wsuri = this.source.wsuri ?? await this.#fetchWsuri();
			if (this.#ended)
				return;
			this.socket = new WebSocket(this.wsuri, this.options.protocols);
		} catch (e) {			// what #fetchWsuri throws, or no wsuri
			const { message: text, word = 'no-wsuri', action = LATER } = e;
			return this.#next(action, { text, word });
		}
		let opened = false;
		this.socket.binaryType = this.options.binaryType;
		this.socket.onopen = event => {
			opened = true;
			this.#timer = setTimeout(() => { this.#failures = this.#tokens = 0; },
				this.options.settle);
			this.#status('open', { text: 'connected' });
			this.options.onopen(event);
		};
		this.socket.onmessage = event => this.options.onmessage(event);
		this.socket.onclose = event => this.#closed(event, opened);
	}

	/* Before each connect: a token lives for seconds, or for one use. */
	async #fetchWsuri() {
		const r = await fetch(WsRelay.#invited(this.source), { cache: 'no-store' }).catch(() => {
			throw { message: 'the relay is down', word: 'relay-down' };
		});
		const later = r.status >= 500 || r.status === 408 || r.status === 429;
		if (!r.ok)
			throw { message: `no wsuri: HTTP ${r.status}`, action: later ? LATER : NEVER };
		this.info = await r.json();
		if (!/^(wss?:|\/)/.test(this.info.wsuri))
			throw { message: 'no wsuri: does its page say "template = yes"?', action: NEVER };
		return new URL(this.info.wsuri, location.href.replace(/^http/, 'ws')).href;
	}

	/* Who has opened this page by an invitation shows it for the wsuri, too. */
	static #invited(source) {
		const url = new URL(source, document.baseURI);
		const invitation = new URLSearchParams(location.search).get('token');
		if (invitation && url.origin === location.origin && !url.searchParams.has('token'))
			url.searchParams.set('token', invitation);
		return url;
	}

	async #closed(event, opened) {
		clearTimeout(this.#timer);
		this.socket = null;
		this.options.onclose(event);
		const why = WsRelay.explain(event.code, event.reason);
		if (event.code === 1006 && !this.#ended)
			[why.word, why.text] = await this.#diagnose(opened);
		this.#next(WsRelay.action(why.code, why.word), why);
	}

	/* 1006 says nothing: is the relay down, or is a proxy in the way? */
	async #diagnose(opened) {
		const url = new URL(this.options.healthz, this.wsuri.replace(/^ws/, 'http'));
		const own = url.origin === location.origin; // others: any answer will do
		const up = await fetch(url, { cache: 'no-store', mode: own ? 'same-origin' :
			'no-cors', signal: AbortSignal.timeout(5000) })
			.then(async r => !own || (r.ok && (await r.text()).trim() === 'ok'))
			.catch(() => false);
		if (!up)
			return ['relay-down', 'the relay is down'];
		return opened ? ['connection-lost', 'the connection broke'] :
			['upgrade-blocked', 'the relay answers, but a proxy blocks upgrades'];
	}

	#next(action, why) {
		if (this.#ended)
			return;
		const { base, cap, tokens } = this.options;
		if (action === TOKEN && (this.source.wsuri || ++this.#tokens > tokens))
			action = NEVER;
		clearTimeout(this.#timer);
		this.#ended = action === NEVER;
		if (this.#ended)
			return this.#status('ended', why);
		/* Full jitter: a thousand pages must not come back at once. */
		const retryInMs = Math.random() * Math.min(cap, base * 2 ** this.#failures++);
		this.#timer = setTimeout(() => this.#connect(), retryInMs);
		this.#status('waiting', { ...why, retryInMs });
	}

	#status(state, { text, word = '', code = 0, retryInMs }) {
		this.options.onstatus(text, { state, word, code, retryInMs });
	}
};
})();
