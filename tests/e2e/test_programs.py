"""The programs of exec backends as processes: what they leave behind, what is
logged of them, which limits they get. (What they say: test_backends.py.)"""
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess

import pytest

from peers import TEXT, Client, alive, program
from rawhttp import upgrade
from relay import ROOT, SANITIZERS, WSRELAYD, dial, parse_line, wait_for

pytestmark = pytest.mark.plain("about processes")

# A child in the program's group, away from its streams; its number is printed.
LEAVE = """
def leave(ignores, session=False):
    r, w = os.pipe()
    pid = os.fork()
    if pid:
        os.read(r, 1)
        print(pid, flush=True)
        return
    if session:
        os.setsid()
        if os.fork():
            os.waitpid(-1, 0)
            os._exit(0)
    def term(*_):
        open(sys.argv[1] + "/termed", "w").write("x")
        if not ignores:
            os._exit(0)
    signal.signal(signal.SIGTERM, term)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    os.write(w, b"x")
    while True:
        time.sleep(1000)
"""


def route(tmp_path, text, *more):
    return "\n".join([
        "[route r]", "path = /r", "auth = none",
        f"backend = exec:{program(tmp_path, LEAVE + text)} {tmp_path}",
        *more, ""])


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def test_what_ignores_sigterm_is_killed_and_keeps_the_place(relay, tmp_path):
    r = relay(route(tmp_path, "leave(True)", "max_processes = 1",
                    "close_timeout = 3s"))
    c = Client(r, "/r")
    pid = int(c.recv().text)
    c.closed(1000)
    r.wait_log("close", id=c.id, reason="backend-close")
    assert r.wait_log("program-exit", id=c.id)["status"] == "0"
    wait_for((tmp_path / "termed").exists, "SIGTERM")
    second = Client(r, "/r", wait=False)
    answer = second.answer()
    assert answer == 503 and second.body.startswith(b"limit-processes") or \
        not alive(pid)
    killed = r.wait_log("program-kill", id=c.id, route="r")
    assert killed["pid"] == r.log("program-start", id=c.id)[0]["pid"]
    assert "left" in killed["detail"] and killed["level"] == "warn"
    wait_for(lambda: not alive(pid), "its end")

    def enters():
        again = Client(r, "/r", wait=False)
        return again.answer() == 101 and again
    kill(int(wait_for(enters, "a free place").recv().text))


def test_what_heeds_sigterm_is_not_killed(relay, tmp_path):
    r = relay(route(tmp_path, "leave(False)", "max_processes = 1"))
    for _ in range(2):
        c = wait_for(lambda: (x := Client(r, "/r", wait=False)).answer() == 101
                     and x, "a free place")
        pid = int(c.recv().text)
        c.closed(1000)
        wait_for(lambda: not alive(pid), "its end")
    assert not r.log("program-kill")


def test_children_of_a_program_take_no_place(relay, tmp_path):
    r = relay(route(tmp_path, "for _ in range(5):\n    leave(False)\n"
                    "sys.stdin.read()\n", "max_processes = 2"))
    clients = [Client(r, "/r") for _ in range(2)]
    pids = [int(c.recv().text) for c in clients for _ in range(5)]
    assert all(map(alive, pids))
    assert Client(r, "/r", wait=False).answer() == 503
    for c in clients:
        c.close()
    wait_for(lambda: not any(map(alive, pids)), "their ends")


def test_a_session_of_its_own_is_not_followed(relay, tmp_path):
    """Forked twice, as daemons do it: out of the group, out of sight."""
    r = relay(route(tmp_path, "leave(True, True)", "max_processes = 1",
                    "close_timeout = 500ms"))
    c = Client(r, "/r")
    middle = int(c.recv().text)
    c.closed(1000)
    r.wait_log("close", id=c.id)
    # It is found as the child of the one in the middle, which waits for it.
    path = pathlib.Path(f"/proc/{middle}/task/{middle}/children")
    pids = [int(x) for x in path.read_text().split()] + [middle]
    try:
        assert len(pids) == 2
        second = wait_for(lambda: (x := Client(r, "/r", wait=False)).answer()
                          == 101 and x, "a free place")
        other = int(second.recv().text)
        pids += [other, *map(int, pathlib.Path(
            f"/proc/{other}/task/{other}/children").read_text().split())]
        assert not r.log("program-kill")
        r.stop()
        assert all(map(alive, pids))
        assert not (tmp_path / "termed").exists()
    finally:
        for pid in pids:
            kill(pid)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("drain, close", [("10s", "300ms"), ("300ms", "10s")])
