"""The users' servers, in a process of their own: ``python -m benchmarks.drill.servers COUNT``.

Prints their ports, as JSON. Each says who it is, by its port. ``.../ws`` echoes messages, with the port before
each; ``.../slow`` is a download of :data:`SECONDS`; everything else is answered at once.
"""

from __future__ import annotations

import asyncio
import json
import sys

from aiohttp import web

SECONDS = 20.0
_INTERVAL, _CHUNK = 0.2, 1024


async def answer(request: web.Request) -> web.StreamResponse:
    assert request.transport
    name = str(request.transport.get_extra_info("sockname")[1])
    if request.path.endswith("/ws"):
        return await _echo(request, name)
    if request.path.endswith("/slow"):
        return await _slow(request)
    return web.Response(text=name)


async def _echo(request: web.Request, name: str) -> web.WebSocketResponse:
    websocket = web.WebSocketResponse(compress=False)
    await websocket.prepare(request)
    async for message in websocket:
        await websocket.send_str(f"{name}: {message.data}")
    return websocket


async def _slow(request: web.Request) -> web.StreamResponse:
    chunks = round(SECONDS / _INTERVAL)
    response = web.StreamResponse(headers={"Content-Length": str(chunks * _CHUNK)})
    await response.prepare(request)
    for _ in range(chunks):
        await response.write(bytes(_CHUNK))
        await asyncio.sleep(_INTERVAL)
    return response


async def main(count: int) -> None:
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    for _ in range(count):
        await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(json.dumps([port for _, port in runner.addresses]), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
