"""wsrelayctl tap: messages as they pass, and that nothing else changes."""
import base64
import json
import os
import re
import signal
import struct
import subprocess
import time

import pytest

from controls import CONTROL, READONLY, Caller, ask, ctl
from peers import BINARY, CONT, PING, TEXT, Client, Server, WsPeer
from relay import BUILD, KEY, PATIENCE, RUNNER, mint, wait_for

pytestmark = pytest.mark.plain("about a socket of its own")

ECHO = "[route echo]\npath = /echo\nbackend = echo:\nauth = none\n"
ROOM = ("[route room]\npath = /room/{id}\nbackend = room:\nmode = hub\n"
        "auth = none\nmax_backend_message = 64K\n")
WORKERS = pytest.mark.parametrize("workers", [1, 3])


class Tap(Caller):
    """A tap that is on: every message from now on is shown."""

    def __init__(self, r, command="tap", **arguments):
        super().__init__(r.dir / "control.sock")
        self.line()
        self.say(json.dumps({"command": command, **arguments}).encode() +
                 b"\n")
        self.left_out = None
        row = self.line()
        if "left_out" in row:
            self.left_out = row["left_out"]
            row = self.line()
        assert "began_us" in row, row
        self.began = row["began_us"]

    def rows(self, n):
        return [self.line() for _ in range(n)]

    def said(self, n):
        """Who said what: of the next n rows."""
        return [(x["direction"], payload(x)) for x in self.rows(n)]

    def close(self):
        self.__exit__()


def payload(row):
    """Of a row that is not cut."""
    data = row["text"].encode() if "text" in row \
        else base64.b64decode(row["base64"], validate=True)
    assert row["opcode"] == ("text" if "text" in row else "binary")
    assert "cut_bytes" not in row and row["size_bytes"] == len(data)
    return data


def start(relay, ini, workers=1, server=CONTROL):
    return relay(ini, server=server + f"workers = {workers}\n")


def echo_back(c, opcode, data):
    c.send(opcode, data)
    assert c.message()[:2] == (opcode, data)


# --- what is shown -----------------------------------------------------------


@WORKERS
def test_both_ways_of_a_pair(relay, workers):
    r = start(relay, ECHO, workers)
    c = Client(r, "/echo")
    with Tap(r) as t:
        before = time.time_ns() // 1000
        echo_back(c, TEXT, 'é "quoted"\t\0'.encode())
        echo_back(c, BINARY, bytes(range(256)))
        echo_back(c, TEXT, b"")
        after = time.time_ns() // 1000
        rows = t.rows(6)
        for row in rows:
            assert row["route"] == "echo" and row["id"] == c.id
            assert "hub" not in row
            assert before <= row["at_us"] <= after
        assert [x["at_us"] for x in rows] == sorted(x["at_us"] for x in rows)
        text = 'é "quoted"\t\0'.encode()
        assert [(x["direction"], payload(x)) for x in rows] == [
            ("from_client", text), ("to_client", text),
            ("from_client", bytes(range(256))),
            ("to_client", bytes(range(256))),
            ("from_client", b""), ("to_client", b"")]
    r.wait_log("tap-end", messages=6, dropped=0, pid=os.getpid())
    c.close()


def test_fragments_are_shown_as_their_message(relay):
    """The relay passes them on as they come; pings may lie between."""
    with Server() as s:
        r = start(relay, f"[route ws]\npath = /ws\nauth = none\n"
                  f"backend = ws://127.0.0.1:{s.port}\n")
        c = Client(r, "/ws", wait=False)
        backend = WsPeer(s.accept_socket()).accept()
        c.upgraded()
        c.send(TEXT, b"begun be", fin=False)
        assert backend.recv().payload == b"begun be"
        with Tap(r) as t:
            c.send(CONT, b"fore")
            assert backend.recv().payload == b"fore"
            for part, fin in (b"\xc3", False), (b"\xa9", False), (b"!", True):
                c.send(TEXT if part == b"\xc3" else CONT, part, fin=fin)
                c.send(PING, b"between")
                assert c.recv().payload == b"between"
            for _ in range(3):
                backend.recv()
            backend.send(BINARY, b"a" * 70000, fin=False)
            backend.send(CONT, b"b" * 70000)
            assert c.message()[1] == b"a" * 70000 + b"b" * 70000
            assert t.said(2) == [
                ("from_client", b"\xc3\xa9!"),
                ("to_client", b"a" * 70000 + b"b" * 70000)]
        c.close()


