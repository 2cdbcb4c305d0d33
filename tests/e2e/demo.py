"""The demo for the tests: its configuration, its script, what a page of it
says of its connection, a clock for its simulations. The fixtures that need
these are in conftest.py.
"""
import contextlib
import os
import re
import subprocess
import threading

from browser import wait_for
from relay import PATIENCE, ROOT, SANITIZERS
from relay import wait_for as wait_until

DEMO = ROOT / "scripts/demo"
PYTHON = "/usr/bin/python3"
OPEN = "return document.getElementById('status').dataset.state === 'open'"
# Nothing tells a page that its server is away but this.
AWAY = "ERR_CONNECTION_REFUSED"


class Process:
    """A command that runs a daemon, what it says, and where it listens."""

    def __init__(self, command, cwd=None, **env):
        self.errors, self.lines = [], []
        self.process = subprocess.Popen(
            [str(word) for word in command], cwd=cwd, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **SANITIZERS, **env})
        self.readers = [
            threading.Thread(target=lines.extend, args=[stream], daemon=True)
            for stream, lines in ((self.process.stdout, self.lines),
                                  (self.process.stderr, self.errors))]
        for reader in self.readers:
            reader.start()

    def find(self, pattern):
        """Waits until it says this, and returns the first group."""
        def there():
            text = "".join(self.lines + self.errors)
            found = re.search(pattern, text)
            assert found or self.process.poll() is None, text
            return found
        return wait_until(there, pattern).group(1)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
        for reader in self.readers:
            reader.join(PATIENCE)
        self.process.stdout.close()
        self.process.stderr.close()
        text = "".join(self.errors)
        assert self.process.returncode == 0, text
        assert "Sanitizer" not in text and "runtime error" not in text, text


def demo_ini(**changed):
    """The demo's own configuration, for the harness's key and listener."""
    text = (DEMO / "demo.ini.in").read_text()
    text = text[text.index("[key demo]"):]
    for name, value in (("SECRET", "{dir}/secret"), ("DIR", str(DEMO)),
                        ("PYTHON", PYTHON), ("PORT", "1"), ("THIN", "1")):
        text = text.replace("@%s@" % name, value)
    for name, value in changed.items():
        text, n = re.subn(r"(?m)^%s = .*$" % name, "%s = %s" % (name, value),
                          text)
        assert n == 1, name
    return text


def open_page(driver, url):
    driver.get(url)
    wait_for(driver, OPEN, PATIENCE)


def fits(driver):
    """Whether nothing is wider than the screen."""
    return driver.execute_script(
        "return document.documentElement.scrollWidth <= innerWidth")


class Clock:
    """In place of a simulation's time and select: time passes by waiting, a
    little longer than asked for, and by what the test says that work costs."""

    class Enough(Exception):
        pass

    def __init__(self, n, work):
        self.n, self.work = n, work
        self.now = self.start = 1000.0
        self.moments = []

    def monotonic(self):
        return self.now

    time = monotonic

    def select(self, readers, writers, errors, wait):
        self.now += wait + 0.0007
        return [], [], []

    def step_said(self):
        """Call it for each step that the simulation says."""
        self.moments.append(self.now - self.start)
        if len(self.moments) == self.n:
            raise self.Enough
        self.now += self.work(len(self.moments))


def moments(monkeypatch, source, session, is_step, n, work):
    """Runs a session of a simulation, a module, under such a clock until it
    has said n steps, the i-th of which costs work(i) seconds. Returns when
    each was said, from the beginning."""
    clock = Clock(n, work)
    monkeypatch.setattr(source, "time", clock)
    monkeypatch.setattr(source, "select", clock)
    monkeypatch.setattr(source, "say", lambda *said:
                        clock.step_said() if is_step(*said) else None)
    with contextlib.suppress(Clock.Enough):
        session.run()
    return clock.moments
