"""``jhub-kvproxy trace``: what becomes of one request, and why."""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator
from typing import Any

from ..errors import RouteRejected
from ..options.config_file import DEFAULT_FILE
from ..survey.explanation import findings, summary
from ..survey.matching import Candidate, Request
from ..survey.replicas import find_replicas
from ..survey.site import read_site_table
from ..survey.trace import Passage, Reply, Trace, follow
from .arguments import add_hub_arguments
from .hub_config import HubConfig, hub_config
from .text import as_json, painted, wrapped

DESCRIPTION = f"""
Follow a request: which route it gets and why not another, whether its server answers, and what each Traefik would do
with it. Exit status 0: it reaches its server; 1: it does not, or the server answers with an error.

URL is what the user has in the browser, or only its path. The command sends GET requests for it: to the server, to
each Traefik that the hub starts, and to URL itself if it has a host. With KVProxy.activity they count as use.

The command loads the file (by default {DEFAULT_FILE}, if it is here) as JupyterHub does. It works whether a hub runs
or not. Run it as the hub's user, in the hub's working directory and environment.
"""
_EXAMPLES = """examples:
  jhub-kvproxy trace /user/alice/lab
  jhub-kvproxy trace https://hub.example.org/user/alice/lab
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", type=_request, help="the URL, or its path, such as /user/alice/lab")
    add_hub_arguments(parser)
    parser.add_argument(
        "--user-agent",
        metavar="TEXT",
        default="jhub-kvproxy trace",
        type=_header,
        help="what the requests say in User-Agent (default: %(default)s)",
    )
    parser.epilog = _EXAMPLES


def _request(text: str) -> Request:
    try:
        return Request.of(text)
    except RouteRejected as error:
        raise ArgumentTypeError(str(error)) from error


def _header(text: str) -> str:
    if not text.isprintable() or not text.isascii():
        raise ArgumentTypeError(f"{text!r} cannot be sent as a header")
    return text


def run(options: Namespace) -> int:
    config = hub_config(options)
    trace = asyncio.run(followed(config, options.url, options.user_agent))
    if options.json:
        print(as_json(config.secrets.hide_leaves(facts_of(trace))))
    else:
        print(config.secrets.hide("\n".join(lines_of(trace))))
    return 1 if findings(trace) else 0


async def followed(config: HubConfig, request: Request, agent: str, *, asks_origin: bool = True) -> Trace:
    """What becomes of `request` at the site of `config`."""
    settings = config.settings
    table, provider = await read_site_table(settings, config.reader)
    found = await find_replicas(settings, config.log)
    prefix = config.proxy.prefix
    return await follow(request, table, found, settings, prefix, provider, agent, asks_origin=asks_origin)


def facts_of(trace: Trace) -> dict[str, Any]:
    """The JSON. Pure."""
    return {
        "ok": not findings(trace),
        "verdict": summary(trace),
        "findings": findings(trace),
        "host": trace.request.pattern.host,
        "path": trace.request.path,
        "routes": [_candidate_facts(each) for each in trace.candidates],
        "target": trace.target.to_json() if trace.target else None,
        "replicas": [passage.to_json() for passage in trace.passages],
        "reply": trace.reply.to_json() if trace.reply else None,
    }


def _candidate_facts(candidate: Candidate) -> dict[str, Any]:
    route = candidate.route
    return {
        "routespec": route.routespec,
        "target": route.target,
        "owner": candidate.owner or None,
        "wins": candidate.wins,
        "why": candidate.why or None,
    }


def lines_of(trace: Trace) -> Iterator[str]:
    """The text. Pure, but for the width and the colours of a terminal."""
    host = f" at {trace.request.pattern.host}" if trace.request.pattern.host else ""
    yield from _line("request", f"{trace.request.path}{host}")
    if not trace.candidates:
        yield from _line("route", "none in the store covers it")
    for candidate in trace.candidates:
        yield from _line("route" if candidate.wins else "", _candidate_in_words(candidate))
    if trace.target:
        yield from _line("target", _reply_in_words(trace.target))
    for passage in trace.passages:
        yield from _line("replica", _passage_in_words(passage))
    if trace.reply:
        yield from _line("answer", _reply_in_words(trace.reply))
    found = findings(trace)
    yield ""
    first, *more = [line for text in found or [summary(trace)] for line in _line("verdict", text)]
    yield painted(first, "red" if found else "green")
    yield from more


def _line(name: str, text: str) -> list[str]:
    return wrapped(f"{name or '-':<8} {text}", hanging=" " * 9)


def _candidate_in_words(candidate: Candidate) -> str:
    route = candidate.route
    owner = f" ({candidate.owner})" if candidate.owner else ""
    if candidate.wins:
        return f"{route.routespec}{owner} wins: {route.target}"
    return f"{route.routespec}{owner} does not get it: {candidate.why}"


def _reply_in_words(reply: Reply) -> str:
    if reply.status is None:
        return f"{reply.url} does not answer: {reply.error}"
    assert reply.latency is not None
    return f"{reply.url} answers {reply.status} in {reply.latency * 1000:.0f} ms"


def _passage_in_words(passage: Passage) -> str:
    if passage.error:
        return f"{passage.name}: {passage.error}"
    would = f"sends it by {passage.routespec} to {passage.target}" if passage.routespec else "has no route for it"
    if passage.reply is None:
        return f"{passage.name} {would}"
    status, error = passage.reply.status, passage.reply.error
    return f"{passage.name} {would}, and {f'says nothing: {error}' if status is None else f'answers {status}'}"
