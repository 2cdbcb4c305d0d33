"""on_backend_loss = hold: a backend that is lost and comes back."""
import contextlib
import json
import os
import signal
import struct
import subprocess
import time

import pytest

from peers import (BINARY, CONT, PING, PONG, TEXT, Background, Client, Server,
                   WsPeer, alive, program)
from relay import PATIENCE, ROOT, free_port, mint, wait_for
from test_hub import Hub, everything, hub, texts, wait_stuck

pytestmark = pytest.mark.parametrize("workers", [1, 2])
HOLD = "on_backend_loss = hold"


class Held(Hub):
    """A hub whose backend, the test, can be away and come back."""

    def __init__(self, relay, workers, *more, **options):
        super().__init__(relay, workers, HOLD, *more, **options)
        self.port = self.server.port

    def lose(self, how="reset"):
        getattr(self.trunk, how)()
        self.trunk = None

    def go_away(self, how="reset"):
        """Nobody listens any more, either."""
        seen = len(self.r.log("hub-lost"))
        self.server.sock.close()
        if self.trunk:
            self.lose(how)
        self.r.wait_log("hub-lost", count=seen + 1)

    def come_back(self, **options):
        self.server = Server(port=self.port, **options)
        return self.again()

    def join_held(self):
        c = Client(self.r, "/h/1")
        self.members.append(c)
        return c

    def again(self):
        self.trunk = self.server.accept()
        return self.trunk


def ws_hub(relay, workers, *more, **options):
    """A hub over a ws trunk, one member in."""
    s = Server()
    r = relay(hub(f"ws://127.0.0.1:{s.port}", HOLD, *more),
              server=f"workers = {workers}")
    c = Client(r, "/h/1", wait=False, **options)
    return r, s, c


# --- the test of the promise ---------------------------------------------------------

TICKER = """
import itertools, os, socket, sys, time
if len(sys.argv) > 1:
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", int(sys.argv[1])))
    s.listen()
    out = s.accept()[0].makefile("w")
else:
    out = sys.stdout
for i in itertools.count():
    print(os.getpid(), i, file=out, flush=True)
    time.sleep(0.005)
"""


def two_lives(c, first):
    """What c hears until it has heard 20 of the second backend."""
    got, pids = [], [first]
    while len(pids) < 2 or len([1 for p, _ in got if p == pids[1]]) < 20:
        pid, i = map(int, c.recv().text.split())
        if pid not in pids:
            pids.append(pid)
        got.append((pid, i))
    return pids, got


@pytest.mark.parametrize("kind", ["exec", "tcp"])
def test_nobody_notices_but_by_a_gap(relay, workers, tmp_path, kind):
    """kill -9, with 50 clients."""
    command = program(tmp_path, TICKER)
    processes = []
    port = free_port()

    def start():
        processes.append(subprocess.Popen([*command.split(), str(port)]))

    backend = f"exec:{command}"
    if kind == "tcp":
        backend = f"tcp://127.0.0.1:{port}"
        start()
        # It listens before it is asked.
        wait_for(lambda: listens(port), "its port")
    try:
        r = relay(hub(backend, "framing = line", HOLD, "slow = latest",
                      "close_timeout = 300ms"), server=f"workers = {workers}")
        members = [Client(r, "/h/1") for _ in range(50)]
        first, = {int(c.recv().text.split()[0]) for c in members}
        jobs = [Background(two_lives, c, first) for c in members]
        os.kill(first, signal.SIGKILL)
        if kind == "tcp":
            processes[0].wait()
            start()
        for job in jobs:
            pids, got = job.done()
            assert pids[0] == first
            for pid in pids:
                mine = [i for p, i in got if p == pid]
                assert mine == sorted(set(mine))
        assert len(r.log("hub-open")) == 1 and not r.log("close")
        assert r.log("hub-lost")[0]["reason"] in ("backend-exit",
                                                  "backend-reset",
                                                  "backend-close")
        assert int(r.wait_log("hub-reopened")["gap_ms"]) >= 50
    finally:
        for p in processes:
            p.kill()
            p.wait()


def listens(port):
    wanted = f":{port:04X} 00000000:0000 0A"
    return wanted in open("/proc/net/tcp").read()


# --- what waits -------------------------------------------------------------------------

