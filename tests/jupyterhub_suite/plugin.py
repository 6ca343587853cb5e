"""pytest plugin: run JupyterHub's own tests with another proxy class than CHP.

JupyterHub's wheel has its tests; their hub is `jupyterhub.tests.mocking.MockHub`.
This plugin sets the proxy class of every MockHub. From the repository's root:

    python -m pytest -c tests/jupyterhub_suite/pytest.ini \\
        -p tests.jupyterhub_suite.plugin -n 2 --dist loadfile \\
        --rootdir "$(python -c 'import sysconfig as s; print(s.get_path("purelib"))')" \\
        --pyargs jupyterhub.tests.test_proxy jupyterhub.tests.test_named_servers \\
        jupyterhub.tests.test_spawner jupyterhub.tests.test_services \\
        jupyterhub.tests.test_singleuser jupyterhub.tests.test_api

KVPROXY_SUITE_PROXY_CLASS is the proxy class: an entry point's name (default: kvproxy)
or a dotted path. The baseline is `configurable-http-proxy`, with that command on PATH.
KVPROXY_SUITE_STORE is the store that kvproxy keeps its table in: toml (the default), etcd,
consul or redis; its server is started for each worker.
"""

import contextlib
import functools
import inspect
import os
import signal
import sysconfig
from pathlib import Path

import pytest
from traitlets.config import Config

from tests.fixtures import consul as consul
from tests.fixtures import etcd as etcd
from tests.fixtures import pytest_runtest_call as pytest_runtest_call
from tests.fixtures import pytest_runtest_setup as pytest_runtest_setup
from tests.fixtures import redis_server as redis_server
from tests.stores import find_store

PROXY_CLASS = os.environ.get("KVPROXY_SUITE_PROXY_CLASS", "kvproxy")
STORE = os.environ.get("KVPROXY_SUITE_STORE", "toml")

# Tests which can say nothing about another proxy class: {name: why}.
DESELECTED = {
    "test_external_proxy": "starts configurable-http-proxy itself and moves its api_url and auth_token",
    "test_connection_proxy_api_wrong_certs": "asks configurable-http-proxy's API, at its api_url",
    "test_proxy_bind_ip": "instantiates ConfigurableHTTPProxy itself and reads its command line",
}


# Of the hubs of a module, with a prefix of its own.
store = None


def hub_config():
    """The configuration of each MockHub, below what its test passes."""
    config = Config(store.config) if store else Config()
    config.JupyterHub.proxy_class = PROXY_CLASS
    return config


def configure_hubs(hub_class):
    original = hub_class.__init__

    @functools.wraps(original)
    def init(self, *args, **kwargs):
        original(self, *args, **kwargs)
        config = hub_config()
        config.merge(self.config)
        # Setting self.config.JupyterHub.proxy_class would come too late: the hub's
        # own traits were read from its config, and only a new config is read again.
        self.update_config(config)

    hub_class.__init__ = init


def stop_hubs_in_their_loop(hub_class):
    # JupyterHub 5's tests run a hub's cleanup in the loop of another thread, while the
    # hub's own stands still. No real hub does, and a proxy's stop() that waits for a task
    # of start()'s would wait for ever.
    original = hub_class.stop

    async def nothing():
        pass

    @functools.wraps(original)
    def stop(self):
        loop = self.io_loop and self.io_loop.asyncio_loop
        if loop and not loop.is_running() and not self._stop_called:
            loop.run_until_complete(self.cleanup())
            self.cleanup = nothing
        original(self)

    hub_class.stop = stop


def allow_root(spawner_class):
    original = spawner_class.get_args

    @functools.wraps(original)
    def get_args(self):
        args = original(self)
        # Not Spawner.args: a test expects its mock server to get no arguments.
        if any("singleuser" in part for part in self.cmd):
            args.append("--allow-root")
        return args

    spawner_class.get_args = get_args


@pytest.fixture(scope="module", autouse=True)
def own_directory(request, tmp_path_factory):
    # A hub keeps files in its working directory: its proxy's pid, a store. JupyterHub 5's
    # tests leave all hubs in one; hubs at the same time then stop each other's proxy.
    global store
    directory = tmp_path_factory.mktemp("hub")
    store = find_store(STORE, request, directory)
    with contextlib.chdir(directory):
        yield


def pytest_configure(config):
    import jupyterhub.tests.mocking as mocking

    # Test ids are relative to the root. Those of files outside it lack the file, and
    # `--dist loadfile` then runs all on one worker.
    if not Path(mocking.__file__).is_relative_to(config.rootpath):
        raise pytest.UsageError("--rootdir must be the directory JupyterHub is in")

    configure_hubs(mocking.MockHub)
    if not inspect.iscoroutinefunction(mocking.MockHub.stop):
        stop_hubs_in_their_loop(mocking.MockHub)
    if os.geteuid() == 0:
        allow_root(mocking.MockSpawner)

    # A shell's background job ignores it, and so would users' servers: each stop took 10 s more.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)

    # As in an activated environment: one test runs `jupyterhub-singleuser`.
    scripts = sysconfig.get_path("scripts")
    os.environ["PATH"] = os.pathsep.join([scripts, os.environ.get("PATH", os.defpath)])


def pytest_collection_modifyitems(config, items):
    deselected = [item for item in items if item.originalname in DESELECTED]
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if item not in deselected]


def reasons():
    yield f"proxy_class: {PROXY_CLASS}; store: {STORE}"
    for name, why in DESELECTED.items():
        yield f"not run: {name} {why}"


def pytest_report_header():
    return list(reasons())


def pytest_terminal_summary(terminalreporter):
    # Again, since pytest-xdist doesn't tell what its workers deselect.
    terminalreporter.section("JupyterHub's own tests")
    for line in reasons():
        terminalreporter.line(line)
