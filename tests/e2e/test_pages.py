"""Pages: files and templates, as a browser gets them."""
import base64
import contextlib
import json
import os
import re
import socket
import threading
import time

import pytest

from rawhttp import Peer, ask, frame, head, upgrade
from relay import KEY, SECRET, Relay, mint, wait_for
from secure import WS

INI = """
[route sim]
path = /sim/{id}
backend = echo:
origins = any
[route param]
path = /param
backend = echo:
token_param = key
[key lab]
secret_file = {dir}/secret
[page plain]
path = /
root = {dir}/www
header = X-Robots-Tag: noindex
header = Cache-Control: max-age=60
[page sub]
path = /sub
root = {dir}/www/other
[page templates]
path = /t
root = {dir}/www
template = yes
token_ttl = 30s
token_perm = rw
[page room]
path = /room/{id}
root = {dir}/www
template = yes
token_subject = everybody
public_url = https://relay.example.org
frame_ancestors = none
[page invited]
path = /invited
root = {dir}/www
template = yes
auth = token
token_perm = rw
[page second]
path = /second
root = {dir}/www
listen = second
"""
LISTENS = """hosts = *
trusted_proxies = 127.0.0.9
[listen second]
address = 127.0.0.1:0
"""
WSURI = re.compile(r"(wss?://[^/\"]+)?(/[\w/]*)\?(\w+)=([\w.-]+)")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    where = tmp_path_factory.mktemp("relay")
    www = where / "www"
    (www / "dir").mkdir(parents=True)
    (www / "other").mkdir()
    (www / ".git").mkdir()
    (www / ".git/config").write_text("secret\n")
    (www / ".hidden").write_text("secret\n")
    (www / "index.html").write_text("<p>{{wsuri /sim/42}}</p>\n")
    (www / "dir/index.html").write_text("in dir\n")
    (www / "other/index.html").write_text("other\n")
    for name in ("a.css", "a.svg", "a.js", "a.json", "a.png", "a.txt", "a.bin",
                 "a.wasm", "a.unknown", "a.HTML", "a b.txt", "~x.txt",
                 "none", "empty.txt"):
        (www / name).write_text("" if name == "empty.txt" else f"<{name}>\n")
    (www / "t.js").write_text('let a = "{{wspath /sim/42}}";\n')
    (www / "t.svg").write_text("<svg>{{wsuri /sim/42}}</svg>\n")
    (www / "t.json").write_text('{"a": "{{wsuri /sim/42}}", '
                                '"b": "{{wspath /param}}"}\n')
    (www / "t.txt").write_text("{{wsuri /sim/42}}\n")
    (www / "t.css").write_text("{{wsuri /sim/42}}\n")
    (www / "two.html").write_text("{{wsuri /sim/1}} {{wsuri /sim/1}}\n")
    (www / "id.html").write_text("{{wsuri /sim/{id}}}\n")
    (www / "odd.html").write_text("{{ wsuri }} {{wsuri /../x}} {{other /a}} "
                                  "{{wsuri /sim/{nobody}}} {{wsuri /sim/*}}")
    (where / "outside.txt").write_text("outside\n")
    os.symlink("a.txt", www / "inside-link.txt")
    os.symlink("../outside.txt", www / "outside-link.txt")
    os.symlink("/etc/passwd", www / "passwd.txt")
    os.symlink("..", www / "up")
    os.mkfifo(www / "fifo")
    r = Relay(INI, where, listen=LISTENS)
    yield r
    r.stop()


