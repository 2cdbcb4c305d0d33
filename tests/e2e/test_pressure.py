"""Peers that do not read, that send too much, that are too many: memory is
bounded, nobody else notices, and nothing is left behind."""
import contextlib
import os
import resource
import threading
import time

import pytest

from pace import unhurried
from peers import (BINARY, CLOSE, CONT, PING, PONG, TEXT, Background, Client,
                   Server, asleep, cpu_seconds, frame, ws_pair)
from relay import BUILD, PATIENCE, RUNNER, SANITIZERS, wait_for

MB = 1 << 20
# Freed memory must be seen as free: the sanitizer keeps little of it back.
LEAN = {"ASAN_OPTIONS": SANITIZERS["ASAN_OPTIONS"] +
        ":quarantine_size_mb=1:malloc_context_size=4"}
ECHO = "[route echo]\npath = /echo\nbackend = echo:\nauth = none\n"


# ThreadSanitizer and valgrind keep books about memory in memory.
BOOKS = 6 if "tsan" in str(BUILD) or RUNNER else 1


def growth(r, before):
    """How much memory the daemon has got since then."""
    return (r.memory() - before) / BOOKS


def route(backend, *more, name="r"):
    return "\n".join([f"[route {name}]", f"path = /{name}",
                      f"backend = {backend}", "auth = none", *more, ""])


def fill(wire, make, limit=200 * MB):
    """Sends make(0), make(1), ... until nothing moves for a while. Returns
    how many went out and what is left of the last one."""
    wire.sock.settimeout(1)
    sent, n = 0, 0
    while sent < limit:
        data = memoryview(make(n))
        n += 1
        while data:
            try:
                done = wire.sock.send(data)
            except TimeoutError:
                wire.sock.settimeout(30)
                return n, bytes(data)
            sent += done
            data = data[done:]
    raise AssertionError(f"{sent} bytes went out, and nobody was paused")


def open_pair(r, s, kind, **options):
    if kind == "ws":
        return ws_pair(r, s, "/r", **options)
    c = Client(r, "/r", **options)
    return c, s.accept()


def start(relay, s, kind, *more, **options):
    options.setdefault("env", LEAN)
    backend = f"ws://127.0.0.1:{s.port}/" if kind == "ws" else s.uri
    framing = "" if kind == "ws" else f"framing = {kind}"
    return relay(route(backend, framing, *more) + ECHO, **options)


def numbered(n):
    return b"%9d" % n + b"x" * 20000


