"""TLS of listeners: what is spoken, with which certificate, and to whom."""
import asyncio
import base64
import datetime
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess

import pytest
import websockets
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from certificates import certificates as made
from peers import BINARY, TEXT, Client, Server, Wire, frame, program
from rawhttp import Peer, ask, head, upgrade
from relay import PATIENCE, RUNNER, SANITIZERS, WSRELAYD, dial
from secure import TlsSocket, client_context

pytestmark = pytest.mark.plain("it always speaks TLS")

ECHO = """
[route echo]
path = /echo
backend = echo:
auth = none
origins = any
[page files]
path = /
root = {dir}
"""
NEW_LIBRARY = b"libmbedtls.so.14" not in subprocess.run(
    ["ldd", WSRELAYD], capture_output=True).stdout
VERSIONS = ["1.2", "1.3"] if NEW_LIBRARY else ["1.2"]
AEAD = ["AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"]


def context(version=None, **options):
    """A client's; not shared, so that a test may change it."""
    c = client_context.__wrapped__(**options)
    if version:
        c.minimum_version = c.maximum_version = {
            "1.0": ssl.TLSVersion.TLSv1, "1.1": ssl.TLSVersion.TLSv1_1,
            "1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3,
        }[version]
    return c


def connect(r, listen="main", **options):
    """A TLS connection to r, not resumed unless it says so."""
    address = r.wait_log("listen", listen=listen)["address"]
    options.setdefault("resume", False)
    return dial(("127.0.0.1", int(address.rsplit(":", 1)[1])), tls=True,
                **options)


def echoes(r, **options):
    with Client(r, "/echo", tls=True, **options) as c:
        c.send(TEXT, "hello")
        return c.recv().text == "hello"


def subject(sock):
    """The common name of what the server showed."""
    shown = dict(x[0] for x in sock.tls.getpeercert()["subject"])
    return shown["commonName"]


def s_client(r, *args, stdin=b""):
    """openssl s_client: its status and all it printed."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{r.port}",
         "-CAfile", made().ca, *args], input=stdin,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE)
    return done.returncode, done.stdout.decode(errors="replace")


# --- who can speak to it -----------------------------------------------------

def test_openssl(tls_relay):
    r = tls_relay(ECHO)
    status, said = s_client(
        r, "-servername", "localhost", "-verify_return_error", "-alpn",
        "h2,http/1.1", "-ign_eof", "-quiet", "-brief",
        stdin=head("/healthz", Connection="close"))
    assert status == 0 and "Verification: OK" in said, said
    assert "HTTP/1.1 200 OK" in said
    _, said = s_client(r, "-alpn", "h2,http/1.1")
    assert "ALPN protocol: http/1.1" in said
    assert re.search(r"(Temp Key|TLS1.3 group): (X25519|ECDH, prime256v1)",
                     said)
    assert "Compression: NONE" in said


def test_curl(tls_relay, certificates):
    r = tls_relay(ECHO)
    (r.dir / "a.txt").write_text("a file\n" * 100000)
    said = subprocess.run(
        ["curl", "-sS", "--cacert", certificates.ca,
         f"https://localhost:{r.port}/a.txt"],
        capture_output=True, check=True).stdout
    assert said == b"a file\n" * 100000


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["localhost", "rsa", "below"])
def test_websockets(tls_relay, certificates, version, name):
    """Python's, with every kind of certificate."""
    r = tls_relay(ECHO, [name])

    async def run():
        async with websockets.connect(
                f"wss://localhost:{r.port}/echo", ssl=context(version),
                max_size=None) as ws:
            for m in ["", "text 🌊", b"\7" * 300000, "x" * 16385]:
                await ws.send(m)
                assert await ws.recv() == m
    asyncio.run(run())
    line = r.wait_log("open")
    assert line["tls"] == "TLSv" + version
    assert re.search("GCM|CHACHA20", line["suite"])
    assert r.wait_log("close")["reason"] == "client-close"


@pytest.mark.skipif(not shutil.which("chromedriver"), reason="no browser")
def test_browser(tls_relay, trusting_driver):
    """A page over https, its socket over wss, and nothing to complain of."""
    from browser import errors, wait_for    # most tests need no Selenium

    r = tls_relay(ECHO)
    (r.dir / "index.html").write_text("""<!doctype html><title>-</title>
<script>
const s = new WebSocket(location.href.replace(/^http/, "ws") + "echo");
s.onopen = () => s.send("over TLS");
s.onmessage = m => { document.title = m.data; s.close(1000); };
s.onclose = e => { document.title += " " + e.code; };
s.onerror = () => { document.title = "error"; };
</script>""")
    trusting_driver.get(f"https://localhost:{r.port}/")
    wait_for(trusting_driver, "return document.title === 'over TLS 1000'")
    assert errors(trusting_driver) == []
    assert r.wait_log("open")["tls"] == f"TLSv{VERSIONS[-1]}"


