"""What the daemon does while its allocations fail, and the peers for that.

Each scenario is a function of a House; it returns when all went well and
raises Refused, OSError or EOFError when the relay said or did otherwise. What
it waits for comes soon or never: the daemon's own timeouts are a second.
"""
import contextlib
import itertools
import json
import select
import signal
import socket
import ssl
import threading
import time

from peers import BINARY, CLOSE, CONT, TEXT, Client, Server, WsPeer
from relay import mint
from signers import Signer, jwks

TIMES = """connect_timeout = 1s
close_timeout = 1s
hold_timeout = 1s
"""
HUB = "mode = hub\nlinger = 0\n"
SIGNER = Signer("RS256")
LONG = b"x" * 300000


class Refused(Exception):
    """By an HTTP status or a close frame: in words."""


class House:
    """A daemon with all routes, and their backends."""

    def __init__(self, directory):
        self.dir = directory
        self.names = itertools.count()
        self.servers = {"tcp": Server(tls=False), "ws": Server(tls=False),
                        "tagged": Server(tls=False),
                        "left": Server(tls=False),
                        "hold": Server(path=directory / "hold.sock")}
        for kind, server in self.servers.items():
            threading.Thread(target=self.serve, daemon=True,
                             args=(kind, server)).start()
        (directory / "www").mkdir()
        (directory / "state").mkdir()
        (directory / "www/index.html").write_text(
            "<p>{{wsuri /echo/1}}</p>" + "x" * 100000)
        (directory / "keys.json").write_text(jwks(SIGNER.jwk("one")))

    def ini(self):
        port = {k: s.port for k, s in self.servers.items() if not s.path}
        routes = {
            "echo": "backend = echo:",
            "tcp": f"backend = tcp://localhost:{port['tcp']}\n"
                   "framing = line",
            "ws": f"backend = ws://127.0.0.1:{port['ws']}/",
            "exec": "backend = exec:/bin/cat",
            "room": f"backend = room:\nmax_hubs = 1\nreplay = 3\n{HUB}",
            "tagged": f"backend = tcp://127.0.0.1:{port['tagged']}\n"
                      f"framing = line\naddressing = tagged\n{HUB}",
            "hold": f"backend = unix:{self.dir}/hold.sock\n"
                    f"framing = line\non_backend_loss = hold\n{HUB}",
            "left": f"backend = ws://127.0.0.1:{port['left']}/\n"
                    f"addressing = tagged\non_backend_loss = hold\n{HUB}",
            "keyed": "backend = echo:\nkeys = idp"}
        lines = [f"[route {name}]\npath = /{name}/{{id}}\n{text}\n" +
                 ("" if "keys" in text else "keys = lab\n") + TIMES
                 for name, text in routes.items()]
        lines.append("[key idp]\nalgorithm = RS256\n"
                     "jwks_file = {dir}/keys.json")
        lines.append("[page www]\npath = /www\nroot = {dir}/www\n"
                     "template = yes\ntoken_key = lab\ntoken_perm = rw")
        return "\n".join(lines)

    # --- backends --------------------------------------------------------

    def serve(self, kind, server):
        server.sock.settimeout(None)
        while True:
            try:
                sock = server.accept_socket()
            except OSError:
                return
            threading.Thread(target=self.backend, daemon=True,
                             args=(kind, server, sock)).start()

    def backend(self, kind, server, sock):
        with contextlib.suppress(OSError, EOFError, AssertionError):
            with sock:
                getattr(self, kind + "_backend")(sock)

    def tcp_backend(self, sock):
        while data := sock.recv(1 << 20):
            sock.sendall(data)

    def ws_backend(self, sock):
        b = WsPeer(sock).accept()
        while True:
            f = b.recv()
            b.send(f.opcode, f.payload, fin=f.fin)
            if f.opcode == CLOSE:
                return

    def tagged_backend(self, sock):
        for line in sock.makefile("rb"):
            verb, _, rest = line.partition(b" ")
            if verb == b">":
                client, _, payload = rest.partition(b" ")
                sock.sendall(b"> * all " + payload +
                             b"> " + client + b" one " + payload)

    def hold_backend(self, sock):
        """Is lost at the word of a client."""
        for line in sock.makefile("rb"):
            if line == b"die\n":
                return
            sock.sendall(line)

    def left_backend(self, sock):
        """Tagged, and lost at the word of a client."""
        b = WsPeer(sock).accept()
        while True:
            f = b.recv()
            if f.payload.endswith(b" die"):
                return
            if f.payload.startswith(b"> "):
                b.send(TEXT, b"> * " + f.payload.split(b" ", 2)[2])

    # --- clients -----------------------------------------------------------

    def path(self, route):
        """A new one each time: hubs are made anew, too."""
        return f"/{route}/{next(self.names)}"

    def open(self, path, token=None, **options):
        c = Client(self.relay, path, wait=False, tls=self.relay.secure,
                   token=token or mint(path), **options)
        c.sock.settimeout(PATIENCE)
        try:
            if c.answer() != 101:
                raise Refused(c.status)
        except BaseException:
            c.close()
            raise
        return c

    def get(self, c):
        """The next whole message."""
        data = b""
        while True:
            f = c.recv()
            if f.opcode == CLOSE:
                with contextlib.suppress(OSError):
                    c.send(CLOSE, f.payload)
                raise Refused(f.code)
            data += f.payload
            if f.fin:
                return data

    def arrives(self, c, seconds):
        return bool(c.buffer or getattr(c.sock, "_plain", b"") or
                    select.select([c.sock], [], [], seconds)[0])

    def expect(self, c, want, *senders):
        """senders: without them nothing comes."""
        end = time.monotonic() + PATIENCE
        while senders and not self.arrives(c, 0.1):
            if any(self.has_ended(x) for x in senders):
                raise EOFError
            if time.monotonic() > end:
                raise TimeoutError
        got = self.get(c)
        assert got == want, f"{got[:50]}, not {want[:50]}"

    @staticmethod
    def has_ended(c):
        """The next that it gets is a close frame, or the end."""
        if not c.buffer and not select.select([c.sock], [], [], 0)[0]:
            return False
        first = c.buffer or c.sock.recv(1, socket.MSG_PEEK)
        return first[:1] in (b"", b"\x88")

    def leave(self, c):
        c.send_close(1000)
        while True:
            f = c.recv()
            if f.opcode == CLOSE:
                break
        c.ended()


