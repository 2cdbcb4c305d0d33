"""How a pair ends: why, who is told what, and that nothing gets lost."""
import contextlib
import fcntl
import os
import pathlib
import re
import signal
import socket
import struct
import termios
import threading
import time

import pytest

from pace import unhurried
from peers import (BINARY, CLOSE, PING, PONG, TEXT, Background, Client,
                   Server, alive, children, frame, program, ws_pair)
from relay import KEY, PATIENCE, ROOT, mint, wait_for
from secure import SECURE

FAST_PINGS = "ping_interval = 200ms\nping_timeout = 300ms"


def route(backend, *more, auth="none"):
    return "\n".join(["[route r]", "path = /r", f"backend = {backend}",
                      f"auth = {auth}", *more, ""])


def len32(payload):
    return struct.pack(">IB", len(payload) + 1, BINARY) + payload


class Pair:
    """A daemon, a client and a backend that speaks lines, ws, ..."""

    def __init__(self, relay, *more, kind="line", ini="", server="",
                 rcvbuf=None, **options):
        self.kind = kind
        self.s = Server(rcvbuf=rcvbuf)
        if kind == "ws":
            text = route(f"ws://127.0.0.1:{self.s.port}/", *more)
        else:
            text = route(self.s.uri, f"framing = {kind}", *more)
        self.r = relay(ini + text, server=server)
        self.c, self.b = self.open(**options)

    def open(self, **options):
        if self.kind == "ws":
            return ws_pair(self.r, self.s, "/r", **options)
        c = Client(self.r, "/r", **options)
        return c, self.s.accept()

    def encode(self, payload):
        """What the backend sends for a message."""
        if self.kind == "line":
            return payload + b"\n"
        if self.kind == "ws":
            return frame(BINARY, payload, mask=None)
        return len32(payload) if self.kind == "len32" else payload

    def line(self, reason, **fields):
        """The one line of the end."""
        line = self.r.wait_log("close", id=self.c.id)
        assert line["reason"] == reason, line
        for k, v in fields.items():
            assert line.get(k) == (None if v is None else str(v)), line
        return line


# --- every reason ----------------------------------------------------------

def end_client_close(p):
    p.c.send_close(4001, "mine")
    f = p.c.recv()
    assert (f.code, f.reason) == (4001, "")
    p.c.ended()
    assert p.b.rest() == b""
    p.b.close()


def end_backend_close(p):
    p.b.close()
    assert p.c.closed(1000).reason == ""


def end_shutdown(p):
    p.r.kill(signal.SIGTERM)
    p.c.closed(1001, "shutdown: the relay stops")
    assert p.b.rest() == b""
    p.b.close()


def end_client_gone(p):
    p.c.shut()
    assert p.c.rest() == b""
    assert p.b.rest() == b""
    p.b.close()


def end_client_reset(p):
    p.c.reset()
    assert p.b.rest() == b""
    p.b.close()


def end_ping_timeout(p):
    assert p.c.frame().opcode == PING
    f = p.c.frame()  # no pong was sent
    assert f.opcode == CLOSE and f.code == 1001
    assert f.reason.startswith("ping-timeout:")
    p.c.send(CLOSE, f.payload)
    p.c.ended()
    p.b.close()


def told(code, word, send=None, from_backend=None):
    """The client is told, the backend sees the end."""
    def end(p):
        if send:
            p.c.write(send)
        if from_backend is not None:
            p.b.write(from_backend)
        p.c.closed(code, word + ": ")
        assert p.b.rest() == b""
        p.b.close()
    return end


def end_backend_reset(p):
    p.b.reset()
    p.c.closed(1011, "backend-reset: the backend's connection broke")


