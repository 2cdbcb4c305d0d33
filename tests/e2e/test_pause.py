"""pause ROUTE and resume ROUTE: nobody new comes in, and what is behind a route
can be exchanged while the members of its hubs wait."""
import signal
import time

import pytest

from controls import CONTROL, READONLY, Caller, ask, ctl
from peers import TEXT, Client, Server, alive, program
from relay import PATIENCE, free_port, wait_for
from secure import HTTP
from test_attach import Sims
from test_hub import everything, hub
from test_hub_hold import HOLD, Held, words

pytestmark = pytest.mark.parametrize("workers", [1, 3])

ECHO = "[route echo]\npath = /echo\nbackend = echo:\nauth = none\n"
ROOM = ("[route room]\npath = /room/{id}\nbackend = room:\nmode = hub\n"
        "auth = none\n")


def start(relay, workers, ini, **options):
    return relay(ini, server=f"{READONLY}workers = {workers}\n", **options)


class Pausing(Held):
    def __init__(self, relay, workers, *more, **options):
        super().__init__(relay, workers, *more, server=CONTROL, **options)

    def pause(self):
        return one(self.r, "pause", "h")

    def resume(self):
        return one(self.r, "resume", "h")


def one(r, *words):
    row, = ask(r, *words)
    return row


def refused(r, path, **options):
    c = Client(r, path, wait=False, **options)
    assert c.answer() == 503
    assert c.body.startswith(b"paused: ")
    assert int(c.fields["retry-after"]) > 0


def states(r):
    return {x["route"]: x["state"] for x in ask(r, "routes")}


# --- nobody new --------------------------------------------------------------

def test_pairs_go_on_and_nobody_new_comes(relay, workers):
    r = start(relay, workers, ECHO + ROOM)
    c = Client(r, "/echo")
    assert one(r, "pause", "echo") == {"route": "echo", "state": "paused",
                                       "clients": 1}
    assert states(r) == {"echo": "paused", "room": "open"}
    refused(r, "/echo")
    page = Client(r, "/echo", [f"Origin: {HTTP}://127.0.0.1:{r.port}"])
    page.closed(1013, "paused: the operator lets no client in")
    c.send(TEXT, "on")
    assert c.recv().text == "on"
    Client(r, "/room/1").close()
    assert one(r, "resume", "echo")["state"] == "open"
    assert Client(r, "/echo").synced() == []
    assert states(r)["echo"] == "open"
    closed = ask(r, "closed", "--reason", "paused")
    assert len(closed) == 2 and closed[0]["route"] == "echo"


def test_a_room_goes_on(relay, workers):
    r = start(relay, workers, ROOM)
    a, b = Client(r, "/room/1"), Client(r, "/room/1")
    row = one(r, "pause", "room")
    assert row["hubs_waiting"] == row["hubs_closed"] == 0
    assert row["clients"] == 2
    refused(r, "/room/1")
    a.send(TEXT, "still")
    assert b.recv().text == "still"


def test_what_is_refused(relay, workers):
    r = start(relay, workers, ECHO)
    for command in "pause", "resume":
        last = ask(r, command, "sim", status=1)
        assert last["error"] == "there is no route sim"
        last = ask(r, command, "echo", status=1, sock="read.sock")
        assert "takes no command that changes" in last["error"]
    assert "ROUTE" in ctl("pause", status=2).stderr
    assert states(r) == {"echo": "open"}
    # Again and again is no error: scripts need not look first.
    for command, state in (("pause", "paused"), ("resume", "open")):
        for _ in range(2):
            assert one(r, command, "echo")["state"] == state
    assert len(r.log("control", command="pause",
                     arguments="route=echo")) == 3


def test_it_survives_a_reload_and_no_restart(relay, workers):
    r = start(relay, workers, ECHO + ROOM)
    held = Client(r, "/echo")       # of the route's state something lives on
    text = r.ini.read_text()
    one(r, "pause", "echo")
    for ini in text + "[route x]\npath = /x\nbackend = echo:\n" \
            "auth = none\n", text.replace(ECHO, ROOM).replace(
                ROOM, ECHO + "idle_timeout = 1h\n", 1):
        r.ini.write_text(ini)
        ask(r, "reload")
        refused(r, "/echo")
    # One that a reload takes away and another brings back is a new one.
    for ini in text.replace(ECHO, ""), text:
        r.ini.write_text(ini)
        ask(r, "reload")
    assert states(r)["echo"] == "open"
    Client(r, "/echo").close()
    held.close()


def test_metric(relay, workers):
    r = start(relay, workers, ECHO + ROOM)
    one(r, "pause", "room")
    rows = {x["labels"]: x["value"] for x in ask(r, "counters")
            if x["counter"] == "wsrelayd_route_paused"}
    assert rows == {'route="room"': "1"}    # those that are 0 are left out


