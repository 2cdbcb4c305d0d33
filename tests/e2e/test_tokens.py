"""Tokens: RFC 7519 as wsrelayd.ini(5) has it, at the door of the daemon."""
import base64
import contextlib
import hashlib
import hmac
import json
import socket
import time

import pytest

from pace import unhurried
from rawhttp import KEY as WS_KEY
from rawhttp import Peer, ask, frame, head, upgrade
from relay import PATIENCE, SECRET, Relay, b64, mint, wait_for
from secure import HTTP

OTHER = b"a second secret, of another key, long enough"
ORIGIN = f"{HTTP}://localhost"
KEYS = """
[key lab]
secret_file = {dir}/secret
[key other]
secret_file = {dir}/other
issuer = https://issuer.example
audience = relay
max_ttl = 100s
leeway = 0
"""
ROUTES = """
[route sim]
path = /sim/{id}
backend = echo:
[route param]
path = /param/{id}
backend = echo:
token_param = key
[route strict]
path = /strict/{id}
backend = echo:
keys = other
[route slash]
path = /slash/
backend = echo:
[route once]
path = /once/{id}
backend = echo:
single_use = yes
keys = once
[key once]
secret_file = {dir}/secret
leeway = 0
[page all]
path = /
root = {dir}
auth = token
keys = lab other
""" + KEYS


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    where = tmp_path_factory.mktemp("relay")
    (where / "other").write_bytes(OTHER)
    (where / "other").chmod(0o600)
    r = Relay(ROUTES, where)
    r.started = time.time()
    yield r
    r.stop()


def other(path="/strict/1", **claims):
    """A token of the strict key."""
    full = dict(iss="https://issuer.example", aud="relay", iat=int(now()),
                header={"kid": "other"}, secret=OTHER)
    full.update(claims)
    return mint(path, **full)


def raw(header, payload, secret=SECRET):
    """A signed token of any bytes."""
    parts = [x if isinstance(x, bytes) else json.dumps(x).encode()
             for x in (header, payload)]
    text = ".".join(b64(x) for x in parts)
    return text + "." + b64(hmac.new(secret, text.encode(),
                                     hashlib.sha256).digest())


def now():
    return time.time()


def body(**claims):
    full = {"exp": int(now()) + 60, "iat": int(now()), "path": "/sim/1"}
    full.update(claims)
    return {k: v for k, v in full.items() if v is not None}


HS = {"alg": "HS256"}


def open_with(r, token, path="/sim/1", **fields):
    return ask(r, upgrade(f"{path}?token={token}", **fields))


# --- what opens ------------------------------------------------------------

GOOD = {
    "exact": lambda: mint("/sim/1"),
    "no kid": lambda: mint("/sim/1", header={"kid": None}),
    "no typ": lambda: mint("/sim/1", header={"typ": None}),
    "typ": lambda: mint("/sim/1", header={"typ": "wsuri+jwt"}),
    "prefix": lambda: mint("/sim/*"),
    "prefix of all": lambda: mint("/*"),
    "no iat": lambda: mint("/sim/1", drop=["iat"]),
    "fractions": lambda: mint("/sim/1", exp=now() + 9.75, nbf=now() - 0.25),
    "late within leeway": lambda: mint("/sim/1", exp=now() - 2),
    "early within leeway": lambda: mint("/sim/1", nbf=now() + 2,
                                        iat=now() + 2),
    "unknown claims": lambda: mint("/sim/1", foo=[1, {"a": None}]),
    "aud of nobody asked": lambda: mint("/sim/1", aud=["a", "b"], iss="x"),
    "expire_at 0": lambda: mint("/sim/1", expire_at=0),
    "expire_at": lambda: mint("/sim/1", expire_at=now() + 60),
    "longest sub": lambda: mint("/sim/1", sub="s" * 255),
    "at max_ttl": lambda: mint("/sim/1", ttl=3599),
    "a name inside": lambda: mint("/sim/1", sub="a  b"),
    "no sub": lambda: mint("/sim/1", sub=""),
    "sub_key of nobody": lambda: mint("/sim/1", sub="a", sub_key="none"),
}


@pytest.mark.parametrize("name", GOOD)
def test_opens(shared, name):
    assert open_with(shared, GOOD[name]()).echo == b"probe"


@pytest.mark.parametrize("claims", [
    {}, {"aud": ["x", "relay"]}, {"header": {"kid": None}}], ids=str)