def test_an_end_in_the_middle_of_a_message(relay):
    with Server() as s:
        r = start(relay, f"[route ws]\npath = /ws\nauth = none\n"
                  f"backend = ws://127.0.0.1:{s.port}\n")
        c = Client(r, "/ws", wait=False)
        backend = WsPeer(s.accept_socket()).accept()
        c.upgraded()
        with Tap(r) as t:
            c.send(TEXT, b"never whole", fin=False)
            assert backend.recv().payload == b"never whole"
            c.reset()
            r.wait_log("close", id=c.id)
            # What was kept of it is given back.
            assert ask(r, "status")[0]["queued_bytes"] == 0
        r.wait_log("tap-end", messages=0, dropped=0)


@WORKERS
def test_a_hub_s_message_is_shown_once(relay, workers):
    with Server() as s:
        r = start(relay, "[route hub]\npath = /hub/{id}\nauth = none\n"
                  f"backend = tcp://127.0.0.1:{s.port}\nframing = len32\n"
                  "mode = hub\nqueue_limit = 16M\n", workers)
        members = [Client(r, "/hub/7") for _ in range(6)]
        backend = s.accept()
        stranger = Client(r, "/hub/8")
        with Tap(r) as t, Tap(r, client=members[2].id) as one, \
                Tap(r, client=stranger.id):
            backend.write(struct.pack(">IB", 6, 1) + b"hello" +
                          struct.pack(">IB", 4, 2) + b"\0\1\2")
            for m in members:
                assert m.message()[1] == b"hello"
                assert m.message()[1] == b"\0\1\2"
            members[1].send(TEXT, b"up")
            assert backend.exactly(7) == struct.pack(">IB", 3, 1) + b"up"
            rows = t.rows(3)
            assert [x["hub"] for x in rows] == ["/hub/7"] * 3
            assert [x.get("id") for x in rows] == [None, None, members[1].id]
            assert [(x["direction"], payload(x)) for x in rows] == [
                ("to_client", b"hello"), ("to_client", b"\0\1\2"),
                ("from_client", b"up")]
            # A member gets what is for all.
            members[2].send(TEXT, b"mine")
            backend.exactly(9)
            assert one.said(3) == [("to_client", b"hello"),
                                   ("to_client", b"\0\1\2"),
                                   ("from_client", b"mine")]
            assert t.said(1) == [("from_client", b"mine")]
        r.wait_log("tap-end", count=3)
        assert sorted(x["messages"] for x in r.log("tap-end")) == \
            ["0", "3", "4"]
        for m in [*members, stranger]:
            m.close()


@WORKERS
def test_a_room_s_message_is_shown_once(relay, workers):
    r = start(relay, ROOM, workers)
    members = [Client(r, "/room/1") for _ in range(4)]
    stranger = Client(r, "/room/2")
    with Tap(r) as t, Tap(r, client=members[3].id) as one:
        members[0].send(TEXT, b"hello")
        for m in members[1:]:
            assert m.message()[1] == b"hello"
        stranger.send(TEXT, b"alone")
        row, = t.rows(1)
        assert row["hub"] == "/room/1" and row["id"] == members[0].id
        assert (row["direction"], payload(row)) == ("from_client", b"hello")
        assert t.said(1) == [("from_client", b"alone")]
        assert one.said(1) == [("from_client", b"hello")]
    for c in [*members, stranger]:
        c.close()


def test_a_tagged_hub_says_who_each_message_is_for(relay):
    with Server() as s:
        r = start(relay, "[route hub]\npath = /hub\nauth = none\n"
                  f"backend = tcp://127.0.0.1:{s.port}\nframing = line\n"
                  "mode = hub\naddressing = tagged\nqueue_limit = 16M\n")
        one, two = Client(r, "/hub"), Client(r, "/hub")
        backend = s.accept()
        for _ in range(2):
            assert backend.until().startswith(b"+ ")
        with Tap(r) as t:
            one.send(TEXT, b"up")
            assert backend.until() == f"> {one.id} up\n".encode()
            backend.write(f"> {two.id} for two\n> * for all\n"
                          f"x {two.id} 4000 bye\n".encode())
            assert two.message()[1] == b"for two"
            assert one.message()[1] == b"for all"
            rows = t.rows(3)
            assert [(x["direction"], x.get("id"), payload(x)) for x in rows] \
                == [("from_client", one.id, b"up"),
                    ("to_client", two.id, b"for two"),
                    ("to_client", None, b"for all")]
        r.wait_log("tap-end", messages=3)
        one.close()


