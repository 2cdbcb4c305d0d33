"""The pond of the classroom as a process: its messages, its room, its
patience. What the relay says to it is said here by hand."""
import json
import pathlib
import select
import struct
import subprocess
import sys
import time

import pytest

import demo
from relay import PATIENCE

POND = pathlib.Path(__file__).resolve().parents[2] / "scripts/demo/pond.py"
sys.path.insert(0, str(POND.parent))

import pond as source  # noqa: E402


class Pond:
    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, str(POND), "test"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.rest = b""

    def say(self, text, opcode=1):
        data = text if isinstance(text, bytes) else text.encode()
        self.process.stdin.write(
            struct.pack(">IB", 1 + len(data), opcode) + data)
        self.process.stdin.flush()

    def join(self, who, perm="rw", sub=None):
        self.say("+ %s %s" % (who, json.dumps(
            {"sub": sub or "anon-" + who, "perm": perm,
             "peer": "127.0.0.1:1", "path": "/class/demo"})))

    def read(self, timeout=PATIENCE):
        """(to, message) or None when nothing comes in that time; a picture
        as its head's numbers and its heights."""
        end = time.monotonic() + timeout
        out = self.process.stdout
        while True:
            if len(self.rest) >= 5:
                length, opcode = struct.unpack_from(">IB", self.rest)
                if len(self.rest) >= 4 + length:
                    payload = self.rest[5:4 + length]
                    self.rest = self.rest[4 + length:]
                    break
            left = max(end - time.monotonic(), 0)
            if not select.select([out], [], [], left)[0]:
                return None
            data = out.read1(65536)
            assert data, "the pond ended"
            self.rest += data
        mark, to, payload = payload.split(b" ", 2)
        assert mark == b">"
        if opcode == 1:
            return to.decode(), json.loads(payload)
        assert opcode == 2 and to == b"*"
        head = source.HEAD.unpack_from(payload)
        heights = struct.unpack_from("<%dh" % (head[1] * head[2]), payload,
                                     source.HEAD.size)
        assert len(payload) == source.HEAD.size + 2 * len(heights)
        return "*", Picture(head, heights)

    def until(self, condition, timeout=PATIENCE):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            found = self.read(max(end - time.monotonic(), 0))
            if found and condition(*found):
                return found[1]
        raise TimeoutError("no such message")

    def picture(self, condition=lambda picture: True):
        return self.until(lambda _, m: isinstance(m, Picture) and condition(m))

    def text(self, kind, condition=lambda message: True):
        return self.until(lambda _, m: isinstance(m, dict) and m["t"] == kind
                          and condition(m))


class Picture:
    def __init__(self, head, heights):
        (self.n, self.cols, self.rows, self.at, x, y, self.pressed, rain,
         _, *boat) = head
        self.hand = x / 10, y / 10
        self.rain = rain / 100
        self.boat = [v / 10 for v in boat]
        self.heights = heights

    def height(self, x, y):
        return self.heights[y * self.cols + x] / source.SCALE


@pytest.fixture
def pond():
    pond = Pond()
    yield pond
    pond.process.kill()
    pond.process.communicate()


def test_greets_then_sends_pictures(pond):
    pond.join("a")
    to, you = pond.read()
    assert to == "a"
    assert you == {"t": "you", "id": "a", "name": "Heron", "may": True}
    to, room = pond.read()
    assert (to, room["t"], room["watch"]) == ("*", "class", 1)
    now = 1000 * time.time()
    first = pond.picture()
    assert first.n == 1 and abs(first.at - now) < 1000 * PATIENCE
    assert (first.cols, first.rows) == (160, 100)
    later = pond.picture(lambda p: p.n >= 30)
    assert later.n == 30 and later.at > first.at
    assert 8 <= later.boat[0] <= 151 and 8 <= later.boat[1] <= 91


def test_nobody_is_here_and_the_water_waits(pond):
    assert pond.read(0.4) is None
    pond.join("a")
    seen = pond.picture(lambda p: p.n >= 5).n
    pond.say('- a {"reason":"client-close"}')
    while (found := pond.read(0.5)) is not None:
        seen = found[1].n
    pond.join("b")
    assert pond.picture().n == seen + 1     # the same water


def test_the_room(pond):
    pond.join("a")
    pond.join("b", perm="r")
    pond.join("c")
    pond.say("= a")
    room = pond.text("class", lambda m: m["watch"] == 2 and m["driver"])
    assert room["driver"] == "Heron" and room["driver_id"] == "a"
    assert [(s["id"], s["name"], s["may"]) for s in room["seats"]] == [
        ("a", "Heron", True), ("b", "Otter", False), ("c", "Finch", True)]
    pond.say('- a {"reason":"client-close"}')
    pond.say("= c")
    room = pond.text("class", lambda m: m["driver"] == "Finch")
    assert room["watch"] == 1 and room["seats"][0]["id"] == "b"
    pond.say("= -")
    room = pond.text("class", lambda m: m["driver"] is None)
    assert room["watch"] == 2 and room["driver_id"] is None


def test_what_it_does_not_know_is_passed_over(pond):
    pond.join("a")
    pond.text("class")
    pond.say("? a something new")
    pond.say("= a")
    assert pond.text("class")["driver"] == "Heron"


def test_who_comes_back_has_its_name(pond):
    pond.join("a", sub="ada")
    pond.join("b", sub="bob")
    pond.say("- a {}")
    pond.join("c")
    pond.join("d", sub="ada")
    # Its name was free again, and somebody took it.
    assert pond.text("you", lambda m: m["id"] == "d")["name"] == "Finch"
    pond.say("- b {}")
    pond.join("e", sub="bob")
    assert pond.text("you", lambda m: m["id"] == "e")["name"] == "Otter"


