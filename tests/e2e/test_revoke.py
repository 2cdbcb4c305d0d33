"""revoke, ban, revoked, unrevoke: who is closed, and which tokens count no
more."""
import json
import time

import pytest

from controls import READONLY, Caller, ask, ctl
from peers import TEXT, Background, Client, Server, WsPeer
from rawhttp import Peer, upgrade
from relay import KEY, SECRET, mint, wait_for
from signers import Signer, jwks

ROUTES = ("[route pair]\npath = /pair/{id}\nbackend = echo:\n"
          "[route room]\npath = /room/{id}\nbackend = room:\nmode = hub\n"
          "[route open]\npath = /open\nbackend = echo:\nauth = none\n")
OTHER = b"another secret of an end-to-end test"
HOUR = 3600000


def second(tmp_path):
    (tmp_path / "other").write_bytes(OTHER)
    return f"[key other]\nsecret_file = {tmp_path}/other\n"


@pytest.fixture(params=[1, 3])
def r(relay, tmp_path, request):
    return relay(ROUTES + KEY + second(tmp_path),
                 server=READONLY + f"workers = {request.param}\n")


def token(path="/pair/1", key="lab", **claims):
    return mint(path, OTHER if key == "other" else SECRET,
                header={"kid": key}, **claims)


def status(r, t, path="/pair/1"):
    """Of a handshake: 101, or the refusal and its word."""
    with Peer(r) as p:
        p.send(upgrade(f"{path}?token={t}"))
        answer = p.answer()
        if answer.status == 101:
            return 101
        return answer.status, answer.body.decode().split(":")[0].strip()


def closed(c):
    m = c.recv()
    assert m.opcode == 8, m
    c.close()
    return m.code, m.reason.split(":")[0]


REVOKED = (401, "revoked")
BANNED = (403, "banned")


# --- each selector ------------------------------------------------------------


def people(r):
    """Clients by a name, and the tokens that they came with."""
    tokens = {
        "alice": token(sub="alice"),
        "alice-jti": token("/room/1", sub="alice", jti="a1"),
        "alice-other": token(key="other", sub="alice"),
        "bob": token("/room/1", sub="bob", jti="a1"),
        "bob-other": token(key="other", sub="bob", jti="a1"),
        "nobody": token("/room/1"),
        "no-iat": token(sub="carol", drop=["iat"]),
    }
    paths = {n: "/room/1" if n in ("alice-jti", "bob", "nobody")
             else "/pair/1" for n in tokens}
    clients = {n: Client(r, paths[n], token=t) for n, t in tokens.items()}
    clients["open"] = Client(r, "/open")
    return clients, tokens, paths


@pytest.mark.parametrize("args, gone", [
    (["--sub", "alice"], {"alice", "alice-jti", "alice-other"}),
    (["--sub", "alice", "--key", "other"], {"alice-other"}),
    (["--kid", "other"], {"alice-other", "bob-other"}),
    (["--jti", "a1"], {"alice-jti", "bob", "bob-other"}),
    (["--jti", "a1", "--key", "lab"], {"alice-jti", "bob"}),
    (["--sub", "carol"], {"no-iat"}),
    (["--sub", "dave"], set()),
])
@pytest.mark.parametrize("command", ["revoke", "ban"])
def test_by_what_tokens_have_in_common(r, command, args, gone):
    clients, tokens, paths = people(r)
    rows = ask(r, command, *args)
    entry, rows = rows[0], rows[1:]
    assert entry["left_ms"] == HOUR + 5000   # max_ttl and leeway
    assert entry["action"] == {"revoke": "revoked", "ban": "banned"}[command]
    assert {x["id"] for x in rows} == {clients[n].id for n in gone}
    code, refusal = ((3000, REVOKED) if command == "revoke"
                     else (3003, BANNED))
    for name in gone:
        assert closed(clients[name]) == (code, refusal[1])
        r.wait_log("close", id=clients[name].id, reason=refusal[1])
    for name, t in tokens.items():
        got = status(r, t, paths[name])
        assert got == (refusal if name in gone else 101), name
    for name, c in clients.items():
        if name not in gone and paths.get(name) == "/pair/1":
            c.send(TEXT, b"here")
            assert c.message()[1] == b"here"
    # A newer token of theirs: that is where the two commands differ.
    if "alice" in gone:
        assert status(r, token(sub="alice")) == \
            (101 if command == "revoke" else BANNED)
    row, = ask(r, "revoked")
    assert {k: row.get(k) for k in ("action", "of", "name", "key")} == \
        {k: entry.get(k) for k in ("action", "of", "name", "key")}
    assert 0 < row["left_ms"] < entry["left_ms"]
    assert ask(r, "unrevoke", *args)[0]["name"] == entry["name"]
    assert not ask(r, "revoked")
    for name, t in tokens.items():
        assert status(r, t, paths[name]) == 101
    assert "neither revoked nor banned" in ask(
        r, "unrevoke", *args, status=1)["error"]