def test_the_daemon_leaves_nothing_behind(relay, tmp_path, workers, drain,
                                          close):
    r = relay(route(tmp_path, "leave(True)", f"close_timeout = {close}"),
              server=f"workers = {workers}\ndrain_timeout = {drain}")
    c = Client(r, "/r")
    pid = int(c.recv().text)
    c.closed(1000)
    wait_for((tmp_path / "termed").exists, "SIGTERM")
    r.stop()
    assert len(r.log("program-kill", id=c.id)) == 1
    wait_for(lambda: not alive(pid), "its end")


def test_start_and_exit_are_logged(relay, tmp_path):
    r = relay(route(tmp_path, """
print(os.getpid(), flush=True)
how = sys.stdin.readline().split()
if how[0] == "exit":
    sys.exit(int(how[1]))
os.kill(os.getpid(), int(how[1]))
"""))
    for how, field in (("exit 0", ("status", "0")), ("exit 7", ("status", "7")),
                       ("kill 9", ("signal", "9")),
                       ("kill 15", ("signal", "15"))):
        c = Client(r, "/r")
        pid = c.recv().text
        began = r.wait_log("program-start", id=c.id, route="r", pid=pid)
        c.send(TEXT, how)
        c.closed()
        ended = r.wait_log("program-exit", id=c.id, route="r", pid=pid)
        assert began["level"] == ended["level"] == "info"
        assert ended[field[0]] == field[1] and int(ended["age_ms"]) >= 0
        assert ("status" in ended) != ("signal" in ended)
    assert not r.log("program-kill")


def test_what_does_not_end_is_killed_and_that_is_logged(relay, tmp_path):
    r = relay(route(tmp_path, """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), flush=True)
while True:
    time.sleep(1000)
""", "close_timeout = 200ms"))
    c = Client(r, "/r")
    pid = c.recv().text
    c.close()
    line = r.wait_log("program-exit", id=c.id)
    assert line["signal"] == "9"
    killed = r.log("program-kill", id=c.id, pid=pid)
    assert len(killed) == 1 and "did not end" in killed[0]["detail"]


def limits(pid, name):
    text = pathlib.Path(f"/proc/{pid}/limits").read_text()
    return re.search(rf"{name} +(\S+) +(\S+)", text).groups()


def oom_score(pid):
    return int(pathlib.Path(f"/proc/{pid}/oom_score_adj").read_text())


SCORE = "print(open('/proc/self/oom_score_adj').read(), end='', flush=True)\n" \
    "sys.stdin.read()\n"


@pytest.mark.parametrize("own, others", [(0, 500), (300, 800), (900, 1000)])
def test_memory_that_is_short_ends_programs_first(relay, tmp_path, own, others):
    """From a program's first instruction on."""
    if oom_score("self") > own:
        pytest.skip("the tests' own score is higher")
    r = relay(route(tmp_path, SCORE), wrap=["choom", "-n", str(own), "--"])
    assert oom_score(r.pid) == own
    assert Client(r, "/r").recv().text == str(others)


def test_variables_are_for_the_program_alone(relay, tmp_path):
    """What the loader heeds does not hinder what starts the program."""
    library = tmp_path / "none.so"
    library.write_text("no library")
    r = relay(route(
        tmp_path, "print(os.environ['LD_PRELOAD'], flush=True)\n"
        "sys.stdin.read()\n", f"exec_env = LD_PRELOAD={library}"))
    assert Client(r, "/r").recv().text == str(library)


