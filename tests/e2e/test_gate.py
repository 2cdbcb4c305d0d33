"""Who may come in: address, limits, route, origin, in this order."""
import contextlib

import pytest

from rawhttp import Peer, ask, frame, head, upgrade
from relay import KEY, Relay, mint, wait_for
from secure import HTTP, SECURE

SAME = f"{HTTP}://localhost"
OTHER = "http" if SECURE else "https"
LISTENS = """hosts = localhost relay.example 127.0.0.1
[listen acl]
address = 127.0.0.1:0
allow = 127.0.0.0/28
deny = 127.0.0.3 127.0.0.8/30
[listen proxied]
address = 127.0.0.1:0
hosts = relay.example
trusted_proxies = 127.0.0.1 10.0.0.0/8
[listen proxied-acl]
address = 127.0.0.1:0
trusted_proxies = 127.0.0.1
allow = 192.0.2.0/24 127.0.0.5
deny = 192.0.2.128/25
[listen local]
address = unix:{dir}/relay.sock
hosts = *
trusted_proxies = unix
"""
ROUTES = """
[route echo]
path = /echo
backend = echo:
auth = none
[route acl]
path = /acl
backend = echo:
auth = none
origins = any
allow = 127.0.0.0/29
deny = 127.0.0.4
[route any]
path = /any
backend = echo:
auth = none
origins = any
[route list]
path = /list
backend = echo:
auth = none
origins = https://app.example
[route hosted]
path = /hosted
host = relay.example
backend = echo:
auth = none
[route there]
path = /there
listen = acl
backend = echo:
auth = none
[route http]
path = /reject/http
backend = echo:
reject = http
[route close]
path = /reject/close
backend = echo:
reject = close
[route auto]
path = /reject/auto
backend = echo:
[page files]
path = /
root = {dir}
allow = 127.0.0.0/29
deny = 127.0.0.4
""" + KEY

