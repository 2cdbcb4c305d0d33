/*
 * A WebSocket backend on ws: echoes each message, reports everything.
 * "close CODE REASON" as text makes it close.
 */
"use strict";

const { WebSocketServer } = require("ws");

const say = (value) => process.stdout.write(JSON.stringify(value) + "\n");
const server = new WebSocketServer({
	port: 0, host: "127.0.0.1", maxPayload: 64 << 20,
	handleProtocols: (offers) => offers.has("two") ? "two" : false,
});

server.on("listening", () => say({ port: server.address().port }));
server.on("connection", (ws) => {
	ws.on("message", (data, binary) => {
		const text = binary ? "" : data.toString();
		const close = text.match(/^close (\d+) (.*)$/);

		if (close)
			ws.close(Number(close[1]), close[2]);
		else
			ws.send(data, { binary });
	});
	ws.on("close", (code, reason) =>
		say({ closed: code, reason: reason.toString() }));
});
