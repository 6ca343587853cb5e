"""Where Kubernetes' API is, and how we show who we are: a pod's service account, or a kubeconfig (file I/O)."""

from __future__ import annotations

import base64
import os
import ssl
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jhub_kvproxy import BackendRejected

from ._network import http_url

#: Where a pod finds its service account.
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TOKEN_HOW = "give it a token instead, as kubectl create token prints, or run the hub in a pod"


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach an API. `login` says in words what shows who we are."""

    url: str
    namespace: str
    login: str
    tls: ssl.SSLContext | None
    #: Reads the token from its file; an empty one is sent to nobody.
    read_token: Callable[[], str]
    #: What says who may have signed the API's certificate, in words.
    authority: str = "the authority"

    def __repr__(self) -> str:
        return f"<Access to {self.url} by {self.login}>"


def find_access(*, api_url: str, kubeconfig: str, context: str, namespace: str) -> Access:
    """The access that these options ask for. Raises BackendRejected if there is none, or it cannot be used."""
    if not (kubeconfig or context) and (ACCOUNT / "token").exists():
        return _in_pod(api_url, namespace)
    return _by_kubeconfig(_file(kubeconfig), api_url, context, namespace)


def _in_pod(api_url: str, namespace: str) -> Access:
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not (api_url or host):
        raise BackendRejected(
            f"There is a service account in {ACCOUNT}, but no KUBERNETES_SERVICE_HOST in the environment: set "
            "KubernetesBackend.api_url to the URL of Kubernetes' API."
        )
    url = _checked_url(api_url or f"https://{f'[{host}]' if ':' in host else host}:{port}")
    file, authority = ACCOUNT / "token", ACCOUNT / "ca.crt"
    return Access(
        url,
        namespace or _text(ACCOUNT / "namespace").strip() or "default",
        f"the service account's token in {file}",
        _context(url, str(authority)),
        lambda: _token(_text(file), str(file)),
        str(authority),
    )


def _file(kubeconfig: str) -> Path:
    if kubeconfig:
        file = _expanded(kubeconfig)
        if not _exists(file):
            raise BackendRejected(f"KubernetesBackend.kubeconfig: there is no file {file}.")
        return file
    named = [Path(part) for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    if len(named) > 1:
        raise BackendRejected("KUBECONFIG names several files: name one in KubernetesBackend.kubeconfig.")
    return named[0] if named else _expanded("~/.kube/config")


def _expanded(file: str) -> Path:
    try:
        return Path(file).expanduser()
    except RuntimeError:  # there is no such home
        return Path(file)


def _by_kubeconfig(file: Path, api_url: str, context: str, namespace: str) -> Access:
    with _shape_of(file):
        config = _Kubeconfig(file, context)
        login = f"the user {config.context.get('user')!r} of {file}"
        server = str(config.cluster.get("server", ""))
        url = _checked_url(api_url) if api_url else _checked_url(server, f"the server in {file}")
        config.check_user()
        return Access(
            url,
            namespace or str(config.context.get("namespace") or "default"),
            login,
            _context(url, config.ca(), config.client_certificate(), is_checked=config.is_checked),
            lambda: _token(_Kubeconfig(file, context).token(), login),
            f"certificate-authority in {file}",
        )


@contextmanager
def _shape_of(file: Path) -> Iterator[None]:
    """Raise BackendRejected if `file` has other things than those that belong there."""
    try:
        yield
    except (TypeError, ValueError, AttributeError):  # their texts may quote a token
        raise BackendRejected(f"{file} is not a kubeconfig as kubectl takes it.") from None


class _Kubeconfig:
    """One context of a kubeconfig, with the cluster and the user that it names."""

    def __init__(self, file: Path, context: str) -> None:
        self._file = file
        self._all = _loaded(file)
        name = context or str(self._all.get("current-context") or "")
        if not name:
            raise BackendRejected(f"{file} has no current context: name one in KubernetesBackend.context.")
        self.context = self._named("context", name)
        self.cluster = self._named("cluster", str(self.context.get("cluster")))
        self._user = self._named("user", str(self.context.get("user"))) if self.context.get("user") else {}

    @property
    def is_checked(self) -> bool:
        return not self.cluster.get("insecure-skip-tls-verify")

    def check_user(self) -> None:
        """Raise BackendRejected if the user needs what we cannot do."""
        for key, what in (("exec", "a program (exec)"), ("auth-provider", "an auth-provider")):
            if self._user.get(key):
                raise BackendRejected(f"The user in {self._file} needs {what}, which we do not run: {_TOKEN_HOW}.")
        if self._user.get("username"):
            raise BackendRejected(f"The user in {self._file} has a password, which Kubernetes no longer takes.")
        if self._user.get("as"):
            raise BackendRejected(f"The user in {self._file} acts as another (as), which we cannot do.")
        for key in ("proxy-url", "tls-server-name"):
            if self.cluster.get(key):
                raise BackendRejected(f"The cluster in {self._file} has {key}, which we cannot do.")

    def token(self) -> str:
        """The user's token, as the files have it now."""
        with _shape_of(self._file):
            if file := self._user.get("tokenFile"):
                return _text(self._path(file))
            return str(self._user.get("token") or "")

    def ca(self) -> str | bytes:
        """The cluster's authority: a file, or what would be in it."""
        return self._file_or_data(self.cluster, "certificate-authority")

    def client_certificate(self) -> tuple[str | bytes, str | bytes] | None:
        certificate = self._file_or_data(self._user, "client-certificate")
        key = self._file_or_data(self._user, "client-key")
        return (certificate, key) if certificate and key else None

    def _named(self, kind: str, name: str) -> Mapping[str, Any]:
        entries = self._all.get(f"{kind}s") or []
        known = {str(entry["name"]): entry.get(kind) or {} for entry in entries if _has_name(entry)}
        if name not in known:
            option = ": set KubernetesBackend.context to one of them" if kind == "context" and known else ""
            names = ", ".join(known) or "none"
            raise BackendRejected(f"{self._file} has no {kind} {name!r}; it has {names}{option}.")
        return dict(known[name])

    def _file_or_data(self, entry: Mapping[str, Any], key: str) -> str | bytes:
        if data := entry.get(f"{key}-data"):
            try:
                return base64.b64decode("".join(str(data).split()), validate=True)
            except ValueError:
                raise BackendRejected(f"{self._file}: {key}-data is not base64.") from None
        return str(self._path(str(entry[key]))) if entry.get(key) else ""

    def _path(self, file: str) -> Path:
        return self._file.parent / file


