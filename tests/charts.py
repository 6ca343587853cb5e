"""Our chart and z2jh's: what Helm makes of them, and the values that our pages show."""

from __future__ import annotations

import functools
import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from servers.helm import find_helm
from tests.pages import DOCS, ROOT, blocks

CHARTS = ROOT / "charts"
CHART = CHARTS / "jhub-kvproxy"
Z2JH_VALUES = CHARTS / "z2jh-values.yaml"
README = CHART / "README.md"
RELEASE = "jhub-kvproxy"
NAMESPACE = "jupyterhub"
#: Helm's own idea of a version is that of the Go modules it is built from, or 1.20.
KUBERNETES = "1.37.2"

Object = dict[str, Any]


@dataclass(frozen=True)
class Values:
    """Values that a page shows, for our chart or for z2jh's."""

    name: str
    text: str

    def __str__(self) -> str:
        return self.name


def shown(first_line: str) -> list[Values]:
    """The values in blocks that begin with this line, by the rest of it."""
    pages = [README, *DOCS.rglob("*.md")]
    return [
        Values(block.text.splitlines()[0].removeprefix(first_line), block.text)
        for block in blocks("yaml", first_line, pages)
    ]


OURS = shown("# jhub-kvproxy.yaml: ")
FOR_Z2JH = shown("# z2jh.yaml: ")


def slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def helm(major: int, *words: object, text: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    command = [find_helm(major), *map(str, words)]
    # Its own files stay out of the way of the user's.
    own = {name: os.devnull for name in ("HELM_REPOSITORY_CONFIG", "HELM_REGISTRY_CONFIG")}
    return subprocess.run(
        command, input=text, capture_output=True, text=True, env=os.environ | own | environment, timeout=120
    )


@functools.cache
def render(
    major: int,
    *texts: str,
    chart: Path = CHART,
    release: str = RELEASE,
    namespace: str = NAMESPACE,
    words: tuple[str, ...] = (),
) -> str:
    """The manifests of a chart with the values of `texts`, one after the other."""
    result = _template(major, texts, chart, release, namespace, words)
    assert result.returncode == 0, result.stderr
    return result.stdout


def refusal(major: int, *texts: str, chart: Path = CHART) -> str:
    """What Helm says of values that it refuses."""
    result = _template(major, texts, chart, RELEASE, NAMESPACE, ())
    assert result.returncode != 0
    return result.stderr


def _template(
    major: int, texts: Sequence[str], chart: Path, release: str, namespace: str, words: Iterable[str]
) -> subprocess.CompletedProcess[str]:
    merged: Object = {}
    for text in texts:
        merged = merge(merged, yaml.safe_load(text) or {})
    where = ["--namespace", namespace, "--kube-version", KUBERNETES, "--values", "-"]
    return helm(major, "template", release, chart, *where, *words, text=yaml.safe_dump(merged))


def merge(below: Object, above: Object) -> Object:
    """As Helm merges the values of one file over those of another."""
    merged = dict(below)
    for name, value in above.items():
        both = isinstance(value, dict) and isinstance(below.get(name), dict)
        merged[name] = merge(below[name], value) if both else value
    return merged


def objects(manifests: str) -> list[Object]:
    return [each for each in yaml.safe_load_all(manifests) if each]


def named(found: Iterable[Object], kind: str, name: str = RELEASE) -> Object:
    [one] = [each for each in found if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return one


def agent_toml(found: Iterable[Object]) -> str:
    return str(named(found, "ConfigMap")["data"]["agent.toml"])


def z2jh_chart() -> Path:
    """The directory of z2jh's chart. Without it the test is skipped, in CI too: nothing here can install it."""
    place = os.environ.get("Z2JH_CHART", "")
    if not place:
        pytest.skip("Z2JH_CHART is not set, the directory of z2jh's chart")
    return Path(place)
