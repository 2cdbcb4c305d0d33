"""Plain clients that attach, in several languages: conf/examples/attach.*."""
import functools
import os
import pathlib
import re
import subprocess

import pytest

from peers import BINARY, CLOSE, TEXT, Client
from relay import KEY, free_port, mint, wait_for

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "conf/examples"
INI = KEY + """
[attach sims]
path = /attach/{user}/{id}
[route sim]
path = /sim/{user}/{id}
backend = attach:sims
mode = hub
auth = none
on_backend_loss = hold
"""
PATH = "/attach/anna/1"


class Simulation:
    """What it has said is in a file."""

    def __init__(self, command, directory):
        self.said = directory / "said"
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                env={**os.environ, "NODE_PATH": "/usr/share/nodejs"})

    def says(self, pattern):
        def there():
            said = self.said.read_text()
            found = re.search(pattern, said)
            assert found or self.runs(), said
            return found
        return wait_for(there, pattern)

    def runs(self):
        return self.process.poll() is None


@functools.lru_cache(maxsize=None)
def compiled(directory):
    """As the example says itself; None: there is no library for it."""
    if subprocess.run(["pkg-config", "--exists", "libwebsockets"]).returncode:
        return None
    source = EXAMPLES / "attach.c"
    command = re.search(r"\n \*\t(cc .*)\n", source.read_text())[1]
    subprocess.run([*command.replace("-o attach", f"-o {directory}/attach")
                    .replace("attach.c", str(source)).split(),
                    "-Wall", "-Wextra", "-Werror"], check=True)
    return str(directory / "attach")


@pytest.fixture(params=["py", "js", "c"])
def simulation(request, tmp_path, tmp_path_factory):
    """simulation(r, **claims) starts it."""
    source = EXAMPLES / f"attach.{request.param}"
    command = {"py": ["/usr/bin/python3", source], "js": ["node", source],
               "c": None}[request.param] or \
        [compiled(tmp_path_factory.getbasetemp())]
    if not command[0]:
        pytest.skip("no libwebsockets here")
    started = []

    def start(r, url=None, **claims):
        token = mint(PATH, sub="anna", **{"perm": "serve", **claims})
        started.append(Simulation(
            [*command, (url or r.url(PATH)) + "?token=" + token], tmp_path))
        return started[-1]
    yield start
    for s in started:
        s.process.kill()
        s.process.wait()


def numbers(c):
    """The next line's."""
    f = c.recv()
    assert f.opcode == TEXT, f
    assert re.fullmatch(r"\d+ -?\d\.\d{4}", f.text), f
    return int(f.text.split()[0]), float(f.text.split()[1])


def stands_still(c):
    """With speed 0 a number comes again."""
    first, second = numbers(c)[1], numbers(c)[1]
    return first == second


def test_it_is_watched_and_steered(relay, simulation):
    r = relay(INI)
    c = Client(r, "/sim/anna/1")
    s = simulation(r)
    first = numbers(c)[0]
    assert numbers(c)[0] == first + 1
    s.says('attached: .*/attach/anna/1')
    for bad in ("", "speed", "speed x", "speed nan", "speed inf", "speed 1e999",
                "x" * 100000, "speed 1 2 3", "\0"):
        c.send(TEXT, bad)
    c.send(BINARY, b"speed \xff")
    c.send(TEXT, "speed 0")
    wait_for(lambda: stands_still(c), "what was steered")
    c.send(TEXT, "speed 5")
    wait_for(lambda: not stands_still(c), "what was steered")


def test_it_comes_back(relay, simulation):
    """And has gone on meanwhile."""
    port = free_port()
    listen = f"address = 127.0.0.1:{port}"
    r = relay(INI, listen=listen)
    c = Client(r, "/sim/anna/1")
    s = simulation(r, r.url(PATH).replace(str(r.port), str(port)))
    before = numbers(c)[0]
    r.stop()
    s.says("not attached")
    r = relay(INI, listen=listen)
    assert numbers(Client(r, "/sim/anna/1"))[0] > before + 1


def test_replaced_is_for_good(relay, simulation):
    r = relay(INI)
    c = Client(r, "/sim/anna/1")
    s = simulation(r)
    numbers(c)
    other = Client(r, PATH, token=mint(PATH, perm="serve", sub="anna"))
    s.says("not attached: .*3003")
    r.wait_log("close", reason="attach-replaced")
    other.send(TEXT, "other")
    while c.recv().text != "other":
        pass
    other.synced()
    assert s.runs()
    assert len(r.log("open", route="attach:sims")) == 2


@pytest.mark.parametrize("claims", [{"perm": "rw"}, {"ttl": -100}],
                         ids=["rights", "expired"])
def test_refused_is_for_good(relay, simulation, claims):
    r = relay(INI)
    s = simulation(r, **claims)
    s.says("not attached: .*40[13]")
    r.wait_log("refuse")
    assert s.runs()
