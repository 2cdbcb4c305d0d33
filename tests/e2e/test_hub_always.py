"""trunk = always: a hub that is there before its first client."""
import signal
import struct
import time

import pytest

from peers import TEXT, Client, Server, alive, program
from relay import KEY, PATIENCE, free_port, wait_for
from test_hub import hub, texts
from test_service import Manager

pytestmark = pytest.mark.parametrize("workers", [1, 2])
STEPS = [100, 200, 400, 800, 1600, 3200, 5000]


def always(backend, *more):
    return hub(backend, "trunk = always", *more, path="/h")


def say(trunk, text):
    trunk.write(struct.pack(">IB", len(text) + 1, TEXT) + text.encode())


def start(relay, workers, s, *more, **options):
    return relay(always(s.uri, "framing = len32", *more),
                 server=f"workers = {workers}", **options)


def test_there_from_the_start(relay, workers):
    """Its replay fills without a client, and nobody's leaving ends it."""
    with Server() as s:
        r = start(relay, workers, s, "replay = 3")
        trunk = s.accept()
        assert r.wait_log("hub-open")["path"] == "/h"
        for i in range(5):
            say(trunk, str(i))
        # When it has read this it has read those.
        first = Client(r, "/h")
        say(trunk, "now")
        got = []
        while not got or got[-1] != "now":
            got.append(first.recv().text)
        assert got == ["0", "1", "2", "3", "4", "now"][-len(got):]
        assert len(got) >= 4
        members = [Client(r, "/h") for _ in range(6)]
        for c in members:
            assert texts(c, 3) == ["3", "4", "now"]
        for c in [first, *members]:
            c.close()
        r.wait_log("close", count=7)
        time.sleep(0.2)  # four times linger
        say(trunk, "alone")
        again = Client(r, "/h")
        say(trunk, "together")
        got = []
        while not got or got[-1] != "together":
            got.append(again.recv().text)
        assert got[-2] == "alone"
        again.send(TEXT, "up")
        n, opcode = struct.unpack(">IB", trunk.exactly(5))
        assert trunk.exactly(n - 1) == b"up"
        assert len(r.log("hub-open")) == 1 and not r.log("hub-close")


def test_status_counts_clients_only(relay, workers, tmp_path):
    manager = Manager(tmp_path / "notify")
    with Server() as s:
        r = start(relay, workers, s,
                  env={"NOTIFY_SOCKET": str(manager.path)})
        s.accept()
        r.wait_log("hub-open")
        c = Client(r, "/h")
        manager.wait("STATUS=1 ")
        c.close()
        manager.wait("STATUS=0 ")
        assert not manager.all("STATUS=2 ")
    manager.socket.close()


def test_opened_again_when_it_is_lost(relay, workers):
    with Server() as s:
        r = start(relay, workers, s)
        for n in range(3):
            trunk = s.accept()
            r.wait_log("hub-open", count=n + 1)
            if n == 1:
                trunk.close()
            else:
                trunk.reset()
            line = r.wait_log("hub-close", count=n + 1)
            assert line["reason"] == ("backend-close" if n == 1
                                      else "backend-reset")
            assert STEPS[n] // 2 <= int(line["retry_ms"]) <= STEPS[n]
        s.accept()


def test_clients_end_with_it(relay, workers):
    """As everywhere without on_backend_loss = hold; the next finds a new
    one."""
    with Server() as s:
        r = start(relay, workers, s, "replay = 10")
        trunk = s.accept()
        members = [Client(r, "/h") for _ in range(4)]
        say(trunk, "old")
        for c in members:
            assert c.recv().text == "old"
        trunk.reset()
        for c in members:
            c.closed(1011, "backend-reset")
        trunk = s.accept()
        c = Client(r, "/h")
        say(trunk, "new")  # nothing is replayed of the old
        assert c.recv().text == "new"


def test_a_program_that_dies_at_once(relay, workers, tmp_path):
    """The pauses grow although it opens well each time."""
    command = program(tmp_path, "sys.exit(3)")
    r = relay(always(f"exec:{command}"), server=f"workers = {workers}")
    r.wait_log("hub-close", count=5)
    lines = r.log("hub-close")[:5]
    for line, step in zip(lines, STEPS):
        assert line["reason"] == "backend-exit"
        assert step // 2 <= int(line["retry_ms"]) <= step
    assert Client(r, "/h", wait=False).answer() in (101, 502)


def test_what_lived_long_starts_anew(relay, workers):
    with Server() as s:
        r = start(relay, workers, s)
        for n in range(3):
            trunk = s.accept()
            r.wait_log("hub-open", count=n + 1)
            trunk.reset()
            r.wait_log("hub-close", count=n + 1)
        trunk = s.accept()
        r.wait_log("hub-open", count=4)
        time.sleep(5.2)     # BACKOFF_STEADY_MS
        trunk.reset()
        line = r.wait_log("hub-close", count=4)
        assert 50 <= int(line["retry_ms"]) <= 100


