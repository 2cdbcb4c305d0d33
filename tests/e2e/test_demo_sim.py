"""The demo's simulation as a process: its lines, its clock, its patience."""
import fcntl
import json
import pathlib
import select
import struct
import subprocess
import sys
import termios
import time

import pytest

import demo
from relay import PATIENCE, wait_for

pytestmark = pytest.mark.plain("the demo has no TLS")

SIM = pathlib.Path(__file__).resolve().parents[2] / "scripts/demo/sim.py"
sys.path.insert(0, str(SIM.parent))

import sim as source  # noqa: E402

LARGEST = 2000


class Sim:
    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, str(SIM), "test"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.rest = b""
        self.waiting = []

    def say(self, message):
        if not isinstance(message, bytes):
            message = json.dumps(message).encode()
        self.process.stdin.write(message + b"\n")
        self.process.stdin.flush()

    def read(self, timeout=PATIENCE):
        """The next message; None when none comes in that time."""
        end = time.monotonic() + timeout
        while not self.waiting:
            out = self.process.stdout
            left = max(end - time.monotonic(), 0)
            if not select.select([out], [], [], left)[0]:
                return None
            data = out.read1(65536)
            assert data, "the simulation ended"
            *lines, self.rest = (self.rest + data).split(b"\n")
            assert all(len(line) <= LARGEST for line in lines)
            self.waiting += map(json.loads, lines)
        return self.waiting.pop(0)

    def until(self, kind, condition=lambda message: True, timeout=PATIENCE):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            message = self.read(max(end - time.monotonic(), 0))
            if message and message["t"] == kind and condition(message):
                return message
        raise TimeoutError("no such %s" % kind)


@pytest.fixture
def sim():
    sim = Sim()
    yield sim
    sim.process.kill()
    sim.process.communicate()


def at(state, body):
    return [v / 10 for v in state["p"][3 * body:3 * body + 3]]


def test_says_hello_then_states(sim):
    hello = sim.read()
    assert hello["t"] == "hello" and hello["hz"] == 60
    assert hello["bodies"] == hello["cols"] * hello["rows"]
    state = sim.read()
    assert state["t"] == "s" and state["n"] == 1
    assert len(state["p"]) == 3 * hello["bodies"]


@pytest.fixture
def moments(monkeypatch):
    return lambda n, work: demo.moments(
        monkeypatch, source, source.Session("test"),
        lambda message: message["t"] == "s", n, work)


def test_sixty_per_second_without_drift(moments):
    """A late step is no reason for the next one to be late."""
    said = moments(1800, lambda i: i % 7 * 0.002)
    assert len(said) == 1800
    for i, moment in enumerate(said):
        assert 0 <= moment - (i + 1) / 60 < 0.002


def test_what_was_late_is_caught_up_with(moments):
    said = moments(300, lambda i: 0.2 if i == 100 else 0.001)
    assert said[100] - said[99] > 0.2
    assert said[-1] - 300 / 60 < 0.002


def test_after_a_long_stop_it_does_not_hurry(moments):
    """The pipe was full, or the machine slept: the clock begins anew."""
    said = moments(300, lambda i: 3.0 if i == 100 else 0.001)
    for i, moment in enumerate(said[100:]):
        assert 0 <= moment - said[99] - 3 - (i + 1) / 60 < 0.005


def test_moves_by_itself(sim):
    a = sim.until("s")
    b = sim.until("s", lambda s: s["n"] >= a["n"] + 30)
    assert sum(abs(u - v) for u, v in zip(a["p"], b["p"])) > 500


def test_pause(sim):
    sim.until("s")
    sim.say({"do": "pause", "on": True})
    paused = sim.until("s", lambda s: s["paused"])
    assert sim.read(0.5) is None
    sim.say({"do": "ping", "at": 1})            # it still listens
    assert sim.read() == {"t": "pong", "at": 1}
    sim.say({"do": "pause", "on": False})
    state = sim.until("s", lambda s: not s["paused"])
    assert paused["n"] < state["n"] <= paused["n"] + 3


def test_drag_and_release(sim):
    sim.until("s")
    body = 95                                   # the lower right corner
    sim.say({"do": "drag", "i": body, "x": 400, "y": 300})
    state = sim.until("s", lambda s: at(s, body)[:2] == [400, 300])
    assert state["held"] == body
    held = sim.until("s", lambda s: s["n"] > state["n"] + 30)
    x, y, _ = at(held, body)                    # on its thread, in the hand
    assert abs(x - 400) < 60 and abs(y - 300) < 60
    sim.say({"do": "release"})
    sim.until("s", lambda s: s["held"] == -1)
    sim.until("s", lambda s: at(s, body)[1] > 380)


