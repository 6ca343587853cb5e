"""How many cases are tried: some in each run of the tests, and more by ``make fuzz``."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable

from hypothesis import seed, settings

#: Set by ``make fuzz``: for how many seconds all tests go on together, and where each begins.
SECONDS, SEED = "KVPROXY_FUZZ_SECONDS", "KVPROXY_FUZZ_SEED"
#: Among how many tests the time is shared.
SHARERS = [1]


def explore(test: Callable[[], None], examples: int) -> None:
    """Try `test`, a Hypothesis test, on so many examples; under ``make fuzz`` on new ones until its time is over."""
    budget = float(os.environ.get(SECONDS, "0")) / SHARERS[0]
    if not budget:
        settings(max_examples=examples)(test)()
        return
    start = int(os.environ.get(SEED) or random.SystemRandom().randrange(1 << 32))
    end, rounds = time.monotonic() + budget, 0
    limited = settings(max_examples=examples, database=None, derandomize=False)(test)
    while time.monotonic() < end:
        print(f"{SEED}={start + rounds}", flush=True)  # pytest shows it with a failure
        seed(start + rounds)(limited)()
        rounds += 1
    print(f"{rounds * examples} cases from {SEED}={start} on")
