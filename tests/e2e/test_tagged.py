"""addressing = tagged: a hub's backend that knows and addresses its clients,
over every kind of trunk, with one worker and with two."""
import contextlib
import json
import re
import signal
import struct
import subprocess
import time

import pytest

from peers import (BINARY, CONT, PING, PONG, TEXT, Background, Client, Server,
                   asleep, cpu_seconds, program)
from relay import KEY, ROOT, WSRELAYD, mint, wait_for
from secure import SECURE

pytestmark = pytest.mark.parametrize("workers", [1, 2])

# What connects a program's standard streams with the test.
BRIDGE = """import socket, threading
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def down():
    while data := os.read(0, 65536): s.sendall(data)
    s.shutdown(socket.SHUT_WR)
threading.Thread(target=down, daemon=True).start()
while data := s.recv(65536):
    while data: data = data[os.write(1, data):]
os._exit(0)
"""


def ini(backend, *more, auth="none"):
    return "\n".join([KEY, "[route t]", "path = /t/{id}",
                      f"backend = {backend}", "mode = hub",
                      "addressing = tagged", f"auth = {auth}",
                      "linger = 50ms", *more, ""])


class Backend:
    """A daemon with a tagged hub, whose backend is the test."""

    def __init__(self, relay, tmp_path, workers, kind, *more, auth="none",
                 rcvbuf=None, server=""):
        self.kind = kind
        # The bridge of an exec backend speaks no TLS.
        self.server = Server(rcvbuf=rcvbuf, tls=SECURE and kind != "exec")
        self.trunk = None
        backend = {"ws": f"ws://127.0.0.1:{self.server.port}"}.get(
            kind, self.server.uri)
        if kind == "exec":
            backend = "exec:" + program(tmp_path, BRIDGE) + \
                f" {self.server.port}"
        elif kind != "ws":
            more = (*more, f"framing = {kind}")
        self.r = relay(ini(backend, *more, auth=auth),
                       server=f"workers = {workers}\n{server}")

    def open(self):
        if self.kind == "ws":
            self.trunk = self.server.accept_ws().accept()
        else:
            self.trunk = self.server.accept()

    def join(self, path="/t/1", **options):
        """A client that is in; the first waits for nobody's +."""
        c = Client(self.r, path, wait=False, **options)
        if self.trunk is None:
            self.open()
        return c.upgraded()

    def joined(self, path="/t/1", **options):
        """And the backend has been told."""
        c = self.join(path, **options)
        verb, ident, rest = self.heard()
        assert (verb, ident) == ("+", c.id), (verb, ident, rest)
        return c

    def raw(self, payload, opcode=TEXT):
        """What a message is on the wire."""
        if self.kind == "len32":
            return struct.pack(">IB", len(payload) + 1, opcode) + payload
        if self.kind == "ws":
            raise AssertionError("use say")
        return payload + b"\n"

    def say(self, payload, opcode=TEXT):
        payload = payload.encode() if isinstance(payload, str) else payload
        if self.kind == "ws":
            self.trunk.send(opcode, payload)
        else:
            self.trunk.write(self.raw(payload, opcode))

    def message(self):
        """The next message: its kind and bytes."""
        if self.kind == "ws":
            return self.trunk.message()[:2]
        if self.kind == "len32":
            n, opcode = struct.unpack(">IB", self.trunk.exactly(5))
            return opcode, self.trunk.exactly(n - 1)
        return TEXT, self.trunk.until(b"\n")[:-1]

    def heard(self):
        """(verb, id, rest); rest is None when nothing follows the id."""
        _, payload = self.message()
        parts = payload.decode().split(" ", 2)
        return parts[0], parts[1], parts[2] if len(parts) > 2 else None

    def left(self, c, reason):
        assert self.heard() == ("-", c.id, '{"reason":"%s"}' % reason)

    def still_there(self, *clients):
        """The trunk lives, and nothing else has reached these."""
        for c in clients:
            self.say(f"> {c.id} still there")
            assert c.recv().text == "still there"


@pytest.fixture
def hub(relay, tmp_path, workers):
    def start(kind="len32", *more, **options):
        return Backend(relay, tmp_path, workers, kind, *more, **options)
    return start


KINDS = pytest.mark.parametrize("kind", ["ws", "len32", "line", "exec"])


# --- the messages ------------------------------------------------------------

@KINDS
def test_join_talk_leave(hub, kind):
    h = hub(kind)
    a = h.join()
    verb, ident, about = h.heard()
    assert (verb, ident) == ("+", a.id)
    assert re.fullmatch("[1-9a-f][0-9a-f]{0,15}", ident)
    about = json.loads(about)
    assert about == {"sub": None, "perm": "rw", "path": "/t/1", "peer":
                     "%s:%d" % a.sock.getsockname()}
    b = h.joined()
    a.send(TEXT, "from a")
    assert h.heard() == (">", a.id, "from a")
    b.send(TEXT, "")
    assert h.heard() == (">", b.id, "")
    b.send(TEXT, "  two  spaces ")
    assert h.heard() == (">", b.id, "  two  spaces ")
    h.say(f"> {b.id} to b")
    h.say(f"> {a.id} to a")
    h.say("> * to all")
    h.say(f"> {b.id} ")
    assert [a.recv().text for _ in range(2)] == ["to a", "to all"]
    assert [b.recv().text for _ in range(3)] == ["to b", "to all", ""]
    a.send_close(1000)
    h.left(a, "client-close")
    h.still_there(b)
    b.close()
    h.left(b, "client-gone")
    line = h.r.wait_log("hub-close")
    assert line["reason"] == "linger" and line["members_most"] == "2"
    assert (line["member_messages"], line["backend_messages"]) == ("3", "5")
    assert "malformed" not in line and "unknown_ids" not in line


