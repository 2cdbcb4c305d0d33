"""Whose address it is, and what is counted by it."""
import contextlib
import threading
import time

import pytest

from rawhttp import Peer, ask, frame, head, upgrade
from relay import wait_for

ECHO = """
[route echo]
path = /echo
backend = echo:
auth = none
origins = any
"""
WORKERS = pytest.mark.parametrize("workers", [1, 2])


def many(n, ask_one):
    """What n askers at once were told, counted."""
    told = []

    def one(i):
        answer = ask_one(i)
        told.append(answer)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(told) == n
    return {what: told.count(what) for what in set(told)}


# --- handshake_rate --------------------------------------------------------

def status(r, **options):
    """The status of one upgrade; None: closed without an answer."""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError), \
            Peer(r, **options) as p:
        p.send(upgrade("/echo"))
        answer = p.answer()
        if answer:
            return answer.status
    return None


@WORKERS
def test_handshake_rate(relay, workers):
    """So many, over all workers; as many refusals; then nothing is said.
    Neighbours and other listeners are others."""
    r = relay(ECHO, server=f"workers = {workers}", listen="""
handshake_rate = 5/h
[listen other]
address = 127.0.0.1:0
handshake_rate = 5/h
""")
    assert many(20, lambda i: status(r)) == {101: 5, 429: 5, None: 10}
    wait_for(lambda: len(r.log("refuse", reason="limit-rate")) == 15)
    assert len(r.log("refuse", detail="without an answer")) == 10
    assert status(r, source="127.0.0.2") == 101
    assert status(r, listen="other") == 101
    wait_for(lambda: len(r.log("close")) == 7)
    assert status(r) is None   # it is no matter of how many are open


def test_handshake_rate_says_when(relay):
    """Retry-After holds."""
    r = relay(ECHO, listen="handshake_rate = 20/m")
    for _ in range(1000):   # at most one in three seconds more than 20
        answer = ask(r, upgrade("/echo"))
        if answer.status != 101:
            break
    assert (answer.status, answer.word) == (429, "limit-rate")
    wait = int(answer["Retry-After"])
    assert wait in (1, 2, 3)
    time.sleep(wait)
    assert ask(r, upgrade("/echo")).status == 101


def test_handshake_rate_is_told_to_pages(relay):
    r = relay(ECHO, listen="handshake_rate = 2/h")
    assert status(r) == status(r) == 101
    answer = ask(r, upgrade("/echo", Origin="http://localhost"))
    assert answer.close == (1013, "limit-rate: handshake_rate is reached")
    assert 1700 < int(ask(r, upgrade("/echo"))["Retry-After"]) <= 1800


def test_handshake_rate_counts_connections(relay):
    """Not requests; and whatever becomes of them."""
    # One worker: several might take the connections in another order.
    r = relay(ECHO + "[page files]\npath = /\nroot = {dir}\n",
              server="workers = 1", listen="handshake_rate = 3/h")
    (r.dir / "a.txt").write_text("a file\n")
    with Peer(r) as p:
        for _ in range(10):
            p.send(head("/a.txt"))
            assert p.answer().status == 200
        p.send(upgrade("/echo"))
        assert p.answer().status == 101
    assert ask(r, upgrade("/nowhere")).status == 404
    Peer(r).__exit__()      # not a byte
    assert ask(r, head("/a.txt")).status == 429
    assert ask(r, head("/healthz")).status == 200


@WORKERS
def test_handshake_rate_behind_a_proxy(relay, workers):
    """Each of its clients is counted, the proxy is not, nor is a client that
    stays the same on a connection that is kept alive."""
    r = relay(ECHO + "[page files]\npath = /\nroot = {dir}\n",
              server=f"workers = {workers}",
              listen="handshake_rate = 2/h\ntrusted_proxies = 127.0.0.1")
    (r.dir / "a.txt").write_text("a file\n")

    def get(client):
        return ask(r, head("/a.txt", X_Forwarded_For=client)).status
    for _ in range(10):
        assert get(None) == 200
    with Peer(r) as p:
        for client in ("192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.1"):
            p.send(head("/a.txt", X_Forwarded_For=client))
            assert p.answer().status == 200
    assert get("192.0.2.1") == 429
    assert get("7.7.7.7, 192.0.2.1") == 429
    # What else it asks is always answered: the proxy's connection is open.
    assert get("192.0.2.1") == 429
    assert get("192.0.2.2") == 200
    assert get("192.0.2.2") == 429
    # IPv6 by /64; and what is mapped is IPv4.
    assert [get(f"2001:db8::{i}:1") for i in range(3)] == [200, 200, 429]
    assert get("2001:db8:0:1::1") == 200
    assert get("::ffff:192.0.2.1") == 429


def test_unix_peers_have_no_rate_and_no_count(relay):
    r = relay(ECHO, listen="""
[listen local]
address = unix:{dir}/relay.sock
hosts = *
handshake_rate = 1/h
max_connections_per_ip = 1
allow = 192.0.2.0/24
deny = 192.0.2.1
""")
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            p = stack.enter_context(Peer(r, "local"))
            p.send(upgrade("/echo"))
            assert p.answer().status == 101
            p.send(frame(b"in"))
            assert p.message() == (1, b"in")
        wait_for(lambda: len(r.log("open", peer="unix")) == 5)
