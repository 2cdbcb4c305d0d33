"""RFC 6455 towards browsers and towards ws backends, frame by frame."""
import asyncio

import aiohttp
import aiohttp.web
import pytest
import websockets

from peers import (BINARY, CLOSE, CONT, PING, PONG, TEXT, Background, Client,
                   Frame, Node, Server, close_payload, frame, ws_pair, xor)
from relay import PATIENCE, Relay, mint

MAX = 1000
ROUTES = f"""
[key lab]
secret_file = {{dir}}/secret

[route echo]
path = /echo
backend = echo:
auth = none
max_message = {MAX}

[route big]
path = /big
backend = echo:
auth = none
max_message = 4M

[route line]
path = /line
backend = exec:/bin/cat
auth = none
max_message = {MAX}

[route token]
path = /token
backend = echo:
"""


def ws_route(port, more=""):
    return f"""
[route ws]
path = /ws
backend = ws://127.0.0.1:{port}/
auth = none
max_message = 4M
{more}
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One daemon for the tests that only need built-in backends."""
    r = Relay(ROUTES, tmp_path_factory.mktemp("relay"))
    yield r
    r.stop()


def expect_end(r, c, code, word):
    """The client is told, and one line says the same."""
    f = c.closed(code, word + ":")
    line = r.wait_log("close", id=c.id)
    assert (line["reason"], line["side"], line["code"]) == \
        (word, "client", str(code))
    return f, line


# --- violations ------------------------------------------------------------

def invalid(payload, first=b""):
    """Text in one frame, or behind a first fragment."""
    return frame(TEXT, payload) if not first else \
        frame(TEXT, first, fin=False) + frame(CONT, payload)


PROTOCOL = {
    **{f"rsv{n}": frame(TEXT, "x", rsv=n) for n in (1, 2, 4)},
    "rsv-ping": frame(PING, "x", rsv=4),
    **{f"opcode{n}": frame(n, "x") for n in (3, 4, 5, 6, 7,
                                             11, 12, 13, 14, 15)},
    "no-mask": frame(TEXT, "x", mask=None),
    "no-mask-ping": frame(PING, mask=None),
    "ping-fragment": frame(PING, "x", fin=False),
    "pong-fragment": frame(PONG, "x", fin=False),
    "close-fragment": frame(CLOSE, fin=False),
    "ping-126": frame(PING, bytes(126)),
    "ping-64-bit": frame(PING, bytes(10), form=64),
    "close-126": frame(CLOSE, close_payload(1000, "x" * 124)),
    "cont-first": frame(CONT, "x"),
    "cont-after-end": frame(TEXT, "x", fin=False) + frame(CONT) +
    frame(CONT),
    "text-in-text": frame(TEXT, "x", fin=False) + frame(TEXT, "x"),
    "binary-in-text": frame(TEXT, "x", fin=False) + frame(BINARY, "x"),
    "text-in-binary": frame(BINARY, "x", fin=False) + frame(TEXT, "x"),
    "long-form-16": frame(TEXT, "x" * 125, form=16),
    "long-form-64": frame(TEXT, "x" * 126, form=64),
    "length-2-63": frame(BINARY, b"x", form=64, length=1 << 63),
    "close-1-byte": frame(CLOSE, b"\x03"),
    **{f"close-{n}": frame(CLOSE, close_payload(n))
       for n in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999,
                 5000, 65535)},
}


@pytest.mark.parametrize("name", PROTOCOL)
def test_violation_is_1002(shared, name):
    with Client(shared, "/echo") as c:
        # What follows a violation means nothing, not even a valid frame.
        c.write(PROTOCOL[name] + frame(TEXT, "behind"))
        while True:
            f = c.frame()
            if f.opcode == CLOSE:
                break
            assert f.payload != b"behind"
        assert f.code == 1002 and f.reason.startswith("protocol:"), f
        c.shut()
        c.ended()
        line = shared.wait_log("close", id=c.id)
        assert (line["reason"], line["side"], line["code"]) == \
            ("protocol", "client", "1002")
        assert line["detail"]