def test_reset(sim):
    sim.until("s", lambda s: s["n"] > 20)
    sim.say({"do": "drag", "i": 90, "x": 10, "y": 10})
    sim.until("s", lambda s: s["held"] == 90)
    sim.say({"do": "reset"})
    state = sim.until("s", lambda s: s["held"] == -1)
    assert state["n"] < 20


def test_wind_is_clamped(sim):
    sim.say({"do": "wind", "v": 99})
    sim.until("s", lambda s: s["wind"] == 2)
    sim.say({"do": "wind", "v": 0})
    sim.until("s", lambda s: s["wind"] == 0)


def test_ping_comes_back_as_it_was(sim):
    for stamp in (0, 12345.6, "abc", None):
        sim.say({"do": "ping", "at": stamp})
        assert sim.until("pong")["at"] == stamp


GARBAGE = [
    b"", b"hello", b"{", b"[]", b"null", b"7", b'"do"', b"{}",
    b'{"do": 1}', b'{"do": ["drag"]}', b'{"do": "fly"}', b'{"do": "drag"}',
    b'{"do": "drag", "i": 5000, "x": 1, "y": 1}',
    b'{"do": "drag", "i": -1, "x": 1, "y": 1}',
    b'{"do": "drag", "i": true, "x": 1, "y": 1}',
    b'{"do": "drag", "i": 1.5, "x": 1, "y": 1}',
    b'{"do": "drag", "i": 1, "x": "1", "y": 1}',
    b'{"do": "drag", "i": 1, "x": NaN, "y": 1}',
    b'{"do": "drag", "i": 1, "x": 1e999, "y": 1}',
    b'{"do": "drag", "i": 1, "x": ' + b"9" * 400 + b', "y": 1}',
    b'{"do": "wind", "v": null}', b'{"do": "pause"}', b'{"do": "ping"}',
    b'{"do": "ping", "at": "' + b"x" * 300 + b'"}',
    b"\xff\xfe\x00\x01", b"[" * 4000, b"x" * 200000,
]


@pytest.mark.parametrize("line", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_counted_and_harmless(sim, line):
    sim.say(line)
    sim.say({"do": "ping", "at": 1})
    sim.until("pong")
    state = sim.until("s")
    assert state["bad"] == 1 and state["held"] == -1


def test_wild_drags_keep_messages_small(sim):
    for i in range(300):
        sim.say({"do": "drag", "i": i % 96, "x": (-1) ** i * 1e9,
                 "y": (-1) ** (i // 2) * 1e9})
        sim.until("s")                          # read() looks at the size
    sim.say({"do": "release"})
    state = sim.until("s", lambda s: s["held"] == -1)
    assert all(-9990 <= v <= 19990 for v in state["p"])


def test_ends_with_its_input(sim):
    sim.until("s")
    sim.process.stdin.close()
    assert sim.process.wait(PATIENCE) == 0
    assert sim.process.stderr.read() == b""
    sim.process.stdin = None


def test_a_line_cut_short_by_the_end_is_not_obeyed(sim):
    sim.process.stdin.write(b'{"do": "ping", "at": 1}')
    sim.process.stdin.close()
    sim.process.stdin = None
    out = sim.process.stdout.read()
    assert b"pong" not in out and sim.process.wait(PATIENCE) == 0


def test_ends_quietly_when_nobody_reads(sim):
    sim.until("s")
    sim.process.stdout.close()
    assert sim.process.wait(PATIENCE) == 0
    assert sim.process.stderr.read() == b""
    sim.process.stdout = None


def test_a_reader_that_stops_costs_nothing_and_is_served_again(sim):
    """The pipe fills, the simulation waits; nothing is left out."""
    out = sim.process.stdout.fileno()
    size = fcntl.fcntl(out, fcntl.F_SETPIPE_SZ, 4096)
    sim.until("s")

    def blocked():
        """What it says next has no room."""
        there = struct.unpack("i", fcntl.ioctl(out, termios.FIONREAD,
                                               bytes(4)))[0]
        return there + LARGEST > size
    wait_for(blocked, "a full pipe")
    state = sim.until("s")
    for _ in range(30):
        after = sim.until("s")
        assert after["n"] == state["n"] + 1
        state = after
