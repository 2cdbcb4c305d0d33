import sys

import pytest

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from relay import Relay  # noqa: E402


@pytest.fixture
def relay(tmp_path_factory):
    """relay(ini, listen=..., server=..., env=...) starts a daemon."""
    started = []

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