# --- hubs with hold ----------------------------------------------------------

def test_members_wait_while_the_simulation_is_exchanged(relay, workers):
    h = Pausing(relay, workers, "hold_timeout = 100ms")
    members = [h.join() for _ in range(4)]
    members[0].send(TEXT, "to the old one")
    assert h.heard() == "to the old one"
    assert h.pause() == {
        "route": "h", "state": "paused", "clients": 4, "hubs_waiting": 1,
        "members_waiting": 4, "hubs_closed": 0, "members_closed": 0}
    assert h.trunk.rest() == b""
    h.trunk.close()
    row, = ask(h.r, "hubs")
    assert row["state"] == "paused" and row["members"] == 4
    assert ask(h.r, "backends")[0]["state"] == "paused"
    refused(h.r, "/h/1")
    refused(h.r, "/h/2")
    for i in range(3):
        members[i].send(TEXT, f"waits {i}")
        members[i].synced()
    time.sleep(0.3)     # hold_timeout does not run
    line = h.r.log("hub-lost")[0]
    assert line["reason"] == "paused" and "retry_ms" not in line
    # The old one has gone, another takes its address.
    h.server.sock.close()
    h.server = Server(port=h.port)
    assert h.resume()["state"] == "open"
    h.again()
    assert [h.heard() for _ in range(3)] == [f"waits {i}" for i in range(3)]
    h.say("the new one")
    for c in members:
        assert c.recv().text == "the new one"
    assert h.r.wait_log("hub-reopened")["dropped"] == "0"
    assert len(h.r.log("close")) == 0
    h.join()


def test_hold_timeout_begins_with_resume(relay, workers):
    h = Pausing(relay, workers, "hold_timeout = 2s")
    members = [h.join() for _ in range(2)]
    h.go_away()
    assert h.pause()["members_waiting"] == 2
    time.sleep(2.2)
    start = time.monotonic()
    h.resume()
    for c in members:
        c.closed(1011, "hold-timeout")
    assert time.monotonic() - start > 1.9


def test_over_queue_limit_they_are_not_read(relay, workers):
    h = Pausing(relay, workers, "queue_limit = 1K")
    a, b = h.join(), h.join()
    h.pause()
    for i in range(8):
        a.send(TEXT, f"{i}" * 500)
    b.send(TEXT, "b")
    h.resume()
    h.again()
    heard = [h.heard() for _ in range(9)]
    assert [x for x in heard if x != "b"] == [f"{i}" * 500 for i in range(8)]


def test_nothing_is_tried_meanwhile(relay, workers):
    """It was lost before: neither its back-off nor what it tries goes on."""
    s = Server()
    r = relay(hub(f"ws://127.0.0.1:{s.port}", HOLD),
              server=f"{CONTROL}workers = {workers}")
    c = Client(r, "/h/1", wait=False)
    trunk = s.accept_ws().accept()
    c.upgraded()
    trunk.reset()
    trying = s.accept_ws()
    assert one(r, "pause", "h")["members_waiting"] == 1
    assert trying.rest() == b""
    s.sock.settimeout(0.5)      # longer than its back-off
    with pytest.raises(TimeoutError):
        s.accept()
    s.sock.settimeout(PATIENCE)
    one(r, "resume", "h")
    trunk = s.accept_ws().accept()
    trunk.send(TEXT, "hi")
    assert c.recv().text == "hi"


def test_the_next_is_opened_when_the_old_one_is_gone(relay, workers,
                                                     tmp_path):
    """A program that takes its time to end: there are never two."""
    lock = tmp_path / "lock"
    command = program(tmp_path, f"""
os.close(os.open({str(lock)!r}, os.O_CREAT | os.O_EXCL))
print(os.getpid(), flush=True)
sys.stdin.read()
time.sleep(0.3)
os.unlink({str(lock)!r})
""")
    r = relay(hub(f"exec:{command}", HOLD),
              server=f"{CONTROL}workers = {workers}")
    c = Client(r, "/h/1")
    first = int(c.recv().text)
    one(r, "pause", "h")
    one(r, "resume", "h")
    second = int(c.recv().text)
    assert second != first and not alive(first)
    one(r, "pause", "h")
    wait_for(lambda: not alive(second), "its end")
    wait_for(lambda: ask(r, "routes")[0]["programs"] == 0, "its place")
    one(r, "resume", "h")
    assert int(c.recv().text) != second
    assert not r.log("close")


