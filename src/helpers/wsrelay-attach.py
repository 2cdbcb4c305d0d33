"""wsrelay-attach.py: a program's lines at a relay, from where no wsrelayd runs.

    python3 wsrelay-attach.py [options] wss://viz.example.org/attach/anna/42 \\
        -- python3 heat.py

Starts the program, attaches to the place (wsrelayd-attach(7)), and sends each
line that the program prints as a message; lines of those who steer come to its
standard input. Its output goes on to our own, byte for byte; standard error is
left to it, signals are handed on, its exit status is ours. Nothing of the relay
delays or ends it: when the relay is away, refuses, or is slow, it runs on.

    --token-file F  read anew at each attempt; default ~/.config/wsrelay/token,
                    or wsrelay/token in XDG_CONFIG_HOME
    --ca F          authorities (PEM) in place of the system's
    --quiet         what the program prints goes to the relay only
    --slow POLICY   when the relay does not keep up, or is away: drop-old keeps
                    the newest 16 MiB of lines (default), latest the newest
                    line, and with block the program waits, while we are
                    attached and the relay takes something every ten seconds

https_proxy, for ws http_proxy, and no_proxy count. A program that buffers
what it prints must flush it; for Python PYTHONUNBUFFERED=1 is set. It needs
Python 3.8 or newer and nothing else. Tried on Linux; macOS and Windows: not run.

MIT licence; a part of wsrelayd.
"""
import argparse
import base64
import collections
import errno
import hashlib
import ipaddress
import json
import os
import random
import re
import select
import selectors
import signal
import socket
import ssl
import stat
import struct
import subprocess
import sys
import threading
import time
import urllib.parse

PROTOCOL = "wsrelay.attach.v1"
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

MIB = 1 << 20
ROOM = 16 * MIB         # bytes of lines that wait for the relay
LINE_MAX = 16 * MIB     # of one line; the relay may say less
ROOM_IN = 1 * MIB       # bytes of lines that wait for the program
MESSAGE_MAX = 16 * MIB  # of one message that comes; the relay may say less
ITEM = 128              # what one that waits costs beside its bytes
READ = 1 << 16
FRAGMENT = 1 << 16      # a longer message goes out in frames of this size
TURN = 4 * READ         # is read before anything else has its turn
HEAD_MAX = 1 << 14

# Seconds.
OPENING = 20            # until an attempt has failed
PING_AFTER = 25         # without a word from the relay
PONG_WITHIN = 30
BLOCK_MOST = 10         # that --slow block waits for a relay that takes nothing
SETTLE = 5              # attached for so long forgives the failures before
BASE, CAP = 0.5, 30     # the first and the longest pause, before its jitter
END = 5                 # for what is left to be sent behind the program's end
CLOSE = 2               # for the relay's answer to our close

CONT, TEXT, BINARY, SHUT, PING, PONG = 0, 1, 2, 8, 9, 10

# What to do, by the word of the reason: the table in wsrelayd(8).
NEVER, TOKEN, LATER = "never", "token", "later"
ACTIONS = {NEVER: """
    client-close done protocol unsupported invalid-data policy read-only too-big
    backend-forbidden attach-replaced attach-perm proxy-peer proxy-header
    tls-handshake tls-certificate tls-missing tls-unexpected bad-request method
    not-found head-size host upgrade not-implemented http-version address origin
    client-subject cross-site subprotocol token-twice banned hops
    """.split(), TOKEN: """
    key-removed session-end token-end token-missing token-malformed
    token-unknown-key token-signature token-expired token-too-early token-ttl
    token-path token-audience token-used revoked
    """.split()}
# The same by close code, where the word is none of those.
CODES = {1002: NEVER, 1003: NEVER, 1007: NEVER, 1008: NEVER, 1009: NEVER,
         3000: TOKEN, 3003: NEVER}
# What the relay says of a token that will be good later.
NOT_YET = "token-too-early"

# Where systems have their authorities: Debian, RHEL, SUSE, Alpine and BSD.
AUTHORITIES = ("/etc/ssl/certs/ca-certificates.crt",
               "/etc/pki/tls/certs/ca-bundle.crt",
               "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
               "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem")


class Ended(Exception):
    """An attempt has failed, or a connection is over."""

    def __init__(self, text, action=LATER, word="", pause=0):
        super().__init__(text)
        self.action, self.word, self.pause = action, word, pause


class Broken(Exception):
    """The relay has broken RFC 6455: it is told with this close code."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


def printable(text, most=200):
    """What others have said must not command a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text[:most])


def say(text):
    try:
        os.write(2, ("wsrelay-attach: %s\n" % text).encode(errors="replace"))
    except OSError:
        pass


def action_of(word, code=0):
    for action, words in ACTIONS.items():
        if word in words:
            return action
    return CODES.get(code, LATER)


