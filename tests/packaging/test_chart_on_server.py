"""What the chart renders is what a real API server takes, and its Roles permit what they are for, and no more."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
import yaml

from servers.helm import MAJORS
from servers.json_api import Refused
from tests.api_objects import try_to_make
from tests.charts import CHART, OURS, RELEASE, helm, objects, render, slug
from tests.pages import HOW_TO, blocks

MINIMAL = "z2jh: {release: jupyterhub}"


@pytest.fixture(scope="module")
def namespace(kubernetes):
    return kubernetes.namespace()


@pytest.mark.parametrize("values", OURS, ids=str)
def test_the_server_takes_each_object(values, kubernetes, namespace):
    for found in objects(render(4, values.text, namespace=namespace)):
        try_to_make(kubernetes, namespace, found)


@pytest.mark.parametrize(
    "values",
    [
        {"z2jh": {"release": "1"}, "hubs": [{"prefix": "2024", "namespace": "2024", "serviceAccount": "7"}]},
        {
            "store": {"backend": "redis", "existingSecret": "6", "env": {"KVPROXY_REDIS_PASSWORD": "0"}},
            "token": {"existingSecret": "5", "key": "8"},
            "tls": {"existingSecret": "3"},
            "service": {"type": "LoadBalancer", "loadBalancerClass": "2"},
            "traefikMemory": "1073741824",
            "priorityClassName": "4",
            "nameOverride": "2024",
            "fullnameOverride": "proxies",
        },
    ],
    ids=json.dumps,
)
def test_what_looks_like_a_number_is_a_name(values, kubernetes):
    """Courses have namespaces such as "2024"."""
    with suppress(Refused):  # the other test has made it
        kubernetes.namespace("2024")
    for found in objects(render(4, yaml.safe_dump(values), release="2024", namespace="2024")):
        try_to_make(kubernetes, "2024", found)


def test_the_server_takes_the_ingress_which_leads_to_the_service_for_users(kubernetes, namespace):
    [block] = blocks("yaml", "# ingress.yaml", [HOW_TO / "kubernetes.md"])
    ingress = yaml.safe_load(block.text)
    try_to_make(kubernetes, namespace, ingress)
    backend = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    [service] = [each for each in objects(render(4, MINIMAL)) if is_named(each, "Service", backend["name"])]
    assert backend["port"]["name"] in [port["name"] for port in service["spec"]["ports"]]


def is_named(found, kind, name):
    return (found["kind"], found["metadata"]["name"]) == (kind, name)


def test_the_server_refuses_a_field_that_does_not_exist(kubernetes, namespace):
    [found] = [each for each in objects(render(4, MINIMAL, namespace=namespace)) if each["kind"] == "Deployment"]
    found["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(Refused, match="readinesProbe"):
        try_to_make(kubernetes, namespace, found)


def installed(major, server, namespace, *words):
    where = ["--namespace", namespace, "--kubeconfig", server.kubeconfig(namespace)]
    result = helm(major, *words, *where)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("major", MAJORS)
def test_helm_installs_upgrades_and_removes_it(major, kubernetes):
    namespace = kubernetes.namespace()
    deployment = f"/apis/apps/v1/namespaces/{namespace}/deployments/{RELEASE}"
    notes = installed(major, kubernetes, namespace, "install", RELEASE, CHART, "--set", "z2jh.release=hub")
    assert f"3 proxies start in the namespace {namespace}" in notes
    assert "helm install hub jupyterhub/jupyterhub" in notes
    before = kubernetes.ask("GET", deployment)["spec"]
    changes = ["--reset-then-reuse-values", "--set", "replicas=5", "--set", "config.KVProxy.timeout=60"]
    installed(major, kubernetes, namespace, "upgrade", RELEASE, CHART, *changes)
    after = kubernetes.ask("GET", deployment)["spec"]
    assert (before["replicas"], after["replicas"]) == (3, 5)
    # A change of agent.toml gives new pods.
    checksums = [spec["template"]["metadata"]["annotations"]["checksum/agent.toml"] for spec in (before, after)]
    assert checksums[0] != checksums[1]
    installed(major, kubernetes, namespace, "uninstall", RELEASE)
    assert kubernetes.objects(namespace).keys() <= {"kube-root-ca.crt"}


@pytest.mark.parametrize("major", MAJORS)
def test_no_pod_ends_when_autoscaling_is_switched_on(major, kubernetes):
    namespace = kubernetes.namespace()
    deployment = f"/apis/apps/v1/namespaces/{namespace}/deployments/{RELEASE}"
    fixed = ("upgrade", "--install", RELEASE, CHART, "--set", "z2jh.release=hub,replicas=4")
    scaled = (*fixed, "--set", "autoscaling.enabled=true")
    installed(major, kubernetes, namespace, *fixed)
    installed(major, kubernetes, namespace, *scaled)
    assert kubernetes.ask("GET", deployment)["spec"]["replicas"] == 4
    # As an autoscaler does.
    kubernetes.ask("PATCH", f"{deployment}/scale", {"spec": {"replicas": 7}}, content="merge-patch+json")
    installed(major, kubernetes, namespace, *scaled, "--set", "draining.finish=20")
    assert kubernetes.ask("GET", deployment)["spec"]["replicas"] == 7
    # The number is the autoscaler's since then, which Helm 4 heeds.
    installed(major, kubernetes, namespace, *fixed, *(["--force-conflicts"] if major == 4 else []))
    assert kubernetes.ask("GET", deployment)["spec"]["replicas"] == 4


@pytest.mark.parametrize("values", [each for each in OURS if "several" in each.name or each.name == "z2jh"], ids=str)
def test_notes_say_what_to_do_next(values, kubernetes, tmp_path):
    namespace = kubernetes.namespace()
    file = tmp_path / f"{slug(values.name)}.yaml"
    file.write_text(values.text)
    notes = installed(4, kubernetes, namespace, "install", RELEASE, CHART, "--values", file)
    if values.name == "z2jh":
        assert "-f charts/z2jh-values.yaml" in notes
        assert "name the image as here: jhub-kvproxy:" in notes
    else:
        assert f'KVProxy.agent_urls = ["http://{RELEASE}-agents.{namespace}:8098"]' in notes
        for prefix in ("research", "teaching"):
            assert f'KVProxy.prefix = "{prefix}"  # the hub in the namespace {prefix}' in notes
        assert f'KubernetesBackend.namespace = "{namespace}"' in notes


class Caller:
    """A service account that asks for ConfigMaps and Leases of a namespace."""

    def __init__(self, server, namespace, account, of=""):
        self._server, self._namespace = server, namespace
        self._token = server.token(of or namespace, account)

    def may(self, method, kind, name="", message=None):
        group = {"configmaps": "/api/v1", "leases": "/apis/coordination.k8s.io/v1"}[kind]
        place = name if name.startswith("?") else f"/{name}" if name else ""
        try:
            self._server.ask(method, f"{group}/namespaces/{self._namespace}/{kind}{place}", message, token=self._token)
        except Refused as refused:
            return "forbidden" not in str(refused)
        return True


def named(name):
    return {"metadata": {"name": name}}


def test_roles_permit_what_they_are_for_and_no_more(kubernetes):
    namespace = kubernetes.namespace()
    kubernetes.account(namespace, [], "hub")
    installed(4, kubernetes, namespace, "install", RELEASE, CHART, "--set", "z2jh.release=hub")
    hub, agent = (Caller(kubernetes, namespace, account) for account in ("hub", RELEASE))
    kubernetes.ask("POST", f"/api/v1/namespaces/{namespace}/configmaps", named("other"))

    assert hub.may("POST", "configmaps", message=named("kvproxy-jupyterhub"))
    assert hub.may("POST", "leases", message=named("kvproxy-jupyterhub"))
    assert not agent.may("POST", "configmaps", message=named("kvproxy-jupyterhub.0"))
    for caller in (hub, agent):
        assert caller.may("GET", "configmaps", "kvproxy-jupyterhub")
        assert caller.may("GET", "configmaps", "kvproxy-jupyterhub.15")
        assert caller.may("GET", "configmaps", "?fieldSelector=metadata.name=kvproxy-jupyterhub")
        assert not caller.may("GET", "configmaps")
        assert not caller.may("GET", "configmaps", "other")
        assert not caller.may("GET", "configmaps", "kvproxy-jupyterhub.16")
    assert not hub.may("DELETE", "configmaps", "other")
    assert not agent.may("PUT", "configmaps", "kvproxy-jupyterhub", named("kvproxy-jupyterhub"))
    assert not agent.may("DELETE", "configmaps", "kvproxy-jupyterhub")
    assert not agent.may("GET", "leases", "kvproxy-jupyterhub")
    assert hub.may("PUT", "leases", "kvproxy-jupyterhub", named("kvproxy-jupyterhub"))
    assert hub.may("DELETE", "leases", "kvproxy-jupyterhub")
    assert hub.may("DELETE", "configmaps", "kvproxy-jupyterhub")


def test_each_of_several_hubs_may_write_its_own_table(kubernetes):
    fleet, research, teaching = (kubernetes.namespace() for _ in range(3))
    for namespace in (research, teaching):
        kubernetes.account(namespace, [], "hub")
    hubs = [{"prefix": "research", "namespace": research}, {"prefix": "teaching", "namespace": teaching}]
    words = ["--set-json", f"hubs={json.dumps(hubs)}", "--set", "token.existingSecret=token"]
    installed(4, kubernetes, fleet, "install", RELEASE, CHART, *words)
    first, second = (Caller(kubernetes, fleet, "hub", of=namespace) for namespace in (research, teaching))
    agent = Caller(kubernetes, fleet, RELEASE)
    assert first.may("POST", "configmaps", message=named("kvproxy-research"))
    assert second.may("POST", "configmaps", message=named("kvproxy-teaching"))
    assert not first.may("GET", "configmaps", "kvproxy-teaching")
    assert not second.may("DELETE", "configmaps", "kvproxy-research")
    assert agent.may("GET", "configmaps", "kvproxy-research")
    assert agent.may("GET", "configmaps", "kvproxy-teaching")
