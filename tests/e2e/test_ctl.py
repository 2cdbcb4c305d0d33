"""wsrelayctl: keys, tokens, and what it refuses. It needs no daemon."""

import base64
import hmac
import json
import os
import re
import shlex
import stat
import subprocess
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.plain("about a program without connections")

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("WSRELAY_BUILD", ROOT / "build/asan"))
RUNNER = shlex.split(os.environ.get("WSRELAY_RUNNER", ""))
SECRET = "0123456789abcdef0123456789abcdef"


def ctl(*args, stdin="", status=0, umask=-1):
    """Runs wsrelayctl; what it wrote, after its exit status was checked."""
    done = subprocess.run(
        [*RUNNER, str(BUILD / "wsrelayctl"), *map(str, args)], input=stdin,
        capture_output=True, text=True, timeout=60, umask=umask)
    assert done.returncode == status, (done.stdout, done.stderr)
    return done


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def sign(payload, header=None, secret=SECRET):
    """A token by Python's standard library alone."""
    header = header or {"alg": "HS256", "typ": "JWT", "kid": "lab"}
    text = ".".join(b64(json.dumps(x).encode()) for x in (header, payload))
    mac = hmac.digest(secret.encode(), text.encode(), "sha256")
    return f"{text}.{b64(mac)}"


def verify(token, secret=SECRET):
    """Header and payload of a token, by Python's standard library alone."""
    text, _, mac = token.rpartition(".")
    want = hmac.digest(secret.encode(), text.encode(), "sha256")
    assert hmac.compare_digest(unb64(mac), want)
    return [json.loads(unb64(part)) for part in text.split(".")]


@pytest.fixture(name="ini")
def ini_fixture(tmp_path):
    """A function that writes an INI file with some keys; its name."""
    def write(**keys):
        text = ("[listen local]\naddress = 127.0.0.1:8080\n"
                "[route sim]\npath = /sim/{id}\nbackend = echo:\n")
        for name, rows in (keys or {"lab": ""}).items():
            (tmp_path / name).write_text(f"{SECRET}\n", encoding="ascii")
            text += (f"[key {name}]\nsecret_file = {tmp_path / name}\n"
                     f"{rows}\n")
        file = tmp_path / "wsrelayd.ini"
        file.write_text(text, encoding="ascii")
        return file
    return write


def mint(file, *args, path="/sim/42"):
    out = ctl("-c", file, "token", "--path", path, *args).stdout
    assert out.endswith("\n") and out.count("\n") == 1
    return out.strip()


# --- minting ---

def test_mint_smallest(ini):
    before = int(time.time())
    header, payload = verify(mint(ini()))
    after = int(time.time())
    assert header == {"alg": "HS256", "typ": "JWT", "kid": "lab"}
    assert set(payload) == {"path", "iat", "exp"}
    assert payload["path"] == "/sim/42"
    assert before <= payload["iat"] <= after
    assert payload["exp"] == payload["iat"] + 60


def test_mint_all(ini):
    file = ini(lab="issuer = web\naudience = relay")
    _, payload = verify(mint(
        file, "--ttl", "5m", "--sub", "Ann Ä", "--perm", "r", "--jti", "one",
        "--origin", "https://example.org", "--expire-at", "2h"))
    iat = payload["iat"]
    assert payload == {
        "path": "/sim/42", "iat": iat, "exp": iat + 300, "sub": "Ann Ä",
        "perm": "r", "jti": "one", "iss": "web", "aud": "relay",
        "origin": "https://example.org", "expire_at": iat + 7200}


def test_mint_never_ends(ini):
    assert verify(mint(ini(), "--expire-at", "0"))[1]["expire_at"] == 0


def test_jti_auto_differs(ini):
    file = ini()
    ids = {verify(mint(file, "--jti", "auto"))[1]["jti"] for _ in range(4)}
    assert len(ids) == 4
    assert all(len(unb64(jti)) == 16 for jti in ids)


