"""The how-to page for 3 a.m.: its transcripts are what the commands say in the scenes that it tells of."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from aiohttp import web

from jhub_kvproxy.store.registry import find_backend
from jhub_kvproxy.testing import Line
from tests.agents import TOKEN, agent_for
from tests.command import run
from tests.hub import until
from tests.others_traefik import PASSWORD, OthersTraefik, others_traefik
from tests.servers import serving
from tests.site import Site
from tests.tools import begin, looked_at, told

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "at-3-am.md").read_text()


def transcripts(section: str) -> list[tuple[list[str], str]]:
    """The commands below this heading, each with what the page shows."""
    [text] = re.findall(rf"^## {section}\n(.*?)(?=^## )", PAGE, re.DOTALL | re.MULTILINE)
    found = re.findall(r"^```console\n\$ jhub-kvproxy (.*)\n((?:.*\n)*?)```$", text, re.MULTILINE)
    return [(words.split(), shown) for words, shown in found]


async def as_shown(transcript: tuple[list[str], str], file: Path, names: dict[str, str]) -> None:
    """Assert that the command says what is shown, with these `names` of this machine in the places of the page's."""
    words, shown = transcript
    result = await told(*words, "--config", file)
    for name, here in names.items():
        shown = shown.replace(name, here)
    # Lines are as long as the terminal is wide, and columns as wide as what is in them.
    seen, wanted = (" ".join(text.split()) for text in (result.out, shown))
    pattern = re.escape(wanted).replace(re.escape("..."), ".*?")
    assert re.fullmatch(pattern, seen), f"{words}\n{result.out}{result.err}"


async def test_alice_gets_a_404(site):
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=404 if request.path.startswith("/user/alice/gpu/") else 200)

    async def on_gpu(_: web.Request) -> web.Response:
        return web.Response()

    first, listed, last = transcripts("Alice gets a 404")
    async with looked_at(site, "push") as looked, serving(answer) as default, serving(on_gpu) as gpu:
        names = {"http://127.0.0.1:40211": default, "http://127.0.0.1:40212": gpu}
        await begin(looked)
        await looked.proxy.add_route("/", default, {"hub": True})
        await looked.proxy.add_route("/user/alice/", default, {"user": "alice", "server_name": ""})
        await as_shown(first, looked.file, names)
        await as_shown(listed, looked.file, names)
        await looked.proxy.add_route("/user/alice/gpu/", gpu, {"user": "alice", "server_name": "gpu"})
        await as_shown(last, looked.file, names)


@pytest.mark.parametrize("store", ["etcd"], indirect=True)
async def test_one_replica_lags(site, etcd, tmp_path):
    """The line from one of two agents to the store is cut."""
    first, last = transcripts("One replica lags")
    kind = find_backend("etcd")
    host, port = etcd.url.rpartition("//")[2].split(":")
    async with Line(host, int(port)) as line:
        ways = [{}, {"urls": [f"http://{line.host}:{line.port}"], "timeout": 1.0}]
        backends = [kind(config=site.store.config, prefix=site.store.prefix, read_only=True, **way) for way in ways]
        others = [_traefik_of_another_machine(site, tmp_path / f"traefik-{number}") for number in range(2)]
        hubs = [{site.store.prefix: backend} for backend in backends]
        with others[0].traefik, others[1].traefik:
            async with (
                agent_for(hubs[0], others[0].api_url, PASSWORD) as (_, good),
                agent_for(hubs[1], others[1].api_url, PASSWORD) as (_, cut),
            ):
                options = {
                    "delivery": "agent",
                    "should_start": False,
                    "agent_urls": [good.url, cut.url],
                    "agent_token": TOKEN,
                }
                proxy = site.proxy(**options)
                file = tmp_path / "hub_config.py"
                lines = [f"c.KVProxy.{name} = {value!r}" for name, value in options.items()]
                lines += [f"c.KVProxy.prefix = {site.store.prefix!r}", site.store.config_lines]
                file.write_text("\n".join(lines))
                names = {"http://10.0.0.1:8098": good.url, "http://10.0.0.2:8098": cut.url}
                await proxy.control.open()
                for name in ("a", "b"):
                    await proxy.add_route(f"/user/{name}/", await site.server(name), {"user": name})
                await until(lambda: _is_well(file), "One of the agents is not up to date")
                await line.refuse()
                adding = asyncio.create_task(proxy.add_route("/user/c/", await site.server("c"), {"user": "c"}))
                await until(lambda: _says_trouble(file), "The agent does not say that the store is away")
                await as_shown(first, file, names)
                await line.mend()
                await adding
                await until(lambda: _is_well(file), "The agent does not come back")
                await as_shown(last, file, names)


def _traefik_of_another_machine(site: Site, directory: Path) -> OthersTraefik:
    """One that would have the hub's public port there, and has any here."""
    directory.mkdir()
    others = others_traefik(site, directory, "push")
    file = directory / "traefik.toml"
    text = file.read_text()
    public = f'"127.0.0.1:{site.port}"'
    assert public in text
    file.write_text(text.replace(public, '"127.0.0.1:0"'))
    return others


async def _says_trouble(file: Path) -> bool:
    facts = (await asyncio.to_thread(run, "status", "--json", "--config", file)).json
    lags = [replica["behind"] for replica in facts["replicas"]]
    return (facts["store"]["routes"], lags) == (3, [0, 1]) and "from the store since" in "".join(facts["problems"])


async def _is_well(file: Path) -> bool:
    return bool((await asyncio.to_thread(run, "status", "--json", "--config", file)).json["ok"])