def reason(text):
    """"token-expired: the token's time is over" -> its word, its text."""
    m = re.match(r"([a-z][a-z0-9-]*)(?::\s*(.*))?$", text.strip(), re.S)
    return (m.group(1), m.group(2) or m.group(1)) if m else ("", text.strip())


# --- what waits ---------------------------------------------------------------

class Lines:
    """What the program has printed and the relay has not got: blobs of whole
    lines. Two threads: put() is the program's side, take() the relay's."""

    def __init__(self, slow):
        self.slow = slow
        self.changed = threading.Condition()
        self.blobs = collections.deque()
        self.cost = 0
        self.dropped = 0            # lines
        self.wanted = True          # the relay may take them, now or later
        self.attached = False
        self.over = threading.Event()   # the program has ended
        self.asleep = False         # take() found nothing: ring
        self.ears, self.bell = socket.socketpair()
        self.ears.setblocking(False)
        self.bell.setblocking(False)

    def put(self, blob):
        with self.changed:
            if self.slow == "block" and self.attached and not self._fits(blob):
                # Behind that it drops, until the relay takes something.
                if not self.changed.wait_for(
                        lambda: not self.attached or self._fits(blob),
                        BLOCK_MOST):
                    self.attached = False
            if not self.wanted:
                return
            if self.slow == "latest":
                start = blob.rfind(b"\n", 0, len(blob) - 1) + 1
                self.dropped += blob.count(b"\n", 0, start)
                blob = blob[start:]
            while self.blobs and (self.slow == "latest" or
                                  not self._fits(blob)):
                self._count(self._pop())
            self.blobs.append(blob)
            self.cost += len(blob) + ITEM
            ring, self.asleep = self.asleep, False
        if ring:
            self.ring()

    def _fits(self, blob):
        return not self.blobs or self.cost + len(blob) + ITEM <= ROOM

    def _pop(self):
        blob = self.blobs.popleft()
        self.cost -= len(blob) + ITEM
        return blob

    def _count(self, blob):
        self.dropped += blob.count(b"\n") or 1

    def ring(self):
        try:
            self.bell.send(b"!")
        except OSError:
            pass                    # it is full: they hear it anyway

    def hear(self):
        try:
            self.ears.recv(4096)
        except OSError:
            pass

    def take(self):
        """The oldest blob; None: there is none, the bell rings when one comes."""
        with self.changed:
            if not self.blobs:
                self.asleep = True
                return None
            blob = self._pop()
            self.attached = True
            self.changed.notify_all()
            return blob

    def put_back(self, blob):
        """What was taken, and has not been sent, is the oldest again."""
        with self.changed:
            if not self.wanted or not self._fits(blob) or \
                    self.slow == "latest" and self.blobs:
                self._count(blob)
            else:
                self.blobs.appendleft(blob)
                self.cost += len(blob) + ITEM

    def set_attached(self, attached):
        with self.changed:
            self.attached = attached
            self.changed.notify_all()

    def drop(self, wanted):
        with self.changed:
            self.wanted = wanted
            while self.blobs:
                self._count(self._pop())
            self.changed.notify_all()

    def end(self):
        self.over.set()
        self.ring()


class Steering(threading.Thread):
    """Lines for the program's standard input, which it may never read."""

    def __init__(self, fd):
        super().__init__(daemon=True)
        self.fd = fd
        self.changed = threading.Condition()
        self.lines = collections.deque()
        self.cost = 0
        self.said = set()
        self.start()

    def once(self, text):
        if text not in self.said:
            self.said.add(text)
            say(text)

    def put(self, line):
        with self.changed:
            if self.fd is None:
                return
            full = self.cost + len(line) + ITEM > ROOM_IN
            if not full:
                self.lines.append(line)
                self.cost += len(line) + ITEM
                self.changed.notify()
        if full:
            self.once("the program does not read its input: lines for it are "
                      "dropped")

    def run(self):
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.lines)
                line = self.lines.popleft()
                self.cost -= len(line) + ITEM
            try:
                write_all(self.fd, line)
            except OSError:
                with self.changed:
                    self.fd = None      # it has closed its input
                    self.lines.clear()
                return


def write_all(fd, data):
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view):]
        except BlockingIOError:         # of a terminal, by others
            select.select([], [fd], [])


