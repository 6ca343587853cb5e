"""What the page on a Traefik that the admin runs shows works, as the page says."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from jhub_kvproxy.hub.proxy import KVProxy
from jhub_kvproxy.traefik.certificate import self_signed
from servers.ports import free_port
from servers.programs import find
from servers.traefik import Traefik
from tests.pages import HOW_TO, Step, blocks, load, run, unit_of
from tests.servers import Client, user_server

EXTERNAL = HOW_TO / "external-traefik.md"
BEHIND = HOW_TO / "behind-another-proxy.md"


@pytest.mark.parametrize("way", ["as shown", "with what may be added", "pushed"])
async def test_traefik_run_by_others(way, tmp_path, monkeypatch):
    table, public, api = tmp_path / "table", free_port(), free_port()
    replaced = {
        "/var/lib/jupyterhub/kvproxy": str(table),
        "/etc/traefik": str(tmp_path),
        '":8000"': f'"127.0.0.1:{public}"',
        "127.0.0.1:8099": f"127.0.0.1:{api}",
        "chown traefik:": f"chown {os.getuid()}:{os.getgid()}",
        "PUT-YOURS-HERE": base64.b64encode(hashlib.sha1(b"sesame").digest()).decode(),
    }

    def adapted(step: Step) -> str:
        text = step.text
        for old, new in replaced.items():
            text = text.replace(old, new)
        return text

    first_line = "# /etc/traefik/traefik.toml"
    static, *more = map(adapted, blocks("toml", first_line, [EXTERNAL]) + blocks("toml", first_line, [BEHIND]))
    [dynamic] = map(adapted, blocks("toml", "# /var/lib/jupyterhub", [EXTERNAL]))
    shown, pushing, *_ = map(adapted, blocks("python", "# jupyterhub_config.py", [EXTERNAL]))
    options: dict[str, Any] = {}
    if way == "pushed":
        # The hub's files and Traefik's are in one directory here.
        shown = pushing.replace("http://:8000", f"http://127.0.0.1:{public}")
        monkeypatch.setenv("KVPROXY_TRAEFIK_API_PASSWORD", "sesame")
        (tmp_path / "jupyterhub_config.py").write_text(shown)
        [commands] = blocks("console", "# mkdir -p /etc/traefik/dynamic", [EXTERNAL])
        text = adapted(commands).replace("traefik-config", f"traefik-config --directory={tmp_path}")
        run(re.sub("^# ", "$ ", text, flags=re.MULTILINE), tmp_path, commands.place)
        unit = unit_of(adapted(blocks("ini", "# /etc/systemd/system/traefik.service", [EXTERNAL])[0]))
        name, _, value = Path(unit["EnvironmentFile"]).read_text().strip().partition("=")
        assert unit["ExecStart"].split()[1:] == [f"--configFile={tmp_path}/traefik.toml"]
        assert unit["WorkingDirectory"] == str(tmp_path)
        options = {"env": {name: value.strip('"')}, "umask": int(unit["UMask"], 8)}
    else:
        (tmp_path / "traefik.toml").write_text("\n".join([static, *more]) if "added" in way else static)
        directory = table / "jupyterhub" / "traefik"
        directory.mkdir(parents=True)
        (directory / "site.toml").write_text(dynamic)
    for name, content in zip(("cert", "key"), self_signed(), strict=True):
        (tmp_path / f"default-{name}.pem").write_bytes(content)
    config = load(shown, tmp_path)
    config.TomlBackend.path = str(table)
    config.TomlBackend.pop("group", None)  # this machine has no such group
    config.KVProxy.traefik_api_password = "sesame"
    proxy = KVProxy(public_url=f"http://127.0.0.1:{public}/", config=config)
    client = Client(public)
    async with AsyncExitStack() as stack:
        stack.enter_context(Traefik(tmp_path / "traefik.toml", **options))
        stack.push_async_callback(client.close)
        stack.push_async_callback(proxy.stop)
        hub = await stack.enter_async_context(user_server("hub"))
        await proxy.add_route("/", hub, {})
        find("curl")
        if way != "with what may be added":  # which switches TLS on
            assert await client.server("/hub/") == "hub"
            [asked] = blocks("console", "$ curl -i http://127.0.0.1:8000/_chp_healthz", [EXTERNAL])
            text = asked.text.replace("curl -i", "curl -s -i").replace(":8000", f":{public}")
            assert run(text, tmp_path, asked.place).endswith("\nOK\n")
        if way == "pushed":
            [asked] = blocks("console", "$ curl -u kvproxy http://127.0.0.1:8099/kvproxy/table", [EXTERNAL])
            run(adapted(asked).replace("-u kvproxy", "-s -u kvproxy:sesame"), tmp_path, asked.place)


def test_the_credential_of_the_api_is_one(tmp_path):
    find("openssl")
    [block] = blocks("console", "$ password=", [EXTERNAL])
    said = run(block.text, tmp_path, block.place)
    password = re.search("password: (.*)", said)[1]
    digest = base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()
    assert f"user: kvproxy:{{SHA}}{digest}" in said
