"""The control socket and wsrelayctl's commands to a running daemon."""
import contextlib
import json
import os
import re
import shlex
import socket
import stat
import subprocess

import pytest

from controls import CONTROL, READONLY, Caller, ask, ctl
from peers import BINARY, PING, PONG, TEXT, Background, Client, Server
from relay import (BUILD, KEY, PATIENCE, ROOT, RUNNER, SECRET, free_port,
                   mint, wait_for)

pytestmark = pytest.mark.plain("about a socket of its own")

ECHO = "[route echo]\npath = /echo\nbackend = echo:\nauth = none\n"
ROOM = ("[route room]\npath = /room/{id}\nbackend = room:\nmode = hub\n"
        "auth = none\nmax_backend_message = 64K\n")


# --- the socket --------------------------------------------------------------


def test_its_file_is_for_the_group_and_goes_with_the_daemon(relay):
    r = relay(ECHO, server=READONLY)
    for name in "control.sock", "read.sock":
        mode = os.stat(r.dir / name).st_mode
        assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o660
    r.stop()
    assert not (r.dir / "control.sock").exists()
    assert not (r.dir / "read.sock").exists()


def test_default_is_the_runtime_directory(relay, tmp_path):
    """For the commands of its unit, too, such as ExecReload=."""
    directory = {"RUNTIME_DIRECTORY": f"{tmp_path}:/run/other"}
    r = relay(ECHO, env=directory)
    row, = json_rows(ctl("--socket", tmp_path / "control.sock", "--json",
                         "status"))
    assert row["pid"] == r.pid
    row, = json_rows(ctl("-c", r.ini, "--json", "status",
                         env={**os.environ, **directory}))
    assert row["pid"] == r.pid


def json_rows(done):
    return [json.loads(line) for line in done.stdout.splitlines()][:-1]


def test_default_that_cannot_be_is_a_warning_only(relay):
    r = relay(ECHO, env={"RUNTIME_DIRECTORY": "/nowhere"})
    assert any("warning: [server] control: cannot listen on "
               "/nowhere/control.sock: No such file" in line
               for line in r.lines)


def test_none(relay, tmp_path):
    r = relay(ECHO, server="control = none",
              env={"RUNTIME_DIRECTORY": str(tmp_path)})
    assert not r.log("control-listen") and not list(tmp_path.iterdir())
    said = ctl("-c", r.ini, "status", status=3).stderr
    assert said.endswith("control = none: the daemon has no socket\n")
    assert said.count("\n") == 1


def test_reload_of_a_unit_without_a_socket(relay):
    """systemd tells ExecReload= which process the service is."""
    r = relay(ECHO, server="control = none")
    unit = {**os.environ, "MAINPID": str(r.pid)}
    ctl("-c", r.ini, "reload", status=3)
    ctl("-c", r.ini, "reload", "--dry-run", status=3, env=unit)
    ctl("-c", r.ini, "reload", status=3, env={**unit, "MAINPID": "x"})
    ctl("-c", r.ini, "reload", status=3, env={**unit, "MAINPID": "1"})
    assert "by SIGHUP" in ctl("-c", r.ini, "reload", env=unit).stderr
    r.wait_log("reload")
    good = r.ini.read_text()
    r.ini.write_text(good + "[route x]\npath = /x\n")
    assert "[route x] backend: is missing" in ctl(
        "-c", r.ini, "reload", status=1, env=unit).stderr
    r.wait_log("reload-failed")
    # The file names another socket than the daemon has.
    r.ini.write_text(good.replace("control = none", "control = other.sock"))
    ctl("-c", r.ini, "reload", env=unit)
    r.wait_log("reload", 2)


def test_none_without_a_runtime_directory(relay):
    r = relay(ECHO, env={"RUNTIME_DIRECTORY": ""})
    assert not r.log("control-listen")