def test_by_the_ids_of_clients(r):
    clients, tokens, paths = people(r)
    # With a jti it is that token's, of the key that has signed it.
    entry, *rows = ask(r, "revoke", clients["bob"].id)
    assert (entry["of"], entry["name"], entry["key"]) == ("jti", "a1", "lab")
    gone = {"bob", "alice-jti"}
    assert {x["id"] for x in rows} == {clients[n].id for n in gone}
    # Without one it is the subject, as this key's.
    entry, row = ask(r, "revoke", clients["alice"].id)
    assert (entry["of"], entry["name"], entry["key"]) == \
        ("sub", "alice", "lab")
    assert row["id"] == clients["alice"].id
    # Without either it is the token itself.
    entry, row = ask(r, "revoke", clients["nobody"].id)
    assert entry["of"] == "token" and len(entry["name"]) == 32
    assert row["id"] == clients["nobody"].id
    assert status(r, tokens["nobody"], "/room/1") == REVOKED
    assert status(r, token("/room/1"), "/room/1") == 101
    ask(r, "unrevoke", "--hash", entry["name"])
    assert status(r, tokens["nobody"], "/room/1") == 101
    # A ban is of the subject, whose next token has another jti.
    entry, row = ask(r, "ban", clients["bob-other"].id)
    assert (entry["of"], entry["name"], entry["key"]) == \
        ("sub", "bob", "other")
    assert status(r, token(key="other", sub="bob")) == BANNED
    # Who came without a token has nothing to revoke.
    row, = ask(r, "revoke", clients["open"].id)
    assert "kill closes it" in row["detail"]
    assert ask(r, "revoke", "1", status=1)["error"] == "no client is that"
    clients["open"].send(TEXT, b"x")
    assert clients["open"].message()[1] == b"x"
    # Several at once.
    rows = ask(r, "revoke", clients["alice-other"].id, clients["no-iat"].id)
    assert {x.get("name") for x in rows} == {"alice", "carol", None}
    assert len(rows) == 4


@pytest.mark.parametrize("command", ["revoke", "ban"])
@pytest.mark.parametrize("claims, of, name", [
    ({"sub": "alice", "jti": "j"}, {"revoke": "jti", "ban": "sub"},
     {"revoke": "j", "ban": "alice"}),
    ({"sub": "alice"}, "sub", "alice"),
    ({"jti": "j"}, "jti", "j"),
    ({"jti": "j" * 256}, "token", None),
    ({}, "token", None),
])
def test_by_a_token(r, command, claims, of, name):
    t = token(**claims)
    c = Client(r, "/pair/1", token=t)
    args = "--socket", r.dir / "control.sock", command, "--json"
    done = ctl(*args, "--token", "-", input=t + "\n")
    entry, row, last = map(json.loads, done.stdout.splitlines())
    of = of[command] if isinstance(of, dict) else of
    name = name[command] if isinstance(name, dict) else name
    assert entry["of"] == of and name in (None, entry["name"])
    assert row["id"] == c.id
    closed(c)
    assert status(r, t)[1] == {"revoke": "revoked", "ban": "banned"}[command]
    # A wsuri has it, too; and nothing of it is logged.
    ctl("--socket", r.dir / "control.sock", "unrevoke", "--token", "-",
        input=f"wss://x/pair/1?token={t}")
    assert status(r, t) == 101
    assert not any(t in line or t.split(".")[2] in line for line in r.lines)
    assert r.log("control", command=command)[0]["arguments"] == \
        "token=(hidden)"
    said = [(x["action"], x["of"], x["name"]) for x in r.log("revocation")]
    action = {"revoke": "revoked", "ban": "banned"}[command]
    assert said == [(action, of, entry["name"]),
                    ("unrevoked", of, entry["name"])]


