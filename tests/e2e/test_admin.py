"""Listeners with role = admin, /healthz and /readyz."""
import contextlib
import signal

import pytest

from peers import TEXT, Client
from rawhttp import Peer, ask, head, upgrade
from relay import KEY, PATIENCE

ADMIN = """
[listen admin]
address = 127.0.0.1:0
role = admin
"""
ROUTES = """
[route echo]
path = /echo
backend = echo:
auth = none
[page files]
path = /
root = {dir}
""" + KEY


def get(r, path, listen="admin", **fields):
    return ask(r, head(path, **fields), listen)


def test_admin_has_nothing_but_its_own_paths(relay):
    r = relay(ROUTES, listen=ADMIN)
    (r.dir / "page.html").write_text("<p>a page\n")
    assert get(r, "/page.html", "main").status == 200
    for path in "/page.html", "/", "/wsrelay.js", "/echo":
        assert (get(r, path).status, get(r, path).word) == (404, "not-found")
    answer = ask(r, upgrade("/echo"), "admin")
    assert (answer.status, answer.word) == (404, "not-found")
    assert ask(r, upgrade("/echo"), "main").status == 101
    assert get(r, "/metrics", "main").status == 404


def test_admin_hosts_guard_against_rebinding(relay):
    """A name may be anybody's who points it at this machine."""
    r = relay(ROUTES, listen=ADMIN + """
[listen everywhere]
address = 0.0.0.0:0
role = admin
allow = 127.0.0.0/8
[listen named]
address = 127.0.0.1:0
role = admin
hosts = relay.example
[listen local]
address = unix:{dir}/admin.sock
role = admin
""")
    # What is answered is the path's 404; a Host that is none of its own 421.
    for listen, host, status in [
            ("admin", "localhost", 404), ("admin", "127.0.0.1:9", 404),
            ("admin", "evil.example", 421), ("everywhere", "10.0.0.7", 404),
            ("everywhere", "[2001:db8::1]:80", 404),
            ("everywhere", "evil.example", 421),
            ("named", "relay.example", 404), ("named", "localhost", 421),
            ("local", "evil.example", 404)]:
        answer = get(r, "/none", listen, Host=host)
        assert answer.status == status, (listen, host)


def test_admin_allow(relay):
    r = relay(ROUTES, listen="""
[listen admin]
address = 127.0.0.1:0
role = admin
allow = 127.0.0.2
""")
    with Peer(r, "admin", source="127.0.0.2") as p:
        p.send(head("/healthz"))
        assert p.answer().status == 200
    with Peer(r, "admin", source="127.0.0.3") as p:
        assert p.answer() is None
    r.wait_log("refuse", listen="admin", reason="address")


def test_a_full_relay_can_be_looked_at(relay):
    r = relay(ROUTES, listen=ADMIN, server="max_connections = 1")
    with Peer(r) as p:
        p.send(upgrade("/echo"))
        assert p.answer().status == 101
        assert get(r, "/echo", "main").word == "limit-connections"
        assert get(r, "/none").word == "not-found"
        assert get(r, "/readyz").status == 200


@pytest.mark.parametrize("path, body", [("/healthz", b"ok\n"),
                                        ("/readyz", b"ready\n")])
def test_health_on_every_listener(relay, path, body):
    r = relay(ROUTES, listen="hosts = only.example\n" + ADMIN)
    for listen in "main", "admin":
        for host in "only.example", "localhost", "evil.example":
            answer = get(r, path, listen, Host=host)
            assert (answer.status, answer.body) == (200, body)
            assert answer["Cache-Control"] == "no-store"
    answer = ask(r, head(path, "HEAD"), method="HEAD")
    assert (answer.status, answer["Content-Length"]) == (200, str(len(body)))
    assert ask(r, head(path, "POST")).status == 405


# --- the stop ---------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_drain_delay(relay, workers):
    """All goes on, but /readyz says that no further client should come."""
    r = relay(ROUTES, listen=ADMIN,
              server=f"drain_delay = 60s\nworkers = {workers}")
    with Client(r, "/echo") as before:
        r.kill(signal.SIGTERM)
        r.wait_log("stopping")
        for listen in "main", "admin":
            answer = get(r, "/readyz", listen)
            assert (answer.status, answer.body) == (503, b"leaving\n")
            assert get(r, "/healthz", listen).status == 200
        assert b"\nwsrelayd_ready 0\n" in get(r, "/metrics").body
        with Client(r, "/echo") as later:
            for c in before, later:
                c.send(TEXT, "on")
                assert c.recv().text == "on"
    r.kill(signal.SIGTERM)
    r.process.wait(PATIENCE)
    assert r.log("stop-now")
    r.stop()


def test_the_end_of_drain_delay(relay):
    r = relay(ROUTES, server="drain_delay = 200ms")
    with Client(r, "/echo") as c:
        r.kill(signal.SIGTERM)
        assert c.recv().code == 1001
        c.send_close(1001)
    r.stop()


@pytest.mark.parametrize("workers", [1, 2])
def test_all_are_told(relay, workers):
    """In steps, when they are more than a few."""
    r = relay(ROUTES + """
[route room]
path = /room
backend = room:
mode = hub
auth = none
queue_limit = 16M
""", server=f"workers = {workers}\ndrain_timeout = 60s")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(r, path))
                   for path in ["/echo", "/room"] * 75]
        r.kill(signal.SIGTERM)
        r.wait_log("stopping")
        # Those whose turn is last are served until then.
        for c in clients:
            assert c.recv().code == 1001
            c.send_close(1001)
    r.stop()
    assert len(r.log("close", reason="shutdown", side="relay")) == 150
