"""Draws the parts of a site, with the ways of requests and of the routing table.

usage: python -m tools.draw_parts > docs/explanation/parts.svg

It is narrow, so that its letters can be read on a phone.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from .svg import picture

WIDTH, HEIGHT = 480, 548
ALT = (
    "Browsers send requests to one or several Traefiks, which send them on to users' servers and the hub. The hub "
    "writes the table to the store. The hub, or an agent beside each Traefik, brings it to a plugin in Traefik."
)
STYLE = """
text { font-family: system-ui, sans-serif; font-size: 15px; fill: #1b1f24; text-anchor: middle; }
.name { font-weight: 600; font-size: 16px; }
.way { text-anchor: start; }
rect { fill: #eef3fb; stroke: #7a93b8; rx: 6; }
.page { fill: #ffffff; stroke: none; rx: 0; }
.group { fill: none; }
.part { fill: #ffffff; }
.optional { fill: none; stroke-dasharray: 4 3; }
.store { fill: #f6efe2; stroke: #b59a68; }
line { stroke-width: 2; }
.requests { stroke: #2f6fbf; }
.table { stroke: #a8591a; stroke-dasharray: 6 4; }
.requests-end { fill: #2f6fbf; }
.table-end { fill: #a8591a; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6e9ee; }
  rect { fill: #22304a; stroke: #6d8bbb; }
  .page { fill: #14181e; }
  .group, .optional { fill: none; }
  .part { fill: #14181e; }
  .store { fill: #3a3020; stroke: #b59a68; }
  .requests { stroke: #7db2f5; }
  .table { stroke: #f0a860; }
  .requests-end { fill: #7db2f5; }
  .table-end { fill: #f0a860; }
}
"""
REQUESTS, TABLE = "requests", "table"


def text(x: float, y: float, words: str, kind: str = "") -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, *words: str, kind: str = "") -> Iterator[str]:
    """A box with lines in its middle; the first is its name if there are several."""
    yield f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"/>'
    top = y + height / 2 + 5 - 11 * (len(words) - 1)
    for number, line in enumerate(words):
        yield text(x + width / 2, top + 22 * number, line, "name" if len(words) > 1 and not number else "")


def arrow(x: float, start: float, end: float, kind: str, words: str = "") -> Iterator[str]:
    """A vertical arrow with words at its right."""
    point = -9 if end > start else 9
    yield f'<line class="{kind}" x1="{x:g}" y1="{start:g}" x2="{x:g}" y2="{end + point:g}"/>'
    yield f'<path class="{kind}-end" d="M{x - 6:g} {end + point:g} L{x + 6:g} {end + point:g} L{x:g} {end:g} Z"/>'
    if words:
        yield text(x + 9, (start + end) / 2 + 5, words, "way")


def key(x: float, kind: str, words: str) -> Iterator[str]:
    yield f'<line class="{kind}" x1="{x:g}" y1="528" x2="{x + 36:g}" y2="528"/>'
    yield text(x + 44, 533, words, "way")


def parts() -> Iterator[str]:
    yield from box(130, 12, 220, 44, "Users' browsers")
    yield from arrow(240, 56, 92, REQUESTS)
    yield from box(8, 92, 464, 156, kind="group")
    for left in (18, 168, 318):
        yield from box(left, 102, 144, 136)
        yield text(left + 72, 126, "Traefik", "name")
        yield from box(left + 10, 138, 124, 40, "our plugin", kind="part")
        yield from box(left + 10, 188, 124, 40, "agent, if any", kind="optional")
    yield from arrow(70, 248, 326, REQUESTS)
    yield from arrow(292, 248, 326, REQUESTS)
    yield from arrow(184, 434, 248, TABLE)
    yield from arrow(372, 326, 248, TABLE, "by the hub")
    yield text(193, 292, "by agents", "way")
    yield from box(8, 326, 162, 62, "Users' servers", "one each")
    yield from box(282, 326, 190, 62, "JupyterHub", "with KVProxy")
    yield from arrow(372, 388, 434, TABLE, "changes")
    yield from box(
        8, 434, 464, 66, "The store, with the routing table", "files, etcd, Consul, Redis or Kubernetes", kind="store"
    )
    yield from key(90, REQUESTS, "requests")
    yield from key(250, TABLE, "the routing table")


def drawing() -> str:
    return picture(WIDTH, HEIGHT, ALT, STYLE, parts())


if __name__ == "__main__":
    print(drawing(), end="")