def test_address_in_the_certificate(tls_relay):
    r = tls_relay(ECHO)
    for host in "127.0.0.1", "::1", "localhost":
        connect(r, hostname=host).close()
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(r, hostname="elsewhere.example")


# --- which certificate -------------------------------------------------------

NAMES = ["localhost", "second", "wild", "rsa"]


@pytest.mark.parametrize("asked, shown", [
    (None, "localhost"), ("localhost", "localhost"),
    ("second.example", "second.example"), ("SECOND.Example", "second.example"),
    ("x.wild.example", "wild"), ("wild.example", "localhost"),
    ("x.y.wild.example", "localhost"), ("unknown.example", "localhost"),
    ("second.example.org", "localhost")])
def test_name_chooses(tls_relay, asked, shown):
    r = tls_relay(ECHO, NAMES)
    c = context()
    c.check_hostname = False
    with connect(r, context=c, hostname=asked) as s:
        assert subject(s) == shown


def test_first_is_the_default(tls_relay):
    """Whatever else a client would like better."""
    r = tls_relay(ECHO, ["rsa", "second"])
    c = context()
    c.check_hostname = False
    with connect(r, context=c, hostname="unknown.example") as s:
        assert subject(s) == "rsa"


def test_two_for_one_name(tls_relay):
    """A client that knows no ECDSA gets the RSA one; others the faster."""
    r = tls_relay(ECHO, ["second", "rsa", "localhost"])
    for kind, shown in ("ECDSA", "localhost"), ("RSA", "rsa"):
        c = context("1.2")
        c.set_ciphers(f"ECDHE-{kind}-AES128-GCM-SHA256")
        with connect(r, context=c) as s:
            assert subject(s) == shown


def test_chain_is_sent(tls_relay):
    """The one in the middle comes with the leaf: clients have only the root."""
    r = tls_relay(ECHO, ["below"])
    _, said = s_client(r, "-showcerts")
    assert said.count("BEGIN CERTIFICATE") == 2
    assert "Verification: OK" in said


# --- versions, suites, curves ------------------------------------------------

def refused_handshake(r, c):
    """The client learns it; the log and the counter have it."""
    before = len(r.log("refuse"))
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        connect(r, context=c)
    line = r.wait_log("refuse", before + 1)
    assert line["reason"] == "tls-handshake" and line["detail"]


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_old_versions_are_refused(tls_relay, version):
    c = context(version)
    c.set_ciphers("ALL:@SECLEVEL=0")
    r = tls_relay(ECHO)
    refused_handshake(r, c)
    assert echoes(r)


@pytest.mark.parametrize("identity, suites", [
    ("localhost", "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA384"),
    ("localhost", "ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA"),
    ("localhost", "ECDHE-ECDSA-AES128-CCM:ECDHE-ECDSA-AES128-CCM8"),
    ("localhost", "ECDHE-ECDSA-CAMELLIA128-SHA256"),
    ("localhost", "ECDHE-ECDSA-NULL-SHA:AECDH-NULL-SHA:ADH-AES128-GCM-SHA256"),
    ("rsa", "AES128-GCM-SHA256:AES256-GCM-SHA384:AES128-SHA"),
    ("rsa", "DHE-RSA-AES128-GCM-SHA256:DHE-RSA-CHACHA20-POLY1305"),
    ("rsa", "ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES128-SHA256"),
    ("rsa", "PSK-AES128-GCM-SHA256"),
    ("localhost", "ECDHE-RSA-AES128-GCM-SHA256")])
def test_weak_suites_are_refused(tls_relay, identity, suites):
    c = context("1.2")
    c.set_ciphers(suites + ":@SECLEVEL=0")
    refused_handshake(tls_relay(ECHO, [identity]), c)


@pytest.mark.parametrize("identity, kind", [("localhost", "ECDSA"),
                                            ("rsa", "RSA")])
def test_good_suites(tls_relay, identity, kind):
    r = tls_relay(ECHO, [identity])
    for n, suite in enumerate(AEAD):
        c = context("1.2")
        c.set_ciphers(f"ECDHE-{kind}-{suite}")
        assert echoes(r, context=c)
        # As mbedTLS calls it.
        said = r.wait_log("open", n + 1)["suite"].replace("WITH-", "")
        for part in suite.split("-"):
            part = part.replace("AES", "AES-")
            assert part in said


