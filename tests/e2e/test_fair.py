"""Whatever one peer does, the others of its worker are served, and memory is
bounded: see floods.py. These fail where a turn of the loop has no shares, or
where payload is counted and memory is spent per item."""
import contextlib
import itertools
import os
import ssl

import pytest

from floods import LEAST, MB, Fair, Flood, ask, pump, repeated
from peers import (BINARY, CONT, PING, TEXT, Client, Server, frame, ws_pair)
from rawhttp import head, upgrade
from relay import KEY, RUNNER, b64, mint
from signers import Signer

pytestmark = [
    pytest.mark.alone("compares times"),
    pytest.mark.plain("the clients' own TLS would be the flood"),
    pytest.mark.skipif(bool(RUNNER), reason="valgrind is its own flood")]

SMALL = repeated(frame(TEXT, "x"))
EMPTY = repeated(frame(TEXT))
PINGS = repeated(frame(PING))
SAID = {"ws": repeated(frame(TEXT, "x", mask=None)), "line": repeated(b"x\n")}
# What is taken of somebody who does not end: some MiB, and what lies in the
# buffers of two kernels.
UNENDING = 64 * MB


def route(name, backend, *more, auth="none"):
    return "\n".join([f"[route {name}]", f"path = /{name}",
                      f"backend = {backend}", f"auth = {auth}", *more, ""])


def room(*more):
    return route("room", "room:", "mode = hub", *more)


@pytest.fixture
def fair(relay, tmp_path):
    started = []

    def start(ini, **options):
        f = Fair(relay, tmp_path, ini, **options)
        started.append(f)
        return f
    yield start
    for f in started:
        f.close()


def clients(f, path, n, **options):
    return [Client(f.r, path, **options) for _ in range(n)]


def sockets(wires):
    return [w.sock for w in wires]


def writers(wires, data):
    return {w.sock: data for w in wires}


# --- mail ----------------------------------------------------------------------

@pytest.mark.parametrize("data", [SMALL, EMPTY], ids=["small", "empty"])
def test_mail(fair, data):
    """The home of a room, fed from another worker."""
    f = fair(room(), workers=2)
    home, away = clients(f, "/room", 2)
    assert f.flood(pump, {away.sock: data}, [home.sock, away.sock],
                   connections=2).sent > LEAST


# --- input ---------------------------------------------------------------------

def test_input_of_an_echo(fair):
    f = fair("")
    c = Client(f.r, "/echo")
    assert f.flood(pump, {c.sock: SMALL}, [c.sock]).sent > LEAST


def test_input_of_a_hub(fair):
    with Server() as s:
        f = fair(route("hub", s.uri, "framing = line", "mode = hub"))
        c = Client(f.r, "/hub", wait=False)
        backend = s.accept()
        c.upgraded()
        assert f.flood(pump, {c.sock: SMALL}, [backend.sock],
                       connections=2).sent > LEAST


@pytest.mark.parametrize("n", [40, 400])
def test_input_of_a_room(fair, n):
    f = fair(room())
    members = clients(f, "/room", n)
    assert f.flood(pump, {members[0].sock: SMALL}, sockets(members),
                   connections=n).sent > LEAST


def test_input_of_many_rooms(fair):
    f = fair(route("room", "room:", "mode = hub").replace(
        "path = /room", "path = /room/{id}"))
    rooms = [clients(f, f"/room/{i}", 10) for i in range(40)]
    everybody = sockets(itertools.chain(*rooms))
    assert f.flood(pump, {r[0].sock: SMALL for r in rooms}, everybody,
                   connections=400).sent > LEAST


# --- pings, fragments ------------------------------------------------------------

@pytest.mark.parametrize("n", [1, 20, 300])
def test_pings(fair, n):
    """Of clients that may only read."""
    f = fair(KEY + route("r", "echo:", auth="token"))
    many = [Client(f.r, "/r", token=mint("/r", perm="r")) for _ in range(n)]
    assert f.flood(pump, writers(many, PINGS), sockets(many),
                   connections=n).sent > LEAST


@pytest.mark.parametrize("n,rate", [(1, ""), (20, ""),
                                    (20, "message_rate = 10")])
def test_fragments(fair, n, rate):
    """Endless, without payload."""
    f = fair(route("r", "echo:", rate))
    many = clients(f, "/r", n)
    for c in many:
        c.send(TEXT, fin=False)
    assert f.flood(pump, writers(many, repeated(frame(CONT, fin=False))),
                   sockets(many), connections=n).sent > LEAST


# --- empty messages --------------------------------------------------------------

