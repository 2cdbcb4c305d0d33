"""Losing nothing, holding nothing, starving nobody: what only shows when one
side is slow, silent, or gone at the wrong moment."""
import contextlib
import os
import socket
import sys
import time

import pytest

from pace import unhurried
from peers import BINARY, CLOSE, TEXT, Background, Client, Server, Wire
from rawhttp import head


def exec_route(program, more=""):
    return f"""
[route exec]
path = /exec
backend = exec:{sys.executable} {{dir}}/program.py
auth = none
{more}
"""


def program(tmp_path, text):
    (tmp_path / "program.py").write_text(text)


def cpu(r):
    """Seconds of processor time that the daemon has used."""
    fields = open(f"/proc/{r.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def tcp_route(port, more=""):
    return f"""
[route tcp]
path = /tcp
backend = tcp://127.0.0.1:{port}
framing = raw
auth = none
{more}
"""


def test_ignored_children_are_waited_for(relay):
    """Whoever starts the daemon may ignore SIGCHLD: that is inherited."""
    r = relay("""
[route exec]
path = /exec
backend = exec:/bin/true
auth = none
close_timeout = 300ms
""", wrap=["/bin/bash", "-c", "trap '' CHLD; exec \"$@\"", "bash"])
    c = Client(r, "/exec", wait=False)
    c.answer()
    r.wait_log("close", route="exec")
    before = cpu(r)
    time.sleep(1)       # in which it does nothing
    assert cpu(r) - before < 0.5


def test_program_closes_its_input(relay, tmp_path):
    """What waits for it is dropped, and the client is read again."""
    program(tmp_path, """
import os, sys, time
sys.stdin.readline()
os.close(0)
print("closed", flush=True)
time.sleep(60)          # it lives on
""")
    r = relay(exec_route("", "close_timeout = 300ms").replace(
        "{dir}", str(tmp_path)))
    c = Client(r, "/exec")
    for _ in range(40):
        c.send(TEXT, "x" * 100000)
    assert c.recv().text == "closed"
    c.send_close(1000)
    assert c.recv().code == 1000


def test_echo_with_a_rate_is_bounded(relay):
    """Whoever sends but does not read is read no more, rate or no rate."""
    r = relay("""
[route echo]
path = /echo
backend = echo:
auth = none
message_rate = 8
queue_limit = 64K
ping_interval = 1h
""")
    c = Client(r, "/echo", rcvbuf=4096)
    c.sock.settimeout(2)
    sent = 0
    begin = time.monotonic()
    with pytest.raises(TimeoutError):
        while time.monotonic() - begin < 8:
            c.send(BINARY, bytes(200000))
            sent += 200000
    c.close()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_end_behind_the_last_request(relay, n):
    """It is seen while the answer is given, and then nobody waits for the
    next request."""
    r = relay(listen="keepalive_timeout = 1h")
    with Wire(r.socket()) as w:
        w.write(head("/healthz") * n)
        w.shut()
        assert w.rest().count(b"ok\n") == n


def test_unread_answer_is_given_up(relay, tmp_path):
    (tmp_path / "big").write_bytes(bytes(20 << 20))
    r = relay(f"""
[page files]
path = /
root = {tmp_path}
""", listen="keepalive_timeout = 500ms")
    s = r.socket(rcvbuf=4096)
    s.sendall(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n")
    r.wait_log("refuse", reason="client-gone")
    s.close()


@unhurried
def test_slow_answer_is_not_given_up(relay, tmp_path, pace):
    (tmp_path / "big").write_bytes(bytes(12 << 20))
    r = relay(f"""
[page files]
path = /
root = {tmp_path}
""", listen=f"keepalive_timeout = {500 * pace}ms")
    s = r.socket()
    s.sendall(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n")
    got, begin = 0, time.monotonic()
    while got < 12 << 20:
        data = s.recv(1 << 16)
        assert data, (got, r.lines)
        got += len(data)
        time.sleep(0.01 * pace)     # slow, but never for long
    assert time.monotonic() - begin > pace
    s.close()


@unhurried
def test_who_is_not_read_is_not_idle(relay, pace):
    with Server() as s:
        r = relay(tcp_route(s.port, f"idle_timeout = {700 * pace}ms\n"
                            "queue_limit = 64K"))
        c = Client(r, "/tcp")
        b = s.accept()
        total, part = 40 << 20, bytes(1 << 20)
        sender = Background(lambda: [c.send(BINARY, part) for _ in range(40)])
        time.sleep(1.6 * pace)  # twice the timeout; nothing is read
        for _ in range(total >> 20):
            b.exactly(1 << 20)
        sender.done()
        c.closed(1001, "idle")


def test_last_words_of_a_backend_that_hears_no_more(relay):
    """It has closed, and a client that speaks on gets it reset: what had
    arrived before that is delivered all the same."""
    with Server() as s:
        r = relay(tcp_route(s.port, "queue_limit = 64K\nclose_timeout = 1s"))
        c = Client(r, "/tcp", rcvbuf=4096)
        b = s.accept()
        # What its own kernel still holds is lost when it is reset.
        kept = 65536
        b.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, kept // 2)
        b.sock.settimeout(1)
        total = 0
        with contextlib.suppress(TimeoutError):
            while True:
                total += b.sock.send(bytes(65536))
        assert total > 10 * kept
        b.close()
        for _ in range(3):  # the first gets the reset, the next finds it
            c.send(BINARY, b"still there?")
            time.sleep(0.1)     # not both at once
        got = 0
        while (f := c.frame()).opcode != CLOSE:
            got += len(f.payload)
        assert got >= total - 2 * kept
        assert f.code == 1011
        c.send_close(1000)
        r.wait_log("close", reason="backend-reset")


def test_unfinished_messages_are_counted(relay):
    """Beginnings of messages from many backends are memory like any other."""
    n, part = 12, 1 << 20
    with Server() as s:
        r = relay(tcp_route(s.port, "close_timeout = 300ms").replace(
            "raw", "line"),
                  server="max_memory = 4M\nworkers = 1")
        clients, backends = [], []
        with contextlib.suppress(AssertionError):  # refused: memory is full
            for _ in range(n):
                clients.append(Client(r, "/tcp"))
                backends.append(s.accept())
                backends[-1].write(b"x" * part)
        r.wait_log("close", reason="memory")
