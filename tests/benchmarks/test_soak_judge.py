"""What the soak takes for growth, and for a wrong answer."""

from __future__ import annotations

import os
import random
from types import SimpleNamespace

import pytest

from benchmarks.drill.events import Event
from benchmarks.soak.judge import Sample, growth, wrongs
from benchmarks.soak.soak import Soak

MB = 1_000_000


def samples(memory=lambda _: 100 * MB, files=lambda _: 50, count=400):
    return [Sample(float(number), int(memory(number)), int(files(number))) for number in range(count)]


def test_what_stays_the_same_or_goes_up_and_down_is_no_growth():
    noise = random.Random(7)
    assert growth(samples()) == []
    assert growth(samples(lambda _: (100 + noise.uniform(-20, 20)) * MB, lambda n: 50 + n % 20)) == []


def test_warming_up_and_a_single_peak_are_no_growth():
    assert growth(samples(lambda n: min(n, 100) * 2 * MB)) == []
    assert growth(samples(lambda n: (900 if n > 390 else 100) * MB)) == []


def test_what_rises_all_the_time_is_growth():
    (memory,) = growth(samples(lambda n: (100 + n / 2) * MB))
    assert memory.startswith("memory grew by ")
    (files,) = growth(samples(files=lambda n: 50 + n))
    assert files.startswith("open files grew by ")


def test_a_short_life_says_nothing():
    assert growth(samples(lambda n: n * 100 * MB, count=170)) == []
    assert growth([]) == []


@pytest.mark.parametrize(("outcome", "when", "is_wrong"), [
    ("ok", 500, False),
    ("failed", 105, False),
    ("failed", 90, True),
    ("failed", 200, True),
    ("lost", 105, True),
    ("wrong", 105, True),
])  # fmt: skip
def test_another_users_server_is_always_wrong_and_a_failure_is_excused_after_a_fault_only(outcome, when, is_wrong):
    event = Event("request", when - 0.1, when, outcome, 0, "detail")
    assert bool(wrongs([event], [(100.0, 110.0)])) == is_wrong


def test_what_happens_to_the_hub_itself_is_not_judged():
    assert wrongs([Event("hub", 1.0, 2.0, "failed")], []) == []


async def test_a_soak_ends_when_another_users_server_answers():
    wrong = Event("request", 1.0, 2.0, "wrong", 0, "4712 answered, not 4711")
    site = SimpleNamespace(
        replicas=[],
        store=SimpleNamespace(members=[]),
        hub=SimpleNamespace(name="hub-1", pid=os.getpid()),
        visitors=SimpleNamespace(events=[wrong], websockets=0, check=lambda: None),
        changes=SimpleNamespace(events=[], done=[]),
    )
    soak = Soak(site, random.Random(7), pause=3600)
    await soak.run(3600)
    assert soak.found == ["a request was wrong: 4712 answered, not 4711"]
    assert soak.requests == 1
