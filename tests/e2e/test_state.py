"""state_directory: revocations and used tokens over a restart."""
import hashlib
import os
import signal
import stat
import subprocess
import time

import pytest

from controls import READONLY, Caller, ask, ctl
from peers import Background, Client
from rawhttp import Peer, upgrade
from relay import BUILD, KEY, PATIENCE, RUNNER, mint, wait_for

ROUTES = ("[route t]\npath = /t\nbackend = echo:\n"
          "[route once]\npath = /once\nbackend = echo:\nsingle_use = yes\n" +
          KEY)
SERVER = READONLY + "state_directory = {state}\nworkers = 2\n"


@pytest.fixture
def state(tmp_path):
    directory = tmp_path / "state"
    directory.mkdir()
    return directory


@pytest.fixture
def start(relay, state):
    """A daemon with this state; a second call is its next start."""
    def run(**options):
        return relay(ROUTES, server=SERVER.replace("{state}", str(state)),
                     **options)
    return run


def status(r, t, path="/t"):
    with Peer(r) as p:
        p.send(upgrade(f"{path}?token={t}"))
        answer = p.answer()
        if answer.status == 101:
            return 101
        return answer.body.decode().split(":")[0].strip()


def kill(r):
    r.expect_exit = -signal.SIGKILL
    r.stop(signal.SIGKILL)


ENDS = {"clean": lambda r: r.stop(), "killed": kill}


def sealed(*lines):
    body = "".join(x + "\n" for x in ("wsrelayd-state 1", *lines))
    return body + f"sha256 {hashlib.sha256(body.encode()).hexdigest()}\n"


# --- revocations --------------------------------------------------------------


@pytest.mark.parametrize("end", ENDS)
def test_revocations(start, state, end):
    r = start()
    tokens = [mint("/t", sub=s, jti=s) for s in ("alice", "bob", "carol")]
    clients = [Client(r, "/t", token=t) for t in tokens]
    entry = ask(r, "revoke", "--sub", "alice", "--for", "1d")[0]
    assert entry["kept"] == "on disk"
    # It is there when the command has answered: whole, and nobody else's.
    text = (state / "revocations").read_text()
    _, line, last, _ = text.split("\n")
    assert line.startswith("revoked ") and line.endswith(" sub * alice")
    assert text == sealed(line)
    assert stat.S_IMODE(os.stat(state / "revocations").st_mode) == 0o600
    ask(r, "ban", clients[1].id)
    ask(r, "revoke", clients[2].id, "--for", "1s")
    ask(r, "ban", "--kid", "other")
    ask(r, "unrevoke", "--kid", "other")
    ENDS[end](r)
    assert set(os.listdir(state)) == {"revocations"} | (
        {"used-tokens"} if end == "clean" else set())
    time.sleep(1)   # the third is over when the next daemon begins
    r = start()
    line = r.wait_log("state")
    assert line["revocations"] == "2" and line["directory"] == str(state)
    assert [status(r, t) for t in tokens] == ["revoked", "banned", 101]
    assert status(r, mint("/t", sub="alice")) == 101
    assert [(x["action"], x["of"], x["name"]) for x in ask(r, "revoked")] == [
        ("revoked", "sub", "alice"), ("banned", "sub", "bob")]
    ask(r, "ban", "--sub", "dave")
    assert "carol" not in (state / "revocations").read_text()
    r.stop()


def test_many_at_once(start, state):
    """Each waits for the disk; what comes meanwhile is written together."""
    r = start()
    runs = [Background(lambda n: [ask(r, "ban", "--sub", f"{n}-{i}")
                                  for i in range(5)], n) for n in range(8)]
    for run in runs:
        run.done()
    kill(r)
    r = start()
    assert {x["name"] for x in ask(r, "revoked")} == {
        f"{n}-{i}" for n in range(8) for i in range(5)}
    r.stop()


def test_callers_that_leave(start, state):
    """Theirs is on disk, too."""
    r = start()
    for i in range(10):
        with Caller(r.dir / "control.sock") as c:
            c.line()
            c.say(b'{"command":"ban","sub":"%d"}\n' % i)
    wait_for(lambda: len(ask(r, "revoked")) == 10, "all")
    wait_for(lambda: (state / "revocations").read_text().count("banned")
             == 10, "the disk")
    r.stop()