UTF8 = {
    "lone": b"\x80",
    "overlong-2": b"\xc0\x80",
    "overlong-3": b"\xe0\x80\x80",
    "overlong-4": b"\xf0\x80\x80\x80",
    "surrogate": b"\xed\xa0\x80",
    "over-10ffff": b"\xf4\x90\x80\x80",
    "fe": b"\xfe",
    "cut": "æ".encode()[:1],
    "cut-4": "🌊".encode()[:3],
    "cut-then-ascii": "🌊".encode()[:3] + b"x",
}


@pytest.mark.parametrize("first", [b"", b"good "])
@pytest.mark.parametrize("name", UTF8)
def test_invalid_text_is_1007(shared, name, first):
    with Client(shared, "/echo") as c:
        c.write(invalid(UTF8[name], first))
        if first:
            assert c.recv() == Frame(TEXT, first, fin=False)
        expect_end(shared, c, 1007, "invalid-data")


def test_invalid_close_reason_is_1007(shared):
    with Client(shared, "/echo") as c:
        c.write(frame(CLOSE, close_payload(1000, b"\xff")))
        expect_end(shared, c, 1007, "invalid-data")


@pytest.mark.parametrize("data", [
    frame(TEXT, b"ab\xff", length=900),
    frame(TEXT, b"ab\xff", fin=False),
    frame(TEXT, b"\xf0\x9f", fin=False) + frame(CONT, b"\xf5", fin=False),
], ids=["in-a-frame", "in-a-fragment", "over-fragments"])
def test_invalid_text_fails_early(shared, data):
    """The rest of the message never comes, and is not waited for."""
    with Client(shared, "/echo") as c:
        c.write(data)
        frames = []
        while not frames or frames[-1].opcode != CLOSE:
            frames.append(c.recv())
        assert frames[-1].code == 1007
        c.shut()
        c.ended()


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_utf8_may_be_cut_by_fragments_and_reads(shared, cut):
    wave = "🌊".encode()
    with Client(shared, "/echo") as c:
        c.send(TEXT, wave[:cut], fin=False)
        assert c.synced()
        c.send(CONT, wave[cut:])
        assert c.recv() == Frame(CONT, wave[cut:])


SIZES = {
    "one-frame": frame(BINARY, bytes(MAX + 1)),
    "head-alone": frame(BINARY, b"", length=MAX + 1, form=16),
    "huge": frame(TEXT, b"", length=(1 << 63) - 1, form=64),
    "two-frames": frame(TEXT, "x" * MAX, fin=False) + frame(CONT, "x"),
    "many-frames": frame(TEXT, fin=False) +
    frame(CONT, "x" * 100, fin=False) * 10 + frame(CONT, "x", fin=False),
    "sum-overflows": frame(TEXT, "xx", fin=False) +
    frame(CONT, b"", length=(1 << 63) - 1, form=64),
}


LENGTHS = {
    "one-frame": "1001 bytes",
    "head-alone": "1001 bytes",
    "huge": "9223372036854775807 bytes",
    "two-frames": "1001 bytes",
    "many-frames": "1001 bytes or more",
    "sum-overflows": "9223372036854775809 bytes",
}


@pytest.mark.parametrize("path", ["/echo", "/line"])
@pytest.mark.parametrize("name", SIZES)
def test_over_max_message_is_1009(shared, name, path):
    with Client(shared, path) as c:
        c.write(SIZES[name])
        while True:
            f = c.recv()
            if f.opcode == CLOSE:
                break
            assert f.opcode in (TEXT, CONT) and path == "/echo"
        assert f.code == 1009 and f.reason.startswith("too-big:")
        c.shut()
        c.ended()
        line = shared.wait_log("close", id=c.id, reason="too-big",
                               side="client", code=1009)
        assert line["detail"] == \
            f"a message of {LENGTHS[name]}, max_message is {MAX}"


