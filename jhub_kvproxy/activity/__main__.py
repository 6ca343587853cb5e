"""``python -m jhub_kvproxy.activity``: the agent, as a program."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys

from ..errors import KVProxyError
from .agent import serve

TOKEN_ENV = "KVPROXY_ACTIVITY_TOKEN"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m jhub_kvproxy.activity",
        description="Tells a hub when the servers behind the Traefik beside it were used. The token, which the hub "
        f"must have too, is the environment variable {TOKEN_ENV}.",
    )
    parser.add_argument("--ip", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8098, help="port to listen on (default: %(default)s)")
    options = parser.parse_args()
    token = os.environ.get(TOKEN_ENV, "")
    if not token:
        sys.exit(f"Set {TOKEN_ENV} in the environment, to what the hub has there.")
    try:
        asyncio.run(_until_terminated(options.ip, options.port, token))
    except (KVProxyError, OSError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        pass


async def _until_terminated(ip: str, port: int, token: str) -> None:
    task = asyncio.create_task(serve(ip, port, token))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


if __name__ == "__main__":
    main()
