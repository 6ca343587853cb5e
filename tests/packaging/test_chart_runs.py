"""What the chart installs works: its agent.toml, its command and its Roles, and z2jh-values.yaml for the hub.

The agents run on this machine, as the pods would: with the tokens of the pods' service accounts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import AsyncExitStack

import aiohttp
import pytest
import yaml
from traitlets.config import Config

from jhub_kvproxy.agents.protocol import READY
from jhub_kvproxy.aio import in_thread
from jhub_kvproxy.hub.proxy import KVProxy
from servers.ports import free_port
from tests import command
from tests.charts import CHART, RELEASE, Z2JH_VALUES, helm
from tests.hub import heed_signals, kill_processes_of, until
from tests.servers import Client, user_server

TOKEN = "the-token-of-z2jh"
#: For pods that end at once.
VALUES = ["--set", "z2jh.release=jupyterhub", "--set", "draining.accept=0", "--set", "draining.finish=1"]


class Cluster:
    """A namespace with the chart, and with the account that z2jh's hub has."""

    def __init__(self, server, directory):
        self._server, self._directory = server, directory
        self.namespace = server.namespace()
        server.account(self.namespace, [], "hub")
        admin = ["--namespace", self.namespace, "--kubeconfig", server.kubeconfig(self.namespace)]
        result = helm(4, "install", RELEASE, CHART, *VALUES, *admin)
        assert result.returncode == 0, result.stderr

    def kubeconfig(self, account):
        return self._server.kubeconfig(self.namespace, account)

    def command_of_a_pod(self, public_port, agent_port):
        """What a pod runs, and where: here ports and files are others."""
        directory = self._directory / f"pod-{agent_port}"
        directory.mkdir()
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{RELEASE}"
        pod = self._server.ask("GET", path)["spec"]["template"]["spec"]
        [container] = pod["containers"]
        file = directory / "agent.toml"
        file.write_text(self._server.objects(self.namespace)[RELEASE]["data"]["agent.toml"])
        words = [word.replace("/etc/kvproxy/agent.toml", str(file)) for word in container["args"]]
        words += [
            f"--JupyterHub.bind_url=http://127.0.0.1:{public_port}",
            f"--Agent.port={agent_port}",
            f"--Agent.cache={directory / 'table.json'}",
            f"--KubernetesBackend.kubeconfig={self.kubeconfig(pod['serviceAccountName'])}",
        ]
        return [sys.executable, "-m", "jhub_kvproxy", *words], directory


class Pod:
    """An agent with its Traefik."""

    def __init__(self, cluster):
        self.port, self.agent_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.agent_port}"
        self._command, self._directory = cluster.command_of_a_pod(self.port, self.agent_port)
        self._environment = {**os.environ, "KVPROXY_AGENT_TOKEN": TOKEN}
        self._process = None

    def __enter__(self):
        with (self._directory / "log").open("a") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._directory,
                env=self._environment,
                stdout=log,
                stderr=log,
                preexec_fn=heed_signals,
            )
        return self

    def __exit__(self, *_):
        self._process.terminate()
        try:
            self._process.wait(30)
        finally:
            kill_processes_of(self._directory)

    def check(self):
        words = [*self._command, "--check"]
        return subprocess.run(words, cwd=self._directory, env=self._environment, capture_output=True, text=True)

    async def readiness(self):
        async with aiohttp.ClientSession() as session:
            try:
                async with session.get(self.url + READY) as answer:
                    return answer.status, await answer.text()
            except aiohttp.ClientConnectionError:
                return 0, ""


@pytest.fixture
def cluster(kubernetes, tmp_path, monkeypatch):
    monkeypatch.setenv("KVPROXY_AGENT_TOKEN", TOKEN)
    return Cluster(kubernetes, tmp_path)


def config_of_hub(cluster, pods):
    """The options of a hub with the values for z2jh."""
    config = Config(yaml.safe_load(Z2JH_VALUES.read_text())["hub"]["config"])
    config.KVProxy.agent_urls = [pod.url for pod in pods]
    config.KubernetesBackend.kubeconfig = cluster.kubeconfig("hub")
    return config


def check_of_hub(config, directory):
    """The steps of ``jhub-kvproxy check`` in the hub's pod."""
    (directory / "jupyterhub_config.json").write_text(json.dumps(config))
    result = command.ended(command.start("check", "--config", "jupyterhub_config.json", cwd=directory))
    assert result.status == 0, result.out + result.err
    return result.steps


async def test_pods_serve_what_the_hub_routes_and_go_on_without_it(cluster, tmp_path):
    async with AsyncExitStack() as stack:
        pods = [stack.enter_context(Pod(cluster)) for _ in range(2)]

        async def are(status):
            return all([(await pod.readiness())[0] == status for pod in pods])

        await until(lambda: are(503), "the agents do not start, or are ready without a table")
        config = config_of_hub(cluster, pods)
        hub = KVProxy(public_url="http://127.0.0.1:8000/", config=config)
        target = await stack.enter_async_context(user_server("alice"))
        try:
            await hub.add_route("/user/alice/", target, {"user": "alice"})
            for pod in pods:
                assert await Client(pod.port).server("/user/alice/") == "alice"
            assert await are(200)
            checked = await in_thread(pods[0].check)
            assert checked.returncode == 0, checked.stdout + checked.stderr
            steps = await in_thread(check_of_hub, config, tmp_path)
            assert steps.count("ok traefik") == len(pods)
        finally:
            await hub.stop()
        # A pod that is new while no hub runs.
        new = stack.enter_context(Pod(cluster))
        pods = [new]
        await until(lambda: are(200), "a new pod gets no table without a hub")
        assert await Client(new.port).server("/user/alice/") == "alice"
