"""The examples of conf/examples work: tokens verify, configurations are
accepted, and proxies keep tokens out of their logs."""
import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest
import websockets

from relay import PATIENCE, free_port, wait_for

pytestmark = pytest.mark.plain(
    "about files and what they say; proxies bring their own TLS")

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "conf/examples"
BUILD = pathlib.Path(os.environ.get("WSRELAY_BUILD", ROOT / "build/asan"))
SECRET = b"0123456789abcdef\\'\"%$ ~ 0123456789"
TOKEN = "eyJsb29rcyI6Imxpa2Ugb25lIn0.secret.part"


# --- minting ------------------------------------------------------------------

def decode(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


@pytest.mark.parametrize("newline", [b"", b"\n"], ids=["bare", "newline"])
@pytest.mark.parametrize("secret", [SECRET, bytes(range(200, 255)) + b"\n\0",
                                    bytes(range(64))],
                         ids=["text", "binary", "longest"])
@pytest.mark.parametrize("command", [
    ["/usr/bin/python3", "mint.py"], ["node", "mint.js"], ["sh", "mint.sh"],
    ["bash", "mint.sh"]], ids=lambda command: "-".join(command))
def test_mint(tmp_path, command, secret, newline):
    file = tmp_path / "lab.key"
    file.write_bytes(secret + newline)
    before = int(time.time())
    found = subprocess.run(
        command + [file, "wss://relay.example.org", "/sim/42"], cwd=EXAMPLES,
        check=True, capture_output=True, text=True)
    match = re.fullmatch(r"wss://relay\.example\.org/sim/42\?token="
                         r"(([\w-]+)\.([\w-]+))\.([\w-]+)\n", found.stdout)
    signed, header, claims, signature = match.groups()
    assert decode(signature) == hmac.digest(secret, signed.encode(), "sha256")
    assert json.loads(decode(header)) == {"alg": "HS256"}
    claims = json.loads(decode(claims))
    assert before <= claims["iat"] <= time.time()
    assert claims == {"path": "/sim/42", "perm": "rw", "iat": claims["iat"],
                      "exp": claims["iat"] + 60}


@pytest.mark.skipif("not __import__('shutil').which('julia')",
                    reason="no julia here")
def test_mint_julia(tmp_path):
    test_mint(tmp_path, ["julia", "mint.jl"], SECRET, b"\n")


# --- one's own simulation -----------------------------------------------------

@pytest.fixture
def simulation(tmp_path):
    """The example with the files that it names."""
    text = (EXAMPLES / "simulation.ini").read_text()
    settings = [line for line in text.splitlines()
                if line and not line.startswith(";")]
    assert len(settings) == 13, "the README promises thirteen lines"
    (tmp_path / "www").mkdir()
    (tmp_path / "sim.py").write_text("#!/bin/sh\ncat\n")
    (tmp_path / "sim.py").chmod(0o755)
    (tmp_path / "lab.key").write_bytes(SECRET)
    (tmp_path / "lab.key").chmod(0o600)
    text = text.replace("/etc/wsrelayd/", "%s/" % tmp_path)
    text = text.replace("/srv/sim/", "%s/" % tmp_path)
    file = tmp_path / "wsrelayd.ini"
    file.write_text(text)
    return file


def test_simulation_is_accepted(simulation):
    found = subprocess.run([BUILD / "wsrelayd", "-t", "-c", simulation],
                           capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert "warning" not in found.stdout + found.stderr


def test_simulation_opens_to_minted_tokens(simulation, tmp_path):
    """What each of the programs mints opens the route, and no other does."""
    port = free_port()
    base = "ws://127.0.0.1:%d" % port
    simulation.write_text(replace(
        simulation.read_text(), ("[listen public]\n",
                                 "[listen public]\naddress = 127.0.0.1:%d\n"
                                 % port)))

    async def echo(uri):
        async with websockets.connect(uri, open_timeout=PATIENCE) as ws:
            await ws.send("steer")
            return await asyncio.wait_for(ws.recv(), PATIENCE)

    with running([BUILD / "wsrelayd", "-c", simulation], tmp_path, port):
        for command in (["/usr/bin/python3", "mint.py"], ["node", "mint.js"],
                        ["sh", "mint.sh"]):
            uri = subprocess.run(
                command + [tmp_path / "lab.key", base, "/sim/42"],
                cwd=EXAMPLES, check=True, capture_output=True,
                text=True).stdout.strip()
            assert asyncio.run(echo(uri)) == "steer"
            with pytest.raises(websockets.InvalidStatusCode) as refused:
                asyncio.run(echo(uri.replace("/sim/42", "/sim/43")))
            assert refused.value.status_code == 401
    assert "secret" not in (tmp_path / "output").read_text()
    assert uri.split("=")[1] not in (tmp_path / "output").read_text()


def keys_of(text, section):
    body = re.search(r"(?ms)^\[%s\]\n(.*?)(?=^\[|\Z)" % section, text).group(1)
    return dict(re.findall(r"(?m)^(\w+) = (.*)$", body))


def test_the_class_is_that_of_the_demo():
    """What one sees in the demo is what the example does."""
    example = keys_of((EXAMPLES / "classroom.ini").read_text(), "route class")
    demo = keys_of((ROOT / "scripts/demo/demo.ini.in").read_text(),
                   "route class")
    for key in set(example) - {"path", "backend"}:
        assert demo[key] == example[key], key
    assert {"mode", "linger", "input", "slow"} <= set(example)


# --- TLS ----------------------------------------------------------------------

@pytest.fixture
def tls(tmp_path):
    """The example with the files that it names."""
    text = (EXAMPLES / "tls.ini").read_text()
    (tmp_path / "www").mkdir()
    (tmp_path / "www/index.html").write_text("{{wsuri /sim/42}}")
    (tmp_path / "sim.py").write_text("#!/bin/sh\ncat\n")
    (tmp_path / "sim.py").chmod(0o755)
    (tmp_path / "lab.key").write_bytes(SECRET)
    (tmp_path / "lab.key").chmod(0o600)
    (tmp_path / "tls").mkdir()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-keyout",
         tmp_path / "tls/privkey.pem", "-out", tmp_path / "tls/fullchain.pem",
         "-days", "60", "-subj", "/CN=relay.example.org", "-addext",
         "subjectAltName=DNS:relay.example.org"],
        check=True, capture_output=True)
    text = text.replace("/etc/wsrelayd/", "%s/" % tmp_path)
    text = text.replace("/srv/sim/", "%s/" % tmp_path)
    file = tmp_path / "wsrelayd.ini"
    file.write_text(text)
    return file