def test_the_last_leaves_while_it_is_paused(relay, workers):
    h = Pausing(relay, workers)
    c = h.join()
    h.pause()
    c.close()
    assert h.r.wait_log("hub-close")["reason"] == "linger"
    h.resume()
    h.trunk = None
    h.join()
    h.say("hi")
    assert h.members[-1].recv().text == "hi"


def test_empty_ones_lose_their_backend_too(relay, workers):
    h = Pausing(lambda ini, **more: relay(
        ini.replace("linger = 50ms", "linger = 1h"), **more), workers)
    h.join().close()
    h.r.wait_log("close")
    row = h.pause()
    assert (row["hubs_waiting"], row["members_waiting"]) == (1, 0)
    assert h.trunk.rest() == b""
    h.trunk.close()
    h.resume()
    h.again()
    h.join()


def test_a_tagged_backend_is_told_anew(relay, workers):
    h = Pausing(relay, workers, "addressing = tagged", "input = driver")
    a = h.join()
    assert [words(h), words(h)] == [["+", a.id], ["=", a.id]]
    b = h.join()
    assert words(h) == ["+", b.id]
    h.pause()
    a.send(TEXT, "a says")
    a.synced()
    h.resume()
    h.again()
    assert [words(h) for _ in range(3)] == [
        ["+", a.id], ["+", b.id], ["=", a.id]]
    assert h.heard() == f"> {a.id} a says"


def test_a_stop_while_it_is_paused(relay, workers):
    h = Pausing(relay, workers)
    members = [h.join() for _ in range(3)]
    h.pause()
    h.r.kill(signal.SIGTERM)
    for c in members:
        c.closed(1001, "shutdown")
    h.r.stop()


def test_another_backend_by_a_reload_meanwhile(relay, workers):
    h = Pausing(relay, workers)
    c = h.join()
    h.pause()
    other = Server()
    h.r.ini.write_text(h.r.ini.read_text().replace(h.server.uri, other.uri))
    ask(h.r, "reload")
    assert one(h.r, "hubs")["state"] == "paused"
    h.resume()
    h.trunk = other.accept()
    h.say("the other")
    assert c.recv().text == "the other"


# --- hubs without ------------------------------------------------------------

def test_members_are_closed_without_hold(relay, workers):
    s = Server()
    r = relay(hub(s.uri, "framing = line"),
              server=f"{CONTROL}workers = {workers}")
    c = Client(r, "/h/1", wait=False)
    trunk = s.accept()
    members = [c.upgraded()] + [Client(r, "/h/1") for _ in range(3)]
    row = one(r, "pause", "h")
    assert (row["hubs_closed"], row["members_closed"]) == (1, 4)
    assert row["hubs_waiting"] == 0
    assert trunk.rest() == b""
    for c in members:
        c.closed(1013, "paused")
    assert r.wait_log("hub-close")["reason"] == "paused"
    refused(r, "/h/1")
    one(r, "resume", "h")
    c = Client(r, "/h/1", wait=False)
    s.accept().write(b"new\n")
    assert c.upgraded().recv().text == "new"


@pytest.mark.parametrize("hold", [[], [HOLD]])
def test_one_that_opens_is_given_up(relay, workers, hold):
    s = Server()
    r = relay(hub(f"ws://127.0.0.1:{s.port}", *hold),
              server=f"{CONTROL}workers = {workers}")
    waiting = [Client(r, "/h/1", wait=False) for _ in range(3)]
    trying = s.accept_ws()
    wait_for(lambda: ask(r, "hubs")[0]["members"] == 3, "their seats")
    one(r, "pause", "h")
    for c in waiting:
        assert c.answer() == 503 and c.body.startswith(b"paused")
    assert trying.rest() == b""
    one(r, "resume", "h")
    c = Client(r, "/h/1", wait=False)
    s.accept_ws().accept().send(TEXT, "hi")
    assert c.upgraded().recv().text == "hi"


# --- trunk = always ----------------------------------------------------------

@pytest.mark.parametrize("hold", [[], [HOLD]])
def test_one_that_is_always_there_comes_back_with_resume(relay, workers,
                                                         hold):
    s = Server()
    r = relay(hub(s.uri, "trunk = always", "framing = line", *hold,
                  path="/h"), server=f"{CONTROL}workers = {workers}")
    trunk = s.accept()
    r.wait_log("hub-open")
    one(r, "pause", "h")
    assert trunk.rest() == b""
    trunk.close()
    time.sleep(0.5)     # longer than its first back-off
    refused(r, "/h")
    one(r, "pause", "h")
    one(r, "resume", "h")
    trunk = s.accept()
    c = Client(r, "/h")
    trunk.write(b"back\n")
    assert c.recv().text == "back"


