"""Whose address it is, and what is counted by it."""
import contextlib
import shutil
import socket
import stat
import subprocess
import sys
import threading

import pytest

from peers import Server
from rawhttp import Peer, ask, frame, head, upgrade
from relay import KEY, PATIENCE, Relay, mint, wait_for
from secure import HTTP, SECURE

OTHER = "http" if SECURE else "https"

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


class At:
    """For rawhttp: a place to connect to that no daemon has told."""

    def __init__(self, port):
        self.address = f"127.0.0.1:{port}"

    def wait_log(self, *_, **__):
        return {"address": self.address}


# --- IPv4 in IPv6 ----------------------------------------------------------

# Passes a socket that takes both, as a service manager does.
PASS = """
import os, socket, sys
s = socket.create_server(("::", 0), family=socket.AF_INET6,
                         dualstack_ipv6=True)
os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_FDNAMES="dual",
                  LISTEN_PID=str(os.getpid()))
os.execvp(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize("word, bound", [
    ("localhost", ["127.0.0.1", "[::1]"]), ("*", ["0.0.0.0", "[::]"]),
    ("", ["0.0.0.0", "[::]"])])
def test_words_for_addresses(relay, word, bound):
    r = relay(ECHO, listen=f"""
[listen word]
address = {word}:0
hosts = *
""")
    lines = r.wait_log("listen", listen="word", count=2) and \
        r.log("listen", listen="word")
    assert [x["address"].rpartition(":")[0] for x in lines] == bound
    for x, there in zip(lines, ("127.0.0.1", "::1")):
        with socket.create_connection(
                (there, int(x["address"].rpartition(":")[2]))):
            pass


def test_words_without_ipv6(relay):
    """What the machine has not is left out; an address that is named is
    an error."""
    without = """
import ctypes, os, sys
from pathlib import Path
if ctypes.CDLL(None).unshare(0x40000000):      # CLONE_NEWNET
    sys.exit("no namespaces")
for x in "all", "default", "lo":
    Path(f"/proc/sys/net/ipv6/conf/{x}/disable_ipv6").write_text("1")
os.system("ip link set lo up")
os.execvp(sys.argv[1], sys.argv[1:])
"""
    wrap = [sys.executable, "-c", without]
    if subprocess.run([*wrap, "true"]).returncode:
        pytest.skip("no network namespaces, or no IPv6 to take away")
    r = relay(ECHO, listen="[listen word]\naddress = localhost:0\n",
              wrap=wrap)
    assert len(r.log("listen", listen="word")) == 1
    with pytest.raises(AssertionError, match=r"cannot listen on \[::1\]:0"):
        relay(ECHO, listen="[listen word]\naddress = [::1]:0\n", wrap=wrap)


def test_ipv4_on_a_socket_for_both(relay):
    """It is IPv4 in logs, lists, limits and towards backends."""
    with Server(tls=False) as s:
        r = relay(ECHO + f"""
[route tcp]
path = /tcp
backend = {s.uri}
framing = line
send_proxy = v1
auth = none
""", wrap=[sys.executable, "-c", PASS], listen="""
[listen dual]
address = fd:dual
hosts = *
trusted_proxies = 127.0.0.4
deny = 127.0.0.3
max_connections_per_ip = 1
handshake_rate = 2/h
""")
        there = At(r.wait_log("listen", listen="dual")["address"]
                   .rsplit(":", 1)[1])
        with Peer(there, source="127.0.0.2") as p:
            p.send(upgrade("/tcp"))
            b = s.accept()
            port = p.socket.getsockname()[1]
            assert b.until(b"\r\n").decode() == \
                f"PROXY TCP4 127.0.0.2 127.0.0.1 {port} " \
                f"{there.address.rsplit(':', 1)[1]}\r\n"
            assert r.wait_log("open")["peer"] == f"127.0.0.2:{port}"
            answer = ask(there, upgrade("/echo"), source="127.0.0.2")
            assert (answer.status, answer.word) == (429, "limit-address")
            b.close()
        answer = ask(there, upgrade("/echo"), source="127.0.0.2")
        assert (answer.status, answer.word) == (429, "limit-rate")
        answer = ask(there, upgrade("/echo", X_Forwarded_For="192.0.2.7"),
                     source="127.0.0.4")
        assert r.wait_log("open", id=answer.id)["peer"] == "192.0.2.7"
        with Peer(there, source="127.0.0.3", tls=False) as p:
            with contextlib.suppress(ConnectionResetError):
                assert p.at_end()
        r.wait_log("refuse", reason="address", detail="on the socket")


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


def test_handshake_rate_is_told_to_pages(relay):
    r = relay(ECHO, listen="handshake_rate = 2/h")
    assert status(r) == status(r) == 101
    answer = ask(r, upgrade("/echo", Origin=f"{HTTP}://localhost"))
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


def test_unix_peers_are_counted_by_no_limit(relay):
    """They have no address."""
    r = relay(ECHO, listen="""
