"""The page of public names has all that there are, and no others."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterable
from configparser import ConfigParser
from itertools import groupby
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from traitlets.config import Config

import jhub_kvproxy
import jhub_kvproxy.testing
from jhub_kvproxy.agent.options import Agent
from jhub_kvproxy.hub.proxy import KVProxy
from jhub_kvproxy.store.registry import find_backend
from jhub_kvproxy.testing import BackendSuite, OutageSuite, TraefikSuite
from tests.command import fill, run
from tests.tools import database

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGE = (DOCS / "reference" / "public-names.md").read_text()
CODE = [path for folder in ("jhub_kvproxy", "backends") for path in (ROOT / folder).rglob("*.py")]
SETUP = ConfigParser()
SETUP.read(ROOT / "setup.cfg")
OURS = [line.partition(" = ")[0] for line in SETUP["options.entry_points"]["jhub_kvproxy.backends"].split("\n") if line]
#: For those who work on jhub-kvproxy.
EXTRAS_OF_OURS = {"audit", "bench", "demo", "docs", "release", "test"}
MEMORY = "jhub_kvproxy.testing.MemoryBackend"
PREFIX = ["--KVProxy.prefix=jupyterhub"]
SUITES = (BackendSuite, OutageSuite, TraefikSuite)


def rows(section: str, column: str = "") -> list[list[str]]:
    """The rows of the tables below the heading `section`; only those of the table that begins with `column`."""
    [text] = re.findall(rf"^### {section}\n(.*?)(?=^##)", PAGE, re.DOTALL | re.MULTILINE)
    found = []
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        head, _, *lines = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()]
        if not column or head[0] == column:
            found += lines
    assert found
    return found


def names(cells: Iterable[str]) -> list[str]:
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def once(found: list[str]) -> set[str]:
    assert len(found) == len(set(found)), "a name stands there twice"
    return set(found)


def strings_in_code() -> set[str]:
    """What stands in the code as a string of its own."""
    trees = (ast.walk(ast.parse(path.read_text())) for path in CODE)
    return {
        node.value for tree in trees for node in tree if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_what_python_modules_export():
    exported = [*jhub_kvproxy.__all__, *jhub_kvproxy.testing.__all__]
    assert once(names(row[0] for row in rows("Python"))) == once(exported)


def own_members(cls: type) -> set[str]:
    members = set(vars(cls)) | set(inspect.get_annotations(cls))
    if inspect.isfunction(init := vars(cls).get("__init__")) and not hasattr(cls, "__dataclass_fields__"):
        members |= set(re.findall(r"self\.(\w+)(?:: [^=]+)? = ", inspect.getsource(init)))
    return {name for name in members if not name.startswith(("_", "test_"))}


def members(cls: type) -> set[str]:
    """The members of a class, without those that every backend has."""
    ancestors = [one for one in cls.mro() if one.__module__.startswith("jhub_kvproxy")] if cls in SUITES else [cls]
    found = set().union(*map(own_members, ancestors))
    is_backend = issubclass(cls, jhub_kvproxy.Backend) and cls is not jhub_kvproxy.Backend
    return found - OF_BACKENDS if is_backend else found


OF_BACKENDS = set().union(
    *map(
        own_members,
        (
            jhub_kvproxy.Backend,
            jhub_kvproxy.SupportsWatch,
            jhub_kvproxy.SupportsLease,
            jhub_kvproxy.SupportsLeaseReport,
        ),
    )
)
#: Traitlets calls the first ones, our own tests the last one.
INNER = {
    "RenamedOption": {"default_value_repr", "from_string", "from_string_list", "get", "set"},
    "MemoryBackend": {"tables"},
}


def test_the_members_of_classes():
    told = {names([cls])[0]: once(names([listed])) for cls, listed in rows("Members")}
    exported = [*jhub_kvproxy.__all__, *jhub_kvproxy.testing.__all__]
    classes = [getattr(jhub_kvproxy, name, None) or getattr(jhub_kvproxy.testing, name, None) for name in exported]
    there = {cls.__name__: members(cls) - INNER.get(cls.__name__, set()) for cls in classes if isinstance(cls, type)}
    assert told == {name: found for name, found in there.items() if found}


def test_entry_points():
    told = {names([group])[0]: once(names([listed])) for group, listed in rows("Entry points", "group")}
    there = {
        group: {line.partition(" = ")[0] for line in listed.split("\n") if line}
        for group, listed in SETUP["options.entry_points"].items()
    }
    assert told == there


def test_extras():
    told = once(names(row[0] for row in rows("Entry points", "extra")))
    assert told == set(SETUP["options.extras_require"]) - EXTRAS_OF_OURS


def test_options():
    told = {names([cls])[0]: once(names([listed])) for cls, listed in rows("Options")}
    there = {
        "KVProxy": set(KVProxy.class_own_traits(config=True, renamed_to=None)),
        "Agent": set(Agent.class_own_traits(config=True)),
    }
    for backend in map(find_backend, OURS):
        there[backend.__name__] = set(backend.class_trait_names(config=True, renamed_to=None))
    assert told == there


def test_environment_variables():
    told = once(names(row[0] for row in rows("Environment variables")))
    assert told == {text for text in strings_in_code() if re.fullmatch(r"(KVPROXY|CONFIGPROXY)_[A-Z_]*[A-Z]", text)}


def test_commands_and_their_options():
    told = {names([command])[0]: once(names([options])) for command, options, _ in rows("Commands", "command")}
    listed = re.findall(r"^  ([a-z-]+) ", run("--help").out.partition("commands:")[2], re.MULTILINE)
    there = {}
    for name in listed:
        described = re.findall(r"^  (-.*?)(?:  |$)", run(name, "--help").out, re.MULTILINE)
        there[name] = set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", " ".join(described))) - {"-h", "--help"}
    assert told == there


@pytest.mark.parametrize(
    "words",
    [
        ["backends"],
        ["status", *PREFIX],
        ["routes", *PREFIX],
        ["trace", "http://127.0.0.1:1/user/0/", *PREFIX],
        ["diff", *PREFIX],
        ["options", "etcd"],
        ["check", "--KVProxy.should_start=False", "--KVProxy.traefik_api_urls=http://127.0.0.1:1"],
        ["traefik-config", "--plugin", "."],
        ["migrate", "--config=old.py", "---", "--from-backend=toml", f"--to-backend={MEMORY}", "--dry-run", *PREFIX],
        ["export", "--output=table.jsonl", *PREFIX],
        ["import", "table.jsonl", "--dry-run", *PREFIX],
        ["stop", *PREFIX],
        ["purge", "jupyterhub", "--yes"],
    ],
    ids=lambda words: words[0],
)
def test_keys_of_the_json(words, tmp_path):
    fill(Config({"TomlBackend": {"path": str(tmp_path / "kvproxy-table")}}), 1)
    database(tmp_path / "jupyterhub.sqlite", alice=1)
    (tmp_path / "old.py").write_text('c.TraefikRedisProxy.redis_password = c.TraefikRedisProxy.concurrency = "x"')
    [told] = [names([keys]) for command, _, keys in rows("Commands", "command") if names([command]) == words[:1]]
    (tmp_path / "table.jsonl").write_text('{"format": "jhub-kvproxy table", "version": 1, "routes": 0}\n')
    runs = [list(part) for is_end, part in groupby(words[1:], "---".__eq__) if not is_end] or [[]]
    seen = (keys_of(run(words[0], *options, "--json", cwd=tmp_path).json) for options in runs)
    assert {key for key in told if not key.startswith("--")} == set().union(*seen)


def keys_of(value: object) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(keys_of, value))
    if not isinstance(value, dict):
        return set()
    # What Traefik wants is Traefik's, and a default is anything.
    below = [inner for name, inner in value.items() if name not in ("static", "secrets", "default")]
    return value.keys() | keys_of(below)


def test_exit_statuses():
    seen = [
        run(*words.split()).status for words in ("backends", "options no-such-backend", "backends --no-such-option")
    ]
    assert names(row[0] for row in rows("Commands", "exit status")) == [str(status) for status in seen]


def test_requests():
    reference = (DOCS / "reference" / "rest-api.md").read_text()
    answered = re.findall(r"^\| `(\w+ [^`?]+)", reference, re.MULTILINE)
    assert names(row[0] for row in rows("Requests")) == list(dict.fromkeys(answered))


def test_metrics():
    there = {
        metric.name + ("_total" if metric.type == "counter" else "")
        for metric in REGISTRY.collect()
        if metric.name.startswith("kvproxy_")
    }
    assert once(names(row[0] for row in rows("Metrics"))) == there


@pytest.mark.parametrize("name", names(row[0] for row in rows("Files")))
def test_files(name):
    assert name in strings_in_code()


@pytest.mark.parametrize("name", ["/_chp_healthz", "X-Kvproxy-Route", "X-Kvproxy-Target"])
def test_what_is_told_beside_the_tables(name):
    assert name in PAGE
    assert any(name in text for text in strings_in_code())
