"""Turns the answers of Kubernetes into our errors. No other module does."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jhub_kvproxy import BackendError, BackendRejected, BackendUnavailable, BatchRejected

from ._network import Answer

_TOO_LARGE = ("request is too large", "message larger than max", "Request entity too large", "Too long")
_FULL = "database space exceeded"
_WHO = re.compile(r'User "([^"]*)" cannot')


class Absent(BackendUnavailable):
    """There is no such object."""


class Conflict(BackendUnavailable):
    """The object is not as it was when we read it, or exists already. Nothing was changed."""


class Gone(BackendUnavailable):
    """The watch is too old: changes may have been missed."""


class StaleToken(BackendRejected):
    """The token is not accepted. Nothing was changed."""


class NotKubernetes(BackendRejected):
    """The answer is none of Kubernetes. Nobody knows what became of the request."""


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked, for messages: the verb, and what of."""

    verb: str
    resource: str
    name: str
    namespace: str
    #: Whose Role lets us do it: "the hub", "the agent" or "admins".
    role: str
    #: Where the token came from.
    login: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{f' {self.name}' if self.name else ''} in the namespace {self.namespace}"


def parsed(answer: Answer, question: Question) -> dict[str, Any]:
    """The object in `answer`. Raises the BackendError that it stands for, if it is an error."""
    message = json_in(answer.body)
    # What was deleted may have none.
    has_metadata = question.verb == "delete" or isinstance(message.get("metadata"), dict)
    if answer.status in (200, 201) and "kind" in message and has_metadata:
        return message
    raise error_of(answer, message, question)


def is_transient(answer: Answer) -> bool:
    """Whether another try may bring another answer."""
    words = answer.body[:2000].decode(errors="replace")
    return answer.status == 429 or (
        answer.status in (500, 502, 503, 504) and not any(part in words for part in (*_TOO_LARGE, _FULL))
    )


def error_of(answer: Answer, message: Mapping[str, Any], question: Question) -> BackendError:
    place = f"Kubernetes at {answer.url}"
    words = str(message.get("message") or answer.body[:200].decode(errors="replace")).strip()
    is_error = message.get("kind") == "Status" and answer.status >= 300
    if not is_error and answer.status not in (413, 429) and answer.status < 500:
        return NotKubernetes(
            f"What answers at {answer.url} is not the API of Kubernetes (status {answer.status}); "
            "is KubernetesBackend.api_url right?"
        )
    if answer.status == 401:
        return StaleToken(
            f"{place} does not accept {question.login}: it has expired, was revoked, or is another cluster's."
        )
    if answer.status == 403:
        return _forbidden(place, words, question)
    if answer.status == 404:
        details = message.get("details")
        if isinstance(details, dict) and details.get("kind") == "namespaces":
            return BackendRejected(
                f"{place} has no namespace {question.namespace}: make it, or name another in "
                "KubernetesBackend.namespace."
            )
        return Absent(f"{place}: {words}.")
    if answer.status == 409:
        return Conflict(f"{place} could not {question}, which another has changed meanwhile: {words}.")
    if answer.status == 410:
        return Gone(f"{place} no longer knows what has changed since we last heard of it: {words}.")
    if answer.status == 413 or any(part in words for part in _TOO_LARGE):
        return BatchRejected(f"{place} does not take an object of this size to {question}: {words}.")
    if _FULL in words:
        return BackendUnavailable(f"{place} takes no changes, because its etcd is full: {words}.")
    if answer.status == 429 or answer.status >= 500:
        return BackendUnavailable(f"{place} answered {answer.status} to {question}: {words or 'nothing more'}.")
    return _refused(place, words, question)


def _refused(place: str, words: str, question: Question) -> BackendRejected:
    return BackendRejected(f"{place} refuses to {question}: {words}.")


def _forbidden(place: str, words: str, question: Question) -> BackendRejected:
    if "exceeded quota" in words:
        return BackendRejected(f"{place} may not {question}, because a quota of the namespace is used up: {words}.")
    if "being terminated" in words:
        return BackendRejected(f"{place} cannot {question}, because that is being deleted.")
    if who := _WHO.search(words):
        return denied(place, question, who[1], f" ({words})")
    return _refused(place, words, question)  # by an admission webhook or policy: no Role would help


def denied(place: str, question: Question, who: str = "us", words: str = "") -> BackendRejected:
    """The error when `who` lacks a right."""
    return BackendRejected(
        f"{place} does not let {who} {question}: apply the Role for {question.role}, and its RoleBinding, that the "
        f"page on the backend kubernetes shows{words}."
    )


def json_in(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`; an empty one if there is none."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}