@pytest.mark.parametrize("key", ["control", "control_readonly"])
def test_one_that_is_asked_for_must_be(tmp_path, key):
    ini = tmp_path / "x.ini"
    ini.write_text(f"[server]\n{key} = /nowhere/x.sock\n"
                   f"[listen main]\naddress = 127.0.0.1:0\n" + ECHO)
    done = subprocess.run([*RUNNER, str(BUILD / "wsrelayd"), "-c", str(ini)],
                          capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    assert f"[server] {key}: cannot listen on /nowhere/x.sock" in done.stderr


def test_found_by_the_configuration(relay):
    r = relay(ECHO, server="control = run.sock")
    assert f"pid {r.pid}" in " ".join(
        ctl("-c", r.ini, "status").stdout.split())
    # Whatever else is wrong in it by now.
    r.ini.write_text(r.ini.read_text() + "[route]\nfoo = bar\n")
    ctl("-c", r.ini, "status")


def test_no_daemon():
    done = ctl("--socket", "/nowhere/x", "status", status=3)
    assert "/nowhere/x: No such file or directory: no daemon listens there" \
        in done.stderr


@pytest.mark.parametrize("args, says", [
    (["status", "x"], "status: there is no argument 'x'"),
    (["status", "--route", "x"], "--route: there is no such option"),
    (["stat"], "there is no command 'stat'"),
])
def test_usage(args, says):
    assert says in ctl(*args, status=2).stderr


def test_help_of_a_command():
    assert ctl("status", "--help").stdout.startswith(
        "usage: wsrelayctl [--socket PATH | -c FILE] status [--json]\n")
    assert "  routes    the routes" in ctl("-h").stdout


# --- the protocol ------------------------------------------------------------


def test_greeting(relay):
    r = relay(ECHO, server=READONLY)
    for name, access in ("control.sock", "all"), ("read.sock", "read"):
        with Caller(r.dir / name) as c:
            assert c.line() == {"wsrelayd": "0.1.0", "protocol": 1,
                                "pid": r.pid, "access": access}


def test_requests_one_behind_the_other(relay):
    r = relay(ECHO, server=CONTROL)
    with Caller(r.dir / "control.sock") as c:
        c.line()
        c.say(b'{"command":"stat"}\n[]\n{"command":"routes"}\n'
              b'{"command":"status","x":1}\n{"command":"sta')
        assert c.answer() == ([], {"status": "usage", "error":
                                   "there is no command 'stat'"})
        assert c.answer()[1]["status"] == "usage"
        rows, last = c.answer()
        assert rows[0]["route"] == "echo" and last == {"status": "ok"}
        assert c.answer()[1]["error"] == "status: there is no argument 'x'"
        for byte in b'tus"}':
            c.say(bytes([byte]))
        c.say(b"\n")
        assert c.answer()[1] == {"status": "ok"}


def test_answered_to_one_that_has_shut_its_side(relay):
    r = relay(ECHO, server=CONTROL)
    with Caller(r.dir / "control.sock") as c:
        c.say(b'{"command":"status"}\n{"command":"routes"}\n')
        c.socket.shutdown(socket.SHUT_WR)
        c.line()
        assert c.answer()[1] == {"status": "ok"}
        assert c.answer()[1] == {"status": "ok"}
        assert c.line() is None


def test_a_request_that_is_too_long(relay):
    r = relay(ECHO, server=CONTROL)
    with Caller(r.dir / "control.sock") as c:
        c.line()
        c.say(b" " * 65536)
        assert c.answer() == ([], {"status": "usage", "error":
                                   "a request longer than 65536 bytes"})
        assert c.line() is None


def test_sixteen_callers(relay):
    r = relay(ECHO, server=READONLY)
    callers = [Caller(r.dir / "control.sock") for _ in range(16)]
    for c in callers:
        assert c.line()["pid"] == r.pid
    done = ctl("--socket", r.dir / "control.sock", "status", status=3)
    assert "16 callers are connected already" in done.stderr
    ask(r, "status", sock="read.sock")  # each socket has its own
    r.wait_log("control-refuse")
    callers.pop().__exit__()
    wait_for(lambda: subprocess.run(
        [*RUNNER, str(BUILD / "wsrelayctl"), "--socket",
         r.dir / "control.sock", "status"],
        capture_output=True).returncode == 0, "room")
    for c in callers:
        c.__exit__()


def test_stops_while_it_has_callers(relay):
    r = relay(ECHO, server=CONTROL)
    with Caller(r.dir / "control.sock") as c:
        c.line()
        r.stop()
        assert c.line() is None


def test_log_line_with_the_user(relay):
    r = relay(ECHO, server=CONTROL)
    ask(r, "routes")
    line = r.wait_log("control", command="routes")
    assert line["uid"] == str(os.getuid()) and "says_uid" not in line
    with Caller(r.dir / "control.sock") as c:
        c.line()
        for _ in range(3):
            c.say(b'{"command":"routes"}\n')
            c.answer()
        c.say(b'{"command":"status"}\n')
        r.wait_log("control", command="status")
        assert len(r.log("control", command="routes")) == 2
        assert r.log("control")[1]["pid"] == str(os.getpid())


@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user")
def test_own_word_of_a_user_that_the_service_does_not_know(relay):
    r = relay(ECHO, server=CONTROL)
    os.chmod(r.dir / "control.sock", 0o666)
    for part in [r.dir, *r.dir.parents][:-2]:
        os.chmod(part, 0o755)
    code = ("import os, socket, sys\nos.setuid(65534)\n"
            "s = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n"
            "s.sendall(b'{\"command\":\"status\",\"uid\":1000}\\n')\n"
            "s.shutdown(socket.SHUT_WR)\nwhile s.recv(65536): pass\n")
    subprocess.run(["python3", "-c", code, str(r.dir / "control.sock")],
                   check=True, timeout=PATIENCE)
    line = r.wait_log("control", command="status")
    assert line["uid"] == "65534" and line["says_uid"] == "1000"


def test_a_program_of_a_route_is_not_let_in(relay, tmp_path):
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{shlex.quote(str(BUILD / 'wsrelayctl'))} "
                       '--socket "$1" status 2>&1; read line\n')
    program.chmod(0o755)
    r = relay("[route exec]\npath = /exec\nauth = none\n"
              f"backend = exec:{program} {{dir}}/control.sock\n",
              server=CONTROL)
    c = Client(r, "/exec")
    text = c.message()[1].decode()
    assert "programs that the relay has started may not command it" in text
    c.close()
    r.wait_log("control-refuse")


