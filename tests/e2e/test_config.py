"""The command line, and configurations that are wrong."""
import os
import re
import socket
import subprocess

import pytest

from relay import RUNNER, SANITIZERS, SECRET, WSRELAYD

pytestmark = pytest.mark.plain("about files, not connections")

GOOD = """[server]
drain_timeout = 3s
[listen main]
address = 127.0.0.1:0
address = unix:{dir}/relay.sock
socket_mode = 0660
allow = 127.0.0.0/8 10.0.0.0/8
deny = 127.0.0.2
trusted_proxies = 127.0.0.1 unix
[key lab]
secret_file = {dir}/secret
[page all]
root = {dir}
template = yes
header = X-A: "b"
header = X-C: d
[route sim]
path = /sim/{id}
backend = exec:/bin/echo {id}
exec_env = A=b
origins = https://a.example https://*.b.example
[route tcp]
path = /tcp/{host}
backend = tcp://{host}:7000
framing = len32
backend_allow = 10.0.0.0/8
subprotocols = chat other
"""


@pytest.fixture
def run(tmp_path):
    """run(arguments, ini=...) -> CompletedProcess"""
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    secret.chmod(0o600)

    def call(*args, ini=None, wrap=(), env=None, **options):
        if ini is not None:
            (tmp_path / "w.ini").write_text(
                ini.replace("{dir}", str(tmp_path)))
            args = ("-c", str(tmp_path / "w.ini"), *args)
        return subprocess.run(
            [*wrap, *RUNNER, str(WSRELAYD), *args], text=True, timeout=60,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env={**os.environ, **SANITIZERS,
                                         **(env or {})}, **options)
    call.dir = tmp_path
    return call


# --- the command line ------------------------------------------------------

@pytest.mark.parametrize("args, status, out", [
    (["-h"], 0, "usage: wsrelayd"), (["--help"], 0, "usage: wsrelayd"),
    (["-V"], 0, "wsrelayd "), (["--version"], 0, "wsrelayd "),
    (["-x"], 2, ""), (["-c"], 2, ""), (["surplus"], 2, ""),
    (["--root", "/tmp"], 2, ""), (["--try"], 2, "")])
def test_options(run, args, status, out):
    p = run(*args)
    assert p.returncode == status
    assert p.stdout.startswith(out) and (out or not p.stdout)
    assert bool(p.stderr) == (status != 0)
    if status == 2:
        assert "usage: wsrelayd" in p.stderr


def test_check_says_what_is_good(run):
    p = run("-t", ini=GOOD)
    assert (p.returncode, p.stderr) == (0, "")
    assert re.fullmatch(r"configuration is good: \d routes?.*\n", p.stdout)
    assert not (run.dir / "relay.sock").exists(), "it has listened"


@pytest.mark.parametrize("sections, counts", [
    ("", ""),
    ("[route a]\npath = /a\nbackend = echo:\nauth = none\n", ": 1 route"),
    ("[page p]\nroot = /tmp\n"
     "[route a]\npath = /a\nbackend = echo:\nauth = none\n"
     "[route b]\npath = /b\nbackend = room:\nmode = hub\nauth = none\n",
     ": 2 routes, 1 page, 1 hub")])
def test_check_counts(run, sections, counts):
    p = run("-t", ini="[listen a]\naddress = 127.0.0.1:1\n" + sections)
    assert (p.returncode, p.stdout) == \
        (0, f"configuration is good{counts}\n")


def test_a_thousand_sections(run):
    """About as many as a kind may have."""
    sections = "".join(
        f"[page p{i}]\npath = /p{i}\nroot = {{dir}}\n"
        f"[route r{i}]\npath = /r{i}/{{id}}\nbackend = echo:\nkeys = lab\n"
        for i in range(995))
    p = run("-t", ini=GOOD + sections)
    assert (p.returncode, p.stderr) == (0, "")
    assert "997 routes, 996 pages" in p.stdout


def test_check_says_which_program(run):
    p = run("-t", ini="[listen a]\n[key k]\nsecret_file = secret\n[route r]\n"
            "path = /r\nbackend = exec:sh -x\n", env={"PATH": "/bin"})
    assert p.stdout == "[route r] backend: sh is /bin/sh\n" \
        "configuration is good: 1 route\n"