def not_disturbed(r, rounds=200):
    """Somebody else's echo, while it lasts."""
    with Client(r, "/echo") as c:
        took = []
        for i in range(rounds):
            begin = time.monotonic()
            c.send(TEXT, str(i))
            assert c.recv().text == str(i)
            took.append(time.monotonic() - begin)
    # Most of them: any one may meet a machine that is busy.
    assert sorted(took)[rounds * 3 // 4] < 1, took


@pytest.mark.parametrize("kind", ["line", "ws"])
def test_client_that_stops_reading(relay, kind):
    with Server() as s:
        r = start(relay, s, kind)
        c, b = open_pair(r, s, kind, rcvbuf=32768)
        before = r.memory()

        def make(n):
            return numbered(n) + b"\n" if kind == "line" else \
                frame(BINARY, numbered(n), mask=None)
        n, left = fill(b, make)
        assert growth(r, before) < 8 * MB
        not_disturbed(r)
        # and when it reads again all is there
        job = Background(b.write, left)
        for i in range(n):
            assert c.message()[1] == numbered(i)
        job.done()
        b.write(make(n))
        assert c.message()[1] == numbered(n)


@pytest.mark.parametrize("kind", ["line", "ws"])
def test_backend_that_stops_reading(relay, kind):
    with Server(rcvbuf=32768) as s:
        r = start(relay, s, kind)
        c, b = open_pair(r, s, kind)
        before = r.memory()
        n, left = fill(c, lambda n: frame(TEXT, numbered(n)))
        assert growth(r, before) < 8 * MB
        not_disturbed(r)
        job = Background(c.write, left)
        for i in range(n):
            got = b.until()[:-1] if kind == "line" else b.message()[1]
            assert got == numbered(i)
        job.done()
        assert c.synced() == []


@pytest.mark.parametrize("rate", ["", "byte_rate = 4M"])
def test_echo_to_a_client_that_does_not_read(relay, rate):
    """Also where a rate pauses and resumes the same reading."""
    r = relay(ECHO + rate + "\nqueue_limit = 64K\n", env=LEAN)
    c = Client(r, "/echo", rcvbuf=32768)
    before = r.memory()
    n, left = fill(c, lambda n: frame(TEXT, numbered(n)), limit=40 * MB)
    assert growth(r, before) < 8 * MB
    job = Background(c.write, left)
    for i in range(n):
        assert c.message()[1] == numbered(i)
    job.done()


def test_many_who_do_not_read(relay):
    """Each has its own bound; one who reads is served all the time."""
    with Server() as s:
        r = start(relay, s, "line", "queue_limit = 64K")
        pairs = [open_pair(r, s, "line", rcvbuf=8192) for _ in range(8)]
        before = r.memory()
        jobs = [Background(fill, b, lambda n: numbered(n) + b"\n")
                for _, b in pairs]
        not_disturbed(r, 500)
        for job in jobs:
            job.done()
        # scratch aside, 8 queues of 64K and a read each
        assert growth(r, before) < 12 * MB
        for c, b in pairs:
            c.close()
            b.close()


# --- rates -----------------------------------------------------------------

@unhurried
def test_message_rate_pauses_and_loses_nothing(relay, pace):
    with Server() as s:
        r = start(relay, s, "line", f"message_rate = {100 // pace}")
        c, b = open_pair(r, s, "line")
        begin = time.monotonic()
        # What comes in one read passes at once, and is paid for afterwards.
        c.write(b"".join(frame(TEXT, str(i)) for i in range(300)))
        for i in range(300):
            assert b.until() == b"%d\n" % i
        c.send(TEXT, "last")
        assert b.until() == b"last\n"
        assert 1.9 * pace < time.monotonic() - begin < PATIENCE * pace
        # and it may burst again after a pause
        time.sleep(1.1 * pace)
        begin = time.monotonic()
        for i in range(80 // pace):
            c.send(TEXT, str(i))
            b.until()
        assert time.monotonic() - begin < 0.9 * pace


@pytest.mark.parametrize("opcode", [PING, PONG, CONT])
def test_message_rate_counts_what_says_nothing(relay, opcode):
    """Pings, pongs, and fragments without payload."""
    r = relay(route("echo:", "message_rate = 100"))
    c = Client(r, "/r")
    begin = time.monotonic()
    c.send(TEXT, fin=False)
    c.write(frame(opcode, fin=opcode != CONT) * 300)
    c.send(CONT, "x")
    while (f := c.recv()).opcode == PONG:
        pass
    assert f.payload == b"x"
    assert time.monotonic() - begin > 1.9


def test_byte_rate_pauses_and_loses_nothing(relay):
    with Server() as s:
        r = start(relay, s, "line", "byte_rate = 50K")
        c, b = open_pair(r, s, "line")
        begin = time.monotonic()
        job = Background(lambda: [c.send(TEXT, "x" * 999)
                                  for _ in range(150)])
        for _ in range(150):
            assert len(b.until()) == 1000
        job.done()
        c.send(TEXT, "last")
        assert b.until() == b"last\n"
        assert 1.8 < time.monotonic() - begin < PATIENCE
        # the backend's bytes are not the client's
        begin = time.monotonic()
        job = Background(b.write, b"y" * (3 * MB) + b"\n")
        assert len(c.message()[1]) == 3 * MB
        assert time.monotonic() - begin < PATIENCE  # and not a minute
        job.done()


def test_ping_is_answered_after_a_rate_pause(relay):
    """A client that waits for its rate is not taken for dead."""
    with Server() as s:
        r = start(relay, s, "line", "message_rate = 1",
                  "ping_interval = 200ms", "ping_timeout = 200ms")
        c, b = open_pair(r, s, "line")
        for i in range(4):
            c.send(TEXT, str(i))
        for i in range(4):
            assert b.until() == b"%d\n" % i
        c.send(PING, "still")
        while (f := c.recv()) != (PONG, b"still", True, 0, False):
            assert f.opcode != CLOSE


# --- the memory of all -----------------------------------------------------

def test_max_memory_closes_the_largest_queue(relay):
    with Server() as s:
        r = start(relay, s, "line", "queue_limit = 64M",
                  "close_timeout = 500ms",
                  "max_backend_message = 16M", server="max_memory = 4M")
        small, sb = open_pair(r, s, "line", rcvbuf=8192)
        large, lb = open_pair(r, s, "line", rcvbuf=8192)
        job = Background(fill, sb, lambda n: numbered(n) + b"\n", 3 * MB)
        with contextlib.suppress(AssertionError):
            job.done()  # less than the kernel and the limit take
        with contextlib.suppress(OSError, AssertionError):
            fill(lb, lambda n: numbered(n) + b"\n")
        line = r.wait_log("close", reason="memory")
        assert line["id"] == large.id and line["code"] == "1013"
        warning = r.log("memory")[0]
        assert int(warning["queued"]) > int(warning["max_memory"]) == 4 * MB
        lb.close()
        # the others go on, and there is room for new ones
        for i in range(20):
            assert small.message()[1] == numbered(i)
        not_disturbed(r)
        assert len(r.log("close", reason="memory")) == 1
        for wire in (small, sb, large):
            wire.close()


def test_memory_tells_the_client_that_holds_nothing_back(relay):
    """The largest queue is the backend's: the client can be told, and no
    reset destroys what it is told, although it sends all the time."""
    with Server(rcvbuf=8192) as s:
        r = start(relay, s, "line", "queue_limit = 64M",
                  "close_timeout = 500ms",
                  server="max_memory = 2M")
        c, b = open_pair(r, s, "line")
        stop = threading.Event()

        def flood():
            while not stop.is_set():
                c.write(frame(TEXT, numbered(0)))
        job = Background(flood)
        f = c.recv()
        assert f.code == 1013 and f.reason.startswith("memory:")
        stop.set()
        job.done()
        c.send(CLOSE, f.payload)
        c.ended()
        b.close()
        r.wait_log("close", reason="memory", code=1013)


class Dribble:
    """Reads, but hardly: what waits for it is never without progress."""

    def __init__(self, wire):
        self.wire, self.over = wire, threading.Event()
        self.job = Background(self.read)

    def read(self):
        with contextlib.suppress(OSError):
            while not self.over.wait(0.1) and self.wire.sock.recv(2048):
                pass

    def end(self):
        self.over.set()
        self.job.done()


@pytest.mark.plain("the numbers are those of a socket without TLS")
def test_what_waits_for_one_that_has_ended_gives_way(relay):
    """However slowly it takes the rest; not the one that has less, and
    lives."""
    with Server() as s:
        r = start(relay, s, "line", "queue_limit = 64M",
                  server="max_memory = 4M\nworkers = 1",
                  listen="[listen local]\naddress = unix:{dir}/l.sock\n")
        # Of Unix sockets kernels keep little.
        address = str(r.dir / "l.sock")
        gone = Client(r, "/r", address=address)
        b = s.accept()
        for i in range(160):
            b.write(numbered(i) + b"\n")
        wait_for(lambda: asleep(r.pid), "it has read all that")
        gone.send_close(1000)
        slow = Dribble(gone)
        small = Client(r, "/r", address=address)
        b = s.accept()
        for i in range(80):
            b.write(numbered(i) + b"\n")
        line = r.wait_log("close")
        assert line["id"] == gone.id and line["reason"] == "client-close"
        for i in range(80):
            assert small.message()[1] == numbered(i)
        slow.end()
        assert not r.log("close", reason="memory")


def test_over_max_memory_new_ones_get_503(relay):
    with Server() as s:
        r = start(relay, s, "line", "queue_limit = 64M",
                  "close_timeout = 500ms",
                  "max_backend_message = 16M", server="max_memory = 2M")
        c, b = open_pair(r, s, "line", rcvbuf=8192)
        codes = []

        def look():
            """Between two ticks the memory is full for up to a second."""
            end = time.monotonic() + 20
            while time.monotonic() < end and 503 not in codes:
                with Client(r, "/echo", wait=False) as other:
                    codes.append(other.answer())
        job = Background(look)
        with contextlib.suppress(OSError, AssertionError):
            fill(b, lambda n: numbered(n) + b"\n")
        r.wait_log("close", reason="memory")
        job.done()
        assert 503 in codes
        r.wait_log("refuse", reason="memory")
        not_disturbed(r)


# --- many ------------------------------------------------------------------

def test_thousands_of_connections_leave_nothing(relay):
    with Server() as s:
        r = start(relay, s, "line")

        def batch(n, through):
            clients = [Client(r, through, wait=False) for _ in range(n)]
            for i, c in enumerate(clients):
                c.upgraded()
                c.send(TEXT, f"hello {i}")
            for i, c in enumerate(clients):
                if through == "/echo":
                    assert c.recv().text == f"hello {i}"
                else:
                    b = s.accept()
                    b.until()
                    b.write(b"bye\n")
                    b.close()
            for i, c in enumerate(clients):
                if i % 3 == 0:
                    c.reset()
                elif i % 3 == 1:
                    c.close()
                else:
                    c.send_close(1000)
                    c.close()

        def quiet():
            return len(r.log("close")) == opened and \
                r.descriptors() == descriptors
        descriptors = r.descriptors()
        opened = 0
        for n in range(12):  # the allocator and its sanitizer get warm
            batch(100, ["/echo", "/r"][n & 1])
            opened += 100
        wait_for(quiet, "the end of all")
        before = r.memory()
        for n in range(20):
            batch(100, ["/echo", "/r"][n & 1])
            opened += 100
        wait_for(quiet, "the end of all")
        assert growth(r, before) < 3 * MB


@pytest.mark.plain("who is not accepted has no handshake to wait for")
def test_no_descriptors_pause_accepting(relay):
    r = relay(ECHO, env=LEAN)
    alive = Client(r, "/echo")
    used = r.descriptors()
    limits = resource.prlimit(r.pid, resource.RLIMIT_NOFILE)
    highest = max(int(x) for x in os.listdir(f"/proc/{r.pid}/fd"))
    resource.prlimit(r.pid, resource.RLIMIT_NOFILE,
                     (highest + 10, limits[1]))
    waiting = []
    while not r.log("accept-paused"):
        waiting.append(Client(r, "/echo", wait=False))
        assert len(waiting) < 2000
        time.sleep(0.01)    # until it says so
    for _ in range(10):
        waiting.append(Client(r, "/echo", wait=False))
    # It does not spin, and those who are there are served.
    cpu, begin = cpu_seconds(r.pid), time.monotonic()
    while time.monotonic() - begin < 1.5:
        alive.send(TEXT, "x")
        assert alive.recv().text == "x"
        time.sleep(0.05)    # what it uses, it uses for nothing
    assert cpu_seconds(r.pid) - cpu < 0.3
    assert len(r.log("accept-paused")) < 40
    # When some go the others come in.
    resource.prlimit(r.pid, resource.RLIMIT_NOFILE, limits)
    for c in waiting:
        c.upgraded()
        c.send(TEXT, "y")
        assert c.recv().text == "y"
        c.close()
    wait_for(lambda: r.descriptors() == used, "their end")


def test_no_descriptor_for_the_backend(relay):
    """There is one for the client, but none for its backend."""
    with Server() as s:
        r = relay(route(s.uri, "framing = line") +
                  route("exec:/bin/cat", name="cat") + ECHO +
                  route("ws://sim.example.invalid:1/", name="name"), env=LEAN)
        limits = resource.prlimit(r.pid, resource.RLIMIT_NOFILE)
        used = sorted(int(x) for x in os.listdir(f"/proc/{r.pid}/fd"))
        free = [x for x in range(used[-1] + 2) if x not in used]
        resource.prlimit(r.pid, resource.RLIMIT_NOFILE,
                         (free[0] + 1, limits[1]))
        for path in ("/r", "/cat", "/name"):
            c = Client(r, path, wait=False)
            assert c.answer() == 500, path
            assert c.body.startswith(b"internal"), path
            assert r.wait_log("backend-error", route=path[1:])["reason"] == \
                "internal"
        resource.prlimit(r.pid, resource.RLIMIT_NOFILE, limits)
        wait_for(lambda: r.descriptors() == len(used), "what was opened")
        not_disturbed(r, 5)


# --- floods ----------------------------------------------------------------

def test_ping_flood_without_reading(relay):
    r = relay(ECHO, env=LEAN)
    c = Client(r, "/echo", rcvbuf=8192)
    before = r.memory()
    data = frame(PING, bytes(125)) * 1000
    sent = 0
    c.sock.settimeout(1)
    with contextlib.suppress(TimeoutError):
        while sent < 40 * MB:
            c.write(data)
            sent += len(data)
    assert growth(r, before) < 4 * MB
    not_disturbed(r)
    c.close()


def test_flood_of_tiny_messages(relay):
    """64 bytes of bookkeeping for each empty message would be a leak of the
    bound: what is queued is bytes, whatever they are made of."""
    with Server(rcvbuf=8192) as s:
        r = start(relay, s, "line", "queue_limit = 64K")
        c, b = open_pair(r, s, "line")
        before = r.memory()
        n, left = fill(c, lambda _: frame(TEXT) * 10000, limit=100 * MB)
        assert growth(r, before) < 8 * MB
        job = Background(c.write, left)
        total = 0
        while total < n * 10000:
            data = b.sock.recv(MB)
            assert data.strip(b"\n") == b""
            total += len(data)
        job.done()
        assert total == n * 10000
