"""The page on monitoring, its dashboard and its alerts, against what a real hub and a real Traefik say."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import yaml
from traitlets.config import Config

from jhub_kvproxy.store.registry import find_backend
from servers.ports import free_port
from servers.programs import find
from tests.agents import agent_for
from tests.hub import Hub, browsing, until
from tests.metrics import series, types
from tests.pages import DOCS, blocks, run

PAGE = DOCS / "how-to" / "monitoring.md"
MONITORING = DOCS / "reference" / "monitoring"
RULES = yaml.safe_load((MONITORING / "alerts.yml").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
VARIABLES = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
OF_AGENTS = [f"kvproxy_agent_{name}" for name in ("served", "routes", "refused_routes", "store_trouble_seconds")]
#: What Prometheus adds itself.
SCRAPED = {"instance", "job"}


@dataclass(frozen=True)
class Pages:
    """What a hub and its Traefik show Prometheus, after a user has been there."""

    hub: str
    traefik: str
    #: Of an agent on the same table.
    agent: str

    @property
    def series(self) -> dict[str, list[dict[str, str]]]:
        return series(self.hub) | series(self.traefik) | series(self.agent)

    @property
    def labels(self) -> dict[str, set[str]]:
        found = self.series
        return {name: set(itertools.chain(*labels)) for name, labels in found.items()}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    return asyncio.run(_asked_as_the_page_says(tmp_path_factory.mktemp("monitored")))


async def _asked_as_the_page_says(directory: Path) -> Pages:
    making, asking = blocks("console", pages=[PAGE])
    configuration, tracked = blocks("python", pages=[PAGE])
    of_hub, of_traefik, _ = (yaml.safe_load(block.text) for block in blocks("yaml", pages=[PAGE]))
    metrics_port = free_port()
    run(making.text, directory, making.place)
    made = (directory / "metrics-token").read_text().strip()
    text = "\n".join([configuration.text.replace("PUT-YOURS-HERE", made), tracked.text])
    text = text.replace("8082", str(metrics_port))
    async with Hub(directory, text) as hub:
        await hub.start()
        async with browsing(hub.url, "alice") as alice:
            await alice.get(f"{hub.url}/hub/home")
        # In a thread, for the hub is asked through it.
        await asyncio.to_thread(run, asking.text.replace("8000", str(hub.port)), directory, asking.place)
        [of_hub], [of_traefik] = of_hub["scrape_configs"], of_traefik["scrape_configs"]
        authorization = of_hub["authorization"]
        token = (directory / Path(authorization["credentials_file"]).name).read_text().strip()
        headers = {"Authorization": f"{authorization['type']} {token}"}
        assert await _page(_address(of_hub, "8000", hub.port), {}) == (403, "")
        status, of_hub_page = await _page(_address(of_hub, "8000", hub.port), headers)
        assert status == 200

        async def counted():
            answer = await _page(_address(of_traefik, "8082", metrics_port), {})
            return answer if "traefik_entrypoint_requests_total" in series(answer[1]) else None

        await until(counted, "Traefik counts no requests")
        _, of_traefik_page = await counted()
        return Pages(of_hub_page, of_traefik_page, await _agents_page(directory))


async def _agents_page(directory: Path) -> str:
    """What an agent beside another Traefik shows, which does not run."""
    config = Config({"TomlBackend": {"path": str(directory / "kvproxy-table")}})
    backend = find_backend("toml")(config=config, prefix="jupyterhub", read_only=True)
    async with agent_for({"jupyterhub": backend}, f"http://127.0.0.1:{free_port()}") as (_, asking):

        async def has_read():
            return "kvproxy_agent_routes" in series((await asking.get("/metrics"))[1])

        await until(has_read, "the agent does not read the table")
        return (await asking.get("/metrics"))[1]


def _address(scraped, shown_port, port):
    [target] = scraped["static_configs"][0]["targets"]
    return f"http://{target.replace(shown_port, str(port))}{scraped.get('metrics_path', '/metrics')}"


async def _page(url, headers):
    async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as answer:
        return answer.status, await answer.text() if answer.status == 200 else ""


def test_the_table_of_the_page_has_each_metric_of_ours_as_it_is(pages):
    rows = re.findall(r"^\| `(kvproxy_\w+)` \| (\w+) \|(.*?)\| .+ \|$", PAGE.read_text(), re.MULTILINE)
    told = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    ours = {name: kind for name, kind in types(pages.hub).items() if re.match(r"kvproxy_\w+(?<!_created)$", name)}

    def labels(name, kind):
        return pages.labels[name + ("_count" if kind == "histogram" else "")]

    assert told == {name: (kind, labels(name, kind)) for name, kind in ours.items()}


def test_no_label_of_ours_names_a_user(pages):
    assert "alice" not in "".join(line for line in pages.hub.splitlines() if line.startswith("kvproxy_"))
    assert "alice" not in pages.traefik + pages.agent


@pytest.mark.parametrize("metric", ["kvproxy_replica_routes", "kvproxy_replica_revision", *OF_AGENTS])
def test_the_live_table_and_the_agents_are_in_the_dashboard_and_the_alerts(metric):
    shown = " ".join(parameter.values[0] for parameter in expressions())
    assert metric in shown
    if metric not in ("kvproxy_replica_revision", "kvproxy_agent_routes"):
        assert metric in " ".join(rule["expr"] for rule in ALERTS)


def test_what_the_page_on_agents_says_of_their_metrics(pages):
    told = set(re.findall(r"^\| `(kvproxy_\w+)` \|", (DOCS / "how-to" / "agents.md").read_text(), re.MULTILINE))
    assert told == {name for name in series(pages.agent) if name.startswith("kvproxy_")}


def expressions():
    for rule in ALERTS:
        yield pytest.param(rule["expr"], id=rule["alert"])
    for panel in PANELS:
        for target in panel["targets"]:
            yield pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")
    for variable in VARIABLES.values():
        if variable["type"] == "query":
            yield pytest.param(variable["definition"], id=variable["name"])


@pytest.mark.parametrize("expression", list(expressions()))
def test_what_is_asked_for_is_there_with_its_labels(expression, pages):
    known = pages.labels
    bare = re.sub(r'"[^"]*"', '""', expression)
    selectors = re.findall(r"(\w+)\s*(?:\{([^}]*)\})?(?!\w*\()", re.sub(r"\[[^\]]*\]", "", bare))
    metrics = {
        name: set(re.findall(r"(\w+)[=!]", labels)) for name, labels in selectors if "_" in name and name in known
    }
    unknown = {n for n in re.findall(r"\b[a-z]+_[a-z_]+\b(?!\()", bare) if n not in known}
    assert metrics
    assert not unknown
    for name, labels in metrics.items():
        assert labels <= known[name] | SCRAPED, name
    grouped = set(re.findall(r"\w+", " ".join(re.findall(r"(?:by|without) \(([^)]*)\)", bare))))
    assert grouped <= set.union(*(known[name] for name in metrics)) | SCRAPED


def test_the_values_that_are_asked_for_are_there(pages):
    known = {(label, value) for each in pages.series.values() for labels in each for label, value in labels.items()}
    for parameter in expressions():
        for label, value in re.findall(r'(\w+)!?="([^"$]+)"', parameter.values[0]):
            assert (label, value) in known


def test_each_alert_says_what_to_do():
    headings = re.findall(r"^### (.+)$", PAGE.read_text(), re.MULTILINE)
    assert [rule["alert"] for rule in ALERTS] == headings
    for rule in ALERTS:
        assert rule["annotations"]["runbook"] == f"docs/how-to/monitoring.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert {"summary", "description"} <= rule["annotations"].keys()
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}


def test_the_alerts_fire_when_they_should():
    promtool = find("promtool")
    tests = Path(__file__).with_name("alerts_test.yml")
    for arguments in (["check", "rules", MONITORING / "alerts.yml"], ["test", "rules", tests]):
        result = subprocess.run([promtool, *arguments], capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr


def lost(given, kept, place=""):
    """What Grafana's own types for dashboards do not keep of what they are `given`."""
    if isinstance(given, dict):
        for name, value in given.items():
            if name not in kept:
                yield f"{place}.{name}"
            else:
                yield from lost(value, kept[name], f"{place}.{name}")
    elif isinstance(given, list) and len(given) == len(kept):
        for one, other in zip(given, kept, strict=True):
            yield from lost(one, other, f"{place}[]")
    elif given != kept:
        yield f"{place}: {given!r}, and not {kept!r}"


def test_grafanas_schema_has_all_that_the_dashboard_says():
    dashboard = pytest.importorskip("grafana_foundation_sdk.models.dashboard")
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins

    register_default_plugins()
    kept = json.loads(JSONEncoder().encode(dashboard.Dashboard.from_json(DASHBOARD)))
    # Grafana writes both itself when it exports a dashboard.
    assert set(lost(DASHBOARD, kept)) == {".id", ".templating.list[].definition"}


def test_grafana_can_draw_the_dashboard():
    assert DASHBOARD["id"] is None
    assert {"uid", "title", "schemaVersion", "time", "annotations"} <= DASHBOARD.keys()
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = set(itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])))
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    for panel in PANELS:
        assert panel["type"] in ("stat", "timeseries")
        assert panel["title"]
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0
    asked = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD))) - {"__rate_interval", "__all"}
    assert asked == VARIABLES.keys()
