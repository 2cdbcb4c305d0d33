import sys

import pytest

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from relay import Relay  # noqa: E402


# How valgrind up to 3.20 names pidfd_open(2), which exec: backends need.
NO_PIDFD = "unhandled amd64-linux syscall: 434"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A test whose daemon met a valgrind that cannot run programs says
    nothing about the daemon: skipped, and with this reason."""
    report = (yield).get_result()
    if report.outcome == "failed" and any(
            NO_PIDFD in line for r in getattr(item, "relays", [])
            for line in r.lines):
        report.outcome = "skipped"
        report.longrepr = (str(item.path), 0,
                           "Skipped: this valgrind knows no pidfd_open(2)")


@pytest.fixture
def relay(tmp_path_factory, request):
    """relay(ini, listen=..., server=..., env=...) starts a daemon."""
    started = request.node.relays = []

    def start(ini="", **options):
        r = Relay(ini, tmp_path_factory.mktemp("relay"), **options)
        started.append(r)
        return r

    yield start
    errors = []
    for r in started:
        if not r.process.stderr.closed:
            try:
                r.stop()
            except AssertionError as e:
                errors.append(str(e))
    assert not errors, "\n".join(errors)


@pytest.fixture(scope="session")
def driver():
    """One headless Chromium for all tests of a worker."""
    from browser import browser  # most tests need no Selenium

    with browser() as driver:
        yield driver
