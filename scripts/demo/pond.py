#!/usr/bin/env python3
"""A pond for a class: one drives, everybody watches the same water.

    stdin  + ID {"sub": ...}   = ID   - ID {"reason": ...}   > ID {"do": ...}
    stdout > ID {"t": "you"}   > * {"t": "class"}   > * picture, 30 per second

The backend of a hub with addressing = tagged (wsrelayd-tagged(7)) and
framing = len32: texts are JSON, a picture is binary. It ends when its
standard input ends. Nothing but the standard library is needed.

Commands, which the relay lets through from the driver alone: press (x, y, in
cells), lift, rain (v: 0 to 2), calm. What is no command is counted in "bad".

A picture is 32 bytes of HEAD and the heights of the water, row by row, each 2
bytes: the field itself, as simulations send it, and with 32 kB heavy enough
for a thin line to feel it.
"""
import array
import json
import math
import os
import random
import select
import struct
import sys
import time

HZ = 30
COLS, ROWS = 160, 100
STEPS = 2                       # of the waves per picture
SPEED = 0.6                     # (cells per step) squared; over 0.75 it bursts
DAMPING = 0.987                 # of the motion, per step
SCALE = 64                      # of a height in a picture
HIGHEST = 32767
HAND_SPEED = 3.5                # cells per step: a fast hand leaves one wake
HAND_DEPTH, HAND_RADIUS = -14.0, 4.0
DROP_RADIUS = 2.0
DROPS = 4                       # per second, when rain is 1
SEATS_SHOWN = 12
MAX_MESSAGE = 65536
# n, cols, rows, ms since 1970, hand x y (tenths, -1: none), pressed,
# rain (hundredths), boat's heading (hundredths), boat x y (tenths)
HEAD = struct.Struct("<IHHdhhBBhhh4x")
TEXT, BINARY = 1, 2
NAMES = ("Heron Otter Finch Newt Swift Hare Wren Lynx Tern Mole Robin Stoat "
         "Crane Vole Plover Badger Kestrel Toad Linnet Marten Osprey Shrew "
         "Avocet Beaver Curlew Weasel Dipper Roe Egret Hedgehog Grebe Fox"
         ).split()


# --- the water ---------------------------------------------------------------


def _bump(radius):
    """A round dent: cells around its middle, and how deep each is."""
    reach = int(2 * radius) + 1
    return [(x, y, math.exp(-(x * x + y * y) / (radius * radius)))
            for y in range(-reach, reach + 1)
            for x in range(-reach, reach + 1)]


