"""exec_memory, exec_cpu, exec_processes: real ones where control groups of
version 2 can be made (as root), and what is said where they cannot."""
import os
import pathlib
import re
import subprocess
import tempfile

import pytest

from peers import TEXT, Client, alive, program
from relay import SANITIZERS, WSRELAYD, wait_for

pytestmark = pytest.mark.plain("about processes")

MOUNT = pathlib.Path("/sys/fs/cgroup")
CONTROLLERS = {"memory", "cpu", "pids"}


def words(path):
    return set(path.read_text().split()) if path.exists() else set()


VERSION_2 = CONTROLLERS <= words(MOUNT / "cgroup.controllers")
needs_groups = pytest.mark.skipif(
    not VERSION_2 or os.geteuid() != 0,
    reason="needs root, and control groups of version 2")


def route(tmp_path, text, *keys):
    return "\n".join([
        "[route r]", "path = /r", "auth = none", "close_timeout = 300ms",
        f"backend = exec:{program(tmp_path, text)} {tmp_path}", *keys, ""])


# --- where they cannot be ----------------------------------------------------

@pytest.mark.skipif(VERSION_2, reason="this system has version 2")
@pytest.mark.parametrize("key", ["exec_memory = 64M", "exec_cpu = 50",
                                 "exec_processes = 10"])
@pytest.mark.parametrize("args", [["-t"], []], ids=["-t", "start"])
def test_another_version(tmp_path, key, args):
    ini = tmp_path / "w.ini"
    ini.write_text("[listen a]\naddress = 127.0.0.1:0\n" +
                   route(tmp_path, "", key))
    done = subprocess.run([WSRELAYD, "-c", ini, *args], capture_output=True,
                          text=True, env={**os.environ, **SANITIZERS})
    assert done.returncode == os.EX_CONFIG
    assert re.search(
        rf"w.ini:3: \[route r\] {key.split()[0]}: there are no control groups "
        "of version 2 at /sys/fs/cgroup on this system", done.stderr)


@needs_groups
def test_not_delegated(tmp_path):
    """To a user who may not write there: -t warns, for the service's group may
    be another; the daemon itself does not start."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        ini = pathlib.Path(folder, "w.ini")
        ini.write_text("[listen a]\naddress = 127.0.0.1:0\n" +
                       route(tmp_path, "", "exec_cpu = 50"))
        done = [subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
             WSRELAYD, "-c", ini, *args], capture_output=True, text=True,
            env={**os.environ, **SANITIZERS}) for args in (["-t"], [])]
    for p, status, kind in zip(done, (0, os.EX_CONFIG), ("warning: ", "")):
        assert p.returncode == status, p.stderr
        assert re.search(rf"w.ini:3: {kind}\[route r\] exec_cpu: the control "
                         "group .* may not be changed .*exec-limits.conf",
                         p.stderr)


# --- where they can ----------------------------------------------------------

@pytest.fixture
def delegated():
    """A group as the service manager makes it. Named before relay, so that it is
    there until the daemon has ended."""
    try:
        (MOUNT / "cgroup.subtree_control").write_text("+memory +cpu +pids")
    except OSError as e:
        pytest.skip(f"control groups cannot be made here: {e}")
    group = MOUNT / f"wsrelay-test-{os.getpid()}"
    group.mkdir()
    yield group
    (group / "cgroup.kill").write_text("1")
    wait_for(lambda: "populated 0" in (group / "cgroup.events").read_text(),
             "the end of all in the group")
    for path in sorted(group.rglob("*"), reverse=True):
        if path.is_dir():
            path.rmdir()
    group.rmdir()


def start(relay, group, ini):
    return relay(ini, wrap=["sh", "-c", 'echo 0 >"$0/cgroup.procs"; exec "$@"',
                            str(group)])


def programs(group):
    return sorted(x.name for x in group.glob("program-*"))


WHERE = """
group = "/sys/fs/cgroup" + open("/proc/self/cgroup").read().strip()[3:]
for name in "memory.max", "memory.oom.group", "cpu.max", "pids.max":
    print(name, open(group + "/" + name).read().strip(), flush=True)
