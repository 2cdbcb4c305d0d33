"""The upgrade and the HTTP around it: RFC 6455 section 4, RFC 9112."""
import contextlib
import signal
import socket
import threading
import time

import pytest

from peers import Client, Server
from rawhttp import ACCEPT, KEY, Peer, ask, connect, frame, head, upgrade
from relay import PATIENCE, Relay, parse_line, wait_for

ROUTES = """
[route echo]
path = /echo
backend = echo:
auth = none
origins = any
[page files]
path = /files
root = {dir}
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    r = Relay(ROUTES, tmp_path_factory.mktemp("relay"),
              listen="max_header = 2K")
    (r.dir / "a.txt").write_text("a file\n")
    yield r
    r.stop()


def works(r):
    """Nothing that came before has harmed the daemon."""
    answer = ask(r, upgrade("/echo"))
    assert answer.echo == b"probe"


def test_upgrade(shared):
    answer = ask(shared, upgrade("/echo"))
    assert answer.status == 101
    assert answer["Upgrade"].lower() == "websocket"
    assert answer["Connection"].lower() == "upgrade"
    assert answer["Sec-WebSocket-Accept"] == ACCEPT
    assert answer["Sec-WebSocket-Extensions"] is None
    assert answer["Sec-WebSocket-Protocol"] is None
    assert answer.echo == b"probe"


@pytest.mark.parametrize("fields", [
    {"Upgrade": "WebSocket"}, {"Upgrade": "h2c, websocket"},
    {"Connection": "keep-alive, Upgrade"}, {"Connection": "upgrade"},
    {"Connection": ["keep-alive", "Upgrade"]}, {"Host": "127.0.0.1:1"},
    {"Host": "LOCALHOST"}, {"Content_Length": "0"},
    {"Sec_WebSocket_Extensions": "permessage-deflate"},
    {"Origin": "http://anywhere.example"}],
    ids=str)
def test_upgrade_in_another_spelling(shared, fields):
    assert ask(shared, upgrade("/echo", **fields)).echo


BAD_UPGRADES = [
    # What makes it a request for a WebSocket is any of its own fields.
    (400, {"Upgrade": None}), (400, {"Upgrade": "h2c"}),
    (400, {"Upgrade": "websocketx"}), (400, {"Connection": None}),
    (400, {"Connection": "keep-alive"}), (400, {"Connection": "upgraded"}),
    (400, {"Sec_WebSocket_Key": None}), (400, {"Sec_WebSocket_Key": ""}),
    (400, {"Sec_WebSocket_Key": "c2hvcnQ="}),
    (400, {"Sec_WebSocket_Key": KEY[:-1]}),
    (400, {"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZR=="}),
    (400, {"Sec_WebSocket_Key": [KEY, KEY]}),
    (400, {"Sec_WebSocket_Version": None}),
    (400, {"Sec_WebSocket_Version": ["13", "13"]}),
    (426, {"Sec_WebSocket_Version": "8"}),
    (426, {"Sec_WebSocket_Version": "14"}),
    (426, {"Sec_WebSocket_Version": "013"}),
    (400, {"Sec_WebSocket_Protocol": ""}),
    (400, {"Sec_WebSocket_Protocol": "a, b, a"}),
    (400, {"Sec_WebSocket_Protocol": "a b"}),
    (400, {"Origin": ["http://a.example", "http://b.example"]}),
    (400, {"version": "HTTP/1.0"}),
]


@pytest.mark.parametrize("origin", [None, "http://a.example"])
@pytest.mark.parametrize("status, fields", BAD_UPGRADES, ids=str)
def test_bad_upgrade(shared, status, fields, origin):
    """An HTTP status, with an Origin as well: no 101 could be made."""
    answer = ask(shared, upgrade("/echo", **{"Origin": origin, **fields}))
    assert answer.status == status
    assert answer.closes
    if status == 426:
        assert answer["Sec-WebSocket-Version"] == "13"
        assert answer["Upgrade"] == "websocket"
    assert answer.word == ("upgrade" if status == 426 else "bad-request")


REQUESTS = [
    ("plain GET on a route", 426, "upgrade", head("/echo")),
    ("plain HEAD on a route", 426, "", head("/echo", "HEAD")),
    ("POST on a route", 405, "method", head("/echo", "POST")),
    ("POST on a page", 405, "method", head("/files/a.txt", "POST")),
    ("POST upgrade", 405, "method", upgrade("/echo", method="POST")),
    ("OPTIONS", 405, "method", head("/echo", "OPTIONS")),
    ("CONNECT", 400, "bad-request", head("localhost:80", "CONNECT")),
    ("get", 405, "method", head("/echo", "get")),
    ("a body to come", 400, "bad-request",
     head("/echo", "POST", Content_Length=5)),
    ("upgrade with a body", 400, "bad-request",
     upgrade("/echo", Content_Length=5)),
    ("two lengths", 400, "bad-request",
     upgrade("/echo", Content_Length=["0", "0"])),
    ("a signed length", 400, "bad-request",
     upgrade("/echo", Content_Length="+0")),
    ("chunked", 501, "not-implemented",
     upgrade("/echo", Transfer_Encoding="chunked")),
    ("hidden chunked", 501, "not-implemented",
     upgrade("/echo", Transfer_Encoding="\vchunked"[1:] + ", identity")),
    ("chunked and length", 501, "not-implemented",
     head("/files/a.txt", Transfer_Encoding="chunked", Content_Length=0)),
    ("no match", 404, "not-found", upgrade("/nowhere")),
    ("no match for a page", 404, "not-found", head("/nowhere")),
    ("no file", 404, "not-found", head("/files/nothing")),
    ("an upgrade on a page", 404, "not-found", upgrade("/files/a.txt")),
    ("wrong Host", 421, "host", upgrade("/echo", Host="evil.example")),
    ("wrong Host for a page", 421, "host",
     head("/files/a.txt", Host="evil.example")),
    ("another address as Host", 421, "host",
     upgrade("/echo", Host="127.0.0.2")),
    ("no Host", 400, "bad-request", upgrade("/echo", Host=None)),
    ("empty Host", 400, "bad-request", upgrade("/echo", Host="")),
    ("two Hosts", 400, "bad-request",
     upgrade("/echo", Host=["localhost", "localhost"])),
    ("a space in Host", 400, "bad-request",
     upgrade("/echo", Host="local host")),
    ("a user in Host", 400, "bad-request",
     upgrade("/echo", Host="u@localhost")),
    ("a path in Host", 400, "bad-request",
     upgrade("/echo", Host="localhost/x")),
    ("a port too large", 400, "bad-request",
     upgrade("/echo", Host="localhost:65536")),
    ("two in one Host", 400, "bad-request",
     upgrade("/echo", Host="localhost, evil.example")),
    ("HTTP/2.0", 505, "http-version", upgrade("/echo", version="HTTP/2.0")),
    ("HTTP/0.9", 505, "http-version", upgrade("/echo", version="HTTP/0.9")),
    ("two empty lines", 400, "bad-request", b"\r\n\r\n" + head("/")),
    ("an empty line with a bare LF", 400, "bad-request", b"\n" + head("/")),
    ("http2 preface", 505, "http-version",
     b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("no version", 400, "bad-request", b"GET /\r\n\r\n"),
    ("bare LF", 400, "bad-request", upgrade("/echo").replace(b"\r\n", b"\n")),
    ("one bare LF", 400, "bad-request",
     upgrade("/echo").replace(b"websocket\r\n", b"websocket\n")),
    ("bare CR", 400, "bad-request",
     upgrade("/echo", X="a\rTransfer-Encoding: chunked")),
    ("NUL", 400, "bad-request", upgrade("/echo", X="a\0b")),
    ("folding", 400, "bad-request", upgrade("/echo", lines=["X: a", " b"])),
    ("a space before the colon", 400, "bad-request",
     upgrade("/echo", lines=["Content-Length : 5"])),
    ("no colon", 400, "bad-request", upgrade("/echo", lines=["Nothing"])),
    ("a space in the target", 400, "bad-request", upgrade("/ec ho")),
    ("asterisk", 400, "bad-request", head("*")),
    ("a fragment", 400, "bad-request", upgrade("/echo#x")),
    ("an encoded slash", 400, "bad-request", upgrade("/a%2Fecho")),
    ("an encoded NUL", 400, "bad-request", upgrade("/echo%00")),
    ("a dot segment", 400, "bad-request", upgrade("/x/../echo")),
    ("an encoded dot segment", 400, "bad-request",
     upgrade("/x/%2e%2E/echo")),
    ("an empty segment", 400, "bad-request", upgrade("//echo")),
    ("a broken escape", 400, "bad-request", upgrade("/echo%4")),
    ("a long head", 431, "head-size", upgrade("/echo", X="x" * 3000)),
    ("a head without end", 431, "head-size",
     b"GET / HTTP/1.1\r\nX: " + b"x" * 5000),
    ("many fields", 431, "head-size",
     upgrade("/echo", lines=["a:"] * 150)),
    ("not HTTP", 400, "bad-request", b"\0\1\2\3\4\5\6\7\n\n"),
]


@pytest.mark.parametrize("status, word, data", [x[1:] for x in REQUESTS],
                         ids=[x[0] for x in REQUESTS])
def test_refused(shared, status, word, data):
    """Status, word, and the end of the connection: a second request behind
    it, part of whatever attack, has no answer."""
    method = "HEAD" if data.startswith(b"HEAD") else "GET"
    with Peer(shared) as p:
        p.send(data + head("/healthz") + upgrade("/echo"))
        answer = p.answer(method)
        assert answer.status == status
        assert answer.closes
        assert p.at_end(), "it went on"
    assert answer.word == word
    assert answer.id
    assert answer["Cache-Control"] == "no-store"
    assert answer["X-Content-Type-Options"] == "nosniff"
    if status == 405:
        assert answer["Allow"] == "GET, HEAD"
    works(shared)


def test_words_for_a_path_that_is_none(relay):
    """The log says what is wrong with it, and never its query."""
    r = relay()
    for target, path, detail in (
            ("//echo", "//echo", "the path has an empty segment (//)"),
            ("/echo//?token=T", "/echo//",
             "the path has an empty segment (//)"),
            ("/x/../echo", "/x/../echo", "the path has a segment . or .."),
            ("/a%2Fecho?a=T", "/a%2Fecho",
             "the path has an encoded slash, backslash or NUL"),
            ("/echo%4", "/echo%4", "the path has a broken escape"),
            ("/echo#T", "/echo", "the target is not a path"),
            ("http://localhost/a//b?T", "/a//b",
             "the path has an empty segment (//)"),
            ("*", None, "the target is not a path")):
        answer = ask(r, upgrade(target))
        assert (answer.status, answer.word) == (400, "bad-request")
        line = r.wait_log("refuse", id=answer.id)
        assert (line.get("path"), line["detail"]) == (path, detail)


def test_escapes_of_unreserved_characters_are_decoded(shared):
    assert ask(shared, upgrade("/%65ch%6F")).echo


def test_an_empty_line_in_front(shared):
    """RFC 9112 section 2.2: before each request one is skipped."""
    with Peer(shared) as p:
        p.send(b"\r\n")
        p.send(head("/files/a.txt") + b"\r\n" + head("/files/a.txt") +
               b"\r\n" + upgrade("/echo") + frame(b"hi"))
        assert p.answer().body == b"a file\n"
        assert p.answer().body == b"a file\n"
        assert p.answer().status == 101
        assert p.message() == (1, b"hi")


@pytest.mark.parametrize("version", ["HTTP/1.2", "HTTP/1.9"])
def test_a_later_minor_version_is_http_1_1(shared, version):
    """RFC 9110 section 2.5."""
    assert ask(shared, upgrade("/echo", version=version)).echo == b"probe"
    with Peer(shared) as p:
        p.send(head("/files/a.txt", version=version) * 2)
        assert [p.answer().closes for _ in range(2)] == [False, False]


def test_absolute_form(shared):
    """RFC 9112 section 3.2.2: its authority replaces Host."""
    assert ask(shared, upgrade("http://localhost/echo")).echo
    assert ask(shared, upgrade("ws://localhost/echo",
                               Host="evil.example")).echo
    assert ask(shared, upgrade("http://evil.example/echo")).status == 421
    assert ask(shared, upgrade("ftp://localhost/echo")).status == 400


def test_byte_by_byte(shared):
    with Peer(shared) as p:
        p.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for b in upgrade("/echo") + frame(b"slow"):
            p.send(bytes([b]))
            time.sleep(0.0005)  # mostly a read of its own
        assert p.answer().status == 101
        assert p.message() == (1, b"slow")


def test_split_at_every_byte(shared):
    data = upgrade("/echo") + frame(b"early")
    for i in range(1, len(data)):
        with Peer(shared) as p:
            p.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            p.send(data[:i])
            p.send(data[i:])
            assert p.answer().status == 101, i
            assert p.message() == (1, b"early"), i


def test_early_frames(relay):
    """Up to max_header of them are kept while the backend is opened; then
    reading stops, and nothing is lost."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        r = relay(f"""
