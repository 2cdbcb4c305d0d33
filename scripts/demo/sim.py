#!/usr/bin/env python3
"""A cloth in the wind, for the demo of wsrelayd.

    stdin  {"do": "drag", "i": 17, "x": 4200, "y": 1800}   -> commands
    stdout {"t": "s", "n": 60, "p": [x, y, z, x, y, z, ...]} -> 60 per second

One line is one message of JSON, shorter than 2 KB. The process ends when its
standard input ends. Nothing but the standard library is needed.

Commands: drag (body i follows x, y), release, pause (on: true or false),
reset, wind (v: 0 to 2), ping (at: anything short; comes back in a pong).
What is no command is counted in "bad" and otherwise ignored.

Lengths are tenths of the picture's units: whole numbers are the shortest
JSON, and tenths are finer than a pixel.
"""
import json
import math
import os
import random
import select
import sys
import time

HZ = 60
WIDTH, HEIGHT = 1000.0, 640.0       # the picture's units
COLS, ROWS = 12, 8
SPACING = 58.0
TOP, LEFT = 76.0, 200.0
GATHERED = 0.94                     # the rod is narrower: the cloth has folds
PINS = (0, 3, 5, 6, 8, 11)          # columns that hang on a ring
GRAVITY = 900.0                     # units per s^2
DAMPING = 0.991                     # of the speed, per step
HAND_SPEED = 60.0                   # units per step, so that nothing tears
ITERATIONS = 4
MAX_LINE = 4096


class Cloth:
    """Point masses on inextensible threads: Verlet steps, then the threads
    are put right a few times (Jakobsen, "Advanced Character Physics").
    """

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.wind = 1.0
        self.paused = False
        self.reset()

    def reset(self):
        self.steps = 0
        self.grabbed = None         # (body, x, y)
        self.stretch = 0.0
        self.phase = self.random.uniform(0, 6.28)
        self.x, self.y, self.z, self.free = [], [], [], []
        for row in range(ROWS):
            for col in range(COLS):
                self.x.append(LEFT + col * SPACING * GATHERED)
                self.y.append(TOP + row * SPACING)
                # The folds must begin on one side or the other.
                self.z.append(12.0 * math.sin(col * 1.9) * (row > 0))
                self.free.append(0.0 if row == 0 and col in PINS else 1.0)
        self.before = (self.x[:], self.y[:], self.z[:])
        self.threads = list(self._threads())

    @staticmethod
    def _threads():
        diagonal = SPACING * math.sqrt(2)
        for row in range(ROWS):
            for col in range(COLS):
                i = row * COLS + col
                if col + 1 < COLS:
                    yield i, i + 1, SPACING
                if row + 1 < ROWS:
                    yield i, i + COLS, SPACING
                if col + 1 < COLS and row + 1 < ROWS:
                    # Every other way, so that the weave has no grain.
                    if (row + col) % 2:
                        yield i, i + COLS + 1, diagonal
                    else:
                        yield i + 1, i + COLS, diagonal

    def drag(self, body, x, y):
        self.grabbed = (body, min(max(x, 0.0), WIDTH),
                        min(max(y, 0.0), HEIGHT))

    def release(self):
        self.grabbed = None

    def step(self):
        self.steps += 1
        self._move()
        held = self._hold()
        self.stretch = self._solve(held)

    def _move(self):
        """One Verlet step: position, last position, gravity, wind."""
        x, y, z, free = self.x, self.y, self.z, self.free
        old_x, old_y, old_z = self.before
        self.before = (x[:], y[:], z[:])
        square = 1.0 / (HZ * HZ)
        fall = GRAVITY * square
        t = self.steps / HZ + self.phase
        # Gusts: two travelling waves under a slow swell.
        swell = self.wind * (0.75 + 0.45 * math.sin(0.37 * t)
                             + 0.25 * math.sin(1.13 * t))
        by_col = [swell * 620.0 * square * math.sin(2.1 * t - 0.55 * col)
                  for col in range(COLS)]
        by_row = [0.45 + 0.55 * math.sin(1.3 * t - 0.5 * row)
                  for row in range(ROWS)]
        side = swell * 130.0 * square * math.sin(0.61 * t)
        for i in range(COLS * ROWS):
            if free[i]:
                row, col = divmod(i, COLS)
                x[i] += (x[i] - old_x[i]) * DAMPING + side * row / ROWS
                y[i] += (y[i] - old_y[i]) * DAMPING + fall
                z[i] += (z[i] - old_z[i]) * DAMPING \
                    + by_col[col] * by_row[row]

    def _hold(self):
        """Moves the grabbed body towards the hand; returns its number."""
        if self.grabbed is None:
            return -1
        i, to_x, to_y = self.grabbed
        from_x, from_y, _ = (axis[i] for axis in self.before)
        dx, dy = to_x - from_x, to_y - from_y
        part = min(1.0, HAND_SPEED / (math.hypot(dx, dy) or 1.0))
        self.x[i] = from_x + dx * part
        self.y[i] = from_y + dy * part
        return i

    def _solve(self, held):
        """Puts the threads right; returns the largest stretch."""
        x, y, z, sqrt = self.x, self.y, self.z, math.sqrt
        free = self.free
        if held >= 0:
            free = free[:]
            free[held] = 0.0
        worst = 0.0
        for _ in range(ITERATIONS):
            worst = 0.0
            for a, b, rest in self.threads:
                free_a, free_b = free[a], free[b]
                if not free_a and not free_b:
                    continue
                dx, dy, dz = x[b] - x[a], y[b] - y[a], z[b] - z[a]
                length = sqrt(dx * dx + dy * dy + dz * dz) or 1e-9
                over = (length - rest) / length
                if over > worst:
                    worst = over
                over /= free_a + free_b
                part_a, part_b = over * free_a, over * free_b
                x[a] += dx * part_a
                y[a] += dy * part_a
                z[a] += dz * part_a
                x[b] -= dx * part_b
                y[b] -= dy * part_b
                z[b] -= dz * part_b
        return worst

    def hello(self):
        return {"t": "hello", "hz": HZ, "cols": COLS, "rows": ROWS,
                "pins": PINS, "width": WIDTH, "height": HEIGHT,
                "bodies": COLS * ROWS, "rod": TOP}

    def state(self, bad):
        points = []
        for i in range(COLS * ROWS):
            points += (_tenths(self.x[i]), _tenths(self.y[i]),
                       _tenths(self.z[i]))
        return {"t": "s", "n": self.steps, "time": round(self.steps / HZ, 2),
                "paused": self.paused, "wind": self.wind, "bad": bad,
                "held": self.grabbed[0] if self.grabbed else -1,
                "stretch": round(self.stretch, 3), "p": points}


