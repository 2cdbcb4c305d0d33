"""Starts the real daemon for a test: on free ports, with its own files.

    def test_echo(relay):
        r = relay(ROUTE)                     # INI text of routes, pages, keys
        with r.connect("/echo") as ws: ...   # or r.url("/echo")
        r.wait_log("close", reason="client-close")

A daemon is stopped when its test ends, and the test fails when it crashed,
leaked, tripped a sanitizer or did not stop in time.

With WSRELAY_TLS=1 every listener gets a certificate, backends that are a
peers.Server are spoken to over TLS, and dial() speaks it: see secure.py.
"""
import base64
import hashlib
import hmac
import json
import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import threading
import time
import urllib.parse
import weakref

from certificates import certificates
from secure import SECURE, TlsSocket, client_context

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("WSRELAY_BUILD", ROOT / "build/asan"))
if not BUILD.is_absolute():
    BUILD = ROOT / BUILD
WSRELAYD = BUILD / "wsrelayd"
WSRELAYCTL = BUILD / "wsrelayctl"
RUNNER = shlex.split(os.environ.get("WSRELAY_RUNNER", ""))
# Waits are for events; this is only how long a broken daemon may take.
PATIENCE = 30.0
SECRET = b"an end-to-end test's own secret, 32+"
KEY = "[key lab]\nsecret_file = {dir}/secret\n"

SANITIZERS = {
    # Buffers of TLS that were freed would fill its quarantine: 256 MiB.
    "ASAN_OPTIONS": "detect_leaks=1:halt_on_error=1:exitcode=99" +
                    (":quarantine_size_mb=16" if SECURE else ""),
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "exitcode=99:second_deadlock_stack=1:"
                    f"suppressions={ROOT}/tests/tsan.supp",
}