@pytest.mark.parametrize("curve, good", [
    ("X25519", True), ("prime256v1", True), ("secp384r1", False),
    ("secp521r1", False)])
@pytest.mark.parametrize("version", VERSIONS)
def test_curves(tls_relay, version, curve, good):
    r = tls_relay(ECHO, ["rsa"])
    status, said = s_client(r, "-curves", curve, f"-tls1_{version[-1]}")
    assert (status == 0 and "Verification: OK" in said) == good, said
    if not good:
        assert r.wait_log("refuse")["reason"] == "tls-handshake"


def test_tls_min(tls_relay, relay, certificates):
    if not NEW_LIBRARY:
        with pytest.raises(AssertionError, match="tls_min"):
            tls_relay(ECHO, listen="tls_min = 1.3")
        return
    r = tls_relay(ECHO, listen="tls_min = 1.3")
    assert echoes(r, context=context("1.3"))
    refused_handshake(r, context("1.2"))


def test_alpn(tls_relay):
    r = tls_relay(ECHO)
    for offer, chosen in [(["h2", "http/1.1"], "http/1.1"),
                          (["http/1.1"], "http/1.1"), ([], None)]:
        c = context()
        c.set_alpn_protocols(offer)
        with connect(r, context=c) as s:
            assert s.tls.selected_alpn_protocol() == chosen
    # Who speaks nothing of ours is told so (RFC 7301 section 3.2).
    c = context()
    c.set_alpn_protocols(["h2"])
    refused_handshake(r, c)


def test_renegotiation_is_refused(tls_relay):
    """By the client's wish; ours is never to."""
    r = tls_relay(ECHO)
    status, said = s_client(r, "-tls1_2", "-no_ign_eof", stdin=b"R\n")
    assert "RENEGOTIATING" in said and "no renegotiation" in said, said
    assert status != 0
    assert "Secure Renegotiation IS supported" in said  # RFC 5746
    assert echoes(r)


@pytest.mark.skipif(not shutil.which("sslscan"), reason="no sslscan here")
def test_no_finding_of_sslscan(tls_relay, certificates):
    """What a scanner lists as spoken."""
    r = tls_relay(ECHO, ["rsa", "second"])
    said = subprocess.run(
        ["sslscan", "--no-colour", "--no-check-certificate", "--ipv4",
         f"127.0.0.1:{r.port}"], capture_output=True, text=True,
        timeout=2 * PATIENCE).stdout
    for old in "SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1":
        assert re.search(rf"^{old} +disabled", said, re.M), said
    for new in VERSIONS:
        assert re.search(rf"^TLSv{new} +enabled", said, re.M), said
    assert "Session renegotiation not supported" in said
    spoken = re.findall(r"^(?:Preferred|Accepted) +TLSv1.2 +\d+ bits +(\S+)",
                        said, re.M)
    assert len(spoken) == 3, said
    assert all(re.search("ECDHE-RSA-.*(GCM|CHACHA20)", x) for x in spoken)
    assert "vulnerable" not in said.replace("not vulnerable", "")


@pytest.mark.skipif(not shutil.which("testssl"), reason="no testssl.sh here")
@pytest.mark.long("a shell script")
@pytest.mark.parametrize("checks", [
    ["-p", "-s", "-f", "-P", "-h"], ["-U"]], ids=["what", "vulnerabilities"])
def test_no_finding_of_testssl(tls_relay, tmp_path, checks):
    """None from medium upwards, of protocols, suites, their order, headers
    and known vulnerabilities."""
    r = tls_relay(ECHO, ["localhost", "rsa"])
    report = tmp_path / "report.json"
    subprocess.run(
        ["testssl", "--quiet", "--warnings", "off", "--nodns", "min",
         "--jsonfile", report, *checks, f"localhost:{r.port}"],
        capture_output=True, timeout=10 * PATIENCE)
    found = json.loads(report.read_text())
    assert len(found) > 15
    assert not [x for x in found if x["severity"] in
                ("MEDIUM", "HIGH", "CRITICAL", "FATAL")]


# --- tickets -----------------------------------------------------------------

def session_of(r, c, **options):
    """A session with its ticket; in TLS 1.3 that comes behind the
    handshake."""
    with Wire(r.socket(tls=True, context=c, resume=False, **options)) as w:
        w.write(head("/healthz"))
        w.until(b"ok\n")
        return w.sock.tls.session