# --- status, routes ----------------------------------------------------------


def test_status(relay):
    r = relay(ECHO, server=CONTROL)
    c = Client(r, "/echo")
    c.send(TEXT, b"hello")
    assert c.message()[1] == b"hello"
    row, = ask(r, "status")
    assert row["sessions"] == row["connections"] == 1
    assert row["client_bytes"] == row["backend_bytes"] == 5
    assert row["state"] == "running" and row["version"] == "0.1.0"
    c.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_routes(relay, workers):
    r = relay(ECHO + ROOM, server=CONTROL + f"workers = {workers}\n")
    clients = [Client(r, path)
               for path in ("/echo", "/room/1", "/room/1", "/room/2")]
    echo, room = ask(r, "routes")
    assert echo == {"route": "echo", "path": "/echo", "mode": "pair",
                    "backend": "echo:", "auth": "none", "state": "open",
                    "clients": 1, "max_clients": 0, "programs": 0, "client_messages": 0,
                    "client_bytes": 0, "backend_messages": 0,
                    "backend_bytes": 0}
    assert room["clients"] == 3 and room["hubs"] == 2
    table = ctl("--socket", r.dir / "control.sock", "routes").stdout
    assert table.splitlines()[0].split() == [
        "ROUTE", "PATH", "MODE", "BACKEND", "AUTH", "STATE", "CLIENTS",
        "MAX", "CLIENTS", "PROGRAMS", "CLIENT", "MESSAGES", "CLIENT", "BYTES",
        "BACKEND", "MESSAGES", "BACKEND", "BYTES", "HUBS"]
    for c in clients:
        c.close()


# --- clients -----------------------------------------------------------------

KEYED = "[route keyed]\npath = /keyed\nbackend = echo:\nkeys = lab\n" + KEY


