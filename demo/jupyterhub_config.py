"""JupyterHub behind Traefik, with the routing table in files. It writes only to its working directory.

Use it on your own machine only: anybody who can reach it can log in.
"""

import os
import sys

c = get_config()  # noqa: F821

c.JupyterHub.proxy_class = "kvproxy"
c.KVProxy.backend_class = "toml"

c.JupyterHub.bind_url = "http://127.0.0.1:8000"

c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {"admin"}

# A live page for admins, at /services/kvproxy/. It shows when each route was used.
c.KVProxy.activity = True
c.JupyterHub.services = [
    {
        "name": "kvproxy",
        "url": "http://127.0.0.1:" + os.environ.get("DEMO_PAGE_PORT", "10101"),
        "command": [sys.executable, "-m", "jhub_kvproxy", "page", "--config", __file__],
        "oauth_no_confirm": True,
    }
]

c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = os.path.abspath("home/{username}")
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
c.Spawner.default_url = "/lab"
if os.geteuid() == 0:
    c.Spawner.args = ["--allow-root"]
