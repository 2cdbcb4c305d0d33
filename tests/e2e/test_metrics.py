"""/metrics: what is counted, and that it can be read."""
import importlib.machinery
import importlib.util
import shutil
import signal
import subprocess

import pytest

from exposition import parse, parse_metrics
from peers import BINARY, PING, PONG, TEXT, Client, Server
from rawhttp import Peer, ask, head, upgrade
from relay import KEY, ROOT, free_port, wait_for
from secure import SECURE

ADMIN = """
[listen admin]
address = 127.0.0.1:0
role = admin
"""
ECHO = """
[route echo]
path = /echo
backend = echo:
auth = none
"""
ROOM = """
[route room]
path = /room
backend = room:
auth = none
mode = hub
queue_limit = 16M
"""


def scrape(r):
    answer = ask(r, head("/metrics"), "admin")
    assert answer.status == 200
    assert answer["Content-Type"] == \
        "text/plain; version=0.0.4; charset=utf-8"
    return answer.body.decode()


def sample(r, name, **labels):
    return parse(scrape(r)).get((name, *sorted(labels.items())))


def wait_sample(r, wanted, name, **labels):
    """Some are counted when the last byte was read, or a turn later."""
    wait_for(lambda: sample(r, name, **labels) == wanted,
             f"{name} {labels} {wanted}: {sample(r, name, **labels)}")


def table():
    loader = importlib.machinery.SourceFileLoader(
        "metric_table", str(ROOT / "scripts/metric-table"))
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader("metric_table", loader))
    loader.exec_module(module)
    return module.metrics()


def busy(relay):
    """A relay in which as much as possible has happened."""
    r = relay(ECHO + ROOM + f"""
[route dead]
path = /dead
backend = tcp://127.0.0.1:{free_port()}
framing = line
auth = none
[route timed]
path = /timed
backend = echo:
auth = none
ping_interval = 100ms
""" + KEY, listen=ADMIN)
    with Client(r, "/echo") as c, Client(r, "/room") as a, \
            Client(r, "/room") as b, Client(r, "/timed") as t:
        c.send(TEXT, "12345")
        c.recv()
        a.send(BINARY, b"to b")
        b.recv()
        assert t.frame().opcode == PING
        t.send(PONG, b"")
        wait_sample(r, 1, "wsrelayd_ping_round_trip_seconds_count",
                    route="timed", side="client")
    assert ask(r, upgrade("/dead")).status == 502
    assert ask(r, head("/none")).status == 404
    return r


def test_it_is_what_prometheus_reads(relay):
    r = busy(relay)
    found = {m.name: m for m in parse_metrics(scrape(r))}
    rows = table()
    assert list(found) == [name for name, _, _, _ in rows]
    for name, kind, labels, words in rows:
        metric = found[name]
        assert (metric.type, metric.help) == (kind, words)
        if metric.samples:
            assert metric.label_names == labels, name
    # What has no lines here has none that a test could see.
    silent = {m for m in found if not found[m].samples}
    assert silent <= {"wsrelayd_hub_closes_total",
                      "wsrelayd_crl_not_after_timestamp_seconds",
                      *([] if SECURE else
                        ["wsrelayd_certificate_not_after_timestamp_seconds"])}


@pytest.mark.skipif(not shutil.which("promtool"), reason="no promtool "
                    "(scripts/deps lint)")
def test_promtool_has_no_complaint(relay):
    out = subprocess.run(["promtool", "check", "metrics"], text=True,
                         input=scrape(busy(relay)), capture_output=True)
    assert (out.returncode, out.stdout, out.stderr) == (0, "", "")


def test_messages_and_bytes(relay):
    r = relay(ECHO + ROOM, listen=ADMIN)
    with Client(r, "/echo") as c, Client(r, "/room") as a, \
            Client(r, "/room") as b:
        for n in 0, 64, 65:
            c.send(BINARY, b"x" * n)
            c.recv()
        a.send(TEXT, "hello")
        b.recv()
        s = parse(scrape(r))

        def of(name, **labels):
            return s[("wsrelayd_" + name, *sorted(labels.items()))]
        for direction in "from_client", "to_client":
            echo = {"route": "echo", "direction": direction}
            assert of("messages_total", **echo) == 3
            assert of("bytes_total", **echo) == 129
            assert of("message_size_bytes_bucket", le="64", **echo) == 2
            assert of("message_size_bytes_bucket", le="256", **echo) == 3
            assert of("message_size_bytes_sum", **echo) == 129
            room = {"route": "room", "direction": direction}
            assert of("messages_total", **room) == 1
            assert of("bytes_total", **room) == 5
            assert of("hub_messages_total", **room) == 1
        assert of("clients", route="echo") == 1
        assert of("clients", route="room") == 2
        assert of("hub_members", route="room") == 2
        assert of("hubs", route="room") == 1
        assert of("handshakes_total", route="room", result="ok") == 2
        assert of("backend_connects_total", route="echo", result="ok") == 1
    wait_sample(r, 0, "wsrelayd_clients", route="room")
    wait_sample(r, 0, "wsrelayd_hub_members", route="room")
    assert sample(r, "wsrelayd_closes_total", route="room",
                  reason="client-gone") == 2


