"""Floods from a process of their own, and how the daemon fares meanwhile: an
echo on each of its workers, its watchdog, its memory.

    f = Fair(relay, directory, ini)         # starts the daemon
    c = Client(f.r, "/echo")
    f.flood(pump, {c.sock: PINGS}, [c.sock])    # asserts all of that

An echo with the flood is compared with one just before it. The time in which
the daemon's thread, or ours, was ready to run and had no processor is counted
by the kernel, and taken off: that is the machine's. So is the delay of an echo
from a process that does nothing else.
"""
import collections
import contextlib
import multiprocessing
import os
import pathlib
import re
import select
import socket
import ssl
import struct
import subprocess
import threading
import time
import traceback
from typing import NamedTuple

from peers import BINARY, Client, frame
from relay import BUILD, PATIENCE, SANITIZERS
from test_service import Manager

MB = 1 << 20
SLOWER = BUILD.name != "release"    # by a sanitizer
# An echo may come so much later at p99, in seconds.
LATER = 0.5 if SLOWER else 0.1
# Of a connection, by wsrelayd.ini(5), max_memory.
CONNECTION = 512 << 10
# Beside that: what an allocator has in stock, the log, what is not freed yet.
STOCK = 8 * MB
# A sanitizer keeps books, and distance between small blocks.
BOOKS = 3 if SLOWER else 1
LEAN = {"ASAN_OPTIONS": SANITIZERS["ASAN_OPTIONS"] +
        ":quarantine_size_mb=1:malloc_context_size=4"}
SECONDS = 0.6       # of a flood
MOST = 1024 * MB    # of it, too
LEAST = 1 << 18     # bytes: a read; less is no flood
BEFORE = 0.2        # seconds of echoes without it
PACE = 0.004        # between two echoes
LOOK = 0.05         # between two looks at the memory
STUCK = 3           # seconds behind the flood that the last may take
WATCHDOG = 0.5      # seconds without a beat, which comes twice in them

ECHO = frame(BINARY, b"12345678")
ECHOED = len(ECHO) - 4      # the mask


