"""Hubs: one backend, many clients; with one worker and with two."""
import contextlib
import os
import select
import signal
import struct
import time

import pytest

from peers import (BINARY, CLOSE, CONT, PING, PONG, TEXT, Background, Client,
                   Server, alive, frame, program)
from relay import KEY, PATIENCE, mint, wait_for
from secure import HTTP

pytestmark = pytest.mark.parametrize("workers", [1, 2])


def hub(backend, *more, path="/h/{id}", auth="none"):
    return "\n".join([KEY, "[route h]", f"path = {path}",
                      f"backend = {backend}", "mode = hub", f"auth = {auth}",
                      "linger = 50ms", *more, ""])


def drop_linger(ini):
    return ini.replace("linger = 50ms\n", "")


class Hub:
    """A daemon with a hub over a len32 trunk whose backend is the test."""

    def __init__(self, relay, workers, *more, framing="len32", server="",
                 auth="none", **options):
        self.server = Server(**options)
        self.framing = framing
        self.r = relay(hub(self.server.uri, f"framing = {framing}", *more,
                           auth=auth),
                       server=f"workers = {workers}\n{server}")
        self.members = []
        self.trunk = None

    def join(self, path="/h/1", **options):
        first = self.trunk is None
        c = Client(self.r, path, wait=False, **options)
        if first:
            self.trunk = self.server.accept()
        c.upgraded()
        self.members.append(c)
        return c

    def say(self, payload, opcode=TEXT):
        payload = payload.encode() if isinstance(payload, str) else payload
        self.trunk.write(struct.pack(">IB", len(payload) + 1, opcode) +
                         payload)

    def heard(self):
        n, opcode = struct.unpack(">IB", self.trunk.exactly(5))
        return self.trunk.exactly(n - 1).decode()


def wait_stuck(jobs, senders):
    """Until none of them can send any more: the relay reads no more, and the
    kernels between are full. (Or it is done: then it was not held up.)"""
    def writable(c):
        return select.select([], [c.sock], [], 0)[1]
    wait_for(lambda: not any(job.thread.is_alive() and writable(c)
                             for job, c in zip(jobs, senders)), "the pause")


def texts(c, n):
    return [c.recv().text for _ in range(n)]


def everything(c):
    """Data messages up to the end, and the close frame's code."""
    got = []
    while True:
        try:
            f = c.recv()
        except (EOFError, ConnectionError):
            return got, None
        if f.opcode == CLOSE:
            return got, f.code
        got.append(f)


# --- order -------------------------------------------------------------------

def test_everybody_gets_the_same_order(relay, workers):
    h = Hub(relay, workers)
    members = [h.join() for _ in range(9)]
    jobs = [Background(texts, c, 600) for c in members]
    for i in range(300):
        h.say(f"b{i}")
    for i in range(300):
        h.say(f"c{i}", BINARY)
    orders = [job.done() for job in jobs]
    assert orders[0] == [f"b{i}" for i in range(300)] + \
        [f"c{i}" for i in range(300)]
    assert all(o == orders[0] for o in orders)
    h.r.wait_log("hub-open")
    assert len(h.r.log("hub-open")) == 1


def test_room_order_is_the_same_for_all_others(relay, workers):
    r = relay(hub("room:"), server=f"workers = {workers}")
    watchers = [Client(r, "/h/1") for _ in range(6)]
    speakers = [Client(r, "/h/1") for _ in range(2)]
    jobs = [Background(texts, c, 200) for c in watchers]
    others = [Background(texts, c, 100) for c in speakers]
    for i in range(100):
        for n, c in enumerate(speakers):
            c.send(TEXT, f"{n} {i}")
    orders = [job.done() for job in jobs]
    assert all(o == orders[0] for o in orders)
    for n in 0, 1:
        mine = [f"{n} {i}" for i in range(100)]
        assert [x for x in orders[0] if x.startswith(f"{n} ")] == mine
        # A speaker hears everybody but itself, in the same order.
        assert others[1 - n].done() == mine