def claims(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def get(r, path, **fields):
    return ask(r, head(path, **fields))


def tokens(answer):
    return [m[4] for m in WSURI.finditer(answer.body.decode())]


# --- files -----------------------------------------------------------------

@pytest.mark.parametrize("name, kind", [
    ("a.css", "text/css; charset=utf-8"), ("a.svg", "image/svg+xml"),
    ("a.js", "text/javascript; charset=utf-8"),
    ("a.json", "application/json"), ("a.png", "image/png"),
    ("a.txt", "text/plain; charset=utf-8"),
    ("a.bin", "application/octet-stream"), ("a.wasm", "application/wasm"),
    ("a.unknown", "application/octet-stream"),
    ("none", "application/octet-stream"),
    ("a.HTML", "text/html; charset=utf-8"),
    ("a%20b.txt", "text/plain"), ("%7Ex.txt", "text/plain"),
    ("inside-link.txt", "text/plain")])
def test_types(shared, name, kind):
    answer = get(shared, "/" + name)
    assert answer.status == 200 and answer.body
    assert answer["Content-Type"].startswith(kind)
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "no-referrer"
    assert answer["X-Robots-Tag"] == "noindex"
    assert answer["Content-Security-Policy"] == "frame-ancestors 'self'"
    assert answer["Cache-Control"] == "max-age=60"
    assert answer["ETag"] and answer["Date"] and answer.id


@pytest.mark.parametrize("path", ["/a.txt", "/empty.txt", "/", "/wsrelay.js",
                                  "/t/a.txt", "/t/", "/dir", "/none-such"])
def test_head_is_get_without_a_body(shared, path):
    with Peer(shared) as p:
        p.send(head(path, "HEAD") + head("/healthz"))
        answer = p.answer("HEAD")
        if answer.status != 404:
            assert p.answer().body == b"ok\n", "a body behind HEAD"
    full = get(shared, path)
    assert answer.status == full.status
    if path == "/t/":
        assert answer["Content-Length"] is None  # it minted nothing
    else:
        assert answer["Content-Length"] == str(len(full.body))
    for name in ("Content-Type", "ETag", "Cache-Control", "Location"):
        assert answer[name] == full[name]


@pytest.mark.parametrize("path", ["/a.txt", "/wsrelay.js", "/t/a.txt"])
def test_etag(shared, path):
    tag = get(shared, path)["ETag"]
    for match in (tag, "W/" + tag, f'"x", {tag}', "*", ['"x"', tag]):
        for method in "GET", "HEAD":
            answer = ask(shared, head(path, method, If_None_Match=match),
                         method=method)
            assert answer.status == 304 and answer["ETag"] == tag
            assert answer["Content-Length"] is None
    for match in ('"x"', tag[:-2] + '"', ""):
        assert get(shared, path, If_None_Match=match).status == 200


def test_etag_changes_with_the_file(shared):
    path = shared.dir / "www/changing.txt"
    seen = set()
    for text in ("one", "two", "three"):
        path.write_text(text)
        answer = get(shared, "/changing.txt")
        assert answer.body == text.encode()
        seen.add(answer["ETag"])
        assert get(shared, "/changing.txt",
                   If_None_Match=answer["ETag"]).status == 304
    assert len(seen) == 3


def test_etag_tells_no_inode(shared):
    """It is the same on every machine that has the file."""
    path = shared.dir / "www/same.txt"
    path.write_text("same\n")
    os.utime(path, ns=(10 ** 18, 10 ** 18))
    before = get(shared, "/same.txt")["ETag"], path.stat().st_ino
    other = shared.dir / "www/other.txt"
    other.write_text("same\n")
    os.utime(other, ns=(10 ** 18, 10 ** 18))
    other.replace(path)
    after = get(shared, "/same.txt")["ETag"], path.stat().st_ino
    assert before[0] == after[0] and before[1] != after[1]


def test_a_304_leaves_the_connection_usable(shared):
    with Peer(shared) as p:
        p.send(head("/a.txt", If_None_Match="*") + head("/a.txt"))
        assert p.answer().status == 304
        assert p.answer().body == b"<a.txt>\n"


@pytest.mark.parametrize("path, status, body", [
    ("/", 200, b"<p>{{wsuri"), ("/index.html", 200, b"<p>{{wsuri"),
    ("/dir/", 200, b"in dir"), ("/dir", 301, b""),
    ("/sub/", 200, b"other"), ("/sub/index.html", 200, b"other"),
    ("/subx", 404, b"not-found"), ("/sub/a.txt", 404, b"not-found"),
    ("/a.txt/", 404, b"not-found"), ("/none-such/", 404, b"not-found"),
    ("/second/a.txt", 404, b"not-found"),
    ("/wsrelay.js", 200, b""), ("/T/", 404, b"not-found")])
def test_which_file(shared, path, status, body):
    """index.html for a directory; the longest prefix; listen ="""
    answer = get(shared, path)
    assert answer.status == status and answer.body.startswith(body)
    if status == 301:
        assert answer["Location"] == path + "/"


def test_redirect_keeps_the_query(shared):
    assert get(shared, "/dir?a=b&c")["Location"] == "/dir/?a=b&c"


def test_listen(shared):
    def second(data):
        return ask(shared, data, "second")
    assert second(head("/second/a.txt")).body == b"<a.txt>\n"
    assert second(head("/a.txt")).status == 200


def test_wsrelay_js(shared):
    answer = get(shared, "/wsrelay.js")
    assert answer.status == 200
    assert answer["Content-Type"].startswith("text/javascript")
    assert b"WebSocket" in answer.body
    assert answer["Cache-Control"] == "no-cache"


def test_wsrelay_js_wherever_the_page_is(relay, tmp_path):
    """And whatever a route takes: a route has no answer to a plain GET."""
    (tmp_path / "index.html").touch()
    r = relay(f"[page far]\npath = /far/off\nroot = {tmp_path}\n"
              "[route all]\npath = /{id}\nbackend = echo:\nauth = none\n")
    assert b"WebSocket" in get(r, "/wsrelay.js").body
    assert ask(r, upgrade("/wsrelay.js")).echo
    assert get(r, "/other.js").status == 426


def test_no_wsrelay_js_without_pages(relay):
    r = relay("[route echo]\npath = /echo\nbackend = echo:\nauth = none\n")
    assert get(r, "/wsrelay.js").status == 404


@pytest.mark.parametrize("path", [
    "/../outside.txt", "/%2e%2e/outside.txt", "/..%2foutside.txt",
    "/%2e%2e%2foutside.txt", "/dir/../../outside.txt",
    "/dir/..%5c..%5coutside.txt", "/..\\outside.txt", "//outside.txt",
    "/./a.txt", "/%2e/a.txt", "/dir//index.html", "/.git/config",
    "/%2egit/config", "/.hidden", "/outside-link.txt", "/passwd.txt",
    "/up/outside.txt", "/up/www/a.txt", "/fifo", "/a.txt%00.html",
    "/%252e%252e/outside.txt", "/....//outside.txt", "/%c0%ae%c0%ae/x",
    "/dir/%2e%2e%2f%2e%2e%2foutside.txt", "/room/%2e%2e/a.txt",
    "/etc/passwd", "/%2fetc%2fpasswd", "/" + "x" * 5000,
    "/" + "a/" * 2000 + "b"], ids=lambda p: p[:40])
def test_nothing_outside(shared, path):
    answer = get(shared, path)
    assert answer.status in (400, 404)
    assert b"outside\n" not in answer.body and b"root:" not in answer.body
    assert b"secret" not in answer.body


def test_what_is_not_readable(shared):
    path = shared.dir / "www/dir2"
    path.mkdir()
    assert get(shared, "/dir2/").status == 404  # no index: no listing
    assert get(shared, "/dir2/x").status == 404


# --- templates -------------------------------------------------------------

def test_fresh_token_each_time(shared):
    seen = set()
    for _ in range(3):
        answer = get(shared, "/t/", Host="relay.example:81")
        assert answer.status == 200
        assert answer["Cache-Control"] == "no-store"
        assert answer["ETag"] is None
        assert answer["Referrer-Policy"] == "no-referrer"
        base, path, name, token = WSURI.search(answer.body.decode()).groups()
        assert (base, path, name) == (f"{WS}://relay.example:81",
                                      "/sim/42", "token")
        said = claims(token)
        assert said["path"] == "/sim/42" and said["perm"] == "rw"
        assert 25 < said["exp"] - time.time() <= 30
        assert said["sub"].startswith("anon-")
        seen |= {token, said["sub"], said["jti"]}
        # It opens the route, and no other.
        assert ask(shared, upgrade("/sim/42?token=" + token)).echo
        assert ask(shared, upgrade("/sim/43?token=" + token)).word == \
            "token-path"
    assert len(seen) == 9


def test_two_in_one_page_are_of_one_visitor(shared):
    a, b = map(claims, tokens(get(shared, "/t/two.html")))
    assert a["sub"] == b["sub"] and a["jti"] != b["jti"]


def test_other_kinds_of_files(shared):
    answer = get(shared, "/t/t.json")
    text = json.loads(answer.body)
    assert text["a"].startswith(f"{WS}://localhost/sim/42?token=")
    assert text["b"].startswith("/param?key=")
    assert ask(shared, upgrade(text["b"])).echo
    answer = get(shared, "/t/t.js")
    assert re.search(r'"(/sim/42\?token=[\w.-]+)"', answer.body.decode())
    assert b"/sim/42?token=" in get(shared, "/t/t.svg").body


@pytest.mark.parametrize("path, secret", [
    ("/t/", True), ("/t/t.js", True), ("/t/t.svg", True), ("/t/t.json", True),
    ("/t/two.html", True), ("/t/t.txt", False), ("/t/t.css", False),
    ("/t/a.txt", False), ("/t/a.js", False), ("/t/a.svg", False),
    ("/t/odd.html", False), ("/t/id.html", False), ("/room/7/id.html", True),
    ("/index.html", False), ("/t.js", False)])
def test_no_store_exactly_where_a_placeholder_stood(shared, path, secret):
    answer = get(shared, path)
    assert answer.status == 200
    assert ("no-store" in answer["Cache-Control"]) == secret
    assert (answer["ETag"] is None) == secret
    assert bool(tokens(answer)) == secret
    assert get(shared, path, If_None_Match="*").status == \
        (200 if secret else 304)


def test_captures_subject_and_public_url(shared):
    answer = get(shared, "/room/r2.d2/id.html", Host="other.example")
    base, path, _, token = re.search(
        r"(wss://[^/]+)(/[^?]*)\?(token)=([\w.-]+)",
        answer.body.decode()).groups()
    assert (base, path) == ("wss://relay.example.org", "/sim/r2.d2")
    assert claims(token)["sub"] == "everybody"
    assert claims(token)["perm"] == "r"
    assert answer["Content-Security-Policy"] == "frame-ancestors 'none'"


@pytest.mark.parametrize("source, base", [
    ("127.0.0.9", "wss://shown.example"), ("127.0.0.1", f"{WS}://inner:8080")])
def test_what_a_trusted_proxy_says(shared, source, base):
    answer = ask(shared, head("/t/", Host="inner:8080",
                              X_Forwarded_Host="evil.example, shown.example",
                              X_Forwarded_Proto="https"), source=source)
    assert WSURI.search(answer.body.decode()).group(1) == base


@pytest.mark.parametrize("site, refused", [
    (None, False), ("same-origin", False), ("none", False),
    ("same-site", True), ("cross-site", True), ("Cross-Site", True),
    ("what", True), (["same-origin", "cross-site"], True)], ids=str)
def test_cross_site(shared, site, refused):
    """Scripts, data and pictures with a token in them; never documents."""
    for path in ("/t/t.js", "/t/t.json", "/t/t.svg"):
        for method in "GET", "HEAD":
            answer = ask(shared, head(path, method, Sec_Fetch_Site=site),
                         method=method)
            assert answer.status == (403 if refused else 200)
        answer = get(shared, path, Sec_Fetch_Site=site)
        if refused:
            assert answer.word == "cross-site" and not tokens(answer)
        else:
            assert answer["Cross-Origin-Resource-Policy"] == "same-origin"
    assert get(shared, "/t/", Sec_Fetch_Site=site).status == 200
    assert get(shared, "/t/a.js", Sec_Fetch_Site=site).status == 200
    assert get(shared, "/t.js", Sec_Fetch_Site=site).status == 200


def test_what_looks_like_a_placeholder(relay):
    """It is sent as it is, and the log says so, once a second."""
    r = relay("[page t]\npath = /t\nroot = {dir}\ntemplate = yes\n"
              "[route a]\npath = /a\nbackend = echo:\n" + KEY)
    (r.dir / "a.json").write_text('"{{wsurl /sim/1}}"')
    (r.dir / "b.json").write_text('"{{wsuri /a}} {{wsuri /a/{x}}}"')
    (r.dir / "c.json").write_text('"{{wsuri /a}} {{name}}"')
    assert get(r, "/t/c.json").status == 200
    assert get(r, "/t/a.json").body == b'"{{wsurl /sim/1}}"'
    line = r.wait_log("no-placeholder")
    assert (line["level"], line["page"], line["path"], line["detail"]) == \
        ("warn", "t", "/t/a.json", "{{wsurl /sim/1}}")

    def told():
        assert b"{{wsuri /a/{x}}}" in get(r, "/t/b.json").body
        return r.log("no-placeholder", path="/t/b.json")
    assert wait_for(told, "b.json")[0]["detail"] == "{{wsuri /a/{x}}"


# --- the icon that browsers ask for ----------------------------------------

def test_no_icon(relay):
    """No 404 in consoles and logs; the pages' own wins, for whom they let
    in; a relay without pages has none."""
    desk = "[page desk]\npath = /desk\nroot = {dir}\nauth = token\n" + KEY
    root = "[page all]\npath = /\nroot = {dir}\nauth = token\n"
    for ini in desk, desk + root:
        r = relay(ini)
        for method in "GET", "HEAD":
            answer = ask(r, head("/favicon.ico", method), method=method)
            assert (answer.status, answer.body) == (204, b"")
            assert answer["Content-Length"] is None
            assert answer["Cache-Control"] == "max-age=86400"
        assert not r.log("refuse")
    (r.dir / "favicon.ico").write_bytes(b"icon")
    assert ask(r, head("/favicon.ico")).status == 401
    good = ask(r, head("/favicon.ico?token=" + mint("/*")))
    assert (good.status, good.body) == (200, b"icon")
    assert ask(r, upgrade("/favicon.ico")).status == 404
    r = relay("[route a]\npath = /a\nbackend = echo:\nauth = none\n")
    assert ask(r, head("/favicon.ico")).status == 404


# --- invitations -----------------------------------------------------------

@pytest.mark.parametrize("perm, handed_on", [
    ("rw", "rw"), ("r", "r"), ("w", "w"), (None, "rw")])
def test_invitation(shared, perm, handed_on):
    extra = {"perm": perm} if perm else {}
    token = mint("/invited/", sub="alice", **extra)
    answer = get(shared, "/invited/?token=" + token)
    assert answer.status == 200
    assert answer["Cache-Control"] == "no-store"
    made, = tokens(answer)
    assert claims(made)["sub"] == "alice"
    assert claims(made).get("perm", "rw") == handed_on
    assert token not in answer.body.decode() + str(answer.fields)
    with Peer(shared) as p:
        p.send(upgrade("/sim/42?token=" + made))
        answer = p.answer()
        assert answer.status == 101
    assert shared.wait_log("open", id=answer.id)["subject"] == "alice"


def test_invitation_is_needed(shared):
    for query, word in (("", "token-missing"), ("?token=x", "token-malformed"),
                        ("?token=" + mint("/other/*"), "token-path"),
                        ("?token=" + mint("/invited/", ttl=-10),
                         "token-expired")):
        for method in "GET", "HEAD":
            answer = ask(shared, head("/invited/" + query, method),
                         method=method)
            assert answer.status == 401
            assert word in answer["WWW-Authenticate"]
        assert get(shared, "/invited/a.txt" + query).status == 401
        # Neither does it tell what there is.
        assert get(shared, "/invited/none-such" + query).status == 401


def test_subject_is_of_one_request_only(shared):
    """On a connection that is kept, the next visitor is another."""
    with Peer(shared) as p:
        token = mint("/invited/", sub="alice", perm="r")
        p.send(head("/invited/?token=" + token) + head("/t/"))
        first, second = p.answer(), p.answer()
        assert claims(tokens(first)[0])["sub"] == "alice"
        said = claims(tokens(second)[0])
        assert said["sub"].startswith("anon-") and said["perm"] == "rw"
        p.send(head("/invited/?token=" + mint("/invited/", sub="bob")) +
               upgrade("/sim/42?token=" + mint("/sim/42")))
        assert claims(tokens(p.answer())[0])["sub"] == "bob"
        answer = p.answer()
        assert answer.status == 101
        p.send(frame(b"x"))             # rw, whatever alice had
        assert p.message() == (1, b"x")
    assert "subject" not in shared.wait_log("open", id=answer.id)


DOORS = """
[route sim]
path = /sim/{id}
backend = echo:
[key lab]
secret_file = {dir}/secret
[key door]
secret_file = {dir}/door
[key stranger]
secret_file = {dir}/stranger
[page own]
path = /own
root = {dir}/www
template = yes
auth = token
token_key = lab
[page named]
path = /named
root = {dir}/www
template = yes
auth = token
token_key = lab
keys = door
token_perm = rw
"""
SECRETS = {"door": b"the door's own secret, of 32 bytes or more",
           "stranger": b"a stranger's secret, of 32 bytes or more"}


@pytest.fixture
def doors(relay, tmp_path):
    for name, secret in {**SECRETS, "secret": SECRET}.items():
        (tmp_path / name).write_bytes(secret)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "www").mkdir()
    (tmp_path / "www/index.html").write_text("{{wsuri /sim/42}}\n")
    return relay(DOORS.replace("{dir}", str(tmp_path)))


