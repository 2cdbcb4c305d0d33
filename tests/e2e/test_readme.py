"""The README's own page, taken out of the README word for word, works."""
import json
import os
import pathlib
import re
import shlex
import subprocess
import urllib.request

import pytest

from browser import errors, wait_for
from relay import BUILD, RUNNER, ROOT, wait_for as wait_until

pytestmark = pytest.mark.plain("what the README shows has no TLS")

README = (ROOT / "README.md").read_text()
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def block(language, holds):
    """The one block of this language that holds this text."""
    found = [text for text in re.findall(
        r"^```%s\n(.*?)^```$" % language, README, re.MULTILINE | re.DOTALL)
        if holds in text]
    assert len(found) == 1, (language, holds)
    return found[0]


def test_configuration_is_the_example():
    example = (ROOT / "conf/examples/simulation.ini").read_text()
    assert block("ini", "[listen") == \
        re.sub(r"^;.*\n", "", example, flags=re.MULTILINE)


@pytest.fixture
def address(tmp_path):
    www = tmp_path / "www"
    www.mkdir()
    (www / "index.html").write_text(block("html", "WsRelay"))
    (www / "wsuri.json").write_text(block("json", "{{wsuri"))
    sim = tmp_path / "sim.py"
    sim.write_text(block("python", "import json"))
    sim.chmod(0o755)
    key = tmp_path / "lab.key"
    subprocess.run([*RUNNER, BUILD / "wsrelayctl", "key", key], check=True)
    ini = tmp_path / "sim.ini"
    text = block("ini", "[listen").replace(
        "[listen public]\n", "[listen public]\naddress = 127.0.0.1:0\n")
    ini.write_text(text.replace("/srv/sim/", f"{tmp_path}/").replace(
        "/etc/wsrelayd/lab.key", "lab.key"))
    log = tmp_path / "log"
    with log.open("wb") as f:
        # Debian's Python behind /usr/bin/env.
        process = subprocess.Popen(
            [*RUNNER, BUILD / "wsrelayd", "-c", ini], stderr=f,
            env={**os.environ, "PATH": "/usr/bin:/bin"})
    try:
        line = wait_until(lambda: re.search(
            r"listen=public address=(\S+)", log.read_text()), "the listener")
        yield "http://%s/" % line.group(1)
    finally:
        process.terminate()
        status = process.wait(30)
    assert status == 0, log.read_text()


def test_page_shows_and_steers(driver, address):
    driver.get(address)
    here = "return Number(document.getElementById('ball').getAttribute('cx'))"
    wait_for(driver, here + " !== 0")
    wait_for(driver, "return document.getElementById('state')"
                     ".textContent === 'connected'")
    assert abs(driver.execute_script(here)) <= 20
    driver.execute_script(
        "const slider = document.querySelector('input'); slider.value = 70;"
        "slider.dispatchEvent(new Event('input'))")
    wait_for(driver, here + " >= 50")
    # Another page load: the program has gone on, and knows its slider.
    driver.refresh()
    wait_for(driver, here + " !== 0")
    assert driver.execute_script(here) >= 50
    assert driver.execute_script(
        "return document.querySelector('input').valueAsNumber") == 0
    assert errors(driver) == []


def test_wsuri_is_fresh(address):
    seen = {json.load(DIRECT.open(address + "wsuri.json"))["wsuri"]
            for _ in range(2)}
    assert len(seen) == 2
    for wsuri in seen:
        assert re.match(r"ws://127\.0\.0\.1:\d+/sim/42\?token=", wsuri)


def test_commands_name_what_is_there():
    """make targets and options in the README's commands exist."""
    rules = (ROOT / "Makefile").read_text()
    for text in re.findall(r"^```sh\n(.*?)^```$", README,
                           re.MULTILINE | re.DOTALL):
        for line in text.splitlines():
            words = shlex.split(line, comments=True)
            for word, after in zip(words, words[1:]):
                if word == "make" and "=" not in after and after != "&&":
                    assert re.search("^%s:" % after, rules, re.MULTILINE)
    for path in re.findall(r"`((?:conf|systemd|scripts|src|tests)/[^`*]+)`",
                           README):
        assert pathlib.Path(ROOT / path).exists(), path
