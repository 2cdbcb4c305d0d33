"""Invitations: a link opens a page with all its files and its WebSocket; the
cookie that it leaves, where that counts, and that nobody else gets it."""
import base64
import contextlib
import http.server
import json
import os
import re
import shutil
import subprocess
import threading
from types import SimpleNamespace

import pytest
from selenium.webdriver.common.by import By

import secure
from browser import wait_for
from controls import READONLY, ask as ask_console
from peers import Client, Server
from rawhttp import ask, head
from relay import KEY, PATIENCE, RUNNER, SANITIZERS, SECRET, WSRELAYCTL
from relay import Relay, mint

INI = """
[route sim]
path = /sim/{id}
backend = echo:
[page desk]
path = /desk
root = {dir}/www
template = yes
token_perm = rw
auth = token
header = X-Robots-Tag: noindex
[page other]
path = /other
root = {dir}/www
template = yes
auth = token
[page open]
path = /open
root = {dir}/www
[page room]
path = /room/{id}
root = {dir}/www
auth = token
""" + KEY
LISTENS = "hosts = *\ntrusted_proxies = 127.0.0.9\n"
HTML = """<!doctype html>
<link rel="stylesheet" href="style.css">
<script src="/wsrelay.js"></script>
<script src="minted.js"></script>
<p id="said">
<script>
const said = document.getElementById('said');
const relay = new WsRelay('wsuri.json', {
  onmessage: e => said.textContent = e.data,
  onstatus: (text, s) => s.state === 'open' && relay.send('hello')});
</script>
"""


def files(where):
    www = where / "www"
    (www / "sub").mkdir(parents=True)
    (www / "index.html").write_text(HTML)
    (www / "sub/index.html").write_text("below\n")
    (www / "style.css").write_text("p { color: rgb(1, 2, 3) }\n")
    (www / "wsuri.json").write_text('{"wsuri": "{{wsuri /sim/1}}"}\n')
    (www / "minted.js").write_text("var stolen = '{{wsuri /sim/1}}';\n")
    return www


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    where = tmp_path_factory.mktemp("relay")
    files(where)
    r = Relay(INI, where, listen=LISTENS, server=READONLY)
    yield r
    r.stop()


NAME = ("__Secure-" if secure.SECURE else "") + "wsrelay-page-"
GOES = {"Sec_Fetch_Dest": "document", "Sec_Fetch_Mode": "navigate"}


def get(r, path, **fields):
    return ask(r, head(path, **fields))


def with_cookie(r, path, token, page="desk", **fields):
    return get(r, path, Cookie=f"{NAME}{page}={token}", **fields)


# --- the first hit -----------------------------------------------------------

def test_the_link_is_changed_for_a_cookie(shared):
    token = mint("/desk/*", sub="alice", ttl=100)
    answer = get(shared, "/desk/?token=" + token, **GOES)
    assert (answer.status, answer["Location"]) == (303, "./")
    assert answer["Cache-Control"] == "no-store"
    assert answer["Referrer-Policy"] == "no-referrer"
    assert answer["X-Robots-Tag"] == "noindex"
    assert answer["Vary"] == "Authorization, Cookie"
    cookie = re.fullmatch(
        rf"{NAME}desk=(\S+); Max-Age=(\d+); HttpOnly; SameSite=Lax"
        + ("; Secure" if secure.SECURE else ""), answer["Set-Cookie"])
    assert cookie[1] == token and 90 <= int(cookie[2]) <= 100
    assert answer.body == b""
    for path in "/desk/", "/desk/index.html", "/desk/style.css":
        assert with_cookie(shared, path, token).status == 200
    assert b"/sim/1?token=" in with_cookie(
        shared, "/desk/wsuri.json", token).body
    assert not [x for x in shared.lines if token.split(".")[2] in x]


@pytest.mark.parametrize("path, location", [
    ("/desk/?token={}&a=b", "./?a=b"),
    ("/desk/?a=b&token={}&c", "./?a=b&c"),
    ("/desk/index.html?token={}", "./index.html"),
    ("/desk/a:b?token={}", "./a:b"),
    ("/desk/sub?token={}", "./sub")])
