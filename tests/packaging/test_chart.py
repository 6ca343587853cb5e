"""The chart for Kubernetes: what it renders, what it refuses, and that the agent understands its agent.toml.

KVPROXY_UPDATE=1 writes the snapshots, and the schema's part about options, as they are now.
"""

from __future__ import annotations

import json
import logging
import os
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from jhub_kvproxy.agent.agent_file import read_configuration
from jhub_kvproxy.agent.configuration import configured
from jhub_kvproxy.traefik.life_cycle import draining_seconds
from jhub_kvproxy_backends._kubernetes_names import agent_rules, hub_rules, name_of
from servers.helm import MAJORS, find_helm
from tests import chart_options
from tests.charts import (
    CHART,
    NAMESPACE,
    OURS,
    README,
    RELEASE,
    Z2JH_VALUES,
    agent_toml,
    helm,
    named,
    objects,
    refusal,
    render,
    slug,
)
from tests.command import run
from tests.shell import run as run_tool

ROOT = Path(__file__).parents[2]
SNAPSHOTS = Path(__file__).with_name("chart_snapshots")
UPDATES = os.environ.get("KVPROXY_UPDATE") == "1"
SCHEMA = json.loads(chart_options.SCHEMA_FILE.read_text())
MINIMAL = "z2jh: {release: jupyterhub}"

on_every_helm = pytest.mark.parametrize("major", MAJORS)
with_values = pytest.mark.parametrize("values", OURS, ids=str)


def test_pages_show_values_for_each_way():
    assert len(OURS) == len({slug(values.name) for values in OURS}) > 8


@on_every_helm
def test_helm_finds_nothing_wrong_with_it(major):
    result = helm(major, "lint", "--strict", "--kube-version", "1.37.2", CHART)
    assert result.returncode == 0, result.stdout


@on_every_helm
def test_it_asks_for_the_kubernetes_that_the_pages_name(major):
    for page in (CHART / "README.md", ROOT / "docs" / "how-to" / "kubernetes.md"):
        assert "needs Kubernetes 1.27 or newer" in page.read_text()
    for version, is_enough in (("1.27.0", True), ("1.26.15", False)):
        words = ("template", "jhub-kvproxy", CHART, "--kube-version", version, "--set", "z2jh.release=jupyterhub")
        done = helm(major, *words)
        assert (done.returncode == 0) is is_enough, done.stderr
    assert "kubeVersion" in done.stderr


def test_in_a_checkout_all_name_the_image_that_make_image_makes_there():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == "dev"
    [container] = yaml.safe_load(Z2JH_VALUES.read_text())["hub"]["initContainers"]
    assert container["image"] == "jhub-kvproxy:dev"


