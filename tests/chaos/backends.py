"""The backend of a scene: it accepts connections, and each is a Peer.

How one ends (plan.end), when it has received enough or END_SECONDS have
passed:

    stay                    when the relay ends it
    fin, rst, mid           half-closed; reset; reset within a message
    close-1000 ...          a ws backend's close frame
    exit-0, exit-3, kill    a program
"""
import contextlib
import copy
import json
import os
import signal
import socket
import sys
import threading
import time

from messages import HEADER, Seen
from peers import TEXT, Server, Wire, WsPeer, frame
from relay import PATIENCE
from wires import POLL, Over, Peer, Pipes

END_SECONDS = 0.3
STUB = os.path.join(os.path.dirname(os.path.abspath(__file__)), "stub.py")


class Event:
    """What a tagged backend was told: verb, client's id, what follows."""

    def __init__(self, opcode, payload):
        payload = bytes(payload)
        self.verb, _, rest = payload.partition(b" ")
        self.id, space, rest = rest.partition(b" ")
        self.whole = bool(space) or self.verb == b"="
        self.opcode, self.payload = opcode, payload[:80]
        self.seen = self.json = None
        if self.verb == b">":
            self.seen = Seen.of(opcode, rest)
        elif self.verb in (b"+", b"-"):
            with contextlib.suppress(ValueError):
                self.json = json.loads(rest)

    def __str__(self):
        return repr(self.payload)


class Connection(Peer):
    """One connection to the backend."""

    def __init__(self, scene, plan, wire, pid=None):
        s = scene.plan
        super().__init__(scene, plan.name, wire, plan.writing, plan.reading,
                         s.backend == "ws", s.framing)
        self.plan, self.tagged, self.pid = plan, s.tagged, pid
        self.events = []        # of a tagged one, in the order they came
        self.known = {}         # id -> messages begun when its "+" came
        self.gone = set()
        self.to = []            # of each message begun: an id, or None: all
        self.kicked = {}        # id -> messages begun then
        self.opened = time.monotonic()
        self.died = False       # its end was no orderly one

    def keep(self, opcode, payload):
        if not self.tagged:
            super().keep(opcode, payload)
            return
        e = Event(opcode, payload)
        if e.verb == b"+":
            self.known[e.id] = len(self.begun)
        elif e.verb == b"-":
            self.gone.add(e.id)
        self.events.append(e)

    def received(self):
        return len(self.events) if self.tagged else \
            self.raw.count(b":") if self.framing == "raw" else len(self.seen)

    def pieces(self, m):
        prefix = b""
        if self.tagged:
            here = [i for i in list(self.known) if i not in self.gone]
            to = self.random.choice(here) if here and \
                self.random.random() < 0.4 else None
            self.to.append(to)
            prefix = b"> " + (to or b"*") + b" "
        for data in self.encode(m, prefix):
            yield data
            if self.ws and self.writing.pings and self.random.random() < 0.3:
                yield self.ping()

    def speak(self):
        if self.plan.waits:
            with contextlib.suppress(Over, AssertionError):
                self.wait(lambda: self.scene.happened("joined"))
        super().speak()

    def kick(self):
        here = [i for i in list(self.known) if i not in self.gone]
        if not here:
            return
        i = self.random.choice(here)
        self.kicked[i] = len(self.begun)
        body = b"x " + i + b" 3002 bye"
        if self.ws:
            self.write(frame(TEXT, body, mask=None))
        elif self.framing == "line":
            self.write(body + b"\n")
        else:
            self.write((len(body) + 1).to_bytes(4, "big") + b"\1" + body)

    def finish(self):
        if self.plan.kick:
            self.kick()
        end = self.plan.end
        if end == "stay":
            return
        self.wait(lambda: self.received() >= self.plan.end_after > 0 or
                  time.monotonic() > self.opened + END_SECONDS)
        self.ended = True
        if end == "fin":
            self.died = self.ws     # without a close frame
            with self.lock:
                self.wire.shut()
        elif end in ("rst", "mid", "kill"):
            self.died = True
            if end == "mid":
                self.half_a_message()
            if end == "kill":
                os.kill(self.pid, signal.SIGKILL)
            self.abort = True
        elif end.startswith("close-"):
            code = end[6:]
            self.died = code == "1011"
            self.close(None if code == "none" else int(code), "")
        elif end.startswith("exit-"):
            self.died = end != "exit-0"
            self.wire.status = int(end[5:])
            self.abort = True


class ProgramWire(Wire):
    """The stub's pipes, and the socket that says how it exits."""

    def __init__(self, control, fds):
        super().__init__(Pipes(*fds))
        self.control = control
        self.status = 0

    def reset(self):
        self.close()

    def close(self):
        # The program lets go of its pipes only when it exits.
        self.sock.close()
        with contextlib.suppress(OSError):
            self.control.sendall(bytes([self.status]))
        self.control.close()


class Backend:
    """Accepts until the scene is over; connection n follows plan n."""

    def __init__(self, scene, directory, tls):
        self.scene, self.plan = scene, scene.plan
        self.connections = []
        self.faults = []
        self.stopping = False
        kind, i = self.plan.backend, self.plan.index
        path = directory / f"s{i}.sock"
        rcvbuf = next((b.reading.rcvbuf for b in self.plan.backends), 0)
        if kind in ("unix", "exec"):
            self.server = Server(path=path, rcvbuf=rcvbuf or None)
        else:
            self.server = Server(rcvbuf=rcvbuf or None, tls=tls)
        self.uri = {
            "tcp": lambda: f"tcp://127.0.0.1:{self.server.port}",
            "ws": lambda: f"ws://127.0.0.1:{self.server.port}/x",
            "unix": lambda: f"unix:{path}",
            "exec": lambda: f"exec:{sys.executable} -I -S {STUB} {path}",
        }[kind]()
        self.server.sock.settimeout(POLL)
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        while not self.stopping:
            try:
                sock = self.server.accept_socket()
            except TimeoutError:
                continue
            except OSError:
                return
            try:
                self.connected(sock)
            except (OSError, EOFError):
                # The relay has given it up in the meantime.
                with contextlib.suppress(OSError):
                    sock.close()
            except Exception as e:
                self.faults.append(e)

    def connected(self, sock):
        n = len(self.connections)
        # After a hub has ended a client may open another one.
        plan = self.plan.backends[min(n, len(self.plan.backends) - 1)]
        if n >= len(self.plan.backends):
            plan = again(plan, n + 1)
        wire, pid = self.wire(sock, plan)
        with self.scene.beginning:
            self.connections.append(
                Connection(self.scene, plan, wire, pid).start())

    def wire(self, sock, plan):
        sock.settimeout(PATIENCE)
        if self.plan.backend == "exec":
            data, fds, _, _ = socket.recv_fds(sock, 32, 2)
            if not data:
                raise EOFError
            return ProgramWire(sock, fds), int(data)
        if self.plan.backend != "ws":
            return Wire(sock), None
        peer = WsPeer(sock)
        end = time.monotonic() + plan.accept_delay
        while time.monotonic() < end and not self.stopping:
            time.sleep(POLL)
        return peer.accept(), None

    def stop(self):
        self.stopping = True
        self.thread.join(PATIENCE)
        self.server.__exit__()
        for c in self.connections:
            c.done()


def again(plan, n):
    """The same for a further connection, with messages of its own."""
    plan = copy.deepcopy(plan)
    plan.name = f"b{n}"
    plan.writing.messages = [
        m._replace(source=plan.name, size=max(m.size, HEADER))
        for m in plan.writing.messages]
    return plan