def test_where_it_leads(shared, path, location):
    answer = get(shared, path.format(mint("/desk/*")), **GOES)
    assert (answer.status, answer["Location"]) == (303, location)


@pytest.mark.parametrize("fields", [
    {}, {"Accept": "*/*"},                      # a program
    {"Sec_Fetch_Dest": "empty", "Accept": "text/html"},
    {"Sec_Fetch_Dest": "iframe", "Accept": "text/html"}])
def test_only_a_browser_is_sent_on(shared, fields):
    answer = get(shared, "/desk/?token=" + mint("/desk/"), **fields)
    assert (answer.status, answer["Set-Cookie"]) == (200, None)


def test_browsers_that_do_not_say_what_for(shared):
    answer = get(shared, "/desk/?token=" + mint("/desk/"),
                 Accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert answer.status == 303


@pytest.mark.parametrize("path, claim", [
    ("/desk", "/desk"), ("/open/", "/open/*")])
def test_what_is_no_first_hit(shared, path, claim):
    """Without the slash the cookie would be one for the whole host."""
    answer = get(shared, f"{path}?token={mint(claim)}", **GOES)
    assert answer["Set-Cookie"] is None and answer.status in (200, 301)


def test_what_is_refused_leaves_nothing(shared):
    for token in (mint("/other/*"), mint("/desk/*", ttl=-10), "x",
                  mint("/desk/*") + "x"):
        answer = get(shared, "/desk/?token=" + token, **GOES)
        assert (answer.status, answer["Set-Cookie"]) == (401, None)
    # Good for the leeway still, which is no time for a cookie.
    answer = get(shared, "/desk/?token=" + mint("/desk/*", ttl=-1), **GOES)
    assert (answer.status, answer["Set-Cookie"]) == (200, None)


@pytest.mark.plain("it is a proxy that speaks TLS here")
def test_behind_a_proxy_with_tls(shared):
    token = mint("/desk/*")

    def over(path, **fields):
        return ask(shared, head(path, X_Forwarded_Proto="https", **fields),
                   source="127.0.0.9")
    answer = over("/desk/?token=" + token, **GOES)
    assert answer["Set-Cookie"].startswith("__Secure-wsrelay-page-desk=")
    assert answer["Set-Cookie"].endswith("; Secure")
    assert over("/desk/style.css",
                Cookie=f"__Secure-wsrelay-page-desk={token}").status == 200
    # What somebody on the way could have set does not count there.
    answer = over("/desk/style.css", Cookie=f"wsrelay-page-desk={token}")
    assert (answer.status, answer.word) == (401, "token-missing")


# --- what the cookie opens ---------------------------------------------------

def test_it_is_for_its_page_and_its_path(shared):
    both = mint("/*")
    assert with_cookie(shared, "/other/style.css", both).word == \
        "token-missing"
    assert with_cookie(shared, "/other/style.css", both, "other").status == 200
    token = mint("/desk/sub/*")
    assert with_cookie(shared, "/desk/sub/", token).status == 200
    assert with_cookie(shared, "/desk/style.css", token).word == "token-path"
    first, second = mint("/room/1/*"), mint("/room/2/*")
    assert with_cookie(shared, "/room/1/", first, "room").status == 200
    assert with_cookie(shared, "/room/2/", first, "room").word == "token-path"
    assert with_cookie(shared, "/room/2/", second, "room").status == 200


def test_it_ends_with_the_token(shared):
    answer = with_cookie(shared, "/desk/", mint("/desk/*", ttl=-10))
    assert (answer.status, answer.word) == (401, "token-expired")


def test_a_folder_is_open_to_what_is_below_it(shared):
    assert get(shared, "/desk/?token=" + mint("/desk/*")).status == 200
    assert get(shared, "/desk?token=" + mint("/desk/*")).status == 401
    assert get(shared, "/desk/sub/?token=" + mint("/desk/sub/*")).status == 200
    assert get(shared, "/desk/?token=" + mint("/desk/sub/*")).status == 401


def test_which_token_counts(shared):
    """A fresh link replaces an old one; of two cookies the first counts."""
    good, old = mint("/desk/*"), mint("/desk/*", ttl=-10)
    assert with_cookie(shared, "/desk/style.css?token=" + good, old) \
        .status == 200
    assert with_cookie(shared, "/desk/?token=" + good, old, **GOES) \
        .status == 303
    assert with_cookie(shared, "/desk/", old,
                       Authorization="Bearer " + good).status == 200
    assert with_cookie(shared, "/desk/?token=" + old, good).word == \
        "token-expired"
    for first, second, status in (good, old, 200), (old, good, 401):
        answer = get(shared, "/desk/style.css",
                     Cookie=f"a=b; {NAME}desk={first}; {NAME}desk={second}")
        assert answer.status == status
    answer = get(shared, "/desk/", Cookie=f'{NAME}desk="{good}"')
    assert answer.word == "token-malformed"


def test_routes_do_not_look_at_it(shared):
    answer = ask(shared, head("/sim/1", Cookie=f"{NAME}desk=" + mint("/*"),
                              Upgrade="websocket", Connection="Upgrade",
                              Sec_WebSocket_Version="13",
                              Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ=="))
    assert (answer.status, answer.word) == (401, "token-missing")


@pytest.mark.parametrize("cookie, left", [
    ("wsrelay-page-desk={}", None),
    ("a=b; wsrelay-page-gone={}; c=d; __Secure-wsrelay-page-desk={}",
     "a=b; c=d"),
    ("xwsrelay-page-desk=a", "xwsrelay-page-desk=a")])
def test_backends_do_not_get_it(relay, cookie, left):
    token = mint("/desk/*")
    with Server() as s:
        r = relay(f"""
[route ws]
path = /desk/ws
backend = ws://127.0.0.1:{s.port}/
auth = none
""")
        c = Client(r, "/desk/ws", [f"Cookie: {cookie.format(token, token)}"],
                   wait=False)
        b = s.accept_ws()
        assert b.fields.get("cookie") == left
        assert token not in str(b.fields)
        b.accept()
        c.upgraded()
        c.close()
        b.close()


def claims(token):
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))


def test_a_link_for_many_gives_each_a_subject(shared):
    """Which stays: the driver's seat goes by it. The rest is the link's."""
    token = mint("/desk/*", jti="many", perm="r", expire_at=0, ttl=100)
    subjects = set()
    for _ in range(3):
        answer = get(shared, "/desk/?token=" + token, **GOES)
        own = answer["Set-Cookie"].split("=", 1)[1].split(";")[0]
        said = claims(own)
        assert re.fullmatch("anon-[0-9a-f]{8}", said["sub"])
        subjects.add(said["sub"])
        for name in "path", "jti", "perm", "exp", "expire_at":
            assert said[name] == claims(token)[name], name
        for _ in range(2):
            body = with_cookie(shared, "/desk/wsuri.json", own).body.decode()
            minted = claims(json.loads(body)["wsuri"].partition("token=")[2])
            assert (minted["sub"], minted["perm"]) == (said["sub"], "r")
    assert len(subjects) == 3
    ask_console(shared, "revoke", "--jti", "many")
    assert with_cookie(shared, "/desk/", own).word == "revoked"


def test_subjects_that_the_page_cannot_give(relay, tmp_path):
    """Its own holds; and another key's link is as it was minted."""
    (tmp_path / "other").write_bytes(SECRET[::-1])
    (tmp_path / "other").chmod(0o600)
    r = relay("""
[page own]
path = /own
root = {dir}
auth = token
token_key = lab
token_subject = class
[page others]
path = /others
root = {dir}
auth = token
keys = other
token_key = lab
[page short]
path = /short
root = {dir}
auth = token
keys = lab short
token_key = short
[key short]
secret_file = OTHER
max_ttl = 10s
[key other]
secret_file = OTHER
""".replace("OTHER", str(tmp_path / "other")) + KEY)
    for path, key, secret in (
            ("/own/", "lab", SECRET), ("/others/", "other", SECRET[::-1]),
            ("/short/", "lab", SECRET)):
        token = mint(path + "*", secret, header={"kid": key})
        answer = get(r, f"{path}?token={token}", **GOES)
        assert f"={token};" in answer["Set-Cookie"]


def test_it_can_be_taken_back(shared):
    token, other = mint("/desk/*", jti="link"), mint("/desk/*", jti="other")
    assert with_cookie(shared, "/desk/wsuri.json", token).status == 200
    ask_console(shared, "revoke", "--jti", "link")
    answer = with_cookie(shared, "/desk/wsuri.json", token)
    assert (answer.status, answer.word) == (401, "revoked")
    assert get(shared, "/desk/?token=" + token, **GOES)["Set-Cookie"] is None
    assert with_cookie(shared, "/desk/wsuri.json", other).status == 200


# --- wsrelayctl invite -------------------------------------------------------

CTL = """
[listen public]
address = 127.0.0.1:8080
[listen named]
address = 0.0.0.0:443
hosts = * relay.example.org
certificates = c
[listen any]
address = 0.0.0.0:8081
hosts = *
[certificate c]
chain_file = none.pem
key_file = none.key
[key lab]
secret_file = {dir}/secret
leeway = 1s
{lab}
[key door]
secret_file = {dir}/secret
max_ttl = 30m
[page desk]
path = /desk
root = {dir}
auth = token
template = yes
token_key = lab
token_perm = {perm}
{desk}
[page both]
path = /desk/both
root = {dir}
auth = token
keys = door lab
[page open]
path = /open
root = {dir}
[route pond]
path = /sim/{{id}}
backend = echo:
mode = hub
input = driver
"""


@pytest.fixture
def invite(tmp_path):
    """invite(*arguments, lab=..., ...): the link, its token, and what was
    said; status says what is expected."""
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "secret").chmod(0o600)

    def run(*arguments, status=0, lab="", desk="", perm="rw", **more):
        ini = tmp_path / "w.ini"
        ini.write_text(CTL.format(dir=tmp_path, lab=lab, desk=desk, perm=perm))
        done = subprocess.run(
            [*RUNNER, WSRELAYCTL, "-c", ini, "invite", *arguments],
            capture_output=True, text=True, timeout=PATIENCE,
            env={**os.environ, **SANITIZERS}, **more)
        assert done.returncode == status, done.stderr
        link, _, rest = done.stdout.partition("\n")
        assert bool(link) == (status == 0)
        token = link.partition("?token=")[2]
        payload = token.split(".")[1] if token else ""
        claims = json.loads(base64.urlsafe_b64decode(payload + "==") or "{}")
        return SimpleNamespace(
            link=link.partition("?")[0], whole=link, claims=claims, rest=rest,
            said=done.stderr.replace(str(tmp_path), ""))
    return run


