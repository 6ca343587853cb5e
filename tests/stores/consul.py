"""Real Consuls, and their HTTP API without the driver."""

from __future__ import annotations

import base64
import json
import os
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from jhub_kvproxy import Batch
from jhub_kvproxy_backends.consul import ConsulBackend
from tests.servers import free_port
from tests.stores import find_server

PATIENCE = 60
_INTERVAL = 0.02


class ConsulServer:
    """A Consul that keeps its files in `directory`, which is made, and ends with the ``with`` block.

    It has no files of its own and forgets everything when it ends, unless it is `durable`. With `acl` it lets nobody
    do anything without a token; :attr:`master` may do everything. With `certificate` (certificate and key) it speaks
    TLS; with `client_ca` it asks for a certificate from that authority. `ca_file` and `client` are what our
    own questions use then. `config` is Consul's, merged over ours.
    """

    def __init__(
        self,
        directory: Path,
        *,
        durable: bool = False,
        acl: bool = False,
        certificate: tuple[str, str] | None = None,
        client_ca: str = "",
        ca_file: str = "",
        client: tuple[str, str] | None = None,
        host: str = "127.0.0.1",
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self.directory = directory
        self.port = free_port()
        self.master = str(uuid.uuid4()) if acl else ""
        self.url = f"{'https' if certificate else 'http'}://{f'[{host}]' if ':' in host else host}:{self.port}"
        closed = dict.fromkeys(("http", "https", "dns", "grpc", "serf_wan"), -1)
        self._config: dict[str, Any] = {
            "node_name": f"node-{self.port}",
            "bind_addr": "127.0.0.1",
            "client_addr": host,
            "ports": closed
            | {"https" if certificate else "http": self.port}
            # Consul needs these two, for other Consuls.
            | {"serf_lan": free_port(), "server": free_port()},
            "disable_update_check": True,
            "log_level": "warn",
        }
        if acl:
            tokens = {"master": self.master, "agent": self.master}
            self._config["acl"] = {"enabled": True, "default_policy": "deny", "tokens": tokens}
        if certificate:
            self._config |= {"cert_file": certificate[0], "key_file": certificate[1]}
        if client_ca:
            self._config |= {"ca_file": client_ca, "verify_incoming_https": True}
        if durable:
            self._config |= {"server": True, "bootstrap_expect": 1, "data_dir": str(directory / "data")}
            self._config["performance"] = {"raft_multiplier": 1}
        for name, value in (config or {}).items():
            ours = self._config.get(name)
            self._config[name] = {**ours, **value} if isinstance(ours, dict) else value
        #: The tokens that :meth:`token` made.
        self.tokens: dict[str, tuple[str, Mapping[str, Any]]] = {}
        self._is_durable = durable
        self._tls: ssl.SSLContext | None = None
        if ca_file:
            self._tls = ssl.create_default_context(cafile=ca_file)
            if client:
                self._tls.load_cert_chain(*client)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ConsulServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def launch(self) -> None:
        """Start it without waiting."""
        self.directory.mkdir(parents=True, exist_ok=True)
        file = self.directory / "consul.json"
        file.write_text(json.dumps(self._config))
        command = [find_server("consul"), "agent", f"-config-file={file}", *([] if self._is_durable else ["-dev"])]
        with (self.directory / "consul.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def start(self) -> None:
        """Start it, and wait until it can be written to."""
        self.launch()
        assert self._process
        deadline = time.monotonic() + PATIENCE
        while not self._is_writable():
            assert self._process.poll() is None, f"Consul ended: {self.log[-2000:]}"
            assert time.monotonic() < deadline, f"Consul does not come up: {self.log[-2000:]}"
            time.sleep(_INTERVAL)

    def kill(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait(PATIENCE)

    def freeze(self) -> None:
        """Let it do nothing any more, with its connections open."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)
        # It may be in the middle of something.
        while " (consul) T " not in Path(f"/proc/{self._process.pid}/stat").read_text():
            time.sleep(0.001)

    def thaw(self) -> None:
        assert self._process
        os.kill(self._process.pid, signal.SIGCONT)

    @property
    def log(self) -> str:
        return (self.directory / "consul.log").read_text(errors="replace")

    def ask(self, method: str, path: str, message: Any = None) -> Any:
        """What Consul answers to us, who may do everything; AssertionError with its words when it refuses."""
        body = None if message is None else json.dumps(message).encode()
        headers = {"X-Consul-Token": self.master} if self.master else {}
        request = urllib.request.Request(self.url + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE, context=self._tls) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.code} {error.read().decode()}") from None

    def read(self, start: str) -> dict[str, bytes]:
        """All keys that begin with `start`, with their values."""
        try:
            entries = self.ask("GET", f"/v1/kv/{quote(start)}?recurse")
        except AssertionError as error:
            if ": 404" in str(error):
                return {}
            raise
        return {entry["Key"]: base64.b64decode(entry["Value"] or "") for entry in entries}

    def write(self, keys: Mapping[str, bytes]) -> None:
        """Write `keys`, in transactions as large as they may be."""
        operations = [
            {"KV": {"Verb": "set", "Key": key, "Value": base64.b64encode(value).decode()}}
            for key, value in keys.items()
        ]
        for start in range(0, len(operations), 64):
            self.ask("PUT", "/v1/txn", operations[start : start + 64])

    def delete(self, start: str) -> None:
        """Remove all keys that begin with `start`."""
        self.ask("DELETE", f"/v1/kv/{quote(start)}?recurse")

    def token(self, rules: str) -> str:
        """A new token with these rules."""
        name = uuid.uuid4().hex
        policy = self.ask("PUT", "/v1/acl/policy", {"Name": name, "Rules": rules})
        token = self.ask("PUT", "/v1/acl/token", {"Policies": [{"ID": policy["ID"]}]})
        self.tokens[token["SecretID"]] = (token["AccessorID"], policy)
        return str(token["SecretID"])

    def change_rules(self, token: str, rules: str) -> None:
        _, policy = self.tokens[token]
        self.ask("PUT", f"/v1/acl/policy/{policy['ID']}", {"Name": policy["Name"], "Rules": rules})

    def revoke(self, token: str) -> None:
        self.ask("DELETE", f"/v1/acl/token/{self.tokens[token][0]}")

    def _is_writable(self) -> bool:
        try:
            return bool(self.ask("PUT", "/v1/txn", [{"KV": {"Verb": "delete", "Key": "kvproxy-test"}}]))
        except (OSError, ValueError, AssertionError):
            return False


@asynccontextmanager
async def backends(**traits: Any) -> AsyncIterator[Callable[..., ConsulBackend]]:
    """A function that makes drivers with these traits and others, each on a prefix of its own, until the end."""
    async with AsyncExitStack() as stack:

        def new(**others: Any) -> ConsulBackend:
            backend = ConsulBackend(**{"prefix": f"hub-{uuid.uuid4().hex}", **traits, **others})
            stack.push_async_callback(backend.close)
            return backend

        yield new


def keys_of(number: int, value: str = "1") -> Batch:
    """A batch that writes `value` to this many keys."""
    return Batch({f"routes/{n}": value for n in range(number)})


@pytest.fixture(scope="session")
def consul(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsulServer]:
    """A plain Consul that all tests of a session share: each uses prefixes of its own."""
    with ConsulServer(tmp_path_factory.mktemp("consul")) as server:
        yield server
