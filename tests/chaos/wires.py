"""Peers that speak and listen at the same time, stall, and end as planned.

    Listening   reads a connection to its end, with stalls, and keeps it all
    Speaking    says what a plan.Writing says, in a thread of its own

Both are parts of one Peer. What happened stands in its fields, for judge.py.
"""
import collections
import contextlib
import os
import random
import select
import threading
import time

from messages import Message, Seen
from peers import BINARY, CLOSE, CONT, PING, PONG, TEXT, close_payload, frame
from relay import PATIENCE

POLL = 0.02


class Aborted(Exception):
    """It was ended on purpose."""


class Over(Exception):
    """The other side has ended it: there is nothing to be said any more."""


class Pipes:
    """The two pipes of a program, as a socket."""

    def __init__(self, stdin, stdout):
        self.stdin, self.stdout = stdin, stdout
        os.set_blocking(stdin, False)
        os.set_blocking(stdout, False)
        self.timeout = PATIENCE

    def settimeout(self, timeout):
        self.timeout = timeout

    def fileno(self):
        return self.stdin

    def recv(self, n):
        if not select.select([self.stdin], [], [], self.timeout)[0]:
            raise TimeoutError
        return os.read(self.stdin, n)

    def sendall(self, data):
        data = memoryview(data)
        while data:
            if not select.select([], [self.stdout], [], self.timeout)[1]:
                raise TimeoutError
            with contextlib.suppress(BlockingIOError):
                data = data[os.write(self.stdout, data):]

    def close(self):
        os.close(self.stdin)
        os.close(self.stdout)


