"""wsrelayctl against a daemon with a control socket, and that socket itself."""
import json
import socket
import subprocess

from relay import BUILD, PATIENCE, RUNNER

CONTROL = "control = {dir}/control.sock\n"
READONLY = CONTROL + "control_readonly = {dir}/read.sock\n"


def ctl(*args, status=0, **options):
    """Runs wsrelayctl; what it wrote, after its exit status was checked."""
    done = subprocess.run(
        [*RUNNER, str(BUILD / "wsrelayctl"), *map(str, args)],
        capture_output=True, text=True, timeout=4 * PATIENCE, **options)
    assert done.returncode == status, (done.stdout, done.stderr)
    return done


def ask(r, *args, status=0, sock="control.sock"):
    """The rows of an answer, and its last line if status is not 0."""
    done = ctl("--socket", r.dir / sock, *args, "--json", status=status)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    last = rows.pop()
    assert last["status"] == {0: "ok", 1: "refused", 2: "usage"}[status]
    return last if status else rows


class Caller:
    """A connection of its own, to say what wsrelayctl never would."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(str(path))
        self.lines = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lines.close()
        self.socket.close()

    def line(self):
        line = self.lines.readline()
        return json.loads(line) if line else None

    def say(self, data):
        self.socket.sendall(data)

    def answer(self):
        """Rows and the last line."""
        rows = []
        while True:
            row = self.line()
            if row is None or "status" in row:
                return rows, row
            rows.append(row)
