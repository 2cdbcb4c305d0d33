"""[listen] proxy_protocol: what a proxy says before the first byte."""
import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import time

import pytest

import proxyhead
from peers import Server
from proxyhead import LOCAL, PROXY, TCP4, UDP4, UNIX, UNSPEC, tlv, v1, v2
from rawhttp import Peer, frame, head, upgrade
from relay import PATIENCE, free_port, wait_for

pytestmark = pytest.mark.plain(
    "a header stands in front of TLS; some of the tests here speak that")

ECHO = """
[route echo]
path = /echo
backend = echo:
auth = none
[page files]
path = /
root = {dir}
"""
LISTEN = "trusted_proxies = 127.0.0.1\nproxy_protocol = yes\nhosts = *\n"
WORKERS = pytest.mark.parametrize("workers", [1, 2])
UNKNOWN = b"PROXY UNKNOWN\r\n"
FORWARDED = {"X_Forwarded_For": "6.6.6.6", "X_Forwarded_Proto": "https",
             "X_Forwarded_Host": "evil.example"}


@pytest.fixture
def started(relay):
    def start(ini=ECHO, listen=LISTEN, **options):
        return relay(ini, listen=listen, **options)
    return start


class Behind(Peer):
    """A client behind a proxy that says this of it."""

    def __init__(self, r, header=v1(), listen="main", source=None):
        super().__init__(r, listen, source)
        self.send(header)

    def opened(self, path="/echo", **fields):
        self.send(upgrade(path, **fields))
        answer = self.answer()
        assert answer.status == 101, answer
        self.send(frame(b"in"))
        assert self.message() == (1, b"in")
        return answer

    def status(self, path="/echo", **fields):
        self.send(upgrade(path, **fields))
        return self.answer().status


def peer_of(r, answer):
    return r.wait_log("open", id=answer.id)["peer"]


def unanswered(p):
    """Closed, without a byte."""
    try:
        return p.file.read(1) == b""
    except ConnectionResetError:
        return True


# --- whose address it is ---------------------------------------------------

@WORKERS
@pytest.mark.parametrize("header, peer", [
    (v1(), "192.0.2.7:56324"),
    (v1("2001:db8::7"), "[2001:db8::7]:56324"),
    (v1("::ffff:192.0.2.7"), "192.0.2.7:56324"),
    (v2(), "192.0.2.7:56324"),
    (v2("2001:db8::7"), "[2001:db8::7]:56324"),
    (v2("::ffff:192.0.2.7"), "192.0.2.7:56324"),
    (v2(tlvs=tlv(4, b"x" * 4000)), "192.0.2.7:56324"),
    (proxyhead.head(PROXY, UDP4, v2()[16:]), "192.0.2.7:56324")],
    ids=["v1", "v1-6", "v1-mapped", "v2", "v2-6", "v2-mapped", "v2-long",
         "v2-http3"])
def test_the_header_says_whose_it_is(started, workers, header, peer):
    r = started(server=f"workers = {workers}")
    with Behind(r, header) as p:
        answer = p.opened()
        assert peer_of(r, answer) == peer
    assert r.wait_log("close", id=answer.id)["peer"] == peer


@pytest.mark.parametrize("header", [
    v1(), v2(), UNKNOWN, v2(tlvs=tlv(4, b"\r\n" * 9)),
    proxyhead.head(LOCAL, UNSPEC)],
    ids=["v1", "v2", "unknown", "tlv", "local"])
def test_cut_anywhere(started, header):
    """Byte by byte, each in a read of its own; and all in one piece with
    what follows, of which not a byte is lost."""
    r = started()
    whole = header + upgrade("/echo") + frame(b"one") + frame(b"two")
    for step in (1, 7, len(header), len(header) + 1, len(whole)):
        with Peer(r) as p:
            p.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for i in range(0, len(whole), step):
                p.send(whole[i:i + step])
            assert p.answer().status == 101
            assert [p.message(), p.message()] == [(1, b"one"), (1, b"two")]