@pytest.mark.parametrize("path, link, claim", [
    ("/desk/", "/desk/", "/desk/*"),
    ("/desk", "/desk/", "/desk/*"),
    ("/desk/index.html", "/desk/index.html", "/desk/*"),
    ("/d%65sk/a/b", "/desk/a/b", "/desk/a/*")])
def test_what_the_link_is_for(invite, path, link, claim):
    made = invite(path)
    assert made.link == "http://127.0.0.1:8080" + link
    assert made.claims["path"] == claim and "sub" not in made.claims
    assert made.claims["exp"] - made.claims["iat"] == 3600
    local, until = made.said.split("\n", 1)
    assert "opens on this machine only; for others: write public_url" in local
    assert re.fullmatch(r"until \d{4}-\d\d-\d\d \d\d:\d\d, for all who have "
                        r"it, each with a random subject\n", until)


@pytest.mark.parametrize("desk, arguments, base", [
    ("public_url = wss://relay.example.org:8443", (),
     "https://relay.example.org:8443"),
    ("public_url = ws://relay.example.org", (), "http://relay.example.org"),
    ("public_url = ws://a", ("--url", "https://b"), "https://b"),
    ("listen = named", (), "https://relay.example.org"),
    ("listen = named any", (), "https://relay.example.org")])
