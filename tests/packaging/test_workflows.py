"""The workflows, which cannot run here: they have the form that the forge demands, and do what make does."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from tests.pages import need

ROOT = Path(__file__).parents[2]
FORGE = ROOT / ".github"
WORKFLOWS = sorted((FORGE / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (FORGE / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
MAKEFILE = (ROOT / "Makefile").read_text()
of_each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def jobs(path: Path):
    return yaml.safe_load(path.read_text())["jobs"]


def steps(path: Path):
    return [step for job in jobs(path).values() for step in job.get("steps", [])]


@pytest.mark.parametrize(
    ("schema", "paths"),
    [
        ("github-workflows", WORKFLOWS),
        ("dependabot", [FORGE / "dependabot.yml"]),
        ("github-issue-forms", FORMS),
        ("github-issue-config", [FORGE / "ISSUE_TEMPLATE" / "config.yml"]),
    ],
)
def test_they_are_what_the_forge_reads(schema, paths):
    need("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *paths]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@of_each_workflow
def test_they_call_targets_of_make_and_nothing_else(path):
    targets = set(re.findall(r"^([a-z-]+):(?!=)", MAKEFILE, re.MULTILINE))
    for step in steps(path):
        if command := step.get("run"):
            words = re.fullmatch(r"make (\S+|\$\{\{ matrix\.target \}\})( [A-Z]+=\S.*)?", command)
            assert words, command
            assert words[1] in targets or "matrix" in words[1], command
    for job in jobs(path).values():
        for target in job.get("strategy", {}).get("matrix", {}).get("target", []):
            assert target.split()[0] in targets


@of_each_workflow
def test_each_action_has_a_digest_and_says_which_version_that_is(path):
    used = re.findall(r"uses: (?!\./)(.+)", path.read_text())
    assert used
    for action in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_an_action_is_the_same_everywhere():
    used = {action for path in WORKFLOWS for action in re.findall(r"uses: (?!\./)(.+)", path.read_text())}
    assert len(used) == len({action.partition("@")[0] for action in used})


@of_each_workflow
def test_a_job_may_do_no_more_than_it_must_and_ends(path):
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        if job.get("uses") == "./.github/workflows/ci.yml":
            continue  # It is looked at itself.
        assert job["timeout-minutes"] <= 90
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout"):
                assert step["with"]["persist-credentials"] is False
                # Without the tags, the version is another, and the test of upgrades has no older release.
                assert step["with"]["fetch-depth"] == 0


@pytest.mark.parametrize(("workflow", "job"), [("ci", "test"), ("weekly", "weekly")])
def test_tests_may_do_what_they_do_as_root_elsewhere(workflow, job):
    container = jobs(FORGE / "workflows" / f"{workflow}.yml")[job]["container"]
    assert container["options"] == "--privileged --init --shm-size=1g"


def test_nothing_of_a_release_goes_out_after_what_has_failed():
    release = jobs(FORGE / "workflows" / "release.yml")
    order = ["check", "image", "pypi", "chart"]
    assert [name for name in release if name in order] == order
    for before, after in pairwise(order):
        assert before in release[after]["needs"]
    assert release["test"]["uses"] == "./.github/workflows/ci.yml"
    assert "test" in release["image"]["needs"]


def test_no_password_for_the_package_index_is_kept():
    assert "secrets." not in "".join(path.read_text() for path in WORKFLOWS)
    [job] = [job for path in WORKFLOWS for name, job in jobs(path).items() if name == "pypi"]
    assert job["permissions"] == {"id-token": "write"}


def test_ci_has_each_python_and_jupyterhub_that_the_readme_names():
    [tested] = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("Tested with")]
    named = {
        (python, hub)
        for hub, pythons in re.findall(r"JupyterHub (\d)[\d.]* on Python ([\d. and]+),", tested)
        for python in re.findall(r"3\.\d+", pythons)
    }
    [matrix] = [
        job["strategy"]["matrix"]["include"]
        for name, job in jobs(FORGE / "workflows" / "ci.yml").items()
        if name == "test"
    ]
    assert {(each["python"], re.search(r"==(\d)", each["hub"])[1]) for each in matrix} == named


def test_what_runs_before_a_commit_is_make_lint():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    [repo] = config["repos"]
    assert repo["repo"] == "local"
    [hook] = repo["hooks"]
    assert hook["entry"].split()[0] == "make"
    assert hook["entry"].split()[-1] == "lint"
