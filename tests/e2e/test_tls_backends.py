"""wss: and tls: backends: whom the relay believes, and what it says when it
does not."""
import os
import signal
import ssl
import subprocess

import pytest

from peers import TEXT, Client, Server, Wire, frame
from relay import SANITIZERS, WSRELAYD, wait_for
from secure import TlsSocket, server_context
from test_tls import VERSIONS

pytestmark = pytest.mark.plain("it always speaks TLS")
KINDS = pytest.mark.parametrize("kind", ["wss", "tls"])
SYSTEM_CA = "/etc/ssl/certs/ca-certificates.crt"


def route(kind, s, *more, host="127.0.0.1", ca=None):
    """A route to s, which is believed by ca alone."""
    return "\n".join([
        "[route r]", "path = /r", "auth = none",
        f"backend = {kind}://{host}:{s.port}" +
        ("/x" if kind == "wss" else "\nframing = line"),
        *([f"backend_ca = {ca}"] if ca else []), *more, ""])


@pytest.fixture
def secured(relay, certificates):
    """secured(kind, s, ...) starts a daemon with such a route."""
    def start(kind, s, *more, ca=certificates.ca, ini="", host="127.0.0.1",
              **options):
        return relay(route(kind, s, *more, ca=ca, host=host) + ini,
                     secure=False, **options)
    return start


def server(identity="localhost", **options):
    return Server(tls=True, context=server_context(identity), **options)


def own_context(identity="localhost", **options):
    """One that a test may change."""
    return server_context.__wrapped__(identity, **options)


def opened(r, s, kind):
    """A pair through the route: the client, and the backend's end."""
    c = Client(r, "/r", wait=False, tls=False)
    b = s.accept_ws().accept() if kind == "wss" else s.accept()
    return c.upgraded(), b


def both_ways(c, b, kind):
    c.send(TEXT, "there")
    if kind == "wss":
        assert b.recv().text == "there"
        b.send(TEXT, "back")
    else:
        assert b.until() == b"there\n"
        b.write(b"back\n")
    assert c.recv().text == "back"


def refused(r, reason, status=502):
    """A client is told no more than the word; the log has the rest."""
    count = len(r.log("refuse")) + 1
    c = Client(r, "/r", wait=False, tls=False)
    assert c.answer() == status, (c.body, r.lines)
    assert c.body.startswith(reason.encode() + b":"), c.body
    line = r.wait_log("refuse", count)
    assert line["reason"] == reason
    return line.get("detail", "")


# --- whom it believes --------------------------------------------------------

@KINDS
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("identity", ["localhost", "rsa", "below"])
def test_good(secured, kind, host, identity):
    with server(identity) as s:
        c, b = opened(secured(kind, s, host=host), s, kind)
        both_ways(c, b, kind)


FAULTS = {"expired": "expired", "not-yet": "not valid yet",
          "wrong-host": "another host", "self-signed": "known authority",
          "wrong-ca": "known authority", "client-only": "use"}


@KINDS
@pytest.mark.parametrize("identity, words", FAULTS.items())
def test_faulty(secured, kind, identity, words):
    """Which check failed stands in the log; the client gets 502."""
    with server(identity) as s:
        r = secured(kind, s, host="localhost")
        assert words in refused(r, "backend-certificate")


@pytest.mark.parametrize("host, identity, good", [
    ("127.0.0.1", "second", False), ("[::1]", "localhost", True),
    ("[::1]", "second", False), ("localhost", "second", False)])
def test_host_is_checked(secured, host, identity, good):
    with server(identity, host=host.strip("[]") if "[" in host
                else "127.0.0.1") as s:
        r = secured("wss", s, host=host)
        if good:
            both_ways(*opened(r, s, "wss"), "wss")
        else:
            assert "host" in refused(r, "backend-certificate")


def test_name_of_a_capture_is_checked(relay, certificates):
    """Of a route whose client has a word in where it leads."""
    with server() as s:
        r = relay(route("wss", s, "backend_allow = 127.0.0.0/8",
                        host="{host}", ca=certificates.ca).replace(
                            "path = /r", "path = /r/{host}"), secure=False)
        for host in "localhost", "127.0.0.1":
            c = Client(r, "/r/" + host, wait=False, tls=False)
            s.accept_ws().accept()
            c.upgraded()
        c = Client(r, "/r/127.0.0.3", wait=False, tls=False)
        assert c.answer() == 502    # nobody listens there
        with server(host="127.0.0.3", port=0) as other:
            r = relay(route("wss", other, "backend_allow = 127.0.0.0/8",
                            host="{host}", ca=certificates.ca).replace(
                                "path = /r", "path = /r/{host}"),
                      secure=False)
            c = Client(r, "/r/127.0.0.3", wait=False, tls=False)
            assert c.answer() == 502
            assert r.wait_log("refuse")["reason"] == "backend-certificate"