def resumed(r, c, session, path="/echo", **options):
    """Whether a connection resumed it; it works in any case."""
    s = r.socket(tls=True, context=c, resume=False, session=session,
                 **options)
    s.sendall(upgrade(path) + frame(TEXT, "x"))
    data = b""
    while not data.endswith(b"\x81\x01x"):
        data += s.recv(4096)
    reused = s.tls.session_reused
    s.close()
    return reused


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("workers", [1, 2])
def test_tickets_resume_on_any_worker(tls_relay, workers, version):
    r = tls_relay(ECHO, server=f"workers = {workers}")
    c = context(version)
    session = session_of(r, c)
    # Whoever is connected makes the next one go to the other worker.
    kept = []
    for _ in range(6):
        s = r.socket(tls=True, context=c, session=session, resume=False)
        s.sendall(upgrade("/echo") + frame(TEXT, "x"))
        assert s.recv(4096)
        assert s.tls.session_reused
        kept.append(s)
    for s in kept:
        s.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_tickets_are_of_one_listener(tls_relay, version):
    """A ticket stands for what its listener has checked."""
    r = tls_relay(ECHO, listen="""
[listen other]
address = 127.0.0.1:0
certificates = localhost
""")
    c = context(version)
    session = session_of(r, c)
    assert resumed(r, c, session)
    with connect(r, "other", context=c, session=session) as s:
        s.sendall(head("/healthz"))
        assert s.recv(1000).startswith(b"HTTP/1.1 200")
        assert not s.tls.session_reused


@pytest.mark.parametrize("version", VERSIONS)
def test_tickets_end_with_the_daemon(tls_relay, version):
    c = context(version)
    session = session_of(tls_relay(ECHO), c)
    assert not resumed(tls_relay(ECHO), c, session)


@pytest.mark.parametrize("version", VERSIONS)
def test_spoilt_tickets(tls_relay, version):
    """Only cost a full handshake. s_client can write its session down."""
    r = tls_relay(ECHO)
    file = r.dir / "session"
    s_client(r, f"-tls1_{version[-1]}", "-sess_out", str(file), "-ign_eof",
             stdin=head("/healthz", Connection="close"))
    _, said = s_client(r, f"-tls1_{version[-1]}", "-sess_in", str(file))
    assert re.search("^Reused, TLS", said, re.M), said
    der = subprocess.run(["openssl", "sess_id", "-in", file, "-outform",
                          "DER"], capture_output=True, check=True).stdout
    text = subprocess.run(
        ["openssl", "sess_id", "-in", file, "-text", "-noout"],
        capture_output=True, text=True, check=True).stdout
    first = re.search(r"TLS session ticket:\n *0000 - (.{47})", text).group(1)
    at = der.index(bytes.fromhex(first.replace("-", " ")))
    for offset in 0, 4, 10, 40:
        spoilt = bytearray(der)
        spoilt[at + offset] ^= 1
        pem = subprocess.run(
            ["openssl", "sess_id", "-inform", "DER"], input=bytes(spoilt),
            capture_output=True, check=True).stdout
        file.write_bytes(pem)
        status, said = s_client(r, f"-tls1_{version[-1]}", "-sess_in",
                                str(file))
        assert status == 0 and re.search("^New, TLS", said, re.M), said


# --- client certificates -----------------------------------------------------

SUBJECTS = """
[route alice]
path = /alice
backend = echo:
auth = none
client_subjects = O=lab, CN=alice
[route lab]
path = /lab
backend = echo:
auth = none
client_subjects = O=lab, CN=bob
client_subjects = O=lab, CN=alice
"""


def mutual(tls_relay, certificates, ask_for, ini=ECHO, **options):
    return tls_relay(
        ini, listen=f"tls_client = {ask_for}\n"
        f"tls_client_ca = {certificates.ca}\n", **options)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("ask_for, shown, good", [
    ("none", None, True), ("none", "alice", True),
    ("optional", None, True), ("optional", "alice", True),
    ("optional", "stranger", False), ("optional", "late", False),
    ("optional", "localhost", False),
    ("required", None, False), ("required", "alice", True),
    ("required", "bob", True), ("required", "stranger", False),
    ("required", "late", False), ("required", "localhost", False)])
def test_mutual(tls_relay, certificates, version, ask_for, shown, good):
    r = mutual(tls_relay, certificates, ask_for) if ask_for != "none" \
        else tls_relay(ECHO)
    c = context(version, identity=shown)
    if good:
        assert echoes(r, context=c)
        line = r.wait_log("open")
        assert line.get("certificate") == (
            f"O=lab, CN={shown}" if shown and ask_for != "none" else None)
        return
    with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
        echoes(r, context=c)    # in 1.3 the client has ended before us
    line = r.wait_log("refuse")
    assert line["reason"] == "tls-certificate"
    expected = {None: "no certificate", "late": "expired",
                "stranger": "authority", "localhost": "use"}[shown]
    assert expected in line["detail"], line
    assert not r.log("open")