# Longer than any timeout of the daemon: what takes so long hangs.
PATIENCE = 20


def _pair(route):
    def scenario(house):
        with house.open(house.path(route)) as c:
            c.send(TEXT, b"hello")
            house.expect(c, b"hello")
            c.send(TEXT, LONG[:1000], fin=False)
            c.send(0, LONG)
            house.expect(c, LONG[:1000] + LONG)
            house.leave(c)
    scenario.__name__ = route
    return scenario


def room(house):
    path = house.path("room")
    with house.open(path) as a, house.open(path) as b:
        for text in (b"one", LONG, b"two"):
            a.send(BINARY, text)
        for text in (b"one", LONG, b"two"):
            house.expect(b, text, a)
        with house.open(path) as c:
            for text in (b"one", LONG, b"two"):
                house.expect(c, text)
            b.send(TEXT, b"three")
            house.expect(a, b"three", b)
            house.expect(c, b"three", b)
            for x in (a, b, c):
                house.leave(x)


def tagged(house):
    path = house.path("tagged")
    with house.open(path) as a, house.open(path) as b:
        a.send(TEXT, b"hi")
        house.expect(a, b"all hi")
        house.expect(a, b"one hi")
        house.expect(b, b"all hi", a)
        house.leave(a)
        house.leave(b)


def hold(house):
    path = house.path("hold")
    with house.open(path) as a, house.open(path) as b:
        a.send(TEXT, b"one")
        house.expect(a, b"one")
        house.expect(b, b"one", a)
        b.send(TEXT, b"die")
        # The hub is lost at some time from now on: messages before that are.
        end = time.monotonic() + PATIENCE
        for n in itertools.count():
            a.send(TEXT, str(n))
            if house.arrives(a, 0.1):
                house.get(a)
                break
            if time.monotonic() > end:
                raise TimeoutError("the backend does not come back")
        house.leave(a)
        house.leave(b)


def pause(house):
    """Members wait while their route has no backend, and one is made the
    driver, which there is none of."""
    def ask(**request):
        s.sendall(json.dumps(request).encode() + b"\n")
        row = {}
        while "status" not in row:
            line = f.readline()
            if not line:
                raise EOFError
            row = json.loads(line)
        if row["status"] != "ok" and request["command"] != "drive":
            raise Refused(row["error"])

    path = house.path("hold")
    with socket.socket(socket.AF_UNIX) as s, s.makefile("rb") as f:
        s.settimeout(PATIENCE)
        s.connect(str(house.dir / "control.sock"))
        json.loads(f.readline() or b"null")  # the greeting
        ask(command="resume", route="hold")  # the last trial may not have
        with house.open(path) as a, house.open(path) as b:
            ask(command="pause", route="hold")
            a.send(TEXT, b"waits")
            ask(command="drive", id=b.id)
            ask(command="resume", route="hold")
            end = time.monotonic() + PATIENCE
            while not house.arrives(a, 0.1):    # without memory none waits
                if time.monotonic() > end:
                    raise TimeoutError("the backend does not come back")
                a.send(TEXT, b"again")
            house.get(a)
            house.leave(a)
            house.leave(b)


def left(house):
    """Of a client that has left messages wait for the next backend."""
    path = house.path("left")
    with house.open(path) as a, house.open(path) as b:
        b.send(TEXT, b"die")
        end = time.monotonic() + 1
        while time.monotonic() < end and \
                not house.relay.log("hub-lost", path=path):
            time.sleep(0.005)
        for n in range(5):
            a.send(TEXT, str(n))
        with contextlib.suppress(Refused):
            house.leave(a)
        end = time.monotonic() + PATIENCE
        while not house.arrives(b, 0.1):
            b.send(TEXT, b"on")
            if time.monotonic() > end:
                raise TimeoutError("the backend does not come back")
        house.get(b)
        house.leave(b)