def test_strict_key_opens(shared, claims):
    assert open_with(shared, other(**claims), "/strict/1").echo


def test_subject_and_perm_are_taken_over(shared):
    answer = open_with(shared, mint("/sim/1", sub="alice & bob"))
    assert shared.wait_log("open", id=answer.id)["subject"] == "alice & bob"


# --- what does not ---------------------------------------------------------

def changed(token, index):
    """One character changed."""
    c = token[index]
    return token[:index] + ("A" if c != "A" else "B") + token[index + 1:]


def part_changed(part):
    token = mint("/sim/1")
    parts = token.split(".")
    parts[part] = changed(parts[part], len(parts[part]) // 2)
    return ".".join(parts)


def non_canonical():
    """The same bytes spelled in another way: bits behind the last byte."""
    token = mint("/sim/1")
    letters = ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
               "0123456789-_")
    last = letters.index(token[-1])
    spelled = token[:-1] + letters[last ^ 1]
    assert base64.urlsafe_b64decode(spelled.split(".")[2] + "=") == \
        base64.urlsafe_b64decode(token.split(".")[2] + "=")
    return spelled


MALFORMED = "token-malformed"
BAD = {
    "empty": (MALFORMED, lambda: ""),
    "one part": (MALFORMED, lambda: "x"),
    "two parts": (MALFORMED, lambda: mint("/sim/1").rsplit(".", 1)[0]),
    "four parts": (MALFORMED, lambda: mint("/sim/1") + ".x"),
    "padding": (MALFORMED, lambda: mint("/sim/1") + "="),
    "not canonical": (MALFORMED, non_canonical),
    "plain base64": (MALFORMED, lambda: raw(HS, body(
        a="\u00ff\u00fe~~~???"))[:20] + "+/" + mint("/sim/1")[22:]),
    "not JSON": (MALFORMED, lambda: raw(b"{alg}", body())),
    "an array": (MALFORMED, lambda: raw([], body())),
    "duplicate names": (MALFORMED, lambda: raw(
        HS, b'{"exp":1,"exp":%d,"path":"/sim/1"}' % (now() + 60))),
    "not UTF-8": (MALFORMED, lambda: raw(
        HS, b'{"sub":"\xff","exp":%d,"path":"/sim/1"}' % (now() + 60))),
    "behind the JSON": (MALFORMED, lambda: raw(
        HS, json.dumps(body()).encode() + b" {}")),
    "nested deep": (MALFORMED, lambda: raw(
        HS, b'{"a":' + b"[" * 1000 + b"]" * 1000 + b"}")),
    "too long": (MALFORMED, lambda: raw(HS, body(a="x" * 9000))),
    "alg none": (MALFORMED, lambda: raw({"alg": "none"}, body())),
    "alg none, unsigned": (MALFORMED, lambda: raw(
        {"alg": "none"}, body()).rsplit(".", 1)[0] + "."),
    "alg None": (MALFORMED, lambda: raw({"alg": "nOnE"}, body())),
    "no alg": (MALFORMED, lambda: raw({}, body())),
    "alg HS512": (MALFORMED, lambda: raw({"alg": "HS512"}, body())),
    "alg RS512": (MALFORMED, lambda: raw({"alg": "RS512"}, body())),
    "alg RS256": ("token-unknown-key",
                  lambda: raw({"alg": "RS256"}, body())),
    "crit": (MALFORMED, lambda: raw({**HS, "crit": ["exp"], "exp": 1},
                                    body())),
    "empty crit": (MALFORMED, lambda: raw({**HS, "crit": []}, body())),
    "typ": (MALFORMED, lambda: raw({**HS, "typ": "at+jwt"}, body())),
    "kid a number": (MALFORMED, lambda: raw({**HS, "kid": 1}, body())),
    "no exp": (MALFORMED, lambda: raw(HS, body(exp=None))),
    "exp a string": (MALFORMED, lambda: raw(HS, body(exp="never"))),
    "exp of a far day": (MALFORMED, lambda: raw(HS, body(exp=1e300))),
    "exp negative": (MALFORMED, lambda: raw(HS, body(exp=-1))),
    "no path": (MALFORMED, lambda: raw(HS, body(path=None))),
    "path a list": (MALFORMED, lambda: raw(HS, body(path=["/sim/1"]))),
    "path without slash": (MALFORMED, lambda: raw(HS, body(path="sim/1"))),
    "perm": (MALFORMED, lambda: mint("/sim/1", perm="rwx")),
    "perm a number": (MALFORMED, lambda: mint("/sim/1", perm=3)),
    "long sub": (MALFORMED, lambda: mint("/sim/1", sub="s" * 256)),
    "control in sub": (MALFORMED, lambda: mint("/sim/1", sub="a\nb")),
    "NUL in sub": (MALFORMED, lambda: mint("/sim/1", sub="a\0b")),
    "unknown kid": ("token-unknown-key",
                    lambda: mint("/sim/1", header={"kid": "labs"})),
    "empty kid": ("token-unknown-key",
                  lambda: mint("/sim/1", header={"kid": ""})),
    "kid of another": ("token-signature",
                       lambda: mint("/sim/1", header={"kid": "other"})),
    "another secret": ("token-signature",
                       lambda: mint("/sim/1", secret=OTHER)),
    "unknown secret": ("token-signature", lambda: mint(
        "/sim/1", secret=b"?" * 32, header={"kid": None})),
    "signature changed": ("token-signature",
                          lambda: changed(mint("/sim/1"), -8)),
    "signature cut": ("token-signature", lambda: mint("/sim/1")[:-3]),
    "no signature": (MALFORMED,
                     lambda: mint("/sim/1").rsplit(".", 1)[0] + "."),
    "expired": ("token-expired", lambda: mint("/sim/1", ttl=-8)),
    "expire_at over": ("token-expired",
                       lambda: mint("/sim/1", expire_at=now() - 1)),
    "nbf to come": ("token-too-early", lambda: mint("/sim/1", nbf=now() + 8)),
    "iat to come": ("token-too-early", lambda: mint("/sim/1", iat=now() + 8)),
    "over max_ttl": ("token-ttl", lambda: mint("/sim/1", ttl=3700)),
    "another path": ("token-path", lambda: mint("/sim/2")),
    "longer path": ("token-path", lambda: mint("/sim/11")),
    "shorter path": ("token-path", lambda: mint("/sim")),
    "slash behind": ("token-path", lambda: mint("/sim/1/")),
    "prefix of itself": ("token-path", lambda: mint("/sim/1/*")),
    "prefix of a sister": ("token-path", lambda: mint("/si/*")),
    "half a segment": ("token-path", lambda: mint("/sim/1*")),
    "wildcard within": ("token-path", lambda: mint("/*/1")),
    "upper case": ("token-path", lambda: mint("/Sim/1")),
    "escaped": ("token-path", lambda: mint("/s%69m/1")),
}
BAD_STRICT = {
    "key of no use here": ("token-unknown-key", lambda: mint("/strict/1")),
    "no kid, key of no use": ("token-signature", lambda: mint(
        "/strict/1", header={"kid": None})),
    "iss": ("token-unknown-key", lambda: other(iss="https://e.example")),
    "no iss": ("token-unknown-key", lambda: other(drop=["iss"])),
    "aud": ("token-audience", lambda: other(aud="relays")),
    "auds": ("token-audience", lambda: other(aud=["a", "b"])),
    "no aud": ("token-audience", lambda: other(drop=["aud"])),
    "max_ttl": ("token-ttl", lambda: other(ttl=110)),
    "no leeway": ("token-expired", lambda: other(exp=now() - 1)),
    "no leeway, nbf": ("token-too-early", lambda: other(nbf=now() + 1)),
}


