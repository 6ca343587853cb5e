"""A picture in SVG, around the shapes in it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


def picture(width: int, height: int, alt: str, style: str, shapes: Iterable[str]) -> str:
    """The text of the file. `alt` is for those who do not see it."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
            f'aria-label="{escape(alt)}">',
            f"<style>{style}</style>",
            f'<rect class="page" width="{width}" height="{height}"/>',
            *shapes,
            "</svg>",
            "",
        ]
    )