class Pond:
    """The wave equation on a grid, whose rim lets waves slide along it."""

    HAND = _bump(HAND_RADIUS)
    DROP = _bump(DROP_RADIUS)

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.n = 0
        self.rain = 0.6
        self.hand = None            # where it is to go
        self.at = None              # where it is
        self.boat = [COLS * 0.62, ROWS * 0.42, 0.0, 0.0]    # x, y, speeds
        self.heading = 0.3
        self.calm()

    def calm(self):
        self.now = [0.0] * (COLS * ROWS)
        self.before = self.now[:]

    def press(self, x, y):
        self.hand = (min(max(x, 0.0), COLS - 1.0),
                     min(max(y, 0.0), ROWS - 1.0))
        self.at = self.at or self.hand

    def lift(self):
        self.hand = self.at = None

    def _dent(self, bump, x, y, depth):
        now, col, row = self.now, round(x), round(y)
        for dx, dy, part in bump:
            c, r = col + dx, row + dy
            if 0 <= c < COLS and 0 <= r < ROWS:
                i = r * COLS + c
                now[i] += (depth - now[i]) * part

    def _waves(self):
        u, v = self.now, self.before
        # Nine cells count, 1 4 1 by 1 4 1: with five, rings are squares.
        keep, part = 1.0 + DAMPING - 6.0 * SPEED, SPEED / 6.0
        flat = [left + 4.0 * m + right
                for left, m, right in zip(u, u[1:], u[2:])]
        flat = [0.0, *flat, 0.0]
        body = [keep * m + part * (up + 4.0 * here + down) - DAMPING * old
                for m, up, here, down, old in zip(
                    u[COLS:], flat, flat[COLS:], flat[2 * COLS:],
                    v[COLS:-COLS])]
        new = body[:COLS] + body + body[-COLS:]
        for first in range(0, COLS * ROWS, COLS):
            new[first] = new[first + 1]
            new[first + COLS - 1] = new[first + COLS - 2]
        self.before, self.now = u, new

    def _move_hand(self):
        if self.hand is None:
            return
        dx, dy = self.hand[0] - self.at[0], self.hand[1] - self.at[1]
        part = min(1.0, HAND_SPEED / (math.hypot(dx, dy) or 1.0))
        self.at = (self.at[0] + dx * part, self.at[1] + dy * part)
        self._dent(self.HAND, *self.at, HAND_DEPTH)

    def _sail(self):
        """The boat slides down the slopes, and goes where it looks."""
        x, y, vx, vy = self.boat
        i = int(y) * COLS + int(x)
        u = self.now
        vx += 0.012 * (u[i - 4] - u[i + 4]) + 0.004 * math.cos(self.heading)
        vy += 0.012 * (u[i - 4 * COLS] - u[i + 4 * COLS]) \
            + 0.004 * math.sin(self.heading)
        fast = math.hypot(vx, vy)
        keep = 0.985 * min(1.0, 2.0 / (fast or 1.0))
        vx, vy = vx * keep, vy * keep
        x, y = x + vx, y + vy
        for low, high, axis in ((8, COLS - 9, 0), (8, ROWS - 9, 1)):
            place = (x, y)[axis]
            if not low < place < high:
                if axis:
                    y, vy = min(max(y, low), high), -0.6 * vy
                else:
                    x, vx = min(max(x, low), high), -0.6 * vx
        turn = math.atan2(vy, vx) - self.heading
        turn = (turn + math.pi) % (2 * math.pi) - math.pi
        self.heading += 0.06 * turn * min(1.0, fast * 8)
        self.boat = [x, y, vx, vy]

    def step(self):
        self.n += 1
        if self.random.random() < self.rain * DROPS / HZ:
            self._dent(self.DROP, self.random.uniform(3, COLS - 4),
                       self.random.uniform(3, ROWS - 4),
                       self.random.uniform(-9, -4))
        for _ in range(STEPS):
            self._move_hand()
            self._waves()
        self._sail()

    def picture(self):
        try:
            heights = array.array("h", [int(SCALE * h) for h in self.now])
        except OverflowError:       # somebody stirred for a long time
            heights = array.array("h", [
                int(min(max(SCALE * h, -HIGHEST), HIGHEST)) for h in self.now])
        if sys.byteorder == "big":
            heights.byteswap()
        hand = self.at or (-0.1, -0.1)
        turn = (self.heading + math.pi) % (2 * math.pi) - math.pi
        return HEAD.pack(
            self.n, COLS, ROWS, 1000 * time.time(),
            round(10 * hand[0]), round(10 * hand[1]), self.at is not None,
            round(100 * self.rain), round(100 * turn),
            round(10 * self.boat[0]), round(10 * self.boat[1])
        ) + heights.tobytes()


def _number(value):
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("not a number")
    value = float(value)
    if not math.isfinite(value):
        raise ValueError("not finite")
    return value


def obey(pond, command):
    """Carries out a command; ValueError, KeyError, TypeError, OverflowError:
    it was none.
    """
    do = command["do"]
    if do == "press":
        pond.press(_number(command["x"]), _number(command["y"]))
    elif do == "lift":
        pond.lift()
    elif do == "rain":
        pond.rain = round(min(max(_number(command["v"]), 0.0), 2.0), 2)
    elif do == "calm":
        pond.calm()
    else:
        raise ValueError("no such command")


# --- the class ---------------------------------------------------------------


