"""Which lines are logged, and what the filter of fail2ban makes of them."""
import re
import shutil
import subprocess

import pytest

from peers import Client
from rawhttp import ask, upgrade
from relay import KEY, ROOT, mint, wait_for

pytestmark = pytest.mark.plain("about lines of the log")

ROUTES = """
[route echo]
path = /echo
auth = none
backend = echo:

[route sim]
path = /sim/{*}
backend = echo:
""" + KEY


def one_of_each(r):
    """An orderly end, another one, a refusal: the lines of the log."""
    c = Client(r, "/echo")
    c.send_close(1000)
    c.closed(1000)
    c = Client(r, "/echo")
    c.send(3, b"no such opcode")
    c.closed(1002)
    assert ask(r, upgrade("/sim/1")).status == 401
    r.stop()
    return [x["event"] + " " + x.get("reason", "") for x in r.log()]


OPEN, ORDERLY, OTHER, REFUSED = "open ", "close client-close", \
    "close protocol", "refuse token-missing"


@pytest.mark.parametrize("words, there", [
    ("all", [OPEN, ORDERLY, OPEN, OTHER, REFUSED]),
    ("-open -orderly-close", [OTHER, REFUSED]),
    ("-close", [OPEN, OPEN, REFUSED]),
    ("-connections", [REFUSED]),
    ("connections, -open", [ORDERLY, OTHER]),
    ("refuse", [REFUSED]),
    ("-all", [])])
def test_chosen_lines(relay, words, there):
    r = relay(ROUTES, server=f"log_events = {words}")
    lines = one_of_each(r)
    # A close is logged when TCP has ended, perhaps behind the next open.
    assert sorted(x for x in lines if x.split()[0] in (
        "open", "close", "refuse")) == sorted(there)
    # What is always there.
    assert [x.split()[0] for x in lines if x.split()[0] in (
        "start", "listen", "stopping", "stop")] == \
        ["start", "listen", "stopping", "stop"]


def test_warnings_stay(relay, tmp_path):
    """Of an event that is left out, too."""
    program = tmp_path / "gone"
    program.write_text("#!/nowhere\n")
    program.chmod(0o755)
    r = relay(f"[route r]\npath = /r\nauth = none\nbackend = exec:{program}\n",
              server="log_events = -all")
    assert ask(r, upgrade("/r")).status == 502
    assert r.wait_log("backend-error")["level"] == "warn"
    assert not r.log("refuse")


def test_every_kind_is_in_the_page():
    page = (ROOT / "man/wsrelayd.8").read_text()
    page = page[page.index(".Ss Choosing lines"):]
    for line in (ROOT / "src/base/log_kind.def").read_text().splitlines():
        if line.startswith("KIND("):
            for word in line.split('"')[1::2]:
                assert re.search(rf"(?<![\w-]){word}(?![\w-])", page), word


# --- fail2ban ----------------------------------------------------------------

needs_fail2ban = pytest.mark.skipif(
    not shutil.which("fail2ban-regex"), reason="fail2ban is not installed")


def banned(tmp_path, lines, mode="normal"):
    """The addresses that the filter finds in these lines, one for each."""
    folder = tmp_path / "filter.d"
    folder.mkdir(exist_ok=True)
    shutil.copy(ROOT / "conf/fail2ban/filter.conf", folder / "wsrelayd.conf")
    shutil.copy("/etc/fail2ban/filter.d/common.conf", folder)
    log = tmp_path / "lines.log"
    log.write_text("".join(x + "\n" for x in lines))
    done = subprocess.run(
        ["fail2ban-regex", "-c", tmp_path, "-o", "ip", log,
         f"wsrelayd[mode={mode}]"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split()


def in_journal(line):
    """A line as fail2ban reads it from there."""
    return "Nov 26 15:03:20 host wsrelayd[123]: " + line.split(" ", 1)[1]


def scanned(r):
    """Refusals of many kinds, each from an address of its own."""
    good = mint("/sim/1")
    wrong = mint("/sim/1", secret=b"x" * 40)
    asked = {
        "127.0.0.11": upgrade(f"/sim/1?token={wrong}"),
        "127.0.0.12": upgrade("/sim/1?token=nonsense"),
        "127.0.0.13": upgrade(f"/sim/2?token={good}"),      # path
        "127.0.0.14": upgrade("/sim/1?token=" + mint("/sim/1", ttl=-60)),
        "127.0.0.15": upgrade("/sim/1"),
        "127.0.0.16": upgrade("/none"),
        "127.0.0.17": b"GET /\r\n\r\n",
        # What a client says is no field.
        "127.0.0.18": upgrade('/sim/1?token=' + good, Origin=(
            'http://x" peer=127.0.0.99:1 reason=token-signature')),
        "127.0.0.19": upgrade("/none%20peer=127.0.0.99:1%20reason=limit-rate"
                              "%22%20peer=127.0.0.98:1"),
    }
    for source, data in asked.items():
        ask(r, data, source=source)
    wait_for(lambda: len(r.log("refuse")) == len(asked), "the refusals")
    return [x for x in r.lines if " refuse " in x]


@needs_fail2ban
@pytest.mark.parametrize("as_read", [str, in_journal],
                         ids=["file", "journal"])
def test_fail2ban(relay, tmp_path, as_read):
    lines = scanned(relay(ROUTES))
    lines = [as_read(x) for x in lines]
    assert banned(tmp_path, lines) == ["127.0.0.11", "127.0.0.12"]
    assert banned(tmp_path, lines, "aggressive") == \
        ["127.0.0.11", "127.0.0.12", "127.0.0.17"]


@needs_fail2ban
def test_fail2ban_and_ipv6(relay, tmp_path):
    r = relay(ROUTES + "[listen six]\naddress = [::1]:0\n")
    ask(r, upgrade("/sim/1?token=nonsense"), listen="six")
    line = r.wait_log("refuse", reason="token-malformed")
    assert line["peer"].startswith("[::1]:")
    assert banned(tmp_path, [x for x in r.lines if " refuse " in x]) == ["::1"]