def test_two_paths_are_two_hubs(relay, workers):
    r = relay(hub("room:"), server=f"workers = {workers}")
    a = [Client(r, "/h/1") for _ in range(3)]
    b = [Client(r, "/h/2") for _ in range(3)]
    a[0].send(TEXT, "one")
    b[0].send(TEXT, "two")
    for c in a[1:]:
        assert c.recv().text == "one"
    for c in b[1:]:
        assert c.recv().text == "two"
    for c in a + b:
        assert c.synced() == []
    r.wait_log("hub-open", count=2)
    assert {x["path"] for x in r.log("hub-open")} == {"/h/1", "/h/2"}


def test_members_input_arrives_whole_and_in_order(relay, workers):
    h = Hub(relay, workers)
    members = [h.join() for _ in range(4)]
    for n, c in enumerate(members):
        c.send(TEXT, f"{n} ", fin=False)
    for n, c in enumerate(members):
        for i in range(50):
            c.send(CONT if i == 0 else TEXT, "0" if i == 0 else f"{n} {i}")
    got = [h.heard() for _ in range(200)]
    for n in range(4):
        assert [x for x in got if x.startswith(f"{n} ")] == \
            [f"{n} {i}" for i in range(50)]


# --- joining and leaving -----------------------------------------------------

def test_joining_in_a_fragmented_trunk_message(relay, workers):
    with Server() as s:
        r = relay(hub(f"ws://127.0.0.1:{s.port}"),
                  server=f"workers = {workers}")
        a = Client(r, "/h/1", wait=False)
        b = s.accept_ws()
        b.accept()
        a.upgraded()
        b.send(TEXT, "be", fin=False)
        b.send(PING, b"x")
        assert b.frame().opcode == PONG  # the relay has read the part
        late = [Client(r, "/h/1") for _ in range(3)]
        b.send(CONT, "fore")
        b.send(TEXT, "after")
        assert texts(a, 2) == ["before", "after"]
        for c in late:  # whole, or not at all: it ended when they were in
            assert texts(c, 2) == ["before", "after"]
        b.send(TEXT, "x", fin=False)
        b.send(PING, b"x")
        assert b.frame().opcode == PONG
        late[0].close()
        b.send(CONT, "y")
        for c in [a, *late[1:]]:
            assert c.recv().text == "xy"


def test_joining_while_the_trunk_opens(relay, workers):
    with Server() as s:
        r = relay(hub(f"ws://127.0.0.1:{s.port}"),
                  server=f"workers = {workers}")
        waiting = [Client(r, "/h/1", wait=False) for _ in range(6)]
        b = s.accept_ws()
        waiting[0].close()
        waiting[3].close()
        b.accept(extra=frame(TEXT, "hello", mask=None))
        for n, c in enumerate(waiting):
            if n not in (0, 3):
                c.upgraded()
        b.send(TEXT, "all")
        for n, c in enumerate(waiting):
            if n not in (0, 3):
                # Its own request may have come behind the first message.
                got = c.recv().text
                assert got in ("hello", "all")
                if got == "hello":
                    assert c.recv().text == "all"


def test_all_leave_while_the_trunk_opens(relay, workers):
    with Server() as s:
        r = relay(hub(f"ws://127.0.0.1:{s.port}"),
                  server=f"workers = {workers}")
        waiting = [Client(r, "/h/1", wait=False) for _ in range(3)]
        b = s.accept_ws()
        for c in waiting:  # one that only ends its side waits for its 101
            c.reset()
        r.wait_log("hub-close", reason="linger")
        assert b.rest() == b""
        again = Client(r, "/h/1", wait=False)
        b = s.accept_ws()
        b.accept()
        again.upgraded()