def test_where_the_page_is(invite, desk, arguments, base):
    assert invite("/desk/", *arguments, desk=desk).link == base + "/desk/"


def test_another_subject_than_by_chance(invite):
    """The page's own holds."""
    assert "for all who have it, as class" in \
        invite("/desk/", desk="token_subject = class").said


def test_a_route_elsewhere_hides_nothing(invite):
    route = "[route {}]\npath = /desk/\nbackend = echo:\n"
    assert "is a path of [route here]" in invite(
        "/desk/", status=1, desk=route.format("here")).said
    for name, line in ("there", "listen = any"), ("host", "host = x"):
        made = invite("/desk/", desk=f"listen = public\n"
                      f"{route.format(name)}{line}\n")
        assert made.claims["path"] == "/desk/*"


def test_no_address_of_its_own(invite):
    said = invite("/desk/", desk="listen = any", status=1).said
    assert "write public_url = http://HOST:PORT behind /w.ini:21, " \
        "[page desk], or say it with --url" in said


def test_time(invite):
    lab = "max_ttl = 12h"
    made = invite("/desk/", lab=lab)
    assert made.claims["exp"] - made.claims["iat"] == 2 * 3600
    made = invite("/desk/", "--ttl", "12h", lab=lab)
    assert made.claims["exp"] - made.claims["iat"] == 12 * 3600
    assert "max_ttl, 12h: write max_ttl = 13h in /w.ini:17, [key lab]" in \
        invite("/desk/", "--ttl", "13h", lab=lab, status=1).said
    assert "max_ttl, 1h: write max_ttl = 2h behind /w.ini:14, [key lab]" in \
        invite("/desk/", "--ttl", "2h", status=1).said


