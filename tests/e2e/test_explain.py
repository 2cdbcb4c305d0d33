"""wsrelayctl explain: what a request would be answered, and why."""
import json
import random
import re
import subprocess

import pytest

from controls import CONTROL, Caller, ask, ctl
from peers import Client
from rawhttp import Peer, frame, head, upgrade
from relay import ROOT, RUNNER, SECRET, WSRELAYCTL, mint, wait_for
from signers import Signer, jwks

pytestmark = pytest.mark.plain("about a socket of its own")

LISTEN = """deny = 127.0.0.9
trusted_proxies = 127.0.0.7
hosts = localhost 127.0.0.1 special.example
[listen other]
address = 127.0.0.1:0
hosts = *
[listen admin]
address = 127.0.0.1:0
role = admin
"""
KEYS = """[key lab]
secret_file = {dir}/secret
secret_file = {dir}/next
leeway = 0
[key door]
secret_file = {dir}/door
[key web]
algorithm = ES256
jwks_file = {dir}/keys.json
[key strict]
secret_file = {dir}/strict
issuer = me
audience = it
max_ttl = 1m
"""
ROUTES = """[page site]
root = {dir}/www
path = /page
deny = 127.0.0.2
[page desk]
root = {dir}/www
path = /page/desk
auth = token
keys = lab
[route special]
path = /{any}
host = special.example
backend = echo:
auth = none
[route only]
path = /only
listen = other
backend = echo:
auth = none
[route open]
path = /open/{id}
backend = echo:
auth = none
origins = any
[route sim]
path = /sim/{id}
backend = echo:
subprotocols = chat
deny = 127.0.0.2
keys = lab web strict
[route listed]
path = /listed
backend = echo:
auth = none
origins = same http://*.example null
[route once]
path = /once
backend = echo:
single_use = yes
keys = lab
[route full]
path = /full
backend = echo:
auth = none
max_connections = 1
[route ours]
path = /ours
backend = echo:
keys = lab
max_connections_per_subject = 1
[route cat]
path = /cat
backend = exec:/bin/cat
framing = line
auth = none
max_processes = 1
"""
PATHS = ["/sim/1", "/sim/2", "/open/x", "/listed", "/once", "/full", "/ours",
         "/cat", "/only", "/any", "/page/", "/page/a.txt", "/page/desk/",
         "/page/desk/a.txt", "/wsrelay.js", "/healthz", "/metrics", "/nowhere",
         "/sim/../open/y", "/sim/%2e%2e/x", "/%zz", "/sim/1/", "/sim/1?x=y"]
HOSTS = [None, "localhost", "127.0.0.1", "special.example", "evil.example",
         "a b"]
ORIGINS = [None, "null", "http://a.example", "https://a.example", "http://x",
           "http://localhost", "http://127.0.0.1", "not an origin"]
FROM = ["127.0.0.1"] * 4 + ["127.0.0.2", "127.0.0.7", "127.0.0.9"]
PROTOCOLS = [None, None, "chat", "wsuri", "chat, wsuri", "a b", "x",
             "wsuri.bearer.x", "wsuri, wsuri.bearer.x"]
LISTENERS = ["main"] * 6 + ["other", "admin"]
NEXT = b"the secret that comes next, 32 bytes"
DOOR = b"the secret of another key, 32 bytes"
STRICT = b"the secret of a strict key, 32 bytes"


@pytest.fixture(name="signer", scope="module")
def one_signer():
    return Signer("ES256")


def start(relay, tmp_path, signer, workers=1):
    (tmp_path / "www" / "desk").mkdir(parents=True)
    for name in "www/index.html", "www/a.txt", "www/desk/index.html":
        (tmp_path / name).write_text("a file\n")
    for name, secret in (("secret", SECRET), ("next", NEXT), ("door", DOOR),
                         ("strict", STRICT)):
        (tmp_path / name).write_bytes(secret + b"\n")
    (tmp_path / "keys.json").write_text(jwks(signer.jwk("one")))
    # Those that are held answer no pings.
    ini = (KEYS + ROUTES).replace("{dir}", str(tmp_path)).replace(
        "\nbackend =", "\nping_interval = 1h\nbackend =")
    return relay(ini, listen=LISTEN, server=CONTROL + f"workers = {workers}\n")