@pytest.mark.parametrize("kind", ["ws", "len32"])
def test_kinds_are_kept(hub, kind):
    h = hub(kind)
    a = h.joined()
    a.send(BINARY, b"\0\xff\n")
    prefix = f"> {a.id} ".encode()
    assert h.message() == (BINARY, prefix + b"\0\xff\n")
    a.send(TEXT, "t")
    assert h.message() == (TEXT, prefix + b"t")
    h.say(prefix + b"\xff\n", BINARY)
    h.say(prefix + b"\n", TEXT)
    h.say(b"> * \xfe", BINARY)
    assert [a.recv()[:2] for _ in range(3)] == [
        (BINARY, b"\xff\n"), (TEXT, b"\n"), (BINARY, b"\xfe")]
    data = bytes(range(256)) * 1200  # more than is gathered, and one read
    a.send(BINARY, data)
    assert h.message() == (BINARY, prefix + data)
    h.say(prefix + data, BINARY)
    assert a.message()[:2] == (BINARY, data)


def test_names_are_json(hub):
    h = hub("line", auth="token")
    names = ['qu"o\\te', "日本 \u2028 \U0001f427", "a b"]
    for n, name in enumerate(names):
        path = f"/t/{n}"
        c = Client(h.r, path, wait=False, token=mint(path, sub=name, perm="r"))
        trunk = h.server.accept()
        c.upgraded()
        _, ident, about = trunk.until().decode().split(" ", 2)
        about = json.loads(about)
        assert ident == c.id
        assert (about["sub"], about["perm"], about["path"]) == \
            (name, "r", path)


@pytest.mark.parametrize("kind", ["line", "exec"])
@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"], ids=["lf", "cr", "crlf"])
def test_no_client_forges_a_line(hub, kind, end):
    """A program's language may end lines at a CR."""
    h = hub(kind)
    a, b = h.joined(), h.joined()
    a.send(TEXT, f"hello{end}> {b.id} I am b")
    a.closed(1008, "policy")
    h.left(a, "policy")
    b.send(TEXT, "I am")
    assert h.heard() == (">", b.id, "I am")


@KINDS
def test_limits_are_the_payloads(hub, kind):
    h = hub(kind, "max_message = 200", "max_backend_message = 300",
            "queue_limit = 1M")
    a = h.joined()
    a.send(TEXT, "x" * 200)
    assert h.heard() == (">", a.id, "x" * 200)
    h.say(f"> {a.id} " + "y" * 300)
    h.say("> * " + "z" * 300)
    assert a.recv().text == "y" * 300
    assert a.recv().text == "z" * 300
    h.say(f"> {a.id} " + "y" * 301)
    h.say("> * " + "z" * 301)
    h.still_there(a)
    a.send(TEXT, "x" * 201)
    a.closed(1009, "too-big")
    h.left(a, "too-big")
    assert h.r.wait_log("hub-close")["malformed"] == "2"


# --- order ---------------------------------------------------------------------

@KINDS
def test_each_client_gets_its_own_in_order(hub, kind):
    h = hub(kind)
    members = [h.joined() for _ in range(7)]
    total = 700

    def stream():
        for i in range(total):
            c = members[i * 5 % 7]
            h.say(f"> {c.id} {i}" if i % 3 else f"> * {i}")
        h.say("> * end")
    job = Background(stream)
    for n, c in enumerate(members):
        got = []
        while (f := c.recv()).text != "end":
            got.append(int(f.text))
        assert got == [i for i in range(total)
                       if i % 3 == 0 or members[i * 5 % 7] is c]
    job.done()


def test_answers_in_one_write_are_in_order(hub):
    """More than one batch at once."""
    h = hub("len32")
    members = [h.joined() for _ in range(3)]
    out = b""
    for i in range(5000):
        to = ("*", *(c.id for c in members))[i % 4]
        out += h.raw(f"> {to} {i}".encode())
    job = Background(h.trunk.write, out)
    for n, c in enumerate(members):
        want = [i for i in range(5000) if i % 4 in (0, n + 1)]
        assert [int(c.recv().text) for _ in want] == want
    job.done()
    job = Background(h.trunk.write, b"".join(
        h.raw(b"> * %d" % i) for i in range(5000)))
    for c in members:
        assert [int(c.recv().text) for _ in range(5000)] == list(range(5000))
    job.done()


