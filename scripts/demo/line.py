#!/usr/bin/env python3
"""A thin line: a TCP port that leads to another one, and carries no more than
so many bytes a second from there, as a weak Wi-Fi would.

    line.py 8080 250000         prints the port that it listens on

A browser cannot read slowly: it reads ahead of its page, and it and its
kernel hoard seconds of pictures that nobody has looked at. A thin line is
what a relay can feel.
"""
import socket
import sys
import threading
import time

PIECE = 4096
# Little is to lie in this program and its kernel: what waits, waits in the
# relay. Segments as on Ethernet, not those of loopback, of 64 KiB.
RECEIVE, SEGMENT = 8192, 1448


def carry(source, target, rate):
    """Until one of the two ends; rate 0 is as fast as it goes."""
    due = 0.0
    try:
        while True:
            data = source.recv(PIECE)
            if not data:
                break
            target.sendall(data)
            if rate:
                now = time.monotonic()
                due = max(due, now - 0.02) + len(data) / rate
                time.sleep(max(due - now, 0))
    except OSError:
        pass
    for end in (source, target):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def join(client, port, rate):
    server = socket.socket()
    with client, server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
        try:
            server.connect(("127.0.0.1", port))
        except OSError:
            return
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        other = threading.Thread(target=carry, args=(client, server, 0),
                                 daemon=True)
        other.start()
        carry(server, client, rate)
        other.join()


def main():
    port, rate = int(sys.argv[1]), float(sys.argv[2])
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=join, args=(client, port, rate),
                         daemon=True).start()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