# word: (what ends it, code, side, options of the route)
ENDS = {
    "client-close": (end_client_close, 4001, "client", ""),
    "backend-close": (end_backend_close, 1000, "backend", ""),
    "shutdown": (end_shutdown, 1001, None, ""),
    "client-gone": (end_client_gone, None, "client", ""),
    "client-reset": (end_client_reset, None, "client", ""),
    "ping-timeout": (end_ping_timeout, 1001, "client", FAST_PINGS),
    "idle": (told(1001, "idle"), 1001, "client", "idle_timeout = 200ms"),
    "backend-idle": (told(1001, "backend-idle"), 1001, "backend",
                     "backend_idle_timeout = 200ms"),
    "session-end": (told(3000, "session-end"), 3000, None,
                    "max_session = 1s"),
    "token-end": (told(3000, "token-end"), 3000, None, "auth"),
    "protocol": (told(1002, "protocol", frame(3)), 1002, "client", ""),
    "unsupported": (told(1003, "unsupported", frame(BINARY)), 1003,
                    "client", ""),
    "invalid-data": (told(1007, "invalid-data", frame(TEXT, b"\xff")), 1007,
                     "client", ""),
    "policy": (told(1008, "policy", frame(TEXT, "\n")), 1008, "client", ""),
    "read-only": (told(1008, "read-only", frame(TEXT, "x")), 1008, "client",
                  "auth"),
    "too-big": (told(1009, "too-big", frame(TEXT, "x" * 126)), 1009,
                "client", "max_message = 125"),
    "backend-reset": (end_backend_reset, 1011, "backend", ""),
    "backend-protocol": (told(1011, "backend-protocol",
                              from_backend=b"\xff\n"), 1011, "backend", ""),
}
# Tested elsewhere: test_control.py, test_reload_live.py, test_kill_9,
# test_pressure.py. And internal: no memory.
ELSEWHERE = {"killed", "key-removed", "backend-exit", "memory", "internal",
             "attach-replaced"}


@pytest.mark.parametrize("word", ENDS)
def test_reason(relay, word):
    end, code, side, options = ENDS[word]
    token, ini = None, ""
    if options == "auth":
        claims = {"perm": "r"} if word == "read-only" else \
            {"expire_at": time.time() + 1.5}
        token = mint("/r", **claims)
        ini, options = KEY, "keys = lab"
    p = Pair(relay, options, ini=ini, token=token) if not token else \
        Pair(lambda text, **o: relay(text.replace(
            "auth = none", "auth = token"), **o), options, ini=ini,
            token=token)
    end(p)
    line = p.line(word, code=code)
    assert side is None or line["side"] == side
    assert line["route"] == "r" and line["peer"].startswith("127.0.0.1:")
    assert int(line["age_ms"]) < PATIENCE * 1000
    p.r.stop(0 if word == "shutdown" else signal.SIGTERM)
    assert len(p.r.log("close")) == 1


def test_every_reason_of_an_open_connection_is_here():
    rows = re.findall(r'^REASON\(\w+, "([a-z-]+)",\s*(\d+),\s*(\d+)',
                      (ROOT / "src/base/reason.def").read_text(), re.M)
    assert len(rows) > 40
    # Status 0: it cannot be before the upgrade. These end no pair, or hubs
    # (test_hub.py, test_tagged.py) only, or come before the request (test_tls.py,
    # test_proxy_protocol.py):
    never = {"done", "keepalive-timeout", "slow", "linger", "tls-timeout",
             "tls-handshake", "tls-certificate", "tls-unexpected",
             "proxy-peer", "proxy-header", "backend-kick"}
    after = {word for word, status, _ in rows if status == "0"} - never
    assert after <= set(ENDS) | ELSEWHERE
    codes = {word: int(code) for word, _, code in rows}
    for word, (_, code, _, _) in ENDS.items():
        assert codes[word] in (0, code), word


def test_counts_in_the_close_line(relay):
    p = Pair(relay)
    for n in range(5):
        p.c.send(TEXT, "æ" * n)
    p.b.write(b"one\ntwo\r\n")
    for _ in range(2):
        p.c.recv()
    assert len(p.b.exactly(25)) == 25
    p.b.close()
    p.c.closed(1000)
    p.line("backend-close", client_messages=5, client_bytes=20,
           backend_messages=2, backend_bytes=6, client_dropped=0,
           backend_dropped=0)


def test_subject_and_path_in_the_lines(relay):
    s = Server()
    r = relay(KEY + route(s.uri, "framing = line", auth="token"))
    c = Client(r, "/r", token=mint("/r", sub="alice bob"))
    c.send_close(1000)
    c.recv()
    c.ended()
    s.accept().close()
    assert r.wait_log("open", id=c.id)["subject"] == "alice bob"
    assert r.log("open")[0]["path"] == "/r"
    assert r.wait_log("close", id=c.id)["subject"] == "alice bob"


