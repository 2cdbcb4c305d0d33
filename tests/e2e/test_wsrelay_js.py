"""wsrelay.js in headless Chromium, against a stand-in for the relay: what a
page does with each answer. The table is read from the daemon's own source.
"""
import pathlib
import re

import pytest

from browser import wait_for
from relay import PATIENCE, free_port
from relay import wait_for as wait_until
from stub_relay import StubRelay

pytestmark = pytest.mark.plain("its relay is a stub without TLS")

ROOT = pathlib.Path(__file__).resolve().parents[2]
REASON = re.compile(r'^REASON\((\w+), "([^"]+)", (\d+), (\d+), '
                    r'(NEVER|TOKEN|LATER), "([^"]+)"\)$', re.M)


def reasons():
    """(word, close code, action, text) of all that have a close code."""
    text = (ROOT / "src/base/reason.def").read_text()
    rows = REASON.findall(text)
    assert len(rows) == text.count("\nREASON(")
    return [(word, int(code), action.lower(), words)
            for _, word, _, code, action, words in rows if code != "0"]


@pytest.fixture
def relay():
    with StubRelay() as relay:
        yield relay


@pytest.fixture
def page(driver, relay):
    """Starts the page's WsRelay; a test's own ends with the next page."""
    driver.get(relay.url + "/page.html")

    def start(source="'wsuri.json'", options="{}"):
        driver.execute_script("start(%s, %s)" % (source, options))
    yield start
    driver.get("about:blank")


def told(driver, state, timeout=PATIENCE):
    """The first status of this state."""
    return wait_for(driver, "return told.find(t => t.state === '%s')" % state,
                    timeout)


def all_told(driver, state):
    return driver.execute_script(
        "return told.filter(t => t.state === '%s')" % state)


def stays_away(driver):
    """It does not connect again: what it had set a timer for, by its longest
    wait, comes before a timer that is set now."""
    last = "return told.at(-1).state"
    assert driver.execute_script(last) == "ended"
    driver.execute_async_script("setTimeout(arguments[0], 170)")
    assert driver.execute_script(last) == "ended"


def test_is_small_and_needs_nothing():
    text = (ROOT / "src/page/assets/wsrelay.js").read_text()
    assert text.count("\n") < 160
    assert "MIT" in text
    assert "import" not in text and "require" not in text
    assert "{{" not in text     # a templated page may serve it


def test_opens_talks_and_closes(driver, relay, page):
    page(options="{ protocols: ['chat', 'wsuri'] }")
    told(driver, "open")
    assert driver.execute_script("return relay.send('grüß dich')") is True
    wait_for(driver, "return heard[0] === 'grüß dich'")
    assert relay.connects[0].protocols == ["chat", "wsuri"]
    assert driver.execute_script("return relay.socket.protocol") == "chat"
    assert driver.execute_script("return relay.info.extra") == "kept"
    driver.execute_script("relay.close()")
    wait_for(driver, "return events.join() === 'open,close 1000'")
    assert told(driver, "ended")["word"] == "client-close"
    assert driver.execute_script("return relay.send('x')") is False
    stays_away(driver)
    assert len(relay.connects) == 1


@pytest.mark.parametrize("query, source, handed_on", [
    ("", "'wsuri.json'", None),
    ("?token=in.vit-ed", "'wsuri.json'", "in.vit-ed"),
    ("?a=b&token=in.vit-ed&c", "'/wsuri.json?d=e'", "in.vit-ed"),
    ("?token=in.vit-ed", "'wsuri.json?token=own'", "own")])
def test_an_invitation_is_good_for_the_wsuri(
        driver, relay, page, query, source, handed_on):
    """A page that only an invitation opens has its wsuri behind it, too."""
    driver.get(relay.url + "/page.html" + query)
    page(source)
    told(driver, "open")
    assert relay.invitations == [handed_on]


def test_an_invitation_is_for_its_own_site(driver, relay, page):
    """The fetch fails, for lack of CORS: what counts is what it asks."""
    with StubRelay() as other:
        driver.get(relay.url + "/page.html?token=in.vit-ed")
        page("'%s/wsuri.json'" % other.url)
        told(driver, "waiting")
        assert set(other.invitations) == {None} and not relay.invitations


def test_binary_type(driver, relay, page):
    page(options="{ binaryType: 'arraybuffer' }")
    told(driver, "open")
    driver.execute_script("relay.send(new Uint8Array([1, 2, 250]))")
    wait_for(driver, "return heard[0] instanceof ArrayBuffer")
    assert driver.execute_script(
        "return [...new Uint8Array(heard[0])]") == [1, 2, 250]


