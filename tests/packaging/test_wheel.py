"""What a user gets: the wheel, and a plain pip install of it."""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.hub import Hub
from tests.shell import run

ROOT = Path(__file__).parents[2]
PACKAGES = {"jhub_kvproxy": "jhub_kvproxy", "jhub_kvproxy_backends": "backends/jhub_kvproxy_backends"}


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(tree, wheel):
    expected = {
        f"{package}/{path.relative_to(tree / directory)}"
        for package, directory in PACKAGES.items()
        for path in (tree / directory).rglob("*")
        if path.is_file()
    }
    assert {"jhub_kvproxy/py.typed", "jhub_kvproxy_backends/py.typed"} <= expected
    names = zipfile.ZipFile(wheel).namelist()
    assert {name for name in names if ".dist-info/" not in name} == expected


def test_the_wheel_states_its_licence_as_an_expression(wheel):
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        assert "\nLicense-Expression: BSD-3-Clause\n" in archive.read(name).decode()


def test_the_sdist_holds_what_building_needs(dist):
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "setup.cfg", "README.md", "LICENSE", "jhub_kvproxy/py.typed"} <= names


@pytest.mark.parametrize("module", ["jhub_kvproxy", "jhub_kvproxy.hub.proxy"])
def test_the_core_imports_no_driver(module):
    code = f"import {module}, sys; print([name for name in sys.modules if name.startswith('jhub_kvproxy_backends')])"
    assert run(sys.executable, "-c", code).strip() == "[]"


async def test_a_plain_pip_install_of_the_wheel_makes_a_hub_that_serves(wheel, clean_python, tmp_path):
    await assert_installs_and_serves(f"file://{wheel}", clean_python, tmp_path)


@pytest.mark.slow
async def test_a_plain_pip_install_from_git_makes_a_hub_that_serves(clean_python, tmp_path):
    clone = tmp_path / "clone"
    run("git", "clone", "--quiet", ROOT, clone)
    # Older ones take git+https URLs in this form, but not git+file ones.
    run(clean_python, "-m", "pip", "install", "pip>=24.1")
    await assert_installs_and_serves(f"git+file://{clone}", clean_python, tmp_path)


async def assert_installs_and_serves(url, python, directory):
    run(python, "-m", "pip", "uninstall", "--yes", "jhub-kvproxy")
    run(python, "-m", "pip", "install", f"jhub-kvproxy[traefik] @ {url}")
    run(python, "-m", "pip", "check")
    async with Hub(directory, python=str(python)) as hub:
        await hub.start()
        assert Path(f"/proc/{hub.traefik_pid}/cmdline").read_text().startswith(str(python.parent))