PLAIN = """
[route echo]
path = /echo
backend = echo:
auth = none
[route any]
path = /any
backend = echo:
auth = none
origins = any
[page files]
path = /
root = {dir}
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    r = Relay(ROUTES, tmp_path_factory.mktemp("relay"), listen=LISTENS)
    (r.dir / "a.txt").write_text("a file\n")
    yield r
    r.stop()


# --- addresses -------------------------------------------------------------

@pytest.mark.parametrize("source, enters", [
    ("127.0.0.1", True), ("127.0.0.15", True), ("127.0.0.16", False),
    ("127.0.1.1", False), ("127.0.0.3", False), ("127.0.0.8", False),
    ("127.0.0.11", False), ("127.0.0.12", True)])
def test_listener_allow_and_deny(shared, source, enters):
    """On the socket: nothing is read, nothing is said."""
    with Peer(shared, "acl", source, tls=SECURE and enters) as p:
        if enters:
            p.send(upgrade("/any"))
            assert p.answer().status == 101
            return
        with contextlib.suppress(ConnectionResetError):
            assert p.at_end()
        port = p.socket.getsockname()[1]
    line = shared.wait_log("refuse", peer=f"{source}:{port}")
    assert (line["reason"], line["listen"]) == ("address", "acl")


@pytest.mark.parametrize("source, enters", [
    ("127.0.0.1", True), ("127.0.0.7", True), ("127.0.0.8", False),
    ("127.0.0.4", False)])
@pytest.mark.parametrize("data, opened", [
    (upgrade("/acl"), 101), (head("/a.txt"), 200)], ids=["route", "page"])
def test_route_and_page_allow_and_deny(shared, source, enters, data, opened):
    answer = ask(shared, data, source=source)
    assert answer.status == (opened if enters else 403)
    if not enters:
        assert answer.word == "address"


@pytest.mark.parametrize("client, enters", [
    ("192.0.2.1", True), ("192.0.2.127", True), ("192.0.2.128", False),
    ("198.51.100.1", False), ("127.0.0.5", True), (None, False),
    ("192.0.2.128, 192.0.2.1", True), ("192.0.2.1, 192.0.2.128", False)])
def test_listener_acl_behind_a_proxy(shared, client, enters):
    """The proxy may connect; what counts is whom it speaks for."""
    answer = ask(shared, upgrade("/any", X_Forwarded_For=client),
                 "proxied-acl")
    assert answer.status == (101 if enters else 403)
    assert enters or answer.word == "address"


# --- hosts -----------------------------------------------------------------

@pytest.mark.parametrize("host, path, status", [
    ("relay.example", "/echo", 101), ("RELAY.example:99", "/echo", 101),
    ("localhost", "/echo", 101), ("[::1]", "/echo", 421),
    ("relay.example.", "/echo", 101), ("x.relay.example", "/echo", 421),
    ("relay.example", "/hosted", 101), ("Relay.Example:1", "/hosted", 101),
    ("localhost", "/hosted", 404), ("localhost", "/there", 404)])
def test_hosts(shared, host, path, status):
    assert ask(shared, upgrade(path, Host=host)).status == status


@pytest.mark.parametrize("host, enters", [
    ("localhost", True), ("127.0.0.1:8080", True), ("[::1]:80", True),
    ("127.0.0.2", False), ("example.org", False)])
def test_hosts_of_a_loopback_address(shared, host, enters):
    """What DNS rebinding would make of it is turned away."""
    answer = ask(shared, upgrade("/any", Host=host), "acl")
    assert answer.status == (101 if enters else 421)


def test_listen_of_a_route(shared):
    assert ask(shared, upgrade("/there"), "acl").echo


# --- behind a proxy --------------------------------------------------------

@pytest.mark.parametrize("fields, peer", [
    (["192.0.2.7"], "192.0.2.7"),
    (["6.6.6.6, 192.0.2.7"], "192.0.2.7"),
    (["6.6.6.6", "192.0.2.7"], "192.0.2.7"),
    (["6.6.6.6, 192.0.2.7, 10.1.2.3"], "192.0.2.7"),
    (["6.6.6.6,192.0.2.7 ,\t10.9.9.9", "10.1.2.3"], "192.0.2.7"),
    (["10.1.1.1, 10.1.2.3"], "10.1.1.1"),
    (["192.0.2.7, garbage"], "127.0.0.1"),
    (["garbage, 192.0.2.7"], "192.0.2.7"),
    (["192.0.2.7, unknown, 10.0.0.1"], "10.0.0.1"),
    (["2001:db8::7"], "2001:db8::7"),
    ([""], "127.0.0.1"), ([], "127.0.0.1")], ids=str)
def test_x_forwarded_for_is_read_from_the_right(shared, fields, peer):
    data = upgrade("/any", Host="relay.example", X_Forwarded_For=fields)
    answer = ask(shared, data, "proxied")
    said = shared.wait_log("open", id=answer.id)["peer"]
    assert said.rsplit(":", 1)[0].strip("[]") == peer or said == peer


def test_untrusted_peers_are_not_believed(shared):
    data = upgrade("/any", Host="relay.example", X_Forwarded_For="192.0.2.7",
                   X_Forwarded_Proto="https")
    answer = ask(shared, data, "proxied", source="127.0.0.9")
    said = shared.wait_log("open", id=answer.id)["peer"]
    assert said.startswith("127.0.0.9:")
    answer = ask(shared, upgrade("/any", Host="evil.example",
                                 X_Forwarded_Host="relay.example"),
                 "proxied", source="127.0.0.9")
    assert answer.status == 421
    answer = ask(shared, upgrade("/echo", Host="relay.example",
                                 Origin=f"{OTHER}://relay.example",
                                 X_Forwarded_Proto=OTHER),
                 "proxied", source="127.0.0.9")
    assert answer.close[0] == 3003 and answer.word == "origin"


def test_a_unix_socket_may_be_a_proxy(shared):
    data = upgrade("/any", X_Forwarded_For="192.0.2.7")
    answer = ask(shared, data, "local")
    said = shared.wait_log("open", id=answer.id)["peer"]
    assert said.startswith("192.0.2.7")
    answer = ask(shared, upgrade("/any"), "local")
    assert shared.wait_log("open", id=answer.id)["peer"].startswith("unix")


@pytest.mark.parametrize("fields, status", [
    ({"X_Forwarded_Host": "relay.example"}, 101),
    ({"X_Forwarded_Host": "evil.example, relay.example"}, 101),
    ({"X_Forwarded_Host": ["evil.example", "relay.example"]}, 101),
    ({"X_Forwarded_Host": "relay.example, evil.example"}, 421),
    ({}, 421)], ids=str)
def test_x_forwarded_host(shared, fields, status):
    answer = ask(shared, upgrade("/any", Host="inner:8080", **fields),
                 "proxied")
    assert answer.status == status


@pytest.mark.parametrize("proto, origin, enters", [
    ("https", "https://relay.example", True),
    ("wss", "https://relay.example", True),
    ("http, https", "https://relay.example", True),
    ("https, http", "https://relay.example", False),
    ("https", "http://relay.example", False),
    (None, f"{HTTP}://relay.example", True),
    (None, f"{OTHER}://relay.example", False),
    ("https", "https://relay.example:443", True),
    ("https", "https://relay.example:444", False)])
def test_x_forwarded_proto_decides_what_is_same(shared, proto, origin, enters):
    answer = ask(shared, upgrade("/echo", Host="inner", Origin=origin,
                                 X_Forwarded_Host="relay.example",
                                 X_Forwarded_Proto=proto), "proxied")
    assert bool(answer.echo) == enters
    assert enters or answer.word == "origin"


@pytest.mark.parametrize("fields", [
    {"X_Forwarded_Proto": "https"}, {"X_Forwarded_Proto": "WSS"},
    {"Forwarded": "for=192.0.2.1;proto=https"}], ids=str)
@pytest.mark.plain("it comes over TLS")
def test_a_proxy_that_is_not_trusted_is_told_of_once(relay, fields):
    """Its pages come over https and get ws://: the log says why."""
    r = relay(ROUTES.split("[route there]")[0], listen="""
[listen trusting]
address = 127.0.0.1:0
trusted_proxies = 127.0.0.1
""", server="workers = 2")
    ask(r, upgrade("/echo"))
    ask(r, upgrade("/echo", X_Forwarded_Proto="http"))
    ask(r, upgrade("/echo", Forwarded="a mess; of"))
    ask(r, upgrade("/echo", **fields), "trusting")
    assert not r.log("proxy-not-trusted")
    for _ in range(3):
        ask(r, upgrade("/echo", **fields))
    line = r.wait_log("proxy-not-trusted")
    assert (line["level"], line["listen"], line["peer"]) == \
        ("warn", "main", "127.0.0.1")
    assert "trusted_proxies" in line["detail"]
    assert ask(r, upgrade("/echo", Origin="https://localhost", **fields)) \
        .word == "origin"
    assert len(r.log("proxy-not-trusted")) == 1


