"""Which worker a connection comes to."""
import contextlib
import os
import pathlib

from peers import TEXT, Client
from relay import wait_for

ECHO = """
[route echo]
path = /echo
backend = echo:
auth = none
"""


def watched(pid):
    """What each of the daemon's loops watches: epoll's fd -> how many."""
    fds = pathlib.Path(f"/proc/{pid}/fd")
    found = {}
    for fd in os.listdir(fds):
        with contextlib.suppress(FileNotFoundError):    # closed meanwhile
            if os.readlink(fds / fd) == "anon_inode:[eventpoll]":
                found[fd] = pathlib.Path(f"/proc/{pid}/fdinfo/{fd}") \
                    .read_text().count("tfd:")
    return found


def at_rest(pid):
    """The same, when every loop has begun to turn and watches its mailbox."""
    return wait_for(lambda: (lambda found: all(found.values()) and found)(
        watched(pid)), "all loops")


def spread(before, pid):
    """How many more they watch than before, those that watch any more."""
    return sorted(n - before[fd] for fd, n in watched(pid).items()
                  if n != before[fd])


def test_long_lived_connections_are_spread_evenly(relay):
    r = relay(ECHO, server="workers = 2")
    before = at_rest(r.pid)
    clients = [Client(r, "/echo") for _ in range(200)]
    assert spread(before, r.pid) == [100, 100]
    for c in clients:
        c.send(TEXT, "still there")
        assert c.recv().text == "still there"


def test_what_one_worker_lost_comes_to_it(relay):
    r = relay(ECHO, server="workers = 2")
    before = at_rest(r.pid)
    clients = [Client(r, "/echo") for _ in range(40)]
    # They came to the workers in turn: now one has 20, the other none.
    for c in clients[::2]:
        c.close()
    wait_for(lambda: spread(before, r.pid) == [20], "half of them left")
    clients += [Client(r, "/echo") for _ in range(20)]
    assert spread(before, r.pid) == [20, 20]
