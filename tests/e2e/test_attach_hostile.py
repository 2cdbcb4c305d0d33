"""Simulations that attach and mean no good, and those that come and go at
random: nobody else notices. See floods.py for what that is."""
import contextlib
import itertools
import random
import signal
import threading

import pytest

from floods import BOOKS, LEAN, LEAST, MB, Fair, ask, pump, repeated
from peers import CLOSE, PING, TEXT, Background, Client, Wire, frame
from rawhttp import head, upgrade
from relay import KEY, RUNNER, mint, wait_for
from secure import SECURE

PROTOCOL = "wsrelay.attach.v1"
SMALL = repeated(frame(TEXT, "x"))
# What is taken of somebody whose messages go nowhere: some MiB, and what lies
# in the buffers of two kernels.
UNENDING = 64 * MB

compares_times = [
    pytest.mark.alone("compares times"),
    pytest.mark.plain("the clients' own TLS would be the flood"),
    pytest.mark.skipif(bool(RUNNER), reason="valgrind is its own flood")]


def alone(test):
    for mark in compares_times:
        test = mark(test)
    return test


def ini(*route, attach=()):
    return "\n".join([
        KEY, "[attach sims]", "path = /attach/{user}/{id}", *attach,
        "[route sim]", "path = /sim/{user}/{id}", "backend = attach:sims",
        "mode = hub", "auth = none", *route, ""])


def serve(path, sub="anna", **claims):
    return mint(path, perm="serve", sub=sub, **claims)


def place(n=1):
    return f"/attach/anna/{n}", f"/sim/anna/{n}"


def attach(r, n=1, sub="anna", **options):
    path = place(n)[0]
    return Client(r, path, token=serve(path, sub), **options)


def watch(r, n=1, **options):
    return Client(r, place(n)[1], **options)


@pytest.fixture
def fair(relay, tmp_path):
    started = []

    def start(*args, **options):
        f = Fair(relay, tmp_path, *args, **options)
        started.append(f)
        return f
    yield start
    for f in started:
        f.close()


# --- floods -------------------------------------------------------------------

@alone
@pytest.mark.parametrize("replay", [0, 1000])
def test_flood_that_nobody_watches(fair, replay):
    """It is read, and what is kept is bounded."""
    f = fair(ini(f"replay = {replay}"))
    sim = attach(f.r)
    assert f.flood(pump, {sim.sock: SMALL}, [sim.sock],
                   connections=2).sent > LEAST


@alone
@pytest.mark.parametrize("slow", ["close", "drop-old", "latest"])
def test_flood_while_one_reads_nothing(fair, slow):
    """Another one gets what is said."""
    f = fair(ini(f"slow = {slow}"), workers=2)
    sim = attach(f.r)
    stuck, good = watch(f.r, rcvbuf=4096), watch(f.r)
    got = f.flood(pump, {sim.sock: SMALL}, [sim.sock, good.sock],
                  connections=3)
    assert got.sent > LEAST and got.received > 0
    stuck.close()


@alone
def test_floods_at_many_places(fair):
    f = fair(ini("replay = 10"), workers=2)
    sims = [attach(f.r, i) for i in range(40)]
    assert f.flood(pump, {x.sock: SMALL for x in sims},
                   [x.sock for x in sims], connections=40).sent > LEAST


@alone
def test_floods_of_pings(fair):
    f = fair(ini())
    sim = attach(f.r)
    assert f.flood(pump, {sim.sock: repeated(frame(PING))}, [sim.sock],
                   connections=1).sent > LEAST


@alone
@pytest.mark.parametrize("addressing", ["none", "tagged"])
def test_a_simulation_that_reads_nothing(fair, addressing):
    """Its clients are not read any more, beyond queue_limit; others are."""
    f = fair(ini(f"addressing = {addressing}"), workers=2)
    sim = attach(f.r, rcvbuf=4096)
    clients = [watch(f.r) for _ in range(4)]
    sent = f.flood(pump, {c.sock: SMALL for c in clients},
                   connections=5).sent
    assert LEAST < sent < UNENDING
    sim.reset()
    for c in clients:       # it is a loss as any other
        assert c.recv().opcode == CLOSE


