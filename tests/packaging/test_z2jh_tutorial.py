"""The tutorial on z2jh, as far as a real API server goes: nothing runs a pod here, so what pods do is not seen.

make cluster-test has a node.
"""

from __future__ import annotations

import shlex

import pytest
import yaml

from tests.charts import CHART, CHARTS, NAMESPACE, RELEASE, helm, z2jh_chart
from tests.pages import DOCS, blocks, steps

PAGE = DOCS / "tutorial" / "z2jh.md"


def commands():
    """What the reader types, without what needs a cluster."""
    is_left_out = False
    for step in steps(PAGE):
        if step.language == "console" and not is_left_out:
            yield from (shlex.split(line.removeprefix("$ ")) for line in step.text.splitlines())
        is_left_out = not step.language and step.text.startswith("not run")


class Reader:
    """Follows the page on an API server: in a namespace of its own, which is not named as the page's."""

    def __init__(self, server, directory):
        self._server, self._directory = server, directory
        self.namespace = ""
        self.said = ""
        (directory / "charts").symlink_to(CHARTS)
        for block in blocks("yaml", pages=[PAGE]):
            first, *_ = block.text.splitlines()
            (directory / first.removeprefix("# ").partition(":")[0]).write_text(block.text)

    def types(self, words):
        match words:
            case ["kubectl", "create", "namespace", name]:
                assert name == NAMESPACE
                self.namespace = self._server.namespace()
            case ["helm", "repo", "add", "jupyterhub", _]:
                pass
            case ["helm", "install", release, chart, *rest]:
                chart = {"jupyterhub/jupyterhub": z2jh_chart, "charts/jhub-kvproxy": lambda: CHART}[chart]()
                rest = [self.namespace if word == NAMESPACE else word for word in rest]
                rest = [str(self._directory / word) if word.endswith(".yaml") else word for word in rest]
                # z2jh has a Job pull images first, and nothing runs Jobs here.
                admin = ["--kubeconfig", self._server.kubeconfig(self.namespace), "--no-hooks"]
                result = helm(4, "install", release, chart, *rest, *admin)
                assert result.returncode == 0, result.stderr
                self.said = result.stdout
            case _:
                raise AssertionError(f"the test cannot type {words}")

    def asks(self, path):
        return self._server.ask("GET", path.format(f"namespaces/{self.namespace}"))


@pytest.fixture
def reader(kubernetes, tmp_path):
    return Reader(kubernetes, tmp_path)


def test_the_proxies_are_installed(reader):
    for words in commands():
        if words[:3] == ["helm", "repo", "add"]:
            break
        reader.types(words)
    assert "Until the first hub has written one, no pod is ready" in reader.said
    deployment = reader.asks(f"/apis/apps/v1/{{}}/deployments/{RELEASE}")
    assert deployment["spec"]["replicas"] == 3


def test_z2jh_is_installed_beside_them(reader):
    z2jh_chart()
    for words in commands():
        reader.types(words)
    [port] = reader.asks("/api/v1/{}/services/proxy-public")["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (80, "kvproxy-http")
    hub = reader.asks("/apis/apps/v1/{}/deployments/hub")["spec"]["template"]["spec"]
    [token] = [each for each in hub["containers"][0]["env"] if each["name"] == "KVPROXY_AGENT_TOKEN"]
    key = token["valueFrom"]["secretKeyRef"]
    assert key["key"] in reader.asks(f"/api/v1/{{}}/secrets/{key['name']}")["data"]
    # The Role's subject is the account that the hub has.
    [binding] = [
        each
        for each in reader.asks("/apis/rbac.authorization.k8s.io/v1/{}/rolebindings")["items"]
        if each["metadata"]["name"] == f"{RELEASE}-hub-jupyterhub"
    ]
    assert binding["subjects"][0]["name"] == hub["serviceAccountName"]


def test_the_page_names_the_image_of_the_chart():
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    assert f"kind load docker-image jhub-kvproxy:{version}" in PAGE.read_text()
