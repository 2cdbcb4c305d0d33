"""wsrelayctl record and play: a lesson without the solver."""
import contextlib
import json
import os
import re
import signal
import stat
import struct
import subprocess
import time

import pytest

from controls import CONTROL, READONLY, ctl
from peers import BINARY, TEXT, Background, Client, Server
from relay import PATIENCE, ROOT, RUNNER, WSRELAYCTL, mint, wait_for
from test_tap import Tap, payload

pytestmark = pytest.mark.plain("about a socket of its own")

HEAD = b"wsrelayd-recording 1\n\n"


def hub(port, framing="len32", more=""):
    return (f"[route sim]\npath = /sim/{{id}}\nauth = none\n{more}"
            f"backend = tcp://127.0.0.1:{port}\nframing = {framing}\n"
            "mode = hub\nqueue_limit = 16M\n")


def len32(opcode, data):
    return struct.pack(">IB", len(data) + 1, opcode) + data


def run(*args, **options):
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.Popen([*RUNNER, str(WSRELAYCTL), *map(str, args)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            **options)


def record(r, path, file, *args):
    """A recorder that misses nothing any more."""
    n = len(r.log("control", command="record"))
    p = run("--socket", r.dir / "control.sock", "record", path, file, *args)
    r.wait_log("control", count=n + 1, command="record")
    # One that begins behind it is on behind it.
    with contextlib.suppress(AssertionError), Tap(r):
        pass
    return p


def held(file):
    """What it has by now."""
    return file.read_bytes() if file.exists() else b""


def items(data):
    """The head's fields, and the items, read by somebody else's code."""
    head, rest = data.split(b"\n\n", 1)
    version, *fields = head.decode().split("\n")
    assert version == "wsrelayd-recording 1"
    found = []
    while rest:
        line, rest = rest.split(b"\n", 1)
        time, kind, *n = line.decode().split(" ")
        assert re.fullmatch(r"\d+\.\d{6}", time)
        item = [float(time), kind]
        if kind == "dropped":
            item.append(int(n[0]))
        elif kind != "end":
            item.append(rest[:int(n[0])])
            assert rest[int(n[0]):][:1] == b"\n"
            rest = rest[int(n[0]) + 1:]
        found.append(item)
    assert [x[0] for x in found] == sorted(x[0] for x in found)
    return dict(x.split(" ", 1) for x in fields), found


# --- record ------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 3])
def test_record(relay, tmp_path, workers):
    said = [(TEXT, "é\r\n\0".encode()), (BINARY, bytes(range(256))),
            (TEXT, b""), (BINARY, b"x" * 200000)]
    with Server() as s:
        r = relay(hub(s.port), server=CONTROL + f"workers = {workers}\n")
        members = [Client(r, "/sim/42") for _ in range(4)]
        backend = s.accept()
        other = Client(r, "/sim/43")
        stranger = s.accept()
        p = record(r, "/sim/42", tmp_path / "a.rec")
        began = time.time()
        for opcode, data in said:
            stranger.write(len32(TEXT, b"of another hub"))
            backend.write(len32(opcode, data))
            for m in members:
                assert m.message()[:2] == (opcode, data)
        members[0].send(TEXT, b"what members say is not in it")
        backend.exactly(5)
        file = tmp_path / "a.rec"
        # What came is there while it goes on.
        wait_for(lambda: len(held(file)) > 200000 and
                 len(items(held(file))[1]) == 4, "the messages")
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=PATIENCE)
        assert p.returncode == 0 and out == b""
        assert re.fullmatch(rb"4 messages, 0 dropped, \d+\.\d s\n", err), err
        head, found = items(file.read_bytes())
        assert head["route"] == "sim" and head["path"] == "/sim/42"
        assert head["framing"] == "len32"
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z",
                            head["began"])
        assert found[0][0] == 0 and found[-1][1] == "end"
        assert [x[1:] for x in found[:-1]] == [
            ["text" if o == TEXT else "binary", d] for o, d in said]
        assert found[-1][0] <= time.time() - began + 1
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        r.wait_log("tap-end", command="record", messages=4)
        for m in [*members, other]:
            m.close()


def test_limit_time_and_standard_output(relay):
    with Server() as s:
        r = relay(hub(s.port, "line"), server=CONTROL)
        c = Client(r, "/sim/42")
        backend = s.accept()
        p = record(r, "/sim/%34%32", "-", "--limit", "2", "--json")
        backend.write(b"one\ntwo\nthree\n")
        out, err = p.communicate(timeout=PATIENCE)
        assert p.returncode == 0
        head, found = items(out)
        assert head["framing"] == "line" and head["path"] == "/sim/42"
        assert [x[1:] for x in found] == [["text", b"one"], ["text", b"two"],
                                          ["end"]]
        assert json.loads(err)["messages"] == 2
        # Of a hub that is not there (yet); nothing is said.
        p = record(r, "/sim/7", "-", "--for", "1s")
        out, err = p.communicate(timeout=PATIENCE)
        assert p.returncode == 0
        assert [x[1:] for x in items(out)[1]] == [["end"]]
        c.close()