@pytest.mark.parametrize("path", ["/echo", "/line"])
def test_max_message_itself_passes(shared, path):
    with Client(shared, path) as c:
        c.send(TEXT, "x" * MAX)
        assert c.message() == (TEXT, b"x" * MAX, 1)
        # and its limit counts anew for the next one
        c.send(TEXT, "y" * (MAX - 1), fin=False)
        c.send(CONT, "y")
        assert c.message()[1] == b"y" * MAX


REFUSED = {
    "binary-on-line": ("/line", frame(BINARY, b"x"), 1003, "unsupported"),
    "empty-binary": ("/line", frame(BINARY), 1003, "unsupported"),
    "lf-on-line": ("/line", frame(TEXT, "a\nb"), 1008, "policy"),
    "lf-at-end": ("/line", frame(TEXT, "a\n"), 1008, "policy"),
    "lf-over-fragments": ("/line", frame(TEXT, "a", fin=False) +
                          frame(CONT, "\nb"), 1008, "policy"),
    "cr-on-line": ("/line", frame(TEXT, "a\rb"), 1008, "policy"),
    "cr-at-end": ("/line", frame(TEXT, "a\r"), 1008, "policy"),
    "cr-over-fragments": ("/line", frame(TEXT, "a", fin=False) +
                          frame(CONT, "\rb"), 1008, "policy"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_message_that_the_framing_has_not(shared, name):
    path, data, code, word = REFUSED[name]
    with Client(shared, path) as c:
        c.write(data)
        expect_end(shared, c, code, word)


@pytest.mark.parametrize("data", [frame(TEXT, "x"), frame(BINARY),
                                  frame(TEXT, "x", fin=False)])
def test_reader_that_writes_is_1008(shared, data):
    with Client(shared, "/token", token=mint("/token", perm="r")) as c:
        c.send(PING, "allowed")
        assert c.recv() == Frame(PONG, b"allowed")
        c.write(data)
        expect_end(shared, c, 1008, "read-only")


# --- frames that are right -------------------------------------------------

@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 200000])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_every_length(shared, size, opcode):
    with Client(shared, "/big") as c:
        payload = b"\x41" * size if opcode == TEXT else \
            bytes(i & 255 for i in range(size))
        c.send(opcode, payload)
        assert c.message()[:2] == (opcode, payload)


@pytest.mark.parametrize("mask", [bytes(4), b"\xff\xff\xff\xff",
                                  b"\x01\x02\x03\x04"])
def test_every_mask(shared, mask):
    with Client(shared, "/echo") as c:
        for n in range(20):
            c.send(TEXT, "æøå abcdefghijklm"[:n], mask=mask)
            assert c.recv().text == "æøå abcdefghijklm"[:n]


def test_ping_is_answered_with_its_payload(shared):
    with Client(shared, "/echo") as c:
        for payload in [b"", b"x", bytes(range(125))]:
            c.send(PING, payload)
            assert c.frame() == Frame(PONG, payload)


def test_pong_is_ignored(shared):
    with Client(shared, "/echo") as c:
        for payload in [b"", b"unasked", bytes(125)]:
            c.send(PONG, payload)
        c.send(TEXT, "x")
        assert c.frame() == Frame(TEXT, b"x")


def test_control_frames_between_fragments(shared):
    with Client(shared, "/line") as c:
        c.send(TEXT, "hel", fin=False)
        c.send(PING, "1")
        c.send(CONT, "lo ", fin=False)
        c.send(PONG, "2")
        c.send(PING, "3")
        c.send(CONT, "", fin=False)
        c.send(CONT, "world")
        got = [c.frame()]
        if got == [Frame(PONG, b"1")]:  # else both came in one read
            got = [c.frame()]
        assert got == [Frame(PONG, b"3")]
        assert c.frame() == Frame(TEXT, b"hello world")


def test_the_newest_ping_of_a_read_is_answered(shared):
    with Client(shared, "/echo") as c:
        c.write(b"".join(frame(PING, str(i)) for i in range(5000)))
        got = [c.frame()]
        while got[-1].payload != b"4999":
            got.append(c.frame())
        assert all(f.opcode == PONG for f in got) and len(got) < 100
        assert c.synced() == []