def check_only(file):
    return subprocess.run([BUILD / "wsrelayd", "-t", "-c", file],
                          capture_output=True, text=True)


def test_tls_is_accepted(tls):
    found = check_only(tls)
    assert (found.returncode, found.stderr) == (0, "")


def test_tls_files_are_looked_at(tls, tmp_path):
    """wsrelayd -t tells the file and what is wrong with it."""
    key = tmp_path / "tls/privkey.pem"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True,
                   capture_output=True)
    found = check_only(tls)
    assert found.returncode == os.EX_CONFIG
    assert "key_file: %s does not belong to the certificate" % key \
        in found.stderr
    (tmp_path / "tls/fullchain.pem").write_text("no certificate\n")
    found = check_only(tls)
    assert found.returncode == os.EX_CONFIG
    assert "chain_file: %s/tls/fullchain.pem holds no BEGIN line" % tmp_path \
        in found.stderr


def test_tls_opens_from_its_page(tls, tmp_path):
    port = free_port()
    tls.write_text(replace(
        tls.read_text(), ("address = 0.0.0.0:443\naddress = [::]:443\n",
                          "address = 127.0.0.1:%d\n" % port)))
    trust = ssl.create_default_context(cafile=tmp_path / "tls/fullchain.pem")

    async def echo(uri):
        async with websockets.connect(
                uri, ssl=trust, server_hostname="relay.example.org",
                host="127.0.0.1", port=port, open_timeout=PATIENCE) as ws:
            await ws.send("steer")
            return await asyncio.wait_for(ws.recv(), PATIENCE)

    with running([BUILD / "wsrelayd", "-c", tls], tmp_path, port):
        page = subprocess.run(
            ["curl", "-sS", "--max-time", "20", "--cacert",
             tmp_path / "tls/fullchain.pem", "--resolve",
             "relay.example.org:%d:127.0.0.1" % port,
             "https://relay.example.org:%d/" % port],
            check=True, capture_output=True, text=True).stdout
        assert page.startswith("wss://relay.example.org:%d/sim/42?" % port)
        assert asyncio.run(echo(page)) == "steer"


# --- proxies ------------------------------------------------------------------

