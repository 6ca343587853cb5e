"""The table and the picture of a soak."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from ..markdown import table
from .judge import Sample
from .soak import Soak

COLOURS = ("#1f77b4", "#17becf", "#d62728", "#2ca02c", "#98df8a", "#bcbd22", "#9467bd", "#8c564b")


def write(soak: Soak, backend: str, seed: int, directory: Path) -> list[Path]:
    """Write both; returns the files."""
    directory.mkdir(parents=True, exist_ok=True)
    stem = directory / f"soak-{backend}"
    lives = _lives(soak.samples)
    rows = []
    for name, those in lives.items():
        longest = max(those, key=lambda samples: samples[-1].when - samples[0].when)
        warm = longest[len(longest) // 3 :]
        rows.append(
            [
                name,
                str(len(those)),
                f"{longest[-1].when - longest[0].when:.0f} s",
                *(f"{value / 1e6:.0f} MB" for value in (warm[0].memory, warm[-1].memory)),
                f"{max(one.memory for samples in those for one in samples) / 1e6:.0f} MB",
                *(str(value) for value in (warm[0].files, warm[-1].files)),
                str(max(one.files for samples in those for one in samples)),
            ]
        )
    head = ["process", "lives", "longest", "memory after a third of it", "at its end", "most of all"]
    head += ["open files after a third of it", "at its end", "most of all"]
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
    for number, (name, those) in enumerate(lives.items()):
        colour = COLOURS[number % len(COLOURS)]
        for life, samples in enumerate(those):
            seconds = [one.when - soak.began for one in samples]
            label = name if life == 0 else None
            memory.plot(seconds, [one.memory / 1e6 for one in samples], label=label, color=colour, linewidth=1)
            descriptors.plot(seconds, [one.files for one in samples], color=colour, linewidth=1)
    for axes, label in ((memory, "MB"), (descriptors, "open files")):
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        axes.grid(True, axis="y", color="#dddddd", linewidth=0.6)
        for _, began, ended in soak.faults:
            axes.axvspan(began - soak.began, min(ended, soak.ended) - soak.began, color="#dddddd", zorder=0)
    descriptors.set_xlabel("seconds; grey: something was away")
    memory.legend(fontsize=8, ncols=8, loc="lower left")
    figure.suptitle(f"The soak on {backend}, seed {seed}")
    figure.savefig(picture, dpi=110, facecolor="white", metadata={"Software": None})
    return [*files, picture]


def _lives(samples: Mapping[str, list[Sample]]) -> dict[str, list[list[Sample]]]:
    """The samples of each life of each process, by its name."""
    lives: dict[str, list[list[Sample]]] = defaultdict(list)
    for name, those in samples.items():
        if alive := [one for one in those if one.memory]:  # one that was just killed has none
            lives[name.partition(" ")[0]].append(alive)
    return lives