def test_keys(invite):
    made = invite("/desk/both/", "--key", "lab")
    assert made.claims["exp"] - made.claims["iat"] == 3600
    made = invite("/desk/both/", "--key", "door")
    assert made.claims["exp"] - made.claims["iat"] == 1800
    assert "takes no invitations of this key; it takes those of:\n\tlab" in \
        invite("/desk/", "--key", "door", status=1).said


def test_rights_and_the_driver(invite):
    seat = "whoever comes last takes the seat"
    assert seat in invite("/desk/", "--sub", "bob").said
    assert seat in invite("/desk/", "--sub", "bob", "--perm", "w").said
    made = invite("/desk/", "--sub", "bob", "--perm", "r")
    assert seat not in made.said and "as bob" in made.said
    assert (made.claims["sub"], made.claims["perm"]) == ("bob", "r")
    assert seat not in invite("/desk/", "--sub", "bob", perm="r").said
    assert "no more than token_perm = r of [page desk], /w.ini:21" in \
        invite("/desk/", "--perm", "rw", perm="r").said
    assert "have no right in common" in \
        invite("/desk/", "--perm", "w", perm="r", status=1).said


@pytest.mark.parametrize("arguments, status, said", [
    (["/open/"], 1, "write auth = token behind /w.ini:34"),
    (["/none/"], 1, "no page has the path /none/; the file has 3 pages"),
    (["/sim/1"], 1, "is a path of [route pond], which is no page"),
    ([], 2, "the path of a page is missing"),
    (["/desk/", "/x/"], 2, "one path"),
    (["desk"], 2, "not the path of a page"),
    (["/desk/", "--ttl", "2"], 2, "--ttl"),
    (["/desk/", "--ttl"], 2, "its value is missing"),
    (["/desk/", "--until", "x"], 2, "there is no such option")])
def test_invite_refuses(invite, arguments, status, said):
    assert said in invite(*arguments, status=status).said


def scanned(rows, tmp_path):
    """What a QR code of true (light) and false says, by another program."""
    image = tmp_path / "qr.pbm"
    image.write_text("P1\n%d %d\n" % (4 * len(rows[0]), 4 * len(rows)) +
                     "".join(" ".join("01"[not x] for x in row
                                      for _ in range(4)) + "\n"
                             for row in rows for _ in range(4)))
    return subprocess.run(
        ["zbarimg", "--raw", "-q", image], capture_output=True, text=True,
        check=True).stdout.rstrip("\n")


needs_qr = pytest.mark.skipif(
    not (shutil.which("qrencode") and shutil.which("zbarimg")),
    reason="no qrencode, or no zbarimg to read what it makes")


@needs_qr
def test_qr(invite, tmp_path):
    made = invite("/desk/", "--qr", "--sub", "bob")
    rows = []
    for line in made.rest.splitlines():
        rows += [[x in "\u2588\u2580" for x in line],
                 [x in "\u2588\u2584" for x in line]]
    assert len(rows[0]) <= 80
    assert scanned(rows, tmp_path) == made.whole