def test_any_cut_of_the_bytes_is_the_same(shared):
    data = frame(TEXT, "æ" * 70, fin=False) + frame(PING, "p") + \
        frame(CONT, "🌊") + frame(BINARY, bytes(300)) + \
        frame(CLOSE, close_payload(3333, "bye"))
    with Client(shared, "/line") as c:
        for byte in data[:-305]:  # up to the binary: it ends this route
            c.write(bytes([byte]))
        assert c.recv() == Frame(PONG, b"p")
        assert c.recv().text == "æ" * 70 + "🌊"
    with Client(shared, "/echo") as c:
        for byte in data:
            c.write(bytes([byte]))
        text, binary = bytearray(), bytearray()
        while True:
            f = c.recv()
            if f.opcode == CLOSE:
                break
            if f.opcode in (TEXT, CONT) and not binary:
                text += f.payload
            if f.opcode == BINARY or binary and f.opcode == CONT:
                binary += f.payload
        assert text.decode() == "æ" * 70 + "🌊"
        assert len(binary) == 300
        assert (f.code, f.reason) == (3333, "")


CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013,
         1014, 3000, 3999, 4000, 4999]


@pytest.mark.parametrize("code", CODES)
def test_close_code_is_echoed(shared, code):
    with Client(shared, "/echo") as c:
        c.send_close(code, "because æ")
        f = c.frame()
        assert f.opcode == CLOSE and f.code == code
        c.ended()
        shared.wait_log("close", id=c.id, reason="client-close",
                        side="client", code=code)


def test_empty_close_is_answered_empty(shared):
    with Client(shared, "/echo") as c:
        c.send_close()
        assert c.frame() == Frame(CLOSE, b"")
        c.ended()
        shared.wait_log("close", id=c.id, reason="client-close", code=1005)


def test_nothing_is_read_behind_a_close(shared):
    with Client(shared, "/echo") as c:
        c.write(frame(CLOSE, close_payload(1000)) + frame(TEXT, "late"))
        assert c.frame().code == 1000
        c.ended()


# --- towards ws backends ---------------------------------------------------

def test_one_read_is_one_frame(relay):
    with Server() as s:
        r = relay(ws_route(s.port))
        c, b = ws_pair(r, s, "/ws")
        for size in (0, 1, 125, 126, 1000, 1400):
            c.send(BINARY, bytes(size))
            assert b.frame() == Frame(BINARY, bytes(size), masked=True)
            b.send(TEXT, b"x" * size)
            assert c.frame() == Frame(TEXT, b"x" * size)


def test_long_frame_leaves_as_fragments(relay):
    payload = bytes(range(256)) * 8000
    with Server() as s:
        r = relay(ws_route(s.port))
        c, b = ws_pair(r, s, "/ws")
        for source, sink in ((c, b), (b, c)):
            masked = sink is b
            data = frame(BINARY, payload) if source is c else \
                frame(BINARY, payload, mask=None)
            # Half of it is passed on although the rest has not come.
            source.write(data[:300000])
            first = sink.frame()
            assert first.opcode == BINARY and not first.fin
            assert first.masked == masked
            got = bytearray(first.payload)
            while len(got) < 299000:
                f = sink.frame()
                assert f.opcode == CONT and not f.fin
                got += f.payload
            # Control frames fit between.
            sink.send(PING, "now")
            assert sink.frame() == Frame(PONG, b"now", masked=masked)
            job = Background(source.write, data[300000:])
            while True:
                f = sink.frame()
                assert f.opcode == CONT
                got += f.payload
                if f.fin:
                    break
            job.done()
            assert bytes(got) == payload