@pytest.mark.parametrize(("version", "semantic"), [("1.2.3", "1.2.3"), ("1.3.0rc2", "1.3.0-rc.2")])
def test_a_release_has_its_version_and_its_image_in_all(version, semantic, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{Path(find_helm(4)).parent}:{os.environ['PATH']}")
    run_tool(ROOT / "tools/chart", version, "registry.example.org/proxies/jhub-kvproxy", tmp_path)
    [package] = tmp_path.glob("*.tgz")
    assert package.name == f"jhub-kvproxy-{semantic}.tgz"
    assert helm(4, "lint", "--strict", "--kube-version", "1.37.2", package).returncode == 0
    rendered = helm(4, "template", "jhub-kvproxy", package, "--set", "z2jh.release=jupyterhub").stdout
    image = f"registry.example.org/proxies/jhub-kvproxy:{version}"
    containers = [
        each
        for found in objects(rendered)
        if found["kind"] == "Deployment"
        for each in found["spec"]["template"]["spec"]["containers"]
    ]
    assert {each["image"] for each in containers} == {image}
    [container] = yaml.safe_load((tmp_path / Z2JH_VALUES.name).read_text())["hub"]["initContainers"]
    assert container["image"] == image
    assert "dev" not in (tmp_path / Z2JH_VALUES.name).read_text().split()


@with_values
def test_what_it_renders(values):
    """So that each change of a template shows what it changes."""
    rendered = [render(major, values.text) for major in MAJORS]
    first, *others = [sorted(map(key_and_text, objects(text))) for text in rendered]
    assert all(other == first for other in others), "Helm 3 and 4 differ"
    text = "---\n".join(text for _, text in first)
    file = SNAPSHOTS / f"{slug(values.name)}.yaml"
    if UPDATES:
        SNAPSHOTS.mkdir(exist_ok=True)
        file.write_text(text)
    assert file.read_text() == text, "KVPROXY_UPDATE=1 writes the snapshots as they are now"


def test_there_is_no_snapshot_that_nobody_compares():
    assert {file.stem for file in SNAPSHOTS.iterdir()} == {slug(values.name) for values in OURS}


def key_and_text(found):
    return (found["kind"], found["metadata"]["name"]), yaml.safe_dump(found, sort_keys=True)


@with_values
def test_it_needs_no_right_for_the_cluster(values):
    for found in objects(render(4, values.text)):
        assert not found["kind"].startswith("Cluster")
        assert found["metadata"]["namespace"] == NAMESPACE
        for rule in found.get("rules", []) if found["kind"] == "Role" else []:
            assert rule["verbs"] == ["create"] or rule["resourceNames"]


@with_values
def test_a_container_may_do_nothing_but_its_work(values):
    pod = named(objects(render(4, values.text)), "Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    # A Service named kvproxy-... would give it variables of that name.
    assert pod["enableServiceLinks"] is False
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"]
        assert not context["allowPrivilegeEscalation"]
        assert context["capabilities"] == {"drop": ["ALL"]}


@on_every_helm
@pytest.mark.parametrize(
    "prefix",
    [
        "jupyterhub",
        "a",
        "x" * 40,
        "x" * 41,
        "Research Hub",
        "-x-",
        "hub/of/physics",
        "ünï",
        "é",
        "İx",
        "a" * 30 + "/" + "b" * 30,
    ],
)
def test_roles_are_those_of_the_backend(major, prefix):
    found = objects(render(major, yaml.safe_dump({"z2jh": {"release": "x"}, "hubs": [{"prefix": prefix}]})))
    hub, agent = (
        [each for each in found if each["kind"] == "Role" and is_hubs(each) == which] for which in (True, False)
    )
    table = name_of(prefix)
    assert [each["rules"] for each in hub] == [hub_rules(table)]
    assert [each["rules"] for each in agent] == [agent_rules(table)]


def is_hubs(role):
    return role["metadata"]["name"] != RELEASE


@pytest.fixture
def configuration(tmp_path, monkeypatch):
    """What an agent makes of the agent.toml that is rendered of some values."""

    def read(*texts):
        found = objects(render(4, *texts))
        file = tmp_path / "agent.toml"
        file.write_text(agent_toml(found))
        [container] = named(found, "Deployment")["spec"]["template"]["spec"]["containers"]
        for variable in container["env"]:
            monkeypatch.setenv(variable["name"], "a-secret")
        return configured(read_configuration(str(file), []), logging.getLogger())

    return read


def pod_of(*texts):
    return named(objects(render(4, MINIMAL, *texts)), "Deployment")["spec"]["template"]["spec"]


def test_pods_are_spread_over_nodes_also_where_there_are_no_zones():
    """A scheduler leaves a node out, for each constraint, that lacks the label of one."""
    [constraint] = pod_of()["topologySpreadConstraints"]
    assert constraint["topologyKey"] == "kubernetes.io/hostname"
    [preferred] = pod_of()["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert preferred["podAffinityTerm"]["topologyKey"] == "topology.kubernetes.io/zone"


def test_an_affinity_goes_over_that_of_the_chart():
    own = pod_of()["affinity"]
    other = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}
    assert pod_of(yaml.safe_dump({"affinity": other}))["affinity"] == own | other
    none = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}
    assert pod_of(yaml.safe_dump({"affinity": none}))["affinity"] == none


@with_values
def test_the_agent_takes_its_configuration(values, configuration):
    chosen = configuration(values.text)
    given = yaml.safe_load(values.text)
    prefixes = [hub["prefix"] for hub in given.get("hubs", [{"prefix": "jupyterhub"}])]
    assert list(chosen.backends) == prefixes
    assert chosen.settings.token == "a-secret"


@with_values
def test_a_pod_has_the_time_to_end(values):
    found = objects(render(4, values.text))
    static = tomllib.loads(agent_toml(found))["KVProxy"]["extra_static_config"]
    spec = named(found, "Deployment")["spec"]["template"]["spec"]
    assert set(static["entryPoints"]) == {"public", "api"}
    assert draining_seconds(static) + 10 <= spec["terminationGracePeriodSeconds"]


@pytest.mark.parametrize(
    "options",
    [
        {"KVProxy": {"timeout": 10, "response_headers": {"X-A": 'a "b" \\ \n é', "X.B": ""}, "tls_ciphers": []}},
        {"KVProxy": {"access_log": "-", "activity": True, "redirect_http_to": 443, "proxy_timeout": 0.5}},
        {"KVProxy": {"extra_static_config": {"log": {"level": "INFO", "format": None}}}},
        {"Agent": {"port": 9000, "cache": "/var/lib/kvproxy/other.json"}},
        {"KVProxy": {"extra_static_config": {"entryPoints": {"public": {"http2": {"maxConcurrentStreams": 100}}}}}},
    ],
    ids=json.dumps,
)
def test_options_are_toml_with_their_values(options):
    given = tomllib.loads(agent_toml(objects(render(4, MINIMAL, yaml.safe_dump({"config": options})))))
    assert contains(given, options)


def contains(whole, part):
    if isinstance(part, dict):
        return all(
            name not in whole if value is None else name in whole and contains(whole[name], value)
            for name, value in part.items()
        )
    return whole == part and type(whole) is type(part)


def test_an_option_of_the_chart_is_overridden_not_lost(configuration):
    life = {"entryPoints": {"public": {"transport": {"lifeCycle": {"graceTimeOut": "10m"}}}}}
    chosen = configuration(MINIMAL, yaml.safe_dump({"config": {"KVProxy": {"extra_static_config": life}}}))
    assert draining_seconds(chosen.traefik.extra_static_config) == 610


@on_every_helm
@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("replica: 3", "'replica' not allowed"),
        ("z2jh: {release: jupyterhub, namespace: x}", "'namespace' not allowed"),
        ("store: {backend: mysql}", "must be one of 'kubernetes', 'etcd', 'redis', 'consul', 'postgres'"),
        ("store: {env: {KVPROXY_ETCD_PASWORD: x}}", "'KVPROXY_ETCD_PASWORD' not allowed"),
        ("config: {KVProxy: {time_out: 3}}", "'time_out' not allowed"),
        ("config: {EtcdBackend: {password: x}}", "'password' not allowed"),
        ("config: {KvProxy: {}}", "'KvProxy' not allowed"),
        ("hubs: []", "minItems: got 0, want 1"),
        ("hubs: [{namespace: research}]", "missing property 'prefix'"),
        ('replicas: "3"', "got string, want integer"),
        ("image: {digest: abc}", "does not match pattern"),
        # The chart's ConfigMap would be the head of the table, and end with the release.
        ("fullnameOverride: kvproxy-jupyterhub", "is the name of a hub's table"),
        ("fullnameOverride: Proxies", "does not match pattern"),
        ("hubs: [{prefix: a, namespace: b}, {prefix: a, namespace: c}]", "Two hubs have the prefix a"),
        ("hubs: null", "hubs is empty"),
        # Traefik does not start with such a GOMEMLIMIT.
        ("traefikMemory: 800Mi", "does not match pattern"),
    ],
)
def test_values_that_are_wrong_are_refused(major, values, said):
    assert said in refusal(major, MINIMAL, values)


