"""wsrelay-attach.py: a program's lines at a relay where no wsrelayd runs. The
run is sacred: whatever the relay does, it is the same run."""
import ast
import base64
import collections
import contextlib
import importlib.util
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading

import pytest

from peers import (BINARY, CLOSE, CONT, PING, PONG, TEXT, Background, Client,
                   Server, Wire, close_payload, frame)
from relay import KEY, PATIENCE, mint, wait_for
from test_wsrelay_js import REASON, ROOT

SCRIPT = ROOT / "src/helpers/wsrelay-attach.py"
PROTOCOL = "wsrelay.attach.v1"
SELECTED = "Sec-WebSocket-Protocol: " + PROTOCOL
WATCH = "https://viz.example.org/view/anna/1"
GREETING = json.dumps({"version": 1, "watch_at": WATCH, "new": [None]})
INI = KEY + """
[attach sims]
path = /attach/{user}/{id}
watch_at = https://viz.example.org/view/{user}/{id}
[route sim]
path = /sim/{user}/{id}
backend = attach:sims
mode = hub
auth = none
on_backend_loss = hold
replay = 100
"""
# Says each line that it gets, and ends with what "end N" says.
PARROT = """
import sys
print("ready", flush=True)
for line in sys.stdin:
    if line.startswith("end "):
        sys.exit(int(line[4:]))
    print("got " + line, end="", flush=True)
"""
# Output that is hard to pass on, before and behind a file that comes.
AWKWARD = """
import os, sys, time
def say(data):
    while data:
        data = data[os.write(1, data):]
say(b"first\\n\\n\\xff\\xfe not UTF-8\\r\\n" + b"x" * 200000 + b"\\n")
say(b"\\0\\n" * 1000)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
say(b"last, without a line's end")
sys.exit(5)
"""


def serve(path="/attach/anna/1", **claims):
    return mint(path, perm="serve", sub="anna", **claims)


class Run:
    """The script with a program; what it has printed is in files."""

    def __init__(self, directory, url, program, *options, token=None, env=(),
                 arguments=()):
        self.out, self.err = directory / "out", directory / "err"
        self.token = directory / "token"
        if token is not None:
            self.write_token(token)
        if not isinstance(program, list):
            program = ["/usr/bin/python3", "-c", program]
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                ["/usr/bin/python3", SCRIPT, "--token-file", self.token,
                 *options, url, "--", *program, *map(str, arguments)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                env={**os.environ, **dict(env)})

    def write_token(self, token):
        new = self.token.with_suffix(".new")
        new.touch(0o600)
        new.write_text(token + "\n")
        new.replace(self.token)

    def says(self, text):
        """Waits until the script has said it; returns all that it said."""
        def there():
            said = self.err.read_text()
            assert text in said or self.process.poll() is None, said
            return text in said and said
        return wait_for(there, text)

    def end(self, status=0):
        assert self.process.wait(PATIENCE) == status, self.err.read_text()
        return self.out.read_bytes()


@pytest.fixture
def run(tmp_path):
    runs = []

    def start(*args, **options):
        options.setdefault("token", serve())
        runs.append(Run(tmp_path, *args, **options))
        return runs[-1]
    yield start
    for x in runs:
        if x.process.poll() is None:
            x.process.kill()
            x.process.wait()