def refused_both_ways(r, token, path, word, **fields):
    answer = open_with(r, token, path, **fields)
    assert (answer.status, answer.word) == (401, word)
    assert answer["WWW-Authenticate"].startswith(
        'Bearer error="invalid_token"')
    assert word in answer["WWW-Authenticate"]
    closed = open_with(r, token, path, Origin=ORIGIN, **fields)
    assert closed.status == 101 and closed.close[0] == 3000
    assert closed.close[1].startswith(word + ": ")
    for said in (answer.body.decode(), closed.close[1], str(answer.fields)):
        for part in token.split("."):
            assert len(part) < 8 or part not in said


@pytest.mark.parametrize("name", BAD)
def test_refused(shared, name):
    word, token = BAD[name]
    refused_both_ways(shared, token(), "/sim/1", word)


@pytest.mark.parametrize("name", BAD_STRICT)
def test_refused_by_a_strict_key(shared, name):
    word, token = BAD_STRICT[name]
    refused_both_ways(shared, token(), "/strict/1", word)


def test_missing(shared):
    answer = ask(shared, upgrade("/sim/1"))
    assert (answer.status, answer.word) == (401, "token-missing")
    assert 'error="invalid_token"' in answer["WWW-Authenticate"]
    answer = ask(shared, upgrade("/sim/1?other=1", Origin=ORIGIN))
    assert answer.close == (3000, "token-missing: no token")