@pytest.mark.parametrize("header, believed", [
    (UNKNOWN, False), (b"PROXY UNKNOWN 1.1.1.1 2.2.2.2 1 2\r\n", False),
    (proxyhead.head(PROXY, UNSPEC), False),
    (proxyhead.head(PROXY, UNSPEC, b"anything"), False),
    (proxyhead.head(PROXY, UNIX, b"/run/x".ljust(108, b"\0") * 2), False),
    (proxyhead.head(LOCAL, UNSPEC), True),
    (proxyhead.head(LOCAL, TCP4, v2("6.6.6.6")[16:]), True)],
    ids=["unknown", "unknown-rest", "unspec", "unspec-rest", "unix", "local",
         "local-address"])
def test_headers_without_an_address(started, header, believed):
    """The proxy's own stands for it. Of somebody that the proxy does not name
    the fields are not believed; of the proxy itself they are."""
    r = started()
    with Behind(r, header) as p:
        port = p.socket.getsockname()[1]
        assert peer_of(r, p.opened()) == f"127.0.0.1:{port}"
    with Behind(r, header) as p:
        port = p.socket.getsockname()[1]
        assert peer_of(r, p.opened(X_Forwarded_For="6.6.6.6")) == \
            ("6.6.6.6" if believed else f"127.0.0.1:{port}")


@pytest.mark.parametrize("client, fields, peer", [
    ("192.0.2.7", FORWARDED, "192.0.2.7:56324"),
    # A proxy behind the proxy.
    ("127.0.0.1", FORWARDED, "6.6.6.6"),
    ("::ffff:127.0.0.1", FORWARDED, "6.6.6.6"),
    ("127.0.0.1", {"X_Forwarded_For": "6.6.6.6, 192.0.2.9"}, "192.0.2.9")])
@pytest.mark.parametrize("make", [v1, v2])
def test_fields_of_who_is_behind(started, make, client, fields, peer):
    """What the client of a proxy says about itself is believed only if it is
    a trusted proxy, too."""
    with Server() as s:
        r = started("[route ws]\npath = /ws\nauth = none\n"
                    f"backend = ws://127.0.0.1:{s.port}/\n")
        with Behind(r, make(client)) as p:
            p.send(upgrade("/ws", Host="relay.example", **fields))
            b = s.accept_ws()
            b.accept()
            answer = p.answer()
            assert answer.status == 101
            assert peer_of(r, answer) == peer
            said = b.fields
            b.close()
        trusted = fields is FORWARDED and peer == "6.6.6.6"
        assert said["x-forwarded-for"] == peer.split(":")[0]
        assert said["x-forwarded-proto"] == ("https" if trusted else "http")
        assert said["x-forwarded-host"] == \
            ("evil.example" if trusted else "relay.example")


def test_backends_are_told(started, tmp_path):
    """Programs, sockets: the address, and its port where one is told."""
    program = tmp_path / "who.sh"
    program.write_text("#!/bin/sh\necho $REMOTE_ADDR\nexec cat\n")
    program.chmod(0o755)
    with Server() as s:
        r = started(f"""
[route exec]
path = /exec
backend = exec:{program}
auth = none
[route tcp]
path = /tcp
backend = {s.uri}
framing = line
send_proxy = v1
auth = none
""")
        with Behind(r, v2("2001:db8::7")) as p:
            assert p.status("/exec") == 101
            assert p.message() == (1, b"2001:db8::7")
        for client, said in (("192.0.2.7", "TCP4 192.0.2.7 127.0.0.1"),
                             ("2001:db8::7",
                              "TCP6 2001:db8::7 ::ffff:127.0.0.1")):
            with Behind(r, v2(client)) as p:
                p.send(upgrade("/tcp"))
                b = s.accept()
                assert b.until(b"\r\n").decode() == \
                    f"PROXY {said} 56324 {r.port}\r\n"
                b.close()


@pytest.mark.parametrize("header, secure", [
    (v1(), False), (v2(), False), (v2(tlvs=proxyhead.OVER_TLS), True),
    (v2(tlvs=tlv(0x20, b"\x06\0\0\0\0")), False)],
    ids=["v1", "v2", "over-tls", "not-over-tls"])
