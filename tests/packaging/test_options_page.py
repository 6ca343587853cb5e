"""The page of options has each option in one group, with a default that is true."""

from __future__ import annotations

import re
import runpy
from collections import Counter

import pytest

from jhub_kvproxy.cli.options import find_class, options_of
from jhub_kvproxy.store.registry import installed_backends
from tests.pages import DOCS, need

PAGE = (DOCS / "reference" / "options.md").read_text()
#: Heading, text, what ``jhub-kvproxy options`` takes, and names.
GROUPS = re.findall(r"^### ([^\n]+)\n\n([^\n]+)\n\n```\{options\} (\w+)\n(.*?)```$", PAGE, re.DOTALL | re.MULTILINE)
CLASSES = ["kvproxy", "agent", "toml", "etcd", "consul", "redis", "kubernetes", "postgres"]


@pytest.mark.parametrize("name", CLASSES)
def test_each_option_is_in_one_group(name):
    grouped = Counter(option for _, _, owner, names in GROUPS if owner == name for option in names.split())
    assert grouped == Counter(option.name.rpartition(".")[2] for option in options_of(find_class(name)))


def test_there_are_groups_of_all_backends_and_of_nothing_else():
    assert {owner for _, _, owner, _ in GROUPS} == set(CLASSES) == {"kvproxy", "agent", *installed_backends()}
    assert len(GROUPS) == PAGE.count("```{options}") == PAGE.count("\n### ")


@pytest.mark.parametrize("name", CLASSES)
def test_each_default_is_shown_or_told(name):
    need("sphinx")
    default_of = runpy.run_path(str(DOCS / "options_directive.py"))["default_of"]
    silent = [option.name for option in options_of(find_class(name)) if not default_of(option)]
    assert [one for one in options_of(find_class(name)) if one.name in silent and "Default:" not in one.help] == []