class Upstream:
    """Takes the place of the relay: keeps the heads of requests, accepts
    upgrades, and then returns every byte."""

    def __init__(self):
        self.heads = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self.socket.accept()
                threading.Thread(target=self.serve, args=(peer,),
                                 daemon=True).start()

    def serve(self, peer):
        with peer, contextlib.suppress(OSError):
            head = read_head(peer)
            if not head.startswith("GET /sim/"):
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
                             b"Connection: close\r\n\r\n")
                return
            self.heads.append(head)
            key = re.search("Sec-WebSocket-Key: (.*)\r", head, re.I).group(1)
            accept = base64.b64encode(hashlib.sha1(
                (key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()
            ).digest()).decode()
            peer.sendall((
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nX-Wsrelay-Id: 00000000000000a7\r\n"
                "Sec-WebSocket-Accept: %s\r\n\r\n" % accept).encode())
            while data := peer.recv(4096):
                peer.sendall(data)

    def close(self):
        self.socket.close()


def read_head(peer):
    head = b""
    while b"\r\n\r\n" not in head:
        data = peer.recv(4096)
        if not data:
            raise ConnectionError("ended in the head: %r" % head)
        head += data
    return head.decode()


@pytest.fixture
def upstream():
    server = Upstream()
    yield server
    server.close()


@pytest.fixture
def certificate(tmp_path):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key.pem", "-out",
         "cert.pem", "-subj", "/CN=relay.example.org"],
        cwd=tmp_path, check=True, capture_output=True)
    both = (tmp_path / "cert.pem").read_text()
    both += (tmp_path / "key.pem").read_text()
    (tmp_path / "both.pem").write_text(both)
    return tmp_path


def replace(text, *pairs):
    for old, new in pairs:
        assert old in text, "the example has no %r" % old
        text = text.replace(old, new)
    return text