@pytest.mark.parametrize("ask_for", ["optional", "required"])
def test_subjects_choose_routes(tls_relay, certificates, ask_for):
    r = mutual(tls_relay, certificates, ask_for, SUBJECTS)
    for shown, path, good in [
            ("alice", "/alice", True), ("alice", "/lab", True),
            ("bob", "/lab", True), ("bob", "/alice", False),
            *([(None, "/lab", False)] if ask_for == "optional" else [])]:
        with Client(r, path, wait=False, tls=True, resume=False,
                    context=context(identity=shown)) as w:
            assert w.answer() == (101 if good else 403), (shown, path)
            if not good:
                assert w.body.startswith(b"client-subject")
                line = r.wait_log("refuse", id=w.fields["x-wsrelay-id"])
                assert line["reason"] == "client-subject"
                assert line.get("certificate") == (
                    f"O=lab, CN={shown}" if shown else None)


@pytest.mark.parametrize("version", VERSIONS)
def test_subject_reaches_backends(tls_relay, certificates, version,
                                  tmp_path):
    """Of one who comes again, too; and nobody can forge it."""
    command = program(tmp_path, "print(os.environ['WSRELAY_CLIENT_CERT'], "
                      "flush=True)\nsys.stdin.read()")
    with Server(tls=False) as s:
        r = mutual(tls_relay, certificates, "optional", f"""
[route ws]
path = /ws
backend = ws://127.0.0.1:{s.port}/
auth = none
[route exec]
path = /exec
backend = exec:{command}
auth = none
""")
        c = context(version, identity="alice")
        session = None
        for _ in range(3):
            with Client(r, "/ws", ["X-Wsrelay-Client-Cert: CN=root"],
                        wait=False, tls=True, context=c, session=session,
                        resume=False) as w, s.accept_ws() as b:
                assert b.fields["x-wsrelay-client-cert"] == "O=lab, CN=alice"
                b.accept()
                w.upgraded()
                # A ticket would stand for the certificate: there is none.
                assert not w.sock.tls.session_reused
                session = w.sock.tls.session
        with Client(r, "/exec", tls=True, context=c) as w:
            assert w.recv().text == "O=lab, CN=alice"
        with Client(r, "/ws", ["X-Wsrelay-Client-Cert: CN=root"],
                    wait=False, tls=True, resume=False) as w, \
                s.accept_ws() as b:
            assert "x-wsrelay-client-cert" not in b.fields


# --- what it starts with -----------------------------------------------------

def judged(tmp_path, section):
    """What wsrelayd -t says of such a [certificate]."""
    ini = tmp_path / "x.ini"
    ini.write_text("[listen a]\naddress = 127.0.0.1:0\n"
                   "certificates = test\n" + section)
    done = subprocess.run([WSRELAYD, "-c", ini, "-t"], capture_output=True,
                          text=True, env=SANITIZERS)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("fault, key, words", [
    ("encrypted", "key_file", "encrypted"),
    ("mismatched", "key_file", "does not belong to"),
    ("missing", "chain_file", "No such file"),
    ("garbage", "chain_file", "certificate"),
    ("swapped", "chain_file", "certificate"),
    ("short", "", "2048")])
def test_faulty_files(certificates, tmp_path, fault, key, words):
    name, of_key = "localhost", None
    if fault == "encrypted":
        of_key = certificates.encrypted_key("localhost")
    elif fault == "mismatched":
        of_key = certificates["second"].key
    elif fault == "short":
        name = "short-rsa"
    section = certificates.ini("test", name, of_key)
    if fault == "missing":
        section = section.replace("localhost.pem", "none.pem")
    elif fault == "garbage":
        (tmp_path / "garbage").write_bytes(bytes(range(256)) * 8)
        section = section.replace(str(certificates["localhost"].chain),
                                  str(tmp_path / "garbage"))
    elif fault == "swapped":
        section = section.replace("localhost.pem", "localhost.key")
    status, said = judged(tmp_path, section)
    assert status == os.EX_CONFIG
    assert re.search(rf"x\.ini:\d: \[certificate test\] {key}", said), said
    assert words in said, said


@pytest.mark.parametrize("name, event, level", [
    ("localhost", None, None), ("soon", "certificate-expires", "warn"),
    ("expired", "certificate-expired", "error"),
    ("not-yet", "certificate-not-yet-valid", "error")])
