"""Certificates for the tests, made with openssl when one is asked for.

    c = certificates()
    c.ca                        # the authority of all that are good: a file
    c["localhost"].chain        # PEM files of an identity, see TABLE
    c["localhost"].key
    c.ini("lab", "rsa")         # [certificate lab] with those of rsa

Nothing of them outlives the process.
"""
import atexit
import datetime
import functools
import pathlib
import shutil
import subprocess
import tempfile
from typing import NamedTuple

# Where the tests' ends are: here, under names of a test's own, far away in
# test_vanishing.
HERE = "DNS:localhost,DNS:sim.example,IP:127.0.0.1,IP:0:0:0:0:0:0:0:1," \
    "IP:127.0.0.2,IP:10.77.1.1"
PASSWORD = "secret"


class Kind(NamedTuple):
    subject: str
    names: str = ""             # subjectAltName
    key: str = "ec"             # or rsa:BITS
    since: int = -2             # days from now
    until: int = 90
    by: str = "ca"              # who signs it; "" is itself
    usage: str = "serverAuth"   # "" is an authority


TABLE = {
    "ca": Kind("/O=tests/CN=authority", usage="", by=""),
    "other-ca": Kind("/O=tests/CN=another authority", usage="", by=""),
    "middle": Kind("/O=tests/CN=middle", usage=""),
    "localhost": Kind("/CN=localhost", HERE),
    "again": Kind("/CN=localhost again", HERE),
    "second": Kind("/CN=second.example", "DNS:second.example"),
    "example": Kind("/CN=relay.example.org",
                    "DNS:relay.example.org,DNS:app.example.org"),
    "wild": Kind("/CN=wild", "DNS:*.wild.example"),
    "rsa": Kind("/CN=rsa", HERE, key="rsa:2048"),
    "short-rsa": Kind("/CN=short", HERE, key="rsa:1024"),
    "below": Kind("/CN=below", HERE, by="middle"),
    "expired": Kind("/CN=expired", HERE, since=-20, until=-10),
    "not-yet": Kind("/CN=not yet", HERE, since=10, until=20),
    "soon": Kind("/CN=soon", HERE, until=7),
    "wrong-host": Kind("/CN=localhost", "DNS:elsewhere.example"),
    "self-signed": Kind("/CN=localhost", HERE, by=""),
    "wrong-ca": Kind("/CN=localhost", HERE, by="other-ca"),
    "client-only": Kind("/CN=client only", HERE, usage="clientAuth"),
    "alice": Kind("/O=lab/CN=alice", usage="clientAuth"),
    "bob": Kind("/O=lab/CN=bob", usage="clientAuth"),
    "late": Kind("/O=lab/CN=late", since=-20, until=-10, usage="clientAuth"),
    "stranger": Kind("/O=lab/CN=alice", by="other-ca", usage="clientAuth"),
}

CONFIG = """
[ca]
default_ca = test
[test]
database = {name}.index
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
organizationName = optional
commonName = optional
[req]
distinguished_name = req
[extensions]
basicConstraints = critical, CA:{authority}
{usage}
{names}
"""


class Identity(NamedTuple):
    chain: pathlib.Path
    key: pathlib.Path


def _date(days):
    when = datetime.datetime.now(datetime.timezone.utc)
    return (when + datetime.timedelta(days)).strftime("%Y%m%d%H%M%SZ")


class Certificates:
    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        self.made = {}

    def openssl(self, *args):
        done = subprocess.run(["openssl", *map(str, args)], cwd=self.dir,
                              stdin=subprocess.DEVNULL, capture_output=True)
        assert done.returncode == 0, (args, done.stderr.decode())
        return done.stdout

    def __getitem__(self, name):
        if name not in self.made:
            self.made[name] = self._make(name, TABLE[name])
        return self.made[name]

    @property
    def ca(self):
        return self["ca"].chain

    def _make(self, name, kind):
        files = Identity(self.dir / f"{name}.pem", self.dir / f"{name}.key")
        if kind.key == "ec":
            self.openssl("genpkey", "-algorithm", "EC", "-pkeyopt",
                         "ec_paramgen_curve:P-256", "-out", files.key)
        else:
            self.openssl("genpkey", "-algorithm", "RSA", "-pkeyopt",
                         "rsa_keygen_bits:" + kind.key[4:], "-out", files.key)
        (self.dir / f"{name}.cnf").write_text(CONFIG.format(
            name=name, authority="FALSE" if kind.usage else "TRUE",
            names="subjectAltName = " + kind.names if kind.names else "",
            usage="extendedKeyUsage = " + kind.usage if kind.usage else
            "keyUsage = critical, keyCertSign, cRLSign"))
        (self.dir / f"{name}.index").touch()
        self.openssl("req", "-new", "-config", f"{name}.cnf", "-key",
                     files.key, "-subj", kind.subject, "-out", f"{name}.csr")
        by = self[kind.by] if kind.by else None
        who = ["-cert", by.chain, "-keyfile", by.key] if by else \
            ["-selfsign", "-keyfile", files.key]
        self.openssl("ca", "-batch", "-notext", "-config", f"{name}.cnf",
                     *who, "-extensions", "extensions", "-startdate",
                     _date(kind.since), "-enddate", _date(kind.until),
                     "-in", f"{name}.csr", "-out", files.chain)
        if by and kind.by not in ("ca", "other-ca"):
            files.chain.write_text(files.chain.read_text() +
                                   by.chain.read_text())
        return files

    def crl(self, *revoked, by="ca", since=-1, until=7):
        """A revocation list of these identities, in PEM; days from now."""
        signer = self[by]
        index = self.dir / "crl.index"
        index.write_text("")
        (self.dir / "crl.cnf").write_text(CONFIG.format(
            name="crl", authority="TRUE", names="", usage=""))
        common = ["ca", "-batch", "-config", "crl.cnf", "-cert", signer.chain,
                  "-keyfile", signer.key]
        for name in revoked:
            self.openssl(*common, "-revoke", self[name].chain)
        out = self.dir / "crl.pem"
        self.openssl(*common, "-gencrl", "-crl_lastupdate", _date(since),
                     "-crl_nextupdate", _date(until), "-out", out)
        return out.read_text()

    def encrypted_key(self, name):
        """The identity's key behind a password."""
        out = self.dir / f"{name}.encrypted"
        self.openssl("pkey", "-in", self[name].key, "-aes-128-cbc", "-passout",
                     "pass:" + PASSWORD, "-out", out)
        return out

    def ini(self, section="test", name="localhost", key=None):
        """A [certificate] section; key is another one's."""
        return (f"[certificate {section}]\nchain_file = {self[name].chain}\n"
                f"key_file = {key or self[name].key}\n")


@functools.lru_cache(maxsize=None)
def certificates():
    """Those of this process."""
    directory = tempfile.mkdtemp(prefix="certificates-")
    atexit.register(shutil.rmtree, directory, True)
    return Certificates(directory)
