"""The programs of a benchmark: how each is configured, started, ended."""

import atexit
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
OUT = os.path.join(ROOT, 'build', 'bench')
PR_SET_PDEATHSIG = 1

NGINX_MAIN = '''daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
error_log stderr error;
pid {work}/{name}.pid;
'''

# Up to the places of its one server.
NGINX_HTTP = NGINX_MAIN + '''events {{ worker_connections 16000; }}
http {{
  access_log off;
  client_body_temp_path {work}/{name}.body;
  proxy_temp_path {work}/{name}.proxy;
  fastcgi_temp_path {work}/{name}.fastcgi;
  uwsgi_temp_path {work}/{name}.uwsgi;
  scgi_temp_path {work}/{name}.scgi;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
'''

NGINX_PROXY = NGINX_HTTP + '''    location / {{
      proxy_pass http://127.0.0.1:{ws};
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection upgrade;
      proxy_read_timeout 1h;
      proxy_send_timeout 1h;
      {buffers}
    }}
  }}
}}
'''

NGINX_64K = '''proxy_buffer_size 64k;
      proxy_buffers 8 64k;
      proxy_busy_buffers_size 128k;'''

NGINX_STREAM = '''load_module /usr/lib/nginx/modules/ngx_stream_module.so;
''' + NGINX_MAIN + '''events {{ worker_connections 16000; }}
stream {{
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    proxy_pass 127.0.0.1:{ws};
    proxy_buffer_size 64k;
    proxy_timeout 1h;
  }}
}}
'''

HAPROXY = '''global
  nbthread 1
  maxconn 9000
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
frontend public
  bind 127.0.0.1:{port} backlog 4096
  default_backend echo
backend echo
  server one 127.0.0.1:{ws}
'''

WSRELAYD_SERVER = '''[server]
workers = {workers}
log_level = warn
[listen bench]
address = 127.0.0.1:{port}
'''

WSRELAYD_PAIRS = WSRELAYD_SERVER + '''[route ws]
path = /ws
backend = ws://127.0.0.1:{ws}/
{route}
[route raw]
path = /raw
backend = tcp://127.0.0.1:{tcp}
framing = raw
{route}
[route len32]
path = /len32
backend = tcp://127.0.0.1:{tcp}
framing = len32
{route}
'''

WSRELAYD_ROUTE = '''auth = none
origins = any
max_message = 16M
max_backend_message = 16M'''


class Failed(Exception):
    """A message for the person who runs this."""


# The core of the relay, and that of the load and the backends. Asked once:
# the benchmark itself moves to the second one later.
USABLE = sorted(os.sched_getaffinity(0))
RELAY_CORE, LOAD_CORE = USABLE[0], USABLE[1 if len(USABLE) > 1 else 0]


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def tree(pid):
    """pid and all its descendants."""
    parents = {}
    for entry in os.listdir('/proc'):
        if entry.isdigit():
            try:
                with open('/proc/%s/stat' % entry) as f:
                    fields = f.read().rpartition(')')[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry))
    found = [pid]
    for each in found:
        found += parents.get(each, [])
    return found


class Process:
    """A program pinned to a core; it ends with the benchmark."""

    running = []

    def __init__(self, name, argv, core, env=None):
        self.name = name
        self.log = os.path.join(OUT, 'work', name + '.log')
        libc = ctypes.CDLL(None)

        def prepare():
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            os.sched_setaffinity(0, {core})

        with open(self.log, 'wb') as log:
            self.popen = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=dict(os.environ, **(env or {})), preexec_fn=prepare,
                start_new_session=True)
        Process.running.append(self)

    def wait_port(self, port):
        until = time.monotonic() + 10
        while time.monotonic() < until and self.popen.poll() is None:
            with socket.socket() as s:
                if s.connect_ex(('127.0.0.1', port)) == 0:
                    return
            time.sleep(0.02)
        with open(self.log) as f:
            raise Failed('%s does not start:\n%s' % (self.name, f.read()))

    def signal(self, number):
        try:
            os.killpg(self.popen.pid, number)
        except ProcessLookupError:
            pass

    def stop(self):
        if self in Process.running:
            Process.running.remove(self)
        self.signal(signal.SIGTERM)
        try:
            self.popen.wait(3)
        except subprocess.TimeoutExpired:
            pass
        self.signal(signal.SIGKILL)     # children of its group, too
        self.popen.wait()