def test_told_of_each_before_and_after_its_words(hub):
    h = hub("line")
    keep = h.joined()
    job = Background(lambda: [churn(h, i) for i in range(40)])
    state, words = {}, {}
    while len([s for s in state.values() if s == "-"]) < 40:
        verb, ident, rest = h.heard()
        if verb == "+":
            assert ident not in state
            state[ident] = "+"
            h.say(f"> {ident} hello")
        elif verb == ">":
            assert state[ident] == "+"
            words.setdefault(ident, []).append(rest)
        else:
            assert state[ident] == "+" and verb == "-"
            state[ident] = "-"
    ids = job.done()
    assert set(state) == set(ids)
    for i, ident in enumerate(ids):
        assert words[ident] == [f"{i} {n}" for n in range(5)]
    h.still_there(keep)


def churn(h, i):
    c = Client(h.r, "/t/1")
    for n in range(5):
        c.send(TEXT, f"{i} {n}")
    assert c.recv().text == "hello"
    if i % 2:
        c.send_close(1000)
    c.shut()
    c.rest()
    c.close()
    return c.id


def test_only_what_is_for_all_is_replayed(hub):
    h = hub("len32", "replay = 3")
    a = h.joined()
    for i in range(5):
        h.say(f"> * all {i}")
        h.say(f"> {a.id} own {i}")
    for i in range(5):
        assert [a.recv().text, a.recv().text] == [f"all {i}", f"own {i}"]
    b = h.join()
    verb, ident, _ = h.heard()
    h.say(f"> {ident} hello")
    h.say("> * all 5")
    assert [b.recv().text for _ in range(5)] == [
        "all 2", "all 3", "all 4", "hello", "all 5"]
    assert a.recv().text == "all 5"
    for c in a, b:
        assert c.synced() == []
    b.close()
    h.left(b, "client-gone")
    # Nothing was dropped: the messages of others are no gap.
    assert h.r.wait_log("close", id=b.id)["messages_dropped"] == "0"


def test_replay_comes_before_an_answer_in_a_stream(hub):
    h = hub("line", "replay = 50")
    a = h.joined()
    heard = Background(Backend.heard, h)
    late = Background(Client, h.r, "/t/1")
    for i in range(2000):
        h.say(f"> * {i}")
    _, ident, _ = heard.done()
    h.say(f"> {ident} own")
    h.say("> * end")
    c = late.done()
    assert c.id == ident
    for who in a, c:
        got = []
        while (f := who.recv()).text != "end":
            got.append(f.text)
        if who is c:
            assert got.pop() == "own"
        assert [int(x) for x in got] == list(range(2000 - len(got), 2000))


# --- x ID CODE reason -------------------------------------------------------------

@KINDS
def test_closing_a_client(hub, kind):
    h = hub(kind)
    cases = [("1000", 1000, ""), ("1000 ", 1000, ""), ("3000 no", 3000, "no"),
             ("4999 " + "é" * 61, 4999, "é" * 61),
             ("4000  a b ", 4000, " a b ")]
    stays = h.joined()
    for text, code, reason in cases:
        c = h.joined()
        for i in range(20):
            h.say(f"> {c.id} {i}")
        h.say("> * all")
        h.say(f"x {c.id} {text}")
        h.say(f"> {c.id} too late")
        h.say(f"x {c.id} 4000 twice")
        assert [c.recv().text for _ in range(21)] == \
            [str(i) for i in range(20)] + ["all"]
        f = c.closed(code)
        assert f.reason == reason
        h.left(c, "backend-kick")
        line = h.r.wait_log("close", id=c.id)
        assert (line["reason"], line["side"], line["code"]) == \
            ("backend-kick", "backend", str(code))
        assert stays.recv().text == "all"
    h.still_there(stays)
    stays.close()
    line = h.r.wait_log("hub-close")
    assert line["unknown_ids"] == str(2 * len(cases))
    assert "malformed" not in line
    assert len(h.r.log("backend-unknown-id")) == 1


def test_closing_behind_a_full_line(hub):
    """What waits for it is not lost, and nobody else waits."""
    h = hub("len32", "queue_limit = 32M")
    live, lazy = h.joined(), h.joined(rcvbuf=4096)
    picture = b"p" * 50000
    for i in range(100):
        h.say(b"> * " + picture, BINARY)
        assert live.recv().payload == picture
    h.say(f"> {lazy.id} last")
    h.say(f"x {lazy.id} 4001 enough")
    h.still_there(live)
    for i in range(100):
        assert lazy.recv().payload == picture
    assert lazy.recv().text == "last"
    assert lazy.closed(4001).reason == "enough"


def test_a_client_that_may_not_read(hub):
    h = hub("len32", auth="token")
    c = h.joined(token=mint("/t/1", perm="w"))
    h.say(f"> {c.id} secret")
    h.say("> * secret")
    c.send(TEXT, "x")
    assert h.heard() == (">", c.id, "x")
    h.say(f"x {c.id} 4000 bye")
    assert c.closed(4000).reason == "bye"
    h.left(c, "backend-kick")


# --- hostile backends ---------------------------------------------------------------

