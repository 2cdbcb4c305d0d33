"""The other sides of a relay: clients and backends that do what one wants.

    c = Client(r, "/sim")               # a raw WebSocket client, upgraded
    c.send(TEXT, "hi"); c.recv()        # frames, malformed ones too
    with Server() as s: ...             # a TCP backend; s.port, s.accept()

Everything here is a plain blocking socket, so that a test decides what
happens when. Nothing waits longer than relay.PATIENCE.
"""
import base64
import contextlib
import hashlib
import json
import os
import pathlib
import queue
import select
import socket
import struct
import subprocess
import threading
import time
from typing import NamedTuple

from relay import PATIENCE, dial, free_port, secure_ports, secure_servers
from secure import SECURE, TlsSocket, server_context

HERE = pathlib.Path(__file__).resolve().parent / "peers"

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MASK = b"\x37\xfa\x21\x3d"
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class Frame(NamedTuple):
    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0
    masked: bool = False

    @property
    def text(self):
        return self.payload.decode()

    @property
    def code(self):
        """Of a close frame: its code, None when it is empty."""
        return struct.unpack(">H", self.payload[:2])[0] if self.payload \
            else None

    @property
    def reason(self):
        return self.payload[2:].decode()


def xor(data, mask):
    n = len(data)
    key = (mask * (n // 4 + 1))[:n]
    return (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")
            ).to_bytes(n, "big") if n else b""


def frame(opcode, payload=b"", fin=True, rsv=0, mask=MASK, form=None,
          length=None):
    """A frame's bytes. form 7, 16 or 64 is the form of the length; length
    lies about it."""
    if isinstance(payload, str):
        payload = payload.encode()
    n = len(payload) if length is None else length
    if form is None:
        form = 7 if n < 126 else 16 if n < 65536 else 64
    bit = 0x80 if mask is not None else 0
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if form == 7:
        head += bytes([bit | n])
    elif form == 16:
        head += bytes([bit | 126]) + struct.pack(">H", n)
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", n)
    if mask is None:
        return head + payload
    return head + mask + xor(payload, mask)


def close_payload(code=None, reason=""):
    if code is None:
        return b""
    if isinstance(reason, str):
        reason = reason.encode()
    return struct.pack(">H", code) + reason


class Wire:
    """A socket, read in exact pieces."""

    masks = False  # what it sends is masked: it is a client

    def __init__(self, sock):
        self.sock = sock
        self.buffer = bytearray()
        sock.settimeout(PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def more(self, n=65536):
        """Reads once; EOFError at the end."""
        data = self.sock.recv(n)
        if not data:
            raise EOFError
        self.buffer += data

    def exactly(self, n):
        while len(self.buffer) < n:
            self.more(max(n - len(self.buffer), 65536))
        data = bytes(self.buffer[:n])
        del self.buffer[:n]
        return data

    def until(self, mark=b"\n"):
        while mark not in self.buffer:
            self.more()
        return self.exactly(self.buffer.index(mark) + len(mark))

    def rest(self):
        """Everything up to the end of the stream."""
        with contextlib.suppress(EOFError):
            while True:
                self.more(1 << 20)
        return self.exactly(len(self.buffer))

    def write(self, data):
        self.sock.sendall(data)

    def shut(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        """Ends with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()

    # --- frames ------------------------------------------------------------

    def send(self, opcode, payload=b"", **options):
        if not self.masks:
            options.setdefault("mask", None)
        self.write(frame(opcode, payload, **options))

    def send_close(self, code=None, reason=""):
        self.send(CLOSE, close_payload(code, reason))

    def frame(self):
        """The next frame, whatever it is."""
        a, b = self.exactly(2)
        n = b & 0x7f
        if n == 126:
            n, = struct.unpack(">H", self.exactly(2))
            assert n > 125
        elif n == 127:
            n, = struct.unpack(">Q", self.exactly(8))
            assert n > 65535
        mask = self.exactly(4) if b & 0x80 else None
        payload = self.exactly(n)
        if mask:
            payload = xor(payload, mask)
        assert bool(mask) != self.masks, "masked by the wrong side"
        return Frame(a & 15, payload, bool(a & 0x80), a >> 4 & 7, bool(mask))

    def recv(self):
        """The next frame that is no ping; pings are answered."""
        end = time.monotonic() + PATIENCE
        while True:
            f = self.frame()
            if f.opcode != PING:
                return f
            assert time.monotonic() < end, "pings and nothing else"
            self.send(PONG, f.payload)

    def message(self):
        """The next message: its opcode and payload, of how many frames."""
        opcode, payload, frames = None, bytearray(), 0
        while True:
            f = self.recv()
            assert f.opcode in ((TEXT, BINARY) if opcode is None
                                else (CONT,)), f
            opcode = f.opcode if opcode is None else opcode
            payload += f.payload
            frames += 1
            if f.fin:
                return opcode, bytes(payload), frames

    def closed(self, code=None, word=None):
        """Expects a close frame, answers it, and expects the end."""
        f = self.recv()
        assert f.opcode == CLOSE, f
        if code is not None:
            assert f.code == code, f
        if word is not None:
            assert f.reason.startswith(word), f
        with contextlib.suppress(OSError):
            self.send(CLOSE, f.payload)
        self.ended()
        return f

    def ended(self):
        """Expects the end of the stream, without a reset, and ends too."""
        assert self.rest() == b""
        self.close()


class Client(Wire):
    """A WebSocket client on r's listener, or of address. With wait=False its
    request was sent and upgraded() reads the answer. Options are dial()'s."""

    masks = True

    def __init__(self, r, path, fields=(), wait=True, rcvbuf=None,
                 protocols=None, token=None, address=None, **options):
        super().__init__(dial(address or ("127.0.0.1", r.port),
                              rcvbuf=rcvbuf, **options))
        fields = list(fields)
        names = {f.split(":")[0].lower() for f in fields}
        if "host" not in names:
            fields.insert(0, f"Host: 127.0.0.1:{r.port}")
        if protocols:
            fields.append(f"Sec-WebSocket-Protocol: {protocols}")
        if token:
            path += ("&" if "?" in path else "?") + "token=" + token
        self.status, self.fields, self.body = None, {}, b""
        self.write("\r\n".join([
            f"GET {path} HTTP/1.1", *fields, "Upgrade: websocket",
            "Connection: Upgrade", "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {KEY}", "", ""]).encode())
        if wait:
            self.upgraded()

    def answer(self):
        """Reads the answer; returns its status."""
        lines = self.until(b"\r\n\r\n").decode().split("\r\n")
        self.status = int(lines[0].split()[1])
        self.fields = {k.lower(): v.strip() for k, v in
                       (x.split(":", 1) for x in lines[1:] if x)}
        if self.status != 101:
            self.body = self.rest()
            self.close()
        return self.status

    def upgraded(self):
        assert self.answer() == 101, (self.status, self.body)
        assert self.fields["sec-websocket-accept"] == accept_key(KEY)
        return self

    @property
    def id(self):
        """The connection's id, as in the log."""
        return self.fields["x-wsrelay-id"]

    def synced(self):
        """Everything sent so far was read by the relay: it has answered a
        ping that was sent behind it. Returns what came before the pong."""
        self.send(PING, b"synced")
        before = []
        while True:
            f = self.recv()
            if f.opcode == PONG and f.payload == b"synced":
                return before
            before.append(f)


def accept_key(key):
    return base64.b64encode(
        hashlib.sha1((key + GUID).encode()).digest()).decode()


class WsPeer(Wire):
    """The backend's end of a connection that our WebSocket client made."""

    def __init__(self, sock):
        super().__init__(sock)
        head = self.until(b"\r\n\r\n").decode()
        self.request, *lines = head.split("\r\n")
        self.names = [x.split(":")[0] for x in lines if x]
        self.fields = {}
        for line in filter(None, lines):
            name, value = line.split(":", 1)
            assert name.lower() not in self.fields, f"{name} twice"
            self.fields[name.lower()] = value.strip()

    def accept(self, *fields, extra=b""):
        """The 101; extra goes out in the same write."""
        self.write("\r\n".join([
            "HTTP/1.1 101 Switching Protocols", "Upgrade: websocket",
            "Connection: Upgrade", "Sec-WebSocket-Accept: " +
            accept_key(self.fields["sec-websocket-key"]),
            *fields, "", ""]).encode() + extra)
        return self

    def refuse(self, status, *fields, body=b""):
        self.write("\r\n".join([f"HTTP/1.1 {status}", *fields, "", ""]
                               ).encode() + body)


def _handshakes(listening, context, accepted):
    """A relay's connection is open only behind its handshake, which must
    not wait for the test to accept it."""
    while True:
        try:
            sock = listening.accept()[0]
        except (TimeoutError, BlockingIOError):
            if listening.fileno() >= 0:
                select.select([listening], [], [], PATIENCE)
            continue
        except OSError:
            return      # it was closed
        sock.settimeout(PATIENCE)
        try:
            accepted.put(TlsSocket(sock, context, server=True))
        except ConnectionError:
            pass            # who gave up in the handshake was never there
        except OSError as error:
            accepted.put(error)


class _Listening(socket.socket):
    def close(self):
        """Wakes who waits in accept."""
        with contextlib.suppress(OSError):
            self.shutdown(socket.SHUT_RDWR)
        super().close()


class Server:
    """A listening socket: TCP, on a free_port(), or a Unix one with path.
    With tls, what it accepts has had its handshake, and a daemon that is
    started while it listens speaks TLS to it; a port that comes back is what
    it was. The context is localhost's by default."""

    def __init__(self, path=None, host="127.0.0.1", port=0, backlog=512,
                 rcvbuf=None, tls=SECURE, context=None):
        self.path = path
        family = socket.AF_UNIX if path else \
            socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = _Listening(family)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind(str(path) if path else
                       (host, port or free_port(host)))
        self.sock.listen(backlog)
        self.sock.settimeout(PATIENCE)
        self.accepted = None
        if tls and not path and (port == 0 or port in secure_ports):
            secure_servers[self.port] = self
            self.accepted = queue.Queue()
            threading.Thread(target=_handshakes, daemon=True, args=(
                self.sock, context or server_context(), self.accepted)
            ).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.accepted and self.sock.fileno() >= 0:
            secure_servers.pop(self.port, None)
        self.sock.close()

    def __del__(self):
        self.sock.close()

    @property
    def port(self):
        return self.sock.getsockname()[1]

    @property
    def uri(self):
        return f"unix://{self.path}" if self.path \
            else f"tcp://127.0.0.1:{self.port}"

    def accept_socket(self):
        if not self.accepted:
            return self.sock.accept()[0]
        try:
            sock = self.accepted.get(timeout=self.sock.gettimeout())
        except queue.Empty:
            raise TimeoutError("nobody connects")
        if isinstance(sock, OSError):
            raise sock
        return sock

    def accept(self):
        return Wire(self.accept_socket())

    def accept_ws(self):
        """The connection with its request read, not yet answered."""
        return WsPeer(self.accept_socket())


def ws_pair(r, s, path, *fields, protocols=None, **options):
    """A client and the ws backend's end of its pair, both open."""
    c = Client(r, path, wait=False, protocols=protocols, **options)
    b = s.accept_ws()
    b.accept(*fields)
    c.upgraded()
    return c, b


class Background:
    """Runs a function in a thread; done() waits for its result."""

    def __init__(self, function, *args):
        self.value = self.error = None

        def run():
            try:
                self.value = function(*args)
            except BaseException as e:
                self.error = e
        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def done(self, patience=3 * PATIENCE):
        self.thread.join(patience)
        assert not self.thread.is_alive(), "it does not end"
        if self.error:
            raise self.error
        return self.value


class Node:
    """A script of peers/ in Node.js, speaking JSON, one value per line."""

    def __init__(self, script, *args):
        self.process = subprocess.Popen(
            ["node", str(HERE / script), *map(str, args)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "NODE_PATH": "/usr/share/nodejs",
                 "NODE_NO_WARNINGS": "1"})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stdin.close()

    def line(self):
        line = self.process.stdout.readline()
        assert line, "the script has ended"
        return json.loads(line)


def program(tmp_path, text, name="program.py"):
    """A Python program as an exec backend's command."""
    path = tmp_path / name
    path.write_text("import os, signal, sys, time\n" + text)
    return f"/usr/bin/python3 -S {path}"


def children(pid):
    """Process ids of pid's children, zombies too."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                stat = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                if int(stat[1]) == pid:
                    found.append(int(entry.name))
    return found


def alive(pid):
    """Whether it runs; a zombie does not."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] not in "ZX"


def asleep(pid):
    """Whether none of its threads has, or waits for, a processor."""
    return all(x.read_text().rsplit(")", 1)[1].split()[0] == "S"
               for x in pathlib.Path(f"/proc/{pid}/task").glob("*/stat"))


def cpu_seconds(pid):
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    fields = stat.rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
