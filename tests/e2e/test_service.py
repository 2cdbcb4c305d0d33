"""What a service manager sees: readiness, sockets, logs."""
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from pace import unhurried
from rawhttp import Peer, ask, frame, head, upgrade
from relay import (PATIENCE, RUNNER, SANITIZERS, WSRELAYD, free_port,
                   wait_for)

ECHO = """
[route echo]
path = /echo
backend = echo:
auth = none
origins = any
"""


class Manager:
    """Receives what sd_notify sends."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.got = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        with contextlib.suppress(OSError):
            while True:
                text = self.socket.recv(4096).decode()
                self.got += [(time.monotonic(), x)
                             for x in text.splitlines()]

    def all(self, what):
        return [t for t, x in list(self.got) if x.startswith(what)]

    def wait(self, what):
        return wait_for(lambda: self.all(what), what)[0]


@pytest.fixture
def manager(tmp_path):
    m = Manager(tmp_path / "notify")
    yield m
    m.socket.close()


# --- sd_notify -------------------------------------------------------------

def test_ready_and_stopping(relay, manager):
    r = relay(ECHO, env={"NOTIFY_SOCKET": str(manager.path)})
    manager.wait("READY=1")
    assert ask(r, upgrade("/echo")).echo
    assert not manager.all("STOPPING=1") and not manager.all("WATCHDOG=1")
    r.stop()
    manager.wait("STOPPING=1")
    assert len(manager.all("READY=1")) == len(manager.all("STOPPING=1")) == 1


def test_a_stop_asks_for_more_time(relay, manager):
    """As long as it lasts, and no longer: for some seconds at a time."""
    r = relay(ECHO, server="drain_delay = 1h",
              env={"NOTIFY_SOCKET": str(manager.path)})
    assert not manager.all("EXTEND_TIMEOUT_USEC=")
    r.kill(signal.SIGTERM)
    wait_for(lambda: len(manager.all("EXTEND_TIMEOUT_USEC=10000000")) >= 2)
    assert len(manager.all("STOPPING=1")) == 1
    r.kill(signal.SIGTERM)
    r.stop()


def test_status_counts_connections(relay, manager):
    r = relay(ECHO, env={"NOTIFY_SOCKET": str(manager.path)})
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            p = stack.enter_context(Peer(r))
            p.send(upgrade("/echo"))
            assert p.answer().status == 101
        manager.wait("STATUS=3 ")


@unhurried
def test_watchdog(relay, manager, pace):
    """At least twice in its time, by the loop itself: not when it hangs."""
    r = relay(ECHO, env={"NOTIFY_SOCKET": str(manager.path),
                         "WATCHDOG_USEC": str(400000 * pace)})
    before = len(manager.all("WATCHDOG=1"))
    wait_for(lambda: len(manager.all("WATCHDOG=1")) >= before + 6)
    times = manager.all("WATCHDOG=1")[before:]
    gaps = [b - a for a, b in zip(times, times[1:])]
    assert sorted(gaps)[len(gaps) // 2] <= 0.25 * pace
    r.kill(signal.SIGSTOP)
    time.sleep(0.3 * pace)  # what it said before that is read
    n = len(manager.all("WATCHDOG=1"))
    time.sleep(0.6 * pace)  # longer than its time
    assert len(manager.all("WATCHDOG=1")) == n
    r.kill(signal.SIGCONT)
    wait_for(lambda: len(manager.all("WATCHDOG=1")) > n)


def test_watchdog_of_another_process(relay, manager):
    relay(ECHO, env={"NOTIFY_SOCKET": str(manager.path),
                     "WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"})
    manager.wait("READY=1")
    time.sleep(0.4)     # four times its time
    assert not manager.all("WATCHDOG=1")


def test_not_ready_when_it_cannot_start(manager, tmp_path):
    ini = tmp_path / "w.ini"
    ini.write_text("[listen a]\naddress = 127.0.0.1:0\nbad = 1\n")
    p = subprocess.run([*RUNNER, str(WSRELAYD), "-c", str(ini)], env={
        **os.environ, **SANITIZERS, "NOTIFY_SOCKET": str(manager.path)},
        stderr=subprocess.DEVNULL)
    assert p.returncode == os.EX_CONFIG
    assert not manager.all("READY=1")


# --- signals that mean nothing ---------------------------------------------

def test_other_signals_do_not_end_it(relay):
    """Programs have them as they are (test_backends.py)."""
    r = relay(ECHO)
    for sig in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM):
        r.kill(sig)
        assert ask(r, upgrade("/echo")).echo
    r.stop()


# --- stopping --------------------------------------------------------------

@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_stop(relay, sig):
    """Every client gets 1001; nobody new is let in."""
    r = relay(ECHO)
    with Peer(r) as p, Peer(r) as idle:
        p.send(upgrade("/echo"))
        assert p.answer().status == 101
        r.kill(sig)
        code, text = p.read_close()
        assert code == 1001 and text.startswith("shutdown")
        assert idle.answer() is None
        with pytest.raises(ConnectionRefusedError):
            Peer(r)
        p.send(frame(b"\x03\xe9", 8))
        assert p.at_end()
    r.stop()
    assert r.log("close", reason="shutdown", code=1001)
    assert parse_stop(r)["opened"] == "1"


def parse_stop(r):
    return r.log("stop")[0]


def test_drain_timeout_and_the_second_signal(relay):
    for second in (False, True):
        r = relay(ECHO, server="drain_timeout = %s" %
                  ("60s" if second else "600ms"))
        with Peer(r) as p:      # a client that does not answer the close
            p.send(upgrade("/echo"))
            assert p.answer().status == 101
            begin = time.monotonic()
            r.kill(signal.SIGTERM)
            r.wait_log("stopping")
            assert p.read_close()[0] == 1001
            if second:
                r.kill(signal.SIGTERM)
            r.process.wait(PATIENCE)
            assert (0 if second else 0.4) < time.monotonic() - begin \
                < PATIENCE
        assert bool(r.log("stop-now")) == second
        r.stop()


# --- sockets ---------------------------------------------------------------

def activated(tmp_path, ini, listens, names):
    """wsrelayd behind systemd-socket-activate, which listens first."""
    path = tmp_path / "w.ini"
    path.write_text("[server]\nlog_level = debug\n" + ini)
    command = ["systemd-socket-activate"]
    for x in listens:
        command += ["-l", x]
    env = [x for k, v in SANITIZERS.items() for x in ("-E", f"{k}={v}")]
    command += [*env, "--fdname=" + ":".join(names), *RUNNER, str(WSRELAYD),
                "-c", str(path)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, text=True,
                            stderr=subprocess.PIPE)


def talk(family, address, data):
    """One request to a socket that may be bound in a moment."""
    def there():
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            s = socket.socket(family)
            s.settimeout(30)
            s.connect(address)
            return s
        return None
    with wait_for(there, address) as s:
        s.sendall(data)
        return s.recv(4096).split(b" ")[1]


def test_socket_activation(tmp_path):
    """Each listener takes the sockets of its name; Hosts as for an address
    of one's own."""
    port = free_port()
    unix = str(tmp_path / "a.sock")
    p = activated(tmp_path, "[listen web]\naddress = fd:web\n"
                  "[listen local]\naddress = fd:local\n" + ECHO +
                  "listen = local\n", [f"127.0.0.1:{port}", unix],
                  ["web", "local"])
    try:
        inet = ("127.0.0.1", port)
        assert talk(socket.AF_INET, inet, head("/healthz")) == b"200"
        assert talk(socket.AF_INET, inet, upgrade("/echo")) == b"404"
        assert talk(socket.AF_INET, inet,
                    head("/x", Host="evil.example")) == b"421"
        assert talk(socket.AF_UNIX, unix, upgrade("/echo")) == b"101"
        assert talk(socket.AF_UNIX, unix,
                    head("/x", Host="relay.example")) == b"404"
    finally:
        p.terminate()
        said = p.communicate(timeout=30)[1]
    assert p.returncode == 0, said
    assert os.path.exists(unix), "it belongs to who opened it"
    assert "Sanitizer" not in said