@pytest.mark.parametrize("workers", [1, 2])
def test_empty_messages_in_a_room(fair, workers):
    f = fair(room(), workers=workers)
    members = clients(f, "/room", 2)
    assert f.flood(pump, writers(members[1:], EMPTY),
                   connections=2).sent > LEAST


def test_empty_messages_that_are_held(fair):
    """For a backend that is not there."""
    with Server() as s:
        f = fair(route("hub", s.uri, "framing = line", "mode = hub",
                       "on_backend_loss = hold", "queue_limit = 1G"))
        c = Client(f.r, "/hub", wait=False)
        backend = s.accept()
        c.upgraded()
    backend.close()
    f.r.wait_log("hub-lost")
    assert f.flood(pump, {c.sock: EMPTY}, connections=2).sent > LEAST


@pytest.mark.parametrize("slow", ["close", "drop-old"])
def test_empty_messages_for_viewers_that_do_not_read(fair, slow):
    f = fair(room(f"slow = {slow}", "queue_limit = 1G"))
    speaker = Client(f.r, "/room")
    viewers = clients(f, "/room", 40, rcvbuf=4096)
    assert f.flood(pump, {speaker.sock: EMPTY},
                   connections=len(viewers)).sent > LEAST


def test_backlogs_that_leave(fair):
    """All at once, when their viewers begin to read."""
    f = fair(room("slow = drop-old", "queue_limit = 1G"), memory="256M")
    speaker = Client(f.r, "/room")
    viewers = clients(f, "/room", 10, rcvbuf=4096)
    Flood(pump, {speaker.sock: SMALL}, [], 1.6).done()
    assert f.flood(pump, {}, sockets(viewers), connections=11).received > LEAST


def test_mixed_policies(fair):
    """What gives way is found without looking at all that does not."""
    f = fair(room("slow_text = latest", "slow_binary = drop-old"))
    speaker, _ = Client(f.r, "/room"), Client(f.r, "/room", rcvbuf=4096)
    data = repeated(frame(BINARY, "x")) + \
        repeated(frame(TEXT, "x") + frame(BINARY, "x"))
    assert f.flood(pump, {speaker.sock: data}, connections=2).sent > LEAST


def test_held_messages_that_leave(fair):
    """All at once, to a backend that is there again."""
    with Server() as s:
        port = s.port
        f = fair(route("hub", s.uri, "framing = line", "mode = hub",
                       "on_backend_loss = hold", "queue_limit = 32M"),
                 memory="64M")
        c = Client(f.r, "/hub", wait=False)
        backend = s.accept()
        c.upgraded()
    backend.close()
    f.r.wait_log("hub-lost")
    Flood(pump, {c.sock: SMALL}).done()

    def again():
        with Server(port=port) as s:
            return pump({}, [s.accept().sock])
    assert f.flood(again, connections=2).received > LEAST


# --- files -----------------------------------------------------------------------

@pytest.mark.parametrize("n", [1, 4])
def test_files(fair, n):
    f = fair("[page all]\nroot = {dir}\n")
    with (f.r.dir / "large").open("wb") as file:
        file.truncate(256 * MB)
    many = [f.r.socket() for _ in range(n)]
    got = f.flood(pump, dict.fromkeys(many, repeated(head("/large"), 4096)),
                  many, connections=n).received
    for s in many:
        s.close()
    assert got > LEAST


# --- those who come ----------------------------------------------------------------

def test_requests(fair):
    f = fair("")
    request = upgrade("/echo")
    assert f.flood(ask, f.r.port, lambda: request, connections=32) > 0


def test_requests_in_a_row(fair):
    """On one connection, faster than they are answered."""
    f = fair("[page all]\nroot = {dir}\n")
    with f.r.socket() as s:
        assert f.flood(pump, {s: repeated(head("/healthz"))}, [s]).sent > LEAST


def test_requests_of_programs(fair):
    f = fair(route("r", "exec:/bin/cat", "framing = line",
                   "max_processes = 1000"))
    request = upgrade("/r")
    assert f.flood(ask, f.r.port, lambda: request, None, 300,
                   connections=300) > 0


def test_handshakes(fair, certificates):
    f = fair("[listen tls]\naddress = 127.0.0.1:0\ncertificates = main\n" +
             certificates.ini("main", "localhost"))
    port = int(f.r.wait_log("listen", listen="tls")["address"]
               .rsplit(":", 1)[1])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    assert f.flood(ask, port, lambda: head("/"), context, connections=32) > 0


