"""auth_failures: who guesses tokens is told to wait; good ones get in."""
import pytest

from rawhttp import ask, head, upgrade
from relay import KEY, mint
from secure import HTTP
from signers import Signer

ROUTE = """
[route sim]
path = /sim/{id}
backend = echo:
[page all]
path = /
root = {dir}
auth = token
keys = lab
""" + KEY
WORKERS = pytest.mark.parametrize("workers", [1, 2])
MALFORMED, SIGNATURE = "token-malformed", "token-signature"
LIMIT = "limit-failures"
WRONG = b"another secret, of 32 bytes or more"


def malformed():
    return "x.y.z"


def forged():
    return mint("/sim/1", secret=WRONG)


def told(r, token, path="/sim/1", source=None, listen="main", **fields):
    answer = ask(r, upgrade(f"{path}?token={token}", **fields),
                 source=source, listen=listen)
    return "open" if answer.echo else answer.word


@WORKERS
def test_over_all_workers(relay, workers):
    """So many of both kinds; the next ones wait, good ones do not."""
    r = relay(ROUTE, server=f"workers = {workers}",
              listen="auth_failures = 4/h")
    got = [told(r, t()) for t in (malformed, forged) * 2]
    assert got == [MALFORMED, SIGNATURE] * 2
    for _ in range(6):
        for token in malformed, forged:
            answer = ask(r, upgrade("/sim/1?token=" + token()))
            assert (answer.status, answer.word) == (429, LIMIT)
            assert 1 <= int(answer["Retry-After"]) <= 900
            assert answer["WWW-Authenticate"] is None
        assert told(r, mint("/sim/1")) == "open"
    # A page sees it, too.
    assert told(r, forged(), Origin=f"{HTTP}://localhost") == LIMIT
    answer = ask(r, upgrade("/sim/1?token=x", Origin=f"{HTTP}://localhost"))
    assert answer.close[0] == 1013
    # Others have done nothing.
    assert told(r, forged(), source="127.0.0.2") == SIGNATURE


def test_the_log_says_what_it_was(relay):
    r = relay(ROUTE, listen="auth_failures = 1/h")
    assert told(r, forged()) == SIGNATURE
    for n, (token, detail) in enumerate((
            (forged(), "the token's signature is wrong"),
            ("x.y", "not three parts with dots between them"))):
        assert told(r, token) == LIMIT
        line = r.wait_log("refuse", count=n + 1, reason=LIMIT)
        assert line["detail"] == detail


def test_what_does_not_count(relay):
    """Tokens of this house that are good no more, or for something else."""
    r = relay(ROUTE, listen="auth_failures = 1/h")
    others = {
        "token-expired": mint("/sim/1", ttl=-60),
        "token-path": mint("/sim/2"),
        "token-ttl": mint("/sim/1", ttl=9999),
        "token-unknown-key": mint("/sim/1", header={"kid": "none"}),
        "token-missing": "",
    }

    def all_others():
        for word, token in others.items():
            path = "/sim/1?token=" + token if token else "/sim/1"
            answer = ask(r, upgrade(path))
            assert (answer.status, answer.word) == (401, word)
    for _ in range(3):
        all_others()
    assert told(r, forged()) == SIGNATURE
    assert told(r, forged()) == LIMIT
    all_others()
    assert told(r, mint("/sim/1")) == "open"


def test_default_and_off(relay):
    r = relay(ROUTE, listen="""
auth_failures = 0
[listen other]
address = 127.0.0.1:0
""")
    got = [told(r, malformed(), listen="other") for _ in range(30)]
    assert got[:20] == [MALFORMED] * 20 and LIMIT in got
    assert {told(r, malformed()) for _ in range(30)} == {MALFORMED}


def test_pages_count(relay):
    r = relay(ROUTE, listen="auth_failures = 1/h")
    (r.dir / "a.txt").write_text("x")

    def page(token):
        answer = ask(r, head("/a.txt?token=" + token, Connection="close"))
        return answer.status, answer.body.decode().split(":")[0]
    assert page(malformed()) == (401, MALFORMED)
    assert page(malformed()) == (429, LIMIT)
    assert told(r, forged()) == LIMIT
    assert page(mint("/a.txt")) == (200, "x")


def test_whose_address(relay, tmp_path):
    """The client's behind a trusted proxy, a /64 of IPv6; neither the proxy
    itself nor what comes through a Unix socket."""
    path = tmp_path / "s"
    r = relay(ROUTE, listen=f"""
auth_failures = 1/h
[listen behind]
address = 127.0.0.1:0
auth_failures = 1/h
trusted_proxies = 127.0.0.1
[listen unix]
address = unix:{path}
hosts = *
auth_failures = 1/h
""")

    def forwarded(address):
        return told(r, forged(), listen="behind", X_Forwarded_For=address)
    assert forwarded("192.0.2.1") == SIGNATURE
    assert forwarded("192.0.2.1") == LIMIT
    assert forwarded("192.0.2.2") == SIGNATURE
    assert forwarded("2001:db8::1") == SIGNATURE
    assert forwarded("2001:db8::ffff:1") == LIMIT
    assert forwarded("2001:db8:0:1::1") == SIGNATURE
    assert forwarded("::ffff:192.0.2.1") == LIMIT
    for _ in range(3):
        assert forwarded(None) == SIGNATURE
        assert told(r, forged(), listen="unix") == SIGNATURE
    # Another listener is another matter.
    assert told(r, forged()) == SIGNATURE


def test_public_keys(relay, tmp_path):
    """A good token is verified, however many wrong ones there were."""
    who, stranger = Signer("ES256"), Signer("ES256")
    (tmp_path / "ec.pem").write_text(who.pem)
    r = relay(ROUTE + f"""
[key ec]
algorithm = ES256
public_key_file = {tmp_path}/ec.pem
""", listen="auth_failures = 2/h", server="workers = 2")
    got = [told(r, stranger.token(kid="ec")) for _ in range(5)]
    assert got == [SIGNATURE] * 2 + [LIMIT] * 3
    assert told(r, who.token(kid="ec")) == "open"
    again = who.token(kid="ec")
    assert [told(r, again) for _ in range(3)] == ["open"] * 3