def wait_for(condition, what="", patience=PATIENCE):
    """Polls until condition() is true; returns its value."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.01)


_ports = []


def free_port(host="127.0.0.1"):
    """A port for this test until its end, to listen on as often as it likes.
    While it is closed, connects are refused: the kernel gives it to no one
    else, for whom a daemon that tries again would be a stranger."""
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    _ports.append(s)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((host, 0))
    return s.getsockname()[1]


def release_ports():
    while _ports:
        _ports.pop().close()


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def mint(path, secret=SECRET, header=None, ttl=60, drop=(), **claims):
    """A token made by somebody else's code: Python's own HMAC."""
    now = time.time() - 0.0005  # of half milliseconds none is ahead
    head = {"alg": "HS256", "typ": "JWT", "kid": "lab"}
    head.update(header or {})
    head = {k: v for k, v in head.items() if v is not None}
    body = {"exp": int(now) + ttl, "iat": now, "path": path}
    body.update(claims)
    body = {k: v for k, v in body.items() if k not in drop}
    signed = ".".join(b64(json.dumps(x).encode()) for x in (head, body))
    mac = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    return signed + "." + b64(mac)


FIELD = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)')


def parse_line(line):
    """One log line, text or JSON, as a dict of strings, its event under
    'event'."""
    if line.startswith("{"):
        return {k: str(v) for k, v in json.loads(line).items()}
    m = re.match(r"(?:<\d>)?(\S+Z) (\w+) (\S+)(.*)", line)
    if not m:
        return None
    fields = {k: v.strip('"') for k, v in FIELD.findall(m.group(4))}
    fields.update(time=m.group(1), level=m.group(2), event=m.group(3))
    return fields


def dial(address, tls=SECURE, source=None, rcvbuf=None, **options):
    """A client's connection to (host, port) or a Unix socket's path; over
    TLS with the options of TlsSocket."""
    unix = not isinstance(address, tuple)
    s = socket.socket(socket.AF_UNIX if unix else
                      socket.AF_INET6 if ":" in address[0] else
                      socket.AF_INET)
    s.settimeout(PATIENCE)
    try:
        if rcvbuf:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        if source:
            s.bind((source, 0))
        s.connect(address)
        if not unix:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        s.close()
        raise
    if not tls:
        return s
    options.setdefault("context", client_context())
    options.setdefault("hostname", "localhost")
    return TlsSocket(s, **options)


# Backends that speak TLS by their ports: peers.Server's that live.
secure_servers = weakref.WeakValueDictionary()
# Ports that some daemon was told to speak TLS to.
secure_ports = set()


def _secured(ini):
    """The same configuration with TLS."""
    def backend(m):
        if int(m[3]) not in secure_servers:
            return m[0]
        secure_ports.add(int(m[3]))
        scheme = {"tcp": "tls", "ws": "wss"}[m[1]]
        return f"backend = {scheme}://{m[2]}:{m[3]}{m[4]}\n" \
            f"backend_ca = {certificates().ca}"
    ini = re.sub(r"(?m)^backend = (tcp|ws)://(.*):(\d+)(/.*)?$",
                 lambda m: backend([x or "" for x in (m[0], *m.groups())]),
                 ini)
    ini, n = re.subn(r"(?m)^\[listen .*\]$", r"\g<0>\ncertificates = test",
                     ini)
    return ini + "\n" + certificates().ini() if n else ini


class Relay:
    """A running daemon. Every [listen] of its own has a free port."""

    def __init__(self, ini, tmp_path, env=None, args=(), listen="",
                 server="", wrap=(), expect_exit=0, user=None,
                 secure=SECURE, program=WSRELAYD):
        self.dir = tmp_path
        self.expect_exit = expect_exit
        self.lines = []
        (tmp_path / "secret").write_bytes(SECRET + b"\n")
        os.chmod(tmp_path / "secret", 0o600)
        self.ini = tmp_path / "wsrelayd.ini"
        self.args = args
        # Port 0 is for tests: the daemon takes a free one and logs it.
        # Tests of tokens are wrong more often than anybody may be.
        if "auth_failures" not in listen:
            listen = "auth_failures = 0\n" + listen
        text = (f"[server]\nlog_level = debug\n{server}\n"
                f"[listen main]\naddress = 127.0.0.1:0\n{listen}\n"
                ) + ini.replace("{dir}", str(tmp_path))
        text = text.replace("{dir}", str(tmp_path))
        self.secure = secure
        self.ini.write_text(_secured(text) if secure else text)
        command = [*wrap, *RUNNER, str(program), "-c", str(self.ini), *args]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env={**os.environ, **SANITIZERS,
                                         **(env or {})})
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        try:
            self.port = int(self.wait_log(
                "listen", listen="main")["address"].rsplit(":", 1)[1])
        except AssertionError:
            self.process.kill()
            raise AssertionError("no start:\n" + "\n".join(self.lines))

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line.decode(errors="replace").rstrip("\n"))

    @property
    def pid(self):
        return self.process.pid

    # --- the log -----------------------------------------------------------

    def log(self, event=None, **fields):
        """All lines so far of an event whose fields have these values."""
        found = []
        for line in list(self.lines):
            f = parse_line(line)
            if f and (event is None or f["event"] == event) and all(
                    f.get(k) == str(v) for k, v in fields.items()):
                found.append(f)
        return found

    def wait_log(self, event, count=1, patience=PATIENCE, **fields):
        """Waits for the count-th such line and returns it."""
        def there():
            found = self.log(event, **fields)
            if len(found) >= count:
                return found
            assert self.process.poll() is None or \
                len(self.log(event, **fields)) >= count, \
                "the daemon ended:\n" + "\n".join(self.lines[-40:])
            return None
        try:
            return wait_for(there, f"{event} {fields}", patience)[count - 1]
        except AssertionError as e:
            raise AssertionError(f"{e}\n" + "\n".join(self.lines[-40:]))

    # --- peers -------------------------------------------------------------

    def url(self, path="/", scheme="ws", token=None, **claims):
        """token=True mints one for the path. ws is wss where it must be."""
        if self.secure:
            scheme = {"ws": "wss", "http": "https"}.get(scheme, scheme)
        url = f"{scheme}://127.0.0.1:{self.port}{path}"
        if token is True:
            token = mint(urllib.parse.urlsplit(path).path, **claims)
        if token:
            url += ("&" if "?" in path else "?") + "token=" + token
        return url

    def socket(self, **options):
        """A client's connection to the listener main; see dial()."""
        return dial(("127.0.0.1", self.port), **options)

    # --- the end -----------------------------------------------------------

    def memory(self):
        """Anonymous memory of the daemon, in bytes."""
        text = pathlib.Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return int(re.search(r"Anonymous:\s+(\d+)", text).group(1)) * 1024

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def kill(self, sig):
        self.process.send_signal(sig)

    def stop(self, sig=signal.SIGTERM):
        """Ends it and checks how it ended."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait()
            raise AssertionError("it did not stop:\n" +
                                 "\n".join(self.lines[-40:]))
        self.reader.join(PATIENCE)
        self.process.stdout.close()
        self.process.stderr.close()
        assert status == self.expect_exit, \
            f"exit status {status}:\n" + "\n".join(self.lines[-80:])
        bad = [x for x in self.lines
               if "runtime error" in x or "Sanitizer" in x]
        assert not bad, "\n".join(self.lines[-80:])