[route tcp]
path = /tcp
backend = tcp://127.0.0.1:{server.getsockname()[1]}
framing = raw
auth = none
""", listen="max_header = 1K")
        payload = bytes(range(256)) * 1024
        frames = b"".join(frame(payload[i:i + 1000], 2)
                          for i in range(0, len(payload), 1000))
        with Peer(r) as p:
            t = threading.Thread(
                target=p.send, args=(upgrade("/tcp") + frames,))
            t.start()
            backend, _ = server.accept()
            with backend, backend.makefile("rb") as f:
                assert f.read(len(payload)) == payload
                t.join()
                assert p.answer().status == 101


def test_keep_alive(shared):
    with Peer(shared) as p:
        for _ in range(3):
            p.send(head("/files/a.txt"))
            answer = p.answer()
            assert (answer.status, answer.body) == (200, b"a file\n")
            assert answer["Connection"] is None
        p.send(upgrade("/echo") + frame(b"hi"))
        assert p.answer().status == 101
        assert p.message() == (1, b"hi")


def test_pipelined_pages(shared):
    """Answered in order; a refusal ends the row."""
    with Peer(shared) as p:
        p.send(head("/files/a.txt") * 50 + head("/healthz") +
               head("/files/none") + head("/files/a.txt"))
        for _ in range(50):
            assert p.answer().body == b"a file\n"
        assert p.answer().body == b"ok\n"
        assert p.answer().status == 404
        assert p.at_end()


@pytest.mark.parametrize("data, closes", [
    (head("/files/a.txt", version="HTTP/1.0"), True),
    (head("/files/a.txt", version="HTTP/1.0", Host=None), True),
    (head("/files/a.txt", Connection="close"), True),
    (head("/files/a.txt", Connection="keep-alive, Close"), True),
    (head("/files/a.txt", Connection="keep-alive"), False)])
def test_connection_field(shared, data, closes):
    with Peer(shared) as p:
        p.send(data)
        answer = p.answer()
        assert answer.status == 200
        assert answer.closes == closes
        if closes:
            assert p.at_end()
        else:
            p.send(data)
            assert p.answer().status == 200


def test_half_closed_client_gets_its_answer(shared):
    with Peer(shared) as p:
        p.send(head("/files/a.txt"))
        p.socket.shutdown(socket.SHUT_WR)
        assert p.answer().body == b"a file\n"
        assert p.at_end()


@pytest.fixture
def opening(relay):
    """A half-closed client whose ws backend is being opened, with a message
    behind its request, and the backend's end."""
    with Server() as s:
        r = relay(f"""
[route r]
path = /r
backend = ws://127.0.0.1:{s.port}
auth = none
close_timeout = 1s
""", server="workers = 1")
        with Client(r, "/r", wait=False) as c:
            c.write(frame(b"question"))
            b = s.accept_ws()
            c.shut()
            # The relay has seen the end when its loop has turned once more.
            assert ask(r, head("/healthz")).status == 200
            yield r, c, b
            b.close()