def test_check_does_not_need_the_port(run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ini = f"[listen a]\naddress = 127.0.0.1:{taken.getsockname()[1]}\n"
        assert run("-t", ini=ini).returncode == 0


def test_missing_file(run):
    p = run("-t", "-c", str(run.dir / "none.ini"))
    assert p.returncode == os.EX_CONFIG and not p.stdout
    assert f"{run.dir}/none.ini" in p.stderr
    assert "No such file" in p.stderr


def test_dump(run):
    """Every default is in it, and it stands for itself."""
    first = run("-T", ini=GOOD)
    assert first.returncode == 0 and not first.stderr
    for line in ("max_header = 16K", "ping_interval = 30s", "leeway = 5s",
                 "drain_timeout = 3s", "max_processes = 64",
                 "token_ttl = 60s", "log_format = text"):
        assert re.search("(?m)^" + re.escape(line) + r"(\s|$)",
                         first.stdout), line
    again = run("-T", ini=first.stdout)
    assert again.returncode == 0 and not again.stderr
    assert again.stdout == first.stdout
    assert run("-t", ini=first.stdout).returncode == 0


def test_secrets_are_not_dumped(run):
    assert SECRET.decode() not in run("-T", ini=GOOD).stdout


# --- errors ----------------------------------------------------------------

WRONG = """[server]
drain_timeout = soon
workers = 0x2
unknown = 1
[listen main]
address = 127.0.0.1:99999
address = 127.0.0.1:8080
max_header = 3
max_header = 4K
allow = 10.0.0.0/33
[listen main]
address = 127.0.0.1:0
[listen covered]
address = 127.0.0.1:8081
allow = 10.1.0.0/16
deny = 10.0.0.0/8
[nonsense x]
[key short]
secret_file = {dir}/short
[key none]
secret_file = {dir}/none
[key empty]
[page p]
root = {dir}/nowhere
[route tcp]
path = /x/{a}
backend = tcp://127.0.0.1:7000
[route never]
path = /x/{b}
backend = echo:
[route capture]
path = /y/{host}
backend = tcp://{host}:1
framing = line
[route missing]
path = /z
[route odd]
path = relative/{id
backend = ftp://a
max_message = 1
auth = maybe
keys = nobody
  leading = blank
"""
EXPECTED = [
    (2, "[server] drain_timeout"), (3, "[server] workers"),
    (4, "[server] unknown"), (6, "[listen main] address"),
    (8, "[listen main] max_header"), (9, "[listen main] max_header"),
    (10, "[listen main] allow"), (11, "[listen main]"),
    (None, "[listen covered] allow"), (17, "[nonsense x]"),
    (None, "[key short] secret_file"), (None, "[key none] secret_file"),
    (None, "[key empty] secret_file"), (None, "[page p] root"),
    (None, "[route tcp] framing"), (None, "[route never] path"),
    (None, "[route capture] backend_allow"),
    (None, "[route missing] backend"), (None, "[route odd] path"),
    (None, "[route odd] backend"), (None, "[route odd] max_message"),
    (None, "[route odd] auth"), (None, "[route odd] keys"), (43, "white space"),
]


@pytest.mark.parametrize("args", [[], ["-t"], ["-T"]])
def test_all_errors_in_one_run(run, args):
    """FILE:LINE: [section] key: ..., and nothing is started."""
    (run.dir / "short").write_text("short\n")
    p = run(*args, ini=WRONG)
    assert p.returncode == os.EX_CONFIG and p.stdout == ""
    said = p.stderr.splitlines()
    for line in said:
        assert re.match(re.escape(str(run.dir)) + r"/w\.ini:\d+: ", line), line
    for number, what in EXPECTED:
        found = [x for x in said if f": {what}" in x and
                 (number is None or f"w.ini:{number}: " in x)]
        assert found, f"{number}: {what} is missing in\n{p.stderr}"
    assert "expected" in p.stderr


@pytest.mark.parametrize("text, line", [
    ("[server\n", 1), ("stray = 1\n[server]\n", 1),
    ("[server]\nuser : root\n", 2), ("[server]\nuser\n", 2),
    ("[server]\n user = a\n", 2), ("[server]\nuser = a #b\n", 2),
    ("[server]\nlog_level = info\n\tdebug\n", 3),
    ("[server]\nuser = " + "x" * 5000 + "\n", 2),
    ("[server]\n[server]\n", 2), ("[listen " + "x" * 100 + "]\n", 1),
    ("[server]\nuser = a\0b\n", 2)], ids=lambda t: repr(t)[:30])
def test_syntax(run, text, line):
    p = run("-t", ini=text)
    assert p.returncode == os.EX_CONFIG
    assert f"w.ini:{line}: " in p.stderr, p.stderr


def test_errors_of_included_files_name_them(run):
    (run.dir / "conf.d").mkdir()
    (run.dir / "conf.d/10.ini").write_text("[route a]\npath = /a\n"
                                           "backend = echo:\n")
    (run.dir / "conf.d/20.ini").write_text("\n[route a]\nbackend = echo:\n")
    p = run("-t", ini="[server]\ninclude = conf.d/*.ini\n")
    assert p.returncode == os.EX_CONFIG
    assert f"{run.dir}/conf.d/20.ini:2: [route a]" in p.stderr


# --- what only the start can tell ------------------------------------------

def test_address_in_use(run):
    """Every address that cannot be had is named, and none is kept."""
    with socket.create_server(("127.0.0.1", 0)) as a, \
            socket.create_server(("127.0.0.1", 0)) as b:
        ports = [s.getsockname()[1] for s in (a, b)]
        p = run(ini=f"""[listen one]
address = 127.0.0.1:{ports[0]}
address = unix:{{dir}}/kept.sock
[listen two]
address = 127.0.0.1:{ports[1]}
""")
    assert p.returncode == 1    # no fault of the file: another try may do
    for name, port in zip(("one", "two"), ports):
        assert re.search(rf"w\.ini:\d+: \[listen {name}\] address: .*{port}.*"
                         "Address already in use", p.stderr), p.stderr
    assert not (run.dir / "kept.sock").exists()


def test_unix_socket_in_use_and_left_over(relay, run):
    path = run.dir / "relay.sock"
    r = relay("", listen=f"address = unix:{path}\n")
    p = run(ini=f"[listen x]\naddress = unix:{path}\n")
    assert p.returncode == 1 and "Address already in use" in p.stderr
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(path))    # the first one's socket was not taken away
    r.kill(9)
    r.expect_exit = -9
    r.process.wait()
    assert path.exists()
    relay("", listen=f"address = unix:{path}\n").stop()
    assert not path.exists()


