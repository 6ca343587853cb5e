"""Tests of an object's life: construction, open, close, remove."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ..store.contract import CONTRACT, Backend, SupportsLease, SupportsWatch
from ._kit import Kit, Suite, asynchronous, batch_of, until

_IO = ("open", "os.", "socket.", "subprocess.", "sqlite3.", "shutil.", "tempfile.")


class LifecycleTests(Suite):
    """`open`, `close`, `remove`, and what they leave."""

    def test_it_states_the_version_of_the_contract(self, backend: Backend) -> None:
        assert getattr(backend, "contract", None) == CONTRACT, (
            f"A driver must state the version of the contract that it fulfils; this kit tests version {CONTRACT}."
        )

    @asynchronous
    async def test_construction_does_no_io(self, kit: Kit) -> None:
        with _audited(_IO) as events:
            kit.new()
        assert not events, "Constructing a backend must do no I/O: JupyterHub does it when it reads its configuration."

    @asynchronous
    async def test_open_twice(self, kit: Kit) -> None:
        await kit.backend.apply(batch_of(1, "routes/a"))
        await kit.backend.open()
        await kit.holds({"routes/a": "1"}, "A second open() must change nothing.")

    @asynchronous
    async def test_close_without_open_and_twice(self, kit: Kit) -> None:
        backend = kit.new()
        for _ in range(2):
            await backend.close()
        await backend.open()
        for _ in range(2):
            await backend.close()

    @asynchronous
    async def test_it_can_be_opened_again(self, kit: Kit) -> None:
        for number in range(3):
            await kit.backend.close()
            await kit.backend.open()
            await kit.backend.apply(batch_of(number, "routes/a", f"routes/{number}"))
        await kit.holds(
            {"routes/a": "2", "routes/0": "0", "routes/1": "1", "routes/2": "2"},
            "After close() and open(), a backend must work as before, with the same table.",
        )

    @asynchronous
    async def test_what_another_object_changes_meanwhile_is_seen(self, kit: Kit) -> None:
        """Also a change back to a value that this object knew, and a change while it is closed."""
        other = await kit.opened()
        await kit.backend.apply(batch_of(1, "routes/a", "routes/b"))
        await other.apply(batch_of(2, "routes/a", "routes/c"))
        rule = "load() must return what the store holds now, whoever wrote it, and not what the object remembers."
        await kit.holds({"routes/a": "2", "routes/b": "1", "routes/c": "2"}, rule)
        await other.apply(batch_of(3, "routes/a"))
        await kit.backend.apply(batch_of(2, "routes/a"))
        await kit.holds({"routes/a": "2", "routes/b": "1", "routes/c": "2"}, rule)
        await kit.backend.close()
        await other.apply(batch_of(4, "routes/a"))
        await kit.backend.open()
        await kit.holds({"routes/a": "4", "routes/b": "1", "routes/c": "2"}, rule)

    @asynchronous
    async def test_closing_one_object_leaves_the_others_alone(self, kit: Kit) -> None:
        same, elsewhere = await kit.opened(), await kit.opened(kit.prefix + "-other")
        await elsewhere.apply(batch_of(1, "routes/elsewhere"))
        await same.apply(batch_of(1, "routes/a"))
        await same.close()
        await kit.backend.apply(batch_of(1, "routes/b"))
        rule = "Objects in one process must share no state: what one does must not affect another."
        await kit.holds({"routes/a": "1", "routes/b": "1"}, rule)
        await kit.holds({"routes/elsewhere": "1"}, rule, elsewhere)

    @asynchronous
    async def test_remove_leaves_nothing_of_this_prefix(self, kit: Kit) -> None:
        other = await kit.opened(kit.prefix + "/")
        await other.apply(batch_of(1, "routes/a"))
        await kit.fill({f"routes/{number}": "1" for number in range(2 * (kit.backend.max_txn_ops or 50))})
        await kit.backend.remove()
        await kit.backend.close()
        rule = "remove() must remove the table of this prefix, and no other."
        assert await kit.raw() == {}, rule
        await kit.holds({}, rule, await kit.opened())
        await kit.holds({"routes/a": "1"}, rule, other)

    @asynchronous
    async def test_open_makes_again_what_another_has_removed(self, kit: Kit) -> None:
        other = await kit.opened()
        await kit.backend.apply(batch_of(1, "routes/a", "routes/b"))
        await other.remove()
        await other.close()
        await kit.backend.open()
        rule = "After remove() by another object, a second open() must make what is needed; the table is empty then."
        await kit.holds({}, rule)
        await kit.backend.apply(batch_of(2, "routes/a"))
        await kit.holds({"routes/a": "2"}, rule)

    @asynchronous
    async def test_nothing_is_left_after_close(self, kit: Kit) -> None:
        await _use(kit.new())  # whatever a driver makes once in a process exists now
        gc.collect()
        tasks, threads, files = asyncio.all_tasks(), set(threading.enumerate()), _open_files()
        complaints: list[Any] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            await _use(kit.new())
            await until(lambda: asyncio.all_tasks() <= tasks, "close() must leave no asyncio task behind.")
            await until(
                lambda: _open_files() <= files, f"close() must leave no file or socket: {_open_files() - files}"
            )
            gc.collect()
        left = [thread for thread in set(threading.enumerate()) - threads if not _is_of_asyncio(thread)]
        assert not left, "close() must leave no thread behind, except those of the event loop's executor."
        unclosed = [str(warning.message) for warning in warned if issubclass(warning.category, ResourceWarning)]
        assert not unclosed, "close() must close everything."
        assert not complaints, "A driver must await its tasks and close what it opened; asyncio complained."


async def _use(backend: Backend) -> None:
    """Call every method of `backend` once."""
    await backend.open()
    await backend.apply(batch_of(1, "routes/a"))
    await backend.load()
    if isinstance(backend, SupportsLease):
        await backend.acquire_lease("the kit", 60)
        await backend.apply(batch_of(2, "routes/a"))
    if isinstance(backend, SupportsWatch):
        watch: Any = backend.watch()
        await anext(watch)
        await backend.apply(batch_of(3, "routes/a"))
        await anext(watch)
        await watch.aclose()
    await backend.close()


def _open_files() -> set[str]:
    """The open files of this process by name, its sockets and pipes by number."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the descriptor that lists them is closed by now
            found.add(f"{fd} {os.readlink(f'/proc/self/fd/{fd}')}")
    return found


def _is_of_asyncio(thread: threading.Thread) -> bool:
    return thread.name.startswith("asyncio_")


_audits: list[tuple[int, tuple[str, ...], list[str]]] = []


def _record(event: str, arguments: tuple[Any, ...]) -> None:
    for thread, prefixes, events in _audits:
        if event.startswith(prefixes) and thread == threading.get_ident():
            events.append(f"{event} {arguments[:1]}")


@contextmanager
def _audited(prefixes: tuple[str, ...]) -> Iterator[list[str]]:
    """The audit events of this thread (Python docs, "Audit events table") that begin with one of `prefixes`."""
    global _record_is_installed
    if not _record_is_installed:
        sys.addaudithook(_record)  # Python cannot remove a hook, so install it once
        _record_is_installed = True
    audit: tuple[int, tuple[str, ...], list[str]] = (threading.get_ident(), prefixes, [])
    _audits.append(audit)
    try:
        yield audit[2]
    finally:
        _audits.remove(audit)


_record_is_installed = False
