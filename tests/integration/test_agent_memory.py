"""What an agent takes of its machine."""

from __future__ import annotations

import json
import sys

import aiohttp

from benchmarks.processes import usage
from jhub_kvproxy.store.registry import find_backend
from servers.ports import free_port
from servers.process import Process
from servers.programs import ROOT
from tests.agents import TOKEN, Asking, Writing
from tests.hub import until


async def test_an_agent_with_a_thousand_routes_takes_less_than_60_mb(tmp_path):
    traits = {"path": str(tmp_path / "table")}
    backend = find_backend("toml")(prefix="hub", **traits)
    await backend.open()
    writing = Writing(backend)
    revision = await writing.put(
        {f"/user/somebody-{number}/": f"http://10.0.0.1:{number}" for number in range(1, 1001)}
    )
    config = {
        "KVProxy": {"prefix": "hub", "delivery": "agent", "should_start": False, "agent_token": TOKEN},
        "TomlBackend": traits,
        "Agent": {"port": free_port(), "traefik_api_url": "http://127.0.0.1:1"},
    }
    file = tmp_path / "agent.json"
    file.write_text(json.dumps(config))
    command = [sys.executable, "-m", "jhub_kvproxy", "agent", f"--config={file}"]
    with Process("agent", command, tmp_path / "agent.log", port=config["Agent"]["port"], cwd=ROOT) as agent:
        async with aiohttp.ClientSession() as session:
            asking = Asking(agent.port, session, "hub")

            async def knows() -> bool:
                status = json.loads((await asking.get("/status"))[1])
                return bool(status["hubs"]["hub"]["known_revision"] == revision)

            await until(knows, "it does not read the table")
            assert usage([agent.pid]).memory < 60 * 1024 * 1024
    await backend.close()
