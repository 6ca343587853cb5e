"""A writer that is killed leaves whole batches in each of our stores."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import tomllib

from jhub_kvproxy import Batch
from jhub_kvproxy.store.registry import find_backend
from tests.stores import on_every_store

KEYS = [f"traefik/http/routers/r{n}/rule" for n in range(5)] + [f"routes/r{n}" for n in range(5)]
WRITER = """
import asyncio, json, sys
from jhub_kvproxy import Batch
from jhub_kvproxy.store.registry import find_backend

async def main(name, traits, keys):
    backend = find_backend(name)(**json.loads(traits))
    await backend.open()
    for number in range(10**6):
        await backend.apply(Batch(dict.fromkeys(json.loads(keys), str(number))))
        print(number, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@on_every_store
async def test_a_writer_killed_at_any_moment_leaves_whole_batches(store):
    """Each batch writes one number to ten keys: any mixture of numbers would be half a batch."""
    traits = {**store.traits, "prefix": store.prefix}
    backend = find_backend(store.name)(**traits)
    await backend.open()
    command = [sys.executable, "-c", WRITER, store.name, json.dumps(traits), json.dumps(KEYS)]
    for kill in range(10):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            for _ in range(2 + kill):
                committed = int(writer.stdout.readline())
            time.sleep(kill * 0.0005)
            writer.send_signal(signal.SIGKILL)
            committed = int(([committed, *writer.stdout.read().split()])[-1])
        keys = (await backend.load()).keys
        assert keys.keys() == set(KEYS)
        (number,) = set(keys.values())
        assert int(number) in (committed, committed + 1)  # durable when apply returned
        if store.name == "toml":
            table = tomllib.loads(backend.traefik_file.read_text())
            assert table["http"]["routers"] == {f"r{n}": {"rule": number} for n in range(5)}
        await backend.apply(Batch(dict.fromkeys(KEYS)))
    await backend.close()