@KINDS
@pytest.mark.parametrize("identity", FAULTS)
def test_nothing_is_verified_when_told_so(secured, kind, identity):
    """And every start says what that means."""
    with server(identity) as s:
        r = secured(kind, s, "backend_verify = no", ca=None)
        both_ways(*opened(r, s, kind), kind)
        assert any("backend_verify" in x and "warning" in x for x in r.lines)
        done = subprocess.run([WSRELAYD, "-c", r.ini, "-t"], env=SANITIZERS,
                              capture_output=True, text=True)
        assert done.returncode == 0
        assert "[route r] backend_verify" in done.stdout + done.stderr


@pytest.mark.skipif(not os.path.exists(SYSTEM_CA), reason="no ca-certificates")
@KINDS
def test_system_authorities_are_the_default(secured, kind):
    with server() as s:
        r = secured(kind, s, ca=None)
        assert "authority" in refused(r, "backend-certificate")


def test_authorities_are_read_again(secured, certificates, tmp_path):
    ca = tmp_path / "ca.pem"
    ca.write_bytes(certificates["other-ca"].chain.read_bytes())
    with server() as s:
        r = secured("wss", s, ca=ca)
        refused(r, "backend-certificate")
        with pytest.raises(ssl.SSLError):
            s.accept()
        ca.write_bytes(certificates.ca.read_bytes())
        r.kill(signal.SIGHUP)
        r.wait_log("reload")
        both_ways(*opened(r, s, "wss"), "wss")


# --- whom it is itself -------------------------------------------------------

@KINDS
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("shown", ["alice", None, "stranger"])
def test_own_certificate(secured, certificates, kind, version, shown):
    context = own_context(ca="ca")
    context.maximum_version = context.minimum_version = \
        getattr(ssl.TLSVersion, "TLSv" + version.replace(".", "_"))
    with Server(tls=True, context=context) as s:
        more = ["backend_certificate = own"] if shown else []
        r = secured(kind, s, *more, ini=certificates.ini(
            "own", shown) if shown else "")
        if shown == "alice":
            c, b = opened(r, s, kind)
            both_ways(c, b, kind)
            assert (("commonName", "alice"),) in \
                b.sock.tls.getpeercert()["subject"]
        elif version == "1.3" and kind == "tls":
            # Its side of the handshake is done before the backend looks.
            c = Client(r, "/r", tls=False)
            assert c.closed(1011).reason.startswith("backend-reset")
        else:
            detail = refused(r, "backend-tls")
            assert "alert" in detail, detail


@pytest.mark.parametrize("kind, host, name, protocol", [
    ("wss", "localhost", "localhost", "http/1.1"),
    ("tls", "localhost", "localhost", None),
    ("wss", "127.0.0.1", None, "http/1.1"), ("tls", "127.0.0.1", None, None)])
def test_what_it_offers(secured, kind, host, name, protocol):
    """The name, when it is one (RFC 6066 section 3); the protocol."""
    asked = []
    context = own_context()
    context.sni_callback = lambda tls, name, _: asked.append(name)
    with Server(tls=True, context=context) as s:
        r = secured(kind, s, host=host)
        c, b = opened(r, s, kind)
        assert asked == [name]
        assert b.sock.tls.selected_alpn_protocol() == protocol
        assert b.sock.tls.version() == "TLSv" + VERSIONS[-1]


# --- who does not speak it ---------------------------------------------------

@KINDS
@pytest.mark.parametrize("what", ["1.1", "cbc", "static", "plain", "closes",
                                  "http", "garbage"])
def test_no_proper_tls(secured, kind, what):
    context = own_context("rsa")
    if what == "1.1":
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
    elif what in ("cbc", "static"):
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE-RSA-AES128-SHA256" if what == "cbc"
                            else "AES128-GCM-SHA256")
    says = {"plain": b"welcome\n", "closes": b"", "garbage": bytes(range(256)),
            "http": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
            }.get(what)
    with Server(tls=says is None, context=context) as s:
        r = secured(kind, s)
        c = Client(r, "/r", wait=False, tls=False)
        if says is not None:
            b = s.accept()
            b.write(says)
            if what == "closes":
                b.more()    # its ClientHello
                b.close()
        assert c.answer() == 502
        line = r.wait_log("refuse")
        assert line["reason"] == "backend-tls" and line["detail"]