@pytest.mark.parametrize("workers", [1, 2])
def test_clients(relay, workers):
    r = relay(ECHO + ROOM + KEYED, server=CONTROL + f"workers = {workers}\n")
    echo = Client(r, "/echo")
    alice = Client(r, "/keyed", token=mint("/keyed", sub="alice", perm="r"))
    member = Client(r, "/room/7")
    echo.send(TEXT, b"hello")
    assert echo.message()[1] == b"hello"
    rows = {row["route"]: row for row in ask(r, "clients")}
    assert set(rows) == {"echo", "keyed", "room"}
    opened = r.wait_log("open", route="echo")
    row = rows["echo"]
    assert row["id"] == opened["id"] and row["peer"] == opened["peer"]
    assert row["client_bytes"] == row["backend_bytes"] == 5
    assert row["client_messages"] == row["backend_messages"] == 1
    assert row["state"] == "open" and "hub" not in row
    assert row["queued_bytes"] == row["lost"] == 0
    assert rows["room"]["hub"] == "/room/7"
    assert rows["keyed"]["subject"] == "alice"
    for args, routes in (
            (["--route", "echo"], {"echo"}),
            (["--route", "nowhere"], set()),
            (["--sub", "alice"], {"keyed"}),
            (["--key", "lab"], {"keyed"}),
            (["--key", "lab", "--sub", "bob"], set()),
            (["--ip", "127.0.0.1"], {"echo", "keyed", "room"}),
            (["--ip", "127.0.0.0/8", "--route", "room"], {"room"}),
            (["--ip", "127.0.0.2"], set()),
            (["--ip", "unix"], set()),
            (["--slow"], set())):
        assert {x["route"] for x in ask(r, "clients", *args)} == routes, args
    assert "expected an address" in ask(
        r, "clients", "--ip", "x", status=2)["error"]
    for c in echo, alice, member:
        c.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_client(relay, workers):
    r = relay(ECHO + ROOM + KEYED, server=CONTROL + f"workers = {workers}\n")
    clients = [Client(r, "/echo"),
               Client(r, "/keyed", token=mint("/keyed", sub="alice",
                                              perm="r")),
               Client(r, "/room/7")]
    alice = r.wait_log("open", route="keyed")["id"]
    row, = ask(r, "client", alice)
    assert row["subject"] == "alice" and row["key"] == "lab"
    assert row["rights"] == "r" and row["mode"] == "pair"
    assert row["listen"] == "main" and row["backend"] == "echo:"
    assert row["client_read"] == row["backend_read"] == "yes"
    member, = ask(r, "client", r.wait_log("open", route="room")["id"])
    assert member["mode"] == "hub" and member["hub"] == "/room/7"
    assert ask(r, "client", "1", status=1)["error"] == "there is no client 1"
    assert "expected one of the log" in ask(
        r, "client", "xyz", status=2)["error"]
    assert "client: ID is missing" in ctl("client", status=2).stderr
    sheet = ctl("--socket", r.dir / "control.sock", "client", alice).stdout
    assert sheet.split()[:2] == ["id", alice]
    for c in clients:
        c.close()


def test_round_trip_of_a_ping(relay):
    r = relay(ECHO.replace("auth", "ping_interval = 1s\nauth"),
              server=CONTROL)
    c = Client(r, "/echo")
    row, = ask(r, "clients")
    assert "ping_ms" not in ask(r, "client", row["id"])[0]
    f = c.frame()
    assert f.opcode == PING
    c.send(PONG, f.payload)
    c.send(TEXT, b"behind it")
    assert c.message()[1] == b"behind it"
    assert 0 <= ask(r, "client", row["id"])[0]["ping_ms"] < 30000
    c.close()


def test_slow_clients(relay):
    r = relay(ECHO, server=CONTROL)
    slow, quick = Client(r, "/echo", rcvbuf=4096), Client(r, "/echo")

    def send_for_ever():
        with contextlib.suppress(OSError):
            while True:
                slow.send(BINARY, b"x" * 60000)
    sending = Background(send_for_ever)
    row, = wait_for(lambda: ask(r, "clients", "--slow"), "one that is slow")
    assert row["queued_bytes"] > 0
    assert row["id"] == min(x["id"] for x in ask(r, "clients"))
    r.process.terminate()  # the write that blocks ends with its connection
    sending.done()
    slow.close()
    quick.close()


def many(r, n):
    return [Client(r, "/echo") for _ in range(n)]


