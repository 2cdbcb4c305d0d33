"""Simulations that connect to the relay: [attach NAME], backend = attach:NAME,
wsrelayd-attach(7)."""
import json
import signal
import socket
import subprocess
import time

import pytest

from peers import BINARY, CLOSE, PING, PONG, TEXT, Client
from relay import BUILD, KEY, PATIENCE, mint

pytestmark = pytest.mark.parametrize("workers", [1, 3])

PROTOCOL = "wsrelay.attach.v1"


def ini(*route, attach=(), more="", auth="none"):
    return "\n".join([
        KEY, "[attach sims]", "path = /attach/{user}/{id}", *attach,
        "[route sim]", "path = /sim/{user}/{id}", "backend = attach:sims",
        "mode = hub", f"auth = {auth}", *route,
        *([] if any(x.startswith("linger") for x in route)
          else ["linger = 300ms"]), more, ""])


def serve(path="/attach/anna/1", **claims):
    claims.setdefault("perm", "serve")
    return mint(path, **claims)


class Sims:
    """A relay with a place for simulations; the tests are these."""

    def __init__(self, relay, workers, *route, attach=(), server="", **more):
        self.kept = []
        self.r = relay(ini(*route, attach=attach, **more),
                       server=f"workers = {workers}\n{server}")

    def attach(self, path="/attach/anna/1", protocols=None, wait=True,
               sub="anna", **claims):
        if sub:
            claims["sub"] = sub
        token = serve(claims.pop("token_path", path), **claims)
        return self.keep(Client(self.r, path, protocols=protocols, wait=wait,
                                token=token))

    def keep(self, c):
        self.kept.append(c)
        return c

    def refused(self, *args, **options):
        c = self.attach(*args, wait=False, **options)
        c.answer()
        return c

    def watch(self, path="/sim/anna/1", wait=True, **options):
        return self.keep(Client(self.r, path, wait=wait, **options))


@pytest.fixture
def sims(relay, workers):
    def start(*route, **options):
        return Sims(relay, workers, *route, **options)
    return start


def text_of(c):
    f = c.recv()
    assert f.opcode == TEXT, f
    return f.payload.decode()


# --- the place ---------------------------------------------------------------

def test_messages_go_both_ways(sims):
    s = sims()
    sim = s.attach()
    a, b = s.watch(), s.watch()
    sim.send(TEXT, b"one")
    sim.send(BINARY, b"\0two")
    for c in (a, b):
        assert text_of(c) == "one"
        f = c.recv()
        assert (f.opcode, f.payload) == (BINARY, b"\0two")
    a.send(TEXT, b"faster")
    assert text_of(sim) == "faster"
    big = b"x" * 300000
    sim.send(BINARY, big)
    assert a.recv().payload == big


def test_what_it_says_first_is_replayed(sims):
    """It is read, watched or not."""
    s = sims("replay = 3")
    sim = s.attach()
    for i in range(5):
        sim.send(TEXT, b"%d" % i)
    sim.synced()
    c = s.watch()
    assert [text_of(c) for _ in range(3)] == ["2", "3", "4"]


def test_it_is_told_where_it_is(sims):
    s = sims("addressing = tagged", attach=(
        "watch_at = https://viz.example.org/view/{user}/{id}",))
    sim = s.attach(protocols=PROTOCOL)
    assert sim.fields["sec-websocket-protocol"] == PROTOCOL
    assert json.loads(text_of(sim)) == {
        "version": 1, "place": "/attach/anna/1", "route": "sim",
        "path": "/sim/anna/1", "addressing": "tagged",
        "max_backend_message": 16 << 20, "max_message": 1 << 20,
        "queue_limit": 1 << 20, "took_over": False,
        "watch_at": "https://viz.example.org/view/anna/1"}
    again = s.attach(protocols=PROTOCOL)
    told = json.loads(text_of(again))
    assert told["took_over"] is True


def test_without_the_subprotocol_it_hears_messages_only(sims):
    s = sims()
    sim = s.attach()
    s.watch().send(TEXT, b"hello")
    assert text_of(sim) == "hello"