def test_unix_listener(relay):
    r = relay(ECHO, listen="[listen local]\naddress = unix:{dir}/l.sock\n")
    assert ask(r, upgrade("/echo", Host="a.example"), "local").echo
    answer = ask(r, upgrade("/echo"), "local")
    assert answer.echo
    assert r.wait_log("open", id=answer.id)["listen"] == "local"
    assert r.wait_log("close", id=answer.id)
    r.stop()
    assert not (r.dir / "l.sock").exists()


# --- logs ------------------------------------------------------------------

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def some_events(r):
    assert ask(r, upgrade("/echo")).echo
    ask(r, upgrade("/nowhere?%22=\\"))
    ask(r, upgrade("/%22%0A%C3%A6", Origin="http://\"\\\x7f"))
    ask(r, b"\x15\x03\x01 nonsense\n")
    ask(r, head("/echo"))


def test_json(relay):
    """Every line an object, whatever clients write."""
    r = relay(ECHO, server="log_format = json")
    some_events(r)
    r.wait_log("refuse", count=4)
    r.stop()
    events = set()
    for line in r.lines:
        fields = json.loads(line)
        assert TIME.fullmatch(fields["time"])
        assert fields["level"] in ("error", "warn", "info", "debug")
        events.add(fields["event"])
        if fields["event"] == "close":
            assert fields["client_messages"] == 1
            assert isinstance(fields["age_ms"], int)
    assert {"start", "listen", "open", "close", "refuse", "stopping",
            "stop"} <= events
    times = [json.loads(x)["time"] for x in r.lines]
    assert len(set(times)) > len(times) // 2


