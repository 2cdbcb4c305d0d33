"""The example units do what the comments in them say: sockets for 80 and 443,
and a simulation as a service of its own."""
import contextlib
import json
import pathlib
import re
import signal
import subprocess

import pytest

from peers import TEXT, Client
from relay import ROOT, RUNNER, SANITIZERS, WSRELAYD, free_port, wait_for

pytestmark = pytest.mark.plain("about units")

UNITS = ROOT / "systemd/examples"


def unit(name):
    """The keys of a unit's own section, and the INI in its comments."""
    text = (UNITS / name).read_text()
    keys = dict(re.findall(r"^(\w+)=(.*)", text, re.MULTILINE))
    return keys, "".join(x + "\n" for x in re.findall(
        r"^#   ((?:\[|\w+ = ).*)", text, re.MULTILINE))


@contextlib.contextmanager
def activated(names, listens, command, env=()):
    """A command behind systemd-socket-activate, which listens first."""
    options = [x for y in listens for x in ("-l", y)]
    for x in env:
        options += ["-E", x]
    p = subprocess.Popen(["systemd-socket-activate", *options,
                          "--fdname=" + ":".join(names), *command],
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE, text=True)
    try:
        yield p
    finally:
        p.send_signal(signal.SIGTERM)
        said = p.communicate(timeout=30)[1]
        assert "Sanitizer" not in said and "Traceback" not in said, said


def answers(scheme, port):
    done = subprocess.run(
        ["curl", "-sk", f"{scheme}://127.0.0.1:{port}/healthz"],
        capture_output=True, text=True)
    return done.stdout.startswith("ok")


def listens(path):
    """Its file is there before."""
    flags = [x.split()[3] for x in pathlib.Path("/proc/net/unix").read_text()
             .splitlines() if x.endswith(f" {path}")]
    return "00010000" in flags  # __SO_ACCEPTCON


def test_http_and_https(tmp_path, certificates):
    units = unit("wsrelayd-http.socket"), unit("wsrelayd-https.socket")
    ini = units[0][1]
    units = [keys for keys, _ in units]
    assert [x["ListenStream"] for x in units] == ["80", "443"]
    assert [x["Service"] for x in units] == ["wsrelayd.service"] * 2
    file = tmp_path / "w.ini"
    file.write_text(ini + certificates.ini("site") +
                    "[route r]\npath = /r\nbackend = echo:\nauth = none\n")
    ports = [free_port(), free_port()]
    with activated([x["FileDescriptorName"] for x in units],
                   [f"127.0.0.1:{x}" for x in ports],
                   [*RUNNER, str(WSRELAYD), "-c", str(file)],
                   [f"{k}={v}" for k, v in SANITIZERS.items()]):
        wait_for(lambda: answers("http", ports[0]), "port 80")
        assert answers("https", ports[1])


def test_simulation(relay, tmp_path):
    """Started by its first client; its second sees the same one."""
    keys, ini = unit("sim@.socket")
    path = keys["ListenStream"]
    assert path == "/run/sim/%i.sock" and path.replace("%i", "{id}") in ini
    program = unit("sim@.service")[0]["ExecStart"].replace("%i", "42").replace(
        "/usr/share/doc/wsrelayd/examples", str(UNITS))
    r = relay(ini.replace("/run/sim", str(tmp_path)) + "auth = none\n")
    with activated(["sim"], [str(tmp_path / "42.sock")], program.split()):
        wait_for(lambda: listens(tmp_path / "42.sock"), "the socket")
        one = Client(r, "/sim/42")
        state = json.loads(one.recv().text)
        assert state["name"] == "42"
        two = Client(r, "/sim/42")
        one.send(TEXT, "1000")
        wait_for(lambda: json.loads(two.recv().text)["speed"] > 500, "the push")
        for c in one, two:
            c.close()
        assert Client(r, "/sim/41", wait=False).answer() == 502
        r.stop()
