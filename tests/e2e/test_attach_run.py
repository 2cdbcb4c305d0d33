"""wsrelayd --attach: the simulation's side of wsrelayd-attach(7)."""
import contextlib
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading

import pytest

import proxies
from peers import BINARY, CLOSE, TEXT, Client
from relay import KEY, PATIENCE, ROOT, RUNNER, SANITIZERS, WSRELAYD, \
    free_port, mint, wait_for

pytestmark = pytest.mark.plain("test_over_tls is")

PLACE = "/attach/anna/42"


def ini(*route, attach=(), auth="none", loss="hold"):
    return "\n".join([
        KEY + "leeway = 0s", "[attach sims]", "path = /attach/{user}/{id}",
        "watch_at = https://viz.example.org/view/{user}/{id}", *attach,
        "[route sim]", "path = /sim/{user}/{id}", "backend = attach:sims",
        "mode = hub", f"auth = {auth}", f"on_backend_loss = {loss}",
        "linger = 500ms", *route, ""])


def serve(path=PLACE, **claims):
    claims.setdefault("perm", "serve")
    claims.setdefault("sub", "anna")
    return mint(path, **claims)


class Run:
    """wsrelayd --attach ..., whose words are in lines."""

    def __init__(self, where, *args, env=None, stdout=subprocess.PIPE,
                 expect=0, **options):
        self.expect = expect
        self.lines = []
        bare = {k: v for k, v in os.environ.items()
                if not k.lower().endswith("_proxy")}
        self.process = subprocess.Popen(
            [*RUNNER, str(WSRELAYD), "--attach", where, *map(str, args)],
            stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
            env={**bare, **SANITIZERS, **(env or {})},
            start_new_session=True, **options)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line.decode(errors="replace").rstrip("\n"))

    def said(self, pattern, count=1):
        """Waits until it has said that so often."""
        def found():
            return sum(bool(re.search(pattern, x)) for x in
                       list(self.lines)) >= count
        try:
            wait_for(found, pattern)
        except AssertionError as e:
            raise AssertionError(f"{e}\n" + "\n".join(self.lines))

    def kill(self, sig):
        self.process.send_signal(sig)

    def output(self):
        """Up to its end, which is as expected."""
        out = self.process.stdout.read() if self.process.stdout else b""
        self.end()
        return out

    def end(self):
        status = self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)
        bad = [x for x in self.lines
               if "runtime error" in x or "Sanitizer" in x]
        assert status == self.expect and not bad, \
            f"exit status {status}:\n" + "\n".join(self.lines)


@pytest.fixture
def tokens(tmp_path):
    """The file of a token; tokens(...) writes it anew."""
    file = tmp_path / "token"

    def write(token=None):
        file.with_suffix(".new").write_text((token or serve()) + "\n")
        os.replace(file.with_suffix(".new"), file)
        return file
    return write


@pytest.fixture
def attach(tokens):
    """attach(relay, options..., "--", program...) with a good token."""
    runs = []

    def start(r, *args, where=None, token=True, **options):
        if token:
            args = ("--token-file", tokens(), *args)
        if where is None:
            where = r if isinstance(r, str) else r.url(PLACE)
        runs.append(Run(where, *args, **options))
        return runs[-1]
    yield start
    for run in runs:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.process.pid, signal.SIGKILL)
        run.process.wait()
        run.reader.join()
        for f in (run.process.stdout, run.process.stderr):
            if f:
                f.close()


@pytest.fixture
def watch():
    clients = []

    def start(r, **options):
        clients.append(Client(r, "/sim/anna/42", **options))
        return clients[-1]
    yield start
    for c in clients:
        c.sock.close()


def python(text):
    return sys.executable, "-c", text


def text(c):
    f = c.recv()
    assert f.opcode == TEXT, f
    return f.payload.decode()


def attached(r, count=1):
    return r.wait_log("open", route="attach:sims", count=count)


# --- the run -----------------------------------------------------------------