def test_tagged(sims):
    s = sims("addressing = tagged")
    sim = s.attach()
    a, b = s.watch(), s.watch()
    joined = [text_of(sim), text_of(sim)]
    assert [j.split()[0] for j in joined] == ["+", "+"]
    sim.send(TEXT, f"> {a.id} for a".encode())
    assert text_of(a) == "for a"
    sim.send(TEXT, b"> * for all")
    assert text_of(a) == text_of(b) == "for all"
    b.send(TEXT, b"hi")
    assert text_of(sim) == f"> {b.id} hi"
    again = s.attach()          # it is told who is there
    joined = {text_of(again).split()[1] for _ in range(2)}
    assert joined == {a.id, b.id}


# --- who may -----------------------------------------------------------------

@pytest.mark.parametrize("perm", ["r", "w", "rw"])
def test_other_rights_open_no_attach_path(sims, perm):
    s = sims()
    c = s.refused(perm=perm)
    assert c.status == 403
    assert s.r.wait_log("refuse", reason="attach-perm")


def test_serve_opens_nothing_else(sims, tmp_path):
    (tmp_path / "index.html").write_text("hello")
    s = sims(auth="token", more=f"[page p]\npath = /p\nroot = {tmp_path}\n"
             "auth = token\n")
    s.attach()
    c = s.watch(wait=False, token=serve("/sim/anna/1"))
    assert c.answer() == 403
    assert s.r.wait_log("refuse", reason="attach-perm")
    with s.r.socket() as sock:
        sock.sendall(f"GET /p/?token={serve('/p/')} HTTP/1.1\r\n"
                     f"Host: 127.0.0.1:{s.r.port}\r\nConnection: close\r\n\r\n"
                     .encode())
        assert b" 403 " in sock.recv(4096)


def test_a_token_for_another_place(sims):
    s = sims()
    c = s.refused("/attach/anna/2", token_path="/attach/anna/1")
    assert c.status == 401
    assert s.r.wait_log("refuse", reason="token-path")


def test_no_token(sims):
    s = sims()
    c = Client(s.r, "/attach/anna/1", wait=False)
    assert c.answer() == 401


def test_no_path_in_the_token(relay, workers):
    """Also where the key wants none."""
    r = relay(ini(attach=("keys = lab",), auth="none").replace(
        "secret_file", "require_path = no\nsecret_file"),
        server=f"workers = {workers}")
    c = Client(r, "/attach/anna/1", wait=False,
               token=mint("", drop=("path",), perm="serve"))
    assert c.answer() == 401
    assert r.wait_log("refuse", reason="token-path")


# --- nobody is there ---------------------------------------------------------

def test_nobody_is_there(sims):
    s = sims()
    c = s.watch(wait=False)
    assert c.answer() == 504
    assert s.r.wait_log("refuse", reason="attach-missing")


def test_with_hold_clients_wait(sims):
    s = sims("on_backend_loss = hold")
    c = s.watch()
    c.send(TEXT, b"early")
    sim = s.attach()
    assert text_of(sim) == "early"
    sim.send(TEXT, b"here")
    assert text_of(c) == "here"


def test_with_hold_they_wait_for_hold_timeout(sims):
    s = sims("on_backend_loss = hold", "hold_timeout = 200ms")
    c = s.watch()
    f = c.recv()
    assert f.opcode == CLOSE and f.code == 1011
    assert s.r.wait_log("close", reason="hold-timeout")


# --- the end of a run --------------------------------------------------------

def test_1000_is_the_end_of_the_run(sims):
    s = sims("on_backend_loss = hold", "replay = 1", "linger = 24h")
    sim = s.attach()
    c = s.watch()
    sim.send(TEXT, b"last")
    sim.send_close(1000, b"done")
    assert text_of(c) == "last"
    f = c.recv()
    assert (f.opcode, f.code) == (CLOSE, 1000)
    late = s.watch()
    assert text_of(late) == "last"
    late.send(TEXT, b"go on")           # nobody is there who could
    assert s.r.wait_log("denied-input")
    late.synced()
    sim = s.attach()                    # a new run takes them over
    sim.send(TEXT, b"first")
    assert text_of(late) == "first"
    late.send(TEXT, b"now")
    assert text_of(sim) == "now"