def nginx_command(folder, port=0, backend=8080):
    """Without a port it listens where the example says."""
    snippet = replace(
        (EXAMPLES / "nginx.conf").read_text(),
        ("/etc/ssl/relay.example.org.pem", "%s/cert.pem" % folder),
        ("/etc/ssl/private/relay.example.org.key", "%s/key.pem" % folder),
        ("/var/log/nginx/", "%s/" % folder),
        ("http://127.0.0.1:8080", "http://127.0.0.1:%d" % backend))
    if port:
        snippet = replace(
            snippet, ("listen 443 ssl", "listen 127.0.0.1:%d ssl" % port),
            ("listen [::]:443 ssl;", ""))
    (folder / "snippet.conf").write_text(snippet)
    paths = "".join("\t%s_temp_path %s/tmp;\n" % (name, folder) for name in (
        "client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        "daemon off;\nmaster_process off;\npid %s/pid;\nevents {}\n"
        "http {\n%s\taccess_log off;\n\tinclude %s/snippet.conf;\n}\n"
        % (folder, paths, folder))
    return ["nginx", "-e", "%s/start.log" % folder, "-c",
            "%s/nginx.conf" % folder]


def haproxy_command(folder, port=0, backend=8080, example="haproxy.cfg"):
    snippet = replace(
        (EXAMPLES / example).read_text(),
        ("bind :443", "bind 127.0.0.1:%d" % port if port else "bind :443"),
        ("/etc/haproxy/relay.example.org.pem", "%s/both.pem" % folder),
        ("server relay 127.0.0.1:8080",
         "server relay 127.0.0.1:%d" % backend))
    (folder / "haproxy.cfg").write_text(
        "global\n\tlog stdout format raw local0\n\n" + snippet)
    return ["haproxy", "-db", "-f", "%s/haproxy.cfg" % folder]


def haproxy_tcp_command(folder, port=0, backend=8080):
    return haproxy_command(folder, port, backend, "haproxy-tcp.cfg")


PROXIES = {"nginx": (nginx_command, "-t", "relay.log"),
           "haproxy": (haproxy_command, "-c", "output")}


# Each with what it says about wsrelayd.ini in its first comment.
FRONTS = {"nginx.conf": nginx_command, "haproxy.cfg": haproxy_command,
          "haproxy-tcp.cfg": haproxy_tcp_command}


@pytest.mark.parametrize("command, check", [
    (nginx_command, "-t"), (haproxy_command, "-c"),
    (haproxy_tcp_command, "-c")])
def test_proxy_accepts(certificate, command, check):
    found = subprocess.run(command(certificate, free_port(), 1) + [check],
                           capture_output=True, text=True)
    said = found.stdout + found.stderr
    assert found.returncode == 0, said
    assert "[warn]" not in said and "WARNING" not in said.upper(), said


@contextlib.contextmanager
def running(command, folder, port, host="127.0.0.1"):
    with open(folder / "output", "wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        def answers():
            assert process.poll() is None, (folder / "output").read_text()
            with contextlib.suppress(OSError):
                socket.create_connection((host, port)).close()
                return True
        wait_for(answers, "its port")
        yield
    finally:
        process.terminate()
        status = process.wait(PATIENCE)
    assert status in (0, -signal.SIGTERM, 128 + signal.SIGTERM), \
        (folder / "output").read_text()


def wait_for_line(file, part):
    """A proxy logs a WebSocket when it is over."""
    def there():
        for line in file.read_text().splitlines(keepends=True):
            if part in line and line.endswith("\n"):
                return line
    return wait_for(there, part)


def connect(port, source="127.0.0.1"):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    peer = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE,
                                    source_address=(source, 0))
    return context.wrap_socket(peer, server_hostname="relay.example.org")


@pytest.mark.parametrize("name", PROXIES)
def test_proxy_upgrades(certificate, upstream, name):
    """The upgrade passes, the relay learns who it is, no log the token."""
    command, _, log = PROXIES[name]
    port = free_port()
    with running(command(certificate, port, upstream.port), certificate, port):
        with connect(port) as peer:
            peer.sendall((
                "GET /sim/42?token=%s HTTP/1.1\r\n"
                "Host: relay.example.org\r\nUpgrade: websocket\r\n"
                "Connection: keep-alive, Upgrade\r\n"
                "Referer: https://relay.example.org/?token=%s\r\n"
                "X-Forwarded-For: 192.0.2.66\r\nX-Forwarded-Proto: http\r\n"
                "X-Forwarded-Host: evil.example\r\n"
                "Forwarded: for=192.0.2.66\r\n"
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                "Sec-WebSocket-Version: 13\r\n\r\n" % (TOKEN, TOKEN)).encode())
            assert read_head(peer).startswith("HTTP/1.1 101 ")
            peer.sendall(b"both ways")
            assert peer.recv(100) == b"both ways"
        logged = wait_for_line(certificate / log, "/sim/42")
    head, = upstream.heads
    fields = [line.partition(": ")[::2] for line in head.split("\r\n")[1:]]
    fields = [(field.lower(), value) for field, value in fields]
    assert head.startswith("GET /sim/42?token=%s HTTP/1.1\r\n" % TOKEN)
    for expected in (("host", "relay.example.org"),
                     ("upgrade", "websocket"),
                     ("x-forwarded-for", "127.0.0.1"),
                     ("x-forwarded-proto", "https"),
                     ("x-forwarded-host", "relay.example.org")):
        assert [value for field, value in fields if field == expected[0]] \
            == [expected[1]]
    assert "upgrade" in dict(fields)["connection"].lower()
    assert "forwarded" not in dict(fields)
    assert " 101 " in logged
    assert "00000000000000a7" in logged
    for file in certificate.iterdir():
        if file.is_file():
            assert "secret" not in file.read_text(errors="replace"), file


def listen_of(example):
    """The keys of [listen public] in the example's first comment."""
    lines = re.findall(r"^#   (.*)$", (EXAMPLES / example).read_text(), re.M)
    assert lines[:2] == ["[listen public]", "address = 127.0.0.1:8080"]
    return "\n".join(lines[2:])


@pytest.mark.parametrize("example", FRONTS)
def test_proxy_and_relay(relay, certificate, example):
    """The whole chain, with what the example says about wsrelayd.ini: who it
    is, that it came over TLS, and that nobody forges either."""
    r = relay("[route sim]\npath = /sim\nbackend = echo:\nauth = none\n",
              listen=listen_of(example))
    port = free_port()
    origin = "https://relay.example.org"
    with running(FRONTS[example](certificate, port, r.port), certificate,
                 port):
        for forged in ("", "X-Forwarded-For: 192.0.2.66\r\n"
                       "Forwarded: for=192.0.2.66;proto=http\r\n"
                       "X-Forwarded-Proto: http\r\n"
                       "X-Forwarded-Host: evil.example\r\n"):
            # From an address that is no trusted proxy.
            with connect(port, "127.0.0.9") as peer:
                peer.sendall((
                    "GET /sim HTTP/1.1\r\nHost: relay.example.org\r\n"
                    "Origin: %s\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\n"
                    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                    "Sec-WebSocket-Version: 13\r\n%s\r\n"
                    % (origin, forged)).encode())
                assert read_head(peer).startswith("HTTP/1.1 101 ")
                peer.sendall(b"\x81\x82\0\0\0\0hi")
                assert peer.recv(4) == b"\x81\x02hi"
                source = peer.getsockname()
    r.wait_log("open", count=2)
    known = "%s:%d" % source if example == "haproxy-tcp.cfg" else source[0]
    assert r.log("open")[1]["peer"] == known
    assert not r.log("refuse")