class Output(threading.Thread):
    """What the program prints: to our own output, and in whole lines on to the
    relay."""

    def __init__(self, fd, lines, out):
        super().__init__(daemon=True)
        self.fd, self.lines, self.out = fd, lines, out
        self.partial = bytearray()
        self.skipping = False           # the rest of a line that is too long
        self.start()

    def run(self):
        while True:
            data = os.read(self.fd, READ)
            if not data or not self.pass_on(data):
                break
            try:
                self.cut(data)
            except MemoryError:         # the run goes on
                self.partial, self.skipping = bytearray(), True
        if self.partial:
            self.lines.put(bytes(self.partial))
        os.close(self.fd)

    def pass_on(self, data):
        """False: no one reads our output, so the program is to hear that, as
        it would without us: its pipe is closed."""
        if self.out is None:
            return True
        try:
            write_all(self.out, data)
        except OSError as e:
            if e.errno == errno.EPIPE:
                return False
            say("standard output: %s; the rest goes to the relay only"
                % e.strerror)
            self.out = None
        return True

    def cut(self, data):
        if self.skipping:
            at = data.find(b"\n") + 1
            if at == 0:
                return
            self.skipping = False
            data = data[at:]
        at = data.rfind(b"\n") + 1
        if at > 0:
            self.lines.put(bytes(self.partial) + data[:at])
            self.partial.clear()
        self.partial += data[at:]
        if len(self.partial) > LINE_MAX:
            self.partial = bytearray()
            self.skipping = True
            self.lines.dropped += 1


# --- RFC 6455 -----------------------------------------------------------------

