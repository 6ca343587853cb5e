"""The front pages say the same, and lead those who come from elsewhere; their picture is as its script draws it."""

from __future__ import annotations

import re
from html import unescape

import pytest

from tests.pages import DOCS, HOW_TO, ROOT
from tools import draw_parts

PICTURE = "docs/explanation/parts.svg"
FRONT = [ROOT / "README.md", DOCS / "index.md"]
#: Of letters and their ground, by WCAG 2.
CONTRAST = 4.5


def test_the_picture_is_as_its_script_draws_it():
    assert (ROOT / PICTURE).read_text() == draw_parts.drawing(), (
        f"make it anew: .venv/bin/python -m tools.draw_parts > {PICTURE}"
    )


@pytest.mark.parametrize("page", [*FRONT, DOCS / "explanation" / "architecture.md"], ids=lambda page: page.name)
def test_who_does_not_see_the_picture_is_told(page):
    [told] = re.findall(r'parts\.svg(?:" width="480" alt="([^"]+)"|\n:alt: (.+))', page.read_text())
    assert unescape("".join(told)) == draw_parts.ALT


@pytest.mark.parametrize("page", FRONT, ids=lambda page: page.name)
def test_who_comes_from_another_proxy_finds_the_guide(page):
    rows = re.findall(r"^\| ([^|]+) \| (.*\]\(.*) \|$", page.read_text(), re.MULTILINE)
    led = {have.partition(",")[0]: re.findall(r"\]\(([^)]+)\)", where) for have, where in rows}
    targets = {have: [(page.parent / target).resolve() for target in targets] for have, targets in led.items()}
    assert targets["configurable-http-proxy"] == [HOW_TO / "from-configurable-http-proxy.md"]
    assert targets["jupyterhub-traefik-proxy"] == [HOW_TO / "from-jupyterhub-traefik-proxy.md"]
    assert targets["The Littlest JupyterHub"] == [HOW_TO / "the-littlest-jupyterhub.md"]
    assert targets["Zero to JupyterHub"] == [DOCS / "tutorial" / "z2jh.md", HOW_TO / "kubernetes.md"]
    assert targets["a kvproxy that makes trouble"] == [HOW_TO / "at-3-am.md"]
    assert targets["nothing yet"] == [DOCS / "tutorial" / "first-hub.md"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_picture_can_be_read(scheme):
    light, dark = draw_parts.STYLE.split("@media (prefers-color-scheme: dark)")
    style = dark if scheme == "dark" else light
    letters = colour(style, "text")
    for ground in ("rect", ".page", ".part", ".store"):
        assert contrast(letters, colour(style, ground)) >= CONTRAST, ground


def colour(style: str, selector: str) -> str:
    [found] = re.findall(rf"^\s*{re.escape(selector)} \{{.*?fill: #([0-9a-f]{{6}})", style, re.MULTILINE)
    return str(found)


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