def test_input_waits_whole_and_in_order(relay, workers):
    h = Held(relay, workers)
    members = [h.join() for _ in range(4)]
    h.go_away()
    for n, c in enumerate(members):
        for i in range(50):
            c.send(TEXT, f"{n} {i}")
        c.synced()  # it is read and answered all the time
    members[3].close()  # what it said stays said
    h.come_back()
    got = [h.heard() for _ in range(200)]
    for n in range(4):
        assert [x for x in got if x.startswith(f"{n} ")] == \
            [f"{n} {i}" for i in range(50)]
    h.say("back")
    for c in members[:3]:
        assert c.recv().text == "back"
    line = h.r.wait_log("hub-reopened")
    assert line["waiting"] == "200" and line["dropped"] == "0"


def test_over_queue_limit_reading_pauses(relay, workers):
    h = Held(relay, workers, "queue_limit = 64K", "max_message = 64K")
    members = [h.join() for _ in range(3)]
    h.go_away()
    total = 300

    def push(n, c):
        for i in range(total):
            c.send(TEXT, f"{n} {i} ".ljust(20000))
    jobs = [Background(push, n, c) for n, c in enumerate(members)]
    late = h.join_held()
    wait_stuck(jobs, members)
    late.synced()
    h.come_back()
    got = [h.heard().split()[:2] for _ in range(3 * total)]
    for job in jobs:
        job.done()
    for n in range(3):
        assert [int(i) for m, i in got if m == str(n)] == list(range(total))
    # What waited was little more than the limit: a read's worth of each.
    waited = int(h.r.wait_log("hub-reopened")["waiting"])
    assert waited < 200
    h.say("x")
    for c in [late, *members]:
        assert c.recv().text == "x"


def test_one_partly_written_is_dropped(relay, workers):
    """And never continued on the next trunk; those behind it are whole."""
    h = Held(relay, workers, "queue_limit = 16M", "max_message = 8M",
             rcvbuf=4096)
    a, b = h.join(), h.join()
    a.send(BINARY, b"B" * (8 << 20))
    assert h.trunk.exactly(5) == struct.pack(">IB", (8 << 20) + 1, BINARY)
    b.synced()
    for i in range(20):
        b.send(TEXT, f"b{i}")
    b.synced()
    a.send(TEXT, "a")
    a.synced()
    h.lose()
    h.again()
    got = [h.heard() for _ in range(21)]
    assert [x for x in got if x != "a"] == [f"b{i}" for i in range(20)]
    assert "a" in got
    line = h.r.wait_log("hub-reopened")
    assert line["dropped"] == "1"
    a.send(TEXT, "end")
    assert h.heard() == "end"
    a.close()
    b.close()
    assert h.r.wait_log("hub-close", reason="linger")["dropped"] == "1"


def test_no_message_behind_it_is_lost(relay, workers):
    """Of what the relay's kernel was given all is read; of the rest one has
    begun to leave."""
    h = Held(relay, workers, "queue_limit = 64M", rcvbuf=4096)
    a = h.join()
    for i in range(400):
        a.send(BINARY, struct.pack(">I", i) + bytes(20_000))
    a.synced()
    h.r.kill(signal.SIGSTOP)
    h.trunk.sock.settimeout(1)
    arrived = 0
    with contextlib.suppress(TimeoutError):
        while True:
            n, _ = struct.unpack(">IB", h.trunk.exactly(5))
            assert struct.unpack(">I", h.trunk.exactly(n - 1)[:4])[0] == arrived
            arrived += 1
    h.lose()
    h.r.kill(signal.SIGCONT)
    h.again()
    n, _ = struct.unpack(">IB", h.trunk.exactly(5))
    first, = struct.unpack(">I", h.trunk.exactly(n - 1)[:4])
    assert first in (arrived, arrived + 1)
    line = h.r.wait_log("hub-reopened")
    assert int(line.get("dropped", 0)) == first - arrived


def test_messages_of_two_lives_do_not_mix(relay, workers):
    """Neither a client's fragments, nor what a lost trunk began to say."""
    r, s, a = ws_hub(relay, workers)
    trunk = s.accept_ws().accept()
    a.upgraded()
    b = Client(r, "/h/1")
    for how in "reset", "close", "stop":
        a.send(TEXT, "be", fin=False)
        a.synced()
        trunk.send(TEXT, "old", fin=False)
        trunk.send(PING, b"x")
        assert trunk.frame().opcode == PONG  # the relay has read the part
        if how == "stop":  # in the middle of a frame
            trunk.write(b"\x80\x05mor")
            how = "close"
        getattr(trunk, how)()
        trunk = s.accept_ws().accept()
        a.send(CONT, "fore")
        assert trunk.recv().text == "before"
        trunk.send(TEXT, "new")
        assert a.recv().text == b.recv().text == "new"