@pytest.mark.parametrize("url, scheme", [
    ("wss://relay.example.org", "wss"), ("ws://127.0.0.1:8080", "ws"),
    ("https://relay.example.org", "wss"), ("http://[::1]:8080", "ws")])
def test_wsuri(ini, url, scheme):
    uri = mint(ini(), "--url", url)
    address, _, token = uri.partition("/sim/42?token=")
    assert address == scheme + "://" + url.partition("://")[2]
    verify(token)


def test_wsuri_parameter(ini):
    uri = mint(ini(), "--url", "wss://h", "--param", "ticket")
    assert uri.startswith("wss://h/sim/42?ticket=eyJ")


def test_path_is_normalised(ini):
    assert verify(mint(ini(), path="/sim/%34%32"))[1]["path"] == "/sim/42"
    assert verify(mint(ini(), path="/sim/*"))[1]["path"] == "/sim/*"


def test_key_is_chosen(ini):
    file = ini(one="", two="")
    assert verify(mint(file, "--key", "two"))[0]["kid"] == "two"
    err = ctl("-c", file, "token", "--path", "/a", status=1).stderr
    assert "--key" in err and "one" in err and "two" in err
    err = ctl("-c", file, "token", "--path", "/a", "--key", "three",
              status=1).stderr
    assert "one" in err and "two" in err


def test_max_ttl(ini):
    file = ini(lab="max_ttl = 30s")
    payload = verify(mint(file))[1]  # 60 s, the default, gives way
    assert payload["exp"] == payload["iat"] + 30
    verify(mint(file, "--ttl", "30s"))
    done = ctl("-c", file, "token", "--path", "/a", "--ttl", "31s", status=1)
    assert "max_ttl, 30s" in done.stderr and done.stdout == ""


@pytest.mark.parametrize("args, says", [
    (["--path", "sim"], "--path"), (["--path", "/a/../b"], "--path"),
    (["--path", "/a?b"], "--path"), ([], "--path"),
    (["--path", "/a", "--ttl", "60"], "unit"),
    (["--path", "/a", "--ttl", "0s"], "range"),
    (["--path", "/a", "--perm", "rwx"], "--perm"),
    (["--path", "/a", "--url", "relay"], "--url"),
    (["--path", "/a", "--url", "wss://relay/x"], "--url"),
    (["--path", "/a", "--url", "wss://r?token=x"], "--url"),
    (["--path", "/a", "--param", "a&b"], "--param"),
    (["--path", "/a", "--sub", "x" * 256], "255"),
    (["--path", "/a", "--nonsense"], "nonsense"),
    (["--path"], "path"), (["--path", "/a", "b"], "arguments"),
    (["--show"], "show"), (["--show", "file"], "standard input")])
def test_usage(ini, args, says):
    done = ctl("-c", ini(), "token", *args, status=2)
    assert says in done.stderr and done.stdout == ""
    assert done.stderr.startswith("wsrelayctl: ")


@pytest.mark.parametrize("args", [
    ["--sub", "a\nb"], ["--sub", "a\x1b[2J"], ["--sub", "\u009b"],
    ["--jti", "\x7f"], ["--origin", "example.org"],
    ["--path", "/sim/*", "--url", "wss://h"]])
def test_mint_refuses(ini, args):
    done = ctl("-c", ini(), "token", "--path", "/a", *args, status=1)
    assert done.stderr and done.stdout == ""


def test_mint_needs_a_good_file(ini, tmp_path):
    none = tmp_path / "none.ini"
    assert "none.ini" in ctl("-c", none, "token", "--path", "/a",
                             status=1).stderr
    file = ini(lab="nonsense = 1")
    assert "nonsense" in ctl("-c", file, "token", "--path", "/a",
                             status=1).stderr


