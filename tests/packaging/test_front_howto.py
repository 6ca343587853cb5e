"""The how-to pages on HTTPS and on the public port do what they say."""

from __future__ import annotations

import re
import shutil
import tomllib

import aiohttp
import pytest
from cryptography.hazmat.primitives import serialization
from traitlets.config import Config

from jhub_kvproxy.hub.proxy import KVProxy
from servers.ports import free_port
from servers.programs import find
from servers.traefik import Traefik
from tests import command
from tests.hub import until
from tests.pages import HOW_TO, blocks, each, load, run
from tests.public_tls import Certificates, served_name

HTTPS = HOW_TO / "https.md"
PORT = HOW_TO / "public-port.md"
CONFIG = "# jupyterhub_config.py"


@pytest.fixture
def certificates(tmp_path):
    made = Certificates(tmp_path)
    for link, name in ((made.cert, "fullchain.pem"), (made.key, "privkey.pem")):
        shutil.copyfile(link, tmp_path / name)
    shutil.copyfile(made.authority.ca_file, tmp_path / "client-ca.pem")
    return made


def here(text, directory):
    """`text`, with what is elsewhere in `directory`."""
    for there in ("/etc/letsencrypt/live/hub.example.org", "/etc/jupyterhub", "/var/log/jupyterhub", "/run/jupyterhub"):
        text = text.replace(there, str(directory))
    return text


@each([block for block in blocks("python", CONFIG, [HTTPS, PORT]) if "dnsChallenge" not in block.text])
async def test_traefik_takes_the_configuration(block, certificates, tmp_path):
    first, *_ = blocks("python", CONFIG, [HTTPS])
    config = load(here(first.text if block.page == HTTPS else "", tmp_path), tmp_path)
    config.merge(load(here(block.text, tmp_path), tmp_path))
    if "redirect_http" in config.KVProxy or "acme" in config.KVProxy:
        config.KVProxy.redirect_http = free_port()
    if "acme_domains" in config.KVProxy:
        config.KVProxy.acme = {"caServer": "http://127.0.0.1:1/directory"}
        config.KVProxy.acme_storage = str(tmp_path / "acme.json")
    config.KVProxy.runtime_dir = str(tmp_path / "run")
    config.TomlBackend.path = str(tmp_path / "table")
    port = free_port()
    scheme = "https" if block.page == HTTPS else "http"
    proxy = KVProxy(public_url=f"{scheme}://127.0.0.1:{port}/", config=config)
    proxy.ssl_cert, proxy.ssl_key = config.JupyterHub.get("ssl_cert", ""), config.JupyterHub.get("ssl_key", "")
    await proxy.start()
    try:
        async with aiohttp.ClientSession() as session:
            assert await proxy.control.local.supervisors[0].api.errors(session) == {}
        if scheme == "https" and "client_ca" not in config.KVProxy:
            assert await served_name(port) == "first"
    finally:
        await proxy.stop()


def test_an_encrypted_key_is_decrypted(certificates, tmp_path, monkeypatch):
    find("openssl")
    [block] = blocks("console", "$ openssl pkey", [HTTPS])
    key = serialization.load_pem_private_key(certificates.key.read_bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"sesame")
    )
    (tmp_path / "encrypted.pem").write_bytes(encrypted)
    monkeypatch.setenv("PASSPHRASE", "sesame")
    run(here(block.text, tmp_path), tmp_path, block.place)
    decrypted = serialization.load_pem_private_key((tmp_path / "key.pem").read_bytes(), None)
    assert decrypted.public_key() == key.public_key()


async def test_a_traefik_run_by_others_serves_what_is_renewed(certificates, tmp_path):
    port, plain, api = free_port(), free_port(), free_port()
    lines = f"""
c.JupyterHub.bind_url = "https://127.0.0.1:{port}"
c.JupyterHub.ssl_cert = c.JupyterHub.ssl_key = "/unused"
c.KVProxy.should_start = False
c.KVProxy.traefik_api_urls = ["http://127.0.0.1:{api}"]
c.KVProxy.delivery = "push"
c.KVProxy.redirect_http = {plain}
c.KVProxy.headers = {{"X-Ours": "1"}}
"""
    (tmp_path / "jupyterhub_config.py").write_text(command.USES_KVPROXY + lines)
    where = ("--directory", tmp_path, "--api-address", f"127.0.0.1:{api}")
    static = command.run("traefik-config", *where, cwd=tmp_path).out
    assert tomllib.loads(static)["entryPoints"]["redirect"]["address"] == f"127.0.0.1:{plain}"
    (tmp_path / "traefik.toml").write_text(static)
    (tmp_path / "dynamic").mkdir()
    (tmp_path / "dynamic" / "jupyterhub.toml").write_text(
        command.run("traefik-config", "--dynamic", *where, cwd=tmp_path).out
    )

    command.run("traefik-config", "--plugin", tmp_path, cwd=tmp_path)

    def bring(name, prefix):
        for file, part in zip(certificates.issue(name), ("cert", "key"), strict=True):
            shutil.copyfile(file, tmp_path / f"{prefix}-{part}.pem")

    async def served():
        return await served_name(port)

    async def second_is_served():
        return await served() == "second"

    bring("first", "default")
    bring("second", "renewed")
    [block] = blocks("console", "# cat renewed-cert.pem", [HTTPS])
    with Traefik(tmp_path / "traefik.toml"):
        await until(served, "Traefik does not start")
        assert await served() == "first"
        commands = re.sub("^#", "$", block.text.replace("/etc/traefik", str(tmp_path)), flags=re.MULTILINE)
        run(commands, tmp_path, block.place)
        await until(second_is_served, "the renewed certificate is not served")


async def test_the_access_log_is_rotated(tmp_path):
    [block] = blocks("text", "# /etc/logrotate.d", [PORT])
    log = tmp_path / "access.log"
    config = Config()
    config.TomlBackend.path = str(tmp_path / "table")
    config.KVProxy.update({"runtime_dir": str(tmp_path / "kvproxy-run"), "access_log": str(log)})
    proxy = KVProxy(public_url=f"http://127.0.0.1:{free_port()}/", config=config)
    await proxy.start()
    try:
        log.rename(tmp_path / "access.log.1")
        [kill] = re.findall("kill .*", block.text)
        run("$ " + kill.replace("/srv/jupyterhub", str(tmp_path)), tmp_path, block.place)
        await until(log.exists, "no new log is begun")
    finally:
        await proxy.stop()