# --- origins ---------------------------------------------------------------

def test_what_was_seen_is_in_the_log(relay):
    """The Origin and the Host of a refusal, bounded and escaped; of few of
    them in a second, so that no line is left out."""
    r = relay(PLAIN)
    for origin, seen in (("http://evil.example:81",) * 2, ("null", "null"),
                         ('a"b', 'a\\"b'), ("x" * 300, "x" * 252 + "...")):
        answer = ask(r, upgrade("/echo", Origin=origin))
        assert answer.word == "origin"
        assert r.wait_log("refuse", id=answer.id)["detail"] == seen
    for host in "evil.example", "evil.example:81":
        answer = ask(r, upgrade("/echo", Host=host))
        assert (answer.status, answer.word) == (421, "host")
        assert r.wait_log("refuse", id=answer.id)["detail"] == host


@pytest.mark.parametrize("origin, told", [
    ("http://evil.example:81", "http://evil.example:81"),
    ('a"\\<\xfc', r"a\x22\x5c<\xfc"),
    ("y" * 300, "y" * 64 + "..."),
    ("http://eyJ" + "a" * 20 + "." + "b" * 20 + "." + "c" * 43,
     "http://(token)")])
def test_the_client_is_told_which_origin_it_was(shared, origin, told):
    """In a close frame and in a body; bounded, in printable ASCII."""
    said = f"origin: origins does not list this Origin: {told}"
    closed = ask(shared, upgrade("/echo", Origin=origin))
    assert closed.close == (3003, said)
    answer = ask(shared, upgrade("/reject/http", Origin=origin))
    assert (answer.status, answer.body.decode()) == (403, said + "\n")