@needs_qr
def test_qr_file(invite, tmp_path, driver, console):
    """A picture of its own, for a slide; nobody else may read it."""
    file = tmp_path / "a b.svg"
    made = invite("--qr", file, "/desk/")
    assert made.rest == "" and file.stat().st_mode & 0o777 == 0o600
    driver.get(file.as_uri())
    driver.save_screenshot(str(tmp_path / "qr.png"))
    assert subprocess.run(
        ["zbarimg", "--raw", "-q", tmp_path / "qr.png"], capture_output=True,
        text=True, check=True).stdout.rstrip("\n") == made.whole
    made = subprocess.run(
        [*RUNNER, WSRELAYCTL, "-c", tmp_path / "w.ini", "invite", "/desk/",
         "--qr", file], capture_output=True, text=True, timeout=PATIENCE,
        env={**os.environ, **SANITIZERS})
    assert made.returncode == 1 and "File exists" in made.stderr


def test_qr_without_the_program(tmp_path, invite):
    invite("/desk/")
    done = subprocess.run(
        [WSRELAYCTL, "-c", tmp_path / "w.ini", "invite", "/desk/", "--qr"],
        capture_output=True, text=True, timeout=PATIENCE,
        env={**os.environ, **SANITIZERS, "PATH": str(tmp_path)})
    assert done.returncode == 1
    assert "on Debian it is in the package qrencode" in done.stderr
    assert done.stdout.startswith("http://127.0.0.1:8080/desk/?token=")


# --- a browser ---------------------------------------------------------------

@contextlib.contextmanager
def site(html):
    """Another site, by name: 127.0.0.1 is not localhost."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html().encode())

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def is_in(driver, base):
    """The page with its stylesheet, its template and its WebSocket, at the
    clean address; its script sees neither link nor cookie."""
    wait_for(driver, "return said.textContent === 'hello'", PATIENCE)
    assert driver.current_url == base + "/desk/"
    assert driver.execute_script("""
        return [getComputedStyle(said).color, typeof stolen,
                document.cookie]""") == ["rgb(1, 2, 3)", "string", ""]


def opens(driver, base, link, token):
    """By a click on another site, then typed in, then from a bookmark."""
    inside = ""
    with site(lambda: f"<a id=go href='{link}'>go</a>{inside}") as elsewhere:
        driver.get(elsewhere)
        driver.find_element(By.ID, "go").click()
        is_in(driver, base)
        driver.back()       # the link is no step of its own in the history
        assert driver.current_url == elsewhere
        driver.forward()
        is_in(driver, base)
        cookie, = driver.get_cookies()
        assert cookie["value"] == token and cookie["httpOnly"]
        assert (cookie["path"], cookie["sameSite"]) == ("/desk", "Lax")
        assert cookie["secure"] == base.startswith("https")
        # What the other site's page asks for itself, it does not get.
        inside = f"<script src='{base}/desk/minted.js'></script>"
        driver.get(elsewhere)
        assert driver.execute_script("return typeof stolen") == "undefined"
    driver.get(base + "/desk/")
    is_in(driver, base)
    driver.delete_all_cookies()
    driver.get(base + "/desk/")
    assert "token-missing" in driver.page_source
    driver.get(link)                            # as typed in
    is_in(driver, base)
    driver.refresh()
    is_in(driver, base)
    driver.delete_all_cookies()


@pytest.mark.plain("test_over_tls is the same over TLS")
def test_in_a_browser(shared, driver, console):
    console += ["401", "Back-Forward Cache"]
    base = f"http://localhost:{shared.port}"
    token = mint("/desk/*", sub="alice")
    opens(driver, base, f"{base}/desk/?token={token}", token)
    assert not [x for x in shared.lines if token.split(".")[2] in x]


def test_over_tls(tls_relay, trusting_driver, tmp_path):
    www = str(files(tmp_path))
    r = tls_relay(INI.replace("{dir}/www", www), listen="hosts = *\n")
    base = f"https://localhost:{r.port}"
    token = mint("/desk/*", sub="alice")
    opens(trusting_driver, base, f"{base}/desk/?token={token}", token)
