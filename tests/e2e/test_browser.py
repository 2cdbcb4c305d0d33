"""The demo and --try with the real daemon, in headless Chromium: what a
person sees who opens them, and what the page says when something is wrong.
"""
import base64
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import urllib.request

import pytest
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.by import By

from browser import resize, wait_for
from demo import AWAY, OPEN, PYTHON, demo_ini, fits, open_page
from relay import KEY, ROOT, SANITIZERS, WSRELAYCTL, WSRELAYD, RUNNER
from relay import PATIENCE
from relay import wait_for as wait_until

pytestmark = pytest.mark.plain(
    "the demo and its browser have no TLS; see test_tls")

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def open_demo(driver, url):
    open_page(driver, url)
    wait_for(driver, "return state && state.drawn", PATIENCE)


def gatekeeper(driver, choice, patience=PATIENCE):
    """Knocks; returns the verdict's words and the line below them."""
    driver.execute_script("document.getElementById('gate').open = true")
    wait_for(driver, "return gate.wsuri")
    driver.find_element(By.CSS_SELECTOR, "[data-try=%s]" % choice).click()
    return wait_for(driver, """
        const li = document.querySelector('#verdicts li');
        return /refused|opened/.test(li.className) &&
            [li.className, li.firstChild.textContent,
             li.lastChild.textContent];""", patience)


# --- the demo ----------------------------------------------------------------


def test_the_picture_moves(driver, console, demo):
    open_demo(driver, demo()[1])
    frames = driver.execute_async_script("""
        const done = arguments[0], frames = [];
        const look = () => {
            frames.push([document.getElementById('cloth').innerHTML, state.n]);
            if (frames.length < 30)
                requestAnimationFrame(look);
            else
                done(frames);
        };
        look();""")
    pictures = [picture for picture, _ in frames]
    steps = [step for _, step in frames]
    assert all("<path" in picture for picture in pictures)
    assert len(set(pictures)) >= 5
    assert steps == sorted(steps) and steps[-1] > steps[0]


@pytest.mark.parametrize("height", [720, 600])
def test_controls_without_scrolling(driver, console, demo, height):
    """On a screen of 1280 by 720, also with a browser's bars."""
    base = demo()[1]
    resize(driver, 1280, height)
    try:
        for path, names in (("", "pause reset breeze"),
                            ("classroom/", "calm rain thin")):
            open_page(driver, base + path)
            for name in names.split():
                bottom = driver.execute_script(
                    "return document.getElementById(arguments[0])"
                    ".getBoundingClientRect().bottom", name)
                assert 0 < bottom <= height, name
    finally:
        resize(driver, 1280, 800)


def test_a_drag_reaches_the_simulation(driver, console, demo):
    open_demo(driver, demo()[1])
    body = 60
    x, y = driver.execute_script("""
        const at = new DOMPoint(state.p[3 * arguments[0]] / 10,
                                state.p[3 * arguments[0] + 1] / 10);
        const screen = at.matrixTransform(
            document.getElementById('picture').getScreenCTM());
        return [Math.round(screen.x), Math.round(screen.y)];""", body)
    actions = ActionBuilder(driver, duration=100)
    actions.pointer_action.move_to_location(x, y).pointer_down() \
        .move_to_location(x + 120, y - 90)
    actions.perform()
    # What is in state, the process has said.
    wait_for(driver, "return state.held >= 0")
    far = wait_for(driver, """
        const i = state.held;
        const off = Math.hypot(state.p[3 * i] / 10 - hand.x,
                               state.p[3 * i + 1] / 10 - hand.y);
        return off < 40 && [hand.x, hand.y];""")
    assert driver.execute_script(
        "return document.getElementById('picture').className.baseVal"
    ) == "holding"
    assert 0 < far[0] < 1000 and 0 < far[1] < 640
    actions = ActionBuilder(driver)
    actions.pointer_action.pointer_up()
    actions.perform()
    wait_for(driver, "return state.held === -1")


