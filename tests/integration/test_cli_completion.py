"""``jhub-kvproxy completion``: what a real shell completes by it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess

import pytest

from servers.programs import find
from tests.command import run

COMMANDS = re.findall(r"^  ([a-z-]+) ", run("--help").out.partition("commands:")[2], re.MULTILINE)


@pytest.fixture(scope="module", params=["bash", "zsh", "fish"])
def shell(request, tmp_path_factory):
    """A function that tells what one shell completes."""
    name = request.param
    find(name)
    result = run("completion", name)
    assert (result.status, result.err) == (0, "")
    file = tmp_path_factory.mktemp(name) / "script"
    file.write_text(result.out)
    return lambda directory, *words: _completed(name, file, directory, words)


def _completed(name, file, directory, words):
    if name == "fish":
        line = " ".join(["jhub-kvproxy", *words])
        said = _said([name, "-N", "-c", f"source {file}; complete -C {shlex.quote(line)}"], directory)
        return [line.partition("\t")[0] for line in said.splitlines()]
    script = f"source {file}; COMP_WORDS=(jhub-kvproxy {' '.join(map(shlex.quote, words))}); COMP_CWORD={len(words)}; "
    if name == "zsh":
        # Outside of its line editor, zsh completes nothing; what it would call is a function of bash's kind.
        script = f"autoload -U compinit; compinit -D; {script} setopt ksharrays; "
    found = _said([name, "-c", script + '_jhub_kvproxy; printf "%s\\n" "${COMPREPLY[@]}"'], directory).split()
    # Its line editor looks for those that begin with the word; its compgen does not.
    return [word for word in found if name == "bash" or word.startswith(words[-1])]


def _said(command, directory):
    env = {"PATH": os.environ["PATH"], "HOME": str(directory)}
    result = subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True)
    assert result.stderr == ""
    return result.stdout


def test_the_commands(shell, tmp_path):
    assert set(COMMANDS) <= set(shell(tmp_path, ""))
    assert shell(tmp_path, "ch") == ["check"]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_options_of_each_command(command, shell, tmp_path):
    described = re.findall(r"^  (-.*?)(?:  |$)", run(command, "--help").out, re.MULTILINE)
    options = set(re.findall(r"(?<!\S)--[a-z][a-z-]*", " ".join(described)))
    assert options
    assert options == {word for word in shell(tmp_path, command, "--") if re.fullmatch("--[a-z-]+", word)}


def test_values(shell, tmp_path):
    (tmp_path / "hub.py").touch()
    (tmp_path / "hubs").mkdir()
    assert {"bash", "zsh", "fish"} <= set(shell(tmp_path, "completion", ""))
    assert shell(tmp_path, "options", "to") == ["toml"]
    assert {word.rstrip("/") for word in shell(tmp_path, "check", "--config", "hu")} == {"hub.py", "hubs"}
    assert {word.rstrip("/") for word in shell(tmp_path, "traefik-config", "--plugin", "hu")} == {"hubs"}


def test_options_of_the_configuration(shell, tmp_path):
    assert shell(tmp_path, "check", "--KVProxy.pref") == ["--KVProxy.prefix"]
    assert shell(tmp_path, "check", "--TomlBackend.pa") == ["--TomlBackend.path"]
    assert shell(tmp_path, "agent", "--Agent.cac") == ["--Agent.cache"]
    assert shell(tmp_path, "backends", "--KVProxy.pref") == []


def test_an_unknown_shell_and_none():
    result = run("completion", "csh")
    assert result.status == 2
    assert "csh" in result.err
    assert run("completion").status == 2
