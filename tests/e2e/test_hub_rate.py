"""max_rate: so many messages a second to a client of a hub."""
import struct
import time

import pytest

from pace import unhurried
from peers import (BINARY, PING, PONG, TEXT, Background, Client, Server,
                   program)
from test_hub import Hub, everything, hub, numbers, picture, texts

pytestmark = pytest.mark.parametrize("workers", [1, 2])


def since(c, until, start=None):
    """What c gets up to a message, and the seconds since start or now."""
    got, start = [], start or time.monotonic()
    while not got or got[-1] != until:
        got.append(c.recv().text)
    return got, time.monotonic() - start


@unhurried
def test_latest_of_a_fast_simulation(relay, workers, tmp_path, pace):
    """1000 pictures a second; each client gets its 48, and the newest."""
    command = program(tmp_path, f"""sys.stdin.readline()
start = time.monotonic()
for i in range(3000):
    time.sleep(max(0, start + i * {pace} / 1000 - time.monotonic()))
    print(i, flush=True)
sys.stdin.readline()
""")
    r = relay(hub(f"exec:{command}", "slow = latest",
                  f"max_rate = {48 // pace}"),
              server=f"workers = {workers}")
    members = [Client(r, "/h/1") for _ in range(4)]
    jobs = [Background(since, c, "2999") for c in members]
    members[0].send(TEXT, "go")
    for c, job in zip(members, jobs):
        got, took = job.done()
        seen = [int(x) for x in got]
        assert seen == sorted(set(seen)) and seen[0] == 0
        # A burst of 5, then 48 a second, and the last one.
        assert len(seen) <= 7 + 48 / pace * took
        assert len(seen) > 24 * 3  # half of it, of 3 seconds
        c.close()
        line = r.wait_log("close", id=c.id)
        assert int(line["messages_dropped"]) == 3000 - len(seen)
        assert int(line["backend_messages"]) == len(seen)


def test_last_of_a_burst_arrives(relay, workers):
    """And at once the newest, when a slot is free: not the first."""
    h = Hub(relay, workers, "slow = latest", "max_rate = 1")
    c = h.join()
    start = time.monotonic()
    h.trunk.write(b"".join(
        struct.pack(">IB", 4, TEXT) + b"%03d" % i for i in range(500)))
    got, took = since(c, "499", start)
    # What came in one read is one: the last of each.
    assert len(got) <= 3 + took
    assert c.synced() == []


def test_one_kind_is_latest(relay, workers):
    """Pictures give way, words do not; each kind keeps its order."""
    h = Hub(relay, workers, "slow_text = drop-old", "slow_binary = latest",
            "max_rate = 20", "queue_limit = 1M")
    c = h.join()
    for i in range(20):
        h.say(f"t{i}")
        h.say(picture(i), BINARY)
    words, pictures = [], []
    while len(words) < 20 or not pictures or numbers(pictures[-1:]) != [19]:
        f = c.recv()
        (words if f.opcode == TEXT else pictures).append(f)
    assert [f.text for f in words] == [f"t{i}" for i in range(20)]
    seen = numbers(pictures)
    assert seen == sorted(set(seen)) and len(seen) < 20


def test_close_waits_within_queue_limit(relay, workers):
    """Nothing is lost and nobody closed below it; over it 1013."""
    h = Hub(relay, workers, "max_rate = 100", "queue_limit = 64K",
            "close_timeout = 300ms")
    c = h.join()
    start = time.monotonic()
    for i in range(150):
        h.say(f"m{i}")
    assert texts(c, 150) == [f"m{i}" for i in range(150)]
    # A burst of 10, then 10 ms each.
    assert time.monotonic() - start >= 1.39
    for i in range(70):
        h.say("x" * 2000)
    got, code = everything(c)
    assert code == 1013
    assert h.r.wait_log("close", id=c.id)["reason"] == "slow"


def test_drop_old_over_queue_limit(relay, workers):
    h = Hub(relay, workers, "max_rate = 10", "queue_limit = 32K",
            "slow = drop-old")
    c = h.join()
    for i in range(300):
        h.say(f"{i} ".ljust(2000))
    h.say("end")
    got = since(c, "end")[0]
    seen = [int(x) for x in got[:-1]]
    assert seen == sorted(set(seen)) and seen[-10:] == list(range(290, 300))
    assert len(seen) < 300
    c.close()
    line = h.r.wait_log("close", id=c.id)
    assert int(line["messages_dropped"]) == 300 - len(seen)


def test_replay_is_not_slowed(relay, workers):
    """And does not use up what the newer ones may."""
    s = Server()
    r = relay(hub(f"ws://127.0.0.1:{s.port}", "max_rate = 1",
                  "slow = drop-old", "replay = 1000", "queue_limit = 1M"),
              server=f"workers = {workers}")
    first = Client(r, "/h/1", wait=False)
    trunk = s.accept_ws().accept()
    first.upgraded()
    for i in range(200):
        trunk.send(TEXT, str(i))
    trunk.send(PING)
    assert trunk.recv().opcode == PONG  # the hub has read them all
    late = Client(r, "/h/1")
    start = time.monotonic()
    assert texts(late, 200) == [str(i) for i in range(200)]
    assert time.monotonic() - start < 100  # at max_rate it would be 200 s
    trunk.send(TEXT, "new")
    assert late.recv().text == "new"


def test_what_waits_leaves_before_the_end(relay, workers):
    h = Hub(relay, workers, "max_rate = 1")
    members = [h.join() for _ in range(3)]
    for i in range(30):
        h.say(str(i))
    h.trunk.close()
    for c in members:
        got, code = everything(c)
        assert [f.text for f in got] == [str(i) for i in range(30)]
        assert code == 1000


def test_leaving_while_something_waits(relay, workers):
    h = Hub(relay, workers, "max_rate = 1")
    stay = h.join()
    for how in "close", "reset", "order":
        c = h.join()
        for i in range(5):
            h.say("x")
        c.recv()
        if how == "order":
            c.send_close(1000)
        getattr(c, how if how != "order" else "close")()
        h.r.wait_log("close", id=c.id)
    assert texts(stay, 3) == ["x"] * 3


def test_a_room_has_a_rate(relay, workers):
    r = relay(hub("room:", "max_rate = 5", "slow = latest"),
              server=f"workers = {workers}")
    a, b = Client(r, "/h/1"), Client(r, "/h/1")
    start = time.monotonic()
    for i in range(100):
        a.send(TEXT, str(i))
    got, took = since(b, "99", start)
    assert len(got) <= 3 + 5 * took and a.synced() == []