@pytest.mark.parametrize("framing", ["line", "len32"])
def test_half_a_message_of_a_stream(relay, workers, framing):
    h = Held(relay, workers, framing=framing)
    members = [h.join() for _ in range(3)]
    h.trunk.write(b"hal" if framing == "line" else b"\0\0\0\x09\1hal")
    h.lose("close")
    h.again()
    if framing == "line":
        h.trunk.write(b"whole\n")
    else:
        h.say("whole")
    for c in members:
        assert c.recv().text == "whole"


def test_in_the_middle_of_a_broadcast(relay, workers):
    """Losses, joining and leaving while it speaks: everybody's run has the
    same order, and no message twice."""
    h = Held(relay, workers, "replay = 5")
    stay = [h.join() for _ in range(4)]
    jobs = [Background(until, c, "end") for c in stay]
    late = []
    for life in range(4):
        for i in range(300):
            h.say(f"{life} {i}")
            if i % 60 == 30:
                c = Client(h.r, "/h/1")
                if i % 120 == 30:
                    late.append((c, Background(until, c, "end")))
                else:
                    c.close()
        h.say(f"{life} end")
        if life < 3:
            h.lose("close")
            h.again()
    h.say("end")
    orders = [job.done() for job in jobs]
    assert all(o == orders[0] for o in orders)
    # A FIN comes behind what was said: nothing is lost of any life.
    assert orders[0] == [f"{life} {i}" for life in range(4)
                         for i in [*range(300), "end"]] + ["end"]
    for c, job in late:
        got = job.done()
        assert got == orders[0][-len(got):]


def until(c, last):
    got = []
    while not got or got[-1] != last:
        got.append(c.recv().text)
    return got


# --- joining, leaving, waiting ---------------------------------------------------------------

def test_joining_while_it_is_held(relay, workers):
    h = Held(relay, workers, "replay = 2")
    first = h.join()
    h.say("a")
    h.say("b")
    assert texts(first, 2) == ["a", "b"]
    h.go_away()
    late = [h.join_held() for _ in range(4)]
    gone = h.join_held()
    gone.close()
    for c in late:
        assert texts(c, 2) == ["a", "b"]
        c.send(TEXT, "hello")
    h.come_back()
    assert [h.heard() for _ in late] == ["hello"] * 4
    h.say("c")
    for c in [first, *late]:
        assert c.recv().text == "c"
    assert texts(h.join_held(), 2) == ["b", "c"]


def test_the_last_leaves_while_it_is_held(relay, workers):
    h = Held(relay, workers)
    members = [h.join() for _ in range(3)]
    h.go_away()
    for c in members:
        c.close()
    line = h.r.wait_log("hub-close", reason="linger")
    assert line["members_most"] == "3"
    server = Server(port=h.port)  # nobody comes but for a new client
    server.sock.settimeout(1)
    with pytest.raises(TimeoutError):
        server.accept()
    c = Client(h.r, "/h/1", wait=False)
    server.sock.settimeout(30)
    server.accept().write(struct.pack(">IB", 4, TEXT) + b"new")
    assert c.upgraded().recv().text == "new"


def test_a_reload_while_it_is_held(relay, workers):
    """The last leaves and comes again within linger: the same hub."""
    s = Server()
    r = relay(hub(s.uri, "framing = line", HOLD, "replay = 1").replace(
        "50ms", "20s"), server=f"workers = {workers}")
    c = Client(r, "/h/1")
    trunk = s.accept()
    trunk.write(b"old\n")
    assert c.recv().text == "old"
    port = s.port
    s.sock.close()
    trunk.reset()
    r.wait_log("hub-lost")
    c.close()
    r.wait_log("close", id=c.id)
    c = Client(r, "/h/1")
    assert c.recv().text == "old"
    with Server(port=port) as s:
        s.accept().write(b"new\n")
        assert c.recv().text == "new"
    assert len(r.log("hub-open")) == 1


def test_hold_timeout(relay, workers):
    h = Held(relay, workers, "hold_timeout = 1s")
    members = [h.join() for _ in range(4)]
    members[0].send(TEXT, "x")
    assert h.heard() == "x"
    start = time.monotonic()
    h.go_away()
    members[1].send(TEXT, "never")
    late = h.join_held()
    for c in [*members, late]:
        c.closed(1011, "hold-timeout: the backend did not come back")
    assert time.monotonic() - start > 0.9
    line = h.r.wait_log("hub-close", reason="hold-timeout")
    assert line["dropped"] == "1"
    assert h.r.wait_log("close", id=late.id)["reason"] == "hold-timeout"
    assert Client(h.r, "/h/1", wait=False).answer() == 502