[listen local]
address = unix:{dir}/relay.sock
hosts = *
handshake_rate = 1/h
max_connections_per_ip = 1
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


LISTED = """
[route {0}]
path = /{0}
backend = echo:
auth = none
{1}

[page {0}]
path = /page/{0}
root = {{dir}}
{1}
"""


@pytest.mark.parametrize("lines, let_in", [
    ("allow = 192.0.2.0/24", False),
    ("allow = 0.0.0.0/0 ::/0", False),
    ("allow = 192.0.2.0/24 unix", True),
    ("allow = unix", True),
    ("deny = unix", False),
    ("deny = 192.0.2.0/24", True),
], ids=["network", "all-networks", "network-and-unix", "unix", "deny-unix",
        "deny-network"])
def test_lists_are_for_unix_peers_too(relay, lines, let_in):
    """Routes and pages; on the socket, and behind a proxy there that names
    nobody."""
    r = relay(LISTED.format("x", lines), listen="""
[listen local]
address = unix:{dir}/relay.sock
hosts = *
[listen proxied]
address = unix:{dir}/proxied.sock
hosts = *
trusted_proxies = unix
""")
    (r.dir / "a.txt").write_text("a file\n")
    for listen in "local", "proxied":
        answer = ask(r, upgrade("/x"), listen)
        assert answer.status == (101 if let_in else 403)
        page = ask(r, head("/page/x/a.txt"), listen)
        assert page.status == (200 if let_in else 403)
        if not let_in:
            assert (answer.word, page.word) == ("address", "address")
            assert r.wait_log("refuse", id=answer.id)["peer"] == "unix"
    if "192.0.2.0/24" in lines:
        client = {"X_Forwarded_For": "192.0.2.7"}
        listed = lines.startswith("allow")
        assert ask(r, upgrade("/x", **client), "proxied").status == \
            (101 if listed else 403)
        assert ask(r, head("/page/x/a.txt", **client), "proxied").status == \
            (200 if listed else 403)


def test_lists_of_a_listener_are_for_unix_peers_too(relay):
    """Without a proxy they are closed before a byte is read."""
    r = relay(ECHO, listen="""
[listen local]
address = unix:{dir}/local.sock
hosts = *
allow = 192.0.2.0/24
[listen listed]
address = unix:{dir}/listed.sock
hosts = *
allow = 192.0.2.0/24 unix
[listen proxied]
address = unix:{dir}/proxied.sock
hosts = *
trusted_proxies = unix
allow = 192.0.2.0/24
""")
    with Peer(r, "local", tls=False) as p:
        with contextlib.suppress(ConnectionResetError):
            assert p.at_end()
    r.wait_log("refuse", reason="address", detail="on the socket",
               peer="unix")
    assert ask(r, upgrade("/echo"), "listed").status == 101
    assert ask(r, upgrade("/echo"), "proxied").word == "address"
    assert ask(r, upgrade("/echo", X_Forwarded_For="192.0.2.7"),
               "proxied").status == 101