def test_text(relay):
    r = relay(ECHO)
    some_events(r)
    r.wait_log("refuse", count=4)
    r.stop()
    for line in r.lines:
        assert re.fullmatch(TIME.pattern + r" (error|warn|info|debug) [\w-]+"
                            r"( \w+=(\"(\\.|[^\"\\])*\"|[^\s\"]*))*", line), \
            line
        assert line.isascii() or line.isprintable()


def events_at(r, level):
    """What a daemon of this level says about the same requests."""
    port = free_port()
    ini = r.dir / "level.ini"
    ini.write_text(f"[server]\nlog_level = {level}\n[listen a]\n"
                   f"address = 127.0.0.1:{port}\n"
                   "[route dead]\npath = /dead\nbackend = tcp://127.0.0.1:1\n"
                   "framing = line\nauth = none\n"
                   f"[page p]\nroot = {r.dir}\n")
    with subprocess.Popen([*RUNNER, str(WSRELAYD), "-c", str(ini)], text=True,
                          stderr=subprocess.PIPE,
                          env={**os.environ, **SANITIZERS}) as p:
        inet = ("127.0.0.1", port)
        assert talk(socket.AF_INET, inet, upgrade("/dead")) == b"502"
        assert talk(socket.AF_INET, inet, head("/level.ini")) == b"200"
        p.terminate()
        said = p.stderr.read()
    assert p.returncode == 0, said
    return {x.split(" ")[2] for x in said.splitlines()}


def test_levels(relay):
    """A level shows itself and what is worse."""
    r = relay(ECHO + "[route dead]\npath = /dead\nbackend = tcp://127.0.0.1:1"
              "\nframing = line\nauth = none\n")
    assert ask(r, upgrade("/dead")).status == 502
    r.wait_log("refuse", reason="backend-refused")
    assert r.log("backend-error")[0]["level"] == "warn"
    assert r.log("refuse")[0]["level"] == "info"
    found = {}
    for level in "error", "warn", "info", "debug":
        found[level] = events_at(r, level)
    assert "listen" not in found["warn"] and not found["error"]
    assert "backend-error" in found["warn"] and "refuse" not in found["warn"]
    assert "refuse" in found["info"] and "page" not in found["info"]
    assert "page" in found["debug"]