def test_trunk_that_does_not_open_refuses_all(relay, workers):
    with Server() as s:
        r = relay(hub(f"ws://127.0.0.1:{s.port}"),
                  server=f"workers = {workers}")
        waiting = [Client(r, "/h/1", wait=False) for _ in range(3)]
        b = s.accept_ws()
        b.refuse("503 Busy")
        b.close()
        s.sock.close()
        for c in waiting:
            assert c.answer() == 502, c.body


def test_linger(relay, workers, tmp_path):
    command = program(tmp_path, "print(os.getpid(), flush=True)\n"
                      "for line in sys.stdin: print(os.getpid(), flush=True)")
    ini = drop_linger(hub(f"exec:{command}", "linger = 1500ms"))
    r = relay(ini, server=f"workers = {workers}")
    c = Client(r, "/h/1")
    pid = c.recv().text
    c.send_close(1000)
    assert c.recv().code == 1000
    for _ in range(4):  # reloads of a page
        c = Client(r, "/h/1")
        c.send(TEXT, "who")
        assert c.recv().text == pid
        c.close()
    assert len(r.log("hub-open")) == 1 and not r.log("hub-close")
    line = r.wait_log("hub-close", reason="linger")
    assert line["members_most"] in ("1", "2")
    wait_for(lambda: not alive(int(pid)), "the program's end")
    assert Client(r, "/h/1").recv().text != pid


# --- replay --------------------------------------------------------------------

def test_replay_is_the_newest_n(relay, workers):
    h = Hub(relay, workers, "replay = 3")
    first = h.join()
    for i in range(10):
        h.say(str(i))
    texts(first, 10)
    late = [h.join() for _ in range(4)]
    h.say("new")
    for c in late:
        assert texts(c, 4) == ["7", "8", "9", "new"]
    assert texts(first, 1) == ["new"]


def test_replay_bytes(relay, workers):
    h = Hub(relay, workers, "replay = 100", "replay_bytes = 1K")
    first = h.join()
    for i in range(10):
        h.say(str(i) * 300)
    h.say(b"x" * 2000)  # alone more than may be kept
    for i in range(11):
        first.recv()
    c = h.join()
    h.say("new")
    assert texts(c, 4) == ["7" * 300, "8" * 300, "9" * 300, "new"]


def test_replay_is_outside_of_queue_limit(relay, workers):
    h = Hub(relay, workers, "replay = 100", "replay_bytes = 8M",
            "queue_limit = 64K")
    first = h.join()
    for i in range(60):
        h.say(bytes([i]) * 100000, BINARY)
        assert len(first.recv().payload) == 100000
    c = Client(h.r, "/h/1", rcvbuf=4096)
    h.say("n" * 70000)
    assert first.recv().text == "n" * 70000
    for i in range(60):
        assert c.recv().payload == bytes([i]) * 100000
    assert c.recv().text == "n" * 70000


# --- who drives -------------------------------------------------------------------

def joined(h, sub, perm="rw"):
    return h.join(token=mint("/h/1", sub=sub, perm=perm))


def test_driver(relay, workers):
    h = Hub(relay, workers, "input = driver", auth="token")
    viewer = joined(h, "v", "r")
    one = joined(h, "one")
    two = joined(h, "two")
    three = joined(h, "three")
    for c, text in (viewer, "v"), (two, "2"), (three, "3"):
        c.send(TEXT, text)
        c.send(TEXT, text)
        c.synced()
    one.send(TEXT, "1")
    assert h.heard() == "1"
    for c in viewer, two, three:
        h.r.wait_log("denied-input", id=c.id)
        assert len(h.r.log("denied-input", id=c.id)) == 1
    one.close()
    h.r.wait_log("close", id=one.id)

    def drives(c, text):
        """Its words come through as soon as the home knows of the change."""
        end = time.monotonic() + PATIENCE
        h.trunk.sock.settimeout(0.1)
        while time.monotonic() < end:
            c.send(TEXT, text)
            with contextlib.suppress(TimeoutError):
                assert h.heard() == text
                break
        else:
            raise AssertionError(f"{text} never drives")
        h.trunk.sock.settimeout(PATIENCE)
        c.synced()
    drives(two, "2")
    again = joined(h, "two")  # her Wi-Fi broke
    again.send(TEXT, "2 again")
    while (got := h.heard()) != "2 again":
        assert got == "2"  # asked again before it was answered
    two.send(TEXT, "old")
    two.synced()
    again.send(TEXT, "mine")
    assert h.heard() == "mine"
    three.close()
    line = h.r.wait_log("close", id=three.id)
    assert int(line["denied"]) >= 2