def test_what_starts_programs_is_kept(relay, tmp_path):
    """By its descriptor: an upgrade may remove the file meanwhile."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in "wsrelayd", "wsrelayd-exec":
        shutil.copy(WSRELAYD.parent / name, folder)
    r = relay(route(tmp_path, "print('hi', flush=True)\n"),
              program=folder / "wsrelayd")
    (folder / "wsrelayd-exec").unlink()
    assert Client(r, "/r").recv().text == "hi"


@pytest.mark.skipif(
    os.path.exists("/usr/local/libexec/wsrelayd/wsrelayd-exec"),
    reason="it is installed on this machine")
def test_nothing_starts_programs(relay, tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    shutil.copy(WSRELAYD, folder)
    ini = tmp_path / "w.ini"
    ini.write_text("[listen a]\naddress = 127.0.0.1:0\n" +
                   route(tmp_path, ""))
    for args in ["-t"], []:
        done = subprocess.run(
            [folder / "wsrelayd", "-c", ini, *args], capture_output=True,
            text=True, timeout=30, env={**os.environ, **SANITIZERS})
        assert done.returncode == os.EX_CONFIG
        assert re.search(r"w.ini:3: \[route r\] backend: wsrelayd-exec, which "
                         "starts programs: No such file", done.stderr)


HARD = resource.getrlimit(resource.RLIMIT_CORE)[1]


@pytest.mark.skipif(HARD != resource.RLIM_INFINITY and HARD < 4096,
                    reason="no core files may be written here")
def test_no_core_of_the_daemon(relay, tmp_path):
    """Its memory has keys in it; a program's core file is its own affair."""
    r = relay(route(tmp_path, "print(os.getpid(), flush=True)\n"
                    "sys.stdin.read()\n"), wrap=["prlimit", "--core=4096:"],
              # Sanitizers would set the limit by themselves.
              env={name: SANITIZERS[name] + ":disable_coredump=0"
                   for name in ("ASAN_OPTIONS", "TSAN_OPTIONS")})
    assert limits(r.pid, "Max core file size")[0] == "0"
    c = Client(r, "/r")
    pid = int(c.recv().text)
    wait_for(lambda: limits(pid, "Max core file size")[0] == "4096",
             "the limit of before")


RELEASE = ROOT / "build/release/wsrelayd"
AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def started(ini, binary, *wrap):
    """The release, and the user that its entries in /proc belong to; and those
    of the program that its route runs."""
    process = subprocess.Popen([*wrap, str(binary), "-c", str(ini)],
                               stderr=subprocess.PIPE, text=True)
    try:
        listen = next(x for x in process.stderr if " listen " in x)
        port = int(parse_line(listen)["address"].rsplit(":", 1)[1])
        daemon = os.stat(f"/proc/{process.pid}/environ").st_uid
        with dial(("127.0.0.1", port), tls=False) as s:
            s.sendall(upgrade("/r"))
            began = next(x for x in process.stderr if "program-start" in x)
            pid = parse_line(began)["pid"]
            assert s.recv(12) == b"HTTP/1.1 101"
            return daemon, os.stat(f"/proc/{pid}/environ").st_uid
    finally:
        process.terminate()
        process.stderr.read()
        process.stderr.close()
        assert process.wait() == 0


@pytest.mark.skipif(not RELEASE.exists(), reason="there is no release build")
@pytest.mark.parametrize("user", ["", "user = nobody\n"])
def test_release_hides_its_memory(tmp_path, user):
    """What belongs to root in /proc cannot be read by others, nor traced; the
    daemon's programs run as its user. Other builds are open to tests."""
    root = os.geteuid() == 0
    if user and not root:
        pytest.skip("needs root")
    for p in (tmp_path, *tmp_path.parents) if root else ():
        p.chmod(p.stat().st_mode | 0o001)
    ini = tmp_path / "w.ini"
    ini.write_text(f"[server]\n{user}[listen a]\naddress = 127.0.0.1:0\n"
                   "[route r]\npath = /r\nbackend = exec:/bin/cat\n"
                   "auth = none\n")
    ini.chmod(0o644)
    wrap = AS_NOBODY if root and not user else []
    uid = 65534 if root else os.geteuid()
    assert started(ini, RELEASE, *wrap) == (0, uid)
    if not user:
        assert started(ini, WSRELAYD, *wrap) == (
            0 if WSRELAYD == RELEASE else uid, uid)


def test_an_interpreter_that_protect_home_hides(relay, tmp_path):
    tool = tmp_path / "tool"
    tool.write_text("#! /home/nobody-like-this/venv/bin/python3 -S\n")
    tool.chmod(0o755)
    r = relay(f"[route r]\npath = /r\nauth = none\nbackend = exec:{tool}\n",
              env={"INVOCATION_ID": "0" * 32})
    assert Client(r, "/r", wait=False).answer() == 502
    line = r.wait_log("backend-error", reason="backend-spawn")
    assert "behind #! (ProtectHome=" in line["detail"]