@pytest.mark.parametrize("line, mode", [
    ("", 0o660), ("socket_mode = 0666", 0o666), ("socket_mode = 0600", 0o600)],
    ids=["default", "everybody", "user"])
def test_mode_of_a_unix_socket(relay, line, mode):
    r = relay(ECHO, listen=f"""
[listen local]
address = unix:{{dir}}/local.sock
{line}
""")
    path = r.dir / "local.sock"
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert ("socket_mode: is not set" in "\n".join(r.lines)) == (not line)
    assert ask(r, upgrade("/echo"), "local").status == 101


# --- max_connections_per_subject -------------------------------------------

SUBJECTS = """
[route one]
path = /one
backend = echo:
max_connections_per_subject = 2
origins = any
[route other]
path = /other
backend = echo:
max_connections_per_subject = 2
[route single]
path = /single
backend = echo:
max_connections_per_subject = 1
single_use = yes
keys = once
[route dead]
path = /dead
backend = tcp://127.0.0.1:1
framing = line
max_connections_per_subject = 1
[key once]
secret_file = {dir}/secret
leeway = 0
""" + KEY


def asks(path, sub="alice", key="lab", **fields):
    token = mint(path, sub=sub, drop=() if sub is not None else ("sub",),
                 header={"kid": key})
    return upgrade(f"{path}?token={token}", **fields)


def held(stack, r, data):
    p = stack.enter_context(Peer(r))
    p.send(data)
    assert p.answer().status == 101
    p.send(frame(b"in"))
    assert p.message() == (1, b"in")
    return p


@WORKERS
def test_connections_per_subject(relay, workers):
    r = relay(SUBJECTS, server=f"workers = {workers}")
    with contextlib.ExitStack() as stack:
        first = held(stack, r, asks("/one"))
        held(stack, r, asks("/one"))
        answer = ask(r, asks("/one"))
        assert (answer.status, answer.word) == (429, "limit-subject")
        assert int(answer["Retry-After"]) > 0
        answer = ask(r, asks("/one", Origin="http://a.example"))
        assert answer.close == (
            1013, "limit-subject: max_connections_per_subject is reached")
        assert r.wait_log("refuse", id=answer.id)["subject"] == "alice"
        # Others, other routes, and nobody in particular.
        held(stack, r, asks("/one", "bob"))
        held(stack, r, asks("/other"))
        # Another issuer's alice is somebody else.
        held(stack, r, asks("/one", key="once"))
        held(stack, r, asks("/one", key="once"))
        assert ask(r, asks("/one", key="once")).word == "limit-subject"
        for _ in range(3):
            held(stack, r, asks("/one", None))
            held(stack, r, asks("/one", ""))
        first.socket.close()
        first.file.close()
        r.wait_log("close", subject="alice")
        held(stack, r, asks("/one"))
        assert ask(r, asks("/one")).status == 429
    wait_for(lambda: len(r.log("close")) == len(r.log("open")))
    with contextlib.ExitStack() as stack:   # every place was given back, once
        held(stack, r, asks("/one"))
        held(stack, r, asks("/one"))
        assert ask(r, asks("/one")).status == 429


@WORKERS
def test_connections_per_subject_all_at_once(relay, workers):
    r = relay(SUBJECTS, server=f"workers = {workers}")
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Peer(r)) for _ in range(20)]

        def one(i):
            peers[i].send(asks("/one"))
            return peers[i].answer().status
        assert many(20, one) == {101: 2, 429: 18}


def test_the_refused_are_not_their_subjects_connections(relay):
    """Neither who is turned away and stays, nor whose backend is dead; and a
    token that was not used is good still."""
    r = relay(SUBJECTS)
    for _ in range(3):
        assert ask(r, asks("/dead")).status == 502
    with contextlib.ExitStack() as stack:
        p = held(stack, r, asks("/single", key="once"))
        late = asks("/single", key="once")
        stay = stack.enter_context(Peer(r))
        stay.send(late)
        assert stay.answer().word == "limit-subject"
        p.socket.close()
        p.file.close()
        r.wait_log("close")
        assert ask(r, late).echo == b"probe"
        assert ask(r, late).word == "token-used"