def test_refused_and_then_accepted(relay, workers):
    r, s, c = ws_hub(relay, workers)
    trunk = s.accept_ws().accept()
    c.upgraded()
    trunk.reset()
    for status in "503 Busy", "500 Oh", None:
        b = s.accept_ws()
        if status:
            b.refuse(status)
        b.close()
    c.send(TEXT, "still here")
    trunk = s.accept_ws().accept()
    assert trunk.recv().text == "still here"
    trunk.send(TEXT, "so am I")
    assert c.recv().text == "so am I"
    assert int(r.wait_log("hub-reopened")["attempts"]) == 4


def test_one_that_dies_at_once_in_a_loop(relay, workers):
    """The pauses grow although it accepts each time, and so does the time
    that counts for hold_timeout."""
    h = Held(relay, workers, "hold_timeout = 2500ms")
    c = h.join()
    start = time.monotonic()

    def die():
        with contextlib.suppress(OSError):
            while True:
                h.server.accept().reset()
    h.trunk.reset()
    Background(die)
    c.closed(1011, "hold-timeout")
    assert time.monotonic() - start > 2.4
    # A reset may come before the connection is there.
    retries = [int(x["retry_ms"]) for x in h.r.log()
               if x["event"] in ("hub-lost", "hub-retry")]
    for ms, step in zip(retries, [100, 200, 400, 800, 1600]):
        assert step // 2 <= ms <= step
    # 50 + 100 + 200 + 400 + 800 + 1600 ms at least.
    assert 3 <= len(retries) <= 7
    h.server.sock.close()


def test_what_lived_long_starts_anew(relay, workers):
    h = Held(relay, workers, "hold_timeout = 10s")
    c = h.join()
    for n in range(3):
        h.lose()
        h.again()
        h.r.wait_log("hub-reopened", count=n + 1)
    time.sleep(5.2)     # BACKOFF_STEADY_MS
    h.lose()
    h.again()
    assert 50 <= int(h.r.wait_log("hub-lost", count=4)["retry_ms"]) <= 100
    h.say("x")
    assert c.recv().text == "x"


# --- what is a loss, and what an end ------------------------------------------------------------

@pytest.mark.parametrize("how", ["close", "reset", "utf8", "long"])
def test_losses_of_a_stream(relay, workers, how):
    h = Held(relay, workers, "max_backend_message = 1000",
             "close_timeout = 300ms")
    members = [h.join() for _ in range(5)]
    h.say("last")
    if how == "utf8":
        h.say(b"\xff")
    elif how == "long":
        h.say(b"x" * 1001)
    else:
        texts(members[0], 1)
        h.lose(how)
    h.again()
    h.say("new")
    for c in members:
        assert texts(c, 1 if c is members[0] and how in ("close", "reset")
                     else 2)[-1] == "new"
    word = {"close": "backend-close", "reset": "backend-reset"}.get(
        how, "backend-protocol")
    assert h.r.log("hub-lost")[0]["reason"] == word


def test_a_program_that_ends_well(relay, workers, tmp_path):
    command = program(tmp_path, "sys.stdin.readline()\nprint('bye')")
    r = relay(hub(f"exec:{command}", HOLD), server=f"workers = {workers}")
    members = [Client(r, "/h/1") for _ in range(4)]
    members[1].send(TEXT, "go")
    for c in members:
        assert c.recv().text == "bye"
        c.closed(1000)
    assert not r.log("hub-lost")


def test_never_two_programs(relay, workers, tmp_path):
    """One that breaks its framing is ended before the next is started."""
    lock = tmp_path / "lock"
    command = program(tmp_path, f"""
os.close(os.open({str(lock)!r}, os.O_CREAT | os.O_EXCL))
print(os.getpid(), flush=True)
sys.stdin.readline()
sys.stdout.buffer.write(b"\\xff\\n")
sys.stdout.flush()
sys.stdin.read()
time.sleep(0.3)         # it takes its time
os.unlink({str(lock)!r})
""")
    r = relay(hub(f"exec:{command}", HOLD), server=f"workers = {workers}")
    c = Client(r, "/h/1")
    first = int(c.recv().text)
    c.send(TEXT, "go")
    second = int(c.recv().text)
    assert second != first and not alive(first)
    assert r.log("hub-lost")[0]["reason"] == "backend-protocol"
    assert int(r.wait_log("hub-reopened")["attempts"]) == 1