def invitation(page, key, **given):
    secret = {"secret": SECRETS[key]} if key in SECRETS else {}
    return mint(page, header={"kid": key}, **secret, **given)


def test_whose_invitations(doors):
    """Without keys those of the token_key; with it those that it names."""
    for page, taken in ("/own/", "lab"), ("/named/", "door"):
        for key in "lab", "door", "stranger":
            answer = get(doors, f"{page}?token=" + invitation(page, key))
            if key == taken:
                assert answer.status == 200
            else:
                assert answer.status == 401
                assert "token-unknown-key" in answer["WWW-Authenticate"]


def test_what_an_invitation_hands_on(doors):
    """Whose subject it is, and when it ends."""
    now = int(time.time())
    made, = tokens(get(doors, "/named/?token=" + invitation(
        "/named/", "door", sub="teacher", ttl=30, expire_at=now + 1000)))
    said = claims(made)
    assert (said["sub"], said["sub_key"]) == ("teacher", "door")
    assert said["expire_at"] == now + 1000
    assert now + 29 <= said["exp"] <= now + 31
    answer = ask(doors, upgrade("/sim/42?token=" + made))
    assert answer.echo
    line = doors.wait_log("open", id=answer.id)
    assert (line["subject"], line["key"]) == ("teacher", "door")
    made, = tokens(get(doors, "/named/?token=" + invitation(
        "/named/", "door", sub="teacher", expire_at=now + 20)))
    assert claims(made)["exp"] == claims(made)["expire_at"] == now + 20
    # Of the page's own key there is nothing to say.
    made, = tokens(get(doors, "/own/?token=" + invitation(
        "/own/", "lab", sub="teacher")))
    assert "sub_key" not in claims(made)
    assert "expire_at" not in claims(made)


