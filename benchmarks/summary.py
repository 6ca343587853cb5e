"""Where it was measured, the bounds, and what was left out, as text."""

from __future__ import annotations

from .bounds import BOUNDS, Bound, Ratio
from .figures import own
from .markdown import NBSP, joined, ratio, shown, table
from .results import Results
from .variants import BOUND_OPTIONS

_Row = tuple[Bound, list[Ratio | None]]


def summary(results: Results) -> str:
    """Where it was measured, and the bounds."""
    names = own(results, BOUND_OPTIONS)
    rows = [(bound, [bound.ratio(results, name) for name in names]) for bound in BOUNDS]
    return joined(_environment(results), *(_bounds(names, rows) if names else ()))


def left_out(results: Results) -> str:
    lines = "\n".join(f"- {what}: {why}" for what, why in results.left_out.items())
    return joined("**Left out**", lines or "Nothing.")


def _environment(results: Results) -> str:
    about = results.environment
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items() if version != "absent")
    loads = [load for series in results.series for load in series.loads]
    load = f"{min(loads):g} to {max(loads):g}" if loads else "unknown"
    return (
        f"Measured on {about['date']}: {about['cores']} cores ({about['processor']}), {about['memory_gb']} GB, "
        f"{about['system']}; scale `{about['scale']}`; load average {about['load_before'][0]:g} before, "
        f"{load} during the run (the benchmark's own load is in it).\n\n{versions}."
    )


def _bounds(names: list[str], rows: list[_Row]) -> tuple[str, ...]:
    verdicts = [[bound.what, _limit(bound), *(_verdict(bound, found) for found in all_)] for bound, all_ in rows]
    values = [[bound.what, *(_values(found) for found in all_)] for bound, all_ in rows]
    return (
        "**Bounds**, as ratios: ours to the other (✓ met, ✗ missed, - not measured in this run)",
        table(["", "limit", *names], verdicts),
        _missed(names, rows),
        "**What the ratios are of**: ours, and the other",
        table(["", *names], values),
        "\n".join(_notes(rows)),
    )


def _limit(bound: Bound) -> str:
    return f"{'≤' if bound.at_most else '≥'}{NBSP}{ratio(bound.limit)}"


def _verdict(bound: Bound, found: Ratio | None) -> str:
    return f"{ratio(found.value)}{NBSP}{'✓' if bound.is_met(found) else '✗'}" if found else "-"


def _values(found: Ratio | None) -> str:
    return f"{shown(found.unit, found.ours)}, {shown(found.unit, found.theirs)}" if found else "-"


def _missed(names: list[str], rows: list[_Row]) -> str:
    lines, measured = [], 0
    for bound, all_ in rows:
        found = {name: one for name, one in zip(names, all_, strict=True) if one}
        missed = [f"{name} {ratio(one.value)}" for name, one in found.items() if not bound.is_met(one)]
        measured += bool(found)
        if missed:
            lines.append(f"- {bound.what}: {', '.join(missed)}; the limit is {_limit(bound)}.")
    if not lines:
        return f"Of {len(rows)} bounds {measured} were measured, and all of these are met."
    head = (
        f"Of {len(rows)} bounds {measured} were measured. Missed, for one backend or more: {len(lines)}. "
        "(The command does not fail for it: its exit status tells whether it could measure.)"
    )
    return "\n".join([head, "", *lines])


def _notes(rows: list[_Row]) -> list[str]:
    notes = []
    for bound, all_ in rows:
        of_bound = dict.fromkeys(note for found in all_ if found for note in found.notes)
        notes += [f"- {bound.what}: {'; '.join(of_bound)}."] if of_bound else []
    return notes
