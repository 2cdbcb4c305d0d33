"""TLS for the tests' own ends of connections.

    SECURE                      # WSRELAY_TLS=1: the whole suite runs over TLS
    WS, HTTP                    # "wss", "https" then, else "ws", "http"
    TlsSocket(sock, client_context(), "localhost")

A TlsSocket does what tests do with sockets: half-closing, resetting, sending
without blocking, reading in one thread while another writes. Its end of the
stream is a close_notify; a stream that ends without one raises Truncated.
"""
import functools
import io
import os
import socket
import ssl
import struct
import threading

from certificates import certificates

SECURE = os.environ.get("WSRELAY_TLS", "") not in ("", "0")
WS, HTTP = ("wss", "https") if SECURE else ("ws", "http")
RECORD = 16384
RESET = struct.pack("ii", 1, 0)     # SO_LINGER: close with a reset


class Truncated(ConnectionResetError):
    """The stream ended without a close_notify."""


def is_cut(error):
    return isinstance(error, ssl.SSLEOFError) or \
        error.reason == "UNEXPECTED_EOF_WHILE_READING"


def trust(environment):
    """Makes programs that are started with it trust the tests' authority:
    Python's, Node's, curl."""
    ca = str(certificates().ca)
    environment.update(SSL_CERT_FILE=ca, NODE_EXTRA_CA_CERTS=ca,
                       CURL_CA_BUNDLE=ca)


@functools.lru_cache(maxsize=None)
def client_context(identity=None, ca="ca", maximum=None):
    """Trusts ca, shows identity."""
    context = ssl.create_default_context(cafile=certificates()[ca].chain)
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF    # see Truncated
    context.set_alpn_protocols(["http/1.1"])
    if identity:
        context.load_cert_chain(*certificates()[identity])
    if maximum:
        context.maximum_version = maximum
    return context


@functools.lru_cache(maxsize=None)
def server_context(identity="localhost", ca=None):
    """Shows identity; with ca it asks for a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    context.load_cert_chain(*certificates()[identity])
    context.set_alpn_protocols(["http/1.1"])
    if ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificates()[ca].chain)
    return context


class _Reader(io.RawIOBase):
    def __init__(self, sock):
        self.sock = sock

    def readable(self):
        return True

    def readinto(self, room):
        return self.sock.recv_into(room)


class TlsSocket:
    """TLS over a connected socket, which it owns."""

    sessions = {}   # of servers, by port: most handshakes are resumed

    def __init__(self, sock, context, hostname=None, server=False,
                 resume=True, session=None):
        self.raw = sock
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        # What a session is remembered by; Unix sockets have no port.
        peer = () if server else sock.getpeername()
        self._port = (peer[1], context) if resume and len(peer) > 1 and \
            isinstance(peer, tuple) else None
        self.tls = context.wrap_bio(self._in, self._out, server, hostname,
                                    session=session or
                                    self.sessions.get(self._port))
        self._lock = threading.RLock()      # the object, which never waits
        self._sending = threading.RLock()
        self._pending = b""                 # sealed, for the socket
        self._plain = bytearray()           # opened, for the test
        self._heard = False
        self._abrupt = False
        try:
            self._handshake()
        except BaseException:
            sock.close()
            raise

    def __getattr__(self, name):    # settimeout, getsockname, fileno ...
        return getattr(self.raw, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _flush(self):
        with self._sending:
            with self._lock:
                self._pending += self._out.read()
            while self._pending:
                n = self.raw.send(self._pending)
                self._pending = self._pending[n:]

    def _feed(self, n=RECORD, flags=0):
        """Takes about as much as the test asks for: some read slowly."""
        data = self.raw.recv(max(n, 512), flags)
        with self._lock:
            if data:
                self._in.write(data)
            else:
                self._in.write_eof()

    def _handshake(self):
        while True:
            try:
                self.tls.do_handshake()
                self._flush()
                break
            except ssl.SSLWantReadError:
                self._flush()
                self._feed()
            except ssl.SSLError as error:
                self._flush()   # the alert
                if is_cut(error) or isinstance(error, ssl.SSLZeroReturnError):
                    raise Truncated("the end came in the handshake")
                raise
        if self.tls.version() == "TLSv1.2":
            self._remember()

    def _remember(self):
        if self._port and self._port not in self.sessions:
            self.sessions[self._port] = self.tls.session

    def _open(self):
        """Opens what has come; whether that was the end."""
        with self._lock:
            try:
                while True:
                    data = self.tls.read(1 << 18)
                    if not data:
                        return True
                    self._plain += data
            except ssl.SSLWantReadError:
                return False
            except ssl.SSLZeroReturnError:
                return True
            except ssl.SSLError as error:
                if not is_cut(error):
                    raise
                if self._plain:
                    return False
                raise Truncated("the end came without a close_notify")

    def recv(self, n, flags=0):
        while not self._plain:
            if self._open():
                break
            if not self._plain:
                self._feed(n, flags & socket.MSG_DONTWAIT)
        if not self._heard:
            self._heard = True
            self._remember()
        data = bytes(self._plain[:n])
        if not flags & socket.MSG_PEEK:
            del self._plain[:n]
        return data

    def recv_into(self, room):
        data = self.recv(len(room))
        room[:len(data)] = data
        return len(data)

    def send(self, data):
        """What it returns was taken; some of it may leave with the next
        call."""
        with self._sending:
            self._flush()
            data = memoryview(data)[:RECORD]
            with self._lock:
                self.tls.write(data)
            try:
                self._flush()
            except (BlockingIOError, TimeoutError):
                pass
            return len(data)

    def sendall(self, data):
        with self._sending:
            self._flush()
            data = memoryview(data)
            for at in range(0, len(data), 1 << 18):
                with self._lock:
                    self.tls.write(data[at:at + (1 << 18)])
                self._flush()

    def close_notify(self):
        with self._lock:
            try:
                self._open()    # OpenSSL drops what is unread
                self.tls.unwrap()
            except (ssl.SSLError, Truncated):
                pass            # it waits for the other's
        self._flush()

    def shutdown(self, how):
        if how != socket.SHUT_RD:
            self.close_notify()
        self.raw.shutdown(how)

    def setsockopt(self, level, option, *value):
        if (level, option) == (socket.SOL_SOCKET, socket.SO_LINGER):
            self._abrupt = value[0] == RESET
        self.raw.setsockopt(level, option, *value)

    def close(self):
        if not self._abrupt and self.raw.fileno() >= 0:
            try:
                self.raw.setblocking(False)
                self.close_notify()
                if not self._heard:
                    self._feed()    # a ticket that is unread would reset
            except OSError:
                pass
        self.raw.close()

    def makefile(self, mode="rb"):
        assert mode == "rb"
        return io.BufferedReader(_Reader(self))
