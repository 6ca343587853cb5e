"""Our chart beside z2jh's own, which Z2JH_CHART names: selectors, ports, labels and policies fit."""

from __future__ import annotations

import base64
import json
import shutil

import pytest
import yaml
from traitlets.config import Config

from jhub_kvproxy.hub.proxy import KVProxy
from jhub_kvproxy_backends._postgres_url import parse_url
from jhub_kvproxy_backends.postgres import PostgresBackend
from servers.helm import MAJORS
from tests.api_objects import PATHS, try_to_make
from tests.charts import FOR_Z2JH, RELEASE, Z2JH_VALUES, named, objects, render, z2jh_chart
from tests.charts import OURS as OUR_VALUES
from tests.pages import HOW_TO, run, texts

Z2JH = "jupyterhub"
OURS = f"z2jh: {{release: {Z2JH}}}"
VALUES = Z2JH_VALUES.read_text()
#: Else they are random.
SECRETS = """
hub:
  cookieSecret: "00"
  config:
    ConfigurableHTTPProxy: {auth_token: "11"}
    CryptKeeper: {keys: ["22"]}
"""
AGENT_PORT = 8098


@pytest.fixture(scope="module")
def chart(tmp_path_factory):
    """Z2jh's chart, with the schema that it is released with."""
    copy = tmp_path_factory.mktemp("z2jh") / "jupyterhub"
    shutil.copytree(z2jh_chart(), copy)
    schema = copy / "values.schema.json"
    if not schema.exists():
        schema.write_text(json.dumps(yaml.safe_load((copy / "values.schema.yaml").read_text())))
    return copy


@pytest.fixture
def z2jh(chart):
    """What z2jh's chart renders with these values, beside none of its own but its secrets."""
    return lambda *values, major=4: objects(render(major, SECRETS, *values, chart=chart, release=Z2JH))


def shown(name):
    return next(values.text for values in FOR_Z2JH if values.name == name)


def pod_of(deployment):
    return deployment["spec"]["template"]


@pytest.fixture(scope="module")
def our_pod():
    return pod_of(named(objects(render(4, OURS)), "Deployment"))


def fits(selector, pod):
    labels = selector.get("matchLabels", selector) if selector else {}
    return labels.items() <= pod["metadata"]["labels"].items()


def selectors(found):
    """Each object that selects pods, and what it selects them by."""
    for each in found:
        spec = each.get("spec") or {}
        selector = spec.get("podSelector", spec.get("selector")) if isinstance(spec, dict) else None
        if isinstance(selector, dict):
            yield each["kind"], each["metadata"]["name"], selector


def leads_to(service, pod):
    """The ports of a Service, by name, and the port of `pod` that each leads to; without those that lead nowhere."""
    if not fits(service["spec"]["selector"], pod):
        return {}
    there = {
        port.get("name"): port["containerPort"]
        for container in pod["spec"]["containers"]
        for port in container.get("ports", [])
    }
    asked = {port.get("name", ""): port["targetPort"] for port in service["spec"]["ports"]}
    return {
        name: there.get(target, target) for name, target in asked.items() if target in there or isinstance(target, int)
    }


@pytest.mark.parametrize("major", MAJORS)
def test_only_these_select_our_pods(major, z2jh, our_pod):
    found = {(kind, name) for kind, name, selector in selectors(z2jh(VALUES, major=major)) if fits(selector, our_pod)}
    # A ReplicaSet of the Deployment selects by the hash of its template too, so it adopts none of ours.
    assert found == {
        ("Deployment", "proxy"),
        ("NetworkPolicy", "proxy"),
        ("Service", "proxy-api"),
        ("Service", "proxy-public"),
    }


def test_our_selectors_select_none_of_its_pods(z2jh):
    pods = [pod_of(each) for each in z2jh(VALUES) if each["kind"] in ("Deployment", "DaemonSet", "StatefulSet")]
    assert len(pods) > 3
    for _, _, selector in selectors(objects(render(4, OURS))):
        assert not [pod for pod in pods if fits(selector, pod)]


def test_proxy_public_leads_to_our_pods_alone(z2jh, our_pod):
    found = z2jh(VALUES)
    chp = pod_of(named(found, "Deployment", "proxy"))
    assert leads_to(named(found, "Service", "proxy-public"), our_pod) == {"http": 8000}
    assert leads_to(named(found, "Service", "proxy-public"), chp) == {}
    assert leads_to(named(found, "Service", "proxy-api"), our_pod) == {}


