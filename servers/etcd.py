"""Real etcds, of one member or three, and what they hold, without the driver."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .cluster import Cluster
from .errors import Refused, Unavailable
from .json_api import JsonApi
from .ports import free_port
from .process import SOON, Process
from .programs import find

# One alone has nobody to wait for, so it may be fast; three are slower, so that a busy machine elects no second leader.
_ALONE = ("--heartbeat-interval=10", "--election-timeout=100")
_TOGETHER = ("--heartbeat-interval=50", "--election-timeout=500")


class EtcdServer(Process):
    """An etcd that keeps its files in `directory`, which is made.

    What it acknowledges need not be on the disk yet, and it is fast, unless it is `durable`: then it has etcd's
    defaults. With `certificate` (certificate and key) it speaks TLS; with `client_ca` it asks for a certificate from
    that authority. `ca_file` and `client` are what our own questions use then. `arguments` are etcd's.
    """

    def __init__(
        self,
        directory: Path,
        *arguments: str,
        name: str = "etcd",
        durable: bool = False,
        certificate: tuple[str, str] | None = None,
        client_ca: str = "",
        ca_file: str = "",
        client: tuple[str, str] | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        port, peer_port = free_port(), free_port()
        self.url = f"{'https' if certificate else 'http'}://{host}:{port}"
        self.traits: dict[str, Any] = {"urls": [self.url]}
        peer_url = f"http://{host}:{peer_port}"
        self.data = data = directory / "data"
        #: How other members name it.
        self.peer = f"{name}={peer_url}"
        command = [
            find("etcd"),
            f"--name={name}",
            f"--data-dir={data}",
            f"--listen-client-urls={self.url}",
            f"--advertise-client-urls={self.url}",
            f"--listen-peer-urls={peer_url}",
            f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster={self.peer}",
            "--logger=zap",
            f"--log-level={'error' if durable else 'warn'}",
        ]
        # Old values go, as etcd's documentation and ours advise; sooner, because tests are short.
        command += ["--auto-compaction-mode=revision", "--auto-compaction-retention=1000"]
        if not durable:
            command += ["--unsafe-no-fsync", *_ALONE]
        if certificate:
            command += [f"--cert-file={certificate[0]}", f"--key-file={certificate[1]}"]
        if client_ca:
            command += [f"--trusted-ca-file={client_ca}", "--client-cert-auth"]
        super().__init__(name, [*command, *arguments], directory / f"{name}.log", port=port)
        self._api = JsonApi(self.url, ca_file, client)
        self._users: dict[str, str] = {}

    def is_ready(self) -> bool:
        return bool(self._api.ask("GET", "/health", timeout=SOON)["health"] == "true")

    @property
    def is_leader(self) -> bool:
        status = self.ask("/v3/maintenance/status", {})
        return bool(status["leader"] == status["header"]["member_id"])

    def get(self, path: str) -> str:
        return self._api.get(path)

    def ask(self, path: str, message: Mapping[str, Any], *, token: str = "") -> dict[str, Any]:
        """The answer of etcd's JSON API; Refused with etcd's words."""
        answer: dict[str, Any] = self._api.ask("POST", path, message, {"Authorization": token} if token else {})
        return answer

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

    def fill(self) -> None:
        """Write until etcd refuses, at a quota of 2 MB. Raises Refused."""
        for number in range(100):
            self.write({f"foreign/{number}": "x" * 100_000})

    def make_room(self) -> None:
        self.delete("foreign/")
        revision = self.ask("/v3/kv/range", {"key": encode("a")})["header"]["revision"]
        self.ask("/v3/kv/compaction", {"revision": revision, "physical": True})
        self.ask("/v3/maintenance/defragment", {})
        for alarm in self.ask("/v3/maintenance/alarm", {"action": "GET"})["alarms"]:
            self.ask("/v3/maintenance/alarm", {"action": "DEACTIVATE", **alarm})

    def add_user(self, name: str, password: str, prefix: str | None = None, *, access: str = "READWRITE") -> None:
        """A user with `access` to the keys below `prefix`; None: no right to anything."""
        self._ask_as_root("/v3/auth/user/add", {"name": name, "password": password})
        if prefix is not None:
            permission = {"permType": access, "key": encode(prefix), "range_end": encode(end_of(prefix))}
            self._ask_as_root("/v3/auth/role/add", {"name": name})
            self._ask_as_root("/v3/auth/role/grant", {"name": name, "perm": permission})
            self._ask_as_root("/v3/auth/user/grant", {"user": name, "role": name})

    def enable_auth(self, root_password: str) -> None:
        """Let in nobody without a name and password any more; `root` may do everything."""
        self.ask("/v3/auth/user/add", {"name": "root", "password": root_password})
        self.ask("/v3/auth/role/add", {"name": "root"})
        self.ask("/v3/auth/user/grant", {"user": "root", "role": "root"})
        self.ask("/v3/auth/enable", {})
        self._users["root"] = root_password

    def _ask_as_root(self, path: str, message: Mapping[str, Any]) -> None:
        token = self._root_token()
        try:
            self.ask(path, message, token=token)
        except Refused as error:
            # etcd 3.5.35 refuses root one time in twenty or so, when users have just changed.
            if error.status != 403:
                raise
            self.ask(path, message, token=self._root_token())

    def _root_token(self) -> str:
        if not self._users:
            return ""
        message = {"name": "root", "password": self._users["root"]}
        return str(self.ask("/v3/auth/authenticate", message)["token"])


class EtcdCluster(Cluster):
    """Three etcds that are one store; with etcd's defaults if they are `durable`."""

    def __init__(self, directory: Path, *, durable: bool = False) -> None:
        names = [f"etcd-{number}" for number in (1, 2, 3)]
        pace = () if durable else _TOGETHER
        members = [EtcdServer(directory / name, *pace, name=name, durable=durable) for name in names]
        for member in members:
            # Of an argument that is given twice, etcd heeds the last.
            member.command.append("--initial-cluster=" + ",".join(other.peer for other in members))
        super().__init__(members)
        self.members: Sequence[EtcdServer] = members
        self.urls = [member.url for member in members]
        self.traits = {"urls": self.urls}

    def is_ready(self) -> bool:
        return all(member.is_ready() for member in self.members)

    def empty(self) -> None:
        self.members[0].ask("/v3/kv/deleterange", {"key": "AA==", "range_end": "AA=="})

    def leader(self) -> EtcdServer:
        for member in self.members:
            if member.is_leader:
                return member
        raise Unavailable("the etcds have no leader")


def encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def end_of(start: str) -> str:
    """The end of the range of all keys that begin with `start`; its last character is ASCII."""
    return start[:-1] + chr(ord(start[-1]) + 1)
