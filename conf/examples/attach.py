"""A simulation that attaches itself: python3 attach.py WSURI

WSURI is wss://viz.example.org/attach/anna/42?token=... It says a line of numbers
ten times a second, and takes lines such as "speed 2" from who drives. Whoever
watches or not, it goes on; when the connection is lost it attaches again.
"""
import asyncio
import json
import math
import random
import sys
import time

import websockets

speed, line = 1.0, None         # the line to the relay, while there is one


async def simulate():
    phase, n = 0.0, 0
    while True:
        phase, n = phase + speed / 10, n + 1
        if line:
            try:
                await line.send(f"{n} {math.sin(phase):.4f}")
            except websockets.ConnectionClosed:
                pass            # attach() sees it, too
        await asyncio.sleep(0.1)


def steer(message):
    """It may be anything: people have sent it."""
    global speed
    try:
        word, value = message.split()
        if word == "speed" and abs(float(value)) <= 100:
            speed = float(value)
    except ValueError:
        pass


async def attach(uri):
    """Returns, or raises what ended it, when the connection is over."""
    global line
    async with websockets.connect(
            uri, subprotocols=["wsrelay.attach.v1"]) as ws:
        if ws.subprotocol:      # where we are, before all else
            print("attached:", json.loads(await ws.recv()), flush=True)
        line = ws
        try:
            async for message in ws:
                steer(message)
        finally:
            line = None


def is_for_good(e):
    """Its place is another's now; no token like this one attaches there."""
    status = getattr(e, "response", e)          # of websockets 14 and later
    return getattr(e, "code", 0) == 3003 or \
        getattr(status, "status_code", 0) in (401, 403, 404)


async def stay_attached(uri):
    pause = 1
    while True:
        began = time.monotonic()
        try:
            await attach(uri)
        except (OSError, asyncio.TimeoutError,
                websockets.WebSocketException) as e:
            print("not attached:", e, flush=True)
            if is_for_good(e):
                return          # the simulation goes on
        pause = 1 if time.monotonic() - began > 60 else min(2 * pause, 30)
        await asyncio.sleep(pause * random.random())


async def main(uri):
    await asyncio.gather(simulate(), stay_attached(uri))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