def test_a_run_is_watched_and_steered(relay, attach, watch):
    r = relay(ini("replay = 10"))
    run = attach(r, "--", *python(
        "import sys\n"
        "print('ready')\n"
        "for line in sys.stdin:\n"
        "    print('got', line.strip())\n"
        "    if line == 'end\\n': break\n"))
    attached(r)
    c = watch(r)
    assert text(c) == "ready"
    c.send(TEXT, "faster")
    assert text(c) == "got faster"
    c.send(TEXT, "end")
    assert text(c) == "got end"
    assert c.recv().code == 1000
    assert run.output() == b"ready\ngot faster\ngot end\n"
    run.said("^Watch: https://viz.example.org/view/anna/42$")
    run.said("^wsrelayd: attached at ws://")
    assert r.wait_log("close", route="attach:sims", code=1000)
    assert not any(serve().split(".")[0] in x for x in run.lines)


def test_output_and_errors_byte_for_byte(relay, attach):
    r = relay(ini())
    out = b"no text \xff\0\r\n\n" + b"x" * 300000 + b"\nunfinished"
    run = attach(r, "--", *python(
        f"import sys; sys.stderr.write('its own words\\n')\n"
        f"sys.stdout.buffer.write({out[:20]!r} + b'x' * 300000 + "
        f"b'\\nunfinished')"), expect=0)
    assert run.output() == out[:20] + b"x" * 300000 + b"\nunfinished"
    run.said("^its own words$")
    run.said("1 message dropped on the way to the relay: they are lines that "
             "are not UTF-8")


def test_quiet(relay, attach, watch):
    r = relay(ini("replay = 1"))
    run = attach(r, "--quiet", "--", *python(
        "print('hello'); import sys; sys.stdin.readline()"))
    attached(r)
    c = watch(r)
    assert text(c) == "hello"
    c.send(TEXT, "go")
    assert run.output() == b""


@pytest.mark.parametrize("program,status", [
    ("exit 7", 7), ("kill -KILL $$", 137), ("kill -USR1 $$", 138)])
def test_its_exit_status_is_ours(relay, attach, program, status):
    r = relay(ini())
    attach(r, "--", "sh", "-c", program, expect=status).output()


def test_a_program_that_is_not_there(relay, attach):
    run = attach(relay(ini()), "--", "/nowhere/at-all", expect=127)
    run.output()
    run.said("/nowhere/at-all: No such file or directory")


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "USR1", "USR2",
                                  "WINCH", "ALRM"])
def test_signals_are_handed_on(relay, attach, name):
    r = relay(ini())
    run = attach(r, "--", *python(
        "import signal, sys\n"
        "def caught(number, frame):\n"
        "    print(signal.Signals(number).name, flush=True)\n"
        "    sys.exit(5)\n"
        f"signal.signal(signal.SIG{name}, caught)\n"
        "print('ready', flush=True)\n"
        "while True: signal.pause()\n"), expect=5)
    assert run.process.stdout.readline() == b"ready\n"
    run.kill(getattr(signal, "SIG" + name))
    assert run.output() == b"SIG%s\n" % name.encode()


def test_a_signal_ends_it(relay, attach, watch):
    r = relay(ini())
    run = attach(r, "--", "sleep", "1000", expect=143)
    attached(r)
    c = watch(r)
    run.kill(signal.SIGTERM)
    run.output()
    assert c.recv().code == 1000
    assert r.wait_log("close", route="attach:sims", code=1000)


def test_what_a_leftover_prints_goes_on(relay, attach):
    r = relay(ini())
    run = attach(r, "--", "sh", "-c", "(sleep 1; echo late) & exit 3",
                 expect=3)
    assert run.output() == b"late\n"


def test_its_output_has_no_reader(relay, attach):
    """It meets that as without us."""
    r = relay(ini())
    run = attach(r, "--", "sh", "-c", "while echo x; do :; done 2>/dev/null;"
                 " exit 9", expect=141)
    assert run.process.stdout.readline() == b"x\n"
    run.process.stdout.close()
    run.end()