def keyed(house):
    path = house.path("keyed")
    with house.open(path, token=SIGNER.token(path, kid="one")) as c:
        c.send(TEXT, b"hello")
        house.expect(c, b"hello")
        house.leave(c)


def page(house):
    with house.relay.socket(tls=house.relay.secure) as s:
        s.settimeout(PATIENCE)
        for path, status in (("/www/", 200), ("/www/none", 404)):
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:"
                      f"{house.relay.port}\r\n\r\n".encode())
            head, body = b"", b""
            with s.makefile("rb") as f:
                while not head.endswith(b"\r\n\r\n"):
                    line = f.readline()
                    if not line:
                        raise EOFError
                    head += line
                n = int(head.lower().split(b"content-length:")[1].split()[0])
                body = f.read(n)
            if len(body) < n:
                raise EOFError
            if int(head.split()[1]) != status:
                raise Refused(head.split()[1])
            assert status != 200 or b"token=" in body, body[:100]


def reload(house):
    def lines():
        return len(r.log("reload")), len(r.log("reload-failed"))
    r = house.relay
    before = lines()
    r.kill(signal.SIGHUP)
    end = time.monotonic() + PATIENCE
    while lines() == before:
        if time.monotonic() > end:
            raise TimeoutError("no word of the reload")
        time.sleep(0.005)
    if lines()[0] == before[0]:
        raise Refused("reload-failed")


CONSOLE = ("status", "routes", "hubs", "backends", "clients", "closed",
           "config", "counters", "loglevel")


def console(house):
    with house.open(house.path("echo")) as c, \
            house.open(house.path("room")) as d, \
            socket.socket(socket.AF_UNIX) as s:
        s.settimeout(PATIENCE)
        s.connect(str(house.dir / "control.sock"))
        requests = [{"command": name} for name in CONSOLE]
        requests.append({"command": "client", "id": c.id})
        for request in requests:
            s.sendall(json.dumps(request).encode() + b"\n")
        with s.makefile("rb") as f:
            json.loads(f.readline() or b"null")  # the greeting
            for request in requests:
                row = {}
                while "status" not in row:
                    line = f.readline()
                    if not line:
                        raise EOFError
                    row = json.loads(line)
                if row["status"] != "ok":
                    raise Refused(row["error"])
        house.leave(c)
        house.leave(d)


def tap(house):
    """What is shown and what was dropped for want of memory is all."""
    path = house.path("room")
    with house.open(house.path("ws")) as c, house.open(path) as d, \
            house.open(path) as e, \
            socket.socket(socket.AF_UNIX) as s:
        s.settimeout(PATIENCE)
        s.connect(str(house.dir / "control.sock"))
        s.sendall(json.dumps({"command": "tap", "direction": "from_client"}
                             ).encode() + b"\n")
        with s.makefile("rb") as f:
            def row():
                line = f.readline()
                if not line:
                    raise EOFError
                found = json.loads(line)
                if "status" in found:
                    raise Refused(found["error"])
                return found
            while "began_us" not in row():
                pass
            c.send(TEXT, b"he", fin=False)
            c.send(CONT, b"llo")
            house.expect(c, b"hello")
            d.send(TEXT, b"hello")
            house.expect(e, b"hello", d)
            n = 0
            while n < 2:
                n += row().get("dropped", 1)
        house.leave(c)
        house.leave(d)
        house.leave(e)


def revoke(house):
    """Who is revoked is closed, whatever becomes of the answer's rows."""
    path = house.path("echo")
    token = mint(path, sub="alice", jti=path)

    def say(f, s, **request):
        s.sendall(json.dumps(request).encode() + b"\n")
        row = {}
        while "status" not in row:
            line = f.readline()
            if not line:
                raise EOFError
            row = json.loads(line)
        if row["status"] != "ok":
            raise Refused(row["error"])

    with house.open(path, token=token) as c, \
            socket.socket(socket.AF_UNIX) as s:
        s.settimeout(PATIENCE)
        s.connect(str(house.dir / "control.sock"))
        with s.makefile("rb") as f:
            json.loads(f.readline() or b"null")  # the greeting
            say(f, s, command="revoke", token=token)
            frame = c.recv()
            assert frame.opcode == CLOSE, frame
            if frame.code != 3000:      # it had ended before
                raise Refused(frame.reason)
            c.send(CLOSE, frame.payload)
            say(f, s, command="revoked")
            say(f, s, command="unrevoke", jti=path, key="lab")


def _tls(name, resume):
    def scenario(house):
        path = house.path("echo")
        try:
            with house.open(path, resume=resume) as c:
                c.send(TEXT, b"hello")
                house.expect(c, b"hello")
                house.leave(c)
        except ssl.SSLError as e:   # the handshake ended by an alert
            raise EOFError from e
    scenario.__name__ = name
    return scenario


SCENARIOS = {f.__name__: f for f in (
    _pair("echo"), _pair("tcp"), _pair("ws"), _pair("exec"), room, tagged,
    hold, pause, left, keyed, page, reload,
    console, tap, revoke,
    _tls("tls", False), _tls("tls-resumed", True))}