def test_mint_needs_no_certificates(ini, tmp_path):
    """Who makes tokens need not be able to read the keys of TLS."""
    file = ini()
    file.write_text(
        f"{file.read_text()}[certificate c]\nchain_file = {tmp_path}/none\n"
        f"key_file = {tmp_path}/none\n[listen tls]\n"
        f"address = 127.0.0.1:8081\ncertificates = c\n"
        f"tls_client = required\ntls_client_ca = {tmp_path}/none\n"
        f"[route wss]\npath = /wss\nbackend = wss://a.example\n"
        f"backend_ca = {tmp_path}/none\n")
    verify(mint(file))
    checked = subprocess.run(
        [*RUNNER, str(BUILD / "wsrelayd"), "-t", "-c", str(file)],
        capture_output=True, text=True, timeout=60)
    assert checked.returncode == os.EX_CONFIG
    # one file of authorities, told once
    assert checked.stderr.count("No such file") == 3


def test_full_disk():
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([*RUNNER, BUILD / "wsrelayctl", "key"],
                              stdout=full, stderr=subprocess.PIPE, text=True,
                              check=False, timeout=60)
    assert done.returncode == 1 and "No space" in done.stderr


# --- a token is never an argument ---

@pytest.mark.parametrize("place", [
    ["token", "{}"], ["token", "--show", "{}"], ["token", "--show={}"],
    ["{}"], ["-c", "{}", "token"], ["key", "{}"],
    ["token", "--path", "/a", "--sub", "{}"],
    ["token", "--show", "wss://h/a?token={}"]])
def test_token_as_argument(place):
    token = sign({"exp": int(time.time()) + 60, "path": "/a"})
    done = ctl(*[x.format(token) for x in place], status=2)
    assert "never given as arguments" in done.stderr
    assert token[:30] not in done.stderr + done.stdout


# --- explaining ---

def show(token, *args, status=0):
    """The JSON and the words of token --show -."""
    out = ctl(*args, stdin=token, status=status).stdout
    value, end = json.JSONDecoder().raw_decode(out)
    return value, out[end:]


def test_show_good(ini):
    now = int(time.time())
    payload = {"path": "/a", "iat": now, "exp": now + 600, "x": [1]}
    token = sign(payload)
    value, words = show(f" {token}\n", "-c", ini(), "token", "--show", "-")
    assert value["payload"] == payload
    assert value["header"]["kid"] == "lab"
    assert re.search(r"^exp: \d{4}-.*Z, valid for another \d+ s$", words,
                     re.M)
    assert "key: lab\nresult: ok" in words
    assert token.rpartition(".")[2] not in words


@pytest.mark.parametrize("change, secret, result", [
    ({}, SECRET, "ok"),
    ({"exp": 1000}, SECRET, "token-expired"),
    ({"nbf": int(time.time()) + 1000}, SECRET, "token-too-early"),
    ({"exp": int(time.time()) + 9000}, SECRET, "token-ttl"),
    ({}, SECRET[::-1], "token-signature"),
    ({"perm": "x"}, SECRET, "token-malformed"),
    ({"exp": int(time.time() * 1000)}, SECRET, "token-malformed")])
def test_show_results(ini, change, secret, result):
    token = sign({"exp": int(time.time()) + 60, "path": "/a", **change},
                 secret=secret)
    _, words = show(token, "-c", ini(), "token", "--show", "-",
                    status=0 if result == "ok" else 1)
    assert f"result: {result}," in words
    assert ("expired" in words) == (result == "token-expired")


def test_show_finds_the_key(ini, tmp_path):
    file = ini(one="", two="")
    (tmp_path / "two").write_text(SECRET[::-1], encoding="ascii")
    token = sign({"exp": int(time.time()) + 60, "path": "/a"},
                 header={"alg": "HS256"}, secret=SECRET[::-1])
    assert "key: two\n" in show(token, "-c", file, "token", "--show", "-")[1]
    token = sign({"exp": int(time.time()) + 60, "path": "/a"},
                 header={"alg": "HS256", "kid": "three"})
    words = show(token, "-c", file, "token", "--show", "-", status=1)[1]
    assert "result: token-unknown-key," in words


