"""A stand-in for the relay, to test what a page does with its answers.

    with StubRelay() as relay:
        relay.plan = [("close", 3000, "token-expired: ..."), ("serve",)]
        driver.get(relay.url + "/page.html")
        relay.connects        # [Connect(at, number, protocols), ...]

Serves a test page, wsrelay.js as it is in the source, a fresh wsuri at each
/wsuri.json, and /healthz. Every connect takes the next step of the plan; the
last one stays:

    ("serve",)              echoes what comes
    ("close", code, reason) finishes the upgrade and closes at once
    ("die",)                finishes the upgrade and breaks the connection
    ("http", status)        refuses the upgrade, as a proxy might

down() and up() are the relay being stopped and started on the same port.
"""
import asyncio
import collections
import pathlib
import threading
import time

from aiohttp import WSMsgType, web

from relay import free_port

ASSETS = pathlib.Path(__file__).resolve().parents[2] / "src/page/assets"
PAGE = """<!doctype html><title>test</title>
<script src="/wsrelay.js"></script>
<script>
const told = [], events = [], heard = [];
function start(source, options = {}) {
    window.relay = new WsRelay(source, {
        base: 40, cap: 160, settle: 400,
        onstatus: (text, how) =>
            told.push({ text, at: performance.now(), ...how }),
        onopen: () => events.push('open'),
        onclose: e => events.push('close ' + e.code),
        onmessage: e => heard.push(e.data),
        ...options });
}
</script>
"""

Connect = collections.namedtuple("Connect", "at number protocols")


class StubRelay:
    def __init__(self):
        self.plan = [("serve",)]
        self.healthy = True         # whether /healthz answers ok
        self.wsuri_answer = None    # (status, text) in place of a wsuri
        self.minted = 0
        self.invitations = []       # what came with each request for one
        self.connects = []
        self.port = free_port()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever,
                                        daemon=True)
        self._runner = None
        self._sockets = set()

    def __enter__(self):
        self._thread.start()
        self.up()
        return self

    def __exit__(self, *_):
        self.down()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.port

    def up(self):
        self._call(self._start())

    def down(self):
        self._call(self._stop())

    def cut(self):
        """Breaks every open connection, without a close frame."""
        self._call(self._abort())

    def _call(self, coroutine):
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _start(self):
        app = web.Application()
        app.router.add_get("/page.html", self._page)
        app.router.add_get("/wsrelay.js", self._script)
        app.router.add_get("/wsuri.json", self._wsuri)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/sim/demo", self._websocket)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port,
                           shutdown_timeout=0.1, reuse_address=True)
        await site.start()

    async def _stop(self):
        if self._runner is not None:
            await self._abort()
            await self._runner.cleanup()
            self._runner = None

    async def _abort(self):
        for transport in list(self._sockets):
            transport.abort()

    @staticmethod
    async def _page(_):
        return web.Response(text=PAGE, content_type="text/html")

    @staticmethod
    async def _script(_):
        return web.FileResponse(ASSETS / "wsrelay.js")

    async def _wsuri(self, request):
        self.minted += 1
        self.invitations.append(request.query.get("token"))
        if self.wsuri_answer is not None:
            status, text = self.wsuri_answer
            return web.Response(status=status, text=text)
        return web.json_response({
            "wsuri": "ws://%s/sim/demo?token=%d" % (request.host,
                                                    self.minted),
            "extra": "kept"})

    async def _healthz(self, _):
        return web.Response(status=200 if self.healthy else 503,
                            text="ok\n" if self.healthy else "no\n")

    async def _websocket(self, request):
        step = self.plan[0]
        if len(self.plan) > 1:
            self.plan.pop(0)
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        self.connects.append(Connect(
            time.monotonic(), int(request.query.get("token", 0)),
            [p.strip() for p in offered.split(",") if p.strip()]))
        if step[0] == "http":
            return web.Response(status=step[1])
        ws = web.WebSocketResponse(protocols=("chat", "wsuri"))
        await ws.prepare(request)
        if step[0] == "close":
            await ws.close(code=step[1], message=step[2].encode())
        elif step[0] == "die":
            request.transport.abort()
        else:
            await self._echo(request, ws)
        return ws

    async def _echo(self, request, ws):
        transport = request.transport   # the request forgets it at the end
        self._sockets.add(transport)
        try:
            async for message in ws:
                if message.type == WSMsgType.TEXT:
                    await ws.send_str(message.data)
                elif message.type == WSMsgType.BINARY:
                    await ws.send_bytes(message.data)
        finally:
            self._sockets.discard(transport)