@pytest.mark.parametrize("word,code,action,text", reasons(),
                         ids=[row[0] for row in reasons()])
def test_obeys_the_table(driver, relay, page, word, code, action, text):
    """Each reason as the relay says it at a refusal; then the relay would
    let the page in: it comes back exactly when the table says so.
    """
    relay.plan = [("close", code, ("%s: %s" % (word, text))[:123]),
                  ("serve",)]
    page()
    if action == "never":
        status = told(driver, "ended")
        stays_away(driver)
        assert len(relay.connects) == 1
    else:
        status = told(driver, "waiting")
        wait_for(driver, "return told.at(-1).state === 'open'")
        assert [c.number for c in relay.connects] == [1, 2]
    assert (status["word"], status["code"]) == (word, code)
    assert text.startswith(status["text"]) and status["text"]
    assert driver.execute_script("return WsRelay.action(%d, '%s')"
                                 % (code, word)) == action


@pytest.mark.parametrize("code,reason,action", [
    (1000, "", "later"), (1012, "", "later"), (4000, "bye, all", "later"),
    (1003, "", "never"), (3003, "", "never"), (3000, "", "token"),
    (1013, "constructor", "later"), (1011, "backend-exit:3", "later"),
])
def test_codes_alone(driver, relay, page, code, reason, action):
    """A proxy, or a backend of its own mind, gives no word of ours."""
    relay.plan = [("close", code, reason), ("serve",)]
    page()
    status = told(driver, "ended" if action == "never" else "waiting")
    assert status["code"] == code and status["text"]
    assert driver.execute_script(
        "return WsRelay.action(%d, WsRelay.explain(%d, %r).word)"
        % (code, code, reason)) == action


def test_an_exit_status_is_said_in_words(driver, relay, page):
    relay.plan = [("close", 1011, "backend-exit:3"), ("serve",)]
    page()
    status = told(driver, "waiting")
    assert status["word"] == "backend-exit"
    assert status["text"] == "the program ended with status 3"


def test_a_fresh_wsuri_before_each_connect(driver, relay, page):
    relay.plan = [("close", 1013, "memory: x"), ("die",),
                  ("close", 3000, "token-used: x"), ("serve",)]
    page()
    wait_until(lambda: len(relay.connects) == 4)
    assert [c.number for c in relay.connects] == [1, 2, 3, 4]
    assert relay.minted == 4


def test_fresh_tokens_are_tried_a_bounded_number_of_times(driver, relay,
                                                          page):
    relay.plan = [("close", 3000, "token-audience: no")]
    page()
    status = told(driver, "ended")
    assert status["word"] == "token-audience"
    assert len(relay.connects) == 4     # the first, and three fresh ones


def test_a_session_that_lasted_has_all_its_tries_again(driver, relay, page):
    relay.plan = [("close", 3000, "token-used: x")] * 3 + [("serve",)]
    page()
    wait_until(lambda: len(relay.connects) == 4)
    driver.execute_async_script(         # longer than settle
        "setTimeout(arguments[0], 600)")
    assert driver.execute_script("return told.at(-1).state") == "open"
    relay.plan = [("close", 3000, "token-used: x")] * 3 + [("serve",)]
    relay.cut()
    wait_until(lambda: len(relay.connects) == 8)
    wait_for(driver, "return told.at(-1).state === 'open'")


def test_a_given_wsuri_is_never_refreshed(driver, relay, page):
    wsuri = "{ wsuri: 'ws://127.0.0.1:%d/sim/demo?token=7' }" % relay.port
    relay.plan = [("close", 1013, "memory: x"), ("close", 3000, "token-used")]
    page(wsuri)
    assert told(driver, "ended")["word"] == "token-used"
    assert [c.number for c in relay.connects] == [7, 7]
    assert relay.minted == 0