@alone
def test_a_simulation_that_reads_nothing_and_is_replaced(fair):
    """What waits is lost with its connection; the next one is read again."""
    f = fair(ini("on_backend_loss = hold"))
    sim = attach(f.r, rcvbuf=4096)
    c = watch(f.r)
    assert f.flood(pump, {c.sock: SMALL}, connections=2).sent < UNENDING
    again = attach(f.r)
    assert f.flood(pump, {c.sock: SMALL}, [again.sock],
                   connections=2).received > 0
    sim.close()


# --- tagged -------------------------------------------------------------------

MALFORMED = ["", ">", "> ", ">  ", "> *", "x", "x ", "x *", "x * 1 2", "= a",
             "+ a {}", "- a", "> 0000000000000", "> nobody hello", "> \0 a",
             "x nobody 1000 bye", "> " + "0" * 4000, "\x7f" * 200]


@alone
def test_malformed_lines(fair):
    """Passed over, counted, and told of once for each kind."""
    f = fair(ini("addressing = tagged"))
    sim = attach(f.r)
    c = watch(f.r)
    flood = repeated(b"".join(frame(TEXT, x) for x in MALFORMED))
    assert f.flood(pump, {sim.sock: flood}, [sim.sock],
                   connections=2).sent > LEAST
    lines = f.r.log("backend-malformed")
    assert 0 < len(lines) < len(MALFORMED)
    sim.close()     # within a frame, as it may be
    assert c.recv().opcode == CLOSE


def test_malformed_lines_are_for_nobody(relay):
    r = relay(ini("addressing = tagged"))
    sim = attach(r)
    c = watch(r)
    for line in MALFORMED:
        sim.send(TEXT, line)
    sim.send(TEXT, f"> {c.id} good")
    got = []
    while not got or got[-1] != "good":
        got.append(c.recv().text)
    # "> *" says nothing to all, and is no fault.
    assert set(got) <= {"", "good"}, got


def test_fragments_and_controls_between(relay):
    """Of many simulations, one message of each."""
    r = relay(ini(), server="workers = 3")
    sims = [attach(r, i) for i in range(9)]
    watching = [watch(r, i) for i in range(9)]
    for s in sims:
        s.send(TEXT, b"a", fin=False)
    for _ in range(20):
        for s in sims:
            s.send(0, b"b" * 100, fin=False)
            s.send(PING, b"p")
    for s in sims:
        s.send(0, b"c")
    for c in watching:
        assert c.message()[1] == b"a" + b"b" * 2000 + b"c"


@pytest.mark.parametrize("size", [1, 1000, 70000])
@pytest.mark.parametrize("workers", [1, 3])
def test_one_that_does_not_wait_for_its_answer(relay, workers, size):
    """Its messages come with its request, before it is where it belongs, and
    behind the answer to another request; none is lost."""
    r = relay(ini("on_backend_loss = hold", "slow = close",
                  "queue_limit = 16M"), server=f"workers = {workers}")
    for n in range(6):
        c = watch(r, n)
        s = Wire(r.socket())
        s.masks = True
        messages = [b"%d:" % i + b"x" * size for i in range(10)]
        s.write(head("/healthz") + upgrade(
            place(n)[0] + "?token=" + serve(place(n)[0])) +
            b"".join(frame(TEXT, m) for m in messages))
        assert b" 200 " in s.until(b"\r\n\r\n")
        assert b" 101 " in s.until(b"\r\n\r\n")
        assert [c.message()[1] for _ in messages] == messages
        c.send(TEXT, "heard")
        assert s.recv().text == "heard"
        s.close()
        c.close()


VIOLATIONS = {
    "unmasked": (frame(TEXT, "x", mask=None), 1002, "protocol"),
    "opcode": (frame(3, "x"), 1002, "protocol"),
    "utf-8": (frame(TEXT, b"\xff"), 1007, "invalid-data"),
    "continued": (frame(0, "x"), 1002, "protocol"),
    "reserved": (frame(TEXT, "x", rsv=4), 1002, "protocol"),
    "long": (frame(TEXT, "x", form=64, length=1 << 40), 1009, "too-big"),
    "close": (frame(CLOSE, b"\x03"), 1002, "protocol")}


