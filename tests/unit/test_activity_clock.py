"""Times of use while the time of day is set."""

from __future__ import annotations

import json
import logging
import time

import pytest

from jhub_kvproxy.activity import told
from jhub_kvproxy.activity.clock import TimeOfDay, steady
from jhub_kvproxy.activity.remote import Remote
from jhub_kvproxy.activity.told import ToldActivity
from jhub_kvproxy.activity.tracker import Activity
from jhub_kvproxy.routing.described import described
from jhub_kvproxy.routing.routes import Route
from tests.unit.test_activity_faults import agent, found_at

LOG = logging.getLogger("activity")
ROUTE = Route("/user/a/", "http://127.0.0.1:9", {})
HOUR = 3600
DAY_AND_TIME = time.time


@pytest.fixture
def set_clock(monkeypatch):
    """Sets the time of day, by so many seconds from what it is."""
    return lambda seconds: monkeypatch.setattr(time, "time", lambda: DAY_AND_TIME() + seconds)


def new_activity(kind):
    return ToldActivity(None, None, LOG) if kind is ToldActivity else Activity(None, None, LOG)


@pytest.mark.parametrize("kind", [ToldActivity, Activity])
@pytest.mark.parametrize("hours", [-48, -2, 2, 48])
async def test_a_use_goes_with_the_time_of_day_when_that_is_set(kind, hours, set_clock):
    activity = new_activity(kind)
    activity.added(ROUTE)
    set_clock(hours * HOUR)
    assert time.time() - HOUR < activity.last_use(ROUTE) <= time.time()
    set_clock(0)
    assert time.time() - HOUR < activity.last_use(ROUTE) <= time.time()


@pytest.mark.parametrize("kind", [ToldActivity, Activity])
async def test_a_use_is_told_in_the_same_way_again(kind):
    activity = new_activity(kind)
    activity.added(ROUTE)
    assert len({activity.last_use(ROUTE) for _ in range(1000)}) == 1


async def test_what_an_agent_told_goes_with_the_time_of_day_too(set_clock):
    async with agent(json.dumps({ROUTE.target: 10 * HOUR}).encode()) as url:
        activity = Activity(None, found_at(url), LOG)
        activity._elsewhere.start()
        await activity._elsewhere.refresh([ROUTE.target])
    set_clock(-2 * HOUR)
    assert time.time() - 11 * HOUR < activity.last_use(ROUTE) < time.time() - 9 * HOUR


async def test_an_agent_may_know_of_uses_before_this_machine_was_started():
    before = steady() + 10 * HOUR
    async with agent(json.dumps({ROUTE.target: before}).encode()) as url:
        remote = Remote(found_at(url), LOG)
        remote.start()
        await remote.refresh([ROUTE.target])
    assert TimeOfDay().at(remote.last(ROUTE.target)) == pytest.approx(time.time() - before, abs=HOUR)


def test_no_use_is_in_the_future_nor_before_1970():
    clock = TimeOfDay()
    assert clock.at(steady() + HOUR) <= time.time()
    assert clock.at(-1e300) == 0


@pytest.mark.parametrize("age", [-1e300, -1.0, 0.0, 1e300])
def test_any_age_that_a_plugin_tells_can_be_described(age):
    [used] = told._merged({}, [{told.key_of(ROUTE.pattern): age}], {ROUTE.name: ROUTE}).values()
    last = described(ROUTE, lambda _: TimeOfDay().at(used))["data"]["last_activity"]
    assert last.endswith("Z")