def test_path_is_compared_normalised(shared):
    token = mint("/sim/a~b")
    for path in "/sim/a~b", "/s%69m/a%7eb", "/sim/a%7Eb":
        assert open_with(shared, token, path).echo
    assert open_with(shared, token, "/sim/A~b").word == "token-path"
    assert open_with(shared, mint("/sim/*"), "/sim/").status == 404
    # A prefix does not match itself, but for the folder of a page.
    assert open_with(shared, mint("/slash/*"), "/slash/").word == "token-path"
    assert ask(shared, head("/sub/?token=" + mint("/sub/*"))).status == 404
    assert ask(shared, head("/sub?token=" + mint("/sub/*"))).status == 401


def test_origin_claim(shared):
    token = mint("/sim/1", origin=ORIGIN)
    assert open_with(shared, token, Origin=ORIGIN).echo
    answer = open_with(shared, token)
    assert (answer.status, answer.word) == (403, "origin")
    token = mint("/sim/1", origin="https://elsewhere.example")
    answer = open_with(shared, token, Origin=ORIGIN)
    assert answer.close[0] == 3003 and answer.word == "origin"


# --- where it stands -------------------------------------------------------

def bearer(token):
    return {"Authorization": "Bearer " + token}


def protocols(token, *others):
    return {"Sec_WebSocket_Protocol":
            ", ".join([*others, "wsuri.bearer." + token])}


def test_sources(shared):
    def good():
        return mint("/sim/1")
    assert ask(shared, upgrade("/sim/1?a=b&token=" + good() + "&c")).echo
    assert ask(shared, upgrade("/sim/1", **bearer(good()))).echo
    assert ask(shared, upgrade("/sim/1", Authorization="bearer  " +
                               good())).echo
    answer = ask(shared, upgrade("/sim/1", **protocols(good(), "wsuri")))
    assert answer.echo and answer["Sec-WebSocket-Protocol"] == "wsuri"
    answer = ask(shared, upgrade("/sim/1", Sec_WebSocket_Protocol=[
        "wsuri.bearer." + good(), "wsuri"]))
    assert answer.echo and answer["Sec-WebSocket-Protocol"] == "wsuri"
    answer = ask(shared, upgrade("/sim/1", Authorization="Basic dTpw"))
    assert answer.word == "token-missing"


def test_token_param(shared):
    token = mint("/param/1")
    assert ask(shared, upgrade("/param/1?key=" + token)).echo
    assert ask(shared, upgrade("/param/1?k%65y=" + token)).echo
    assert ask(shared, upgrade("/param/1?token=" + token)).word == \
        "token-missing"
    assert ask(shared, upgrade("/sim/1?key=" + token)).word == "token-missing"
    assert ask(shared, upgrade(f"/param/1?token=x&key={token}")).echo


def test_two_at_once(shared):
    """All pairs of places: tests/unit/test_gate.c."""
    token = mint("/sim/1")
    for fields, status, code in (({}, 400, None),
                                 ({"Origin": ORIGIN}, 101, 3003)):
        answer = ask(shared, upgrade(f"/sim/1?token={token}",
                                     **bearer(token), **fields))
        assert (answer.status, answer.word) == (status, "token-twice")
        assert code is None or answer.close[0] == code


def test_subprotocol_alone(shared):
    """No browser would take a 101 that selects none of its offers, and the
    token itself is never sent back."""
    token = mint("/sim/1")
    answer = ask(shared, upgrade("/sim/1", **protocols(token)))
    assert (answer.status, answer.word) == (400, "subprotocol")
    answer = ask(shared, upgrade("/sim/1", Origin=ORIGIN, **protocols(token)))
    assert token not in str(answer.fields) + str(answer.body)


# --- what it allows --------------------------------------------------------

def opened(r, token, path="/sim/1"):
    p = Peer(r)
    p.send(upgrade(f"{path}?token={token}"))
    answer = p.answer()
    assert answer.status == 101, answer
    return p


