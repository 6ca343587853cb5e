"""The command line: its help, what backends and options there are, and their documentation."""

from __future__ import annotations

import os
import re
from contextlib import ExitStack
from pathlib import Path

import pytest
from traitlets.config import Config

from jhub_kvproxy._version import __version__
from jhub_kvproxy.cli.options import find_class
from jhub_kvproxy.hub.proxy import KVProxy
from jhub_kvproxy.store.registry import find_backend
from servers.ports import free_port
from tests.command import USES_KVPROXY, Result, ended, fill, install, run, start, traefik

DOCS = Path(__file__).parents[2] / "docs"
COMMAND = r"(?m)^```console\n\$ jhub-kvproxy (.*)\n((?:.*\n)*?)```$"
CHANGES = ("export", "stop", "purge")
OURS = ["consul", "etcd", "kubernetes", "postgres", "redis", "toml"]


@pytest.mark.parametrize(
    "words",
    [[], ["status"], ["routes"], ["trace"], ["diff"], ["backends"], ["options"], ["check"], ["traefik-config"]],
    ids=lambda words: " ".join(words) or "none",
)
def test_help_fits_a_terminal(words):
    result = run(*words, "--help")
    assert result == run("help", *words)
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith(f"usage: jhub-kvproxy {' '.join(words)}")
    assert max(map(len, result.out.splitlines())) <= 80
    assert "Equivalent to" not in result.out


@pytest.mark.parametrize(
    ("words", "sentence", "command"),
    [
        ("chekc", "there is no command 'chekc'; did you mean check?", "jhub-kvproxy"),
        ("help optoins", "there is no command 'optoins'; did you mean options?", "jhub-kvproxy"),
        ("--jsn", "there is no option --jsn.", "jhub-kvproxy"),
        ("--verison", "there is no option --verison; did you mean --version?", "jhub-kvproxy"),
        ("--", "there is no option --.", "jhub-kvproxy"),
        ("backends --jsno", "there is no option --jsno; did you mean --json?", "jhub-kvproxy backends"),
        ("backends --js", "there is no option --js; did you mean --json?", "jhub-kvproxy backends"),
        ("backends --hlep", "there is no option --hlep; did you mean --help?", "jhub-kvproxy backends"),
        ("backends toml", "unexpected argument 'toml'.", "jhub-kvproxy backends"),
        ("options toml etcd", "unexpected argument 'etcd'.", "jhub-kvproxy options"),
        ("options --KVProxy.prefix=x", "--KVProxy.prefix=x has no effect here.", "jhub-kvproxy options"),
        ("check --confg=x", "there is no option --confg; did you mean --config?", "jhub-kvproxy check"),
        ("check --kvproxy.prefix=x", "there is no option --kvproxy.prefix.", "jhub-kvproxy check"),
        ("check --KVProxy.prefix.x=x", "there is no option --KVProxy.prefix.x.", "jhub-kvproxy check"),
        ("check --KVProxy.prefix", "--KVProxy.prefix needs a value.", "jhub-kvproxy check"),
        ("check --KVProxy.prefix --json", "--KVProxy.prefix needs a value.", "jhub-kvproxy check"),
        ("check --config", "argument --config/-f: expected one argument", "jhub-kvproxy check"),
        ("check -f --json", "argument --config/-f: expected one argument", "jhub-kvproxy check"),
        ("check hub.py", "unexpected argument 'hub.py'.", "jhub-kvproxy check"),
    ],
)
def test_a_wrong_word_is_refused_and_the_nearest_told(words, sentence, command):
    result = run(*words.split())
    assert (result.status, result.out) == (2, "")
    assert result.err == f"jhub-kvproxy: {sentence}\nSee {command} --help.\n"


