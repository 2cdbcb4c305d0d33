"""A token in a cookie: where it counts, what refuses it, and that nobody
behind the relay sees it."""
import functools
import http.server
import threading

import pytest

from peers import Client, Server
from rawhttp import ask, head, upgrade
from relay import KEY, Relay, mint

ORIGIN = "https://app.example"
ROUTES = """
[route sim]
path = /sim/{id}
backend = echo:
token_cookie = __Host-sim
origins = https://app.example https://*.lab.example
[route plain]
path = /plain/{id}
backend = echo:
origins = https://app.example
[page all]
path = /
root = {dir}
auth = token
""" + KEY


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    r = Relay(ROUTES, tmp_path_factory.mktemp("relay"))
    yield r
    r.stop()


def with_cookies(r, *cookies, path="/sim/1", origin=ORIGIN, **fields):
    fields.setdefault("Cookie", list(cookies) or None)
    return ask(r, upgrade(path, Origin=origin, **fields))


def token(**claims):
    return mint("/sim/1", **claims)


GOOD = {
    "alone": "__Host-sim={}",
    "first": "__Host-sim={}; a=b",
    "last": "a=b; __Host-sim={}",
    "among odd ones": 'a="x y"; =; b; ä=ö; c={{"d":[1,2]}}; __Host-sim={}',
    "a semicolon behind": "__Host-sim={};",
    "others like it": "__host-sim=x; Host-sim=y; __Host-sim2=z; "
                      "__Host-sim={}",
}
MALFORMED = "token-malformed"
BAD = {
    "none": ("token-missing", "a=b"),
    "another case": ("token-missing", "__host-sim={}"),
    "empty": (MALFORMED, "__Host-sim="),
    "no token": (MALFORMED, "__Host-sim=abc"),
    "name alone": (MALFORMED, "__Host-sim"),
    "quotes": (MALFORMED, '__Host-sim="{}"'),
    "blank before =": (MALFORMED, "__Host-sim ={}"),
    "blank behind =": (MALFORMED, "__Host-sim= {}"),
    "blank behind": (MALFORMED, "__Host-sim={} ; a=b"),
    "no blank before": (MALFORMED, "a=b;__Host-sim={}"),
    "two blanks before": (MALFORMED, "a=b;  __Host-sim={}"),
    "a comma": (MALFORMED, "__Host-sim={},a=b"),
    "in quotes of another": (MALFORMED, 'a="b; __Host-sim={}"'),
    "twice": ("token-twice", "__Host-sim={}; __Host-sim={}"),
    "twice, one empty": ("token-twice", "__Host-sim=; __Host-sim={}"),
    "twice, one odd": (MALFORMED, "__Host-sim={}; __Host-sim =x"),
}


@pytest.mark.parametrize("name", GOOD)
def test_opens(shared, name):
    good = GOOD[name].format(token()).encode().decode("latin-1")
    assert with_cookies(shared, good).echo


@pytest.mark.parametrize("name", BAD)
def test_refused(shared, name):
    word, cookie = BAD[name]
    made = cookie.format(*[token()] * 2)
    answer = with_cookies(shared, made)
    assert answer.word == word and answer.close
    answer = with_cookies(shared, made, origin=None)
    assert (answer.status, answer.word) == (
        400 if word == "token-twice" else 401, word)


def test_one_place_only(shared):
    cookie = "__Host-sim=" + token()
    for more in ({"path": "/sim/1?token=" + token()},
                 {"Authorization": "Bearer " + token()},
                 {"Sec_WebSocket_Protocol": "wsuri, wsuri.bearer." + token()},
                 {"Cookie": [cookie, cookie]},
                 {"Cookie": [cookie, "a=b; __Host-sim=x"]}):
        assert with_cookies(shared, cookie, **more).word == "token-twice"
    assert with_cookies(shared, cookie, Cookie=["a=b", cookie]).echo


def test_origins_hold(shared):
    """A page of another site has the cookie sent, and is refused."""
    cookie = "__Host-sim=" + token()
    assert with_cookies(shared, cookie, origin="https://b.lab.example").echo
    for origin in ("https://app.example.org", "http://app.example", "null",
                   "https://lab.example", "http://localhost"):
        assert with_cookies(shared, cookie, origin=origin).word == "origin"
    # Whatever sends no Origin is no browser.
    assert with_cookies(shared, cookie, origin=None).echo