print(group, flush=True)
sys.stdin.read()
"""


@needs_groups
def test_limits(delegated, relay, tmp_path):
    """They hold from a program's first instruction on, each has its own, and
    the daemon is none of them."""
    r = start(relay, delegated, route(
        tmp_path, WHERE, "exec_memory = 64M", "exec_cpu = 150",
        "exec_processes = 20"))
    clients = [Client(r, "/r") for _ in range(2)]
    for i, c in enumerate(clients):
        assert [c.recv().text for _ in range(5)] == [
            "memory.max 67108864", "memory.oom.group 1",
            "cpu.max 150000 100000", "pids.max 20",
            f"{delegated}/program-{i + 1}"]
    assert pathlib.Path(f"/proc/{r.pid}/cgroup").read_text().endswith(
        f"/{delegated.name}/relay\n")
    assert programs(delegated) == ["program-1", "program-2"]
    for c in clients:
        c.close()
    wait_for(lambda: programs(delegated) == [], "the groups' end")


@needs_groups
def test_only_what_is_asked_for(delegated, relay, tmp_path):
    other = program(tmp_path, WHERE, "other")
    r = start(relay, delegated, route(tmp_path, WHERE, "exec_memory = 64M") +
              f"[route s]\npath = /s\nauth = none\nbackend = exec:{other}\n")
    c = Client(r, "/r")
    assert [c.recv().text for _ in range(5)][2:4] == [
        "cpu.max max 100000", "pids.max max"]
    assert Client(r, "/s").recv().text == "memory.max max"
    assert programs(delegated) == ["program-1"]


HOG = """
line = sys.stdin.readline()
child = os.fork()
if child == 0:
    block = bytearray(200 << 20)
    for i in range(0, len(block), 4096):
        block[i] = 1
    print("got it", flush=True)
    time.sleep(1000)
os.waitpid(child, 0)
print("lives on", flush=True)
"""


@needs_groups
def test_memory(delegated, relay, tmp_path):
    """All of the program ends, the log says why, others go on."""
    r = start(relay, delegated, route(tmp_path, HOG, "exec_memory = 64M"))
    bystander = Client(r, "/r")
    c = Client(r, "/r")
    c.send(TEXT, "go")
    c.closed(1011, "backend-exit")
    line = r.wait_log("program-exit", id=c.id)
    assert (line["signal"], line["detail"]) == (
        "9", "it has used up exec_memory")
    bystander.synced()
    wait_for(lambda: programs(delegated) == ["program-1"], "its group's end")


@needs_groups
def test_processes(delegated, relay, tmp_path):
    r = start(relay, delegated, route(tmp_path, """
children = []
try:
    while len(children) < 50:
        children.append(os.fork())
        if children[-1] == 0:
            time.sleep(1000)
except OSError as e:
    print(len(children), e.strerror, flush=True)
sys.stdin.read()
""", "exec_processes = 5"))
    assert Client(r, "/r").recv().text == "4 Resource temporarily unavailable"


@needs_groups
def test_a_session_of_its_own_is_followed(delegated, relay, tmp_path):
    """With a control group nothing gets away."""
    r = start(relay, delegated, route(tmp_path, """
r, w = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        null = os.open("/dev/null", os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        os.write(w, b"%d" % os.getpid())
        time.sleep(1000)
    os._exit(0)
print(os.read(r, 20).decode(), flush=True)
""", "exec_processes = 10", "max_processes = 1"))
    c = Client(r, "/r")
    pid = int(c.recv().text)
    c.closed(1000)
    assert "left" in r.wait_log("program-kill", id=c.id)["detail"]
    wait_for(lambda: not alive(pid) and programs(delegated) == [], "its end")


@needs_groups
def test_the_end_of_the_daemon(delegated, relay, tmp_path):
    r = start(relay, delegated, route(
        tmp_path, "print(os.getpid(), flush=True)\nsys.stdin.read()\n",
        "exec_cpu = 50"))
    pid = int(Client(r, "/r").recv().text)
    r.stop()
    wait_for(lambda: not alive(pid), "the program's end")
    assert programs(delegated) == []