def test_backend_that_is_not_there(relay, workers):
    """The daemon lives, clients are refused, and it comes back by itself."""
    port = free_port()
    r = relay(always(f"tcp://127.0.0.1:{port}", "framing = line"),
              server=f"workers = {workers}")
    line = r.wait_log("hub-close", reason="backend-refused")
    assert 50 <= int(line["retry_ms"]) <= 100
    c = Client(r, "/h", wait=False)
    assert c.answer() == 502
    r.wait_log("refuse", reason="backend-refused")
    wait_for(lambda: r.log("hub-close", level="debug"), "a quiet failure")
    loud = len(r.log("hub-close", level="info"))
    assert loud < len(r.log("hub-close"))
    with Server(port=port) as s:
        trunk = s.accept()
        r.wait_log("hub-open")
        c = Client(r, "/h")
        trunk.write(b"there\n")
        assert c.recv().text == "there"


def test_joining_while_it_opens(relay, workers):
    with Server() as s:
        r = relay(always(f"ws://127.0.0.1:{s.port}"),
                  server=f"workers = {workers}")
        b = s.accept_ws()
        waiting = [Client(r, "/h", wait=False) for _ in range(6)]
        waiting[0].close()
        waiting[3].close()
        b.accept()
        b.send(TEXT, "all")
        members = [c.upgraded() for n, c in enumerate(waiting)
                   if n not in (0, 3)]
        b.send(TEXT, "more")
        for c in members:
            got = c.recv().text
            assert got in ("all", "more")
            assert got == "more" or c.recv().text == "more"
        for c in members:
            c.close()
        r.wait_log("close", count=len(members))
        assert not r.log("hub-close")


@pytest.mark.parametrize("clients", [0, 3])
def test_a_stop_closes_it(relay, workers, tmp_path, clients):
    command = program(tmp_path, "print(os.getpid(), flush=True)\n"
                      "sys.stdin.read()")
    r = relay(always(f"exec:{command}", "replay = 1"),
              server=f"workers = {workers}\ndrain_timeout = 60s")
    r.wait_log("hub-open")
    probe = Client(r, "/h")
    pid = int(probe.recv().text)
    members = [Client(r, "/h") for _ in range(clients)]
    if not clients:
        probe.close()
        r.wait_log("close", id=probe.id)
    r.kill(signal.SIGTERM)
    for c in members:
        assert c.recv().text == str(pid)
        c.closed(1001, "shutdown")
    if clients:
        probe.closed(1001, "shutdown")
    began = time.monotonic()
    r.stop()
    assert time.monotonic() - began < PATIENCE
    assert not alive(pid)
    assert r.log("hub-close", reason="shutdown")
    assert "retry_ms" not in r.log("hub-close")[0]


def test_a_stop_between_two_attempts(relay, workers):
    port = free_port()
    r = relay(always(f"tcp://127.0.0.1:{port}", "framing = line"),
              server=f"workers = {workers}\ndrain_timeout = 60s")
    r.wait_log("hub-close", count=3)
    began = time.monotonic()
    r.stop()
    assert time.monotonic() - began < PATIENCE


def test_a_stop_while_it_opens(relay, workers):
    with Server() as s:
        r = relay(always(f"ws://127.0.0.1:{s.port}"),
                  server=f"workers = {workers}\ndrain_timeout = 60s")
        b = s.accept_ws()
        began = time.monotonic()
        r.stop()
        assert time.monotonic() - began < PATIENCE
        assert b.rest() == b""


def test_several_routes(relay, workers):
    with Server() as a, Server() as b:
        ini = always(a.uri, "framing = line")
        ini += ini.split(KEY)[1].replace("route h", "route g").replace(
            "/h", "/g").replace(a.uri, b.uri)
        r = relay(ini, server=f"workers = {workers}")
        for s, path in (a, "/h"), (b, "/g"):
            trunk = s.accept()
            c = Client(r, path)
            trunk.write(path.encode() + b"\n")
            assert c.recv().text == path


def test_a_room_keeps_its_replay(relay, workers):
    r = relay(always("room:", "replay = 2"), server=f"workers = {workers}")
    r.wait_log("hub-open")
    c = Client(r, "/h")
    for text in "abc":
        c.send(TEXT, text)
    c.send_close(1000)
    assert c.recv().code == 1000
    c.close()
    r.wait_log("close", id=c.id)
    time.sleep(0.2)  # four times linger
    assert texts(Client(r, "/h"), 2) == ["b", "c"]
    assert not r.log("hub-close")