def test_a_program_that_hears_nothing(relay, workers, tmp_path):
    """It has closed its input, which is its right, and lives."""
    command = program(tmp_path, "print(os.getpid(), flush=True)\n"
                      "os.close(0)\nwhile True:\n time.sleep(0.02)\n"
                      " print('tick', flush=True)")
    r = relay(hub(f"exec:{command}", HOLD, "queue_limit = 64K",
                  "close_timeout = 300ms"), server=f"workers = {workers}")
    c = Client(r, "/h/1")
    pid = int(c.recv().text)
    for i in range(40):
        c.send(TEXT, "x" * 20000)
    assert all(f.text == "tick" for f in c.synced())
    os.kill(pid, signal.SIGKILL)
    while (text := c.recv().text) == "tick":
        pass
    assert int(text) != pid
    # Some went into the pipe before it was closed, some wait for the next.
    assert int(r.wait_log("hub-reopened")["dropped"]) >= 10


@pytest.mark.parametrize("code", [1000, None, 1001, 1012, 4000])
def test_a_ws_close(relay, workers, code):
    """1000 and a close without a code end the hub; what else is a loss."""
    r, s, a = ws_hub(relay, workers)
    trunk = s.accept_ws().accept()
    members = [a.upgraded()] + [Client(r, "/h/1") for _ in range(3)]
    trunk.send(TEXT, "last")
    trunk.send_close(code)
    for c in members:
        assert c.recv().text == "last"
    if code in (1000, None):
        for c in members:
            f = c.closed()
            assert f.code == code
        assert not r.log("hub-lost")
        return
    assert trunk.recv().code == code
    trunk.close()
    trunk = s.accept_ws().accept()
    trunk.send(TEXT, "new")
    for c in members:
        assert c.recv().text == "new"


def test_a_ws_trunk_that_answers_no_ping(relay, workers):
    r, s, c = ws_hub(relay, workers, "ping_interval = 300ms",
                     "ping_timeout = 300ms", "close_timeout = 300ms")
    dead = s.accept_ws().accept()
    c.upgraded()
    answers = Background(until, c, "new")  # pings, for ever
    s.sock.settimeout(30)
    trunk = s.accept_ws().accept()
    assert r.log("hub-lost")[0]["reason"] == "ping-timeout"
    trunk.send(TEXT, "new")
    answers.done()
    dead.close()


@pytest.mark.parametrize("again", ["v2", "v1", None])
def test_the_same_subprotocol(relay, workers, again):
    """The members were told; another one ends the hub."""
    r, s, a = ws_hub(relay, workers, "subprotocols = v1 v2",
                     protocols="v1, v2")
    trunk = s.accept_ws().accept("Sec-WebSocket-Protocol: v2")
    assert a.upgraded().fields["sec-websocket-protocol"] == "v2"
    trunk.reset()
    b = s.accept_ws()
    b.accept(*([f"Sec-WebSocket-Protocol: {again}"] if again else []))
    if again == "v2":
        b.send(TEXT, "as before")
        assert a.recv().text == "as before"
        return
    a.closed(1011, "backend-handshake")
    line = r.wait_log("hub-close", reason="backend-handshake")
    assert "subprotocol" in line["detail"]


def test_the_driver_stays_the_driver(relay, workers):
    h = Held(relay, workers, "input = driver", auth="token")
    one = h.join(token=mint("/h/1", sub="one", perm="rw"))
    two = h.join(token=mint("/h/1", sub="two", perm="rw"))
    h.go_away()
    two.send(TEXT, "no")
    two.synced()
    one.send(TEXT, "yes")
    one.synced()
    h.come_back()
    assert h.heard() == "yes"
    two.send(TEXT, "no")
    two.synced()
    one.send(TEXT, "on")
    assert h.heard() == "on"


def test_what_the_framing_cannot_carry(relay, workers):
    """Is known when it is sent: that member ends then, no other."""
    h = Held(relay, workers, framing="line")
    a, b, c = h.join(), h.join(), h.join()
    h.go_away()
    a.send(BINARY, b"x")
    a.synced()
    b.send(TEXT, "fine")
    b.synced()
    c.send(BINARY, b"x")
    c.synced()
    c.close()
    h.r.wait_log("close", id=c.id)
    h.come_back()
    a.closed(1003, "unsupported")
    assert h.trunk.until() == b"fine\n"
    h.trunk.write(b"there\n")
    assert b.recv().text == "there"


# --- timers ------------------------------------------------------------------------------------