MALFORMED = {
    "verb": ["", "hello", "+ {id} {{}}", "- {id} {{}}", "= {id}", ">{id} x",
             "X {id} 1000", " > {id} x"],
    "space": ["> {id}", "> *", "> ", "x {id}", "> " + "f" * 40 + " x",
              "> {id}\tx"],
    "id": ["> 0 x", "> 0{id} x", "> zz x", ">  x", "x * 1000", "> -1 x"],
    "code": ["x {id} ", "x {id} 999", "x {id} 1001", "x {id} 1006",
             "x {id} 5000", "x {id} 10000", "x {id} bye", "x {id} 4000x"],
    "reason": ["x {id} 4000 " + "r" * 124],
    "utf8": [b"> {id} \xff", b"> * \xed\xa0\x80", b"x {id} 4000 \xff",
             b"\xff"],
}
DETAILS = {"verb": "in front", "space": "second space", "id": "client's id",
           "code": "the code", "reason": "123 bytes", "utf8": "UTF-8"}


@KINDS
def test_malformed(hub, kind):
    h = hub(kind)
    a, b = h.joined(), h.joined()
    n = 0
    for word, cases in MALFORMED.items():
        for case in cases:
            if isinstance(case, str):
                case = case.format(id=a.id).encode()
            h.say(case.replace(b"{id}", a.id.encode()))
            n += 1
        h.still_there(a, b)
    h.r.wait_log("backend-malformed", count=len(MALFORMED))
    kinds = h.r.log("backend-malformed")
    assert len(kinds) == len(MALFORMED)
    for word in MALFORMED:
        if word != "utf8":  # its last case is one of a verb
            assert sum(DETAILS[word] in x["detail"] for x in kinds) == 1
    assert not any(a.id in str(x) for x in kinds)
    a.close()
    b.close()
    line = h.r.wait_log("hub-close")
    assert line["malformed"] == str(n) and line["reason"] == "linger"


@KINDS
def test_text_after_text_that_is_not_utf8(hub, kind):
    """A broken text leaves nothing behind that breaks the next."""
    h = hub(kind)
    a = h.joined()
    h.say(f"> {a.id} ".encode() + b"\xe2\x82")
    h.say(f"> {a.id} €")
    assert a.recv().text == "€"


@KINDS
def test_unknown_ids(hub, kind):
    h = hub(kind)
    a, b = h.joined(), h.joined()
    b.close()
    h.left(b, "client-gone")
    for text in f"> {b.id} x", f"x {b.id} 1000", "> abc x", \
            f"> {'f' * 16} x":
        h.say(text)
    h.still_there(a)
    a.close()
    line = h.r.wait_log("hub-close")
    assert line["unknown_ids"] == "4" and "malformed" not in line
    assert len(h.r.log("backend-unknown-id")) == 1
    assert not h.r.log("backend-malformed")


@KINDS
def test_id_of_another_hub(hub, kind):
    h = hub(kind)
    a = h.joined("/t/1")
    first, h.trunk = h.trunk, None
    b = h.joined("/t/2")
    h.say(f"> {a.id} not yours")
    h.say(f"x {a.id} 4000 nor this")
    h.still_there(b)
    h.trunk = first
    h.still_there(a)


@KINDS
def test_too_long(hub, kind):
    """Nothing of it is kept, whatever its length, and what follows counts."""
    h = hub(kind, "max_backend_message = 1000", "queue_limit = 1M")
    a = h.joined()
    for n in 1000, 1001, 1020, 5000, 300000, 3 << 20:
        h.say(f"> {a.id} " + "x" * n)
        if n == 1000:
            assert a.recv().text == "x" * n
        h.still_there(a)
    a.close()
    assert h.r.wait_log("hub-close")["malformed"] == "5"
    assert len(h.r.log("backend-malformed")) == 1


def test_too_long_in_fragments(hub):
    h = hub("ws", "max_backend_message = 1000", "queue_limit = 1M")
    a = h.joined()
    h.trunk.send(TEXT, f"> {a.id} " + "x" * 900, fin=False)
    for _ in range(50):
        h.trunk.send(CONT, "x" * 900, fin=False)
    h.trunk.send(PING, b"in between")
    assert h.trunk.frame().opcode == PONG
    h.trunk.send(CONT, "> * x")
    h.still_there(a)


@pytest.mark.parametrize("kind", ["len32", "line"])
def test_too_long_byte_for_byte(hub, kind):
    h = hub(kind, "max_backend_message = 125", "queue_limit = 1M")
    a = h.joined()
    data = h.raw(b"> * " + b"x" * 200) + h.raw(f"> {a.id} fine".encode())
    for i in range(len(data)):
        h.trunk.write(data[i:i + 1])
    assert a.recv().text == "fine"


@pytest.mark.parametrize("how", ["length", "opcode"])
def test_what_is_no_message_ends_the_hub(hub, how):
    h = hub("len32")
    a = h.joined()
    h.trunk.write(struct.pack(">I", 0) if how == "length" else
                  struct.pack(">IB", 5, 7) + b"> * ")
    a.closed(1011, "backend-protocol")


# --- cuts -------------------------------------------------------------------------

