"""What the hub's options make of routes: which requests are changed on the way, and where error pages are. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from .routes import Pattern, Route

#: All routes, none, or these.
Selection = bool | frozenset[Pattern]


@dataclass(frozen=True, slots=True)
class Policy:
    """The same for all replicas. Without arguments, nothing is changed, and there are no error pages."""

    #: The URL below which error pages are; empty: there are none.
    error_target: str = ""
    #: Whether the error target is told what the user wanted.
    tells_url: bool = False
    #: Which routes' servers get the host of their target in ``Host``, rather than the one that the user asked.
    change_origin: Selection = False
    #: Which routes' servers get the path without that of the route.
    strip_prefix: Selection = False
    #: Which routes' servers get the path of the target before it, if that has one.
    prepend_path: Selection = True


def includes(selection: Selection, route: Route) -> bool:
    """Whether `selection` has `route`."""
    return selection if isinstance(selection, bool) else route.pattern in selection