def test_pings_and_idle_clients_while_it_is_held(relay, workers):
    h = Held(relay, workers, "ping_interval = 300ms", "ping_timeout = 2s",
             "idle_timeout = 4s", "close_timeout = 300ms")
    live, mute = h.join(), h.join()
    busy = h.join()
    idle = Background(live.closed, 1001, "idle")
    h.go_away()
    enough = []

    def chat():
        while not enough:
            busy.send(TEXT, "x")
            assert all(f.opcode == PING for f in busy.synced())
            time.sleep(0.05)    # often enough for its timeouts
    chatting = Background(chat)
    assert mute.frame().opcode == PING
    h.r.wait_log("close", id=mute.id, reason="ping-timeout")
    h.r.wait_log("close", id=live.id, reason="idle")
    idle.done()
    h.come_back()
    enough.append(True)
    chatting.done()
    assert h.heard() == "x"
    h.say("you")
    while (f := busy.recv()).opcode != TEXT:
        pass
    assert f.text == "you"


# --- stopping ------------------------------------------------------------------------------------

@pytest.mark.parametrize("when", ["between", "opening", "closing"])
def test_a_stop_while_it_is_held(relay, workers, tmp_path, when):
    more = ["hold_timeout = 60s"]
    server = f"workers = {workers}\ndrain_timeout = 60s"
    if when == "closing":  # a program that takes its time
        command = program(tmp_path, "print('x', flush=True)\n"
                          "sys.stdout.buffer.write(b'\\xff\\n')\n"
                          "sys.stdout.flush()\ntime.sleep(1)")
        r = relay(hub(f"exec:{command}", HOLD, *more), server=server)
        members = [Client(r, "/h/1")]
        members[0].recv()
        r.wait_log("hub-lost")
    else:
        s = Server()
        r = relay(hub(f"ws://127.0.0.1:{s.port}", HOLD, *more),
                  server=server)
        c = Client(r, "/h/1", wait=False)
        trunk = s.accept_ws().accept()
        members = [c.upgraded()] + [Client(r, "/h/1") for _ in range(3)]
        if when == "between":
            s.sock.close()
            trunk.reset()
            r.wait_log("hub-retry")
        else:
            trunk.reset()
            b = s.accept_ws()
    for c in members:
        c.send(TEXT, "waits")
        c.synced()
    start = time.monotonic()
    r.kill(signal.SIGTERM)
    for c in members:
        c.closed(1001, "shutdown")
    r.stop()
    assert time.monotonic() - start < PATIENCE
    if when == "opening":
        assert b.rest() == b""
    line = r.log("hub-close")[-1]
    assert line["reason"] == "shutdown"
    assert line["dropped"] == str(len(members))


def test_cut_off_while_it_is_held(relay, workers):
    h = Held(relay, workers, server="drain_timeout = 0")
    members = [h.join() for _ in range(3)]
    h.go_away()
    members[0].send(TEXT, "waits")
    members[0].synced()
    h.r.stop()


# --- with trunk = always -----------------------------------------------------

def always(relay, workers, port, *more, scheme="tcp", framing=True):
    return relay(hub(f"{scheme}://127.0.0.1:{port}", HOLD, "trunk = always",
                     *(["framing = line"] if framing else []), *more,
                     path="/h"), server=f"workers = {workers}")


def test_let_in_before_it_is_there(relay, workers):
    port = free_port()
    r = always(relay, workers, port)
    r.wait_log("hub-retry")
    members = [Client(r, "/h") for _ in range(5)]
    members[0].send(TEXT, "first")
    members[0].synced()
    members[4].close()
    with Server(port=port) as s:
        trunk = s.accept()
        assert trunk.until() == b"first\n"
        trunk.write(b"here\n")
        for c in members[:4]:
            assert c.recv().text == "here"
        trunk.reset()
        s.accept().write(b"again\n")
        for c in members[:4]:
            assert c.recv().text == "again"


def test_they_wait_no_longer_than_hold_timeout(relay, workers):
    port = free_port()
    r = always(relay, workers, port, "hold_timeout = 1s")
    r.wait_log("hub-retry")
    time.sleep(1.2)  # nobody waits: the hub has no end
    assert not r.log("hub-close")
    for _ in range(2):
        start = time.monotonic()
        c = Client(r, "/h")
        c.closed(1011, "hold-timeout")
        assert time.monotonic() - start > 0.9
        # Its successor is about to be made, or to fail, or has.
        seen = len(r.log("hub-retry"))
        wait_for(lambda: len(r.log("hub-retry")) > seen, "the next hub")
    # And one who comes, waits a little and leaves takes nobody's time.
    c = Client(r, "/h")
    time.sleep(0.6)     # of the one second
    c.close()
    r.wait_log("close", id=c.id)
    late = Client(r, "/h")
    with Server(port=port) as s:
        s.accept().write(b"x\n")
        assert late.recv().text == "x"