def test_raw_bytes_are_shown_as_they_are_read(relay):
    with Server() as s:
        r = start(relay, "[route raw]\npath = /raw\nauth = none\n"
                  f"backend = tcp://127.0.0.1:{s.port}\nframing = raw\n")
        c = Client(r, "/raw")
        backend = s.accept()
        with Tap(r) as t:
            c.send(BINARY, b"hello")
            assert backend.exactly(5) == b"hello"
            backend.write(b"bytes")
            assert c.message()[1] == b"bytes"
            assert t.said(2) == [("from_client", b"hello"),
                                 ("to_client", b"bytes")]
        c.close()


def test_what_may_not_be_said_is_not_shown(relay):
    """Only what the relay takes: a reader's message is none."""
    r = start(relay, "[route keyed]\npath = /keyed\nbackend = echo:\n" + KEY)
    reader = Client(r, "/keyed", token=mint("/keyed", perm="r"))
    with Tap(r):
        reader.send(TEXT, b"no")
        reader.closed(1008, "read-only")
    r.wait_log("tap-end", messages=0)


def test_a_long_message_is_cut(relay):
    r = start(relay, ECHO + "max_message = 4M\nmax_backend_message = 4M\n"
              "queue_limit = 4M\n")
    c = Client(r, "/echo")
    data = b"x" + "é".encode() * (1 << 20)
    with Tap(r, direction="from_client") as t:
        echo_back(c, TEXT, data)
        echo_back(c, BINARY, data)
        text, binary = t.rows(2)
        assert text["size_bytes"] == binary["size_bytes"] == len(data)
        # No half of a character.
        assert text["text"].encode() == data[:(1 << 20) - 1]
        assert text["cut_bytes"] == len(data) - (1 << 20) + 1
        assert base64.b64decode(binary["base64"]) == data[:1 << 20]
        assert binary["cut_bytes"] == len(data) - (1 << 20)
    c.close()


# --- which are shown ---------------------------------------------------------


@WORKERS
def test_filters(relay, workers):
    r = start(relay, ECHO + ROOM, workers)
    one, two = Client(r, "/echo"), Client(r, "/echo")
    member = Client(r, "/room/1")
    taps = {
        name: Tap(r, **arguments) for name, arguments in {
            "route": {"route": "room"},
            "client": {"client": one.id, "direction": "to_client"},
            "match": {"match": "need\u00e9le", "direction": "from_client"},
            "both": {"match": "hay", "client": two.id, "route": "echo"},
        }.items()}
    for c in one, two:
        echo_back(c, TEXT, b"hay")
        echo_back(c, TEXT, "hay needéle hay".encode())
        echo_back(c, BINARY, b"\xffneed\xc3\xa9le")
        echo_back(c, TEXT, b"")
    member.send(TEXT, b"hay")
    member.synced()
    needle = ["hay needéle hay".encode(), b"\xffneed\xc3\xa9le"]
    assert taps["route"].said(1) == [("from_client", b"hay")]
    assert taps["client"].said(4) == [
        ("to_client", x) for x in [b"hay", *needle, b""]]
    assert taps["match"].said(4) == [("from_client", x) for x in needle * 2]
    assert taps["both"].said(4) == [
        (way, x) for x in (b"hay", needle[0])
        for way in ("from_client", "to_client")]
    for t in taps.values():
        t.close()
    r.wait_log("tap-end", count=4)
    assert sorted(x["messages"] for x in r.log("tap-end")) == \
        ["1", "4", "4", "4"]
    # What was looked for may be a secret.
    assert "needé" not in "\n".join(r.lines)
    assert r.log("control", arguments="client=" + two.id) == []
    assert any("match=(hidden)" in x for x in r.lines)
    for c in one, two, member:
        c.close()


def test_limit_and_time(relay):
    r = start(relay, ECHO, 2)
    c = Client(r, "/echo")
    with Tap(r, limit=3) as t:
        for _ in range(5):
            echo_back(c, TEXT, b"hello")
        assert len(t.said(3)) == 3
        assert t.line() == {"status": "ok"}
        # The connection is good for the next request.
        t.say(b'{"command":"status"}\n')
        assert t.answer()[1] == {"status": "ok"}
    r.wait_log("tap-end", messages=3)
    rows = ask(r, "tap", "--for", "1s")
    assert [list(x) for x in rows] == [["began_us"]]
    echo_back(c, TEXT, b"and the relay goes on")
    c.close()


def test_a_tap_of_a_client_ends_with_it(relay):
    r = start(relay, ECHO + ROOM, 2)
    for path in "/echo", "/room/1":
        c = Client(r, path)
        with Tap(r, client=c.id) as t:
            c.send(TEXT, b"the last")
            c.synced()
            c.close()
            assert payload(t.line()) == b"the last"
            rows, last = t.answer()
            assert last == {"status": "ok"} and len(rows) <= 1


