"""The kit fails for drivers that break the contract, and says which rule they broke."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import pytest

from jhub_kvproxy.testing import BackendSuite, OutageSuite, TraefikSuite
from tests.conformance import more_mutants, mutants
from tests.conformance.faults import FAULTS
from tests.conformance.inner_runs import what_went_wrong

FILES = {"tests/conformance/mutants.py": mutants.CAUGHT, "tests/conformance/more_mutants.py": more_mutants.CAUGHT}
CAUGHT = {mutant: caught for file in FILES.values() for mutant, caught in file.items()}


#: They run in so many processes: those on a network mostly wait for a time limit.
_PROCESSES = 3
#: Seconds for each, and for all of them.
_LIMIT = 120
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What pytest says of each mutant's test."""
    tests = {
        f"{file}::Test{mutant.__name__}::test_{test}": mutant
        for file, caught in FILES.items()
        for mutant, (test, _) in caught.items()
    }
    parts = [list(tests)[number::_PROCESSES] for number in range(_PROCESSES)]
    directories = [tmp_path_factory.mktemp("kit") for _ in parts]
    with ThreadPoolExecutor(_PROCESSES) as pool:
        found = pool.map(what_went_wrong, parts, directories, repeat(_LIMIT))
        return {tests[test]: said for part in found for test, said in part.items()}


@pytest.mark.parametrize("mutant", CAUGHT, ids=lambda mutant: mutant.__name__)
def test_the_kit_catches_a_driver_that(mutant, outcomes):
    _, message = CAUGHT[mutant]
    assert message in outcomes[mutant]


def test_each_fault_has_its_test():
    suites = (BackendSuite, OutageSuite, TraefikSuite)
    named = [test for test in FAULTS.values() if not test.startswith(("cannot be told: ", "is no fault: "))]
    missing = [test for test in named if not any(hasattr(suite, f"test_{test}") for suite in suites)]
    assert not missing
    assert len(FAULTS) == 48