@pytest.mark.parametrize("kind", ["len32", "line"])
def test_split_at_every_byte(hub, kind):
    h = hub(kind)
    a, b = h.joined(), h.joined()
    data = b"".join(h.raw(x.encode()) for x in (
        f"> {a.id} one", "> * two", f"> {b.id} three", f"> {a.id} ",
        "malformed", f"> {b.id} four"))
    for cut in range(1, len(data)):
        h.trunk.write(data[:cut])
        # A turn of its own for the first part: an answer has come back.
        a.send(TEXT, "ping")
        assert h.heard() == (">", a.id, "ping")
        h.trunk.write(data[cut:])
        assert [a.recv().text for _ in range(3)] == ["one", "two", ""]
        assert [b.recv().text for _ in range(3)] == ["two", "three", "four"]


def test_fragments_at_every_byte(hub):
    """A message's fragments mean nothing, its prefix's neither."""
    h = hub("ws")
    a, b = h.joined(), h.joined()
    text = f"> {a.id} hello".encode()
    for cut in range(len(text) + 1):
        h.trunk.send(TEXT, text[:cut], fin=False)
        h.trunk.send(CONT, text[cut:])
        assert a.recv().text == "hello"
    for n, byte in enumerate(text):
        h.trunk.send(TEXT if n == 0 else CONT, bytes([byte]), fin=False)
    h.trunk.send(CONT, b"")
    assert a.recv().text == "hello"
    h.still_there(a, b)


def test_clients_fragments_are_one_message(hub):
    h = hub("line")
    a, b = h.joined(), h.joined()
    a.send(TEXT, "be", fin=False)
    b.send(TEXT, "whole")
    assert h.heard() == (">", b.id, "whole")
    a.send(CONT, "fore")
    assert h.heard() == (">", a.id, "before")
    a.send(TEXT, "never", fin=False)
    a.close()
    h.left(a, "client-gone")


# --- who drives -------------------------------------------------------------------

def driver(h, sub, perm="rw"):
    return h.join(token=mint("/t/1", sub=sub, perm=perm))


@KINDS
def test_who_drives(hub, kind):
    h = hub(kind, "input = driver", auth="token")
    viewer = driver(h, "v", "r")
    assert h.heard()[:2] == ("+", viewer.id)
    one = driver(h, "one")
    assert [h.heard()[:2] for _ in range(2)] == [("+", one.id), ("=", one.id)]
    two = driver(h, "two")
    assert h.heard()[:2] == ("+", two.id)
    two.send(TEXT, "denied")
    two.synced()
    h.r.wait_log("denied-input", id=two.id)
    one.send(TEXT, "drives")
    assert h.heard() == (">", one.id, "drives")
    again = driver(h, "one")  # her Wi-Fi broke
    assert [h.heard()[:2] for _ in range(2)] == \
        [("+", again.id), ("=", again.id)]
    one.close()
    h.left(one, "client-gone")
    again.send(TEXT, "on")
    assert h.heard() == (">", again.id, "on")
    again.close()
    h.left(again, "client-gone")
    assert h.heard() == ("=", two.id, None)
    two.close()
    h.left(two, "client-gone")
    assert h.heard() == ("=", "-", None)
    three = driver(h, "three", "w")
    assert [h.heard()[:2] for _ in range(2)] == \
        [("+", three.id), ("=", three.id)]


def test_nobody_drives_where_all_may(hub):
    h = hub("line")
    a = h.joined()
    a.send(TEXT, "x")
    assert h.heard() == (">", a.id, "x")


def test_denied_input_closes(hub):
    h = hub("line", "input = driver", "denied_input = close", auth="token")
    one = driver(h, "one")
    two = driver(h, "two")
    assert [h.heard()[0] for _ in range(3)] == ["+", "=", "+"]
    two.send(TEXT, "x")
    two.closed(1008, "read-only")
    h.left(two, "read-only")
    one.send(TEXT, "x")
    assert h.heard() == (">", one.id, "x")


# --- while the trunk opens --------------------------------------------------------------

def test_the_first_client_opens_it(hub):
    h = hub("ws", "replay = 2")
    a = Client(h.r, "/t/1", wait=False)
    h.trunk = h.server.accept_ws()
    h.trunk.accept()
    a.upgraded()
    assert h.heard()[:2] == ("+", a.id)


def test_clients_that_come_and_go_while_it_opens(hub):
    h = hub("ws", "input = driver", auth="token")
    waiting = []
    for n in range(6):
        waiting.append(Client(h.r, "/t/1", wait=False, token=mint(
            "/t/1", sub=f"s{n}", perm="r" if n < 2 else "rw")))
        if n == 0:
            h.trunk = h.server.accept_ws()
    for n in 1, 3:
        waiting[n].close()
    h.trunk.accept()
    stay = [c for n, c in enumerate(waiting) if n not in (1, 3)]
    for c in stay:
        c.upgraded()
    told, drives = {}, None
    while set(told) != {c.id for c in stay} or drives not in told:
        verb, ident, rest = h.heard()
        if verb == "+":
            told[ident] = json.loads(rest)["sub"]
        elif verb == "-":  # it was let in before its end was seen
            assert told.pop(ident) in ("s1", "s3")
        else:
            drives = ident
            assert drives == "-" or drives in told
    assert sorted(told.values()) == ["s0", "s2", "s4", "s5"]
    h.still_there(*stay)