@pytest.mark.skipif("1.3" in VERSIONS, reason="this mbedTLS speaks TLS 1.3")
@KINDS
def test_a_backend_that_wants_tls_1_3_is_named_as_such(secured, kind):
    context = own_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with Server(tls=True, context=context) as s:
        r = secured(kind, s)
        detail = refused(r, "backend-tls")
        assert detail.startswith("it sent the alert 70, protocol_version: "
                                 "it wants TLS 1.3, which mbed TLS 2.")
        assert detail.endswith(" has not")
    context = own_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES128-SHA256")
    with Server(tls=True, context=context) as s:
        assert "no suite in common, or it wants TLS 1.3" in refused(
            secured(kind, s), "backend-tls")


@KINDS
def test_no_word_in_the_handshake(secured, kind):
    with Server(tls=False) as s:
        r = secured(kind, s, "connect_timeout = 300ms")
        refused(r, "backend-timeout", 504)
        # and a client that does not wait for it
        c = Client(r, "/r", wait=False, tls=False)
        s.accept()
        b = s.accept()
        c.close()
        b.rest()
        assert r.wait_log("refuse", count=2)["reason"] in (
            "client-gone", "backend-timeout")


# --- the end -----------------------------------------------------------------

@pytest.mark.parametrize("how", ["close", "cut", "reset"])
def test_the_backends_end(secured, how):
    """A stream without its close_notify may have been cut by somebody."""
    with server() as s:
        r = secured("tls", s, "close_timeout = 300ms")
        c, b = opened(r, s, "tls")
        b.write(b"last\n")
        if how == "cut":
            b.sock.raw.close()
        else:
            getattr(b, how)()
        f = c.recv()
        if f.opcode == TEXT or how != "reset":
            assert f.text == "last"
            f = c.recv()
        line = r.wait_log("close")
        if how == "close":
            assert f.code == 1000 and line["reason"] == "backend-close"
            assert "detail" not in line
        else:
            assert f.code == 1011 and line["reason"] == "backend-reset"
            assert ("close_notify" in line["detail"]) == (how == "cut")


@pytest.mark.parametrize("how", ["close", "cut"])
def test_the_end_of_a_wss_backend(secured, how):
    with server() as s:
        r = secured("wss", s, "close_timeout = 300ms")
        c, b = opened(r, s, "wss")
        if how == "cut":
            b.sock.raw.close()
        else:
            b.close()
        assert c.recv().code == 1011
        line = r.wait_log("close")
        assert line["reason"] == "backend-reset"
        assert ("close_notify" in line.get("detail", "")) == (how == "cut")


@KINDS
def test_its_own_end_is_an_orderly_one(secured, kind):
    with server() as s:
        r = secured(kind, s)
        c, b = opened(r, s, kind)
        c.send(TEXT, "last")
        c.send_close(1000)
        if kind == "wss":
            assert b.recv().text == "last"
            assert b.closed(1000)
        else:
            assert b.rest() == b"last\n"    # raises Truncated


# --- PROXY -------------------------------------------------------------------

@pytest.mark.parametrize("version, n", [("v1", None), ("v2", 28)])
def test_proxy_header_stands_before_the_handshake(secured, version, n):
    """As HAProxy and nginx expect it."""
    with Server(tls=False) as s:
        r = secured("tls", s, f"send_proxy = {version}")
        c = Client(r, "/r", wait=False, tls=False)
        raw = s.accept_socket()
        head = b""
        while len(head) < n if n else not head.endswith(b"\r\n"):
            head += raw.recv(1)
        port = c.sock.getsockname()[1]
        if version == "v1":
            assert head.decode() == \
                f"PROXY TCP4 127.0.0.1 127.0.0.1 {port} {r.port}\r\n"
        else:
            assert head.startswith(b"\r\n\r\n\0\r\nQUIT\n\x21\x11")
        b = Wire(TlsSocket(raw, server_context(), server=True))
        c.upgraded()
        both_ways(c, b, "tls")


# --- much --------------------------------------------------------------------

@KINDS
def test_large_messages_both_ways(secured, kind):
    """Many records at once, and a backend that reads slowly."""
    with server() as s:
        r = secured(kind, s, "max_message = 4M", "max_backend_message = 4M")
        c, b = opened(r, s, kind)
        data = bytes(range(97, 122)) * 60000
        if kind == "wss":
            b.send(TEXT, data)
        else:
            b.write(data + b"\n")
        assert c.message()[1] == data
        c.write(frame(TEXT, data))
        if kind == "wss":
            assert b.message()[1] == data
        else:
            assert b.until() == data + b"\n"
        wait_for(lambda: not r.log("close"), "nothing")
