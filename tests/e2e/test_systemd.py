"""What make install puts on a system: the files, the units, and nothing that
is left behind."""
import os
import pathlib
import re
import shutil
import stat
import subprocess

import pytest

pytestmark = pytest.mark.plain("about units")

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("WSRELAY_BUILD", ROOT / "build/asan"))
THRESHOLD = 15  # tenths: 1.5


def install(tree, what="install", prefix="/usr"):
    environment = dict(os.environ, DESTDIR=str(tree), PREFIX=prefix,
                       BUILD=str(BUILD))
    return subprocess.run([ROOT / "scripts/install", what], check=True,
                          env=environment, capture_output=True,
                          text=True).stdout


def files(tree):
    return sorted(str(path.relative_to(tree)) for path in tree.rglob("*")
                  if not path.is_dir())


@pytest.fixture
def tree(tmp_path):
    install(tmp_path)
    return tmp_path


def test_files(tree):
    found = files(tree)
    for name in ("usr/sbin/wsrelayd", "usr/sbin/wsrelayctl",
                 "usr/libexec/wsrelayd/wsrelayd-exec",
                 "usr/share/man/man8/wsrelayd.8",
                 "usr/share/man/man8/wsrelayctl.8",
                 "usr/share/man/man5/wsrelayd.ini.5",
                 "usr/share/wsrelayd/wsrelay.js",
                 "usr/share/wsrelayd/wsrelay-attach.py",
                 "usr/share/wsrelayd/try/index.html",
                 "usr/share/wsrelayd/try/wsuri.json",
                 "usr/share/doc/wsrelayd/exec.conf",
                 "usr/share/doc/wsrelayd/exec-limits.conf",
                 "usr/share/doc/wsrelayd/examples/mint.py",
                 "usr/share/doc/wsrelayd/fail2ban/filter.conf",
                 "usr/share/doc/wsrelayd/fail2ban/jail.conf",
                 "usr/lib/sysusers.d/wsrelayd.conf",
                 "lib/systemd/system/wsrelayd.service",
                 "lib/systemd/system/wsrelayd.socket",
                 "lib/systemd/system/wsrelayd@.service",
                 "usr/share/doc/wsrelayd/examples/wsrelayd-http.socket",
                 "usr/share/doc/wsrelayd/examples/wsrelayd-https.socket",
                 "usr/share/doc/wsrelayd/examples/sim@.socket",
                 "usr/share/doc/wsrelayd/examples/sim@.service",
                 "usr/share/doc/wsrelayd/examples/sim.py",
                 "etc/wsrelayd/wsrelayd.ini"):
        assert name in found
    for name in found:
        mode = stat.S_IMODE((tree / name).stat().st_mode)
        program = name.startswith(("usr/sbin/", "usr/libexec/")) or \
            name.endswith("-hook")
        assert mode == (0o755 if program else 0o644), name


@pytest.mark.parametrize("prefix, units", [
    ("/usr", "lib/systemd/system"),
    ("/usr/local", "usr/local/lib/systemd/system"),
    ("/opt/relay", "etc/systemd/system")])
def test_prefix(tmp_path, prefix, units):
    install(tmp_path, prefix=prefix)
    unit = (tmp_path / units / "wsrelayd.service").read_text()
    assert "ExecStart=%s/sbin/wsrelayd -c /etc/wsrelayd/wsrelayd.ini\n" \
        % prefix in unit
    assert "@PREFIX@" not in unit and "@SYSCONFDIR@" not in unit
    assert (tmp_path / prefix[1:] / "sbin/wsrelayd").exists()
    install(tmp_path, "uninstall", prefix)
    assert files(tmp_path) == []
    assert not (tmp_path / prefix[1:] / "share/wsrelayd").exists()


def test_configuration_is_kept(tree):
    mine = tree / "etc/wsrelayd/wsrelayd.ini"
    mine.write_text("; mine\n")
    said = install(tree)
    assert "kept" in said
    assert mine.read_text() == "; mine\n"
    assert (tree / "etc/wsrelayd/wsrelayd.ini.dist").read_bytes() == \
        (ROOT / "conf/wsrelayd.ini").read_bytes()
    install(tree, "uninstall")
    assert files(tree) == ["etc/wsrelayd/wsrelayd.ini"]


@pytest.mark.parametrize("where", ["system", "tree", "no systemd"])
def test_uninstall_stops_the_service(tmp_path, where):
    """While its files are there; a tree below DESTDIR has none that runs."""
    tools, run, root = (tmp_path / x for x in ("tools", "run", "root"))
    tools.mkdir()
    if where != "no systemd":
        run.mkdir()
    units = root / "units"
    (tools / "systemctl").write_text(
        f"#!/bin/sh\necho $(ls {units}) : \"$@\" >>{tmp_path}/called\n"
        'case $1 in list-units) '
        'echo "wsrelayd@lab.service loaded active running x" ;; esac\n'
        # one that cannot be stopped is no reason to stop here
        'case $* in *wsrelayd.socket*) exit 1 ;; esac\n')
    (tools / "systemctl").chmod(0o755)
    environment = dict(
        os.environ, BUILD=str(BUILD), RUNDIR=str(run),
        DESTDIR="/" if where == "tree" else "", PREFIX=f"{root}/usr",
        UNITDIR=str(units), SYSUSERSDIR=f"{root}/sysusers",
        SYSCONFDIR=f"{root}/etc", PATH=f"{tools}:{os.environ['PATH']}")
    for what in "install", "uninstall":
        done = subprocess.run([ROOT / "scripts/install", what], text=True,
                              env=environment, capture_output=True)
        assert done.returncode == 0, done.stderr
    assert files(root) == []
    called = tmp_path / "called"
    if where == "system":
        there = "wsrelayd.service wsrelayd.socket wsrelayd@.service :"
        assert called.read_text().splitlines() == [
            f"{there} list-units --all --plain --no-legend wsrelayd@*.service",
            f"{there} disable --now --quiet wsrelayd.socket",
            f"{there} disable --now --quiet wsrelayd.service",
            f"{there} disable --now --quiet wsrelayd@lab.service",
            ": daemon-reload"]
        assert "wsrelayd.socket could not be stopped" in done.stderr
    else:
        assert not called.exists()


