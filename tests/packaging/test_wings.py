"""The picture of the wings is as the code is."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tools import draw_wings

ROOT = Path(__file__).parents[2]
PICTURE = "docs/explanation/wings.svg"
#: These may know JupyterHub, but for the parts of them that are listed.
PARTLY = {"jhub_kvproxy.hub", "jhub_kvproxy.cli", "jhub_kvproxy.page"}


def test_the_picture_is_of_this_code():
    drawing = draw_wings.drawing()
    assert (ROOT / PICTURE).read_text() == drawing, f"make it anew: .venv/bin/python -m tools.draw_wings > {PICTURE}"


@pytest.mark.parametrize(("contract", "key"), [("jupyterhub", "source_modules"), ("doors", "forbidden_modules")])
def test_the_contracts_leave_nothing_out(contract, key):
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    [listed] = [each[key] for each in config["contracts"] if each["id"] == contract]
    parts = [module for module in listed if module.rpartition(".")[0] not in PARTLY]
    children = {
        path.stem for path in (ROOT / "jhub_kvproxy").iterdir() if path.name[0] not in "_." and path.suffix != ".typed"
    }
    ours = {f"jhub_kvproxy.{child}" for child in children if not child.startswith("_")}
    allowed = {*PARTLY, "jhub_kvproxy.testing"} if contract == "jupyterhub" else set()
    assert {module for module in parts if module.startswith("jhub_kvproxy.")} == ours - allowed


def test_every_wing_has_a_place_in_the_guide_for_contributors():
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    wings = [path.parent.name for path in (ROOT / "jhub_kvproxy").glob("*/__init__.py")]
    assert [wing for wing in wings if f"`{wing}/`" not in guide] == []
