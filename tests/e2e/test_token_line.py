"""Tokens that cost a verification stand in a line: one in a turn of the loop,
so that messages go on, and good tokens get past a flood of wrong ones."""
import contextlib
import signal
import socket
import struct

import pytest

from peers import TEXT, Client
from rawhttp import Peer, ask, head, upgrade
from relay import KEY, mint, wait_for
from signers import Signer

pytestmark = pytest.mark.plain("a daemon that is stopped has no handshakes")

ROUTE = """
[route sim]
path = /sim/{id}
backend = echo:
[route open]
path = /open
backend = echo:
auth = none
[page all]
path = /
root = {dir}
auth = token
keys = ec lab
[key ec]
algorithm = ES256
public_key_file = {dir}/ec.pem
""" + KEY
MANY = 60


@pytest.fixture
def who():
    return Signer("ES256")


@pytest.fixture
def started(relay, tmp_path, who):
    (tmp_path / "ec.pem").write_text(who.pem)

    def start(ini=ROUTE, **options):
        return relay(ini.replace("{dir}/ec.pem", f"{tmp_path}/ec.pem"),
                     **options)
    return start


@contextlib.contextmanager
def stopped(r):
    """Everything that is sent meanwhile is there at once."""
    r.kill(signal.SIGSTOP)

    def state():
        with open(f"/proc/{r.pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "T"
    wait_for(state, "the daemon to stop")
    try:
        yield
    finally:
        r.kill(signal.SIGCONT)


def events(r, *names):
    return [x for x in r.log() if x["event"] in names]


def flood(stack, r, tokens, path="/sim/1", source=None):
    peers = []
    for token in tokens:
        p = stack.enter_context(Peer(r, source=source))
        p.send(upgrade(f"{path}?token={token}"))
        peers.append(p)
    return peers


def test_messages_go_first(started, who):
    """What comes behind many tokens on a connection that is there already
    (its end can be seen in the log) waits for hardly one."""
    r = started(server="workers = 1")
    requests = [upgrade("/sim/1?token=" + who.token(kid="ec"))
                for _ in range(MANY)]
    c = Client(r, "/open")
    before = r.descriptors()
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Peer(r)) for _ in requests]
        for p, data in zip(peers, requests):
            p.send(data[:-1])
        wait_for(lambda: r.descriptors() == before + MANY, "all of them")
        with stopped(r):
            for p in peers:
                p.send(b"\n")
            c.reset()
        r.wait_log("close", id=c.id)
        for p in peers:
            assert p.answer().status == 101
    r.wait_log("signature", count=MANY)
    order = [x["event"] for x in events(r, "signature", "close")]
    # Each turn of the loop verifies one, and takes many sockets.
    assert order.index("close") <= 6, order


def test_everybody_gets_in(started, who):
    """In their order, with what they sent behind the request; remembered
    tokens, and those with a secret, do not wait for the others."""
    r = started(server="workers = 1")
    known = who.token(kid="ec")
    assert ask(r, upgrade("/sim/1?token=" + known)).echo
    tokens = [who.token(kid="ec", sub=str(i)) for i in range(MANY)]
    with contextlib.ExitStack() as stack:
        with stopped(r):
            peers = []
            for i, token in enumerate(tokens):
                c = Client(r, "/sim/1", wait=False, token=token)
                stack.enter_context(c)
                c.send(TEXT, f"early {i}")
                peers.append(c)
            cheap = flood(stack, r, [known, mint("/sim/1"), "x.y.z"])
        for i, c in enumerate(peers):
            c.upgraded()
            assert c.recv().text == f"early {i}"
        assert [p.answer().status for p in cheap] == [101, 101, 401]
    r.wait_log("open", count=MANY + 3)
    opened = [x.get("subject") for x in r.log("open")][1:]
    assert [x for x in opened if x] == [str(i) for i in range(MANY)]
    assert opened.index(None) < 20