def test_perm_r(shared):
    with opened(shared, mint("/sim/1", perm="r")) as p:
        p.send(frame(b"", 9))
        assert p.frame() == (0x8a, b"")
        p.send(frame(b"x"))
        code, text = p.read_close()
        assert code == 1008 and text.startswith("read-only")


def test_perm_w(relay):
    """What the backend says is not for this client."""
    r = relay("""
[route cat]
path = /cat
backend = exec:/bin/sed /end/q
""" + "[key lab]\nsecret_file = {dir}/secret\n")
    with opened(r, mint("/cat", perm="w"), "/cat") as p:
        p.send(frame(b"one"))
        p.send(frame(b"end"))
        op, payload = p.message()       # the program's end, not its words
        assert (op, payload[:2]) == (8, b"\x03\xe8")
    line = r.wait_log("close", reason="backend-close")
    assert line["client_messages"] == line["backend_messages"] == "2"
    assert line["backend_dropped"] == "6"
    with opened(r, mint("/cat", perm="rw"), "/cat") as p:
        p.send(frame(b"end"))
        assert p.message() == (1, b"end")


@unhurried
def test_expire_at(shared, pace):
    end = now() + 1.2 * pace
    with opened(shared, mint("/sim/1", expire_at=end)) as p:
        p.send(frame(b"x"))
        assert p.message() == (1, b"x")
        code, text = p.read_close()
        assert code == 3000 and text.startswith("token-end")
        assert -0.05 < now() - end < PATIENCE
        p.send(frame(b"\x0b\xb8", 8))
        assert p.at_end()
    shared.wait_log("close", reason="token-end", code=3000)


@unhurried
def test_exp_does_not_end_what_is_open(shared, pace):
    exp = now() - 5 + 0.5 * pace        # leeway is 5s
    with opened(shared, mint("/sim/1", exp=exp)) as p:
        wait_for(lambda: now() > exp + 5.2, "its time to be over")
        assert open_with(shared, mint("/sim/1", exp=exp)).word == \
            "token-expired"
        p.send(frame(b"x"))
        assert p.message() == (1, b"x")


# --- what the log says of who is refused -----------------------------------

def test_refused_with_what_was_seen(relay):
    """Whose token it was, once its signature was good, and what it said."""
    r = relay(ROUTES.split("[route param]")[0] + KEYS.split("[key other]")[0])

    def refused(token, path="/sim/1", **fields):
        answer = open_with(r, token, path, **fields)
        assert answer.status in (401, 403)
        return r.wait_log("refuse", id=answer.id)
    line = refused(mint("/sim/2", sub="alice"))
    assert (line["reason"], line["path"], line["detail"]) == \
        ("token-path", "/sim/1", "the token is for /sim/2")
    assert (line["subject"], line["key"]) == ("alice", "lab")
    line = refused(mint("/sim/1", sub="alice", origin="https://a.example"))
    assert (line["reason"], line["detail"], line["subject"]) == \
        ("origin", "the token is for https://a.example", "alice")
    line = refused(mint("/sim/1", sub="alice", ttl=-60))
    assert (line["reason"], line["subject"]) == ("token-expired", "alice")
    for bad in (mint("/sim/2", sub="alice", secret=OTHER),
                part_changed(1)):
        line = refused(bad)
        assert "subject" not in line and "key" not in line


# --- single use ------------------------------------------------------------

def once(**claims):
    return mint("/once/1", header={"kid": "once"}, **claims)


def test_single_use(shared):
    token = once()
    assert open_with(shared, token, "/once/1").echo
    refused_both_ways(shared, token, "/once/1", "token-used")
    assert open_with(shared, once(jti="n"), "/once/1").echo
    # Its name is what it is known by, not its spelling.
    refused_both_ways(shared, once(jti="n", sub="x"), "/once/1",
                      "token-used")
    assert open_with(shared, once(jti="m"), "/once/1").echo


def test_single_use_needs_to_know_when_it_was_made(shared):
    for claims in ({"drop": ["iat"]}, {"iat": shared.started - 30}):
        refused_both_ways(shared, once(**claims), "/once/1",
                          "token-used")


def test_single_use_survives_refusals(shared):
    """A refusal by something else does not cost the token."""
    token = once(origin=ORIGIN)
    assert open_with(shared, token, "/once/1").word == "origin"
    assert open_with(shared, token, "/once/2", Origin=ORIGIN).word == \
        "token-path"
    assert open_with(shared, token, "/once/1", Origin=ORIGIN).echo