def test_tls_that_ends_in_the_proxy(started, header, secure):
    """Version 2 can say so; then pages are https and wsuris wss."""
    r = started(ECHO.replace("root = {dir}", "root = {dir}\ntemplate = yes") +
                "[key lab]\nsecret_file = {dir}/secret\n")
    (r.dir / "x.html").write_text("{{wsuri /echo}}")
    with Behind(r, header) as p:
        p.send(head("/x.html", Host="relay.example"))
        assert p.answer().body.decode().startswith(
            "wss://relay.example/" if secure else "ws://relay.example/")
    with Behind(r, header) as p:
        p.send(upgrade("/echo", Host="relay.example",
                       Origin="https://relay.example"))
        assert p.answer().status == 101
        p.send(frame(b"in"))
        assert p.message()[0] == (1 if secure else 8)


def test_a_unix_socket_may_be_a_proxy(started):
    r = started(listen="""
[listen local]
address = unix:{dir}/relay.sock
trusted_proxies = unix
proxy_protocol = yes
deny = 192.0.2.8
""")
    with Behind(r, v1(), "local") as p:
        assert peer_of(r, p.opened()) == "192.0.2.7:56324"
    with Behind(r, UNKNOWN, "local") as p:
        assert peer_of(r, p.opened(X_Forwarded_For="6.6.6.6")) == "unix"
    with Behind(r, v1("192.0.2.8"), "local") as p:
        assert unanswered(p)


# --- who is refused --------------------------------------------------------

HOSTILE = {
    "http": head("/"), "upgrade": upgrade("/echo"),
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 500,
    "nothing-like-it": b"HELO there\r\n", "nul": b"\0" * 300,
    "lower-case": b"proxy tcp4 192.0.2.7 127.0.0.1 1 2\r\n",
    "blank": b" " + v1(), "bare-lf": v1().replace(b"\r\n", b"\n") + v1(),
    "no-address": b"PROXY TCP4\r\n", "udp": v1().replace(b"TCP", b"UDP"),
    "six-in-four": b"PROXY TCP4 ::1 ::1 1 2\r\n",
    "leading-zero": b"PROXY TCP4 192.0.2.07 127.0.0.1 1 2\r\n",
    "port": b"PROXY TCP4 192.0.2.7 127.0.0.1 65536 2\r\n",
    "one-more": b"PROXY TCP4 192.0.2.7 127.0.0.1 1 2 3\r\n",
    "too-long": b"PROXY UNKNOWN " + b"x" * 200 + b"\r\n",
    "v2-version": proxyhead.SIGNATURE + b"\x11" + v2()[13:],
    "v2-command": proxyhead.head(0x22, TCP4, v2()[16:]),
    "v2-family": proxyhead.head(PROXY, 0x41, v2()[16:]),
    "v2-short": proxyhead.head(PROXY, TCP4, v2()[16:27]),
    "v2-too-long": v2(tlvs=tlv(4, b"x" * 5000)),
    "v2-longest": proxyhead.SIGNATURE + b"\x21\x11\xff\xff",
    "v2-tlv": v2(tlvs=tlv(4, b"xx")[:-1]),
    "v2-checksum": v2(tlvs=tlv(3, b"1234")),
    "v2-signature": b"\r\n\r\n\0\r\nQUIT\r" + v2()[12:],
}


@WORKERS
@pytest.mark.parametrize("half", [0, 1])    # 20 are logged in a second
def test_no_proper_header(started, workers, half):
    """Closed at once without a byte, logged once, nothing is left."""
    r = started(server=f"workers = {workers}")
    before = r.descriptors()
    cases = list(HOSTILE.items())[half::2]
    assert len(cases) < 20
    for name, data in cases:
        with Peer(r) as p:
            p.send(data)
            assert unanswered(p), name
            port = p.socket.getsockname()[1]
        line = r.wait_log("refuse", peer=f"127.0.0.1:{port}")
        assert line["reason"] == "proxy-header", name
        assert line["detail"] and line["listen"] == "main", name
    wait_for(lambda: r.descriptors() == before)
    assert len(r.log("refuse")) == len(cases)
    with Behind(r) as p:
        p.opened()