@pytest.mark.parametrize("workers", [1, 2])
def test_long_list_while_clients_come_and_go(relay, workers):
    """Those that stay are each listed once, whoever leaves meanwhile."""
    r = relay(ECHO, server=CONTROL + f"workers = {workers}\n")
    stay, leave = [], []
    for _ in range(150):
        stay.append(Client(r, "/echo"))
        leave.append(Client(r, "/echo"))
    staying = {x["id"] for x in ask(r, "clients")}
    assert len(staying) == 300
    with Caller(r.dir / "control.sock") as c:
        c.line()
        c.say(b'{"command":"clients"}\n')
        rows = [c.line()]
        for x in leave:
            x.reset()
        leave = [Client(r, "/echo") for _ in range(50)]
        more, last = c.answer()
        assert last == {"status": "ok"}
    listed = [x["id"] for x in rows + more]
    assert len(listed) == len(set(listed))
    left = {x["id"] for x in ask(r, "clients")}
    assert staying & left <= set(listed)
    for x in stay + leave:
        x.close()


def test_callers_that_leave_in_the_middle(relay):
    r = relay(ECHO, server=CONTROL + "workers = 2\n")
    clients = many(r, 200)
    for _ in range(20):
        with Caller(r.dir / "control.sock") as c:
            c.say(b'{"command":"clients"}\n' * 5)
            c.line()
    assert len(ask(r, "clients")) == 200
    with Caller(r.dir / "control.sock") as c:
        c.say(b'{"command":"clients"}\n' * 100)
        r.stop()
    for x in clients:
        x.close()


def test_one_that_does_not_read_is_cut(relay):
    r = relay(ECHO, server=CONTROL)
    clients = many(r, 100)
    with Caller(r.dir / "control.sock") as c:
        c.say(b'{"command":"clients"}\n' * 200)
        line = r.wait_log("control-cut", patience=60)
        assert line["pid"] == str(os.getpid())
        assert len(ask(r, "clients")) == 100
    for x in clients:
        x.close()


# --- closed ------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_closed(relay, workers):
    r = relay(ECHO + ROOM + KEYED, server=CONTROL + f"workers = {workers}\n")
    assert ask(r, "closed") == []
    alice = Client(r, "/keyed", token=mint("/keyed", sub="alice", perm="r"))
    alice.send(TEXT, b"she may not")
    alice.closed(1008, "read-only")
    member = Client(r, "/room/7")
    member.send_close(1000)
    assert member.recv().code == 1000
    member.ended()
    assert Client(r, "/keyed", wait=False).answer() == 401
    for line in (r.wait_log("close", route="keyed"),
                 r.wait_log("close", route="room"), r.wait_log("refuse")):
        row, = [x for x in ask(r, "closed") if x["id"] == line["id"]]
        for name in "route", "subject", "peer", "reason", "side", "code":
            assert str(row.get(name)) == str(line.get(name)), name
        assert row["event"] == line["event"]
    rows = {x["route"]: x for x in ask(r, "closed", "--reason", "read-only")}
    assert set(rows) == {"keyed"}
    assert rows["keyed"]["detail"] == "the token has no right to send"
    assert rows["keyed"]["client_messages"] == 0
    for args, n in ((["--sub", "alice"], 1), (["--route", "keyed"], 2),
                    (["--route", "room", "--since", "1h"], 1),
                    (["--since", "2100-01-01"], 0), (["--ip", "::1"], 0),
                    (["--key", "lab", "--ip", "127.0.0.1"], 1)):
        assert len(ask(r, "closed", *args)) == n, args
    assert "reason: there is none of this name" in ask(
        r, "closed", "--reason", "x", status=2)["error"]
    assert "--since: expected a time such as" in ctl(
        "closed", "--since", "x", status=2).stderr


def test_closed_in_the_order_of_time(relay):
    r = relay(ECHO, server=CONTROL + "workers = 2\n")
    for n in range(6):
        c = Client(r, "/echo")
        c.close()
        r.wait_log("close", count=n + 1)
        Client(r, "/nowhere", wait=False).answer()
        r.wait_log("refuse", count=n + 1)
    table = ctl("--socket", r.dir / "control.sock", "closed").stdout
    events = [line.split()[3] for line in table.splitlines()[1:]]
    assert events == ["close", "refuse"] * 6