@atexit.register
def stop_all():
    for process in list(Process.running):
        process.stop()


class Backends:
    """The echo servers that all relays share, a port for each kind."""

    def __init__(self):
        self.ws = self.begin('ws')
        self.tcp = self.begin('tcp')
        self.tagged = self.begin('tagged')

    @staticmethod
    def begin(kind):
        port = free_port()
        Process('backend-' + kind,
                [os.path.join(OUT, 'backend'), '--' + kind, str(port)],
                LOAD_CORE).wait_port(port)
        return port


class Relay:
    """One way to relay: a program, and a path of it."""

    def __init__(self, name, label, path='/ws', stream=False):
        self.name = name
        self.label = label
        self.path = path
        self.stream = stream
        self.port = None
        self.process = None

    def available(self):
        return True

    def load_options(self):
        """What the load generator must know besides, by its letters."""
        return {}

    def argv(self, work, backends):
        raise NotImplementedError

    def configure(self, work, text, backends, **more):
        """Writes the configuration; returns the file's name."""
        file = os.path.join(work, self.name + '.conf')
        with open(file, 'w') as f:
            f.write(text.format(
                work=work, name=self.name, port=self.port,
                ws=backends.ws, tcp=backends.tcp, tagged=backends.tagged,
                **more))
        return file

    def start(self, backends, env=None):
        self.port = free_port()
        argv = self.argv(os.path.join(OUT, 'work'), backends)
        self.process = Process(self.name, argv, RELAY_CORE, env)
        self.process.wait_port(self.port)

    def stop(self):
        if self.process is not None:
            self.process.stop()
        self.process = None

    def pids(self):
        return tree(self.process.popen.pid)


class Direct(Relay):
    """No relay at all: what the path, the load and the backend cost."""

    def start(self, backends, env=None):
        self.port = backends.ws

    def stop(self):
        pass

    def pids(self):
        return []


class Nginx(Relay):
    modules = '/usr/lib/nginx/modules/'

    def __init__(self, name, label, template, buffers='', module=None):
        super().__init__(name, label)
        self.template = template
        self.buffers = buffers
        self.module = module

    def available(self):
        return shutil.which('nginx', path='/usr/sbin:/usr/bin:' +
                            os.environ.get('PATH', '')) is not None and (
            self.module is None or
            os.path.exists(self.modules + self.module))

    def argv(self, work, backends):
        file = self.configure(work, self.template, backends,
                              buffers=self.buffers)
        return ['/usr/sbin/nginx', '-e', 'stderr', '-p', work, '-c', file]


class Haproxy(Relay):
    template = HAPROXY

    def available(self):
        return os.path.exists('/usr/sbin/haproxy')

    def argv(self, work, backends):
        file = self.configure(work, self.template, backends)
        return ['/usr/sbin/haproxy', '-db', '-q', '-f', file]


class Wsrelayd(Relay):
    binary = os.path.join(ROOT, 'build', 'profile', 'wsrelayd')
    template = WSRELAYD_PAIRS
    workers = 1

    def available(self):
        return os.access(self.binary, os.X_OK)

    def argv(self, work, backends):
        file = self.configure(work, self.template, backends,
                              route=WSRELAYD_ROUTE, workers=self.workers)
        return [self.binary, '-c', file]


def all_relays():
    return [
        Nginx('nginx-4k', 'nginx, default buffers', NGINX_PROXY),
        Nginx('nginx-64k', 'nginx, 64 KiB buffers', NGINX_PROXY,
              NGINX_64K),
        Nginx('nginx-stream', 'nginx stream (layer 4), 64 KiB',
              NGINX_STREAM, module='ngx_stream_module.so'),
        Haproxy('haproxy', 'haproxy, http'),
        Wsrelayd('wsrelayd', 'wsrelayd, ws backend'),
        Wsrelayd('wsrelayd-raw', 'wsrelayd, tcp backend, raw', '/raw',
                 stream=True),
        Wsrelayd('wsrelayd-len32', 'wsrelayd, tcp backend, len32',
                 '/len32'),
    ]