def test_a_full_room_is_counted_and_its_message_bounded(pond):
    for i in range(200):
        pond.join("x%d" % i)
    room = pond.text("class", lambda m: m["watch"] == 200)
    assert len(room["seats"]) == source.SEATS_SHOWN
    pond.say("= x150")
    room = pond.text("class", lambda m: m["driver_id"] == "x150")
    assert room["watch"] == 199 and room["driver"].split()[-1] == "5"


def driven(pond):
    pond.join("a")
    pond.say("= a")
    pond.say('> a {"do": "rain", "v": 0}')
    pond.say('> a {"do": "calm"}')


def test_press_and_lift(pond):
    driven(pond)
    pond.picture(lambda p: p.rain == 0)
    pond.say('> a {"do": "press", "x": 40, "y": 30}')
    seen = pond.picture(lambda p: p.pressed)
    assert seen.hand == (40, 30) and seen.height(40, 30) < -10
    pond.say('> a {"do": "press", "x": 60.5, "y": 30}')
    pond.picture(lambda p: p.hand == (60.5, 30))
    pond.say('> a {"do": "lift"}')
    seen = pond.picture(lambda p: not p.pressed)
    assert seen.hand == (-0.1, -0.1)


def test_waves_travel_and_calm(pond):
    driven(pond)
    pond.say('> a {"do": "press", "x": 40, "y": 50}')
    pond.say('> a {"do": "lift"}')
    pond.say('> a {"do": "press", "x": 40, "y": 50}')
    pond.picture(lambda p: abs(p.height(80, 50)) > 0.3)
    pond.say('> a {"do": "lift"}')
    pond.say('> a {"do": "calm"}')
    pond.picture(lambda p: not any(p.heights))


def test_the_hand_is_lifted_with_its_driver(pond):
    driven(pond)
    pond.join("b")
    pond.say('> a {"do": "press", "x": 40, "y": 30}')
    pond.picture(lambda p: p.pressed)
    pond.say('- a {"reason":"client-vanished"}')
    pond.say("= b")
    pond.picture(lambda p: not p.pressed)


def test_only_the_driver_is_obeyed(pond):
    """The relay sees to it; what was on its way at a change comes late."""
    pond.join("a")
    pond.join("b")
    pond.say("= a")
    pond.say('> b {"do": "rain", "v": 2}')
    pond.say('> a {"do": "rain", "v": 1}')
    assert pond.picture(lambda p: p.rain != 0.6).rain == 1


GARBAGE = [
    b"", b"hello", b"{", b"[]", b"null", b"7", b'"do"', b"{}", b'{"do": 1}',
    b'{"do": ["press"]}', b'{"do": "fly"}', b'{"do": "press"}',
    b'{"do": "press", "x": true, "y": 1}', b'{"do": "press", "x": "1"}',
    b'{"do": "press", "x": NaN, "y": 1}',
    b'{"do": "press", "x": 1e999, "y": 1}',
    b'{"do": "press", "x": 1, "y": ' + b"9" * 400 + b"}",
    b'{"do": "rain", "v": null}', b"\xff\xfe\x00\x01", b"[" * 4000,
]


@pytest.mark.parametrize("line", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_counted_and_harmless(pond, line):
    pond.join("a")
    pond.say("= a")
    pond.say(b"> a " + line)
    pond.say(b"> a " + line, opcode=2)
    pond.join("b")
    room = pond.text("class", lambda m: m["watch"] == 1 and m["driver"])
    assert room["bad"] == 2
    assert not pond.picture().pressed


def test_the_hand_stays_in_the_pond(pond):
    driven(pond)
    for x, y in ((-1e9, 5), (1e9, 1e9), (5, -1e300)):
        pond.say('> a {"do": "press", "x": %r, "y": %r}' % (x, y))
        pond.picture(lambda p: p.hand == (min(max(x, 0), 159),
                                          min(max(y, 0), 99)))


def test_long_stirring_stays_finite():
    water = source.Pond("test")
    water.rain = 2.0
    for i in range(600):
        water.press(80 + 60 * (i // 2 % 2), 50 + 40 * (i // 7 % 2))
        water.step()
    assert max(map(abs, water.now)) < 200
    water.now[0] = 1e6                          # and if it were not
    assert len(water.picture()) == source.HEAD.size + 32000


def test_thirty_pictures_per_second_without_drift(monkeypatch):
    session = source.Session("test")
    session.room.join("a", {})
    said = demo.moments(
        monkeypatch, source, session,
        lambda to, payload: isinstance(payload, bytes), 100,
        lambda i: 3.0 if i == 50 else i % 7 * 0.004)
    for i, moment in enumerate(said[:50]):
        assert 0 <= moment - (i + 1) / 30 < 0.002
    # After a long stop it does not hurry.
    for i, moment in enumerate(said[50:]):
        assert 0 <= moment - said[49] - 3 - (i + 1) / 30 < 0.005
    assert len(said) == 100


def test_ends_with_its_input(pond):
    pond.join("a")
    pond.picture()
    pond.process.stdin.close()
    pond.process.stdin = None
    _, errors = pond.process.communicate(timeout=PATIENCE)
    assert pond.process.returncode == 0 and errors == b""


def test_ends_quietly_when_nobody_reads(pond):
    pond.join("a")
    pond.picture()
    pond.process.stdout.close()
    assert pond.process.wait(PATIENCE) == 0
    assert pond.process.stderr.read() == b""
    pond.process.stdout = None