@pytest.mark.parametrize("end", ENDS)
def test_what_cannot_be_written(start, state, end):
    r = start()
    t = mint("/t", sub="alice")
    (state / "revocations.new").mkdir()     # in the way of the file
    done = ctl("--socket", r.dir / "control.sock", "revoke", "--sub",
               "alice", status=1)
    assert f"until the next start only: {state}: " in done.stderr
    assert r.wait_log("state-failed")["file"] == "revocations"
    assert status(r, t) == "revoked"
    (state / "revocations.new").rmdir()
    # The next that is written has it.
    assert "until" not in str(ask(r, "ban", "--sub", "bob")[0]["kept"])
    (state / "revocations.new").mkdir()
    assert "until the next start only" in ask(
        r, "unrevoke", "--sub", "alice", status=1)["error"]
    (state / "revocations.new").rmdir()
    ENDS[end](r)
    # A clean stop tries once more.
    text = (state / "revocations").read_text()
    assert ("alice" in text) == (end == "killed") and "bob" in text


def test_without_a_directory(relay):
    r = relay(ROUTES, server=READONLY, env={"STATE_DIRECTORY": ""})
    assert ask(r, "revoke", "--sub", "alice")[0]["kept"] == \
        "until the next start"
    assert "state_directory" not in ask(r, "status")[0]
    ask(r, "unrevoke", "--sub", "alice")


# --- used tokens --------------------------------------------------------------


@pytest.mark.parametrize("end", ENDS)
def test_used_tokens(start, state, end):
    r = start()
    # Made before that start, and the leeway: it may have been used.
    older = mint("/once", iat=time.time() - 30)
    # The leeway behind this start is over.
    wait_for(lambda: status(r, mint("/once"), "/once") == 101, "leeway")
    made = [mint("/once", sub="u"), mint("/once", jti="n"),
            mint("/once", sub="v")]
    for t in made[:2]:
        assert status(r, t, "/once") == 101
    ENDS[end](r)
    r = start()
    assert not (state / "used-tokens").exists()
    assert r.wait_log("state")["stop"] == \
        ("clean" if end == "clean" else "not known")
    after = [status(r, t, "/once") for t in made]
    assert after == (["token-used", "token-used", 101] if end == "clean"
                     else ["token-used"] * 3)
    assert status(r, older, "/once") == "token-used"
    if end == "clean":
        # And over another one.
        r.stop()
        r = start()
        assert [status(r, t, "/once") for t in made] == ["token-used"] * 3
    r.stop()


def test_a_file_of_an_earlier_stop_is_of_no_use(start, state):
    """A crash behind a clean stop: the file of the stop is gone by then."""
    r = start()
    wait_for(lambda: status(r, mint("/once"), "/once") == 101, "leeway")
    r.stop()
    kill(start())
    r = start()
    assert status(r, mint("/once"), "/once") == "token-used"
    r.stop()


# --- damage -------------------------------------------------------------------

REVOKED = "banned 253402300799999 sub * alice"


@pytest.mark.parametrize("name, text, detail", [
    ("revocations", b"", "it does not begin"),
    ("revocations", sealed(REVOKED)[:-1].encode(), "its last line is not"),
    ("revocations", sealed(REVOKED).replace("alice", "alicf").encode(),
     "its last line is not"),
    ("revocations", sealed(REVOKED + "\n").encode(), "no record"),
    ("revocations", sealed(REVOKED, "banned 1 x * y").encode(), "no record"),
    ("revocations", sealed(REVOKED, "since 1").encode(), "another record"),
    ("revocations", b"\0" * 100, "it does not begin"),
    ("used-tokens", sealed("since 1")[:40].encode(), "it is cut off"),
    ("used-tokens", sealed(REVOKED).encode(), "another record"),
    ("used-tokens", sealed("since 1", "used 99 lab 00").encode(),
     "no record"),
])
def test_damaged(start, state, name, text, detail):
    (state / name).write_bytes(text)
    r = start()
    line = r.wait_log("state-damaged")
    assert line["file"] == name and detail in line["detail"]
    assert line["level"] == "error"
    assert (state / f"{name}.damaged").read_bytes() == text
    assert not (state / name).exists()
    assert r.wait_log("state")["stop"] == "not known"
    # What was before the start may have been used.
    assert status(r, mint("/once"), "/once") == "token-used"
    r.stop()


