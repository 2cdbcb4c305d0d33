"""Every kind of backend: how it is opened, what it is told, what it says."""
import contextlib
import json
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import threading
import time

import pytest

from peers import (BINARY, TEXT, Background, Client, Frame, Server,
                   accept_key, alive, children, frame, program, ws_pair)
from relay import KEY, PATIENCE, dial, free_port, mint, wait_for
from secure import HTTP


def route(backend, *more, name="r", path="/r"):
    return "\n".join([f"[route {name}]", f"path = {path}",
                      f"backend = {backend}", "auth = none", *more, ""])


@pytest.fixture(params=["tcp", "unix"])
def server(request, tmp_path):
    path = tmp_path / "s" if request.param == "unix" else None
    with Server(path) as s:
        yield s


def stream_pair(relay, s, framing, *more):
    r = relay(route(s.uri, f"framing = {framing}", *more))
    c = Client(r, "/r")
    return r, c, s.accept()


def len32(opcode, payload=b""):
    return struct.pack(">IB", len(payload) + 1, opcode) + payload


# --- stream framings -------------------------------------------------------

def test_raw(relay, server):
    r, c, b = stream_pair(relay, server, "raw")
    c.send(TEXT, "text ")
    c.send(BINARY, b"\0\n\xff", fin=False)
    c.send(0, b"rest")
    assert b.exactly(12) == b"text \0\n\xffrest"
    b.write(b"\xff any \n bytes")
    assert c.recv() == Frame(BINARY, b"\xff any \n bytes")
    # A stream has no messages: pieces as read, nothing lost, nothing added.
    data = os.urandom(1 << 20)
    job = Background(b.write, data)
    got = bytearray()
    while len(got) < len(data):
        f = c.recv()
        assert f.opcode == BINARY and f.fin
        got += f.payload
    job.done()
    assert got == data
    b.close()
    c.closed(1000)
    r.wait_log("close", id=c.id, reason="backend-close", side="backend")


def test_raw_knows_no_longest_message(relay, server):
    """A publication over MQTT of 1.5 MB, for instance: it passes in pieces,
    in one frame, in fragments, and while it is still on its way."""
    r, c, b = stream_pair(relay, server, "raw", "max_message = 125")
    data = os.urandom(1500000)
    for form in (frame(BINARY, data),
                 frame(BINARY, data[:126], fin=False) +
                 frame(0, data[126:700000], fin=False) +
                 frame(0, data[700000:])):
        job = Background(c.write, form)
        assert b.exactly(len(data)) == data
        job.done()
    form = frame(BINARY, data)
    c.write(form[:1000])
    assert b.exactly(986) == data[:986]
    job = Background(c.write, form[1000:])
    assert b.exactly(len(data) - 986) == data[986:]
    job.done()
    c.send_close(1000)
    assert c.recv().code == 1000
    c.close()
    b.ended()
    b.close()
    assert r.wait_log("close")["client_messages"] == "3"


def test_raw_pieces_keep_to_max_backend_message(relay, server):
    _, c, b = stream_pair(relay, server, "raw", "max_backend_message = 125")
    b.write(bytes(1000))
    got = 0
    while got < 1000:
        f = c.recv()
        assert len(f.payload) <= 125
        got += len(f.payload)


def test_line(relay, server):
    _, c, b = stream_pair(relay, server, "line")
    for text in ["one", "", "æøå 🌊", " ", "x" * 300000]:
        c.send(TEXT, text)
        assert b.until().decode() == text + "\n"
    c.send(TEXT, "in ", fin=False)
    c.send(0, "two", fin=False)
    assert not c.synced()
    b.sock.setblocking(False)
    with pytest.raises(BlockingIOError):  # never half a line
        b.sock.recv(1)
    b.sock.settimeout(PATIENCE)
    c.send(0, " parts")
    assert b.until() == b"in two parts\n"
    b.write(b"a\nb\r\n\n\r\nc\rd\r\r\n\xc3")
    for text in ["a", "b", "", "", "c\rd\r"]:
        assert c.recv() == Frame(TEXT, text.encode())
    b.write(b"\xa6\n" + b"y" * 300000 + b"\n")
    assert c.recv().text == "æ"
    assert c.recv() == Frame(TEXT, b"y" * 300000)


def test_len32(relay, server):
    _, c, b = stream_pair(relay, server, "len32")
    for opcode, payload in [(TEXT, b""), (BINARY, b""), (TEXT, b"a\nb"),
                            (BINARY, os.urandom(300000))]:
        c.send(opcode, payload)
        data = len32(opcode, payload)
        assert b.exactly(len(data)) == data
        b.write(data)
        assert c.recv() == Frame(opcode, payload)
    c.send(TEXT, "in ", fin=False)
    c.send(0, "parts")
    assert b.exactly(13) == len32(TEXT, b"in parts")
    # Any cut of the stream gives the same messages.
    for byte in len32(TEXT, "æ".encode()) + len32(BINARY, b"\xff"):
        b.write(bytes([byte]))
    assert c.recv() == Frame(TEXT, "æ".encode())
    assert c.recv() == Frame(BINARY, b"\xff")


@pytest.mark.parametrize("framing, data, before, length", [
    ("line", b"good\n\xff\n", 1, None),
    ("line", b"\xc3\n", 0, None),
    ("line", b"x" * 126 + b"\n", 0, "126 bytes or more"),
    ("line", b"x" * 130, 0, "126 bytes or more"),
    ("len32", len32(TEXT, b"good") + len32(TEXT, b"\xff"), 1, None),
    ("len32", struct.pack(">I", 0), 0, None),
    ("len32", struct.pack(">IB", 2, 3) + b"x", 0, None),
    ("len32", struct.pack(">I", 127), 0, "126 bytes"),
    ("len32", b"\xff\xff\xff\xff", 0, "4294967294 bytes"),
], ids=["line-utf8", "line-utf8-cut", "line-long", "line-without-end",
        "len32-utf8", "len32-zero", "len32-opcode", "len32-long",
        "len32-huge"])
def test_backend_violation_is_1011(relay, server, framing, data, before,
                                   length):
    r, c, b = stream_pair(relay, server, framing,
                          "max_backend_message = 125")
    b.write(data)
    for _ in range(before):
        assert c.recv().payload == b"good"
    c.closed(1011, "backend-protocol:")
    b.ended()
    line = r.wait_log("close", id=c.id, reason="backend-protocol",
                      side="backend", code=1011)
    assert line["detail"]
    if length:
        assert line["detail"] == \
            f"a message of {length}, max_backend_message is 125"


@pytest.mark.parametrize("framing, part", [
    ("line", b"half a li"), ("line", b"x" * 100000),
    ("len32", len32(TEXT, b"whole")[:-1]), ("len32", b"\0\0")])