def test_all_leave_before_it_is_open(hub):
    h = hub("ws")
    a = Client(h.r, "/t/1", wait=False)
    trunk = h.server.accept_ws()
    a.reset()  # one that only ends its side waits for its 101
    h.r.wait_log("hub-close", reason="linger")
    assert trunk.rest() == b""
    h.joined()


def test_trunk_that_does_not_open(hub):
    h = hub("ws")
    a = Client(h.r, "/t/1", wait=False)
    h.server.accept_ws().refuse("503 Busy")
    assert a.answer() == 502


def test_a_message_right_behind_the_request(hub):
    """It is there before the client is; it still comes behind its +."""
    h = hub("line")
    keep = h.joined()
    for i in range(20):
        c = Client(h.r, "/t/1", wait=False)
        c.send(TEXT, f"early {i}")
        c.upgraded()
        assert h.heard()[:2] == ("+", c.id)
        assert h.heard() == (">", c.id, f"early {i}")
        c.close()
        h.left(c, "client-gone")
    h.still_there(keep)


def test_subprotocol_that_the_hub_does_not_speak(hub):
    """Told of and gone again: it never was in."""
    h = hub("ws", "subprotocols = v2 v1")
    a = Client(h.r, "/t/1", wait=False, protocols="v1")
    h.trunk = h.server.accept_ws()
    h.trunk.accept("Sec-WebSocket-Protocol: v1")
    a.upgraded()
    assert h.heard()[:2] == ("+", a.id)
    b = Client(h.r, "/t/1", wait=False, protocols="v2")
    assert b.answer() == 502
    verb, ident, _ = h.heard()
    assert verb == "+"
    assert h.heard() == ("-", ident, '{"reason":"backend-handshake"}')
    h.still_there(a)


# --- pressure ---------------------------------------------------------------------------

def test_backend_that_does_not_read(hub):
    """Who comes and goes meanwhile leaves no trace, who stays is told of."""
    h = hub("line", "queue_limit = 64K", "max_message = 64K",
            "input = driver", auth="token", rcvbuf=4096)
    one = driver(h, "one")
    assert [h.heard()[0] for _ in range(2)] == ["+", "="]
    known = [driver(h, f"k{n}", "r") for n in range(3)]
    assert [h.heard()[0] for _ in range(3)] == ["+"] * 3
    text = "x" * 50000
    total = 400

    def push():
        for i in range(total):
            one.send(TEXT, f"{i} {text}")
    job = Background(push)
    wait_for(lambda: stuck(h), "a full trunk")
    before = h.r.memory()
    passing = []
    for i in range(300):
        c = driver(h, f"p{i}" * 20, "r")
        passing.append(c.id)
        c.close()
    h.r.wait_log("close", count=300)
    for c in known[:2]:
        c.close()
    late = [driver(h, f"l{n}") for n in range(3)]
    h.r.wait_log("close", id=known[1].id)
    assert h.r.memory() < before + (32 << 20)
    events, numbers = [], []
    while len(numbers) < total or len(events) < 5:
        verb, ident, rest = h.heard()
        if verb == ">":
            assert ident == one.id
            numbers.append(int(rest.split()[0]))
        else:
            events.append((verb, ident))
            assert ident not in passing
    job.done()
    assert numbers == list(range(total))
    assert sorted(events) == sorted([("-", c.id) for c in known[:2]] +
                                    [("+", c.id) for c in late])
    one.close()
    h.left(one, "client-gone")
    assert h.heard() == ("=", late[0].id, None)
    h.still_there(known[2], *late)


def stuck(h):
    """Whether the relay can't get rid of anything: its reading stands, and
    all of its threads wait. (A thread that has no processor does not.)"""
    before = cpu_seconds(h.r.pid)
    for _ in range(10):
        if not asleep(h.r.pid):
            return False
        time.sleep(0.02)
    return cpu_seconds(h.r.pid) - before < 0.02


def test_slow_latest(hub):
    """A client's queue makes no difference between * and its id."""
    h = hub("len32", "slow = latest", "queue_limit = 256K")
    live, lazy, other = h.joined(), h.joined(rcvbuf=4096), h.joined(
        rcvbuf=4096)
    fill(h, live)
    h.say("> * to all")
    h.say(f"> {lazy.id} own")
    h.say(f"> {live.id} own")
    assert [live.recv().text for _ in range(2)] == ["to all", "own"]
    live.synced()
    assert last_text(lazy) == ["own"]
    assert last_text(other) == ["to all"]
    fill(h, live)
    h.say(f"> {lazy.id} own")
    h.say("> * to all")
    assert live.recv().text == "to all"
    live.synced()
    assert last_text(lazy) == ["to all"]


def fill(h, live, n=200):
    picture = b"p" * 50000
    for _ in range(n):
        h.say(b"> * " + picture, BINARY)
        assert live.recv().payload == picture