def test_what_is_no_file(start, state):
    (state / "revocations").mkdir()
    os.mkfifo(state / "used-tokens")
    r = start()
    assert {x["file"] for x in r.log("state-damaged")} == {
        "revocations", "used-tokens"}
    ask(r, "ban", "--sub", "a")
    r.stop()
    assert "sub * a" in (state / "revocations").read_text()


def test_a_link_is_not_followed(start, state, tmp_path):
    (tmp_path / "other").write_text(sealed(REVOKED))
    (state / "revocations").symlink_to(tmp_path / "other")
    r = start()
    assert r.wait_log("state-damaged")
    ask(r, "ban", "--sub", "bob")
    r.stop()
    assert "bob" not in (tmp_path / "other").read_text()


def test_a_full_file(start, state):
    """More than the table takes: it was not written by this daemon."""
    (state / "revocations").write_text(sealed(*(
        f"banned 253402300799999 sub * {i}" for i in range(10001))))
    r = start()
    assert "too long" in r.wait_log("state-damaged")["detail"]
    assert status(r, mint("/t", sub="77")) == "banned"
    r.stop()


def test_state_by_hand(start, state):
    (state / "revocations").write_text(sealed(
        REVOKED, "revoked 253402300799999 1 sub lab bob",
        "banned 1 sub * carol"))
    (state / "used-tokens").write_text(sealed(
        f"since {int(time.time() * 1000) - 60000}",
        "used 1 lab 000102030405060708090a0b0c0d0eff"))
    r = start()
    assert not r.log("state-damaged")
    line = r.wait_log("state")
    assert (line["revocations"], line["used_tokens"]) == ("2", "0")
    assert [status(r, mint("/t", sub=s))
            for s in ("alice", "bob", "carol")] == ["banned", 101, 101]
    assert status(r, mint("/once"), "/once") == 101
    r.stop()


# --- the key ------------------------------------------------------------------


def test_default_is_the_state_directory(relay, state):
    r = relay(ROUTES, server=READONLY,
              env={"STATE_DIRECTORY": f"{state}:/var/lib/other"})
    assert ask(r, "status")[0]["state_directory"] == str(state)
    ask(r, "ban", "--sub", "alice")
    assert (state / "revocations").exists()


def test_default_that_cannot_be_is_a_warning_only(relay):
    r = relay(ROUTES, server=READONLY, env={"STATE_DIRECTORY": "/nowhere"})
    assert any("warning: [server] state_directory: /nowhere: No such file"
               in line for line in r.lines)
    assert ask(r, "ban", "--sub", "alice")[0]["kept"] == \
        "until the next start"


def test_none(relay, state):
    r = relay(ROUTES, server=READONLY + "state_directory = none",
              env={"STATE_DIRECTORY": str(state)})
    ask(r, "ban", "--sub", "alice")
    assert not os.listdir(state)


def run(ini, *args):
    return subprocess.run([*RUNNER, str(BUILD / "wsrelayd"), "-c", str(ini),
                           *args], capture_output=True, text=True,
                          timeout=PATIENCE)


def test_one_that_is_asked_for_must_be(tmp_path):
    ini = tmp_path / "x.ini"
    ini.write_text("[server]\nstate_directory = nowhere\n"
                   "[listen main]\naddress = 127.0.0.1:0\n"
                   "[route t]\npath = /t\nbackend = echo:\nauth = none\n")
    for args in [], ["-t"]:
        done = run(ini, *args)
        assert done.returncode == 1
        assert f"[server] state_directory: {tmp_path}/nowhere: No such file" \
            in done.stderr


def test_two_daemons(start, state):
    """The second would write what the first does not know."""
    r = start()
    assert run(r.ini, "-t").returncode == 0
    r.ini.write_text(r.ini.read_text().replace(READONLY.format(dir=r.dir),
                                               ""))
    done = run(r.ini)
    assert done.returncode == 1
    assert "another wsrelayd uses it" in done.stderr


def test_a_reload_names_it(start, state):
    r = start()
    r.ini.write_text(r.ini.read_text().replace(str(state), "none"))
    row, = ask(r, "reload")
    assert row["keys"] == "state_directory"
    assert row["applies"] == "at the next start"
    assert ask(r, "ban", "--sub", "alice")[0]["kept"] == "on disk"