def test_sub_key_counts_in_tokens_of_a_pages_key(doors):
    def opened(key, **more):
        token = invitation("/sim/42", key, sub="teacher", **more)
        return ask(doors, upgrade("/sim/42?token=" + token))
    for key, of in ("lab", "door"), ("door", "door"), ("stranger", "stranger"):
        answer = opened(key, sub_key="door")
        assert answer.echo
        assert doors.wait_log("open", id=answer.id)["key"] == of
    answer = opened("lab", sub_key="nobody")
    assert answer.word == "token-unknown-key"
    line = doors.wait_log("refuse", id=answer.id)
    assert line["detail"] == "its sub_key names no key"


def test_no_token_for_a_path_that_no_route_has(relay):
    """Where the page was asked for: its listener, its host."""
    r = relay("""
[key lab]
secret_file = {dir}/secret
[route here]
path = /here
host = here.example
backend = echo:
[route there]
path = /there
listen = there
backend = echo:
[page all]
path = /all
root = {dir}
template = yes
[page away]
path = /away
root = {dir}
template = yes
public_url = wss://relay.example.org
""", listen="hosts = *\n[listen there]\naddress = 127.0.0.1:0\nhosts = *\n")
    for name in "here", "there", "none":
        (r.dir / f"{name}.html").write_text("{{wspath /%s}}\n" % name)

    def status(path, host="localhost", listen="main"):
        return ask(r, head(path, Host=host), listen).status
    assert status("/all/here.html", "here.example") == 200
    assert status("/all/here.html") == 500
    assert status("/all/there.html", listen="there") == 200
    assert status("/all/there.html") == 500
    assert status("/all/none.html") == 500
    for name in "here", "there", "none":
        r.wait_log("refuse", reason="internal",
                   detail=f"no route here has the path /{name}")
        assert status(f"/away/{name}.html") == 200


