"""``jhub-kvproxy check``: what it finds, and that it leaves nothing behind."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from traitlets.config import Config

from jhub_kvproxy.traefik.plugin_files import plugin_static
from jhub_kvproxy_backends._kubernetes_names import name_of
from servers.consul import ConsulServer
from servers.etcd import EtcdServer
from servers.kubernetes import KubernetesServer
from servers.ports import free_port
from servers.redis import RedisServer
from tests.command import GOOD, USES_KVPROXY, fill, run, traefik, tree
from tests.kubernetes import Account
from tests.stores import Store, on_all_stores, on_every_store

SECRET = "Hush4Ever"


def config_file(directory: Path, *lines: str) -> Path:
    file = directory / "hub_config.py"
    file.write_text(USES_KVPROXY + "\n".join([f"c.JupyterHub.bind_url = 'http://127.0.0.1:{free_port()}'", *lines]))
    return file


def on_a_free_port() -> str:
    return f"--JupyterHub.bind_url=http://127.0.0.1:{free_port()}"


def content(store: Store, request: pytest.FixtureRequest) -> Any:
    """All that is in the store below names that begin with the prefix, read without the driver.

    Without the drivers' logs of the last changes, which the check's own are in, too. Of Kubernetes, where they are in
    the head, the names of all objects and which bases are in use.
    """
    if store.name == "toml":
        return tree(Path(store.traits["path"]).parent)
    if store.name == "redis":
        client = request.getfixturevalue("redis_server").client()
        read = {"string": client.get, "hash": client.hgetall, "set": client.smembers}
        kinds = {key: client.type(key) for key in client.scan_iter(match=f"{store.prefix}*")}
        return {key: read[kind](key) for key, kind in kinds.items() if kind != "stream"}
    if store.name == "kubernetes":
        server = request.getfixturevalue(store.name)
        kinds = [server.objects(server.shared_namespace, kind) for kind in ("configmaps", "leases")]
        return [{key: each.get("data", {}).get("bases") for key, each in found.items()} for found in kinds]
    if store.name == "postgres":
        server, database = request.getfixturevalue(store.name), store.traits["url"].rpartition("/")[2]
        return server.ask("SELECT * FROM kvproxy.keys ORDER BY digest; TABLE kvproxy.leases", database=database)
    found = request.getfixturevalue(store.name).read(store.prefix)
    if store.name == "consul":
        found = {key: value for key, value in found.items() if not key.endswith("/recent")}
    return found


@on_all_stores
def test_a_store_that_works(store, tmp_path, request):
    file = config_file(tmp_path, f"c.KVProxy.prefix = {store.prefix!r}", store.config_lines)
    fill(store.config, 2)
    before = content(store, request)
    assert before
    result = run("check", "--config", file)
    assert (result.status, result.err) == (0, "")
    steps = [step for step in result.steps if not step.startswith("note")]
    assert steps == GOOD
    assert f"'{store.prefix}' holds 2 routes, and may be changed." in result.out
    assert content(store, request) == before
    told = run("check", "-f", file, "--json").json
    assert told["ok"]
    assert (told["prefix"], told["routes"]) == (store.prefix, 2)


@on_every_store
def test_a_traefik_that_is_given_what_the_check_shows_serves_the_table(store, tmp_path, request):
    """And one that reads another prefix, or nothing, is told apart."""
    fill(store.config, 2)
    lines = [f"c.KVProxy.prefix = {store.prefix!r}", store.config_lines, "c.KVProxy.should_start = False"]
    file = config_file(tmp_path, *lines, "c.KVProxy.traefik_api_urls = []")
    result = run("check", "-f", file, "--json")
    assert result.status == 1
    assert result.steps[-1] == "FAILED traefik"
    static = result.json["traefik"]["static"]
    elsewhere = run("check", "-f", file, "--json", f"--KVProxy.prefix={store.prefix}-2").json["traefik"]["static"]
    other = Config(store.config)
    other.KVProxy.prefix = f"{store.prefix}-2"
    fill(other, 1)
    nothing = f"http://127.0.0.1:{free_port()}"
    with (
        traefik(tmp_path, static) as right,
        traefik(tmp_path, elsewhere) as wrong,
        traefik(tmp_path, {"providers": {"providersThrottleDuration": "0s"}}) as none,
    ):
        file = config_file(tmp_path, *lines, "c.KVProxy.ready_timeout = 2")
        urls = [f"--KVProxy.traefik_api_urls={url}" for url in (right, wrong, none, nothing)]
        result = run("check", "-f", file, urls[0])
        assert result.status == 0, result
        assert result.steps[-1] == "ok traefik"
        assert tomli_w.dumps(static).strip() in result.out.replace("\n    ", "\n")
        result = run("check", "-f", file, *urls)
    assert result.status == 1
    said = [line for line in result.out.splitlines() if " traefik " in line]
    assert len(said) == 4
    assert f"FAILED  traefik Traefik at {nothing} cannot be reached: " in said[0]
    assert said[1].startswith(f"ok      traefik {right} (Traefik 3.")
    assert said[1].endswith(" serves this table.")
    assert {line[:7] for line in said[2:]} == {"FAILED "}
    [line] = [line for line in said if wrong in line]
    assert "it reads another prefix or store, or has lost this one." in line
    [line] = [line for line in said if none in line]
    assert "serves no table of its provider" in line


def test_a_traefik_that_is_pushed_the_table_needs_the_plugin_for_it(store, tmp_path):
    words = ["check", f"--KVProxy.prefix={store.prefix}", f"--TomlBackend.path={store.traits['path']}"]
    words += ["--KVProxy.should_start=False", "--KVProxy.delivery=push", "--KVProxy.ready_timeout=1"]
    told = run(*words, "--json").json["traefik"]
    assert told == {"static": plugin_static(), "secrets": {}}
    assert "jhub-kvproxy traefik-config --plugin DIRECTORY" in " ".join(run(*words).out.split())
    with traefik(tmp_path, {"providers": {"providersThrottleDuration": "0s"}}) as url:
        fill(store.config, 2)
        result = run(*words, f"--KVProxy.traefik_api_urls={url}")
    assert result.status == 1
    assert "does not have our plugin (404 for /kvproxy/table)" in " ".join(result.out.split())


async def test_a_traefik_that_is_pushed_the_table_serves_it(site):
    hub = await site.started(delivery="push")
    await hub.add_route("/user/a/", "http://127.0.0.1:1", {})
    [supervisor] = hub.control.local.supervisors
    words = ["check", f"--KVProxy.prefix={site.store.prefix}", f"--TomlBackend.path={site.store.traits['path']}"]
    words += ["--KVProxy.should_start=False", "--KVProxy.delivery=push", "--KVProxy.ready_timeout=1"]
    words += [f"--KVProxy.traefik_api_urls={supervisor.api.url}"]
    words += [f"--KVProxy.traefik_api_password={supervisor._instance.api_password}"]
    command = [sys.executable, "-c", "import sys; from jhub_kvproxy.cli import main; sys.exit(main())", *words]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, cwd=site.directory)
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0, said
    assert "serves this table" in said


def test_a_traefik_that_serves_the_table_without_its_routes_is_told(store, tmp_path):
    fill(store.config, 2)
    words = ["check", f"--KVProxy.prefix={store.prefix}", f"--TomlBackend.path={store.traits['path']}"]
    words += ["--KVProxy.should_start=False"]
    static = run(*words, "--json").json["traefik"]["static"]
    with traefik(tmp_path, static, entry_points=[]) as url:
        result = run(*words, f"--KVProxy.traefik_api_urls={url}")
    assert result.status == 1
    assert re.search(
        r"serves this table without 2 of its routers; of [0-9a-f]{2}\.p\.user\.[01]@file it says: ", result.out
    )


def test_a_traefik_with_all_its_configuration_in_its_environment_takes_the_secrets_from_there(tmp_path, monkeypatch):
    monkeypatch.setenv("KVPROXY_REDIS_PASSWORD", SECRET)
    with RedisServer(tmp_path / "redis", f"requirepass {SECRET}") as server:
        config = Config()
        config.KVProxy.backend_class = "redis"
        config.RedisBackend.url = server.url
        fill(config, 1)
        words = ["check", "--KVProxy.backend_class=redis", f"--RedisBackend.url={server.url}"]
        words += ["--KVProxy.should_start=False", "--KVProxy.ready_timeout=2"]
        told = run(*words, "--json").json["traefik"]
        assert told["secrets"] == {"providers.redis.password": "TRAEFIK_PROVIDERS_REDIS_PASSWORD"}
        variables = {told["secrets"]["providers.redis.password"]: SECRET}
        options = told["static"]["providers"]["redis"]
        variables["TRAEFIK_PROVIDERS_REDIS_ENDPOINTS"] = ",".join(options["endpoints"])
        variables["TRAEFIK_PROVIDERS_REDIS_ROOTKEY"] = options["rootKey"]
        with traefik(tmp_path, {}, **variables) as url:
            result = run(*words, f"--KVProxy.traefik_api_urls={url}")
        assert result.status == 0, result
        assert "    providers.redis.password  TRAEFIK_PROVIDERS_REDIS_PASSWORD\n" in result.out
        assert SECRET not in result.out + result.err


@contextmanager
def etcd_of_one_prefix(directory: Path) -> Iterator[list[str]]:
    with EtcdServer(directory) as server:
        server.enable_auth("root's")
        server.add_user("hub", SECRET, "hub/")
        yield [f"c.EtcdBackend.urls = [{server.url!r}]", "c.EtcdBackend.username = 'hub'"]
        assert server.read("hub") == {}


@contextmanager
def consul_of_one_prefix(directory: Path) -> Iterator[list[str]]:
    with ConsulServer(directory, acl=True) as server:
        rules = 'key_prefix "hub/" { policy = "write" }\nsession_prefix "" { policy = "write" }'
        yield [f"c.ConsulBackend.url = {server.url!r}", f"c.ConsulBackend.token = {server.token(rules)!r}"]
        assert server.read("hub").keys() <= {"hub/recent"}  # the driver's log of the last changes


@contextmanager
def redis_of_one_prefix(directory: Path) -> Iterator[list[str]]:
    with RedisServer(directory) as server:
        server.client().execute_command("ACL", "SETUSER", "hub", "on", f">{SECRET}", "~hub/*", "&*", "+@all")
        yield [f"c.RedisBackend.url = {server.url!r}", "c.RedisBackend.username = 'hub'"]
        assert server.client().hgetall("hub/table") in ({}, {"/format": "1"})  # the driver's


@contextmanager
def kubernetes_of_one_prefix(directory: Path) -> Iterator[list[str]]:
    with KubernetesServer(directory) as server:
        account = Account(server)
        account.grant("hub")
        yield [f"c.KubernetesBackend.kubeconfig = {account.traits['kubeconfig']!r}"]
        assert server.objects(account.namespace, "leases") == {}
        assert server.objects(account.namespace).keys() <= {name_of("hub")}


@pytest.mark.parametrize("name", ["etcd", "consul", "redis", "kubernetes"])
def test_an_account_that_may_use_one_prefix_only_is_enough(name, tmp_path):
    with globals()[f"{name}_of_one_prefix"](tmp_path / name) as lines:
        password = {"KVPROXY_ETCD_PASSWORD": SECRET, "KVPROXY_REDIS_PASSWORD": SECRET}
        file = config_file(tmp_path, f"c.KVProxy.backend_class = {name!r}", "c.KVProxy.prefix = 'hub'", *lines)
        result = run("check", "--config", file, **password)
        assert (result.status, result.err) == (0, "")
        steps = ["ok config", "ok open", "ok table", "note write", "ok write", "ok traefik", "ok start", "ok trial"]
        assert [step for step in result.steps if step != "note store"] == steps
        assert "A key was written, read and deleted below 'hub'." in result.out
        assert SECRET not in result.out
        result = run("check", "--config", file, "--KVProxy.prefix=other", **password)
        assert result.status == 1
        assert [step for step in result.steps if "FAILED" in step] in (["FAILED open"], ["FAILED table"])


def test_a_table_that_no_hub_has_made_is_not_made(tmp_path):
    (tmp_path / "prepared").mkdir(mode=0o750)
    for path in ("prepared", "missing/by/far"):
        result = run("check", f"--TomlBackend.path={path}", on_a_free_port(), cwd=tmp_path)
        assert result.status == 0
        assert result.steps[:3] == ["ok config", "note table", "ok write"]
        assert f"the hub makes {tmp_path}/{path}/jupyterhub/traefik when it starts." in result.out
    assert tree(tmp_path) == {"prepared": None}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("c.KVProxy.prefix = (", "{file}, line 1: '(' was never closed."),
        ("\nc.KVProxy.prefix = prefix", "{file}, line 2: NameError: name 'prefix' is not defined."),
        ("import no_such_module", "{file}, line 1: No module named 'no_such_module'."),
        ("raise SystemExit('no')", "{file} ends the hub: SystemExit('no')."),
        ("c.KVProxy.prefx = 'x'", "c.KVProxy.prefx: KVProxy has no such option; did you mean prefix?"),
        ("c.TomlBackend.xyz = 'x'", "c.TomlBackend.xyz: TomlBackend has no such option."),
        ("c.KvProxy.prefix = 'x'", "c.KvProxy: there is no such class; did you mean c.KVProxy?"),
        ("c.TomBackend.path = 'x'", "c.TomBackend: there is no such class; did you mean c.TomlBackend?"),
        ("c.KVProxy.prefix = '/'", "KVProxy.prefix must not be empty: "),
        ("c.KVProxy.backend_class = 'tml'", "There is no backend 'tml' for KVProxy.backend_class; did you mean toml? "),
        ("c.TomlBackend.timeout = 'x'", "The 'timeout' trait of a TomlBackend instance expected a float, not the str"),
        ("c.JupyterHub.proxy_class = 'kvprxy'", "'kvprxy' cannot be imported; did you mean kvproxy?"),
        ("c.KVProxy.traefik_api_password = 12345", "expected a unicode string, not the int ***."),
    ],
)
def test_a_mistake_in_the_configuration_is_one_sentence(text, sentence, tmp_path):
    file = tmp_path / "hub_config.py"
    file.write_text(text)
    result = run("check", "--config", file, cwd=tmp_path)
    assert (result.status, result.err, result.steps) == (1, "", ["FAILED config"])
    assert sentence.format(file=file) in result.out
    assert tree(tmp_path) == {"hub_config.py": text.encode()}


def test_configuration_files_that_are_not_there(tmp_path):
    result = run("check", "-f", "nope.py", cwd=tmp_path)
    assert (result.status, result.out) == (1, f"FAILED  config  There is no file {tmp_path}/nope.py.\n")
    result = run("check", "-f", ".", cwd=tmp_path)
    assert (result.status, result.out) == (1, f"FAILED  config  {tmp_path} is a directory; name the file in it.\n")
    (tmp_path / "hub.py").write_bytes(b"\0")
    result = run("check", "-f", "hub.py", cwd=tmp_path)
    assert f"{tmp_path}/hub.py: source code string cannot contain null bytes." in result.out
    (tmp_path / "hub.py").unlink()
    (tmp_path / "hub.conf").touch()
    result = run("check", "-f", "hub.conf", cwd=tmp_path)
    assert f"JupyterHub reads {tmp_path}/hub.py or {tmp_path}/hub.json instead of" in result.out


def test_without_a_configuration_there_is_nothing_to_check(tmp_path):
    """What the command line sets is tried, but an admin in the wrong directory is told."""
    sentence = f"There is no jupyterhub_config.py in {tmp_path}; name the hub's file with --config."
    result = run("check", cwd=tmp_path)
    assert (result.status, result.out) == (1, f"FAILED  config  {sentence}\n")
    assert run("check", "--json", cwd=tmp_path).json["ok"] is False
    result = run("traefik-config", cwd=tmp_path)
    assert (result.status, result.out, result.err) == (1, "", f"jhub-kvproxy: {sentence}\n")
    assert run("traefik-config", "--plugin", "here", cwd=tmp_path).status == 0
    result = run("check", "--KVProxy.prefix=x", cwd=tmp_path)
    assert "ok      config  No jupyterhub_config.py here: TomlBackend, prefix 'x'." in result.out


@pytest.mark.parametrize(
    ("name", "option", "variable"),
    [
        ("etcd", "EtcdBackend.password", "KVPROXY_ETCD_PASSWORD"),
        ("consul", "ConsulBackend.token", "KVPROXY_CONSUL_TOKEN"),
        ("redis", "RedisBackend.password", "KVPROXY_REDIS_PASSWORD"),
    ],
)
def test_a_secret_that_is_not_set_does_not_look_like_a_wrong_one(name, option, variable, tmp_path):
    sentence = f"{option} is not set here, nor the environment variable {variable}"
    with globals()[f"{name}_of_one_prefix"](tmp_path / name) as lines:
        lines = [line for line in lines if "token" not in line]
        file = config_file(tmp_path, f"c.KVProxy.backend_class = {name!r}", "c.KVProxy.prefix = 'hub'", *lines)
        result = run("check", "--config", file, **{variable: ""})
        assert result.status == 1
        assert sentence in result.out
        wrong = "5f2d1c1e-0000-4000-8000-000000000000"
        result = run("check", "--config", file, **{variable: wrong})
        assert result.status == 1
        assert "is not set" not in result.out


def test_the_configuration_is_loaded_as_jupyterhub_does(tmp_path):
    (tmp_path / "jupyterhub_config.py").write_text(
        f"import os\nprint('hello')\n{USES_KVPROXY}load_subconfig('more.py')\n"
        "c.KVProxy.traefik_cmd = [os.environ['COMMAND']]\nc.KVProxy.extra_static_config.update({})\n"
    )
    (tmp_path / "more.py").write_text(
        "c.KVProxy.prefix = 'from-more'\nc.TomlBackend.path = 'x'\nc.EtcdBackend.urls = []"
    )
    (tmp_path / "jupyterhub_config.json").write_text('{"TomlBackend": {"path": "from-json"}}')
    words = ["check", "--json", "--KVProxy.prefix=from-me", "--KVProxy.delivery=store", on_a_free_port()]
    result = run(*words, cwd=tmp_path, COMMAND="traefik")
    assert (result.status, result.err) == (0, "hello\n")
    assert result.json["prefix"] == "from-me"
    assert f"{tmp_path}/from-json/from-me/traefik" == result.json["traefik"]["static"]["providers"]["file"]["directory"]
    assert "c.EtcdBackend has no effect: KVProxy.backend_class is TomlBackend." in result.out
    (tmp_path / "jupyterhub_config.py").write_text("c.ConfigurableHTTPProxy.debug = True")
    result = run("check", cwd=tmp_path)
    assert 'JupyterHub.proxy_class is not "kvproxy", so this hub does not use jhub-kvproxy.' in result.out
    assert "has no effect" not in result.out


def test_options_on_the_command_line_are_those_of_the_configuration(tmp_path):
    (tmp_path / "hub.py").write_text("c.KVProxy.prefix = 'from-file'\n")
    words = ["--KVProxy.prefix", "from me", "--TomlBackend.path=~/x y", "--KVProxy.delivery=store", on_a_free_port()]
    told = run("check", "-f~/hub.py", *words, "--json", cwd=tmp_path, HOME=str(tmp_path)).json
    assert (told["ok"], told["prefix"]) == (True, "from me")
    assert told["traefik"]["static"]["providers"]["file"]["directory"] == f"{tmp_path}/x y/from%20me/traefik"


def test_a_subclass_of_the_proxy_is_configured_by_its_own_name(tmp_path):
    text = "from jhub_kvproxy.hub.proxy import KVProxy\nclass Ours(KVProxy): pass\nc.JupyterHub.proxy_class = Ours\n"
    (tmp_path / "jupyterhub_config.py").write_text(text + "c.Ours.prefix = 'ours'\n")
    assert run("check", "--json", cwd=tmp_path).json["prefix"] == "ours"


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--KVProxy.traefik_cmd=no-traefik", "there is no such program beside Python or on PATH."),
        ("--KVProxy.traefik_cmd=true", "tells no version; is it Traefik?"),
        ("--KVProxy.should_start=False", "KVProxy.traefik_api_urls must name the API of each Traefik"),
        ("--TomlBackend.group=no-such-group", "this machine has no such group."),
        ("--TomlBackend.path=/proc/nothing", "cannot be used: "),
    ],
)
def test_what_cannot_work_is_said(option, sentence, tmp_path):
    result = run("check", option, on_a_free_port(), cwd=tmp_path)
    assert (result.status, result.err) == (1, "")
    [line] = [line for line in result.out.splitlines() if line.startswith("FAILED")]
    assert sentence in line
    assert tree(tmp_path) == {}


def test_a_store_that_is_down_fails_once(tmp_path):
    url = f"redis://127.0.0.1:{free_port()}"
    words = ["--KVProxy.backend_class=redis", f"--RedisBackend.url={url}", "--RedisBackend.timeout=0.5"]
    result = run("check", *words, on_a_free_port())
    assert (result.status, result.err) == (1, "")
    assert result.steps == ["ok config", "FAILED open", "ok traefik", "ok start", "ok trial"]


def test_no_secret_is_shown(tmp_path):
    with RedisServer(tmp_path / "redis", "requirepass another") as server:
        host = server.url.removeprefix("redis://")
        for lines in (
            [f"c.RedisBackend.url = {server.url!r}", f"c.RedisBackend.password = {SECRET!r}"],
            [f"c.RedisBackend.url = 'redis://:{SECRET}@{host}'"],
            [f"c.RedisBackend.url = 'redis://:{SECRET}@{host}/not-a-number'"],
            [f"c.RedisBackend.url = 'redis://:{SECRET}@[::1'"],
            [f"c.KVProxy.traefik_api_urls = ['http://me:{SECRET}@127.0.0.1:1']", "c.KVProxy.should_start = False"],
        ):
            file = config_file(tmp_path, 'c.KVProxy.backend_class = "redis"', "c.RedisBackend.timeout = 2", *lines)
            for option in ("--debug", "--json"):
                result = run("check", "--config", file, option)
                assert result.status == 1
                assert SECRET not in result.out + result.err
                assert "Traceback" not in result.out + result.err


def test_debug_shows_where_an_error_came_from_and_no_line_of_the_configuration(tmp_path):
    file = config_file(tmp_path, f"secret = '{SECRET}' + 1")
    result = run("check", "-f", file, "--debug")
    assert result.steps == ["FAILED config"]
    assert f'  File "{file}", line 3, in <module>\n' in result.err
    assert SECRET not in result.out + result.err
