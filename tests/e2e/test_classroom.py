"""The classroom of the demo, in headless Chromium: several pages of one pond
at once, with the daemon, the pond and the thin line that make run starts.
"""
import re
import socket
import subprocess
import sys
import threading
import time

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from browser import errors, resize, wait_for
from demo import AWAY, DEMO, fits
from relay import PATIENCE
from relay import wait_for as wait_until

pytestmark = pytest.mark.plain("the demo has no TLS")

IN = "return you && room && picture"


class Pages:
    """Pages of one browser, by name, each in a window of its own."""

    def __init__(self, driver, expected):
        self.driver = driver
        self.expected = expected
        self.home = driver.current_window_handle
        self.handles = {}

    def open(self, name, url):
        self.driver.switch_to.new_window("window")
        self.handles[name] = self.driver.current_window_handle
        resize(self.driver, 1280, 800)
        self.driver.get(url)
        wait_for(self.driver, IN, PATIENCE)

    def on(self, name):
        self.driver.switch_to.window(self.handles[name])
        return self.driver

    def ask(self, name, script, *arguments):
        return self.on(name).execute_script(script, *arguments)

    def wait(self, name, script, *arguments):
        return wait_for(self.on(name), script, PATIENCE, *arguments)

    def close(self, name):
        found = [e for e in errors(self.on(name))
                 if not any(x in e for x in self.expected)]
        self.driver.close()
        del self.handles[name]
        self.driver.switch_to.window(self.home)
        assert found == []


@pytest.fixture
def pages(driver, console):
    """Ends before the daemon does, as console."""
    pages = Pages(driver, console)
    yield pages
    try:
        for name in list(pages.handles):
            pages.close(name)
    finally:
        driver.switch_to.window(pages.home)


@pytest.fixture
def three(pages, demo):
    """a drives, b waits for its turn, w only watches."""
    pages.process, url = demo()
    pages.url = url + "classroom/"
    for name, path in (("a", ""), ("b", ""), ("w", "watch/")):
        pages.open(name, pages.url + path)
    for name in "abw":
        pages.wait(name, "return room.watch === 2 && room.driver_id")
    return pages


def text(pages, name, element):
    return pages.on(name).find_element(By.ID, element).text


def draw(pages, name, x, y):
    """The pointer goes down on the water, and stays there."""
    pages.ask(name, """
        const water = document.getElementById('water');
        const box = water.getBoundingClientRect();
        water.setPointerCapture = () => {};
        water.dispatchEvent(new PointerEvent('pointerdown', { pointerId: 1,
            clientX: box.left + box.width * arguments[0] / 160,
            clientY: box.top + box.height * arguments[1] / 100 }));""", x, y)


PRESSED = """return picture.hand.down &&
    Math.hypot(picture.hand.x - arguments[0], picture.hand.y - arguments[1]) < 1"""


def test_one_drives_and_all_see_it(three):
    names = [three.ask(name, "return you.name") for name in "abw"]
    assert len(set(names)) == 3
    for name in "abw":
        assert text(three, name, "driver") == names[0]
        assert text(three, name, "watch") == "2"
        seats = three.on(name).find_elements(By.CSS_SELECTOR, "#seats li")
        assert [seat.text.split(" ·")[0] for seat in seats] == names
    assert text(three, "a", "part").startswith("You drive")
    assert text(three, "b", "part") == names[0] + " drives. You are next."
    assert text(three, "w", "part") == names[0] + " drives. You watch."
    for name in "abw":
        for control in ("calm", "rain"):
            assert three.on(name).find_element(By.ID, control).is_enabled() \
                == (name == "a")
    draw(three, "a", 40, 30)
    for name in "abw":
        three.wait(name, PRESSED, 40, 30)
    # One picture: what the same number shows is the same everywhere.
    three.ask("a", "document.getElementById('water').dispatchEvent("
              "new PointerEvent('pointerup', { pointerId: 1 }))")
    three.wait("w", "return !picture.hand.down")
    three.ask("a", """const rain = document.getElementById('rain');
        rain.value = 1.5; rain.dispatchEvent(new Event('input'));""")
    three.wait("w", "return picture.rain === 1.5 &&"
               "document.getElementById('rain').value === '1.5'")


