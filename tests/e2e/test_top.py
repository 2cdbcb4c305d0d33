"""wsrelayctl top, in a pseudo terminal."""
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import threading
import time

import pytest

from controls import CONTROL, ctl
from peers import TEXT, Background, Client
from relay import BUILD, PATIENCE, RUNNER

pytestmark = pytest.mark.plain("about a socket of its own")

ECHO = "[route echo]\npath = /echo\nbackend = echo:\nauth = none\n"
ROOM = ("[route room]\npath = /room/{id}\nbackend = room:\nmode = hub\n"
        "auth = none\nmax_backend_message = 64K\n")


class Screen:
    """wsrelayctl top in a terminal of 100 columns and 12 lines."""

    def __init__(self, *args):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ,
                    struct.pack("HHHH", 12, 100, 0, 0))
        self.slave = slave
        self.before = termios.tcgetattr(slave)
        self.text = b""
        self.process = subprocess.Popen(
            [*RUNNER, str(BUILD / "wsrelayctl"), *map(str, args)],
            stdin=slave, stdout=slave, stderr=subprocess.PIPE)

    def shows(self, *words):
        """Waits for a whole screen that has all of the words; its lines."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            ready, _, _ = select.select([self.master], [], [], PATIENCE)
            assert ready, (self.text, self.process.poll() and
                           self.process.stderr.read())
            self.text += os.read(self.master, 65536)
            screens = self.text.split(b"\033[H")
            for screen in screens[1:]:
                if screen.endswith(b"\033[J") and \
                        all(w.encode() in screen for w in words):
                    self.text = b""
                    return screen.decode().split("\r\n")
        raise AssertionError(self.text)

    def press(self, key):
        os.write(self.master, key.encode())

    def ends(self, status):
        stderr = self.process.communicate(timeout=PATIENCE)[1]
        assert self.process.returncode == status, stderr
        assert termios.tcgetattr(self.slave) == self.before
        os.close(self.master)
        os.close(self.slave)
        return stderr.decode()


def test_top(relay):
    r = relay(ECHO + ROOM, server=CONTROL)
    clients = [Client(r, "/echo"), *[Client(r, "/echo") for _ in range(8)], Client(r, "/room/7")]
    busy = clients[0]
    s = Screen("--socket", r.dir / "control.sock", "top", "--interval", "1")
    lines = s.shows("2 routes", "/room/{id}", "q quit")
    assert lines[0].startswith("wsrelayd 0.1.0, running")
    assert "10 clients of" in lines[0]
    assert len(lines) <= 12
    s.press("c")
    lines = s.shows("10 clients", "SUBJECT")
    assert "IN/S*" in lines[2]  # sorted by it
    stop = threading.Event()

    def chatter():
        while not stop.is_set():
            busy.send(TEXT, b"hello")
            assert busy.message()[1] == b"hello"
    chat = Background(chatter)
    # The busiest comes first, whenever it came.
    while not s.shows("10 clients")[3].startswith(busy.id):
        pass
    s.press("n")
    lines = s.shows("ID*")
    ids = [line.split()[0] for line in lines[3:10]]
    assert ids == sorted(ids)
    s.press("h")
    assert "/room/7" in s.shows("1 hubs")[3]
    stop.set()
    chat.done()
    s.press("q")
    assert s.ends(0) == ""
    for c in clients:
        c.close()


def test_top_ends_with_the_daemon(relay):
    r = relay(ECHO, server=CONTROL)
    s = Screen("--socket", r.dir / "control.sock", "top", "--interval", "1")
    s.shows("1 routes")
    r.stop()
    assert "the daemon has ended" in s.ends(3)


def test_top_wants_a_terminal(relay):
    r = relay(ECHO, server=CONTROL)
    done = ctl("--socket", r.dir / "control.sock", "top", status=2,
               stdin=subprocess.DEVNULL)
    assert "top: needs a terminal" in done.stderr
    assert "--interval: expected seconds" in ctl(
        "top", "--interval", "0", status=2).stderr