def test_half_a_message_is_never_delivered(relay, server, framing, part):
    r, c, b = stream_pair(relay, server, framing)
    b.write((b"whole\n" if framing == "line" else len32(TEXT, b"whole")) +
            part)
    b.shut()
    assert c.recv() == Frame(TEXT, b"whole")
    c.closed(1000)
    line = r.wait_log("close", id=c.id, reason="backend-close")
    assert "not finished" in line["detail"]


@pytest.mark.parametrize("framing", ["line", "len32"])
def test_half_a_message_of_the_client_is_never_delivered(relay, server,
                                                         framing):
    _, c, b = stream_pair(relay, server, framing)
    c.send(TEXT, "whole")
    c.send(TEXT, "half", fin=False)
    c.send_close(1000)
    assert c.recv().code == 1000
    assert b.rest() == (b"whole\n" if framing == "line"
                        else len32(TEXT, b"whole"))


@pytest.mark.parametrize("version", ["no", "v1", "v2"])
def test_send_proxy(relay, version):
    """Behind TLS it stands in front of the handshake: see test_tls."""
    with Server(tls=False) as s:
        r, c, b = stream_pair(relay, s, "line", f"send_proxy = {version}")
        port = c.sock.getsockname()[1]
        c.send(TEXT, "x")
        if version == "v1":
            assert b.until(b"\r\n").decode() == \
                f"PROXY TCP4 127.0.0.1 127.0.0.1 {port} {r.port}\r\n"
        elif version == "v2":
            assert b.exactly(28) == b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + \
                b"\x7f\0\0\1" * 2 + struct.pack(">HH", port, r.port)
        assert b.until() == b"x\n"


def test_send_proxy_names_the_client_behind_a_proxy(relay):
    with Server(tls=False) as s:
        r = relay(route(s.uri, "framing = line", "send_proxy = v1"),
                  listen="trusted_proxies = 127.0.0.0/8")
        c = Client(r, "/r", ["X-Forwarded-For: 2001:db8::7, 203.0.113.9"])
        assert s.accept().until(b"\r\n").startswith(
            b"PROXY TCP4 203.0.113.9 127.0.0.1 ")
        c.close()


