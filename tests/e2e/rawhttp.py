"""HTTP by hand: requests as bytes, and answers taken apart.

    answer = ask(r, upgrade("/sim", Origin="http://a.example"))
    assert (answer.status, answer.close[0]) == (101, 3000)
"""
import base64
import hashlib
import re
import struct

from relay import dial

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = base64.b64encode(hashlib.sha1(
    (KEY + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()


def head(target="/", method="GET", version="HTTP/1.1", lines=(), **fields):
    """A request. Host is there unless Host=None; _ in a name is a dash; a
    list repeats the field; lines are added as they are."""
    fields.setdefault("Host", "localhost")
    out = [f"{method} {target} {version}"]
    for name, value in fields.items():
        values = value if isinstance(value, list) else [value]
        out += [f"{name.replace('_', '-')}: {v}" for v in values
                if v is not None]
    out += lines
    return ("\r\n".join(out) + "\r\n\r\n").encode("latin-1")


def upgrade(target="/", **fields):
    full = {"Upgrade": "websocket", "Connection": "Upgrade",
            "Sec_WebSocket_Key": KEY, "Sec_WebSocket_Version": "13"}
    full.update(fields)
    return head(target, **full)


def frame(payload=b"", opcode=1, fin=True, mask=b"\1\2\3\4"):
    """A client's frame."""
    n = len(payload)
    first = (0x80 if fin else 0) | opcode
    if n < 126:
        size = struct.pack("!BB", first, 0x80 | n)
    elif n < 65536:
        size = struct.pack("!BBH", first, 0x80 | 126, n)
    else:
        size = struct.pack("!BBQ", first, 0x80 | 127, n)
    return size + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


def connect(r, listen="main", source=None, **options):
    address = r.wait_log("listen", listen=listen)["address"]
    if address.startswith("unix:"):
        return dial(address[5:], **options)
    host, port = address.rsplit(":", 1)
    return dial((host.strip("[]"), int(port)), source=source, **options)


class Answer:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body
        self.close = None   # (code, text) of the frame behind a 101
        self.echo = None    # what came back of "probe" behind a 101

    def __repr__(self):
        return f"<{self.status} {self.fields} {self.body[:200]!r} " \
            f"{self.close}>"

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def __getitem__(self, name):
        found = self.all(name)
        assert len(found) <= 1, f"{name} twice: {self}"
        return found[0] if found else None

    @property
    def closes(self):
        """Whether it says that the connection ends with it."""
        return "close" in ", ".join(self.all("Connection")).split(", ")

    @property
    def id(self):
        return self["X-Wsrelay-Id"]

    @property
    def word(self):
        """The reason's word, where this is a refusal."""
        text = self.close[1] if self.close else self.body.decode()
        return text.split(":")[0]


class Peer:
    """A client's connection; options are relay.dial()'s."""

    def __init__(self, r, listen="main", source=None, **options):
        self.socket = connect(r, listen, source, **options)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def answer(self, method="GET"):
        """The next answer; None at the end of the stream."""
        line = self.file.readline()
        if not line:
            return None
        m = re.fullmatch(rb"HTTP/1\.1 (\d{3}) [ -~]*\r\n", line)
        assert m, f"no status line: {line!r}"
        fields = []
        while True:
            line = self.file.readline()
            if line == b"\r\n":
                break
            m2 = re.fullmatch(rb"([!-9;-~]+): ([^\r\n\0]*)\r\n", line)
            assert m2, f"no field: {line!r}"
            fields.append((m2.group(1).decode(), m2.group(2).decode()))
        answer = Answer(int(m.group(1)), fields, b"")
        if answer.status in (101, 204, 304) or method == "HEAD":
            return answer
        if answer["Transfer-Encoding"]:
            assert answer["Transfer-Encoding"] == "chunked"
            assert answer["Content-Length"] is None
            answer.body = self._chunks()
            return answer
        length = int(answer["Content-Length"])
        answer.body = self.file.read(length)
        assert len(answer.body) == length, "a torn answer"
        return answer

    def _chunks(self):
        """RFC 9112 section 7.1, without extensions and trailers."""
        body = b""
        while True:
            line = self.file.readline()
            assert re.fullmatch(rb"[0-9a-f]+\r\n", line), line
            n = int(line, 16)
            chunk = self.file.read(n)
            assert len(chunk) == n and self.file.read(2) == b"\r\n"
            if n == 0:
                return body
            body += chunk

    def frame(self):
        """(opcode, payload) of the next frame from the server."""
        a = self.file.read(2)
        if len(a) < 2:
            return None
        assert a[1] < 128, "a server must not mask"
        n = a[1]
        if n == 126:
            n = struct.unpack("!H", self.file.read(2))[0]
        elif n == 127:
            n = struct.unpack("!Q", self.file.read(8))[0]
        return a[0], self.file.read(n)

    def message(self):
        """(opcode, payload) of the next message, its fragments joined."""
        got = self.frame()
        if got is None:
            return None
        first, payload = got
        while not first & 0x80:
            op, more = self.frame()
            assert op & 0x0f == 0, "a fragment of what?"
            payload += more
            first |= op & 0x80
        return first & 0x0f, payload

    def read_close(self):
        """(code, text) of the close frame that must come next."""
        op, payload = self.frame()
        assert op == 0x88, (op, payload)
        return struct.unpack("!H", payload[:2])[0], payload[2:].decode()

    def at_end(self):
        """Waits for the server's end of the stream, without a reset."""
        return self.file.read(1) == b""


def ask(r, data, listen="main", source=None, method="GET", **options):
    """One request and its answer; whatever refuses must close, too."""
    with Peer(r, listen, source, **options) as p:
        p.send(data)
        answer = p.answer(method)
        assert answer, "closed without an answer"
        if answer.status == 101:
            # Refused by a close frame, or open: a message tells.
            p.send(frame(b"probe"))
            first = p.message()
            if first[0] == 8:
                answer.close = (struct.unpack("!H", first[1][:2])[0],
                                first[1][2:].decode())
                p.send(frame(first[1], 8))
                assert p.at_end()
            else:
                answer.echo = first[1]
        elif answer.closes:
            assert p.at_end()
        return answer