def test_tokens_of_many_keys(fair, tmp_path):
    """Each is tried against four keys, for it names none."""
    ini, names = "", "abcd"
    for name in names:
        (tmp_path / name).write_text(Signer("ES256").pem)
        ini += f"[key {name}]\nalgorithm = ES256\n" \
            f"public_key_file = {tmp_path / name}\n"
    f = fair(ini + route("r", "echo:", f"keys = {' '.join(names)}",
                         auth="token"))
    signed = Signer("ES256").token("/r").rsplit(".", 1)[0]

    def request():
        return upgrade(f"/r?token={signed}.{b64(os.urandom(64))}")
    assert f.flood(ask, f.r.port, request, connections=32) > 0


def test_tokens_of_single_use(fair):
    f = fair(KEY + route("r", "echo:", "single_use = yes", auth="token"))
    number = itertools.count()

    def request():
        return upgrade("/r?token=" + mint("/r", jti=str(next(number))))
    assert f.flood(ask, f.r.port, request, connections=32) > 0


# --- backends ----------------------------------------------------------------------

def opened(fair, s, kind, mode, *more, memory="16M", **options):
    """A daemon, a client and its backend."""
    backend = f"ws://127.0.0.1:{s.port}/" if kind == "ws" else s.uri
    framing = "" if kind == "ws" else f"framing = {kind}"
    f = fair(route("r", backend, framing, f"mode = {mode}", *more),
             memory=memory)
    if kind == "ws":
        return (f, *ws_pair(f.r, s, "/r", **options))
    c = Client(f.r, "/r", wait=False, **options)
    b = s.accept()
    return f, c.upgraded(), b


def until_memory(f, c, writing):
    """Floods until c is closed for memory, on a busy machine more than once.
    Returns how much that was."""
    sent = 0
    for _ in range(8):
        sent += f.flood(pump, writing, [], 1.6, connections=2).sent
        with contextlib.suppress(AssertionError):
            f.r.wait_log("close", reason="memory", id=c.id, patience=2)
            return sent
    raise AssertionError(f"not closed for memory: {sent} bytes")


kinds = pytest.mark.parametrize("kind", ["ws", "line"])
modes = pytest.mark.parametrize("mode", ["pair", "hub"])
some = pytest.mark.parametrize("kind,mode", [("ws", "pair"), ("line", "pair"),
                                             ("line", "hub")])


@modes
@kinds
def test_backend(fair, kind, mode):
    with Server() as s:
        f, c, b = opened(fair, s, kind, mode)
        assert f.flood(pump, {b.sock: SAID[kind]}, [c.sock],
                       connections=2).sent > LEAST


@kinds
def test_backend_of_many(fair, kind):
    with Server() as s:
        f, c, b = opened(fair, s, kind, "hub")
        members = [c, *clients(f, "/r", 399)]
        assert f.flood(pump, {b.sock: SAID[kind]}, sockets(members),
                       connections=401).sent > LEAST


def test_backends_with_long_messages(fair):
    """Which are not finished, when memory is short."""
    with Server() as s:
        f = fair(route("r", s.uri, "framing = line"))
        members, backends = [], []
        for _ in range(20):
            members.append(Client(f.r, "/r", wait=False))
            backends.append(s.accept())
            members[-1].upgraded()
        line = b"x" * (15 * MB) + b"\n"
        assert f.flood(pump, writers(backends, line), sockets(members),
                       connections=40).sent > LEAST


@some
def test_backend_whose_client_has_left(fair, kind, mode):
    with Server() as s:
        f, c, b = opened(fair, s, kind, mode)
        c.close()
        sent = f.flood(pump, {b.sock: SAID[kind]}, connections=2).sent
        assert LEAST < sent and (mode == "hub" or sent < UNENDING)


@some
def test_backend_whose_client_is_closed_for_memory(fair, kind, mode):
    with Server() as s:
        f, c, b = opened(fair, s, kind, mode, "queue_limit = 1G",
                         "close_timeout = 500ms", memory="2M", rcvbuf=4096)
        sent = until_memory(f, c, {b.sock: SAID[kind]})
        assert LEAST < sent and (mode == "hub" or sent < UNENDING)


def test_client_that_is_closed_for_memory(fair):
    f = fair("queue_limit = 1G\n", memory="2M")
    c = Client(f.r, "/echo", rcvbuf=4096)
    sent = until_memory(f, c, {c.sock: SMALL})
    assert LEAST < sent < UNENDING


@modes
def test_backend_that_takes_nothing(fair, tmp_path, mode):
    """A Unix peer that shuts its reading side may go on; its client, that
    does not read, is not flooded."""
    with Server(tmp_path / "backend") as s:
        f, c, b = opened(fair, s, "line", mode, "queue_limit = 64K",
                         "slow = drop-old", memory="1M", rcvbuf=4096)
        b.sock.shutdown(0)
        c.send(TEXT, "lost")
        assert f.flood(pump, {b.sock: SAID["line"]},
                       connections=2).sent > LEAST