def test_behind_linger_all_of_it_is_gone(sims):
    s = sims("linger = 300ms")
    sim = s.attach()
    sim.send_close(1000)
    s.r.wait_log("hub-over")
    late = s.watch()
    f = late.recv()
    assert (f.opcode, f.code) == (CLOSE, 1013)
    s.r.wait_log("hub-close", reason="attach-missing")
    assert s.watch(wait=False).answer() == 504


@pytest.mark.parametrize("how", ["reset", "fin", "1001", "none"])
def test_a_loss_closes(sims, how):
    s = sims()
    sim = s.attach()
    c = s.watch()
    lose(sim, how)
    f = c.recv()
    assert f.opcode == CLOSE and f.code != 1000, f


def lose(sim, how):
    if how == "reset":
        sim.reset()
    elif how == "fin":
        sim.sock.shutdown(socket.SHUT_WR)
    elif how == "none":
        sim.send(CLOSE, b"")
    else:
        sim.send_close(int(how))


@pytest.mark.parametrize("how", ["reset", "fin", "1001", "none"])
def test_a_loss_is_held(sims, how):
    s = sims("on_backend_loss = hold")
    sim = s.attach()
    c = s.watch()
    lose(sim, how)
    s.r.wait_log("hub-lost")
    c.send(TEXT, b"meanwhile")
    sim = s.attach()
    assert text_of(sim) == "meanwhile"
    sim.send(TEXT, b"back")
    assert text_of(c) == "back"
    assert s.r.wait_log("hub-reopened")


# --- two for one place -------------------------------------------------------

def test_the_same_subject_takes_its_place_back(sims):
    s = sims("on_backend_loss = hold")
    one = s.attach()
    c = s.watch()
    two = s.attach()
    f = one.recv()
    assert (f.opcode, f.code) == (CLOSE, 3003)
    two.send(TEXT, b"from two")
    assert text_of(c) == "from two"
    assert s.r.wait_log("close", reason="attach-replaced")


@pytest.mark.parametrize("sub", ["ben", None])
def test_others_are_refused(sims, sub):
    s = sims()
    one = s.attach(sub=sub and "anna")
    c = s.watch()
    two = s.refused(sub=sub)
    assert two.status == 409
    assert s.r.wait_log("refuse", reason="attach-taken")
    assert one.frame().opcode == PING       # whether it lives
    one.send(PONG)
    one.send(TEXT, b"still here")
    assert text_of(c) == "still here"


def test_one_that_has_vanished_is_cut(sims):
    s = sims("ping_timeout = 300ms")
    one = s.attach()
    deadline = time.monotonic() + PATIENCE
    while True:     # one answers no ping
        c = s.attach(sub="ben", wait=False)
        if c.answer() == 101:
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert s.r.wait_log("close", reason="ping-timeout")
    del one


def test_refuse(sims):
    s = sims(attach=("attach_conflict = refuse",))
    s.attach()
    assert s.refused().status == 409


def test_replace(sims):
    s = sims(attach=("attach_conflict = replace",))
    one = s.attach()
    two = s.attach(sub="ben")
    assert one.recv().code == 3003
    c = s.watch()
    two.send(TEXT, b"two")
    assert text_of(c) == "two"


# --- limits ------------------------------------------------------------------

def test_max_hubs(sims):
    s = sims("max_hubs = 2", "linger = 24h")
    one, two = s.attach(), s.attach("/attach/anna/2")
    assert s.refused("/attach/anna/3").status == 503
    two.send_close(1000)
    s.r.wait_log("hub-over")
    three = s.attach("/attach/anna/3")      # the one that has ended gives way
    c = s.watch()
    one.send(TEXT, b"one")
    assert text_of(c) == "one"
    three.close()


def test_max_connections(sims):
    s = sims(attach=("max_connections = 1",))
    s.attach()
    assert s.refused("/attach/anna/2").status == 503


def test_an_end_while_it_is_on_its_way(sims):
    """Its place is free again."""
    s = sims()
    for i in range(20):
        c = s.attach(wait=False)
        c.close()
    c = s.attach(sub="ben", wait=False)
    deadline = time.monotonic() + PATIENCE
    while c.answer() != 101:
        assert time.monotonic() < deadline
        c = s.attach(sub="ben", wait=False)


# --- which runs there are ------------------------------------------------------

LIST = ("[route list]\npath = /runs\nbackend = attached:sims\nauth = none\n"
        "[route own]\npath = /runs/{user}\nbackend = attached:sims\n"
        "auth = none\n")


