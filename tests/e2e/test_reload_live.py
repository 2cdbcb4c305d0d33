"""A reload changes routes, limits and listeners while connections live.
(Keys: test_reload.py; certificates: test_tls.py.)"""
import json
import os
import re
import signal
import struct
import subprocess
import sys
import threading

import pytest

from peers import BINARY, PING, PONG, TEXT, Client, Server
from rawhttp import Peer, upgrade
from relay import BUILD, mint, wait_for
from test_addresses import PASS, At

WSRELAYCTL = BUILD / "wsrelayctl"

pytestmark = pytest.mark.parametrize("workers", [1, 2])


def echo(name, more=""):
    return (f"[route {name}]\npath = /{name}\nbackend = echo:\n"
            f"auth = none\n{more}")


def room(name, more=""):
    return (f"[route {name}]\npath = /{name}\nbackend = room:\nmode = hub\n"
            f"auth = none\nqueue_limit = 16M\n{more}")


def start(relay, workers, routes, server=""):
    """The daemon with a control socket, and its file without the routes."""
    r = relay(routes, server=f"workers = {workers}\ncontrol = control.sock\n"
              + server)
    text = r.ini.read_text()
    assert routes.strip() in text
    r.without = text.replace(routes.strip(), "@ROUTES@")
    return r


def ctl(r, *words):
    return subprocess.run(
        [WSRELAYCTL, *words, "--socket", r.dir / "control.sock", "--json"],
        capture_output=True, text=True)


