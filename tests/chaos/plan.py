"""What a trial is: drawn from its seed, and from nothing else.

    plan = trial(seed, {"framing": "line"})     # as --only says

A trial is one daemon; a scene is a route of it, with a backend and clients
that nobody else uses. Scenes run beside each other.
"""
import random
from dataclasses import dataclass, field

from messages import HEADER, Message

SMALL = (0, 1, HEADER, 20, 125, 126, 127, 700, 1000)
EDGES = (16384, 65535, 65536, 65537)
LARGE = (100000, 260 * 1024 + 1, 300000)
VOLUME = 1 << 20        # of one sender, or it has few messages
K, M = 1 << 10, 1 << 20


@dataclass
class Writing:
    """What a peer says, and how the bytes of it are cut."""
    messages: list
    # Messages are sent one by one, all in one write, or cut anywhere.
    style: str = "each"
    fragments: int = 1
    pings: bool = False
    # Index of a message -> what is waited for in front of it: "lost1", "open2"
    gates: dict = field(default_factory=dict)


@dataclass
class Reading:
    rcvbuf: int = 0                 # 0: the kernel's own
    stalls: list = field(default_factory=list)  # (bytes read, seconds)


@dataclass
class ClientPlan:
    name: str
    perm: str
    writing: Writing
    reading: Reading
    end: str            # see scene.py
    code: int
    late: bool


@dataclass
class BackendPlan:
    """One connection to the backend."""
    name: str
    writing: Writing
    reading: Reading
    end: str            # "stay", or how it ends: see backends.py
    end_after: int      # messages received; or END_SECONDS, if that is sooner
    waits: bool         # it speaks when all clients are there
    accept_delay: float
    kick: bool


@dataclass
class ScenePlan:
    index: int
    settings: dict
    clients: list
    backends: list      # the first, and those after a loss
    ender: str

    def __getattr__(self, key):
        try:
            return self.__dict__["settings"][key]
        except KeyError:
            raise AttributeError(key) from None


@dataclass
class Plan:
    seed: int
    workers: int
    tls: bool
    drain: float        # seconds until SIGTERM; 0: when all is over
    twice: bool         # a second SIGTERM follows, which ends it at once
    reloads: list       # of (seconds after the one before, whether it changes)
    commands: list      # of (seconds after the one before, what, scene)
    scenes: list


class Impossible(Exception):
    """What --only demands does not go together."""


class Draw:
    def __init__(self, seed, only):
        self.random = random.Random(seed)
        self.only = only
        self.drawn = {}

    def __call__(self, key, options):
        allowed = self.only.get(key)
        if allowed:
            options = [o for o in options if str(o) in allowed]
        if not options:
            raise Impossible(key)
        self.drawn[key] = self.random.choice(options)
        return self.drawn[key]


# --- what is said ------------------------------------------------------------

def sizes(r, count, largest, tiny):
    kinds = r.choice([SMALL, SMALL, SMALL + EDGES, EDGES, LARGE + SMALL,
                      SMALL + EDGES + LARGE + (largest,)])
    out, total = [], 0
    for _ in range(count):
        n = min(r.choice(kinds), largest)
        if n < HEADER and not tiny:
            n = HEADER + n
        total += n
        if total > VOLUME and len(out) > 3:
            n = HEADER + r.randrange(100)
        out.append(n)
    return out


def writing(d, source, count, largest, texts, tiny):
    r = d.random
    binary = r.choice([0, 0.5, 1]) if not texts else 0
    messages = [Message(source, i, r.random() >= binary, n)
                for i, n in enumerate(sizes(r, count, largest, tiny))]
    return Writing(messages, r.choice(["each", "each", "batch", "cut"]),
                   r.choice([1, 1, 2, 5]), r.random() < 0.3)


def reading(d):
    r = d.random
    stalls = []
    if r.random() < 0.5:
        stalls.append((r.choice([0, 0, 1, 5000, 100000]),
                       r.choice([0.02, 0.1, 0.3])))
    return Reading(r.choice([0, 0, 16384, 65536]), stalls)


# --- the scene ---------------------------------------------------------------

LOSSES = {"tcp": ("fin", "rst", "mid"), "unix": ("fin", "rst", "mid"),
          "ws": ("fin", "rst", "mid", "close-1011"),
          "exec": ("exit-3", "kill")}
ORDERLY = {"tcp": ("fin",), "unix": ("fin",), "exec": ("exit-0",),
           "ws": ("close-1000", "close-3001", "close-none")}