def test_the_relay_drops_what_others_say(three):
    for name in "bw":
        draw(three, name, 90, 60)
        three.ask(name, "say({ do: 'press', x: 90, y: 60 })")
    # They were heard, and denied; then what the driver says is done.
    for count in (1, 2):
        three.process.find(r"(?s)(?:denied-input.*){%d}" % count + "()")
    three.ask("a", "say({ do: 'rain', v: 1.25 })")
    for name in "abw":
        three.wait(name, "return picture.rain === 1.25")
        assert not three.ask(name, "return picture.hand.down")


def test_the_next_takes_over(three):
    name_b = three.ask("b", "return you.name")
    three.close("a")
    for name in "bw":
        three.wait(name, "return room.driver === arguments[0]", name_b)
        assert text(three, name, "driver") == name_b
        assert text(three, name, "watch") == "1"
    assert text(three, "b", "part").startswith("You drive")
    draw(three, "b", 100, 70)
    three.wait("w", PRESSED, 100, 70)
    # Nobody is left who may.
    three.close("b")
    three.wait("w", "return room.driver === null && room.watch === 1")
    assert text(three, "w", "driver") == "nobody"
    assert text(three, "w", "part") == "Nobody drives. You watch."


def test_the_driver_lets_the_next_one_drive(three):
    seats = "return room.seats.map(seat => seat.id)"
    before = three.ask("a", seats)
    three.on("a").find_element(By.ID, "over-to").click()
    three.wait("a", "return room && you && room.driver_id === arguments[0]",
               before[1])
    assert "You are next." in text(three, "a", "part")
    assert not three.on("a").find_element(By.ID, "over-to").is_displayed()
    assert three.on("b").find_element(By.ID, "over-to").is_displayed()
    assert three.ask("b", seats)[:2] == before[1:]
    assert three.ask("w", "return room.watch") == 2


def test_a_reload_finds_the_same_water(pages, demo):
    pages.open("a", demo()[1] + "classroom/")
    pages.wait("a", "return picture.n > 20")
    seen = pages.ask("a", "return picture.n")
    pages.driver.refresh()
    wait_for(pages.driver, IN, PATIENCE)
    assert pages.ask("a", "return picture.n") > seen
    pages.wait("a", "return drives()")


# Of the pictures since then, how many the page got, and how many it did not.
FOLLOW = """window.from = { n: picture.n, skipped: stats.skipped };
    window.share = () => 1 - (stats.skipped - from.skipped) / (picture.n - from.n)"""


def test_a_thin_line_is_its_own_affair(three):
    """Of the pictures a few come, and these are young; the others' pages get
    theirs. All is counted in pictures, of which a busy machine has fewer."""
    switch = three.on("b").find_element(By.ID, "thin")
    assert switch.get_attribute("aria-checked") == "false"
    switch.click()
    assert switch.get_attribute("aria-checked") == "true"
    three.wait("b", IN)
    for name in "abw":
        three.ask(name, FOLLOW)
    # In line the page would be behind by all that it has skipped now.
    # So many that what a busy browser takes to draw is little beside it.
    three.wait("b", "return stats.skipped >= 240")
    # Asked first: what comes while the other page answers is not its delay.
    newest = three.ask("a", "return picture.n")
    thin = three.ask("b", "return { n: picture.n, share: share(), ...stats }")
    assert newest - thin["n"] < thin["skipped"] / 2
    assert three.ask("b", "return relay.wsuri").split("/class")[0] != \
        three.ask("a", "return relay.wsuri").split("/class")[0]
    for name in "aw":
        assert three.ask(name, "return share()") > 2 * thin["share"]
        assert three.ask(name, "return room.watch") == 2
    three.wait("b", "return document.getElementById('in-order').textContent "
               ">= arguments[0]", thin["skipped"] / 30)
    assert "skips the others" in text(three, "b", "thin-text")
    # And back: from the newest on.
    switch = three.on("b").find_element(By.ID, "thin")
    switch.click()
    three.wait("b", "return picture && picture.n >= arguments[0]", newest)
    three.ask("b", FOLLOW)
    three.wait("b", "return picture.n >= from.n + 60")
    assert three.ask("b", "return share()") > 2 * thin["share"]
    # It was the relay that left them out: the close line counts them. (On a busy
    # machine it left a few out for others, too.)
    wait_until(lambda: any(
        int(dropped) >= thin["skipped"] for dropped in re.findall(
            r"reason=client-close .*messages_dropped=(\d+)",
            "".join(three.process.errors))), "the count of what was left out")