@on_every_helm
def test_nobody_to_serve_is_said(major):
    assert "Set z2jh.release to the name of the Helm release of Zero to JupyterHub" in refusal(major)


@on_every_helm
def test_keys_of_no_secret_are_refused(major):
    said = refusal(major, MINIMAL, "store: {env: {KVPROXY_ETCD_PASSWORD: password}}")
    assert "store.env needs store.existingSecret" in said


def test_the_schema_knows_all_options():
    expected = chart_options.schema()
    if UPDATES:
        SCHEMA["properties"]["config"] = expected
        chart_options.SCHEMA_FILE.write_text(json.dumps(SCHEMA, indent=2) + "\n")
    assert SCHEMA["properties"]["config"] == expected, "KVPROXY_UPDATE=1 writes the schema as it is now"


def test_what_the_schema_leaves_out_is_there():
    for places in chart_options.LEFT_OUT.values():
        for cls in chart_options.classes():
            assert places.get(cls.__name__, set()) <= set(cls.class_trait_names(config=True))


def test_the_readme_tells_of_each_value_as_the_schema_does():
    given = yaml.safe_load((CHART / "values.yaml").read_text())
    rows = re.findall(r"^\| `([\w.\[\]]+)` \| (?:`(.*?)`)? *\| (.*) \|$", README.read_text(), re.MULTILINE)
    assert [(name, about) for name, _, about in rows] == [*described(SCHEMA)]
    for name, default, _ in rows:
        value = at(name, given)
        if default:
            assert yaml.safe_load(default) == value, name
        else:
            assert not value or isinstance(value, dict | list), name
    assert set(given) | {"global"} == set(SCHEMA["properties"])


def described(schema, place=""):
    """The values that a schema knows, with what it says of each."""
    for name, inner in schema.get("properties", {}).items():
        full = f"{place}.{name}".lstrip(".")
        assert inner["description"].endswith("."), full
        if full == "global":
            continue
        yield full, inner["description"]
        if full not in ("config", "store.env"):
            yield from described(inner, full)
            yield from described(inner.get("items", {}), f"{full}[]")


def at(name, values):
    """What `values` have at a place such as ``hubs[].prefix``."""
    for step in re.findall(r"\[\]|\w+", name):
        values = values[0 if step == "[]" else step]
    return values


def test_a_real_agent_reads_a_store_by_it(etcd, tmp_path):
    urls = {"config": {"EtcdBackend": dict(etcd.traits), "Agent": {"cache": str(tmp_path / "table.json")}}}
    found = objects(render(4, MINIMAL, "store: {backend: etcd}", yaml.safe_dump(urls)))
    file = tmp_path / "agent.toml"
    file.write_text(agent_toml(found))
    [container] = named(found, "Deployment")["spec"]["template"]["spec"]["containers"]
    words = [word.replace("/etc/kvproxy/agent.toml", str(file)) for word in container["args"]]
    result = run(*words, "--check", cwd=tmp_path, KVPROXY_AGENT_TOKEN="a-token")
    assert [*filter(lambda step: not step.startswith("ok"), result.steps)] == ["note table"], result.out
