"""An HTTP proxy that knows CONNECT."""
import base64
import contextlib
import socket
import threading

from peers import Wire


class Proxy:
    """with Proxy("user:password") as p: ... p.port, p.asked"""

    def __init__(self, user=None):
        self.wanted = user and "Basic " + base64.b64encode(
            user.encode()).decode()
        self.asked = []
        self.sockets = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in (self.listener, *self.sockets):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                s, _ = self.listener.accept()
                self.sockets.append(s)
                threading.Thread(target=self._serve, args=(s,),
                                 daemon=True).start()

    def _serve(self, s):
        with contextlib.suppress(OSError, EOFError):
            lines = Wire(s).until(b"\r\n\r\n").decode().split("\r\n")
            fields = dict(x.split(": ", 1) for x in lines[1:] if x)
            method, target, _ = lines[0].split()
            assert method == "CONNECT"
            if self.wanted and fields.get("Proxy-Authorization") != \
                    self.wanted:
                s.sendall(b"HTTP/1.1 407 Who are you?\r\n"
                          b"Proxy-Authenticate: Basic\r\n\r\n")
                s.close()
                return
            self.asked.append(target)
            host, port = target.rsplit(":", 1)
            far = socket.create_connection((host.strip("[]"), int(port)))
            self.sockets.append(far)
            s.sendall(b"HTTP/1.1 200 Connected\r\nVia: here\r\n\r\n")
            s.settimeout(None)
            threading.Thread(target=self._pump, args=(far, s),
                             daemon=True).start()
            self._pump(s, far)

    @staticmethod
    def _pump(a, b):
        with contextlib.suppress(OSError):
            while data := a.recv(65536):
                b.sendall(data)
        with contextlib.suppress(OSError):
            b.shutdown(socket.SHUT_WR)