def test_buttons_and_keys(driver, console, demo):
    open_demo(driver, demo()[1])
    pause = driver.find_element(By.ID, "pause")
    pause.click()
    wait_for(driver, "return state.paused")
    assert pause.text == "Go on"
    steps = driver.execute_script("return state.n")
    driver.find_element(By.ID, "reset").click()
    wait_for(driver, "return state.n < %d && state.paused" % steps)
    pause.click()
    wait_for(driver, "return !state.paused && state.n > 2")
    driver.execute_script("""
        const e = document.getElementById('breeze');
        e.value = 1.75;
        e.dispatchEvent(new Event('input'));""")
    wait_for(driver, "return state.wind === 1.75")
    picture = driver.find_element(By.ID, "picture")
    driver.execute_script("arguments[0].focus()", picture)
    picture.send_keys(" ")
    wait_for(driver, "return state.held >= 0")
    picture.send_keys(" ")
    wait_for(driver, "return state.held === -1")
    wait_for(driver, "return document.getElementById('rtt').textContent > 0")


def test_a_reload_gets_another_token(driver, console, demo):
    open_demo(driver, demo()[1])
    seen = []
    for _ in range(2):
        seen.append(driver.execute_script("return relay.wsuri"))
        driver.refresh()
        wait_for(driver, OPEN)
    seen.append(driver.execute_script("return relay.wsuri"))
    assert len(set(seen)) == 3
    for wsuri in seen:
        part = wsuri.split("?token=")[1].split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=="))
        assert claims["path"] == "/sim/demo" and claims["perm"] == "rw"
        assert 59 <= claims["exp"] - claims["iat"] <= 60


@pytest.mark.parametrize("choice, word", [
    ("path", "token-path"), ("char", "token-signature")])
def test_a_bad_wsuri_is_refused(driver, console, relay, choice, word):
    r = relay(demo_ini())
    open_demo(driver, r.url("/", "http"))
    kind, text, below = gatekeeper(driver, choice)
    assert kind == "refused" and text.startswith("Refused: the token")
    assert "3000 " + word in below
    # The detail is for what the word does not say already.
    assert r.wait_log("refuse", reason=word).get("detail") == (
        "the token is for /sim/demo" if choice == "path" else None)
    kind, text, _ = gatekeeper(driver, "same")
    assert kind == "opened" and text == "Let in."
    assert driver.execute_script(OPEN)      # the picture goes on behind it


def test_an_expired_wsuri_is_refused(driver, console, relay):
    r = relay(demo_ini(token_ttl="2s"))
    open_demo(driver, r.url("/", "http"))
    kind, text, below = gatekeeper(driver, "late", 20)
    assert kind == "refused" and "time is over" in text
    assert "3000 token-expired" in below
    assert driver.execute_script(OPEN)      # exp is for opening, not for life


def test_a_verdict_is_in_sight(driver, console, demo, telephone):
    telephone()
    open_demo(driver, demo()[1])
    gatekeeper(driver, "path")
    assert driver.execute_script("""
        const box = document.querySelector('#verdicts li')
            .getBoundingClientRect();
        return box.top >= 0 && box.bottom <= innerHeight;""")
    assert fits(driver)


def test_the_relay_is_stopped_and_started(driver, console, demo):
    console.append(AWAY)
    process, url = demo()
    open_demo(driver, url)
    process.stop()
    wait_for(driver, """return document.getElementById('status-text')
        .textContent === 'The relay is down'""")
    veil = driver.find_element(By.ID, "veil")
    assert veil.is_displayed() and "relay-down" in veil.text
    assert not driver.find_element(By.ID, "pause").is_enabled()
    driver.execute_script("state = null; window.mark = 'the same page'")
    demo(int(url.rstrip("/").rsplit(":", 1)[1]))
    wait_for(driver, OPEN, PATIENCE)
    wait_for(driver, "return state && state.drawn", PATIENCE)
    assert not veil.is_displayed()
    assert driver.execute_script("return mark") == "the same page"


def children(pid):
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def test_a_backend_that_dies(driver, console, relay):
    r = relay(demo_ini())
    open_demo(driver, r.url("/", "http"))
    driver.execute_script("""
        window.said = [];
        new MutationObserver(() => said.push(
            document.getElementById('veil').innerText))
            .observe(document.getElementById('veil-title'),
                     { childList: true });""")
    program, = children(r.pid)
    os.kill(program, signal.SIGKILL)
    said = wait_for(driver, "return said[0]")
    assert "The program ended with status 137" in said
    assert "backend-exit 1011" in said and "tries again" in said
    # And here it is again, as another process.
    wait_for(driver, OPEN)
    wait_for(driver, "return document.getElementById('veil').hidden")
    assert program not in wait_until(lambda: children(r.pid))


# --- how an end looks from a page -------------------------------------------