def test_nobody_but_proxies(started):
    """From elsewhere not even a good header helps."""
    r = started()
    for data in (v1(), v2(), upgrade("/echo"), b""):
        with Peer(r, source="127.0.0.2") as p:
            with contextlib.suppress(ConnectionError):
                p.send(data)
            assert unanswered(p)
    r.wait_log("refuse", count=4, reason="proxy-peer")
    assert all(x["peer"].startswith("127.0.0.2:") for x in r.log("refuse"))


def test_looking_whether_it_is_there(started):
    """A proxy's health check by connecting alone is nobody's fault."""
    r = started()
    for _ in range(3):
        with Peer(r):
            pass
    with Behind(r, proxyhead.head(LOCAL, UNSPEC)):
        pass
    with Behind(r, proxyhead.head(LOCAL, UNSPEC)) as p:
        p.send(head("/healthz"))
        assert p.answer().status == 200
    with Peer(r) as p:
        p.send(v1()[:20])
    r.wait_log("refuse", reason="proxy-header", detail="it ended too early")
    assert len(r.log("refuse")) == 1


@pytest.mark.parametrize("sent", [v1()[:-1], v2()[:-1], v2()[:13], b"P"],
                         ids=["v1", "v2", "v2-head", "P"])
def test_a_header_that_does_not_end(started, sent):
    """It is given handshake_timeout, however slowly it trickles."""
    r = started(listen=LISTEN + "handshake_timeout = 1s\n")
    with Peer(r) as p:
        start = time.monotonic()
        with contextlib.suppress(ConnectionError):
            for i in range(len(sent)):
                p.send(sent[i:i + 1])
                time.sleep(0.9 / len(sent))     # the trickle
        assert unanswered(p)
        assert 0.95 < time.monotonic() - start < PATIENCE
    line = r.wait_log("refuse", reason="proxy-header")
    assert line["detail"] == "not complete in handshake_timeout"


def test_the_time_is_one_for_header_and_request(started):
    r = started(listen=LISTEN + "handshake_timeout = 1s\n")
    with Peer(r) as silent, Behind(r) as p, Behind(r) as begun:
        begun.send(b"GET / HTT")
        assert begun.answer().status == 408
        assert unanswered(silent)
        assert unanswered(p)
    assert r.wait_log("refuse")["reason"] == "head-timeout"
    assert len(r.log("refuse")) == 1


def test_half_a_header_costs_no_processor(started):
    """The bytes are taken off the socket, so that it does not wake anybody."""
    r = started()

    def used():
        with open(f"/proc/{r.pid}/stat", encoding="ascii") as f:
            return sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13]))
    with Peer(r) as p:
        p.send(v1()[:30])
        with Behind(r) as other:        # then it has read the half, too
            other.send(head("/healthz"))
            assert other.answer().status == 200
        before = used()
        time.sleep(1)                   # in which it does nothing
        assert used() - before < 30     # hundredths of a second
        p.send(v1()[30:] + upgrade("/echo"))
        assert p.answer().status == 101


def test_stopping_does_not_wait_for_headers(started):
    r = started(server="drain_timeout = 1h")
    with Peer(r), Behind(r, v1()[:20]), Behind(r):
        r.wait_log("listen")
        start = time.monotonic()
        r.stop()
        assert time.monotonic() - start < PATIENCE


def test_who_waits_for_its_header_is_pending(started):
    """The oldest gives way, without a word in front of TLS or HTTP."""
    r = started(listen=LISTEN + "max_pending = 3\n", server="workers = 1")
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Behind(r, v1()[:20]))]
        peers += [stack.enter_context(Peer(r)) for _ in range(3)]
        r.wait_log("refuse", reason="limit-pending")
        assert unanswered(peers[0])
        peers[1].send(v1() + upgrade("/echo"))
        assert peers[1].answer().status == 101


