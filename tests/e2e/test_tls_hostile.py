"""TLS of listeners against those who do not want to talk: silence, noise,
spoilt handshakes, cut streams."""
import random
import socket
import ssl
import time

import pytest

from peers import TEXT, Client, Wire, frame
from rawhttp import Peer, ask, head, upgrade
from relay import PATIENCE, dial, wait_for
from secure import TlsSocket, Truncated
from test_tls import ECHO, VERSIONS, context, echoes

pytestmark = pytest.mark.plain("it always speaks TLS")


def plain(r, listen="main"):
    address = r.wait_log("listen", listen=listen)["address"]
    return dial(("127.0.0.1", int(address.rsplit(":", 1)[1])), tls=False)


def drained(sock):
    """Everything up to the end, with a reset or not."""
    data = b""
    try:
        while more := sock.recv(65536):
            data += more
    except ConnectionError:
        pass
    return data


def nothing_left(r, descriptors):
    wait_for(lambda: r.descriptors() <= descriptors, "their end")
    assert echoes(r)


# --- plain on TLS, TLS on plain ----------------------------------------------

@pytest.mark.parametrize("request_", [
    head("/"), head("/", "POST", lines=["Content-Length: 5"]) + b"hello",
    upgrade("/echo"), head("/" + "x" * 6000), b"GET",
    head("/", "HEAD"), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], ids=range(7))
def test_http_on_a_tls_port(tls_relay, request_):
    """A person who wrote http by mistake can read why it fails."""
    r = tls_relay(ECHO)
    with plain(r) as s:
        s.sendall(request_)
        answer = drained(s).decode()
    assert answer.startswith("HTTP/1.1 400 ")
    assert "\r\n\r\ntls-missing: this port speaks TLS" in answer
    assert "https" in answer and "wss" in answer
    assert r.wait_log("refuse")["reason"] == "tls-missing"
    assert echoes(r)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_tls_on_a_plain_port(relay, version):
    """It would not understand an answer; the log says what it was."""
    r = relay(ECHO, secure=False)
    with pytest.raises((ssl.SSLError, Truncated)):
        r.socket(tls=True, context=context(version))
    line = r.wait_log("refuse")
    assert line["reason"] == "tls-unexpected"
    assert ask(r, upgrade("/echo"), tls=False).echo


def test_tls_after_a_request_on_a_plain_port(relay):
    """Only the first byte can be TLS; later it is no request."""
    r = relay(ECHO, secure=False)
    with Peer(r, tls=False) as p:
        p.send(head("/healthz"))
        assert p.answer().status == 200
        p.send(b"\x16\x03\x01\x00\x05hello\r\n\r\n")
        assert p.answer().status == 400


# --- silence -----------------------------------------------------------------

