"""SIGHUP: keys are read again while connections live. (Certificates:
test_tls.py.)"""
import os
import pty
import signal
import struct
import subprocess

import pytest

from peers import TEXT, Client, Server
from relay import (KEY, PATIENCE, SANITIZERS, SECRET, WSRELAYD, mint, wait_for)

NEW = b"another secret, which is long enough, too"
ECHO = KEY + """
[route r]
path = /r
backend = echo:
"""

pytestmark = pytest.mark.parametrize("workers", [1, 2])


def start(relay, workers, ini=ECHO):
    return relay(ini, server=f"workers = {workers}")


def reload(r, secret=None, event="reload"):
    if secret:
        (r.dir / "secret").write_bytes(secret + b"\n")
    count = len(r.log(event)) + 1
    r.kill(signal.SIGHUP)
    return r.wait_log(event, count)


def refused(r, secret):
    with r.socket() as s:
        token = mint("/r", secret=secret)
        s.sendall((f"GET /r?token={token} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                   "Connection: Upgrade\r\nUpgrade: websocket\r\n"
                   "Sec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                   ).encode())
        return int(s.recv(100).split()[1])


def test_a_new_secret(relay, workers):
    r = start(relay, workers)
    old = Client(r, "/r", token=mint("/r"))
    reload(r, NEW)
    # Both workers get about as many.
    new = [Client(r, "/r", token=mint("/r", secret=NEW)) for _ in range(4)]
    assert [refused(r, SECRET) for _ in range(4)] == [401] * 4
    for c in [old, *new]:
        c.send(TEXT, "still here")
        assert c.recv().text == "still here"
    reload(r, SECRET)
    assert refused(r, SECRET) == 101
    assert refused(r, NEW) == 401


@pytest.mark.parametrize("spoil", [
    lambda path: path.unlink(),
    lambda path: path.write_bytes(b"too short"),
    lambda path: os.chmod(path, 0) or path.write_bytes(b""),
])
def test_a_broken_file_changes_nothing(relay, workers, spoil):
    r = start(relay, workers)
    spoil(r.dir / "secret")
    reload(r, event="reload-failed")
    detail = r.wait_log("reload-complaint")["detail"]
    assert "secret_file" in detail and str(r.dir) in detail
    assert refused(r, SECRET) == 101
    (r.dir / "secret").unlink(missing_ok=True)
    reload(r, NEW)
    assert refused(r, NEW) == 101


def test_a_fault_elsewhere_holds_nothing_up(relay, workers, tmp_path):
    """One key's file is no good: the other's is taken."""
    other = tmp_path / "other"
    other.write_bytes(SECRET)
    other.chmod(0o600)
    r = start(relay, workers, ECHO + f"""
[key other]
secret_file = {other}
[route o]
path = /o
backend = echo:
keys = other
""")
    other.write_bytes(b"too short")
    (r.dir / "secret").chmod(0o644)
    reload(r, NEW, event="reload-failed")
    assert "[key other]" in r.wait_log(
        "reload-complaint", level="error")["detail"]
    assert "can be read by everybody" in r.wait_log(
        "reload-complaint", level="warn")["detail"]
    assert len(r.log("reload-complaint")) == 2
    assert refused(r, SECRET) == 401
    assert refused(r, NEW) == 101
    old = Client(r, "/o", token=mint("/o", header={"kid": "other"}))
    old.send(TEXT, "x")
    assert old.recv().text == "x"


def test_a_bad_file_changes_no_setting_and_reads_keys_again(relay, workers):
    r = start(relay, workers)
    good = r.ini.read_text()
    r.ini.write_text("nonsense\n" + good.replace("path = /r", "path = /s"))
    reload(r, NEW, event="reload-failed")
    assert "wsrelayd.ini:1" in r.wait_log("reload-complaint")["detail"]
    assert refused(r, NEW) == 101  # at its old place, with the new secret
    r.wait_log("reload-files")


def test_a_hub_goes_on(relay, workers):
    server = Server()
    r = start(relay, workers, KEY + f"""
[route h]
path = /h/{{id}}
backend = {server.uri}
framing = len32
mode = hub
""")
    old = [Client(r, "/h/1", token=mint("/h/1"), wait=False)]
    trunk = server.accept()
    old[0].upgraded()
    reload(r, NEW)
    old += [Client(r, "/h/1", token=mint("/h/1", secret=NEW))
            for _ in range(3)]
    trunk.write(struct.pack(">IB", 3, 1) + b"hi")
    assert [c.recv().text for c in old] == ["hi"] * 4


def test_in_a_row_with_connections(relay, workers):
    r = start(relay, workers)
    clients = []
    for i in range(20):
        r.kill(signal.SIGHUP)
        clients.append(Client(r, "/r", token=mint("/r")))
    for c in clients:
        c.send(TEXT, "x")
        assert c.recv().text == "x"
    assert r.log("reload") and not r.log("reload-failed")


def test_a_closed_terminal_stops_it(tmp_path, workers):
    """The hang-up of a terminal is no order to read again."""
    (tmp_path / "secret").write_bytes(SECRET)
    ini = tmp_path / "t.ini"
    ini.write_text(f"[server]\nworkers = {workers}\n"
                   "[listen main]\naddress = 127.0.0.1:0\n" +
                   ECHO.replace("{dir}", str(tmp_path)))
    log = (tmp_path / "log").open("wb")
    pid, master = pty.fork()
    if pid == 0:
        os.dup2(log.fileno(), 2)
        os.execve(WSRELAYD, [str(WSRELAYD), "-c", str(ini)],
                  {**os.environ, **SANITIZERS})

    def logged(word):
        return word in (tmp_path / "log").read_bytes()
    try:
        wait_for(lambda: logged(b" listen "), "the start")
        os.kill(pid, signal.SIGHUP)
        wait_for(lambda: logged(b" reload "), "the reload")
        os.close(master)
        wait_for(lambda: logged(b" stop "), "the end", PATIENCE)
    except BaseException:
        subprocess.run(["kill", "-9", str(pid)], check=False)
        raise
    finally:
        assert os.waitpid(pid, 0)[1] == 0
