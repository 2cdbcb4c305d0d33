"""Each example of conf/examples, opened in a browser on another machine, with
the README's page in its root: the page shows, and steers.

    server (10.78.0.1) ---- desk (10.78.0.2), with the browser

Of an example only what is named at its test is changed: the places of files,
and loopback addresses, which no other machine reaches.
"""
import contextlib
import http.server
import re
import shutil
import ssl
import subprocess
import threading

import pytest

import test_examples
from browser import start_browser, stop_browser, wait_for
from machines import Machines, made
from relay import BUILD, PATIENCE, ROOT
from signers import Signer, jwks
from test_examples import EXAMPLES, listen_of, replace, running
from test_readme import block

pytestmark = pytest.mark.plain("TLS is where an example has it")

SERVER, DESK = "10.78.0.1", "10.78.0.2"
CX = "return Number(document.getElementById('ball').getAttribute('cx'))"


@pytest.fixture(scope="module")
def net():
    with made(Machines("server", "desk")) as net:
        net.line(("server", "eth", SERVER + "/24"),
                 ("desk", "eth", DESK + "/24"))
        yield net


@pytest.fixture(scope="module")
def desk(net, certificates):
    """The browser, which knows the server by two names."""
    with net.inside("desk"):
        driver = start_browser(ca=certificates.ca, options=[
            "--host-resolver-rules=MAP relay.example.org %s, "
            "MAP app.example.org %s" % (SERVER, SERVER)])
    try:
        yield driver
    finally:
        with net.inside("desk"):
            stop_browser(driver)


@pytest.fixture
def site(tmp_path, certificates):
    """A directory with all that examples name."""
    www = tmp_path / "www"
    www.mkdir()
    (www / "index.html").write_text(block("html", "WsRelay"))
    (www / "wsuri.json").write_text(block("json", "{{wsuri"))
    (tmp_path / "sim.py").write_text(block("python", "import json"))
    (tmp_path / "sim.py").chmod(0o755)
    subprocess.run([BUILD / "wsrelayctl", "key", tmp_path / "lab.key"],
                   check=True)
    (tmp_path / "tls").mkdir()
    chain, key = certificates["example"]
    shutil.copy(chain, tmp_path / "tls/fullchain.pem")
    shutil.copy(key, tmp_path / "tls/privkey.pem")
    # The names that the proxies' tests have.
    (tmp_path / "cert.pem").write_bytes(chain.read_bytes())
    (tmp_path / "key.pem").write_bytes(key.read_bytes())
    (tmp_path / "both.pem").write_bytes(chain.read_bytes() + key.read_bytes())
    return tmp_path


def placed(site, example, *changes):
    """The example with its files in site, and with these changes."""
    text = (EXAMPLES / example).read_text()
    for place in ("/etc/wsrelayd/", "/srv/sim/", "/srv/wall/",
                  "/srv/lesson/"):
        text = text.replace(place, f"{site}/")
    text = replace(text, *changes)
    ini = site / "wsrelayd.ini"
    ini.write_text(text)
    found = subprocess.run([BUILD / "wsrelayd", "-t", "-c", ini],
                           capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, ""), found.stderr
    return ini


# A listener that says nothing is on loopback.
REACHED = ("[listen public]\n",
           f"[listen public]\naddress = {SERVER}:8080\nhosts = *\n")


@contextlib.contextmanager
def served(net, ini, port=8080, host=SERVER):
    """The daemon on the server."""
    with net.inside("server"), running(
            [BUILD / "wsrelayd", "-c", ini], ini.parent, port, host):
        yield


def shows(driver, url):
    driver.get(url)
    assert driver.find_elements("id", "state"), driver.page_source
    wait_for(driver, "return document.getElementById('state')"
                     ".textContent === 'connected'", PATIENCE)
    wait_for(driver, CX + " !== 0", PATIENCE)


def steer(driver, to):
    driver.execute_script(
        "const slider = document.querySelector('input');"
        "slider.value = arguments[0];"
        "slider.dispatchEvent(new Event('input'))", to)


def shows_and_steers(net, driver, url):
    with net.inside("desk"):
        shows(driver, url)
        steer(driver, 70)
        wait_for(driver, CX + " >= 50", PATIENCE)
        # The page's end is not to meet a server that is gone.
        driver.get("about:blank")


def test_simulation(net, desk, site):
    """Changed: its address."""
    with served(net, placed(site, "simulation.ini", REACHED)):
        shows_and_steers(net, desk, f"http://{SERVER}:8080/")


def test_classroom(net, desk, site):
    """Changed: nothing but places of files."""
    ini = placed(site, "classroom.ini")
    comment = " ".join(line.lstrip("; ") for line in
                       ini.read_text().split("[listen")[0].splitlines())
    invite = re.search(r"wsrelayctl (invite .*?SERVER:8080)", comment)[1]
    link = subprocess.run(
        f"{BUILD}/wsrelayctl -c {ini} {replace(invite, ('SERVER', SERVER))}",
        shell=True, check=True, text=True,
        stdout=subprocess.PIPE).stdout.strip()
    pupils = f"http://{SERVER}:8080/"
    with served(net, ini), net.inside("desk"):
        shows(desk, pupils)
        pupil = desk.current_window_handle
        desk.switch_to.new_window("window")
        shows(desk, link)
        steer(desk, 70)
        wait_for(desk, CX + " >= 50", PATIENCE)
        teacher = desk.current_window_handle
        desk.switch_to.window(pupil)
        wait_for(desk, CX + " >= 50", PATIENCE)
        # A pupil's hand moves nothing, and the teacher's page is not theirs:
        # another person, so without the teacher's cookie.
        steer(desk, -70)
        test_examples.wait_for_line(site / "output", "denied-input")
        assert desk.execute_script(CX) >= 50
        desk.get(pupils + "desk/")
        desk.delete_all_cookies()
        desk.get(pupils + "desk/")
        assert desk.find_element("tag name", "body").text.startswith(
            "token-missing")
        desk.switch_to.window(teacher)
        steer(desk, -70)
        wait_for(desk, CX + " <= -50", PATIENCE)
        desk.close()
        desk.switch_to.window(pupil)
        desk.get("about:blank")


