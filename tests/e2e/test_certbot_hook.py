"""The deploy hook: what certbot has renewed gets to the daemon, or nothing
changes."""
import os
import pathlib
import signal
import ssl
import stat
import subprocess

import pytest

from relay import KEY, ROOT, WSRELAYD

pytestmark = pytest.mark.plain("it has certificates of its own")

NAME = "relay.example.org"


def renew(live, serial, key=None, usage=None):
    """What certbot leaves: a certificate that can be told by its serial."""
    live.mkdir(parents=True, exist_ok=True)
    usages = ["-addext", f"extendedKeyUsage={usage}"] if usage else []
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-days", "60", "-subj",
         "/CN=localhost", "-set_serial", str(serial), "-keyout",
         live / "privkey.pem", "-out", live / "fullchain.pem", *usages],
        check=True, capture_output=True)
    if key:
        (live / "privkey.pem").write_text(key)


def shown(port):
    """The serial of the certificate that the daemon shows."""
    pem = ssl.get_server_certificate(("127.0.0.1", port))
    out = subprocess.run(["openssl", "x509", "-noout", "-serial"], input=pem,
                         text=True, check=True, capture_output=True).stdout
    return int(out.strip().split("=")[1], 16)


class Hook:
    def __init__(self, tmp_path):
        self.live = tmp_path / "live" / NAME
        self.tls = tmp_path / "tls"
        self.ini = tmp_path / "wsrelayd.ini"
        self.here = self.tls / NAME
        self.tls.mkdir()
        self.here.mkdir()
        self.reload = "true"

    def run(self, lineage=None):
        group = os.popen("id -gn").read().strip()
        return subprocess.run(
            [ROOT / "scripts/certbot-hook"], capture_output=True, text=True,
            env=dict(os.environ, WSRELAYD_TLS=str(self.tls),
                     RENEWED_LINEAGE=str(lineage or self.live),
                     WSRELAYD_GROUP=group, WSRELAYD_RELOAD=self.reload,
                     WSRELAYD_CHECK=f"{WSRELAYD} -t -c {self.ini}"))

    def start(self, relay, more=""):
        renew(self.live, 1)
        self.ini.write_text("")     # nothing to be checked against yet
        for file in ("fullchain.pem", "privkey.pem"):
            (self.here / file).write_bytes((self.live / file).read_bytes())
            os.chmod(self.here / file, 0o600)
        r = relay(f"""
[listen tls]
address = 127.0.0.1:0
certificates = c
[certificate c]
chain_file = {self.here}/fullchain.pem
key_file = {self.here}/privkey.pem
[route r]
path = /r
backend = echo:
auth = none
""" + more)
        self.ini = r.ini
        self.reload = f"kill -HUP {r.pid}"
        self.port = int(r.wait_log("listen", listen="tls")["address"]
                        .rsplit(":", 1)[1])
        return r


@pytest.fixture
def hook(tmp_path):
    return Hook(tmp_path)


def test_renewed(relay, hook):
    r = hook.start(relay)
    assert shown(hook.port) == 1
    for serial in (2, 3):
        renew(hook.live, serial)
        done = hook.run()
        assert done.returncode == 0, done.stderr
        r.wait_log("reload", serial - 1)
        assert shown(hook.port) == serial
    assert hook.here.is_symlink()
    key = hook.here / "privkey.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o640
    # One version is there, not those of before.
    assert len(list(hook.tls.iterdir())) == 2


def test_a_fault_changes_nothing(relay, hook):
    r = hook.start(relay)
    before = (hook.here / "fullchain.pem").read_bytes()
    renew(hook.live, 2, key="not a key\n")
    for _ in range(2):
        done = hook.run()
        assert done.returncode == 1
        assert "key_file" in done.stderr and "not used" in done.stderr
        assert (hook.here / "fullchain.pem").read_bytes() == before
        assert not r.log("reload") and shown(hook.port) == 1
    renew(hook.live, 3)
    assert hook.run().returncode == 0
    r.wait_log("reload")
    assert shown(hook.port) == 3
    r.kill(signal.SIGHUP)
    r.wait_log("reload", 2)


@pytest.mark.parametrize("spoil", ["settings", "secret"])
def test_a_fault_elsewhere_keeps_no_certificate_out(relay, hook, spoil):
    """certbot runs the hook once; the fault is told by its status."""
    r = hook.start(relay, more=KEY)
    if spoil == "settings":
        r.ini.write_text(r.ini.read_text() + "nonsense = 1\n")
    else:
        (r.dir / "secret").write_text("too short")
    renew(hook.live, 2)
    done = hook.run()
    assert done.returncode == os.EX_CONFIG
    assert "is in use" in done.stderr
    assert ("nonsense" if spoil == "settings" else "secret_file") in done.stderr
    r.wait_log("reload-failed")
    assert r.wait_log("reload-complaint")
    assert shown(hook.port) == 2
    # One that is no good is not taken then either.
    renew(hook.live, 3, key="not a key\n")
    done = hook.run()
    assert done.returncode == 1 and "not used" in done.stderr
    before = hook.here / "fullchain.pem"
    assert before.read_bytes() != (hook.live / "fullchain.pem").read_bytes()
    assert shown(hook.port) == 2
    assert len(list(hook.tls.iterdir())) == 2


def test_what_only_the_configuration_refuses(relay, hook):
    """Good by itself, and the configuration was good: it is put back."""
    hook.start(relay)
    renew(hook.live, 2, usage="clientAuth")
    done = hook.run()
    assert done.returncode == 1
    assert "not for servers" in done.stderr and "not used" in done.stderr
    assert shown(hook.port) == 1


def test_the_first_time(hook):
    """Into the empty directory that the operator made."""
    renew(hook.live, 1)
    hook.ini.write_text("[listen a]\naddress = 127.0.0.1:0\n[page p]\n"
                        f"path = /\nroot = {hook.tls}\n")
    assert hook.run().returncode == 0
    assert (hook.here / "fullchain.pem").exists()


def test_not_ours(hook, tmp_path):
    other = tmp_path / "live" / "elsewhere.example"
    renew(other, 1)
    assert hook.run(other).returncode == 0
    assert [p.name for p in hook.tls.iterdir()] == [NAME]
    assert list(hook.here.iterdir()) == []


def test_without_certbot(hook):
    done = subprocess.run([pathlib.Path(ROOT, "scripts/certbot-hook")],
                          capture_output=True, text=True)
    assert done.returncode != 0 and "RENEWED_LINEAGE" in done.stderr
