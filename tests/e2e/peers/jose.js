/*
 * A signer: node jose.js ALG
 *
 * Makes a key pair; prints the public key as PEM, as a JWK, and one token for
 * /sim/1 with the kid "node", as one line of JSON.
 */
"use strict";

const jose = require("jose");

async function main()
{
	const alg = process.argv[2];
	const { publicKey, privateKey } = await jose.generateKeyPair(alg);
	const token = await new jose.SignJWT({ path: "/sim/1", sub: "node" })
		.setProtectedHeader({ alg, typ: "JWT", kid: "node" })
		.setIssuedAt().setExpirationTime("1m").sign(privateKey);

	console.log(JSON.stringify({
		pem: await jose.exportSPKI(publicKey),
		jwk: { ...await jose.exportJWK(publicKey), kid: "node", alg },
		token,
	}));
}

main();