def test_half_closed_client_gets_its_101(opening):
    """What was said before the pair ends arrives on both sides."""
    r, c, b = opening
    b.accept(extra=b"\x81\x05hello")
    c.upgraded()
    assert c.frame().text == "hello"
    assert b.frame().payload == b"question"
    assert b.frame().code == 1001
    c.ended()
    assert r.wait_log("close", id=c.id)["reason"] == "client-gone"


def test_half_closed_client_gets_its_refusal(opening):
    _, c, b = opening
    b.refuse("403 No", "Content-Length: 2", body=b"no")
    assert (c.answer(), c.body) == (403, b"no")


@pytest.mark.parametrize("rate", [0, 2])
@pytest.mark.parametrize("messages", [0, 1, 200])
def test_client_that_leaves_while_its_backend_opens(relay, messages, rate):
    """Its end looks like that of a half-closed one, until something is sent
    to it; with a rate it is not read at that time."""
    with Server() as s:
        r = relay(f"""
[route r]
path = /r
backend = ws://127.0.0.1:{s.port}
auth = none
close_timeout = 300ms
message_rate = {rate}
""", server="workers = 1")
        message = b"\x82\x7e\x10\0" + bytes(4096)
        for _ in range(5):
            c = Client(r, "/r", wait=False)
            c.write(frame(b"question") * 5)
            b = s.accept_ws()
            c.close()
            assert ask(r, head("/healthz")).status == 200
            b.accept(extra=message * messages)
            assert b.frame().payload == b"question"
            b.write(message * messages)
            with contextlib.suppress(OSError):
                b.rest()
            b.close()
        r.wait_log("close", count=5)


