"""A simulation as a service of its own (sim@.service): a pendulum. It speaks
lines of JSON on the socket that systemd passes, to one relay at a time; a line
that it gets is a push. It ends when nobody has been there for ten minutes."""
import json
import math
import select
import socket
import sys
import time

STEP = 0.05     # seconds
PATIENCE = 600


def serve(peer, state):
    """Until the relay leaves: with mode = hub, when its last client has."""
    waiting = b""
    due = time.monotonic()
    while True:
        wait = max(0, due - time.monotonic())
        if select.select([peer], [], [], wait)[0]:
            got = peer.recv(4096)
            if not got:
                return
            *lines, waiting = (waiting + got).split(b"\n")
            state["speed"] += sum(map(float, lines))
            continue
        state["speed"] -= 9.81 * math.sin(state["angle"]) * STEP
        state["angle"] += state["speed"] * STEP
        peer.sendall(json.dumps(state).encode() + b"\n")
        due += STEP


def main(name):
    listener = socket.socket(fileno=3)
    state = {"name": name, "angle": 1.0, "speed": 0.0}
    while select.select([listener], [], [], PATIENCE)[0]:
        peer = listener.accept()[0]
        try:
            with peer:
                serve(peer, state)
        except (OSError, ValueError) as e:
            print(e, file=sys.stderr)


main(sys.argv[1])
