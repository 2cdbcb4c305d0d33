"""Plays a scene: its clients, and what they wait for.

How a client ends (plan.end), when it has said everything:

    close               with a close frame
    last                the same when the others are gone and all that the
                        backend said has come
    fin, rst            half-closed; reset
    mid-fin, mid-rst    the same within a message
    stay                when the other side ends it
"""
import contextlib
import threading
import time

from peers import Client
from relay import PATIENCE, mint, wait_for
from wires import POLL, Peer

SETTINGS = ("framing", "addressing", "on_backend_loss", "input", "slow",
            "replay", "queue_limit", "max_message", "linger",
            "message_rate", "max_rate", "ping_interval")
HUB_ONLY = ("addressing", "on_backend_loss", "input", "slow", "replay",
            "max_rate", "linger")
# Nothing here may end by a clock: the machine may be slow.
CLOCKS = """close_timeout = 10m
connect_timeout = 10m
ping_timeout = 1h
hold_timeout = 1h
"""


class ChaosClient(Peer):
    def __init__(self, scene, plan):
        self.plan, self.scene = plan, scene
        self.name, self.state, self.id = plan.name, "new", None
        self.over = None
        self.mark = None    # messages sent before the last loss was known
        self.last_of = None  # the connection whose newest message it has
        self.base = {}      # backend's connection -> it had begun so many
        self.fault = None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            self.connect()
        except Exception as e:
            self.fault = e
            self.state = "refused"

    def connect(self):
        if self.plan.late:
            end = time.monotonic() + PATIENCE
            while not self.scene.is_time_for_late() and \
                    time.monotonic() < end:
                time.sleep(POLL)
        r, path = self.scene.relay, self.scene.path
        try:
            wire = Client(r, path, wait=False, tls=r.secure,
                          rcvbuf=self.plan.reading.rcvbuf or None,
                          token=mint(path, perm=self.plan.perm,
                                     sub=self.plan.name))
            wire.sock.settimeout(4 * PATIENCE)
            wire.answer()
        except (OSError, EOFError) as e:
            self.state, self.why = "refused", e
            return
        if wire.status != 101:
            self.state, self.why = "refused", (wire.status, wire.body)
            return
        self.id = wire.id
        wire.sock.settimeout(PATIENCE)
        with self.scene.beginning:
            self.base = {b.name: len(b.begun)
                         for b in self.scene.connections}
        super().__init__(self.scene, self.plan.name, wire,
                         self.plan.writing, self.plan.reading, True)
        self.start()
        self.state = "open"

    def pass_gate(self, name):
        # A hub that ended before its time leaves losses out.
        self.wait(lambda: self.scene.happened(name) or
                  len(self.scene.connections) > self.scene.plan.losses)
        losses = self.scene.plan.losses
        if name in (f"lost{losses}", f"open{losses + 1}") and \
                self.scene.happened(name):
            self.mark = len(self.begun)

    def finish(self):
        end = self.plan.end
        if end == "stay":
            return
        if end == "last":
            self.wait(self.is_last)
        self.ended = True
        if end in ("close", "last"):
            self.close(self.plan.code, "done" if self.plan.code else "")
            return
        if end.startswith("mid"):
            self.half_a_message()
        if end.endswith("fin"):
            with self.lock:
                self.wire.shut()
        else:
            self.abort = True

    def is_last(self):
        """The others are gone, and the newest message is here."""
        others = [c for c in self.scene.clients if c is not self]
        if not all(c.over or c.state == "refused" for c in others):
            return False
        if not self.scene.backend or "r" not in self.plan.perm:
            return True
        if not self.scene.connections:
            return False        # a program that is still starting
        b = self.scene.connections[-1]
        if not b.spoken.is_set():
            return False
        tag = self.id.encode()
        since = b.known.get(tag, len(b.sent)) if b.tagged else \
            self.base.get(b.name, 0)
        mine = [m for m, to in zip(b.sent[since:],
                                   (b.to or [None] * len(b.sent))[since:])
                if to in (None, tag)]
        if not b.died and mine and (not self.seen or
                                    self.seen[-1] != mine[-1].seen()):
            return False
        self.last_of = b
        return True

    def done(self):
        self.thread.join(5 * PATIENCE)
        if self.state == "open":
            super().done()


class Scene:
    def __init__(self, plan, backend):
        self.plan, self.backend = plan, backend
        self.path = f"/s{plan.index}"
        self.route = f"s{plan.index}"
        self.relay = None
        self.clients = []
        self.paused = False     # it has been, at least once
        # A connection of the backend begins: it may have said something.
        self.beginning = threading.Lock()

    @property
    def broken(self):
        """The daemon has ended: nobody waits for anything any more."""
        return self.relay.process.poll() is not None

    @property
    def connections(self):
        return self.backend.connections if self.backend else []

    def ini(self):
        s = self.plan.settings
        uri = self.backend.uri if self.backend else f"{s['backend']}:"
        lines = [f"[route {self.route}]", f"path = {self.path}",
                 f"backend = {uri}", f"mode = {s['mode']}"]
        for key in SETTINGS:
            if s[key] == "none" or (s["mode"] == "pair" and key in HUB_ONLY):
                continue
            lines.append(f"{key} = {s[key]}")
        return "\n".join(lines) + "\n" + CLOCKS

    def happened(self, event):
        if event == "joined":
            return all(c.state != "new" for c in self.clients
                       if not c.plan.late)
        n = int(event[4:])
        if event.startswith("open"):
            return len(self.connections) >= n
        return len(self.relay.log("hub-lost", route=self.route)) >= n

    def is_time_for_late(self):
        """Something has reached a client, or nothing will."""
        others = [c for c in self.clients if not c.plan.late]
        return any(c.over or c.state == "refused" or
                   getattr(c, "seen", None) for c in others) or \
            all(b.spoken.is_set() for b in self.connections) and \
            self.happened("joined")

    def start(self, relay):
        self.relay = relay
        for plan in self.plan.clients:
            self.clients.append(ChaosClient(self, plan))

    def done(self):
        """Waits for everybody's end; lines of the log come a moment later."""
        for c in self.clients:
            c.done()
        for b in self.connections:
            b.done()

    def settle(self):
        """The log has a last line for each client and for each hub."""
        def all_there():
            if self.broken:
                return True
            for c in self.clients:
                if c.id and not self.relay.log("close", id=c.id):
                    return False
            opened = len(self.relay.log("hub-open", route=self.route))
            return len(self.relay.log("hub-close", route=self.route)) >= opened
        with contextlib.suppress(AssertionError):
            wait_for(all_there, "the last lines of the log")