def test_tokens_that_are_none(r):
    args = "--socket", r.dir / "control.sock", "revoke", "--token"
    assert "no key of the configuration" in ctl(
        *args, "-", input=mint("/pair/1", b"x" * 32), status=2).stderr
    assert "parts" in ctl(*args, "-", input="eyJ", status=2).stderr
    assert "no token" in ctl(*args, "-", input="", status=2).stderr
    assert "standard input" in ctl(*args, "x", status=2).stderr
    assert "never given as arguments" in ctl(
        *args, mint("/pair/1"), status=2).stderr


USAGE = [
    ([], "expected ids, or one of"),
    (["1", "--sub", "a"], "expected ids, or one of"),
    (["--sub", "a", "--jti", "b"], "expected one of"),
    (["--sub", ""], "sub: expected"),
    (["--jti", "a\nb"], "jti: expected"),
    (["--kid", "x" * 256], "kid: expected"),
    (["--hash", "00"], "hash: expected"),
    (["--key", "lab"], "it goes with sub or jti"),
    (["--kid", "lab", "--key", "lab"], "it goes with sub or jti"),
    (["--sub", "a", "--key", "lib"], "no key of this name"),
    (["--sub", "a", "--for", "4000d"], "at most 3650d"),
    (["--sub", "a", "--for", "1w"], "expected a time such as"),
    (["xyz"], "id: expected"),
]


def test_usage(relay):
    r = relay(ROUTES + KEY, server=READONLY)
    for args, says in USAGE:
        for command in "revoke", "ban":
            assert says in ctl("--socket", r.dir / "control.sock", command,
                               *args, status=2).stderr
    assert not ask(r, "revoked")


def test_the_other_socket_only_looks(r):
    for command in "revoke", "ban", "unrevoke":
        assert "no command that changes" in ask(
            r, command, "--sub", "a", sock="read.sock", status=1)["error"]
    ask(r, "ban", "--sub", "a")
    assert len(ask(r, "revoked", sock="read.sock")) == 1


def test_both_hold_beside_each_other(r):
    """A revocation does not take a ban back, nor does a shorter one."""
    ask(r, "ban", "--sub", "alice", "--for", "3d")
    ask(r, "revoke", "--sub", "alice", "--for", "2h")
    ask(r, "revoke", "--sub", "alice", "--for", "10m")
    rows = {x["action"]: x["left_ms"] for x in ask(r, "revoked")}
    assert 71 * HOUR < rows["banned"] <= 72 * HOUR
    assert HOUR < rows["revoked"] <= 2 * HOUR
    assert status(r, token(sub="alice")) == BANNED
    ask(r, "unrevoke", "--sub", "alice")
    assert status(r, token(sub="alice")) == 101


# --- time ---------------------------------------------------------------------


def test_it_ends(r):
    t = token(sub="alice")
    ask(r, "revoke", "--sub", "alice", "--for", "1s")
    assert status(r, t) == REVOKED
    wait_for(lambda: status(r, t) == 101, "the end of it")
    assert not ask(r, "revoked")


def test_a_clock_that_is_ahead(r):
    """Who is connected was given the token before now, whatever it says."""
    c = Client(r, "/pair/1", token=token(sub="alice", iat=time.time() + 4))
    assert len(ask(r, "revoke", "--sub", "alice")) == 2
    assert closed(c) == (3000, "revoked")


# --- pages --------------------------------------------------------------------


@pytest.mark.parametrize("command, refusal", [
    ("revoke", REVOKED), ("ban", BANNED)])