# --- a clean close loses nothing -------------------------------------------

KINDS = ["line", "len32", "raw", "ws"]
MANY = [b"%d " % i + b"x" * (i * 37 % 8000) for i in range(500)]


def received(p):
    """What the backend got, up to its end."""
    if p.kind != "ws":
        return p.b.rest()
    got = bytearray()
    while (f := p.b.recv()).opcode != CLOSE:
        got += f.payload
    assert f.code == 1000
    p.b.send(CLOSE, f.payload)
    assert p.b.rest() == b""
    return bytes(got)


@pytest.mark.parametrize("leaves", ["waits", "at-once"])
@pytest.mark.parametrize("kind", KINDS)
def test_all_of_the_client_arrives_before_the_end(relay, kind, leaves):
    """The backend reads only when everything was sent, or as much as fits."""
    p = Pair(relay, "queue_limit = 64K", kind=kind, rcvbuf=4096)
    expected = b"".join(m if kind in ("ws", "raw") else p.encode(m)
                        for m in MANY)
    opcode = TEXT if kind == "line" else BINARY

    def send():
        for m in MANY:
            p.c.send(opcode, m)
        p.c.send_close(1000)
        if leaves == "at-once":
            p.c.close()
    job = Background(send)
    p.b.more(1)  # it has begun
    assert received(p) == expected
    p.b.close()
    job.done()
    if leaves == "waits":
        assert p.c.recv().code == 1000
        p.c.ended()
    p.line("client-close", client_messages=500, client_dropped=0)


@pytest.mark.parametrize("kind", KINDS)
def test_all_of_the_backend_arrives_before_the_close(relay, kind):
    p = Pair(relay, "queue_limit = 64K", kind=kind)
    slow, b = p.c, p.b

    def send():
        for m in MANY:
            b.write(p.encode(m))
        if kind == "ws":
            b.send_close(1000)
        else:
            b.close()
    job = Background(send)
    got = bytearray()
    while (f := slow.recv()).opcode != CLOSE:
        got += f.payload
    assert f.code == 1000
    assert bytes(got) == b"".join(MANY)
    slow.send(CLOSE, f.payload)
    slow.ended()
    job.done()
    if kind == "ws":
        assert b.recv().code == 1000
        b.ended()
    p.line("backend-close", code=1000)


def test_all_of_both_arrives(relay):
    """Both queues are full for most of the time."""
    p = Pair(relay, "queue_limit = 64K", kind="len32")
    jobs = [Background(lambda: [p.c.send(BINARY, m) for m in MANY]),
            Background(lambda: [p.b.write(p.encode(m)) for m in MANY]),
            Background(lambda: [p.c.recv().payload for _ in MANY])]
    for m in MANY:
        assert p.b.exactly(len(p.encode(m))) == p.encode(m)
    assert [job.done() for job in jobs][2] == MANY


def test_what_a_backend_says_after_the_end_is_counted(relay):
    p = Pair(relay)
    p.c.send(TEXT, "last")
    p.c.send_close(1000)
    assert p.c.recv().code == 1000
    p.c.ended()
    assert p.b.rest() == b"last\n"
    p.b.write(b"too late\n" * 1000)
    p.b.close()
    p.line("client-close", backend_dropped=9000, backend_messages=0)


def test_what_a_client_says_after_the_end_is_counted(relay):
    p = Pair(relay)
    p.b.close()
    assert p.c.recv().code == 1000
    for _ in range(10):
        p.c.send(TEXT, "x" * 100)
    p.c.send_close(1000)
    p.c.ended()
    p.line("backend-close", client_messages=0, client_dropped=1000)


@pytest.mark.parametrize("kind", ["line", "len32"])
@pytest.mark.parametrize("mode", ["pair", "hub"])
def test_the_beginning_of_a_message_is_counted(relay, kind, mode):
    """Its rest never came, so the backend got nothing of it."""
    p = Pair(relay, f"mode = {mode}", kind=kind)
    p.c.send(TEXT, "whole")
    p.c.send(TEXT, "begun", fin=False)
    p.c.send_close(1000)
    assert p.c.recv().code == 1000
    p.c.ended()
    if mode == "pair":
        p.b.close()
    p.line("client-close", client_messages=1, client_bytes=10,
           client_dropped=5)