@pytest.mark.parametrize("arguments, says", [
    ({"route": "nowhere"}, "there is no route of this name"),
    ({"client": "x y"}, "client: expected an id of the log"),
    ({"client": "1"}, "there is no client 1"),
    ({"direction": "up"}, "direction: expected from_client or to_client"),
    ({"match": ""}, "match: expected a text"),
    ({"limit": 0}, "limit: expected 1 or more"),
    ({"limit": -1}, "limit: expected an integer"),
])
def test_what_is_no_tap(relay, arguments, says):
    r = start(relay, ECHO)
    with Caller(r.dir / "control.sock") as c:
        c.line()
        c.say(json.dumps({"command": "tap", **arguments}).encode() + b"\n")
        rows, last = c.answer()
        assert rows == [] and last["error"].startswith(says)
    assert not r.log("tap-end")


# --- who may -----------------------------------------------------------------

TAPLESS = ("[route quiet]\npath = /quiet\nbackend = echo:\nauth = none\n"
           "tap = no\n")


def test_tap_no(relay):
    r = start(relay, ECHO + TAPLESS, 2)
    assert ask(r, "tap", "--route", "quiet", status=1)["error"] == \
        "the route has tap = no"
    c, quiet = Client(r, "/echo"), Client(r, "/quiet")
    with Tap(r) as t, Tap(r, client=quiet.id) as one, \
            Tap(r, route="echo") as echo:
        assert t.left_out == one.left_out == "quiet"
        assert echo.left_out is None
        echo_back(quiet, TEXT, b"nobody's business")
        echo_back(c, TEXT, b"hello")
        assert len(t.said(2)) == len(echo.said(2)) == 2
    r.wait_log("tap-end", count=3)
    assert sorted(x["messages"] for x in r.log("tap-end")) == ["0", "2", "2"]
    done = ctl("--socket", r.dir / "control.sock", "tap", "--for", "0s")
    assert "left out, for they have tap = no: quiet" in done.stderr
    c.close()
    quiet.close()


@WORKERS
def test_a_reload_forbids(relay, workers):
    r = start(relay, ECHO + ROOM, workers)
    c, member = Client(r, "/echo"), Client(r, "/room/1")
    with Tap(r) as t, Tap(r, route="echo") as of_route, \
            Tap(r, route="room") as of_other:
        echo_back(c, TEXT, b"before")
        t.said(2)
        of_route.said(2)
        text = r.ini.read_text()
        r.ini.write_text(text.replace("path = /echo", "path = /echo\n"
                                      "tap = no"))
        ask(r, "reload")
        assert of_route.answer() == ([], {
            "status": "refused",
            "error": "the route has tap = no since a reload"})
        assert t.line() == {"left_out": "echo"}
        # Each worker has the configuration when it lets a new client in.
        for _ in range(2 * workers):
            Client(r, "/echo").close()
        echo_back(c, TEXT, b"behind it")
        member.send(TEXT, b"said")
        assert t.said(1) == [("from_client", b"said")]
        assert of_other.said(1) == [("from_client", b"said")]
        r.ini.write_text(text)
        ask(r, "reload")
        for _ in range(2 * workers):
            Client(r, "/echo").close()
        echo_back(c, TEXT, b"again")
        assert t.said(2) == [("from_client", b"again"),
                             ("to_client", b"again")]
    c.close()
    member.close()


def test_not_by_control_readonly(relay):
    r = start(relay, ECHO, server=READONLY)
    assert ask(r, "tap", sock="read.sock", status=1)["error"] == \
        "tap: this socket takes no command that shows what is said"
    assert r.log("control", command="tap")


def test_four_at_once(relay):
    r = start(relay, ECHO, 2)
    taps = [Tap(r) for _ in range(4)]
    assert ask(r, "tap", status=1)["error"] == "4 taps are on already"
    taps.pop().close()
    r.wait_log("tap-end")
    with Tap(r):
        pass
    for t in taps:
        t.close()
    assert len(r.log("control", command="tap")) == 6


# --- it holds nothing up -----------------------------------------------------


