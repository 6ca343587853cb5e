"""Plots, drawn from the figures in the documentation: complete, and legible on a phone and in the dark."""

from __future__ import annotations

import re

import pytest
from PIL import Image

from benchmarks.charts import INK
from benchmarks.dark import DARK, with_dark
from benchmarks.names import names
from benchmarks.plots import draw
from benchmarks.results import Results
from tests.browser import browser
from tests.pages import DOCS

PAGE = DOCS / "explanation" / "performance.md"
KEPT = PAGE.with_suffix("")
RESULTS = Results.read(KEPT / "results.json")
PAPER = DARK["#ffffff"]
#: The room on a phone of 360 pixels, and the least for a wide plot (kvproxy.css).
PHONE, WIDE = 328, 768


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return {file.name: file.read_text() for file in draw(RESULTS, tmp_path_factory.mktemp("plots"))}


@pytest.fixture
def drawn(written):
    return {name: text for name, text in written.items() if name.endswith(".svg")}


def test_the_documentation_has_and_shows_each_of_them(drawn):
    assert {file.name for file in KEPT.glob("*.svg")} == drawn.keys()
    shown = re.findall(r"```\{image\} performance/(\S+)\n:alt: \S.*\n:class: dark-light plot-(\w+)", PAGE.read_text())
    assert sorted(name for name, _ in shown) == sorted(drawn)
    assert all((width == "narrow") == ("-narrow" in name) for name, width in shown)


def test_what_the_names_mean_stands_below_each(written):
    texts = {name: text for name, text in written.items() if name.endswith("-names.md")}
    assert {file.name: file.read_text() for file in KEPT.glob("*-names.md")} == texts
    for name in texts:
        plot = re.escape(name.replace("-names.md", "-narrow.svg"))
        assert re.search(rf"performance/{plot}\n(:.*\n)*```\n\n```{{include}} performance/{name}\n", PAGE.read_text())
    for series in RESULTS.series:
        word = {"own": series.backend, "chp": "CHP", "peer": "peer", "bare": "bare Traefik"}[series.kind]
        text = texts.get(f"{series.scenario}-names.md")
        assert text is None or f"*{word}*" in text
    assert "*peer*: jupyterhub-traefik-proxy" in texts["requests-names.md"]
    assert "the floor" in texts["requests-names.md"]
    assert "metrics" not in texts["burst-names.md"]
    assert names(Results({}), "requests") == ""


def test_all_colours_have_one_for_the_dark(drawn):
    for name, svg in drawn.items():
        rules = re.search(r"<style>@media \(prefers-color-scheme: dark\) \{(.*?)\}</style>", svg, re.DOTALL)[1]
        used = set(re.findall(r'style="[^"]*?((?:fill|stroke): #\w+)', svg.replace(rules, "")))
        assert used, name
        for each in used:
            assert f'[style*="{each}"]' in rules, (name, each)
        # What has no colour is black for good.
        assert not re.search(r'<g transform="translate\([^"]*scale\(', svg), f"{name} has text without a colour"
        assert not re.search(r"<(use|path)(?![^>]*style=)[^>]*clip-path", svg), name


def test_what_is_no_plot_stays():
    assert (
        with_dark('<svg><defs/><path style="fill: #123456"/></svg>')
        == '<svg><defs/><path style="fill: #123456"/></svg>'
    )


def luminance(colour):
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    r, g, b = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one, other):
    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrasts_in_the_dark_are_those_of_wcag():
    assert contrast(DARK[INK], PAPER) > 4.5
    of_grid = {"#ffffff", "#dddddd", INK}
    assert all(contrast(dark, PAPER) > 3 for light, dark in DARK.items() if light not in of_grid)
    assert len(set(DARK.values())) == len(DARK)


def test_the_room_for_a_wide_plot_is_that_of_the_style_sheet():
    assert f"@container (max-width: {WIDE / 16:g}rem)" in (DOCS / "_static" / "kvproxy.css").read_text()


def test_letters_are_large_enough_where_they_are_shown(drawn):
    for name, svg in drawn.items():
        points = float(re.search(r'width="([\d.]+)pt"', svg)[1])
        smallest = 100 * min(float(scale) for scale in re.findall(r"scale\(([\d.]+) -", svg))
        pixels = smallest * (PHONE if "-narrow" in name else WIDE) / points
        assert pixels > 9, (name, pixels)


async def test_they_follow_the_page_that_shows_them(drawn, tmp_path):
    """Also where the page is dark, as by its button, and the system is light."""
    async with browser(tmp_path / "browser") as chromium:
        for scheme, paper in (("light", (255, 255, 255)), ("dark", tuple(bytes.fromhex(PAPER[1:])))):
            page = await chromium.new_page(viewport={"width": 360, "height": 640}, color_scheme="light")
            source = (KEPT / "requests-narrow.svg").as_uri()
            file = tmp_path / f"{scheme}.html"
            file.write_text(f'<html style="color-scheme: {scheme}"><img src="{source}" width="{PHONE}">')
            await page.goto(file.as_uri())
            picture = tmp_path / f"{scheme}.png"
            await page.locator("img").screenshot(path=picture)
            assert Image.open(picture).convert("RGB").getpixel((2, 2)) == paper