# --- ACLs and limits -------------------------------------------------------

@pytest.mark.parametrize("client, enters", [
    ("192.0.2.1", True), ("192.0.2.128", False), ("198.51.100.1", False),
    ("::ffff:192.0.2.1", True), ("::ffff:192.0.2.128", False),
    ("2001:db8::1", False)])
@pytest.mark.parametrize("make", [v1, v2])
def test_allow_and_deny(started, make, client, enters):
    """Before the first byte behind the header is read."""
    r = started(listen=LISTEN +
                "allow = 192.0.2.0/24\ndeny = 192.0.2.128/25\n")
    with Behind(r, make(client)) as p:
        if enters:
            p.opened()
            return
        assert unanswered(p)
    line = r.wait_log("refuse", reason="address")
    assert line["detail"] == "in the PROXY header"
    assert client.removeprefix("::ffff:") in line["peer"]


@WORKERS
def test_limits_count_the_client(started, workers):
    r = started(server=f"workers = {workers}",
                listen=LISTEN + "max_connections_per_ip = 2\n")
    with contextlib.ExitStack() as stack:
        def behind(header):
            return stack.enter_context(Behind(r, header))
        for i in range(3):
            behind(v1(f"192.0.2.{i}")).opened()
        behind(v2("192.0.2.1")).opened()
        assert behind(v1("192.0.2.1")).status() == 429
        assert behind(v2("::ffff:192.0.2.1")).status() == 429
        for i in (1, 2):
            behind(v2(f"2001:db8::{i}:1")).opened()
        assert behind(v1("2001:db8:0:0:ffff::1")).status() == 429
        behind(v1("2001:db8:0:1::1")).opened()
        # The proxy itself, and whom it does not name, are not counted.
        for _ in range(3):
            behind(UNKNOWN).opened()
            behind(proxyhead.head(LOCAL, UNSPEC)).opened()
    wait_for(lambda: len(r.log("close")) == len(r.log("open")))
    with Behind(r, v1("192.0.2.1")) as p:
        p.opened()


@WORKERS
def test_rates_count_the_client(started, workers):
    r = started(server=f"workers = {workers}",
                listen=LISTEN + "handshake_rate = 2/h\n")

    def status(client, make=v1):
        with Behind(r, make(client)) as p:
            try:
                return p.status()
            except (ConnectionError, AttributeError):
                return None     # closed without an answer
    for make in (v1, v2, v1):
        assert status("127.0.0.1", make) == 101     # a proxy behind the proxy
    assert [status("192.0.2.1") for _ in range(5)] == \
        [101, 101, 429, 429, None]
    assert status("::ffff:192.0.2.1") is None
    assert status("192.0.2.2", v2) == 101
    assert [status(f"2001:db8::{i}:1") for i in range(3)] == [101, 101, 429]


# --- in front of TLS -------------------------------------------------------

@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key.pem", "-out",
         "cert.pem", "-subj", "/CN=relay.example"],
        cwd=folder, check=True, capture_output=True)
    (folder / "both.pem").write_text((folder / "cert.pem").read_text() +
                                     (folder / "key.pem").read_text())
    return folder


class Tls:
    """A client's TLS that puts bytes in front, and cuts what it sends."""

    def __init__(self, p, before, step=1 << 20):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.p, self.before, self.step = p, before, step
        self.wire_in, self.wire_out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.wire_in, self.wire_out)

    def flush(self):
        data = self.before + self.wire_out.read()
        self.before = b""
        for i in range(0, len(data), self.step):
            self.p.socket.sendall(data[i:i + self.step])

    def wait(self, function, *args):
        while True:
            try:
                value = function(*args)
                self.flush()
                return value
            except ssl.SSLWantReadError:
                self.flush()
                data = self.p.socket.recv(65536)
                if not data:
                    raise ConnectionError("it ended") from None
                self.wire_in.write(data)

    def status(self, **fields):
        """Of an upgrade."""
        self.wait(self.tls.do_handshake)
        self.wait(self.tls.write,
                  upgrade("/echo", Host="relay.example", **fields))
        said = b""
        while b"\r\n\r\n" not in said:
            said += self.wait(self.tls.read, 65536)
        return int(said[9:12])

    def speak(self):
        assert self.status(Origin="https://relay.example") == 101
        self.wait(self.tls.write, frame(b"in"))
        assert self.wait(self.tls.read, 65536) == b"\x81\x02in"


