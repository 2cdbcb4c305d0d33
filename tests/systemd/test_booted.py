"""The service in a systemd that has booted: see README.md beside this. Runs as
root in a system of its own, with the tree at /src and wsrelayd installed."""
import base64
import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest

PATIENCE = 60
ETC = pathlib.Path("/etc/wsrelayd")
UNITS = pathlib.Path("/etc/systemd/system")
DOC = pathlib.Path("/usr/share/doc/wsrelayd")
MAIN = "[listen main]\naddress = 127.0.0.1:8080\n"
ECHO = "[route echo]\npath = /echo\nbackend = echo:\nauth = none\n"
TEXT, CLOSE = 1, 8


# --- the system ----------------------------------------------------------------

def run(*command, status=0, **options):
    done = subprocess.run([str(x) for x in command], text=True,
                          capture_output=True, timeout=2 * PATIENCE, **options)
    if status is not None:
        assert done.returncode == status, (command, done.stdout, done.stderr)
    return done


def wait_for(condition, what):
    end = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)
    return value


def show(unit, name):
    return run("systemctl", "show", "--value", "-p", name, unit).stdout.strip()


class Service:
    """A unit, with a configuration and drop-ins that are gone with the test."""

    def __init__(self, unit="wsrelayd.service", ini="wsrelayd.ini"):
        self.unit, self.ini = unit, ETC / ini
        self.began = f"--since=@{time.time():.6f}"

    def write(self, *ini, server=""):
        self.ini.write_text(f"[server]\nlog_level = debug\n{server}\n" +
                            "\n".join(ini))

    def drop_in(self, text, name="test.conf"):
        folder = UNITS / f"{re.sub('@.*', '@.service', self.unit)}.d"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text)
        run("systemctl", "daemon-reload")

    def start(self, *ini, **options):
        self.write(*ini, **options)
        run("systemctl", "restart", self.unit)
        return self

    def reload(self, status=0):
        return run("systemctl", "reload", self.unit, status=status)

    @property
    def pid(self):
        return int(show(self.unit, "MainPID"))

    def said(self, *words):
        """Whether a line of the journal has them all, since the test began."""
        lines = run("journalctl", "-o", "cat", self.began, "-u",
                    self.unit).stdout.splitlines()
        return [x for x in lines if all(w in x for w in words)]

    def wait_said(self, *words):
        return wait_for(lambda: self.said(*words), words)[0]

    def close(self):
        run("systemctl", "stop", self.unit, status=None)
        run("systemctl", "reset-failed", self.unit, status=None)
        shutil.rmtree(UNITS / f"{re.sub('@.*', '@.service', self.unit)}.d",
                      ignore_errors=True)
        run("systemctl", "daemon-reload")


@pytest.fixture
def units():
    """units(UNIT, FILE): Services that end with the test."""
    with contextlib.ExitStack() as stack:
        def make(*args):
            service = Service(*args)
            stack.callback(service.close)
            return service
        yield make


@pytest.fixture
def service(units):
    return units()


@pytest.fixture
def examples():
    """Copies such units to where the manager finds them, until the end."""
    found = []

    def copy(*names):
        for name in names:
            found.append(UNITS / name)
            shutil.copy(DOC / "examples" / name, UNITS)
        run("systemctl", "daemon-reload")
    yield copy
    for path in found:
        run("systemctl", "disable", "--now", path.name, status=None)
        path.unlink()
    run("systemctl", "daemon-reload")


# --- clients -------------------------------------------------------------------