def test_not_let_in_before_the_subprotocol_is_known(relay, workers):
    """The 101 names it."""
    port = free_port()
    r = always(relay, workers, port, "subprotocols = v1",
               "hold_timeout = 2s", scheme="ws", framing=False)
    r.wait_log("hub-retry")
    c = Client(r, "/h", wait=False, protocols="v1")
    assert c.answer() == 504
    c = Client(r, "/h", wait=False, protocols="v1")
    with Server(port=port) as s:
        b = WsPeer(s.sock.accept()[0])
        b.accept("Sec-WebSocket-Protocol: v1")
        assert c.upgraded().fields["sec-websocket-protocol"] == "v1"


# --- without hold: the trunk closes ------------------------------------------

def test_joining_and_leaving_while_it_closes(relay, workers, tmp_path):
    """Who comes gets a new hub at once; who does not answer the close frame
    may vanish."""
    command = program(tmp_path, "print(os.getpid(), flush=True)\n"
                      "sys.stdin.readline()\n"
                      "sys.stdout.buffer.write(b'\\xff\\n')\n"
                      "sys.stdout.flush()\ntime.sleep(1)\nsys.exit(1)")
    r = relay(hub(f"exec:{command}", "replay = 1"),
              server=f"workers = {workers}")
    members = [Client(r, "/h/1") for _ in range(6)]
    old = [c.recv().text for c in members][0]
    members[0].send(TEXT, "go")
    r.wait_log("hub-close", reason="backend-protocol")
    late = [Client(r, "/h/1") for _ in range(3)]
    new = [c.recv().text for c in late][0]
    assert new != old
    members[1].close()
    members[2].reset()
    members[3].send(TEXT, "too late")
    for c in members[4:]:
        assert everything(c)[1] == 1011
    r.wait_log("hub-open", count=2)


# --- with addressing = tagged ------------------------------------------------

def words(h):
    return h.heard().split(" ", 2)[:2]


def test_a_tagged_backend_learns_who_is_there(relay, workers):
    """First +, for every member, then =; then what waited. Who came and left
    meanwhile is told of, or not, as if the new one had been there first."""
    h = Held(relay, workers, "addressing = tagged", "input = driver",
             auth="token")

    def join(sub):
        return h.join(token=mint("/h/1", sub=sub, perm="rw"))
    a = join("a")
    assert [words(h), words(h)] == [["+", a.id], ["=", a.id]]
    b = join("b")
    assert words(h) == ["+", b.id]
    c = join("c")
    assert words(h) == ["+", c.id]
    h.go_away()
    d = Client(h.r, "/h/1", token=mint("/h/1", sub="d", perm="rw"))
    a.send(TEXT, "a says")
    a.synced()
    c.close()
    h.r.wait_log("close", id=c.id)
    h.come_back()
    assert [words(h) for _ in range(4)] == [
        ["+", a.id], ["+", b.id], ["+", d.id], ["=", a.id]]
    assert h.heard() == f"> {a.id} a says"
    h.say(f"> {d.id} you")
    h.say("> * all")
    assert texts(d, 2) == ["you", "all"]
    assert texts(a, 1) == texts(b, 1) == ["all"]
    # The next to drive is told as ever; who has left, too.
    a.close()
    assert {tuple(words(h)) for _ in range(2)} == {("-", a.id), ("=", b.id)}


def test_a_tagged_sender_that_has_left(relay, workers):
    """What it said was accepted: the new backend is told of it, hears it, and
    is told that it has left."""
    h = Held(relay, workers, "addressing = tagged")
    a, b = h.join(), h.join()
    assert [words(h), words(h)] == [["+", a.id], ["+", b.id]]
    h.go_away()
    a.send(TEXT, "gone")
    a.synced()
    b.send(TEXT, "here")
    b.synced()
    a.close()
    h.r.wait_log("close", id=a.id)
    # The home has heard of that, too, when it has let in somebody later.
    c = h.join_held()
    h.come_back()
    assert [words(h), words(h)] == [["+", b.id], ["+", c.id]]
    assert words(h) == ["+", a.id]
    assert h.heard() == f"> {a.id} gone"
    assert {h.heard() for _ in range(2)} == {
        f"> {b.id} here", f"- {a.id} {{\"reason\":\"client-gone\"}}"}


