"""Peers that vanish without a word, and slow lines that must not look so.

    near (the relay's machine) --- wire (a router) --- far (the peer's)

A machine is gone when the router forwards nothing any more: no FIN, no reset,
no ICMP, and the relay's own interface stays up.
"""
import contextlib
import os
import pathlib
import socket
import time

import pytest

from machines import LIBC, Machines, made
from peers import (BINARY, PONG, TEXT, Background, Client, Server, frame,
                   ws_pair)

NEAR, FAR = "10.77.0.1", "10.77.1.1"
FAST_PINGS = "ping_interval = 400ms\nping_timeout = 600ms"
# A machine that is gone is noticed within ping_interval and twice
# ping_timeout when the kernel has asked it twice by then; the rest is for a
# busy computer. Keepalive, which would notice it too, takes a minute.
SOON = 20
PIDFD_GETFD = 438
TCP_USER_TIMEOUT = 18


# --- machines --------------------------------------------------------------

class Net(Machines):
    """The three machines and their lines."""

    def __init__(self):
        super().__init__("near", "wire", "far")

    def make(self):
        super().make()
        for name, net in (("near", "10.77.0"), ("far", "10.77.1")):
            self.line((name, "eth", f"{net}.1/24"), ("wire", name, f"{net}.2/24"))
            self.run("ip", "-n", self.names[name], "route", "add", "default",
                     "via", f"{net}.2")
        self.forward(True)

    def forward(self, on):
        with self.inside("wire"):
            pathlib.Path("/proc/sys/net/ipv4/ip_forward").write_text(
                str(int(on)))

    def slow(self, rate, limit):
        """The line to the far machine: its rate, and how many bytes wait in
        front of it before some are lost."""
        self.run("tc", "-n", self.names["wire"], "qdisc", "add", "dev", "far",
                 "root", "tbf", "rate", rate, "burst", "2000",
                 "limit", limit)

    def cut(self):
        """The far machine is without power, or its cable is."""
        self.run("ip", "-n", self.names["far"], "link", "set", "eth", "down")


@pytest.fixture
def net():
    with made(Net()) as net:
        yield net


@pytest.fixture
def place(net, relay):
    """place("client" or "backend", kind, options): a pair with that one of
    its peers on the far machine."""
    places = []

    def start(*args, **options):
        places.append(Place(net, relay, *args, **options))
        return places[-1]
    yield start
    for p in places:
        # Nothing of ours waits in a namespace for an answer.
        for wire in (p.c, p.b):
            with contextlib.suppress(OSError):
                wire.reset()
        p.s.sock.close()


