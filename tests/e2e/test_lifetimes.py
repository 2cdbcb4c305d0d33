"""Connections end when they were meant to, and not before.

WebSockets.jl had this test: 36 connections with planned lives from 1 to 256
seconds, side by side. WSRELAY_LIFETIMES=full takes the whole time, otherwise
all is 64 times as fast.
"""
import asyncio
import os
import time

import pytest
import websockets

N = 36
FULL = os.environ.get("WSRELAY_LIFETIMES") == "full"
FACTOR = 1 if FULL else 1 / 64
LIVES = [256 ** (i / (N - 1)) * FACTOR for i in range(N)]
# How late a close may be seen, and what a busy machine adds: twice what this
# process was late itself meanwhile.
LATE = 1.0


async def lag(seen):
    """Notes how late a sleep ends here, the latest."""
    while True:
        due = time.monotonic() + 0.02
        await asyncio.sleep(0.02)
        seen.append(max(time.monotonic() - due, seen.pop()))


@pytest.mark.timeout(400 if FULL else 60)
@pytest.mark.parametrize("who", ["client", "backend"])
def test_planned_lives(relay, who):
    began = {}  # by whose clock the life is planned
    seen_by_backend = {}

    async def backend(ws):
        n = int(ws.path.rsplit("/", 1)[1])
        if who == "backend":
            began[n] = time.monotonic()
            await asyncio.sleep(LIVES[n])
            await ws.close(1000, f"planned {n}")
        else:
            await ws.wait_closed()
            seen_by_backend[n] = (time.monotonic(), ws.close_rcvd)

    async def client(url, n, results):
        async with websockets.connect(f"{url}/{n}",
                                      ping_interval=None) as ws:
            if who == "client":
                began[n] = time.monotonic()
                await asyncio.sleep(LIVES[n])
                assert ws.open, f"{n} ended before its time"
                await ws.close(1000, f"planned {n}")
            else:
                await ws.wait_closed()
                assert (ws.close_rcvd.code, ws.close_rcvd.reason) == \
                    (1000, f"planned {n}")
            results[n] = time.monotonic()
            assert ws.close_code == 1000

    async def run():
        async with websockets.serve(backend, "127.0.0.1", 0,
                                    ping_interval=None) as server:
            port = server.sockets[0].getsockname()[1]
            r = relay(f"""
[route life]
path = /life/{{*}}
backend = ws://127.0.0.1:{port}/{{*}}
auth = none
ping_interval = {"30s" if FULL else "500ms"}
""")
            results, lags = {}, [0.0]
            clock = asyncio.ensure_future(lag(lags))
            await asyncio.gather(*(client(r.url("/life"), n, results)
                                   for n in range(N)))
            clock.cancel()
            late = LATE + 2 * lags[0]
            for n, closed in results.items():
                life = closed - began[n]
                assert LIVES[n] - 0.01 <= life <= LIVES[n] + late, n
            if who == "client":
                while len(seen_by_backend) < N:
                    await asyncio.sleep(0.01)
                for n, (when, close) in seen_by_backend.items():
                    assert (close.code, close.reason) == \
                        (1000, f"planned {n}")
                    life = when - began[n]
                    assert LIVES[n] - 0.01 <= life <= LIVES[n] + late, n
            r.wait_log("close", count=N, reason=who + "-close", code=1000)
            ages = sorted(int(x["age_ms"]) for x in r.log("close"))
            for age, life in zip(ages, LIVES):
                # The relay's clock starts when it has got around to it.
                assert (life - late) * 1000 <= age <= (life + late) * 1000
    asyncio.run(run())