def test_close_is_not_destroyed_by_a_reset(relay):
    """The client talks on while it is being closed: the relay must read on,
    else its kernel answers with a reset, which eats the close frame."""
    p = Pair(relay, "max_message = 1000")
    p.c.write(frame(TEXT, "x" * 1001) + bytes(500000))
    p.c.closed(1009, "too-big:")
    p.b.close()
    p.line("too-big")


def goes_on(c):
    """Nothing comes, and no end either."""
    c.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        c.more()
    c.sock.settimeout(PATIENCE)


BAD = {
    "too-big": (1009, frame(TEXT, "x" * 100000)[:5000],
                frame(TEXT, "x" * 100000)[5000:]),
    "too-big-over-fragments": (
        1009, frame(TEXT, "x" * 999, fin=False) +
        frame(0, "xx", fin=False)[:-1], b"x" + frame(0, "more")),
    "invalid-data": (1007, frame(TEXT, b"\xff" + bytes(500))[:100],
                     frame(TEXT, b"\xff" + bytes(500))[100:]),
    "protocol": (1002, frame(TEXT, "x" * 10, rsv=4)[:8],
                 frame(TEXT, "x" * 10, rsv=4)[8:]),
    "read-only": (1008, frame(TEXT, "x"), b""),
}


@pytest.mark.parametrize("word", BAD)
def test_the_end_of_tcp_comes_behind_the_close_of_the_peer(relay, word):
    """RFC 6455 section 7.1.1. A browser that meets a FIN before it has sent
    its own close frame takes the end for an unclean one."""
    code, bad, rest = BAD[word]
    ini, options, token = "", "", None
    if word == "read-only":
        ini, token, options = KEY, mint("/r", perm="r"), "keys = lab"
    p = Pair(lambda text, **o: relay(text.replace(
        "auth = none", "auth = token" if token else "auth = none"), **o),
        "max_message = 1000", "close_timeout = 1m", options, ini=ini,
        token=token)
    start = time.monotonic()
    p.c.write(bad)
    f = p.c.recv()
    assert (f.opcode, f.code) == (CLOSE, code)
    goes_on(p.c)
    p.c.write(rest + frame(PING, "not answered") + frame(TEXT, "dropped"))
    goes_on(p.c)
    p.c.send(CLOSE, f.payload)
    p.c.ended()
    p.b.close()
    p.line(f.reason.split(":")[0], code=code)
    assert time.monotonic() - start < PATIENCE


REFUSED = """
[route closed]
path = /closed
backend = echo:
auth = none
reject = close
origins = https://page.example
close_timeout = {}
"""
FOREIGN = ["Origin: https://other.example"]


def refused(r, early=b""):
    """A client that was refused by a close frame; early comes with its
    request."""
    c = Client(r, "/closed", FOREIGN, wait=False)
    if early:
        c.write(early)
    c.upgraded()
    f = c.recv()
    assert (f.opcode, f.code) == (CLOSE, 3003)
    assert f.reason.startswith("origin:")
    return c, f


@pytest.mark.parametrize("says", [b"", frame(TEXT, "x" * 1000),
                                  frame(BINARY, bytes(300000)) + frame(PING)],
                         ids=["nothing", "text", "much"])
def test_a_refusal_by_close_ends_behind_the_close_of_the_client(relay, says):
    r = relay(REFUSED.format("1m"))
    c, f = refused(r)
    goes_on(c)
    c.write(says)
    goes_on(c)
    c.send(CLOSE, f.payload)
    c.ended()
    c, f = refused(r, says)
    goes_on(c)
    c.send(CLOSE, f.payload)
    c.ended()
    refused(r, says + frame(CLOSE))[0].ended()
    c, _ = refused(r)
    c.shut()
    c.ended()
    r.wait_log("refuse", count=4, reason="origin")
    r.stop()


def test_a_refusal_by_close_does_not_wait_for_ever(relay):
    r = relay(REFUSED.format("300ms"), server="workers = 1")
    before = r.descriptors()
    peers = [refused(r)[0] for _ in range(20)]
    for c in peers:
        c.ended()
    wait_for(lambda: r.descriptors() <= before, "descriptors to be freed")
    # nor does it take whatever comes meanwhile
    r = relay(REFUSED.format("1m"))
    c, _ = refused(r)
    with pytest.raises(ConnectionError):
        for _ in range(1000):
            c.write(frame(BINARY, bytes(60000)))