def test_only_what_is_for_all(relay):
    """A message for one client would be everybody's in a lesson."""
    with Server() as s:
        r = relay(hub(s.port, "line", "addressing = tagged\n"),
                  server=CONTROL)
        c = Client(r, "/sim/42")
        backend = s.accept()
        assert backend.until().startswith(b"+ ")
        p = record(r, "/sim/42", "-", "--limit", "1")
        backend.write(f"> {c.id} secret\n> * for all\n".encode())
        out, _ = p.communicate(timeout=PATIENCE)
        assert [x[1:] for x in items(out)[1]] == [["text", b"for all"],
                                                  ["end"]]
        c.close()


def test_a_room_is_recorded_too(relay):
    r = relay("[route room]\npath = /room\nbackend = room:\nmode = hub\n"
              "auth = none\nmax_backend_message = 64K\n",
              server=CONTROL + "workers = 2\n")
    one, two = Client(r, "/room"), Client(r, "/room")
    p = record(r, "/room", "-", "--limit", "2")
    one.send(TEXT, b"hello")
    assert two.message()[1] == b"hello"
    two.send(BINARY, b"\0")
    out, _ = p.communicate(timeout=PATIENCE)
    head, found = items(out)
    assert "framing" not in head
    assert [x[1:] for x in found] == [["text", b"hello"], ["binary", b"\0"],
                                      ["end"]]
    one.close()
    two.close()


def test_too_long_for_a_recording(relay, tmp_path):
    """It is counted where it is missing."""
    longest, file = 16 << 20, tmp_path / "a.rec"
    with Server() as s:
        # The client reads nothing, no ping either, while the recorder writes.
        r = relay(hub(s.port, more="max_backend_message = 20M\n"
                      "ping_interval = 1h\n").replace(
            "queue_limit = 16M", "queue_limit = 40M"), server=CONTROL)
        c = Client(r, "/sim/42")
        backend = s.accept()
        p = record(r, "/sim/42", file, "--limit", "2")

        def say(data):
            sending = Background(lambda: backend.write(len32(BINARY, data)))
            assert c.message()[1] == data
            sending.done()
        say(b"a" * longest)
        # More than one so long does not wait for the recorder.
        wait_for(lambda: file.exists() and file.stat().st_size > longest,
                 "the first in the file", 4 * PATIENCE)
        say(b"b" * (longest + 1))
        say(b"c")
        _, err = p.communicate(timeout=PATIENCE)
        assert b"2 messages, 1 dropped" in err
        found = items(file.read_bytes())[1]
        assert [x[1] for x in found] == ["binary", "dropped", "binary", "end"]
        assert found[0][2] == b"a" * longest
        assert found[1][2] == 1 and found[2][2] == b"c"
        c.close()


def test_what_is_no_recording(relay, tmp_path):
    with Server() as s:
        r = relay(hub(s.port) + "[route pair]\npath = /pair\nauth = none\n"
                  "backend = echo:\n[route quiet]\npath = /quiet\n"
                  "backend = room:\nmode = hub\nauth = none\ntap = no\n"
                  "max_backend_message = 64K\n", server=READONLY)
        at = ["--socket", r.dir / "control.sock"]
        for path, says in (("/pair", "no route with mode = hub and this path"),
                           ("/nowhere", "no route with mode = hub"),
                           ("sim/42", "path: expected one such as /sim/42"),
                           ("/quiet", "the route has tap = no")):
            assert says in ctl(*at, "record", path, tmp_path / "x",
                               status=1).stderr
        assert "no route with mode = hub" in ctl(
            *at, "record", "--route", "pair", "/sim/42", "x", status=1).stderr
        assert "FILE is missing" in ctl(*at, "record", "/sim/1",
                                        status=2).stderr
        assert "shows what is said" in ctl(
            "--socket", r.dir / "read.sock", "record", "/sim/1",
            tmp_path / "x", status=1).stderr
        assert not (tmp_path / "x").exists()
        (tmp_path / "x").write_text("mine")
        assert "x: File exists" in ctl(*at, "record", "/sim/1",
                                       tmp_path / "x", status=1).stderr
        assert (tmp_path / "x").read_text() == "mine"
        assert "/dev/full/x: Not a directory" in ctl(
            *at, "record", "/sim/1", "/dev/full/x", status=1).stderr