@WORKERS
@pytest.mark.parametrize("limit", [1, 2])
def test_who_comes_back_to_a_hub(relay, workers, limit):
    """The limit counts connections: with room for one more the driver's seat
    is taken over at once, without it not before the old one is gone."""
    r = relay(f"""
[route hub]
path = /hub
backend = room:
mode = hub
input = driver
queue_limit = 16M
max_connections_per_subject = {limit}
""" + KEY, server=f"workers = {workers}")

    def join(stack, sub):
        p = stack.enter_context(Peer(r))
        p.send(asks("/hub", sub))
        return p, p.answer().status
    with contextlib.ExitStack() as stack:
        viewer, status = join(stack, "alice")
        assert status == 101
        old, status = join(stack, "teacher")
        assert status == 101
        viewer.send(frame(b"1"))
        assert old.message() == (1, b"1")   # alice drives: she was the first
        viewer.socket.close()
        viewer.file.close()
        r.wait_log("close", subject="alice")
        viewer, status = join(stack, "bob")
        assert status == 101
        old.send(frame(b"2"))
        assert viewer.message() == (1, b"2")
        new, status = join(stack, "teacher")
        assert status == (101 if limit == 2 else 429)
        if limit == 2:
            new.send(frame(b"3"))
            assert viewer.message() == (1, b"3")
        else:
            old.socket.close()
            old.file.close()
            r.wait_log("close", subject="teacher")
            assert join(stack, "teacher")[1] == 101


# --- Forwarded -------------------------------------------------------------

PROXIED = "hosts = relay.example\ntrusted_proxies = 127.0.0.1 10.0.0.0/8\n"


@pytest.fixture(scope="module")
def proxied(tmp_path_factory):
    r = Relay(ECHO + """
[route same]
path = /same
backend = echo:
auth = none
""", tmp_path_factory.mktemp("relay"), listen=PROXIED + """
[listen local]
address = unix:{dir}/relay.sock
hosts = relay.example
trusted_proxies = unix
[listen acl]
address = 127.0.0.1:0
hosts = *
trusted_proxies = 127.0.0.1
allow = 192.0.2.0/24
deny = 192.0.2.128/25
""")
    yield r
    r.stop()


@pytest.mark.parametrize("fields, peer", [
    (["for=192.0.2.7"], "192.0.2.7"),
    (["For=\"192.0.2.7:4711\""], "192.0.2.7"),
    (["for=\"[2001:db8::7]:4711\";by=_x"], "2001:db8::7"),
    (["for=\"[::ffff:192.0.2.7]\""], "192.0.2.7"),
    (["for=6.6.6.6, for=192.0.2.7"], "192.0.2.7"),
    (["for=6.6.6.6", "for=192.0.2.7"], "192.0.2.7"),
    (["for=6.6.6.6, for=192.0.2.7, for=10.1.2.3"], "192.0.2.7"),
    (["for=10.1.1.1, for=10.1.2.3"], "10.1.1.1"),
    (["for=6.6.6.6, for=unknown"], "127.0.0.1"),
    (["for=6.6.6.6, for=_hidden, for=10.1.2.3"], "10.1.2.3"),
    (["for=\"evil, for=10.9.9.9\", for=192.0.2.7"], "192.0.2.7"),
    (["proto=http"], "127.0.0.1"), ([""], "127.0.0.1")], ids=str)
def test_forwarded_is_read_from_the_right(proxied, fields, peer):
    answer = ask(proxied, upgrade("/echo", Host="relay.example",
                                  Forwarded=fields))
    assert answer.status == 101
    said = proxied.wait_log("open", id=answer.id)["peer"]
    assert said.rsplit(":", 1)[0].strip("[]") == peer or said == peer


