"""Where the commands write: pipes that close, disks that are full, terminals that cannot show a name, devices."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest
from traitlets.config import Config

from tests.command import ended, fill, run, start
from tests.tools import looked_at

NAME = "ä\x1b[2J\n\ud800"


async def hostile(looked):
    await looked.proxy.add_route("/user/a/", "http://127.0.0.1:1", {"user": NAME})
    await looked.proxy.add_route("/user/\x1b[2J/", "http://127.0.0.1:1", {"user": "b"})


@pytest.mark.parametrize("command", [("routes",), ("trace", "/user/a/"), ("status",)])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
async def test_a_name_that_cannot_be_shown(site, command, encoding):
    """No command fails because of the name of one user, and no name steers the terminal."""
    async with looked_at(site, "push") as looked:
        await hostile(looked)
        for words in (command, (*command, "--json")):
            environment = os.environ | {"PYTHONIOENCODING": encoding}
            result = ended(start(*words, "--config", looked.file, env=environment, text=None, encoding="utf-8"))
            assert result.err == ""
            assert result.out
            assert "\x1b" not in result.out


async def test_what_changes_is_shown_without_control_characters(site, tmp_path):
    async with looked_at(site, "push", lease_seconds=1) as looked:
        await hostile(looked)
        file = tmp_path / "table.jsonl"
        assert (await looked.tell("export", "--output", file)).status == 0
        file.write_text(file.read_text().replace("127.0.0.1:1", "127.0.0.1:2"))
        shown = await looked.change("import", file, "--dry-run")
        assert shown.status == 0
        assert r"/user/\x1b[2J/" in shown.out


def routes(tmp_path, **options):
    config = Config()
    config.KVProxy.backend_class = "toml"
    config.TomlBackend.path = str(tmp_path / "table")
    fill(config, 3)
    words = (f"--TomlBackend.path={tmp_path / 'table'}", "--KVProxy.backend_class=toml")
    return start("routes", *words, cwd=tmp_path, **options)


def test_a_full_disk(tmp_path):
    with open("/dev/full", "w") as full:
        result = ended(routes(tmp_path, stdout=full))
    assert (result.status, result.err) == (1, "jhub-kvproxy: The output cannot be written: No space left on device.\n")


def test_a_closed_pipe(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    result = ended(routes(tmp_path, stdout=writer))
    os.close(writer)
    assert (result.status, result.err) == (0, "")


def test_no_standard_output(tmp_path):
    command = ["sh", "-c", '"$@" >&-', "sh", sys.executable, "-m", "jhub_kvproxy", "options", "toml"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("words", [("traefik-config", "--KVProxy.delivery=push"), ("export",)])
def test_a_device_is_no_file_to_replace(tmp_path, words):
    """Root would put a file in the place of /dev/null."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    config = Config()
    config.KVProxy.backend_class = "toml"
    config.TomlBackend.path = str(tmp_path / "table")
    fill(config, 1)
    result = run(
        *words,
        "--KVProxy.backend_class=toml",
        f"--TomlBackend.path={tmp_path / 'table'}",
        "--output",
        pipe,
        cwd=tmp_path,
    )
    assert result.status == 1
    assert result.err == f"jhub-kvproxy: {pipe} cannot be written: it is no regular file.\n"
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("words", [("status", "--config", "x" * 5000), ("purge", "x" * 5000)])
def test_names_that_no_file_has(tmp_path, words):
    result = run(*words, cwd=tmp_path)
    assert result.status == 1
    assert "File name too long" in result.err
