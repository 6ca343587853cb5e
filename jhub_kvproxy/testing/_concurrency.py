"""Tests with several objects at once: a batch is applied whole or not at all, and no change is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from ..errors import BackendError
from ..store.contract import Backend, Batch
from ._kit import Kit, Suite, assert_same, asynchronous, batch_of, read_while
from .block import longest_block

_ROUNDS = 40
_MANY = 6000


class ConcurrencyTests(Suite):
    """What readers see while others write, and what cancelled calls leave."""

    @asynchronous
    async def test_a_reader_sees_whole_batches(self, kit: Kit) -> None:
        keys = [f"traefik/http/routers/r{number}/rule" for number in range(5)] + [f"routes/{n}" for n in range(5)]
        await _read_while_writing(kit, keys[: kit.backend.max_txn_ops])

    @asynchronous
    async def test_a_large_table_is_read_as_of_one_moment(self, kit: Kit) -> None:
        """The table is so large that a driver may need several requests; the keys that change are far apart."""
        others = {f"routes/p.user.{number:05}": "x" * 100 for number in range(_MANY)}
        with longest_block() as filling:
            await kit.fill(others)
        with longest_block() as loading:
            loaded = (await kit.backend.load()).keys
        assert_same(loaded, others, "A large table must come back whole.")
        print(f"The event loop was blocked for {loading.seconds:.3f} s at most while {_MANY} keys were loaded,")
        print(f"and for {filling.seconds:.3f} s while they were applied.")
        keys = ["routes/!first", "routes/p.user.03000-", "routes/~last"]
        await _read_while_writing(kit, keys, others, reads_at_least=6)

    @asynchronous
    async def test_two_writers_lose_nothing(self, kit: Kit) -> None:
        async def write(backend: Backend, name: str) -> None:
            for number in range(_ROUNDS):
                await backend.apply(
                    Batch(
                        {
                            f"routes/{name}{number}": name,
                            f"routes/{name}{number - 1}": None,
                            f"traefik/http/routers/{name}{number}/rule": name,
                            "routes/last": name,
                        }
                    )
                )

        await asyncio.gather(write(kit.backend, "a"), write(await kit.opened(), "b"))
        last = (await kit.backend.load()).keys.get("routes/last", "missing")
        expected = {f"traefik/http/routers/{name}{n}/rule": name for name in "ab" for n in range(_ROUNDS)}
        expected |= {f"routes/{name}{_ROUNDS - 1}": name for name in "ab"} | {"routes/last": last}
        assert last in ("a", "b")
        await kit.holds(expected, "apply() must leave the keys that another object writes at the same time.")

    @asynchronous
    async def test_a_cancelled_call_leaves_whole_batches(self, kit: Kit) -> None:
        """Cancel calls at many moments: each batch is applied whole or not at all."""
        keys = [f"routes/{number}" for number in range(min(10, kit.backend.max_txn_ops or 10))]
        await kit.backend.apply(batch_of(0, *keys))
        reader = await kit.opened()
        for number in range(1, _ROUNDS):
            for call in (kit.backend.apply(batch_of(number, *keys)), kit.backend.load()):
                task = asyncio.ensure_future(call)
                for _ in range(number // 2):
                    await asyncio.sleep(0)
                task.cancel()
                with suppress(asyncio.CancelledError, BackendError):  # any other error fails the test
                    await task
            _assert_is_whole((await reader.load()).keys.values(), len(keys))
        await kit.backend.apply(batch_of("last", "routes/last"))
        keys_now = dict((await reader.load()).keys)
        assert keys_now.pop("routes/last", "") == "last", (
            "A backend must be usable after one of its calls was cancelled."
        )
        _assert_is_whole(keys_now.values(), len(keys))

    @asynchronous
    async def test_what_a_load_did_not_return_is_not_made_later(self, kit: Kit) -> None:
        """Cancel `apply` at many moments, and then load twice, with time in between."""
        other = await kit.opened(kit.prefix + "-other")
        await kit.backend.apply(batch_of(0, "routes/a"))
        for number in range(1, _ROUNDS):
            task = asyncio.ensure_future(kit.backend.apply(batch_of(number, "routes/a")))
            for _ in range(number // 2):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError, BackendError):
                await task
            before = (await kit.backend.load()).keys
            await asyncio.sleep(0.02)
            await other.apply(batch_of(number, "routes/b"))
            assert (await kit.backend.load()).keys == before, (
                "Changes of an apply() that was cancelled, and that load() did not return, must not be made later."
            )


async def _read_while_writing(
    kit: Kit, keys: list[str], others: dict[str, str] | None = None, reads_at_least: int = 20
) -> None:
    """Write a number to all `keys`, again and again, while another object reads: all keys must have the same number."""

    def check(snapshot: dict[str, str]) -> None:
        _assert_is_whole([snapshot.get(key) for key in keys], len(keys))
        assert len(snapshot) == len(keys) + len(others or ()), "load() must return the whole table."

    await read_while(kit, lambda number: batch_of(number, *keys), check, _ROUNDS, reads_at_least)


def _assert_is_whole(values: Iterable[object], count: int) -> None:
    found = list(values)
    assert len(found) == count, "apply() is all or nothing, but keys of the batch are missing."
    assert len(set(found)) == 1, "apply() is all or nothing, and load() reads one moment; this mixes two batches."