def test_the_relay_is_stopped_and_started(three, demo):
    three.expected.append(AWAY)
    three.process.stop()
    for name in "abw":
        three.wait(name, """return document.getElementById('status-text')
            .textContent === 'The relay is down'""")
        assert "relay-down" in text(three, name, "veil")
        assert text(three, name, "driver") == "–"
        three.ask(name, "picture = null; window.mark = 'the same page'")
    demo(int(re.search(r":(\d+)/", three.url).group(1)))
    for name in "abw":
        three.wait(name, IN)
        three.wait(name, "return room.watch === 2 && room.driver_id")
        assert three.ask(name, "return mark") == "the same page"
        assert not three.on(name).find_element(By.ID, "veil").is_displayed()
    # Whoever came first drives now; the one who only watches does not.
    assert [three.ask(name, "return drives()") for name in "abw"].count(
        True) == 1
    assert not three.ask("w", "return drives()")


def test_by_keyboard(pages, demo):
    pages.open("a", demo()[1] + "classroom/")
    driver = pages.driver
    wait_for(driver, "return drives()", PATIENCE)
    seen = []
    for _ in range(8):
        driver.switch_to.active_element.send_keys(Keys.TAB)
        seen.append(driver.switch_to.active_element.get_attribute("id"))
    assert [x for x in seen if x] == ["water", "calm", "rain", "thin"]
    water = driver.find_element(By.ID, "water")
    driver.execute_script("arguments[0].focus()", water)
    water.send_keys(Keys.ARROW_LEFT * 10 + Keys.ARROW_DOWN * 5)
    assert driver.execute_script("return [mine.x, mine.y]") == [50, 65]
    driver.execute_script("""document.getElementById('water').dispatchEvent(
        new KeyboardEvent('keydown', { key: ' ' }))""")
    wait_for(driver, PRESSED, PATIENCE, 50, 65)
    water.send_keys(Keys.ARROW_UP)
    wait_for(driver, PRESSED, PATIENCE, 50, 62)
    driver.execute_script("""document.getElementById('water').dispatchEvent(
        new KeyboardEvent('keyup', { key: ' ' }))""")
    wait_for(driver, "return !picture.hand.down", PATIENCE)


@pytest.mark.parametrize("width", [390, 320])
def test_on_a_telephone(three, width):
    for name in "ab":
        resize(three.on(name), width, 844)
        assert fits(three.driver)
    three.on("b").find_element(By.ID, "thin").click()
    three.wait("b", IN)
    assert fits(three.driver)
    assert three.ask("b", """
        return [...document.querySelectorAll('button, .doors a')]
            .every(e => e.getBoundingClientRect().right <= innerWidth)""")


def test_from_the_cloth_to_the_classroom_and_back(driver, console, demo):
    driver.get(demo()[1])
    driver.find_element(By.LINK_TEXT, "On to the classroom").click()
    wait_for(driver, "return location.pathname === '/classroom/'", PATIENCE)
    wait_for(driver, IN, PATIENCE)
    driver.find_element(By.LINK_TEXT, "Back to the cloth").click()
    wait_for(driver, "return location.pathname === '/' && state", PATIENCE)


# --- the thin line -----------------------------------------------------------

@pytest.fixture
def thin_line():
    """A line of 200 kB a second to a server that this test is."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        process = subprocess.Popen(
            [sys.executable, DEMO / "line.py",
             str(server.getsockname()[1]), "200000"], stdout=subprocess.PIPE)
        client = socket.create_connection(
            ("127.0.0.1", int(process.stdout.readline())), PATIENCE)
        try:
            inner, _ = server.accept()
            inner.settimeout(PATIENCE)
            yield client, inner
        finally:
            process.kill()
            process.communicate()
            client.close()
            inner.close()


def test_a_thin_line_carries_all_in_its_time(thin_line):
    client, inner = thin_line
    client.sendall(b"ask" * 1000)
    with inner.makefile("rb") as f:
        assert f.read(3000) == b"ask" * 1000
    data = bytes(range(256)) * 400
    sender = threading.Thread(target=inner.sendall, args=(data,))
    start = time.monotonic()
    sender.start()
    with client.makefile("rb") as f:
        assert f.read(len(data)) == data
    sender.join()
    assert time.monotonic() - start > 0.4


@pytest.mark.parametrize("side", ["client", "inner"])
def test_a_thin_line_ends_with_either_side(thin_line, side):
    client, inner = thin_line
    ends, other = (client, inner) if side == "client" else (inner, client)
    ends.close()
    assert other.recv(1) == b""
