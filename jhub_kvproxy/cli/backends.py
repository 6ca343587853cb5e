"""``jhub-kvproxy backends``: list the stores that can keep the routing table."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import EntryPoint
from typing import Any

from traitlets import TraitType

from ..errors import BackendNotFound
from ..store.contract import Backend, SupportsLease, SupportsTraefik, SupportsWatch, supports
from ..store.registry import describe, find_backend, installed_backends, missing_requirements, pip_command
from .text import aligned, as_json, limits_in_words, wrapped

_HEADINGS = ("NAME", "FROM", "TRAEFIK", "WATCH", "LEASE", "TRANSACTION")


@dataclass(frozen=True, slots=True)
class Powers:
    """What a backend's class says about the store."""

    #: Traefik's name for the provider that reads it; None: Traefik cannot read it.
    provider: str | None
    watch: bool
    lease: bool
    #: The most keys that one transaction changes, and the most bytes of keys and values; None: no limit.
    max_txn_ops: int | None
    max_txn_bytes: int | None


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known about a registered backend."""

    name: str
    #: The class, as ``module:Class``.
    value: str
    package: str | None
    version: str | None
    #: Packages that it needs and that are not installed, and the command that installs them.
    missing: list[str]
    install: str | None
    #: Why it cannot be used.
    error: str | None
    #: None when it cannot be used.
    powers: Powers | None


def entry_of(point: EntryPoint) -> Entry:
    """The entry for the backend that `point` registers; a broken backend has an entry too."""
    error, powers = None, None
    try:
        powers = _powers(find_backend(point.name))
    except BackendNotFound as failure:
        error = describe(failure.__cause__) if isinstance(failure.__cause__, Exception) else str(failure)
    missing = missing_requirements(point)
    return Entry(
        name=point.name,
        value=point.value,
        package=point.dist.name if point.dist else None,
        version=point.dist.version if point.dist else None,
        missing=missing,
        install=pip_command(point) if missing else None,
        error=error,
        powers=powers,
    )


def _powers(backend: type[Backend]) -> Powers:
    return Powers(
        provider=getattr(backend, "provider", None) if supports(backend, SupportsTraefik) else None,
        watch=supports(backend, SupportsWatch),
        lease=supports(backend, SupportsLease),
        max_txn_ops=_limit(backend.max_txn_ops),
        max_txn_bytes=_limit(backend.max_txn_bytes),
    )


def _limit(value: Any) -> int | None:
    # It may be an option.
    found = value.default() if isinstance(value, TraitType) else value
    return found if isinstance(found, int) else None


DESCRIPTION = """
List the stores that can keep the routing table: the values for KVProxy.backend_class.

FROM: the package that contains the backend. TRAEFIK: Traefik's name for the provider that reads the
store with KVProxy.delivery = "store". WATCH: the store reports changes that others make. LEASE: it lets
one hub at a time write. TRANSACTION: how much one transaction may change; for some stores only
jhub-kvproxy check can tell. The hub cuts larger changes between routes.
"""


def add_arguments(parser: ArgumentParser) -> None:
    """There are none."""


def run(options: Namespace) -> int:
    entries = [entry_of(point) for point in installed_backends().values()]
    if options.json:
        print(as_json({"backends": [asdict(entry) for entry in entries]}))
    else:
        print("\n".join([*aligned([_HEADINGS, *map(_row, entries)]), *_remarks(entries)]))
    return 0


def _row(entry: Entry) -> tuple[str, ...]:
    package = f"{entry.package} {entry.version}" if entry.package else "?"
    powers = entry.powers
    if powers is None:
        return (entry.name, package, *["-"] * 4)
    watch, lease = ("yes" if has else "no" for has in (powers.watch, powers.lease))
    return (
        entry.name,
        package,
        powers.provider or "no",
        watch,
        lease,
        limits_in_words(powers.max_txn_ops, powers.max_txn_bytes) or "any size",
    )


def _remarks(entries: list[Entry]) -> Iterator[str]:
    remarks = []
    for entry in entries:
        if entry.missing:
            remarks.append(f"{entry.name} needs {', '.join(entry.missing)}: {entry.install}")
        elif entry.error:
            remarks.append(f"{entry.name} cannot be used: {entry.error}")
    if remarks:
        yield ""
    for remark in remarks:
        yield from wrapped(remark, hanging="  ")
