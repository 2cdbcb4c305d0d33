#!/bin/sh
# Prints a wsuri that is good for a minute:
#   mint.sh SECRET_FILE wss://relay.example.org /sim/42
# For a secret of 32 to 64 bytes. It is never an argument of a program, where
# every user of the machine could read it.
set -eu
secret=$1 base=$2 path=$3

b64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }

pad() { # the secret with each byte xor $1, filled up to 64 (RFC 2104)
	n=0
	for byte in $(od -An -v -tu1 "$secret" | tr '\n' ' ' | sed 's/ 10 *$//'); do
		printf '%b' "\\0$(printf '%03o' $((byte ^ $1)))"
		n=$((n + 1))
	done
	while [ $n -lt 64 ]; do
		printf '%b' "\\0$(printf '%03o' "$1")"
		n=$((n + 1))
	done
}

sha256() { openssl dgst -sha256 -binary; }
hmac() { { pad 92; { pad 54; cat; } | sha256; } | sha256; }

now=$(date +%s)
text=$(printf '{"alg":"HS256"}' | b64url).$(
	printf '{"path":"%s","perm":"rw","iat":%s,"exp":%s}' \
		"$path" "$now" $((now + 60)) | b64url)
echo "$base$path?token=$text.$(printf '%s' "$text" | hmac | b64url)"