def test_a_blocked_output_holds_nothing_else_up(relay, attach, watch,
                                                tmp_path):
    """The program waits for its output; messages and pings go on."""
    r = relay(ini())
    mark = tmp_path / "mark"
    run = attach(r, "--", *python(
        "import sys, threading\n"
        "def hear():\n"
        "    for line in sys.stdin:\n"
        f"        open({str(mark)!r}, 'a').write(line)\n"
        "threading.Thread(target=hear, daemon=True).start()\n"
        "for i in range(4000): print('x' * 1000)\n"))
    attached(r)
    c = watch(r)
    c.send(TEXT, "one")
    wait_for(mark.exists)
    assert run.process.poll() is None
    assert run.output() == (b"x" * 1000 + b"\n") * 4000


# --- no relay ----------------------------------------------------------------

def test_no_relay_at_all(attach):
    run = attach(f"ws://127.0.0.1:{free_port()}{PLACE}", "--", "sh", "-c",
                 "echo one; sleep 1; echo two; exit 4", expect=4)
    assert run.output() == b"one\ntwo\n"
    run.said("the relay cannot be reached: Connection refused; it is tried "
             "again, the run goes on")
    run.said("2 messages dropped")


@pytest.mark.parametrize("where,words", [
    ("", "expected wss://host/path"),
    ("https://viz.example.org/", "expected wss://host/path"),
    ("wss://viz.example.org//x", "empty segment"),
    ("wss://viz.exa mple.org/x", "expected wss://"),
])
def test_a_place_that_is_none(attach, where, words):
    """A job that has waited for days does not end with that."""
    run = attach(where, "--", "echo", "hello", where=where)
    assert run.output() == b"hello\n"
    run.said(words)
    run.said("the run goes on without the relay")


def test_an_empty_variable_in_a_script(tokens):
    run = Run("--token-file", tokens(), "--", "echo", "hello")
    assert run.output() == b"hello\n"
    run.said("the run goes on without the relay")


def test_usage():
    def call(*args):
        return subprocess.run([WSRELAYD, "--attach", *args],
                              capture_output=True, text=True)
    assert call("--help").stdout.startswith("usage: wsrelayd --attach")
    for args in (["ws://a/"], ["ws://a/", "--slow", "often", "--", "true"],
                 ["ws://a/", "--listen", "/x"], ["ws://a/", "--nothing"],
                 ["ws://a/", "--listen", "unix:/x", "--", "true"]):
        done = call(*args)
        assert done.returncode == 2 and done.stderr


def test_the_relay_comes_back(relay, attach, watch):
    port = free_port()
    listen = f"address = 127.0.0.1:{port}"
    first = relay(ini(), listen=listen)
    run = attach(first, "--", *python(
        "import sys\n"
        "for line in sys.stdin:\n"
        "    print(line.strip(), flush=True)\n"
        "    if line == 'end\\n': break\n"),
        where=f"ws://127.0.0.1:{port}{PLACE}")
    attached(first)
    first.stop()
    run.said("the relay closed: shutdown")
    second = relay(ini(), listen=listen)
    attached(second)
    c = watch(second)
    c.send(TEXT, "end")
    assert text(c) == "end"
    assert run.output() == b"end\n"
    assert sum(x.startswith("Watch:") for x in run.lines) == 1


def test_messages_wait_for_the_relay(relay, attach, watch):
    """What was said without a connection is sent with the next."""
    port = free_port()
    run = attach(f"ws://127.0.0.1:{port}{PLACE}", "--", *python(
        "import sys; print('one'); print('two'); sys.stdin.readline()"))
    run.said("cannot be reached")
    r = relay(ini("replay = 10"), listen=f"address = 127.0.0.1:{port}")
    attached(r)
    c = watch(r)
    assert [text(c), text(c)] == ["one", "two"]
    c.send(TEXT, "go")
    assert run.output() == b"one\ntwo\n"


def test_a_full_line(relay, attach, tmp_path):
    """The relay takes nothing more: the run's output is the same."""
    r = relay(ini())
    line = b"0123456789" * 100 + b"\n"
    file = tmp_path / "run.log"
    with file.open("wb") as out:
        run = attach(r, "--", *python(
            "import sys, time\n"
            "sys.stdin.readline()\n"
            f"for i in range(40000): sys.stdout.buffer.write({line!r})\n"),
            stdout=out)
    attached(r)
    c = Client(r, "/sim/anna/42")
    c.send(TEXT, "go")
    wait_for(lambda: file.stat().st_size > 0)
    r.kill(signal.SIGSTOP)
    wait_for(lambda: file.stat().st_size == 40000 * len(line))
    run.end()
    r.kill(signal.SIGCONT)
    c.sock.close()
    assert file.read_bytes() == line * 40000
    run.said("messages dropped on the way to the relay: newer ones came")


