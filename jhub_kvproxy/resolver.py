"""The addresses of host names, within a time limit."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_PATIENCE = 3.0
# A question to a name server that does not answer keeps its thread for half a minute, whoever waits for it or not.
# So names have threads of their own.
_THREADS = ThreadPoolExecutor(max_workers=4, thread_name_prefix="resolver")

#: What :func:`socket.getaddrinfo` gives.
Answers = list[tuple[Any, ...]]


async def lookup(host: str) -> list[str]:
    """The addresses of `host`, a name or an address, each once.

    Raises OSError when it has none, or when no name server tells them within 3 s.
    """
    if not host:
        raise OSError("an empty name has no address")
    answers = await _ask(host, None)
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


async def listening_addresses(host: str, port: int) -> Answers:
    """What a server that listens on `host` (empty: all interfaces) and `port` binds its sockets to.

    Raises OSError like :func:`lookup`.
    """
    return await _ask(host or None, port, flags=socket.AI_PASSIVE)


async def _ask(host: str | None, port: int | None, *, flags: int = 0) -> Answers:
    question = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        # No name server is asked for an address: it needs no thread, which those that ask may all keep.
        with contextlib.suppress(socket.gaierror):
            return question(flags=flags | socket.AI_NUMERICHOST)
        async with asyncio.timeout(_PATIENCE):
            return await asyncio.get_running_loop().run_in_executor(_THREADS, functools.partial(question, flags=flags))
    except TimeoutError as error:
        raise OSError(f"no name server tells the address of {host} within {_PATIENCE:g} s") from error
    except ValueError as error:  # of the codec for names, or a null byte
        raise OSError(f"{host!r} is not a host name") from error