# All kinds of origins: tests/unit/test_gate.c and test_origin.c.
@pytest.mark.parametrize("path, host, origin, enters", [
    ("/echo", "localhost", None, True),
    ("/echo", "LOCALHOST:8080", SAME + ":8080", True),
    ("/echo", "localhost", f"{OTHER}://localhost", False),
    ("/list", "localhost", "https://app.example", True),
    ("/list", "localhost", "http://app.example", False)])
def test_origins(shared, path, host, origin, enters):
    answer = ask(shared, upgrade(path, Host=host, Origin=origin))
    assert answer.status == 101
    if enters:
        assert answer.echo
    else:
        assert answer.close[0] == 3003 and answer.word == "origin"


# --- limits ----------------------------------------------------------------

def opened(stack, r, path="/echo", listen="main", source=None, **fields):
    p = stack.enter_context(Peer(r, listen, source))
    p.send(upgrade(path, **fields))
    answer = p.answer()
    assert answer.status == 101, answer
    p.send(frame(b"in"))
    assert p.message() == (1, b"in")
    return p


def refused(r, status, code, word, data, **options):
    answer = ask(r, data(), **options)
    assert (answer.status, answer.word) == (status, word)
    assert int(answer["Retry-After"]) > 0
    answer = ask(r, data(Origin=SAME), **options)
    assert answer.close[0] == code and answer.word == word


def test_max_connections_of_a_route(relay):
    r = relay("""
[route two]
path = /two
backend = echo:
auth = none
max_connections = 2
[route other]
path = /other
backend = echo:
auth = none
""")

    def data(**fields):
        return upgrade("/two", **fields)
    with contextlib.ExitStack() as stack:
        first = opened(stack, r, "/two")
        opened(stack, r, "/two")
        refused(r, 503, 1013, "limit-connections", data)
        opened(stack, r, "/other")
        first.socket.close()
        first.file.close()
        r.wait_log("close")
        opened(stack, r, "/two")
        refused(r, 503, 1013, "limit-connections", data)
    wait_for(lambda: len(r.log("close")) == len(r.log("open")))
    with contextlib.ExitStack() as stack:   # refusals have freed their places
        opened(stack, r, "/two")
        opened(stack, r, "/two")


def test_the_refused_take_no_place(relay):
    """Who was turned away and stays, keeps nobody else out."""
    r = relay("""
[route one]
path = /one
backend = echo:
max_connections = 1
single_use = yes
""" + KEY + "leeway = 0\n")
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            p = stack.enter_context(Peer(r))
            p.send(upgrade("/one"))
            assert p.answer().word == "token-missing"
        assert ask(r, upgrade("/one?token=" + mint("/one"))).echo


def test_max_connections_of_the_server(relay):
    r = relay(PLAIN, server="max_connections = 3")

    def data(**fields):
        return upgrade("/any", **fields)
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            opened(stack, r)
        refused(r, 503, 1013, "limit-connections", data)
        assert ask(r, head("/")).status == 503
        assert ask(r, head("/healthz")).status == 200
    wait_for(lambda: len(r.log("close")) == 3)
    wait_for(lambda: ask(r, data()).status == 101)


