"""Why a request is answered as it is, in words. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from .matching import Candidate
from .trace import Passage, Reply, Trace


def findings(trace: Trace) -> list[str]:
    """A sentence for each thing that keeps the request from its server, the gravest first; none: nothing does."""
    return list(_findings(trace))


def summary(trace: Trace) -> str:
    found = findings(trace)
    if found:
        return found[0]
    assert trace.target
    return f"The request reaches its server, which answers {trace.target.status}."


def _findings(trace: Trace) -> Iterator[str]:
    winner, target = trace.winner, trace.target
    wanted = (winner.route.routespec, winner.route.target) if winner else (None, None)
    for passage in trace.passages:
        if passage.error:
            yield f"Replica {passage.name}: {passage.error}"
        elif (passage.routespec, passage.target) != wanted:
            yield _differs(passage, wanted[0])
    if winner is None or target is None:
        yield (
            "No route in the store covers this path, not even the hub's own, so Traefik answers 404. "
            "Each hub that runs has its own route: see what jhub-kvproxy status says of the hub and the store."
        )
    elif target.status is None:
        yield (
            f"The server of {winner.owner or winner.route.routespec} at {winner.route.target} does not answer "
            f"({target.error}), so Traefik answers 503, or 502 without error pages. {_why_away(trace)}"
        )
    elif winner.route.data.get("hub") is True and _below(winner, trace)[:1] == ("user",):
        yield (
            f"No route of a user's server covers this path, so the hub answers it with {target.status}: this server "
            "does not run, or was stopped."
        )
    elif target.status >= 400:
        yield (
            f"The status {target.status} comes from the server of {winner.owner or winner.route.routespec} itself, and "
            f"not from Traefik.{_named_server(trace)}"
        )
    else:
        for passage in trace.passages:
            if passage.reply and _is_fault(passage.reply) and (passage.routespec, passage.target) == wanted:
                yield f"Replica {passage.name}: at {_answered(passage.reply, target)}"
        if trace.reply and _is_fault(trace.reply):
            yield f"At {_answered(trace.reply, target)}"


def _differs(passage: Passage, wanted: str | None) -> str:
    where = f"Replica {passage.name}"
    if passage.routespec is None:
        return f"{where} has no route for it, so it answers 404. See what jhub-kvproxy status says of this replica."
    if wanted is None or passage.routespec != wanted:
        instead = f", and not by {wanted}" if wanted else ", which the store does not have"
        return f"{where} sends it by the route {passage.routespec} to {passage.target}{instead}: it lags, or is ahead."
    return f"{where} sends it to {passage.target}, which is not the target in the store: it lags, or is ahead."


def _why_away(trace: Trace) -> str:
    winner = trace.winner
    assert winner
    if winner.route.data.get("hub") is True:
        return "JupyterHub does not run there."
    return "It has ended, or is not reached from here; JupyterHub deletes its route when it notices."


def _is_fault(reply: Reply) -> bool:
    return reply.status is None or reply.status >= 400


def _answered(reply: Reply, target: Reply) -> str:
    said = f"the answer is {reply.status}" if reply.status is not None else f"nothing answers ({reply.error})"
    return f"{reply.url} {said}, though the server answers {target.status}."


def _below(winner: Candidate, trace: Trace) -> tuple[str, ...]:
    """The path that the request has below the route's."""
    return trace.request.pattern.segments[len(winner.route.route.pattern.segments) :]


def _named_server(trace: Trace) -> str:
    """What to think of if a named server of the user may be meant."""
    winner = trace.winner
    assert winner
    user, rest = winner.route.data.get("user"), _below(winner, trace)
    if trace.target and trace.target.status == 404 and user and not winner.route.data.get("server_name") and rest:
        return f" If {rest[0]!r} is a named server of {user}: it has no route, so it does not run."
    return ""