# --- hubs, backends ----------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_hubs(relay, workers):
    driver = ROOM.replace("max_back", "input = driver\nmax_back")
    r = relay(ECHO + driver, server=CONTROL + f"workers = {workers}\n")
    clients = [Client(r, f"/room/{n}") for n in (1, 1, 2)]
    clients[0].send(TEXT, b"hello")
    assert clients[1].message()[1] == b"hello"
    one, two = sorted(ask(r, "hubs"), key=lambda x: x["path"])
    assert one["path"] == "/room/1" and one["route"] == "room"
    assert one["state"] == "open" and one["members"] == 2
    assert one["driver"] == clients[0].id
    assert one["member_messages"] == one["backend_messages"] == 1
    assert one["id"] == r.wait_log("hub-open", path="/room/1")["id"]
    assert two["members"] == 1 and two["queued_bytes"] == 0
    assert len(ask(r, "hubs", "--route", "room")) == 2
    assert ask(r, "hubs", "--route", "echo") == []
    for c in clients:
        c.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_backends_of_pairs(relay, workers):
    port = free_port()
    r = relay(f"[route sim]\npath = /sim\nbackend = tcp://127.0.0.1:{port}\n"
              "framing = line\nauth = none\n",
              server=CONTROL + f"workers = {workers}\n")
    row, = ask(r, "backends")
    assert row["route"] == "sim" and row["open"] == 0
    assert row["state"] == "idle" and "trouble" not in row
    assert Client(r, "/sim", wait=False).answer() == 502
    row, = ask(r, "backends")
    assert row["state"] == "failing" and row["trouble"] == "backend-refused"
    assert row["trouble_ms"] >= 0 and "detail" in row
    with Server(port=port) as s:
        c = Client(r, "/sim")
        backend = s.accept()
        row, = ask(r, "backends")
        assert row["state"] == "open" and row["open"] == 1
        assert row["trouble"] == "backend-refused"
        assert "message_ms" not in row
        backend.write(b"hello\n")
        assert c.message()[1] == b"hello"
        row, = ask(r, "backends")
        assert 0 <= row["message_ms"] < 30000
        backend.reset()
        c.closed(1011, "backend-reset")
    row, = wait_for(lambda: [x for x in ask(r, "backends")
                             if x["state"] == "failing"], "the loss")
    assert row["trouble"] == "backend-reset" and row["open"] == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_backends_of_hubs(relay, workers):
    port = free_port()
    r = relay(f"[route hub]\npath = /hub\nbackend = tcp://127.0.0.1:{port}\n"
              "framing = line\nauth = none\nmode = hub\n"
              "on_backend_loss = hold\nmax_backend_message = 64K\n",
              server=CONTROL + f"workers = {workers}\n")
    with Server(port=port) as s:
        c = Client(r, "/hub")
        backend = s.accept()
        row, = ask(r, "backends")
        assert row["hub"] == "/hub" and row["state"] == "open"
        assert "message_ms" not in row and "trouble" not in row
        backend.write(b"hello\n")
        assert c.message()[1] == b"hello"
        row, = ask(r, "backends")
        assert 0 <= row["message_ms"] < 30000 and row["age_ms"] >= 0
    backend.reset()
    r.wait_log("hub-retry")
    row, = ask(r, "backends")
    assert row["state"] == "held" and row["trouble"] == "backend-refused"
    assert ask(r, "hubs")[0]["state"] == "held"
    c.close()


# --- config, counters, loglevel ----------------------------------------------


def test_config(relay):
    r = relay("[route exec]\npath = /exec\nbackend = exec:/bin/cat\n"
              "exec_env = PASSWORD=hunter2\nkeys = lab\n" + KEY,
              server=CONTROL)
    rows = ask(r, "config")
    said = {(x["section"], x["key"]): x["value"] for x in rows}
    assert said["route exec", "path"] == "/exec"
    assert said["route exec", "exec_env"] == "PASSWORD=(hidden)"
    assert said["server", "control"] == str(r.dir / "control.sock")
    assert said["key lab", "secret_file"] == str(r.dir / "secret")
    assert "hunter2" not in json.dumps(rows)
    assert SECRET.decode() not in json.dumps(rows)
    dump = subprocess.run([*RUNNER, str(BUILD / "wsrelayd"), "-T", "-c", r.ini],
                          capture_output=True, text=True, check=True).stdout
    keys = [line.split("=")[0].strip() for line in dump.splitlines()
            if line and line[0] != "["]
    assert [x["key"] for x in rows] == keys