# --- refusals ----------------------------------------------------------------

def test_refused_for_good(relay, attach, tokens):
    r = relay(ini())
    run = attach(r, "--token-file", tokens(serve(perm="rw")), "--", "sh",
                 "-c", "echo one; sleep 1; echo two", token=False)
    assert run.output() == b"one\ntwo\n"
    run.said(r"the relay refuses: attach-perm: .* \(HTTP 403\); it is not "
             "tried again, the run goes on")
    assert len(r.log("refuse")) == 1


def test_replaced(relay, attach, tokens):
    """Two do not push each other out for ever."""
    r = relay(ini())
    run = attach(r, "--", "sh", "-c", "read line; exit 6", expect=6)
    attached(r)
    other = Client(r, PLACE, token=serve())
    run.said("the relay closed: attach-replaced: .* it is not tried again")
    other.sock.close()
    run.kill(signal.SIGTERM)
    run.expect = 143
    run.output()


def test_taken(relay, attach):
    r = relay(ini(loss="close"))
    with Client(r, PLACE, token=serve(sub="bert")) as other:
        run = attach(r, "--", *python("import sys; sys.stdin.readline()"),
                     expect=143)
        run.said(r"the relay refuses: attach-taken: .*\(HTTP 409\); it is "
                 "tried again")
        other.send(CLOSE, b"\x03\xe8")
    attached(r, 2)
    run.kill(signal.SIGTERM)
    run.output()


def test_a_fresh_token_is_read(relay, attach, tokens):
    r = relay(ini())
    run = attach(r, "--token-file", tokens(serve(ttl=-100)), "--", "sleep",
                 "1000", token=False, expect=143)
    run.said(r"token-expired: .*; the token's file is read anew")
    tokens()
    attached(r)
    run.kill(signal.SIGTERM)
    run.output()


def test_no_token_file(relay, attach, tokens, tmp_path):
    """It may come while the job runs; the name is looked for from here."""
    r = relay(ini())
    run = attach(r, "--token-file", "token", "--", "sleep", "1000",
                 token=False, expect=143, cwd=tmp_path)
    run.said("no token: .*/token: No such file or directory; the token's file "
             "is read anew")
    tokens()
    attached(r)
    run.kill(signal.SIGTERM)
    run.output()


def test_the_session_ends(relay, attach):
    r = relay(ini(attach=("max_session = 1s",)))
    run = attach(r, "--", "sleep", "1000", expect=143)
    attached(r)
    run.said("the relay closed: session-end: .*the token's file is read anew")
    attached(r, 2)
    run.kill(signal.SIGTERM)
    run.output()


def test_the_token_in_the_usual_place(relay, attach, tmp_path):
    r = relay(ini())
    for env, place in (({"HOME": str(tmp_path), "XDG_CONFIG_HOME": ""},
                        ".config/wsrelay"),
                       ({"XDG_CONFIG_HOME": str(tmp_path / "xdg")},
                        "xdg/wsrelay")):
        folder = tmp_path / place
        folder.mkdir(parents=True)
        (folder / "token").write_text(serve())
        attach(r, "--", "true", token=False, env=env).output()
    assert len(r.log("open", route="attach:sims")) == 2


def test_the_token_in_the_address(relay, attach):
    r = relay(ini())
    run = attach(r, "--", "true", token=False,
                 where=r.url(PLACE, token=serve()))
    run.output()
    attached(r)
    assert not any("token=" in x for x in run.lines)


# --- messages ----------------------------------------------------------------