def test_a_refusal_by_close_when_the_relay_stops(relay):
    r = relay(REFUSED.format("1m"), server="drain_timeout = 1s")
    c, _ = refused(r)
    r.stop()
    c.ended()


def test_what_comes_instead_of_a_close_is_bounded(relay):
    """The length of this frame means nothing, so no close frame can be
    found behind it: close_timeout ends that, or the peer."""
    bad = frame(BINARY, form=64, length=1 << 63)
    p = Pair(relay, "close_timeout = 300ms")
    p.c.write(bad)
    f = p.c.recv()
    assert f.code == 1002
    p.c.send(CLOSE, f.payload)
    p.c.ended()
    p.b.close()
    assert int(p.line("protocol")["client_dropped"]) > 0
    p = Pair(relay, "close_timeout = 1m")
    p.c.write(bad)
    assert p.c.recv().code == 1002
    goes_on(p.c)
    p.c.shut()
    p.c.ended()
    p.b.close()
    p.line("protocol")


@pytest.mark.parametrize("kind", ["echo", "closing"])
def test_a_half_closed_client_gets_what_waits_for_it(relay, kind):
    """Megabytes wait for it in the relay when its end is seen: in an open
    pair, and in one that is being closed."""
    data = [b"%9d" % i + b"x" * 50000 for i in range(60)]
    if kind == "echo":
        r = relay(route("echo:", "queue_limit = 16M"), server="workers = 1")
        c = Client(r, "/r", rcvbuf=4096)
        for m in data:
            c.send(BINARY, m)
    else:
        p = Pair(relay, "queue_limit = 16M", server="workers = 1")
        r = p.r
        c, b = p.open(rcvbuf=4096)
        for m in data:
            b.write(m + b"\n")
        wait_for(lambda: not unread(b.sock), "the relay to have read all")
        b.close()
    c.shut()
    # The relay has seen the end when its loop has turned once more.
    Client(r, "/r")
    for m in data:
        assert c.message()[1] == m
    if kind == "closing":
        assert c.recv().code == 1000
    c.ended()
    assert r.wait_log("close", id=c.id)["reason"] == (
        "client-gone" if kind == "echo" else "backend-close")


# --- backends that die -----------------------------------------------------

@pytest.mark.parametrize("kind", KINDS)
def test_reset_of_the_backend_is_1011(relay, kind):
    p = Pair(relay, kind=kind)
    p.b.write(p.encode(b"before"))
    assert p.c.recv().payload == b"before"
    p.b.reset()
    p.c.closed(1011, "backend-reset:")
    p.line("backend-reset", side="backend", code=1011)


def test_ws_backend_without_close_frame_is_1011(relay):
    p = Pair(relay, kind="ws")
    p.b.close()
    p.c.closed(1011, "backend-reset:")
    p.line("backend-reset", side="backend")


def test_backend_reset_in_the_middle_of_a_message(relay):
    p = Pair(relay, kind="ws")
    p.b.write(frame(BINARY, b"part", length=100000, form=64, mask=None))
    f = p.c.recv()
    assert f.payload == b"part" and not f.fin
    p.b.reset()
    p.c.closed(1011, "backend-reset:")


def test_write_to_a_backend_that_is_gone(relay):
    """Its reset is met by a write, not by a read."""
    p = Pair(relay)
    p.b.reset()
    with contextlib.suppress(OSError):
        for _ in range(100):
            p.c.send(TEXT, "x")
    p.c.closed(1011, "backend-reset:")


def test_kill_9_of_an_exec_backend(relay, tmp_path):
    command = program(tmp_path, "print(os.getpid(), flush=True)\n"
                      "sys.stdin.read()")
    r = relay(route(f"exec:{command}"))
    clients = [Client(r, "/r") for _ in range(3)]
    pids = [int(c.recv().text) for c in clients]
    os.kill(pids[1], 9)
    f = clients[1].closed(1011)
    assert f.reason == "backend-exit:137"
    r.wait_log("close", id=clients[1].id, reason="backend-exit",
               side="backend", code=1011, detail="backend-exit:137")
    for c in (clients[0], clients[2]):  # its neighbours live
        assert c.synced() == []
    assert sorted(children(r.pid)) == sorted([pids[0], pids[2]])