def test_priorities_under_a_service_manager(relay, tmp_path):
    """<N> in front of each line when standard error is the journal's, which
    knows the time by itself."""
    log = tmp_path / "log"
    with open(log, "wb") as f:
        st = os.fstat(f.fileno())
        ini = tmp_path / "w.ini"
        ini.write_text("[listen a]\naddress = 127.0.0.1:0\n")
        for stream, pattern in ((f"{st.st_dev}:{st.st_ino}",
                                 r"<[346]>(info|warn|error) \w"),
                                ("1:2", r"\d{4}-")):
            p = subprocess.Popen(
                [*RUNNER, str(WSRELAYD), "-c", str(ini)], stderr=f,
                env={**os.environ, **SANITIZERS, "JOURNAL_STREAM": stream})
            wait_for(lambda: b" listen " in log.read_bytes())
            p.terminate()
            assert p.wait(30) == 0
            lines = log.read_text().splitlines()
            assert lines and all(re.match(pattern, x) for x in lines), lines
            os.truncate(log, 0)
            os.lseek(f.fileno(), 0, os.SEEK_SET)


def test_errors_of_the_configuration_have_a_priority(tmp_path):
    """journalctl -p err says why the service does not start."""
    ini = tmp_path / "w.ini"
    (tmp_path / "key").write_text("x" * 32)
    (tmp_path / "key").chmod(0o644)  # everybody can read it: a warning
    ini.write_text("[listen a]\naddress = 127.0.0.1:0\nnonsense = 1\n"
                   "[key k]\nsecret_file = key\n[route s]\n")
    log = tmp_path / "log"
    for journal in True, False:
        with log.open("w+b") as f:
            st = os.fstat(f.fileno())
            stream = f"{st.st_dev}:{st.st_ino}" if journal else "1:2"
            p = subprocess.run(
                [*RUNNER, str(WSRELAYD), "-c", str(ini)], stderr=f, timeout=30,
                env={**os.environ, **SANITIZERS, "JOURNAL_STREAM": stream})
        assert p.returncode == os.EX_CONFIG
        lines = log.read_text().splitlines()
        assert 1 == sum(": warning: " in line for line in lines) < len(lines)
        for line in lines:
            level = "<4>" if ": warning: " in line else "<3>"
            assert line.startswith((level if journal else "") + str(ini)), line


JOURNAL = os.path.exists("/run/systemd/journal/socket")


@pytest.mark.skipif(JOURNAL, reason="there is a journal")
def test_no_journal(tmp_path):
    """Lines that would go nowhere are a reason not to start."""
    ini = tmp_path / "w.ini"
    ini.write_text("[server]\nlog_target = journal\n"
                   "[listen a]\naddress = 127.0.0.1:0\n")
    p = subprocess.run([*RUNNER, str(WSRELAYD), "-c", str(ini)], text=True,
                       stderr=subprocess.PIPE, timeout=30,
                       env={**os.environ, **SANITIZERS})
    assert p.returncode == 1 and "cannot start the log" in p.stderr


@pytest.mark.skipif(not JOURNAL, reason="no journal here")
def test_journal(tmp_path):
    ini = tmp_path / "w.ini"
    ini.write_text("[server]\nlog_target = journal\n"
                   "[listen a]\naddress = 127.0.0.1:0\n")
    with subprocess.Popen([str(WSRELAYD), "-c", str(ini)],
                          env={**os.environ, **SANITIZERS}) as p:
        wait_for(lambda: subprocess.run(
            ["journalctl", f"_PID={p.pid}", "-o", "json"], text=True,
            stdout=subprocess.PIPE).stdout.count("WSRELAY_"), "its lines")
        p.terminate()
    assert p.returncode == 0