@pytest.mark.parametrize("bad,code,word", VIOLATIONS.values(), ids=VIOLATIONS)
def test_a_violation_ends_the_simulation_only(relay, bad, code, word):
    """It is told of it as a client is; its own watchers wait for the next."""
    r = relay(ini("on_backend_loss = hold"), server="workers = 3")
    sim, other = attach(r), attach(r, 2)
    c, d = watch(r), watch(r, 2)
    sim.write(bad)
    f = sim.recv()
    assert (f.code, f.reason.split(":")[0]) == (code, word), f
    r.wait_log("hub-lost", reason="backend-protocol")
    other.send(TEXT, "other")
    assert d.recv().text == "other"
    again = attach(r)
    again.send(TEXT, "again")
    assert c.recv().text == "again"


def answered(c):
    """It, or None: it was refused."""
    return c if c.answer() == 101 else None


# --- places -------------------------------------------------------------------

@alone
def test_attempts_at_anothers_place(fair):
    """With a token for a different one: the gate turns them away, and who is
    there does not even get a ping."""
    f = fair(ini())
    sim, c = attach(f.r), watch(f.r)
    request = upgrade(place()[0] + "?token=" + serve("/attach/ben/*", "ben"))
    assert f.flood(ask, f.r.port, lambda: request, connections=32) > 0
    assert sim.synced() == []
    sim.send(TEXT, "still here")
    assert c.recv().text == "still here"


@alone
@pytest.mark.parametrize("workers", [1, 3])
def test_attempts_at_a_place_that_is_taken(fair, workers):
    f = fair(ini(), workers=workers)
    sim, c = attach(f.r), watch(f.r)
    request = upgrade(place()[0] + "?token=" + serve(place()[0], "ben"))
    assert f.flood(ask, f.r.port, lambda: request, connections=32) > 0
    assert sim.synced() == []       # its pings were answered
    sim.send(TEXT, "still here")
    assert c.recv().text == "still here"


def many(n, function, threads=8):
    """Calls function(0) to function(n - 1), some at a time."""
    numbers = itertools.count()

    def work():
        while (i := next(numbers)) < n:
            function(i)
    for b in [Background(work) for _ in range(threads)]:
        b.done()


@pytest.mark.parametrize("workers", [1, 3])
def test_two_thousand_for_one_place(relay, workers):
    """Of as many subjects, and each has it once or is refused: it has one at a
    time, always, and the last one works."""
    n = 200 if SECURE else 2000
    r = relay(ini("on_backend_loss = hold", attach=(
        "attach_conflict = refuse",)), server=f"workers = {workers}",
        listen="handshake_rate = 0")
    c = watch(r)
    statuses, lock = [], threading.Lock()
    there = []

    def come(i):
        s = attach(r, sub=f"s{i}", wait=False)
        status = s.answer()
        if status == 101:
            with lock:
                there.append(i)
                assert len(there) == 1, "two at one place"
            s.send(TEXT, f"{i}")
            with lock:
                there.clear()
            s.send_close(1001)
            with contextlib.suppress(OSError, EOFError):
                s.recv()
            s.close()
        statuses.append(status)
    many(n, come)
    assert set(statuses) <= {101, 409} and len(statuses) == n
    last = wait_for(lambda: answered(attach(r, sub="z", wait=False)), "a place")
    last.send(TEXT, "last")
    said = []
    while not said or said[-1] != "last":
        said.append(c.message()[1].decode())
    # At most once each, in the order in which they were there.
    assert len(said) == len(set(said))
    assert len(said) - 1 <= statuses.count(101)


