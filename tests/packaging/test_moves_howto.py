"""The pages on moving to jhub-kvproxy and away from it lead where they say, with a real hub and the other proxy."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from servers.ports import free_port
from servers.programs import find
from tests import command
from tests.hub import Hub, User, browsing, until
from tests.pages import HOW_TO, Step, blocks, load, need, run, steps, texts, unit_of

FROM_CHP, FROM_PEER = HOW_TO / "from-configurable-http-proxy.md", HOW_TO / "from-jupyterhub-traefik-proxy.md"
SYSTEMD, UNINSTALL = HOW_TO / "systemd.md", HOW_TO / "uninstall.md"


def chp_command() -> list[str]:
    return [find("configurable-http-proxy"), "--timeout=1800000"]


@pytest.mark.slow
async def test_from_configurable_http_proxy_and_back(tmp_path):
    need("jupyterlab")
    text = f"""
c.JupyterHub.proxy_class = "configurable-http-proxy"
c.ConfigurableHTTPProxy.command = {chp_command()!r}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{free_port()}"
"""
    async with Hub(tmp_path, text) as hub:
        await hub.start()
        async with browsing(hub.url, "alice") as alice:
            await alice.spawn()
            printed = ""
            for step in steps(FROM_CHP):
                printed = await follow(step, hub, alice, printed) or printed


async def follow(step: Step, hub: Hub, alice: User, printed: str) -> str:
    match step.language, step.text:
        case "console", _:
            return run(step.text, hub.directory, step.place)
        case "python", _:
            with (hub.directory / "jupyterhub_config.py").open("a") as config:
                config.write(f"\n{step.text}")
            await hub.kill()
            await hub.start()
            await hub.stop()
            await until(alice.server_answers, f"{step.place}: the hub has not left the servers and Traefik")
            await hub.start()
        case "", "the hub is killed":
            await hub.kill()
        case "", "the hub starts":
            config = hub.directory / "jupyterhub_config.py"
            kept = [line for line in config.read_text().splitlines() if "ConfigurableHTTPProxy" not in line]
            lines = [line for line in printed.splitlines() if line.startswith("c.")]
            config.write_text("\n".join([*kept, *lines]))
            assert "c.KVProxy.timeout = 1800.0" in lines
            await hub.start()
            assert "Started Traefik with pid" in hub.log
        case "", "the hub starts with CHP":
            await hub.start()
            assert (hub.directory / "jupyterhub-proxy.pid").exists()
        case "", "JupyterLab answers":
            await until(alice.server_answers, f"{step.place}: JupyterLab does not answer")
        case _:
            assert step.language == "sh", step.place
    return ""


def test_the_peers_options_become_what_the_page_shows(tmp_path):
    old, new = texts(FROM_PEER, "python")
    (tmp_path / "jupyterhub_config.py").write_text(old)
    said = command.run("migrate", "--json", cwd=tmp_path).json
    assert said["lines"] == new.splitlines()[1:]
    assert [one["variable"] for one in said["environment"]] == ["KVPROXY_REDIS_PASSWORD"]
    assert "`KVPROXY_REDIS_PASSWORD`" in FROM_PEER.read_text()


def test_the_unit_keeps_traefik_and_says_why(tmp_path):
    [block] = blocks("ini", "# /etc/systemd/system/jupyterhub.service", [SYSTEMD])
    unit = unit_of(block.text)
    assert (unit["KillMode"], unit["OOMPolicy"]) == ("process", "continue")
    page = SYSTEMD.read_text()
    for option in ("KillMode", "OOMPolicy", "LimitNOFILE", "Restart", "TimeoutStopSec"):
        assert f"`{option}={unit[option]}`\n: " in page, option
    config = load(texts(SYSTEMD, "python")[0], tmp_path)
    assert config.JupyterHub == {"proxy_class": "kvproxy", "cleanup_proxy": False, "cleanup_servers": False}
    assert Path(unit["ExecStart"].rpartition("=")[2]).parent == Path(unit["WorkingDirectory"])


async def test_nothing_is_left_after_uninstalling(tmp_path):
    stop, purge = (block for block in blocks("console", pages=[UNINSTALL]))
    async with Hub(tmp_path) as hub:
        await hub.start("--JupyterHub.cleanup_proxy=False")
        await hub.stop()
        pid = json.loads((tmp_path / "kvproxy-run" / "traefik.json").read_text())["pid"]
        run(stop.text, tmp_path, stop.place)
        await until(lambda: not Path(f"/proc/{pid}").exists(), "Traefik runs on")
        run(f"{purge.text}...", tmp_path, purge.place)
        left = {path.name for path in tmp_path.iterdir()}
        assert left == {"jupyterhub_config.py", "jupyterhub.sqlite", "jupyterhub_cookie_secret", "hub.log"}


def test_the_index_says_something_of_each_guide():
    index = (HOW_TO / "index.md").read_text()
    guides = {page.name for page in HOW_TO.glob("*.md")} - {"index.md"}
    described = re.findall(r"^(\[\]\(.*\))\n: \w", index, re.MULTILINE)
    assert {name for line in described for name in re.findall(r"\((.*?)\)", line)} == guides
    assert set(re.findall(r"^([a-z0-9-]+)$", index, re.MULTILINE)) == {name.removesuffix(".md") for name in guides}