def _tenths(value):
    """At most 5 characters, so that a message has a largest size."""
    return round(min(max(value, -999.0), 1999.0) * 10)


def _number(value):
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("not a number")
    value = float(value)
    if not math.isfinite(value):
        raise ValueError("not finite")
    return value


def obey(cloth, command):
    """Carries out a command; returns an answer or None. ValueError, KeyError,
    TypeError, OverflowError: it was none.
    """
    do = command["do"]
    if do == "drag":
        body = command["i"]
        if type(body) is not int or not 0 <= body < COLS * ROWS:
            raise ValueError("no such body")
        cloth.drag(body, _number(command["x"]), _number(command["y"]))
    elif do == "release":
        cloth.release()
    elif do == "pause":
        cloth.paused = bool(command["on"])
    elif do == "reset":
        cloth.reset()
    elif do == "wind":
        cloth.wind = round(min(max(_number(command["v"]), 0.0), 2.0), 2)
    elif do == "ping":
        answer = {"t": "pong", "at": command["at"]}
        if len(json.dumps(answer)) > 200:
            raise ValueError("too long a ping")
        return answer
    else:
        raise ValueError("no such command")
    return None


class Lines:
    """Lines from a descriptor, of bounded length, without blocking."""

    def __init__(self, fd):
        self.fd = fd
        self.rest = b""
        self.skipping = False       # within a line that is too long

    def read(self):
        """What is there now, after select() said so; None at the end. A
        line that is too long comes as an empty one.
        """
        data = os.read(self.fd, 65536)
        if not data:
            return None
        *lines, self.rest = (self.rest + data).split(b"\n")
        if lines and self.skipping:
            lines[0] = b""
            self.skipping = False
        if len(self.rest) > MAX_LINE:
            self.rest = b""
            self.skipping = True
        return [b"" if len(line) > MAX_LINE else line for line in lines]


def say(message):
    line = json.dumps(message, separators=(",", ":")) + "\n"
    data = line.encode()
    while data:                     # a pipe may take less than all
        data = data[os.write(1, data):]


class Session:
    def __init__(self, seed):
        self.cloth = Cloth(seed)
        self.lines = Lines(0)
        self.bad = 0

    def hear(self):
        """Obeys what has come; False at the end of the input."""
        lines = self.lines.read()
        if lines is None:
            return False
        for line in lines:
            was_paused, steps = self.cloth.paused, self.cloth.steps
            try:
                answer = obey(self.cloth, json.loads(line))
            except (ValueError, KeyError, TypeError, OverflowError,
                    RecursionError):
                self.bad += 1
                continue
            if answer is not None:
                say(answer)
            # A paused simulation is silent, but for what changes it.
            if self.cloth.paused and (not was_paused
                                      or self.cloth.steps != steps):
                say(self.cloth.state(self.bad))
        return True

    def run(self):
        say(self.cloth.hello())
        # The n-th step is due at start + n / HZ: waiting for a moment, not
        # for a time, does not drift.
        start, due = time.monotonic(), 1
        while True:
            now = time.monotonic()
            wait = start + due / HZ - now
            if wait < -0.25:        # the pipe was full, the machine slept
                start, due, wait = now, 1, 1 / HZ
            ready, _, _ = select.select([0], [], [], max(wait, 0))
            if ready and not self.hear():
                return
            if time.monotonic() >= start + due / HZ:
                due += 1
                if not self.cloth.paused:
                    self.cloth.step()
                    say(self.cloth.state(self.bad))


def main():
    try:
        Session(sys.argv[1] if len(sys.argv) > 1 else "demo").run()
    except (BrokenPipeError, KeyboardInterrupt):
        pass                        # the reader has gone


if __name__ == "__main__":
    main()