# --- pings -----------------------------------------------------------------

def paced_pings(pace):
    return f"ping_interval = {200 * pace}ms\nping_timeout = {300 * pace}ms"


def read_slowly(c, pace, talks=False):
    """Takes bytes off the socket now and then; this is how slow it is."""
    for _ in range(22):
        c.more(16384)
        if talks:
            c.send(TEXT, "still there")
        time.sleep(0.1 * pace)


@pytest.mark.parametrize("load", ["stream", "burst"])
@pytest.mark.parametrize("reads", [True, False])
@unhurried
def test_client_on_a_slow_line_lives(relay, load, reads, pace):
    """A ping is behind megabytes that the client needs seconds for; in a
    burst all of them are in the kernel's buffers already. Its pong cannot
    come sooner."""
    p = Pair(relay, paced_pings(pace), "queue_limit = 64K", rcvbuf=None)
    c, b = p.open(rcvbuf=32768)
    n = 400 if load == "stream" else 20
    job = Background(lambda: [b.write(b"%9d" % i + b"x" * 50000 + b"\n")
                              for i in range(n)])
    if load == "burst":
        job.done()
    if reads:
        read_slowly(c, pace)
    else:
        time.sleep(2.2 * pace)  # the slowness itself
    for i in range(n):
        assert int(c.recv().payload[:9]) == i
    job.done()
    assert c.synced() == []
    assert not p.r.log("close", id=c.id)


@pytest.mark.parametrize("talks", [True, False])
@unhurried
def test_last_messages_reach_a_slow_line(relay, talks, pace):
    """The backend has ended, its last megabyte is in the kernel's buffers,
    and the client needs longer than close_timeout for it: steps of what it
    takes are a window of TCP, some tenths of a second."""
    p = Pair(relay, f"close_timeout = {800 * pace}ms")
    c, b = p.open(rcvbuf=32768)
    for i in range(20):
        b.write(b"%9d" % i + b"x" * 50000 + b"\n")
    # What the client says now meets a backend that is gone: its reset must
    # not destroy what this side's kernel still has to send.
    wait_for(lambda: not unread(b.sock), "the relay to have read all")
    b.close()
    read_slowly(c, pace, talks)
    for i in range(20):
        assert int(c.recv().payload[:9]) == i
    c.closed(1000)


@unhurried
def test_client_that_is_not_read_lives(relay, pace):
    """Its pongs are stuck behind what the backend does not take."""
    p = Pair(relay, paced_pings(pace), "queue_limit = 64K", rcvbuf=4096)
    total = 400
    job = Background(lambda: [p.c.send(TEXT, b"%9d" % i + b"x" * 50000)
                              for i in range(total)])
    time.sleep(1.5 * pace)  # some ping_timeouts
    for i in range(total):
        assert int(p.b.until()[:9]) == i
    job.done()
    assert p.c.synced() == []


@pytest.mark.parametrize("how", ["reset", "close"])
def test_client_that_vanishes_while_it_is_not_read(relay, how):
    """The backend takes nothing: nothing is read of the client any more,
    but that it has gone is seen all the same."""
    p = Pair(relay, FAST_PINGS, "queue_limit = 64K", "close_timeout = 300ms",
             rcvbuf=4096)
    p.c.sock.settimeout(0.5)
    # Sealing it all may take so long that a ping remains unanswered.
    with pytest.raises((TimeoutError, ConnectionError) if SECURE
                       else TimeoutError):
        while True:
            p.c.write(frame(BINARY if p.kind == "ws" else TEXT, "x" * 50000))
    getattr(p.c, how)()
    line = p.r.wait_log("close", id=p.c.id, patience=5)
    assert line["reason"] in ("ping-timeout", "client-reset", "client-gone")