def test_fragments_stay_fragments(relay):
    with Server() as s:
        r = relay(ws_route(s.port))
        c, b = ws_pair(r, s, "/ws")
        for source, sink in ((c, b), (b, c)):
            for i, (opcode, part, fin) in enumerate([
                    (TEXT, b"one", False), (CONT, b"two", False),
                    (CONT, b"", True), (BINARY, b"\xff", False),
                    (CONT, b"\xfe", True)]):
                source.send(opcode, part, fin=fin)
                f = sink.frame()
                assert (f.opcode, f.payload, f.fin) == (opcode, part, fin)


def test_masks_are_not_predictable(relay):
    with Server() as s:
        r = relay(ws_route(s.port))
        c, b = ws_pair(r, s, "/ws")
        seen = set()
        for _ in range(64):
            c.send(TEXT, "same")
            data = b.exactly(10)
            assert data[:2] == b"\x81\x84"
            assert xor(data[6:], data[2:6]) == b"same"
            seen.add(data[2:6])
        assert len(seen) == 64


def test_pings_are_hop_by_hop(relay):
    with Server() as s:
        r = relay(ws_route(s.port))
        c, b = ws_pair(r, s, "/ws")
        c.send(PING, "mine")
        assert c.frame() == Frame(PONG, b"mine")
        b.send(PING, "yours")
        assert b.frame() == Frame(PONG, b"yours", masked=True)
        c.send(TEXT, "x")
        b.send(TEXT, "y")
        assert b.frame().payload == b"x"
        assert c.frame().payload == b"y"


def test_broken_off_message_ends_with_a_whole_close(relay):
    """A client that resets in the middle of a frame: its backend still gets
    frames that are right."""
    with Server() as s:
        r = relay(ws_route(s.port))
        c, b = ws_pair(r, s, "/ws")
        c.write(frame(BINARY, bytes(100), length=200000, form=64))
        assert b.frame() == Frame(BINARY, bytes(100), fin=False, masked=True)
        c.reset()
        f = b.frame()
        assert f.opcode == CLOSE and f.code == 1001
        b.close()
        r.wait_log("close", reason="client-reset")


# With the code that the backend is told.
VIOLATIONS_OF_BACKEND = {
    "masked": (1002, frame(TEXT, "x")),
    "rsv": (1002, frame(TEXT, "x", rsv=4, mask=None)),
    "opcode": (1002, frame(3, "x", mask=None)),
    "utf8": (1007, frame(TEXT, b"\xff", mask=None)),
    "close-1005": (1002, frame(CLOSE, close_payload(1005), mask=None)),
    "close-utf8": (1007, frame(CLOSE, close_payload(1000, b"\xff"),
                               mask=None)),
    "too-big": (1009, frame(BINARY, b"", length=2001, form=16, mask=None)),
    "cont": (1002, frame(CONT, "x", mask=None)),
}


@pytest.mark.parametrize("name", VIOLATIONS_OF_BACKEND)
def test_backend_violation_is_1011(relay, name):
    code, data = VIOLATIONS_OF_BACKEND[name]
    with Server() as s:
        r = relay(ws_route(s.port, "max_backend_message = 2000"))
        c, b = ws_pair(r, s, "/ws")
        b.write(data)
        c.closed(1011, "backend-protocol:")
        f = b.frame()
        assert f.opcode == CLOSE and f.code == code
        b.shut()
        b.ended()
        line = r.wait_log("close", id=c.id)
        assert (line["reason"], line["side"]) == ("backend-protocol",
                                                  "backend")
        assert line["detail"] if name != "too-big" else line["detail"] == \
            "a message of 2001 bytes, max_backend_message is 2000"


@pytest.mark.parametrize("data", [frame(TEXT, b"\xff"),
                                  frame(TEXT, "x" * 126), frame(3)])
def test_a_fault_of_the_client_is_none_of_the_backend(relay, data):
    with Server() as s:
        r = relay(ws_route(s.port).replace("max_message = 4M",
                                           "max_message = 125"))
        c, b = ws_pair(r, s, "/ws")
        c.write(data)
        f = c.recv()
        assert f.code in (1002, 1007, 1009)
        assert b.frame().code == 1001


