"""The machine, the bounds, and what was left out, as text."""

from __future__ import annotations

from .bounds import BOUNDS, Bound, Found
from .figures import own
from .markdown import NBSP, joined, ratio, shown, table
from .results import Results

_Row = tuple[Bound, dict[str, Found | None]]


def summary(results: Results) -> str:
    """The machine, and the bounds."""
    backends = own(results)
    found: list[_Row] = [(bound, {name: bound.find(results, name) for name in backends}) for bound in BOUNDS]
    rows = [row for row in found if any(row[1].values())]
    return joined(_environment(results), *(_bounds(backends, rows) if rows else ("No bound was measured.",)))


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
        f"{load} during the run (including the benchmark's own load).\n\n{versions}."
    )


def _bounds(backends: list[str], rows: list[_Row]) -> tuple[str, ...]:
    verdicts = [[bound.what, _limit(bound), *(_verdict(bound, *one) for one in row.items())] for bound, row in rows]
    values = [[bound.what, *map(_values, row.values())] for bound, row in rows]
    return (
        "**Bounds**, as ratios of our figure to the other, or as our figure alone "
        "(✓ met, ✗ missed; without a mark: only shown, no bound; - not measured in this run)",
        table(["", "limit", *backends], verdicts),
        _missed(rows),
        "**Figures of the ratios**: ours, and the other",
        table(["", *backends], values),
    )


def _limit(bound: Bound) -> str:
    if bound.limit is None:
        return "shown"
    return f"{'≥' if bound.is_least else '≤'}{NBSP}{_figure(bound, bound.limit)}"


def _figure(bound: Bound, value: float) -> str:
    return shown(bound.unit, value) if bound.unit else ratio(value)


def _verdict(bound: Bound, backend: str, found: Found | None) -> str:
    if not found:
        return "-"
    mark = {True: f"{NBSP}✓", False: f"{NBSP}✗", None: ""}[bound.is_met(found, backend)]
    return _figure(bound, found.value) + mark


def _values(found: Found | None) -> str:
    if not found:
        return "-"
    return shown(found.unit, found.ours) + ("" if found.theirs is None else f", {shown(found.unit, found.theirs)}")


def _missed(rows: list[_Row]) -> str:
    lines, measured = [], 0
    limited = sum(bound.limit is not None for bound in BOUNDS)
    for bound, row in rows:
        verdicts = {name: (found, bound.is_met(found, name)) for name, found in row.items() if found}
        measured += any(is_met is not None for _, is_met in verdicts.values())
        missed = [f"{name} {_figure(bound, one.value)}" for name, (one, is_met) in verdicts.items() if is_met is False]
        if missed:
            lines.append(f"- {bound.what}: {', '.join(missed)}; the limit is {_limit(bound)}.")
    if not measured:
        return f"None of {limited} bounds was measured."
    were = "1 was" if measured == 1 else f"{measured} were"
    if not lines:
        what = "it is" if measured == 1 else "all of these are"
        return f"Of {limited} bounds, {were} measured, and {what} met."
    head = (
        f"Of {limited} bounds, {were} measured. Missed, for one backend or more: {len(lines)}. "
        "(A missed bound does not change the exit status, which says whether the command could measure.)"
    )
    return "\n".join([head, "", *lines])
