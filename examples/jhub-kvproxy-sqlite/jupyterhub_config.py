"""A hub to try the backend, on your own machine only: anybody who can reach it can log in."""

import os

c = get_config()  # noqa: F821

c.JupyterHub.proxy_class = "kvproxy"
c.KVProxy.backend_class = "sqlite"
c.SqliteBackend.path = "kvproxy-sqlite"

c.JupyterHub.bind_url = "http://127.0.0.1:8000"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = os.path.abspath("home/{username}")