ENDS = """
[page ends]
path = /
root = {root}
[route refused]
path = /refused
backend = echo:
[route small]
path = /small
backend = echo:
auth = none
max_message = 125
[route plain]
path = /plain
backend = echo:
auth = none
"""
# Opens it, sends so many bytes, and tells how it went.
OPENED = """
    const [path, bytes, protocols, done] = arguments, told = {opened: false};
    const socket = new WebSocket(
        location.href.replace(/^http/, 'ws') + path, protocols);
    socket.onopen = () => {
        told.opened = true;
        if (bytes)
            socket.send(new Uint8Array(bytes));
    };
    socket.onclose = event => done(
        {...told, code: event.code, clean: event.wasClean,
         word: event.reason.split(':')[0]});
"""


@pytest.fixture
def opened(driver, console, relay, tmp_path):
    """opened(path, bytes, protocols) opens a WebSocket in a page."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www/index.html").write_text(
        "<!doctype html><title>x</title><link rel=icon href='data:,'>")
    r = relay(KEY + ENDS.replace("{root}", str(tmp_path / "www")))
    driver.get(r.url("/", "http"))

    def in_page(path, size=0, protocols=()):
        return driver.execute_async_script(OPENED, path, size, protocols)
    in_page.relay = r
    return in_page


def test_a_refusal_is_a_clean_close(opened):
    for _ in range(10):
        assert opened("refused") == {"opened": True, "clean": True,
                                     "code": 3000, "word": "token-missing"}


@pytest.mark.parametrize("size", [126, 60000])
def test_too_big_is_a_clean_close(opened, size):
    for _ in range(10):
        assert opened("small", size) == {"opened": True, "clean": True,
                                         "code": 1009, "word": "too-big"}


def test_without_a_subprotocol_a_browser_goes(console, opened):
    console.append("Sent non-empty 'Sec-WebSocket-Protocol' header")
    assert opened("plain", 0, ["one", "two"]) == {
        "opened": False, "clean": False, "code": 1006, "word": ""}
    line = opened.relay.wait_log("subprotocol-unselected", route="plain")
    assert line["offered"] == "one, two"


# --- --try -------------------------------------------------------------------

WAVE = """\
import json, select, sys
n, gain = 0, 1.0
while True:
    if select.select([sys.stdin], [], [], 0.03)[0]:
        line = sys.stdin.readline()
        if not line:
            break
        gain = float(line)
        print("gain is now", gain)
    n += 1
    print(json.dumps({"n": n, "wave": gain * (n % 20)}))
