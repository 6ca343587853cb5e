"""Commands that change a store, ended in the middle: nothing is half done."""

from __future__ import annotations

import asyncio
import json
import os
import signal

import pytest

from tests.command import ended, install, run, start
from tests.hub import until

SLOW = """
    import asyncio
    from pathlib import Path
    from jhub_kvproxy_backends.toml import TomlBackend

    class SlowBackend(TomlBackend):
        "Fake: once the file `slow` is there, a change takes until the file `go` is there."
        async def apply(self, batch):
            await self._wait()
            await super().apply(batch)
            await self._wait()

        async def remove(self):
            await self._wait()
            await super().remove()

        async def _wait(self):
            if Path("slow").exists():
                Path("begun").touch()
                while not Path("go").exists():
                    await asyncio.sleep(0.01)
"""


def table(path, *names):
    head = {"format": "jhub-kvproxy table", "version": 1, "routes": len(names), "revision": ""}
    records = [{"routespec": f"/user/{name}/", "target": "http://127.0.0.1:1", "data": {}} for name in names]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in [head, *records]))
    return path


@pytest.fixture
def slow(tmp_path, monkeypatch):
    """A directory with a table of a slow backend."""
    install(tmp_path / "packages", "slow-backend", SLOW, {"slow": "slow_backend:SlowBackend"})
    monkeypatch.syspath_prepend(tmp_path / "packages")
    result = run("import", table(tmp_path / "one", "a"), "--yes", "--KVProxy.backend_class=slow", cwd=tmp_path)
    assert result.status == 0, result.err
    (tmp_path / "slow").touch()
    return tmp_path


def names_in(directory):
    result = run("routes", "--json", "--KVProxy.backend_class=slow", cwd=directory)
    return [route["routespec"] for route in result.json["routes"]] if result.status == 0 else result.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("command", ["import", "migrate", "purge"])
def test_what_has_begun_is_done_to_the_end(slow, command, number):
    words = {
        "import": ("import", table(slow / "two", "b", "c"), "--KVProxy.backend_class=slow"),
        "migrate": ("migrate", "--from-backend=toml", "--to-backend=slow", "--TomlBackend.path=other"),
        "purge": ("purge", "jupyterhub", "--KVProxy.backend_class=slow"),
    }[command]
    if command == "migrate":
        options = ("--KVProxy.backend_class=toml", "--TomlBackend.path=other")
        assert run("import", table(slow / "two", "b", "c"), "--yes", *options, cwd=slow).status == 0
        words = (*words, "--SlowBackend.path=kvproxy-table")
    path = os.pathsep.join([str(slow / "packages"), os.environ.get("PYTHONPATH", "")])
    process = start(*words, "--yes", cwd=slow, env=os.environ | {"PYTHONPATH": path})
    asyncio.run(until((slow / "begun").exists, "nothing has begun"))
    process.send_signal(number)
    (slow / "go").touch()
    result = ended(process)
    assert result.status == 1
    assert result.err == "jhub-kvproxy: The command was interrupted. What it had begun to change is done, or undone.\n"
    if command == "purge":
        assert not (slow / "kvproxy-table" / "jupyterhub").exists()
    else:
        assert names_in(slow) == ["/user/b/", "/user/c/"]
