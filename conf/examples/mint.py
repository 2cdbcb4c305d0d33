#!/usr/bin/env python3
# Prints a wsuri that is good for a minute:
#   mint.py SECRET_FILE wss://relay.example.org /sim/42
import base64
import hmac
import json
import sys
import time


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def wsuri(base, path, secret, ttl=60, **claims):
    now = int(time.time())
    parts = {"alg": "HS256"}, {"path": path, "iat": now, "exp": now + ttl, **claims}
    text = b".".join(b64url(json.dumps(part).encode()) for part in parts)
    token = text + b"." + b64url(hmac.digest(secret, text, "sha256"))
    return f"{base}{path}?token={token.decode()}"


secret = open(sys.argv[1], "rb").read().removesuffix(b"\n")
print(wsuri(sys.argv[2], sys.argv[3], secret, perm="rw"))
