"""The picture of the wings is as the code is."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]
PICTURE = "docs/explanation/wings.svg"


def test_the_picture_is_of_this_code():
    drawing = runpy.run_path(str(ROOT / "tools" / "draw_wings.py"))["drawing"]()
    assert (ROOT / PICTURE).read_text() == drawing, f"make it anew: .venv/bin/python tools/draw_wings.py > {PICTURE}"


def test_every_wing_has_a_place_in_the_guide_for_contributors():
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    wings = [path.parent.name for path in (ROOT / "jhub_kvproxy").glob("*/__init__.py")]
    assert [wing for wing in wings if f"`{wing}/`" not in guide] == []