def client_hello(version="1.2", name="localhost"):
    """What a client says first."""
    out = ssl.MemoryBIO()
    tls = context(version).wrap_bio(ssl.MemoryBIO(), out,
                                    server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return out.read()


@pytest.mark.parametrize("how", ["silent", "one-byte", "hello"])
def test_silence_in_the_handshake(tls_relay, how):
    """Ended and counted at handshake_timeout, whatever came before."""
    r = tls_relay(ECHO, listen="handshake_timeout = 500ms")
    descriptors = r.descriptors()
    start = time.monotonic()
    with plain(r) as s:
        if how != "silent":
            hello = client_hello()
            s.sendall(hello[:1] if how == "one-byte" else hello)
        drained(s)
        assert 0.45 < time.monotonic() - start < PATIENCE
    line = r.wait_log("refuse")
    assert line["reason"] == "tls-timeout"
    nothing_left(r, descriptors)


def test_one_byte_at_a_time(tls_relay):
    """Life signs give nobody more time. (Who is done in time may dawdle as
    much.)"""
    r = tls_relay(ECHO, listen="handshake_timeout = 1s")
    descriptors = r.descriptors()
    start = time.monotonic()
    with plain(r) as s:
        s.settimeout(0.1)
        for byte in client_hello():
            try:
                s.sendall(bytes([byte]))
                if not s.recv(1000):
                    break
            except TimeoutError:
                pass
            except ConnectionError:
                break
        assert 0.9 < time.monotonic() - start < PATIENCE
    assert r.wait_log("refuse")["reason"] == "tls-timeout"
    nothing_left(r, descriptors)


def test_a_hello_in_single_bytes(tls_relay):
    """Slow, but in time."""
    r = tls_relay(ECHO)

    class Dawdling(socket.socket):
        def send(self, data, *_):
            return super().send(data[:1])

    s = Dawdling()
    s.connect(("127.0.0.1", r.port))
    s.settimeout(PATIENCE)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with Wire(TlsSocket(s, context(), "localhost", resume=False)) as w:
        w.write(head("/healthz"))
        assert w.until(b"ok\n")


def test_silence_behind_the_handshake(tls_relay):
    """handshake_timeout is for the request, too."""
    r = tls_relay(ECHO, listen="handshake_timeout = 500ms")
    start = time.monotonic()
    with Wire(r.socket(tls=True)) as w:
        assert w.rest() == b""
        assert 0.4 < time.monotonic() - start < PATIENCE
    with Wire(r.socket(tls=True)) as w:
        w.write(b"GET / HTTP/1.1\r\n")
        assert w.rest().startswith(b"HTTP/1.1 408")


def test_many_silent_ones_make_way(tls_relay):
    """Handshakes that wait count as pending; who is in is not touched."""
    r = tls_relay(ECHO, listen="max_pending = 10", server="workers = 1")
    with Client(r, "/echo", tls=True) as c:
        silent = [plain(r) for _ in range(30)]
        for s in silent:
            s.sendall(client_hello()[:20])
        r.wait_log("refuse", 20, reason="limit-pending")
        assert echoes(r)
        c.send(TEXT, "still here")
        assert c.recv().text == "still here"
        for s in silent:
            s.close()


# --- noise -------------------------------------------------------------------

def noises():
    r = random.Random(4)
    yield "zeros", bytes(1000)
    yield "random", r.randbytes(5000)
    yield "a long record", b"\x16\x03\x01\xff\xff" + r.randbytes(70000)
    yield "an empty record", b"\x16\x03\x01\x00\x00" * 100
    yield "a hello of nothing", b"\x16\x03\x01\x00\x04\x01\x00\x00\x00"
    yield "a hello that never ends", \
        b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + bytes(16380)
    yield "an alert", b"\x15\x03\x01\x00\x02\x02\x28"
    yield "alerts that do not matter", b"\x15\x03\x03\x00\x02\x01\x29" * 2000
    yield "data first", b"\x17\x03\x03\x00\x10" + bytes(16)
    yield "change cipher spec", b"\x14\x03\x03\x00\x01\x01" * 100
    yield "a heartbeat", b"\x18\x03\x02\x00\x03\x01\x40\x00"
    yield "SSLv2", b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(35)
    yield "finished", b"\x16\x03\x03\x00\x10\x14\x00\x00\x0c" + bytes(12)
    yield "hello twice", client_hello() * 2
    yield "hello with a tail", client_hello() + r.randbytes(3000)


@pytest.mark.parametrize("what, data", noises(), ids=lambda x:
                         x if isinstance(x, str) else "")
def test_noise(tls_relay, what, data):
    r = tls_relay(ECHO, listen="handshake_timeout = 2s")
    descriptors = r.descriptors()
    with plain(r) as s:
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
        except ConnectionError:
            pass
        answer = drained(s)
    # An alert, a ServerHello, or nothing at all: never text.
    assert answer[:1] in (b"", b"\x15", b"\x16"), answer
    line = r.wait_log("refuse")
    assert line["reason"] == "tls-handshake" and line["detail"]
    nothing_left(r, descriptors)


class Spoiling(socket.socket):
    """Changes one byte of what goes out."""

    at = change = 0

    def send(self, data, *_):
        data = bytearray(data)
        if 0 <= self.at < len(data):
            data[self.at] ^= self.change
        sent = super().send(bytes(data))
        self.at -= sent
        return sent


def spoilt(r, at, change, version):
    """A handshake and a request with one byte changed; whether it worked."""
    s = Spoiling()
    s.at, s.change = at, change
    s.settimeout(PATIENCE)
    s.connect(("127.0.0.1", r.port))
    try:
        with TlsSocket(s, context(version), "localhost", resume=False) as t:
            t.sendall(upgrade("/echo") + frame(TEXT, "x"))
            return t.recv(4096).startswith(b"HTTP/1.1 101")
    except (ssl.SSLError, ConnectionError):
        return False
    finally:
        s.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_every_flight_may_be_spoilt(tls_relay, version):
    """All bytes that a client sends up to its request, a sample of them: the
    connection fails or does not mind, and leaves nothing."""
    r = tls_relay(ECHO, listen="handshake_timeout = 1s")
    assert spoilt(r, 1 << 20, 0, version)
    descriptors = r.descriptors()
    chance = random.Random(version)
    worked = sum(spoilt(r, at + chance.randrange(7),
                        1 << chance.randrange(8), version)
                 for at in range(0, 700, 7))
    # Of the names of suites and the like many may change.
    assert worked < 70
    for line in r.log("refuse"):
        assert line["reason"] in ("tls-handshake", "tls-timeout",
                                  "tls-missing", "bad-request"), line
    nothing_left(r, descriptors)


@pytest.mark.parametrize("version", VERSIONS)
def test_spoilt_records(tls_relay, version):
    """Behind the handshake, too: what was changed never comes through."""
    r = tls_relay(ECHO)
    for at, change in (0, 0x40), (3, 0x80), (5, 1), (20, 0x40), (-1, 1):
        with Client(r, "/echo", tls=True, context=context(version),
                    resume=False) as c:
            raw, c.sock.raw = c.sock.raw, Caught(c.sock.raw)
            c.send(TEXT, "changed on its way")
            record = bytearray(c.sock.raw.got)
            record[at] ^= change
            raw.sendall(record + record)
            c.sock.raw = raw
            with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
                assert not c.recv()
            line = r.wait_log("close", id=c.id)
            assert line["reason"] == "client-reset"
            assert line["client_messages"] == "0" and line["detail"]


class Caught:
    """In a socket's place: keeps what is sent."""

    def __init__(self, sock):
        self.sock, self.got = sock, b""

    def send(self, data):
        self.got += data
        return len(data)

    def __getattr__(self, name):
        return getattr(self.sock, name)


def test_a_record_twice(tls_relay):
    """A replayed message is none."""
    r = tls_relay(ECHO)
    with Client(r, "/echo", tls=True) as c:
        raw, c.sock.raw = c.sock.raw, Caught(c.sock.raw)
        c.send(TEXT, "once")
        record, c.sock.raw = c.sock.raw.got, raw
        raw.sendall(record)
        assert c.recv().text == "once"
        raw.sendall(record)
        with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
            c.recv()
        assert r.wait_log("close")["client_messages"] == "1"


# --- cut streams -------------------------------------------------------------

@pytest.mark.parametrize("how, reason", [
    ("close", "client-gone"), ("cut", "client-reset"),
    ("reset", "client-reset")])
def test_the_clients_end(tls_relay, how, reason):
    r = tls_relay(ECHO)
    c = Client(r, "/echo", tls=True)
    c.send(TEXT, "last")
    assert c.recv().text == "last"
    if how == "cut":
        c.sock.raw.close()
    else:
        getattr(c, how)()
    line = r.wait_log("close")
    assert line["reason"] == reason
    assert ("close_notify" in line.get("detail", "")) == (how == "cut")


def test_a_request_that_is_cut(tls_relay):
    """Not answered, however complete the rest would be."""
    r = tls_relay(ECHO)
    s = r.socket(tls=True)
    s.sendall(head("/healthz")[:-2])
    s.raw.shutdown(socket.SHUT_WR)
    with pytest.raises(Truncated):
        Wire(s).rest()


def test_half_a_request_and_its_end(tls_relay):
    """A client may end its side in order and read the answer still."""
    r = tls_relay(ECHO)
    with Wire(r.socket(tls=True)) as w:
        w.write(head("/healthz"))
        w.shut()
        assert w.rest().endswith(b"ok\n")


def test_gone_in_the_handshake(tls_relay):
    """At each point of it."""
    r = tls_relay(ECHO)
    descriptors = r.descriptors()
    hello = client_hello()
    for n in 1, 5, 6, 50, len(hello):
        for reset in False, True:
            s = plain(r)
            s.sendall(hello[:n])
            if reset:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             b"\1\0\0\0\0\0\0\0")
            s.close()
    wait_for(lambda: len(r.log("refuse")) == 10, "ten")
    for line in r.log("refuse"):
        assert line["reason"] == "tls-handshake"
    nothing_left(r, descriptors)
