"""drain [ROUTE] [--soft], and resume: nobody new comes in, and who is there
finishes, or is closed over drain_timeout."""
import time

import pytest

from controls import READONLY, ask
from peers import TEXT, Client, Server
from rawhttp import ask as http
from relay import wait_for

pytestmark = pytest.mark.parametrize("workers", [1, 3])

ECHO = "[route echo]\npath = /echo\nbackend = echo:\nauth = none\n"
ROOM = ("[route room]\npath = /room/{id}\nbackend = room:\nmode = hub\n"
        "auth = none\n")


def start(relay, workers, ini=ECHO + ROOM, *server):
    return relay(ini, server="\n".join([f"workers = {workers}", *server,
                                        READONLY]))


def one(r, *words):
    row, = ask(r, *words)
    return row


def refused(r, path):
    c = Client(r, path, wait=False)
    assert c.answer() == 503 and c.body.startswith(b"paused: ")


def says(c, text):
    c.send(TEXT, text)
    assert c.recv().text == text


def get(r, path):
    answer = http(r, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{r.port}\r\n"
                     "\r\n".encode())
    return answer.status, answer.body


# --- soft --------------------------------------------------------------------

def test_soft_of_the_relay(relay, workers):
    r = start(relay, workers)
    c, a, b = (Client(r, x) for x in ("/echo", "/room/1", "/room/1"))
    assert get(r, "/readyz")[0] == 200
    assert one(r, "drain", "--soft")["state"] == "draining"
    assert one(r, "status")["state"] == "draining"
    assert get(r, "/readyz") == (503, b"leaving\n")
    assert get(r, "/healthz")[0] == 200
    for path in "/echo", "/room/1", "/room/2":
        refused(r, path)
    assert {x["state"] for x in ask(r, "routes")} == {"open"}
    ask(r, "reload")
    refused(r, "/echo")
    says(c, "on")
    a.send(TEXT, "on")
    assert b.recv().text == "on"
    assert one(r, "drain", "--soft")["state"] == "draining"
    assert one(r, "resume")["state"] == "running"
    assert get(r, "/readyz")[0] == 200
    says(Client(r, "/echo"), "in")
    assert not r.log("close", reason="paused")


def test_soft_of_a_route(relay, workers):
    r = start(relay, workers)
    c, a = Client(r, "/echo"), Client(r, "/room/1")
    row = one(r, "drain", "room", "--soft")
    assert (row["state"], row["clients"]) == ("draining", 1)
    assert get(r, "/readyz")[0] == 200
    refused(r, "/room/1")
    says(Client(r, "/echo"), "in")
    a.close()
    wait_for(lambda: ask(r, "routes", )[1]["clients"] == 0, "the last one")
    assert [x["state"] for x in ask(r, "routes")] == ["open", "draining"]
    assert one(r, "resume", "room")["state"] == "open"
    Client(r, "/room/1")
    says(c, "on")


# --- hard --------------------------------------------------------------------

def test_a_route_is_emptied_over_drain_timeout(relay, workers):
    r = start(relay, workers, ECHO + ROOM, "drain_timeout = 1s")
    begin = time.monotonic()
    there = [Client(r, "/room/%d" % (i % 2)) for i in range(12)]
    stays = Client(r, "/echo")
    row = one(r, "drain", "room")
    assert row["state"] == "draining"
    refused(r, "/room/1")
    for c in there:
        while True:     # what others have said before
            f = c.recv()
            if f.opcode == 8:
                break
        assert (f.code, f.reason.partition(":")[0]) == (1013, "paused")
    assert time.monotonic() > begin
    lines = r.wait_log("close", 12, reason="paused")
    assert lines["side"] == "relay" and lines["code"] == "1013"
    ages = {x["age_ms"] for x in r.log("close", reason="paused")}
    assert len(ages) > 3        # not all in one moment
    says(stays, "on")
    refused(r, "/room/1")
    one(r, "resume", "room")
    Client(r, "/room/1")


def test_what_is_not_closed_yet_stays_with_resume(relay, workers):
    r = start(relay, workers, ECHO, "drain_timeout = 1h")
    clients = [Client(r, "/echo") for _ in range(4)]
    one(r, "drain", "echo")
    left = one(r, "client", clients[0].id)["left_ms"]
    assert left <= 3600 * 1000
    # A reload is no other time for them.
    r.ini.write_text(r.ini.read_text().replace(
        ECHO, ECHO + "max_session = 8760h\n"))
    ask(r, "reload")
    assert one(r, "client", clients[0].id)["left_ms"] <= left
    one(r, "resume", "echo")
    assert one(r, "client", clients[0].id)["left_ms"] > 3600 * 1000
    for c in clients:
        says(c, "on")


def test_one_that_is_just_being_opened_is_closed_too(relay, workers):
    s = Server()
    r = start(relay, workers, "[route sim]\npath = /sim\nauth = none\n"
              f"backend = ws://127.0.0.1:{s.port}/\n", "drain_timeout = 500ms")
    c = Client(r, "/sim", wait=False)
    backend = s.accept_ws()
    one(r, "drain", "sim")
    backend.accept()
    c.upgraded().closed(1013, "paused")


@pytest.mark.parametrize("clients", [0, 3])
def test_the_relay_stops(relay, workers, clients):
    r = start(relay, workers)
    there = [Client(r, "/echo") for _ in range(clients)]
    assert one(r, "drain") == {"state": "stopping",
                               "connections": clients}
    for c in there:
        c.closed(1001, "shutdown")
    r.stop(0)
    assert "signal" not in r.log("stopping")[0]


def test_a_stop_is_not_taken_back(relay, workers):
    r = start(relay, workers, ECHO, "drain_delay = 1h")
    c = Client(r, "/echo")
    one(r, "drain")
    assert one(r, "status")["state"] == "stopping"
    for words in (["drain"], ["drain", "--soft"], ["resume"],
                  ["pause", "echo"]):
        assert ask(r, *words, status=1)["error"] == "the relay stops already"
    says(c, "on")


def test_what_is_refused(relay, workers):
    r = start(relay, workers)
    for command in "drain", "resume":
        assert ask(r, command, "sim", status=1)["error"] == \
            "there is no route sim"
        assert "changes anything" in ask(r, command, status=1,
                                         sock="read.sock")["error"]
    assert one(r, "status")["state"] == "running"
    Client(r, "/echo")
