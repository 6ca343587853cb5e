"""The table and the picture of a soak."""

from __future__ import annotations

from pathlib import Path

from ..markdown import table
from .soak import Soak


def write(soak: Soak, backend: str, seed: int, directory: Path) -> list[Path]:
    """Write both; returns the files."""
    directory.mkdir(parents=True, exist_ok=True)
    stem = directory / f"soak-{backend}"
    rows = [
        [name, *(f"{value / 1e6:.0f} MB" for value in _ends([one.memory for one in samples])),
         *(str(value) for value in _ends([one.files for one in samples]))]
        for name, samples in soak.samples.items()
    ]  # fmt: skip
    head = ["process", "memory at first", "at last", "most", "files at first", "at last", "most"]
    said = (
        f"{backend}, seed {seed}: {soak.ended - soak.began:.0f} s, {soak.requests} requests, {soak.changes} changes, "
        f"{len(soak.faults)} faults; {'; '.join(soak.found[:5]) or 'nothing grew, and no route was lost or wrong'}"
    )
    files = [stem.with_suffix(".md")]
    files[0].write_text(f"{said}\n\n{table(head, rows)}\n")
    picture = stem.with_suffix(".png")
    picture.unlink(missing_ok=True)
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return files
    figure = Figure(figsize=(12, 6), layout="constrained")
    memory, descriptors = figure.subplots(2, 1, sharex=True)
    for name, samples in soak.samples.items():
        seconds = [one.when - soak.began for one in samples]
        memory.plot(seconds, [one.memory / 1e6 for one in samples], label=name, linewidth=1)
        descriptors.plot(seconds, [one.files for one in samples], linewidth=1)
    for axes, label in ((memory, "MB"), (descriptors, "open files")):
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        axes.grid(True, axis="y", color="#dddddd", linewidth=0.6)
        for _, began, ended in soak.faults:
            axes.axvspan(began - soak.began, min(ended, soak.ended) - soak.began, color="#dddddd", zorder=0)
    descriptors.set_xlabel("seconds; grey: something was away")
    memory.legend(fontsize=7, ncols=3, loc="upper left")
    figure.suptitle(f"The soak on {backend}, seed {seed}")
    figure.savefig(picture, dpi=110, facecolor="white", metadata={"Software": None})
    return [*files, picture]


def _ends(values: list[int]) -> tuple[int, int, int]:
    return values[0], values[-1], max(values)