def test_len32(relay, attach, watch):
    r = relay(ini())
    run = attach(r, "--framing", "len32", "--", *python(
        "import struct, sys\n"
        "def read():\n"
        "    n, = struct.unpack('>I', sys.stdin.buffer.read(4))\n"
        "    return sys.stdin.buffer.read(n)\n"
        "def write(b):\n"
        "    sys.stdout.buffer.write(struct.pack('>I', len(b)) + b)\n"
        "    sys.stdout.flush()\n"
        "write(read())\n"
        "read()\n"
        "write(b'\\2' + b'\\0' * 1000000)\n"
        "read()\n"), stdout=subprocess.DEVNULL)
    attached(r)
    c = watch(r)
    c.send(BINARY, b"\0\n\r")
    assert c.recv()[:2] == (BINARY, b"\0\n\r")
    c.send(TEXT, "more")    # of binary messages the newest alone waits
    big = b""
    while len(big) < 1000000:
        big += c.recv().payload
    assert big == bytes(1000000)
    c.send(TEXT, "end")
    run.end()


def test_latest(relay, attach, watch):
    """Of binary messages the newest alone waits."""
    port = free_port()
    program = python(
        "import struct, sys\n"
        "for i in range(100):\n"
        "    b = b'\\2' + bytes([i]) * 1000\n"
        "    sys.stdout.buffer.write(struct.pack('>I', len(b)) + b)\n"
        "sys.stdout.flush()\n"
        "sys.stdin.buffer.read(6)\n")
    run = attach(f"ws://127.0.0.1:{port}{PLACE}", "--framing", "len32", "--",
                 *program)
    run.said("cannot be reached")
    assert len(run.process.stdout.read(1005 * 100)) == 1005 * 100
    r = relay(ini("replay = 10"), listen=f"address = 127.0.0.1:{port}")
    attached(r)
    c = watch(r)
    assert c.recv().payload == bytes([99]) * 1000
    c.send(TEXT, "x")
    run.output()
    run.said("99 messages dropped on the way to the relay: newer ones came")


def test_block(relay, attach):
    """The program waits, for that was asked for; nothing is dropped."""
    port = free_port()
    n = 25000
    run = attach(f"ws://127.0.0.1:{port}{PLACE}", "--slow", "block", "--",
                 *python(f"for i in range({n}): print('x' * 1000)\n"
                         "print('end')"), stdout=subprocess.DEVNULL)
    run.said("cannot be reached")
    r = relay(ini("replay = 1"), listen=f"address = 127.0.0.1:{port}")
    run.end()
    closed = r.wait_log("close", route="attach:sims")
    assert int(closed["client_messages"]) == n + 1
    assert not any("dropped" in x for x in run.lines)


def test_a_broken_framing(relay, attach):
    r = relay(ini())
    run = attach(r, "--framing", "len32", "--", "sh", "-c",
                 "printf 'no frames at all'; printf ' and more'")
    assert run.output() == b"no frames at all and more"


def test_too_long_for_the_relay(relay, attach, watch):
    r = relay(ini("max_backend_message = 1K", "replay = 9"))
    run = attach(r, "--", *python("import sys\n"
                                  "print('x' * 2000); print('short')\n"
                                  "sys.stdin.readline()"))
    attached(r)
    c = watch(r)
    assert text(c) == "short"
    c.send(TEXT, "go")
    run.output()
    run.said("1 message dropped on the way to the relay: they are longer")


def test_a_program_that_does_not_read(relay, attach, watch):
    """It is no reason to be cut off."""
    r = relay(ini(), server="max_memory = 64M")
    run = attach(r, "--", "sleep", "1000", expect=143)
    attached(r)
    c = watch(r)
    for _ in range(30):
        c.send(TEXT, b"x" * 100000)
    run.said("messages? to the program dropped: it does not read its input")
    c.synced()
    run.kill(signal.SIGTERM)
    run.output()


# --- a program that connects to us -------------------------------------------

PROGRAM = """
import socket, sys, time
# What rank 0 of a parallel run does: nothing of the relay may end it.
s, n = None, 0
def say(line):
    global s
    try:
        if s is None:
            s = socket.socket(socket.AF_UNIX)
            s.connect(sys.argv[1])
        s.sendall(line.encode() + b"\\n")
    except OSError:
        s = None
while n < int(sys.argv[2]) and not (n > 100 and len(sys.argv) > 3 and
                                    __import__("os").path.exists(sys.argv[3])):
    print(n, flush=True)
    say(str(n))
    n += 1
    time.sleep(0.01)
"""


