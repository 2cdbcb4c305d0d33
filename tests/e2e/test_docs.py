"""The pages and the reference file say what the code says: every key with its
default and range, every reason, every example line by line."""
import pathlib
import re
import subprocess

import pytest

pytestmark = pytest.mark.plain("about documents")

ROOT = pathlib.Path(__file__).resolve().parents[2]
INI_PAGE = ROOT / "man/wsrelayd.ini.5"
SECTIONS = {"SERVER": "THE DAEMON", "LISTEN": "LISTENERS",
            "CERTIFICATE": "CERTIFICATES", "KEY": "KEYS", "PAGE": "PAGES",
            "ROUTE": "ROUTES", "ATTACH": "ATTACHED SIMULATIONS"}
NUMBERS = ("COUNT", "SIZE", "TIME")


def keys():
    """The rows of the key table, as the compiler sees them."""
    source = 'KEY_ROW = KEY\n#include "conf/keys.def"\n'
    text = subprocess.run(
        ["cc", "-E", "-P", "-Isrc", "-"], input=source, cwd=ROOT,
        capture_output=True, text=True, check=True).stdout
    literal = r'(?:NULL|(?:"(?:[^"\\]|\\.)*"\s*)+)'
    row = re.compile(
        r"KEY\((\w+), (\w+), (\w+), (%s), (%s), (%s), ([^,]+),\s*(%s)\)"
        % ((literal,) * 4))
    rows = [[field.strip() for field in match.groups()]
            for match in row.finditer(text)]
    assert len(rows) == text.count("KEY(") > 50
    names = "section name type default min max flags help".split()
    return [dict(zip(names, [unquote(field) for field in fields]))
            for fields in rows]


def unquote(text):
    if text.startswith('"'):
        return "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', text))
    return "" if text == "NULL" else text


def section_of_page(title):
    text = INI_PAGE.read_text()
    start = text.index(".Sh %s\n" % title)
    end = text.find("\n.Sh ", start)
    return text[start:end]


@pytest.mark.parametrize(
    "key", keys(), ids=lambda key: "%(section)s.%(name)s" % key)
def test_page_has_key(key):
    section = section_of_page(SECTIONS[key["section"]])
    lines = re.findall(r"^\.It Ic %s No = (.*)\n(.*)" % key["name"], section,
                       re.MULTILINE)
    assert len(lines) == 1, "[%(section)s] %(name)s: not in the page" % key
    head, following = lines[0]
    assert following and not following.startswith((".It", ".El")), \
        "nothing is said about it"
    value, _, notes = head.partition(" Pq ")
    notes = notes.split(" , ") if notes else []
    if key["default"]:
        assert notes.pop(0) == key["default"]
    elif "KEY_REQUIRED" in key["flags"]:
        assert notes.pop(0) == "required"
    if key["type"] in NUMBERS:
        zero = "or " if "KEY_ZERO" in key["flags"] else ""
        assert notes.pop(0) == "%s%s to %s" % (zero, key["min"], key["max"])
    if key["type"] == "ENUM":
        words = [word for word in key["min"].split("|") if word != "-"]
        assert value == "Cm " + " | ".join(words)
    assert notes == []


def test_page_has_no_other_key():
    known = {(SECTIONS[key["section"]], key["name"]) for key in keys()}
    for title in SECTIONS.values():
        for name in re.findall(r"^\.It Ic (\w+) No =",
                               section_of_page(title), re.MULTILINE):
            assert (title, name) in known, "%s: no such key" % name


def reference():
    """Every key of the reference file with its value; None where the file
    switches it on, which may be with another value than the default."""
    found, section = {}, None
    for line in (ROOT / "conf/wsrelayd.ini").read_text().splitlines():
        header = re.match(r";?\s*\[(\w+)", line)
        pair = re.match(r";?\s*(\w+) =\s*(.*)", line)
        if header:
            section = header.group(1).upper()
        elif pair and section:
            value = re.sub(r"\s+;.*|\s+$", "", pair.group(2))
            found[section, pair.group(1)] = \
                value if line.startswith(";") else None
    return found


@pytest.mark.parametrize(
    "key", keys(), ids=lambda key: "%(section)s.%(name)s" % key)
def test_reference_has_key(key):
    found = reference()
    where = (key["section"], key["name"])
    assert where in found, "not in conf/wsrelayd.ini"
    assert found[where] in (key["default"], None)


def test_page_has_the_reasons():
    rows = subprocess.run([ROOT / "scripts/reason-table"], check=True,
                          capture_output=True, text=True).stdout
    page = (ROOT / "man/wsrelayd.8").read_text()
    between = page.split('.\\" reasons: begin\n')[1].split(
        '.\\" reasons: end\n')[0]
    assert rows.count("\n.It Cm ") > 40
    assert between == rows, \
        "run scripts/reason-table -w man/wsrelayd.8"


def test_page_has_the_metrics():
    rows = subprocess.run([ROOT / "scripts/metric-table"], check=True,
                          capture_output=True, text=True).stdout
    page = (ROOT / "man/wsrelayd-metrics.7").read_text()
    between = page.split('.\\" metrics: begin\n')[1].split(
        '.\\" metrics: end\n')[0]
    assert rows.count("\n.It Sy ") > 30
    assert between == rows, \
        "run scripts/metric-table -w man/wsrelayd-metrics.7"


def as_mdoc(text):
    lines = []
    for line in text.splitlines():
        line = line.replace("\\", "\\e")
        lines.append("\\&" + line if line.startswith((".", "'")) else line)
    return "\n".join(lines)


@pytest.mark.parametrize("name", [
    "mint.py", "mint.js", "mint.jl", "mint.sh",
    "simulation.ini", "classroom.ini", "wall.ini", "edge.ini", "core.ini", "lesson.ini", "oidc.ini",
    "tls.ini", "nginx.conf", "haproxy.cfg", "haproxy-tcp.cfg"])
def test_page_shows_the_example(name):
    shown = ".Bd -literal -offset 4n\n%s\n.Ed\n" % as_mdoc(
        (ROOT / "conf/examples" / name).read_text())
    assert shown in INI_PAGE.read_text()


@pytest.mark.parametrize("name", ["tagged.py", "tagged.c"])
def test_tagged_page_shows_the_example(name):
    shown = ".Bd -literal -offset 4n\n%s\n.Ed\n" % as_mdoc(
        (ROOT / "conf/examples" / name).read_text())
    assert shown in (ROOT / "man/wsrelayd-tagged.7").read_text()


@pytest.mark.parametrize("name", ["attach.ini", "attach.py"])
def test_attach_page_shows_the_example(name):
    shown = ".Bd -literal -offset 4n\n%s\n.Ed\n" % as_mdoc(
        (ROOT / "conf/examples" / name).read_text())
    assert shown in (ROOT / "man/wsrelayd-attach.7").read_text()


@pytest.mark.parametrize(
    "page", sorted((ROOT / "man").iterdir()), ids=lambda page: page.name)
def test_page_is_proper_mdoc(page):
    found = subprocess.run(["mandoc", "-Tlint", "-Wwarning", page],
                           capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, "")