def test_a_full_disk(relay, tmp_path):
    with Server() as s:
        r = relay(hub(s.port, "line"), server=CONTROL)
        c = Client(r, "/sim/42")
        backend = s.accept()
        with open("/dev/full", "wb") as full:
            p = subprocess.Popen(
                [*RUNNER, str(WSRELAYCTL), "--socket",
                 str(r.dir / "control.sock"), "record", "/sim/42", "-"],
                stdout=full, stderr=subprocess.PIPE)
            r.wait_log("control", command="record")
            with Tap(r):
                pass
            backend.write(b"hello\n")
            _, err = p.communicate(timeout=PATIENCE)
        assert p.returncode == 1
        assert b"-: No space left on device" in err
        c.close()


def test_the_daemon_ends(relay, tmp_path):
    """What was recorded by then is good."""
    with Server() as s:
        r = relay(hub(s.port, "line"), server=CONTROL)
        c = Client(r, "/sim/42")
        backend = s.accept()
        p = record(r, "/sim/42", tmp_path / "a.rec")
        backend.write(b"hello\n")
        assert c.message()[1] == b"hello"
        wait_for(lambda: b"hello" in held(tmp_path / "a.rec"), "the message")
        r.stop()
        _, err = p.communicate(timeout=PATIENCE)
        assert p.returncode == 3 and b"has closed the connection" in err
        found = items((tmp_path / "a.rec").read_bytes())[1]
        assert [x[1] for x in found] == ["text", "end"]


# --- play --------------------------------------------------------------------


def play(data, *args, status=0, stdin=None, env=None):
    """What it prints of this recording, and says."""
    done = subprocess.run(
        [*RUNNER, str(WSRELAYCTL), "play", *map(str, args), "-"],
        input=data, capture_output=True, timeout=PATIENCE,
        env={**os.environ, **(env or {})})
    assert done.returncode == status, done
    return done.stdout, done.stderr.decode()


def test_play_in_both_framings():
    lines = HEAD.replace(b"\n\n", b"\nframing line\n\n") + \
        b"0 text 1\na\n0.001 text 4\nb\rc\r\n0.002 text 0\n\n"
    # A CR at the end of a line would be taken for a part of its end.
    as_lines = b"a\nb\rc\r\r\n\n"
    assert play(lines) == (as_lines, "")
    as_len32 = len32(1, b"a") + len32(1, b"b\rc\r") + len32(1, b"")
    assert play(lines, "--framing", "len32") == (as_len32, "")
    assert play(lines, env={"WSRELAY_FRAMING": "len32"})[0] == as_len32
    assert play(lines, "--framing", "line",
                env={"WSRELAY_FRAMING": "len32"})[0] == as_lines
    assert "WSRELAY_FRAMING: expected line or len32" in play(
        lines, status=2, env={"WSRELAY_FRAMING": "raw"})[1]
    both = HEAD + b"0 text 2\n\n\n\n0 binary 2\n\0\xff\n0 dropped 7\n1 end\n"
    assert play(both)[0] == len32(1, b"\n\n") + len32(2, b"\0\xff")
    out, err = play(both, "--framing", "line", status=1)
    assert out == b""
    assert "at byte 22: a line feed inside a message: framing = len32" in err
    assert "a binary message, where only text" in play(
        HEAD + b"0 binary 1\na\n", "--framing", "line", status=1)[1]


def test_play_in_time(tmp_path):
    data = HEAD + b"0 text 1\na\n0.5 text 1\nb\n1 text 1\nc\n"
    (tmp_path / "a.rec").write_bytes(data)
    begun = time.monotonic()
    p = run("play", "--framing", "line", "--speed", "2", tmp_path / "a.rec")
    times = []
    for line in p.stdout:
        times.append(time.monotonic() - begun)
    assert len(times) == 3
    # Never before its time.
    assert times[1] >= 0.25 and times[2] >= 0.5
    assert p.wait(PATIENCE) == 0
    p.stdout.close()
    p.stderr.close()


def test_play_again_and_again(tmp_path):
    file = tmp_path / "a.rec"
    file.write_bytes(HEAD + b"0 text 1\na\n0.01 text 1\nb\n0.02 end\n")
    begun = time.monotonic()
    p = run("play", "--loop", "--framing", "line", file)
    assert [p.stdout.readline() for _ in range(20)] == [b"a\n", b"b\n"] * 10
    assert time.monotonic() - begun >= 9 * 0.02
    p.terminate()
    p.communicate(timeout=PATIENCE)
    file.write_bytes(HEAD + b"1 dropped 1\n2 end\n")
    assert "it has no message" in ctl("play", "--loop", file,
                                      status=1).stderr
    assert "needs a file that can be read again" in play(
        HEAD, "--loop", status=1)[1]