@pytest.fixture
def fake():
    """A relay of the test's own: accept() is an attached simulation."""
    with Server(tls=False) as s:
        s.url = f"ws://127.0.0.1:{s.port}/attach/anna/1"

        def attached(greeting=GREETING):
            b = s.accept_ws()
            b.accept(SELECTED)
            if greeting is not None:
                b.send(TEXT, greeting)
            return b
        s.attached = attached
        yield s


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("wsrelay_attach", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- the file -----------------------------------------------------------------

@pytest.mark.plain("about a file")
def test_it_is_for_any_python():
    """One file for Python 3.8 that imports the standard library only."""
    tree = ast.parse(SCRIPT.read_text(), feature_version=(3, 8))
    names = {alias.name.split(".")[0] for node in ast.walk(tree)
             if isinstance(node, ast.Import) for alias in node.names}
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    assert names <= set(sys.stdlib_module_names)


@pytest.mark.plain("about a file")
def test_it_knows_the_table(script):
    rows = REASON.findall((ROOT / "src/base/reason.def").read_text())
    assert len(rows) > 50
    by_code = collections.defaultdict(collections.Counter)
    for _, word, _, code, action, _ in rows:
        assert script.action_of(word) == action.lower(), word
        by_code[int(code)][action.lower()] += 1
    for code, actions in by_code.items():
        assert code == 0 or \
            script.action_of("", code) == actions.most_common(1)[0][0], code
    assert sum(map(len, script.ACTIONS.values())) == \
        len([row for row in rows if row[4] != "LATER"])


# --- at a relay ---------------------------------------------------------------

def text(c):
    f = c.recv()
    assert f.opcode == TEXT, f
    return f.text


def test_lines_go_both_ways(relay, run):
    r = relay(INI)
    c = Client(r, "/sim/anna/1")
    x = run(r.url("/attach/anna/1"), PARROT)
    assert text(c) == "ready"
    c.send(TEXT, "speed 2")
    assert text(c) == "got speed 2"
    c.send(TEXT, "ä" * 50000)
    assert c.message()[1].decode() == "got " + "ä" * 50000
    c.send(TEXT, "a\n> b forged")        # is no line
    c.send(BINARY, b"nor this")
    c.send(TEXT, "end 7")
    f = c.recv()
    assert (f.opcode, f.code) == (CLOSE, 1000)      # the run is over
    said = x.says("Watch: " + WATCH)
    out = x.end(7)
    assert out.decode().splitlines() == \
        ["ready", "got speed 2", "got " + "ä" * 50000]
    assert "a line break" in x.err.read_text()
    assert "token" not in said


def test_quiet(relay, run):
    r = relay(INI)
    c = Client(r, "/sim/anna/1")
    x = run(r.url("/attach/anna/1"), PARROT, "--quiet")
    assert text(c) == "ready"
    c.send(TEXT, "end 0")
    assert x.end(0) == b""


def test_what_it_prints_becomes_messages(relay, run, tmp_path):
    r = relay(INI)
    c = Client(r, "/sim/anna/1")
    x = run(r.url("/attach/anna/1"), AWKWARD, arguments=[tmp_path / "go"])
    assert text(c) == "first"
    assert text(c) == ""
    assert text(c) == "\ufffd\ufffd not UTF-8"
    assert c.message()[1] == b"x" * 200000
    assert [text(c) for _ in range(1000)] == ["\0"] * 1000
    (tmp_path / "go").touch()
    assert text(c) == "last, without a line's end"
    assert c.recv().code == 1000
    x.end(5)


def test_its_token_is_read_anew(relay, run):
    r = relay(INI)
    x = run(r.url("/attach/anna/1"), PARROT, token=serve(ttl=-100))
    x.says("(token-expired)")
    x.write_token(serve())
    x.says("attached to")
    c = Client(r, "/sim/anna/1")
    assert text(c) == "ready"
    c.send(TEXT, "end 0")
    x.end(0)


@pytest.mark.plain("nothing of it is on a wire")
def test_the_usual_token_file(script, monkeypatch):
    arguments = ["ws://a/b", "--", "x"]
    monkeypatch.setenv("HOME", "/nowhere")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert script.arguments(arguments).token_file == \
        "/nowhere/.config/wsrelay/token"
    monkeypatch.setenv("XDG_CONFIG_HOME", "/xdg")
    assert script.arguments(arguments).token_file == "/xdg/wsrelay/token"


def test_no_token_file(relay, run):
    r = relay(INI)
    x = run(r.url("/attach/anna/1"), PARROT, token=None)
    x.says("No such file")
    x.write_token("what is\nthis")
    x.says("holds no token")
    x.write_token(serve())
    x.says("attached to")


def test_for_good(relay, run, tmp_path):
    """With other rights never: and the run goes on."""
    r = relay(INI)
    x = run(r.url("/attach/anna/1"), AWKWARD, arguments=[tmp_path / "go"],
            token=mint("/attach/anna/1", perm="rw"))
    said = x.says("for good")
    assert "(attach-perm)" in said
    (tmp_path / "go").touch()
    assert x.end(5) == awkward(tmp_path)
    assert len(r.log("refuse")) == 1


def test_replaced(relay, run):
    r = relay(INI)
    x = run(r.url("/attach/anna/1"), PARROT)
    x.says("attached to")
    one = Client(r, "/attach/anna/1", token=serve())
    said = x.says("for good")
    assert "(attach-replaced)" in said
    one.close()


def test_no_place_for_simulations(relay, run):
    """Its lines would be what a client says."""
    r = relay(INI)
    c = Client(r, "/sim/anna/1")
    x = run(r.url("/sim/anna/1"), PARROT)
    x.says("no simulation can attach there")
    c.close()


def test_over_tls(tls_relay, run, certificates):
    r = tls_relay(INI)
    url = f"wss://localhost:{r.port}/attach/anna/1"
    x = run(url, PARROT, env={"SSL_CERT_FILE": "/dev/null"})
    x.says("certificate is not good")
    x.process.kill()
    x.process.wait()
    x = run(url, PARROT, "--ca", certificates.ca)
    x.says("attached to")
    c = Client(r, "/sim/anna/1", tls=True)
    assert text(c) == "ready"
    c.send(TEXT, "x" * 300000)
    assert c.message()[1] == b"got " + b"x" * 300000
    c.send(TEXT, "end 0")
    x.end(0)


# --- the run is sacred --------------------------------------------------------

def awkward(directory):
    """What it prints without us."""
    (directory / "go").touch()
    found = subprocess.run(["/usr/bin/python3", "-c", AWKWARD,
                            directory / "go"], stdout=subprocess.PIPE)
    assert found.returncode == 5
    return found.stdout


BAD = {
    "masked": frame(TEXT, "{}"),
    "reserved": frame(TEXT, "{}", rsv=4, mask=None),
    "opcode": frame(3, "", mask=None),
    "long ping": frame(PING, b"x" * 126, mask=None),
    "ping in parts": frame(PING, b"x", fin=False, mask=None),
    "nothing to continue": frame(CONT, "x", mask=None),
    "a message in a message": frame(TEXT, "{", fin=False, mask=None) * 2,
    "long form": frame(TEXT, "{}", form=64, mask=None),
    "no UTF-8": frame(TEXT, b"\xff", mask=None),
    "no JSON": frame(TEXT, "[" * 5000, mask=None),
    "2**62 bytes": frame(TEXT, "x", form=64, length=1 << 62, mask=None),
    "too long a greeting": frame(TEXT, "x" * 20000, mask=None),
    "close of a byte": frame(CLOSE, b"x", mask=None),
    "close 1006": frame(CLOSE, close_payload(1006), mask=None),
    "close 5000": frame(CLOSE, close_payload(5000), mask=None),
    "an end": b"",
    "half a frame": b"\x81",
}


@pytest.mark.plain("its relay is the test's own")
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_whatever_the_relay_says(fake, run, tmp_path, bad):
    x = run(fake.url, AWKWARD, arguments=[tmp_path / "go"])
    b = fake.attached(greeting=None)
    b.write(bad)
    if len(bad) < 2:
        b.close()
    fake.attached()                 # it has come back
    (tmp_path / "go").touch()
    assert x.process.wait(PATIENCE) == 5
    assert x.out.read_bytes() == awkward(tmp_path)
    b.close()


ANSWERS = {
    "nothing": b"",
    "no HTTP": b"SSH-2.0-OpenSSH\r\n\r\n",
    "no end": b"HTTP/1.1 101 x\r\n" + b"x: y\r\n" * 5000,
    "another's key": b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: "
    b"Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
    "a page": b"HTTP/1.1 404 x\r\nContent-Length: 6\r\n\r\n<html>",
    "a terminal's command": b"HTTP/1.1 503 x\r\n\r\nlater: \x1b]0;pwned\x07",
    "elsewhere": b"HTTP/1.1 302 x\r\nLocation: http://127.0.0.1:1/\r\n\r\n",
}


@pytest.mark.plain("its relay is the test's own")
@pytest.mark.parametrize("bad", ANSWERS.values(), ids=ANSWERS)
def test_whatever_is_answered(fake, run, tmp_path, bad):
    x = run(fake.url, AWKWARD, arguments=[tmp_path / "go"])
    with fake.accept_ws() as b:
        b.write(bad)
    fake.accept_ws().close()        # it tries again
    (tmp_path / "go").touch()
    assert x.end(5) == awkward(tmp_path)
    assert "\x1b" not in x.err.read_text()


def test_without_a_relay(run, tmp_path):
    (tmp_path / "go").touch()
    x = run("ws://127.0.0.1:1/attach/anna/1", AWKWARD,
            arguments=[tmp_path / "go"])
    assert x.end(5) == awkward(tmp_path)
    assert "nothing listens" in x.err.read_text()


@pytest.mark.plain("its relay is the test's own")
def test_a_relay_that_does_not_read(fake, run, tmp_path):
    """64 MiB of lines: the program is not held up by it, nor is what it
    prints; the oldest lines give way, and memory is bounded."""
    program = "for i in range(1024): print('%05d' % i, 'x' * 65536)"
    with Server(tls=False, rcvbuf=8192) as s:
        x = run(s.uri.replace("tcp", "ws") + "/attach/anna/1", program)
        b = s.accept_ws()
        b.accept(SELECTED)
        status = pathlib.Path(f"/proc/{x.process.pid}/status")
        wait_for(lambda: x.out.stat().st_size == 1024 * 65543, "its output")
        peak = int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1])
        assert peak < 120 << 10, peak
        x.end(0)
        assert "lines that did not reach the relay" in x.err.read_text()
        b.close()


