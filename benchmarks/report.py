"""Writes the report of a run: figures as JSON, tables as Markdown, plots."""

from __future__ import annotations

from pathlib import Path

from .errors import Missing
from .plots import draw
from .results import Results
from .tables import figures, summary


def write_report(results: Results, directory: Path) -> str:
    """Write all of it into `directory`; returns the text for the terminal."""
    directory.mkdir(parents=True, exist_ok=True)
    results.write(directory / "results.json")
    texts = {"bounds.md": summary(results), "figures.md": figures(results)}
    for name, text in texts.items():
        (directory / name).write_text(text)
    try:
        plots = ", ".join(file.name for file in draw(results, directory)) or "no plots"
    except Missing as error:
        plots = str(error)
    # What was missed comes last, where it is seen.
    return "\n".join(
        [texts["figures.md"], texts["bounds.md"], f"{directory}: results.json, {', '.join(texts)}, {plots}"]
    )