def test_half_closed_client_gets_its_echo(shared):
    with Peer(shared) as p:
        p.send(upgrade("/echo") + frame(b"one") + frame(b"two"))
        p.socket.shutdown(socket.SHUT_WR)
        assert p.answer().status == 101
        assert [p.message(), p.message()] == [(1, b"one"), (1, b"two")]
        assert p.at_end()
    # also behind the answer to another request
    with Peer(shared) as p:
        p.send(head("/files/a.txt") * 3 + upgrade("/echo") + frame(b"one"))
        p.socket.shutdown(socket.SHUT_WR)
        for _ in range(3):
            assert p.answer().status == 200
        assert p.answer().status == 101
        assert p.message() == (1, b"one")
        assert p.at_end()


def test_half_closed_client_of_a_hub_has_left(relay):
    r = relay("""
[route h]
path = /h
backend = room:
mode = hub
auth = none
""", server="workers = 1")
    with Peer(r) as p:
        r.kill(signal.SIGSTOP)  # its end is there when the request is read
        p.send(head("/healthz") + upgrade("/h"))
        p.socket.shutdown(socket.SHUT_WR)
        r.kill(signal.SIGCONT)
        assert p.answer().status == 200
        assert p.at_end()
    r.wait_log("refuse", reason="client-gone")
    assert ask(r, head("/healthz")).status == 200


