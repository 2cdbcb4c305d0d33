"""What the Makefile and its scripts promise to developers."""
import json
import os
import pathlib
import re
import shutil
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
    for file in ("src/main.c", "src/daemon/try.c", "tests/unit/test_ws.c",
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


MARKED = '''
import os, pytest

@pytest.fixture
def note(request, worker_id):
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(request.function.__name__ + worker_id + "\\n")

@pytest.mark.alone("tries it")
def test_alone(note):
    pass

@pytest.mark.alone("tries it")
def test_alone_fails(note):
    assert False

@pytest.mark.parametrize("n", range(3))
def test_beside(note, n):
    pass

def test_skipped():
    pytest.skip("says why")
'''


@pytest.mark.parametrize("choice, wanted, noted", [
    ([], "4 passed, 1 failed, 1 skipped", 5),
    (["-k", "test_alone"], "1 passed, 1 failed", 2),
    (["-k", "test_beside"], "3 passed, 0 failed", 3),
    (["-k", "test_none"], "0 passed, 0 failed", 0),
    (["tests/e2e/test_marked.py", "-n", "2", "-k", "beside or alone_f"],
     "3 passed, 1 failed", 4)])
def test_marked_tests_run_alone_and_first(tmp_path, choice, wanted, noted):
    """And the closing line counts them with the others."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/check-e2e", tmp_path / "scripts")
    (tmp_path / "tests/e2e").mkdir(parents=True)
    for file in ROOT.glob("tests/e2e/*.py"):
        if not file.name.startswith("test_"):
            shutil.copy(file, tmp_path / "tests/e2e")
    (tmp_path / "tests/e2e/test_marked.py").write_text(MARKED)
    notes = tmp_path / "notes"
    notes.touch()
    done = subprocess.run(
        ["scripts/check-e2e", "../" + tmp_path.name, *choice], cwd=tmp_path,
        env={**os.environ, "NOTES": str(notes)}, text=True,
        stdout=subprocess.PIPE)
    assert done.stdout.splitlines()[-1] == "e2e: " + wanted, done.stdout
    assert (done.returncode == 0) == (wanted == "3 passed, 0 failed")
    ran = notes.read_text().split()
    assert len(ran) == noted
    beside = [x for x in ran if x.startswith("test_besidegw")]
    alone = [x for x in ran if x.endswith("master")]
    assert ran == alone + beside