@pytest.mark.plain("its relay is the test's own")
def test_a_program_that_does_not_read(fake, run, tmp_path):
    x = run(fake.url, AWKWARD, arguments=[tmp_path / "go"])
    b = fake.attached()
    for _ in range(64):
        b.send(TEXT, "x" * 100000)
    b.send(PING, b"still there?")
    while b.frame() != (PONG, b"still there?", True, 0, True):
        pass
    assert "does not read its input" in x.says("dropped")
    (tmp_path / "go").touch()
    assert x.end(5) == awkward(tmp_path)


@pytest.mark.plain("its relay is the test's own")
@pytest.mark.parametrize("flood", [
    frame(PING, mask=None), frame(TEXT, "", mask=None),
    frame(TEXT, "x", fin=False, mask=None)], ids=["pings", "empty", "endless"])
def test_a_relay_that_never_stops(fake, run, tmp_path, flood):
    """The program's output goes on, and nothing piles up."""
    x = run(fake.url, AWKWARD, arguments=[tmp_path / "go"])
    b = fake.attached()
    data = flood + b"".join(frame(CONT, "x", fin=False, mask=None)
                            if flood[0] == TEXT else flood for _ in range(999))

    def pour():
        with contextlib.suppress(OSError):      # it may have had enough
            while True:
                b.write(data)
    pouring = Background(pour)
    wait_for(lambda: x.out.stat().st_size > 202000, "its output")
    (tmp_path / "go").touch()
    assert x.end(5) == awkward(tmp_path)
    pouring.done()
    b.close()


