"""The example of a third party's backend: installed beside ours it works, and the page about it shows what it is."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub import Hub, browsing, until
from tests.pages import HOW_TO, texts
from tests.shell import run

NAME = "jhub-kvproxy-sqlite"
PAGE = HOW_TO / "write-a-backend.md"

pytestmark = pytest.mark.timeout(900)  # much is downloaded


@pytest.fixture(scope="module")
def folder(tree):
    """The example's folder, as git has it."""
    return tree / "examples" / NAME


@pytest.fixture(scope="module")
def example(folder, tmp_path_factory):
    """A copy, far from ours, that is built and installed."""
    return Path(shutil.copytree(folder, tmp_path_factory.mktemp("example") / NAME))


@pytest.fixture(scope="module")
def python(clean_python, wheel, example):
    """The interpreter of an environment with our wheel, the example, and the least that makes a user's server."""
    ours = f"jhub-kvproxy[testing,traefik] @ file://{wheel}"
    run(clean_python, "-m", "pip", "install", ours, f"{example}[test]", "jupyter_server")
    run(clean_python, "-m", "pip", "check")
    return clean_python


@pytest.fixture
def environment(python):
    """As after ``. venv/bin/activate``."""
    return {**os.environ, "PATH": os.pathsep.join([str(python.parent), os.environ["PATH"]])}


@pytest.mark.slow
def test_its_own_tests_pass(python, example):
    # A test that hangs ends the run, with its name and where it waits.
    limits = ["-v", "-o", "faulthandler_timeout=300", "-o", "faulthandler_exit_on_timeout=true"]
    warnings = ["-W", "error::pytest.PytestUnraisableExceptionWarning"]
    run(python, "-m", "pytest", *limits, *warnings, cwd=example)


def test_it_is_listed_among_the_backends(environment):
    listed = json.loads(run("jhub-kvproxy", "backends", "--json", env=environment))["backends"]
    entries = {entry["name"]: entry for entry in listed}
    assert {"consul", "etcd", "kubernetes", "postgres", "redis", "sqlite", "toml"} == entries.keys()
    assert entries["sqlite"]["package"] == NAME
    powers = {"provider": "file", "watch": True, "lease": True, "max_txn_ops": None, "max_txn_bytes": None}
    assert entries["sqlite"]["powers"] == powers


def test_a_check_with_its_configuration_finds_nothing_wrong(environment, example, tmp_path):
    config = example / "jupyterhub_config.py"
    report = json.loads(run("jhub-kvproxy", "check", "--json", "--config", config, cwd=tmp_path, env=environment))
    assert report["ok"]
    assert report["backend"] == "SqliteBackend"
    assert {"write", "watch", "lease"} <= {step["step"] for step in report["steps"] if step["status"] == "ok"}
    assert [path.name for path in (tmp_path / "kvproxy-sqlite").iterdir()] == ["table.sqlite"]


async def test_a_hub_keeps_its_table_in_it(python, example, tmp_path):
    chosen = re.findall(r"^c\.(?:KVProxy|SqliteBackend)\..*$", (example / "jupyterhub_config.py").read_text(), re.M)
    assert 'c.KVProxy.backend_class = "sqlite"' in chosen
    config = "\n".join([*chosen, WITHOUT_JUPYTERLAB])
    async with Hub(tmp_path, config, python=str(python)) as hub:
        await hub.start("--JupyterHub.cleanup_servers=False", "--JupyterHub.cleanup_proxy=False")
        async with browsing(hub.url, "alice") as alice:
            alice.server_url = f"{hub.url}/user/alice/"

            async def served() -> bool:
                _, url = await alice.get(f"{hub.url}/hub/spawn")
                return url.path == "/user/alice/files/" and await alice.server_answers()

            await until(served, "alice's server does not come up")
            await hub.kill()
            assert await alice.server_answers(), "alice's server is out of reach while the hub is away"
            await hub.start()
            assert await alice.server_answers()
        status = json.loads(run(python, "-m", "jhub_kvproxy", "status", "--json", cwd=tmp_path))
        assert status["ok"]
        assert status["hub"]["holder"].startswith("The hub with process ")
        table = run(python, "-c", SHOW_KEYS, tmp_path / "kvproxy-sqlite" / "table.sqlite").splitlines()
        assert {"jupyterhub routes/p", "jupyterhub routes/p.user.alice"} <= set(table)


# A page for which jupyter_server alone asks its user to log in.
WITHOUT_JUPYTERLAB = 'c.Spawner.default_url = "/files/"'
SHOW_KEYS = """
import sqlite3, sys
for row in sqlite3.connect(sys.argv[1]).execute("SELECT prefix, key FROM keys"):
    print(*row)
"""


def test_it_uses_nothing_of_ours_but_public_names(folder):
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                assert not [name for name in node.names if name.name.startswith("jhub_kvproxy")], file
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jhub_kvproxy"):
                assert node.module in {"jhub_kvproxy", "jhub_kvproxy.testing", "jhub_kvproxy_sqlite"}, file


@pytest.mark.parametrize(("language", "pattern"), [("python", "*.py"), ("toml", "*.toml")])
def test_the_page_shows_the_code_as_it_is(folder, language, pattern):
    code = [file.read_text() for file in sorted(folder.rglob(pattern))]
    blocks = texts(PAGE, language)
    assert blocks
    for block in blocks:
        shown = re.sub(r"\A# \S+\n", "", block)  # the file's name
        assert any(f"\n{shown}" in f"\n{text}" for text in code), f"{PAGE.name} shows what is not in {NAME}:\n{block}"


def test_the_page_shows_all_files(folder):
    [shown] = [block for block in texts(PAGE, "text") if block.startswith(f"{NAME}/")]
    assert [re.sub(r"(?<=[\w/]) {2,}.*", "", line) for line in shown.splitlines()] == [f"{NAME}/", *lines_of(folder)]


@pytest.mark.parametrize("command", ["jhub-kvproxy backends", "jhub-kvproxy check"])
def test_the_page_shows_what_commands_say(environment, example, tmp_path, command):
    [shown] = [block for block in texts(PAGE, "console") if block.startswith(f"$ {command}\n")]
    shutil.copy(example / "jupyterhub_config.py", tmp_path)
    said = run(*command.split(), cwd=tmp_path, env=environment)
    lines = [".*\n(?:.*\n)*" if line == "..." else f"{pattern_of(line)}\n" for line in shown.splitlines()[1:]]
    assert re.fullmatch("".join(lines), said), said


def pattern_of(line: str) -> str:
    return re.escape(line).replace(re.escape("..."), ".*")


def lines_of(directory: Path, indent: str = "") -> Iterator[str]:
    """The folder's tree, as the page prints it."""
    paths = sorted(directory.iterdir())
    for path in paths:
        is_last = path == paths[-1]
        yield f"{indent}{'└── ' if is_last else '├── '}{path.name}{'/' if path.is_dir() else ''}"
        if path.is_dir():
            yield from lines_of(path, indent + ("    " if is_last else "│   "))
