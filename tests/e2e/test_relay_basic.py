"""The shortest way through the daemon, once per built-in thing."""
import asyncio

import pytest
import websockets

ROUTES = """
[route echo]
path = /echo
backend = echo:
auth = none

[route cat]
path = /cat
backend = exec:/bin/cat
auth = none

[route nested]
path = /nested/{*}
backend = ws://127.0.0.1:{port}/{*}
auth = none
"""


@pytest.mark.parametrize("path", ["/echo", "/cat"])
def test_echo(relay, path):
    r = relay(ROUTES.split("[route nested]")[0])

    async def run():
        async with websockets.connect(r.url(path), max_size=None) as ws:
            for message in ["hi", "x" * 70000, "", "æøå 漢字 🌊"]:
                await ws.send(message)
                assert await ws.recv() == message
            await (await ws.ping())
    asyncio.run(run())
    line = r.wait_log("close", reason="client-close")
    assert line["client_messages"] == line["backend_messages"] == "4"
    assert line["client_bytes"] == line["backend_bytes"]