def test_another_keys_subject_does_not_drive(relay, workers):
    """A subject is its key's: only who has one of the same key takes the seat
    over."""
    h = Hub(relay, workers, "input = driver",
            "[key other]", "secret_file = {dir}/secret", auth="token")

    def teacher(kid, **claims):
        return h.join(token=mint("/h/1", sub="teacher", perm="rw",
                                 header={"kid": kid}, **claims))
    one = teacher("lab")
    # sub_key counts only in tokens of a page's key.
    strangers = [teacher("other"), teacher("other", sub_key="lab")]
    for stranger in strangers:
        stranger.send(TEXT, "I am not")
        assert h.r.wait_log("denied-input", id=stranger.id)
        assert h.r.wait_log("open", id=stranger.id)["key"] == "other"
    assert h.r.wait_log("open", id=one.id)["key"] == "lab"
    one.send(TEXT, "I am")
    assert h.heard() == "I am"
    again = teacher("lab")
    again.send(TEXT, "I am back")
    assert h.heard() == "I am back"


def test_denied_input_closes(relay, workers):
    h = Hub(relay, workers, "input = driver", "denied_input = close",
            auth="token")
    one, two, viewer = (joined(h, "one"), joined(h, "two"),
                        joined(h, "v", "r"))
    two.send(TEXT, "x")
    two.closed(1008, "read-only")
    viewer.send(TEXT, "x")
    viewer.closed(1008, "read-only")
    one.send(TEXT, "y")
    assert h.heard() == "y"


def test_rights(relay, workers):
    h = Hub(relay, workers, auth="token")
    reader, writer = joined(h, "r", "r"), joined(h, "w", "w")
    both = joined(h, "rw")
    reader.send(TEXT, "no")
    reader.send(TEXT, "no")
    assert reader.synced() == []
    writer.send(TEXT, "yes")
    assert h.heard() == "yes"
    h.say("out")
    assert reader.recv().text == both.recv().text == "out"
    assert writer.synced() == []
    h.r.wait_log("denied-input", id=reader.id)
    h.r.wait_log("denied-input", id=reader.id)
    assert len(h.r.log("denied-input", id=reader.id)) == 1
    reader.close()
    assert h.r.wait_log("close", id=reader.id)["denied"] == "2"


# --- slow clients -----------------------------------------------------------------

PICTURE = 50000