@pytest.mark.parametrize("code", CODES)
def test_close_codes_pass_both_ways(relay, code):
    with Server() as s:
        r = relay(ws_route(s.port))
        c, b = ws_pair(r, s, "/ws")
        c.send_close(code, "from the client")
        f = b.frame()
        assert (f.code, f.reason) == (code, "from the client")
        b.send(CLOSE, f.payload)
        assert c.frame().code == code
        c.ended()
        c, b = ws_pair(r, s, "/ws")
        b.send_close(code, "from the backend")
        f = c.closed(code)
        assert f.reason == "from the backend"
        assert b.frame().code == code
        b.ended()
        line = r.wait_log("close", id=c.id)
        assert (line["reason"], line["side"], line["code"]) == \
            ("backend-close", "backend", str(code))


def test_empty_close_stays_empty(relay):
    with Server() as s:
        r = relay(ws_route(s.port))
        c, b = ws_pair(r, s, "/ws")
        c.send_close()
        assert b.frame() == Frame(CLOSE, b"", masked=True)
        c, b = ws_pair(r, s, "/ws")
        b.send_close()
        assert c.frame() == Frame(CLOSE, b"")


def test_bytes_behind_the_handshakes_are_frames(relay):
    """The client's first frames come with its request, the backend's with
    its answer."""
    with Server() as s:
        r = relay(ws_route(s.port))
        c = Client(r, "/ws", wait=False)
        c.write(frame(TEXT, "early") + frame(PING, "p") + frame(TEXT, "2"))
        b = s.accept_ws()
        b.accept(extra=frame(TEXT, "hello", mask=None) +
                 frame(BINARY, "x", mask=None))
        c.upgraded()
        assert b.recv().payload == b"early"
        assert b.recv().payload == b"2"
        got = [c.frame() for _ in range(3)]
        assert Frame(PONG, b"p") in got
        assert [f for f in got if f.opcode != PONG] == \
            [Frame(TEXT, b"hello"), Frame(BINARY, b"x")]


# --- other people's programs -----------------------------------------------

class PythonBackend:
    """echo_server.js once more, with websockets or aiohttp."""

    def __init__(self, library):
        self.library = library
        self.events = asyncio.Queue()

    async def __aenter__(self):
        if self.library == "websockets":
            self.server = await websockets.serve(
                self.by_websockets, "127.0.0.1", 0, max_size=None,
                subprotocols=["two"])
            self.port = self.server.sockets[0].getsockname()[1]
        else:
            app = aiohttp.web.Application()
            app.router.add_get("/", self.by_aiohttp)
            self.runner = aiohttp.web.AppRunner(app)
            await self.runner.setup()
            site = aiohttp.web.TCPSite(self.runner, "127.0.0.1", 0)
            await site.start()
            self.port = self.runner.addresses[0][1]
        return self

    async def __aexit__(self, *_):
        if self.library == "websockets":
            self.server.close()
            await self.server.wait_closed()
        else:
            await self.runner.cleanup()

    async def by_websockets(self, ws):
        try:
            async for message in ws:
                if isinstance(message, str) and message.startswith("close "):
                    _, code, reason = message.split(" ", 2)
                    await ws.close(int(code), reason)
                    break
                await ws.send(message)
        except websockets.ConnectionClosed:
            pass
        await ws.wait_closed()
        closed = close_received(ws)
        await self.events.put((closed.code, closed.reason))

    async def by_aiohttp(self, request):
        ws = aiohttp.web.WebSocketResponse(protocols=("two",), max_msg_size=0,
                                           autoclose=False)
        await ws.prepare(request)
        while True:
            m = await ws.receive()
            if m.type == aiohttp.WSMsgType.TEXT:
                if m.data.startswith("close "):
                    _, code, reason = m.data.split(" ", 2)
                    await ws.close(code=int(code), message=reason.encode())
                    await self.events.put((ws.close_code, reason))
                    return ws
                await ws.send_str(m.data)
            elif m.type == aiohttp.WSMsgType.BINARY:
                await ws.send_bytes(m.data)
            else:
                await self.events.put((m.data, m.extra))
                await ws.close(code=m.data or 1000)
                return ws

    async def closed(self):
        return await asyncio.wait_for(self.events.get(), PATIENCE)