class Place:
    def __init__(self, net, relay, away, kind, *more, rcvbuf=None):
        self.net, self.away = net, away
        with net.inside("far" if away == "backend" else "near"):
            self.s = Server(host="0.0.0.0", rcvbuf=rcvbuf)
        at = FAR if away == "backend" else "127.0.0.1"
        scheme = "ws" if kind == "ws" else "tcp"
        self.r = relay("\n".join([
            "[route r]", "path = /r", "auth = none",
            f"backend = {scheme}://{at}:{self.s.port}",
            "framing = line" if kind == "line" else "",
            # The line of the end is logged when both sides are closed.
            "close_timeout = 300ms", *more, ""]),
            listen=f"[listen far]\naddress = {NEAR}:0\n",
            wrap=["ip", "netns", "exec", net.names["near"]])
        port = self.r.wait_log("listen", listen="far")["address"]
        self.address = (NEAR, int(port.rsplit(":", 1)[1])) \
            if away == "client" else None
        with net.inside("far" if away == "client" else "near"):
            if kind == "ws":
                self.c, self.b = ws_pair(
                    self.r, self.s, "/r", rcvbuf=rcvbuf, address=self.address)
            else:
                self.c = Client(self.r, "/r", rcvbuf=rcvbuf,
                                address=self.address)
                self.b = self.s.accept()
        self.kind = kind
        self.vanished = None

    def backend_sends(self, payload):
        if self.kind == "ws":
            self.b.send(TEXT, payload)
        else:
            self.b.write(payload + b"\n")

    def vanish(self):
        self.net.forward(False)
        self.vanished = time.monotonic()

    def noticed(self, reason="ping-timeout", soon=SOON, side=None):
        line = self.r.wait_log("close", id=self.c.id, patience=soon + 10)
        took = time.monotonic() - self.vanished
        assert (line["reason"], line["side"]) == (
            reason, side or self.away), line
        assert took < soon, f"noticed after {took:.1f} s"
        print(f"noticed after {took:.1f} s")
        return took

    @contextlib.contextmanager
    def socket(self):
        """The daemon's own socket to the far machine."""
        pidfd = os.pidfd_open(self.r.pid)
        try:
            for name in os.listdir(f"/proc/{self.r.pid}/fd"):
                fd = LIBC.syscall(PIDFD_GETFD, pidfd, int(name), 0)
                if fd < 0:
                    pytest.skip("another process's sockets are out of reach")
                try:
                    s = socket.socket(fileno=fd)
                except OSError:
                    os.close(fd)
                    continue
                with s:
                    with contextlib.suppress(OSError):
                        if s.getpeername()[0] == FAR:
                            yield s
                            return
        finally:
            os.close(pidfd)
        raise AssertionError("no such socket")

    def hurry(self, factor):
        """What the kernel was told to do about silence; from now on it does
        it so much sooner, so that a test need not wait that long."""
        options = {"idle": socket.TCP_KEEPIDLE, "every": socket.TCP_KEEPINTVL,
                   "count": socket.TCP_KEEPCNT, "user": TCP_USER_TIMEOUT}
        with self.socket() as s:
            assert s.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            times = {k: s.getsockopt(socket.IPPROTO_TCP, v)
                     for k, v in options.items()}
            for key in ("idle", "every", "user"):
                if times[key]:
                    s.setsockopt(socket.IPPROTO_TCP, options[key],
                                 max(times[key] // factor, 1))
        return times


def flood(wire, data):
    """Writes until the other side has taken nothing for a while."""
    wire.sock.settimeout(0.7)
    with pytest.raises(TimeoutError):
        while True:
            wire.write(data)


# --- clients ---------------------------------------------------------------

@pytest.mark.parametrize("how", ["vanish", "cut"])
def test_idle_client_vanishes(place, how):
    p = place("client", "line", FAST_PINGS)
    for _ in range(2):  # it lives
        f = p.c.frame()
        p.c.send(PONG, f.payload)
    if how == "cut":
        p.net.cut()
        p.vanished = time.monotonic()
    else:
        p.vanish()
    p.noticed()
    assert p.b.rest() == b""


def test_busy_client_vanishes(place):
    """In the middle of what the backend says: all of it was answered for
    until just now."""
    p = place("client", "line", "ping_interval = 1s", "ping_timeout = 600ms",
              "queue_limit = 64K")
    for i in range(150):
        p.b.write(b"%d\n" % i)
        assert p.c.recv().payload == b"%d" % i
        time.sleep(0.01)    # in all longer than ping_interval
    p.vanish()
    job = Background(flood, p.b, b"x" * 50000 + b"\n")
    p.noticed()
    with contextlib.suppress(OSError):  # the relay closed it
        job.done()


@pytest.mark.parametrize("pinged", ["after", "before"])
def test_client_vanishes_while_it_is_not_read(place, pinged):
    """The backend takes nothing. Either the ping finds nobody, or it got
    there while the client lived, and its answer waits unread: then nothing
    is under way, and keepalive has to ask."""
    p = place("client", "line", "ping_interval = 3s" if pinged == "after"
              else "ping_interval = 100ms", "ping_timeout = 600ms",
              "queue_limit = 64K", rcvbuf=4096)
    flood(p.c, frame(TEXT, "x" * 50000))
    if pinged == "before":
        time.sleep(1)  # more than one ping_timeout: the ping is there
        times = p.hurry(15)
        assert times == {"idle": 60, "every": 20, "count": 3, "user": 0}
        assert not p.r.log("close")
    p.vanish()
    p.noticed()


@pytest.mark.parametrize("kind", ["line", "ws"])
def test_client_vanishes_behind_a_full_queue(place, kind):
    """It did not read: the ping could not even be sent."""
    p = place("client", kind, "ping_interval = 200ms", "ping_timeout = 300ms",
              "queue_limit = 64K", rcvbuf=4096)
    flood(p.b, frame(BINARY, b"x" * 50000, mask=None) if kind == "ws"
          else b"x" * 50000 + b"\n")
    time.sleep(0.5)  # no sign of death: it is only not reading
    assert not p.r.log("close")
    p.vanish()
    p.noticed()


def test_client_returns_in_time(place):
    """An outage that is shorter than ping_timeout costs nothing."""
    p = place("client", "line", "ping_interval = 100ms", "ping_timeout = 5s")
    p.vanish()
    p.b.write(b"to nobody\n")
    time.sleep(1.5)  # the outage
    p.net.forward(True)
    assert p.c.recv().payload == b"to nobody"
    assert p.c.synced() == []
    assert not p.r.log("close")


def test_end_for_a_vanished_client(place):
    """The time is over while megabytes wait for a client that is not there:
    for it the daemon waits close_timeout, not for ever."""
    p = place("client", "line", "max_session = 2500ms", rcvbuf=4096)
    before = p.r.descriptors()
    flood(p.b, b"x" * 50000 + b"\n")
    p.vanish()
    p.noticed("session-end", side="relay")
    assert p.r.descriptors() == before - 2


# --- backends --------------------------------------------------------------

BACKEND_TIMES = {"idle": 15, "every": 5, "count": 3, "user": 60000}


def test_idle_tcp_backend_vanishes(place):
    """Keepalive asks after 15 s, here 1, and then each 5 s, here 1. Three
    questions without an answer would do, but TCP_USER_TIMEOUT decides over
    them: after a minute, here 6 s."""
    p = place("backend", "line")
    assert p.hurry(10) == BACKEND_TIMES
    p.vanish()
    job = Background(p.c.closed, 1011, "backend-reset:")
    assert p.noticed("backend-reset", soon=14) > 5
    job.done()


def test_busy_tcp_backend_vanishes(place):
    """With bytes under way, and with more than the kernel takes behind."""
    p = place("backend", "line", "queue_limit = 64K")
    assert p.hurry(10) == BACKEND_TIMES
    p.vanish()
    flood(p.c, frame(TEXT, "x" * 50000))
    assert p.noticed("backend-reset", soon=14) > 5


def test_idle_ws_backend_vanishes(place):
    p = place("backend", "ws", FAST_PINGS)
    job = Background(p.c.closed, 1011, "ping-timeout:")
    for _ in range(2):
        f = p.b.frame()
        p.b.send(PONG, f.payload)
    p.vanish()
    p.noticed()
    job.done()


def test_ws_backend_vanishes_behind_a_full_queue(place):
    """It did not read, and neither is the client read: each is pinged all
    the same, and only the one that is gone dies of it."""
    p = place("backend", "ws", "ping_interval = 200ms",
              "ping_timeout = 300ms", "queue_limit = 64K", rcvbuf=4096)
    flood(p.c, frame(BINARY, b"x" * 50000))
    time.sleep(0.5)     # ping_interval and ping_timeout
    assert not p.r.log("close")
    p.vanish()
    p.noticed()


def test_ws_backend_vanishes_while_it_is_not_read(place):
    """The client takes nothing, so nothing is read of the backend."""
    p = place("backend", "ws", "ping_interval = 3s", "ping_timeout = 600ms",
              "queue_limit = 64K", rcvbuf=4096)
    flood(p.b, frame(BINARY, b"x" * 50000, mask=None))
    p.vanish()
    p.noticed()


def test_backend_is_gone_before_it_is_asked(place):
    p = place("backend", "line", "connect_timeout = 500ms")
    p.vanish()
    with p.net.inside("near"):
        c = Client(p.r, "/r", wait=False)
    assert c.answer() == 504
    assert b"backend-timeout" in c.body
    assert time.monotonic() - p.vanished < SOON


# --- slow lines ------------------------------------------------------------

# What waits in front of the line takes many times ping_timeout, or is lost.
LINES = {"bloated": ("1mbit", "300000"), "lossy": ("1mbit", "8000")}


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("away", ["client", "backend"])
def test_slow_line_is_not_a_dead_one(place, away, line):
    """Four seconds' worth of messages, and only pongs from the far end."""
    p = place(away, "ws", "ping_interval = 200ms", "ping_timeout = 500ms",
              "queue_limit = 64K")
    p.net.slow(*LINES[line])
    source, target = (p.b, p.c) if away == "client" else (p.c, p.b)
    total = 50

    def send():
        for i in range(total):
            source.send(TEXT, b"%9d" % i + b"x" * 10000)
        return source.message()  # and answers pings until then

    start = time.monotonic()
    job = Background(send)
    for i in range(total):
        assert int(target.message()[1][:9]) == i
    assert time.monotonic() - start > 3, "the line was not slow"
    target.send(TEXT, "thanks")
    assert job.done()[1] == b"thanks"
    assert not p.r.log("close")