def test_a_tagged_ws_trunk_is_told_in_whole_words(relay, workers):
    """The first event after each opening was sent with freed bytes."""
    r, s, a = ws_hub(relay, workers, "addressing = tagged")
    trunk = s.accept_ws().accept()
    a.upgraded()
    for _ in range(3):
        verb, ident, about = trunk.recv().text.split(" ", 2)
        assert (verb, ident) == ("+", a.id) and json.loads(about)
        trunk.reset()
        trunk = s.accept_ws().accept()


# --- the end of a hub whose trunk is good ------------------------------------

def slow_hub(relay, workers, *more, **options):
    """A hub whose backend has not begun to read, so that input waits."""
    return Held(relay, workers, "max_message = 8M", "queue_limit = 16M",
                *more, rcvbuf=4096, **options)


def pile_up(h, clients):
    """Some messages of each behind one that fills the line."""
    clients[0].send(BINARY, b"B" * (4 << 20))
    clients[0].synced()
    for n, c in enumerate(clients):
        for i in range(20):
            c.send(TEXT, f"{n} {i}")
        c.synced()


@pytest.mark.parametrize("how", ["linger", "stop"])
def test_what_waits_leaves_before_the_end(relay, workers, how):
    """Their senders closed cleanly: what they said was accepted."""
    h = slow_hub(relay, workers, server="drain_timeout = 60s")
    clients = [h.join() for _ in range(3)]
    pile_up(h, clients)
    if how == "linger":
        for c in clients:
            c.close()
    else:
        h.r.kill(signal.SIGTERM)
        for c in clients:
            c.closed(1001, "shutdown")
    line = h.r.wait_log("hub-close")
    assert line["reason"] == {"linger": "linger", "stop": "shutdown"}[how]
    n, _ = struct.unpack(">IB", h.trunk.exactly(5))
    h.trunk.exactly(n - 1)
    got = [h.heard() for _ in range(60)]
    assert "dropped" not in line
    for n in range(3):
        assert [x for x in got if x.startswith(f"{n} ")] == \
            [f"{n} {i}" for i in range(20)]
    assert h.trunk.rest() == b""


def test_a_tagged_leave_comes_behind_what_waits(relay, workers):
    h = slow_hub(relay, workers, "addressing = tagged")
    a, b = h.join(), h.join()
    assert [words(h), words(h)] == [["+", a.id], ["+", b.id]]
    pile_up(h, [a, b])
    a.close()
    h.r.wait_log("close", id=a.id)
    b.send(TEXT, "last")
    b.synced()
    n, _ = struct.unpack(">IB", h.trunk.exactly(5))
    h.trunk.exactly(n - 1)
    got = [h.heard() for _ in range(42)]  # 20 of each, the last, the leave
    mine = [x for x in got if x.split(" ")[1] == a.id]
    assert mine == [f"> {a.id} 0 {i}" for i in range(20)] + \
        [f'- {a.id} {{"reason":"client-gone"}}']


# --- with SIGHUP -------------------------------------------------------------

def test_a_reload_changes_nothing(relay, workers):
    """One hub before and after, kept or held."""
    port = free_port()
    r = always(relay, workers, port, "replay = 1")
    r.wait_log("hub-retry")
    old = Client(r, "/h")
    r.kill(signal.SIGHUP)
    r.wait_log("reload")
    new = Client(r, "/h")
    with Server(port=port) as s:
        trunk = s.accept()
        trunk.write(b"one\n")
        assert old.recv().text == new.recv().text == "one"
        old.close()
        new.close()
        r.wait_log("close", count=2)
        assert Client(r, "/h").recv().text == "one"
        assert len(r.log("hub-open")) == 1 and not r.log("hub-close")


# --- the example -------------------------------------------------------------

def test_the_example(relay, workers, tmp_path):
    """conf/examples/wall.ini, with a port and a page of the test's own."""
    text = (ROOT / "conf/examples/wall.ini").read_text()
    port = free_port()
    assert "[listen public]\n" in text and ":7000" in text
    r = relay(text.replace("[listen public]\n", "").replace(
        ":7000", f":{port}").replace("/srv/wall/www", str(tmp_path)),
        server=f"workers = {workers}")
    screens = [Client(r, "/wall") for _ in range(3)]
    with Server(port=port) as s:
        for life in range(2):
            trunk = s.accept()
            for i in range(100):
                text = f"{life} {i}".encode()
                trunk.write(struct.pack(">IB", len(text) + 1, BINARY) + text)
            for c in screens:
                while c.recv().text != f"{life} 99":
                    pass
            screens.append(Client(r, "/wall"))
            assert screens[-1].recv().text == f"{life} 99"
            trunk.reset()
    assert not r.log("close")