def close_received(ws):
    """The close frame that a connection of websockets has got; 14 moved
    it."""
    return getattr(ws, "protocol", ws).close_rcvd


class NodeBackend:
    async def __aenter__(self):
        self.node = Node("echo_server.js")
        self.port = self.node.line()["port"]
        return self

    async def __aexit__(self, *_):
        self.node.__exit__()

    async def closed(self):
        event = await asyncio.to_thread(self.node.line)
        return event["closed"], event["reason"]


MESSAGES = ["", "text 🌊 æøå", "x" * 70000, b"", b"\7" * 300000,
            b"\0\xff\x80"]


async def client_websockets(url, who, code, reason):
    async with websockets.connect(url, subprotocols=["one", "two"],
                                  max_size=None) as ws:
        seen = {"protocol": ws.subprotocol, "echoed": 0}
        for m in MESSAGES:
            await ws.send(m)
            assert await ws.recv() == m
            if m:  # and in fragments
                await ws.send(m[i:i + len(m) // 2 + 1]
                              for i in (0, len(m) // 2 + 1))
                assert await ws.recv() == m
            seen["echoed"] += 1
        await (await ws.ping())
        if who == "client":
            await ws.close(code, reason)
        else:
            await ws.send(f"close {code} {reason}")
            await ws.wait_closed()
        closed = close_received(ws)
        seen.update(code=closed.code, reason=closed.reason)
        return seen


async def client_aiohttp(url, who, code, reason):
    async with aiohttp.ClientSession() as session, session.ws_connect(
            url, protocols=["one", "two"], max_msg_size=0,
            autoclose=False) as ws:
        seen = {"protocol": ws.protocol, "echoed": 0}
        for m in MESSAGES:
            await (ws.send_str if isinstance(m, str) else ws.send_bytes)(m)
            assert (await ws.receive()).data == m
            seen["echoed"] += 1
        if who == "client":
            await ws.close(code=code, message=reason.encode())
            seen.update(code=ws.close_code, reason="")
        else:
            await ws.send_str(f"close {code} {reason}")
            m = await ws.receive()
            assert m.type == aiohttp.WSMsgType.CLOSE, m
            seen.update(code=m.data, reason=m.extra)
            await ws.close()
        return seen


async def client_node(library, url, who, code, reason):
    with Node("client.js", library, url, "one,two", who, code,
              reason) as node:
        seen = await asyncio.to_thread(node.line)
        assert seen.pop("clean") and "error" not in seen
        return seen


@pytest.mark.parametrize("who", ["client", "backend"])
@pytest.mark.parametrize("backend", ["websockets", "aiohttp", "node-ws"])
@pytest.mark.parametrize("client", ["websockets", "aiohttp", "node-ws",
                                    "undici"])
def test_interoperates(relay, client, backend, who):
    code, reason = (3210, "bye æ") if who == "client" else (4321, "done æ")

    async def run():
        b = NodeBackend() if backend == "node-ws" else PythonBackend(backend)
        async with b:
            r = relay(ws_route(b.port))
            url = r.url("/ws")
            if client == "websockets":
                seen = await client_websockets(url, who, code, reason)
            elif client == "aiohttp":
                seen = await client_aiohttp(url, who, code, reason)
            else:
                seen = await client_node(
                    "ws" if client == "node-ws" else "undici", url, who,
                    code, reason)
            assert seen["protocol"] == "two"
            assert seen["echoed"] == seen.get("sent", len(MESSAGES)), seen
            assert seen["code"] == code
            got = await b.closed()
            assert got[0] == code, got
            if who == "backend":
                assert seen["reason"] == reason
            else:
                assert got[1] == reason
            r.wait_log("close", reason=who + "-close", side=who, code=code)
    asyncio.run(run())
