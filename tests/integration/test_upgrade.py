"""A hub goes from an older release to this one and back while its users work: no route is lost.

docs/how-to/upgrade.md says what users notice meanwhile; `-s` shows what this test saw of it.
"""

from __future__ import annotations

import asyncio
import shlex
import subprocess
import sys
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from servers.errors import Missing
from tests.hub import Hub, browsing
from tests.servers import user_server
from tests.shell import run

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
#: Stands for the release before, until there is one.
OLDER = "4d8c9b4"
TOKEN = "a-token-for-looking-only"
LEAVE_ALL = ("--JupyterHub.cleanup_servers=False", "--JupyterHub.cleanup_proxy=False")
EXTRA = [f"/extra/{number}/" for number in range(20)]
PAUSE = 0.05
CONFIG = """
c.JupyterHub.services = [{{"name": "looker", "api_token": "{token}"}}]
c.JupyterHub.load_roles = [{{"name": "looker", "scopes": ["proxy"], "services": ["looker"]}}]
c.KVProxy.extra_routes = {routes}
c.KVProxy.lease_seconds = 5
"""


@pytest.fixture(scope="module")
def older(tmp_path_factory) -> Path:
    """What pip installs of the older release, without what that needs."""
    asked = ("git", "cat-file", "-e", f"{OLDER}^{{commit}}")
    if subprocess.run(asked, cwd=ROOT, capture_output=True, check=False).returncode:
        raise Missing(f"this checkout's history does not reach back to {OLDER}: git fetch --unshallow")
    directory = tmp_path_factory.mktemp("older")
    archive, tree, library = directory / "older.tar", directory / "tree", directory / "library"
    tree.mkdir()
    run("git", "archive", f"--output={archive}", OLDER, cwd=ROOT)
    run("tar", "--extract", f"--file={archive}", f"--directory={tree}")
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", f"--target={library}", tree)
    return library


def interpreter(file: Path, *places: Path) -> str:
    """A Python that imports from `places` first; all else is as here."""
    path = shlex.quote(":".join(map(str, places)))
    file.write_text(f'#!/bin/sh\nPYTHONPATH={path} exec {shlex.quote(sys.executable)} "$@"\n')
    file.chmod(0o755)
    return str(file)


async def table_of(hub: Hub) -> dict[str, object]:
    """Target and owner of each route that the hub's proxy says there is."""
    headers = {"Authorization": f"token {TOKEN}"}
    async with aiohttp.ClientSession(headers=headers) as session, session.get(f"{hub.url}/hub/api/proxy") as answer:
        assert answer.status == 200
        routes = await answer.json()
    owners = {name: {k: v for k, v in route["data"].items() if k != "last_activity"} for name, route in routes.items()}
    return {name: (route["target"], owners[name]) for name, route in routes.items()}


async def served(url: str, paths: list[str]) -> list[str]:
    """Those of `paths` that the server "extra" answers."""
    found = []
    async with aiohttp.ClientSession() as session:
        for path in paths:
            async with session.get(url + path) as answer:
                if answer.status == 200 and (await answer.json())["server"] == "extra":
                    found.append(path)
    return found


@asynccontextmanager
async def visiting(url: str):
    """Asks for `url` again and again: a count of what came back."""
    seen: Counter[object] = Counter()

    async def visit() -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(url) as answer:
                        seen[answer.status] += 1
                except aiohttp.ClientError as error:
                    seen[type(error).__name__] += 1
                await asyncio.sleep(PAUSE)

    task = asyncio.create_task(visit())
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.wait([task])


async def remove_lease(hub: Hub, table: Path) -> None:
    """The older release cannot read the lease of this one: it says so, and what to do."""
    assert await hub.start_in_vain() != 0
    [lease] = table.rglob("lease")
    assert f"The lease {lease} is damaged" in hub.log
    lease.unlink()


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("store", "delivery", "end"),
    [("toml", "", Hub.stop), ("toml", "store", Hub.kill), ("etcd", "", Hub.kill), ("etcd", "store", Hub.stop)],
    indirect=["store"],
    ids=["toml", "toml-store-crash", "etcd-crash", "etcd-store"],
)
async def test_no_route_is_lost_by_an_upgrade_nor_by_the_way_back(store, delivery, end, older, tmp_path):
    old = interpreter(tmp_path / "old-python", older)
    new = interpreter(tmp_path / "new-python", ROOT, ROOT / "backends")
    async with user_server("extra") as target:
        config = CONFIG.format(token=TOKEN, routes=dict.fromkeys(EXTRA, target)) + store.config_lines
        config += f"c.KVProxy.delivery = {delivery!r}\n" if delivery else ""
        async with Hub(tmp_path, config, python=old) as hub:
            await hub.start(*LEAVE_ALL)
            async with browsing(hub.url, "ann") as ann:
                await ann.spawn()
                routes = await table_of(hub)
                assert {*EXTRA, "/", "/user/ann/"} <= routes.keys()
                for python, what, options in ((new, "upgrade", LEAVE_ALL), (old, "downgrade", ())):
                    async with visiting(hub.url + EXTRA[0]) as seen:
                        await end(hub)
                        hub.python = python
                        if (store.name, end, python) == ("toml", Hub.kill, old):
                            await remove_lease(hub, Path(store.traits["path"]))
                        await hub.start(*options)
                    print(f"{what}: {dict(seen)}")
                    assert await table_of(hub) == routes, what
                    assert await served(hub.url, EXTRA) == EXTRA, what
                    assert await ann.server_answers(), what
