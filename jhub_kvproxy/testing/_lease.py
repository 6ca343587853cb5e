"""Tests of the lease: SupportsLease."""

from __future__ import annotations

import asyncio
from typing import ClassVar, Protocol, cast

import pytest

from ..errors import LeaseHeld, LeaseLost
from ..store.contract import Backend, Batch, Snapshot, SupportsLease
from ._kit import Kit, Suite, asynchronous, batch_of, until

_LONG = 600.0
_FENCED = (
    "After the first acquire_lease(), apply() must raise LeaseLost and change nothing while the object has no lease"
)


class Lessee(Protocol):
    """A backend with a lease."""

    max_txn_ops: int | None

    async def apply(self, batch: Batch) -> None: ...
    async def load(self) -> Snapshot: ...
    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def acquire_lease(self, holder: str, ttl: float) -> None: ...
    async def release_lease(self) -> None: ...


class LeaseTests(Suite):
    """`acquire_lease` and `release_lease`, for backends that have them."""

    #: The shortest lease that the store can keep, in seconds. Four tests wait until one has expired.
    shortest_lease: ClassVar[float] = 1.0

    @asynchronous
    async def test_a_lease_keeps_another_out_and_says_who_has_it(self, kit: Kit) -> None:
        first, second = await lessees(kit)
        await first.acquire_lease("hub-1 on node-7 (pid 42)", _LONG)
        for _ in range(2):
            with pytest.raises(LeaseHeld) as held:
                await second.acquire_lease("hub-2", _LONG)
            assert "hub-1 on node-7 (pid 42)" in str(held.value), "LeaseHeld must say who has the lease."
            assert held.value.seconds in (None, _LONG), (
                "LeaseHeld.seconds must be the ttl of who has the lease, or None."
            )
        await first.acquire_lease("hub-1 on node-7 (pid 42)", _LONG)
        with pytest.raises(LeaseHeld):
            await second.acquire_lease("hub-2", _LONG)

    @asynchronous
    async def test_release_lets_another_in_at_once(self, kit: Kit) -> None:
        first, second = await lessees(kit)
        for _ in range(3):
            await first.acquire_lease("first", _LONG)
            await first.release_lease()
            await second.acquire_lease("second", _LONG)
            await second.release_lease()

    @asynchronous
    async def test_release_without_a_lease_is_harmless(self, kit: Kit) -> None:
        first, second = await lessees(kit)
        await first.release_lease()
        await first.acquire_lease("first", _LONG)
        await second.release_lease()
        with pytest.raises(LeaseHeld):
            await second.acquire_lease("second", _LONG)
        await second.release_lease()
        await first.apply(batch_of(1, "routes/a"))  # it still has the lease
        await first.release_lease()
        await first.release_lease()

    @asynchronous
    async def test_close_releases_the_lease(self, kit: Kit) -> None:
        first, second = await lessees(kit)
        await first.acquire_lease("first", _LONG)
        await first.close()
        await second.acquire_lease("second", _LONG)
        await first.open()
        await first.apply(batch_of(1, "routes/a"))  # it has asked for no lease since
        await kit.holds({"routes/a": "1"})

    @asynchronous
    async def test_of_many_at_once_one_has_it(self, kit: Kit) -> None:
        first, second = await lessees(kit)
        many = [first, second, *[cast(Lessee, await kit.opened()) for _ in range(4)]]
        for _ in range(3):
            calls = (backend.acquire_lease(f"number {number}", _LONG) for number, backend in enumerate(many))
            results = await asyncio.gather(*calls, return_exceptions=True)
            for result in results:
                if result is not None and not isinstance(result, LeaseHeld):
                    raise result
            assert results.count(None) == 1, "If several ask for the lease at once, exactly one must get it."
            await asyncio.gather(*(backend.release_lease() for backend in many))

    @asynchronous
    async def test_the_holder_applies_and_everybody_loads(self, kit: Kit) -> None:
        first, second = await lessees(kit)
        await first.acquire_lease("first", _LONG)
        keys = [f"routes/{number}" for number in range(first.max_txn_ops or 100)]
        await first.apply(batch_of(1, *keys))
        rule = "apply() must accept max_txn_ops keys with a lease too; the lease is not part of the table."
        for backend in (first, second):
            await kit.holds(dict.fromkeys(keys, "1"), rule, cast(Backend, backend))
        await first.apply(Batch(dict.fromkeys(keys)))
        await kit.holds({}, rule)

    @asynchronous
    async def test_who_asked_for_no_lease_is_free(self, kit: Kit) -> None:
        first, second = await lessees(kit)
        await first.acquire_lease("first", _LONG)
        await second.apply(batch_of(2, "routes/a"))
        await first.apply(batch_of(1, "routes/b"))
        await first.release_lease()
        await first.apply(batch_of(1, "routes/c"))
        await kit.holds(
            {"routes/a": "2", "routes/b": "1", "routes/c": "1"},
            "apply() of an object that did not ask for the lease, or released it, must not check the lease.",
        )

    @asynchronous
    async def test_who_was_refused_cannot_write(self, kit: Kit) -> None:
        first, second = await lessees(kit)
        await first.acquire_lease("first", _LONG)
        with pytest.raises(LeaseHeld):
            await second.acquire_lease("second", _LONG)
        await assert_refused(kit, second, {}, "also when the first acquire_lease() was refused.")
        await first.apply(batch_of(1, "routes/a"))
        await second.release_lease()
        await second.apply(batch_of(2, "routes/b"))
        await kit.holds({"routes/a": "1", "routes/b": "2"}, "After release_lease(), apply() must not check the lease.")

    @asynchronous
    async def test_each_prefix_has_a_lease_of_its_own(self, kit: Kit) -> None:
        first, _ = await lessees(kit)
        others = [await kit.opened(kit.prefix + end) for end in ("2", "/", "/lease", "*")]
        for number, backend in enumerate([first, *(cast(Lessee, other) for other in others)]):
            await backend.acquire_lease(f"number {number}", _LONG)
            await backend.apply(batch_of(number, "routes/a"))

    @asynchronous
    async def test_who_lost_the_lease_cannot_write(self, kit: Kit) -> None:
        first, second = await lessees(kit)

        async def is_written() -> bool:
            await first.acquire_lease("first", self.shortest_lease)
            try:
                await first.apply(batch_of(1, "routes/a"))
            except LeaseLost:  # on a busy machine it may have expired by now
                return False
            return True

        await until(is_written, "The object that has the lease must be able to write.")
        await _until_acquired(second, "second")
        await assert_refused(kit, first, {"routes/a": "1"}, "after it expired and another acquired it.")
        await second.apply(batch_of(2, "routes/a"))
        await assert_refused(kit, first, {"routes/a": "2"}, "after another wrote.")
        with pytest.raises(LeaseHeld, match="second"):
            await first.acquire_lease("first", _LONG)
        await second.release_lease()
        await assert_refused(
            kit, first, {"routes/a": "2"}, "after another released it: the table may have changed meanwhile."
        )
        await first.acquire_lease("first", _LONG)
        await first.apply(batch_of(3, "routes/a"))
        await kit.holds({"routes/a": "3"}, "An object that acquired the lease again must be able to write.")
        with pytest.raises(LeaseHeld, match="first"):
            await second.acquire_lease("second", _LONG)

    @asynchronous
    async def test_a_lease_that_ran_out_is_lost_also_if_nobody_took_it(self, kit: Kit) -> None:
        first, _ = await lessees(kit)
        await first.acquire_lease("first", self.shortest_lease)
        number = 0

        async def is_lost() -> bool:
            nonlocal number
            try:
                await first.apply(batch_of(number + 1, "routes/a"))
            except LeaseLost:
                return True
            number += 1
            return False

        await until(is_lost, f"{_FENCED}, also when it expired and nobody took it.")
        await kit.holds({"routes/a": str(number)} if number else {}, f"{_FENCED}.")

    @asynchronous
    async def test_a_renewed_lease_lasts_as_long_as_it_was_renewed_for(self, kit: Kit) -> None:
        """A lease of the same length on another prefix shows when the first one would have expired."""
        first, second = await lessees(kit)
        short, waiting = [cast(Lessee, await kit.opened(kit.prefix + "-short")) for _ in range(2)]
        await first.acquire_lease("first", self.shortest_lease)
        await first.acquire_lease("first", _LONG)
        await short.acquire_lease("short", self.shortest_lease)
        await _until_acquired(waiting, "waiting")
        with pytest.raises(LeaseHeld):
            await second.acquire_lease("second", _LONG)
        await first.apply(batch_of(1, "routes/a"))


async def lessees(kit: Kit) -> tuple[Lessee, Lessee]:
    """Two objects on one prefix; the test is skipped if they have no lease."""
    if not isinstance(kit.backend, SupportsLease):
        pytest.skip(f"{type(kit.backend).__name__} has no acquire_lease()")
    return cast(Lessee, kit.backend), cast(Lessee, await kit.opened())


async def assert_refused(kit: Kit, backend: Lessee, expected: dict[str, str], when: str) -> None:
    """Assert that `backend` cannot write without the lease, and that the table stays as `expected`."""
    for batch in (batch_of("late", "routes/a", "routes/late"), Batch({"routes/a": None})):
        with pytest.raises(LeaseLost):
            await backend.apply(batch)
        await kit.holds(expected, f"{_FENCED}, {when}")
    await backend.load()


async def _until_acquired(backend: Lessee, holder: str) -> None:
    async def is_acquired() -> bool:
        try:
            await backend.acquire_lease(holder, _LONG)
        except LeaseHeld:
            return False
        return True

    await until(is_acquired, "A lease must expire after its ttl, so that another object can acquire it.")
