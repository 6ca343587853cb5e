"""A server's JSON API, without the driver that is tested."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from .errors import Refused
from .process import PATIENCE


class JsonApi:
    """The API at `url`. For TLS: the authority that it is checked by, and the certificate and key to show."""

    def __init__(self, url: str, ca_file: str = "", client: tuple[str, str] | None = None) -> None:
        self._url = url
        self._tls: ssl.SSLContext | None = None
        if ca_file:
            self._tls = ssl.create_default_context(cafile=ca_file)
            if client:
                self._tls.load_cert_chain(*client)

    def ask(
        self,
        method: str,
        path: str,
        message: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        timeout: float = PATIENCE,
    ) -> Any:
        """The answer; Refused with the server's words when it is an error."""
        body = None if message is None else json.dumps(message).encode()
        request = urllib.request.Request(self._url + path, body, dict(headers or {}), method=method)
        return json.loads(self._answer(request, timeout))

    def get(self, path: str) -> str:
        """The text of an answer that is no JSON."""
        return self._answer(urllib.request.Request(self._url + path), PATIENCE)

    def _answer(self, request: urllib.request.Request, timeout: float) -> str:
        try:
            with urllib.request.urlopen(request, timeout=timeout, context=self._tls) as answer:
                return str(answer.read(), "utf-8")
        except urllib.error.HTTPError as error:
            raise Refused(f"{request.selector}: {error.code} {error.read().decode()}", error.code) from None