"""
LOG = "return [...document.querySelectorAll('#log div span')]" \
    ".map(e => e.textContent)"


@pytest.fixture(scope="module", autouse=True)
def port_8080_is_taken():
    """The usual port is for people: daemons of tests must not race for it."""
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", 8080))
            s.listen()
        except OSError:
            pass                    # somebody else's: as good
        yield


@pytest.fixture
def try_(run, tmp_path):
    """try_(command, ...) returns the address that it prints."""
    def start(command, *more):
        (tmp_path / "wave.py").write_text(WAVE)
        process = run([*RUNNER, WSRELAYD, "--try", command, *more],
                      cwd=tmp_path)
        process.url = process.find(r"Open +(http://127\.0\.0\.1:\d+/)\n")
        return process
    return start


def type_line(driver, text):
    driver.find_element(By.ID, "line").send_keys(text + "\n")


def test_try_shows_plots_and_sends(driver, console, try_):
    open_page(driver, try_(PYTHON + " wave.py").url)
    wait_for(driver, "return total > 10")
    assert driver.title == PYTHON + " wave.py"
    assert any(re.fullmatch(r'\{"n": \d+, "wave": \d+\.0\}', line)
               for line in driver.execute_script(LOG))
    # Two series, and they are on the canvas in colour.
    assert driver.execute_script("return [...series.keys()]") == ["n", "wave"]
    wait_for(driver, """
        const plot = document.getElementById('plot');
        const p = plot.getContext('2d')
            .getImageData(0, 0, plot.width, plot.height).data;
        let coloured = 0;
        for (let i = 0; i < p.length; i += 4)
            coloured += p[i + 3] > 200 && Math.max(p[i], p[i + 1], p[i + 2]) -
                Math.min(p[i], p[i + 1], p[i + 2]) > 90;
        return coloured > 50;""")
    type_line(driver, "2.5")
    wait_for(driver, LOG + ".includes('gain is now 2.5')")
    assert "› 2.5" in driver.execute_script(LOG)
    wait_for(driver, "return series.get('wave').values.some(v => v % 1)")


def test_try_says_how_a_program_ended(driver, console, try_):
    process = try_(PYTHON + " wave.py")
    open_page(driver, process.url)
    wait_for(driver, "return total > 1")
    type_line(driver, "no number")
    wait_for(driver, LOG + ".some(line => line.startsWith("
             "'The program ended with status 1 '))")
    # Its last words are in the terminal; the page begins anew by itself.
    process.find("(could not convert string to float)")
    wait_for(driver, LOG + ".filter(line => line === 'Connected')"
             ".length === 2")
    # Between the two there is a gap, not a line.
    wait_for(driver, "return series.get('n').values.slice(1)"
             ".some(Number.isNaN)")


def test_try_does_not_repeat_what_has_ended(driver, console, try_):
    process = try_("seq 3")
    driver.get(process.url)
    words = "return document.getElementById('words').textContent"
    wait_for(driver, words + " === 'The program has ended'", PATIENCE)
    wait_for(driver, LOG + ".join() === 'Connected,1,2,3,"
             "The program has ended'")
    again = driver.find_element(By.ID, "again")
    assert again.is_displayed()
    assert not driver.find_element(By.ID, "send").is_enabled()
    # Longer than the first wait of a page that would come back.
    driver.execute_async_script("setTimeout(arguments[0], 700)")
    assert driver.execute_script("return total") == 3
    again.click()
    wait_for(driver, "return total === 6")


DIVERGES = """\
import json, sys
for x in [1, 2, 1, float("nan"), float("nan"), 1, 2, float("inf"), 2, 1,
          -float("inf"), 1e308, -1e308]:
    print(json.dumps({"x": x, "y": 5}))
print("loss: nan")
for line in sys.stdin:
    pass
