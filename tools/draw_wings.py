"""Draws the wings of the code, one above those that it imports, as contracts and imports tell them.

usage: python -m tools.draw_wings > docs/explanation/wings.svg
"""

from __future__ import annotations

import ast
import tomllib
from html import escape
from pathlib import Path

import grimp

from .svg import picture

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "jhub_kvproxy"
WIDTH, GAP, LINE, LETTER = 960, 12, 17, 7.0
ALT = "The wings of the code; each imports only from those below it"
STYLE = """
text { font-family: system-ui, sans-serif; font-size: 13px; fill: #1b1f24; }
.name { font-weight: 600; font-size: 15px; }
.uses { fill: #57606a; font-size: 12px; }
rect { fill: #eef3fb; stroke: #7a93b8; rx: 6; }
.page { fill: #ffffff; stroke: none; }
.outside { fill: #f6efe2; stroke: #b59a68; }
"""


def layers() -> list[list[str]]:
    """The wings from top to bottom; those of one row do not know each other."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    [wings] = [contract for contract in config["contracts"] if contract["id"] == "wings"]
    return [layer.split(" | ") for layer in wings["layers"]]


def purpose(wing: str) -> str:
    """The first sentence of its docstring."""
    path = ROOT / PACKAGE / wing
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    doc = ast.get_docstring(ast.parse(source.read_text())) or ""
    return " ".join(doc.split("\n\n")[0].split()).removesuffix(".").replace("``", "")


def imports(wings: list[str]) -> dict[str, list[str]]:
    """Which other wings the modules of each import."""
    graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=True, cache_dir=None)
    used: dict[str, set[str]] = {wing: set() for wing in wings}
    for module in graph.modules:
        wing = module.split(".")[1] if "." in module else ""
        for imported in graph.find_modules_directly_imported_by(module):
            other = imported.split(".")[1] if "." in imported else ""
            if wing in used and other in used and other != wing:
                used[wing].add(other)
    return {wing: [other for other in wings if other in used[wing]] for wing in wings}


def wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def lines_of(texts: list[tuple[str, str]], width: float) -> list[tuple[str, str]]:
    """The lines of `texts`, each with its style, in a box of this width."""
    return [(line, style) for text, style in texts for line in wrapped(text, int((width - 24) / LETTER))]


def box(x: float, y: float, width: float, height: float, name: str, lines: list[tuple[str, str]], kind: str) -> str:
    parts = [
        f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"/>',
        f'<text class="name" x="{x + 12:g}" y="{y + 22:g}">{escape(name)}</text>',
    ]
    for number, (line, style) in enumerate(lines, 1):
        parts.append(f'<text class="{style}" x="{x + 12:g}" y="{y + 22 + number * LINE:g}">{escape(line)}</text>')
    return "\n".join(parts)


def told(others: list[str]) -> str:
    return f"imports {', '.join(others)}" if others else "imports no other wing"


def drawing() -> str:
    rows = layers()
    small = {name for row in rows for name in row if not (ROOT / PACKAGE / name).is_dir()}
    wings = [name for row in rows for name in row if name not in small]
    uses = imports(wings)
    boxes: list[list[tuple[str, list[tuple[str, str]], str]]] = []
    for row in rows:
        shown = [name for name in row if name not in small]
        boxes.append([(f"{PACKAGE}.{name}", [(purpose(name), ""), (told(uses[name]), "uses")], "") for name in shown])
    boxes.append([("For all of them", [(", ".join(sorted(small)), "")], "")])
    drivers = "One driver for each store, found by entry point. They import what third parties' drivers can."
    boxes.append([("backends/", [(drivers, ""), ("imports the names that jhub_kvproxy exports", "uses")], "outside")])
    parts, y = [], GAP
    for shown in filter(None, boxes):
        width = (WIDTH - GAP * (len(shown) + 1)) / len(shown)
        lines = [lines_of(texts, width) for _, texts, _ in shown]
        height = 36 + LINE * max(map(len, lines))
        for number, (name, _, kind) in enumerate(shown):
            parts.append(box(GAP + number * (width + GAP), y, width, height, name, lines[number], kind))
        y += height + GAP
    return picture(WIDTH, y, ALT, STYLE, parts)


if __name__ == "__main__":
    print(drawing(), end="")