def test_dates(tls_relay, certificates, tmp_path, name, event, level):
    """None keeps it from starting and serving."""
    r = tls_relay(ECHO, [name])
    events = [e for e in ("certificate-expires", "certificate-expired",
                          "certificate-not-yet-valid") if r.log(e)]
    assert events == ([event] if event else [])
    c = context()
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    assert echoes(r, context=c)
    if event:
        line = r.wait_log(event)
        assert line["level"] == level and line["certificate"] == name
        assert line["file"] == str(certificates[name].chain)
        if name == "soon":
            assert 5 <= int(line["days"]) <= 7
        status, said = judged(tmp_path, certificates.ini("test", name))
        assert status == 0 and "warning" in said and "chain_file" in said


def test_every_end_is_an_orderly_one(tls_relay):
    """The client need not think that somebody has cut the line."""
    r = tls_relay(ECHO, listen="keepalive_timeout = 200ms\n")
    with Wire(r.socket(tls=True)) as w:     # raises Truncated
        w.write(head("/healthz"))
        assert w.rest().endswith(b"ok\n")
    with Wire(r.socket(tls=True)) as w:
        w.write(b"nonsense\r\n\r\n")
        assert w.rest().startswith(b"HTTP/1.1 400")
    with Client(r, "/echo", tls=True) as c:
        r.kill(signal.SIGTERM)
        c.closed(1001)


# --- records -----------------------------------------------------------------

class Records(socket.socket):
    """A socket that notes the records (RFC 8446 section 5.1) it gets."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.found, self.rest = [], b""

    def recv(self, *args):
        data = super().recv(*args)
        self.rest += data
        while len(self.rest) >= 5:
            n = 5 + int.from_bytes(self.rest[3:5], "big")
            if len(self.rest) < n:
                break
            self.found.append((self.rest[0], n - 5))
            self.rest = self.rest[n:]
        return data


def test_no_head_travels_alone(tls_relay):
    """One message, one record; what one record brought leaves as one."""
    r = tls_relay(ECHO)
    s = Records()
    s.connect(("127.0.0.1", r.port))
    s.settimeout(PATIENCE)
    with Wire(TlsSocket(s, context("1.2"), "localhost",
                        resume=False)) as w:
        w.write(upgrade("/echo"))
        w.until(b"\r\n\r\n")
        for size in 1, 125, 126, 1000, 16000:
            s.found.clear()
            w.write(frame(BINARY, bytes(size)))
            n = size + (2 if size < 126 else 4)
            assert len(w.exactly(n)) == n
            assert [x[0] for x in s.found] == [23]
            assert n < s.found[0][1] <= n + 24      # nonce and tag
        s.found.clear()
        w.write(frame(BINARY, bytes(100)) * 50)
        w.exactly(50 * 102)
        assert len(s.found) == 1


# --- slow readers ------------------------------------------------------------

@pytest.mark.parametrize("mode", ["pair", "hub"])
def test_slow_reader_gets_all(tls_relay, mode):
    """What a sealed record had no room for in the socket goes on when there
    is some, although the client says nothing."""
    with Server(tls=False) as s:
        r = tls_relay(f"""