class Room:
    """Who is here, in order of joining; who drives."""

    def __init__(self):
        self.seats = {}             # ID -> {"name": ..., "may": ...}
        self.driver = None
        self.given = {}             # sub -> name, for who comes back

    def join(self, who, claims):
        sub = claims.get("sub")
        name = self.given.get(sub)
        taken = {seat["name"] for seat in self.seats.values()}
        if name is None or name in taken:
            name = next(n for n in self._names() if n not in taken)
        if sub is not None:
            self.given[sub] = name
            while len(self.given) > 500:
                del self.given[next(iter(self.given))]
        self.seats[who] = {"name": name,
                           "may": "w" in str(claims.get("perm", "r"))}

    @staticmethod
    def _names():
        turn = 1
        while True:
            yield from (n if turn == 1 else "%s %d" % (n, turn)
                        for n in NAMES)
            turn += 1

    def leave(self, who):
        self.seats.pop(who, None)
        if self.driver == who:
            self.driver = None

    def drive(self, who):
        self.driver = who if who in self.seats else None

    def you(self, who):
        return {"t": "you", "id": who, **self.seats[who]}

    def roll(self, bad):
        """For everybody: the first seats by name, the others as a number."""
        shown = [{"id": who, **seat} for who, seat in
                 list(self.seats.items())[:SEATS_SHOWN]]
        driver = self.seats.get(self.driver, {}).get("name")
        return {"t": "class", "driver": driver, "driver_id": self.driver,
                "watch": len(self.seats) - (driver is not None),
                "seats": shown, "bad": bad}


# --- messages ----------------------------------------------------------------


class Messages:
    """len32 from a descriptor: (opcode, payload), without blocking."""

    def __init__(self, fd):
        self.fd = fd
        self.rest = b""

    def read(self):
        """What is there now, after select() said so; None at the end."""
        data = os.read(self.fd, 65536)
        if not data:
            return None
        self.rest += data
        found = []
        while len(self.rest) >= 5:
            length, opcode = struct.unpack_from(">IB", self.rest)
            if not 1 <= length <= MAX_MESSAGE:
                raise EOFError("no such length: %d" % length)
            if len(self.rest) < 4 + length:
                break
            found.append((opcode, self.rest[5:4 + length]))
            self.rest = self.rest[4 + length:]
        return found


def say(to, payload):
    """To one, or "*": a picture as it is, all else as JSON."""
    opcode = BINARY
    if not isinstance(payload, bytes):
        opcode = TEXT
        payload = json.dumps(payload, separators=(",", ":")).encode()
    payload = b"> %s %s" % (to.encode(), payload)
    data = struct.pack(">IB", 1 + len(payload), opcode) + payload
    while data:                     # a pipe may take less than all
        data = data[os.write(1, data):]


class Session:
    def __init__(self, seed):
        self.pond = Pond(seed)
        self.room = Room()
        self.messages = Messages(0)
        self.bad = 0

    def _command(self, who, rest):
        if who != self.room.driver:
            return                  # it has just lost its seat
        try:
            obey(self.pond, json.loads(rest))
        except (ValueError, KeyError, TypeError, OverflowError,
                RecursionError):
            self.bad += 1

    def _take(self, payload):
        """One message of the relay; returns whether the class changed."""
        kind, who, rest = (payload.split(b" ", 2) + [b"", b""])[:3]
        who = who.decode("ascii", "replace")
        if kind == b">":
            self._command(who, rest)
            return False
        driver = self.room.driver
        if kind == b"+":
            self.room.join(who, json.loads(rest or b"{}"))
            say(who, self.room.you(who))
        elif kind == b"-":
            self.room.leave(who)
        elif kind == b"=":
            self.room.drive(who)
        else:
            return False            # what later relays may say
        if self.room.driver != driver:
            self.pond.lift()
        return True

    def hear(self):
        """Takes what has come; False at the end of the input."""
        found = self.messages.read()
        if found is None:
            return False
        changes = [self._take(payload) for _, payload in found]
        if any(changes) and self.room.seats:
            say("*", self.room.roll(self.bad))
        return True

    def run(self):
        # The n-th picture is due at start + n / HZ: waiting for a moment,
        # not for a time, does not drift.
        start, due = time.monotonic(), 1
        while True:
            wait = start + due / HZ - time.monotonic()
            if wait < -0.25:        # the pipe was full, the machine slept
                start, due, wait = time.monotonic(), 1, 1 / HZ
            # Nobody is here: the water waits, too.
            timeout = max(wait, 0) if self.room.seats else None
            if select.select([0], [], [], timeout)[0] and not self.hear():
                return
            if self.room.seats and time.monotonic() >= start + due / HZ:
                due += 1
                self.pond.step()
                say("*", self.pond.picture())


def main():
    try:
        Session(sys.argv[1] if len(sys.argv) > 1 else "demo").run()
    except (BrokenPipeError, KeyboardInterrupt, EOFError):
        pass                        # the relay has gone


if __name__ == "__main__":
    main()
