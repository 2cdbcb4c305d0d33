"""Who signs tokens with a private key: an identity provider, say.

    web = Signer("ES256")
    (dir / "web.pem").write_text(web.pem)       # what the relay gets
    (dir / "keys.json").write_text(jwks(web.jwk("one"), ...))
    token = web.token("/sim/1", kid="one", sub="alice")

Keys, tokens and JWKs are made by other people's code: cryptography, PyJWT.
"""
import base64
import json
import time

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value, size=0):
    size = size or (value.bit_length() + 7) // 8
    return b64(value.to_bytes(size, "big"))


class Signer:
    def __init__(self, algorithm="ES256", bits=2048, curve=None):
        self.algorithm = algorithm
        self.key = rsa.generate_private_key(65537, bits) \
            if algorithm.startswith("RS") else \
            ec.generate_private_key(curve or ec.SECP256R1())

    @property
    def pem(self):
        """The public key."""
        return self.key.public_key().public_bytes(
            serialization.Encoding.PEM,
            serialization.PublicFormat.SubjectPublicKeyInfo).decode()

    @property
    def private_pem(self):
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption()).decode()

    def jwk(self, kid=None, **more):
        """The public key as a JWK; more with None leaves a member out."""
        public = self.key.public_key().public_numbers()
        if isinstance(self.key, rsa.RSAPrivateKey):
            found = {"kty": "RSA", "n": number(public.n),
                     "e": number(public.e)}
        else:
            size = (self.key.key_size + 7) // 8
            found = {"kty": "EC", "crv": f"P-{self.key.key_size}",
                     "x": number(public.x, size), "y": number(public.y, size)}
        found.update({"kid": kid, "use": "sig", "alg": self.algorithm}, **more)
        return {k: v for k, v in found.items() if v is not None}

    def token(self, path="/sim/1", kid=None, ttl=60, header=None, drop=(),
              **claims):
        now = time.time() - 0.0005
        body = {"exp": int(now) + ttl, "iat": now, "path": path, **claims}
        body = {k: v for k, v in body.items()
                if k not in drop and v is not None}
        headers = {"kid": kid, **(header or {})}
        return jwt.encode(body, self.key, self.algorithm, headers={
            k: v for k, v in headers.items() if v is not None})


def jwks(*keys):
    return json.dumps({"keys": list(keys)})