def test_times(relay):
    """handshake_timeout: 408, and nothing to who has said nothing;
    keepalive_timeout between requests: no answer at all."""
    r = relay(ROUTES, listen="""
handshake_timeout = 400ms
keepalive_timeout = 200ms
""")
    (r.dir / "a.txt").write_text("a file\n")
    data = upgrade("/echo")

    def slow(p, data, answered):
        """Bytes that keep coming do not buy time."""
        for b in data:
            p.send(bytes([b]))
            if answered.wait(0.05):
                break

    with Peer(r) as p:  # a browser's spare connection: nobody waits
        begin = time.monotonic()
        assert p.at_end()
        assert 0.3 < time.monotonic() - begin < PATIENCE
    for sent in (data[:10], data[:-1]):
        with Peer(r) as p:
            begin = time.monotonic()
            answered = threading.Event()
            t = threading.Thread(target=slow, args=(p, sent, answered))
            t.start()
            answer = p.answer()
            took = time.monotonic() - begin
            answered.set()
            t.join()
            assert answer.status == 408 and answer.word == "head-timeout"
            assert 0.3 < took < PATIENCE
            assert p.at_end()
    with Peer(r) as p:
        p.send(head("/files/a.txt"))
        assert p.answer().status == 200
        begin = time.monotonic()
        assert p.answer() is None
        assert 0.15 < time.monotonic() - begin < PATIENCE
    with Peer(r) as p:
        p.send(head("/files/a.txt"))
        assert p.answer().status == 200
        p.send(data[:10])
        assert p.answer().status == 408


def test_healthz_on_every_listener(relay):
    r = relay("", listen="""hosts = only.example
[listen second]
address = 127.0.0.1:0
deny = 10.0.0.0/8
[listen third]
address = unix:{dir}/third.sock
""")
    for listen in "main", "second", "third":
        for host in "only.example", "localhost", "10.1.2.3":
            answer = ask(r, head("/healthz", Host=host), listen)
            assert (answer.status, answer.body) == (200, b"ok\n")
            assert answer["Cache-Control"] == "no-store"
    answer = ask(r, head("/healthz", "HEAD"), method="HEAD")
    assert answer.status == 200
    assert ask(r, head("/healthz", "POST")).status == 405


@pytest.mark.parametrize("first", [
    b"POST /echo HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Length: 1048576\r\n\r\n",
    upgrade("/nowhere"), b"GET / HTTP/1.1\r\nX: "], ids=["POST", "404", "431"])
def test_refusal_is_not_destroyed_by_a_reset(shared, first):
    """RFC 9112 section 9.6: a client that still sends reads the answer."""
    for _ in range(5):
        with Peer(shared) as p:
            p.send(first)
            sent = 0
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                while sent < 1 << 20:
                    sent += p.socket.send(b"x" * 65536)
            assert sent == 1 << 20, "cut off while sending"
            answer = p.answer()
            assert answer.status in (400, 404, 431) and answer.body
            assert p.at_end()