def test_those_that_wait_for_its_first_word_are_refused(relay, workers):
    """A client is told the subprotocol with its 101: these are not in yet."""
    port = free_port()
    r = relay(hub(f"ws://127.0.0.1:{port}", HOLD, "trunk = always",
                  "subprotocols = a", path="/h"),
              server=f"{CONTROL}workers = {workers}")
    r.wait_log("hub-retry")
    clients = [Client(r, "/h", wait=False, protocols="a") for _ in range(3)]
    wait_for(lambda: one(r, "hubs")["members"] == 3, "their seats")
    row = one(r, "pause", "h")
    assert (row["hubs_waiting"], row["members_waiting"]) == (1, 0)
    for c in clients:
        assert c.answer() == 503 and c.body.startswith(b"paused")
    with Server(port=port) as s:
        one(r, "resume", "h")
        c = Client(r, "/h", wait=False, protocols="a")
        trunk = s.accept_ws().accept("Sec-WebSocket-Protocol: a")
        c.upgraded()
        trunk.send(TEXT, "hi")
        assert c.recv().text == "hi"


def test_one_that_cannot_be_opened_is_not_tried(relay, workers):
    port = free_port()
    r = relay(hub(f"tcp://127.0.0.1:{port}", "trunk = always",
                  "framing = line", path="/h"),
              server=f"{CONTROL}workers = {workers}")
    r.wait_log("hub-close")
    one(r, "pause", "h")
    with Server(port=port) as s:
        one(r, "resume", "h")
        s.accept().close()


# --- simulations that come by themselves -------------------------------------

@pytest.mark.parametrize("hold", [[], [HOLD]])
def test_a_simulation_that_attaches_is_sent_away(relay, workers, hold):
    s = Sims(relay, workers, "linger = 1h", *hold, server=CONTROL)
    sim = s.attach()
    watchers = [s.watch() for _ in range(3)]
    row = one(s.r, "pause", "sim")
    names = ("waiting" if hold else "closed", "closed" if hold else "waiting")
    assert [(row[f"hubs_{x}"], row[f"members_{x}"]) for x in names] == [
        (1, 3), (0, 0)]
    sim.closed(1013, "paused")
    again = s.refused()
    assert again.status == 503 and again.body.startswith(b"paused")
    refused(s.r, "/sim/anna/1")
    refused(s.r, "/sim/anna/2")
    if hold:
        watchers[0].send(TEXT, "faster")
        watchers[0].synced()
    else:
        for c in watchers:
            c.closed(1013, "paused")
    assert one(s.r, "resume", "sim")["state"] == "open"
    sim = s.attach()
    if hold:
        assert sim.recv().text == "faster"
    else:
        watchers = [s.watch()]
    sim.send(TEXT, "here")
    for c in watchers:
        assert c.recv().text == "here"


# --- carried out -------------------------------------------------------------

def test_also_when_its_caller_leaves_at_once(relay, workers):
    h = Pausing(relay, workers)
    clients = [Client(h.r, f"/h/{i}", wait=False) for i in range(6)]
    trunks = [h.server.accept() for _ in clients]
    for c in clients:
        c.upgraded()
    for _ in range(20):
        with Caller(h.r.dir / "control.sock") as c:
            c.say(b'{"command":"pause","route":"h"}\n')
            c.line()    # the greeting
    wait_for(lambda: {x["state"] for x in ask(h.r, "hubs")} == {"paused"},
             "all of them")
    for t in trunks:
        assert t.rest() == b""
    h.resume()
    trunks = [h.server.accept() for _ in clients]
    for t in trunks:
        t.write(b"\0\0\0\3\1hi")
    for c in clients:
        assert c.recv().text == "hi"


def test_back_and_forth_while_clients_come(relay, workers, tmp_path):
    """Whatever order it takes, in the end all are in, or were refused."""
    command = program(tmp_path, "print('hi', flush=True)\nsys.stdin.read()")
    r = relay(hub(f"exec:{command}", "replay = 1", HOLD),
              server=f"{CONTROL}workers = {workers}")
    clients = []
    with Caller(r.dir / "control.sock") as c:
        c.line()
        for i in range(40):
            clients.append(Client(r, f"/h/{i % 3}", wait=False))
            what = b"pause" if i % 4 < 2 else b"resume"
            c.say(b'{"command":"' + what + b'","route":"h"}\n')
        for i in range(40):
            assert c.answer()[1] == {"status": "ok"}
    answers = [c.answer() for c in clients]
    assert set(answers) <= {101, 503}
    for c, status in zip(clients, answers):
        if status == 503:
            assert c.body.startswith(b"paused: ")
            continue
        assert c.recv().text == "hi"
        c.send_close(1000)
        assert everything(c)[1] == 1000
    assert {x["reason"] for x in r.log("hub-lost")} <= {"paused"}
