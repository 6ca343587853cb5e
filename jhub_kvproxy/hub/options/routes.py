"""What users and their servers get beside the plain route: error pages, and requests that are changed on the way."""

from __future__ import annotations

from typing import Any

from jupyterhub.utils import url_path_join
from traitlets import Bool, HasTraits, List, TraitError, Unicode, Union, default, validate

from ...errors import RouteRejected
from ...routing.routes import Pattern, Route
from ...traefik.upstream import TRANSPORT
from ...traefik_routers.serving import Selection, Serving
from ..upstream import has_internal_ssl

_WHICH = """
        `True`: for all routes; `False`: for none; or a list of routespecs, such as `["/services/old/"]`: for these.
"""


class RouteOptions(HasTraits):
    hub: Any
    app: Any

    error_target = Unicode(
        config=True,
        help="""
        Where error pages come from: the URL below which they are. Default: the Hub's own; empty: there are none.

        When a server does not answer, the user gets the page at `<error_target>/503`, with the status 503. It is asked
        for with the header `Accept` of the request and no other: no cookie, no credential. If there is no
        page either, the user gets "Service Unavailable".

        A target of your own is told what the user wanted, as in `/503?url=http%3A%2F%2Fhub.example.org%2Fuser%2Fa%2F`.
        """,
    )
    change_origin = Union(
        [Bool(), List(Unicode())],
        default_value=False,
        config=True,
        help=f"""
        Whose servers get their own host and port in the header `Host`, as in the route's target, not what the user
        asked for, which is in `X-Forwarded-Host` in any case.
        {_WHICH}
        A server that compares `Origin` with `Host`, as Jupyter servers do, then refuses websockets.
        """,
    )
    strip_prefix = Union(
        [Bool(), List(Unicode())],
        default_value=False,
        config=True,
        help=f"""
        Whose servers get the path of a request without that of the route, which is in `X-Forwarded-Prefix` then.
        {_WHICH}
        The Hub and Jupyter servers need the whole path, so name the routes. A request whose path has `//`, `/./` or
        `/../` in what remains is refused (400).
        """,
    )
    prepend_path = Union(
        [Bool(), List(Unicode())],
        default_value=True,
        config=True,
        help=f"""
        Whose servers get the path of the route's target before that of the request, if the target has one.
        {_WHICH}
        """,
    )

    @property
    def serving(self) -> Serving:
        """What these options make of routes."""
        return Serving(
            transport=TRANSPORT if has_internal_ssl(self.app) else "",
            error_target=self.error_target,
            tells_url=self.error_target != self._hub_error_target,
            change_origin=_selection(self.change_origin),
            strip_prefix=_selection(self.strip_prefix),
            prepend_path=_selection(self.prepend_path),
        )

    @property
    def _hub_error_target(self) -> str:
        return str(url_path_join(self.hub.url, "error")) if self.hub else ""

    @default("error_target")
    def _default_error_target(self) -> str:
        return self._hub_error_target

    @validate("error_target")
    def _validate_error_target(self, proposal: Any) -> str:
        target = str(proposal.value)
        try:
            if target:
                Route("/", target, {})
        except RouteRejected as error:
            raise TraitError(f"KVProxy.error_target = {target!r}: {str(error).partition(': ')[2]}") from error
        return target

    @validate("change_origin", "strip_prefix", "prepend_path")
    def _validate_routespecs(self, proposal: Any) -> bool | list[str]:
        name = f"KVProxy.{proposal.trait.name}"
        try:
            selection = _selection(proposal.value)
        except RouteRejected as error:
            raise TraitError(f"{name} names a routespec that is none. {error}") from error
        patterns = selection if isinstance(selection, frozenset) else ()
        if proposal.trait.name == "strip_prefix" and any(map(_has_control_characters, patterns)):
            # It tells the server what it has stripped, in a header.
            raise TraitError(f"{name} names a path with control characters, and Traefik cannot strip these.")
        return proposal.value  # type: ignore[no-any-return]


def _selection(value: bool | list[str]) -> Selection:
    return value if isinstance(value, bool) else frozenset(map(Pattern.parse, value))


def _has_control_characters(pattern: Pattern) -> bool:
    return any(char < " " or char == "\x7f" for segment in pattern.segments for char in segment)