def repeated(data, n=1 << 18):
    """So often that it fills a read."""
    return data * (n // len(data))


# --- in a process of its own -------------------------------------------------

class Pumped(NamedTuple):
    sent: int
    received: int


class Pipe:
    """A socket that is written and read as fast as it allows, or only one of
    both. What is read is not even looked at."""

    def __init__(self, sock):
        self.sock, self.data, self.at = sock, None, 0
        self.events = self.sent = self.received = 0
        # Of TCP the kernel need not copy what nobody looks at.
        self.how = (1 << 20, 0) if sock.family == socket.AF_UNIX else \
            (1 << 24, socket.MSG_TRUNC)

    def go_on(self, what):
        """False: the peer has ended."""
        try:
            if what & select.EPOLLOUT:
                n = self.sock.send(self.data[self.at:])
                self.sent += n
                self.at = (self.at + n) % len(self.data)
            if what & select.EPOLLIN:
                n = len(self.sock.recv(*self.how))
                self.received += n
                return n > 0
        except BlockingIOError:
            pass
        except (ConnectionResetError, BrokenPipeError):
            return False
        return not what & (select.EPOLLERR | select.EPOLLHUP)


def pump(writers, readers=(), seconds=SECONDS, most=MOST):
    """Writes to each socket of writers its bytes, over and over, and reads
    the readers, until it is over: on a busy machine later, with LEAST, if the
    peers live so long. Returns how much that was."""
    pipes = {x.fileno(): Pipe(x) for x in [*writers, *readers]}
    for x in readers:
        pipes[x.fileno()].events |= select.EPOLLIN
    for x, data in writers.items():
        pipes[x.fileno()].data = memoryview(data)
        pipes[x.fileno()].events |= select.EPOLLOUT
    poll = select.epoll()
    for fd, pipe in pipes.items():
        os.set_blocking(fd, False)
        poll.register(fd, pipe.events)
    end, alive = time.monotonic() + seconds, set(pipes)

    def total():
        return Pumped(sum(x.sent for x in pipes.values()),
                      sum(x.received for x in pipes.values()))

    def is_over():
        late = time.monotonic() - end
        sent, received = total()
        enough = not alive or (sent if writers else received) > LEAST
        return late >= (0 if enough else PATIENCE) or sent >= most
    while not is_over():
        for fd, what in poll.poll(0.05):
            if not pipes[fd].go_on(what):
                poll.unregister(fd)
                alive.remove(fd)
    return total()


class Asking:
    """A connection that says what it has to say, and ends with the answer."""

    def __init__(self, port, request, context):
        self.request, self.events = request, select.EPOLLOUT
        self.sock = socket.socket()
        # No port is kept for what has been reset.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))
        self.sock.setblocking(False)
        self.sock.connect_ex(("127.0.0.1", port))
        self.steps = [self.say, self.hear]
        self.context = context
        if context:
            self.steps.insert(0, self.greet)

    def greet(self):
        if not isinstance(self.sock, ssl.SSLSocket):
            self.sock = self.context.wrap_socket(
                self.sock, do_handshake_on_connect=False)
        self.sock.do_handshake()

    def say(self):
        self.sock.send(self.request)

    def hear(self):
        return self.sock.recv(4096)

    def go_on(self):
        """Whether it is answered; OSError: it never will be."""
        while self.steps:
            try:
                self.steps[0]()
            except ssl.SSLWantWriteError:
                self.events = select.EPOLLOUT
                return False
            except (BlockingIOError, ssl.SSLWantReadError):
                self.events = select.EPOLLIN
                return False
            self.steps.pop(0)
        return True


def ask(port, make, context=None, at_once=32, seconds=SECONDS):
    """Connections, so many at once, one for each request that make() makes,
    until it is over and one is answered. Returns how many were."""
    poll, asking, answered = select.epoll(), {}, 0
    end = time.monotonic() + seconds
    while time.monotonic() < end or not answered:
        while len(asking) < at_once:
            x = Asking(port, make(), context)
            asking[x.sock.fileno()] = x
            poll.register(x.sock, x.events)
        for fd, _ in poll.poll(0.05):
            x, over = asking[fd], True
            with contextlib.suppress(OSError):
                over = x.go_on()
                answered += over
            if over:
                poll.unregister(fd)
                asking.pop(fd).sock.close()
            else:
                poll.modify(fd, x.events)
    return answered


class Flood:
    """Calls a function in a child of ours; done() is what it returned."""

    def __init__(self, function, *args):
        context = multiprocessing.get_context("fork")
        self.result, theirs = context.Pipe(False)

        def run():
            try:
                theirs.send((function(*args), None))
            except BaseException:
                theirs.send((None, traceback.format_exc()))
        self.process = context.Process(target=run, daemon=True)
        self.process.start()
        theirs.close()

    def is_over(self):
        return self.result.poll()

    def done(self):
        assert self.result.poll(PATIENCE), "the flood does not end"
        value, error = self.result.recv()
        self.process.join()
        assert error is None, error
        return value


# --- the others ----------------------------------------------------------------

class Waits:
    """How long the threads of a process were ready and had no processor; 0
    where the kernel does not say."""

    def __init__(self, pid, thread="*"):
        self.files = [p.open("rb", buffering=0) for p in
                      pathlib.Path(f"/proc/{pid}/task").glob(
                          f"{thread}/schedstat")]

    def now(self):
        """Seconds, of each thread."""
        return [int(os.pread(f.fileno(), 80, 0).split()[1]) / 1e9
                for f in self.files]

    def since(self, then):
        return max((b - a for a, b in zip(then, self.now())), default=0)

    def close(self):
        for f in self.files:
            f.close()


class Line:
    """One connection that asks at a pace, whether it is answered or not."""

    def __init__(self, sock, reply, waits):
        self.sock, self.reply, self.waits = sock, reply, waits
        self.asked = collections.deque()
        self.took, self.bytes = [], 0

    def ask(self):
        self.asked.append((time.monotonic(), [w.now() for w in self.waits]))
        self.sock.sendall(ECHO)

    def note(self):
        """The oldest is answered, or is not waited for any longer."""
        asked, then = self.asked.popleft()
        waited = sum(w.since(t) for w, t in zip(self.waits, then))
        self.took.append(max(0, time.monotonic() - asked - waited))

    def answered(self):
        data = self.sock.recv(1 << 16)
        assert data, "the echo has ended"
        self.bytes += len(data)
        while self.bytes >= self.reply:
            self.bytes -= self.reply
            self.note()

    def p99(self):
        while self.asked:
            self.note()
        took, self.took = sorted(self.took), []
        return took[(len(took) - 1) * 99 // 100]


class Echoes:
    """Echoes of the daemon, one on each worker, and one of a process that does
    nothing else."""

    def __init__(self, r, workers):
        self.r = r
        mine = Waits(os.getpid(), threading.get_native_id())
        self.waits = [mine, Waits(r.pid)]
        self.clients = [Client(r, "/echo") for _ in range(workers)]
        ours, end = socket.socketpair()
        self.plain = subprocess.Popen(["cat"], stdin=end,
                                      stdout=end)
        end.close()
        self.lines = [Line(ours, len(ECHO), [mine])] + \
            [Line(c.sock, ECHOED, self.waits) for c in self.clients]
        self.poll = select.poll()
        for x in self.lines:
            self.poll.register(x.sock, select.POLLIN)
        self.peak = 0

    def look(self):
        """Anonymous memory now. Relay.memory() would hold up its threads."""
        text = pathlib.Path(f"/proc/{self.r.pid}/status").read_text()
        now = int(re.search(r"RssAnon:\s+(\d+)", text).group(1)) * 1024
        self.peak = max(self.peak, now)
        return now

    def measure(self, over):
        """The p99 of the daemon's worst echo, and of the plain one."""
        due = looked = time.monotonic()
        while not over():
            now = time.monotonic()
            if now >= due:
                for x in self.lines:
                    x.ask()
                due = max(due + PACE, now)
            if now >= looked:
                self.look()
                looked = now + LOOK
            self.hear(due - now)
        end = time.monotonic() + STUCK
        while any(x.asked for x in self.lines) and time.monotonic() < end:
            self.hear(PACE)
        times = [x.p99() for x in self.lines]
        return max(times[1:]), times[0]

    def hear(self, seconds):
        """What comes until then."""
        for fd, _ in self.poll.poll(max(0, seconds) * 1000):
            next(x for x in self.lines if x.sock.fileno() == fd).answered()

    def close(self):
        for x in [self.lines[0].sock, *self.clients, *self.waits]:
            x.close()
        self.plain.wait(PATIENCE)


class Fair:
    """A daemon, and how it treats the others while it is flooded."""

    def __init__(self, relay, directory, ini, workers=1, memory="16M",
                 server="", **options):
        self.manager = Manager(directory / "notify")
        self.r = relay(
            "[route echo]\npath = /echo\nbackend = echo:\nauth = none\n" + ini,
            server=f"workers = {workers}\nmax_memory = {memory}\n{server}",
            env={**LEAN, "NOTIFY_SOCKET": str(self.manager.path),
                 "WATCHDOG_USEC": str(int(WATCHDOG * 1e6))}, **options)
        self.memory = int(memory.rstrip("M")) * MB
        self.manager.wait("READY=1")
        # First of all: so each is on a worker of its own.
        self.echoes = Echoes(self.r, workers)

    def flood(self, function, *args, connections=1):
        """While function(*args) runs in a process of its own, with so many
        connections of the daemon. Returns its value."""
        e = self.echoes
        memory = e.look()
        end = time.monotonic() + BEFORE
        before, _ = e.measure(lambda: time.monotonic() > end)
        e.peak, start = 0, time.monotonic()
        # The daemon, and the thread that reads its beats.
        machine = [e.waits[1], Waits(os.getpid())]
        then = [w.now() for w in machine]
        flood = Flood(function, *args)
        with_flood, plain = e.measure(flood.is_over)
        took = time.monotonic() - start
        value = flood.done()
        grown = e.peak - memory
        print(f"p99 {before * 1e3:.1f} -> {with_flood * 1e3:.1f} ms, "
              f"plain {plain * 1e3:.1f}; {grown / MB:.1f} MB; {value}")
        assert with_flood - max(before, plain) <= LATER
        assert grown <= BOOKS * (self.memory + STOCK +
                                 connections * CONNECTION)
        beats = [t for t in self.manager.all("WATCHDOG=1") if t > start]
        gaps = [b - a for a, b in zip([start, *beats],
                                      [*beats, start + took])]
        waited = sum(w.since(t) for w, t in zip(machine, then))
        machine[1].close()
        assert max(gaps) < WATCHDOG + LATER + plain + waited, gaps
        return value

    def close(self):
        self.echoes.close()
        self.manager.socket.close()
