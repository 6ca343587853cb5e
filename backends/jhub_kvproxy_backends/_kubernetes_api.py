"""The part of Kubernetes' API that the driver needs: ConfigMaps and Leases of one namespace."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from typing import Any

import aiohttp

from jhub_kvproxy import BackendRejected, BackendUnavailable, in_thread

from ._kubernetes_access import Access
from ._kubernetes_errors import Absent, Question, StaleToken, denied, error_of, is_transient, json_in, parsed
from ._network import Answer, HTTPServers, retry_after

CONFIGMAPS, LEASES = "configmaps", "leases"
_GROUPS = {CONFIGMAPS: "/api/v1", LEASES: "/apis/coordination.k8s.io/v1"}
_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "DELETE": "delete"}
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
#: Answers with an object's metadata only.
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
#: Seconds after which the token is read again. The kubelet replaces it long before it expires.
_TOKEN_SECONDS = 10.0
#: Seconds until what was turned away is sent again, if Kubernetes does not say.
_PAUSE = 0.1
_LONG_BODY = 64 * 1024


class KubernetesAPI:
    """Sends requests by `access`. `role` is whose Role lets us: that of the "hub" or the "agent".

    It follows no redirect, which could take the token elsewhere.
    """

    def __init__(self, access: Access, *, timeout: float, role: str) -> None:
        self.url = access.url
        self.namespace = access.namespace
        self.timeout = timeout
        self._access = access
        self._role = role
        self._http = HTTPServers(
            "Kubernetes",
            [access.url],
            timeout=timeout,
            tls=access.tls,
            ca=access.authority,
            client="client-certificate and client-key",
        )
        self._token = ""
        self._token_time = float("-inf")

    def deadline(self) -> float:
        """When a call that begins now must end, on the clock of :func:`time.monotonic`."""
        return time.monotonic() + self.timeout

    async def close(self) -> None:
        await self._http.close()

    async def get(self, name: str, deadline: float, kind: str = CONFIGMAPS, **options: Any) -> dict[str, Any] | None:
        """The object; None if there is none."""
        with suppress(Absent):
            return await self._ask("GET", kind, name, deadline, again=True, **options)
        return None

    async def metadata(self, name: str, deadline: float) -> dict[str, Any] | None:
        """The metadata of a ConfigMap; None if there is none."""
        found = await self.get(name, deadline, accept=_METADATA)
        return found and dict(found["metadata"])

    async def listed(self, name: str, deadline: float) -> tuple[str, dict[str, Any] | None]:
        """The version of the store, from which on a watch tells of changes, and the ConfigMap that it has then."""
        query = f"?fieldSelector=metadata.name%3D{name}"
        answer = await self._ask("GET", CONFIGMAPS, "", deadline, again=True, query=query)
        return str(answer["metadata"]["resourceVersion"]), next(iter(answer["items"] or ()), None)

    async def create(self, body: Mapping[str, Any], deadline: float, kind: str = CONFIGMAPS, **options: Any) -> Any:
        """The metadata of the new object. Raises Conflict if there is one of that name."""
        found = await self._ask("POST", kind, "", deadline, body, accept=_METADATA, **options)
        return found["metadata"]

    async def replace(self, body: Mapping[str, Any], deadline: float, kind: str = CONFIGMAPS) -> Any:
        """The metadata of the object that `body` has replaced. Raises Conflict if that had another version."""
        name = body["metadata"]["name"]
        found = await self._ask("PUT", kind, name, deadline, body, again=False, accept=_METADATA)
        return found["metadata"]

    async def delete(self, name: str, deadline: float, kind: str = CONFIGMAPS, *, uid: str = "") -> None:
        """Delete the object; with `uid`, none but the one that has it."""
        body = {"preconditions": {"uid": uid}} if uid else None
        await self._ask("DELETE", kind, name, deadline, body, again=True)

    async def may(self, verb: str, resource: str, name: str, deadline: float) -> bool:
        """Whether we may do this; yes if we may not ask."""
        attributes = {"namespace": self.namespace, "verb": verb, "resource": resource, "name": name}
        attributes["group"] = "coordination.k8s.io" if resource == LEASES else ""
        body = {"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1"}
        answer = await self._send(
            "POST", _REVIEWS, deadline, json.dumps({**body, "spec": {"resourceAttributes": attributes}}), True, ""
        )
        status = json_in(answer.body).get("status") if answer.status == 201 else None
        return not isinstance(status, dict) or bool(status.get("allowed"))

    def denied(self, verb: str, resource: str, name: str) -> BackendRejected:
        """The error for what :meth:`may` has found."""
        return denied(f"Kubernetes at {self.url}", self._question(verb, resource, name))

    def _question(self, verb: str, resource: str, name: str) -> Question:
        # Agents have nothing to do with leases: it is a command that looks.
        role = "admins" if (self._role, resource) == ("agent", LEASES) else f"the {self._role}"
        return Question(verb, resource, name, self.namespace, role, self._access.login)

    async def watch(self, name: str, version: str) -> AsyncGenerator[bytes, None]:
        """The lines that tell what happens to the ConfigMap `name` after `version`."""
        path = f"{_GROUPS[CONFIGMAPS]}/namespaces/{self.namespace}/{CONFIGMAPS}"
        query = f"watch=1&fieldSelector=metadata.name%3D{name}&resourceVersion={version}&allowWatchBookmarks=true"
        url = f"{self.url}{path}?{query}"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self.timeout)
        try:
            for is_last in (False, True):
                headers = await self._headers(self.deadline())
                async with self._http.session.get(
                    url, headers=headers, timeout=timeout, allow_redirects=False
                ) as answer:
                    if answer.status == 200:
                        async for line in _lines(answer.content):
                            yield line
                        return
                    said = Answer(answer.status, answer.headers, await answer.read(), self.url)
                error = error_of(said, json_in(said.body), self._question("watch", CONFIGMAPS, name))
                if is_last or not isinstance(error, StaleToken):
                    raise error
                self._forget_token()
        except (aiohttp.ClientError, OSError, RuntimeError) as error:  # RuntimeError: we have closed the connection
            raise BackendUnavailable(
                f"Kubernetes at {self.url} broke the watch off ({str(error) or type(error).__name__})."
            ) from error

    async def _ask(
        self,
        method: str,
        kind: str,
        name: str,
        deadline: float,
        body: Mapping[str, Any] | None = None,
        *,
        again: bool = False,
        accept: str = "",
        query: str = "",
    ) -> dict[str, Any]:
        path = f"{_GROUPS[kind]}/namespaces/{self.namespace}/{kind}{f'/{name}' if name else ''}{query}"
        text = None if body is None else json.dumps(body)
        asked = self._question("list" if query else _VERBS[method], kind, name or _name_in(body))
        for _ in range(2):
            answer = await self._send(method, path, deadline, text, again, accept)
            if answer.status != 401:
                break
            # The token may have been replaced.
            self._forget_token()
        if len(answer.body) > _LONG_BODY:
            return await in_thread(parsed, answer, asked)
        return parsed(answer, asked)

    async def _send(
        self, method: str, path: str, deadline: float, text: str | None, again: bool, accept: str
    ) -> Answer:
        while True:
            headers = await self._headers(deadline)
            if accept:
                headers["Accept"] = accept
            answer = await self._http.ask(
                method,
                path,
                again=again,
                is_transient=is_transient,
                deadline=deadline,
                headers=headers,
                data=text,
                allow_redirects=False,
            )
            pause = max(retry_after(answer), _PAUSE)
            if again or answer.status != 429 or time.monotonic() + pause > deadline:
                return answer
            # A request that is turned away for now was not begun.
            await asyncio.sleep(pause)

    async def _headers(self, deadline: float) -> dict[str, str]:
        if time.monotonic() > self._token_time + _TOKEN_SECONDS:
            self._token = await in_thread(self._access.read_token)
            self._token_time = time.monotonic()
        headers = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
        return headers | ({"Authorization": f"Bearer {self._token}"} if self._token else {})

    def _forget_token(self) -> None:
        self._token_time = float("-inf")


async def _lines(content: aiohttp.StreamReader) -> AsyncGenerator[bytes, None]:
    line = bytearray()
    # A line may be longer than aiohttp's own reader accepts.
    async for chunk in content.iter_any():
        *complete, rest = chunk.split(b"\n")
        for part in complete:
            line += part
            yield bytes(line)
            line.clear()
        line += rest


def _name_in(body: Mapping[str, Any] | None) -> str:
    return str(((body or {}).get("metadata") or {}).get("name", ""))