@pytest.mark.parametrize("workers", [1, 3])
def test_two_thousand_of_one_subject(relay, workers):
    """Each takes the place of the one before, which hears it."""
    n = 200 if SECURE else 2000
    r = relay(ini("on_backend_loss = hold"), server=f"workers = {workers}",
              listen="handshake_rate = 0")
    c = watch(r)
    ends = []

    def come(_):
        s = attach(r, wait=False)
        status = s.answer()
        if status == 101:
            f = s.recv()        # or the place is its own to the end
            assert f.opcode == CLOSE
            ends.append(f.code)
            s.close()
        else:
            ends.append(status)
    waiting = [Background(many, n, come)]
    # The last of them waits for one that comes behind it.
    while waiting[0].thread.is_alive():
        s = attach(r, wait=False)
        s.answer()
        waiting[0].thread.join(0.2)
        s.close()
    waiting[0].done()
    # Of two that come at the same moment one is refused.
    assert set(ends) <= {3003, 409} and ends.count(3003) > 0
    last = wait_for(lambda: answered(attach(r, wait=False)), "a place")
    last.send(TEXT, "last")
    assert c.recv().text == "last"
    wait_for(lambda: len(r.log("open", route="attach:sims")) - 1 ==
             len(r.log("close", route="attach:sims")), "their ends")


@pytest.mark.alone("compares memory")
@pytest.mark.skipif(bool(RUNNER), reason="valgrind's own memory")
def test_attached_and_quiet(relay):
    """A thousand of them cost no more than a thousand idle clients, each of a
    hub of its own, that have no backend: neither memory nor descriptors."""
    n = 100 if SECURE else 1000
    text = ini("max_hubs = 10000") + \
        "[route room]\npath = /room/{id}\nbackend = room:\nmode = hub\n" \
        "auth = none\nmax_hubs = 10000\n"

    def cost(open_one):
        r = relay(text, listen="handshake_rate = 0", server="workers = 1",
                  env=LEAN)
        first = [open_one(r, i) for i in range(20)]     # tables, arenas
        memory, descriptors = r.memory(), r.descriptors()
        kept = [open_one(r, i) for i in range(20, 20 + n)]
        for c in kept:
            c.synced()
        used = r.memory() - memory, r.descriptors() - descriptors
        for c in [*first, *kept]:
            c.close()
        r.stop()
        return used
    attached, fds = cost(lambda r, i: attach(r, i))
    idle, idle_fds = cost(lambda r, i: Client(r, f"/room/{i}"))
    print(f"{n} attached: {attached} B, {fds} descriptors; "
          f"idle: {idle} B, {idle_fds}")
    assert fds == idle_fds == n
    # An allocator has some in stock; a sanitizer keeps books of each block.
    assert attached <= idle * 1.2 + BOOKS * MB


# --- a model ------------------------------------------------------------------

