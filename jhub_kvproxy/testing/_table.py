"""Tests of the table: load() returns what was applied."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest

from ..errors import BackendError, BatchRejected
from ..store.contract import Batch
from ._data import RECORD, difficult_keys, difficult_values
from ._errors import secret_traits
from ._kit import Kit, Suite, assert_same, asynchronous, batch_of

#: A route has up to seven keys, and a batch holds the revision beside it.
_FEWEST_OPS = 8
_UNLIMITED_OPS, _UNLIMITED_BYTES = 1000, 2_000_000


class TableTests(Suite):
    """`apply` and `load`."""

    @asynchronous
    async def test_a_new_prefix_has_an_empty_table(self, kit: Kit) -> None:
        await kit.holds({}, "load() of a prefix that nobody wrote to must return an empty table.")

    @asynchronous
    async def test_what_goes_in_comes_out(self, kit: Kit) -> None:
        keys = {"routes/a": "1", "traefik/http/routers/a/rule": 'Path("/a")', "traefik/http/routers/a/service": "a"}
        await kit.backend.apply(Batch(keys))
        await kit.holds(keys)
        await kit.holds(keys, "load() must return what another object applied.", await kit.opened())

    @asynchronous
    async def test_a_batch_changes_its_keys_and_no_others(self, kit: Kit) -> None:
        await kit.backend.apply(batch_of(1, "routes/a", "routes/ab", "routes/b", "routes/c"))
        await kit.backend.apply(Batch({"routes/a": None, "routes/b": "2", "routes/d": "3"}))
        await kit.holds(
            {"routes/ab": "1", "routes/b": "2", "routes/c": "1", "routes/d": "3"},
            "apply() must set and delete the keys of the batch, and leave all others.",
        )

    @asynchronous
    async def test_deleting_what_is_absent_succeeds(self, kit: Kit) -> None:
        await kit.backend.apply(Batch({"routes/absent": None}))
        await kit.backend.apply(Batch({"routes/a": "1", "routes/absent": None}))
        await kit.holds({"routes/a": "1"})

    @asynchronous
    async def test_deleting_everything_leaves_an_empty_table(self, kit: Kit) -> None:
        keys = ["routes/a", "traefik/http/routers/a/rule", "traefik/http/routers/a/service"]
        await kit.backend.apply(batch_of(1, *keys))
        await kit.backend.apply(Batch(dict.fromkeys(keys)))
        await kit.holds({})
        await kit.backend.apply(batch_of(2, *keys))
        await kit.holds(dict.fromkeys(keys, "2"), "A table must be usable after all its keys were deleted.")

    @asynchronous
    async def test_doing_it_again_changes_nothing(self, kit: Kit) -> None:
        batch = Batch({"routes/a": "1", "routes/b": None, "routes/c": ""})
        for _ in range(3):
            await kit.backend.apply(batch)
            await kit.holds({"routes/a": "1", "routes/c": ""}, "apply() of the same batch must change nothing.")

    @asynchronous
    async def test_an_empty_batch_changes_nothing(self, kit: Kit) -> None:
        await kit.backend.apply(Batch({}))
        await kit.holds({})
        await kit.backend.apply(batch_of(1, "routes/a"))
        await kit.backend.apply(Batch({}))
        await kit.holds({"routes/a": "1"}, "apply() of an empty batch must succeed and change nothing.")

    @asynchronous
    async def test_difficult_keys(self, kit: Kit) -> None:
        keys = {key: str(number) for number, key in enumerate(filter(kit.can_hold, difficult_keys()))}
        await kit.fill(keys)
        await kit.holds(keys, "Keys are text; each must come back as it went in, and none may stand for another.")
        kept = dict(list(keys.items())[::2])
        await kit.fill({key: None for key in keys if key not in kept})
        await kit.holds(kept, "Deleting a key must delete this key and no other, whatever its characters.")

    @asynchronous
    async def test_difficult_values(self, kit: Kit) -> None:
        values = list(filter(kit.can_hold, difficult_values()))
        keys = {f"routes/{number}": value for number, value in enumerate(values)}
        keys |= {f"traefik/http/middlewares/m{n}/headers/customResponseHeaders/X": v for n, v in enumerate(values)}
        await kit.fill(keys)
        await kit.holds(keys, "Values are text; each must come back as it went in.")

    @asynchronous
    async def test_records_come_back_with_their_types(self, kit: Kit) -> None:
        """More than ten of each, because sorting as text puts 10 before 2."""
        records = {f"routes/p.user.{number}": {**RECORD, "number": number} for number in range(12)}
        servers = "traefik/http/services/a/loadBalancer/servers"
        keys = {f"{servers}/{number}/url": f"http://127.0.0.1:{number}" for number in range(12)}
        keys |= {key: json.dumps(record) for key, record in records.items()}
        await kit.fill(keys)
        await kit.holds(keys)
        loaded = (await kit.backend.load()).keys
        assert {key: json.loads(loaded[key]) for key in records} == records

    @asynchronous
    async def test_a_snapshot_stays_as_it_was(self, kit: Kit) -> None:
        changes: dict[str, str | None] = {"routes/a": "1"}
        await kit.backend.apply(Batch(changes))
        changes["routes/a"] = "changed by its owner"
        snapshot = await kit.backend.load()
        await kit.backend.apply(Batch({"routes/a": "2", "routes/b": "2"}))
        assert dict(snapshot.keys) == {"routes/a": "1"}, "What load() returned must not change with the table."

    @asynchronous
    async def test_a_batch_may_have_as_many_keys_as_the_driver_says(self, kit: Kit) -> None:
        limit = kit.backend.max_txn_ops
        assert limit is None or limit >= _FEWEST_OPS, f"max_txn_ops must be at least {_FEWEST_OPS}: one route's keys."
        keys = [f"traefik/http/routers/r{number}/rule" for number in range(limit or _UNLIMITED_OPS)]
        for value in ("1", "2"):
            await kit.backend.apply(batch_of(value, *keys))
            await kit.holds(dict.fromkeys(keys, value), "apply() must accept a batch of max_txn_ops keys.")
        half = len(keys) // 2
        await kit.backend.apply(Batch({**dict.fromkeys(keys[:half]), **dict.fromkeys(keys[half:], "3")}))
        await kit.holds(dict.fromkeys(keys[half:], "3"), "apply() must accept max_txn_ops puts and deletes together.")
        await kit.backend.apply(Batch(dict.fromkeys(keys)))
        await kit.holds({}, "apply() must accept a batch of max_txn_ops deletes.")

    @asynchronous
    async def test_a_batch_may_be_as_long_as_the_driver_says(self, kit: Kit) -> None:
        """As one value, and as the most values that a batch may have; with characters that escaping makes longer."""
        limit = kit.backend.max_txn_bytes or _UNLIMITED_BYTES
        most = kit.backend.max_txn_ops or _UNLIMITED_OPS
        for count in (1, most):
            for char in ("x", '"', "é"):
                names = [f"routes/{number:04}" for number in range(count)]
                room = limit // count - len(names[0])
                keys = dict.fromkeys(names, char * (room // len(char.encode())))
                await kit.backend.apply(Batch(keys))
                rule = "apply() must accept max_txn_bytes of keys (without prefix) and values, in UTF-8."
                assert_same((await kit.backend.load()).keys, keys, rule)
                await kit.backend.apply(Batch(dict.fromkeys(names)))

    @asynchronous
    async def test_a_batch_past_the_limits_is_taken_whole_or_refused_whole(self, kit: Kit) -> None:
        ops, size = kit.backend.max_txn_ops, kit.backend.max_txn_bytes
        await kit.backend.apply(batch_of(0, "routes/before"))
        too_large = []
        if ops is not None:
            too_large.append(batch_of(1, *(f"routes/{number}" for number in range(4 * ops))))
        if size is not None:
            too_large.append(batch_of("x" * 4 * size, "routes/0"))
        for batch in too_large:
            try:
                await kit.backend.apply(batch)
            except BatchRejected:  # any other error fails the test
                await kit.holds({"routes/before": "0"}, "A batch that is refused must change nothing.")
            else:
                loaded = (await kit.backend.load()).keys
                assert len(loaded) == 1 + len(batch.changes), "apply() must make all changes, or raise BatchRejected."
                await kit.fill(dict.fromkeys(batch.changes))

    @asynchronous
    async def test_a_text_that_the_store_cannot_hold_is_refused_alone(self, kit: Kit) -> None:
        """Another batch may be taken, so it is BatchRejected, and nothing of this one is made."""
        await kit.backend.apply(batch_of(0, "routes/before"))
        for char in self.unsupported_characters:
            for batch in (Batch({"routes/a": "1", f"routes/{char}": "1"}), Batch({"routes/a": "1", "routes/b": char})):
                with pytest.raises(BatchRejected):
                    await kit.backend.apply(batch)
        await kit.holds({"routes/before": "0"}, "A batch that is refused must change nothing.")

    @asynchronous
    async def test_a_table_that_cannot_be_read_is_not_empty(self, kit: Kit) -> None:
        """Who is not open, or has a wrong secret, gets an error, or the table."""
        await kit.backend.apply(batch_of(1, "routes/a"))
        closed = await kit.opened()
        await closed.close()
        strangers = [kit.new(**{name: "wrong"}) for name in secret_traits(kit.backend)]
        for stranger in strangers:
            with suppress(BackendError):
                await stranger.open()
        for backend in (kit.new(), closed, *strangers):
            try:
                table = (await backend.load()).keys
            except BackendError:
                continue
            assert table == {"routes/a": "1"}, (
                "load() must raise an error when the table cannot be read, and never return an empty one."
            )