def test_missing_passed_socket(run):
    p = run(ini="[listen x]\naddress = fd:public\n")
    assert p.returncode == 1
    assert "[listen x] address" in p.stderr and "fd:public" in p.stderr


AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def opened_to_all(path):
    """Lets the user nobody look into a directory and those above it."""
    for p in (path, *path.parents):
        if p.stat().st_uid == os.geteuid() and not p.stat().st_mode & 0o001:
            p.chmod(p.stat().st_mode | 0o001)


@root
def test_unreadable_secret(run):
    opened_to_all(run.dir)
    ini = ("[listen a]\naddress = 127.0.0.1:0\n"
           "[key lab]\nsecret_file = {dir}/secret\n")
    assert run("-t", ini=ini).returncode == 0
    os.chmod(run.dir / "w.ini", 0o644)
    p = run("-t", "-c", str(run.dir / "w.ini"), wrap=AS_NOBODY)
    assert p.returncode == os.EX_CONFIG
    assert "[key lab] secret_file" in p.stderr
    assert "Permission denied" in p.stderr


@root
def test_secrets_are_read_as_the_service_user(run):
    """Started as root: what would fail at a reload fails at the start."""
    opened_to_all(run.dir)
    ini = ("[server]\nuser = nobody\n[listen a]\naddress = 127.0.0.1:0\n"
           "[key lab]\nsecret_file = {dir}/secret\n")
    for args in ([], ["-t"], ["-T"]):
        p = run(*args, ini=ini)
        assert p.returncode == os.EX_CONFIG, p.stderr
        assert "Permission denied" in p.stderr and p.stdout == ""