class Place:
    """One place, and what it should be: used by one thread."""

    REPLAY = 3

    def __init__(self, r, n, dice):
        self.r, self.n, self.dice = r, n, dice
        self.sim = None
        self.members = []
        self.replay = []
        self.said = 0
        self.fled = False       # a simulation has, since one was there

    def say(self):
        text = f"{self.n}:{self.said}"
        self.said += 1
        self.sim.send(TEXT, text)
        self.replay = [*self.replay, text][-self.REPLAY:]
        if self.dice.random() < 0.5:
            self.sim.send(TEXT, "b" * self.dice.choice([1, 70000]))
            self.replay = [*self.replay, None][-self.REPLAY:]
            self.hear(text, None)
        else:
            self.hear(text)

    def hear(self, *texts):
        for c in self.members:
            for text in texts:
                self.got(c, text)
        # Read, also where nobody watches.
        assert self.sim.synced() == []

    @staticmethod
    def got(c, text):
        opcode, payload, _ = c.message()
        assert opcode == TEXT
        assert payload.decode() == text if text is not None else \
            set(payload) == {ord("b")}, (payload[:40], text)

    def steer(self):
        c = self.dice.choice(self.members)
        c.send(TEXT, "steer")
        f = self.sim.recv()
        assert (f.opcode, f.text) == (TEXT, "steer")

    def join(self):
        c = watch(self.r, self.n)
        for text in self.replay:
            self.got(c, text)
        self.members.append(c)

    def leave(self):
        c = self.members.pop(self.dice.randrange(len(self.members)))
        self.dice.choice([c.close, c.reset, lambda: c.send_close(1000)])()

    def come(self):
        # One that has fled may be there still, until that is known.
        old, self.sim = self.sim, wait_for(lambda: answered(
            attach(self.r, self.n, wait=False)) or not self.fled and
            pytest.fail("refused"), "its place")
        self.fled = False
        if old:
            f = old.recv()
            assert (f.opcode, f.code) == (CLOSE, 3003), f
            old.close()

    def other(self):
        """Refused; the one that is there answers the ping, if there is one."""
        c = attach(self.r, self.n, sub="ben", wait=False)
        assert c.answer() == 409
        assert self.sim.synced() == []

    def flees(self):
        """On its way, or just there."""
        c = attach(self.r, self.n, sub="ben", wait=False)
        self.dice.choice([c.close, c.reset])()
        self.fled = True

    def lose(self):
        self.dice.choice([self.sim.reset, self.sim.close,
                          lambda: self.sim.send_close(1001)])()
        self.sim = None

    def end(self):
        self.sim.send_close(1000)
        for c in self.members:
            f = c.recv()
            assert (f.opcode, f.code) == (CLOSE, 1000), f
            c.close()
        assert self.sim.recv().opcode == CLOSE
        self.sim.close()
        self.sim, self.members = None, []

    def step(self):
        steps = [self.come, self.join] if len(self.members) < 5 else \
            [self.come, self.leave]
        if self.members:
            steps.append(self.leave)
        if self.sim:
            steps += [self.say] * 4 + [self.other, self.lose, self.end]
            if self.members:
                steps += [self.steer] * 2
        else:
            steps.append(self.flees)
        self.dice.choice(steps)()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("workers", [1, 3])
def test_they_come_and_go(relay, workers, seed):
    """A run that is lost is waited for, one that has ended is kept: to those who
    watch each place is what it should be."""
    r = relay(ini("on_backend_loss = hold", "hold_timeout = 1h", "linger = 1h",
                  f"replay = {Place.REPLAY}", "max_hubs = 100"),
              server=f"workers = {workers}")

    def live(thread):
        dice = random.Random(f"{seed} {thread}")
        places = [Place(r, f"{thread}-{i}", dice) for i in range(2)]
        for _ in range(40 if SECURE else 80):
            dice.choice(places).step()
        return places
    everything = [b.done() for b in [Background(live, i) for i in range(6)]]
    for p in itertools.chain(*everything):
        if not p.sim:
            p.come()
        p.say()
    assert not [x for x in r.lines if "Z error " in x]


@pytest.mark.parametrize("workers", [1, 3])
def test_reloads_and_a_stop_meanwhile(relay, workers):
    """While they come and go the route changes, is another, and the relay
    stops: each is attached, refused or cut, and nothing is left of them."""
    r = relay(ini("on_backend_loss = hold", "max_hubs = 100"),
              server=f"workers = {workers}")
    text, over = r.ini.read_text(), threading.Event()

    def live(thread):
        dice = random.Random(thread)
        while not over.is_set():
            with contextlib.suppress(OSError, EOFError, AssertionError):
                make = dice.choice([attach, attach, watch])
                c = make(r, dice.randrange(4), wait=False)
                if dice.random() < 0.8 and c.answer() == 101:
                    c.send(TEXT, "x" * dice.choice([1, 100000]))
                dice.choice([c.close, c.reset, lambda: c.send_close(1000)])()
    living = [Background(live, i) for i in range(6)]
    changes = [("max_hubs = 100", "max_hubs = 99"),
               ("mode = hub", "mode = hub\naddressing = tagged"),
               ("path = /sim/{user}", "path = /other/{user}"),
               ("[route sim]", "[route other]"), ("", "")]
    for n, (old, new) in enumerate(changes * 2, 1):
        r.ini.write_text(text.replace(old, new))
        r.kill(signal.SIGHUP)
        # Of lines there are many: none is taken apart.
        wait_for(lambda: sum("Z info reload " in x for x in list(r.lines)) == n,
                 "a reload")
    r.kill(signal.SIGTERM)
    r.stop()
    over.set()
    for b in living:
        b.done()
