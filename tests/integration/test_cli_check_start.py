"""``jhub-kvproxy check`` fails on what the hub's start would refuse on its own machine, and leaves nothing behind."""

from __future__ import annotations

import resource
import signal
import socket
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from jhub_kvproxy.traefik import binary, launching
from jhub_kvproxy.traefik.binary import find_traefik
from servers.certificates import Authority
from servers.ports import free_port
from tests.command import USES_KVPROXY, ended, run, start, tree
from tests.hub import until


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def checked(tmp_path):
    """Runs the check with these lines of configuration."""
    port = free_port()

    def check(*lines, **environment):
        text = "\n".join([USES_KVPROXY, f"c.JupyterHub.bind_url = 'http://127.0.0.1:{port}'", *lines])
        (tmp_path / "jupyterhub_config.py").write_text(text)
        before = tree(tmp_path)
        result = run("check", cwd=tmp_path, **environment)
        assert tree(tmp_path) == before
        assert result.err == ""
        assert "This is a bug" not in result.out
        return result

    check.port = port
    return check


@contextmanager
def taken(port):
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", port))
        listening.listen()
        yield


def failures(result):
    return [line for line in result.out.splitlines() if line.startswith("FAILED")]


def test_a_machine_where_the_hub_can_start(checked, authority):
    cert, key = authority.issue("hub", days=90)
    result = checked(f"c.JupyterHub.ssl_cert = {cert!r}\nc.JupyterHub.ssl_key = {key!r}")
    assert (result.status, failures(result)) == (0, [])
    assert "ok start" in result.steps
    assert f"Traefik can listen on port {checked.port}" in result.out


def test_a_certificate_and_a_key_that_do_not_match(checked, authority):
    (cert, _), (_, key) = authority.issue("hub"), authority.issue("other")
    result = checked(f"c.JupyterHub.ssl_cert = {cert!r}\nc.JupyterHub.ssl_key = {key!r}")
    [said] = failures(result)
    assert f"{key} is not the key of the first certificate in {cert}" in said


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("c.JupyterHub.ssl_cert = '/absent.pem'\nc.JupyterHub.ssl_key = '/absent.pem'", "/absent.pem cannot be read"),
        ("c.KVProxy.redirect_http = 8080", "KVProxy.redirect_http needs TLS"),
        ("c.KVProxy.extra_static_config = {'entryPoints': {'Public': {}}}", "must be spelled public"),
        ("c.KVProxy.extra_static_config = {'entryPoints': {'mine': {}}}", "entryPoints.mine has no address"),
        ("c.KVProxy.traefik_metrics = PORT", "comes into conflict with users'"),
        ("c.KVProxy.trusted_proxies = ['proxy']", "which is not an IP address or network"),
        ("c.KVProxy.runtime_dir = '/proc/nothing/run'", "/proc/nothing/run cannot be made: /proc cannot be written"),
        ("c.KVProxy.access_log = '/proc/nothing/access.log'", "KVProxy.access_log: /proc/nothing/access.log"),
        ("c.KVProxy.runtime_dir = 'jupyterhub_config.py'", "is no directory"),
        ("c.KVProxy.acme_domains = ['a.test']\nc.KVProxy.acme_storage = '/proc/x/acme.json'", "KVProxy.acme_storage"),
        ("c.KVProxy.rest_api_port = PORT + 1", "KVProxy.rest_api_token"),
        ("c.JupyterHub.bind_url = 'http://192.0.2.1:8000'", "this machine has no such address"),
        ("c.JupyterHub.bind_url = 'http+unix://%2Ftmp%2Fx'", "Traefik cannot listen on"),
    ],
)
def test_what_the_hub_would_refuse(lines, sentence, checked):
    result = checked(lines.replace("PORT", str(checked.port)))
    [said] = failures(result)
    assert sentence in said
    assert said.startswith("FAILED  start")
    assert "ok traefik" in result.steps


