#!/usr/bin/env node
// Prints a wsuri that is good for a minute:
//   mint.js SECRET_FILE wss://relay.example.org /sim/42
const { createHmac } = require("node:crypto");
const { readFileSync } = require("node:fs");

function wsuri(base, path, secret, ttl = 60, claims = {}) {
	const now = Math.floor(Date.now() / 1000);
	const parts = [{ alg: "HS256" }, { path, iat: now, exp: now + ttl, ...claims }];
	const text = parts.map((part) =>
		Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
	const mac = createHmac("sha256", secret).update(text).digest("base64url");
	return `${base}${path}?token=${text}.${mac}`;
}

const [file, base, path] = process.argv.slice(2);
const bytes = readFileSync(file);
const secret = bytes.at(-1) === 10 ? bytes.subarray(0, -1) : bytes;
console.log(wsuri(base, path, secret, 60, { perm: "rw" }));
