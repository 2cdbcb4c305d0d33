"""A simulation that attaches itself: python3 attach.py WSURI

WSURI is wss://viz.example.org/attach/anna/42?token=... It says a line of numbers
ten times a second, and takes lines such as "speed 2" from who drives. Whoever
watches or not, it goes on; when the connection is lost it attaches again.
"""
import asyncio
import itertools
import json
import math
import sys

import websockets

speed, steps = 1.0, itertools.count()


async def hear(ws):
    global speed
    async for message in ws:
        word, _, value = message.partition(" ")
        if word == "speed":
            speed = float(value)


async def run(uri):
    async with websockets.connect(
            uri, subprotocols=["wsrelay.attach.v1"]) as ws:
        if ws.subprotocol:              # where we are, before all else
            print("attached:", json.loads(await ws.recv()), flush=True)
        listener = asyncio.create_task(hear(ws))
        try:
            while not listener.done():
                n = next(steps)
                await ws.send(f"{n} {math.sin(speed * n / 10):.4f}")
                await asyncio.sleep(0.1)
            await listener
        finally:
            listener.cancel()


async def main(uri):
    pause = 1
    while True:
        try:
            await run(uri)
        except (OSError, websockets.ConnectionClosed,
                websockets.InvalidStatusCode) as e:
            print("not attached:", e, flush=True)
            if getattr(e, "code", 0) == 3003 or \
                    getattr(e, "status_code", 0) in (401, 403):
                return                  # never again with this token
        await asyncio.sleep(pause)
        pause = min(2 * pause, 30)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