def test_without_our_values_it_leads_to_chp_alone(z2jh, our_pod):
    found = z2jh()
    assert leads_to(named(found, "Service", "proxy-public"), our_pod) == {}
    assert leads_to(named(found, "Service", "proxy-public"), pod_of(named(found, "Deployment", "proxy"))) == {
        "http": 8000
    }


def test_https_by_a_secret(z2jh):
    pod = pod_of(named(objects(render(4, OURS, "tls: {existingSecret: cert}")), "Deployment"))
    found = z2jh(VALUES, shown("a certificate in a Secret"))
    assert leads_to(named(found, "Service", "proxy-public"), pod) == {"http": 8000, "https": 8443}


def test_https_by_autohttps(z2jh, our_pod):
    found = z2jh(VALUES, shown("behind autohttps"))
    public, autohttps = named(found, "Service", "proxy-public"), named(found, "Deployment", "autohttps")
    assert leads_to(public, pod_of(autohttps)) == {"http": 8080, "https": 8443}
    assert leads_to(public, our_pod) == {}
    dynamic = yaml.safe_load(named(found, "ConfigMap", "autohttps")["data"]["dynamic.yaml"])
    [server] = dynamic["http"]["services"]["default"]["loadBalancer"]["servers"]
    assert server == {"url": f"http://{RELEASE}"}
    ours = named(objects(render(4, OURS)), "Service")
    assert leads_to(ours, our_pod) == {"http": 8000}
    assert ours["spec"]["ports"][0]["port"] == 80
    assert is_let_out(named(found, "NetworkPolicy", "autohttps"), our_pod, 8000)


def is_let_out(policy, pod, port):
    """Whether a rule is about pods like this one, in the same namespace."""
    return any(
        {"port": port} in [{"port": each["port"]} for each in rule.get("ports", [])]
        and any("podSelector" in peer and fits(peer["podSelector"], pod) for peer in rule.get("to", []))
        for rule in policy["spec"]["egress"]
    )


def is_let_in(policy, pod, port):
    return any(
        port in [each["port"] for each in rule.get("ports", [])]
        and ("from" not in rule or any(fits(peer.get("podSelector"), pod) for peer in rule["from"] if peer))
        for rule in policy["spec"]["ingress"]
    )


def test_policies_let_us_reach_each_other(z2jh, our_pod):
    found, ours = z2jh(VALUES), named(objects(render(4, OURS)), "NetworkPolicy")
    hub = pod_of(named(found, "Deployment", "hub"))
    assert is_let_out(named(found, "NetworkPolicy", "hub"), our_pod, AGENT_PORT)
    assert is_let_in(ours, hub, "kvproxy-agent")
    assert is_let_in(named(found, "NetworkPolicy", "hub"), our_pod, "http")
    assert is_let_in(named(found, "NetworkPolicy", "singleuser"), our_pod, "notebook-port")
    stranger = {"metadata": {"labels": {"app": "stranger"}}}
    assert is_let_in(ours, stranger, "kvproxy-http")
    assert not is_let_in(ours, stranger, "kvproxy-agent")


def test_the_token_is_the_one_that_z2jh_makes(z2jh, our_pod):
    found = z2jh(VALUES)
    secret = named(found, "Secret", "hub")["data"]
    hub = pod_of(named(found, "Deployment", "hub"))
    for pod in (our_pod, hub):
        [container] = pod["spec"]["containers"]
        [variable] = [each for each in container["env"] if each["name"] == "KVPROXY_AGENT_TOKEN"]
        reference = variable["valueFrom"]["secretKeyRef"]
        assert reference["name"] == "hub"
        assert base64.b64decode(secret[reference["key"]]) == b"11"


@pytest.mark.parametrize("others", ["", shown("one of several hubs")], ids=["one", "several"])
def test_the_hub_gets_options_that_exist(others, z2jh):
    values = base64.b64decode(named(z2jh(VALUES, others), "Secret", "hub")["data"]["values.yaml"])
    config = yaml.safe_load(values)["hub"]["config"]
    assert config["JupyterHub"]["proxy_class"] == "kvproxy"
    assert config["KVProxy"].keys() <= set(KVProxy.class_trait_names(config=True))
    assert config["KVProxy"]["agent_urls"] == [
        f"http://{RELEASE}-agents{'.proxies' if others else ''}:{AGENT_PORT}",
    ]
    assert config["KVProxy"]["should_start"] is False


