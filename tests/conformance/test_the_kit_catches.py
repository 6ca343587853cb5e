"""The kit fails for drivers that break the contract, and says which rule they broke."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import pytest

from jhub_kvproxy.testing import BackendSuite, OutageSuite, TraefikSuite
from tests.conformance import more_mutants, mutants
from tests.conformance.faults import FAULTS

ROOT = Path(__file__).parents[2]
FILES = {"tests/conformance/mutants.py": mutants.CAUGHT, "tests/conformance/more_mutants.py": more_mutants.CAUGHT}
CAUGHT = {mutant: caught for file in FILES.values() for mutant, caught in file.items()}


#: They run in so many processes: those on a network mostly wait for a time limit.
_PROCESSES = 3
#: Seconds for all of them.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What pytest says of each mutant's test."""
    directory = tmp_path_factory.mktemp("kit")
    tests = [
        f"{file}::Test{mutant.__name__}::test_{test}"
        for file, caught in FILES.items()
        for mutant, (test, _) in caught.items()
    ]
    with ThreadPoolExecutor(_PROCESSES) as pool:
        parts = pool.map(
            lambda number: _outcomes(tests[number::_PROCESSES], directory / f"report-{number}.xml"), range(_PROCESSES)
        )
        return {mutant: message for part in parts for mutant, message in part.items()}


def _outcomes(tests, report):
    """The same of some `tests`, in a process of its own and with pytest-asyncio in its mode `strict`."""
    options = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-o",
        "asyncio_mode=strict",
        "--hypothesis-seed=0",
        f"--junitxml={report}",
    ]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1, result.stdout + result.stderr
    return {
        case.get("classname").rpartition(".Test")[2]: "".join(problem.get("message") + problem.text for problem in case)
        for case in ElementTree.parse(report).iter("testcase")
    }


@pytest.mark.parametrize("mutant", CAUGHT, ids=lambda mutant: mutant.__name__)
def test_the_kit_catches_a_driver_that(mutant, outcomes):
    _, message = CAUGHT[mutant]
    assert message in outcomes[mutant.__name__]


def test_each_fault_has_its_test():
    suites = (BackendSuite, OutageSuite, TraefikSuite)
    named = [test for test in FAULTS.values() if not test.startswith(("cannot be told: ", "is no fault: "))]
    missing = [test for test in named if not any(hasattr(suite, f"test_{test}") for suite in suites)]
    assert not missing
    assert len(FAULTS) == 48
