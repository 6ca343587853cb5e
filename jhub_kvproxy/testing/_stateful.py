"""A test that any sequence of calls leaves what a dict would hold."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from itertools import count
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from ..aio import in_thread
from ..store.contract import Backend, Batch
from ._data import keys, values
from ._kit import PATIENCE, Kit, Suite, asynchronous

T = TypeVar("T")

_STEPS = 15
_SHARE = 0.3  # of the examples in the user's profile, because each one takes a table of its own


class StatefulTests(Suite):
    """A state machine, compared with a dict."""

    @asynchronous
    async def test_it_holds_what_a_dict_would(self, kit: Kit) -> None:
        """It runs 30 examples for each 100 in Hypothesis's profile."""
        machine = table_machine(kit, asyncio.get_running_loop())
        chosen = settings(
            max_examples=max(1, round(settings().max_examples * _SHARE)),
            stateful_step_count=_STEPS,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )
        await in_thread(run_state_machine_as_test, machine, settings=chosen)


def table_machine(kit: Kit, loop: asyncio.AbstractEventLoop) -> type[RuleBasedStateMachine]:
    """A state machine: each run has a new prefix in the store, and two objects on it, whose calls run in `loop`."""
    numbers = count()
    most = min(6, kit.backend.max_txn_ops or 6)
    good_keys, good_values = keys().filter(kit.can_hold), values().filter(kit.can_hold)
    batches = st.dictionaries(good_keys, st.none() | good_values, max_size=most)
    either = st.sampled_from([0, 1])
    maybe_either = st.sampled_from([0, 1, None])

    def run(call: Coroutine[Any, Any, T]) -> T:
        name = getattr(call, "__qualname__", "A call")
        try:
            return asyncio.run_coroutine_threadsafe(call, loop).result(PATIENCE)
        except TimeoutError:
            raise AssertionError(f"{name} must end within {PATIENCE:g} s.") from None

    class TableMachine(RuleBasedStateMachine):
        backends: tuple[Backend, ...] = ()

        @initialize()
        def begin(self) -> None:
            prefix = f"{kit.prefix}-{next(numbers)}"
            self.backends = run(kit.opened(prefix)), run(kit.opened(prefix))
            self.expected: dict[str, str] = {}
            self.last: dict[str, str | None] = {}

        @rule(which=either, changes=batches, reader=maybe_either)
        def apply(self, which: int, changes: dict[str, str | None], reader: int | None) -> None:
            run(self.backends[which].apply(Batch(changes)))
            self.last = changes
            self.expect(changes, reader)

        @precondition(lambda self: bool(self.expected))
        @rule(which=either, draw=st.data(), reader=maybe_either)
        def change_some(self, which: int, draw: st.DataObject, reader: int | None) -> None:
            there = st.sampled_from(sorted(self.expected))
            self.apply(which, draw.draw(st.dictionaries(there, st.none() | good_values, max_size=most)), reader)

        @rule(which=either, reader=maybe_either)
        def apply_the_same_again(self, which: int, reader: int | None) -> None:
            self.apply(which, self.last, reader)

        @rule(which=either, reader=maybe_either)
        def delete_everything(self, which: int, reader: int | None) -> None:
            run(kit.fill(dict.fromkeys(self.expected), self.backends[which]))
            self.expect(dict.fromkeys(self.expected), reader)

        @rule(which=either)
        def reopen(self, which: int) -> None:
            run(self.backends[which].close())
            run(self.backends[which].open())

        def expect(self, changes: Mapping[str, str | None], reader: int | None) -> None:
            """Apply `changes` to the dict, and compare it with what object number `reader` loads; None: do not."""
            for key, value in changes.items():
                if value is None:
                    self.expected.pop(key, None)
                else:
                    self.expected[key] = value
            if reader is not None:
                run(kit.holds(self.expected, backend=self.backends[reader]))

        def teardown(self) -> None:
            for backend in self.backends:
                run(kit.holds(self.expected, backend=backend))
                run(backend.close())

    return TableMachine
