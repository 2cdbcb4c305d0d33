"""What the Makefile and its scripts promise to developers."""
import json
import pathlib
import re
import subprocess

import pytest

pytestmark = pytest.mark.plain("about scripts")

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_compile_commands_compile():
    """An editor can use every line as it stands: one of each kind is run."""
    flags = subprocess.run(
        ["make", "-n", "compile_commands.json"], cwd=ROOT, text=True,
        capture_output=True, check=True).stdout
    flags = re.search(r"scripts/compile-commands '(.*)' >", flags).group(1)
    # As the shell of the recipe takes it.
    found = subprocess.run(
        ["sh", "-c", "scripts/compile-commands '%s'" % flags], cwd=ROOT,
        text=True, capture_output=True, check=True).stdout
    commands = {row["file"]: row for row in json.loads(found)}
    for file in ("src/main.c", "src/relay/try.c", "tests/unit/test_ws.c",
                 "tests/unit/test_http_llhttp.c", "tests/fuzz/fuzz_ws.c"):
        row = commands[file]
        done = subprocess.run(
            row["arguments"][:-2] + ["-fsyntax-only", file],
            cwd=row["directory"], text=True, capture_output=True)
        assert done.returncode == 0, done.stderr
    assert len(commands) > 100


def test_help_names_real_targets():
    said = subprocess.run(["make", "-s", "help"], cwd=ROOT, text=True,
                          capture_output=True, check=True).stdout
    rules = (ROOT / "Makefile").read_text()
    named = re.findall(r"^make ([\w.-]+)", said, re.MULTILINE)
    assert {"run", "check", "fuzz", "lint", "bench", "cov"} <= set(named)
    for name in named:
        assert re.search(r"^%s:" % re.escape(name), rules, re.MULTILINE), name
