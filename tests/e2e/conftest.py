import os
import sys

import pytest

sys.path.insert(0, __file__.rsplit("/", 1)[0])

import secure  # noqa: E402
from certificates import certificates as made_certificates  # noqa: E402
from relay import Relay, WSRELAYD, free_port, release_ports  # noqa: E402


# How valgrind up to 3.20 names pidfd_open(2), which exec: backends need.
NO_PIDFD = "unhandled amd64-linux syscall: 434"


def pytest_configure(config):
    config.addinivalue_line("markers", "plain(reason): not over TLS, when "
                            "the suite runs over TLS; see secure.py")
    config.addinivalue_line("markers", "alone(reason): measures what a busy "
                            "machine changes, and runs without neighbours; "
                            "see scripts/check-e2e")
    config.addinivalue_line("markers", "long(reason): takes many seconds, and "
                            "so begins with the first")
    if secure.SECURE:
        secure.trust(os.environ)


# Before pytest-xdist, which looks for its marks there, too.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Over TLS run the tests whose client or backend can speak it; with
    WSRELAY_ALONE=only those that run alone, with "no" the others."""
    alone = os.environ.get("WSRELAY_ALONE")

    def chosen(item):
        if secure.SECURE and item.get_closest_marker("plain"):
            return False
        return not alone or \
            bool(item.get_closest_marker("alone")) == (alone == "only")
    config.hook.pytest_deselected(items=[i for i in items if not chosen(i)])
    items[:] = [i for i in items if chosen(i)]
    for item in items:
        if shares(item):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    # What keeps one worker busy for long begins first, or all wait for it.
    items.sort(key=lambda i: not (shares(i) or i.get_closest_marker("long")))


def shares(item):
    """Whether it uses the browser, or what is made once for its module: one
    worker runs these tests of a module, and so makes that once."""
    return "driver" in item.fixturenames or any(
        found[-1].scope == "module"
        for found in item._fixtureinfo.name2fixturedefs.values())


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


@pytest.fixture(autouse=True)
def ports():
    """Those of free_port() are the test's until all else of it has ended."""
    yield
    release_ports()


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
def certificates():
    """The tests' own authority and what it signed: see certificates.py."""
    return made_certificates()


@pytest.fixture
def tls_relay(relay, certificates):
    """tls_relay(ini, names=[...], listen=...): a daemon whose listener main
    speaks TLS with these identities, the first of them its default."""
    def start(ini="", names=("localhost",), listen="", **options):
        return relay(ini + "\n" + "".join(certificates.ini(n, n)
                                          for n in names),
                     listen=f"certificates = {' '.join(names)}\n{listen}",
                     secure=False, **options)
    return start


@pytest.fixture(scope="session")
def driver():
    """One headless Chromium for all tests of a worker."""
    from browser import browser  # most tests need no Selenium

    with browser() as driver:
        yield driver


@pytest.fixture
def trusting_driver(certificates):
    """A Chromium that trusts the tests' authority."""
    from browser import browser

    with browser(ca=certificates.ca) as driver:
        yield driver


@pytest.fixture
def console(driver, run, relay):
    """Errors of the console that a test expects; any other fails it. Ends
    before the daemons do, which the page would complain about.
    """
    from browser import errors

    errors(driver)          # of the test before
    expected = []
    yield expected
    found = errors(driver)
    # The page's own end must not be an error of the next test.
    driver.get("about:blank")
    assert [e for e in found if not any(x in e for x in expected)] == []


@pytest.fixture
def run():
    """run(command, ...) starts it; it is stopped with the test."""
    from demo import Process

    started = []

    def start(command, **how):
        started.append(Process(command, **how))
        return started[-1]
    yield start
    for process in started:
        if not process.process.stdout.closed:
            process.stop()


@pytest.fixture
def demo(run):
    """demo(port) starts the demo as make run does, and returns its address.
    Through the thin line comes a picture in a second and a half: any machine
    computes more than that."""
    from demo import DEMO

    def start(port=None):
        port = port or free_port()
        # Under valgrind and such the script knows no daemon with arguments.
        process = run([DEMO / "run"], WSRELAYD=str(WSRELAYD),
                      WSRELAY_DEMO_PORT=str(port),
                      WSRELAY_DEMO_THIN="20000")
        return process, process.find(r"ready\. Open +(http://\S+)")
    return start


@pytest.fixture
def telephone(driver):
    from browser import resize

    yield lambda: resize(driver, 360, 740)
    resize(driver, 1280, 800)