@pytest.fixture
def over_tls(started, certificate):
    def start(listen="", **options):
        return started(ECHO + f"""
[certificate c]
chain_file = {certificate}/cert.pem
key_file = {certificate}/key.pem
""", listen=LISTEN + "certificates = c\n" + listen, **options)
    return start


@WORKERS
@pytest.mark.parametrize("header, peer", [
    (v1(), "192.0.2.7:56324"), (v2(), "192.0.2.7:56324"),
    (v2(tlvs=tlv(4, b"\x16\x03\x01" * 100)), "192.0.2.7:56324"),
    (UNKNOWN, "127.0.0.1:"), (proxyhead.head(LOCAL, UNSPEC), "127.0.0.1:")],
    ids=["v1", "v2", "tlv", "unknown", "local"])
def test_in_front_of_tls(over_tls, workers, header, peer):
    """Not one byte of TLS is taken for the header's, however they come."""
    r = over_tls(server=f"workers = {workers}")
    for step in (1 << 20, 1, 5, len(header), len(header) + 1):
        with Peer(r) as p:
            p.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Tls(p, header, step).speak()
    r.wait_log("open", count=5)
    for line in r.log("open"):
        assert line["peer"].startswith(peer)
        assert line["tls"].startswith("TLSv1.")
    assert not r.log("refuse")


def test_what_is_not_in_front_of_tls(over_tls):
    """TLS without a header, a header without TLS, one inside of TLS; nobody
    shakes hands with who is kept out."""
    r = over_tls("deny = 192.0.2.8\n")
    with Peer(r) as p:
        with pytest.raises(ConnectionError):
            Tls(p, b"").speak()
    r.wait_log("refuse", reason="proxy-header", detail="TLS came without one")
    with Behind(r, v1("192.0.2.8")) as p:
        with pytest.raises(ConnectionError):
            Tls(p, b"").speak()
    r.wait_log("refuse", reason="address", detail="in the PROXY header")
    with Behind(r) as p:
        p.send(upgrade("/echo"))
        assert p.answer().word == "tls-missing"
    with Behind(r, v1() + v2()) as p:
        with pytest.raises((ConnectionError, ssl.SSLError)):
            Tls(p, b"").speak()
    r.wait_log("refuse", reason="tls-handshake")
    with Behind(r) as p:
        Tls(p, b"").speak()


@pytest.mark.parametrize("make", [None, v1])
def test_rates_in_front_of_tls(over_tls, make):
    """Two come in, two are told, and with the others nobody shakes hands."""
    r = over_tls("handshake_rate = 2/h\n" if make else """
[listen plain]
address = 127.0.0.1:0
hosts = *
certificates = c
handshake_rate = 2/h
""")

    def status():
        with Peer(r, "main" if make else "plain") as p:
            try:
                return Tls(p, make() if make else b"").status()
            except (ConnectionError, ssl.SSLError):
                return None
    assert [status() for _ in range(6)] == [101, 101, 429, 429, None, None]
    r.wait_log("refuse", count=4, reason="limit-rate")
    assert not r.log("refuse", reason="tls-handshake")


# --- real proxies ----------------------------------------------------------

