"""Losing nothing, holding nothing, starving nobody: what only shows when one
side is slow, silent, or gone at the wrong moment."""
import contextlib
import os
import socket
import sys
import time

import pytest

from peers import BINARY, CLOSE, TEXT, Background, Client, Server
from relay import wait_for


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
""", wrap=["/bin/bash", "-c", "trap '' CHLD; exec \"$@\"", "bash"])
    c = Client(r, "/exec", wait=False)
    c.answer()
    r.wait_log("close", route="exec", patience=10)
    before = cpu(r)
    time.sleep(1)
    assert cpu(r) - before < 0.5