def last_text(c):
    """The texts behind the pictures: of latest there is one."""
    got = []
    while not got:
        f = c.recv()
        if f.opcode == TEXT:
            got.append(f.text)
    return got + [f.text for f in c.synced() if f.opcode == TEXT]


def test_slow_drop_old(hub):
    h = hub("len32", "slow = drop-old", "queue_limit = 256K")
    live, lazy = h.joined(), h.joined(rcvbuf=4096)
    for i in range(200):
        h.say(f"> {lazy.id} {i}".encode().ljust(50000), BINARY)
    h.say("> * end")
    assert live.recv().text == "end"
    got = []
    while (f := lazy.recv()).opcode == BINARY:
        got.append(int(f.payload))
    assert f.text == "end" and got == sorted(got) and len(got) < 200
    assert got[-3:] == [197, 198, 199]
    lazy.close()
    assert int(h.r.wait_log("close", id=lazy.id)["messages_dropped"]) == \
        200 - len(got)
    live.close()
    assert h.r.wait_log("close", id=live.id)["messages_dropped"] == "0"


def test_slow_close(hub):
    h = hub("len32", "queue_limit = 256K", "close_timeout = 500ms")
    live, lazy = h.joined(), h.joined(rcvbuf=4096)
    for i in range(300):
        h.say(f"> {lazy.id} {i}".encode().ljust(50000), BINARY)
    h.left(lazy, "slow")
    assert h.r.wait_log("close", id=lazy.id)["code"] == "1013"
    h.still_there(live)


# --- ends ------------------------------------------------------------------------------

def test_backend_ends(hub):
    h = hub("line")
    a, b = h.joined(), h.joined()
    h.say(f"> {a.id} bye a")
    h.say("> * bye")
    h.trunk.close()
    assert [a.recv().text for _ in range(2)] == ["bye a", "bye"]
    assert b.recv().text == "bye"
    a.closed(1000)
    b.closed(1000)
    h.trunk = None
    h.joined()


def test_stopping(hub):
    h = hub("line")
    members = [h.joined() for _ in range(5)]
    # When the first has it, the relay has read what was for the others.
    for c in reversed(members):
        h.say(f"> {c.id} last")
    assert members[0].recv().text == "last"
    h.still_there(members[0])
    h.r.kill(signal.SIGTERM)
    for c in members[1:]:
        assert c.recv().text == "last"
    for c in members:
        c.closed(1001)
    told = set()
    with contextlib.suppress(EOFError):
        while True:
            verb, ident, rest = h.heard()
            assert verb == "-" and rest == '{"reason":"shutdown"}'
            told.add(ident)
    assert told <= {c.id for c in members}
    h.trunk.close()
    h.r.stop()


# --- many -------------------------------------------------------------------------------

@KINDS
def test_echo_for_many(hub, kind):
    """A multiplexed link: each gets its own answers, in order."""
    h = hub(kind)
    members = [h.joined() for _ in range(150)]
    rounds = 20

    def serve():
        for _ in range(rounds * len(members)):
            verb, ident, rest = h.heard()
            assert verb == ">"
            h.say(f"> {ident} {rest}")
    job = Background(serve)
    for i in range(rounds):
        for n, c in enumerate(members):
            c.send(TEXT, f"{n} {i}")
        if i % 5 == 4:
            for n, c in enumerate(members):
                assert [c.recv().text for _ in range(5)] == \
                    [f"{n} {j}" for j in range(i - 4, i + 1)]
    job.done()


# --- the examples of wsrelayd-tagged(7) --------------------------------------------------

def example(name):
    """As the page shows it."""
    page = (ROOT / "man/wsrelayd-tagged.7").read_text()
    blocks = re.findall(r"^\.Bd -literal -offset 4n\n(.*?)^\.Ed$", page,
                        re.M | re.S)
    text = blocks[name == "tagged.c"]
    return re.sub(r"^\\&", "", text, flags=re.M).replace("\\e", "\\")


def example_command(tmp_path, name):
    file = tmp_path / name
    file.write_text(example(name))
    if name == "tagged.py":
        return f"/usr/bin/python3 {file}"
    subprocess.run(["cc", "-std=c11", "-D_POSIX_C_SOURCE=200809L", "-Wall",
                    "-Wextra", "-Werror", "-O2", "-o", tmp_path / "tagged",
                    file], check=True)
    return str(tmp_path / "tagged")


def served(command, s):
    """The same program behind a socket, as inetd would run it."""
    sock = s.sock.accept()[0]
    sock.settimeout(None)
    job = subprocess.Popen(command.split(), stdin=sock, stdout=sock)
    sock.close()
    return job