def until(c, wanted):
    """Reads lists until one is as wanted: (id, watchers, ended) of each."""
    while True:
        told = json.loads(text_of(c))
        assert told["more"] == 0
        if sorted((r["captures"]["id"], r["watchers"], r["ended"])
                  for r in told["runs"]) == wanted:
            return told["runs"]


def test_which_runs_there_are(sims):
    s = sims("linger = 24h", "on_backend_loss = hold", more=LIST)
    everything, bens = s.watch("/runs"), s.watch("/runs/ben")
    until(everything, [])
    until(bens, [])
    before = time.time()
    one = s.attach()
    run, = until(everything, [("1", 0, False)])
    assert run["captures"] == {"user": "anna", "id": "1"}
    assert run["name"] == "/sim/anna/1"
    assert before - 1 < run["since"] < time.time() + 1
    two = s.attach("/attach/ben/2", sub="ben")
    until(everything, [("1", 0, False), ("2", 0, False)])
    until(bens, [("2", 0, False)])
    a = s.watch()
    s.watch()
    until(everything, [("1", 2, False), ("2", 0, False)])
    a.close()
    until(everything, [("1", 1, False), ("2", 0, False)])
    one.send_close(1000)
    until(everything, [("1", 0, True), ("2", 0, False)])
    two.reset()                 # lost, and waited for
    s.r.wait_log("hub-lost")
    s.attach()                  # a new run at the first one's place
    until(everything, [("1", 0, False), ("2", 0, False)])


def test_what_is_gone_is_in_no_list(sims):
    s = sims("linger = 0", more=LIST)
    c = s.watch("/runs")
    one = s.attach()
    until(c, [("1", 0, False)])
    one.send_close(1000)
    until(c, [])
    c.send(TEXT, b"ignored")
    c.synced()


def test_lists_come_and_go(sims):
    """While runs do, in many places at once."""
    s = sims("linger = 0", more=LIST)
    for i in range(30):
        c = s.watch("/runs", wait=False)
        sim = s.attach(f"/attach/anna/{i % 5}", sub="anna", wait=False)
        if i % 3:
            c.close()
        if i % 2:
            sim.close()
    c = s.watch("/runs")
    for x in s.kept:
        if x is not c:
            x.close()
    until(c, [])


# --- the console ---------------------------------------------------------------

def test_an_operator_sees_and_ends_it(sims, tmp_path):
    s = sims("on_backend_loss = hold", server=f"control = {tmp_path}/c.sock")
    sim = s.attach()
    ctl = [BUILD / "wsrelayctl", "--socket", tmp_path / "c.sock"]

    def run(*words):
        return subprocess.run([*ctl, *words], capture_output=True, text=True,
                              timeout=PATIENCE)
    assert sim.id in run("clients", "--route", "attach:sims").stdout
    assert run("kill", sim.id).returncode == 0
    assert sim.recv().code == 1012
    sim = s.attach()
    assert run("revoke", "--sub", "anna").returncode == 0
    assert sim.recv().code == 3000
    assert s.refused(iat=time.time() - 60).status == 401
    assert s.attach(sub="ben").status == 101


def test_a_reload_leaves_it_alone(sims):
    s = sims("on_backend_loss = hold")
    sim = s.attach()
    c = s.watch()
    old = s.r.ini.read_text()
    for text in (old.replace("hold", "close"), old):
        s.r.ini.write_text(text)
        n = len(s.r.log("reload"))
        s.r.kill(signal.SIGHUP)
        s.r.wait_log("reload", count=n + 1)
        sim.send(TEXT, b"still")
        assert text_of(c) == "still"
        c.send(TEXT, b"there")
        assert text_of(sim) == "there"
    # Its section is gone: so is it, within drain_timeout.
    cut = old.index("[attach sims]")
    end = old.find("\n[", old.index("[route sim]"))     # certificates, over TLS
    rest = old[end:] if end >= 0 else ""
    s.r.ini.write_text((old[:cut] + rest).replace(
        "[server]", "[server]\ndrain_timeout = 100ms"))
    s.r.kill(signal.SIGHUP)
    assert sim.recv().code == 1001
    assert c.recv().code == 1001