def test_help_comes_without_what_takes_long_to_import():
    result = ended(start("--help", env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"}))
    imported = {line.rpartition("|")[2].strip() for line in result.err.splitlines()}
    assert "jhub_kvproxy.cli.app" in imported
    assert not imported & {"jupyterhub", "aiohttp", "jhub_kvproxy.cli.check"}


def test_it_is_a_module_too(tmp_path):
    assert ended(start("--version", cwd=tmp_path)) == Result(0, f"{__version__}\n", "")
    assert ended(start(cwd=tmp_path)).out.startswith("usage: jhub-kvproxy ")


@pytest.mark.parametrize("words", [["options", "toml"], ["--help"]], ids=" ".join)
def test_a_reader_that_has_seen_enough_is_no_error(words):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert ended(start(*words, stdout=writer)) == Result(0, None, "")
    finally:
        os.close(writer)


def test_our_backends():
    result = run("backends")
    assert (result.status, result.err) == (0, "")
    rows = [line.split() for line in result.out.splitlines()[1:]]
    providers = {"toml": "file", "kubernetes": "no", "postgres": "no"}
    assert [row[:4] for row in rows] == [
        [name, "jhub-kvproxy", __version__, providers.get(name, name)] for name in OURS
    ]
    [toml] = [entry for entry in run("backends", "--json").json["backends"] if entry["name"] == "toml"]
    assert toml == {
        "name": "toml",
        "value": "jhub_kvproxy_backends.toml:TomlBackend",
        "package": "jhub-kvproxy",
        "version": __version__,
        "missing": [],
        "install": None,
        "error": None,
        "powers": {"provider": "file", "watch": True, "lease": True, "max_txn_ops": None, "max_txn_bytes": None},
    }


STRANGER = """
    from traitlets import Int, List, Unicode
    from jhub_kvproxy import Backend, Snapshot

    class MineBackend(Backend):
        contract = 2
        provider = "http"
        lists_at_once = True
        max_txn_ops = 7
        max_txn_bytes = 4096
        hosts = List(Int(), [1], config=True, help="Hosts.")

        async def apply(self, batch): ...
        async def load(self): return Snapshot({})
        async def watch(self): yield
        def traefik_provider_config(self): return {}
        def traefik_provider_secrets(self): return {}
"""


def test_backends_of_strangers(tmp_path):
    install(tmp_path, "mine", STRANGER, {"mine": "mine:MineBackend"}, "Requires-Dist: not ! valid")
    half = STRANGER.replace("lists_at_once = True", "").replace("MineBackend", "HalfBackend")
    install(tmp_path, "half", half, {"half": "half:HalfBackend"})
    install(tmp_path, "torn", "import no_such_module", {"torn": "torn:TornBackend"})
    install(tmp_path, "cut", "def", {"cut": "cut:CutBackend"})
    install(tmp_path, "other", "OtherBackend = str", {"other": "other:OtherBackend"})
    later = STRANGER.replace("contract = 2", "contract = 99").replace("MineBackend", "LaterBackend")
    install(tmp_path, "later", later, {"later": "later:LaterBackend"})
    needs = [
        "Provides-Extra: in-need",
        "Requires-Dist: traitlets",
        "Requires-Dist: not-of-the-extra; python_version > '3'",
        "Requires-Dist: no-such-package[x]>=2; python_version > '3' and extra == 'in-need'",
        "Requires-Dist: packaging<1; extra == 'in_need'",
        "Requires-Dist: traitlets>=5; extra == 'in-need'",
        "Requires-Dist: never; python_version < '3' and extra == 'in-need'",
    ]
    install(tmp_path, "Needy.Stores", "import no_such_package", {"In_Need": "needy:NeedyBackend"}, *needs)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "80"}
    result = ended(start("backends", env=environment))
    assert (result.status, result.err) == (0, "")
    table, _, remarks = result.out.partition("\n\n")
    rows = {line.split()[0]: line.split()[1:] for line in table.splitlines()}
    assert {*OURS, "mine", "half", "torn", "cut", "other", "later", "In_Need"} == rows.keys() - {"NAME"}
    assert rows["half"][2:4] == ["no", "yes"]
    assert rows["mine"] == ["mine", "1.2", "http", "yes", "no", "7", "keys,", "4", "KiB"]
    assert rows["torn"] == ["torn", "1.2", "-", "-", "-", "-"]
    remarks = " ".join(remarks.split())
    assert "torn cannot be used: No module named 'no_such_module'" in remarks
    assert "cut cannot be used: SyntaxError: invalid syntax" in remarks
    assert "other cannot be used: KVProxy.backend_class = 'other' stands for <class 'str'>" in remarks
    assert "later cannot be used: LaterBackend (later 1.2) has version 99 of the contract for backends" in remarks
    assert 'In_Need needs no-such-package[x]>=2, packaging<1: pip install "Needy.Stores[in-need]"' in remarks, (
        "as pip spells it"
    )
    told = ended(start("options", "In_Need", env=environment))
    assert told.status == 1
    assert 'It needs no-such-package[x]>=2, packaging<1: pip install "Needy.Stores[in-need]"' in told.err
    told = ended(start("options", "mine", env=environment))
    assert told.out == "c.MineBackend.hosts = [1]  # list of int\n    Hosts.\n"


def test_options_of_the_proxy():
    result = run("options", KVPROXY_TRAEFIK_API_PASSWORD="Hush4Ever")
    assert result == run("options", "KVProxy")
    assert (result.status, result.err) == (0, "")
    assert max(map(len, result.out.splitlines())) <= 80
    assert "Hush4Ever" not in result.out
    options = {option["name"]: option for option in run("options", "kvproxy", "--json").json["options"]}
    assert list(options) == sorted(
        f"KVProxy.{name}" for name in KVProxy.class_trait_names(config=True, renamed_to=None)
    )
    for name, option in options.items():
        assert f"c.{name} = " in result.out
        assert " ".join(option["help"].split()) in " ".join(result.out.split())
    assert options["KVProxy.traefik_api_password"]["environment"] == "KVPROXY_TRAEFIK_API_PASSWORD"
    types = {name.partition(".")[2]: (option["type"], option["default"]) for name, option in options.items()}
    assert types["backend_class"] == ("str or class", "toml")
    assert types["ready_timeout"] == ("float", 30.0)
    assert types["traefik_api_urls"] == ("list of str", [])
    assert types["traefik_log_level"] == ("one of TRACE, DEBUG, INFO, WARN, ERROR, FATAL", "ERROR")
    assert types["should_start"] == ("bool", True)


@pytest.mark.parametrize("name", OURS)
def test_options_of_a_backend(name):
    backend = find_backend(name)
    result = run("options", name)
    assert (result.status, result.err) == (0, "")
    assert max(map(len, result.out.splitlines())) <= 80
    told = run("options", name, "--json").json
    assert told["class"] == backend.__name__
    assert told == run("options", f"{backend.__module__}.{backend.__name__}", "--json").json
    options = {option["name"].partition(".")[2]: option for option in told["options"]}
    assert sorted(options) == sorted(backend.class_trait_names(config=True))
    assert all(option["help"] and option["type"] for option in options.values())
    secret = {option: told["environment"] for option, told in options.items() if option.endswith(("password", "token"))}
    assert all(variable and variable.startswith(f"KVPROXY_{name.upper()}_") for variable in secret.values())


@pytest.mark.parametrize("name", ["kvproxy", "agent", *OURS])
def test_each_default_is_what_the_option_takes(name):
    configurable = find_class(name)
    lines = [line for line in run("options", name).out.splitlines() if line.startswith("c.")]
    config = Config()
    exec("\n".join(lines), {"c": config})
    assert len(config[configurable.__name__]) == len(lines) > 0
    configurable(config=config)


def test_an_unknown_backend_has_no_options():
    result = run("options", "etdc")
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith("jhub-kvproxy: There is no backend 'etdc'; did you mean etcd? Installed: consul, ")
    result = run("options", "mine.MyBackend")
    assert (result.status, result.out) == (1, "")
    assert "'mine.MyBackend' cannot be imported: No module named 'mine'." in result.err


def test_options_of_the_agent():
    told = run("options", "agent", "--json").json
    assert told["class"] == "Agent"
    assert "Agent.traefik_api_url" in [option["name"] for option in told["options"]]


def test_what_the_documentation_shows_is_what_is_seen(tmp_path):
    """All commands in the documentation, and in the places of its ports 8099 and 8100 those of two Traefiks."""
    fill(Config({"TomlBackend": {"path": str(tmp_path / "kvproxy-table")}}), 3)
    config = tmp_path / "jupyterhub_config.py"
    port = free_port()
    config.write_text(f"{USES_KVPROXY}c.JupyterHub.bind_url = 'http://127.0.0.1:{port}'\n")
    pages = [DOCS / "reference" / "cli.md", DOCS / "how-to" / "choose-a-backend.md"]
    found = [(page, *block) for page in pages for block in re.findall(COMMAND, page.read_text())]
    # These have tests of their own: they need another table, or change it.
    found = [(page, command, shown) for page, command, shown in found if command.split()[0] not in CHANGES]
    assert len(found) == 7
    with ExitStack() as stack:
        for page, command, shown in found:
            words, shown = command.split(), shown.replace("port 8000", f"port {port}")
            if "8099" in shown:
                table = {
                    "providers": {"file": {"directory": str(tmp_path / "kvproxy-table" / "jupyterhub" / "traefik")}}
                }
                good = stack.enter_context(traefik(tmp_path, table))
                other = stack.enter_context(traefik(tmp_path, {"log": {"level": "FATAL"}}))
                shown = shown.replace("http://127.0.0.1:8099", good).replace("http://127.0.0.1:8100", other)
                words += ["--KVProxy.should_start=False", "--KVProxy.ready_timeout=1"]
                words += [f"--KVProxy.traefik_api_urls={url}" for url in (good, other)]
            result = run(*words, cwd=tmp_path)
            pattern = "".join(
                r"(?:.*\n)*?" if line == "..." else re.sub(r"(\\\.){3}", ".*", re.escape(line)) + "\n"
                for line in shown.splitlines()
            )
            # Columns are as wide as what is in them.
            seen, pattern = (re.sub(r"(\\? )+", " ", text) for text in (result.out, pattern))
            assert re.fullmatch(pattern, seen), f"{page}: {command}\n{result.out}{result.err}"


def test_what_the_documentation_shows_of_a_table_is_what_is_seen(tmp_path):
    blocks = dict(re.findall(COMMAND, (DOCS / "reference" / "cli.md").read_text()))
    first, alice, rest = blocks["export"].splitlines()
    assert rest == "..."
    bob = '{"routespec":"/user/bob/","target":"http://127.0.0.1:40212","data":{}}'
    (tmp_path / "jupyterhub_config.py").write_text(USES_KVPROXY)
    file = tmp_path / "table.jsonl"
    file.write_text("\n".join([first, alice.replace(",...", ""), bob, ""]))
    assert run("import", "--yes", file, cwd=tmp_path).status == 0
    head, shown, _ = run("export", cwd=tmp_path).out.splitlines()
    assert (re.sub('revision": ".*"', 'revision": "..."', head), shown) == (first, alice.replace(",...", ""))
    asked = run("purge", "jupyterhub", cwd=tmp_path)
    assert blocks["purge jupyterhub"] == f"{asked.out}Remove it? [y/N]\n"


def test_the_reference_tells_every_key_of_the_json(tmp_path):
    text = (DOCS / "reference" / "cli.md").read_text()
    none = "--KVProxy.prefix=none"
    for words in (["status", none], ["backends"], ["options", "etcd"], ["check", none]):
        told = run(*words, "--json", cwd=tmp_path).json
        for key in keys_of(told):
            assert f"`{key}`" in text, f"{key} of {words}"


def keys_of(value):
    if isinstance(value, list):
        return {key for below in value for key in keys_of(below)}
    if not isinstance(value, dict):
        return set()
    # What Traefik wants is Traefik's.
    return value.keys() | {
        key for name, below in value.items() if name not in ("static", "default") for key in keys_of(below)
    }