def test_send_proxy_without_an_address(relay, tmp_path):
    with Server(tls=False) as s:
        r = relay(route(s.uri, "framing = line", "send_proxy = v1"),
                  listen=f"address = unix:{tmp_path}/l")
        sock = dial(f"{tmp_path}/l")
        sock.sendall(b"GET /r HTTP/1.1\r\nHost: localhost\r\n"
                     b"Upgrade: websocket\r\n"
                     b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        assert s.accept().until(b"\r\n") == b"PROXY UNKNOWN\r\n"
        sock.close()
        assert r.wait_log("close")["peer"] == "unix"


# --- ws: the request -------------------------------------------------------

def ws(s, *more, path="/", **options):
    return route(f"ws://127.0.0.1:{s.port}{path}", *more, **options)


ALWAYS = {"host", "upgrade", "connection", "sec-websocket-version",
          "sec-websocket-key", "x-forwarded-for", "x-forwarded-proto",
          "x-forwarded-host", "forwarded", "x-wsrelay-hops", "x-wsrelay-id",
          "x-wsrelay-route"}


def test_ws_request_is_built_anew(relay):
    with Server() as s:
        r = relay(KEY + ws(s).replace("auth = none", "auth = token"))
        c, b = ws_pair(r, s, "/r", token=mint("/r"), fields=[
            "X-Other: dropped", "Sec-WebSocket-Extensions: permessage-deflate",
            "Accept-Language: en", "Authorization: Basic eDp5",
            "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https",
            "X-Forwarded-Host: evil.example", "X-Wsrelay-Id: 7",
            "X-Wsrelay-Route: evil", "X-Wsrelay-Subject: root",
            "Forwarded: for=6.6.6.6", "X-Real-IP: 6.6.6.6"])
        assert b.request == "GET / HTTP/1.1"
        assert set(b.fields) == ALWAYS
        assert b.fields["host"] == f"127.0.0.1:{s.port}"
        assert b.fields["upgrade"].lower() == "websocket"
        assert b.fields["connection"].lower() == "upgrade"
        assert b.fields["sec-websocket-version"] == "13"
        assert b.fields["x-forwarded-for"] == "127.0.0.1"
        assert b.fields["x-forwarded-proto"] == HTTP
        assert b.fields["x-forwarded-host"] == f"127.0.0.1:{r.port}"
        assert b.fields["forwarded"] == \
            f'for=127.0.0.1;host="127.0.0.1:{r.port}";proto={HTTP}'
        assert b.fields["x-wsrelay-id"] == c.id
        assert b.fields["x-wsrelay-route"] == "r"
        other = ws_pair(r, s, "/r", token=mint("/r"))[1]
        assert other.fields["sec-websocket-key"] != \
            b.fields["sec-websocket-key"]


def test_ws_request_passes_what_it_should(relay):
    with Server() as s:
        r = relay(KEY + ws(s, "origins = any").replace(
            "auth = none", "auth = token"))
        fields = ["Cookie: a=1; b=2", "User-Agent: Test/1 (x)",
                  "Origin: https://page.example"]
        token = mint("/r", sub="alice")
        c, b = ws_pair(r, s, "/r", fields=fields, token=token,
                       protocols="wsuri, one, two")
        assert set(b.fields) == ALWAYS | {
            "cookie", "user-agent", "origin", "sec-websocket-protocol",
            "x-wsrelay-subject"}
        assert b.fields["cookie"] == "a=1; b=2"
        assert b.fields["user-agent"] == "Test/1 (x)"
        assert b.fields["origin"] == "https://page.example"
        assert b.fields["sec-websocket-protocol"] == "one, two"
        assert b.fields["x-wsrelay-subject"] == "alice"
        # wsuri is selected when nothing else is
        assert c.fields["sec-websocket-protocol"] == "wsuri"
        # and the token goes nowhere, whichever way it comes
        for extra in ({"token": token},
                      {"fields": [f"Authorization: Bearer {token}"]},
                      {"protocols": f"wsuri, wsuri.bearer.{token}"}):
            _, b = ws_pair(r, s, "/r", **extra)
            assert token not in str(b.fields) + b.request
            assert "authorization" not in b.fields
            assert "sec-websocket-protocol" not in b.fields


def test_ws_request_behind_a_proxy(relay):
    with Server() as s:
        r = relay(ws(s), listen="trusted_proxies = 127.0.0.0/8\nhosts = *")
        _, b = ws_pair(r, s, "/r", fields=[
            "X-Forwarded-For: 6.6.6.6, 203.0.113.9",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: relay.example.org", "Host: inner"])
        assert b.fields["x-forwarded-for"] == "203.0.113.9"
        assert b.fields["x-forwarded-proto"] == "https"
        assert b.fields["x-forwarded-host"] == "relay.example.org"
        assert b.fields["forwarded"] == \
            "for=203.0.113.9;host=relay.example.org;proto=https"


@pytest.mark.parametrize("query, passed", [
    ("", ""), ("?a=1", "?a=1"), ("?token=T", ""), ("?token=T&a=%20b&c", None),
    ("?a=1&token=T&b=2", "?a=1&b=2"), ("?a=1&token=T", "?a=1"),
    ("?a=%26&xtoken=1&token=T", "?a=%26&xtoken=1"),
])
def test_ws_query_less_the_token(relay, query, passed):
    if passed is None:
        passed = "?a=%20b&c"
    with Server() as s:
        r = relay(KEY + ws(s).replace("auth = none", "auth = token"))
        token = mint("/r")
        if "T" in query:
            _, b = ws_pair(r, s, "/r" + query.replace("T", token))
        else:
            _, b = ws_pair(r, s, "/r" + query,
                           fields=[f"Authorization: Bearer {token}"])
        assert b.request == f"GET /{passed} HTTP/1.1"


QUERIES = ["?token=T", "?a=1&token=T&b=%20", "?token=a&token=b", "?", ""]


@pytest.mark.parametrize("query", QUERIES)
def test_ws_backend_has_a_token_of_its_own(relay, query):
    """With auth = none the relay looks at none: Jupyter and Vite do."""
    with Server() as s:
        r = relay(ws(s))
        _, b = ws_pair(r, s, "/r" + query, fields=[
            "Authorization: token 5ecre7", "Cookie: a=1"])
        assert b.request == f"GET /{query if query != '?' else ''} HTTP/1.1"
        assert b.fields["authorization"] == "token 5ecre7"
        assert b.fields["cookie"] == "a=1"
        assert set(b.fields) == ALWAYS | {"authorization", "cookie"}


def test_program_has_a_token_of_its_own(relay, tmp_path):
    r = relay(exec_route(tmp_path, 'print(os.environ["WSRELAY_QUERY"], '
                                   'flush=True)\nsys.stdin.read()'))
    with Client(r, "/r?token=T&a=1") as c:
        assert c.recv().text == "token=T&a=1"


def test_hub_trunk_has_nobodys_token(relay):
    with Server() as s:
        r = relay(ws(s, "mode = hub", "queue_limit = 16M"))
        _, b = ws_pair(r, s, "/r?token=T", fields=["Authorization: token T"])
        assert b.request == "GET / HTTP/1.1"
        assert "authorization" not in b.fields


@pytest.mark.parametrize("value, host", [
    ("backend", None), ("client", "localhost:4321"),
    ("sim.example.org", "sim.example.org"),
    ("sim.example.org:81", "sim.example.org:81")])
def test_backend_host(relay, value, host):
    with Server() as s:
        r = relay(ws(s, f"backend_host = {value}"))
        _, b = ws_pair(r, s, "/r", fields=["Host: localhost:4321"])
        assert b.fields["host"] == (host or f"127.0.0.1:{s.port}")
        assert b.fields["x-forwarded-host"] == "localhost:4321"


@pytest.mark.parametrize("pattern, backend, path, target", [
    ("/sim/{id}", "/base/{id}", "/sim/42", "/base/42"),
    ("/{a}/x/{b}", "/{b}/{a}", "/one/x/two", "/two/one"),
    ("/t/{*}", "/{*}", "/t/a/b/c", "/a/b/c"),
    ("/t/{id}/{*}", "/u/{*}", "/t/1/a%41%7e", "/u/aA~"),
    ("/t/{*}", "/u/{*}", "/t/%e2%82%ac", "/u/%E2%82%AC"),
])
def test_captures_in_ws_paths(relay, pattern, backend, path, target):
    with Server() as s:
        r = relay(ws(s, path=backend).replace("path = /r",
                                              f"path = {pattern}"))
        _, b = ws_pair(r, s, path)
        assert b.request == f"GET {target} HTTP/1.1"


def test_subprotocol_of_a_ws_backend(relay):
    with Server() as s:
        r = relay(ws(s))
        c, b = ws_pair(r, s, "/r", "Sec-WebSocket-Protocol: two",
                       protocols="one, two")
        assert b.fields["sec-websocket-protocol"] == "one, two"
        assert c.fields["sec-websocket-protocol"] == "two"
        c, _ = ws_pair(r, s, "/r", protocols="one, two")
        assert "sec-websocket-protocol" not in c.fields


def test_no_subprotocol_selected(relay):
    """A browser drops such a connection: the log says what it offered."""
    with Server() as s:
        r = relay(route("echo:") +
                  route("echo:", "subprotocols = one", name="listed",
                        path="/listed") +
                  route(f"ws://127.0.0.1:{s.port}", name="ws", path="/ws") +
                  KEY + route("echo:", name="token", path="/token").replace(
                      "auth = none", ""), server="workers = 2")
        long = "x" * 41
        for _ in range(3):
            c = Client(r, "/r", protocols=f"one, two, {long}")
            assert "sec-websocket-protocol" not in c.fields
        line = r.wait_log("subprotocol-unselected", route="r")
        assert line["offered"] == "one, two, (41 bytes)"
        assert "key subprotocols" in line["detail"]
        Client(r, "/listed", protocols="zero, one")
        Client(r, "/r")
        token = mint("/token")
        Client(r, "/token", protocols=f"wsuri, wsuri.bearer.{token}")
        assert len(r.log("subprotocol-unselected")) == 1
        ws_pair(r, s, "/ws", "Sec-WebSocket-Protocol: two",
                protocols="one, two")
        ws_pair(r, s, "/ws", protocols="one, two")
        line = r.wait_log("subprotocol-unselected", route="ws")
        assert line["offered"] == "one, two"
        assert "backend selected none" in line["detail"]
        Client(r, "/listed", protocols="zero")
        r.wait_log("subprotocol-unselected", route="listed")
        assert len(r.log("subprotocol-unselected")) == 3


# --- ws: the answer --------------------------------------------------------

def answer(*fields, accept=None, upgrade="websocket", connection="Upgrade",
           status="101 Switching Protocols"):
    def make(key):
        lines = [f"HTTP/1.1 {status}"]
        if upgrade:
            lines.append(f"Upgrade: {upgrade}")
        if connection:
            lines.append(f"Connection: {connection}")
        lines.append("Sec-WebSocket-Accept: " + (accept or accept_key(key)))
        return "\r\n".join([*lines, *fields, "", ""]).encode()
    return make


CHUNKED = "Transfer-Encoding: chunked"


def refusal(*fields, status="403 No"):
    return "\r\n".join([f"HTTP/1.1 {status}", *fields, "", ""]).encode()


WRONG = {
    "accept": answer(accept="AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    "no-upgrade": answer(upgrade=None),
    "other-upgrade": answer(upgrade="h2c"),
    "no-connection": answer(connection=None),
    "extension": answer("Sec-WebSocket-Extensions: permessage-deflate"),
    "subprotocol": answer("Sec-WebSocket-Protocol: three"),
    "two-subprotocols": answer("Sec-WebSocket-Protocol: one",
                               "Sec-WebSocket-Protocol: two"),
    "200": answer(status="200 OK"),
    "too-many-100": lambda key: b"HTTP/1.1 100 Continue\r\n\r\n" * 17,
    "long-103": lambda key: b"HTTP/1.1 103 Early\r\nA: " + b"a" * 20000,
    "bare-lf-behind-100": lambda key: b"HTTP/1.1 100 C\r\n\r\n" +
    answer()(key).replace(b"\r\n", b"\n"),
    "two-lengths": lambda key: refusal("Content-Length: 4",
                                       "Content-Length: 5") + b"nope!",
    "length-and-chunked": lambda key: refusal(
        "Content-Length: 4", CHUNKED) + b"4\r\nnope\r\n0\r\n\r\n",
    "no-length": lambda key: refusal("Content-Length: x"),
    "gzip-chunked": lambda key: refusal("Transfer-Encoding: gzip, chunked"),
    "chunks": lambda key: refusal(CHUNKED) + b"4\r\nnope0\r\n\r\n",
    "chunk-size": lambda key: refusal(CHUNKED) + b"0x4\r\nnope\r\n0\r\n\r\n",
    "not-http": lambda key: b"SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n",
    "http-1.0": lambda key: answer()(key).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "long": lambda key: b"HTTP/1.1 101 x\r\nA: " + b"a" * 20000,
    "bare-lf": lambda key: answer()(key).replace(b"\r\n", b"\n"),
    "closes": None,
    "closes-inside": lambda key: b"HTTP/1.1 101 Sw",
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_answer_is_502(relay, name):
    with Server() as s:
        r = relay(ws(s))
        c = Client(r, "/r", wait=False, protocols="one, two")
        b = s.accept_ws()
        if WRONG[name]:
            b.write(WRONG[name](b.fields["sec-websocket-key"]))
        if name.startswith("closes"):
            b.shut()
        assert c.answer() == 502
        assert c.body.startswith(b"backend-handshake")
        assert r.wait_log("backend-error", reason="backend-handshake")[
            "detail"]
        with contextlib.suppress(OSError):
            b.ended()  # it is not left open


def test_refusal_of_a_ws_backend_passes_on(relay):
    with Server() as s:
        r = relay(ws(s))
        c = Client(r, "/r", wait=False)
        b = s.accept_ws()
        b.refuse("401 Unauthorized", "Content-Type: application/json",
                 "Content-Length: 14", "Set-Cookie: secret=1",
                 body=b'{"why":"time"}')
        assert c.answer() == 401
        assert c.body == b'{"why":"time"}'
        assert c.fields["content-type"] == "application/json"
        assert "set-cookie" not in c.fields
        r.wait_log("refuse", reason="backend-status", detail="HTTP 401")
        # in pieces, and ended by the close of the connection
        for pieces in [(b"HTTP/1.1 403 No\r\nContent-Length: 4\r\n\r\n",
                        b"no", b"pe"),
                       (b"HTTP/1.1 403 No\r\nContent-", b"Length: 4\r\n\r",
                        b"\nnope")]:
            c = Client(r, "/r", wait=False)
            b = s.accept_ws()
            for piece in pieces:
                b.write(piece)
            b.shut()
            assert c.answer() == 403
            assert c.body == b"nope"


@pytest.mark.parametrize("pieces", [
    (refusal(CHUNKED), b"4\r\nnope\r\n0\r\n\r\n"),
    (refusal(CHUNKED) + b"2;x=y\r\nno\r\n2\r\npe\r", b"\n0\r\nA: b\r\n\r\n"),
    (refusal("transfer-encoding: Chunked") + b"4\r\nno", b"pe\r\n0\r\n\r\n"),
    (refusal("Content-Length: 4", "Content-Length: 4") + b"nope", b"more"),
    (refusal() + b"no", b"pe", None),
    (refusal().replace(b"1.1", b"1.0"), b"nope", None),
    (refusal(CHUNKED) + b"4\r\nnope\r\n", None),
    (refusal("Content-Length: 5") + b"nope", None),
], ids=["chunked", "chunks", "cut-chunk", "same-lengths", "until-close",
        "http-1.0", "chunks-cut-off", "length-cut-off"])
def test_body_of_a_refusal_however_it_is_delimited(relay, pieces):
    with Server() as s:
        r = relay(ws(s))
        c = Client(r, "/r", wait=False)
        b = s.accept_ws()
        for piece in pieces:
            if piece is None:
                b.shut()
            else:
                b.write(piece)
        assert c.answer() == 403
        assert c.body == b"nope"
        assert c.fields["content-length"] == "4"
        assert "transfer-encoding" not in c.fields


@pytest.mark.parametrize("how", ["chunked", "close", "length"])
def test_long_body_of_a_refusal(relay, how):
    """The first 64 KiB of it are passed on; no more is waited for."""
    with Server() as s:
        r = relay(ws(s))
        c = Client(r, "/r", wait=False)
        b = s.accept_ws()
        body = os.urandom(65536)
        if how == "chunked":
            b.write(refusal(CHUNKED) + b"".join(
                b"1000\r\n" + body[i:i + 4096] + b"\r\n"
                for i in range(0, len(body), 4096)))
        else:
            b.write(refusal("Content-Length: 1000000") if how == "length"
                    else refusal())
            b.write(body)
        assert c.answer() == 403
        assert c.body == body


def test_extensions_of_chunks_are_bounded(relay):
    with Server() as s:
        r = relay(ws(s))
        c = Client(r, "/r", wait=False)
        b = s.accept_ws()
        with contextlib.suppress(ConnectionError):
            b.write(refusal(CHUNKED) + (
                b"1;" + b"x" * 1000 + b"\r\ny\r\n") * 300)
        assert c.answer() == 403
        assert set(c.body) == set(b"y")


def test_fields_of_a_refusal(relay):
    """What tells the client what to do gets through, and nothing else."""
    passed = [("401 No", 'WWW-Authenticate: Basic realm="a, b"'),
              ("405 No", "Allow: POST"),
              ("307 Elsewhere", "Location: ../other?x=1#y"),
              ("503 Busy", "Retry-After: 120"),
              ("503 Busy", "Retry-After: Fri, 31 Dec 1999 23:59:59 GMT"),
              ("403 No", "Content-Type: text/html;charset=utf-8"),
              ("403 No", "Content-Encoding: br")]
    with Server() as s:
        r = relay(ws(s))
        for status, field in passed:
            c = Client(r, "/r", wait=False)
            s.accept_ws().refuse(
                status, field, "Content-Length: 2", "Set-Cookie: secret=1",
                "X-Other: x", "Connection: keep-alive", body=b"no")
            assert c.answer() == int(status[:3])
            name, value = field.split(": ", 1)
            assert c.fields[name.lower()] == value
            assert c.fields["connection"] == "close"
            assert not {"set-cookie", "x-other"} & set(c.fields)
        c = Client(r, "/r", wait=False)
        s.accept_ws().refuse("401 No", "WWW-Authenticate: Basic realm=x",
                             "WWW-Authenticate: Bearer",
                             "Content-Length: 0")
        lines = c.until(b"\r\n\r\n").split(b"\r\n")
        assert [x for x in lines if x.startswith(b"WWW-")] == [
            b"WWW-Authenticate: Basic realm=x", b"WWW-Authenticate: Bearer"]


@pytest.mark.parametrize("how", ["together", "apart", "byte-by-byte"])
def test_interim_answers_are_skipped(relay, how):
    """RFC 9110 section 15.2."""
    with Server() as s:
        r = relay(ws(s))
        for final in ("101", "403"):
            c = Client(r, "/r", wait=False)
            b = s.accept_ws()
            data = b"HTTP/1.1 100 Continue\r\n\r\n" \
                b"HTTP/1.1 102 Processing\r\nContent-Length: 5\r\n\r\n" \
                b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n" \
                b"Sec-WebSocket-Accept: x\r\n\r\n"
            data += (answer()(b.fields["sec-websocket-key"]) +
                     b"\x81\x05early" if final == "101" else
                     refusal("Content-Length: 5") + b"early")
            parts = {"together": [data],
                     "apart": data.replace(b"HTTP/1.1 ", b"\0HTTP/1.1 ")
                     .split(b"\0"),
                     "byte-by-byte": [bytes([x]) for x in data]}[how]
            for part in parts:
                b.write(part)
            if final == "101":
                c.upgraded()
                assert c.message()[1] == b"early"
            else:
                assert (c.answer(), c.body) == (403, b"early")


def test_nothing_behind_an_interim_answer(relay):
    with Server() as s:
        r = relay(ws(s, "connect_timeout = 300ms"))
        c = Client(r, "/r", wait=False)
        b = s.accept_ws()
        b.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert c.answer() == 504
        c = Client(r, "/r", wait=False)
        b = s.accept_ws()
        b.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        b.shut()
        assert c.answer() == 502


@pytest.mark.parametrize("status", ["302 Found", "404 Not Found",
                                    "503 Busy"])
def test_any_refusal_passes_on(relay, status):
    with Server() as s:
        r = relay(ws(s))
        c = Client(r, "/r", wait=False)
        b = s.accept_ws()
        b.refuse(status, "Content-Length: 0")
        assert c.answer() == int(status[:3])
        assert c.body == b""


def test_refusal_reaches_a_page_as_a_close(relay):
    with Server() as s:
        r = relay(ws(s, "origins = any"))
        c = Client(r, "/r", ["Origin: https://page.example"], wait=False)
        s.accept_ws().refuse("401 No", "Content-Length: 0")
        c.upgraded()
        c.closed(1011, "backend-status:")


# --- exec ------------------------------------------------------------------

ECHO = """
for line in sys.stdin:
    print(line, end="", flush=True)
"""


def exec_route(tmp_path, text, *more, args="", **options):
    command = program(tmp_path, text) + (f" {args}" if args else "")
    return route(f"exec:{command}", *more, **options)


def test_exec_environment(relay, tmp_path):
    text = """
import json
print(json.dumps([dict(os.environ), sys.argv[1:], os.getcwd(),
                  os.getpgid(0) == os.getpid(), os.getppid()]), flush=True)
sys.stdin.read()
"""
    (tmp_path / "dir").mkdir()
    r = relay(KEY + exec_route(
        tmp_path, text, "exec_env = A=1", "exec_env = B=two words = 2",
        f"exec_dir = {tmp_path}/dir", args="--id={id} {id} a*b $HOME |x",
        path="/r/{id}").replace("auth = none", "auth = token"),
        env={"NOT_PASSED": "1", "LANG": "C.UTF-8", "HOME": "/nowhere"})
    token = mint("/r/a.b-1", sub="alice", perm="rw")
    c = Client(r, "/r/a.b-1?x=1&y=%20", token=token)
    env, argv, cwd, leads, parent = json.loads(c.recv().text)
    env.pop("LC_CTYPE", None)  # Python's own
    assert argv == ["--id=a.b-1", "a.b-1", "a*b", "$HOME", "|x"]
    assert cwd == f"{tmp_path}/dir"
    assert leads and parent == r.pid
    assert env.pop("PATH") == os.environ["PATH"]
    assert env == {
        "HOME": "/nowhere", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1",
        "WSRELAY_ID": c.id, "WSRELAY_ROUTE": "r",
        "WSRELAY_PATH": "/r/a.b-1", "WSRELAY_QUERY": "x=1&y=%20",
        "WSRELAY_SUBJECT": "alice", "WSRELAY_PERM": "rw",
        "WSRELAY_CLIENT_CERT": "", "WSRELAY_FRAMING": "line",
        "REMOTE_ADDR": "127.0.0.1", "A": "1", "B": "two words = 2"}


def test_exec_inherits_no_descriptor_and_no_signal_mask(relay):
    r = relay(route("exec:/bin/ls -l /proc/self/fd", name="ls", path="/ls") +
              route("exec:/bin/grep Sig /proc/self/status", name="sig",
                    path="/sig") + route("echo:"))
    others = [Client(r, "/r") for _ in range(5)]
    c = Client(r, "/ls")
    lines = []
    while (f := c.recv()).opcode == TEXT:
        lines.append(f.text)
    assert f.code == 1000
    entries = {x.split(" -> ")[0].split()[-1]: x.split(" -> ")[1]
               for x in lines if " -> " in x}
    # the last is ls's own, of the directory that it lists
    assert sorted(entries) == ["0", "1", "2", "3"]
    assert all(entries[k].startswith("pipe:") for k in "012")
    assert "/proc/" in entries["3"]
    c = Client(r, "/sig")
    signals = {}
    while (f := c.recv()).opcode == TEXT:
        name, value = f.text.split(":")
        signals[name] = int(value.split("/")[0], 16)
    # 32 and 33 are the C library's own; it has its way with them.
    assert signals["SigBlk"] == 0
    assert signals["SigIgn"] & ~(3 << 31) == 0
    assert len(others) == 5


@pytest.mark.parametrize("end, code, reason, status", [
    ("sys.exit(0)", 1000, "", None),
    ("sys.exit(3)", 1011, "backend-exit:3", 3),
    ("os.kill(os.getpid(), 9)", 1011, "backend-exit:137", 137),
    ("os.abort()", 1011, "backend-exit:134", 134),
    ("raise Exception", 1011, "backend-exit:1", 1),
])
@pytest.mark.parametrize("ends_output", [False, True])
def test_exec_exit_status(relay, tmp_path, end, code, reason, status,
                          ends_output):
    # The end of its output is seen first, then its own.
    first = "os.close(1); time.sleep(.1)\n" if ends_output else ""
    r = relay(exec_route(tmp_path, f'os.write(1, b"bye\\n")\n{first}{end}\n'))
    c = Client(r, "/r")
    assert c.recv().text == "bye"
    f = c.closed(code)
    assert f.reason == reason
    line = r.wait_log("close", id=c.id, side="backend", code=code,
                      reason="backend-exit" if status else "backend-close")
    assert line.get("detail") == (reason or None)
    assert not children(r.pid)


def test_exec_stderr_is_logged_line_by_line(relay, tmp_path):
    r = relay(exec_route(tmp_path, r"""
os.write(2, b"one\ntwo ")
sys.stdin.readline()
os.write(2, b"parts\n\x1b[31mred\x00\x07\t\"q\" \\ \xff\n")
os.write(2, b"no end")
"""))
    c = Client(r, "/r")
    assert r.wait_log("stderr", id=c.id, route="r")["line"] == "one"
    assert len(r.log("stderr")) == 1
    c.send(TEXT, "go")
    c.closed(1000)
    r.wait_log("close", id=c.id)
    assert [x["line"] for x in r.log("stderr")] == \
        ["one", "two parts",
         r'\x1b[31mred\x00\x07\t\"q\" \\ \xff', "no end"]
    for line in r.lines:
        assert line.isprintable(), line


def test_exec_stderr_is_rate_limited(relay, tmp_path):
    r = relay(exec_route(tmp_path, r"""
os.write(2, b"".join(b"line %d\n" % i for i in range(1000)))
sys.stdin.readline()
"""))
    c = Client(r, "/r")
    r.wait_log("stderr", count=20)
    c.send(TEXT, "go")
    c.closed(1000)
    r.wait_log("close", id=c.id)
    hidden = sum(int(x["count"]) for x in r.log("stderr-suppressed"))
    shown = len(r.log("stderr"))
    assert shown + hidden == 1000
    assert shown <= 60  # a few seconds' worth at the most


def test_exec_stderr_of_one_endless_line(relay, tmp_path):
    r = relay(exec_route(tmp_path, r"""
for i in range(256):
    os.write(2, b"x" * 65536)
os.write(2, b"\nlast\n")
print("done", flush=True)
sys.stdin.readline()
"""))
    c = Client(r, "/r")
    assert c.recv().text == "done"
    assert all(len(x) < 4000 for x in r.lines)


def test_exec_ends_at_the_end_of_its_input(relay, tmp_path):
    r = relay(exec_route(tmp_path, f"""
n = len(sys.stdin.readlines())
open("{tmp_path}/n", "w").write(str(n))
"""))
    c = Client(r, "/r")
    for _ in range(500):
        c.send(TEXT, "x")
    c.send_close(1000)
    assert c.recv().code == 1000
    c.ended()
    r.wait_log("close", id=c.id, reason="client-close")
    assert (tmp_path / "n").read_text() == "500"
    assert not children(r.pid)


def wait_file(path):
    return wait_for(lambda: path.exists() and path.read_text(), str(path))


@pytest.mark.parametrize("ignores", ["eof", "eof-and-term"])
def test_exec_gets_sigterm_then_sigkill(relay, tmp_path, ignores):
    r = relay(exec_route(tmp_path, f"""
def term(*_):
    open("{tmp_path}/termed", "w").write("%f" % time.monotonic())
    if "{ignores}" == "eof":
        os._exit(0)
signal.signal(signal.SIGTERM, term)
print(os.getpid(), flush=True)
while True:
    signal.pause()
""", "close_timeout = 300ms"))
    c = Client(r, "/r")
    pid = int(c.recv().text)
    start = time.monotonic()
    c.send_close(1000)
    assert c.recv().code == 1000
    c.ended()
    termed = float(wait_file(tmp_path / "termed"))
    wait_for(lambda: not pathlib.Path(f"/proc/{pid}").exists(), "its end")
    ended = time.monotonic()
    assert termed - start >= 0.29
    if ignores == "eof-and-term":
        assert ended - termed >= 0.29
        assert r.wait_log("program-exit", id=c.id)["signal"] == "9"
    r.wait_log("close", id=c.id, reason="client-close")
    assert not children(r.pid)


def test_exec_takes_its_grandchildren_along(relay, tmp_path):
    # One that lives on when the program is killed, and one when it exits.
    text = """
import subprocess
p = subprocess.Popen(["/bin/sleep", "1000"], stdin=subprocess.DEVNULL,
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(p.pid, flush=True)
sys.stdin.read()
if sys.argv[1] == "stay":
    signal.pause()
"""
    r = relay(exec_route(tmp_path, text, "close_timeout = 200ms",
                         args="{how}", path="/r/{how}"))
    for how in ("stay", "exit"):
        c = Client(r, f"/r/{how}")
        pid = int(c.recv().text)
        assert alive(pid)
        c.close()
        wait_for(lambda: not alive(pid), "the grandchild's end")
        r.wait_log("close", id=c.id, reason="client-gone")


def test_exec_output_held_open_by_a_grandchild(relay, tmp_path):
    """The program has exited, but somebody has its output open still, in a
    session of its own: close_timeout of silence is the end."""
    r = relay(exec_route(tmp_path, """
import subprocess
p = subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True)
print(p.pid, flush=True)
""", "close_timeout = 300ms"))
    c = Client(r, "/r")
    pid = int(c.recv().text)
    try:
        c.closed(1000)
        r.wait_log("close", id=c.id, reason="backend-close")
    finally:
        os.kill(pid, 9)


def test_max_processes_is_503(relay):
    r = relay(route("exec:/bin/cat", "max_processes = 2"))
    first, second = Client(r, "/r"), Client(r, "/r")
    c = Client(r, "/r", wait=False)
    assert c.answer() == 503
    assert c.body.startswith(b"limit-processes")
    assert int(c.fields["retry-after"]) > 0
    first.close()
    r.wait_log("close", id=first.id)
    Client(r, "/r")
    assert second.synced() == []


def test_exec_that_cannot_start_is_502(relay, tmp_path):
    tool = tmp_path / "tool"
    shutil.copy("/bin/cat", tool)
    r = relay(route(f"exec:{tool}"))
    tool.unlink()
    c = Client(r, "/r", wait=False)
    assert c.answer() == 502
    assert c.body.startswith(b"backend-spawn")
    assert "No such file" in r.wait_log(
        "backend-error", reason="backend-spawn")["detail"]


@pytest.mark.parametrize("first, said", [
    ("", "a script needs a first line"), ("#!/no/such/python3\n", "behind #!")])
def test_scripts_first_line(relay, tmp_path, first, said):
    tool = tmp_path / "tool"
    tool.write_text(first + "print('hello')\n")
    tool.chmod(0o755)
    r = relay(route(f"exec:{tool}"))
    assert Client(r, "/r", wait=False).answer() == 502
    assert said in r.wait_log(
        "backend-error", reason="backend-spawn")["detail"]


def test_silent_program_gets_one_line(relay, tmp_path):
    r = relay(exec_route(tmp_path, """
for line in sys.stdin:
    if line == "speak\\n":
        print("spoken", flush=True)
"""))
    silent, speaking, unasked = (Client(r, "/r") for _ in range(3))
    silent.send(TEXT, "hello")
    speaking.send(TEXT, "speak")
    assert speaking.recv().text == "spoken"
    line = r.wait_log("backend-silent")
    assert line["id"] == silent.id and "buffered" in line["detail"]
    for c in (silent, speaking, unasked):
        assert c.synced() == []
    assert len(r.log("backend-silent")) == 1


def test_all_that_a_program_printed_arrives(relay, tmp_path):
    """10 MB and an exit, to a client that reads slowly: close_timeout is
    over many times before the last byte is there."""
    r = relay(exec_route(tmp_path, """
out = b"".join(b"%0999d\\n" % i for i in range(10500))
sys.stdout.buffer.write(out)
""", "close_timeout = 500ms", "queue_limit = 256K"))
    c = Client(r, "/r", rcvbuf=65536)
    start = time.monotonic()
    for i in range(10500):
        if i % 500 == 0:
            time.sleep(0.1)  # the client's slowness, not a wait
        f = c.recv()
        assert f.opcode == TEXT and int(f.payload) == i
    c.closed(1000)
    assert time.monotonic() - start > 2
    r.wait_log("close", id=c.id, reason="backend-close",
               backend_messages=10500)


def test_program_without_input_still_prints(relay, tmp_path):
    r = relay(exec_route(tmp_path, """
os.close(0)
print("closed", flush=True)
while not os.path.exists(sys.argv[1]):
    time.sleep(.01)
for i in range(1000):
    print(i, flush=True)
""", args=f"{tmp_path}/go"))
    c = Client(r, "/r")
    assert c.recv().text == "closed"
    for _ in range(100):
        c.send(TEXT, "x" * 10000)
    assert c.synced() == []
    (tmp_path / "go").write_text("")
    assert [c.recv().text for _ in range(1000)] == \
        [str(i) for i in range(1000)]
    c.closed(1000)


@pytest.mark.parametrize("framing", ["raw", "len32"])
def test_exec_with_another_framing(relay, framing):
    r = relay(route("exec:/bin/cat", f"framing = {framing}"))
    c = Client(r, "/r")
    for payload in [b"\0\n\xff", bytes(100)]:
        c.send(BINARY, payload)
        assert c.recv() == Frame(BINARY, payload)


# --- dead backends ---------------------------------------------------------

def refused(r, status, word, path="/r", count=1):
    c = Client(r, path, wait=False)
    assert c.answer() == status
    assert c.body.decode().startswith(word)
    r.wait_log("refuse", count=count, reason=word)
    return r.wait_log("backend-error", count=count, reason=word)


@pytest.mark.parametrize("kind", ["tcp", "ws"])
def test_refused_is_502(relay, kind):
    r = relay(route(f"{kind}://127.0.0.1:{free_port()}",
                    "framing = line" if kind == "tcp" else ""))
    assert "refused" in refused(r, 502, "backend-refused")["detail"]
    # and to a page
    c = Client(r, "/r", [f"Origin: {HTTP}://127.0.0.1:{r.port}"])
    c.closed(1011, "backend-refused:")


def test_missing_unix_socket_is_502(relay, tmp_path):
    r = relay(route(f"unix://{tmp_path}/none", "framing = raw"))
    assert refused(r, 502, "backend-refused")["detail"]


def test_unix_path_that_a_capture_makes_too_long_is_502(relay, tmp_path):
    base = tmp_path / ("x" * (95 - len(str(tmp_path))))
    r = relay(route(f"unix://{base}/{{id}}", "framing = raw",
                    path="/r/{id}"))
    refused(r, 502, "backend-refused", "/r/short")
    assert "long" in refused(r, 502, "backend-refused", "/r/" + "y" * 64,
                             count=2)["detail"]


def test_silent_ws_backend_is_504(relay):
    with Server() as s:
        r = relay(route(f"ws://127.0.0.1:{s.port}",
                        "connect_timeout = 300ms"))
        start = time.monotonic()
        refused(r, 504, "backend-timeout")
        assert time.monotonic() - start > 0.29


def test_slow_answer_of_a_ws_backend_is_504(relay):
    with Server() as s:
        r = relay(route(f"ws://127.0.0.1:{s.port}",
                        "connect_timeout = 500ms"))
        c = Client(r, "/r", wait=False)
        b = s.accept_ws()

        def drip():
            with contextlib.suppress(OSError):
                for byte in b"HTTP/1.1 101 Switching" + b"x" * 1000:
                    b.write(bytes([byte]))
                    time.sleep(0.05)    # many bytes, each in time
        threading.Thread(target=drip, daemon=True).start()
        assert c.answer() == 504


def full_backlog(stack, family=socket.AF_INET, address=("127.0.0.1", 0)):
    """A listener whose queue is full: it answers nobody any more."""
    s = stack.enter_context(socket.socket(family))
    s.bind(address)
    s.listen(0)
    for _ in range(16):
        c = stack.enter_context(socket.socket(family))
        c.setblocking(False)
        c.connect_ex(s.getsockname())
    return s


def test_full_backlog_is_504(relay):
    with contextlib.ExitStack() as stack:
        s = full_backlog(stack)
        r = relay(route(f"tcp://127.0.0.1:{s.getsockname()[1]}",
                        "framing = raw", "connect_timeout = 300ms"))
        refused(r, 504, "backend-timeout")


def test_full_backlog_of_a_unix_socket(relay, tmp_path):
    with contextlib.ExitStack() as stack:
        full_backlog(stack, socket.AF_UNIX, f"{tmp_path}/s")
        r = relay(route(f"unix://{tmp_path}/s", "framing = raw",
                        "connect_timeout = 300ms"))
        refused(r, 502, "backend-refused")


def test_client_that_goes_while_the_backend_opens(relay):
    with Server() as s:
        r = relay(route(f"ws://127.0.0.1:{s.port}"))
        c = Client(r, "/r", wait=False)
        b = s.accept_ws()
        c.reset()
        b.ended()
        r.wait_log("refuse", reason="client-reset")


@pytest.mark.parametrize("listening", ["127.0.0.1", "::1"])
def test_localhost_is_tried_on_both(relay, listening):
    try:
        s = Server(host=listening)
    except OSError:
        pytest.skip(f"no {listening} here")
    with s:
        r = relay(route(f"tcp://localhost:{s.port}", "framing = line"))
        c = Client(r, "/r")
        c.send(TEXT, "x")
        assert s.accept().until() == b"x\n"


def test_ipv6_backend_and_its_host(relay):
    try:
        s = Server(host="::1")
    except OSError:
        pytest.skip("no IPv6 here")
    with s:
        r = relay(route(f"ws://[::1]:{s.port}/x"))
        _, b = ws_pair(r, s, "/r")
        assert b.fields["host"] == f"[::1]:{s.port}"


@pytest.mark.parametrize("kind", ["tcp", "ws"])
def test_backend_allow(relay, kind):
    with Server(tls=False) as s, \
            Server(host="127.0.0.2", port=s.port, tls=False) as s2:
        framing = "framing = line" if kind == "tcp" else ""
        r = relay(route(f"{kind}://{{host}}:{{port}}", framing,
                        "backend_allow = 127.0.0.2, 127.0.0.64/26",
                        "connect_timeout = 500ms",
                        path="/r/{host}/{port}"))
        for host in ("127.0.0.1", "localhost", "127.0.0.128"):
            refused(r, 502, "backend-forbidden", f"/r/{host}/{s.port}")
        c = Client(r, f"/r/127.0.0.2/{s.port}", wait=False)
        if kind == "ws":
            b = s2.accept_ws()
            assert b.fields["host"] == f"127.0.0.2:{s.port}"
            b.accept()
        c.upgraded()
        refused(r, 502, "backend-refused", f"/r/127.0.0.65/{s.port}")
        for port in ("0", "65536", "x", "7000x"):
            refused(r, 502, "backend-refused", f"/r/127.0.0.2/{port}")


# --- names -----------------------------------------------------------------

class Dns:
    """A name server with a table name -> addresses; None: no answer."""

    def __init__(self, names):
        self.names = names
        self.asked = []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                query, peer = self.sock.recvfrom(4096)
                reply = self.reply(query)
                if reply:
                    self.sock.sendto(reply, peer)

    def reply(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += query[at] + 1
        name = ".".join(labels).lower()
        kind, = struct.unpack(">H", query[at + 1:at + 3])
        self.asked.append(name)
        addresses = self.names.get(name, [])
        if addresses is None:
            return None
        found = []
        for a in addresses:
            packed = socket.inet_pton(
                socket.AF_INET6 if ":" in a else socket.AF_INET, a)
            if kind == (28 if ":" in a else 1):
                found.append(b"\xc0\x0c" + struct.pack(
                    ">HHIH", kind, 1, 1, len(packed)) + packed)
        code = 0 if addresses else 3
        return query[:2] + struct.pack(
            ">HHHHH", 0x8580 | code, 1, len(found), 0, 0) + \
            query[12:at + 5] + b"".join(found)


@pytest.fixture
def named(relay, tmp_path):
    """Starts a relay whose resolv.conf and hosts are files of ours."""
    if subprocess.run(["unshare", "-m", "mount", "--bind", "/etc/hostname",
                       "/etc/resolv.conf"], stderr=subprocess.DEVNULL
                      ).returncode:
        pytest.skip("no mount namespace to be had here")

    def start(dns, ini):
        (tmp_path / "resolv.conf").write_text(
            f"nameserver 127.0.0.1:{dns.port}\n")
        (tmp_path / "hosts").write_text("127.0.0.1 localhost\n")
        return relay(ini, wrap=[
            "unshare", "-m", "sh", "-c",
            f"mount --bind {tmp_path}/resolv.conf /etc/resolv.conf && "
            f"mount --bind {tmp_path}/hosts /etc/hosts && "
            'exec "$@"', "sh"])
    return start


def test_name_without_address_is_502(named):
    dns = Dns({})
    r = named(dns, route("tcp://none.example:7000", "framing = line"))
    assert refused(r, 502, "backend-resolve")["detail"]
    assert "none.example" in dns.asked


def test_name_server_that_does_not_answer_is_504(named):
    dns = Dns({"slow.example": None})
    r = named(dns, route("tcp://slow.example:7000", "framing = line",
                         "connect_timeout = 500ms"))
    refused(r, 504, "backend-timeout")


def test_all_addresses_of_a_name_are_tried(named):
    with Server(host="127.0.0.3") as s:
        dns = Dns({"sim.example": ["127.0.0.1", "127.0.0.2", "127.0.0.3"]})
        r = named(dns, route(f"tcp://sim.example:{s.port}",
                             "framing = line"))
        c = Client(r, "/r")
        c.send(TEXT, "x")
        assert s.accept().until() == b"x\n"


def test_backend_allow_is_checked_after_the_name_is_resolved(named):
    with Server() as s:
        dns = Dns({"evil.example": ["127.0.0.1"],
                   "half.example": ["127.0.0.9", "127.0.0.1"]})
        for name, allow, expected in [
                ("evil.example", "127.0.0.2", "backend-forbidden"),
                ("half.example", "127.0.0.9", "backend-refused")]:
            r = named(dns, route(f"tcp://{name}:{s.port}", "framing = raw",
                                 f"backend_allow = {allow}"))
            refused(r, 502, expected)
        s.sock.settimeout(0)
        with pytest.raises((BlockingIOError, TimeoutError)):  # nobody came
            s.accept()


def test_resolv_conf_is_read_again(named, tmp_path):
    with Server() as s:
        first, second = Dns({}), Dns({"sim.example": ["127.0.0.1"]})
        r = named(first, route(f"ws://sim.example:{s.port}/"))
        refused(r, 502, "backend-resolve")
        (tmp_path / "resolv.conf").write_text(
            f"nameserver 127.0.0.1:{second.port}\n")

        def there():
            c = Client(r, "/r", wait=False)
            s.sock.settimeout(1)
            with contextlib.suppress(TimeoutError):
                s.accept_ws().accept()
            return c.answer() == 101
        wait_for(there, "the new name server")


def test_hosts_is_read_again(named, tmp_path):
    """What is in the file, and what is no more; name servers do not know it."""
    with Server() as s:
        dns = Dns({})
        r = named(dns, route(f"tcp://sim.example:{s.port}", "framing = line"))
        refused(r, 502, "backend-resolve")
        for line, answer in (("127.0.0.1 sim.example\n", 101), ("", 502),
                             ("::1 x\n127.0.0.1 y sim.example\n", 101)):
            (tmp_path / "hosts").write_text(line)
            wait_for(lambda: Client(r, "/r", wait=False).answer() == answer,
                     f"the answer {answer}")