def test_max_connections_per_ip(relay):
    r = relay(PLAIN, listen="max_connections_per_ip = 2\n")

    def data(**fields):
        return upgrade("/any", **fields)
    with contextlib.ExitStack() as stack:
        opened(stack, r)
        idle = stack.enter_context(Peer(r))  # one whose request is to come
        idle.send(head("/healthz"))
        assert idle.answer().status == 200
        idle.send(b"GET /")
        refused(r, 429, 1013, "limit-address", data)
        opened(stack, r, source="127.0.0.2")
    wait_for(lambda: len(r.log("close")) == 2)
    wait_for(lambda: ask(r, data()).status == 101)
    wait_for(lambda: len(r.log("close")) == 3)
    with contextlib.ExitStack() as stack:
        opened(stack, r, "/any")
        opened(stack, r, "/any")
        refused(r, 429, 1013, "limit-address", data)


def test_max_connections_per_ip_behind_a_proxy(relay):
    """Each of the proxy's clients is counted, the proxy is not; what a
    client writes itself does not help it. IPv6 counts per /64."""
    r = relay(PLAIN, listen="""max_connections_per_ip = 2
trusted_proxies = 127.0.0.1
""")

    def data(client):
        return lambda **fields: upgrade("/any", X_Forwarded_For=client,
                                        **fields)
    with contextlib.ExitStack() as stack:
        for i in range(3):
            opened(stack, r, "/any", X_Forwarded_For=f"192.0.2.{i}")
        opened(stack, r, "/any", X_Forwarded_For="6.6.6.6, 192.0.2.1")
        refused(r, 429, 1013, "limit-address", data("7.7.7.7, 192.0.2.1"))
        for i in (1, 2):
            opened(stack, r, "/any", X_Forwarded_For=f"2001:db8::{i}:1")
        refused(r, 429, 1013, "limit-address", data("2001:db8:0:0:ffff::1"))
        opened(stack, r, "/any", X_Forwarded_For="2001:db8:0:1::1")
        # An untrusted neighbour with the same header is itself.
        for _ in range(2):
            opened(stack, r, "/any", source="127.0.0.2",
                   X_Forwarded_For="192.0.2.1")
        refused(r, 429, 1013, "limit-address", data("192.0.2.9"),
                source="127.0.0.2")


def test_requests_on_one_connection_may_be_of_many_clients(relay):
    """A proxy's connection that is kept alive is counted for the client of
    each request, not for all of them."""
    r = relay(PLAIN, listen="""max_connections_per_ip = 1
trusted_proxies = 127.0.0.1
""")
    (r.dir / "a.txt").write_text("a file\n")
    with Peer(r) as p:
        for i in range(5):
            p.send(head("/a.txt", X_Forwarded_For=f"127.0.0.{i % 2 + 2}"))
            assert p.answer().status == 200
        # It is now that of 127.0.0.2; 127.0.0.3 is free again.
        free = upgrade("/any", X_Forwarded_For="127.0.0.3")
        assert ask(r, free).echo
        taken = upgrade("/any", X_Forwarded_For="127.0.0.2")
        assert ask(r, taken).word == "limit-address"


# --- the order -------------------------------------------------------------

