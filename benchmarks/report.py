"""Writes the report of a run: figures as JSON, tables as Markdown, plots."""

from __future__ import annotations

from pathlib import Path

from servers.errors import Missing

from .plots import draw
from .results import Results
from .summary import left_out, summary
from .tables import figures


def write_report(results: Results, directory: Path) -> str:
    """Write all of it into `directory`; returns the text for the terminal."""
    directory.mkdir(parents=True, exist_ok=True)
    results.write(directory / "results.json")
    # What was missed comes last, where it is seen.
    texts = {**figures(results), "left-out": left_out(results), "bounds": summary(results)}
    for name, text in texts.items():
        (directory / f"{name}.md").write_text(text)
    try:
        plots = ", ".join(file.name for file in draw(results, directory)) or "no plots"
    except Missing as error:
        plots = str(error)
    written = f"{directory}: results.json, {', '.join(f'{name}.md' for name in texts)}, {plots}"
    return "\n".join([*(text for text in texts.values() if text.strip()), written])