@pytest.fixture
def rank0(tmp_path):
    """Its output is in run.log; it goes on until there is an end file."""
    class Rank0:
        path = tmp_path / "s"
        log = tmp_path / "run.log"
        end = tmp_path / "end"

        def start(self):
            with self.log.open("wb") as out:
                self.process = subprocess.Popen(
                    [*python(PROGRAM), self.path, "1000000", self.end],
                    stdout=out)

        def finish(self):
            self.end.touch()
            assert self.process.wait(PATIENCE) == 0
            lines = self.log.read_text().split()
            assert lines == [str(i) for i in range(len(lines))]
    x = Rank0()
    yield x
    if hasattr(x, "process") and x.process.poll() is None:
        x.process.kill()
        x.process.wait()


def test_listen(relay, attach, watch, rank0):
    r = relay(ini("replay = 1"))
    run = attach(r, "--listen", f"unix:{rank0.path}")
    wait_for(rank0.path.exists)
    assert stat.S_IMODE(rank0.path.stat().st_mode) == 0o600
    assert not r.log("open")
    rank0.start()
    attached(r)
    c = watch(r)
    n = int(text(c))
    assert int(text(c)) == n + 1
    rank0.finish()
    assert r.wait_log("close", route="attach:sims", code=1000)
    # The next one is another run.
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(rank0.path))
        s.sendall(b"again\n")
        attached(r, 2)
        run.kill(signal.SIGTERM)
        assert run.output() == b""
    assert r.wait_log("close", route="attach:sims", code=1001)
    assert not rank0.path.exists()


def test_kill_costs_the_program_nothing(relay, attach, watch, rank0):
    r = relay(ini("replay = 1"))
    run = attach(r, "--listen", f"unix:{rank0.path}", expect=-9)
    wait_for(rank0.path.exists)
    rank0.start()
    attached(r)
    c = watch(r)
    run.kill(signal.SIGKILL)
    run.output()
    r.wait_log("close", route="attach:sims")
    again = attach(r, "--listen", f"unix:{rank0.path}")
    attached(r, 2)
    before = int(text(c))
    wait_for(lambda: int(text(c)) > before + 5)
    rank0.finish()
    again.kill(signal.SIGTERM)
    again.output()


# --- the way there -----------------------------------------------------------

@pytest.mark.parametrize("name", ["http_proxy"])
def test_a_proxy(relay, attach, name):
    r = relay(ini())
    with proxies.Proxy("anna:se:cret@") as proxy:
        run = attach(r, "--", "true", env={
            name: f"http://anna:se%3Acret%40@127.0.0.1:{proxy.port}/"})
        run.output()
        attached(r)
        assert proxy.asked == [f"127.0.0.1:{r.port}"]


def test_a_proxy_that_refuses(relay, attach):
    r = relay(ini())
    with proxies.Proxy("anna:secret") as proxy:
        run = attach(r, "--", "true", env={
            "http_proxy": f"127.0.0.1:{proxy.port}"})
        run.output()
        run.said("the proxy answered 407 Proxy Authentication Required")
        assert not r.log("open")


@pytest.mark.parametrize("env,used", [
    ({"no_proxy": "example.org, 127.0.0.0/8"}, False),
    ({"NO_PROXY": "127.0.0.1"}, False),
    ({"no_proxy": "*"}, False),
    ({"no_proxy": "127.0.0.2,localhost"}, True),
])
def test_no_proxy(relay, attach, env, used):
    r = relay(ini())
    with proxies.Proxy() as proxy:
        attach(r, "--", "true", env={
            "http_proxy": f"http://127.0.0.1:{proxy.port}", **env}).output()
        attached(r)
        assert len(proxy.asked) == used