def draw_settings(d, drain):
    mode = d("mode", ["pair", "hub", "hub"])
    kinds = ["tcp", "unix", "ws", "exec", "echo"]
    kind = d("backend", kinds if mode == "pair" else kinds + ["room"])
    stream = kind in ("tcp", "unix", "exec")
    hub, alone = mode == "hub", kind in ("echo", "room")
    framing = d("framing", (["line", "len32"] + ["raw"] * (not hub))
                if stream else ["none"])
    tagged = d("addressing", ["none", "tagged"] if hub and not alone
               else ["none"]) == "tagged"
    hold = d("on_backend_loss", ["close", "hold"] if hub and not alone
             else ["close"]) == "hold"
    losses = d("losses", [0, 1, 1, 2] if hold else [0])
    d("input", ["all", "all", "driver"] if hub else ["all"])
    d("slow", ["close", "drop-old", "latest"] if hub else ["close"])
    d("replay", [0, 0, 1, 5] if hub else [0])
    d("queue_limit", [K, 16 * K, 64 * K, M])
    d("message_rate", [0] * 5 + [50])
    d("max_rate", [0] * 5 + [100] if hub else [0])
    d("max_message", [65536, 300000, M])
    d("linger", ["0", "50ms", "300ms"] if hub else ["0"])
    d("ping_interval", ["24h", "24h", "100ms"] if kind != "echo" else ["24h"])
    enders = ["clients"]
    if drain:
        enders.append("daemon")
    if not alone and not (hold and kind in ("tcp", "unix")):
        enders.append("backend")
    ender = d("ender", enders)
    ends = ORDERLY.get(kind, ())
    if not hold:
        ends = ends + LOSSES.get(kind, ())
    elif kind == "ws":
        ends = ("close-1000", "close-none")     # another code is a loss
    d("backend_end", ends if ender == "backend" else ["stay"])
    assert losses == 0 or hold
    d.drawn["tagged"] = tagged
    d.drawn["hold"] = hold
    return d.drawn


def draw_client(d, i, n):
    r, s = d.random, d.drawn
    hub = s["mode"] == "hub"
    ends = ["close", "close", "close", "fin", "rst", "mid-fin", "mid-rst"]
    if s["ender"] == "clients":
        if hub and i == 0:
            ends = ends + ["last"] * 7
    else:
        ends = ends + ["stay"] * 10
    perm = r.choice(["rw"] * 6 + ["r", "w"]) if hub or i else "rw"
    count = r.choice([0, 1, 3, 10, 40, 100]) if "w" in perm else 0
    w = writing(d, f"c{i}", count, s["max_message"], s["framing"] == "line",
                tiny=not hub or s["tagged"] or i == 0)
    cuts = sorted(r.randrange(count + 1) for _ in range(s["losses"]))
    for loss, cut in enumerate(cuts, 1):
        w.gates[cut] = r.choice([f"lost{loss}", f"open{loss + 1}"])
    return ClientPlan(f"c{i}", perm, w, reading(d), d("end", ends),
                      r.choice([1000, 3001, None]), hub and 0 < i == n - 1 and
                      r.random() < 0.3)


def draw_backend(d, i, last):
    r, s = d.random, d.drawn
    hub = s["mode"] == "hub"
    count = r.choice([0, 1, 3, 10, 40, 100, 300])
    w = writing(d, f"b{i}", count, 300000 if hub else M,
                s["framing"] == "line", tiny=not hub or i == 1)
    end = s["backend_end"] if last else r.choice(LOSSES[s["backend"]])
    return BackendPlan(f"b{i}", w, reading(d), end,
                       r.choice([0, 0, 1, 5, 50]), r.random() < 0.6,
                       r.choice([0, 0, 0.1]), s["tagged"] and
                       r.random() < 0.2)


def scene(seed, index, only, drain):
    for attempt in range(1000):
        d = Draw(f"{seed}/{index}/{attempt}", only)
        try:
            s = draw_settings(d, drain)
            n = 1 if s["mode"] == "pair" else d("clients", [1, 2, 3, 5])
            clients = [draw_client(d, i, n) for i in range(n)]
        except Impossible as e:
            key = e
            continue
        backends = []
        if s["backend"] not in ("echo", "room"):
            backends = [draw_backend(d, i + 1, i == s["losses"])
                        for i in range(s["losses"] + 1)]
        return ScenePlan(index, s, clients, backends, s["ender"])
    raise Impossible(key)


def draw_reloads(d):
    r = d.random
    return [(r.choice([0, 0.01, 0.05, 0.2]), r.random() < 0.5)
            for _ in range(d("reloads", [0, 1, 3, 20]))]


def draw_commands(d, scenes):
    """A pause is followed by a resume; where the backend is lost, too, the
    plan of its connections would be another."""
    r = d.random
    quiet = [s.index for s in scenes if s.losses == 0]
    out = []
    for _ in range(d("pauses", [0, 0, 1, 3])):
        if quiet:
            i = r.choice(quiet)
            out.append((r.choice([0, 0.02, 0.1, 0.3]), "pause", i))
            out.append((r.choice([0, 0.02, 0.2]), "resume", i))
    for _ in range(d("drives", [0, 0, 2, 5])):
        out.insert(r.randrange(len(out) + 1), (
            r.choice([0, 0.02, 0.1]), "drive", r.choice(scenes).index))
    return out


def trial(seed, only):
    for attempt in range(1000):
        d = Draw(f"{seed}/{attempt}", only)
        try:
            workers = d("workers", [1, 2, 3])
            tls = d("tls", ["no", "no", "yes"]) == "yes"
            drain = d("drain", [0, 0, 0, 0.05, 0.2, 0.5])
            twice = d("twice", ["no"] * 5 + ["yes"] if drain else ["no"])
            scenes = [scene(seed, i, only, drain)
                      for i in range(d("scenes", [1, 2, 3, 4]))]
            return Plan(seed, workers, tls, drain, twice == "yes",
                        draw_reloads(d), draw_commands(d, scenes), scenes)
        except Impossible as e:
            key = e
    raise Impossible(key)
