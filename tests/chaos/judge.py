"""The model: what may have happened in a scene, and what must have.

    for complaint in judge(scene, plan): ...     # the trial's

What was accepted is what the relay's own log counts; what a peer said and
what another got is known here. So nothing depends on who was faster.
"""
from peers import TEXT

CODES = {"shutdown": 1001, "slow": 1013, "backend-reset": 1011,
         "backend-exit": 1011, "paused": 1013}


def short(names):
    names = [str(n) for n in names]
    return ", ".join(names[:6]) + (" ..." if len(names) > 6 else "")


class Judge:
    def __init__(self, scene, trial):
        self.scene, self.plan = scene, scene.plan
        self.drained, self.cut = trial.drain > 0, trial.twice
        self.clients = scene.clients
        self.open = [c for c in scene.clients if c.state == "open"]
        self.connections = scene.connections
        self.complaints = []
        self.lines = {}
        log = scene.relay.log
        self.hub_lines = {e: log(f"hub-{e}", route=scene.route)
                          for e in ("open", "close", "lost", "reopened")}
        # Messages that a hub says it dropped, over all hubs of the scene.
        self.dropped = sum(int(x.get("dropped", 0))
                           for x in self.hub_lines["close"])

    def say(self, text):
        self.complaints.append(f"scene {self.plan.index}: {text}")

    def check(self, condition, text):
        if not condition:
            self.say(text)
        return condition

    # --- every peer ----------------------------------------------------------

    def peer(self, p):
        if p.fault:
            self.say(f"{p.name}: {type(p.fault).__name__}: {p.fault}")
        self.check(p.over != "stuck", f"{p.name}: nothing comes any more")
        # Of several pings in one read one is answered.
        self.check(len(set(p.pongs_seen)) == len(p.pongs_seen) and
                   set(p.pongs_seen) <= set(p.pings_sent),
                   f"{p.name}: pongs {p.pongs_seen}")

    def client(self, c):
        if c.fault and c.state != "open":
            self.say(f"{c.name}: {type(c.fault).__name__}: {c.fault}")
        if c.state != "open":
            self.refused(c)
            return
        self.peer(c)
        lines = self.scene.relay.log("close", id=c.id)
        if not self.check(len(lines) == 1 or self.cut and not lines,
                          f"{c.name}: {len(lines)} close lines") or not lines:
            return
        line = self.lines[c.name] = lines[0]
        self.check(line["reason"] in self.reasons(c),
                   f"{c.name}: ended by {line['reason']}")
        if self.cut:
            return
        if c.over == "eof":
            self.proper_end(c, line)
        else:
            self.check(c.over == "aborted" or c.ended and
                       c.plan.end.endswith("fin"),
                       f"{c.name}: {c.over} without a proper end")

    def reasons(self, c):
        """Whatever may have come first."""
        out = set()
        end = c.plan.end
        if end in ("close", "last"):
            out.add("client-close")
        elif end != "stay":
            out |= {"client-gone", "client-reset"}
        if self.drained:
            out.add("shutdown")
        if self.plan.mode == "hub" and self.plan.slow == "close":
            out.add("slow")
        ended = [b for b in self.connections if b.ended]
        if not self.plan.hold:
            if any(b.died for b in ended):
                out |= {"backend-reset", "backend-exit", "backend-close",
                        "backend-protocol"}
        if any(not b.died for b in ended):
            out.add("backend-close")
        if any(b.kicked for b in self.connections):
            out.add("backend-kick")
        if self.scene.paused and self.plan.mode == "hub" and \
                not self.plan.hold and self.plan.backend != "room":
            out.add("paused")
        return out

    def refused(self, c):
        ended = any(b.ended for b in self.connections)
        self.check(self.drained or ended or self.scene.paused,
                   f"{c.name}: refused: {getattr(c, 'why', None)}")

    def proper_end(self, c, line):
        f, reason = c.close_seen, line["reason"]
        if reason in ("client-gone", "client-reset") or \
                c.ended and c.plan.end.endswith("fin"):
            return
        if not self.check(f, f"{c.name}: no close frame, {reason}"):
            return
        if reason == "client-close":
            want = c.plan.code
        elif reason in CODES:
            want = CODES[reason]
        elif reason == "backend-kick":
            want = 3002
        else:
            want = int(line["code"]) if "code" in line else None
            want = None if want == 1005 else want
        self.check(f.code == want or reason == "backend-close" and
                   f.code in (want, 1000),
                   f"{c.name}: close code {f.code}, not {want}")

    # --- sequences -----------------------------------------------------------

    def prefix(self, what, seen, messages):
        """seen is the beginning of what was said."""
        for i, s in enumerate(seen):
            if i >= len(messages) or s != messages[i].seen():
                want = messages[i] if i < len(messages) else "nothing"
                self.say(f"{what}: message {i} is {s}, not {want}")
                return False
        return True

    def run(self, what, seen, messages, gaps, begin=0):
        """seen is a run of what was said; with gaps, any subsequence. Looks
        from begin on. Returns (first, behind last), None if it is empty."""
        said = [m.seen() for m in messages]
        if not seen:
            return None
        if not gaps:
            for i in range(begin, len(said) - len(seen) + 1):
                if said[i:i + len(seen)] == seen:
                    return i, i + len(seen)
        first = at = None
        for n, s in enumerate(seen):
            try:
                i = said.index(s, begin if at is None else at)
            except ValueError:
                i = None
            if i is None or not gaps and at is not None and i > at:
                where = "first" if at is None else f"after message {at - 1}"
                self.say(f"{what}: {s} {where}, {n} of {len(seen)}" +
                         ("" if i is None else f"; it is message {i}"))
                return None
            first = i if first is None else first
            at = i + 1
        return first, at

    def holes(self, seen, messages, begin):
        """How many of what was said are missing within seen, which run()
        has found there. Messages that are too short to say who they are may
        look alike: the fewest that are possible."""
        said = [m.seen() for m in messages]
        fewest = len(said)
        for first in range(begin, len(said) - len(seen) + 1):
            if said[first] != seen[0]:
                continue
            at = first
            try:
                for s in seen:
                    at = said.index(s, at) + 1
            except ValueError:
                break
            fewest = min(fewest, at - first - len(seen))
        return fewest

    # --- pairs ---------------------------------------------------------------

    def pair(self):
        c = self.clients[0]
        if c.state != "open" or c.name not in self.lines:
            return
        line = self.lines[c.name]
        if self.plan.backend == "echo":
            self.echo(c, line)
            return
        if not self.check(len(self.connections) == 1 or self.cut,
                          f"{len(self.connections)} backend connections") \
                or not self.connections:
            return
        b = self.connections[0]
        self.way("to the backend", c, b, line, "client")
        self.way("to the client", b, c, line, "backend")

    def echo(self, c, line):
        self.prefix("echo", c.seen, c.begun)
        if self.lived(c) and c.close_seen:
            self.check(len(c.seen) == int(line["client_messages"]),
                       f"echo: {len(c.seen)} of {line['client_messages']}")
        if line["reason"] == "client-close" and not self.cut:
            self.check(len(c.seen) == len(c.sent),
                       f"echo: {len(c.seen)} of {len(c.sent)} sent")

    def lived(self, p):
        """It read until the other side's end."""
        return p.over == "eof" and not self.cut and \
            not (p.ended and getattr(p, "died", 0))

    def way(self, what, source, sink, line, side):
        accepted = int(line[f"{side}_messages"])
        n = int(line[f"{side}_bytes"])
        dropped = int(line[f"{side}_dropped"])
        ended_well = not self.cut and line["reason"] == (
            "client-close" if side == "client" else "backend-close")
        if side == "client" and "w" not in source.plan.perm:
            return
        if side == "backend" and "r" not in sink.plan.perm:
            return
        if sink.framing == "raw" or source.framing == "raw":
            self.raw(what, source, sink, n, dropped, ended_well)
            return
        self.prefix(what, sink.seen, source.begun)
        got = sum(s.size for s in sink.seen)
        if self.lived(sink) and (side == "client" or sink.close_seen):
            self.check(len(sink.seen) == accepted, f"{what}: "
                       f"{len(sink.seen)} of {accepted} accepted messages")
            part = len(sink.part[1]) if sink.part else 0
            self.check(got + part + dropped >= n,
                       f"{what}: {n} bytes came, {got + part} arrived, "
                       f"{dropped} are counted as dropped")
        if ended_well:
            self.check(accepted == len(source.sent),
                       f"{what}: {accepted} of {len(source.sent)} sent "
                       f"were accepted")
            if source.sent == source.begun:
                self.check(dropped == 0, f"{what}: {dropped} dropped")

    def raw(self, what, source, sink, n, dropped, ended_well):
        said = b"".join(m.body() for m in source.begun)
        if sink.part:
            sink.raw += sink.part[1]
        size, same = len(sink.raw), said.startswith(bytes(sink.raw))
        self.check(same, f"{what}: the bytes are others")
        if self.lived(sink) and (sink.framing == "raw" or sink.close_seen):
            self.check(size + dropped >= n and size <= n,
                       f"{what}: {size} of {n} bytes, {dropped} dropped")
        if ended_well and source.sent == source.begun:
            self.check(n == len(said) and dropped == 0,
                       f"{what}: {n} of {len(said)} bytes, {dropped} dropped")

    # --- hubs: to the backend ------------------------------------------------

    def hub_input(self, c):
        """What of a client's messages reached the backend's connections."""
        line = self.lines.get(c.name)
        if line is None or "w" not in c.plan.perm:
            return
        accepted = int(line["client_messages"])
        denied = int(line.get("denied", 0))
        gaps = self.plan.input == "driver"
        at, got = 0, 0
        for b in self.connections:
            mine = self.from_client(b, c)
            what = f"{c.name} to {b.name}"
            # What a hub drops at a loss it counts.
            ends = self.run(what, mine, c.begun,
                            gaps or self.plan.hold and self.dropped, at)
            if ends and not gaps:
                self.check(self.holes(mine, c.begun, at) <= self.dropped,
                           f"{what}: {len(mine)} of the messages {ends}; "
                           f"dropped={self.dropped}")
            at = ends[1] if ends else at
            got += len(mine)
        self.check(got + denied <= accepted,
                   f"{c.name}: {got} arrived, {accepted} accepted")
        last = self.connections[-1] if self.connections else None
        # What comes when the backend has ended its side is lost with it.
        if not last or not self.lived(last) or last.ended:
            return
        alone = len(self.connections) == 1
        lost = accepted - denied - got
        if gaps:
            pass        # who drives is the home's to say: see taken()
        elif self.ended_by_pause():
            pass        # what was on its way to a hub that ended is lost
        elif self.only_paused():
            self.check(lost <= self.dropped, f"{c.name}: {lost} of {accepted} "
                       f"accepted messages did not reach a backend, which "
                       f"was paused only; dropped={self.dropped}")
        elif alone and not self.hub_lines["lost"]:
            self.check(lost == 0, f"{c.name}: {lost} of {accepted} accepted "
                       f"messages did not reach {last.name}, which lived; "
                       f"dropped={self.dropped}")
        elif len(self.connections) == len(self.plan.backends):
            self.after_loss(c, last, accepted)
        if line["reason"] == "client-close" or \
                line["reason"] == "client-gone" and c.plan.end == "fin":
            self.check(accepted == len(c.sent), f"{c.name}: {accepted} of "
                       f"{len(c.sent)} sent were accepted")

    def ended_by_pause(self):
        return any(x["reason"] == "paused" for x in self.hub_lines["close"])

    def only_paused(self):
        """One hub, that has lost its backend by pauses only, if at all."""
        lost = self.hub_lines["lost"]
        return self.scene.paused and len(self.hub_lines["open"]) == 1 and \
            lost and all(x["reason"] == "paused" for x in lost)

    def taken(self):
        """What the hub took is what arrived."""
        b = self.connections[-1] if self.connections else None
        if not b or not self.lived(b) or b.ended or self.hub_lines["lost"] \
                or len(self.connections) > 1:
            return
        taken = sum(int(x["member_messages"])
                    for x in self.hub_lines["close"])
        got = len([e for e in b.events if e.verb == b">"]) \
            if self.plan.tagged else len(b.seen)
        self.check(got == taken, f"{got} of {taken} messages that the hub "
                   f"took reached {b.name}; dropped={self.dropped}")

    def after_loss(self, c, last, accepted):
        """What was sent when the last loss was known is not lost with it."""
        if c.mark is None:
            return
        want = [m.seen() for m in c.begun[c.mark:accepted]]
        mine = self.from_client(last, c)
        missing = len(want) - len([s for s in mine if s in want])
        missing = min(missing, len(want))
        if missing <= 0:
            return
        # A hub may end before it has a trunk again, and of a client that
        # has left before that a new one is not told.
        told = not self.plan.tagged or c.id.encode() in last.known
        opened = len(self.hub_lines["reopened"]) >= self.plan.losses
        self.check(not (told and opened) and missing <= self.dropped,
                   f"{c.name}: {missing} messages that were sent after the "
                   f"loss did not reach {last.name}; dropped={self.dropped}")

    def from_client(self, b, c):
        if self.plan.tagged:
            return [e.seen for e in b.events
                    if e.verb == b">" and e.id == c.id.encode()]
        tiny = self.clients[0].name     # only it sends what is too short
        return [s for s in b.seen
                if (s.origin() or (tiny,))[0] == c.name]

    def no_strangers(self, b):
        """Everything that came is of a client that was there."""
        names = {c.name for c in self.open}
        for s in b.seen:
            origin = s.origin()
            self.check(origin is None or origin[0] in names,
                       f"{b.name} got {s}")

    # --- tagged --------------------------------------------------------------

    def tagged(self, b):
        ids = {c.id.encode(): c for c in self.open}
        there, left, driver = set(), set(), None
        for e in b.events:
            what = f"{b.name} was told {e}"
            if not self.check(e.whole and e.verb in (b"+", b"-", b">", b"="),
                              f"{what}: malformed"):
                continue
            if e.verb != b">":
                self.check(e.opcode == TEXT, f"{what}: not a text")
            if e.verb == b"+":
                self.check(e.id not in there | left, f"{what}: again")
                there.add(e.id)
                self.joined(what, e, ids.get(e.id))
            elif e.verb == b"=":
                self.check(self.plan.input == "driver" and e.id != driver and
                           (e.id == b"-" or e.id in there),
                           f"{what}: driver {driver}, there {short(there)}")
                driver = e.id
            else:
                self.check(e.id in there, f"{what}: "
                           f"{'it has left' if e.id in left else 'unknown'}")
            if e.verb == b"-":
                there.discard(e.id)
                left.add(e.id)
                self.left(what, e, ids.get(e.id))

    def joined(self, what, e, c):
        j = e.json
        if not self.check(isinstance(j, dict), f"{what}: no object"):
            return
        self.check(j.get("path") == self.scene.path and
                   (not c or j.get("sub") == c.name and
                    j.get("perm") == c.plan.perm), f"{what}: {j}")
        # A client that gave up meanwhile has no id here.
        self.check(c or len(self.open) < len(self.clients),
                   f"{what}: who is that?")

    def left(self, what, e, c):
        line = c and self.lines.get(c.name)
        self.check(isinstance(e.json, dict) and
                   (not line or e.json.get("reason") == line["reason"]),
                   f"{what}: {e.json}")

    # --- hubs: to the clients ------------------------------------------------

    def hub_output(self, c):
        line = self.lines.get(c.name)
        if line is None:
            return
        if "r" not in c.plan.perm:
            self.check(not c.seen, f"{c.name} may not read, got {c.seen[:2]}")
            return
        gaps = self.plan.slow != "close"
        sources = {b.name: self.said_to(b, c) for b in self.connections}
        if not self.connections:
            sources = {x.name: (x.begun, 0, 0) for x in self.open
                       if x is not c or self.plan.backend == "echo"}
        order = []
        # Only the first sends what is too short to say where it is from.
        tiny = (self.connections or self.clients)[0].name
        for name, (messages, start, _) in sources.items():
            mine = [s for s in c.seen if (s.origin() or (tiny,))[0] == name]
            ends = self.run(f"{name} to {c.name}", mine, messages, gaps)
            # In a room it is not known who was first.
            if ends and not gaps and self.connections:
                self.check(ends[0] <= start, f"{name} to {c.name}: begins "
                           f"with message {ends[0]}, not {start} or before")
            order.append((name, mine, ends))
        known = sum(len(mine) for _, mine, _ in order)
        self.check(known == len(c.seen), f"{c.name}: {len(c.seen) - known} "
                   f"messages from elsewhere")
        if self.connections:
            self.newest(c, line, sources, order, gaps)

    def said_to(self, b, c):
        """(messages of b for c, where they must begin, how many are sent)"""
        tag = c.id.encode()
        if not self.plan.tagged:
            start = c.base.get(b.name, 0)
            return b.begun, start, len(b.sent)
        until = b.kicked.get(tag, len(b.begun))
        pairs = [(i, m) for i, (m, to) in enumerate(zip(b.begun, b.to))
                 if to in (None, tag) and i < until]
        since = b.known.get(tag, len(b.begun))
        start = len([i for i, _ in pairs if i < since])
        sent = len([i for i, _ in pairs if i < len(b.sent)])
        return [m for _, m in pairs], start, sent

    def newest(self, c, line, sources, order, gaps):
        """An orderly end comes behind everything."""
        if len(self.connections) > len(self.plan.backends) or \
                not self.lived(c) or c.plan.end.endswith("fin") and c.ended:
            return      # whose hub was which is not known
        name, mine, ends = order[-1]
        b = self.connections[-1]
        messages, start, sent = sources[name]
        kicked = line["reason"] == "backend-kick"
        if line["reason"] == "backend-close" and b.ended and not b.died or \
                kicked or c.last_of is b and not b.died and \
                line["reason"] == "client-close" and self.lived(b):
            if start < sent and (not kicked or c.id.encode() in b.kicked):
                self.check(mine and mine[-1] == messages[sent - 1].seen(),
                           f"{c.name}: {b.name} said {sent}, it got "
                           f"{ends and ends[1]}")
        dropped = int(line.get("messages_dropped", 0))
        self.check(gaps or dropped == 0,
                   f"{c.name}: slow = close, and {dropped} dropped")
        missing = sum(self.missing(messages, mine)
                      for name, mine, _ in order
                      for messages in self.apart(sources[name][0], name, c))
        if gaps:
            self.check(missing <= dropped or self.plan.replay,
                       f"{c.name}: {missing} missing, {dropped} dropped")

    def apart(self, messages, name, c):
        """What was for it alone is counted apart from what was for all."""
        if not self.plan.tagged:
            return [messages]
        b = next(b for b in self.connections if b.name == name)
        to = {m.seq: to for m, to in zip(b.begun, b.to)}
        return [[m for m in messages if (to[m.seq] is None) == everybody]
                for everybody in (True, False)]

    @staticmethod
    def missing(messages, seen):
        """Between the first and the last, of those that say who they are."""
        said = [s for s in (m.seen() for m in messages) if s.origin()]
        known = set(said)
        got = [s for s in seen if s in known]
        if not got:
            return 0
        return said.index(got[-1]) - said.index(got[0]) + 1 - len(got)

    # --- all -----------------------------------------------------------------

    def hub(self):
        lines = self.hub_lines
        self.check(len(lines["open"]) <= len(lines["close"]),
                   f"{len(lines['open'])} hubs, {len(lines['close'])} ended")
        for c in self.open:
            if self.connections:
                self.hub_input(c)
            self.hub_output(c)
        self.taken()
        for b in self.connections:
            if self.plan.tagged:
                self.tagged(b)
            else:
                self.no_strangers(b)
        same_order(self, [c for c in self.open if "r" in c.plan.perm])

    def all(self):
        for c in self.clients:
            self.client(c)
        for b in self.connections:
            self.peer(b)
            if self.cut or self.lived(b) or b.over == "aborted":
                continue
            # One that never was anybody's may be dropped anyhow.
            self.check(b.over == "eof" or b.died or not self.open or
                       not b.read_bytes,
                       f"{b.name}: {b.over} without a proper end")
        if self.scene.backend:
            for e in self.scene.backend.faults:
                self.say(f"backend: {type(e).__name__}: {e}")
        (self.pair if self.plan.mode == "pair" else self.hub)()
        return self.complaints


def same_order(j, clients):
    """What two clients got, they got in the same order."""
    if j.connections:
        return      # one source: each is compared with that
    for a, b in zip(clients, clients[1:]):
        both = {s for s in a.seen if s.origin()} & \
            {s for s in b.seen if s.origin()}
        one = [s for s in a.seen if s in both]
        two = [s for s in b.seen if s in both]
        j.check(one == two, f"{a.name} and {b.name} got another order")


def judge(scene, trial):
    return Judge(scene, trial).all()