def test_ws_backends_are_pinged(relay):
    p = Pair(relay, FAST_PINGS, kind="ws")
    job = Background(p.c.closed, 1011, "ping-timeout:")
    for _ in range(4):
        f = p.b.frame()
        assert f.opcode == PING and f.masked
        p.b.send(PONG, f.payload)
    # and one that does not answer is gone
    while (f := p.b.frame()).opcode == PING:
        pass
    assert f.opcode == CLOSE
    p.b.close()
    job.done()
    p.line("ping-timeout", side="backend", code=1011)


# --- times -----------------------------------------------------------------

@unhurried
def test_idle_timeout_is_about_messages(relay, pace):
    """Pings and the backend's messages do not count."""
    p = Pair(relay, f"idle_timeout = {600 * pace}ms")
    start = time.monotonic()
    for _ in range(4):
        time.sleep(0.2 * pace)  # in time, and longer than it in all
        p.c.send(TEXT, "x")
        p.b.until()
    last = time.monotonic()
    stop = threading.Event()

    def chatter():
        with contextlib.suppress(OSError):
            while not stop.wait(0.1):
                p.b.write(b"news\n")
                p.c.send(PING)
    job = Background(chatter)
    while (f := p.c.recv()).opcode != CLOSE:
        pass
    assert f.code == 1001 and f.reason.startswith("idle:")
    assert time.monotonic() - last >= 0.55 * pace
    assert last - start > 0.6 * pace
    stop.set()
    job.done()
    p.c.close()
    p.b.close()
    p.line("idle")


@unhurried
def test_backend_idle_timeout_is_about_messages(relay, pace):
    p = Pair(relay, f"backend_idle_timeout = {600 * pace}ms")
    for _ in range(4):
        time.sleep(0.2 * pace)  # in time, and longer than it in all
        p.b.write(b"x\n")
        assert p.c.recv().text == "x"
    last = time.monotonic()
    p.c.send(TEXT, "client")
    p.c.closed(1001, "backend-idle:")
    assert time.monotonic() - last >= 0.55 * pace
    p.b.close()
    p.line("backend-idle", side="backend")


@pytest.mark.parametrize("kind", ["line", "ws"])
def test_max_session_ends_a_busy_pair(relay, kind):
    p = Pair(relay, "max_session = 1s", kind=kind)
    start = time.monotonic()
    n = 0
    while True:
        p.c.send(TEXT, "x")
        p.b.write(p.encode(b"y"))
        f = p.c.recv()
        if f.opcode == CLOSE:
            break
        n += 1
    assert f.code == 3000 and f.reason.startswith("session-end:")
    assert 0.95 < time.monotonic() - start < PATIENCE
    assert n > 0
    if kind == "ws":
        while (f := p.b.recv()).opcode != CLOSE:
            pass
        assert f.code == 1001
        p.b.send(CLOSE, f.payload)
    p.b.close()
    p.c.send(CLOSE, f.payload)
    p.c.close()
    assert int(p.line("session-end")["age_ms"]) >= 1000


# --- the daemon's end ------------------------------------------------------

def test_sigterm_under_load_loses_nothing(relay):
    """What was accepted before the signal reaches the backends, although
    they read nothing before it, and although the clients do not stop."""
    clients, n = 20, 200
    p = Pair(relay, "queue_limit = 4M", server="drain_timeout = 20s")
    pairs = [(p.c, p.b)] + [p.open() for _ in range(clients - 1)]
    for c, _ in pairs:
        for i in range(n):
            c.send(TEXT, b"%9d" % i + b"x" * 1500)
        assert c.synced() == []
    stop = threading.Event()

    def more(c):
        i = n
        with contextlib.suppress(OSError):
            while not stop.is_set():
                c.send(TEXT, b"%9d" % i + b"x" * 1500)
                i += 1

    def until_close(c):
        f = c.closed(1001, "shutdown:")
        return f.code
    jobs = [Background(more, c) for c, _ in pairs]
    p.r.kill(signal.SIGTERM)
    p.r.wait_log("stopping")
    stop.set()
    for job in jobs:
        job.done()
    assert [until_close(c) for c, _ in pairs] == [1001] * clients
    for _, b in pairs:
        lines = b.rest().split(b"\n")
        assert lines.pop() == b""  # no half one
        assert len(lines) >= n
        for i, line in enumerate(lines):
            assert line == b"%9d" % i + b"x" * 1500
        b.close()
    p.r.stop(0)
    assert len(p.r.log("close", reason="shutdown")) == clients