def test_show_path(ini):
    file = ini()
    token = sign({"exp": int(time.time()) + 60, "path": "/a/*"})
    args = "-c", file, "token", "--show", "-", "--path"
    assert "result: ok," in show(token, *args, "/a/b")[1]
    assert "result: token-path," in show(token, *args, "/b", status=1)[1]


def test_show_wsuri(ini):
    file = ini()
    uri = mint(file, "--url", "wss://relay.example.org")
    assert "result: ok," in show(uri, "-c", file, "token", "--show", "-")[1]


def test_show_hostile_text(ini):
    token = sign({"exp": 1, "path": "/a", "\u009b2J": "\u202e\x1b[2J"})
    out = ctl("-c", ini(), "token", "--show", "-", stdin=token,
              status=1).stdout
    assert re.fullmatch(r"[\n -~]*", out)


def test_show_bad_file(ini):
    file = ini(lab="nonsense = 1")
    token = sign({"exp": int(time.time()) + 60, "path": "/a"})
    done = ctl("-c", file, "token", "--show", "-", stdin=token, status=1)
    assert "nonsense" in done.stderr


@pytest.mark.parametrize("text", [
    "", "\n", "abc", "a.b.c", "..", "eyJ.eyJ.", "x" * 20000,
    "e30.e30.AAAA" * 2000, "wss://h/a?other=1"], ids=range(9))
def test_show_no_token(ini, text):
    done = ctl("-c", ini(), "token", "--show", "-", stdin=text, status=1)
    assert done.stderr and done.stdout == ""


def test_one_character_changed(ini):
    """Wherever it is changed, it is refused, and the words say so."""
    file = ini()
    token = sign({"exp": int(time.time()) + 600, "path": "/a"})
    for i in range(0, len(token), 7):
        other = "A" if token[i] != "A" else "B"
        done = ctl("-c", file, "token", "--show", "-", status=1,
                   stdin=token[:i] + other + token[i + 1:])
        assert "result: ok" not in done.stdout


# --- keys ---

def test_key_file(tmp_path):
    file = tmp_path / "lab.key"
    done = ctl("key", file, umask=0o077)
    assert done.stdout == "" and done.stderr == ""
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    text = file.read_text(encoding="ascii")
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}\n", text)
    assert len(unb64(text.strip())) == 32
    assert "exists" in ctl("key", file, status=1).stderr
    assert file.read_text(encoding="ascii") == text


def test_key_never_through_a_link(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "target")
    ctl("key", link, status=1)
    assert not (tmp_path / "target").exists()


def test_key_printed():
    first, second = ctl("key").stdout, ctl("key", "-").stdout
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}\n", first)
    assert len(second) == 44 and first != second


def test_key_usage(tmp_path):
    ctl("key", "--nonsense", status=2)
    ctl("key", tmp_path / "a", tmp_path / "b", status=2)
    assert not list(tmp_path.iterdir())
    ctl("key", tmp_path / "no" / "key", status=1)


def test_key_works(ini, tmp_path):
    file = ini()
    (tmp_path / "lab").unlink()
    ctl("key", tmp_path / "lab")
    secret = (tmp_path / "lab").read_text(encoding="ascii").rstrip("\n")
    verify(mint(file), secret)


# --- the rest ---

def test_version_and_help():
    assert re.fullmatch(r"wsrelayctl \d+\.\d+\.\d+\n", ctl("-V").stdout)
    assert ctl("--version").stdout == ctl("-V").stdout
    for args in ["-h"], ["--help"], ["token", "--help"], ["key", "-h"]:
        assert "usage: wsrelayctl" in ctl(*args).stdout
    for args in [], ["nonsense"], ["-x"], ["-c"]:
        assert "usage: wsrelayctl" in ctl(*args, status=2).stderr