@pytest.mark.parametrize("kind", ["exec", "tcp"])
def test_example_chat(relay, tmp_path, workers, kind):
    command = example_command(tmp_path, "tagged.py")
    with Server(tls=False) as s:
        r = relay(ini(f"exec:{command}", auth="token") if kind == "exec" else
                  ini(s.uri, "framing = line", auth="token"),
                  server=f"workers = {workers}")
        ada = Client(r, "/t/1", wait=False, token=mint("/t/1", sub="Ada"))
        job = served(command, s) if kind == "tcp" else None
        ada.upgraded()
        assert [ada.recv().text for _ in range(2)] == \
            ["welcome, Ada", "Ada is here"]
        bob = Client(r, "/t/1", token=mint("/t/1", sub="Bøb"))
        assert bob.recv().text == "welcome, Bøb"
        for c in ada, bob:
            assert c.recv().text == "Bøb is here"
        bob.send(TEXT, "/name Eve")
        ada.send(TEXT, "hello > * x")
        ada.send(TEXT, "/who")
        got = [ada.recv().text for _ in range(3)]
        assert sorted(got[:2]) == ["Ada: hello > * x", "Bøb is now Eve"] or \
            got[2].endswith("Eve")
        bob.send(TEXT, "/bye")
        while (f := bob.recv()).opcode == TEXT:
            pass
        assert (f.code, f.reason) == (1000, "goodbye, Eve")
        bob.send_close(1000)
        assert ada.recv().text == "Eve has left"
        ada.close()
        r.wait_log("hub-close", reason="linger")
        assert not r.log("backend-malformed")
        if job:
            assert job.wait(20) == 0


@pytest.mark.parametrize("kind", ["exec", "tcp"])
def test_example_counters(relay, tmp_path, workers, kind):
    command = example_command(tmp_path, "tagged.c")
    with Server(tls=False) as s:
        r = relay(ini(f"exec:{command}") if kind == "exec" else
                  ini(s.uri, "framing = line"),
                  server=f"workers = {workers}")
        members = [Client(r, "/t/1", wait=False)]
        job = served(command, s) if kind == "tcp" else None
        members[0].upgraded()
        members += [Client(r, "/t/1") for _ in range(4)]
        for c in members:
            assert c.recv().text == "0"
        total = 0
        for i in range(3):
            for n, c in enumerate(members):
                c.send(TEXT, str(n))
                total += n
                assert c.recv().text == str(n * (i + 1))
                for other in members:
                    assert other.recv().text == f"total {total}"
        members[0].send(TEXT, "many")
        assert "please" in members[0].recv().text
        members[3].send(TEXT, "bye")
        assert members[3].closed(1000).reason == "your sum is 9"
        for c in members:
            c.close()
        r.wait_log("hub-close", reason="linger")
        assert not r.log("backend-malformed")
        if job:
            assert job.wait(20) == 0


def syscw(pid):
    """Calls of write and its like; what goes to a socket does not count."""
    with open(f"/proc/{pid}/io") as f:
        return int(re.search(r"syscw: (\d+)", f.read()).group(1))


def test_what_comes_together_leaves_together(hub):
    """50 clients' messages in two turns at most are no 50 writes."""
    h = hub("exec")
    members = [h.joined() for _ in range(50)]
    for c in members:
        c.send(TEXT, "warm")
        assert h.heard() == (">", c.id, "warm")
    h.r.kill(signal.SIGSTOP)
    before = syscw(h.r.pid)
    for c in members:
        c.send(TEXT, "together")
    h.r.kill(signal.SIGCONT)
    got = {h.heard()[1:] for _ in members}
    assert got == {(c.id, "together") for c in members}
    assert syscw(h.r.pid) - before < 25


def test_a_trunk_that_is_always_there(relay, workers):
    with Server() as s:
        r = relay(ini(s.uri, "framing = line", "trunk = always").replace(
            "/t/{id}", "/t"), server=f"workers = {workers}")
        for _ in range(2):
            trunk = s.accept()
            a = Client(r, "/t")
            assert trunk.until().startswith(f"+ {a.id} ".encode())
            b = Client(r, "/t")
            assert trunk.until().startswith(f"+ {b.id} ".encode())
            a.send(TEXT, "x")
            assert trunk.until() == f"> {a.id} x\n".encode()
            b.close()
            assert trunk.until().startswith(f"- {b.id} ".encode())
            trunk.reset()
            a.closed(1011)


# --- start-up -----------------------------------------------------------------------------

@pytest.mark.parametrize("lines, where, what", [
    ("backend = tcp://127.0.0.1:7\nframing = line", "addressing",
     "is tagged, expected none, or mode = hub"),
    ("backend = room:\nmode = hub", "addressing",
     "is tagged, expected none for room: backends"),
    ("backend = echo:\nmode = hub", "addressing",
     "is tagged, expected none for echo: backends"),
    ("backend = tcp://127.0.0.1:7\nframing = raw\nmode = hub", "framing",
     "is raw, expected line or len32"),
])
def test_start_up_errors(workers, tmp_path, lines, where, what):
    file = tmp_path / "a.ini"
    file.write_text("[listen l]\naddress = 127.0.0.1:0\n[route t]\n"
                    f"path = /t\nauth = none\naddressing = tagged\n{lines}\n")
    found = subprocess.run([WSRELAYD, "-t", "-c", file],
                           capture_output=True, text=True)
    assert found.returncode != 0
    assert re.search(rf"a\.ini:\d+: \[route t\] {where}: {what}",
                     found.stderr), found.stderr