@pytest.mark.parametrize("what", ["fault", "warning", "taken", "debug"])
def test_a_blocked_log_does_not_block_the_start(tmp_path, what):
    """Standard error takes nothing from the beginning on."""
    port = free_port()
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "key").write_text("x" * 32)
    (tmp_path / "key").chmod(0o644)     # a warning
    ini = tmp_path / "w.ini"
    ini.write_text(f"[server]\nlog_level = debug\n[listen a]\n"
                   f"address = 127.0.0.1:{port}\n{ECHO}" + {
                       "fault": "nonsense = 1\n" * 50, "taken": "",
                       "warning": "[key k]\nsecret_file = key\n",
                       "debug": ""}[what])
    inet = ("127.0.0.1", port)
    read, write = os.pipe()
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, read)
        stack.callback(os.close, write)
        if what == "taken":
            stack.enter_context(socket.create_server(inet))
        os.set_blocking(write, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(write, bytes(4096))
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(write, b"x")
        os.set_blocking(write, True)
        p = subprocess.Popen([*RUNNER, str(WSRELAYD), "-c", str(ini)],
                             stderr=write, env={**os.environ, **SANITIZERS})
        stack.callback(p.kill)
        if what in ("fault", "taken"):
            assert p.wait(30) == (os.EX_CONFIG if what == "fault" else 1)
            return
        wait_for(lambda: listens(inet), "the start")
        assert talk(socket.AF_INET, inet, upgrade("/echo")) == b"101"
        assert os.get_blocking(write)
        p.terminate()
        assert p.wait(30) == 0


def listens(inet):
    with contextlib.suppress(ConnectionRefusedError):
        socket.create_connection(inet, 30).close()
        return True


def test_a_blocked_log_does_not_block_the_relay(tmp_path):
    """Nobody reads standard error: what does not fit is dropped, counted
    and reported; the flags of the pipe stay as they were."""
    ini = tmp_path / "w.ini"
    port = free_port()
    ini.write_text("[server]\nlog_level = debug\n[listen a]\n"
                   f"address = 127.0.0.1:{port}\n{ECHO}"
                   "[page p]\nroot = " + str(tmp_path) + "\n")
    read, write = os.pipe()
    asked = False       # to stop
    p = subprocess.Popen([*RUNNER, str(WSRELAYD), "-c", str(ini)],
                         stderr=write, env={**os.environ, **SANITIZERS})
    try:
        inet = ("127.0.0.1", port)
        assert talk(socket.AF_INET, inet, upgrade("/echo")) == b"101"
        request = head("/w.ini?", X="y")
        with socket.create_connection(inet, 30) as s, s.makefile("rb") as f:
            for _ in range(200):
                s.sendall(request * 100)
                for _ in range(100):
                    assert f.readline() == b"HTTP/1.1 200 OK\r\n"
                    length = 0
                    while (line := f.readline()) != b"\r\n":
                        if line.startswith(b"Content-Length"):
                            length = int(line.split()[1])
                    f.read(length)
        assert talk(socket.AF_INET, inet, upgrade("/echo")) == b"101"
        assert os.get_blocking(write)
        os.close(write)
        write = None
        text = b""
        with os.fdopen(read, "rb", buffering=0) as f:
            while (part := f.read(1 << 16)):    # until it ends
                text += part
                if not asked and b"log-dropped" in text:
                    asked = True
                    p.terminate()
                elif not asked and len(part) < 1 << 16:
                    talk(socket.AF_INET, inet, head("/healthz/none"))
    finally:
        if not asked:
            p.kill()
        if write is not None:
            os.close(write)
    assert p.wait(30) == 0
    lines = text.decode().splitlines()
    assert "Sanitizer" not in text.decode()
    dropped = sum(int(re.search(r"(?:lines|count|dropped)=(\d+)", x)[1])
                  for x in lines if " log-dropped" in x)
    assert dropped > 0
    pages = sum(" page " in x for x in lines)
    assert pages + dropped >= 20000
    assert f"log_dropped={dropped}" in lines[-1]
