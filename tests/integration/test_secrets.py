"""A whole run of a hub, with trouble in it: afterwards no secret stands in anything that was written or shown.

What was written is every file below the run's directory, with all logs at their most talkative; what was shown is the
command line of every process, and what ``jhub-kvproxy`` prints.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
import uuid
from contextlib import ExitStack, suppress
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from jhub_kvproxy.traefik.running import API_PASSWORD_ENV
from jhub_kvproxy_backends.consul import ConsulBackend
from jhub_kvproxy_backends.etcd import EtcdBackend
from jhub_kvproxy_backends.redis import RedisBackend
from servers.certificates import Authority
from servers.consul import ConsulServer
from servers.etcd import EtcdServer
from servers.redis import RedisServer
from tests.command import ended, run, start
from tests.hub import Hub, answers, browsing, until
from tests.stores import on
from tests.wire import exchange, request

ACCESS_LOG = Path(__file__).parents[2] / "docs" / "how-to" / "extra-configuration.md"
LOGIN = "jupyterhub-hub-login"
PASSWORD, WRONG = "Hush4Ever-and-a-day", "Hush4Ever-but-wrong"
TOKEN = "Hush4Ever-robots-token"
LINES = '''
c.Application.log_level = c.JupyterHub.log_level = "DEBUG"
c.KVProxy.traefik_log_level = "TRACE"
c.KVProxy.delivery = "<DELIVERY>"
c.KVProxy.lease_seconds = 1
c.KVProxy.ready_timeout = 20
c.KVProxy.prefix = "jupyterhub"
c.Spawner.debug = True
c.JupyterHub.default_url = "/hub/home"
c.Spawner.environment = {
    "JUPYTERHUB_SINGLEUSER_APP": "jupyter_server.serverapp.ServerApp", "JUPYTERHUB_ALLOW_TOKEN_IN_URL": "1",
    "JUPYTER_NO_CONFIG": "1",
}
LIGHT = """
import os
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlsplit
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *arguments):
        pass