def test_elsewhere_cookies_do_not_count(shared):
    for path in "/plain/1", "/plain/1?token=":
        answer = with_cookies(shared, "__Host-sim=" + mint("/plain/1"),
                              path=path)
        assert answer.word in ("token-missing", MALFORMED)
    answer = ask(shared, head("/x.html", Cookie="token=" + mint("/x.html") +
                              "; __Host-sim=" + mint("/x.html")))
    assert (answer.status, answer.word) == (401, "token-missing")


# --- it goes no further -----------------------------------------------------

@pytest.mark.parametrize("cookie, left", [
    ("__Host-sim={}", None),
    ("a=b; __Host-sim={}; c=d", "a=b; c=d"),
    ("__Host-sim={}; a=b", "a=b"),
    ("a=b; other=secret; __Host-sim={}", "a=b"),
    ("a=b", "a=b"),
])
def test_backends_do_not_get_it(relay, cookie, left):
    """Nor that of another route, which a browser sends along."""
    with Server() as s:
        r = relay(f"""
[route ws]
path = /ws
backend = ws://127.0.0.1:{s.port}/
token_cookie = __Host-sim
origins = {ORIGIN}
[route other]
path = /other
backend = echo:
token_cookie = other
origins = {ORIGIN}
[route open]
path = /open
backend = ws://127.0.0.1:{s.port}/
auth = none
""" + KEY)
        made = mint("/ws")
        value = cookie.format(made)
        for path in "/ws", "/open":
            if path == "/ws" and "{}" not in cookie:
                continue
            c = Client(r, path, [f"Origin: {ORIGIN}", f"Cookie: {value}"]
                       if path == "/ws" else [f"Cookie: {value}"], wait=False)
            b = s.accept_ws()
            assert b.fields.get("cookie") == left
            assert made not in str(b.fields)
            b.accept()
            c.upgraded()
            c.close()
            b.close()
        r.stop()
        assert not [x for x in r.lines if made.split(".")[2] in x]


def test_programs_do_not_get_it(relay):
    r = relay(f"""
[route exec]
path = /exec
backend = exec:/usr/bin/env
token_cookie = t
origins = {ORIGIN}
""" + KEY)
    c = Client(r, "/exec", [f"Origin: {ORIGIN}",
                            "Cookie: t=" + mint("/exec", sub="alice")])
    said = []
    while True:
        f = c.recv()
        if f.opcode == 8:
            break
        said.append(f.text)
    assert "WSRELAY_SUBJECT=alice" in said
    assert not [x for x in said if "eyJ" in x or "COOKIE" in x.upper()]


# --- a browser --------------------------------------------------------------

class Pages(http.server.ThreadingHTTPServer):
    """The application beside the relay, on another port of its host."""

    def __init__(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                if self.server.cookie:
                    self.send_header("Set-Cookie", self.server.cookie)
                self.end_headers()
                self.wfile.write(b"<title>app</title>")

            def log_message(self, *_):
                pass
        super().__init__(("127.0.0.1", 0), functools.partial(Handler))
        self.cookie = None
        self.thread = threading.Thread(target=self.serve_forever)
        self.thread.start()

    def close(self):
        self.shutdown()
        self.thread.join()
        self.server_close()


OPEN_SOCKET = """
const ws = new WebSocket(arguments[0]);
window.seen = [];
ws.onopen = () => ws.send("hello");
ws.onmessage = (e) => { seen.push(e.data); ws.close(); };
ws.onclose = (e) => seen.push(e.code + " " + e.reason.split(":")[0]);
"""


@pytest.mark.plain("its pages and their browser have no TLS")
def test_in_chromium(relay, driver):
    """The application sets the cookie when somebody signs in; its pages open
    the WebSocket without a token, those of others do not."""
    from browser import wait_for as page_waits  # only here it is needed

    pages = Pages()
    try:
        r = relay(ROUTES.replace("https://app.example",
                                 f"http://localhost:{pages.server_port}")
                  .replace("__Host-sim", "sim"))
        url = f"ws://localhost:{r.port}/sim/1"

        def opened(page):
            driver.get(f"http://{page}:{pages.server_port}/")
            driver.execute_script(OPEN_SOCKET, url)
            return page_waits(driver, "return seen.length && "
                              "/^\\d{4} /.test(seen[seen.length - 1]) && "
                              "seen", 30)
        assert opened("localhost") == ["3000 token-missing"]
        pages.cookie = "sim=" + token() + "; HttpOnly; SameSite=Strict"
        assert opened("localhost") == ["hello", "1005 "]
        pages.cookie = None
        assert opened("localhost") == ["hello", "1005 "]
        assert opened("127.0.0.1") == ["3003 origin"]
    finally:
        pages.close()