@pytest.mark.parametrize(
    ("lines", "option"),
    [
        ("", "JupyterHub.bind_url"),
        (
            "c.KVProxy.extra_static_config = {'entryPoints': {'mine': {'address': '127.0.0.1:OTHER/tcp'}}}",
            "KVProxy.extra_static_config (entryPoints.mine)",
        ),
        ("c.KVProxy.traefik_metrics = str(OTHER)", "KVProxy.traefik_metrics"),
        ("c.KVProxy.rest_api_port = OTHER\nc.KVProxy.rest_api_token = 'x'", "KVProxy.rest_api_port"),
    ],
)
def test_a_port_that_another_program_has(lines, option, checked):
    other = free_port() if lines else checked.port
    with taken(other):
        result = checked(lines.replace("OTHER", str(other)))
    [said] = failures(result)
    assert f"cannot listen on port {other} of 127.0.0.1" in said
    assert option in said


def test_the_port_of_a_second_traefik(checked):
    with taken(checked.port + 1):
        result = checked("c.KVProxy.local_replicas = 2")
    [said] = failures(result)
    assert f"port {checked.port + 1} of 127.0.0.1" in said


def test_a_traefik_that_is_too_old_or_should_be_upgraded(checked, tmp_path):
    def traefik(version):
        file = tmp_path / "traefik"
        real = find_traefik(["traefik"])[0]
        file.write_text(f"#!/bin/sh\n[ $1 != version ] && exec {real} \"$@\"\necho 'Version:      {version}'\n")
        file.chmod(0o755)
        return f"c.KVProxy.traefik_cmd = {str(file)!r}"

    [said] = failures(checked(traefik("3.6.5")))
    assert "is Traefik 3.6.5, but" in said
    result = checked(traefik(".".join(map(str, binary.FLOOR))))
    assert result.status == 0
    assert "can make it crash over HTTP/2" in result.out
    assert "note traefik" in result.steps


def test_a_low_limit_of_open_files_is_noted(checked):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert "note start" not in checked().steps
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resource, "getrlimit", lambda _: (1024, 1024))
        result = checked()
    assert (soft, hard) == resource.getrlimit(resource.RLIMIT_NOFILE)
    assert result.status == 0
    assert "note start" in result.steps
    assert "1,024 files and connections" in result.out


def test_a_certificate_that_ends_soon_is_noted(checked, authority):
    cert, key = authority.issue("soon", days=3)
    result = checked(f"c.JupyterHub.ssl_cert = {cert!r}\nc.JupyterHub.ssl_key = {key!r}")
    assert result.status == 0
    assert f"{cert} is valid until " in result.out
    cert, key = authority.issue("past", days=-0.5)
    result = checked(f"c.JupyterHub.ssl_cert = {cert!r}\nc.JupyterHub.ssl_key = {key!r}")
    assert f"{cert} was valid until " in result.out


def test_a_place_of_the_plugin_that_cannot_be_written(checked, tmp_path):
    (tmp_path / "kvproxy-run").mkdir()
    (tmp_path / "kvproxy-run" / "plugins-local").touch()
    [said] = failures(checked())
    assert said.startswith("FAILED  start")
    assert f"KVProxy.runtime_dir: {tmp_path}/kvproxy-run/plugins-local is no directory." in said


@pytest.mark.parametrize("lines", ["c.KVProxy.delivery = 'agent'", "c.KVProxy.should_start = False"])
def test_the_rest_api_of_a_hub_that_starts_no_traefik(lines, checked):
    other = free_port()
    more = f"c.KVProxy.rest_api_port = {other}\nc.KVProxy.rest_api_token = 'x'"
    with taken(other):
        said = failures(checked(lines, more))
    assert f"cannot listen on port {other} of 127.0.0.1" in said[-1]
    assert "KVProxy.rest_api_port" in said[-1]
    assert len(failures(checked(lines, more))) == len(said) - 1


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("c.KVProxy.extra_static_config = {'api': {'debgu': True}}", "(field not found, node: debgu)"),
        ("c.KVProxy.extra_static_config = {'metrics': {'otlp': {'htpp': {}}}}", "(field not found, node: htpp)"),
        ("c.KVProxy.extra_static_config = {'global': {'checkNewVersion': 'no'}}", 'parsing "no": invalid syntax'),
        ("c.KVProxy.extra_dynamic_config = {'http': {'router': {}}}", "field not found, node: router); look at"),
        ("c.KVProxy.extra_dynamic_config = {'tcp': {'x': 1}}", "(field not found, node: x); look at"),
    ],
)
@pytest.mark.parametrize("delivery", ["push", "store"])
def test_what_traefik_would_refuse(lines, sentence, delivery, checked):
    result = checked(lines, f"c.KVProxy.delivery = {delivery!r}")
    [said] = failures(result)
    assert said.startswith("FAILED  trial")
    assert sentence in said
    assert "ok start" in result.steps