[route r]
path = /r
backend = {s.uri}
framing = line
auth = none
mode = {mode}
queue_limit = 16M
""")
        with Client(r, "/r", tls=True, rcvbuf=4096) as c, s.accept() as b:
            line = b"x" * 60000
            for _ in range(100):
                b.write(line + b"\n")
            for _ in range(100):
                assert c.message()[1] == line


# --- reload ------------------------------------------------------------------

@pytest.fixture
def replaceable(certificates, tmp_path):
    """use(name, key=None): what stands in the files of [certificate test]."""
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"

    def use(name, other_key=None):
        chain.write_bytes(certificates[name].chain.read_bytes())
        key.write_bytes(certificates[other_key or name].key.read_bytes())
    use.ini = f"[certificate test]\nchain_file = {chain}\nkey_file = {key}\n"
    use.chain, use.key = chain, key
    use("localhost")
    return use


def reload(r, event="reload"):
    count = len(r.log(event)) + 1
    r.kill(signal.SIGHUP)
    return r.wait_log(event, count)


@pytest.mark.parametrize("workers", [1, 2])
def test_new_certificates_while_connections_live(relay, replaceable, workers):
    r = relay(ECHO + replaceable.ini, listen="certificates = test",
              server=f"workers = {workers}", secure=False)
    old = [Client(r, "/echo", tls=True, resume=False) for _ in range(4)]
    assert {subject(c.sock) for c in old} == {"localhost"}
    replaceable("rsa")
    reload(r)
    new = [Client(r, "/echo", tls=True, resume=False) for _ in range(4)]
    assert {subject(c.sock) for c in new} == {"rsa"}
    for c in old + new:
        c.send(TEXT, "still here")
        assert c.recv().text == "still here"
    for event in "close", "refuse":
        assert not r.log(event)


def test_sessions_over_a_new_kind_of_key(relay, replaceable):
    """The suite of a session of before does not fit the new key: no reason
    to fail."""
    r = relay(ECHO + replaceable.ini, listen="certificates = test",
              secure=False)
    c = context("1.2")
    session = session_of(r, c)
    assert resumed(r, c, session)
    replaceable("rsa")
    reload(r)
    resumed(r, c, session)
    assert subject(connect(r)) == "rsa"


@pytest.mark.parametrize("spoil", ["cut", "missing", "mismatch"])
def test_broken_new_certificate_keeps_the_old(relay, replaceable, spoil):
    r = relay(ECHO + replaceable.ini, listen="certificates = test",
              secure=False)
    if spoil == "cut":
        text = replaceable.chain.read_text()
        replaceable.chain.write_text(text[:len(text) // 2])
    elif spoil == "missing":
        replaceable.key.unlink()
    else:
        replaceable("rsa", "again")
    line = reload(r, "reload-failed")
    assert line["level"] == "error"
    assert str(replaceable.chain.parent) in \
        r.wait_log("reload-complaint")["detail"]
    with connect(r) as s:
        assert subject(s) == "localhost"
    replaceable("again")
    reload(r)
    with connect(r) as s:
        assert subject(s) == "localhost again"


def test_reload_tells_of_expiry(relay, replaceable):
    r = relay(ECHO + replaceable.ini, listen="certificates = test",
              secure=False)
    replaceable("soon")
    reload(r)
    assert r.wait_log("certificate-expires")["certificate"] == "test"


@pytest.mark.parametrize("version", VERSIONS)
def test_no_ticket_outlives_a_change_of_authorities(
        relay, certificates, replaceable, tmp_path, version):
    """Who got in by an authority that is trusted no more does not come back
    on its ticket."""
    ca = tmp_path / "ca.pem"
    ca.write_bytes(certificates.ca.read_bytes())
    r = relay(ECHO + replaceable.ini, secure=False,
              listen="certificates = test\ntls_client = required\n"
              f"tls_client_ca = {ca}")
    c = context(version, identity="alice")
    session = session_of(r, c)
    assert not resumed(r, c, session)
    ca.write_bytes(certificates["other-ca"].chain.read_bytes())
    reload(r)
    with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
        resumed(r, c, session)
    assert r.wait_log("refuse")["reason"] == "tls-certificate"
    assert echoes(r, context=context(version, identity="stranger"))


# --- revoked certificates ----------------------------------------------------

@pytest.fixture
def revoking(relay, certificates, replaceable, tmp_path):
    """revoking(lists, ...) starts a daemon; revoking.file holds the lists."""
    file = tmp_path / "crl.pem"

    def start(lists, ask_for="required", ca=None, **options):
        file.write_text(lists)
        return relay(ECHO + replaceable.ini, secure=False, listen=f"""