def test_invitations(relay, tmp_path, command, refusal):
    """An invitation's page is refused, and what it has minted, too."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www/wsuri.json").write_text('{"u": "{{wsuri /pair/1}}"}')
    r = relay(ROUTES + KEY + second(tmp_path) +
              f"[page p]\nroot = {tmp_path}/www\ntemplate = yes\nauth = token\n"
              "token_key = lab\nkeys = other\n", server=READONLY)
    invitation = token("/*", "other", sub="alice")

    def wsuri_token(answer):
        return json.loads(answer.body)["u"].split("token=")[1]

    def page(t):
        with Peer(r) as p:
            p.send(f"GET /wsuri.json?token={t} HTTP/1.1\r\nHost: localhost\r\n"
                   "\r\n".encode())
            return p.answer()
    minted = wsuri_token(page(invitation))
    c = Client(r, "/pair/1", token=minted)
    _, row = ask(r, command, "--sub", "alice", "--key", "other")
    assert row["id"] == c.id and closed(c)[1] == refusal[1]
    answer = page(invitation)
    assert answer.status == refusal[0] and refusal[1] in answer.body.decode()
    assert status(r, minted) == refusal
    fresh = page(token("/*", "other", sub="alice"))
    assert fresh.status == (200 if command == "revoke" else 403)
    if command == "revoke":
        minted = wsuri_token(fresh)
        assert status(r, minted) == 101


# --- simulations --------------------------------------------------------------


def test_attached_simulations(relay):
    r = relay(KEY + "[attach sims]\npath = /attach\n[route sim]\n"
              "path = /sim\nbackend = attach:sims\nmode = hub\nauth = none\n",
              server=READONLY + "workers = 3\n")
    t = mint("/attach", sub="anna", perm="serve")
    sim, watcher = Client(r, "/attach", token=t), Client(r, "/sim")
    sim.send(TEXT, b"here")
    assert watcher.message()[1] == b"here"
    _, row = ask(r, "revoke", "--sub", "anna")
    assert row["id"] == sim.id
    assert closed(sim) == (3000, "revoked")
    assert status(r, t, "/attach") == REVOKED


# --- those who are about to open ------------------------------------------------


@pytest.mark.parametrize("mode", ["pair", "hub"])
def test_a_handshake_under_way(relay, mode):
    """The verdict was good; then the backend takes its time."""
    with Server() as s:
        r = relay(f"[route slow]\npath = /slow\nbackend = ws://127.0.0.1:"
                  f"{s.port}\nmode = {mode}\nconnect_timeout = 1m\n" + KEY,
                  server=READONLY + "workers = 2\n")
        t = mint("/slow", sub="alice")
        with Peer(r) as p:
            p.send(upgrade(f"/slow?token={t}"))
            backend = s.accept_socket()
            assert len(ask(r, "revoke", "--sub", "alice")) == 1
            with WsPeer(backend) as b:
                b.accept()
                answer = p.answer()
                assert answer.status == 401
                assert answer.body.startswith(b"revoked")
        assert r.wait_log("refuse", reason="revoked")["detail"] == \
            "while its backend opened"
        assert not r.log("open")


def test_many_handshakes_beside_revocations(relay):
    """None is open when the command has answered but those who came later."""
    r = relay("[route t]\npath = /t\nbackend = echo:\n" + KEY,
              server=READONLY + "workers = 3\n")
    stop = []

    def knock():
        opened = []
        while not stop:
            t = mint("/t", sub="alice")
            with Peer(r) as p:
                p.send(upgrade(f"/t?token={t}"))
                if p.answer().status == 101:
                    opened.append(t)
        return opened
    runs = [Background(knock) for _ in range(4)]
    for _ in range(20):
        ask(r, "revoke", "--sub", "alice")
    ask(r, "ban", "--sub", "alice")
    assert not [c for c in ask(r, "clients") if c["state"] == "open"]
    stop.append(True)
    for run in runs:
        for t in run.done()[-20:]:
            assert status(r, t, "/t") == BANNED


def test_a_caller_that_leaves(relay):
    """What it has asked for is done whole."""
    r = relay("[route t]\npath = /t\nbackend = echo:\n" + KEY,
              server=READONLY + "workers = 3\n")
    clients = [Client(r, "/t", token=mint("/t", sub="alice"))
               for _ in range(12)]
    with Caller(r.dir / "control.sock") as c:
        c.line()
        c.say(b'{"command":"revoke","sub":"alice"}\n')
    for c in clients:
        assert closed(c) == (3000, "revoked")


# --- reloads ------------------------------------------------------------------


def test_a_reload_in_between(r):
    c = Client(r, "/pair/1", token=token(sub="alice", jti="j"))
    t = token(sub="bob")
    ask(r, "ban", "--sub", "bob")
    r.ini.write_text(r.ini.read_text() + "[route more]\npath = /more\n"
                     "backend = echo:\nauth = none\n")
    ask(r, "reload")
    assert status(r, t) == BANNED
    assert len(ask(r, "revoke", "--jti", "j", "--key", "lab")) == 2
    assert closed(c) == (3000, "revoked")


def test_a_key_that_is_gone(relay, tmp_path):
    """Those who came with it are found, and it can be taken back."""
    r = relay(ROUTES + KEY + second(tmp_path), server=READONLY)
    c = Client(r, "/pair/1", token=token(key="other", sub="alice"))
    ask(r, "ban", "--sub", "bob", "--key", "other")
    text = r.ini.read_text()
    r.ini.write_text(text[:text.index("[key other]")])
    ask(r, "reload")
    assert len(ask(r, "revoke", "--kid", "other")) == 2
    assert closed(c) == (3000, "revoked")
    ask(r, "unrevoke", "--sub", "bob", "--key", "other")


# --- bounds -------------------------------------------------------------------


def test_a_full_table(relay):
    r = relay(ROUTES + KEY, server=READONLY)
    with Caller(r.dir / "control.sock") as c:
        c.line()
        for i in range(0, 10000, 100):
            c.say(b"".join(b'{"command":"ban","sub":"%d"}\n' % k
                           for k in range(i, i + 100)))
            for _ in range(100):
                assert c.answer()[1]["status"] == "ok"
        c.say(b'{"command":"revoke","sub":"alice"}\n')
        assert c.answer() == ([], {
            "status": "refused",
            "error": "there are 10000 revocations already"})
        c.say(b'{"command":"revoke","sub":"77"}\n')  # it is there
        assert c.answer()[1]["status"] == "ok"
    client = Client(r, "/pair/1", token=token(sub="alice"))
    assert "10000 revocations" in ask(
        r, "revoke", client.id, status=1)["error"]
    assert len(ask(r, "revoked")) == 10001
    ask(r, "unrevoke", "--sub", "77")
    assert len(ask(r, "revoke", client.id)) == 2
    assert closed(client) == (3000, "revoked")


# --- kill and clients by the key ------------------------------------------------


def test_kill_by_kid_and_key(r):
    clients, _, _ = people(r)
    other = {clients[n].id for n in ("alice-other", "bob-other")}
    assert {x["id"] for x in ask(r, "clients", "--kid", "other")} == other
    # Without a subject the key is the one that has signed the token.
    assert clients["nobody"].id in {
        x["id"] for x in ask(r, "clients", "--key", "lab")}
    assert {x["id"] for x in ask(r, "kill", "--kid", "other")} == other
    assert ask(r, "kill", "--kid", "other", status=1)
    row, = ask(r, "client", clients["bob"].id)
    assert row["kid"] == "lab" and row["jti"] == "a1"


def test_the_kid_of_a_jwk(relay, tmp_path):
    """A leaked key is known by what it is: its tokens need not name it."""
    one, two = Signer(), Signer()
    (tmp_path / "keys.json").write_text(jwks(one.jwk("one"), two.jwk("two")))
    r = relay(ROUTES + "[key web]\nalgorithm = ES256\n"
              f"jwks_file = {tmp_path}/keys.json\n",
              server=READONLY + "workers = 2\n")
    tokens = {"named": one.token("/pair/1", kid="one"),
              "unnamed": one.token("/pair/1"),
              "other": two.token("/pair/1", kid="two")}
    clients = {n: Client(r, "/pair/1", token=t) for n, t in tokens.items()}
    assert not ask(r, "revoke", "--kid", "web")[1:]  # the section's name
    rows = ask(r, "revoke", "--kid", "one")[1:]
    gone = {"named", "unnamed"}
    assert {x["id"] for x in rows} == {clients[n].id for n in gone}
    for name, t in tokens.items():
        assert status(r, t) == (REVOKED if name in gone else 101)
    for name in gone:
        assert closed(clients[name]) == (3000, "revoked")
    clients["other"].send(TEXT, b"x")
    assert clients["other"].message()[1] == b"x"