def test_order_of_the_gate(relay):
    """address, limits, route, origin, token, backend: who fails at several
    is told the first."""
    r = relay("""
[route x]
path = /x
backend = tcp://127.0.0.1:1
framing = line
max_connections = 1
deny = 192.0.2.66
[route hold]
path = /hold
backend = echo:
auth = none
""" + KEY, server="max_connections = 20", listen="""
trusted_proxies = 127.0.0.1
deny = 192.0.2.99
""")

    def word(path, client, **fields):
        return ask(r, upgrade(path, X_Forwarded_For=client, **fields)).word

    bad = {"Origin": "http://evil.example"}
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            opened(stack, r, "/hold")
        assert word("/no", "192.0.2.99", **bad) == "address"
        assert word("/no", "192.0.2.1", **bad) == "limit-connections"
    wait_for(lambda: len(r.log("close")) == 20)
    wait_for(lambda: word("/no", "192.0.2.1", **bad) == "not-found")
    assert word("/x", "192.0.2.66", **bad) == "address"
    assert word("/x", "192.0.2.1", **bad) == "origin"
    good = {"Origin": SAME}
    assert word("/x", "192.0.2.1", **good) == "token-missing"
    assert not r.log("backend-error")
    path = r.url("/x", token=True).split(str(r.port))[1]
    assert word(path, "192.0.2.1", **good) == "backend-refused"
    r.wait_log("backend-error", reason="backend-refused")


# --- how it is told --------------------------------------------------------

@pytest.mark.parametrize("path, origin, closes", [
    ("/reject/auto", None, False), ("/reject/auto", SAME, True),
    ("/reject/http", None, False), ("/reject/http", SAME, False),
    ("/reject/close", None, True), ("/reject/close", SAME, True),
    ("/nowhere", None, False), ("/nowhere", SAME, True)])
def test_reject(shared, path, origin, closes):
    answer = ask(shared, upgrade(path, Origin=origin))
    word = "not-found" if path == "/nowhere" else "token-missing"
    code, status = (3003, 404) if path == "/nowhere" else (3000, 401)
    assert answer.word == word
    if closes:
        assert answer.status == 101 and answer.close[0] == code
        assert answer.close[1].startswith(word + ": ")
    else:
        assert answer.status == status


def test_a_refused_upgrade_selects_an_offer(shared):
    """Browsers fail a 101 without one of their subprotocols: 1006."""
    answer = ask(shared, upgrade("/reject/close",
                                 Sec_WebSocket_Protocol="chat, other"))
    assert answer["Sec-WebSocket-Protocol"] == "chat"
    assert answer.close[0] == 3000


def test_refusals_in_the_log_are_limited(relay):
    """With a count of what was left out."""
    r = relay(PLAIN)
    for _ in range(200):
        assert ask(r, upgrade("/nowhere")).status == 404

    def counted():
        hidden = sum(int(x["count"]) for x in r.log("refuse-suppressed"))
        return hidden and hidden + len(r.log("refuse")) == 200
    wait_for(counted, "every refusal to be counted")
    assert len(r.log("refuse")) <= 150
    shown = len(r.log("refuse"))
    # A second later there is room for more.
    wait_for(lambda: ask(r, upgrade("/nowhere")).status == 404 and
             len(r.log("refuse")) > shown, "another line")


def test_what_the_log_leaves_out_has_its_reasons(relay):
    """Of refusals, and of backends that cannot be opened."""
    r = relay(PLAIN + "[route dead]\npath = /dead\nauth = none\n"
              "backend = unix:{dir}/none\nframing = line\n")
    for _ in range(100):
        assert ask(r, upgrade("/nowhere")).status == 404
        assert ask(r, upgrade("/dead")).status == 502
    r.stop()
    total = {"refuse": {}, "backend-error": {}}
    for event, words in total.items():
        for line in r.log(event):
            words[line["reason"]] = words.get(line["reason"], 0) + 1
        told = r.log(f"{event}-suppressed")
        assert told and all(x["level"] == "warn" for x in told)
        for line in told:
            counts = [x.split(":") for x in line["reasons"].split(" ")]
            assert sum(int(n) for _, n in counts) == int(line["count"])
            for word, n in counts:
                words[word] = words.get(word, 0) + int(n)
    assert total == {"refuse": {"not-found": 100, "backend-refused": 100},
                     "backend-error": {"backend-refused": 100}}
