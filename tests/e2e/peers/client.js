/*
 * A client: node client.js LIBRARY URL PROTOCOL,PROTOCOL CLOSE [CODE REASON]
 *
 * Sends the messages below, expects each back, then closes with CODE and
 * REASON (CLOSE is "client"), or asks the backend to (CLOSE is "backend").
 * Prints what it saw as one line of JSON.
 */
"use strict";

const [library, url, protocols, who, code, reason] = process.argv.slice(2);
const { WebSocket } = library === "ws" ? { WebSocket: require("ws") }
	: require("undici");
const old = library !== "ws";
/*
 * The undici of Debian 12 (5.15) takes neither empty messages nor fragments
 * over 125 bytes nor, when it has offered two subprotocols, the choice of
 * one, and it sends wrong lengths between 126 bytes and some kilobytes.
 */
const offers = protocols.split(",").slice(old ? 1 : 0);
const ws = new WebSocket(url, offers);
const messages = ["", "text \u{1f30a} æøå", "x".repeat(8000), "x".repeat(70000),
	new Uint8Array(0), new Uint8Array(300000).fill(7),
	new Uint8Array([0, 255, 128])].filter(
	(m) => !old || (m.length > 0 && m.length < 10000));
const seen = { echoed: 0, sent: messages.length };
let next = 0;

ws.binaryType = "arraybuffer";

function same(a, b)
{
	if (typeof a === "string" || typeof b === "string")
		return a === b;
	return Buffer.compare(Buffer.from(a), Buffer.from(b)) === 0;
}

function send()
{
	if (next < messages.length)
		ws.send(messages[next]);
	else if (who === "client")
		ws.close(Number(code), reason);
	else
		ws.send(`close ${code} ${reason}`);
}

ws.addEventListener("open", () => {
	seen.protocol = ws.protocol;
	send();
});
ws.addEventListener("message", (event) => {
	if (!same(event.data, messages[next]))
		seen.wrong = next;
	else
		seen.echoed++;
	next++;
	send();
});
ws.addEventListener("error", (event) => { seen.error = String(event.message); });
ws.addEventListener("close", (event) => {
	seen.code = event.code;
	seen.reason = event.reason;
	seen.clean = event.wasClean;
	process.stdout.write(JSON.stringify(seen) + "\n", () => process.exit(0));
});