def test_refusals_have_their_reasons(relay):
    r = relay(ECHO + "allow = 192.0.2.1\n" + ROOM + KEY, listen=ADMIN)
    assert ask(r, upgrade("/echo")).status == 403
    assert ask(r, head("/room")).status == 426
    for _ in range(2):
        assert ask(r, head("/nothing")).status == 404
    s = parse(scrape(r))
    refused = {k: v for k, v in s.items()
               if k[0] == "wsrelayd_refusals_total"}
    assert refused == {
        ("wsrelayd_refusals_total", ("reason", "address"),
         ("route", "echo")): 1,
        ("wsrelayd_refusals_total", ("reason", "upgrade"),
         ("route", "room")): 1,
        ("wsrelayd_refusals_total", ("reason", "not-found"),
         ("route", "")): 2}
    # Only one of them asked for a WebSocket.
    assert sum(v for k, v in s.items() if k[0] == "wsrelayd_handshakes_total"
               and ("result", "failed") in k) == 1


def test_pauses(relay):
    with Server(rcvbuf=4096) as backend:
        r = relay(f"""
[route slow]
path = /slow
backend = tcp://127.0.0.1:{backend.port}
framing = line
auth = none
queue_limit = 1K
max_message = 1M
[route fast]
path = /fast
backend = echo:
auth = none
message_rate = 1
""", listen=ADMIN)
        with Client(r, "/slow") as c, Client(r, "/fast") as f:
            deaf = backend.accept()
            for _ in range(40):
                c.send(TEXT, "x" * 500_000)
                if sample(r, "wsrelayd_pauses_total", route="slow",
                          direction="from_client", cause="queue"):
                    break
            else:
                assert False, "it was never paused"
            assert sample(r, "wsrelayd_queued_bytes") > 0
            for _ in range(3):
                f.send(TEXT, "x")
            wait_for(lambda: sample(
                r, "wsrelayd_pauses_total", route="fast",
                direction="from_client", cause="rate"), "the rate")
            deaf.close()
    assert sample(r, "wsrelayd_pauses_total", route="fast",
                  direction="from_client", cause="queue") == 0


def test_programs(relay):
    r = relay("""
[route cat]
path = /cat
backend = exec:/bin/cat
auth = none
""", listen=ADMIN)
    with Client(r, "/cat") as c:
        c.send(TEXT, "x")
        c.recv()
        assert sample(r, "wsrelayd_programs", route="cat") == 1
        assert sample(r, "wsrelayd_backend_connect_duration_seconds_count",
                      route="cat") == 1
    wait_sample(r, 0, "wsrelayd_programs", route="cat")


def test_the_process(relay):
    r = relay(ECHO, listen=ADMIN)
    s = parse(scrape(r))
    assert s[("process_max_fds",)] >= s[("process_open_fds",)] > 5
    # The scrape has a descriptor or two of its own.
    assert abs(s[("process_open_fds",)] - r.descriptors()) <= 3
    assert s[("process_resident_memory_bytes",)] > 1 << 20
    assert s[("process_cpu_seconds_total",)] > 0
    start = s[("process_start_time_seconds",)]
    assert s[("wsrelayd_config_last_reload_success_timestamp_seconds",)] \
        == start > 1.6e9


def test_reloads(relay):
    r = relay(ECHO + KEY, listen=ADMIN)
    assert sample(r, "wsrelayd_config_last_reload_successful") == 1
    r.kill(signal.SIGHUP)
    wait_sample(r, 1, "wsrelayd_config_reloads_total", result="ok")
    (r.dir / "secret").write_bytes(b"short")
    r.kill(signal.SIGHUP)
    wait_sample(r, 1, "wsrelayd_config_reloads_total", result="failed")
    assert sample(r, "wsrelayd_config_last_reload_successful") == 0
    (r.dir / "secret").write_bytes(b"x" * 40)
    r.kill(signal.SIGHUP)
    wait_sample(r, 2, "wsrelayd_config_reloads_total", result="ok")
    assert sample(r, "wsrelayd_config_last_reload_successful") == 1


def test_many_routes_stop_nobody(relay):
    """In parts: a scrape of 2 MB, whose reader takes its time."""
    routes = "".join(f"[route r{i}]\npath = /r{i}\nbackend = echo:\n"
                     "auth = none\n" for i in range(600))
    r = relay(routes + ECHO, listen=ADMIN, server="workers = 1")
    with Peer(r, "admin") as p, Client(r, "/echo") as c:
        for _ in range(3):
            p.send(head("/metrics"))
        for i in range(100):
            c.send(TEXT, str(i))
            assert c.recv().text == str(i)
        for _ in range(3):
            answer = p.answer()
            assert answer.body.count(b"wsrelayd_clients{") == 601
    assert sample(r, "wsrelayd_clients", route="r599") == 0


def test_http_1_0_and_head(relay):
    """Without chunks the end of the connection is that of the answer."""
    r = relay(ECHO, listen=ADMIN)
    with Peer(r, "admin") as p:
        p.send(head("/metrics", version="HTTP/1.0"))
        text = p.file.read().decode()
    first, body = text.split("\r\n\r\n", 1)
    assert "Transfer-Encoding" not in first and "Connection: close" in first
    assert ("wsrelayd_ready",) in parse(body)
    with Peer(r, "admin") as p:
        p.send(head("/metrics", "HEAD") + head("/healthz"))
        assert p.answer("HEAD").status == 200
        assert p.answer().body == b"ok\n"