def rows(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def write(r, routes):
    new = r.dir / "new.ini"
    new.write_text(r.without.replace("@ROUTES@", routes.strip()))
    os.replace(new, r.ini)  # never half a file


def reload(r, routes):
    write(r, routes)
    done = ctl(r, "reload")
    assert done.returncode == 0, (done.stdout, done.stderr)
    return rows(done)


def says(c, text):
    c.send(TEXT, text)
    return c.recv().text


def closed(c):
    """Code and word of the close frame that comes next."""
    m = c.recv()
    assert m.opcode == 8, m
    code = struct.unpack(">H", m.payload[:2])[0]
    return code, m.payload[2:].decode().partition(":")[0]


def test_a_route_above_another_leaves_its_hub_alone(relay, workers):
    r = start(relay, workers, room("b"))
    old = [Client(r, "/b") for _ in range(4)]
    told = reload(r, room("a") + room("b"))
    assert [(x["name"], x["change"]) for x in told if "change" in x] == [
        ("a", "added")]
    new = [Client(r, "/b") for _ in range(4)]
    other = Client(r, "/a")
    new[0].send(TEXT, "one hub")
    for c in old + new[1:]:
        assert c.recv().text == "one hub"
    other.send(TEXT, "alone")
    new[1].send(TEXT, "and still one")
    assert old[0].recv().text == "and still one"
    r.wait_log("hub-open", 2)
    assert len(r.log("hub-open")) == 2


def test_a_dry_run_changes_nothing(relay, workers):
    r = start(relay, workers, echo("a"))
    c = Client(r, "/a")
    write(r, echo("b"))
    done = ctl(r, "reload", "--dry-run")
    assert done.returncode == 0
    assert [(x["name"], x["change"], x.get("connections"))
            for x in rows(done) if "change" in x] == [
        ("a", "removed", 1), ("b", "added", None)]
    assert says(c, "x") == "x"
    assert says(Client(r, "/a"), "y") == "y"
    assert not r.log("reload") and r.log("reload-would-change")


def test_a_bad_file_is_told_and_changes_nothing(relay, workers):
    r = start(relay, workers, echo("a"))
    write(r, echo("b", "max_message = much\n"))
    done = ctl(r, "reload")
    assert done.returncode == 1
    assert "max_message" in done.stdout + done.stderr
    assert says(Client(r, "/a"), "x") == "x"


def test_limits_hold_at_once(relay, workers):
    r = start(relay, workers, echo("a"))
    c, quiet = Client(r, "/a"), Client(r, "/a")
    told = reload(r, echo("a", "max_message = 125\nidle_timeout = 300ms\n"))
    change = [x for x in told if "change" in x]
    assert [x["keys"] for x in change] == ["max_message idle_timeout"]
    assert [x["connections"] for x in change] == [2]
    c.send(BINARY, b"x" * 126)
    assert closed(c) == (1009, "too-big")
    assert closed(quiet) == (1001, "idle")


def test_a_rate_that_is_raised_is_not_waited_for(relay, workers):
    r = start(relay, workers, echo("a", "byte_rate = 1\n"))
    c = Client(r, "/a")
    assert says(c, "x" * 1000) == "x" * 1000    # a thousand seconds
    c.send(TEXT, "next")
    reload(r, echo("a"))
    assert c.recv().text == "next"


def test_pings_come_sooner(relay, workers):
    r = start(relay, workers, echo("a", "ping_interval = 24h\n"))
    c = Client(r, "/a")
    reload(r, echo("a", "ping_interval = 100ms\nping_timeout = 1s\n"))
    for _ in range(3):
        f = c.frame()
        assert f.opcode == PING
        c.send(PONG, f.payload)


def test_a_hub_keeps_what_its_new_replay_allows(relay, workers):
    r = start(relay, workers, room("a", "replay = 5\n"))
    first, second = Client(r, "/a"), Client(r, "/a")
    for i in range(5):
        first.send(TEXT, f"{i}")
        assert second.recv().text == f"{i}"
    reload(r, room("a", "replay = 2\n"))
    late = Client(r, "/a")
    assert [late.recv().text for _ in range(2)] == ["3", "4"]
    reload(r, room("a", "replay = 4\n"))
    for i in range(5, 7):
        first.send(TEXT, f"{i}")
        assert second.recv().text == f"{i}"
    later = Client(r, "/a")
    assert [later.recv().text for _ in range(4)] == ["3", "4", "5", "6"]


def test_a_route_that_is_gone_ends_its_connections(relay, workers):
    r = start(relay, workers, echo("a") + room("b") + echo("c"),
              "drain_timeout = 500ms\n")
    gone = [Client(r, "/a"), Client(r, "/b"), Client(r, "/b")]
    stays = Client(r, "/c")
    reload(r, echo("c"))
    for c in gone:
        assert closed(c) == (1001, "route-removed")
    assert says(stays, "x") == "x"
    with pytest.raises(AssertionError, match="404"):
        Client(r, "/a")
    r.wait_log("hub-close", reason="route-removed")


def test_another_backend_is_for_new_pairs(relay, workers):
    one, two = Server(), Server()
    route = "[route a]\npath = /a\nauth = none\nframing = len32\nbackend = {}\n"
    r = start(relay, workers, route.format(one.uri))
    old = Client(r, "/a", wait=False)
    old_backend = one.accept()
    old.upgraded()
    reload(r, route.format(two.uri))
    new = Client(r, "/a", wait=False)
    new_backend = two.accept()
    new.upgraded()
    for c, b in ((old, old_backend), (new, new_backend)):
        b.write(struct.pack(">IB", 3, 1) + b"hi")
        assert c.recv().text == "hi"


@pytest.mark.parametrize("loss", ["close", "hold"])
def test_a_living_hub_gets_another_backend(relay, workers, loss):
    one, two = Server(), Server()
    route = ("[route a]\npath = /a\nauth = none\nmode = hub\n"
             "framing = len32\nbackend = {}\n"
             f"on_backend_loss = {loss}\n")
    r = start(relay, workers, route.format(one.uri))
    first = Client(r, "/a", wait=False)
    trunk = one.accept()
    first.upgraded()
    clients = [first] + [Client(r, "/a") for _ in range(3)]
    reload(r, route.format(two.uri))
    if loss == "close":
        for c in clients:
            assert closed(c) == (1012, "route-changed")
        return
    r.wait_log("hub-lost", reason="route-changed")
    trunk.close()
    trunk = two.accept()
    trunk.write(struct.pack(">IB", 3, 1) + b"hi")
    for c in clients:
        assert c.recv().text == "hi"


def test_backends_that_close_slowly(relay, workers):
    """A trunk still closes while its hub's backend changes again."""
    servers = [Server() for _ in range(3)]
    route = ("[route a]\npath = /a\nauth = none\nmode = hub\n"
             "close_timeout = 500ms\n"
             "on_backend_loss = hold\nbackend = ws://127.0.0.1:{}/\n")
    r = start(relay, workers, route.format(servers[0].port))
    c = Client(r, "/a", wait=False)
    trunk = servers[0].accept_ws().accept()
    c.upgraded()
    reload(r, route.format(servers[1].port))
    reload(r, route.format(servers[1].port) + "linger = 1s\n")
    reload(r, route.format(servers[2].port))
    last = servers[2].accept_ws().accept()
    last.send(TEXT, "hi")
    assert c.recv().text == "hi"
    trunk.close()


def test_members_that_are_held_get_new_limits(relay, workers):
    one, two = Server(), Server()
    route = ("[route a]\npath = /a\nauth = none\nmode = hub\n"
             "framing = len32\non_backend_loss = hold\nbackend = {}\n")
    r = start(relay, workers, route.format(one.uri))
    c = Client(r, "/a", wait=False)
    trunk = one.accept()
    c.upgraded()
    reload(r, route.format(two.uri))
    trunk.close()
    trunk = two.accept()
    reload(r, route.format(two.uri) + "max_message = 125\n")
    c.send(BINARY, b"x" * 126)
    assert closed(c) == (1009, "too-big")


def test_a_hub_that_is_kept_from_now_on_comes_back(relay, workers):
    server = Server()
    route = ("[route a]\npath = /a\nauth = none\nmode = hub\nlinger = 1h\n"
             f"framing = len32\nbackend = {server.uri}\n")
    others = [echo(f"x{i}") for i in range(2)]
    for before in range(2):
        r = start(relay, workers, "".join(others[:before]) + route)
        c = Client(r, "/a", wait=False)
        trunk = server.accept()
        c.upgraded()
        reload(r, "".join(others[:before]) + route + "trunk = always\n")
        trunk.close()
        c.closed(1000)
        server.accept()
        r.stop()


def test_a_reload_while_a_held_hub_tries_again(relay, workers):
    """What it tries fails; what it tries next is of the newer file."""
    server = Server(tls=False)
    route = ("[route a]\npath = /a\nauth = none\nmode = hub\n"
             "on_backend_loss = hold\n"
             f"backend = ws://127.0.0.1:{server.port}/\n")
    r = start(relay, workers, route + "backend_host = old.example\n")
    c = Client(r, "/a", wait=False)
    trunk = server.accept_ws().accept()
    c.upgraded()
    trunk.reset()
    trying = server.accept_ws()
    assert trying.fields["host"] == "old.example"
    reload(r, route + "backend_host = new.example\n")
    trying.reset()
    trunk = server.accept_ws().accept()
    assert trunk.fields["host"] == "new.example"
    trunk.send(TEXT, "hi")
    assert c.recv().text == "hi"


def test_another_mode_ends_a_hub(relay, workers):
    r = start(relay, workers, room("a"))
    c = Client(r, "/a")
    reload(r, echo("a"))
    assert closed(c) == (1012, "route-changed")
    assert says(Client(r, "/a"), "x") == "x"


def test_listeners_come_and_go(relay, workers):
    r = start(relay, workers, echo("a"))
    c = Client(r, "/a")
    path = r.dir / "more.sock"
    more = f"[listen more]\naddress = unix:{path}\nhosts = *\n"
    reload(r, more + echo("a"))
    assert path.exists()
    assert says(c, "x") == "x"
    with Client(r, "/a", address=str(path)) as over:
        assert says(over, "y") == "y"
        reload(r, echo("a"))
        assert not path.exists()
        assert says(over, "z") == "z"
        reload(r, echo("a", "idle_timeout = 1h\n"))
        assert says(over, "it has no listener any more") == (
            "it has no listener any more")
    assert says(Client(r, "/a"), "x") == "x"


@pytest.mark.parametrize("loss", ["keep", "close"])
def test_a_key_that_is_gone(relay, workers, loss):
    def key(name):
        (r.dir / name).write_text(f"the secret of {name} is long enough\n")
        return (f"[key {name}]\nalgorithm = HS256\n"
                f"secret_file = {r.dir}/{name}\n")

    def token(name):
        return mint("/t", header={"kid": name},
                    secret=f"the secret of {name} is long enough".encode())

    route = ("[route t]\npath = /t\nbackend = echo:\n"
             f"on_key_loss = {loss}\n")
    r = start(relay, workers, echo("a"))
    reload(r, key("good") + key("leaked") + route)
    stays = [Client(r, "/t", token=token("good")) for _ in range(2)]
    leaked = [Client(r, "/t", token=token("leaked")) for _ in range(2)]
    reload(r, key("good") + route)
    for c in stays if loss == "close" else stays + leaked:
        assert says(c, "x") == "x"
    for c in leaked if loss == "close" else []:
        assert closed(c) == (3000, "key-removed")
    with pytest.raises(AssertionError, match="401"):
        Client(r, "/t", token=token("leaked"))


def test_secrets_rotate_while_clients_come(relay, workers):
    new = b"the secret that comes next, 32 bytes"
    key = "[key lab]\nleeway = 0\nsecret_file = {}\n"
    both = key + "secret_file = {}\n"
    rest = ("[page p]\nroot = {dir}/www\ntemplate = yes\ntoken_perm = rw\n"
            "[route r]\npath = /r\nbackend = echo:\nsingle_use = yes\n"
            "on_key_loss = close\n")
    r = start(relay, workers, echo("a"))
    rest = rest.replace("{dir}", str(r.dir))
    (r.dir / "www").mkdir()
    (r.dir / "www" / "wsuri.json").write_text('{"wsuri": "{{wsuri /r}}"}')
    (r.dir / "new").write_bytes(new + b"\n")
    reload(r, key.format("secret") + rest)
    done, faults, stop = [0] * 4, [], threading.Event()

    def comes(i):
        try:
            while not stop.is_set():
                with Peer(r) as p:
                    p.send(b"GET /wsuri.json HTTP/1.1\r\n"
                           b"Host: 127.0.0.1\r\n\r\n")
                    wsuri = json.loads(p.answer().body)["wsuri"]
                with Client(r, "/r", token=wsuri.split("token=")[1]) as c:
                    assert says(c, "in") == "in"
                done[i] += 1
        except Exception as e:
            faults.append(e)

    def each_comes():
        """With a token that was made after this call."""
        before = list(done)
        wait_for(lambda: faults or all(
            n > m + 1 for n, m in zip(done, before)), "clients")
        assert not faults

    threads = [threading.Thread(target=comes, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    each_comes()
    old_one = mint("/r", jti="once")
    stays = Client(r, "/r", token=old_one)
    for text in (both.format("secret", "new"), both.format("new", "secret"),
                 key.format("new")):
        reload(r, text + rest)
        if "secret_file = secret" in text:
            # What is used is used, whichever secret is the first.
            with pytest.raises(AssertionError, match="401"):
                Client(r, "/r", token=old_one)
            assert says(Client(r, "/r", token=mint("/r")), "x") == "x"
            assert says(Client(r, "/r", token=mint("/r", secret=new)),
                        "x") == "x"
        each_comes()
    stop.set()
    for t in threads:
        t.join()
    assert not faults
    assert {x["reason"] for x in r.log("refuse")} == {"token-used"}
    with pytest.raises(AssertionError, match="401"):
        Client(r, "/r", token=mint("/r"))
    # The section is there: the key is not gone, only its older secret.
    assert says(stays, "x") == "x"


def test_a_socket_that_was_handed_over_goes(relay, workers):
    """What it has accepted is answered under the file of before."""
    r = relay(echo("a"), server=f"workers = {workers}",
              wrap=[sys.executable, "-c", PASS],
              listen="[listen dual]\naddress = fd:dual\n")
    port = r.wait_log("listen", listen="dual")["address"].rsplit(":", 1)[1]
    request = upgrade("/a")
    with Peer(At(port)) as p:
        p.send(request[:20])
        with Peer(At(port)) as q:   # it was accepted later, and is served
            q.send(request)
            assert q.answer().status == 101
        r.ini.write_text(re.sub(r"\[listen dual\]\n(certificates.*\n)?"
                                r"address = fd:dual\n", "",
                                r.ini.read_text()))
        r.kill(signal.SIGHUP)
        r.wait_log("reload")
        p.send(request[20:])
        assert p.answer().status == 101


def test_a_listener_that_cannot_be_refuses_the_reload(relay, workers):
    r = start(relay, workers, echo("a"))
    write(r, "[listen more]\naddress = unix:/nowhere/x.sock\nhosts = *\n"
          + echo("b"))
    done = ctl(r, "reload")
    assert done.returncode == 1
    assert "cannot listen on unix:/nowhere/x.sock" in done.stdout
    assert says(Client(r, "/a"), "x") == "x"


def test_what_needs_a_start_is_named(relay, workers):
    r = start(relay, workers, echo("a"))
    r.without = r.without.replace(f"workers = {workers}", "workers = 7")
    told = reload(r, echo("a"))
    assert [(x["keys"], x["applies"]) for x in told if "change" in x] == [
        ("workers", "at the next start")]


def test_nothing_is_lost_in_a_hundred_reloads(relay, workers):
    """Messages are in flight over pairs, hubs and a program all the time."""
    program = "[route p]\npath = /p\nauth = none\nbackend = exec:/bin/cat\n"

    def ini(i):
        return (echo("a", f"idle_timeout = {60 + i}s\n") + program
                + (echo("x") if i % 2 else "")
                + "".join(room(f"h{n}", f"replay = {i % 3}\n")
                          for n in range(20)))

    r = start(relay, workers, ini(0))
    pairs = [Client(r, "/a") for _ in range(139)]
    cat = Client(r, "/p")
    rooms = [[Client(r, f"/h{n}") for _ in range(3)] for n in range(20)]
    for i in range(1, 101):
        write(r, ini(i))
        r.kill(signal.SIGHUP)
        for c in pairs + [cat]:
            c.send(TEXT, f"message {i}")
        for members in rooms:
            members[0].send(TEXT, f"message {i}")
    for c in pairs + [cat]:
        assert [c.recv().text.rstrip("\n") for _ in range(100)] == [
            f"message {i}" for i in range(1, 101)]
    for members in rooms:
        for c in members[1:]:
            assert [c.recv().text for _ in range(100)] == [
                f"message {i}" for i in range(1, 101)]
    wait_for(lambda: r.log("reload"), "a reload")
    assert not r.log("reload-failed") and not r.log("close")
    assert not r.log("program-exit") and len(r.log("hub-open")) == 20