"""
# The curve of one series over the whole plot, its points a second apart; in
# how many columns between points i and i + 1 there is something of it.
COLUMNS = """
    const one = series.get(arguments[0]), plot = document.getElementById('plot');
    for (const other of series.values())
        other.shown = other === one;
    document.getElementById('window').value = 15;
    const now = (performance.now() - started) / 1000, n = one.values.length;
    one.times = one.values.map((_, i) => now - n + i);
    drawPlot();
    const g = plot.getContext('2d'), scale = devicePixelRatio;
    const right = plot.clientWidth - 16, second = (right - 72) / 15;
    return one.values.slice(1).map((_, i) => {
        const from = Math.round((right - second * (n - i) + 4) * scale);
        const width = Math.round((second - 8) * scale);
        const p = g.getImageData(from, 0, width, plot.height).data;
        const drawn = new Set();
        for (let k = 0; k < p.length; k += 4)
            if (p[k + 3] > 200 && Math.max(p[k], p[k + 1], p[k + 2]) -
                    Math.min(p[k], p[k + 1], p[k + 2]) > 90)
                drawn.add(k / 4 % width);
        return drawn.size / width;
    });"""


def test_try_shows_where_a_run_diverges(driver, console, try_, tmp_path):
    """Python's json writes NaN and Infinity, which JSON has not: the curve
    breaks there, and its name turns red."""
    (tmp_path / "diverges.py").write_text(DIVERGES)
    open_page(driver, try_(PYTHON + " diverges.py").url)
    wait_for(driver, LOG + ".at(-1) === 'loss: nan'")
    assert driver.execute_script("""
        return [...series].map(([name, one]) => [name, one.odd])""") == [
        ["x", 4], ["y", 0]]
    assert driver.execute_script(
        "return series.get('x').values.map(v => isNaN(v) ? '-' : Math.sign(v))"
        ".join('')") == "111-11-11-1-1"
    wait_for(driver, "return [...document.querySelectorAll('#legend button')]"
             ".map(e => e.innerText.replace(/\\s+/g, ' ').trim()).join() ==="
             "'x -1.00e+308 4 not finite,y 5'")
    assert driver.execute_script("""
        const probe = document.createElement('i');
        probe.style.color = 'var(--bad)';
        document.body.append(probe);
        const bad = getComputedStyle(probe).color;
        probe.remove();
        return [...document.querySelectorAll('#legend button')]
            .map(e => getComputedStyle(e).color === bad)""") == [True, False]
    # Smaller numbers would be a flat line beside such large ones.
    driver.execute_script("series.get('x').values.splice(-2)")
    columns = driver.execute_script(COLUMNS, "x")
    assert [round(part) for part in columns] == [
        1, 1,           # 1, 2, 1
        0, 0, 1,        # -, 1, 2
        0, 0, 1, 0]     # -, 2, 1, -
    assert [round(part) for part in driver.execute_script(COLUMNS, "y")] == \
        12 * [1]


@pytest.mark.parametrize("line, found", [
    ('{"a": NaN, "b": [Infinity, -Infinity]}',
     "a=NaN b.0=Infinity b.1=-Infinity"),
    ('{"NaN": 1, "b": "NaN, \\"Infinity", "c": NaN}', "NaN=1 c=NaN"),
    ('{"a": "\\\\", "b": -Infinity}', "b=-Infinity"),
    ("NaN", "value=NaN"), ("[NaN,1e999]", "0=NaN 1=Infinity"),
    ("0.5 nan -inf, Infinity +INF 2", "0=0.5 1=NaN 2=-Infinity 3=Infinity "
     "4=Infinity 5=2"),
    ("the run is nan", ""), ('{"a": nan}', ""), ('{"a": NaN', ""),
    ('"NaN"', ""), ("info", ""), ("", ""), ("- nan", ""),
    ('"' + 400000 * '\\"' + "NaN\\", "")],
    ids=lambda x: x[:20])
def test_try_finds_numbers(driver, console, try_, line, found):
    driver.get(try_("cat").url)
    assert driver.execute_script(
        "return numbersIn(arguments[0]).map(pair => pair.join('=')).join(' ')",
        line) == found


def test_try_draws_any_numbers(driver, console, try_):
    """Also those whose differences are lost, or are no numbers any more."""
    driver.get(try_("cat").url)
    for pair in ("1e17 100000000000000016", "1.7e308 -1.7e308", "5e-324 0"):
        low, high = pair.split()
        assert driver.execute_script("""
            series.clear();
            for (const v of arguments)
                plotNumbers(`{"a": ${v}}`);
            drawPlot();
            return range([...series.values()], 0).every(Number.isFinite)""",
                                     low, high)


def test_try_keeps_gaps_and_its_bound(driver, console, try_):
    """Of very many points every other one is forgotten, but no gap is."""
    driver.get(try_("cat").url)
    for period in (100, 2, 1):
        points, gaps = driver.execute_script("""
            series.clear();
            for (let i = 1; i <= 20000; i++)
                plotNumbers(i % arguments[0] ? '{"a": 1}' : '{"a": NaN}');
            const { values, times } = series.get('a');
            return [Math.max(values.length, times.length),
                values.filter(Number.isNaN).length]""", period)
        assert points <= 6001
        assert gaps >= (1 if period == 1 else 100)


def test_try_on_a_telephone(driver, console, try_, telephone):
    telephone()
    open_page(driver, try_(PYTHON + " wave.py").url)
    wait_for(driver, "return total > 3")
    assert fits(driver)
    assert driver.execute_script(
        "return document.getElementById('send').getBoundingClientRect()"
        ".bottom <= innerHeight")


def test_try_with_root(driver, console, try_, tmp_path):
    root = tmp_path / "pages"
    root.mkdir()
    (root / "wsuri.json").write_text('{"wsuri": "{{wsuri /try}}"}')
    (root / "index.html").write_text("""<!doctype html><title>mine</title>
        <link rel="icon" href="data:,"><script src="/wsrelay.js"></script>
        <script>
        const heard = [];
        const relay = new WsRelay('wsuri.json', {
            onmessage: ({ data }) => heard.push(data),
            onopen: () => relay.send('through my own page') });
        </script>""")
    driver.get(try_("cat", "--root", root).url)
    wait_for(driver, "return heard[0] === 'through my own page'")
    assert driver.title == "mine"


def install(tree):
    subprocess.run([ROOT / "scripts/install", "install"], check=True,
                   capture_output=True, env={
                       **os.environ, "DESTDIR": str(tree), "PREFIX": "/usr",
                       "BUILD": str(WSRELAYD.parent)})
    return tree / "usr/share/wsrelayd/try"


def test_what_try_prints_can_be_kept(driver, console, run, tmp_path):
    (tmp_path / "wave.py").write_text(WAVE)
    text = subprocess.run(
        [WSRELAYD, "--try", PYTHON + " wave.py", "-T"], check=True,
        capture_output=True, text=True, cwd=tmp_path).stdout
    # What a person does: make the key, name it, name the installed page.
    key = tmp_path / "try.key"
    subprocess.run([WSRELAYCTL, "key", key], check=True, capture_output=True)
    for name, value in (("secret_file", key),
                        ("root", install(tmp_path / "tree")),
                        ("address", "127.0.0.1:0")):
        text, n = re.subn(r"(?m)^%s = .*$" % name, "%s = %s" % (name, value),
                          text)
        assert n == 1, name
    ini = tmp_path / "kept.ini"
    ini.write_text(text)
    assert subprocess.run([WSRELAYD, "-c", ini, "-t"]).returncode == 0
    process = run([*RUNNER, WSRELAYD, "-c", ini], cwd="/")
    open_page(driver, "http://%s/" % process.find(
        r"listen listen=try address=(\S+)"))
    wait_for(driver, "return total > 3 && series.has('wave')")


def test_the_page_is_where_try_says(tmp_path):
    """-T names a directory of the installation: it holds the page."""
    text = subprocess.run([WSRELAYD, "--try", "cat", "-T"], check=True,
                          capture_output=True, text=True).stdout
    root = re.search(r"(?m)^root = (.*)/share/wsrelayd/try$", text)
    assert root, text
    page = install(tmp_path)
    assert (page / "index.html").read_bytes() == \
        (ROOT / "src/page/assets/try.html").read_bytes()
    assert json.loads((page / "wsuri.json").read_text()) == {
        "wsuri": "{{wsuri /try}}"}


@pytest.mark.parametrize("arguments, said", [
    (["--try", "no-such-program-anywhere"], "no program 'no-such-program-any"),
    (["--try", "./no-such.py"], "no program './no-such.py'"),
    (["--try", "python3 -c 'print(1)'"], "without a shell"),
    (["--try", 'cat "a file"'], "without a shell"),
    (["--try", "cat; ls"], "without a shell"),
    (["--try", "yes | head"], "'|' is for: write the command into a file"),
    (["--try", "cat 2>&1"], "'>' is for"),
    (["--try", "cat &"], "'&' is for"),
    (["--try", ""], "COMMAND is empty"),
    (["--try", "  "], "COMMAND is empty"),
    (["--try", "/"], "expected a program"),
    (["--try", "a-folder"], "no program 'a-folder'\n"),
    (["--try", "a-file x"], "no program 'a-file' in PATH; for the file here"),
    (["--try", "cat", "--root", "no-such-dir"], "no-such-dir"),
])
def test_try_refuses(tmp_path, arguments, said):
    (tmp_path / "a-folder").mkdir()
    (tmp_path / "a-file").touch()
    found = subprocess.run(
        [WSRELAYD, *arguments], capture_output=True, text=True, cwd=tmp_path,
        timeout=PATIENCE, env={**os.environ, **SANITIZERS,
                               "PATH": "%s:/usr/bin:/bin" % tmp_path})
    status = os.EX_CONFIG if "expected" in said else 1
    assert found.returncode == status and said in found.stderr, found.stderr
    assert found.stdout == ""


def test_try_takes_one_word():
    found = subprocess.run(
        [WSRELAYD, "--try", "python3", "sim.py"], capture_output=True,
        text=True, timeout=PATIENCE, env={**os.environ, **SANITIZERS})
    assert found.returncode == 2
    assert '--try "python3 sim.py ..."' in found.stderr


def test_try_leaves_nothing(try_):
    name = f"MINE={os.getpid()}"    # among those of other tests
    process = try_(f"env {name} cat")
    body = DIRECT.open(process.url, timeout=PATIENCE).read()
    assert body == (ROOT / "src/page/assets/try.html").read_bytes()
    pid = process.process.pid
    key, = [fd for fd in pathlib.Path("/proc/%d/fd" % pid).iterdir()
            if "memfd:wsrelayd-key" in os.readlink(fd)]
    assert key.stat().st_mode & 0o777 == 0o600
    made = [p for p in pathlib.Path("/tmp").glob("wsrelayd-try-*")
            if p.is_dir() and name in (p / "wsuri.json").read_text()]
    process.stop()
    assert made and not any(p.exists() for p in made)