@pytest.mark.parametrize("fields", [
    {"Forwarded": "for=\"192.0.2.7"}, {"Forwarded": "for=192.0.2.7:80"},
    {"Forwarded": "192.0.2.7"}, {"Forwarded": "for=localhost"},
    {"Forwarded": "for=192.0.2.7;for=192.0.2.7"},
    {"Forwarded": "x=\", for=\"[2001:db8::7]\""},
    {"Forwarded": "for=192.0.2.7;host=\"a b\""},
    # One of the two is the client's own; nobody knows which.
    {"Forwarded": "for=10.0.0.9", "X_Forwarded_For": "192.0.2.7"},
    {"Forwarded": "for=192.0.2.7", "X_Forwarded_For": "10.0.0.9"},
    {"Forwarded": "for=192.0.2.7, for=10.0.0.9",
     "X_Forwarded_For": "192.0.2.8, 10.0.0.9"},
    {"Forwarded": "for=192.0.2.7;proto=https", "X_Forwarded_Proto": "http"},
    {"Forwarded": "for=192.0.2.7;host=relay.example",
     "X_Forwarded_Host": "other.example"}], ids=str)
def test_forwarded_that_nobody_can_believe(proxied, fields):
    fields = {"Host": "relay.example", **fields}
    answer = ask(proxied, upgrade("/echo", **fields))
    assert (answer.status, answer.word) == (400, "bad-request")
    line = proxied.wait_log("refuse", id=answer.id)
    assert line["detail"].startswith("Forwarded ")
    assert line["peer"].startswith("127.0.0.1:")
    # From others than proxies it says nothing, well-formed or not.
    assert ask(proxied, upgrade("/echo", **fields),
               source="127.0.0.9").status == 101


def test_both_that_agree(proxied):
    answer = ask(proxied, upgrade(
        "/same", Host="inner", Origin="https://relay.example",
        Forwarded="for=192.0.2.7;proto=https;host=relay.example",
        X_Forwarded_For="192.0.2.7", X_Forwarded_Proto="https",
        X_Forwarded_Host="relay.example"))
    assert answer.echo == b"probe"
    assert proxied.wait_log("open", id=answer.id)["peer"] == "192.0.2.7"


@pytest.mark.parametrize("forwarded, origin, enters", [
    ("for=192.0.2.7;proto=https", "https", True),
    ("for=192.0.2.7;proto=wss", "https", True),
    ("for=192.0.2.7;proto=https", "http", False),
    ("for=192.0.2.7", HTTP, True), ("for=192.0.2.7", OTHER, False),
    # That of the proxy that the client spoke to; not the client's own.
    ("for=192.0.2.7;proto=https, for=10.0.0.2;proto=http", "https", True),
    ("for=6.6.6.6;proto=https, for=192.0.2.7;proto=http", "https", False),
    ("for=6.6.6.6;proto=" + OTHER + ", for=192.0.2.7", OTHER, False)])
def test_forwarded_proto_and_host(proxied, forwarded, origin, enters):
    forwarded = forwarded.replace("for=192.0.2.7",
                                  "for=192.0.2.7;host=relay.example")
    answer = ask(proxied, upgrade("/same", Host="inner", Forwarded=forwarded,
                                  Origin=origin + "://relay.example"))
    assert bool(answer.echo) == enters
    assert enters or answer.word == "origin"


def test_forwarded_over_a_unix_socket(proxied):
    answer = ask(proxied, upgrade("/echo", Host="relay.example",
                                  Forwarded="for=192.0.2.7"), "local")
    assert proxied.wait_log("open", id=answer.id)["peer"] == "192.0.2.7"
    answer = ask(proxied, upgrade("/echo", Host="relay.example",
                                  Forwarded="for=unknown"), "local")
    assert proxied.wait_log("open", id=answer.id)["peer"] == "unix"


def test_forwarded_over_a_unix_socket_reaches_a_backend(relay):
    """There is an address to tell, though the socket has none."""
    with Server(tls=False) as s:
        r = relay(f"""
[route tcp]
path = /tcp
backend = {s.uri}
framing = line
send_proxy = v1
auth = none
""", listen="""
[listen local]
address = unix:{dir}/relay.sock
trusted_proxies = unix
""")
        with Peer(r, "local") as p:
            p.send(upgrade("/tcp", Forwarded="for=192.0.2.7"))
            b = s.accept()
            assert b.until(b"\r\n") == \
                b"PROXY TCP4 192.0.2.7 0.0.0.0 0 0\r\n"
            b.close()