def test_single_use_race(shared):
    """Many at once: exactly one wins."""
    for _ in range(10):
        token = once()
        data = upgrade(f"/once/1?token={token}")
        with contextlib.ExitStack() as stack:
            peers = [stack.enter_context(Peer(shared)) for _ in range(8)]
            for p in peers:
                p.send(data[:-1])
            for p in peers:
                p.send(data[-1:])
            got = sorted(p.answer().status for p in peers)
            assert got == [101] + [401] * 7


def test_single_use_and_the_backend(relay):
    """Reserved while the backend is opened, given back when that fails."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)
        r = relay(f"""
[route once]
path = /once
backend = ws://127.0.0.1:{server.getsockname()[1]}/
single_use = yes
[key lab]
secret_file = {{dir}}/secret
leeway = 0
""")
        token = mint("/once")
        data = upgrade("/once?token=" + token)
        with Peer(r) as first:
            first.send(data)
            backend, _ = server.accept()
            with Peer(r) as second:
                second.send(data)
                assert second.answer().status == 401
            backend.close()             # it fails: the token comes back
            assert first.answer().status == 502
        with Peer(r) as gone:
            gone.send(data)
            backend, _ = server.accept()
            gone.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                   b"\1\0\0\0\0\0\0\0")
        r.wait_log("refuse", reason="client-reset")
        backend.close()
        with Peer(r) as third:
            third.send(data)
            backend, _ = server.accept()
            with backend:
                answer_upgrade(backend)
                assert third.answer().status == 101
        with Peer(r) as fourth:
            fourth.send(data)
            assert fourth.answer().status == 401


# --- it appears nowhere ----------------------------------------------------

def answer_upgrade(s, extra=""):
    """A backend of few words; returns the request it got."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += s.recv(65536)
    key = next(x.split(b": ")[1] for x in got.split(b"\r\n")
               if x.lower().startswith(b"sec-websocket-key"))
    accept = base64.b64encode(hashlib.sha1(
        key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
    s.sendall(("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
               "Connection: Upgrade\r\n" + extra +
               f"Sec-WebSocket-Accept: {accept}\r\n\r\n").encode())
    return got


def parts(token):
    return [x for x in token.split(".") if x]


SOURCES = {
    "query": lambda t: {"query": f"?a=1&token={t}&b=%2"},
    "query first": lambda t: {"query": f"?token={t}"},
    "escaped name": lambda t: {"query": f"?%74oken={t}&b"},
    "header": lambda t: {"Authorization": f"Bearer {t}"},
    "subprotocol": lambda t: {
        "Sec_WebSocket_Protocol": f"chat, wsuri, wsuri.bearer.{t}, x"},
}


@pytest.mark.parametrize("auth", ["token", "none"])
@pytest.mark.parametrize("source", SOURCES)
def test_a_token_appears_nowhere(relay, source, auth):
    """Not in the log at debug, an answer, the request to a ws backend, the
    environment or the arguments of a program; but where the relay looks for
    none, the query and the Authorization field are the backend's."""
    backends_own = auth == "none" and source != "subprotocol"
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)
        r = relay(f"""
[route ws]
path = /ws
backend = ws://127.0.0.1:{server.getsockname()[1]}/in
auth = {auth}
[route dead]
path = /dead
backend = ws://127.0.0.1:1/in
auth = {auth}
[route exec]
path = /exec
backend = exec:/bin/sh {{dir}}/show.sh
auth = {auth}
[key lab]
secret_file = {{dir}}/secret
""")
        (r.dir / "show.sh").write_text(
            "env; tr '\\0' ' ' </proc/$$/cmdline; echo; "
            "tr '\\0' ' ' </proc/$PPID/cmdline; echo; echo end; cat")
        token = mint("/*", sub="alice")
        said, told = [], []     # by the relay; to backends

        def request(path):
            fields = SOURCES[source](token)
            return upgrade(path + fields.pop("query", ""),
                           Referer=f"http://localhost/?token={token}",
                           Cookie="a=b", Origin=ORIGIN, **fields)
        with Peer(r) as p:
            p.send(request("/ws"))
            backend, _ = server.accept()
            with backend:
                got = answer_upgrade(backend)
                answer = p.answer()
                assert answer.status == 101, answer
                told.append(got.decode())
                said.append(str(answer.fields))
                target = got.split(b" ")[1].decode()
                if backends_own:
                    assert target == "/in" + SOURCES[source](token).get(
                        "query", "")
                else:
                    assert target == {"query": "/in?a=1&b=%2",
                                      "escaped name": "/in?b"}.get(
                                          source, "/in")
                assert b"cookie: a=b" in got.lower()
                if source == "subprotocol":
                    assert b"chat, x" in got
                    assert b"wsuri" not in got
                with open(f"/proc/{r.pid}/cmdline") as f:
                    said.append(f.read())
        with Peer(r) as p:
            p.send(request("/exec"))
            assert p.answer().status == 101
            while True:
                op, text = p.message()
                if text == b"end":
                    break
                told.append(text.decode())
        text = "\n".join(told)
        assert "WSRELAY_QUERY=" in text and "WSRELAY_PATH=/exec" in text
        for data in (request("/dead"), request("/nowhere"),
                     request("/dead").replace(b"Origin", b"X-Origin"),
                     request("/exec").replace(b"13", b"12"),
                     request("/exec").replace(b"HTTP/1.1", b"HTTP/3.1"),
                     request("/exec").replace(b"Host", b"Most"),
                     request("/exec").replace(b"\r\n", b"\n"),
                     request("/exec").replace(WS_KEY.encode(), b"")):
            answer = ask(r, data)
            said.append(str(answer.fields) + str(answer.body) +
                        str(answer.close))
        wait_for(lambda: len(r.log("refuse")) >= 8, "the refusals' lines")
        r.stop()
        said += r.lines
        if not backends_own:
            said += told
        for part in parts(token):
            assert len(part) > 16
            assert not [x for x in said if part in x]


@pytest.mark.parametrize("form", ["text", "json"])
def test_token_in_a_path_is_not_logged(relay, form):
    """Somebody took the path for the query."""
    r = relay("""
[route open]
path = /open/{*}
backend = echo:
auth = none
[route hub]
path = /hub/{*}
backend = echo:
auth = none
mode = hub
linger = 0
queue_limit = 16M
[route kept]
path = /kept
backend = echo:
[page all]
path = /page
root = {dir}
template = yes
""" + KEYS.split("[key other]")[0], server=f"log_format = {form}")
    token = mint("/sim/1")
    (r.dir / "a.html").write_text("{{wspath /nowhere/%s}}" % token)
    # What the log has room for ends within the token.
    far = "/nowhere/" + "x" * 80
    (r.dir / "b.html").write_text("{{wspath %s/%s/yz}}" % (far, token))
    spelled = token.replace(".", "%2e").replace("J", "%4a")
    for path in f"/open/{token}", f"/open/{spelled}", f"/hub/x/{token}/y":
        assert ask(r, upgrade(path)).echo
    assert ask(r, upgrade(f"/nowhere/{token}")).status == 404
    assert ask(r, head("/page/a.html")).status == 500
    assert ask(r, head("/page/b.html")).status == 500
    assert ask(r, head(f"/page/{token}.html")).status == 404
    strayed = mint(f"{far}/{token}/yz")
    assert ask(r, upgrade("/kept?token=" + strayed)).status == 401
    r.wait_log("hub-close", path="/hub/x/(token)/y")
    r.wait_log("open", path="/open/(token)", count=2)
    r.wait_log("refuse", path="/nowhere/(token)")
    r.wait_log("refuse", path="/page/(token).html")
    for way in "/nowhere/(token)", far + "/(token)/yz":
        r.wait_log("refuse", detail="no route here has the path " + way)
    r.wait_log("refuse", detail=f"the token is for {far}/(token)/yz")
    r.stop()
    for part in token.split("."):
        assert not [x for x in r.lines if part in x]


def test_subprotocol_of_a_ws_backend(relay):
    """The backend chooses; wsuri is selected only when it does not."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)
        r = relay(f"""
[route ws]
path = /ws
backend = ws://127.0.0.1:{server.getsockname()[1]}/in
[key lab]
secret_file = {{dir}}/secret
""")
        for extra, selected in (("Sec-WebSocket-Protocol: chat\r\n", "chat"),
                                ("", "wsuri")):
            with Peer(r) as p:
                p.send(upgrade("/ws", **protocols(mint("/ws"), "wsuri",
                                                  "chat")))
                backend, _ = server.accept()
                with backend:
                    answer_upgrade(backend, extra)
                    answer = p.answer()
                    assert answer["Sec-WebSocket-Protocol"] == selected