HTTPServer(("127.0.0.1", urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"]).port), Handler).serve_forever()
"""
def choose(spawner):
    if not (<IS_REAL> and spawner.user.name == "alice"):
        spawner.cmd = [sys.executable, "-c", LIGHT]
c.Spawner.pre_spawn_hook = choose
c.JupyterHub.services = [{"name": "robot", "api_token": os.environ["JUPYTERHUB_ROBOTS_TOKEN"]}]
c.JupyterHub.load_roles = [
    {"name": "robot", "services": ["robot"],
     "scopes": ["admin:users", "admin:servers", "access:servers", "proxy", "read:hub"]},
]
'''


class Run:
    """A store with a login, TLS both ways, and the secrets of it all."""

    def __init__(self, name, directory, authority, stack):
        self.name = name
        #: What a hub on this store is configured with, without secrets, and the environment with them.
        self.lines, self.environment = "", {}
        #: Where nobody looks for secrets: what the admin of the store has.
        self._directory = directory
        self.secrets = {PASSWORD, WRONG, TOKEN}
        self.server = None
        if name == "toml":
            self.lines = f"c.TomlBackend.path = {str(directory / 'table')!r}\n"
            return
        certificate, (cert_file, key_file) = authority.issue("server"), authority.issue("client", server=False)
        self.secrets |= set(Path(key_file).read_text().splitlines()[1:-1])
        tls = {"certificate": certificate, "client_ca": authority.ca_file, "ca_file": authority.ca_file}
        tls["client"] = (cert_file, key_file)
        login = ""
        match name:
            case "etcd":
                self.server = stack.enter_context(EtcdServer(directory, **tls))
                self.server.add_user("hub", PASSWORD, "jupyterhub/")
                self.server.enable_auth("root")
                section, login = EtcdBackend, "c.EtcdBackend.username = 'hub'\n"
                place = f"c.EtcdBackend.urls = [{self.server.url!r}]\n"
                self.variable = "KVPROXY_ETCD_PASSWORD"
            case "consul":
                self.server = stack.enter_context(ConsulServer(directory, acl=True, durable=True, **tls))
                section, place = ConsulBackend, f"c.ConsulBackend.url = {self.server.url!r}\n"
                self.variable = "KVPROXY_CONSUL_TOKEN"
            case "redis":
                lines = ("user default off", f'user hub on ">{PASSWORD}" ~* &* +@all', "appendonly yes")
                self.server = stack.enter_context(RedisServer(directory, *lines, tls=(*certificate, authority.ca_file)))
                section, login = RedisBackend, "c.RedisBackend.username = 'hub'\n"
                place = f"c.RedisBackend.url = {self.server.url!r}\n"
                self.variable = "KVPROXY_REDIS_PASSWORD"
        self.right = self.server.master if name == "consul" else PASSWORD
        self.wrong = str(uuid.uuid4()) if name == "consul" else WRONG
        self.secrets |= {self.right, self.wrong}
        self.environment = {self.variable: self.right}
        files = {"ca_file": authority.ca_file, "cert_file": cert_file, "key_file": key_file, "timeout": 2.0}
        rest = "".join(f"c.{section.__name__}.{option} = {value!r}\n" for option, value in files.items())
        self.lines = f"c.KVProxy.backend_class = {name!r}\n{place}{login}{rest}"


def forms(secret):
    """How a secret may stand in a text: as it is, or encoded on the way."""
    raw = secret.encode()
    return {raw, base64.b64encode(raw).rstrip(b"="), json.dumps(secret)[1:-1].encode()} - {b""}


def leaks(text, secrets):
    return [secret for secret in secrets for form in forms(secret) if form in text]


def written(directory):
    """All files of a run and what is in them; a link into a process's memory is none."""
    for path in directory.rglob("*"):
        with suppress(OSError):
            if path.is_file() and not path.is_symlink():
                yield path, path.read_bytes()


async def check(*options, cwd):
    """What ``jhub-kvproxy check`` does, and says."""
    return await asyncio.to_thread(ended, start("check", *options, cwd=cwd))


def environment_of(pid):
    with suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes()
    return b""


async def ask(hub, method, path, *, token=TOKEN):
    """The status of an answer of the hub's API."""
    headers = {"Authorization": f"token {token}"}
    async with aiohttp.ClientSession(headers=headers) as session, session.request(method, hub.url + path) as answer:
        await answer.read()
        return answer.status


@pytest.mark.parametrize(
    ("name", "delivery"), [on("toml", "push"), on("etcd", "store"), on("consul", "store"), on("redis", "store")]
)
async def test_a_run_leaves_no_secret_behind(name, delivery, tmp_path, monkeypatch):
    home, elsewhere = tmp_path / "hub", tmp_path / "elsewhere"
    home.mkdir()
    shown = []

    def show(where, text):
        shown.append((where, text if isinstance(text, bytes) else str(text).encode()))

    with ExitStack() as stack:
        made = Run(name, elsewhere / name, Authority(elsewhere / "authority"), stack)
        monkeypatch.setenv("JUPYTERHUB_ROBOTS_TOKEN", TOKEN)
        for variable, value in made.environment.items():
            monkeypatch.setenv(variable, value)
        # The user's server is JupyterHub's own once, and something light that takes its place otherwise.
        is_real = name == "toml"
        lines = LINES.replace("<DELIVERY>", delivery).replace("<IS_REAL>", str(is_real))
        async with Hub(home, lines + made.lines) as hub:

            def look():
                for pid, command in hub.processes().items():
                    show(f"the command line of {pid}", command)
                    environment = environment_of(pid)
                    if b"JUPYTERHUB_SERVICE_PREFIX" in environment:
                        # A user's server: of ours it has nothing.
                        show("the environment of a user's server", environment)
                    if API_PASSWORD_ENV.encode() in environment:
                        [password] = re.findall(rf"\b{API_PASSWORD_ENV}=([^\0]+)".encode(), environment)
                        made.secrets.add(password.decode())
                        show("Traefik's environment", environment.replace(password, b""))

            if made.server:
                monkeypatch.setenv(made.variable, made.wrong)
                assert await hub.start_in_vain() == 1
                monkeypatch.setenv(made.variable, made.right)
            await hub.start("--JupyterHub.cleanup_proxy=False")
            look()
            assert await ask(hub, "POST", "/hub/api/users/alice") == 201
            assert await ask(hub, "POST", "/hub/api/users/alice/server") in (201, 202)
            served = f"/user/alice/api/status?token={TOKEN}"

            async def is_served():
                return (await exchange(hub.port, request(served, "Connection: close")))[0] == 200

            await until(is_served, "the user's server does not come up")
            async with browsing(hub.url, "alice") as alice:
                await alice.get(f"{hub.url}/user/alice/files/")  # by way of the hub's OAuth
                cookies = alice._session.cookie_jar.filter_cookies(URL(f"{hub.url}/user/alice/"))
                cookies |= alice._session.cookie_jar.filter_cookies(URL(f"{hub.url}/hub/"))
                # Those that log somebody in; JupyterHub itself logs the others.
                logins = [LOGIN, *(["jupyterhub-user-alice"] if is_real else [])]
                made.secrets |= {cookies[login].value.strip('"') for login in logins}
                header = "; ".join(f"{key}={cookie.value}" for key, cookie in cookies.items())
            look()

            async def ask_in_vain(path):
                """As a user does: what goes wrong here is in logs."""
                headers = (f"Cookie: {header}", f"Authorization: token {TOKEN}")
                with suppress(OSError, IndexError, ValueError):
                    await exchange(hub.port, request(f"{path}?token={TOKEN}", "Connection: close", *headers))

            # A user's server that is dead.
            [server] = [pid for pid in hub.processes() if b"JUPYTERHUB_SERVICE_PREFIX" in environment_of(pid)]
            os.kill(server, signal.SIGKILL)
            await ask_in_vain("/user/alice/api/status")
            # The store is away, and a route is to be made.
            if made.server:
                made.server.kill()
                assert await ask(hub, "POST", "/hub/api/users/bob") == 201
                assert await ask(hub, "POST", "/hub/api/users/bob/server") >= 202
                await ask_in_vain("/user/bob/api/status")
                result = await check("--json", "--debug", cwd=home)
                assert result.status == 1
                show("a check without a store", result.out + result.err)
                made.server.start()
            # Traefik dies.
            killed = hub.traefik_pid
            os.kill(killed, signal.SIGKILL)
            await ask_in_vain("/user/alice/api/status")
            await until(lambda: hub.traefik_pid != killed, "Traefik was not started again")
            await until(lambda: answers(f"{hub.url}/hub/login"), "it does not get its routes")
            look()
            await hub.kill()
            await hub.start()  # it finds the Traefik that is left
            assert await ask(hub, "GET", "/hub/api/proxy") == 200
            look()
            if not made.server:
                result = await check(cwd=home)
                assert result.status == 0, result
                show("a check", result.out + result.err)
            for words in (
                *(["options"], ["options", name], ["options", "--json"], ["backends"]),
                *(["traefik-config"], ["traefik-config", "--json"], ["traefik-config", "--dynamic"]),
            ):
                result = run(*words, cwd=home)
                assert result.status == 0, (words, result)
                show(words, result.out + result.err)
            if made.server:
                monkeypatch.setenv(made.variable, made.wrong)
                result = await check("--debug", cwd=home)
                assert result.status == 1
                show("a check with a wrong password", result.out + result.err)
                monkeypatch.setenv(made.variable, made.right)
            files = dict(written(home))
            await hub.stop()
        files |= dict(written(home))
        log = (home / "hub.log").read_bytes()
        # It is the talkative log of a whole run.
        for words in (b"DBG", b"starting it again in", b"Adopting the running Traefik"):
            assert words in log, words
        names = {path.name: content for path, content in files.items()}
        assert names.keys() >= {"kvproxy-base.toml", "traefik.json"}
        assert b'level = "TRACE"' in names["traefik.toml"]
        shown += [(path, content) for path, content in files.items()]
        leaking = [(where, text) for where, text in shown if leaks(text, made.secrets)]
        said = [f"{where}: {leaks(text, made.secrets)}: {lines_with(text, made.secrets)}" for where, text in leaking]
        assert not leaking, "\n".join(said)


def lines_with(text, secrets):
    return [line for line in text.splitlines() if leaks(line, secrets)][:3]