@pytest.mark.plain("its relay is the test's own")
def test_it_comes_back(fake, run):
    """What was printed meanwhile comes then, and nothing twice."""
    x = run(fake.url, PARROT)
    b = fake.attached()
    assert text(b) == "ready"
    b.send(TEXT, "1")
    assert text(b) == "got 1"
    b.send(TEXT, "2")
    b.send_close(1012, "killed: the operator closed it")
    said = x.says("(killed)")
    assert "trying again" in said
    b.close()
    b = fake.attached()
    x.says("again, after")
    b.send(TEXT, "3")
    assert text(b) in ("got 2", "got 3")
    b.send(TEXT, "end 0")
    x.end(0)


@pytest.mark.plain("its relay is the test's own")
def test_what_was_on_a_connection_is_lost(fake, run):
    """And what was not comes on the next one: nothing twice, all in order."""
    n = 100000
    x = run(fake.url, f"import sys\nfor i in range({n}): print(i)\n"
            f"sys.stdin.readline(); print({n}); sys.stdin.read()")
    b = fake.attached()
    wait_for(lambda: x.out.read_bytes().endswith(b"\n%d\n" % (n - 1)),
             "its output")
    got = [int(text(b)) for _ in range(100)]
    assert got == list(range(100))
    b.reset()
    b = fake.attached()
    b.send(TEXT, "the last")        # whatever the first socket has held
    while got[-1] != n:
        got.append(int(text(b)))
        assert got[-1] > got[-2]


@pytest.mark.plain("its relay is the test's own")
def test_pings_are_answered(fake, run):
    run(fake.url, PARROT)
    b = fake.attached()
    assert text(b) == "ready"
    b.send(PING, b"abc")
    f = b.frame()
    assert (f.opcode, f.payload) == (PONG, b"abc")


SIGNALLED = """
import signal, sys
def came(n, _):
    print("came", n, flush=True)
    sys.exit(9)
signal.signal(signal.SIGTERM, came)
signal.signal(signal.SIGUSR1, lambda n, _: print("came", n, flush=True))
print("ready", flush=True)
while True:
    signal.pause()
"""