class Peer:
    """One end of a connection; wire is a peers.Wire, ws says that it speaks
    WebSocket; else framing is that of a stream."""

    def __init__(self, scene, name, wire, writing, reading, ws, framing=None):
        self.scene, self.name, self.wire = scene, name, wire
        self.writing, self.ws, self.framing = writing, ws, framing
        self.stalls = list(reading.stalls)
        self.random = random.Random(f"{scene.plan.index}/{name}")
        self.born = time.monotonic()    # pings alone keep nothing alive
        self.read_bytes = 0
        self.abort = False          # ends with a reset, by the reader
        self.over = None            # "eof", "reset", "aborted", "stuck"
        self.lock = threading.Lock()
        self.spoken = threading.Event()     # the writer is done
        self.pongs = collections.deque()
        self.sent, self.begun = [], []      # begun includes what was cut off
        self.seen, self.part = [], None     # part: (opcode, bytes) unfinished
        self.raw = bytearray()
        self.pings_sent, self.pongs_seen = [], []
        self.close_seen = None              # the peer's frame
        self.close_sent = False
        self.ended = False                  # its planned end has begun
        self.fault = None
        wire.more = self.more

    # --- listening -----------------------------------------------------------

    def more(self, n=65536):
        """In place of Wire.more: stalls, and ends when it is told to."""
        if self.stalls and self.read_bytes >= self.stalls[0][0]:
            end = time.monotonic() + self.stalls.pop(0)[1]
            while time.monotonic() < end and not self.abort:
                time.sleep(POLL)
        sock = self.wire.sock
        patience = min(time.monotonic(), self.born + PATIENCE) + PATIENCE
        while not getattr(sock, "_plain", b""):
            if self.abort:
                raise Aborted
            if select.select([sock], [], [], POLL)[0]:
                break
            if time.monotonic() > patience:
                raise TimeoutError
        data = sock.recv(n)
        if not data:
            raise EOFError
        self.read_bytes += len(data)
        self.wire.buffer += data

    def listen(self):
        """Until the end, whatever it is."""
        try:
            if self.ws:
                while True:
                    self.take_frame(self.wire.frame())
            elif self.framing == "raw":
                while True:
                    self.more()
                    self.raw += self.wire.buffer
                    self.wire.buffer.clear()
            else:
                while True:
                    self.take_message()
        except EOFError:
            self.over = "eof"
        except Aborted:
            self.over = "aborted"
            self.wire.reset()
        except TimeoutError:
            self.over = "stuck"
        except OSError as e:
            self.over = "reset"
            self.detail = e
        if self.over != "aborted":
            self.leave()

    def leave(self):
        """The other side is gone: so is this one, once nothing is written."""
        self.spoken.wait(PATIENCE)
        with contextlib.suppress(OSError):
            self.wire.close()

    def take_message(self):
        if self.framing == "line":
            self.keep(TEXT, self.wire.until(b"\n")[:-1])
        else:
            n = int.from_bytes(self.wire.exactly(4), "big")
            kind, *_ = self.wire.exactly(1)
            self.keep({1: TEXT, 2: BINARY}[kind], self.wire.exactly(n - 1))

    def take_frame(self, f):
        assert not f.rsv, f"{self.name}: {f.opcode} with RSV {f.rsv}"
        if f.opcode == PING:
            self.pongs.append(f.payload)
            self.answer()
        elif f.opcode == PONG:
            self.pongs_seen.append(f.payload)
        elif f.opcode == CLOSE:
            assert not self.close_seen, f"{self.name}: two close frames"
            self.close_seen = f
            self.close()
        else:
            assert not self.close_seen, f"{self.name}: data behind the close"
            assert (f.opcode == CONT) == (self.part is not None), \
                f"{self.name}: frame of opcode {f.opcode} out of place"
            opcode, data = self.part or (f.opcode, bytearray())
            data += f.payload
            self.part = None if f.fin else (opcode, data)
            if f.fin:
                self.keep(opcode, data)

    def keep(self, opcode, payload):
        self.seen.append(Seen.of(opcode, payload))
        if self.scene.plan.framing == "raw":
            self.raw += payload         # their cuts mean nothing

    # --- speaking ------------------------------------------------------------

    def check(self):
        if self.over or self.abort or self.close_seen or self.scene.broken:
            raise Over

    def write(self, *parts):
        """All of them, or none: nothing comes between."""
        with self.lock:
            self.check()
            for part in parts:
                self.wire.write(part)

    def answer(self):
        """Pongs never hold up the reader: the writer sends them, too."""
        while self.pongs and self.lock.acquire(blocking=False):
            try:
                with contextlib.suppress(IndexError):
                    payload = self.pongs.popleft()
                    if not self.close_sent:
                        self.wire.send(PONG, payload)
            finally:
                self.lock.release()

    def close(self, code=None, reason=""):
        """Sends a close frame, or answers with one; only once."""
        with self.lock:
            if not self.close_sent:
                self.close_sent = True
                payload = self.close_seen.payload if self.close_seen \
                    else close_payload(code, reason)
                self.wire.send(CLOSE, payload)

    def encode(self, m, prefix=b""):
        """Its frames, as bytes that belong together."""
        body = prefix + m.body()
        if not self.ws:
            if self.framing == "raw":
                return [body]
            if self.framing == "line":
                return [body + b"\n"]
            return [(len(body) + 1).to_bytes(4, "big") +
                    (b"\1" if m.text else b"\2") + body]
        mask = self.random.randbytes(4) if self.wire.masks else None
        n = min(self.random.randint(1, self.writing.fragments),
                len(body) + 1)
        cuts = sorted(self.random.choice(
            (self.random.randint(0, len(body)), max(len(body) - 1, 0)))
            for _ in range(n - 1))
        out = []
        for i, (a, b) in enumerate(zip([0, *cuts], [*cuts, len(body)])):
            out.append(frame(CONT if i else m.opcode, body[a:b],
                             fin=i == n - 1, mask=mask))
        return out

    def ping(self):
        payload = f"{self.name}.{len(self.pings_sent)}".encode()
        self.pings_sent.append(payload)
        return frame(PING, payload, mask=b"abcd" if self.wire.masks else None)

    def pieces(self, m):
        """What is written of a message: its frames, and pings between."""
        for data in self.encode(m):
            yield data
            if self.ws and self.writing.pings and self.random.random() < 0.3:
                yield self.ping()

    def speak(self):
        """All messages, behind their gates; then the planned end."""
        try:
            batch = []
            for i, m in enumerate(self.writing.messages):
                if i in self.writing.gates:
                    self.flush(batch)
                    self.pass_gate(self.writing.gates[i])
                batch.append(m)
                self.say(batch)
            self.flush(batch)
            if len(self.writing.messages) in self.writing.gates:
                self.pass_gate(self.writing.gates[len(self.writing.messages)])
            self.finish()
        except (Over, OSError) as e:
            # Who has gone is seen by the reader, which judges how.
            self.cut_off = e
        except Exception as e:      # it waited in vain
            self.fault = e
            self.abort = True
        finally:
            self.spoken.set()

    def say(self, batch):
        if self.writing.style == "batch" and len(batch) < 50:
            return
        self.flush(batch)

    def flush(self, batch):
        data = []
        for m in batch:
            self.begun.append(m)
            data.extend(self.pieces(m))
        if self.writing.style == "each":
            for part in data:
                self.write(part)
        elif self.writing.style == "batch":
            self.write(b"".join(data))
        else:
            whole = b"".join(data)
            cuts = sorted(self.random.randint(0, len(whole))
                          for _ in range(3))
            self.write(*(whole[a:b] for a, b in zip([0, *cuts],
                                                    [*cuts, len(whole)])))
        self.sent.extend(batch)
        batch.clear()
        if self.ws:
            self.answer()

    def wait(self, condition):
        """Until it holds; the other side may be faster."""
        patience = time.monotonic() + PATIENCE
        while not condition():
            self.check()
            assert time.monotonic() < patience, f"{self.name} waits in vain"
            if self.ws:
                self.answer()
            time.sleep(POLL)

    def pass_gate(self, name):
        self.wait(lambda: self.scene.happened(name))

    def finish(self):
        raise NotImplementedError

    def half_a_message(self):
        """The beginning of a message that never ends; no close frame fits
        behind it."""
        m = Message(self.name, len(self.writing.messages), True, 1000)
        with self.lock:
            self.check()
            self.close_sent = True
            self.begun.append(m)
            self.wire.write(b"".join(self.encode(m))[:-7])

    def start(self):
        self.threads = [threading.Thread(target=self.guarded, args=(f,),
                                         daemon=True)
                        for f in (self.listen, self.speak)]
        for t in self.threads:
            t.start()
        return self

    def guarded(self, run):
        try:
            run()
        except Exception as e:
            self.fault = self.fault or e
            self.over = self.over or "fault"
            self.spoken.set()
            with contextlib.suppress(OSError):
                self.wire.close()

    def done(self):
        for t in self.threads:
            t.join(4 * PATIENCE)
            if t.is_alive():
                self.over = "stuck"
