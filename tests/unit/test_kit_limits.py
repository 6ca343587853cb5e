"""A test of the kit that hangs ends by itself, and names what it waited for."""

from __future__ import annotations

import asyncio

import pytest

from jhub_kvproxy.testing import _kit


async def test_a_test_that_hangs_says_where(monkeypatch):
    monkeypatch.setattr(_kit, "TEST_LIMIT", 0.05)

    async def driver_that_never_answers():
        await asyncio.Event().wait()

    @_kit.asynchronous
    async def test_it():
        await driver_that_never_answers()

    with pytest.raises(AssertionError, match=r"test_it did not end within 0.05 s. .*driver_that_never_answers"):
        await test_it()


async def test_a_time_limit_of_its_own_is_not_the_kits():
    @_kit.asynchronous
    async def test_it():
        raise TimeoutError("of the driver")

    with pytest.raises(TimeoutError, match="of the driver"):
        await test_it()


async def test_a_task_that_swallows_its_cancellation_is_named(monkeypatch):
    monkeypatch.setattr(_kit, "PATIENCE", 0.05)

    async def swallow():
        for _ in range(2):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue

    task = asyncio.create_task(swallow())
    await asyncio.sleep(0)
    with pytest.raises(AssertionError, match=r"watch\(\) must end when it is cancelled"):
        await _kit.ended(task, "watch()")
    assert task.done()


def test_large_tables_that_differ_are_told_in_short():
    """A plain assert of them takes pytest minutes on CI."""
    found = {f"routes/{number:04}": "x" * 10_000 for number in range(6000)}
    expected = {**dict.fromkeys(found, "y" * 10_000), "routes/more": "1"}
    _kit.assert_same(found, dict(found), "Tables are equal.")
    with pytest.raises(AssertionError) as raised:
        _kit.assert_same(found, expected, "Tables are equal.")
    message = str(raised.value)
    assert message.startswith("Tables are equal. Keys that differ: 6001. 'routes/0000' is 'xxx")
    assert len(message) < 5000


@pytest.mark.parametrize(
    ("found", "said"), [({}, "'a' is absent, not '1'"), ({"a": "1", "b": None}, "'b' is None, not absent")]
)
def test_a_key_that_is_absent_is_told(found, said):
    with pytest.raises(AssertionError, match=f"Keys that differ: 1. {said}"):
        _kit.assert_same(found, {"a": "1"}, "Tables are equal.")