certificates = test
tls_client = {ask_for}
tls_client_ca = {ca or certificates.ca}
tls_client_crl = {file}
""", **options)
    start.file = file
    return start


def refused_as(r, version, identity, detail):
    """In 1.3 a client learns of it only when it reads."""
    count = len(r.log("refuse")) + 1
    with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
        assert echoes(r, context=context(version, identity=identity))
    line = r.wait_log("refuse", count)
    assert (line["reason"], line["detail"]) == ("tls-certificate", detail)


REVOKED = "its certificate is revoked"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("ask_for", ["optional", "required"])
def test_revoked(revoking, certificates, version, ask_for):
    r = revoking(certificates.crl("alice", "late"), ask_for)
    refused_as(r, version, "alice", REVOKED)
    assert echoes(r, context=context(version, identity="bob"))
    if ask_for == "optional":
        assert echoes(r, context=context(version))


@pytest.mark.parametrize("workers", [1, 2])
def test_lists_are_read_again(revoking, certificates, workers):
    r = revoking(certificates.crl("bob"), server=f"workers = {workers}")
    with Client(r, "/echo", tls=True,
                context=context(identity="alice")) as alice:
        revoking.file.write_text(certificates.crl("alice"))
        reload(r)
        refused_as(r, None, "alice", REVOKED)
        assert echoes(r, context=context(identity="bob"))
        alice.send(TEXT, "still here")  # who is in stays in
        assert alice.recv().text == "still here"
        revoking.file.write_text("nothing")
        reload(r, "reload-failed")      # a broken file changes nothing
        refused_as(r, None, "alice", REVOKED)


def test_several_lists(revoking, certificates, tmp_path):
    """Of two authorities, with words between them; one without a list revokes
    nothing."""
    both = tmp_path / "both.pem"
    both.write_text(certificates.ca.read_text() +
                    certificates["other-ca"].chain.read_text())
    r = revoking("of two\n" + certificates.crl("bob") + "\n\nand\n" +
                 certificates.crl("stranger", by="other-ca") + "\n", ca=both)
    refused_as(r, None, "bob", REVOKED)
    refused_as(r, None, "stranger", REVOKED)
    assert echoes(r, context=context(identity="alice"))
    r = revoking(certificates.crl("bob"), ca=both)
    refused_as(r, None, "bob", REVOKED)
    assert echoes(r, context=context(identity="stranger"))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("since, until, event, detail", [
    (-9, -1, "crl-expired",
     "the revocation list of its authority has expired"),
    (1, 9, "crl-not-yet-valid",
     "the revocation list of its authority is not valid yet")],
    ids=["expired", "not-yet"])
def test_list_out_of_its_time(revoking, certificates, version, since, until,
                              event, detail):
    """Nobody of its authority gets in, and all is said: by -t, each day, and
    of each client."""
    r = revoking(certificates.crl("bob", since=since, until=until))
    assert "lets no client of its authority in" in "\n".join(r.lines)
    line = r.wait_log(event)
    assert (line["level"], line["listen"]) == ("error", "main")
    refused_as(r, version, "alice", detail)
    revoking.file.write_text(certificates.crl("bob", until=1))
    reload(r)
    assert echoes(r, context=context(version, identity="alice"))
    assert int(r.wait_log("crl-expires")["hours"]) == 23


def test_list_that_another_has_signed(revoking, certificates):
    """It has the authority's name, and not its signature."""
    begin, *lines, end, _ = certificates.crl("bob").split("\n")
    forged = base64.b64decode("".join(lines))
    forged = forged[:-1] + bytes([forged[-1] ^ 1])
    r = revoking("\n".join([
        begin, base64.encodebytes(forged).decode().strip(), end, ""]))
    refused_as(r, None, "alice",
               "the revocation list of its authority is not signed by it")


def test_list_of_an_authority_that_may_not_sign_one(tmp_path, certificates):
    """It would keep everybody out: an error of -t."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "no lists")])
    now = datetime.datetime.now(datetime.timezone.utc)
    later = now + datetime.timedelta(1)
    usage = {"key_cert_sign": True, **dict.fromkeys((
        "crl_sign", "digital_signature", "content_commitment",
        "key_encipherment", "data_encipherment", "key_agreement",
        "encipher_only", "decipher_only"), False)}
    ca = x509.CertificateBuilder().subject_name(name).issuer_name(name) \
        .public_key(key.public_key()).serial_number(1) \
        .not_valid_before(now).not_valid_after(later) \
        .add_extension(x509.BasicConstraints(True, None), True) \
        .add_extension(x509.KeyUsage(**usage), True) \
        .sign(key, hashes.SHA256())
    crl = x509.CertificateRevocationListBuilder().issuer_name(name) \
        .last_update(now).next_update(later).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    (tmp_path / "ca").write_bytes(ca.public_bytes(pem))
    (tmp_path / "crl").write_bytes(crl.public_bytes(pem))
    (tmp_path / "w.ini").write_text(f"""[listen a]
certificates = test
tls_client = required
tls_client_ca = ca
tls_client_crl = crl
{certificates.ini()}""")
    p = subprocess.run([*RUNNER, WSRELAYD, "-t", "-c", tmp_path / "w.ini"],
                       capture_output=True, text=True)
    assert p.returncode != 0
    assert p.stderr == (
        f"{tmp_path}/w.ini:5: [listen a] tls_client_crl: {tmp_path}/crl holds "
        "a revocation list of an authority that may not sign one, expected "
        "keyUsage = cRLSign in its certificate\n")


# --- several listeners -------------------------------------------------------

def test_one_daemon_many_faces(relay, certificates):
    """Plain, TLS, and TLS over a Unix socket, each as it says."""
    r = relay(ECHO + certificates.ini("a") + certificates.ini("b", "rsa"),
              secure=False, listen="""
[listen secure]
address = 127.0.0.1:0
certificates = b
[listen local]
address = unix:{dir}/local
hosts = *
certificates = a
""")
    assert ask(r, upgrade("/echo"), tls=False).status == 101
    with Peer(r, "secure", tls=True) as p:
        assert subject(p.socket) == "rsa"
        p.send(upgrade("/echo"))
        assert p.answer().status == 101
    with Peer(r, "local", tls=True) as p:
        assert subject(p.socket) == "localhost"
        p.send(upgrade("/echo"))
        assert p.answer().status == 101