def _has_name(entry: Any) -> bool:
    return isinstance(entry, dict) and "name" in entry


def _loaded(file: Path) -> dict[str, Any]:
    try:
        import yaml
    except ImportError as error:
        raise BackendRejected(
            f'To read the kubeconfig {file}, PyYAML is needed: pip install "jhub-kvproxy[kubernetes]"'
        ) from error
    if not _exists(file):
        raise BackendRejected(
            f"There is no service account in {ACCOUNT}, as a pod has, and no kubeconfig at {file}: name one in "
            "KubernetesBackend.kubeconfig."
        )
    try:
        config = yaml.safe_load(_text(file))
    except (yaml.YAMLError, RecursionError):  # its text may quote a token
        raise BackendRejected(f"{file} is not a kubeconfig: it is not YAML.") from None
    if not isinstance(config, dict):
        raise BackendRejected(f"{file} is not a kubeconfig.")
    return config


def _exists(file: Path) -> bool:
    try:
        return file.exists()
    except OSError as error:
        raise BackendRejected(f"{file} cannot be read: {error}.") from error


def _token(text: str, login: str) -> str:
    token = text.strip()
    if not (token.isascii() and token.isprintable()):
        raise BackendRejected(f"The token of {login} has characters that no token has.")
    return token


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BackendRejected(f"{file} cannot be read: {error}.") from error


def _checked_url(url: str, name: str = "KubernetesBackend.api_url") -> str:
    port = 80 if url.startswith("http:") else 443
    return http_url(name, url, port, credentials_go_to="a kubeconfig", may_have_path=True)


def _context(
    url: str, ca: str | bytes, client: tuple[str | bytes, str | bytes] | None = None, *, is_checked: bool = True
) -> ssl.SSLContext | None:
    if not url.startswith("https:"):
        return None
    try:
        if isinstance(ca, bytes):
            context = ssl.create_default_context(cadata=ca.decode())
        else:
            context = ssl.create_default_context(cafile=ca or None)
        if not is_checked:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if client:
            _load_client(context, *client)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise BackendRejected(f"The certificates for {url} cannot be used: {error}.") from error
    return context


def _load_client(context: ssl.SSLContext, certificate: str | bytes, key: str | bytes) -> None:
    # OpenSSL reads files only.
    with tempfile.TemporaryDirectory() as directory:
        files = []
        for number, part in enumerate((certificate, key)):
            if isinstance(part, bytes):
                path = Path(directory) / str(number)
                path.touch(mode=0o600)
                path.write_bytes(part)
                part = str(path)
            files.append(part)
        context.load_cert_chain(files[0], files[1], password=_no_passphrase)


def _no_passphrase() -> str:
    # Without this, OpenSSL would ask on the terminal.
    raise OSError("the key needs a passphrase")