def test_a_plugin_that_traefik_cannot_load(checked, monkeypatch):
    monkeypatch.setattr(launching, "plugin_files", lambda: {})
    [said] = failures(checked("c.KVProxy.delivery = 'push'"))
    assert said.startswith("FAILED  trial")
    assert "cannot load our plugin (" in said
    assert "ok trial" in checked("c.KVProxy.delivery = 'store'").steps


def test_a_trial_disturbs_nobody_and_leaves_nothing(checked, authority, tmp_path_factory, monkeypatch):
    """Traefik is started with nothing that sends or writes, and with no key of the admin's."""
    cert, key = authority.issue("hub")
    place, seen = tmp_path_factory.mktemp("trial"), []
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    wrapper = place / "traefik"
    wrapper.write_text(f"#!/bin/sh\n[ $1 = version ] || cat ${{1#*=}} $PWD/dynamic/* >> {place}/seen\n")
    wrapper.write_text(wrapper.read_text() + f'exec {find_traefik(["traefik"])[0]} "$@"\n')
    wrapper.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as collector:
        collector.setblocking(False)
        where = f"127.0.0.1:{collector.getsockname()[1]}"
        static = {
            "metrics": {"otlp": {"pushInterval": "100ms", "http": {"endpoint": f"http://{where}/v1/metrics"}}},
            "accessLog": {"filePath": str(place / "access.log")},
            "log": {"filePath": str(place / "traefik.log")},
            "providers": {"http": {"endpoint": f"http://{where}/"}, "consul": {"endpoints": [where]}},
            "entryPoints": {"public": {"http3": {}}, "dns": {"address": ":5353/udp"}},
        }
        result = checked(
            f"c.JupyterHub.ssl_cert = {cert!r}\nc.JupyterHub.ssl_key = {key!r}",
            f"c.KVProxy.extra_static_config = {static!r}",
            f"c.KVProxy.traefik_cmd = [{str(wrapper)!r}]",
        )
        with pytest.raises(BlockingIOError):
            collector.accept()
    assert failures(result) == []
    assert "ok trial" in result.steps
    assert sorted(path.name for path in place.iterdir()) == ["seen", "traefik"]
    seen = (place / "seen").read_text()
    assert "[entryPoints.dns]" in seen
    assert Path(key).read_text().splitlines()[3] not in seen


async def test_a_trial_that_is_cancelled_leaves_no_traefik(tmp_path):
    """It hangs, and the admin presses Ctrl-C."""
    traefik, pid = tmp_path / "traefik", tmp_path / "pid"
    version = ".".join(map(str, binary.FLOOR))
    traefik.write_text(
        f"#!/bin/sh\n[ $1 = version ] || {{ echo $$ > {pid}; exec sleep 600; }}\necho 'Version: {version}'\n"
    )
    traefik.chmod(0o755)
    bind = f"http://127.0.0.1:{free_port()}"
    process = start("check", "--KVProxy.traefik_cmd=./traefik", f"--JupyterHub.bind_url={bind}", cwd=tmp_path)
    await until(lambda: pid.exists() and pid.read_text(), "no trial begins")
    process.send_signal(signal.SIGINT)
    result = ended(process)
    assert result.status == 1
    assert "The check was interrupted, and has removed what it wrote." in result.out
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()