def picture(i):
    return struct.pack(">I", i) * (PICTURE // 4)


def flood(h, live, n, start=0):
    """n pictures at the pace of the live client, who gets all of them."""
    for i in range(start, start + n):
        h.say(picture(i), BINARY)
        assert live.recv().payload == picture(i)


def numbers(frames):
    found = []
    for f in frames:
        i, = struct.unpack(">I", f.payload[:4])
        assert f.payload == picture(i), "corrupt"
        found.append(i)
    return found


def stalled(h, n=2):
    return [h.join(rcvbuf=4096) for _ in range(n)]


def test_slow_close(relay, workers):
    h = Hub(relay, workers, "queue_limit = 256K", "close_timeout = 500ms")
    live = h.join()
    lazy = stalled(h)
    flood(h, live, 200)
    for c in lazy:
        line = h.r.wait_log("close", id=c.id)
        assert (line["reason"], line["code"]) == ("slow", "1013")
    assert live.synced() == []


def test_slow_close_is_told(relay, workers):
    h = Hub(relay, workers, "queue_limit = 256K")
    live = h.join()
    lazy, = stalled(h, 1)
    flood(h, live, 200)
    got, code = everything(lazy)
    assert code == 1013
    assert numbers(got) == list(range(len(got)))


def test_slow_drop_old(relay, workers):
    h = Hub(relay, workers, "queue_limit = 256K", "slow = drop-old")
    live = h.join()
    lazy = stalled(h)
    flood(h, live, 300)
    h.say("end")
    assert live.recv().text == "end"
    for c in lazy:
        got = []
        while (f := c.recv()).opcode == BINARY:
            got.append(f)
        assert f.text == "end"
        found = numbers(got)
        assert found == sorted(set(found))
        assert found[-4:] == list(range(296, 300)) and len(found) < 300
        c.close()
        line = h.r.wait_log("close", id=c.id)
        assert int(line["messages_dropped"]) == 300 - len(found)


def test_slow_latest(relay, workers):
    h = Hub(relay, workers, "queue_limit = 256K", "slow = latest")
    live = h.join()
    lazy = stalled(h)
    flood(h, live, 300)
    h.say("state 1")
    h.say("state 2")
    assert texts(live, 2) == ["state 1", "state 2"]
    live.synced()
    for c in lazy:
        got = []
        while True:
            f = c.recv()
            if f.opcode == TEXT:
                break
            got.append(f)
        found = numbers(got)
        assert f.text == "state 2"
        # What the kernels took, the one under way; then the newest.
        assert found == sorted(set(found))
        assert found[-1] == 299 and len(found) < 150
    h.say("on")
    for c in [live, *lazy]:
        assert c.recv().text == "on"


def test_slow_text_and_binary_differ(relay, workers):
    h = Hub(relay, workers, "queue_limit = 20K", "slow_text = close",
            "slow_binary = latest", "close_timeout = 500ms")
    live = h.join()
    lazy, chatty = stalled(h)
    flood(h, live, 200)
    for i in range(20):  # waits in full beside a picture over queue_limit
        h.say(f"t{i}")
    assert texts(live, 20) == [f"t{i}" for i in range(20)]
    live.synced()
    got = []
    while len([f for f in got if f.opcode == TEXT]) < 20:
        got.append(lazy.recv())
    assert [f.text for f in got if f.opcode == TEXT] == \
        [f"t{i}" for i in range(20)]
    assert numbers([f for f in got if f.opcode == BINARY])[-1] == 199
    for i in range(30):
        h.say("x" * 2000)
        live.recv()
        lazy.recv()
    h.r.wait_log("close", id=chatty.id, reason="slow")
    assert not h.r.log("close", id=lazy.id)


def test_trunk_that_does_not_read_pauses_members(relay, workers):
    h = Hub(relay, workers, "queue_limit = 64K", "max_message = 64K",
            rcvbuf=4096)
    members = [h.join() for _ in range(4)]
    total = 200

    def push(n, c):
        for i in range(total):
            c.send(TEXT, f"{n} {i} ".ljust(20000))
    jobs = [Background(push, n, c) for n, c in enumerate(members)]
    wait_stuck(jobs, members)
    before = h.r.memory()
    h.say("still")  # the other way is open
    for c in members:
        assert c.recv().text == "still"
    got = [h.heard().split()[:2] for _ in range(4 * total)]
    for job in jobs:
        job.done()
    for n in range(4):
        assert [int(i) for m, i in got if m == str(n)] == list(range(total))
    assert before < 400 << 20


# --- ends ------------------------------------------------------------------------

@pytest.mark.parametrize("how", ["exit", "kill"])
def test_program_dies(relay, workers, tmp_path, how):
    command = program(tmp_path, "print(os.getpid(), flush=True)\n"
                      "sys.stdin.readline()\nprint('last')\nsys.exit(3)")
    r = relay(hub(f"exec:{command}", "replay = 1"),
              server=f"workers = {workers}")
    members = [Client(r, "/h/1") for _ in range(6)]
    pid = [c.recv().text for c in members][0]
    if how == "kill":
        os.kill(int(pid), signal.SIGKILL)
    else:
        members[2].send(TEXT, "x")
        for c in members:
            assert c.recv().text == "last"
    for c in members:
        f = c.closed(1011, "backend-exit:")
        if how == "exit":
            assert f.reason.startswith("backend-exit:3"), f
    assert r.wait_log("hub-close")["reason"] == "backend-exit"
    assert Client(r, "/h/1").recv().text != pid


def test_program_ends_well(relay, workers, tmp_path):
    command = program(tmp_path, "sys.stdin.readline()\n"
                      "for i in range(1000): print(i)")
    r = relay(hub(f"exec:{command}"), server=f"workers = {workers}")
    members = [Client(r, "/h/1") for _ in range(6)]
    members[3].send(TEXT, "go")
    for c in members:
        got, code = everything(c)
        assert [f.text for f in got] == [str(i) for i in range(1000)]
        assert code == 1000


@pytest.mark.parametrize("how", ["reset", "utf8", "long", "close"])
def test_trunk_ends(relay, workers, how):
    h = Hub(relay, workers, "max_backend_message = 1000")
    members = [h.join() for _ in range(5)]
    h.say("last")
    for c in members:
        assert c.recv().text == "last"
    if how == "reset":
        h.trunk.reset()
    elif how == "utf8":
        h.say(b"\xff")
    elif how == "long":
        h.say(b"x" * 1001)
    else:
        h.trunk.close()
    word = {"reset": "backend-reset", "close": None}.get(
        how, "backend-protocol")
    for c in members:
        c.closed(1000 if how == "close" else 1011, word)
    h.trunk = None
    c = h.join()  # the next is a new hub
    h.say("new")
    assert c.recv().text == "new"


@pytest.mark.parametrize("code, data", [
    (1007, b"\x81\x01\xff"), (1009, b"\x82\x7e\x03\xe9"),
    (1002, b"\x83\x00")], ids=["utf8", "long", "opcode"])
def test_ws_trunk_is_told_what_it_did_wrong(relay, workers, code, data):
    with Server() as s:
        r = relay(hub(f"ws://127.0.0.1:{s.port}",
                      "max_backend_message = 1000"),
                  server=f"workers = {workers}")
        c = Client(r, "/h/1", wait=False)
        b = s.accept_ws().accept()
        c.upgraded()
        b.write(data)
        c.closed(1011, "backend-protocol")
        assert b.frame().code == code
        b.shut()
        b.ended()


def test_ws_trunk_passes_its_close(relay, workers):
    with Server() as s:
        r = relay(hub(f"ws://127.0.0.1:{s.port}"),
                  server=f"workers = {workers}")
        a = Client(r, "/h/1", wait=False)
        b = s.accept_ws()
        b.accept()
        members = [a.upgraded()] + [Client(r, "/h/1") for _ in range(3)]
        b.send(TEXT, "bye")
        b.send_close(4321, "why not")
        for c in members:
            assert c.recv().text == "bye"
            assert c.closed(4321).reason == "why not"


def test_what_the_framing_cannot_carry_closes_that_member(relay, workers):
    h = Hub(relay, workers, framing="line")
    a, b, c = h.join(), h.join(), h.join()
    a.send(BINARY, b"x")
    a.closed(1003, "unsupported")
    b.send(TEXT, "x\ny")
    b.closed(1008, "policy")
    c.send(TEXT, "fine")
    assert h.trunk.until() == b"fine\n"
    h.trunk.write(b"there\n")
    assert c.recv().text == "there"


# --- limits -----------------------------------------------------------------------

def test_max_hubs(relay, workers):
    r = relay(hub("room:", "max_hubs = 2"), server=f"workers = {workers}")
    a, b = Client(r, "/h/1"), Client(r, "/h/2")
    c = Client(r, "/h/3", wait=False)
    assert c.answer() == 503
    r.wait_log("refuse", reason="limit-hubs")
    Client(r, "/h/1")  # is there
    a2 = Client(r, "/h/2")
    assert a2.synced() == b.synced() == []
    a.close()


def test_empty_hubs_give_way(relay, workers):
    """Those of the address that has most of them; who is in one stays."""
    r = relay(hub("room:", "max_hubs = 5").replace("50ms", "1h"),
              server=f"workers = {workers}")

    def left(path, source):
        c = Client(r, path, source=source)
        c.close()
        r.wait_log("close", id=c.id)

    for n in range(3):
        left(f"/h/a{n}", "127.0.0.2")
    left("/h/b0", "127.0.0.3")
    stays = Client(r, "/h/c", source="127.0.0.2")
    for n in range(3):  # each takes the place of one that they left
        left(f"/h/d{n}", "127.0.0.2")
    gone = r.wait_log("hub-close", count=3)
    assert gone["reason"] == "linger" and "max_hubs" in gone["detail"]
    assert [x["path"] for x in r.log("hub-close")] == \
        ["/h/a0", "/h/a1", "/h/a2"]
    assert stays.synced() == []
    # A hub that is full of members gives no place.
    full = [Client(r, f"/h/e{n}") for n in range(4)]
    assert Client(r, "/h/f", wait=False).answer() == 503
    assert all(c.synced() == [] for c in full)
    r.wait_log("hub-close", path="/h/b0")


def test_max_connections(relay, workers):
    r = relay(hub("room:", "max_connections = 3"),
              server=f"workers = {workers}")
    members = [Client(r, "/h/1") for _ in range(3)]
    assert Client(r, "/h/1", wait=False).answer() == 503
    members[0].close()

    def joins():
        c = Client(r, "/h/1", wait=False)
        return c.answer() == 101
    wait_for(joins, "room for one")


# --- what a trunk says of its clients ------------------------------------------------

def test_ws_trunk_names_no_client(relay, workers):
    with Server() as s:
        r = relay(hub(f"ws://127.0.0.1:{s.port}/x", auth="token"),
                  server=f"workers = {workers}",
                  listen="trusted_proxies = 127.0.0.0/8")
        token = mint("/h/1", sub="alice", perm="rw")
        c = Client(r, "/h/1?a=secretly", [
            "Cookie: c=1", "X-Forwarded-For: 203.0.113.9",
            "User-Agent: me", f"Origin: {HTTP}://127.0.0.1:{r.port}"],
            wait=False, token=token)
        b = s.accept_ws()
        b.accept()
        c.upgraded()
        text = (b.request + "\n" + "\n".join(
            f"{k}: {v}" for k, v in b.fields.items())).lower()
        assert "forwarded" not in b.fields
        for word in ("cookie", "x-forwarded-for", "x-wsrelay-subject",
                     "alice", "203.0.113.9", "token", "secretly",
                     "user-agent", "origin"):
            assert word not in text, text


def test_subprotocol(relay, workers):
    """A hub has one; a member that does not offer it is refused."""
    with Server() as s:
        r = relay(hub(s.uri, "framing = line", "subprotocols = v2 v1"),
                  server=f"workers = {workers}")
        c = Client(r, "/h/1", protocols="v1")
        assert c.fields["sec-websocket-protocol"] == "v1"
        s.accept()


def test_ws_trunk_offers_the_routes_subprotocols(relay, workers):
    with Server() as s:
        try:
            r = relay(hub(f"ws://127.0.0.1:{s.port}", "subprotocols = v2 v1"),
                      server=f"workers = {workers}")
        except AssertionError as e:
            pytest.fail(str(e))
        a = Client(r, "/h/1", wait=False, protocols="v1, other")
        b = s.accept_ws()
        assert b.fields["sec-websocket-protocol"] == "v2, v1"
        b.accept("Sec-WebSocket-Protocol: v1")
        assert a.upgraded().fields["sec-websocket-protocol"] == "v1"
        c = Client(r, "/h/1", wait=False, protocols="v2")
        assert c.answer() == 502, c.body
        c = Client(r, "/h/1", wait=False)
        assert c.answer() == 502
        assert Client(r, "/h/1", protocols="v2, v1").fields[
            "sec-websocket-protocol"] == "v1"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_send_proxy_is_local(relay, workers, version):
    h = Hub(relay, workers, f"send_proxy = {version}", tls=False)
    c = h.join()
    if version == "v1":
        assert h.trunk.until(b"\r\n") == b"PROXY UNKNOWN\r\n"
    else:
        assert h.trunk.exactly(16) == b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
    c.send(TEXT, "x")
    assert h.heard() == "x"


# --- stopping ---------------------------------------------------------------------

def test_stopping_flushes(relay, workers):
    h = Hub(relay, workers)
    members = [h.join() for _ in range(10)]
    lingering = Client(h.r, "/h/2", wait=False)
    h.server.accept()
    lingering.upgraded().close()
    for i in range(100):
        h.say("x" * 1000)
    texts(members[0], 100)  # the relay has all of it
    members[0].synced()
    h.r.kill(signal.SIGTERM)
    for c in members:
        got, code = everything(c)
        assert code == 1001
        c.send_close(1001)
        assert len(got) == (0 if c is members[0] else 100)
    h.r.stop()


def test_second_term_cuts(relay, workers):
    h = Hub(relay, workers, "slow = latest", server="drain_timeout = 60s")
    live = h.join()
    stalled(h, 3)
    flood(h, live, 60)
    h.r.kill(signal.SIGTERM)
    live.closed(1001)
    started = time.monotonic()
    h.r.stop(signal.SIGTERM)
    assert time.monotonic() - started < PATIENCE


# --- many ---------------------------------------------------------------------------

def test_300_members(relay, workers):
    h = Hub(relay, workers)
    members = [h.join() for _ in range(300)]
    for i in range(20):
        h.say(f"m{i}")
    for c in members:
        assert texts(c, 20) == [f"m{i}" for i in range(20)]
    for c in members[::2]:
        c.close()
    h.r.wait_log("close", count=150)
    h.say("rest")
    for c in members[1::2]:
        assert c.recv().text == "rest"


def test_a_message_is_shared(relay, workers):
    """1 MiB for 200 members that do not read takes about 1 MiB."""
    h = Hub(relay, workers, "slow = latest")
    live = h.join()
    members = [h.join(rcvbuf=65536) for _ in range(200)]
    h.say("warm")
    for c in [live, *members]:
        c.recv()
    before = h.r.memory()
    data = os.urandom(1 << 20)
    for i in range(4):
        h.say(data + bytes([i]), BINARY)
        assert live.recv().payload[-1] == i
    live.synced()
    grown = h.r.memory() - before
    # One on its way, one that waits, the read buffer; ASan's quarantine.
    assert grown < 40 << 20, grown
    for c in members[::20]:
        while (f := c.recv()).payload[-1] != 3:
            assert f.payload[:-1] == data
        assert f.payload[:-1] == data


def test_nothing_is_left_of_many_hubs(relay, workers):
    r = relay(hub("room:").replace("50ms", "0"),
              server=f"workers = {workers}")

    def round(n):
        clients = [Client(r, f"/h/{i % 20}") for i in range(60)]
        clients[0].send(TEXT, "x" * 10000)
        assert clients[20].recv().payload == b"x" * 10000
        for c in clients:
            c.close()
        # The hub may have been made anew when one came late.
        wait_for(lambda: len(r.log("hub-close")) == len(r.log("hub-open")) >=
                 20 * n and len(r.log("close")) == 60 * n, "their end")
    round(1)
    descriptors, memory = r.descriptors(), r.memory()
    for n in range(2, 8):
        round(n)
    wait_for(lambda: r.descriptors() <= descriptors, "descriptors")
    assert r.memory() < memory + (24 << 20)
