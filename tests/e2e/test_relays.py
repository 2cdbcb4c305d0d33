"""Relays of relays: a route whose backend is a route of another relay;
backend_token_file, and the count of hops against loops."""
import contextlib
import signal
import subprocess

import pytest

from peers import CLOSE, TEXT, Client, Server
from relay import BUILD, KEY, ROOT, SECRET, free_port, mint

VIEWERS = 300


def ws_route(port, *more, name="r", path="/r/{id}"):
    return "\n".join([f"[route {name}]", f"path = {path}",
                      f"backend = ws://127.0.0.1:{port}/r/{{id}}", *more, ""])


# --- loops -------------------------------------------------------------------

@pytest.mark.plain("its own listener is the backend")
def test_a_loop_is_found(relay):
    port = free_port()
    r = relay(ws_route(port, "auth = none"),
              listen=f"address = 127.0.0.1:{port}")
    c = Client(r, "/r/1", wait=False)
    assert c.answer() == 508
    assert b"hops" in c.body
    # The client's own, and 8 of the relay's: the ninth is one too many.
    r.wait_log("refuse", reason="backend-status", count=9)
    assert len(r.log("refuse", reason="hops")) == 1
    assert len(r.log("refuse", reason="backend-status")) == 9


@pytest.mark.parametrize("said, status", [
    ("0", 101), ("8", 101), ("9", 508), ("999999999999", 508), ("x", 101)])
def test_hops_of_a_request(relay, said, status):
    r = relay("[route e]\npath = /e\nbackend = echo:\nauth = none\n")
    c = Client(r, "/e", fields=[f"X-Wsrelay-Hops: {said}"], wait=False)
    assert c.answer() == status


@pytest.mark.plain("the backend is the test's")
def test_a_hub_says_whose_hops_they_are(relay):
    s = Server()
    r = relay(ws_route(s.port, "auth = none", "mode = hub"))
    c = Client(r, "/r/1", fields=["X-Wsrelay-Hops: 3"], wait=False)
    request = s.accept().until(b"\r\n\r\n").decode()
    assert "X-Wsrelay-Hops: 4\r\n" in request
    c.close()


# --- the token ---------------------------------------------------------------

def inner(relay, **options):
    return relay(KEY + "[route r]\npath = /r/{id}\nbackend = echo:\n",
                 **options)


def outer(relay, port, *more):
    return relay(ws_route(port, "auth = none",
                          "backend_token_file = {dir}/token", *more))


@pytest.mark.plain("between relays it is wss or ws, as the route says")
def test_the_token_is_read_at_each_opening(relay):
    a = inner(relay)
    b = outer(relay, a.port)
    token = b.dir / "token"
    c = Client(b, "/r/1", wait=False)
    assert c.answer() == 502                # there is none
    assert b.wait_log("refuse", reason="backend-token")
    token.write_text(mint("/r/1", sub="edge") + "\n")
    c = Client(b, "/r/1")
    c.send(TEXT, b"hello")
    assert c.recv().payload == b"hello"
    assert a.wait_log("open", subject="edge")
    token.write_text(mint("/r/2", sub="another"))
    assert Client(b, "/r/1", wait=False).answer() == 401
    assert Client(b, "/r/2").status == 101


@pytest.mark.parametrize("text", ["", "\n", "two words", "a\r\nX-Evil: 1",
                                  "x" * 9000])
@pytest.mark.plain("between relays it is wss or ws, as the route says")
def test_what_is_no_token(relay, text):
    s = Server()
    b = outer(relay, s.port)
    (b.dir / "token").write_text(text)
    c = Client(b, "/r/1", wait=False)
    assert c.answer() == 502
    assert b.wait_log("refuse", reason="backend-token")


@pytest.mark.plain("between relays it is wss or ws, as the route says")
def test_the_clients_own_does_not_pass(relay):
    s = Server()
    b = outer(relay, s.port)
    (b.dir / "token").write_text("good-token")
    c = Client(b, "/r/1", fields=["Authorization: Bearer bad"], wait=False)
    request = s.accept().until(b"\r\n\r\n").decode()
    assert request.count("Authorization") == 1
    assert "Authorization: Bearer good-token\r\n" in request
    c.close()


# --- a tree ------------------------------------------------------------------

@pytest.mark.plain("between relays it is wss or ws, as the route says")
def test_three_levels(relay):
    """The middle one is killed and comes back: those who watch see a gap."""
    held = ("mode = hub", "auth = none", "replay = 1", "queue_limit = 16M",
            "on_backend_loss = hold", "hold_timeout = 10m")
    s = Server()
    core = relay("\n".join([
        "[route r]", "path = /r/{id}", f"backend = tcp://127.0.0.1:{s.port}",
        "framing = line", *held, ""]))
    port = free_port()

    def middle():
        return relay(ws_route(core.port, *held),
                     listen=f"address = 127.0.0.1:{port}")
    mid = middle()
    edges = [relay(ws_route(port, *held)) for _ in range(2)]
    with contextlib.ExitStack() as stack:
        viewers = [stack.enter_context(Client(edges[i % 2], "/r/1", wait=False))
                   for i in range(VIEWERS)]
        trunk = s.accept()
        for v in viewers:
            v.upgraded()
        trunk.write(b"one\n")
        for v in viewers:
            assert v.recv().payload == b"one"
        viewers[0].send(TEXT, b"steer")
        assert trunk.until(b"\n") == b"steer\n"
        mid.expect_exit = -signal.SIGKILL
        mid.stop(signal.SIGKILL)
        for e in edges:
            e.wait_log("hub-lost")
        trunk.write(b"meanwhile\n")
        mid = middle()
        for e in edges:
            e.wait_log("hub-reopened")
        # The replay of the inner hub is the picture of now.
        for v in viewers:
            assert v.recv().payload == b"meanwhile"
        trunk.write(b"two\n")
        for v in viewers:
            f = v.recv()
            assert f.opcode != CLOSE and f.payload == b"two"


# --- the examples ------------------------------------------------------------

@pytest.mark.plain("about files and what they say")
@pytest.mark.parametrize("name", ["edge.ini", "core.ini", "attach.ini"])
def test_examples(name, tmp_path):
    text = (ROOT / "conf/examples" / name).read_text()
    for place in ("/etc/wsrelayd/", "/srv/sim/", "/srv/runs/"):
        text = text.replace(place, f"{tmp_path}/")
    (tmp_path / "www").mkdir()
    for key in ("people", "runs", "edges"):
        (tmp_path / f"{key}.key").write_bytes(SECRET)
        (tmp_path / f"{key}.key").chmod(0o600)
    (tmp_path / "wsrelayd.ini").write_text(text)
    found = subprocess.run(
        [BUILD / "wsrelayd", "-t", "-c", tmp_path / "wsrelayd.ini"],
        capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, ""), found.stderr