def test_a_proxy_in_upper_case(relay, attach):
    """HTTP_PROXY does not count, as with curl."""
    r = relay(ini())
    attach(r, "--", "true", env={
        "HTTP_PROXY": f"http://127.0.0.1:{free_port()}"}).output()
    attached(r)


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY"])
def test_over_tls(tls_relay, attach, certificates, name):
    r = tls_relay(ini())
    where = f"wss://localhost:{r.port}{PLACE}"
    with proxies.Proxy() as proxy:
        env = {name: f"http://127.0.0.1:{proxy.port}"}
        run = attach(r, "--ca", certificates.ca, "--", "true", where=where,
                     env=env)
        run.output()
        attached(r)
        assert proxy.asked == [f"localhost:{r.port}"]
    run = attach(r, "--", "true", where=where)
    run.output()
    run.said("the relay's certificate is not good")


STATIC = ROOT / "build/attach/wsrelayd"


@pytest.mark.skipif(os.getuid() != 0 or not STATIC.exists(),
                    reason="needs root, and: make attach")
def test_one_static_file_in_an_empty_root(relay, tokens, tmp_path):
    r = relay(ini())
    root = tmp_path / "root"
    root.mkdir()
    shutil.copy(STATIC, root / "wsrelayd")
    shutil.copy(tokens(), root / "token")
    done = subprocess.run(
        ["chroot", root, "/wsrelayd", "--attach", r.url(PLACE),
         "--token-file", "token", "--", "/wsrelayd", "-V"],
        capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0 and done.stdout.startswith("wsrelayd "), done
    closed = r.wait_log("close", route="attach:sims", code=1000)
    assert closed["client_messages"] == "1"


# --- the forms of a job script -----------------------------------------------

SRUN = """#!/bin/sh
# Starts the step here, as srun does on the nodes of a job.
while [ "${1#-}" != "$1" ]; do shift; done
exec "$@"
"""


@pytest.fixture
def job(tmp_path, tokens):
    """job(script, relay) runs it, with srun, wsrelayd and $W."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "srun").write_text(SRUN)
    (folder / "srun").chmod(0o755)
    (folder / "wsrelayd").symlink_to(WSRELAYD)

    def run(script, r):
        (tmp_path / "job.sh").write_text(script)
        tokens()
        done = subprocess.run(
            ["sh", "job.sh"], cwd=tmp_path, timeout=PATIENCE,
            capture_output=True, text=True, env={
                **os.environ, **SANITIZERS, "W": r.url(PLACE),
                "XDG_CONFIG_HOME": str(tmp_path / "config"),
                "PATH": f"{folder}:{os.environ['PATH']}"})
        assert done.returncode == 0, done.stderr
        return done
    config = tmp_path / "config/wsrelay"
    config.mkdir(parents=True)
    (config / "token").symlink_to(tmp_path / "token")
    return run


def manual_scripts():
    """The job scripts of wsrelayd-attach(7), as they are there."""
    page = (ROOT / "man/wsrelayd-attach.7").read_text()
    return [s.replace("\\e", "\\") for s in
            re.findall(r"(?s)\.Bd[^\n]*\n(#!/bin/sh\n.*?)\.Ed", page)]


def test_three_forms_of_a_job_script(relay, job, tmp_path):
    batch, solver, mpi = manual_scripts()
    solver_text = "#!/bin/sh\nfor i in 1 2 3 4 5; do echo step $i; sleep 0.1; " \
        "done\n"
    (tmp_path / "heat.py").write_text(
        "for i in range(5): print('heat', i)\n")
    (tmp_path / "solver").write_text(solver_text)
    (tmp_path / "solver").chmod(0o755)
    (tmp_path / "solver-mpi").write_text(
        f"#!{sys.executable}\nimport os, sys, time\n"
        "while not os.path.exists(sys.argv[1]): time.sleep(0.01)\n"
        "sys.argv = ['', sys.argv[1], '50']\n" + PROGRAM)
    (tmp_path / "solver-mpi").chmod(0o755)

    def messages(script, count):
        r = relay(ini())
        done = job(script, r)
        closed = r.wait_log("close", route="attach:sims", code=1000)
        assert int(closed["client_messages"]) >= count, done.stderr
        return done
    assert messages(batch, 5).stdout == "".join(f"heat {i}\n"
                                                for i in range(5))
    messages(solver, 5)
    assert (tmp_path / "run.log").read_text() == \
        "".join(f"step {i}\n" for i in range(1, 6))
    messages(mpi, 1)
