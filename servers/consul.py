"""Real Consuls, one or a cluster of three, and what they hold, without the driver."""

from __future__ import annotations

import base64
import functools
import json
import re
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .cluster import Cluster
from .errors import Refused, Unavailable
from .json_api import JsonApi
from .ports import free_port
from .process import PATIENCE, SOON, Process
from .programs import find


class ConsulServer(Process):
    """A Consul that keeps its files in `directory`, which is made.

    It forgets everything when it ends, unless it is `durable`. With `acl` it lets nobody do anything without a token;
    :attr:`master` may do everything. With `certificate` (certificate and key) it speaks TLS; with `client_ca` it asks
    for a certificate from that authority. `ca_file` and `client` are what our own questions use then. `config` is
    Consul's, merged over ours; None takes a value away.
    """

    def __init__(
        self,
        directory: Path,
        *,
        name: str = "consul",
        durable: bool = False,
        acl: bool = False,
        certificate: tuple[str, str] | None = None,
        client_ca: str = "",
        ca_file: str = "",
        client: tuple[str, str] | None = None,
        host: str = "127.0.0.1",
        config: Mapping[str, Any] | None = None,
    ) -> None:
        port = free_port()
        self.master = str(uuid.uuid4()) if acl else ""
        self.url = f"{'https' if certificate else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
        self.traits: dict[str, Any] = {"url": self.url}
        program = find("consul")
        closed = dict.fromkeys(("http", "https", "dns", "grpc", "serf_wan"), -1)
        if _version(program) >= (1, 14):
            closed["grpc_tls"] = -1  # older ones do not know it
        self.config: dict[str, Any] = {
            "node_name": f"node-{port}",
            "bind_addr": "127.0.0.1",
            "client_addr": host,
            # Consul needs the last two, for other Consuls.
            "ports": closed
            | {"https" if certificate else "http": port, "serf_lan": free_port(), "server": free_port()},
            "disable_update_check": True,
            "log_level": "warn",
        }
        if acl:
            tokens = {"master": self.master, "agent": self.master}
            self.config["acl"] = {"enabled": True, "default_policy": "deny", "tokens": tokens}
        if certificate:
            self.config |= {"cert_file": certificate[0], "key_file": certificate[1]}
        if client_ca:
            self.config |= {"ca_file": client_ca, "verify_incoming_https": True}
        if durable:
            self.data = directory / "data"
            self.config |= {"server": True, "bootstrap_expect": 1, "data_dir": str(self.data)}
            self.config["performance"] = {"raft_multiplier": 1}  # as its documentation has it for production
        self.configure(config or {})
        self._file = directory / "consul.json"
        command = [program, "agent", f"-config-file={self._file}", *([] if durable else ["-dev"])]
        super().__init__(name, command, directory / f"{name}.log", port=port)
        #: The tokens that :meth:`token` made.
        self.tokens: dict[str, tuple[str, Mapping[str, Any]]] = {}
        self._api = JsonApi(self.url, ca_file, client)

    def configure(self, config: Mapping[str, Any]) -> None:
        """Merge `config` over what there is, for the next start."""
        for name, value in config.items():
            ours = self.config.get(name)
            self.config[name] = {**ours, **value} if isinstance(ours, dict) else value

    def launch(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps({name: value for name, value in self.config.items() if value is not None}))
        super().launch()

    def is_ready(self) -> bool:
        return bool(self.ask("PUT", "/v1/txn", [{"KV": {"Verb": "delete", "Key": "kvproxy-test"}}], timeout=SOON))

    def ask(self, method: str, path: str, message: Any = None, *, timeout: float = PATIENCE) -> Any:
        """What Consul answers to us, who may do everything; Refused with its words."""
        headers = {"X-Consul-Token": self.master} if self.master else {}
        return self._api.ask(method, path, message, headers, timeout=timeout)

    def read(self, start: str) -> dict[str, bytes]:
        """All keys that begin with `start`, with their values."""
        try:
            entries = self.ask("GET", f"/v1/kv/{quote(start)}?recurse")
        except Refused as refusal:
            if refusal.status == 404:
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


@functools.cache
def _version(program: str) -> tuple[int, ...]:
    said = subprocess.run([program, "version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"v(\d+)\.(\d+)", said)
    return tuple(map(int, match.groups())) if match else (0, 0)


class ConsulCluster(Cluster):
    """Three durable servers, and the agent beside them that clients use, as Consul's documentation has it."""

    def __init__(self, directory: Path) -> None:
        names = [f"consul-{number}" for number in (1, 2, 3)]
        self._servers = [ConsulServer(directory / name, name=name, durable=True) for name in names]
        self._agent = ConsulServer(directory / "consul-agent", name="consul-agent", durable=True)
        meet = [f"127.0.0.1:{server.config['ports']['serf_lan']}" for server in self._servers]
        for member in (*self._servers, self._agent):
            member.configure({"bootstrap_expect": 3, "retry_join": meet, "retry_interval": "1s"})
        self._agent.configure({"server": False, "bootstrap_expect": None})
        super().__init__([*self._servers, self._agent])
        self.traits = self._agent.traits

    def is_ready(self) -> bool:
        return self._agent.is_ready() and len(self._agent.ask("GET", "/v1/status/peers", timeout=SOON)) == 3

    def empty(self) -> None:
        self._agent.delete("")

    def leader(self) -> ConsulServer:
        address = self._agent.ask("GET", "/v1/status/leader")
        for server in self._servers:
            if address == f"127.0.0.1:{server.config['ports']['server']}":
                return server
        raise Unavailable("the Consuls have no leader")