@contextlib.contextmanager
def haproxy(folder, port, server, bind=""):
    (folder / "haproxy.cfg").write_text("\n\t".join([
        "defaults", "mode tcp", "timeout connect 30s", "timeout client 30s",
        "timeout server 30s\nfrontend f", f"bind 127.0.0.1:{port} {bind}",
        "default_backend b\nbackend b", f"server s {server}"]) + "\n")
    with open(folder / "haproxy.log", "wb") as log:
        process = subprocess.Popen(
            ["haproxy", "-db", "-f", str(folder / "haproxy.cfg")],
            stdout=log, stderr=log)

    def listens():
        assert process.poll() is None, (folder / "haproxy.log").read_text()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return True
    try:
        wait_for(listens, "HAProxy")
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE)


needs_haproxy = pytest.mark.skipif(
    not shutil.which("haproxy"), reason="no haproxy here")


@needs_haproxy
@pytest.mark.parametrize("option", [
    "send-proxy", "send-proxy-v2", "send-proxy-v2-ssl",
    "send-proxy-v2 proxy-v2-options crc32c,unique-id,authority"])
def test_behind_haproxy(started, tmp_path, option):
    """In front of the real one, with its health checks."""
    r = started()
    port = free_port()
    with haproxy(tmp_path, port, f"127.0.0.1:{r.port} {option} check inter "
                 "100ms" + ("" if "v2" in option else " check-send-proxy")):
        s = socket.create_connection(("127.0.0.1", port), PATIENCE,
                                     source_address=("127.0.0.5", 0))
        source = "127.0.0.5:%d" % s.getsockname()[1]
        with s, s.makefile("rb") as file:
            s.sendall(upgrade("/echo") + frame(b"both ways"))
            assert file.readline() == b"HTTP/1.1 101 Switching Protocols\r\n"
            while file.readline() != b"\r\n":
                pass
            assert file.read(11) == b"\x81\x09both ways"
        assert r.wait_log("open")["peer"] == source
    assert not r.log("refuse")


@needs_haproxy
def test_haproxy_ends_tls(started, certificate, tmp_path):
    """In TCP mode nobody adds fields: version 2 says that it was TLS."""
    r = started(ECHO.replace("root = {dir}", "root = {dir}\ntemplate = yes") +
                "[key lab]\nsecret_file = {dir}/secret\n")
    (r.dir / "x.json").write_text(json.dumps("{{wsuri /echo}}"))
    port = free_port()
    with haproxy(tmp_path, port, f"127.0.0.1:{r.port} send-proxy-v2-ssl",
                 f"ssl crt {certificate}/both.pem"):
        said = subprocess.run(
            ["curl", "-sk", "--max-time", "30", "-H", "Host: relay.example",
             f"https://127.0.0.1:{port}/x.json"],
            capture_output=True, text=True, check=True).stdout
    assert json.loads(said).startswith("wss://relay.example/echo?token=")


@needs_haproxy
@pytest.mark.parametrize("option", ["send-proxy", "send-proxy-v2"])
def test_haproxy_passes_tls_on(over_tls, tmp_path, option):
    r = over_tls()
    port = free_port()
    with haproxy(tmp_path, port, f"127.0.0.1:{r.port} {option} check inter "
                 "100ms" + ("" if "v2" in option else " check-send-proxy")):
        said = subprocess.run(
            ["curl", "-sk", "--max-time", "30", "--interface", "127.0.0.5",
             f"https://127.0.0.1:{port}/healthz"],
            capture_output=True, text=True, check=True).stdout
        assert said == "ok\n"
        with socket.create_connection(("127.0.0.1", port), PATIENCE,
                                      source_address=("127.0.0.5", 0)) as s:
            peer = type("P", (), {"socket": s})
            Tls(peer, b"").speak()
            source = "127.0.0.5:%d" % s.getsockname()[1]
        assert r.wait_log("open")["peer"] == source
    assert not r.log("refuse")


def test_behind_curl(started):
    """Another maker of headers."""
    r = started()
    (r.dir / "a.txt").write_text("a file\n")
    said = subprocess.run(
        ["curl", "-s", "--max-time", "30", "--haproxy-protocol",
         f"http://127.0.0.1:{r.port}/a.txt"],
        capture_output=True, text=True, check=True).stdout
    assert said == "a file\n"
    assert r.wait_log("page")["peer"].startswith("127.0.0.1:")
