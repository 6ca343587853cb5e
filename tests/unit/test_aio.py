"""Threads that are waited for, tasks that have an owner, pauses that grow."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from jhub_kvproxy.aio import Backoff, Tasks, cancel, in_thread, rest

LOG = logging.getLogger("aio")


async def test_what_a_thread_returns_or_raises_comes_back():
    assert await in_thread(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await in_thread(divmod, 7, 0)


@pytest.mark.parametrize("how_often", [1, 2])
async def test_a_cancelled_caller_keeps_its_lock_until_its_thread_has_ended(how_often):
    lock, begun, may_end, done = asyncio.Lock(), asyncio.Event(), threading.Event(), []
    loop = asyncio.get_running_loop()

    def work():
        loop.call_soon_threadsafe(begun.set)
        may_end.wait()
        done.append(True)
        raise OSError("nobody hears of it")

    async def caller():
        async with lock:
            await in_thread(work)

    task = asyncio.create_task(caller())
    await begun.wait()
    for _ in range(how_often):
        task.cancel()
        await asyncio.sleep(0)
    assert lock.locked()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done
    assert not lock.locked()


def test_who_cancels_all_tasks_waits_for_the_threads_too():
    """As asyncio.run does at its end, and JupyterHub at its."""
    begun, may_end, done = threading.Event(), threading.Event(), []

    def work():
        begun.set()
        may_end.wait()
        done.append("thread")

    async def caller():
        try:
            await in_thread(work)
        finally:
            done.append("caller")

    async def main():
        task = asyncio.create_task(caller())
        while not begun.is_set():
            await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.05, may_end.set)
        assert not task.done()

    asyncio.run(main())
    assert done == ["thread", "caller"]


async def test_a_task_that_swallows_a_cancellation_is_cancelled_again():
    swallowed = []

    async def work():
        while len(swallowed) < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed.append(True)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    await cancel([task])
    assert task.done()


async def test_a_task_does_not_cancel_itself():
    async def work():
        await cancel([asyncio.current_task()])
        return "done"

    assert await asyncio.create_task(work()) == "done"


async def test_a_task_that_fails_is_logged_with_its_name(caplog):
    tasks = Tasks(LOG)

    async def work():
        raise LookupError("unexpected")

    await asyncio.wait([tasks.start(work(), "looking after the lease")])
    await asyncio.sleep(0)
    assert caplog.messages == ["Looking after the lease failed"]
    assert caplog.records[0].exc_info[1].args == ("unexpected",)
    await tasks.close()


async def test_work_that_is_kept_is_run_again_when_it_fails_or_ends(monkeypatch, caplog):
    pauses, runs, enough = [], [], asyncio.Event()

    async def no_rest(seconds, news=None):
        pauses.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr("jhub_kvproxy.aio.rest", no_rest)
    tasks = Tasks(LOG)

    async def work():
        runs.append(True)
        if len(runs) == 1:
            raise LookupError
        if len(runs) == 3:
            enough.set()
            await asyncio.Event().wait()

    tasks.keep(work, "looking after it")
    await enough.wait()
    assert pauses == [1, 2]
    assert caplog.messages == ["Looking after it failed, and is tried again in 1 s"]
    await tasks.close()
    assert len(runs) == 3


async def test_close_ends_all_tasks():
    tasks, ended = Tasks(LOG), []

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    tasks.start(work(), "one")
    tasks.keep(work, "another")
    await asyncio.sleep(0)
    await tasks.close()
    assert ended == [True, True]
    await tasks.close()


def test_pauses_grow_and_begin_anew():
    backoff = Backoff(1, 5)
    assert [backoff.grow() for _ in range(4)] == [1, 2, 4, 5]
    assert backoff.next == 5
    backoff.reset()
    assert backoff.grow() == 1


def test_pauses_that_are_spread_stay_within_bounds():
    pauses = [Backoff(1, 5, spread=0.5).grow() for _ in range(100)]
    assert all(0.5 <= pause <= 1 for pause in pauses)
    assert len(set(pauses)) > 1


async def test_news_ends_a_rest():
    news = asyncio.Event()
    asyncio.get_running_loop().call_soon(news.set)
    await rest(3600, news)
    await Backoff(3600, 3600).rest(news)
    await rest(0, asyncio.Event())