@WORKERS
def test_one_that_does_not_read(relay, workers):
    """All messages pass; what is shown and what was dropped is all of them,
    and what waits is bounded."""
    r = start(relay, ECHO + "queue_limit = 1M\n", workers)
    clients = [Client(r, "/echo") for _ in range(3)]
    n, size = 400, 20000
    with Tap(r, match="x") as t:
        for _ in range(n):
            for c in clients:
                c.send(BINARY, b"x" * size)
            for c in clients:
                assert len(c.message()[1]) == size
        queued = ask(r, "status")[0]["queued_bytes"]
        assert queued < 12 << 20
        shown, dropped = 0, 0
        while shown + dropped < 2 * n * len(clients):
            row = t.line()
            if "dropped" in row:
                dropped += row["dropped"]
            else:
                shown += 1
                assert row["size_bytes"] == size
        assert dropped > 0 and shown > 300
        echo_back(clients[0], TEXT, b"x now it reads")
        assert [payload(x) for x in t.rows(2)] == [b"x now it reads"] * 2
    line = r.wait_log("tap-end")
    assert line["messages"] == str(shown + 2)
    assert line["dropped"] == str(dropped)
    wait_for(lambda: ask(r, "status")[0]["queued_bytes"] == 0, "an empty queue")
    for c in clients:
        c.close()


def test_leaving_ends_it_on_every_worker(relay):
    r = start(relay, ECHO, 3)
    clients = [Client(r, "/echo") for _ in range(6)]
    for _ in range(30):
        t = Tap(r)
        for c in clients:
            c.send(TEXT, b"hello")
        t.line()
        t.close()
        for c in clients:
            c.message()
    r.wait_log("tap-end", count=30)
    wait_for(lambda: ask(r, "status")[0]["queued_bytes"] == 0, "an empty queue")
    for c in clients:
        c.close()


@WORKERS
def test_the_daemon_ends_before_it(relay, workers):
    r = start(relay, ECHO, workers)
    c = Client(r, "/echo")
    with Tap(r) as t, Tap(r, limit=5):
        echo_back(c, TEXT, b"hello")
        r.stop()
        rows, last = t.answer()
        assert last is None and len(rows) <= 2


# --- wsrelayctl --------------------------------------------------------------


def run(r, *args, **options):
    return subprocess.Popen(
        [*RUNNER, str(BUILD / "wsrelayctl"), "--socket",
         str(r.dir / "control.sock"), *map(str, args)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def is_on(r, n=1):
    """The first client's message that is shown has come behind the tap."""
    r.wait_log("control", count=n, command="tap")


def test_shown_to_people(relay):
    r = start(relay, ECHO + ROOM)
    c, member = Client(r, "/echo"), Client(r, "/room/1")
    tap = run(r, "tap", "--limit", "5")
    is_on(r)
    with Tap(r):  # and so is that one
        pass
    echo_back(c, TEXT, b"say \x1b[31mred\x7f" + "é".encode())
    c.send(BINARY, bytes(range(100)))
    c.message()
    member.send(TEXT, b"y" * 1000)
    out, err = tap.communicate(timeout=PATIENCE)
    assert tap.returncode == 0 and err == "5 messages, 0 dropped\n"
    lines = [re.sub(r"^\d\d:\d\d:\d\d\.\d{6}  ", "", x)
             for x in out.splitlines()]
    said = r"say \x1b[31mred\x7fé"
    hexed = bytes(range(33)).hex() + " ... (67 bytes more)"
    assert lines == [
        f"echo  {c.id}  from_client  text  15  {said}",
        f"echo  {c.id}  to_client  text  15  {said}",
        f"echo  {c.id}  from_client  binary  100  {hexed}",
        f"echo  {c.id}  to_client  binary  100  {hexed}",
        f"/room/1  {member.id}  from_client  text  1000  " + "y" * 400 +
        " ... (600 bytes more)"]
    c.close()
    member.close()


def test_control_c(relay):
    r = start(relay, ECHO)
    c = Client(r, "/echo")
    tap, lines = run(r, "tap"), run(r, "tap", "--json")
    is_on(r, 2)
    with Tap(r):
        pass
    echo_back(c, TEXT, b"hello")
    # Written at once, also into a pipe.
    for _ in range(2):
        assert tap.stdout.readline().endswith("text  5  hello\n")
    assert "began_us" in lines.stdout.readline()
    for _ in range(2):
        assert json.loads(lines.stdout.readline())["text"] == "hello"
    for x in tap, lines:
        x.send_signal(signal.SIGINT)
    assert tap.communicate(timeout=PATIENCE) == \
        ("", "2 messages, 0 dropped\n")
    assert lines.communicate(timeout=PATIENCE) == ("", "")
    assert tap.returncode == lines.returncode == 0
    r.wait_log("tap-end", count=3)
    c.close()


def test_the_daemon_goes_away(relay):
    r = start(relay, ECHO)
    tap = run(r, "tap")
    is_on(r)
    r.stop()
    _, err = tap.communicate(timeout=PATIENCE)
    assert tap.returncode == 3 and "has closed the connection" in err