def tokens(rng, signer, path, used):
    """One of many a token, most of them for this path."""
    path = path.partition("?")[0]
    perm = rng.choice([{}, {"perm": "r"}, {"perm": "serve"}])
    return rng.choice([
        lambda: None,
        lambda: mint(path, sub="bob", **perm),
        lambda: mint(path, sub="alice"),
        lambda: mint(path, secret=NEXT),
        lambda: mint(path, secret=DOOR),
        lambda: mint(path, secret=DOOR, header={"kid": "door"}),
        lambda: mint(path, secret=DOOR, header={"kid": None}),
        lambda: mint(path, secret=NEXT, header={"kid": None}),
        lambda: mint(path, header={"kid": "nobody"}),
        lambda: mint("/other"),
        lambda: mint("/sim/*"),
        lambda: mint("/page/*"),
        lambda: mint(path, ttl=-60),
        lambda: mint(path, ttl=100000),
        lambda: mint(path, drop=["path"]),
        lambda: mint(path, origin="http://a.example"),
        lambda: mint(path, expire_at=1),
        lambda: mint(path, jti=rng.choice("abc")),
        lambda: mint(path, secret=STRICT, header={"kid": "strict"}),
        lambda: mint(path, secret=STRICT, header={"kid": "strict"},
                     iss="me", aud="it", ttl=30),
        lambda: mint(path, secret=STRICT, header={"kid": "strict"},
                     iss="me", aud="they", ttl=30),
        lambda: signer.token(path, kid="one"),
        lambda: signer.token(path, kid="two"),
        lambda: signer.token(path, kid=None)[:-4] + "AAAA",
        lambda: used,
        lambda: "no.token.this",
    ])()


def explained(caller, **request):
    """The rows, and the reason's word: None when it would be let in."""
    request = {k: v for k, v in request.items() if v is not None}
    caller.say(json.dumps({"command": "explain", **request}).encode() + b"\n")
    rows, last = caller.answer()
    assert last["status"] in ("ok", "refused"), (last, request)
    verdict = rows[-1]
    assert verdict["step"] == "verdict"
    assert (verdict["says"] == "let-in") == (last["status"] == "ok")
    return rows, verdict.get("name")


def asked(r, q, websocket):
    """The reason's word of the daemon's own answer; None: it was let in."""
    fields = {"Origin": q["origin"],
              "Authorization": q["token"] and "Bearer " + q["token"],
              "Host": q["host"] or "localhost"}
    if websocket:
        data = upgrade(q["path"], Sec_WebSocket_Protocol=q["protocol"],
                       **fields)
    else:
        data = head(q["path"], **fields)
    with Peer(r, q["listen"], q["from"]) as p:
        word, opened = answered(p, data)
    if opened:      # it is counted until its end was seen
        wait_for(lambda: any(f" close id={opened} " in line
                             for line in reversed(r.lines)), "its close")
    return word


def answered(p, data):
    """The same, and the id of a connection that was opened."""
    p.send(data)
    try:
        answer = p.answer()
    except ConnectionResetError:
        answer = None
    if answer is None:
        return "address", None          # closed without an answer
    if answer.status == 101:
        p.send(frame(b"probe"))
        opcode, payload = p.message()
        if opcode != 8:
            return None, answer.id
        word = payload[2:].decode().partition(":")[0]
        # It was let in: it has not the right to send.
        return (None, answer.id) if word == "read-only" else (word, None)
    return (None if answer.status in (200, 301) else answer.word), None


@pytest.mark.parametrize("workers", [1, 2])
def test_says_what_the_daemon_answers(relay, tmp_path, signer, workers):
    r = start(relay, tmp_path, signer, workers)
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    used = mint("/once", jti="used")
    held = [Client(r, "/once", token=used), Client(r, "/full"),
            Client(r, "/ours", token=mint("/ours", sub="alice")),
            Client(r, "/cat")]
    words = set()
    with Caller(r.dir / "control.sock") as caller:
        caller.line()
        for i in range(600):
            q = {"path": rng.choice(PATHS), "host": rng.choice(HOSTS),
                 "origin": rng.choice(ORIGINS), "from": rng.choice(FROM),
                 "protocol": rng.choice(PROTOCOLS),
                 "listen": rng.choice(LISTENERS)}
            if rng.random() < 0.6:      # or few would come as far as a token
                q.update(host=None, origin=None, protocol=None)
            q["token"] = tokens(rng, signer, q["path"], used)
            if i == 400:
                ask(r, "pause", "open")
                ask(r, "ban", "--sub", "alice")
                ask(r, "revoke", "--sub", "bob")
            rows, word = explained(caller, **q)
            websocket = rows[1]["says"] == "upgrade"
            real = asked(r, q, websocket)
            assert real == word, (seed, i, q, rows)
            words.add(word)
    assert words >= {None, "address", "host", "origin", "not-found",
                     "bad-request", "limit-connections", "limit-processes",
                     "token-missing", "token-malformed", "token-signature",
                     "token-unknown-key", "token-path", "token-expired",
                     "paused"}, seed
    for c in held:
        c.close()