def test_id_of_every_answer(relay):
    r = relay(ROUTES)
    (r.dir / "a.txt").write_text("a file\n")
    for data, event in ((upgrade("/echo"), "open"),
                        (upgrade("/nowhere"), "refuse"),
                        (upgrade("/nowhere", Origin="http://a.example"),
                         "refuse"),
                        (b"nonsense\n", "refuse"),
                        (head("/files/a.txt"), "page")):
        answer = ask(r, data)
        line = r.wait_log(event, id=answer.id)
        if event == "refuse":
            assert line["reason"] == answer.word
    ids = [f["id"] for f in map(parse_line, r.lines) if f and "id" in f]
    assert len(set(ids)) == 5
    assert ask(r, head("/healthz")).id not in ids


def test_ids_are_unique_over_restarts(relay):
    seen = set()
    for _ in range(3):
        r = relay(ROUTES)
        ids = {ask(r, head("/healthz")).id for _ in range(50)}
        assert len(ids) == 50 and not ids & seen
        seen |= ids
        r.stop()


def test_half_open_handshakes_free_everything(relay):
    r = relay(ROUTES, listen="handshake_timeout = 30s")
    works(r)
    wait_for(lambda: r.log("close"))
    before = r.descriptors()
    data = upgrade("/echo")
    for how in ("close", "reset", "half"):
        peers = []
        for i in range(300):
            s = connect(r)
            s.sendall(data[:i % len(data)])
            peers.append(s)
        wait_for(lambda: r.descriptors() >= before + 300, "all to be there")
        for s in peers:
            if how == "reset":
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             b"\1\0\0\0\0\0\0\0")
            if how == "half":
                s.shutdown(socket.SHUT_WR)
            else:
                s.close()
        wait_for(lambda: r.descriptors() <= before, "descriptors to be freed")
        for s in peers:
            s.close()
    works(r)


def test_max_pending(relay):
    """The oldest gives way; who has a WebSocket is not pending."""
    # With more workers it is the oldest of the one that took the newest.
    r = relay(ROUTES, listen="max_pending = 5", server="workers = 1")
    with contextlib.ExitStack() as stack:
        peers = []
        opened = stack.enter_context(Peer(r))
        opened.send(upgrade("/echo"))
        assert opened.answer().status == 101
        for _ in range(8):
            peers.append(stack.enter_context(Peer(r)))
        for p in peers[:3]:
            answer = p.answer()
            assert (answer.status, answer.word) == (503, "limit-pending")
            assert answer["Retry-After"]
            assert p.at_end()
        for p in peers[3:]:
            p.send(head("/"))
            assert p.answer().status == 404
        opened.send(frame(b"still here"))
        assert opened.message() == (1, b"still here")
    r.wait_log("refuse", count=3, reason="limit-pending")
    assert len(r.log("refuse", reason="limit-pending")) == 3


@pytest.mark.parametrize("workers", [1, 2])
def test_connections_have_their_descriptors(relay, workers):
    """Fewer than the configuration says: who is too many gets a 503, and is
    not left in the kernel's backlog."""
    r = relay(ROUTES, wrap=["prlimit", "--nofile=200:200"],
              server=f"workers = {workers}")
    line = r.wait_log("descriptors")
    assert line["level"] == "warn"
    places = int(line["max_connections"])
    assert 20 < places < 100
    with contextlib.ExitStack() as stack:
        for i in range(places + 10):
            p = stack.enter_context(Peer(r))
            p.send(upgrade("/echo"))
            answer = p.answer()
            if i < places:
                assert answer.status == 101, i
            else:
                assert (answer.status, answer.word) == (
                    503, "limit-connections")
                p.socket.close()
    assert not r.log("accept-paused")
    wait_for(lambda: ask(r, upgrade("/echo")).status == 101, "a place")


def test_enough_descriptors_are_no_reason_to_lower_anything(relay):
    r = relay(ROUTES, server="max_connections = 100",
              listen="max_pending = 100",
              wrap=["prlimit", "--nofile=1000:1000"])
    works(r)
    assert not r.log("descriptors")


def test_out_of_descriptors(relay):
    """Accepting pauses and goes on; waiting costs nothing."""
    r = relay(ROUTES, wrap=["prlimit", "--nofile=60:60"])
    peers = [connect(r) for _ in range(80)]
    r.wait_log("accept-paused")
    assert r.log("descriptors"), "no warning at the start"

    def cpu():
        with open(f"/proc/{r.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])
    before = cpu()
    time.sleep(0.5)     # in which it does nothing
    assert cpu() - before < 20, "it spins"
    for p in peers:
        p.close()
    wait_for(lambda: ask(r, upgrade("/echo")).echo, "a place")
