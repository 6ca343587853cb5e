"""Sphinx configuration: ``sphinx-build -W docs docs/_build/html``."""

import sys
from pathlib import Path

from sphinx.application import Sphinx
from traitlets import HasTraits

import jhub_kvproxy

sys.path.append(str(Path(__file__).parent))

project = "jhub-kvproxy"
author = "jhub-kvproxy contributors"
copyright = f"2026, {author}"
release = version = jhub_kvproxy.__version__

extensions = ["myst_parser", "options_directive", "sphinx.ext.autodoc"]
# What the benchmarks and make supply-chain write is included by pages.
exclude_patterns = ["_build", "explanation/performance/*.md", "explanation/supply-chain/*.md"]

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

# Docstrings put code in single backticks, as in Markdown.
default_role = "literal"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
toc_object_entries_show_parents = "hide"

# A reference that leads nowhere is an error. These lead to other projects, whose inventories a build offline lacks.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(jupyterhub|traitlets|collections|datetime|pathlib|_?asyncio)\..*"),
    ("py:class", r"Mapping|Path|jhub_kvproxy\.(aio\.[PT]|hub\.proxy\.KVProxy)"),
]

html_theme = "pydata_sphinx_theme"
html_title = "jhub-kvproxy"
html_static_path = ["_static"]
html_css_files = ["kvproxy.css"]
html_show_sourcelink = False
html_sidebars = {"index": [], "tutorial/*": []}
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
}


def hide_constructor(app: Sphinx, what: str, name: str, obj: object, *args: object) -> tuple[str, None] | None:
    """Classes with traits are made by JupyterHub: how does not matter to a reader."""
    return ("", None) if isinstance(obj, type) and issubclass(obj, HasTraits) else None


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-signature", hide_constructor)