@pytest.mark.plain("nothing of it is on a wire")
def test_signals_are_handed_on(run):
    x = run("ws://127.0.0.1:1/attach/anna/1", SIGNALLED)
    wait_for(lambda: x.out.read_bytes() == b"ready\n", "ready")
    x.process.send_signal(signal.SIGUSR1)
    wait_for(lambda: x.out.read_bytes() == b"ready\ncame 10\n", "USR1")
    x.process.send_signal(signal.SIGTERM)
    assert x.end(9) == b"ready\ncame 10\ncame 15\n"


@pytest.mark.plain("nothing of it is on a wire")
@pytest.mark.parametrize("command, status", [
    (["sh", "-c", "kill -KILL $$"], -9), (["sh", "-c", "kill -TERM $$"], -15),
    (["true"], 0), (["false"], 1), (["/nix"], 127), (["/"], 126),
    (["sh", "-c", "echo $0 \"$@\" --; exit 3", "--", "--quiet"], 3)])
def test_it_ends_as_the_program(run, command, status):
    x = run("ws://127.0.0.1:1/attach/anna/1", command)
    assert x.end(status) == (b"-- --quiet --\n" if status == 3 else b"")


@pytest.mark.plain("nothing of it is on a wire")
def test_a_pipe_that_is_closed(tmp_path, run):
    """yes | head -1 ends with us between, too."""
    found = subprocess.run(
        f"/usr/bin/python3 {SCRIPT} ws://127.0.0.1:1/a -- yes | head -n 1",
        shell=True, capture_output=True, timeout=PATIENCE)
    assert found.stdout == b"y\n"


@pytest.mark.plain("nothing of it is on a wire")
@pytest.mark.parametrize("arguments, complaint", [
    (["ws://a/b"], "no program"), (["http://a/b", "--", "x"], "address"),
    (["ws://a/b c", "--", "x"], "address"), (["--", "x"], "address"),
    (["ws://a:b/c", "--", "x"], "address"),
    (["--slow", "x", "ws://a/b", "--", "x"], "--slow"),
    (["--token-file", "t", "ws://a/b?token=x", "--", "x"], "--token-file")])
def test_usage(arguments, complaint):
    found = subprocess.run(["/usr/bin/python3", SCRIPT, *arguments],
                           capture_output=True, text=True)
    assert found.returncode == 2
    assert complaint in found.stderr


# --- through a proxy ----------------------------------------------------------

class Proxy:
    """One connection by CONNECT, to a port of ours whatever it says."""

    def __init__(self, port, answer=b"HTTP/1.1 200 ok\r\n\r\n"):
        self.port, self.answer = port, answer
        self.server = Server(tls=False)
        self.asked = Background(self.serve)

    def serve(self):
        c = self.server.accept()
        head = c.until(b"\r\n\r\n").decode()
        c.write(self.answer)
        if b" 200 " in self.answer:
            b = socket.create_connection(("127.0.0.1", self.port))
            for a, z in ((c.sock, b), (b, c.sock)):
                threading.Thread(target=self.carry, args=(a, z),
                                 daemon=True).start()
        else:
            c.close()
        return head

    @staticmethod
    def carry(a, z):
        try:
            a.settimeout(None)
            while data := a.recv(65536):
                z.sendall(data)
            z.shutdown(socket.SHUT_WR)
        except OSError:
            pass


@pytest.mark.plain("the name that it asks for is in no certificate")
def test_through_a_proxy(relay, run):
    r = relay(INI, listen="hosts = relay.invalid")
    proxy = Proxy(r.port)
    x = run(f"ws://relay.invalid:{r.port}/attach/anna/1", PARROT, env={
        "http_proxy": f"http://an%40na:pass@127.0.0.1:{proxy.server.port}",
        "no_proxy": "example.org"})
    head = proxy.asked.done()
    assert head.startswith(f"CONNECT relay.invalid:{r.port} HTTP/1.1\r\n")
    login = base64.b64encode(b"an@na:pass").decode()
    assert f"\r\nProxy-Authorization: Basic {login}\r\n" in head
    x.says("attached to")


@pytest.mark.plain("its relay is the test's own")
@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY"])
def test_a_proxy_that_refuses(run, name):
    proxy = Proxy(0, b"HTTP/1.1 407 no\r\n\r\n")
    x = run("wss://relay.invalid/attach/anna/1", PARROT,
            env={name: f"127.0.0.1:{proxy.server.port}"})
    assert "CONNECT relay.invalid:443 " in proxy.asked.done()
    x.says("the proxy wants a name and a password")