@root
def test_user(relay):
    """Bound as root, then given up for good. A Unix socket is the user's, for
    socket_mode to speak of its group and not of root's."""
    r = relay("", server="user = nobody", listen="""
[listen local]
address = unix:{dir}/local.sock
""", wrap=["sh", "-c", """
dir=$(dirname "$3"); chmod 755 "$dir"; chown nobody "$dir"/*
while [ "$dir" != / ]; do chmod a+x "$dir"; dir=$(dirname "$dir"); done
exec "$@" """, "sh"])
    text = open(f"/proc/{r.pid}/status").read()
    assert re.search(r"Uid:\s+65534\s+65534\s+65534\s+65534", text)
    assert re.search(r"Gid:\s+65534\s+65534\s+65534\s+65534", text)
    assert re.search(r"Groups:\s+(65534)?\s*\n", text)
    assert re.search(r"CapEff:\s+0+\n", text)
    there = (r.dir / "local.sock").stat()
    assert (there.st_uid, there.st_gid) == (65534, 65534)


@root
def test_user_that_is_not_there(run):
    p = run(ini="[server]\nuser = nobody-like-this\n"
                "[listen a]\naddress = 127.0.0.1:0\n")
    assert p.returncode == os.EX_CONFIG and "nobody-like-this" in p.stderr


@root
def test_user_without_root_rights_changes_nothing(run):
    """It is only given up what there is."""
    opened_to_all(run.dir)
    (run.dir / "w.ini").write_text("[server]\nuser = root\n"
                                   "[listen a]\naddress = 127.0.0.1:0\n")
    os.chmod(run.dir / "w.ini", 0o644)
    command = [*AS_NOBODY, str(WSRELAYD), "-c", str(run.dir / "w.ini")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True,
                          stdout=subprocess.DEVNULL) as p:
        for line in p.stderr:
            if " listen " in line:
                break
        else:
            raise AssertionError("it did not start")
        uid = re.search(r"Uid:\s+(\d+)",
                        open(f"/proc/{p.pid}/status").read())[1]
        p.terminate()
        p.stderr.read()
    assert uid == "65534" and p.returncode == 0


HOMES = ("/home", "/root", "/run/user")


@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize("line", [
    "backend = exec:{home}/none/sim", "exec_dir = {home}/none/dir",
    "root = {home}/none/www", "secret_file = {home}/none/key"])
def test_what_protect_home_hides(run, line, home):
    """A service is told why it does not see what is there for everybody
    else."""
    line = line.replace("{home}", home)
    section = {"root": "page", "secret_file": "key"}.get(
        line.split(" ")[0], "route")
    more = "path = /r\nauth = none\n" if section == "route" else ""
    if line.startswith("exec_dir"):
        more += "backend = exec:/bin/cat\n"
    ini = f"[listen a]\naddress = 127.0.0.1:0\n[{section} x]\n{more}{line}\n"
    hint = "ProtectHome= of the service hides"
    assert hint not in run("-t", ini=ini).stderr
    p = run("-t", ini=ini, env={"INVOCATION_ID": "0" * 32})
    assert p.returncode == os.EX_CONFIG
    assert hint in p.stderr and line.split(" ")[0] in p.stderr
    # What is missing elsewhere is missing.
    p = run("-t", ini=ini.replace(home, "/srv"),
            env={"INVOCATION_ID": "0" * 32})
    assert p.returncode == os.EX_CONFIG and hint not in p.stderr


@root
def test_an_argument_that_protect_home_hides(run):
    """A script that is an argument is no fault that -t can be sure of."""
    opened_to_all(run.dir)
    ini = ("[listen a]\naddress = 127.0.0.1:0\n[route x]\npath = /r/{id}\n"
           f"auth = none\nbackend = exec:/bin/cat {HOMES[1]}/no/sim.py {{id}}\n")
    (run.dir / "w.ini").write_text(ini)
    os.chmod(run.dir / "w.ini", 0o644)
    for env, said in (({}, False), ({"INVOCATION_ID": "0" * 32}, True)):
        p = run("-t", "-c", str(run.dir / "w.ini"), wrap=AS_NOBODY, env=env)
        assert p.returncode == 0
        assert (f"{HOMES[1]}/no/sim.py: Permission denied (ProtectHome"
                in p.stderr) == said