def masked(data, key):
    n = len(data)
    return (int.from_bytes(data, "little") ^
            int.from_bytes((key * (n // 4 + 1))[:n], "little")
            ).to_bytes(n, "little")


def frame(opcode, payload=b"", fin=True):
    """A client's frame: masked, with a key that no one can foretell."""
    n = len(payload)
    head = struct.pack(">B", (0x80 if fin else 0) | opcode)
    if n < 126:
        head += struct.pack(">B", 0x80 | n)
    elif n < 1 << 16:
        head += struct.pack(">BH", 0x80 | 126, n)
    else:
        head += struct.pack(">BQ", 0x80 | 127, n)
    key = os.urandom(4)
    return head + key + masked(payload, key)


def message_frames(payload):
    """A text message, in frames that others may come between."""
    opcode = TEXT
    for at in range(0, len(payload) or 1, FRAGMENT):
        last = at + FRAGMENT >= len(payload)
        yield frame(opcode, payload[at:at + FRAGMENT], last)
        opcode = CONT


def close_payload(code, text=""):
    return struct.pack(">H", code) + text.encode()[:100]


def read_close(payload):
    """The code and the text; (1005, "") when there is none."""
    if not payload:
        return 1005, ""
    if len(payload) == 1:
        raise Broken(1002, "a close frame of one byte")
    code, = struct.unpack(">H", payload[:2])
    if not (1000 <= code <= 1014 and code not in (1004, 1005, 1006) or
            3000 <= code <= 4999):
        raise Broken(1002, "close code %d" % code)
    return code, utf8(payload[2:])


def utf8(data):
    try:
        return bytes(data).decode()
    except UnicodeDecodeError:
        raise Broken(1007, "text that is not UTF-8")


class Decoder:
    """A server's bytes in, (opcode, payload) of whole messages and of control
    frames out."""

    def __init__(self, most=HEAD_MAX):
        self.most = most            # bytes of a message
        self.bytes = bytearray()
        self.opcode = None          # of the message in the making
        self.message = bytearray()

    def feed(self, data):
        self.bytes += data

    def next(self):
        """None: more bytes are needed."""
        while True:
            head = self._head()
            if not head:
                return None
            at, n, fin, opcode = head
            if len(self.bytes) < at + n:
                return None
            payload = bytes(self.bytes[at:at + n])
            del self.bytes[:at + n]
            if opcode >= SHUT:
                return opcode, payload
            if opcode != CONT:
                self.opcode = opcode
            self.message += payload
            if fin:
                whole = self.opcode, bytes(self.message)
                self.opcode, self.message = None, bytearray()
                return whole

    def _head(self):
        b = self.bytes
        if len(b) < 2:
            return None
        fin, opcode, n, at = b[0] & 0x80, b[0] & 0x0f, b[1] & 0x7f, 2
        if b[0] & 0x70:
            raise Broken(1002, "reserved bits")
        if b[1] & 0x80:
            raise Broken(1002, "a masked frame")
        if opcode >= SHUT:
            if opcode > PONG or not fin or n > 125:
                raise Broken(1002, "a wrong control frame")
        elif opcode > BINARY:
            raise Broken(1002, "opcode %d" % opcode)
        elif (opcode == CONT) != (self.opcode is not None):
            raise Broken(1002, "fragments out of order")
        if n > 125:
            size = 2 if n == 126 else 8
            if len(b) < 2 + size:
                return None
            at += size
            n = int.from_bytes(b[2:at], "big")
            if n < (126 if size == 2 else 1 << 16) or n >> 63:
                raise Broken(1002, "a wrong length")
        if opcode < SHUT and len(self.message) + n > self.most:
            raise Broken(1009, "a message of more than %d bytes" % self.most)
        return at, n, fin, opcode


# --- an attempt ---------------------------------------------------------------

class Address:
    """ws://host:port/path or wss://; ValueError: it is none."""

    def __init__(self, text):
        u = urllib.parse.urlsplit(text)
        if u.scheme not in ("ws", "wss") or not u.hostname:
            raise ValueError("not a ws:// or wss:// address")
        if u.username is not None or u.fragment:
            raise ValueError("an address has neither a user nor a fragment")
        self.secure = u.scheme == "wss"
        self.host = u.hostname if ":" in u.hostname else \
            u.hostname.encode("idna").decode()
        self.port = u.port or (443 if self.secure else 80)
        self.target = (u.path or "/") + ("?" + u.query if u.query else "")
        if not re.match(r"[!-~]+\Z", self.target):
            raise ValueError("a path has printable ASCII only: escape the rest")
        self.has_token = "token" in urllib.parse.parse_qs(u.query)
        bracketed = "[%s]" % self.host if ":" in self.host else self.host
        self.authority = "%s:%d" % (bracketed, self.port)
        standard = self.port == (443 if self.secure else 80)
        self.field = bracketed if standard else self.authority
        # Without its query, which may hold a token.
        self.shown = "%s://%s%s" % (u.scheme, self.field, u.path)


def read_token(path):
    try:
        with open(path, "rb") as f:
            mode = os.fstat(f.fileno()).st_mode
            token = f.read(HEAD_MAX).strip()
    except OSError as e:
        raise Ended("%s: %s" % (path, e.strerror))
    if not re.match(rb"[A-Za-z0-9._~+/=-]+\Z", token):
        raise Ended("%s holds no token" % path)
    return token.decode(), os.name == "posix" and \
        bool(mode & (stat.S_IRGRP | stat.S_IROTH))


def environment(name):
    # HTTP_PROXY can be what a web server made of somebody's field Proxy.
    upper = "" if name == "http_proxy" else os.environ.get(name.upper())
    return os.environ.get(name) or upper or ""


def bypasses(address):
    """Whether no_proxy, or common sense, says that the relay is near."""
    host = address.host.lower()
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        ip = None
    if host == "localhost" or ip and ip.is_loopback:
        return True
    for entry in environment("no_proxy").lower().replace(",", " ").split():
        name, port = entry, ""
        if entry.count(":") == 1 or entry.startswith("["):
            m = re.match(r"\[?([^\]]*?)\]?(?::(\d+))?\Z", entry)
            name, port = m.groups() if m else (entry, "")
        if port and int(port) != address.port:
            continue
        if entry == "*" or host == name.lstrip(".") or \
                host.endswith("." + name.lstrip(".*")):
            return True
        try:
            if ip and ip in ipaddress.ip_network(name, strict=False):
                return True
        except ValueError:
            pass
    return False


def proxy_for(address):
    """None, or (host, port, what its Proxy-Authorization says)."""
    name = "https_proxy" if address.secure else "http_proxy"
    text = environment(name)
    if not text or bypasses(address):
        return None
    if "://" not in text:
        text = "http://" + text
    try:
        u = urllib.parse.urlsplit(text)
        host, port = u.hostname, u.port or 80
    except ValueError:
        host = None
    if not host or u.scheme != "http":
        raise Ended(name + " is not http://HOST:PORT")
    login = None
    if u.username is not None:
        pair = "%s:%s" % (urllib.parse.unquote(u.username),
                          urllib.parse.unquote(u.password or ""))
        login = "Basic " + base64.b64encode(pair.encode()).decode()
    return host, port, login


class Clock:
    """An attempt's time, however slowly the other side speaks."""

    def __init__(self, seconds):
        self.end = time.monotonic() + seconds

    def left(self):
        left = self.end - time.monotonic()
        if left <= 0:
            raise socket.timeout("timed out")
        return left


def receive(sock, n, clock):
    sock.settimeout(clock.left())
    return sock.recv(n)


def ask(sock, lines, clock):
    """Sends a request; returns the answer's status, fields, and what follows."""
    sock.settimeout(clock.left())
    sock.sendall("\r\n".join(lines + ["", ""]).encode("latin-1"))
    data = b""
    while b"\r\n\r\n" not in data:
        more = receive(sock, 4096, clock)
        data += more
        if not more or len(data) > HEAD_MAX:
            raise Ended("no HTTP answer" if data or more else
                        "the connection was closed without an answer")
    head, rest = data.split(b"\r\n\r\n", 1)
    first, *others = head.decode("latin-1").split("\r\n")
    m = re.match(r"HTTP/1\.[01] (\d{3})(?: |\Z)", first)
    if not m:
        raise Ended("no HTTP answer")
    fields = {}
    for other in others:
        name, _, value = other.partition(":")
        fields.setdefault(name.strip().lower(), value.strip())
    return int(m.group(1)), fields, rest


def number(text):
    """An HTTP field's number, 0: it is none."""
    return int(text) if re.match(r"\d{1,9}\Z", text or "") else 0


def connect(address, clock):
    """A socket towards the relay, through a proxy where one is named."""
    proxy = proxy_for(address)
    host, port = proxy[:2] if proxy else (address.host, address.port)
    where = "the proxy %s:%d" % (host, port) if proxy else "%s:%d" % (host, port)
    try:
        sock = socket.create_connection((host, port), clock.left())
    except socket.gaierror as e:
        raise Ended("%s has no address: %s" % (printable(host), e.strerror))
    except ConnectionRefusedError:
        raise Ended("nothing listens at " + printable(where))
    except socket.timeout:
        raise Ended("no answer from " + printable(where))
    if not proxy:
        return sock
    try:
        lines = ["CONNECT %s HTTP/1.1" % address.authority,
                 "Host: " + address.authority]
        if proxy[2]:
            lines.append("Proxy-Authorization: " + proxy[2])
        status, _, rest = ask(sock, lines, clock)
        if status == 407:
            raise Ended("the proxy wants a name and a password, as in "
                        "http://NAME:PASSWORD@HOST:PORT")
        if status // 100 != 2 or rest:
            raise Ended("the proxy refuses the way to %s (HTTP %d)"
                        % (address.authority, status))
        return sock
    except BaseException:
        sock.close()
        raise


def tls_context(ca):
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as e:
        raise Ended("--ca %s: %s" % (ca, e.strerror or e))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    found = ssl.get_default_verify_paths()
    if not ca and not found.cafile and not found.capath and \
            not context.cert_store_stats()["x509_ca"]:
        for file in filter(os.path.exists, AUTHORITIES):
            context.load_verify_locations(file)
            break
    return context


def secure(sock, address, ca, clock):
    context = tls_context(ca)
    sock.settimeout(clock.left())
    try:
        return context.wrap_socket(sock, server_hostname=address.host)
    except ssl.SSLCertVerificationError as e:
        raise Ended("the relay's certificate is not good: %s"
                    % printable(e.verify_message or str(e)))
    except ssl.SSLError as e:
        raise Ended("no TLS: %s" % printable(e.reason or str(e)))


def refusal(sock, status, fields, rest, clock):
    """The relay's own word is in the answer's body; without one it was somebody
    in between, and may be no more than a moment's."""
    most = min(number(fields.get("content-length")) or 4096, 4096)
    try:
        while len(rest) < most:
            more = receive(sock, 4096, clock)
            rest += more
            if not more:
                break
    except OSError:
        pass
    word, text = reason(rest[:most].decode(errors="replace"))
    pause = number(fields.get("retry-after"))
    if word and word != text:
        return Ended("refused: %s (%s)" % (printable(text), word),
                     action_of(word), word, pause)
    return Ended("HTTP %d, and not from wsrelayd" % status, pause=pause)


def upgrade(sock, address, token, clock):
    """Returns what came behind the answer."""
    key = base64.b64encode(os.urandom(16)).decode()
    lines = ["GET %s HTTP/1.1" % address.target, "Host: " + address.field,
             "Upgrade: websocket", "Connection: Upgrade",
             "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + key,
             "Sec-WebSocket-Protocol: " + PROTOCOL,
             "User-Agent: wsrelay-attach.py"]
    if token:
        lines.append("Authorization: Bearer " + token)
    status, fields, rest = ask(sock, lines, clock)
    if status != 101:
        raise refusal(sock, status, fields, rest, clock)
    wanted = base64.b64encode(
        hashlib.sha1((key + GUID).encode()).digest()).decode()
    if fields.get("upgrade", "").lower() != "websocket" or \
            "upgrade" not in fields.get("connection", "").lower() or \
            fields.get("sec-websocket-accept") != wanted or \
            "sec-websocket-extensions" in fields:
        raise Ended("the answer to the upgrade is wrong")
    if fields.get("sec-websocket-protocol") != PROTOCOL:
        # Lines would be taken for what a page says.
        raise Ended("no simulation can attach there: is the path that of an "
                    "[attach]?")
    return rest


# --- attached -----------------------------------------------------------------

class Connection:
    """One that is open: frames both ways, until it ends. One thread: a TLS
    session cannot be read and written by two."""

    def __init__(self, relay, sock, rest):
        self.relay, self.lines, self.sock = relay, relay.lines, sock
        self.greeted = False            # the relay says first where we are
        self.decoder = Decoder()
        self.decoder.feed(rest)
        self.line_most = LINE_MAX
        self.blob, self.at = b"", 0     # what is being sent, and from where
        self.frames = iter(())          # of it
        self.chunk = b""                # must not change once it was tried
        self.pong = None                # the payload to answer with
        self.blocked = False
        self.shut_at = None             # our close was queued
        self.over_at = None             # the program has ended
        now = time.monotonic()
        self.heard_at = self.moved_at = now
        self.ping_at = None

    def run(self):
        """Returns when the program has ended and the relay was told; else
        Ended."""
        self.sock.setblocking(False)
        with selectors.DefaultSelector() as waiting:
            waiting.register(self.lines.ears, selectors.EVENT_READ)
            waiting.register(self.sock, selectors.EVENT_READ)
            more = True
            try:
                while self.shut_at is None or not self.is_answered:
                    more = self.turn(waiting, more)
                    self.check_time()
            except Broken as e:
                self.farewell(e.code, str(e))
                raise Ended("the relay sent what it should not: %s" % e)
            finally:
                if self.at < len(self.blob):
                    self.lines.put_back(self.blob[self.at:])

    is_answered = False

    def turn(self, waiting, more):
        """Returns whether there is more to read at once."""
        self.fill()
        waiting.modify(self.sock, selectors.EVENT_READ | (
            selectors.EVENT_WRITE if self.chunk else 0))
        ready = {key.fileobj: events for key, events in
                 waiting.select(0 if more else self.pause())}
        if self.lines.ears in ready:
            self.lines.hear()
        writable = ready.get(self.sock, 0) & selectors.EVENT_WRITE
        if writable and self.chunk:
            self.write()
        elif self.chunk:
            self.blocked = True
        if more or ready.get(self.sock, 0) & selectors.EVENT_READ:
            return self.read()
        return False

    # --- out ---

    def fill(self):
        if self.chunk:
            return
        parts, n = [], 0
        if self.pong is not None:
            parts.append(frame(PONG, self.pong))
            self.pong = None
        if self.ping_at is None and \
                time.monotonic() - self.heard_at >= PING_AFTER:
            self.ping_at = time.monotonic()
            parts.append(frame(PING))
        while n < FRAGMENT and self.shut_at is None:
            part = next(self.frames, None)
            if part is None:
                over = self.lines.over.is_set()     # before the last look
                blob = self.lines.take()
                if blob is not None:
                    self.frames = self.encode(blob)
                    continue
                if over:
                    parts.append(self.shut(1000, "the program has ended"))
                break
            parts.append(part)
            n += len(part)
        self.chunk = b"".join(parts)

    def encode(self, blob):
        self.blob, self.at = blob, 0
        while self.at < len(blob):
            end = blob.find(b"\n", self.at)
            if end < 0:
                end = len(blob)
            line = blob[self.at:end]
            self.at = end + 1
            if line.endswith(b"\r"):
                line = line[:-1]
            if not line.isascii():
                line = line.decode(errors="replace").encode()
            if len(line) > self.line_most:
                self.relay.once("lines of more than %d bytes are dropped: the "
                                "relay takes none" % self.line_most)
                continue
            yield from message_frames(line)

    def shut(self, code, text):
        self.shut_at = time.monotonic()
        return frame(SHUT, close_payload(code, text))

    def write(self):
        try:
            n = self.sock.send(self.chunk)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        self.chunk = self.chunk[n:]
        if self.blocked and n > 0:
            # What was full has moved: the other side lives.
            self.blocked = False
            self.moved_at = time.monotonic()

    def farewell(self, code, text=""):
        """A close frame, if it can leave at once."""
        if self.shut_at is None:
            self.chunk += self.shut(code, text)
            self.write_once()

    def write_once(self):
        try:
            self.write()
        except OSError:
            pass

    # --- in ---

    def read(self):
        self.handle()               # what came behind the answer
        for _ in range(TURN // READ):
            try:
                data = self.sock.recv(READ)
            except (BlockingIOError, ssl.SSLWantReadError,
                    ssl.SSLWantWriteError):
                return False
            if not data:
                raise Ended("the connection was lost")
            self.heard_at, self.ping_at = time.monotonic(), None
            self.decoder.feed(data)
            self.handle()
            if self.is_answered:
                return False
        return True

    def handle(self):
        while not self.is_answered:
            message = self.decoder.next()
            if message is None:
                return
            opcode, payload = message
            if opcode == PING:
                self.pong = payload     # of several the last is answered
            elif opcode == SHUT:
                self.closed(payload)
            elif opcode == TEXT:
                self.text(payload)
            elif opcode == BINARY:
                self.relay.steering.once(
                    "binary messages cannot be a line: they are dropped")

    def closed(self, payload):
        code, said = read_close(payload)
        if self.shut_at is not None:
            self.is_answered = True
            return
        self.farewell(1000 if code == 1005 else code)
        word, text = reason(said)
        text = printable(text) or "no reason given"
        raise Ended("closed by the relay: %s (%s)" % (text, word or code),
                    action_of(word, code), word)

    def text(self, payload):
        text = utf8(payload)
        if not self.greeted:
            self.greeted = True
            self.greeting(text)
        elif b"\n" in payload or b"\r" in payload:
            # It would be two lines, and the second one forged.
            self.relay.steering.once(
                "a message with a line break cannot be a line: it is dropped")
        else:
            self.relay.steering.put(payload + b"\n")

    def greeting(self, text):
        try:
            told = json.loads(text)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            raise Broken(1002, "no JSON comes first")

        def size(name, most):
            n = told.get(name)
            return min(n, most) if type(n) is int and n > 0 else most
        self.line_most = size("max_backend_message", LINE_MAX)
        # Room for the prefix of a tagged message.
        self.decoder.most = size("max_message", MESSAGE_MAX) + HEAD_MAX
        watch = told.get("watch_at")
        self.relay.told(watch if isinstance(watch, str) else None,
                        told.get("took_over") is True)

    # --- time ---

    def pause(self):
        now = time.monotonic()
        due = [self.heard_at + PING_AFTER if self.ping_at is None else
               max(self.ping_at, self.moved_at) + PONG_WITHIN]
        if self.over_at is not None:
            due.append(self.over_at + END)
        if self.shut_at is not None:
            due.append(self.shut_at + CLOSE)
        return max(0, min(due) - now)

    def check_time(self):
        now = time.monotonic()
        if self.ping_at is not None and \
                now - max(self.ping_at, self.moved_at) >= PONG_WITHIN:
            raise Ended("the relay does not answer any more")
        if self.over_at is None and self.lines.over.is_set():
            self.over_at = now
        if self.shut_at is not None:
            if now - self.shut_at >= CLOSE:
                raise Ended("the relay did not answer the close")
        elif self.over_at is not None and now - self.over_at >= END:
            self.lines.drop(wanted=False)
            self.frames = iter(())
            if self.chunk:      # stuck within a frame: nothing else can leave
                raise Ended("the relay did not take the last lines in time")


class Relay(threading.Thread):
    """Attaches, again and again, as long as it is of use."""

    def __init__(self, options, lines, steering):
        super().__init__(daemon=True)
        self.options, self.lines, self.steering = options, lines, steering
        self.watch = None
        self.said = set()
        self.why = None             # the last failure
        self.in_vain = False
        self.attempts = 0           # that are over
        self.attached_at = None
        self.lost_at = None
        self.start()

    def once(self, text):
        if text not in self.said and len(self.said) < 100:
            self.said.add(text)
            say(text)

    def run(self):
        failures = 0
        while True:
            why = self.attempt()
            self.attempts += 1
            if why is None or self.lines.over.is_set():
                return
            if self.attached_at is not None and \
                    time.monotonic() - self.attached_at >= SETTLE:
                failures = 0
            if self.is_in_vain(why):
                self.in_vain = True
                self.lines.drop(wanted=False)
                say("%s; this is for good: no more attempts; the program runs "
                    "on" % why)
                return
            # Full jitter: a thousand runs must not come back at once.
            pause = max(0.1, random.uniform(0, min(CAP, BASE * 2 ** failures)),
                        min(why.pause, 300))
            failures = min(failures + 1, 16)
            if str(why) != self.why:
                self.why = str(why)
                say("%s; trying again" % why)
            if self.lines.over.wait(pause):
                return

    def is_in_vain(self, why):
        """A token in the address is never another."""
        return why.action == NEVER or why.action == TOKEN and \
            self.options.address.has_token and why.word != NOT_YET

    def attempt(self):
        """None: the program has ended, and the relay knows it."""
        sock = None
        self.attached_at = None
        try:
            sock, rest = self.open()
            self.attached_at = time.monotonic()
            self.lines.set_attached(True)
            Connection(self, sock, rest).run()
            return None
        except Ended as e:
            return e
        except socket.timeout:
            return Ended("no answer in time")
        except OSError as e:
            return Ended("the connection broke: %s"
                         % printable(e.strerror or str(e)))
        except Exception as e:      # a fault of ours; the run goes on
            return Ended("a fault in wsrelay-attach.py: %r" % e)
        finally:
            if self.attached_at is not None and self.lost_at is None:
                self.lost_at = time.monotonic()
            self.lines.set_attached(False)
            if sock:
                sock.close()

    def open(self):
        clock = Clock(OPENING)
        address, token = self.options.address, None
        if not address.has_token:
            token, readable = read_token(self.options.token_file)
            if readable:
                self.once("others can read %s: chmod 600 it"
                          % self.options.token_file)
        sock = connect(address, clock)
        try:
            if address.secure:
                sock = secure(sock, address, self.options.ca, clock)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):
                # What waits should wait here, where it may still be dropped.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT,
                                2 * FRAGMENT)
            return sock, upgrade(sock, address, token, clock)
        except BaseException:
            sock.close()
            raise

    def told(self, watch, took_over):
        """It is attached."""
        text = "attached to " + self.options.address.shown
        if self.lost_at is not None:
            text += " again, after %.0f s" % (time.monotonic() - self.lost_at)
        if took_over:
            text += ", in place of another connection"
        say(text)
        self.tell_dropped()
        self.why = self.lost_at = None
        if watch and watch != self.watch:
            self.watch = watch
            say("Watch: " + printable(watch, 2000))

    def tell_dropped(self):
        n, self.lines.dropped = self.lines.dropped, 0
        if n > 0:
            say("lines that did not reach the relay: %d" % n)

    def finish(self):
        """The program has ended: what is left goes out, but not for long, and
        not at all while the relay is away. A first attempt is waited for."""
        self.lines.end()
        if self.attached_at is not None or self.attempts == 0:
            self.join(END + CLOSE + 1)
        if not self.in_vain:
            self.lines.drop(wanted=False)
            self.tell_dropped()


# --- the program --------------------------------------------------------------

def from_terminal(number):
    """Whether the program has got this signal already, as we did: ^C goes to
    all that is in the foreground of a terminal."""
    if number not in (signal.SIGINT, getattr(signal, "SIGQUIT", None)):
        return False
    if os.name != "posix":
        return True
    for fd in range(3):
        try:
            return os.tcgetpgrp(fd) == os.getpgrp()
        except OSError:
            pass
    return False


class Signals:
    """Handed on to the program, before it is there, too; behind its end they
    end us."""

    NAMES = "HUP INT QUIT TERM USR1 USR2 XCPU CONT WINCH ALRM".split()

    def __init__(self):
        self.process, self.early, self.status = None, [], None
        for name in self.NAMES:
            number = getattr(signal, "SIG" + name, None)
            # What is ignored, as by nohup, is ignored by the program as well.
            if number and signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self.came)

    def came(self, number, _):
        if self.process is None:
            self.early.append(number)
        elif self.status is not None:
            leave(self.status)
        elif not from_terminal(number):
            self.process.send_signal(number)

    def hand_to(self, process):
        self.process = process
        for number in self.early:
            process.send_signal(number)


def leave(status):
    """Ends as the program has ended. Threads may be anywhere: nothing is
    waited for."""
    if status < 0 and os.name == "posix":
        try:
            import resource     # its core is there: ours is of no use
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            if -status not in (signal.SIGKILL, signal.SIGSTOP):
                signal.signal(-status, signal.SIG_DFL)
        except (ImportError, OSError, ValueError):
            pass
        os.kill(os.getpid(), -status)
    os._exit(status if status >= 0 else 128 - status)


def start(command):
    environ = dict(os.environ)
    environ.setdefault("PYTHONUNBUFFERED", "1")
    try:
        return subprocess.Popen(command, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, bufsize=0, env=environ)
    except OSError as e:
        say("%s: %s" % (command[0], e.strerror))
        leave(127 if e.errno == errno.ENOENT else 126)


def arguments(argv):
    at = argv.index("--") if "--" in argv else len(argv)
    parser = argparse.ArgumentParser(
        prog="wsrelay-attach.py", description=__doc__,
        usage="%(prog)s [options] ADDRESS -- PROGRAM [ARGUMENT ...]",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address")
    parser.add_argument("--token-file")
    parser.add_argument("--ca")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--slow", default="drop-old",
                        choices=["latest", "drop-old", "block"])
    options = parser.parse_args(argv[:at])
    options.command = argv[at + 1:]
    if not options.command:
        parser.error("no program: write it behind --")
    try:
        options.address = Address(options.address)
    except ValueError as e:
        parser.error("the address: %s" % e)
    if options.address.has_token and options.token_file:
        parser.error("a token in the address, and --token-file")
    if not options.token_file:
        home = os.environ.get("XDG_CONFIG_HOME") or \
            os.path.expanduser("~/.config")
        options.token_file = os.path.join(home, "wsrelay", "token")
    return options


def main():
    options = arguments(sys.argv[1:])
    # What the program prints does not wait for a relay that keeps us busy.
    sys.setswitchinterval(0.0005)
    lines = Lines(options.slow)
    signals = Signals()
    process = start(options.command)
    signals.hand_to(process)
    output = Output(os.dup(process.stdout.fileno()), lines,
                    None if options.quiet else 1)
    process.stdout.close()
    steering = Steering(process.stdin.fileno())
    relay = Relay(options, lines, steering)
    status = process.wait()
    signals.status = status
    output.join()       # others may have its output: as of any pipe, to the end
    relay.finish()
    leave(status)


if __name__ == "__main__":
    main()