@pytest.mark.parametrize("client, enters", [
    ("192.0.2.1", True), ("192.0.2.128", False), ("198.51.100.1", False),
    ("\"[::ffff:192.0.2.1]\"", True), ("\"[::ffff:192.0.2.128]\"", False),
    ("unknown", False), ("192.0.2.1, for=192.0.2.128", False)])
def test_acl_and_forwarded(proxied, client, enters):
    answer = ask(proxied, upgrade("/echo", Forwarded="for=" + client), "acl")
    assert answer.status == (101 if enters else 403)
    assert enters or answer.word == "address"


@WORKERS
def test_limits_and_forwarded(relay, workers):
    r = relay(ECHO, server=f"workers = {workers}",
              listen="trusted_proxies = 127.0.0.1\n"
              "max_connections_per_ip = 1\n")
    with contextlib.ExitStack() as stack:
        for client in ("192.0.2.1", "192.0.2.2", "\"[2001:db8::1]\""):
            p = stack.enter_context(Peer(r))
            p.send(upgrade("/echo", Forwarded="for=" + client))
            assert p.answer().status == 101
        for client in ("192.0.2.1", "6.6.6.6, for=192.0.2.2",
                       "\"[::ffff:192.0.2.1]:80\"", "\"[2001:db8::2]:80\""):
            answer = ask(r, upgrade("/echo", Forwarded="for=" + client))
            assert (answer.status, answer.word) == (429, "limit-address")


# nginx's own advice for $proxy_add_forwarded, of its documentation.
NGINX = r"""
daemon off;
master_process off;
pid {dir}/pid;
error_log {dir}/error.log;
events {}
http {
    access_log off;
    map $remote_addr $forwarded_elem {
        ~^[0-9.]+$ "for=$remote_addr";
        ~^[0-9A-Fa-f:.]+$ "for=\"[$remote_addr]\"";
        default "for=unknown";
    }
    client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2;
    fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4;
    scgi_temp_path {dir}/t5;
    server {
        listen 127.0.0.1:{port};
        location / {
            proxy_pass http://127.0.0.1:{relay};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_set_header Host $http_host;
            proxy_set_header Forwarded
                "{before}$forwarded_elem;host=\"$http_host\";proto=$scheme";
        }
    }
}
"""


@pytest.mark.skipif(not shutil.which("nginx"), reason="no nginx here")
@pytest.mark.plain("nginx speaks to it without TLS")
@pytest.mark.parametrize("before", ["", "$http_forwarded, "])
def test_behind_nginx_that_says_forwarded(relay, tmp_path, before):
    """Whether it adds to what a client says, or says it alone."""
    r = relay(ECHO.replace("origins = any", "origins = same"),
              listen="hosts = *\ntrusted_proxies = 127.0.0.1\n")
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    text = NGINX.replace("{dir}", str(tmp_path))
    (tmp_path / "nginx.conf").write_text(
        text.replace("{port}", str(port)).replace("{relay}", str(r.port))
        .replace("{before}", before))
    process = subprocess.Popen(["nginx", "-e", str(tmp_path / "error.log"),
                                "-c", str(tmp_path / "nginx.conf")])

    def listens():
        assert process.poll() is None
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return True
    try:
        wait_for(listens, "nginx")
        for said in (None, "for=6.6.6.6;proto=https;host=evil.example"):
            answer = ask(At(port), upgrade(
                "/echo", Host="relay.example:8080", Forwarded=said,
                Origin="http://relay.example:8080"), source="127.0.0.9")
            assert answer.echo == b"probe"
            assert r.wait_log("open", id=answer.id)["peer"] == "127.0.0.9"
    finally:
        process.terminate()
        process.wait(PATIENCE)