def test_several_hubs_let_the_fleet_in(z2jh, our_pod):
    found = z2jh(VALUES, shown("one of several hubs"))
    policy = named(found, "NetworkPolicy", "hub")
    [rule] = [each for each in policy["spec"]["egress"] if each.get("ports") == [{"port": AGENT_PORT}]]
    assert rule["to"][0]["namespaceSelector"] == {}
    for name in ("hub", "singleuser"):
        peers = [
            peer
            for rule in named(found, "NetworkPolicy", name)["spec"]["ingress"]
            for peer in rule["from"]
            if fits(peer.get("podSelector"), our_pod) and "podSelector" in peer
        ]
        assert [peer for peer in peers if peer["namespaceSelector"] == {"matchLabels": {}}]


def test_a_hub_with_its_table_in_postgres_has_an_image_with_all_that_it_needs(z2jh):
    pod = pod_of(named(z2jh(VALUES, shown("PostgreSQL")), "Deployment", "hub"))["spec"]
    [container] = pod["containers"]
    assert container["image"] == "registry.example.org/hub:4.4.0"
    assert not pod.get("initContainers")
    environment = {each["name"]: each.get("value") for each in container["env"]}
    assert "KVPROXY_AGENT_TOKEN" in environment
    assert not environment["PYTHONPATH"]
    assert "kvproxy" not in {each["name"] for each in [*pod["volumes"], *container["volumeMounts"]]}
    [made] = [text for text in texts(HOW_TO / "kubernetes.md", "text") if "k8s-hub" in text]
    assert '"jhub-kvproxy[postgres] @ ' in made


def test_a_hub_with_its_table_in_postgres_takes_the_address_of_z2jhs_database(z2jh):
    config = Config(yaml.safe_load(shown("PostgreSQL"))["hub"]["config"])
    config.JupyterHub.db_url = yaml.safe_load(shown("PostgreSQL"))["hub"]["db"]["url"]
    [agents] = [values for values in OUR_VALUES if values.name == "PostgreSQL"]
    hub, agent = PostgresBackend(config=config).url, yaml.safe_load(agents.text)["config"]["PostgresBackend"]["url"]
    assert config.KVProxy.backend_class == "postgres"
    assert parse_url(hub, {}).hosts == parse_url(agent, {}).hosts
    assert parse_url(hub, {}).database == parse_url(agent, {}).database


@pytest.fixture
def moving(tmp_path):
    """The values of the first step of moving over: those for the hub alone."""
    [console] = [text for text in texts(HOW_TO / "kubernetes.md", "console") if "sed " in text]
    (tmp_path / "charts").mkdir()
    shutil.copy(Z2JH_VALUES, tmp_path / "charts")
    run(next(line for line in console.splitlines() if "sed " in line) + "\n", tmp_path, "kubernetes.md")
    return (tmp_path / "hub-values.yaml").read_text()


def by_name(found):
    return {(each["kind"], each["metadata"]["name"]): each for each in found}


def test_moving_over_goes_step_by_step(z2jh, moving):
    before, between, after = (by_name(z2jh(*values)) for values in ((), (moving,), (VALUES,)))
    assert {key for key in before if before[key] != between[key]} <= {
        (kind, "hub") for kind in ("ConfigMap", "Deployment", "NetworkPolicy", "Secret")
    }
    # CHP's pod runs on, so websockets through it stay open.
    changed = {key for key in after if between[key] != after[key]}
    assert {key for key in changed if key[1] != "hub"} == {("Service", "proxy-public")}
    # The hub's Deployment has sums of all values in it.
    assert (
        between["Deployment", "hub"]["spec"]["template"]["spec"]
        == after["Deployment", "hub"]["spec"]["template"]["spec"]
    )


def test_moving_back_goes_step_by_step(z2jh, our_pod):
    before, between = by_name(z2jh()), by_name(z2jh(shown("on the way back")))
    assert between["Deployment", "proxy"] == before["Deployment", "proxy"]
    assert leads_to(between["Service", "proxy-public"], our_pod) == {"http": 8000}


@pytest.mark.parametrize("others", ["", *map(str, FOR_Z2JH)])
def test_a_server_takes_what_our_values_change(others, z2jh, kubernetes):
    namespace = kubernetes.namespace()
    values = (VALUES, shown(others)) if others else (VALUES,)
    for each in z2jh(*values):
        if each["kind"] in PATHS and each["metadata"]["name"] in ("hub", "proxy", "proxy-public", "autohttps"):
            if "namespace" in each["metadata"]:
                each["metadata"]["namespace"] = namespace
            try_to_make(kubernetes, namespace, each)