@pytest.mark.parametrize("workers", [1, 2])
def test_one_token_for_all(started, who, workers):
    """Verified once, or once for each worker, however many bring it."""
    r = started(server=f"workers = {workers}")
    token = who.token(kid="ec")
    with contextlib.ExitStack() as stack:
        with stopped(r):
            peers = flood(stack, r, [token] * MANY)
        assert {p.answer().status for p in peers} == {101}
    r.wait_log("signature", count=MANY)
    r.wait_log("open", count=MANY)
    assert 1 <= len(r.log("signature", remembered="no")) <= workers


def test_pages_wait_too(started, who):
    r = started(server="workers = 1")
    (r.dir / "a.txt").write_text("text")
    with contextlib.ExitStack() as stack:
        with stopped(r):
            peers = []
            for _ in range(20):
                p = stack.enter_context(Peer(r))
                p.send(head("/a.txt?token=" + who.token("/*", kid="ec")) +
                       head("/healthz", Connection="close"))
                peers.append(p)
        for p in peers:
            assert p.answer().body == b"text"
            assert p.answer().body == b"ok\n"
            assert p.at_end()


def test_who_leaves(started, who):
    """While it waits: nothing is left behind, nobody else is kept."""
    r = started(server="workers = 1")
    with contextlib.ExitStack() as stack:
        with stopped(r):
            peers = flood(stack, r, [who.token(kid="ec", sub=str(i))
                                     for i in range(MANY)])
            for p in peers[::2]:
                p.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                    struct.pack("ii", 1, 0))
                p.file.close()
                p.socket.close()
        for p in peers[1::2]:
            assert p.answer().status == 101
    r.wait_log("refuse", reason="client-reset")
    r.wait_log("open", count=MANY // 2)
    assert ask(r, upgrade("/open")).echo


def test_who_has_no_more_to_say(started, who):
    """A half-closed client in the line gets its answer, too."""
    r = started(server="workers = 1")
    with contextlib.ExitStack() as stack:
        with stopped(r):
            peers = flood(stack, r, [who.token(kid="ec", sub=str(i))
                                     for i in range(MANY)])
            for p in peers:
                p.socket.shutdown(socket.SHUT_WR)
        for p in peers:
            assert p.answer().status == 101
            assert p.at_end()
    r.wait_log("close", count=MANY, reason="client-gone")


def test_the_relay_stops(started, who):
    """Whoever waits is told."""
    r = started(server="workers = 1")
    with contextlib.ExitStack() as stack:
        with stopped(r):
            peers = flood(stack, r, [who.token(kid="ec")
                                     for _ in range(MANY)])
            r.kill(signal.SIGTERM)
        told = []
        for p in peers:
            with contextlib.suppress(ConnectionResetError):
                answer = p.answer()
                told.append(answer.status if answer else None)
        assert set(told) <= {101, 503, None}
    r.stop()


def test_good_ones_pass_a_flood(started, who):
    """Tokens of an address that has sent wrong ones come after those of
    others; a good one among them gets in as well."""
    stranger = Signer("ES256")
    r = started(listen="auth_failures = 1/h", server="workers = 1")
    for _ in range(2):
        ask(r, upgrade("/sim/1?token=" + stranger.token(kid="ec")))
    r.wait_log("refuse", reason="limit-failures")
    with contextlib.ExitStack() as stack:
        with stopped(r):
            bad = flood(stack, r, [stranger.token(kid="ec")
                                   for _ in range(MANY // 2)])
            among = flood(stack, r, [who.token(kid="ec", sub="neighbour")])
            more = flood(stack, r, [stranger.token(kid="ec")
                                    for _ in range(MANY // 2)])
            others = flood(stack, r, [who.token(kid="ec", sub="other")
                                      for _ in range(5)], source="127.0.0.2")
        for p in others + among:
            assert p.answer().status == 101
        for p in bad + more:
            assert p.answer().status == 429
    r.wait_log("open", subject="neighbour")
    lines = events(r, "open", "refuse")[2:]
    assert [x.get("subject") for x in lines if x["event"] == "open"] == \
        ["other"] * 5 + ["neighbour"]
    # The first turns cannot know yet who else is there.
    last = max(i for i, x in enumerate(lines) if x.get("subject") == "other")
    assert last < 20, lines
