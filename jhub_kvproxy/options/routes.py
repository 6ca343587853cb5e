"""Options for error pages, and for what Traefik changes in requests to users' servers."""

from __future__ import annotations

from typing import Any

from traitlets import Bool, HasTraits, List, TraitError, Unicode, Union, default, validate

from ..errors import RouteRejected
from ..routing.policy import Policy, Selection
from ..routing.routes import Pattern, Route

_WHICH = """
        `True`: all routes; `False`: none; or a list of routespecs, such as `["/services/old/"]`.
"""


class RouteOptions(HasTraits):
    hub: Any

    error_target = Unicode(
        config=True,
        help="""
        URL below which the error pages are. Default: the Hub's own pages; empty: no error pages.

        When a server does not answer, the user gets the page at `<error_target>/503`, with the status 503. Traefik
        asks for that page with the `Accept` header of the request and no other: no cookie, no credential. If the page
        cannot be had either, the user gets "Service Unavailable".

        If you set a URL of your own, Traefik adds what the user asked for, as in
        `/503?url=http%3A%2F%2Fhub.example.org%2Fuser%2Fa%2F`.
        """,
    )
    away_page = Unicode(
        config=True,
        help="""
        File with a page in HTML for browsers, at most 64 KiB, in the place of our own. They get it, with the status
        503, while neither the server that they ask for nor an error page can be had, as when the Hub is restarted.

        Images and styles must be in the page itself, which should try again by itself, such as with
        `<meta http-equiv="refresh" content="10">`. The file is read when the Hub starts, or the agent that has Traefik.
        Who does not ask for HTML gets "Service Unavailable". It has no effect with `delivery = "store"`.
        """,
    )
    change_origin = Union(
        [Bool(), List(Unicode())],
        default_value=False,
        config=True,
        help=f"""
        Routes whose servers get the host and port of the route's target in the header `Host`, instead of those that
        the user asked for. `X-Forwarded-Host` always has those that the user asked for.
        {_WHICH}
        A server that compares `Origin` with `Host`, as Jupyter servers do, then refuses websockets.
        """,
    )
    strip_prefix = Union(
        [Bool(), List(Unicode())],
        default_value=False,
        config=True,
        help=f"""
        Routes whose servers get the path of a request without the route's own path. `X-Forwarded-Prefix` then has
        what was stripped.
        {_WHICH}
        The Hub and Jupyter servers need the whole path, so use a list. Traefik refuses a request (400) if the rest of
        its path has `//`, `/./` or `/../` in it.
        """,
    )
    prepend_path = Union(
        [Bool(), List(Unicode())],
        default_value=True,
        config=True,
        help=f"""
        Routes whose servers get the path of the route's target, if it has one, before the path of the request.
        {_WHICH}
        """,
    )

    @property
    def policy(self) -> Policy:
        """These options as the policy for all routes."""
        return Policy(
            error_target=self.error_target,
            tells_url=self.error_target != self._hub_error_target,
            change_origin=_selection(self.change_origin),
            strip_prefix=_selection(self.strip_prefix),
            prepend_path=_selection(self.prepend_path),
        )

    @property
    def _hub_error_target(self) -> str:
        return f"{self.hub.url.rstrip('/')}/error" if self.hub else ""

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
            raise TraitError(f"{name} has an invalid routespec. {error}") from error
        patterns = selection if isinstance(selection, frozenset) else ()
        if proposal.trait.name == "strip_prefix" and any(map(_has_control_characters, patterns)):
            # X-Forwarded-Prefix, which has what was stripped, cannot hold them.
            raise TraitError(f"{name} names a path with control characters, which Traefik cannot strip.")
        return proposal.value  # type: ignore[no-any-return]


def _selection(value: bool | list[str]) -> Selection:
    return value if isinstance(value, bool) else frozenset(map(Pattern.parse, value))


def _has_control_characters(pattern: Pattern) -> bool:
    return any(char < " " or char == "\x7f" for segment in pattern.segments for char in segment)
