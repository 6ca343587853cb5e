"""Real etcds, of one member or several, and their JSON API without the driver."""

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
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from jhub_kvproxy import Batch
from jhub_kvproxy_backends.etcd import EtcdBackend
from tests.servers import free_port
from tests.stores import find_server

PATIENCE = 60
_INTERVAL = 0.02


class EtcdServer:
    """An etcd that keeps its files in `directory`, which is made, and ends with the ``with`` block.

    With `certificate` (certificate and key) it speaks TLS; with `client_ca` it asks for a certificate from
    that authority. `ca_file` and `client` are what our own questions use then. `arguments` are etcd's.
    """

    def __init__(
        self,
        directory: Path,
        *arguments: str,
        certificate: tuple[str, str] | None = None,
        client_ca: str = "",
        ca_file: str = "",
        client: tuple[str, str] | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.directory = directory
        self.port, self.peer_port = free_port(), free_port()
        self.host = host
        self.url = f"{'https' if certificate else 'http'}://{host}:{self.port}"
        self.peer_url = f"http://{host}:{self.peer_port}"
        self.name = f"member-{self.port}"
        self._cluster = f"{self.name}={self.peer_url}"
        self._arguments = list(arguments)
        if certificate:
            self._arguments += [f"--cert-file={certificate[0]}", f"--key-file={certificate[1]}"]
        if client_ca:
            self._arguments += [f"--trusted-ca-file={client_ca}", "--client-cert-auth"]
        self._tls: ssl.SSLContext | None = None
        if ca_file:
            self._tls = ssl.create_default_context(cafile=ca_file)
            if client:
                self._tls.load_cert_chain(*client)
        self._process: subprocess.Popen[bytes] | None = None
        self._users: dict[str, str] = {}

    def __enter__(self) -> EtcdServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def launch(self, *, cluster: str = "") -> None:
        """Start it, with the members in `cluster` or alone, without waiting."""
        self._cluster = cluster or self._cluster
        self.directory.mkdir(parents=True, exist_ok=True)
        # Alone it has nobody to wait for, so it may be fast.
        pace = [] if "," in self._cluster else ["--heartbeat-interval=10", "--election-timeout=100"]
        command = [
            find_server("etcd"),
            f"--name={self.name}",
            f"--data-dir={self.directory / 'data'}",
            f"--listen-client-urls={self.url}",
            f"--advertise-client-urls={self.url}",
            f"--listen-peer-urls={self.peer_url}",
            f"--initial-advertise-peer-urls={self.peer_url}",
            f"--initial-cluster={self._cluster}",
            "--logger=zap",
            "--log-level=warn",
            "--unsafe-no-fsync",
            *pace,
            *self._arguments,
        ]
        with (self.directory / "etcd.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.launch()
        self.wait()

    def wait(self) -> None:
        """Wait until it serves its clients."""
        assert self._process
        deadline = time.monotonic() + PATIENCE
        while not self._is_healthy():
            said = (self.directory / "etcd.log").read_text(errors="replace")[-2000:]
            assert self._process.poll() is None, f"etcd ended: {said}"
            assert time.monotonic() < deadline, f"etcd does not come up: {said}"
            time.sleep(_INTERVAL)

    def kill(self) -> None:
        """End it at once. `start` brings it back, with what it has stored."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop it without ending it: it takes connections and never answers."""
        assert self._process
        os.kill(self._process.pid, signal.SIGSTOP)
        while Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(_INTERVAL)

    def thaw(self) -> None:
        assert self._process
        os.kill(self._process.pid, signal.SIGCONT)

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=PATIENCE, context=self._tls) as answer:
            return answer.read().decode()

    def ask(self, path: str, message: Mapping[str, Any], *, token: str = "") -> dict[str, Any]:
        """The answer of etcd's JSON API; AssertionError with etcd's words when it refuses."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": token} if token else {})
        request = urllib.request.Request(self.url + path, json.dumps(message).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE, context=self._tls) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.read().decode()}") from None

    def read(self, start: str, **options: Any) -> dict[bytes, bytes]:
        """All keys that begin with `start`, with their values."""
        message = {"key": encode(start), "range_end": encode(end_of(start)), **options}
        kvs = self.ask("/v3/kv/range", message, token=self._root_token()).get("kvs", [])
        return {base64.b64decode(kv["key"]): base64.b64decode(kv.get("value", "")) for kv in kvs}

    def write(self, keys: Mapping[str, str]) -> None:
        puts = [{"request_put": {"key": encode(key), "value": encode(value)}} for key, value in keys.items()]
        self.ask("/v3/kv/txn", {"success": puts}, token=self._root_token())

    def delete(self, start: str) -> None:
        """Remove all keys that begin with `start`."""
        message = {"key": encode(start), "range_end": encode(end_of(start))}
        self.ask("/v3/kv/deleterange", message, token=self._root_token())

    def add_user(self, name: str, password: str, prefix: str | None = None, *, access: str = "READWRITE") -> None:
        """A user with `access` to the keys below `prefix`; None: no right to anything."""
        token = self._root_token()
        self.ask("/v3/auth/user/add", {"name": name, "password": password}, token=token)
        if prefix is not None:
            permission = {"permType": access, "key": encode(prefix), "range_end": encode(end_of(prefix))}
            self.ask("/v3/auth/role/add", {"name": name}, token=token)
            self.ask("/v3/auth/role/grant", {"name": name, "perm": permission}, token=token)
            self.ask("/v3/auth/user/grant", {"user": name, "role": name}, token=token)

    def enable_auth(self, root_password: str) -> None:
        """Let in nobody without a name and password any more; `root` may do everything."""
        self.ask("/v3/auth/user/add", {"name": "root", "password": root_password})
        self.ask("/v3/auth/role/add", {"name": "root"})
        self.ask("/v3/auth/user/grant", {"user": "root", "role": "root"})
        self.ask("/v3/auth/enable", {})
        self._users["root"] = root_password

    def _root_token(self) -> str:
        if not self._users:
            return ""
        message = {"name": "root", "password": self._users["root"]}
        return str(self.ask("/v3/auth/authenticate", message)["token"])

    def _is_healthy(self) -> bool:
        try:
            return json.loads(self.get("/health"))["health"] == "true"
        except (OSError, ValueError):
            return False


class EtcdCluster:
    """Three etcds that are one store, until the end of the ``with`` block."""

    def __init__(self, directory: Path) -> None:
        # Slower than one alone, so that a busy machine elects no second leader.
        pace = ["--heartbeat-interval=50", "--election-timeout=500"]
        self.members = [EtcdServer(directory / str(number), *pace) for number in range(3)]
        self.urls = [member.url for member in self.members]

    def __enter__(self) -> EtcdCluster:
        cluster = ",".join(f"{member.name}={member.peer_url}" for member in self.members)
        try:
            for member in self.members:
                member.launch(cluster=cluster)
            for member in self.members:
                member.wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            member.kill()


@asynccontextmanager
async def opened(*urls: str, **traits: Any) -> AsyncIterator[EtcdBackend]:
    """A backend on `urls`, opened, on a prefix of its own unless `traits` have one."""
    backend = EtcdBackend(urls=list(urls), **({"prefix": f"hub-{uuid.uuid4().hex}"} | traits))
    try:
        await backend.open()
        yield backend
    finally:
        await backend.close()


def numbered(count: int, value: str = "1") -> Batch:
    return Batch({f"routes/{number:05}": value for number in range(count)})


async def keys_of(backend: EtcdBackend) -> dict[str, str]:
    return dict((await backend.load()).keys)


def encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def end_of(start: str) -> str:
    """The end of the range of all keys that begin with `start`; its last character is ASCII."""
    return start[:-1] + chr(ord(start[-1]) + 1)


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """A plain etcd that all tests of a session share: each uses prefixes of its own."""
    with EtcdServer(tmp_path_factory.mktemp("etcd")) as server:
        yield server
