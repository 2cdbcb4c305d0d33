"""RS256 and ES256: tokens of those who sign with a private key, with public
keys as PEM and as JWK Sets. What every token must do is in test_tokens.py."""
import base64
import concurrent.futures
import hmac
import json
import signal
import subprocess
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import \
    encode_dss_signature

from peers import Node
from rawhttp import Peer, ask, frame, head, upgrade
from relay import ROOT, RUNNER, SECRET, WSRELAYCTL, Relay, b64, mint, wait_for
from secure import HTTP
from signers import Signer, jwks

ROUTE = """
[route sim]
path = /sim/{id}
backend = echo:
"""
KEYS = ROUTE + """
[key lab]
secret_file = {dir}/secret
[key rsa]
algorithm = RS256
public_key_file = {dir}/rsa.pem
[key ec]
algorithm = ES256
public_key_file = {dir}/ec.pem
[key idp]
algorithm = RS256
jwks_file = {dir}/keys.json
issuer = https://idp.example
[key idp-ec]
algorithm = ES256
jwks_file = {dir}/keys.json
"""


class Signers:
    """Everybody who signs in these tests."""

    def __init__(self):
        self.rsa, self.ec = Signer("RS256"), Signer("ES256")
        self.idp = [Signer("RS256", bits) for bits in (2048, 4096)]
        self.idp_ec = [Signer("ES256"), Signer("ES256")]
        self.enc = Signer("RS256")
        self.stranger = Signer("RS256"), Signer("ES256")

    def write(self, where):
        (where / "rsa.pem").write_text(self.rsa.pem)
        (where / "ec.pem").write_text(self.ec.pem)
        p384 = Signer("ES384", curve=ec.SECP384R1())
        (where / "keys.json").write_text(jwks(
            self.enc.jwk("enc", use="enc", alg="RSA-OAEP"),
            self.enc.jwk("rs512", alg="RS512"),
            {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": "AA"},
            p384.jwk("p384", alg=None),
            self.idp[0].jwk("r0"), self.idp_ec[0].jwk("e0"),
            # Neither alg nor use: they fit by kty and crv.
            self.idp[1].jwk("r1", alg=None, use=None),
            self.idp_ec[1].jwk("e1", alg=None, use=None)))


@pytest.fixture(scope="module")
def who():
    return Signers()


@pytest.fixture(scope="module")
def shared(tmp_path_factory, who):
    where = tmp_path_factory.mktemp("relay")
    who.write(where)
    r = Relay(KEYS, where)
    yield r
    r.stop()


def open_with(r, token, path="/sim/1", **fields):
    return ask(r, upgrade(f"{path}?token={token}", **fields))


IDP = {"iss": "https://idp.example"}
GOOD = {
    "RS256": lambda w: w.rsa.token(kid="rsa"),
    "RS256, no kid": lambda w: w.rsa.token(),
    "ES256": lambda w: w.ec.token(kid="ec"),
    "ES256, no kid": lambda w: w.ec.token(),
    "JWKS, RSA": lambda w: w.idp[0].token(kid="r0", **IDP),
    "JWKS, RSA of 4096 bits": lambda w: w.idp[1].token(kid="r1", **IDP),
    "JWKS, RSA, no kid": lambda w: w.idp[1].token(**IDP),
    "JWKS, P-256": lambda w: w.idp_ec[0].token(kid="e0"),
    "JWKS, P-256, no alg": lambda w: w.idp_ec[1].token(kid="e1"),
    "JWKS, P-256, no kid": lambda w: w.idp_ec[1].token(),
    "a secret beside them": lambda w: mint("/sim/1"),
}


@pytest.mark.parametrize("name", GOOD)
def test_opens(shared, who, name):
    assert open_with(shared, GOOD[name](who)).echo == b"probe"


def hs256(key, header):
    """The attack: a public key's text as an HMAC secret."""
    head = {"alg": "HS256", "typ": "JWT", **header}
    body = {"exp": int(time.time()) + 60, "path": "/sim/1"}
    text = ".".join(b64(json.dumps(x).encode()) for x in (head, body))
    return text + "." + b64(hmac.digest(key, text.encode(), "sha256"))


def as_der(token):
    """The signature as everybody but JWS has it."""
    text, _, raw = token.rpartition(".")
    raw = base64.urlsafe_b64decode(raw + "==")
    return text + "." + b64(encode_dss_signature(
        int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")))


def changed(token):
    text, _, raw = token.rpartition(".")
    raw = bytearray(base64.urlsafe_b64decode(raw + "=="))
    raw[len(raw) // 2] ^= 1
    return text + "." + b64(raw)


def other_claims(token):
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    claims["sub"] = "root"
    return ".".join([head, b64(json.dumps(claims).encode()), signature])


def relabel(token, **header):
    """Another header in front of the same payload and signature."""
    head, body, signature = token.split(".")
    head = json.loads(base64.urlsafe_b64decode(head + "=="))
    return ".".join([b64(json.dumps({**head, **header}).encode()), body,
                     signature])


UNKNOWN, SIGNATURE = "token-unknown-key", "token-signature"
BAD = {
    "a stranger's RSA": (SIGNATURE, lambda w: w.stranger[0].token(kid="rsa")),
    "a stranger's P-256": (SIGNATURE,
                           lambda w: w.stranger[1].token(kid="ec")),
    "strangers without kid": (SIGNATURE, lambda w: w.stranger[1].token()),
    "changed RS256": (SIGNATURE, lambda w: changed(w.rsa.token(kid="rsa"))),
    "changed ES256": (SIGNATURE, lambda w: changed(w.ec.token(kid="ec"))),
    "claims changed": (SIGNATURE,
                       lambda w: other_claims(w.ec.token(kid="ec"))),
    "DER": (SIGNATURE, lambda w: as_der(w.ec.token(kid="ec"))),
    "no bytes of signature": (SIGNATURE, lambda w: w.ec.token(
        kid="ec").rsplit(".", 1)[0] + ".AA"),
    "zeros": (SIGNATURE, lambda w: w.ec.token(
        kid="ec").rsplit(".", 1)[0] + "." + b64(bytes(64))),
    "of the other kid": (SIGNATURE,
                         lambda w: w.idp_ec[0].token(kid="e1")),
    "kid of RSA": (UNKNOWN, lambda w: w.ec.token(kid="rsa")),
    "kid of a secret": (UNKNOWN, lambda w: w.ec.token(kid="lab")),
    "kid of nobody": (UNKNOWN, lambda w: w.ec.token(kid="none")),
    "kid of the section, not the key": (
        UNKNOWN, lambda w: w.idp_ec[0].token(kid="idp-ec")),
    "kid of an encryption key": (UNKNOWN, lambda w: w.enc.token(kid="enc")),
    "kid of an RS512 key": (UNKNOWN, lambda w: w.enc.token(kid="rs512")),
    "kid of a P-384 key": (UNKNOWN, lambda w: w.ec.token(kid="p384")),
    "PEM as a secret": (UNKNOWN, lambda w: hs256(w.rsa.pem.encode(),
                                                 {"kid": "rsa"})),
    "PEM of P-256 as a secret": (UNKNOWN, lambda w: hs256(
        w.ec.pem.encode(), {"kid": "ec"})),
    "PEM as a secret, no kid": (SIGNATURE, lambda w: hs256(
        w.rsa.pem.encode(), {})),
    "the secret under RS256": (UNKNOWN, lambda w: mint(
        "/sim/1", header={"alg": "RS256"})),
    "alg changed": (UNKNOWN, lambda w: relabel(
        w.rsa.token(kid="rsa"), alg="ES256")),
    "alg none": ("token-malformed", lambda w: relabel(
        w.ec.token(kid="ec"), alg="none")),
    "the iss of another": (UNKNOWN, lambda w: w.idp[0].token(kid="r0")),
    "a jwk in the header": (SIGNATURE, lambda w: w.stranger[1].token(
        kid="ec", header={"jwk": w.stranger[1].jwk("ec")})),
    "PS256": ("token-malformed", lambda w: jwt.encode(
        {"exp": time.time() + 60, "path": "/sim/1"}, w.rsa.key, "PS256")),
    "RS512": ("token-malformed", lambda w: jwt.encode(
        {"exp": time.time() + 60, "path": "/sim/1"}, w.rsa.key, "RS512")),
    "expired": ("token-expired", lambda w: w.ec.token(kid="ec", ttl=-9)),
    "another path": ("token-path", lambda w: w.ec.token("/sim/2", kid="ec")),
    "over max_ttl": ("token-ttl", lambda w: w.ec.token(kid="ec", ttl=9999)),
    "no path": ("token-malformed",
                lambda w: w.ec.token(kid="ec", drop=["path"])),
}


@pytest.mark.parametrize("name", BAD)
def test_refused(shared, who, name):
    word, token = BAD[name]
    answer = open_with(shared, token(who))
    assert (answer.status, answer.word) == (401, word)


def test_every_part_counts(shared, who):
    """A character anywhere, in steps, for RS256 and ES256."""
    for token in who.rsa.token(kid="rsa"), who.ec.token(kid="ec"):
        for i in list(range(0, len(token), 9)) + [len(token) - 1]:
            other = "A" if token[i] != "A" else "B"
            answer = open_with(shared, token[:i] + other + token[i + 1:])
            assert answer.status == 401, i
        assert open_with(shared, token).echo


EC_KEY = """
[key ec]
algorithm = ES256
public_key_file = {dir}/ec.pem
"""


@pytest.fixture
def started(relay, tmp_path, who):
    """Like relay; {dir} has everybody's keys."""
    who.write(tmp_path)
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "secret").chmod(0o600)

    def start(ini, **options):
        return relay(ini.replace("{dir}", str(tmp_path)), **options)
    start.dir = tmp_path
    return start


def twin(token):
    """The other signature that verifies as well: (r, n - s)."""
    order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551
    text, _, raw = token.rpartition(".")
    raw = base64.urlsafe_b64decode(raw + "==")
    s = order - int.from_bytes(raw[32:], "big")
    return text + "." + b64(raw[:32] + s.to_bytes(32, "big"))


def test_single_use_is_not_by_signature(started, who):
    """Of an ES256 token everybody can make a second one."""
    r = started(ROUTE + "single_use = yes\n" + EC_KEY + "leeway = 0\n")
    token = who.ec.token(kid="ec")
    assert open_with(r, token).echo
    assert open_with(r, twin(token)).word == "token-used"
    assert open_with(r, twin(who.ec.token(kid="ec", jti="a"))).echo


# --- several keys -----------------------------------------------------------

def test_kids_of_several_sections(started, who):
    """Two providers may use one kid; a key without one has its section's."""
    a, b, c = (Signer("ES256") for _ in range(3))
    (started.dir / "a.json").write_text(jwks(a.jwk("1")))
    (started.dir / "b.json").write_text(jwks(b.jwk("1"), c.jwk()))
    r = started(ROUTE + """
[key a]
algorithm = ES256
jwks_file = {dir}/a.json
[key b]
algorithm = ES256
jwks_file = {dir}/b.json
""")
    for token in (a.token(kid="1"), b.token(kid="1"), c.token(kid="b"),
                  c.token()):
        assert open_with(r, token).echo
    for token, word in ((c.token(kid="1"), SIGNATURE),
                        (a.token(kid="a"), UNKNOWN),
                        (b.token(kid="b"), SIGNATURE)):
        assert open_with(r, token).word == word


def test_only_so_many_are_tried(started, who):
    """Without a kid; with one any number of keys will do."""
    many = [Signer("ES256") for _ in range(12)]
    (started.dir / "many.json").write_text(jwks(
        *[s.jwk(f"k{i}") for i, s in enumerate(many)]))
    r = started(ROUTE + """
[key many]
algorithm = ES256
jwks_file = {dir}/many.json
""")
    assert open_with(r, many[11].token(kid="k11")).echo
    assert open_with(r, many[3].token()).echo
    assert open_with(r, many[4].token()).word == SIGNATURE


# --- an identity provider ---------------------------------------------------

PROVIDER = """
[route sim]
path = /sim/{id}
backend = echo:
keys = lab idp
[route own]
path = /own/{id}
backend = echo:
keys = lab
[page all]
path = /
root = {dir}
auth = token
[key lab]
secret_file = {dir}/secret
[key idp]
algorithm = RS256
jwks_file = {dir}/keys.json
issuer = https://idp.example
audience = relay
max_ttl = 12h
require_path = no
"""


def test_provider(started, who):
    """Its tokens know no path: they open the routes that name its key."""
    r = started(PROVIDER)

    def token(**more):
        claims = {"iss": "https://idp.example", "aud": ["relay", "account"],
                  "sub": "5a9c", "azp": "app", "scope": "openid",
                  "realm_access": {"roles": ["user"]}, "ttl": 36000,
                  "kid": "r0", "path": None}
        claims.update(more)
        return who.idp[0].token(**claims)
    for header in {}, {"typ": "at+jwt"}:
        for path in "/sim/1", "/sim/2":
            answer = open_with(r, token(header=header), path)
            assert answer.echo
            assert r.wait_log("open", id=answer.id)["subject"] == "5a9c"
    for more, word in (({"ttl": -9}, "token-expired"),
                       ({"drop": ["exp"]}, "token-malformed"),
                       ({"aud": "account"}, "token-audience"),
                       ({"drop": ["aud"]}, "token-audience"),
                       ({"iss": "https://idp.example/"}, UNKNOWN),
                       ({"header": {"typ": "id+jwt"}}, "token-malformed"),
                       ({"ttl": 50000}, "token-ttl"),
                       ({"path": "/sim/2"}, "token-path"),
                       ({"path": 1}, "token-malformed")):
        answer = open_with(r, token(**more))
        assert (answer.status, answer.word) == (401, word), more
    # A path that it has is kept to; other routes and pages are not its own.
    assert open_with(r, token(path="/sim/*")).echo
    assert open_with(r, token(), "/own/1").word == UNKNOWN
    answer = ask(r, head("/secret?token=" + token()))
    assert (answer.status, answer.word) == (401, UNKNOWN)
    # The other key's tokens are what they were.
    assert open_with(r, mint("/sim/1")).echo
    for more in {"drop": ["path"]}, {"header": {"typ": "at+jwt"}}:
        answer = open_with(r, mint("/sim/1", **more))
        assert (answer.status, answer.word) == (401, "token-malformed")
    for detail in ("path is missing",
                   "typ is at+jwt, for keys with require_path = no"):
        r.wait_log("refuse", reason="token-malformed", detail=detail)


def test_wsrelayctl_explains_it(started, who, tmp_path):
    r = started(PROVIDER)
    token = who.idp[0].token(kid="r0", iss="https://idp.example", aud="relay",
                             path=None)
    shown = ctl("-c", r.ini, "token", "--show", "-", stdin=token).stdout
    assert "key: idp\n" in shown and "result: ok, " in shown
    shown = ctl("-c", r.ini, "token", "--show", "-", status=1,
                stdin=mint("/", drop=["path"])).stdout
    assert "key: lab\nresult: token-malformed, path is missing\n" in shown


def test_example(started, who):
    """conf/examples/oidc.ini, with its files here and a shell's echo; the
    keys are changed and read again as it says."""
    text = (ROOT / "conf/examples/oidc.ini").read_text()
    for a, b in (("[listen public]\n", ""), ("/etc/wsrelayd/idp.json",
                                             "{dir}/idp.json"),
                 ("/srv/sim/sim.py {id}", "/bin/cat")):
        assert a in text
        text = text.replace(a, b)
    old, new = Signer("RS256"), Signer("RS256")
    (started.dir / "idp.json").write_text(jwks(old.jwk("1")))
    r = started(text)
    assert not [x for x in r.lines if "warning" in x]
    claims = {"iss": "https://idp.example.org/realms/lab", "aud": "wsrelayd",
              "path": None, "ttl": 3600}
    origin = {"Origin": "https://app.example.org"}
    first = old.token(kid="1", **claims)
    second = new.token(kid="2", **claims)

    def status(token, **fields):
        with Peer(r) as p:
            p.send(upgrade("/sim/42?token=" + token, **fields))
            answer = p.answer()
            return answer.status, answer.word
    assert status(first) == (101, "")
    with Peer(r) as p:
        p.send(upgrade("/sim/42?token=" + first, **origin))
        assert p.answer().status == 101
        p.send(frame(b"steer"))
        assert p.message() == (1, b"steer")
    assert ask(r, upgrade("/sim/42?token=" + first,
                          Origin="https://b.example")).word == "origin"
    assert status(second) == (401, UNKNOWN)
    # Half a file changes nothing, a whole one does.
    (started.dir / "idp.json").write_text(jwks(new.jwk("2"))[:-1])
    r.kill(signal.SIGHUP)
    r.wait_log("reload-failed")
    assert status(first) == (101, "")
    (started.dir / "idp.json").write_text(jwks(new.jwk("2")))
    r.kill(signal.SIGHUP)
    r.wait_log("reload")
    assert status(second) == (101, "")
    assert status(first) == (401, UNKNOWN)


# --- verified once ----------------------------------------------------------

def signature(r, answer):
    """(key, remembered) of the line about the token of this answer."""
    line = r.wait_log("signature", id=answer.id)
    return line["key"], line["remembered"]


@pytest.mark.parametrize("workers", [1, 2])
def test_remembered(started, who, workers):
    """A token that comes again is not verified again, on any worker; another
    one is, and all of them are checked in every other way."""
    r = started(KEYS + "[page all]\npath = /\nroot = {dir}\nauth = token\n"
                "keys = lab rsa ec idp idp-ec\n",
                server=f"workers = {workers}")
    for signer, kid in ((who.ec, "ec"), (who.rsa, "rsa"),
                        (who.idp_ec[0], None)):
        token = signer.token("/*", kid=kid)
        key = kid or "idp-ec"
        assert signature(r, open_with(r, token)) == (key, "no")
        for path in ["/sim/1", "/sim/2"] * 3:
            assert signature(r, open_with(r, token, path)) == (key, "yes")
        (started.dir / "a.txt").write_text("x")
        assert signature(r, ask(r, head("/a.txt?token=" + token,
                                        Connection="close"))) == (key, "yes")
        # The same claims, signed once more, or the twin of a signature.
        again = signer.token("/*", kid=kid)
        assert signature(r, open_with(r, again)) == (key, "no")
        if signer is not who.rsa:
            assert signature(r, open_with(r, twin(token))) == (key, "no")
        # What is wrong is wrong each time.
        for _ in range(3):
            assert open_with(r, changed(token)).word == SIGNATURE
            assert open_with(r, other_claims(token)).word == SIGNATURE
        assert signature(r, open_with(r, token)) == (key, "yes")
    # A secret costs less than to look.
    token = mint("/sim/1")
    for _ in range(2):
        assert signature(r, open_with(r, token)) == ("lab", "no")


def test_remembered_is_not_admitted(started, who):
    """Only the signature is remembered."""
    r = started(KEYS.replace("ec.pem\n", "ec.pem\nleeway = 0\n") + """
[route once]
path = /once/{id}
backend = echo:
single_use = yes
[route own]
path = /own/{id}
backend = echo:
keys = rsa
""")
    token = who.ec.token("/sim/1", kid="ec")
    assert open_with(r, token).echo
    assert open_with(r, token, "/sim/2").word == "token-path"
    origin = f"{HTTP}://localhost"
    token = who.ec.token("/sim/1", kid="ec", origin=origin)
    assert open_with(r, token, Origin=origin).echo
    assert open_with(r, token).word == "origin"
    token = who.ec.token("/once/1", kid="ec")
    assert open_with(r, token, "/once/1").echo
    answer = open_with(r, token, "/once/1")
    assert answer.word == "token-used"
    assert signature(r, answer) == ("ec", "yes")
    # On a route that does not know the key it is a stranger's.
    token = who.ec.token("/*", kid="ec")
    assert open_with(r, token).echo
    assert open_with(r, token, "/own/1").word == UNKNOWN


def test_remembered_until_exp(started, who):
    """Behind it the token is verified again, as long as leeway goes."""
    r = started(ROUTE + EC_KEY + "leeway = 10m\n")
    token = who.ec.token(kid="ec", exp=time.time() - 60)
    for _ in range(2):
        assert signature(r, open_with(r, token)) == ("ec", "no")
    r = started(ROUTE + EC_KEY + "leeway = 0\n")
    token = who.ec.token(kid="ec", exp=time.time() + 5)
    assert signature(r, open_with(r, token)) == ("ec", "no")
    assert signature(r, open_with(r, token)) == ("ec", "yes")
    wait_for(lambda: open_with(r, token).status == 401, "the end of a token")
    assert open_with(r, token).word == "token-expired"


def test_remembered_by_its_key(started, who):
    """After a reload an entry counts for the key that it was made with, under
    whatever name, and for no other one."""
    a, b = Signer("ES256"), Signer("ES256")
    file = started.dir / "one.json"
    text = ROUTE + """
[key one]
algorithm = ES256
jwks_file = {dir}/one.json
"""

    def reload(*keys):
        file.write_text(jwks(*keys))
        before = len(r.log("reload"))
        r.kill(signal.SIGHUP)
        r.wait_log("reload", count=before + 1)
    file.write_text(jwks(a.jwk("1")))
    r = started(text, server="workers = 2")
    token, named = a.token(), a.token(kid="1")
    for t in token, named:
        assert signature(r, open_with(r, t)) == ("one", "no")
    reload(b.jwk("1"))
    for t in token, named:
        assert open_with(r, t).word == SIGNATURE
    reload(b.jwk("1"), a.jwk("2"))
    assert signature(r, open_with(r, token)) == ("one", "yes")
    assert open_with(r, named).word == SIGNATURE
    reload(a.jwk("1"))
    assert signature(r, open_with(r, named)) == ("one", "yes")


# --- tokens of others -------------------------------------------------------

@pytest.mark.parametrize("form", ["pem", "jwk"])
@pytest.mark.parametrize("alg", ["ES256", "RS256"])
def test_node_jose(started, alg, form):
    with Node("jose.js", alg) as node:
        made = node.line()
    (started.dir / "node.pem").write_text(made["pem"])
    (started.dir / "node.json").write_text(jwks(made["jwk"]))
    file = "public_key_file = {dir}/node.pem" if form == "pem" else \
        "jwks_file = {dir}/node.json"
    r = started(ROUTE + f"[key node]\nalgorithm = {alg}\n{file}\n")
    answer = open_with(r, made["token"])
    assert answer.echo
    assert r.wait_log("open", id=answer.id)["subject"] == "node"


def openssl(*args, data=b""):
    return subprocess.run(["openssl", *map(str, args)], input=data,
                          capture_output=True, check=True).stdout


def der_numbers(der):
    """SEQUENCE { INTEGER, INTEGER } as 32 bytes each."""
    n = der[3]
    r, s = der[4:4 + n], der[6 + n:]
    return b"".join(x.lstrip(b"\0").rjust(32, b"\0") for x in (r, s))


@pytest.mark.parametrize("alg, options", [
    ("RS256", ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"]),
    ("ES256", ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"])])
def test_openssl(started, alg, options):
    """The pair is made as wsrelayctl(8) says."""
    private, public = started.dir / "private.pem", started.dir / "ssl.pem"
    openssl("genpkey", *options, "-out", private)
    openssl("pkey", "-in", private, "-pubout", "-out", public)
    r = started(ROUTE + f"[key ssl]\nalgorithm = {alg}\n"
                "public_key_file = {dir}/ssl.pem\n")
    body = {"exp": int(time.time()) + 60, "path": "/sim/1"}
    text = ".".join(b64(json.dumps(x).encode())
                    for x in ({"alg": alg, "kid": "ssl"}, body))
    signature = openssl("dgst", "-sha256", "-sign", private,
                        data=text.encode())
    if alg == "ES256":
        signature = der_numbers(signature)
    assert open_with(r, f"{text}.{b64(signature)}").echo


def ctl(*args, status=0, stdin=""):
    done = subprocess.run(
        [*RUNNER, str(WSRELAYCTL), *map(str, args)], input=stdin, text=True,
        capture_output=True)
    assert done.returncode == status, done
    return done


@pytest.mark.parametrize("key, kid, alg", [
    ("rsa", "rsa", "RS256"), ("ec", "ec", "ES256"), ("idp", "r1", "RS256"),
    ("idp-ec", "e1", "ES256")])
def test_wsrelayctl_signs(shared, who, tmp_path, key, kid, alg):
    signer = {"rsa": who.rsa, "ec": who.ec, "r1": who.idp[1],
              "e1": who.idp_ec[1]}[kid]
    private = tmp_path / "private.pem"
    private.write_text(signer.private_pem)
    base = ["-c", shared.ini, "token", "--key", key]
    token = ctl(*base, "--path", "/sim/1", "--private-key", private,
                "--sub", "alice").stdout.strip()
    assert jwt.get_unverified_header(token) == {
        "alg": alg, "typ": "JWT", "kid": kid}
    claims = jwt.decode(token, signer.key.public_key(), [alg])
    assert claims["path"] == "/sim/1" and claims["sub"] == "alice"
    assert open_with(shared, token).echo
    shown = ctl("-c", shared.ini, "token", "--show", "-", stdin=token).stdout
    assert f"key: {key}\n" in shown and "result: ok, " in shown
    shown = ctl("-c", shared.ini, "token", "--show", "-", status=1,
                stdin=changed(token)).stdout
    assert "result: token-signature" in shown


def test_wsrelayctl_refuses(shared, who, tmp_path):
    files = {"good": who.ec.private_pem, "stranger": who.idp_ec[0].private_pem,
             "public": who.ec.pem, "text": "x\n", "long": "x" * 20000}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    base = ["-c", shared.ini, "token", "--path", "/sim/1"]
    for args, says in (
            (["--key", "ec"], "[key ec] can only verify, --private-key must"),
            (["--key", "lab", "--private-key", tmp_path / "good"],
             "[key lab] has a secret"),
            (["--key", "ec", "--private-key", tmp_path / "stranger"],
             "belongs to no public key of [key ec]"),
            (["--key", "ec", "--private-key", tmp_path / "public"],
             "expected a private key in PEM"),
            (["--key", "ec", "--private-key", tmp_path / "text"],
             "expected a private key in PEM"),
            (["--key", "ec", "--private-key", tmp_path / "long"],
             "more than 16384 bytes"),
            (["--key", "ec", "--private-key", tmp_path / "none"],
             "No such file")):
        done = ctl(*base, *args, status=1)
        assert says in done.stderr and done.stdout == ""


# --- many at once -----------------------------------------------------------

@pytest.mark.parametrize("workers", [1, 2])
def test_workers_share_keys(started, who, workers):
    """Verified on all threads at a time, right ones and wrong ones."""
    r = started(KEYS, server=f"workers = {workers}")
    made = [(GOOD[name](who), 101) for name in GOOD] * 3 + \
        [(BAD[name][1](who), 401) for name in BAD]

    def one(item):
        token, status = item
        answer = open_with(r, token)
        return answer.status == status and (status != 101 or answer.echo)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, made))