def test_play_ends_with_its_clients(tmp_path):
    """As a backend: what they say is read, and dropped."""
    file = tmp_path / "a.rec"
    file.write_bytes(HEAD + b"0 text 1\na\n1000 text 1\nb\n")
    p = run("play", "--framing", "line", file, stdin=subprocess.PIPE)
    assert p.stdout.readline() == b"a\n"
    p.stdin.write(b"x" * (1 << 20))
    p.stdin.flush()
    assert p.poll() is None
    out, err = p.communicate(timeout=PATIENCE)
    assert (out, err, p.returncode) == (b"", b"", 0)


@pytest.mark.parametrize("data, says", [
    (b"", "at byte 0: this is no recording of wsrelayd: it ends"),
    (HEAD[:-1], "at byte 0: this is no recording of wsrelayd: it ends"),
    (b"\x7fELF", "at byte 0: this is no recording of wsrelayd"),
    (HEAD.replace(b"1", b"2"), "at byte 0: a recording of another version"),
    (HEAD + b"0 text 100\nabc", "at byte 22: it ends in the middle of this"),
    (HEAD + b"0 text 3\nabc\n0 te", "at byte 35: it ends in the middle"),
    (HEAD + b"0 text 99999999999\n", "at byte 22: expected how many bytes"),
    (HEAD + b"1 text 0\n\n0 text 0\n\n", "at byte 32: the time goes back"),
    (HEAD + b"x" * 70, "at byte 22: a line longer than 64 bytes"),
    (HEAD + b"0 text 1\n\xff\n", "at byte 22: a text that is not UTF-8"),
])
def test_a_damaged_recording(data, says):
    assert says in play(data, status=1)[1]


def test_play_usage(tmp_path):
    for args in ([], ["a", "b"], ["--speed", "0", "a"], ["--speed", "x", "a"],
                 ["--framing", "raw", "a"], ["--nothing", "a"]):
        ctl("play", *args, status=2)
    assert "No such file" in ctl("play", tmp_path / "none", status=1).stderr
    assert "Is a directory" in ctl("play", tmp_path, status=1).stderr


# --- the lesson --------------------------------------------------------------


@pytest.mark.parametrize("framing", ["line", "len32"])
@pytest.mark.parametrize("workers", [1, 3])
def test_record_play_and_the_same_is_seen(relay, tmp_path, framing, workers):
    said = [f'{{"x":{n}}}'.encode() for n in range(50)]
    lesson = (f"[route lesson]\npath = /lesson\nauth = none\nmode = hub\n"
              f"backend = exec:{WSRELAYCTL} play --speed 10 "
              f"{tmp_path}/a.rec\nframing = {framing}\nqueue_limit = 16M\n"
              "linger = 0s\n")
    with Server() as s:
        r = relay(hub(s.port, framing) + lesson,
                  server=CONTROL + f"workers = {workers}\n")
        c = Client(r, "/sim/42")
        backend = s.accept()
        p = record(r, "/sim/42", tmp_path / "a.rec", "--limit", "50")
        for data in said:
            backend.write(len32(1, data) if framing == "len32"
                          else data + b"\n")
            assert c.message()[1] == data
        _, err = p.communicate(timeout=PATIENCE)
        assert b"50 messages, 0 dropped" in err
        with Tap(r, route="lesson") as t:
            pupil = Client(r, "/lesson")
            pupil.send(TEXT, b"may I?")
            for data in said:
                assert pupil.message()[1] == data
            # It is over.
            assert pupil.recv().opcode == 8
            rows = [x for x in t.rows(51)
                    if x["direction"] == "to_client"]
            assert [payload(x) for x in rows] == said
        c.close()


def test_the_lesson_of_the_examples(relay, tmp_path):
    text = (ROOT / "conf/examples/lesson.ini").read_text()
    (tmp_path / "www").mkdir()
    (tmp_path / "wave.rec").write_bytes(
        HEAD + b"0 text 7\n{\"x\":1}\n0.01 text 7\n{\"x\":2}\n0.02 end\n")
    for place, here in (("exec:wsrelayctl", f"exec:{WSRELAYCTL}"),
                        ("/etc/wsrelayd/lab.key", "{dir}/secret"),
                        ("/srv/lesson/", f"{tmp_path}/"),
                        ("[listen public]\n", "")):
        assert place in text
        text = text.replace(place, here)
    r = relay(text, server=CONTROL)
    for _ in range(2):
        pupils = [Client(r, "/lesson", token=mint("/lesson", perm="r"))
                  for _ in range(3)]
        for c in pupils:
            seen = [c.message()[1] for _ in range(6)]
            assert set(seen) == {b'{"x":1}', b'{"x":2}'}
        for c in pupils:
            c.close()