WALL = """
import json, math, socket, struct, threading, time
connection, _ = socket.create_server(("127.0.0.1", 7000)).accept()
x = 0
def steer():
    global x
    with connection.makefile("rb") as messages:
        while head := messages.read(5):
            x = json.loads(messages.read(struct.unpack(">IB", head)[0] - 1))["x"]
threading.Thread(target=steer, daemon=True).start()
while True:
    picture = json.dumps({"x": x + 20 * math.sin(time.time())}).encode()
    connection.sendall(struct.pack(">IB", len(picture) + 1, 1) + picture)
    time.sleep(0.02)
"""


def test_wall(net, desk, site):
    """Changed: its address. Its page is no template: the wsuri has no token
    and stands in the file as it is."""
    (site / "www/wsuri.json").write_text('{"wsuri": "/wall"}')
    ini = placed(site, "wall.ini", REACHED)
    with net.inside("server"):
        wall = subprocess.Popen(["/usr/bin/python3", "-c", WALL])
    try:
        with served(net, ini):
            shows_and_steers(net, desk, f"http://{SERVER}:8080/")
    finally:
        wall.kill()
        wall.wait()


def test_lesson(net, desk, site):
    """Changed: its address, and where wsrelayctl is."""
    (site / "www/wsuri.json").write_text('{"wsuri": "{{wsuri /lesson}}"}')
    (site / "wave.rec").write_text(
        "wsrelayd-recording 1\n\n0 text 8\n{\"x\":10}\n0.5 end\n")
    ini = placed(site, "lesson.ini", REACHED,
                 ("exec:wsrelayctl", f"exec:{BUILD}/wsrelayctl"))
    with served(net, ini), net.inside("desk"):
        shows(desk, f"http://{SERVER}:8080/")
        wait_for(desk, CX + " === 10", PATIENCE)
        desk.get("about:blank")


def test_tls(net, desk, site):
    """Changed: nothing but places of files."""
    with served(net, placed(site, "tls.ini"), 443):
        shows_and_steers(net, desk, "https://relay.example.org/")


class App(http.server.BaseHTTPRequestHandler):
    """Another site's page, whose users have signed in."""

    def do_GET(self):
        name = self.path.strip("/") or "index.html"
        body = self.server.files[name]()
        self.send_response(200)
        self.send_header("Content-Type", {
            "html": "text/html", "js": "text/javascript",
            "json": "application/json"}[name.rsplit(".")[-1]])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def app(net, site, files):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(site / "cert.pem", site / "key.pem")
    with net.inside("server"):
        server = http.server.ThreadingHTTPServer((SERVER, 443), App)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    server.files = files
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_oidc(net, desk, site):
    """Changed: its address, and a certificate, for a page of https may open
    wss only. The page is another site's, the token of the provider's key."""
    idp = Signer("RS256")
    (site / "idp.json").write_text(jwks(idp.jwk("one")))
    ini = placed(
        site, "oidc.ini", (REACHED[0], REACHED[1] + "certificates = relay\n"),
        ("[key idp]", "[certificate relay]\nchain_file = tls/fullchain.pem\n"
         "key_file = tls/privkey.pem\n\n[key idp]"))

    def wsuri():
        token = idp.token(kid="one", drop=["path"], sub="alice",
                          aud="wsrelayd",
                          iss="https://idp.example.org/realms/lab")
        return ('{"wsuri": "wss://relay.example.org:8080/sim/42?token=%s"}'
                % token).encode()
    files = {"index.html": (site / "www/index.html").read_bytes,
             "wsrelay.js":
             (ROOT / "src/page/assets/wsrelay.js").read_bytes,
             "favicon.ico": bytes, "wsuri.json": wsuri}
    with served(net, ini), app(net, site, files):
        shows_and_steers(net, desk, "https://app.example.org/")


@pytest.mark.parametrize("example", test_examples.FRONTS)
def test_proxy(net, desk, site, example):
    """Changed: nothing but places of files. The relay has what the example
    says in its first comment, and the rest of simulation.ini."""
    ini = placed(site, "simulation.ini",
                 ("[listen public]\n", "[listen public]\n"
                  "address = 127.0.0.1:8080\n%s\n" % listen_of(example)))
    (site / "proxy").mkdir()
    for file in site.glob("*.pem"):
        shutil.copy(file, site / "proxy")
    with served(net, ini, 8080, "127.0.0.1"), net.inside("server"), running(
            test_examples.FRONTS[example](site / "proxy"), site / "proxy",
            443, SERVER):
        shows_and_steers(net, desk, "https://relay.example.org/")