def test_sigterm_flushes_what_waits_for_slow_clients(relay):
    p = Pair(relay, "queue_limit = 4M", server="drain_timeout = 20s")
    c, b = p.open(rcvbuf=32768)
    data = [b"%9d" % i + b"x" * 2000 for i in range(1000)]
    for m in data:
        b.write(m + b"\n")
    wait_for(lambda: not unread(b.sock), "the relay to read it all")
    p.c.close()
    p.b.close()
    p.r.kill(signal.SIGTERM)
    p.r.wait_log("stopping")
    got = 0
    while (f := c.recv()).opcode != CLOSE:
        assert f.payload == data[got]
        got += 1
    assert f.code == 1001
    assert got == len(data)
    c.send(CLOSE, f.payload)
    c.ended()
    b.close()
    p.r.stop(0)


def unread(sock):
    """Bytes that the other side, on this machine, has not read yet."""
    here, there = sock.getsockname()[1], sock.getpeername()[1]
    outstanding, = struct.unpack(
        "i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"0000"))
    for row in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues = row.split()[:5]
        if (int(local[9:], 16), int(remote[9:], 16)) == (there, here):
            return outstanding + int(queues[9:], 16)
    return outstanding


def stuck_client(p):
    """A client with a queue that never moves."""
    c, b = p.open(rcvbuf=4096)
    b.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        while True:
            b.write(b"x" * 60000 + b"\n")
    return c, b


def test_drain_timeout_is_kept(relay):
    p = Pair(relay, "close_timeout = 60s", server="drain_timeout = 1s")
    stuck = stuck_client(p)
    start = time.monotonic()
    p.r.kill(signal.SIGTERM)
    p.c.closed(1001, "shutdown:")
    p.b.close()
    p.r.stop(0)  # no second signal: it waits and checks the exit status
    assert 0.95 < time.monotonic() - start < PATIENCE
    assert len(p.r.log("close", reason="shutdown")) == 2
    stuck[0].close()


def test_second_sigterm_ends_at_once(relay):
    p = Pair(relay, "close_timeout = 60s", server="drain_timeout = 60s")
    stuck = stuck_client(p)
    p.r.kill(signal.SIGTERM)
    p.r.wait_log("stopping")
    p.c.closed(1001)
    p.b.close()
    start = time.monotonic()
    p.r.stop(signal.SIGTERM)
    assert time.monotonic() - start < PATIENCE
    assert p.r.log("stop-now")
    stuck[0].close()


def test_any_number_of_signals_is_an_orderly_end(relay):
    """One that comes while the daemon is leaving already does not kill it."""
    p = Pair(relay)
    p.c.close()
    p.b.close()
    while p.r.process.poll() is None:
        p.r.kill(signal.SIGTERM)
        p.r.kill(signal.SIGINT)
    p.r.stop()
    assert p.r.log("stop")


def test_sigterm_with_nobody_there_ends_at_once(relay):
    r = relay(route("echo:"), server="drain_timeout = 60s")
    r.stop(signal.SIGINT)
    assert r.log("stop")


def test_stopping_refuses_new_connections(relay):
    p = Pair(relay, "close_timeout = 60s", server="drain_timeout = 60s")
    stuck = stuck_client(p)
    p.r.kill(signal.SIGTERM)
    p.r.wait_log("stopping")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", p.r.port)).close()
    p.r.stop(signal.SIGINT)
    stuck[0].close()


def test_no_process_outlives_the_daemon(relay, tmp_path):
    command = program(tmp_path, """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), flush=True)
while True:
    signal.pause()
""")
    r = relay(route(f"exec:{command}", "close_timeout = 60s"),
              server="drain_timeout = 300ms")
    c = Client(r, "/r")
    pid = int(c.recv().text)
    r.kill(signal.SIGTERM)
    c.closed(1001)
    r.stop(0)
    assert not alive(pid)


def test_request_under_way_gets_503(relay):
    with Server() as s:
        r = relay(route(f"ws://127.0.0.1:{s.port}/"))
        c = Client(r, "/r", wait=False)
        b = s.accept_ws()
        r.kill(signal.SIGTERM)
        assert c.answer() == 503
        assert c.body.startswith(b"shutdown")
        b.ended()
        r.stop(0)