def test_leaves_nothing_behind(relay, tmp_path, signer):
    r = start(relay, tmp_path, signer)
    token = mint("/once")

    def counts():
        return [x for x in ask(r, "counters")
                if re.search("connect|handshake|client|refus|token|route",
                             x["counter"])]
    lines = len(r.lines)
    before = counts()
    assert before
    with Caller(r.dir / "control.sock") as caller:
        caller.line()
        for _ in range(30):
            assert explained(caller, path="/once", token=token)[1] is None
            assert explained(caller, path="/sim/1",
                             token="a.b.c")[1] == "token-malformed"
            assert explained(caller, path="/full")[1] is None
    assert counts() == before
    assert {line.split()[2] for line in r.lines[lines:]} == {"control"}
    assert token not in "\n".join(r.lines)
    assert Client(r, "/once", token=token).status == 101
    with Caller(r.dir / "control.sock") as caller:
        caller.line()
        assert explained(caller, path="/once", token=token)[1] == "token-used"


def step(rows, name):
    return [x for x in rows if x["step"] == name]


def test_names_each_route_and_what_it_would_open(relay):
    r = relay("[route one]\npath = /one\nbackend = echo:\nauth = none\n"
              "[route two]\npath = /x/{id}\nhost = two.example\n"
              "backend = echo:\nauth = none\n"
              "[route three]\npath = /x/{id}/{*}\nauth = none\n"
              "backend = ws://127.0.0.1:9/sim-{id}/{*}\n"
              "max_message = 5K\nidle_timeout = 90s\n"
              "[route four]\npath = /x/{*}\nbackend = echo:\nauth = none\n",
              server=CONTROL)
    rows = ask(r, "explain", "/x/42/a/b", "--host", "localhost")
    assert [(x["says"], x["name"]) for x in step(rows, "route")] == [
        ("no", "one"), ("no", "two"), ("ok", "three")]
    assert "two.example" in step(rows, "route")[1]["detail"]
    assert step(rows, "backend")[0]["says"] == "ws://127.0.0.1:9/sim-42/a/b"
    assert step(rows, "max_message")[0]["says"] == "5K"
    assert step(rows, "idle_timeout")[0]["says"] == "90s"
    assert step(rows, "max_session") == []      # it is no limit
    rows = ask(r, "explain", "/y", status=1)
    assert rows["error"] == "it would be refused"


def test_of_a_file(relay, tmp_path):
    (tmp_path / "secret").write_text("a secret that is long enough, 32 bytes")
    (tmp_path / "secret").chmod(0o600)
    ini = tmp_path / "w.ini"
    ini.write_text("[listen a]\naddress = 127.0.0.1:81\n[key k]\n"
                   "secret_file = secret\n[route r]\npath = /r/{id}\n"
                   "backend = echo:\nmax_connections = 5\nsingle_use = yes\n")

    def explain(*words, status=0, token=None):
        done = ctl("-c", ini, "explain", *words, status=status, input=token)
        return done

    token = ctl("-c", ini, "token", "--path", "/r/7", "--sub", "al").stdout
    said = explain("/r/7", "--token", "-", token=token)
    assert re.search(r"(?m)^token +ok +k +good for another", said.stdout)
    assert re.search(r"(?m)^subject +unknown +al +no daemon", said.stdout)
    assert re.search(r"(?m)^single_use +unknown", said.stdout)
    assert re.search(r"(?m)^verdict +let-in", said.stdout)
    rows = [json.loads(x) for x in explain(
        "/r/8", "--token", "-", "--json", token=token,
        status=1).stdout.splitlines()]
    assert rows[-2]["name"] == "token-path"
    assert rows[-1] == {"status": "refused", "error": "it would be refused"}
    # A whole address; its scheme is that of a proxy in front, if there is one.
    said = explain("ws://localhost:81/r/7?x=1", "--origin",
                   "http://localhost:81", status=1).stdout
    assert re.search(r"(?m)^origin +ok ", said)
    assert re.search(r"(?m)^verdict +refused +token-missing", said)
    ini.write_text("[listen a]\n[route r]\npath = /r\n")
    assert "backend: is missing" in explain("/r", status=1).stderr


@pytest.mark.parametrize("words, says", [
    (["/r", "--listen", "nowhere"], "no such listener"),
    (["r"], "PATH: expected a path"),
    (["/r", "--from", "home"], "--from: expected an IP address, or unix"),
    (["/r", "--host", "a\nX: y"], "no line breaks"),
    (["/r", "--token", "abc"], "expected -"),
    ([], "PATH is missing"),
])
def test_usage(relay, words, says):
    r = relay("[route r]\npath = /r\nbackend = echo:\nauth = none\n",
              server=CONTROL)
    done = subprocess.run(
        [*RUNNER, WSRELAYCTL, "--socket", r.dir / "control.sock", "explain",
         *words], capture_output=True, text=True)
    assert (done.returncode, says in done.stderr) == (2, True), done.stderr


def test_each_limit_of_a_route_is_in_its_table():
    keys = re.findall(r"(?m)^KEY\(ROUTE, (\w+), (?:SIZE|TIME|COUNT),",
                      (ROOT / "src/conf/keys.def").read_text())
    table = re.findall(r'\{ "(\w+)", OF_',
                       (ROOT / "src/explain/limits.c").read_text())
    assert len(keys) > 20 and sorted(keys) == sorted(table)
