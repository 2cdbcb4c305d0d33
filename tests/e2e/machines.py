"""Machines of a test's own, which are network namespaces, and their lines.

    with made(Machines("near", "far")) as net:
        net.line(("near", "eth", "10.77.0.1/24"), ("far", "eth", "10.77.0.2/24"))
        with net.inside("near"):    # new sockets and processes are there

Needs root; a test that asks for them where there can be none is skipped.
"""
import contextlib
import ctypes
import itertools
import os
import subprocess

import pytest

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)
serial = itertools.count()


def setns(file):
    if LIBC.setns(file.fileno(), CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Machines:
    def __init__(self, *machines):
        self.names = {x: f"wsr-{os.getpid()}-{next(serial)}-{x}"
                      for x in machines}
        self.made = []

    def make(self):
        for name in self.names.values():
            self.run("ip", "netns", "add", name)
            self.made.append(name)
            self.run("ip", "-n", name, "link", "set", "lo", "up")

    def line(self, *ends):
        """Between two (machine, interface, address with its prefix)."""
        (a, at_a, _), (b, at_b, _) = ends
        # Made where it belongs: never seen outside of the namespaces.
        self.run("ip", "link", "add", "name", at_a, "netns", self.names[a],
                 "type", "veth", "peer", "name", at_b, "netns", self.names[b])
        for machine, interface, address in ends:
            at = ("ip", "-n", self.names[machine])
            self.run(*at, "addr", "add", address, "dev", interface)
            self.run(*at, "link", "set", interface, "up")

    @staticmethod
    def run(*command):
        subprocess.run(command, check=True, text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def remove(self):
        for name in self.made:
            self.run("ip", "netns", "del", name)

    @contextlib.contextmanager
    def inside(self, machine):
        """This thread's new sockets belong to that machine, for good, and so
        do the processes that it starts."""
        with open("/proc/thread-self/ns/net") as home, \
                open(f"/run/netns/{self.names[machine]}") as there:
            setns(there)
            try:
                yield
            finally:
                setns(home)


@contextlib.contextmanager
def made(machines):
    try:
        try:
            machines.make()
        except (OSError, subprocess.CalledProcessError) as e:
            why = getattr(e, "stderr", None) or e
            pytest.skip(f"no network namespaces can be made here: {why}")
        yield machines
    finally:
        machines.remove()
