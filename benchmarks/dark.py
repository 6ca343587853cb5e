"""Colours of the plots for readers who want light text on dark pages. Pure."""

from __future__ import annotations

#: Of each colour that plots are drawn with.
DARK = {
    # Paper, ink, lines of the grid.
    "#ffffff": "#14181e",
    "#1b1f24": "#e6e8eb",
    "#dddddd": "#3a4048",
    # The peer, CHP, a bare Traefik.
    "#d55e00": "#ff8a3d",
    "#0a0a0a": "#ffffff",
    "#8c8c8c": "#a6a6a6",
    # Our backends.
    "#08306b": "#3f8ede",
    "#0072b2": "#63b0ee",
    "#56a0d3": "#92ccf5",
    "#9cc7e8": "#c9e4fa",
    "#3b4cc0": "#8c9bff",
    "#6f92f3": "#b3c4ff",
    # Ours with other options.
    "#009e73": "#2cc99b",
    "#cc79a7": "#e39bc4",
    "#e69f00": "#f5b836",
}


def with_dark(svg: str) -> str:
    """`svg`, which is matplotlib's, with a style sheet for the dark; viewers without such a thing show it as it is."""
    rules = [
        f'[style*="{part}: {light}"] {{ {part}: {dark} !important }}'
        for light, dark in DARK.items()
        for part in ("fill", "stroke")
        if f"{part}: {light}" in svg
    ]
    sheet = "\n".join(["<style>@media (prefers-color-scheme: dark) {", *rules, "}</style>"])
    return svg.replace("<defs>", f"{sheet}\n <defs>", 1)
