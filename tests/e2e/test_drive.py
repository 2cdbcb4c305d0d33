"""drive ID: the operator says who drives a hub."""
import pytest

from controls import READONLY, ask
from peers import TEXT, Client
from relay import KEY, mint, wait_for
from test_hub import Hub
from test_hub_hold import Held, words

pytestmark = pytest.mark.parametrize("workers", [1, 3])

ECHO = "[route echo]\npath = /echo\nbackend = echo:\nauth = none\n"
ROOM = ("[route room]\npath = /room/{id}\nbackend = room:\nmode = hub\n"
        "auth = none\n")


def joined(h, sub, perm="rw"):
    return h.join(token=mint("/h/1", sub=sub, perm=perm))


def start(relay, workers, kind=Hub, *more):
    return kind(relay, workers, "input = driver", *more, auth="token",
                server=READONLY)


def test_it_drives_and_the_others_do_not(relay, workers):
    h = start(relay, workers)
    members = [joined(h, f"u{i}") for i in range(6)]
    before = members[0]
    for c in members[3], members[5], members[0], members[0]:
        row, = ask(h.r, "drive", c.id)
        assert row == {"route": "h", "hub": "/h/1", "driver": c.id,
                       "before": before.id}
        before = c
        hub, = ask(h.r, "hubs")
        assert hub["driver"] == c.id
        for x in members:
            if x is not c:
                x.send(TEXT, "denied")
                x.synced()
        c.send(TEXT, f"by {c.id}")
        assert h.heard() == f"by {c.id}"
    assert len(h.r.log("control", command="drive",
                       arguments=f"id={members[3].id}")) == 1


def test_when_it_leaves_the_first_drives_again(relay, workers):
    h = start(relay, workers)
    one, two, three = (joined(h, x) for x in ("one", "two", "three"))
    ask(h.r, "drive", three.id)
    three.close()
    wait_for(lambda: ask(h.r, "hubs")[0]["driver"] == one.id, "the first")
    # One with its subject takes the seat over, as ever.
    ask(h.r, "drive", two.id)
    again = joined(h, "two")
    assert ask(h.r, "hubs")[0]["driver"] == again.id


def test_a_tagged_backend_is_told(relay, workers):
    h = start(relay, workers, Hub, "addressing = tagged")
    one = joined(h, "one")
    assert [words(h), words(h)] == [["+", one.id], ["=", one.id]]
    two = joined(h, "two")
    assert words(h) == ["+", two.id]
    ask(h.r, "drive", two.id)
    assert words(h) == ["=", two.id]
    ask(h.r, "drive", two.id)       # nothing has changed
    ask(h.r, "drive", one.id)
    assert words(h) == ["=", one.id]


def test_while_its_backend_is_away(relay, workers):
    h = start(relay, workers, Held, "addressing = tagged")
    one = joined(h, "one")
    two = joined(h, "two")
    for _ in range(3):
        words(h)
    h.go_away()
    ask(h.r, "drive", two.id)
    one.send(TEXT, "denied")
    one.synced()
    two.send(TEXT, "steers")
    two.synced()
    h.come_back()
    assert [words(h) for _ in range(3)] == [
        ["+", one.id], ["+", two.id], ["=", two.id]]
    assert h.heard() == f"> {two.id} steers"


def test_what_is_refused(relay, workers):
    r = relay(KEY + ECHO + ROOM + ROOM.replace("room/", "desk/").replace(
        "[route room]", "[route desk]").replace("auth = none", "keys = lab")
        + "input = driver\n", server=f"{READONLY}workers = {workers}\n")
    pair, member = Client(r, "/echo"), Client(r, "/room/1")
    driver, viewer = (Client(r, "/desk/1", token=mint(
        "/desk/1", perm=perm)) for perm in ("rw", "r"))

    def why(what, status=1, **more):
        return ask(r, "drive", what, status=status, **more)["error"]
    assert why("ffffff") == "there is no client ffffff"
    assert why(pair.id) == f"client {pair.id} is in no hub"
    assert why(member.id) == (f"the hub of client {member.id} has no driver: "
                              f"its route has input = all")
    assert why(viewer.id) == f"client {viewer.id} has no right to write"
    assert "expected one of the log" in why("x y", 2)
    assert "changes anything" in why(driver.id, sock="read.sock")
    driver_now = {x["route"]: x.get("driver") for x in ask(r, "hubs")}
    assert driver_now["desk"] == driver.id
