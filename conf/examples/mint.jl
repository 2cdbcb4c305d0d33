#!/usr/bin/env julia
# Prints a wsuri that is good for a minute:
#   mint.jl SECRET_FILE wss://relay.example.org /sim/42
using Base64, SHA

b64url(x) = rstrip(replace(base64encode(x), '+' => '-', '/' => '_'), '=')

function wsuri(base, path, secret; ttl=60, perm="rw")
    now = floor(Int, time())
    header = """{"alg":"HS256"}"""
    claims = """{"path":"$path","perm":"$perm","iat":$now,"exp":$(now + ttl)}"""
    text = string(b64url(header), '.', b64url(claims))
    mac = b64url(hmac_sha256(secret, text))
    return "$base$path?token=$text.$mac"
end

secret = read(ARGS[1])
last(secret) == UInt8('\n') && pop!(secret)
println(wsuri(ARGS[2], ARGS[3], secret))