def test_others_are_kept(tree):
    key = tree / "etc/wsrelayd/lab.key"
    key.write_text("x" * 44)
    page = tree / "usr/share/man/man8/other.8"
    page.write_text("")
    install(tree, "uninstall")
    assert files(tree) == ["etc/wsrelayd/lab.key", "usr/share/man/man8/other.8"]


@pytest.mark.parametrize("unit", [
    "lib/systemd/system/wsrelayd.service",
    "lib/systemd/system/wsrelayd@.service",
    "usr/share/doc/wsrelayd/examples/sim@.service"])
def test_security(tree, unit):
    found = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager",
         "--threshold=%d" % THRESHOLD, tree / unit], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout
    assert "Overall exposure level" in found.stdout


# What the system has and a tree of ours has not.
STUBS = ("network-online", "sysinit", "basic", "shutdown", "sockets",
         "multi-user")


def verify(tree, unit):
    units = tree / "lib/systemd/system"
    for name in STUBS:
        (units / (name + ".target")).write_text(
            "[Unit]\nDescription=%s\n" % name)
    (tree / "bin").mkdir()
    shutil.copy("/bin/kill", tree / "bin")
    (tree / "usr/bin").mkdir(exist_ok=True)
    shutil.copy("/bin/kill", tree / "usr/bin/python3")
    for name in "system", "-", "system-wsrelayd", "system-sim":
        (units / (name + ".slice")).write_text("[Slice]\n")
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=yes",
         "--root=%s" % tree, unit], capture_output=True, text=True)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


@pytest.mark.parametrize("unit", ["wsrelayd.service", "wsrelayd.socket",
                                  "wsrelayd@lab.service"])
@pytest.mark.parametrize("drop_in", [None, "exec.conf", "exec-limits.conf"])
def test_verify(tree, unit, drop_in):
    if drop_in:
        name = re.sub("@.*", "@.service", unit).replace(".socket", ".service")
        folder = tree / "etc/systemd/system" / (name + ".d")
        folder.mkdir(parents=True)
        shutil.copy(tree / "usr/share/doc/wsrelayd" / drop_in, folder)
    verify(tree, unit)


@pytest.mark.parametrize("unit", ["wsrelayd-http.socket",
                                  "wsrelayd-https.socket", "sim@42.socket",
                                  "sim@42.service"])
def test_verify_examples(tree, unit):
    folder = tree / "etc/systemd/system"
    folder.mkdir(parents=True)
    for file in (tree / "usr/share/doc/wsrelayd/examples").iterdir():
        if file.suffix in (".socket", ".service"):
            shutil.copy(file, folder)
    verify(tree, unit)


def test_several_instances(tree):
    """The unit for several is that for one, but for what each has alone."""
    units = tree / "lib/systemd/system"
    one, several = ((units / name).read_text().splitlines()
                    for name in ("wsrelayd.service", "wsrelayd@.service"))
    other = {a: b for a, b in zip(one, several, strict=True) if a != b}
    start = "ExecStart=/usr/sbin/wsrelayd -c /etc/wsrelayd/"
    assert other.pop(start + "wsrelayd.ini") == start + "%i.ini"
    assert other.pop("RuntimeDirectory=wsrelayd") == \
        "RuntimeDirectory=wsrelayd-%i"
    assert other.pop("StateDirectory=wsrelayd") == "StateDirectory=wsrelayd-%i"
    for a, b in other.items():
        assert a.startswith(("Description=", "ExecReload=", "#"))
        assert "%i" in b
    # What lies there by these names is of one instance.
    for line in several:
        assert "/run/wsrelayd/" not in line and "wsrelayd.ini" not in line \
            or line.startswith("Documentation="), line


def test_the_unit_goes_on(tree):
    """A fault in the configuration is final, and nothing else is; a reload is
    good when the daemon says so."""
    unit = (tree / "lib/systemd/system/wsrelayd.service").read_text()
    head, service = unit.split("[Service]")
    assert "\nStartLimitIntervalSec=0\n" in head
    assert "\nRestart=on-failure\n" in service
    assert f"\nRestartPreventExitStatus={os.EX_CONFIG}\n" in service
    assert re.findall(r"\nExecReload=(.*)", service) == \
        ["/usr/sbin/wsrelayctl -c /etc/wsrelayd/wsrelayd.ini reload"]


def test_verify_can_fail(tree):
    unit = tree / "lib/systemd/system/wsrelayd.service"
    unit.write_text(unit.read_text() + "NoSuchKey=1\n")
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--root=%s" % tree,
         "wsrelayd.service"], capture_output=True, text=True)
    assert found.stderr != ""


def test_sysusers(tree):
    """The user is made, and it is the one that the unit names."""
    (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (tree / "etc/group").write_text("root:x:0:\n")
    subprocess.run(["systemd-sysusers", "--root=%s" % tree, "wsrelayd.conf"],
                   check=True, capture_output=True)
    assert "\nwsrelayd:x:" in (tree / "etc/passwd").read_text()
    assert "\nwsrelayd:x:" in (tree / "etc/group").read_text()
    unit = (tree / "lib/systemd/system/wsrelayd.service").read_text()
    assert "\nUser=wsrelayd\nGroup=wsrelayd\n" in unit