# --- large files -----------------------------------------------------------

def test_large_files(relay):
    """Intact for slow readers and many at once, without being in memory."""
    r = relay("[page all]\nroot = {dir}\n")
    content = os.urandom(1 << 20) * 20
    (r.dir / "big.bin").write_bytes(content)
    before = r.memory()
    done = []

    def read(pause):
        with Peer(r) as p:
            if pause:
                p.socket.setsockopt(6, 10, 4096)  # TCP_WINDOW_CLAMP
            p.send(head("/big.bin") + head("/healthz"))
            if pause:
                time.sleep(pause)   # some read late
            assert p.answer().body == content
            assert p.answer().body == b"ok\n"
            done.append(pause)
    threads = [threading.Thread(target=read, args=(p,))
               for p in (0, 0, 0.2, 0.4)]
    with contextlib.ExitStack() as stack:
        stuck = [stack.enter_context(Peer(r)) for _ in range(40)]
        for p in stuck:     # these never read: each holds one part at most
            p.send(head("/big.bin"))
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert len(done) == 4
        assert r.memory() - before < 40 << 20
    with Peer(r) as p:
        p.send(head("/big.bin", Range="bytes=0-1"))
        assert p.answer().status == 200     # ranges are not served


@pytest.mark.parametrize("how", ["reset", "close", "half"])
def test_download_that_is_given_up(relay, how):
    """Leaves nothing behind, whatever the client did with its socket."""
    r = relay("[page all]\nroot = {dir}\n")
    (r.dir / "big.bin").write_bytes(b"x" * (20 << 20))
    before = r.descriptors()
    for _ in range(10):
        with Peer(r) as p:
            p.send(head("/big.bin"))
            p.socket.recv(100000)
            if how == "half":       # first the end of our stream, then a reset
                p.socket.shutdown(socket.SHUT_WR)
                p.socket.recv(100000)
            if how == "close":      # the daemon sees the end and writes on
                p.socket.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    while p.socket.recv(1 << 20):
                        pass
    wait_for(lambda: r.descriptors() == before, "descriptors", 5)


def test_file_that_shrinks_while_it_is_sent(relay):
    """The answer is torn, visibly, and nobody else is harmed."""
    r = relay("[page all]\nroot = {dir}\n")
    path = r.dir / "big.bin"
    path.write_bytes(b"x" * (20 << 20))
    with Peer(r) as p:
        p.send(head("/big.bin"))
        p.socket.recv(1)
        os.truncate(path, 1000)
        got = 1
        with contextlib.suppress(ConnectionResetError):
            while True:
                n = len(p.socket.recv(1 << 20))
                if n == 0:
                    break
                got += n
        assert got < 20 << 20
    assert get(r, "/healthz").status == 200