def test_backs_off_with_full_jitter(driver, relay, page):
    """The n-th wait is anything up to min(cap, base * 2^n)."""
    relay.plan = [("close", 1013, "limit-connections: full")]
    page()
    wait_for(driver, "return told.filter(t => t.state === 'waiting')"
             ".length >= 24", 30)
    waits = [t["retryInMs"] for t in all_told(driver, "waiting")]
    for n, wait in enumerate(waits):
        assert 0 <= wait < min(160, 40 * 2 ** n)
    later = waits[2:]
    # Uniform over the whole range: 22 draws that all miss a half of it
    # happen once in two million runs.
    assert min(later) < 80 < max(later)
    assert len({round(w, 6) for w in later}) == len(later)
    # And it waits as long as it says.
    statuses = driver.execute_script("return told")
    for waiting, connecting in zip(statuses, statuses[1:]):
        if waiting["state"] == "waiting":
            assert connecting["state"] == "connecting"
            gap = connecting["at"] - waiting["at"]
            assert gap >= waiting["retryInMs"] - 2


def test_the_longest_waits_double_up_to_the_cap(driver, relay, page):
    relay.plan = [("close", 1013, "limit-connections: full")]
    driver.execute_script("Math.random = () => 0.5")
    page()
    wait_for(driver, "return told.filter(t => t.state === 'waiting')"
             ".length >= 5")
    waits = [t["retryInMs"] for t in all_told(driver, "waiting")]
    assert waits[:5] == [20, 40, 80, 80, 80]


def test_the_upgrade_is_blocked(driver, relay, page):
    relay.plan = [("http", 502), ("http", 400), ("serve",)]
    page()
    status = told(driver, "waiting")
    assert (status["word"], status["code"]) == ("upgrade-blocked", 1006)
    assert "proxy" in status["text"]
    wait_for(driver, "return told.at(-1).state === 'open'")


def test_the_connection_breaks(driver, relay, page):
    page()
    told(driver, "open")
    relay.cut()
    assert told(driver, "waiting")["word"] == "connection-lost"
    wait_until(lambda: len(relay.connects) == 2)


def test_healthz_says_that_the_relay_is_not_well(driver, relay, page):
    """A proxy answers for a relay that is not there."""
    relay.healthy = False
    relay.plan = [("http", 502)]
    page()
    assert told(driver, "waiting")["word"] == "relay-down"


def test_the_relay_is_down_and_comes_back(driver, relay, page):
    page()
    told(driver, "open")
    relay.down()
    status = told(driver, "waiting")
    assert (status["word"], status["text"]) == ("relay-down",
                                                "the relay is down")
    wait_for(driver, "return told.filter(t => t.state === 'waiting')"
             ".length >= 4")
    assert all(t["word"] == "relay-down" for t in all_told(driver, "waiting"))
    relay.up()
    wait_for(driver, "return told.at(-1).state === 'open'", 20)
    driver.execute_script("relay.send('back')")
    wait_for(driver, "return heard.at(-1) === 'back'")


def test_a_given_wsuri_of_a_relay_that_is_down(driver, relay, page):
    """Another origin: /healthz cannot be read there, only reached."""
    page("{ wsuri: 'ws://127.0.0.1:%d/x' }" % free_port())
    assert told(driver, "waiting")["word"] == "relay-down"


@pytest.mark.parametrize("status,state", [
    (404, "ended"), (401, "ended"), (429, "waiting"), (503, "waiting"),
])
def test_no_wsuri(driver, relay, page, status, state):
    relay.wsuri_answer = (status, "{}")
    page()
    got = told(driver, state)
    assert got["word"] == "no-wsuri" and str(status) in got["text"]
    assert not relay.connects


def test_a_wsuri_that_is_none(driver, relay, page):
    relay.wsuri_answer = (200, '{"wsuri": "{{wsuri /sim/demo}}"}')
    page()
    assert "template" in told(driver, "ended")["text"]
    assert not relay.connects


def test_a_wsuri_of_the_same_host(driver, relay, page):
    relay.wsuri_answer = (200, '{"wsuri": "/sim/demo?token=3"}')
    page()
    told(driver, "open")
    assert relay.connects[0].number == 3


def test_closed_while_it_waits_or_fetches(driver, relay, page):
    relay.plan = [("close", 1013, "memory: x")]
    page(options="{ base: 60000, cap: 60000 }")
    told(driver, "waiting")
    driver.execute_script("relay.close()")
    told(driver, "ended")
    driver.execute_script("told.length = 0; start('wsuri.json');"
                          "relay.close()")
    # What it had fetched has come, and leads nowhere.
    wait_until(lambda: len(relay.invitations) == 2)
    driver.execute_async_script("setTimeout(arguments[0], 100)")
    assert len(relay.connects) == 1
    assert [t["state"] for t in driver.execute_script("return told")] == \
        ["connecting", "ended"]