@pytest.mark.plain("nothing of it is on a wire")
@pytest.mark.parametrize("no_proxy, url, near", [
    ("", "ws://viz.example.org/", False), ("", "ws://localhost/", True),
    ("", "ws://127.0.0.9/", True), ("", "ws://[::1]/", True),
    ("*", "ws://viz.example.org/", True),
    ("example.org", "ws://viz.example.org/", True),
    (".example.org", "ws://viz.Example.org/", True),
    ("a, *.example.org", "ws://viz.example.org/", True),
    ("ample.org", "ws://viz.example.org/", False),
    ("viz.example.org:443", "wss://viz.example.org/", True),
    ("viz.example.org:444", "wss://viz.example.org/", False),
    ("10.0.0.0/8", "ws://10.1.2.3/", True), ("10.1.2.4", "ws://10.1.2.3/", False),
    ("fd00::/8", "ws://[fd00::1]/", True), ("[fd00::1]:80", "ws://[fd00::1]/", True)])
def test_no_proxy(script, monkeypatch, no_proxy, url, near):
    monkeypatch.setenv("NO_PROXY", no_proxy)
    monkeypatch.delenv("no_proxy", raising=False)
    assert script.bypasses(script.Address(url)) == near


# --- its parts ----------------------------------------------------------------

@pytest.mark.plain("nothing of it is on a wire")
def test_decoder_splits_anywhere(script):
    data = b"".join(frame(*x[:2], fin=x[2], mask=None) for x in [
        (TEXT, "one", True), (TEXT, "tw", False), (PING, "p", True),
        (CONT, "", False), (CONT, "o", True), (BINARY, b"x" * 300, True),
        (TEXT, "", True), (CLOSE, close_payload(1000, "bye"), True)])
    wanted = [(TEXT, b"one"), (PING, b"p"), (TEXT, b"two"),
              (BINARY, b"x" * 300), (TEXT, b""), (CLOSE, b"\x03\xe8bye")]

    def decoded(*parts):
        d, found = script.Decoder(), []
        for part in parts:
            d.feed(part)
            while (m := d.next()) is not None:
                found.append(m)
        return found
    for i in range(len(data) + 1):
        assert decoded(data[:i], data[i:]) == wanted
    assert decoded(*(data[i:i + 1] for i in range(len(data)))) == wanted


@pytest.mark.plain("nothing of it is on a wire")
@pytest.mark.parametrize("n", [0, 1, 125, 126, 65535, 65536, 65537, 200001])
def test_frames_are_a_clients(script, n):
    """As the tests' own server reads them: masked, with keys that differ."""
    ours, theirs = socket.socketpair()
    payload = os.urandom(n)
    with Wire(theirs) as w, ours:
        sent = b"".join(script.message_frames(payload))
        b = Background(ours.sendall, sent)
        assert w.message()[:2] == (TEXT, payload)
        b.done()
    assert script.frame(TEXT, b"same") != script.frame(TEXT, b"same")


@pytest.mark.plain("nothing of it is on a wire")
def test_slow(script):
    old = script.Lines("drop-old")
    for i in range(40):
        old.put(b"%d\n" % i + b"x" * script.MIB + b"\n")
    assert old.cost <= script.ROOM
    kept = []
    while (blob := old.take()) is not None:
        kept.append(int(blob.split()[0]))
    assert kept == list(range(40 - len(kept), 40)) and len(kept) >= 15
    assert old.dropped == 2 * (40 - len(kept))

    latest = script.Lines("latest")
    latest.put(b"1\n2\n")
    latest.put(b"3\n4\n")
    assert (latest.take(), latest.take()) == (b"4\n", None)
    assert latest.dropped == 3

    old.put_back(b"taken\n")
    old.put(b"next\n")
    assert (old.take(), old.take()) == (b"taken\n", b"next\n")
    latest.put(b"5\n")
    latest.put_back(b"4\n")
    assert (latest.take(), latest.take()) == (b"5\n", None)

    block = script.Lines("block")
    for i in range(40):         # away: it drops
        block.put(b"x" * script.MIB + b"\n")
    assert block.dropped == 40 - len(block.blobs)
    block.set_attached(True)
    waits = Background(block.put, b"y" * script.MIB + b"\n")
    before = block.dropped
    wait_for(lambda: (block.take() or b"")[:1] == b"y", "what waited")
    waits.done()
    assert block.dropped == before