@pytest.mark.parametrize("workers", [1, 2])
def test_counters(relay, workers):
    r = relay(ECHO + ROOM, server=CONTROL + f"workers = {workers}\n")
    c = Client(r, "/echo")
    for _ in range(3):
        c.send(TEXT, b"hello")
        c.message()
    said = {(x["counter"], x.get("labels")): x["value"]
            for x in ask(r, "counters")}
    assert said["wsrelayd_clients", 'route="echo"'] == "1"
    assert said["wsrelayd_bytes_total",
                'route="echo",direction="from_client"'] == "15"
    assert ("wsrelayd_clients", 'route="room"') not in said
    assert not [name for name, _ in said if name.endswith("_bucket")]
    c.close()


def test_loglevel(relay):
    r = relay(ECHO, server=READONLY)
    assert ask(r, "loglevel") == [{"level": "debug"}]
    assert ask(r, "loglevel", "error") == [{"level": "error"}]
    Client(r, "/echo").close()
    assert ask(r, "loglevel", "debug", sock="read.sock", status=1)
    assert ask(r, "loglevel", sock="read.sock") == [{"level": "error"}]
    assert ask(r, "loglevel", "x", status=2)["error"] == \
        "level: expected error, warn, info or debug"
    assert ask(r, "loglevel", "info") == [{"level": "info"}]
    c = Client(r, "/echo")
    assert r.wait_log("open")["id"] == c.id
    assert r.log("control", arguments="level=error")
    c.close()


@pytest.mark.parametrize("workers", [1, 3])
def test_kill(relay, workers):
    r = relay(ECHO + "close_timeout = 300ms\n" + ROOM, server=CONTROL + f"workers = {workers}\n")
    one, two, three = (Client(r, "/echo") for _ in range(3))
    members = [Client(r, "/room/7") for _ in range(2)]
    ids = [x["id"] for x in ask(r, "clients", "--route", "echo")]
    assert "nothing else says" in ask(r, "kill", status=2)["error"]
    assert "expected one that may" in ask(
        r, "kill", ids[0], "--code", "1005", status=2)["error"]
    assert [x["id"] for x in ask(r, "kill", ids[0])] == ids[:1]
    assert ask(r, "kill", ids[0], status=1)["error"] == "no client is that"
    killed = ask(r, "kill", "--route", "room", "--code", "4001",
                 "--reason", "the lesson is over")
    assert len(killed) == 2
    for c in members:
        m = c.recv()
        assert m.opcode == 8
        assert m.payload == b"\x0f\xa1the lesson is over"
    line = r.wait_log("close", id=ids[0])
    assert line["reason"] == "killed" and line["code"] == "1012"
    left = [x for x in ask(r, "clients") if x["state"] == "open"]
    assert len(left) == 2
    assert len(ask(r, "kill", "--ip", "127.0.0.1")) == 2
    for c in one, two, three:
        assert c.recv().opcode == 8


# --- what a further command needs --------------------------------------------


def complete(*words):
    script = ("source scripts/wsrelayctl.bash\n"
              'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _wsrelayctl\n'
              'printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(
        ["bash", "-c", script, "bash", str(BUILD / "wsrelayctl"), *words],
        cwd=ROOT, capture_output=True, text=True, check=True,
        timeout=PATIENCE)
    return done.stdout.split()


def commands():
    table = (ROOT / "src/codec/control.def").read_text()
    return re.findall(r"(?m)^COMMAND\(([\w-]+),", table)


def test_completion():
    assert set(complete("")) == {*commands(), "top", "key", "play", "token",
                                 "invite"}
    assert complete("clo") == ["closed"]
    assert complete("-c", "x.ini", "ro") == ["routes"]
    assert set(complete("clients", "--s")) == {"--socket", "--sub", "--slow"}
    assert complete("tap", "--d") == ["--direction"]
    assert complete("play", "READ") == ["README.md"]


@pytest.mark.parametrize("command", commands())
def test_manual_has_each_command_and_its_options(command):
    page = (ROOT / "man/wsrelayctl.8").read_text()
    assert re.search(rf"(?m)^\.(It )?Cm {command}\b", page), command
    usage = ctl(command, "--help").stdout.splitlines()[0]
    for option in re.findall(r"--([a-z-]+)", usage):
        assert f"Fl -{option}" in page, option
