"""The documentation: it builds, its links lead somewhere, and its configurations and sessions are valid."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
import tomllib

import pytest
from jupyterhub.app import JupyterHub

from jhub_kvproxy.hub.proxy import KVProxy
from jhub_kvproxy.store.registry import find_backend, installed_backends
from tests.browser import browser
from tests.pages import DOCS, PAGES, ROOT, blocks, each, load, need

#: What tells of options that were once there.
HISTORY = [ROOT / "CHANGELOG.md", *DOCS.glob("adr/0*.md")]
BACKENDS = [find_backend(name) for name in installed_backends()]


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    """The built pages. A warning is an error."""
    for extension in ("sphinx", "myst_parser", "pydata_sphinx_theme"):
        need(extension)
    directory = tmp_path_factory.mktemp("docs")
    options = ["-W", "--keep-going", "-q", "-d", directory / "doctrees"]
    command = [sys.executable, "-m", "sphinx", *options, DOCS, directory / "html"]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert result.returncode == 0, result.stdout
    return directory / "html"


def test_it_builds_without_a_warning(html):
    assert (html / "index.html").exists()


async def test_no_page_is_wider_than_a_phone(html, tmp_path):
    pages = [page for page in html.rglob("*.html") if page.name not in ("genindex.html", "search.html")]
    async with browser(tmp_path / "browser") as chromium:
        window = await chromium.new_page(viewport={"width": 375, "height": 800})
        widths = {}
        for page in pages:
            await window.goto(page.as_uri())
            widths[page.name] = await window.evaluate("document.documentElement.scrollWidth")
    assert {name: width for name, width in widths.items() if width > 375} == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(page):
    # Sphinx does not see all pages, and a git server shows them without it.
    for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", [page for page in PAGES if page not in HISTORY], ids=lambda page: page.name)
def test_options_that_a_page_names_are_there_and_take_the_values(page):
    text = page.read_text()
    for name in set(re.findall(r"\bKVProxy\.([a-z]\w+)", text)):
        assert hasattr(KVProxy, name), name
    for value in set(re.findall(r'\bdelivery = "(\w+)"', text)):
        KVProxy(delivery=value)


@each(blocks("toml"))
def test_toml_is_toml(block):
    tomllib.loads(block.text)


@each(blocks("pycon"))
def test_python_answers_as_shown(block):
    # A page is one session.
    session = "\n".join(step.text for step in blocks("pycon", pages=[block.page]))
    report: list[str] = []
    test = doctest.DocTestParser().get_doctest(session, {}, block.place, str(block.page), 0)
    assert doctest.DocTestRunner(verbose=False).run(test, out=report.append).failed == 0, "".join(report)


@each(blocks("python", "# jupyterhub_config.py"))
def test_hub_configuration_is_valid(block, tmp_path):
    config = load(block.text, tmp_path)
    known = {
        ancestor.__name__: ancestor
        for configurable in (*JupyterHub().classes, JupyterHub, KVProxy, *BACKENDS)
        for ancestor in configurable.mro()
    }
    for section, options in config.items():
        for option in options:
            assert option in known[section].class_trait_names(config=True), f"c.{section}.{option}"
    # Their values are checked here.
    KVProxy(config=config, app=JupyterHub(config=config))
    for configurable in BACKENDS:
        configurable(config=config)