class Client:
    """A WebSocket through the listener at this port."""

    def __init__(self, path="/echo", port=8080, tls=False):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        if tls:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self.socket = context.wrap_socket(self.socket)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall((
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key}\r\n\r\n").encode())
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        while self.file.readline().strip():
            pass

    def send(self, payload, opcode=TEXT):
        n = len(payload)
        assert n < 126
        self.socket.sendall(bytes([0x80 | opcode, 0x80 | n, 0, 0, 0, 0]) +
                            payload)

    def frame(self):
        """Opcode and payload; pings are left out."""
        while True:
            a, n = self.file.read(2)
            n = struct.unpack(">H", self.file.read(2))[0] if n == 126 else n
            payload = self.file.read(n)
            if a & 15 not in (9, 10):
                return a & 15, payload

    def closed(self, answer=True):
        """The code of the close frame that comes in the end."""
        while (got := self.frame())[0] != CLOSE:
            pass
        if answer:
            self.send(got[1], CLOSE)
        return struct.unpack(">H", got[1][:2])[0], got[1][2:].decode()

    def echoes(self):
        self.send(b"still there?")
        return self.frame() == (TEXT, b"still there?")


def exec_route(*keys):
    return "\n".join(["[route r]", "path = /r", "auth = none", *keys, ""])


# --- reload ----------------------------------------------------------------------

def test_reload(service):
    """systemctl's status is the reload's; whoever is connected stays."""
    service.start(MAIN, ECHO)
    pid, c = service.pid, Client()
    assert c.status == 101
    service.write(MAIN, ECHO, "[route other]\npath = /other\nbackend = echo:\n"
                  "auth = none\n")
    service.reload()
    other = Client("/other")
    assert other.status == 101
    for wrong, words in (
            ("[route x]\npth = /x\n", "[route x] pth: is not known"),
            ("[listen low]\naddress = 127.0.0.1:80\n",
             "cannot listen on 127.0.0.1:80: Permission denied")):
        service.write(MAIN, ECHO, wrong)
        service.reload(status=1)
        service.wait_said("reload-complaint", words)
        service.wait_said("wsrelayctl: the configuration is bad")
        assert show(service.unit, "ActiveState") == "active"
        assert c.echoes() and other.echoes()
    service.write(MAIN, ECHO)
    service.reload()
    assert other.closed()[1].startswith("route-removed")
    assert c.echoes() and service.pid == pid


def test_a_fault_in_the_configuration_is_final(service):
    service.write(MAIN, "[route x]\npth = /x\n")
    run("systemctl", "start", service.unit, status=1)
    assert show(service.unit, "ActiveState") == "failed"
    assert show(service.unit, "ExecMainStatus") == str(os.EX_CONFIG)
    assert show(service.unit, "NRestarts") == "0"


# --- watchdog, stop --------------------------------------------------------------

def test_watchdog(service):
    """A daemon that hangs is ended and started again."""
    service.drop_in("[Service]\nWatchdogSec=5\n")
    service.start(MAIN, ECHO)
    pid = service.pid
    os.kill(pid, 19)
    wait_for(lambda: show(service.unit, "NRestarts") == "1", "a restart")
    wait_for(lambda: show(service.unit, "ActiveState") == "active", "its start")
    assert service.said("Watchdog timeout")
    assert service.pid not in (0, pid)
    assert Client().echoes()


def test_crash(service):
    service.start(MAIN, ECHO)
    os.kill(service.pid, 9)
    wait_for(lambda: show(service.unit, "NRestarts") == "1", "a restart")
    wait_for(lambda: show(service.unit, "ActiveState") == "active", "its start")
    assert Client().echoes()


def test_stop_under_load(service):
    """It takes longer than TimeoutStopSec, for which the daemon asks; all are
    told, also the one that does not answer."""
    service.drop_in("[Service]\nTimeoutStopSec=2\n")
    service.start(MAIN, ECHO + "close_timeout = 6s\n",
                  server="drain_timeout = 20s")
    over = threading.Event()
    clients, mute = [Client() for _ in range(50)], Client()

    def talk(c):
        with contextlib.suppress(OSError):
            while not over.is_set():
                c.send(b"x" * 100)
                time.sleep(0.001)
    talkers = [threading.Thread(target=talk, args=[c]) for c in clients]
    for t in talkers:
        t.start()
    stop = threading.Thread(target=run,
                            args=["systemctl", "stop", service.unit])
    start = time.monotonic()
    stop.start()
    service.wait_said("stopping")
    over.set()
    for t in talkers:
        t.join()
    for c in clients:
        assert c.closed()[0] == 1001
    assert mute.closed(answer=False)[0] == 1001
    stop.join()
    assert time.monotonic() - start > 4
    assert show(service.unit, "Result") == "success"
    assert service.said("reason=shutdown") and service.said("info stop ")
    assert not service.said("timed out") and not service.said("SIGKILL")


# --- sockets ---------------------------------------------------------------------

def test_ports_80_and_443(service, examples):
    """The daemon has no right to bind them. While it is away, who comes waits,
    and starts it."""
    sockets = "wsrelayd-http.socket", "wsrelayd-https.socket"
    examples(*sockets)
    service.write(
        "[listen http]\naddress = fd:http\n[listen https]\n"
        "address = fd:https\ncertificates = site\n[certificate site]\n"
        "chain_file = /etc/wsrelayd/chain.pem\n"
        "key_file = /etc/wsrelayd/key.pem\n", ECHO)
    for name in "chain.pem", "key.pem":
        shutil.copy(f"/src/build/systemd/{name}", ETC)
        shutil.chown(ETC / name, "root", "wsrelayd")
        (ETC / name).chmod(0o640)
    run("systemctl", "enable", "--now", *sockets)
    run("systemctl", "restart", service.unit)
    doors = ({"port": 80}, {"port": 443, "tls": True})
    assert all(Client(**x).echoes() for x in doors)
    for x in doors:
        run("systemctl", "stop", service.unit)
        assert Client(**x).echoes()
    status = pathlib.Path(f"/proc/{service.pid}/status").read_text()
    assert re.search(r"CapEff:\s+0+\n", status)


# --- programs --------------------------------------------------------------------

EATER = """#!/usr/bin/python3 -S
import os, sys
print(os.getpid(), flush=True)
for line in sys.stdin:
    if line == "eat\\n":
        eaten = []
        while True:
            eaten.append(bytearray(1 << 20))
    print(line, end="", flush=True)
"""


@pytest.fixture
def eater():
    path = pathlib.Path("/usr/local/bin/eater")
    path.write_text(EATER)
    path.chmod(0o755)
    yield f"exec:{path}"
    path.unlink()


def test_a_program_that_is_killed_ends_alone(service, eater):
    service.start(MAIN, exec_route(f"backend = {eater}"))
    one, two = Client("/r"), Client("/r")
    pids = [int(c.frame()[1]) for c in (one, two)]
    for pid in pids:
        score = pathlib.Path(f"/proc/{pid}/oom_score_adj").read_text()
        mine = pathlib.Path(f"/proc/{service.pid}/oom_score_adj").read_text()
        assert int(score) > int(mine)
    os.kill(pids[0], 9)
    assert one.closed() == (1011, "backend-exit:137")
    assert two.echoes() and show(service.unit, "NRestarts") == "0"


def test_a_program_out_of_memory_ends_alone(service, eater):
    """exec_memory, where the manager may delegate its control group."""
    if not pathlib.Path("/sys/fs/cgroup/cgroup.controllers").exists():
        pytest.skip("no control groups of version 2 here")
    service.drop_in((DOC / "exec-limits.conf").read_text(), "limits.conf")
    service.start(MAIN, exec_route(f"backend = {eater}", "exec_memory = 64M"))
    pid = service.pid
    one, two = Client("/r"), Client("/r")
    one.frame(), two.frame()
    one.send(b"eat")
    assert one.closed() == (1011, "backend-exit:137")
    assert two.echoes()
    assert show(service.unit, "NRestarts") == "0" and service.pid == pid
    assert show(service.unit, "ActiveState") == "active"


def test_a_simulation_of_its_own(service, examples):
    """The recipe of sim@.socket: a user, walls and a life of its own."""
    examples("sim@.socket", "sim@.service")
    ini = "".join(x + "\n" for x in re.findall(
        r"(?m)^#   ((?:\[|\w+ = ).*)", (UNITS / "sim@.socket").read_text()))
    run("systemctl", "enable", "--now", "sim@42.socket")
    try:
        service.start(MAIN, ini, "auth = none\n")
        one, two = Client("/sim/42"), Client("/sim/42")
        state = json.loads(one.frame()[1])
        assert state["name"] == "42"
        assert show("sim@42.service", "ActiveState") == "active"
        sim = int(show("sim@42.service", "MainPID"))
        uids = [os.stat(f"/proc/{x}").st_uid for x in (sim, service.pid)]
        assert 0 not in uids and uids[0] != uids[1]
        one.send(b"1000")
        wait_for(lambda: json.loads(two.frame()[1])["speed"] > 500, "the push")
        run("systemctl", "kill", "-s", "KILL", "sim@42.service")
        assert one.closed()[0] == 1000
        wait_for(lambda: show("sim@42.service", "MainPID") == "0", "its end")
        run("systemctl", "reset-failed", "sim@42.service", status=None)
        again = wait_for(lambda: (c := Client("/sim/42")).status == 101 and c,
                         "the next one")
        assert json.loads(again.frame()[1])["name"] == "42"
        assert Client("/sim/41").status == 502
    finally:
        run("systemctl", "disable", "--now", "sim@42.socket")
        run("systemctl", "stop", "sim@42.service", status=None)


# --- the console -------------------------------------------------------------------

@pytest.fixture
def users():
    """A member of the service's group, and a stranger to it."""
    names = "a-member", "a-stranger"
    run("useradd", "--groups", "wsrelayd", names[0])
    run("useradd", names[1])
    yield names
    for name in names:
        run("userdel", name)


def test_who_may_command(service, users):
    """Root and the group. Behind PrivateUsers the daemon does not know others:
    they say who they are, and the log marks it as what they say."""
    member, stranger = users
    service.start(MAIN, ECHO)
    run("wsrelayctl", "status")
    service.wait_said("control command=status", " uid=0 ")
    run("runuser", "-u", member, "--", "wsrelayctl", "loglevel", "info")
    uid = int(run("id", "-u", member).stdout)
    service.wait_said("command=loglevel", f"uid=65534 says_uid={uid}")
    refused = run("runuser", "-u", stranger, "--", "wsrelayctl", "status",
                  status=3)
    assert "Permission denied" in refused.stderr


def test_no_program_commands(service):
    """A child of the daemon has its user, but not its rights."""
    service.start(MAIN, exec_route(
        "backend = exec:/usr/sbin/wsrelayctl --json status"))
    c = Client("/r")
    assert c.status == 502 or "backend-exit" in c.closed()[1]
    assert not service.said("control command=status")


def test_fields_in_the_journal(service):
    service.start(MAIN, ECHO, server="log_target = journal")
    c = Client()
    c.send(struct.pack(">H", 4321), CLOSE)
    c.closed(answer=False)
    c.file.close()
    c.socket.close()
    service.wait_said("reason=client-close")
    row = run("journalctl", "-o", "json", service.began,
              "WSRELAY_REASON=client-close").stdout
    assert json.loads(row)["WSRELAY_CODE"] == "4321"


# --- several ---------------------------------------------------------------------

def test_instances(units):
    """Each with its configuration, directory and socket."""
    one, two = (units(f"wsrelayd@{name}.service", f"{name}.ini")
                for name in ("lab", "fog"))
    one.start(MAIN, ECHO)
    two.start(MAIN.replace("8080", "8081"), ECHO)
    for name, x in (("lab", one), ("fog", two)):
        row = run("wsrelayctl", "--socket", f"/run/wsrelayd-{name}/control.sock",
                  "--json", "status").stdout.splitlines()[0]
        assert json.loads(row)["pid"] == x.pid
        x.reload()
    one.write("[route x]\n")
    one.reload(status=1)
    two.reload()
    run("systemctl", "stop", one.unit)
    assert Client(port=8081).echoes()


# Last: nothing is left of it.
def test_uninstall(service):
    service.start(MAIN, ECHO)
    run("systemctl", "enable", service.unit)
    run("scripts/install", "uninstall", cwd="/src",
        env={**os.environ, "PREFIX": "/usr", "BUILD": "build/release"})
    assert show(service.unit, "ActiveState") == "inactive"
    assert show(service.unit, "LoadState") == "not-found"
    assert not pathlib.Path("/usr/sbin/wsrelayd").exists()
    assert service.ini.exists()
